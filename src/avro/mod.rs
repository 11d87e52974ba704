//! The parts of an Avro object container file: header, blocks, records. Pure: bytes in, bytes out.
//!
//! - [`container`]: header, blocks and sync markers ("Object Container Files" in the Avro specification 1.12).
//! - [`varint`]: the zig-zag numbers that all of these are made of.
//!
//! All of it reads bytes that may be damaged or forged: nothing here panics, and nothing is allocated that the input
//! or a limit does not bound.

pub mod container;
pub mod varint;
