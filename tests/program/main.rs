//! Black-box stories through the program: what users see.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/avro_gen.rs"]
mod avro_gen;
#[cfg(feature = "object-store")]
#[path = "../common/bucket.rs"]
mod bucket;
#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/mod.rs"]
mod common;
#[path = "../common/containers.rs"]
mod containers;
#[cfg(feature = "serve")]
#[path = "../common/http.rs"]
mod http;
#[path = "../common/iceberg.rs"]
mod iceberg;
#[path = "../common/lab.rs"]
mod lab;
#[cfg(feature = "object-store")]
#[path = "../common/listen.rs"]
mod listen;
#[path = "../common/noise.rs"]
mod noise;
#[cfg(feature = "object-store")]
#[path = "../common/proxy.rs"]
mod proxy;
#[cfg(feature = "object-store")]
#[path = "../common/servers.rs"]
mod servers;

mod avro;
mod avro_readers;
mod avro_soundness;
mod bounded_memory;
mod buckets;
mod cat_schemas;
mod copy;
mod create_sources;
mod drill;
mod encoders;
mod erase;
mod expect;
mod first_steps;
mod forget;
mod full_disk;
mod habits;
mod iceberg_readers;
mod iceberg_tables;
#[cfg(feature = "object-store")]
mod immutability;
mod interrupt;
mod json;
mod lines;
mod manifest_readers;
#[cfg(feature = "mount")]
mod mount;
mod parity;
mod prune;
#[cfg(feature = "serve")]
mod query_clients;
mod record_diff;
mod remote;
mod repair;
mod restore_delete;
mod restore_metadata;
mod restore_property;
mod rotate;
#[cfg(feature = "serve")]
mod serve;
mod shards;
mod stats;
mod stories;
mod stuck;
mod tables;
mod usage;
