//! Small files that are read whole, to find out from them what is to be saved.

use std::io::Read;
use std::path::Path;

use super::open::open_for_reading;
use crate::error::{Error, IoContext, Result};

/// All bytes of a regular file, of which there must be no more than `limit`.
///
/// # Errors
/// [`Error::Io`] if it cannot be read, also where it is not there ([`is_gone`]), and if it is longer.
pub fn read_whole(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = open_for_reading(path)?;
    file.take(limit + 1).read_to_end(&mut bytes).when("read", path)?;
    match bytes.len() as u64 <= limit {
        true => Ok(bytes),
        false => Err(Error::io("read", path, std::io::Error::other(format!("it has more than {limit} bytes")))),
    }
}

/// Whether an error says that a file is not there.
pub fn is_gone(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound)
}

/// Whether there is a regular file at this path.
pub fn is_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|found| found.is_file())
}

/// Whether there is a directory at this path, or a link to one.
pub fn is_directory(path: &Path) -> bool {
    path.is_dir()
}

/// The names in a directory that are texts, in order.
///
/// # Errors
/// If it cannot be listed.
pub fn names_in(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).when("list", folder)? {
        names.extend(entry.when("list", folder)?.file_name().into_string());
    }
    names.sort_unstable();
    Ok(names)
}
