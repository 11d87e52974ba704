//! The head of the log as this machine saw it last. It lies in the state folder, not in the cache: a storage that puts
//! an older state of a repository back is noticed by it.

use std::fs::{File, Permissions};
use std::io::{self, Write};
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

/// Puts a file in the place of one of the same name, all at once.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).when("create", folder)?;
    }
    let new = path.with_extension(format!("{}.new", std::process::id()));
    write_private(&new, bytes).when("write", &new)?;
    std::fs::rename(&new, path).when("replace", path)
}

/// Writes a file that nobody else can read, whatever the umask, not even for a moment.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What another process of this number left is not written into: it may be a link, or open to others.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    // The umask may have taken away more than others' rights.
    file.set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)
}
