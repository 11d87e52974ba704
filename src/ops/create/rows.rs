//! What was found and stored becomes the rows of the manifest, in order.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::CreateReport;
use super::alarms::Alarms;
use super::expect::Measures;
use super::iceberg::Promised;
use super::lineage::{Lineage, emptied};
use crate::error::Result;
use crate::files::{Fates, FileStat};
use crate::ingest::Stored;
use crate::ingest::{Feeder, Unfilled};
use crate::progress::Progress;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::snapshot::{ManifestWriter, Missing, Rule};

/// One thing that the walker found.
pub(super) struct Found {
    pub(super) entry: FileEntry,
    /// The parent's row of the same path.
    pub(super) before: Option<Box<FileEntry>>,
    pub(super) nlink: u64,
    pub(super) dev: u64,
}

impl Found {
    /// The stat of the name.
    fn stat(&self) -> FileStat {
        let FileEntry { size, mtime, ctime, inode, .. } = self.entry;
        FileStat { size, mtime, ctime, inode, dev: self.dev }
    }
}

/// Outcome of one thing that the walker found, numbered in the order of the manifest.
pub(super) enum Outcome {
    /// A file that is as in the parent.
    Unmodified(Found),
    /// A directory that only leads to what is to be saved.
    ParentDirectory(Found),
    /// A directory, a link, and so on.
    Other(Found),
    /// A file that seems to be the same as one before it, under another name. Where it lies.
    Name(Found, PathBuf),
    /// A file that was read, and what the parent has.
    Stored(Box<Stored>, Option<Box<FileEntry>>),
    /// A file that could not be read: its path in the manifest, and what the parent has.
    Lost(Vec<u8>, Option<Box<FileEntry>>),
    /// Something of which not all could be looked at.
    Unread(Vec<u8>),
}

/// Stores a file after all.
pub(super) type StoreNow<'f, 'p, 'r, 's> = &'f dyn Fn(&mut Feeder<'p, 'r, 's>, &Path, Found) -> Outcome;

/// Puts rows into the manifest and counts them.
pub(super) struct RowWriter<'a, 's, 'p, 'r> {
    manifest: ManifestWriter,
    feeder: &'a mut Feeder<'p, 'r, 's>,
    report: &'a mut CreateReport,
    progress: &'a dyn Progress,
    alarms: Alarms,
    measures: Measures,
    promised: Promised,
    /// Files with several names whose content is in the manifest: what was read, and under which path.
    shared: HashMap<(u64, u64), (FileStat, Vec<u8>)>,
    /// All that could not be read.
    unreadable: Vec<Vec<u8>>,
}

/// What is left when all rows are there.
pub(super) struct Finished {
    /// To be finished.
    pub(super) manifest: ManifestWriter,
    /// All that could not be read.
    pub(super) unreadable: Vec<Vec<u8>>,
    /// What the root is to remember of files that are not what they were.
    pub(super) alarms: Vec<Rule>,
    /// What is expected of the snapshot, and what is there of it.
    pub(super) measures: Measures,
    /// What had to be saved, and was not.
    pub(super) promised: Promised,
}

impl<'a, 's, 'p, 'r> RowWriter<'a, 's, 'p, 'r> {
    pub(super) fn new(
        manifest: ManifestWriter,
        feeder: &'a mut Feeder<'p, 'r, 's>,
        report: &'a mut CreateReport,
        progress: &'a dyn Progress,
        alarms: Alarms,
        measures: Measures,
        promised: Promised,
    ) -> Self {
        let (shared, unreadable) = (HashMap::new(), Vec::new());
        Self { manifest, feeder, report, progress, alarms, measures, promised, shared, unreadable }
    }

    pub(super) fn feeder(&mut self) -> &mut Feeder<'p, 'r, 's> {
        self.feeder
    }

    /// Whether something could not be read.
    pub(super) fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// Takes over the frames that a worker did not fill.
    pub(super) fn absorb(&mut self, open: Unfilled) {
        self.feeder.absorb(open);
    }

    /// The next row. `store` stores a file that has to be read after all.
    pub(super) fn outcome(&mut self, outcome: Outcome, store: StoreNow<'_, 'p, 'r, 's>) -> Result<()> {
        match outcome {
            Outcome::Unread(path) => {
                self.report.unreadable += 1;
                self.measures.unread(&path);
                self.unreadable.push(path);
                Ok(())
            }
            Outcome::Lost(path, before) => {
                self.report.unreadable += 1;
                self.measures.unread(&path);
                self.unreadable.push(path);
                if let Some(before) = before {
                    self.alarms.unmet(&before);
                }
                Ok(())
            }
            Outcome::Unmodified(found) => self.unmodified(found),
            Outcome::ParentDirectory(found) => {
                self.report.directories += 1;
                self.report.directories_leading += 1;
                self.push(&found.entry, found.before.as_deref())
            }
            Outcome::Other(found) => {
                match found.entry.kind {
                    EntryKind::Directory => self.report.directories += 1,
                    _ => self.report.others += 1,
                }
                if let Some(before) = &found.before {
                    self.alarms.unmet(before);
                }
                self.push(&found.entry, found.before.as_deref())
            }
            Outcome::Name(found, path) => match self.first_name(&found.stat()) {
                Some(first) => self.name(FileEntry { hard_link: Some(first), ..found.entry }, found.before.as_deref()),
                // What was read under the first name is another file, or this one was changed since.
                None => {
                    let stored = store(self.feeder, &path, found);
                    self.outcome(stored, store)
                }
            },
            Outcome::Stored(stored, before) => self.stored(*stored, before.as_deref()),
        }
    }

    /// The name under which the very file of this stat is in the manifest already.
    fn first_name(&self, stat: &FileStat) -> Option<Vec<u8>> {
        let (read, path) = self.shared.get(&(stat.dev, stat.inode))?;
        (read == stat).then(|| path.clone())
    }

    fn name(&mut self, entry: FileEntry, before: Option<&FileEntry>) -> Result<()> {
        self.report.others += 1;
        self.measures.row(&entry, None, false);
        self.push(&entry, before)
    }

    fn unmodified(&mut self, found: Found) -> Result<()> {
        let stat = found.stat();
        let Found { entry, before, nlink, .. } = found;
        let Some(before) = before else { return Ok(()) };
        let entry = FileEntry {
            content: before.content,
            recipe: before.recipe.clone(),
            avro: before.avro.clone(),
            origin: before.origin.clone(),
            altered: before.altered,
            sparse: before.sparse,
            racy: false,
            ..entry
        };
        self.report.files_unmodified += 1;
        self.report.bytes_total += entry.size;
        self.report.avro.unsound += u64::from(entry.avro.as_ref().is_some_and(|facts| facts.state.is_alarm()));
        self.alarms.file(&entry, Some(&before), self.progress);
        self.measures.row(&entry, None, nlink > 1);
        if nlink > 1 {
            self.shared.insert((stat.dev, stat.inode), (stat, entry.path.clone()));
        }
        self.push(&entry, Some(&before))
    }

    fn stored(&mut self, stored: Stored, before: Option<&FileEntry>) -> Result<()> {
        let Stored { entry, shared, schema, bytes_read, incomplete, .. } = stored;
        let has_names = shared.is_some();
        self.report.bytes_read += bytes_read;
        if incomplete > 0 {
            self.report.unreadable += incomplete;
            self.measures.unread(&entry.path);
            self.unreadable.push(entry.path.clone());
        }
        if let Some(stat) = shared {
            // The name was given to a file that is in the manifest, while the walk went on.
            if let Some(first) = self.first_name(&stat) {
                let bare = FileEntry { content: None, recipe: Vec::new(), avro: None, ..entry };
                return self.name(FileEntry { hard_link: Some(first), ..bare }, before);
            }
            self.shared.insert((stat.dev, stat.inode), (stat, entry.path.clone()));
        }
        match before {
            Some(_) => self.report.files_changed += 1,
            None => self.report.files_new += 1,
        }
        self.report.bytes_total += entry.size;
        if let Some(facts) = &entry.avro {
            self.report.avro.count(facts);
        }
        self.alarms.file(&entry, before, self.progress);
        self.measures.row(&entry, schema.as_ref(), has_names);
        self.push(&entry, before)
    }

    /// The file that was stored last is what the parent has: a stream is always read.
    pub(super) fn count_as_unmodified(&mut self) {
        self.report.files_changed -= 1;
        self.report.files_unmodified += 1;
    }

    fn push(&mut self, entry: &FileEntry, before: Option<&FileEntry>) -> Result<()> {
        self.report.same_rows += u64::from(before.is_some_and(|before| is_same(entry, before)));
        self.promised.met(entry, self.progress);
        self.manifest.push(entry, self.feeder)
    }

    /// When all rows are there: what of the parent was not found is looked into.
    pub(super) fn end(&mut self, covered: &dyn Fates, lineage: &Lineage, unmet: Vec<FileEntry>) {
        unmet.iter().for_each(|row| self.alarms.unmet(row));
        let emptied = emptied(self.report.files(), lineage);
        let emptied = emptied.filter(|_| !self.alarms.accepts_emptied(lineage.parent.as_ref(), covered));
        self.alarms.finish(covered, emptied.is_some(), self.progress);
        if let Some(warning) = emptied {
            self.report.emptied = true;
            self.progress.warning(&warning);
        }
    }

    /// The same for a part: what of the parent was not found is for the merge to judge, since something in another part may make
    /// up for it.
    pub(super) fn end_part(&mut self, covered: &dyn Fates, unmet: Vec<FileEntry>) -> Missing {
        unmet.iter().for_each(|row| self.alarms.unmet(row));
        self.alarms.missed(covered)
    }

    /// The manifest, and what the root is made of beside it, after the last row.
    pub(super) fn into_parts(self) -> Finished {
        (self.report.avro.shrunk, self.report.avro.missing) = (self.alarms.shrunk, self.alarms.missing);
        Finished {
            manifest: self.manifest,
            unreadable: self.unreadable,
            alarms: self.alarms.rules(),
            measures: self.measures,
            promised: self.promised,
        }
    }
}

/// Whether restoring one row or the other makes the same.
pub(crate) fn is_same(now: &FileEntry, before: &FileEntry) -> bool {
    let what = |row: &FileEntry| (row.mode, row.uid, row.gid, row.mtime, row.size, row.content);
    what(now) == what(before)
        && now.kind == before.kind
        && now.user == before.user
        && now.group == before.group
        && now.xattrs == before.xattrs
        && now.hard_link == before.hard_link
}
