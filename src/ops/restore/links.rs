//! Further names of files that were restored: hard links, where the target has them, else files of their own.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::run::{RestoreRun, below};
use crate::error::{Error, Result};
use crate::files::Overwrite;
use crate::read::FileAssembler;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;

impl RestoreRun<'_> {
    /// Makes hard links to files that were restored. Where the first name is not among them, the file is written under
    /// the first of its names that is.
    pub(super) fn links(
        &self,
        repository: &Repository,
        snapshot: &SnapshotRoot,
        pool: &rayon::ThreadPool,
        links: Vec<(Vec<u8>, FileEntry)>,
    ) -> Result<()> {
        let mut stand_ins: HashMap<Vec<u8>, Vec<u8>> = HashMap::new();
        let failed: HashSet<Vec<u8>> = self.report().failed.iter().map(|(path, _)| path.clone()).collect();
        for (path, entry) in links {
            self.runtime.go_on()?;
            let Some(original) = entry.hard_link.clone() else { continue };
            if let Some(target) = self.target {
                let left = target.wants(&path, &entry, self.options.overwrite).and_then(|wanted| {
                    if !wanted {
                        self.leave(target, &entry, &path)?;
                    }
                    Ok(!wanted)
                });
                match left {
                    Ok(false) => {}
                    Ok(true) => continue,
                    Err(error) => {
                        self.failed(&entry, error);
                        continue;
                    }
                }
            }
            let known = below(&original, &self.options.subfolder)
                .filter(|first| self.selected(&original) && !failed.contains(&original) && self.holds(first, &entry));
            let known = known.or_else(|| stand_ins.get(&original).cloned()).filter(|_| self.abilities().hard_links);
            if self.options.dry_run && self.abilities().hard_links {
                self.attempt(&entry, |_| {
                    self.make_way(&entry.path, &path)?;
                    self.compare(&entry, &path);
                    Ok(true)
                });
                continue;
            }
            match known {
                Some(first) => self.attempt(&entry, |target| {
                    self.make_way(&entry.path, &path)?;
                    target.hard_link(&path, &first)?;
                    self.progress.done(Path::new(OsStr::from_bytes(&path)));
                    Ok(true)
                }),
                None => match snapshot.rows(repository).find(&original)? {
                    Some(row) => {
                        let assembler = FileAssembler { source: repository, pool, encoders: &self.encoders };
                        // Under its own path: that is what is restored, or is not.
                        if self.file(&assembler, &FileEntry { path: entry.path.clone(), ..row }, &path) {
                            stand_ins.insert(original, path);
                        }
                    }
                    None => {
                        let error = Error::damaged("the manifest", "a hard link names a path that is not there");
                        self.failed(&entry, error);
                    }
                },
            }
            self.check()?;
        }
        Ok(())
    }

    /// Whether the first name of a file has its content now. Where files that are there may be left as they are, what is
    /// there may be another one.
    fn holds(&self, first: &[u8], entry: &FileEntry) -> bool {
        match (self.options.overwrite, self.target) {
            (Overwrite::Always, _) | (_, None) => true,
            (_, Some(target)) => {
                let existing = target.existing(first).ok().flatten();
                existing.is_some_and(|existing| !Overwrite::IfChanged.writes(Some(&existing), entry))
            }
        }
    }
}
