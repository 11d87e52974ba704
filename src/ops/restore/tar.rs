//! What stands in a tar archive beside the content of files: headers in the POSIX format (pax), as plain bytes.

use crate::error::{Error, Result};
use crate::snapshot::entry::{Device, EntryKind, FileEntry};

/// Archives are made of blocks of this size.
const BLOCK: usize = 512;

/// Two empty blocks end an archive.
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// How an entry appears in the archive.
pub(super) enum Shape<'a> {
    /// A file with its content, or what the row stands for where it is none.
    Itself,
    /// Another name of a file that is in the archive under this path.
    LinkTo(&'a [u8]),
}

/// What comes before the content of an entry.
///
/// # Errors
/// If something about it cannot be said in a header.
pub(super) fn header(entry: &FileEntry, shape: &Shape<'_>) -> Result<Vec<u8>> {
    let mut path = entry.path.clone();
    if entry.kind == EntryKind::Directory {
        path.push(b'/');
    }
    let (kind, link, device) = match (shape, &entry.kind) {
        (Shape::LinkTo(first), _) => (b'1', *first, None),
        (Shape::Itself, EntryKind::File) => (b'0', &[][..], None),
        (Shape::Itself, EntryKind::Directory) => (b'5', &[][..], None),
        (Shape::Itself, EntryKind::Symlink(target)) => (b'2', &target[..], None),
        (Shape::Itself, EntryKind::Fifo) => (b'6', &[][..], None),
        (Shape::Itself, EntryKind::CharDevice(device)) => (b'3', &[][..], Some(*device)),
        (Shape::Itself, EntryKind::BlockDevice(device)) => (b'4', &[][..], Some(*device)),
    };
    let size = if kind == b'0' { entry.size } else { 0 };
    let mut records = Vec::new();
    let mut long = |name: &[u8], value: &[u8]| record(&mut records, name, value);
    if path.len() > 100 {
        long(b"path", &path);
    }
    if link.len() > 100 {
        long(b"linkpath", link);
    }
    if size > MOST_OCTAL {
        long(b"size", size.to_string().as_bytes());
    }
    for (name, number) in [(&b"uid"[..], entry.uid), (b"gid", entry.gid)] {
        if number > 0o7_777_777 {
            long(name, number.to_string().as_bytes());
        }
    }
    for (name, value) in [(&b"uname"[..], &entry.user), (b"gname", &entry.group)] {
        if let Some(value) = value.as_ref().filter(|value| value.len() > 31) {
            long(name, value.as_bytes());
        }
    }
    let seconds = u64::try_from(entry.mtime.seconds).unwrap_or(0);
    if entry.mtime.nanos > 0 || entry.mtime.seconds < 0 || seconds > MOST_OCTAL {
        long(b"mtime", decimal(entry.mtime.nanoseconds()).as_bytes());
    }
    for xattr in &entry.xattrs {
        long(&[b"SCHILY.xattr.", &xattr.name[..]].concat(), &xattr.value);
    }
    let mut blocks = Vec::new();
    if !records.is_empty() {
        let extended = FileEntry { path: b"PaxHeader".to_vec(), size: records.len() as u64, ..FileEntry::nothing() };
        blocks.extend_from_slice(&block(&extended, &extended.path, b'x', &[], extended.size, None)?);
        blocks.extend_from_slice(&records);
        blocks.extend_from_slice(padding(extended.size));
    }
    blocks.extend_from_slice(&block(entry, &path, kind, link, size, device)?);
    Ok(blocks)
}

/// What follows the content of a file of this size.
pub(super) fn padding(size: u64) -> &'static [u8] {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { &[] } else { &END[..BLOCK - over] }
}

/// The largest number of eleven octal digits.
const MOST_OCTAL: u64 = 0o77_777_777_777;

fn block(
    entry: &FileEntry,
    path: &[u8],
    kind: u8,
    link: &[u8],
    size: u64,
    device: Option<Device>,
) -> Result<[u8; BLOCK]> {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, bytes: &[u8], most: usize| {
        let bytes = &bytes[..bytes.len().min(most)];
        block[at..at + bytes.len()].copy_from_slice(bytes);
    };
    // What does not fit stands in the extended header, and readers pass over what is here.
    let octal = |number: u64, digits: usize| format!("{:0digits$o}", number.min((1 << (3 * digits)) - 1));
    put(0, path, 100);
    put(100, octal(u64::from(entry.mode & 0o7777), 7).as_bytes(), 7);
    put(108, octal(u64::from(entry.uid), 7).as_bytes(), 7);
    put(116, octal(u64::from(entry.gid), 7).as_bytes(), 7);
    put(124, octal(size, 11).as_bytes(), 11);
    put(136, octal(u64::try_from(entry.mtime.seconds).unwrap_or(0), 11).as_bytes(), 11);
    put(148, b"        ", 8);
    put(156, &[kind], 1);
    put(157, link, 100);
    put(257, b"ustar\x0000", 8);
    put(265, entry.user.as_deref().unwrap_or_default().as_bytes(), 31);
    put(297, entry.group.as_deref().unwrap_or_default().as_bytes(), 31);
    if let Some(Device { major, minor }) = device {
        const LIMIT: u32 = 0o7_777_777;
        if major.max(minor) > LIMIT {
            let what = format!("the device number of {} in a tar archive", String::from_utf8_lossy(path));
            return Err(Error::LimitExceeded { what, value: major.max(minor).into(), limit: LIMIT.into() });
        }
        put(329, octal(u64::from(major), 7).as_bytes(), 7);
        put(337, octal(u64::from(minor), 7).as_bytes(), 7);
    }
    let sum: u64 = block.iter().map(|byte| u64::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    Ok(block)
}

/// A record of an extended header: its own length, a name and a value.
fn record(records: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let rest = name.len() + value.len() + 3;
    // The length counts its own digits.
    let digits = (1..).find(|digits| (rest + digits).to_string().len() <= *digits).unwrap_or(1);
    let length = rest + digits;
    records.extend_from_slice(format!("{length:0digits$} ").as_bytes());
    records.extend_from_slice(name);
    records.push(b'=');
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// Seconds with their fraction.
fn decimal(nanoseconds: i128) -> String {
    let (sign, nanoseconds) = (if nanoseconds < 0 { "-" } else { "" }, nanoseconds.unsigned_abs());
    format!("{sign}{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::entry::Time;

    fn entry(path: &str) -> FileEntry {
        FileEntry { path: path.into(), mode: 0o644, size: 3, ..FileEntry::nothing() }
    }

    #[test]
    fn a_plain_file_has_one_block() {
        let made = header(&entry("a/b"), &Shape::Itself).unwrap();
        assert_eq!(made.len(), BLOCK);
        assert_eq!((&made[..4], &made[124..135], made[156]), (&b"a/b\0"[..], &b"00000000003"[..], b'0'));
        let sum: u64 = made
            .iter()
            .enumerate()
            .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { u64::from(*byte) })
            .sum();
        assert_eq!(&made[148..156], format!("{sum:06o}\0 ").as_bytes());
        assert_eq!((padding(0).len(), padding(3).len(), padding(512).len(), padding(513).len()), (0, 509, 0, 511));
    }

    #[test]
    fn what_is_long_or_fine_stands_in_an_extended_header() {
        let long = FileEntry { mtime: Time { seconds: -2, nanos: 500_000_000 }, ..entry(&"x".repeat(300)) };
        let made = header(&long, &Shape::LinkTo(b"first")).unwrap();
        assert_eq!((made[156], made[made.len() - BLOCK + 156]), (b'x', b'1'));
        let text = String::from_utf8_lossy(&made[BLOCK..]);
        assert!(text.contains(&format!("310 path={}\n", "x".repeat(300))), "{text}");
        assert!(text.contains("20 mtime=-1.500000000\n") || text.contains("mtime=-1.500000000\n"), "{text}");
    }

    #[test]
    fn the_length_of_a_record_counts_its_own_digits() {
        for length in [1, 2, 3, 4, 5, 90, 91, 92, 93, 990, 9990] {
            let mut records = Vec::new();
            record(&mut records, b"n", &vec![b'v'; length]);
            let said: usize = String::from_utf8_lossy(&records).split(' ').next().unwrap().parse().unwrap();
            assert_eq!(said, records.len());
        }
    }
}
