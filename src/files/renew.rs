//! Mode, owner and attributes of a file that is there already with the content of the snapshot.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::attributes::{Attributes, Thing};
use super::beneath::{check_path, split_parent};
use super::policy::{Existing, Overwrite};
use super::stat::Seen;
use super::target::{HOLD, Target};
use crate::error::Result;
use crate::progress::Progress;
use crate::snapshot::entry::{EntryKind, FileEntry};

/// What of a file's metadata differs from its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    /// Nothing that this process could set.
    Nothing,
    /// Something that can be set on the file that is there.
    Settable,
    /// Something that must not be set on it: it has other names, perhaps outside of the target, or keeps rights that
    /// were not to be restored. A new file takes its place.
    NewFile,
}

impl Target {
    /// Whether the entry is to be written at this path by the chosen [`Overwrite`]. To be asked before anything but a
    /// directory is made.
    ///
    /// # Errors
    /// [`Error::UnsafePath`](crate::error::Error::UnsafePath) for a path that leads elsewhere, and those of the system.
    pub fn wants(&self, path: &[u8], entry: &FileEntry) -> Result<bool> {
        self.wants_by(self.overwrite(), path, entry)
    }

    pub(super) fn wants_by(&self, policy: Overwrite, path: &[u8], entry: &FileEntry) -> Result<bool> {
        if policy == Overwrite::Always {
            return check_path(path).map(|()| true);
        }
        let existing = self.existing(path)?;
        if policy.writes(existing.as_ref(), entry) {
            return Ok(true);
        }
        Ok(policy == Overwrite::IfChanged && self.differs(path, entry)?.1 == Differs::NewFile)
    }

    /// Sets mode, owner and attributes of a file that is as the snapshot has it but for these, where the chosen
    /// [`Overwrite`] is `IfChanged`. For entries that [`wants`](Target::wants) refused. Returns whether anything differed;
    /// what cannot be set is a warning. On a `dry_run` nothing is set.
    ///
    /// # Errors
    /// As [`wants`](Target::wants).
    pub fn renew(&self, path: &[u8], entry: &FileEntry, dry_run: bool, progress: &dyn Progress) -> Result<bool> {
        if self.overwrite() != Overwrite::IfChanged || entry.kind != EntryKind::File {
            return Ok(false);
        }
        let (Some((held, seen)), Differs::Settable) = self.differs(path, entry)? else { return Ok(false) };
        if dry_run {
            return Ok(true);
        }
        let thing = Thing::Held(held.as_fd());
        if !self.means().root && seen.mode & 0o200 == 0 {
            // Attributes can be set only while the mode allows to write. Failing shows when they are set.
            let _ = rustix::fs::chmod(thing.path(), Mode::from_bits_truncate((seen.mode | 0o600) as _));
        }
        self.set_attributes(&Attributes::from(entry), &thing, path, progress);
        Ok(true)
    }

    /// Compares what is there with the row. Returns what was compared, held so that it is the same that is changed later;
    /// nothing where it is not the file that the row describes.
    fn differs(&self, path: &[u8], entry: &FileEntry) -> Result<(Option<(OwnedFd, Seen)>, Differs)> {
        check_path(path)?;
        let (above, name) = split_parent(path);
        let flags = HOLD | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let held = self.beneath().folder(above).and_then(|at| rustix::fs::openat(at, name, flags, Mode::empty()));
        let (held, seen) = match held.and_then(|held| Ok((rustix::fs::fstat(&held).map(Seen::from)?, held))) {
            Ok((seen, held)) => (held, seen),
            Err(Errno::NOENT) => return Ok((None, Differs::Nothing)),
            Err(error) => return Err(self.beneath().refused("stat", path, error)),
        };
        let existing = Existing::from(&seen);
        if seen.kind != FileType::RegularFile || Overwrite::IfChanged.writes(Some(&existing), entry) {
            // Replaced since it was looked at first: nothing is known of it.
            return Ok((None, Differs::Nothing));
        }
        let wanted = Attributes::from(entry);
        let thing = Thing::Held(held.as_fd());
        let shared = seen.nlink > 1 || entry.hard_link.is_some();
        let differs = match wanted.differ(&thing, &seen, self.means()) {
            false => Differs::Nothing,
            true if shared || wanted.has_other_capability(&thing) => Differs::NewFile,
            true => Differs::Settable,
        };
        Ok((Some((held, seen)), differs))
    }
}
