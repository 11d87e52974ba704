//! One row of a manifest: a file, directory or other thing in a snapshot.
//!
//! A row holds nothing that belongs to one snapshot (no ordinals, no device numbers), so that the rows of an unchanged
//! region are the same bytes night after night.

use std::cmp::Ordering;

pub use crate::recipe::AvroState;

use crate::id::ContentHash;

/// A row of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Where it stood: components parted by `/`, no leading `/`, no empty, `.` or `..` component. Raw bytes, since names
    /// need not be UTF-8.
    pub path: Vec<u8>,
    /// File, directory, link, device or pipe.
    pub kind: EntryKind,
    /// Permission, set-id and sticky bits (`07777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Name of the owner where the system knew one.
    pub user: Option<String>,
    /// Name of the group where the system knew one.
    pub group: Option<String>,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or metadata. For change detection only.
    pub ctime: Time,
    /// The inode number. For change detection only.
    pub inode: u64,
    /// Length in bytes of a regular file, else 0.
    pub size: u64,
    /// Whether the file was changed so shortly before it was read (2 s) that an unchanged stat next time proves nothing.
    pub racy: bool,
    /// Whether the file had holes.
    pub sparse: bool,
    /// The path of the first name of the same file in this snapshot, where this is another (hard) link to it. Such a row
    /// carries no content of its own.
    pub hard_link: Option<Vec<u8>>,
    /// Extended attributes (ACLs are among them), sorted by name.
    pub xattrs: Vec<Xattr>,
    /// BLAKE3 of the content of a regular file.
    pub content: Option<ContentHash>,
    /// How to rebuild a regular file (`docs/format.md`, "Recipe"); empty for anything else.
    pub recipe: Vec<u8>,
    /// What was learned about an Avro container; `None` for any other file.
    pub avro: Option<AvroFacts>,
    /// What an object store said about the source; `None` for files of a file system.
    pub origin: Option<Origin>,
    /// When the content was changed on purpose after it was saved, nanoseconds since 1970 (UTC). Such a file does not come
    /// back as it was saved.
    pub altered: Option<i64>,
    /// What later versions say about it. Names that are not known are kept and have no effect.
    pub properties: Vec<Property>,
}

impl FileEntry {
    /// The last component of its path.
    pub fn name(&self) -> &[u8] {
        self.path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
    }

    /// The entry of a folder that has no row: it was not saved itself, but for something in it.
    pub fn implied_folder(path: &[u8]) -> Self {
        Self { path: path.to_vec(), kind: EntryKind::Directory, mode: 0o755, ..Self::nothing() }
    }

    /// A row of an empty regular file without a name.
    pub fn nothing() -> Self {
        Self {
            path: Vec::new(),
            kind: EntryKind::File,
            mode: 0,
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            mtime: Time::EPOCH,
            ctime: Time::EPOCH,
            inode: 0,
            size: 0,
            racy: false,
            sparse: false,
            hard_link: None,
            xattrs: Vec::new(),
            content: None,
            recipe: Vec::new(),
            avro: None,
            origin: None,
            altered: None,
            properties: Vec::new(),
        }
    }
}

/// Something further about a row or a root (`docs/format.md`, "Properties"): the place for what later versions add.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Property {
    /// What it says.
    pub name: String,
    /// Its value, in a form that the name decides.
    pub value: Vec<u8>,
}

/// A moment with the full range of a file system's times: ext4 reaches the year 2446, tmpfs and XFS go further than 64 bits
/// of nanoseconds do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// Seconds since 1970-01-01 UTC, rounded down.
    pub seconds: i64,
    /// Nanoseconds after that second, below 10^9.
    pub nanos: u32,
}

impl Time {
    /// 1970-01-01 UTC.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };

    /// From nanoseconds since 1970.
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        let (seconds, nanos) = (nanoseconds.div_euclid(1_000_000_000), nanoseconds.rem_euclid(1_000_000_000));
        Self { seconds, nanos: u32::try_from(nanos).unwrap_or(0) }
    }

    /// Nanoseconds since 1970. More than an `i64` holds, for times before 1677 or after 2262.
    pub fn nanoseconds(self) -> i128 {
        i128::from(self.seconds) * 1_000_000_000 + i128::from(self.nanos)
    }
}

/// What an object store says about an object that was saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its entity tag, quotes included.
    pub tag: String,
    /// Its version, where the bucket keeps versions.
    pub version: Option<String>,
}

/// What a row stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and what it points to.
    Symlink(Vec<u8>),
    /// A named pipe.
    Fifo,
    /// A character device.
    CharDevice(Device),
    /// A block device.
    BlockDevice(Device),
}

/// The number of a device node (not of the file system it lies on).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// Number of the driver.
    pub major: u32,
    /// Which device of that driver.
    pub minor: u32,
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Xattr {
    /// Its name, `user.something`.
    pub name: Vec<u8>,
    /// Its value, as raw bytes.
    pub value: Vec<u8>,
}

/// What walking a container taught about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AvroFacts {
    /// How sound it is.
    pub state: AvroState,
    /// Its codec as its header names it; `null` where it names none.
    pub codec: String,
    /// CRC-64-AVRO of its schema's parsing canonical form, 0 where the schema cannot be understood.
    pub fingerprint: u64,
    /// Sound blocks.
    pub blocks: u64,
    /// Records that the headers of these blocks declare.
    pub declared_records: u64,
    /// Records that were found in them by walking the schema; blocks that were not looked into count nothing.
    pub verified_records: u64,
    /// The encoder that reproduces most of the blocks, empty where payloads are kept as they are.
    pub encoder: String,
    /// Blocks that an encoder reproduces exactly.
    pub blocks_exact: u64,
    /// Blocks that an encoder reproduces with corrections.
    pub blocks_corrected: u64,
    /// Blocks kept as their payload.
    pub blocks_raw: u64,
    /// Why blocks are kept as their payload, in words for people; empty where none is, or where nothing is known.
    pub raw_reason: String,
    /// Bytes at the end of the file, after the last marker, that are no part of a block.
    pub stray_bytes: u64,
}

/// Whether a path of a manifest lies below another one.
pub fn is_below(path: &[u8], above: &[u8]) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"))
}

/// The order of rows in a manifest: component by component, so that a directory stands right before what is in it.
pub fn path_order(a: &[u8], b: &[u8]) -> Ordering {
    // No component holds a NUL, so '/' as the smallest byte makes the order of components.
    let key = |c: &u8| if *c == b'/' { 0 } else { *c };
    a.iter().map(key).cmp(b.iter().map(key))
}

impl EntryKind {
    /// A short name, as restic's JSON has it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "dir",
            Self::Symlink(_) => "symlink",
            Self::Fifo => "fifo",
            Self::CharDevice(_) => "chardev",
            Self::BlockDevice(_) => "dev",
        }
    }
}

impl FileEntry {
    /// Kind, permissions and special bits, as `ls -l` writes them.
    pub fn permissions(&self) -> String {
        let kind = match self.kind {
            EntryKind::File => '-',
            EntryKind::Directory => 'd',
            EntryKind::Symlink(_) => 'l',
            EntryKind::Fifo => 'p',
            EntryKind::CharDevice(_) => 'c',
            EntryKind::BlockDevice(_) => 'b',
        };
        let mut text = String::from(kind);
        for (shift, special, with_x, without) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
            let bits = self.mode >> shift;
            text.push(if bits & 4 != 0 { 'r' } else { '-' });
            text.push(if bits & 2 != 0 { 'w' } else { '-' });
            text.push(match (self.mode & special != 0, bits & 1 != 0) {
                (true, true) => with_x,
                (true, false) => without,
                (false, true) => 'x',
                (false, false) => '-',
            });
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_a_directory_stands_right_after_it() {
        let mut paths = vec!["a.b", "a/x", "a", "a/x/y", "a-", "b", "a/x.y", "a/x/z"];
        paths.sort_by(|a, b| path_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(paths, ["a", "a/x", "a/x/y", "a/x/z", "a/x.y", "a-", "a.b", "b"]);
    }
}
