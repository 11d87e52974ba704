//! The library on real folders: snapshots, restores, pruning, repair, copies, keys.

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
#[path = "../common/faults.rs"]
mod faults;
#[path = "../common/hooked.rs"]
mod hooked;
#[path = "../common/iceberg.rs"]
mod iceberg;
#[path = "../common/interrupted.rs"]
mod interrupted;
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
#[path = "../common/sim_client.rs"]
mod sim_client;
#[path = "../common/sim_store.rs"]
mod sim_store;
#[path = "../common/small.rs"]
mod small;
#[path = "../common/trouble.rs"]
mod trouble;

mod backend_conformance;
mod cache;
mod checkpoints;
mod copy;
mod corpus;
mod delta_chains;
mod delta_nights;
mod erase;
mod files;
mod full_store;
mod golden;
mod golden_encoders;
mod golden_erased;
mod hostile;
mod init_races;
mod optimize;
mod optimize_races;
mod parity;
mod parts;
mod properties;
mod prune;
mod prune_places;
mod prune_races;
mod prune_scale;
mod ranges;
mod readers;
mod record_diff;
mod remote;
mod remote_faults;
mod repair;
mod repair_judges;
mod repair_payloads;
mod replace;
mod restore_target;
mod rotate;
mod round_trips;
mod source_tree;
mod storage_kinds;
