//! What happens to a file that is there already when it is to be restored.

use rustix::fs::FileType;

use super::stat::Seen;
use crate::snapshot::entry::{EntryKind, FileEntry, Time};

/// When what is there already is replaced. Directories are never replaced, their metadata always is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Overwrite {
    /// Always.
    #[default]
    Always,
    /// If its type, size or modification time is another than in the snapshot. Mode, owner and attributes of a file that is
    /// not replaced are set as in the snapshot.
    IfChanged,
    /// If the snapshot's modification time is later.
    IfNewer,
    /// Never.
    Never,
}

/// What there is already, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Existing {
    /// Whether it is a regular file.
    pub is_file: bool,
    /// Whether it is a directory.
    pub is_folder: bool,
    /// Whether it is a symbolic link.
    pub is_link: bool,
    /// Its length in bytes.
    pub size: u64,
    /// Last change of its content.
    pub mtime: Time,
}

impl From<&Seen> for Existing {
    fn from(seen: &Seen) -> Self {
        Self {
            is_file: seen.kind == FileType::RegularFile,
            is_folder: seen.kind == FileType::Directory,
            is_link: seen.kind == FileType::Symlink,
            size: seen.stat.size,
            mtime: seen.stat.mtime,
        }
    }
}

impl Overwrite {
    /// Whether the entry is to be written where `existing` is.
    pub fn writes(self, existing: Option<&Existing>, entry: &FileEntry) -> bool {
        let Some(existing) = existing else { return true };
        match self {
            Self::Always => true,
            // Only for regular files does the same size and time speak for the same content.
            Self::IfChanged => {
                entry.kind != EntryKind::File
                    || !existing.is_file
                    || (existing.size, existing.mtime) != (entry.size, entry.mtime)
            }
            Self::IfNewer => entry.mtime > existing.mtime,
            Self::Never => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_policy_in_every_case() {
        use Overwrite::{Always, IfChanged, IfNewer, Never};
        let mut entry = FileEntry {
            path: b"x".to_vec(),
            kind: EntryKind::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            user: None,
            group: None,
            mtime: Time::from_nanoseconds(100),
            ctime: Time::from_nanoseconds(100),
            inode: 1,
            size: 10,
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
        };
        let table = |entry: &FileEntry, existing: Option<Existing>| {
            [Always, IfChanged, IfNewer, Never].map(|policy| policy.writes(existing.as_ref(), entry))
        };
        let file = |size, mtime| {
            Some(Existing {
                is_file: true,
                is_folder: false,
                is_link: false,
                size,
                mtime: Time::from_nanoseconds(mtime),
            })
        };
        let other = |size, mtime| {
            Some(Existing {
                is_file: false,
                is_folder: false,
                is_link: false,
                size,
                mtime: Time::from_nanoseconds(mtime),
            })
        };
        assert_eq!(table(&entry, None), [true, true, true, true]);
        assert_eq!(table(&entry, file(10, 100)), [true, false, false, false]);
        assert_eq!(table(&entry, file(11, 100)), [true, true, false, false]);
        assert_eq!(table(&entry, file(10, 101)), [true, true, false, false]);
        assert_eq!(table(&entry, file(10, 99)), [true, true, true, false]);
        assert_eq!(table(&entry, other(10, 100)), [true, true, false, false]);
        entry.kind = EntryKind::Symlink(b"to".to_vec());
        assert_eq!(table(&entry, other(0, 100)), [true, true, false, false]);
        assert_eq!(table(&entry, file(10, 99)), [true, true, true, false]);
    }
}
