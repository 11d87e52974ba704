//! Attributes of files as the kernel wants them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo};

use super::tree::Node;
use crate::error::Result;
use crate::live::Live;
use crate::recipe::View;
use crate::snapshot::entry::{EntryKind, FileEntry, Time};

/// The size of the blocks that sizes on disk are counted in.
const BLOCK: u64 = 512;

/// The attributes of a node.
///
/// # Errors
/// Errors of reading how the blocks of a file lie, which the size of its plain view follows from.
pub(super) fn of(live: &Live, number: u64, node: &Node) -> Result<FileAttr> {
    Ok(match node {
        Node::Entry(snapshot, view, Some(entry)) => {
            let size = match (&entry.kind, view) {
                (EntryKind::File, View::Plain) => live.plain(snapshot, entry)?.0,
                (EntryKind::Symlink(target), _) => target.len() as u64,
                _ => entry.size,
            };
            of_entry(number, entry, size)
        }
        Node::Entry(snapshot, ..) | Node::Views(snapshot) => {
            folder(number, moment(Time::from_nanoseconds(snapshot.root().time)))
        }
        _ => folder(number, UNIX_EPOCH),
    })
}

fn of_entry(number: u64, entry: &FileEntry, size: u64) -> FileAttr {
    let (mtime, ctime) = (moment(entry.mtime), moment(entry.ctime));
    let links = if entry.hard_link.is_some() || entry.kind == EntryKind::Directory { 2 } else { 1 };
    FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(BLOCK),
        atime: mtime,
        mtime,
        ctime,
        crtime: mtime,
        kind: kind(&entry.kind),
        perm: (entry.mode & 0o7777) as u16,
        nlink: links,
        uid: entry.uid,
        gid: entry.gid,
        rdev: device(&entry.kind),
        blksize: 4096,
        flags: 0,
    }
}

fn folder(number: u64, time: SystemTime) -> FileAttr {
    FileAttr {
        ino: INodeNo(number),
        size: 0,
        blocks: 0,
        atime: time,
        mtime: time,
        ctime: time,
        crtime: time,
        kind: FileType::Directory,
        perm: 0o555,
        nlink: 2,
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    }
}

pub(super) fn kind(kind: &EntryKind) -> FileType {
    match kind {
        EntryKind::File => FileType::RegularFile,
        EntryKind::Directory => FileType::Directory,
        EntryKind::Symlink(_) => FileType::Symlink,
        EntryKind::Fifo => FileType::NamedPipe,
        EntryKind::CharDevice(_) => FileType::CharDevice,
        EntryKind::BlockDevice(_) => FileType::BlockDevice,
    }
}

/// The number of a device in the 32 bits that the kernel's protocol has for it: those of `dev_t` of 32 bits.
fn device(kind: &EntryKind) -> u32 {
    match kind {
        EntryKind::CharDevice(device) | EntryKind::BlockDevice(device) => {
            (device.minor & 0xff) | ((device.major & 0xfff) << 8) | ((device.minor & 0xfff00) << 12)
        }
        _ => 0,
    }
}

/// A time as the standard library has it; one that it cannot hold is 1970.
fn moment(time: Time) -> SystemTime {
    let seconds = Duration::from_secs(time.seconds.unsigned_abs());
    let whole = match time.seconds < 0 {
        true => UNIX_EPOCH.checked_sub(seconds),
        false => UNIX_EPOCH.checked_add(seconds),
    };
    whole.and_then(|whole| whole.checked_add(Duration::from_nanos(u64::from(time.nanos)))).unwrap_or(UNIX_EPOCH)
}
