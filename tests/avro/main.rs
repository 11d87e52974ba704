//! Containers, codecs, encoders, columns: against other libraries and on real files.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/avro_gen.rs"]
mod avro_gen;
#[path = "../../crates/exact-deflate/tests/support/mod.rs"]
mod deflate;
#[path = "../common/lab.rs"]
mod lab;
#[path = "../common/records.rs"]
mod records;

mod avro_corpus;
mod avro_walk;
mod codec_properties;
mod codec_speed;
mod columnar;
mod deflate_encoders;
mod encoder_corpus;
mod encoder_docs;
mod encoder_golden;
mod encoder_peers;
mod filtering;
mod locating;
mod ranges;
mod resolve;
