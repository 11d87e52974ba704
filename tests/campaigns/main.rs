//! Damage, crashes, interleavings and long lives: small by default, with a size parameter each (`docs/testing.md`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, clippy::print_stderr)]

#[path = "../common/avro_gen.rs"]
mod avro_gen;
#[cfg(feature = "object-store")]
#[path = "../common/bucket.rs"]
mod bucket;
#[path = "../common/cli.rs"]
mod cli;
#[path = "../common/faults.rs"]
mod faults;
#[path = "../common/hooked.rs"]
mod hooked;
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
#[path = "../common/sim_life.rs"]
mod sim_life;
#[path = "../common/sim_store.rs"]
mod sim_store;
#[path = "../common/trouble.rs"]
mod trouble;

mod bit_flips;
mod bit_rot;
mod crash;
mod crash_points;
mod flipped_sources;
mod init;
mod kill;
#[cfg(feature = "object-store")]
mod many_hosts;
mod processes;
mod protocol_model;
#[cfg(feature = "object-store")]
mod remote_faults;
mod shards;
mod sim_cache;
mod sim_fs;
mod sim_interleavings;
mod soak;
