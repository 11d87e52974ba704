//! Extended attributes. ACLs are among them (`system.posix_acl_*`), and so are file capabilities.

use std::fs::File;
use std::path::Path;

use rustix::io::{Errno, Result};

use crate::snapshot::entry::Xattr;

/// The name of an attribute that could not be read, and why.
pub(super) type Unread = (Vec<u8>, Errno);

/// The attributes of a file, sorted by name; none where the file system has no such thing. Also says which of them could
/// not be read. The attributes of a link are its own, unless it is to be followed.
pub(super) fn read(path: &Path, follow: bool) -> Result<(Vec<Xattr>, Vec<Unread>)> {
    match follow {
        true => collected(
            |buffer| rustix::fs::listxattr(path, buffer),
            |name, buffer| rustix::fs::getxattr(path, name, buffer),
        ),
        false => collected(
            |buffer| rustix::fs::llistxattr(path, buffer),
            |name, buffer| rustix::fs::lgetxattr(path, name, buffer),
        ),
    }
}

/// The attributes of an open file.
pub(super) fn read_open(file: &File) -> (Vec<Xattr>, Vec<Unread>) {
    let read = collected(
        |buffer| rustix::fs::flistxattr(file, buffer),
        |name, buffer| rustix::fs::fgetxattr(file, name, buffer),
    );
    read.unwrap_or_else(|error| (Vec::new(), vec![(b"extended attributes".to_vec(), error)]))
}

fn collected(
    list: impl Fn(&mut [u8]) -> Result<usize>,
    get: impl Fn(&[u8], &mut [u8]) -> Result<usize>,
) -> Result<(Vec<Xattr>, Vec<Unread>)> {
    let names = match filled(list) {
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Default::default()),
        names => names?,
    };
    let mut xattrs = Vec::new();
    let mut failed = Vec::new();
    for name in split(&names) {
        match filled(|buffer| get(name, buffer)) {
            Ok(value) => xattrs.push(Xattr { name: name.to_vec(), value }),
            // Removed since it was listed, or an ACL that says no more than the mode.
            Err(Errno::NODATA) => {}
            Err(error) => failed.push((name.to_vec(), error)),
        }
    }
    xattrs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((xattrs, failed))
}

/// The names in a list of them, each of which ends with a NUL.
pub(super) fn split(names: &[u8]) -> impl Iterator<Item = &[u8]> {
    names.split(|byte| *byte == 0).filter(|name| !name.is_empty())
}

/// Calls with a larger buffer until it suffices. The system's own bound is 64 KiB for a value.
pub(super) fn filled(mut call: impl FnMut(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    // Most files have nothing to say, and this is asked of each.
    let mut small = [0; 256];
    match call(&mut small) {
        Ok(length) => return Ok(small.get(..length).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {}
        Err(error) => return Err(error),
    }
    let mut buffer = vec![0; 2048];
    loop {
        match call(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if buffer.len() < 1 << 20 => buffer.resize(buffer.len() * 8, 0),
            Err(error) => return Err(error),
        }
    }
}
