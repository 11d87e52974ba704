//! The logs of Delta and Hudi tables, which are listed before the data that they name.
//!
//! A writer of such a table writes data files first, and then a file in the log that names them. If the log was listed later than the
//! data, it could name files that were written meanwhile and are not in the snapshot. So where a folder has a log, the log is listed
//! first, with all that is in it, then the folder itself, and what is walked later is what was listed then. Whatever the log names was
//! there before.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;

use super::{look, roots};

/// The folders with the logs of tables: Delta's and Hudi's.
const LOGS: [&[u8]; 2] = [b"_delta_log", b".hoodie"];

/// What is a table of its own within a log, with a log of its own: that of Hudi's metadata. Readers take of it what the log above names.
const WITHIN: [&[u8]; 1] = [b"metadata"];

/// How many names of logs are kept at most. Others are listed when they are met.
const KEPT: usize = 1_000_000;

/// Names, and what they are of.
type Names = Vec<(Vec<u8>, FileType)>;

/// What logs held when they were listed, until the walk gets there.
#[derive(Debug, Default)]
pub(super) struct Logs {
    listed: HashMap<PathBuf, Names>,
    kept: usize,
}

impl Logs {
    /// Lists the logs among these names of a folder that are not listed yet. If there were some, what else is in the folder has to be
    /// listed again.
    pub(super) fn ahead(&mut self, folder: &Path, names: &Names) -> bool {
        let mut is_new = false;
        for (name, kind) in names {
            let path = roots::below(folder, name);
            let is_log = LOGS.contains(&name.as_slice()) && matches!(kind, FileType::Directory | FileType::Unknown);
            if is_log && !self.listed.contains_key(&path) {
                is_new |= self.list(path);
            }
        }
        is_new
    }

    /// Lists a log; false if it cannot be listed, which the walk reports.
    fn list(&mut self, log: PathBuf) -> bool {
        let (mut open, mut is_first) = (vec![log], true);
        while let Some(folder) = open.pop() {
            let Ok(names) = look::listed(&folder, false) else {
                if is_first {
                    return false;
                }
                continue;
            };
            let inner =
                names.iter().filter(|(name, kind)| *kind == FileType::Directory && !WITHIN.contains(&name.as_slice()));
            open.extend(inner.map(|(name, _)| roots::below(&folder, name)));
            is_first = false;
            self.kept += names.len();
            if self.kept > KEPT {
                return true;
            }
            self.listed.insert(folder, names);
        }
        true
    }

    /// What a folder of a log held when it was listed ahead.
    pub(super) fn take(&mut self, folder: &Path) -> Option<Names> {
        if self.listed.is_empty() {
            return None;
        }
        let names = self.listed.remove(folder)?;
        self.kept -= names.len().min(self.kept);
        Some(names)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use crate::files::{Rules, Source};

    /// Commits to a table at the n-th time that the walk asks for the time; returns the files that it found.
    fn walked(log: &str, moment: usize) -> Vec<String> {
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("t");
        for (name, content) in [("A=1/old", "data"), ("z=1/old", "data"), (&*format!("{log}/0"), "A=1/old z=1/old")] {
            let path = table.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::create_dir(table.join(log).join("deep")).unwrap();
        let (asked, at) = (Arc::new(AtomicUsize::new(0)), table.clone());
        let (counted, log) = (asked.clone(), log.to_owned());
        let clock = move || {
            if counted.fetch_add(1, Ordering::Relaxed) == moment {
                // Data first, then the log that names it.
                for name in ["+new", "A=1/new", "z=1/new", "zz"] {
                    fs::write(at.join(name), "data").unwrap();
                }
                fs::write(at.join(&log).join("deep/1"), "+new A=1/new z=1/new zz").unwrap();
                fs::write(at.join(&log).join("1"), "+new A=1/new z=1/new zz").unwrap();
            }
            0
        };
        let source = Source::new(std::slice::from_ref(&table), std::path::Path::new("/"), Rules::new(), clock).unwrap();
        let found: Vec<_> = source.map(|found| found.unwrap().fs_path).filter(|path| path.is_file()).collect();
        assert!(asked.load(Ordering::Relaxed) > 5, "the clock is asked on the way");
        found.iter().map(|path| path.strip_prefix(&table).unwrap().to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn no_commit_is_met_without_its_data_whenever_it_happens() {
        for log in ["_delta_log", ".hoodie"] {
            let mut with = 0;
            for moment in 0..20 {
                let found = walked(log, moment);
                let has = |name: &str| found.iter().any(|found| found == name);
                if has(&format!("{log}/1")) || has(&format!("{log}/deep/1")) {
                    with += 1;
                    for name in ["+new", "A=1/new", "z=1/new", "zz"] {
                        assert!(has(name), "{log}, {moment}: the log names {name}, which was not met: {found:?}");
                    }
                }
                assert!(has("A=1/old") && has("z=1/old") && has(&format!("{log}/0")), "{found:?}");
            }
            assert!(with > 0, "the commit is met where it happens early enough");
        }
    }

    #[test]
    fn what_went_away_from_a_log_is_no_fault() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("_delta_log");
        fs::create_dir(&log).unwrap();
        fs::write(log.join("0"), "data").unwrap();
        fs::write(folder.path().join("0"), "data").unwrap();
        let source = Source::new(&[folder.path().into()], std::path::Path::new("/"), Rules::new(), || 0).unwrap();
        let mut found = Vec::new();
        for next in source {
            if let Ok(file) = next
                && file.fs_path.ends_with("0")
            {
                found.push(file.fs_path);
                let _ = fs::remove_file(log.join("0"));
            }
        }
        assert_eq!(found, [folder.path().join("0")]);
    }
}
