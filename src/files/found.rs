//! What a walk finds, and what it has to say of paths that it cannot look at.

use std::path::PathBuf;

use super::stat::FileStat;
use crate::error::Error;
use crate::progress::Warning;
use crate::snapshot::entry::FileEntry;

/// Something that is to be saved.
#[derive(Debug, Clone)]
pub struct SourceFile {
    /// Its path in the manifest (also in `entry`).
    pub tree_path: Vec<u8>,
    /// Where it lies, absolute. May be longer than the system takes at once: open it with
    /// [`open_for_reading`](super::open_for_reading).
    pub fs_path: PathBuf,
    /// Its row; `content`, `recipe`, `hard_link` and `avro` are filled in when it is read.
    pub entry: FileEntry,
    /// How many names the file has on its file system.
    pub nlink: u64,
    /// Its file system. With `entry.inode` this says which names are of one file.
    pub dev: u64,
    /// It is a directory that was not asked for, and only leads to a root.
    pub is_ancestor_of_root: bool,
}

impl SourceFile {
    /// Its stat, to be compared with that of the open file.
    pub fn stat(&self) -> FileStat {
        let FileEntry { size, mtime, ctime, inode, .. } = self.entry;
        FileStat { size, mtime, ctime, inode, dev: self.dev }
    }
}

/// Something that could not be looked at. The walk skips it and goes on.
#[derive(Debug)]
pub struct Problem {
    /// Its path in the manifest.
    pub tree_path: Vec<u8>,
    /// Where it lies.
    pub path: PathBuf,
    /// What is wrong.
    pub trouble: Trouble,
}

/// What the walk has to say of a path.
#[derive(Debug)]
pub enum Trouble {
    /// It could not be read: it is missing in the snapshot.
    Unread(Error),
    /// It was removed just now. Nothing is missing in the snapshot for it.
    Gone(Error),
    /// It is saved, and not as one might expect.
    Note(String),
}

impl Problem {
    /// Whether something is missing in the snapshot for it.
    pub fn is_incomplete(&self) -> bool {
        matches!(self.trouble, Trouble::Unread(_))
    }

    /// How it is reported.
    pub fn warning(&self) -> Warning {
        let message = match &self.trouble {
            // The path is reported beside the message.
            Trouble::Unread(Error::Io { action, source, .. }) | Trouble::Gone(Error::Io { action, source, .. }) => {
                format!("{action}: {source}")
            }
            Trouble::Unread(error) | Trouble::Gone(error) => error.to_string(),
            Trouble::Note(note) => note.clone(),
        };
        Warning { path: self.path.display().to_string(), message, incomplete: self.is_incomplete() }
    }
}
