//! The parts of an Avro object container file: header, blocks, records. Pure: bytes in, bytes out.
