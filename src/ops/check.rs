//! `check`: verifies the repository. The engine is [`crate::integrity`].

pub use crate::graph::Lost;
pub use crate::integrity::{CheckOptions, CheckReport, DataSubset, check, check_each};
