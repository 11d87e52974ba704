//! The parts of an Avro object container file: header, blocks, records. Pure: bytes in, bytes out.

pub mod codec;
pub mod deflate;
pub mod encoder;
