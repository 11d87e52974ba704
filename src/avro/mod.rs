//! The parts of an Avro object container file: header, blocks, payloads, records. Pure: bytes in, bytes out.
//!
//! - [`container`]: header, blocks and sync markers ("Object Container Files" in the Avro specification 1.12).
//! - [`schema`]: a schema, compiled for walking, with its canonical form and fingerprint.
//! - [`walk`]: where records end, found and checked without building them.
//! - [`varint`]: the zig-zag numbers that all of these are made of.
//! - [`codec`]: the codecs of payloads, and their decoders.
//! - [`block`]: what a block really holds, compared with what it declares.
//! - [`changes`]: which fields of a schema changed.
//! - [`compat`]: whether one schema reads the data of another.
//! - [`records`]: records as JSON.
//! - [`field_path`]: the name of a field that may stand within others, as people write it.
//! - [`locate`]: where in a record the fields lie that are asked for.
//! - [`columns`]: records taken apart into columns, field by field.
//! - [`encoder`]: what makes exactly the payload again from what a decoder gave.
//!
//! All of it reads bytes that may be damaged or forged: nothing here panics, and nothing is allocated that the input
//! or a limit does not bound.

pub mod block;
pub mod changes;
pub mod codec;
pub mod columns;
pub mod compat;
pub mod container;
pub mod encoder;
pub mod field_path;
pub mod locate;
pub mod records;
pub mod schema;
pub mod varint;
pub mod walk;
