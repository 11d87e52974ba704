//! The head of the log as this machine saw it last. It lies in the state folder, not in the cache: a storage that puts
//! an older state of a repository back is noticed by it.

use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
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

/// Puts a file in the place of one of the same name, all at once. Whatever the umask, only its owner may read it.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).when("create", folder)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    let write = || {
        let options = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).to_owned();
        let mut file = options.open(&new)?;
        // One that a killed process of the same number left may have another mode, and the umask may take more away.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)
    };
    write().when("write", &new)?;
    std::fs::rename(&new, path).when("replace", path)
}
