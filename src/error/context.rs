//! Adds to the result of a lower layer what it was about.

use std::path::Path;

use super::{Error, Result, Subject};
use crate::wire::Malformed;

/// Adds to a result what it was about.
pub trait Context<T> {
    /// Says which object was being read.
    fn in_object(self, name: impl Into<Subject>) -> Result<T>;
}

impl<T> Context<T> for std::result::Result<T, Malformed> {
    fn in_object(self, name: impl Into<Subject>) -> Result<T> {
        self.map_err(|malformed| Error::damaged(name, malformed))
    }
}

/// Adds the path to an error of the operating system.
pub trait IoContext<T> {
    /// Says what was being done with which file.
    fn when(self, action: &'static str, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> IoContext<T> for std::io::Result<T> {
    fn when(self, action: &'static str, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::io(action, path, source))
    }
}
