//! The head of the log as this machine saw it last. It lies in the state folder, not in the cache: a storage that puts
//! an older state of a repository back is noticed by it.

use std::path::Path;

use crate::error::{IoContext, Result};
use crate::id::{hex, unhex};

/// The remembered head: number and hash of an entry. None if nothing (readable) is remembered.
pub(super) fn read(path: &Path) -> Option<(u64, [u8; 32])> {
    let text = std::fs::read_to_string(path).ok()?;
    let (sequence, hash) = text.trim().split_once(' ')?;
    let mut bytes = [0; 32];
    unhex(hash, &mut bytes).then_some((sequence.parse().ok()?, bytes))
}

/// Remembers a head, instead of the one before.
pub(super) fn write(path: &Path, (sequence, hash): (u64, [u8; 32])) -> Result<()> {
    replace(path, format!("{sequence} {}\n", hex(&hash)).as_bytes())
}

/// Puts a file in the place of one of the same name, all at once.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).when("create", folder)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    std::fs::write(&new, bytes).when("write", &new)?;
    std::fs::rename(&new, path).when("replace", path)
}
