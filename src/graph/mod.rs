//! What hangs on snapshots: which chunks they need, what of them is lost, and what their chunks take in the repository.

mod followed;
mod loss;
mod report;
mod usage;

pub use loss::Lost;

pub(crate) use followed::{FollowedAll, follow_all};
pub(crate) use loss::{BadFrame, Closure, Followed};
pub(crate) use usage::{StoredChunk, Usage};

/// How a frame is encoded.
pub use crate::pack::Encoding;
