//! Threads: pools for computing, helpers for input and output, and the gates that bound what waits between them.

mod gate;
mod threads;

pub(crate) use gate::Gate;
pub(crate) use threads::{pool, spawn, spawn_many};
