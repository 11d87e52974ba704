//! SQLite files that hold what can be made again at any time. They can be deleted, stale or damaged without harm.
//!
//! Several processes use one file at once: SQLite's write-ahead log lets readers go on beside one writer, and writers take
//! turns. What must not happen beside other users of the file (making it again, dropping what somebody is still writing) is
//! done only by a process that is alone with it. Beside each file lies an empty one, `NAME-users`: every process that uses
//! the file holds a shared lock on it, so a process with the exclusive lock is alone.

mod file;

pub(crate) use file::{CacheFile, Layout};
