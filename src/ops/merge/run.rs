//! One run of `merge`: the rows of all parts become a manifest.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::links::Links;
use super::rows::Union;
use super::{MergeOptions, MergeReport};
use crate::chunk::{ChunkKind, ChunkSink};
use crate::error::Result;
use crate::files::{Fate, Fates, left_out};
use crate::id::ChunkId;
use crate::ingest::{Feeder, Pipeline};
use crate::ops::create::{Alarms, CreateOptions, Lineage, PROGRAM, container, emptied, is_same, row_at};
use crate::progress::{Progress, Warning};
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::snapshot::rules::{PASSED_OVER, SHARD, UNREADABLE};
use crate::snapshot::{ManifestReader, ManifestWriter, Part, Rule, Shard, SnapshotRoot, Totals};
use crate::store::{Repository, Run};

/// One run of `merge`.
pub(super) struct MergeRun<'r> {
    pub(super) repository: &'r Repository,
    pub(super) pipeline: &'r Pipeline<'r>,
    pub(super) run: &'r Run,
    /// The roots of the parts, in the order of their numbers.
    pub(super) parts: &'r [(SnapshotRoot, Part)],
    pub(super) options: &'r MergeOptions,
    pub(super) progress: &'r dyn Progress,
}

/// What is counted on the way.
struct Tally<'m> {
    totals: Totals,
    report: &'m mut MergeReport,
    alarms: Alarms,
    /// Avro files of the parent that no part has.
    unmet: Vec<FileEntry>,
    /// What was dropped, since it cannot be there together with what another part has.
    dropped: Vec<Vec<u8>>,
}

impl MergeRun<'_> {
    /// Stores the manifest; returns the root's chunk. When this returns, all frames have been handed on.
    pub(super) fn store<'p>(&'p self, scope: &rayon::Scope<'p>, report: &mut MergeReport) -> Result<ChunkId> {
        let mut feeder = Feeder::new(self.pipeline, scope);
        let lineage = self.lineage()?;
        let parent = lineage.parent.as_ref();
        let mut tally = Tally {
            totals: Totals::default(),
            report,
            alarms: Alarms::new(parent, self.options.accept_losses),
            unmet: Vec::new(),
            dropped: Vec::new(),
        };
        let manifest = self.rows(parent, &mut feeder, &mut tally)?;
        let Tally { mut totals, report, mut alarms, unmet, dropped } = tally;
        unmet.iter().for_each(|row| alarms.unmet(row));
        let covered = MissedByParts::new(self.parts);
        if !covered.cut.is_empty() {
            alarms.more_are_gone(self.parts.iter().map(|(_, part)| part.missed.more_gone()).sum());
        }
        let warning = emptied(totals.files, &lineage).filter(|_| !alarms.accepts_emptied(parent, &covered));
        alarms.finish(&covered, warning.is_some(), self.progress);
        if let Some(warning) = warning {
            report.emptied = true;
            self.progress.warning(&warning);
        }
        (report.avro.shrunk, report.avro.missing) = (alarms.shrunk, alarms.missing);
        let rows = totals.files + totals.directories + totals.others;
        report.unchanged = report.same_rows == rows
            && parent
                .is_some_and(|parent| rows == parent.totals.files + parent.totals.directories + parent.totals.others);
        totals.unreadable = unreadable(self.parts) + dropped.len() as u64;
        report.count(totals);
        let rules = self.rules(dropped, alarms.rules());
        let Run { ids, record, terms, .. } = self.run;
        let root = SnapshotRoot {
            id: ids.merged(),
            series: terms.series.clone(),
            program: PROGRAM.into(),
            totals,
            rules,
            manifest,
            properties: Vec::new(),
            ..record.clone()
        };
        let root = feeder.put(ChunkKind::Root, root.encode())?;
        feeder.finish();
        Ok(root)
    }

    /// Writes the rows of all parts.
    fn rows(
        &self,
        parent: Option<&SnapshotRoot>,
        feeder: &mut Feeder<'_, '_, '_>,
        tally: &mut Tally<'_>,
    ) -> Result<Option<crate::recipe::Tree>> {
        let readers = self.parts.iter().map(|(root, _)| root.rows(self.repository)).collect();
        let (mut union, mut links) = (Union::new(readers)?, Links::default());
        let mut before = parent.map(|parent| parent.rows(self.repository));
        let mut manifest = ManifestWriter::new(self.repository.hasher());
        while let Some(merged) = union.next_row()? {
            self.pipeline.check()?;
            self.repository.runtime().go_on()?;
            if let Some((part, row)) = merged.dropped {
                let path = String::from_utf8_lossy(&row.path).into_owned();
                let message = format!("it is not saved: part {part} met something that is a directory in another part");
                self.progress.warning(&Warning { path, message, incomplete: true });
                tally.dropped.push(row.path.clone());
                links.drop_row(part, row);
            }
            let row = links.settle(merged.part, merged.row);
            let was = self.before(&mut before, &row.path, &mut tally.unmet);
            self.count(&row, was, tally);
            manifest.push(&row, feeder)?;
        }
        while let Some(row) = before.as_mut().and_then(|rows| rows.next_row().ok().flatten()) {
            tally.unmet.extend(container(row));
        }
        manifest.finish(feeder)
    }

    /// The parent's row of this path. If the parent's manifest cannot be read, it is done without.
    fn before(
        &self,
        rows: &mut Option<ManifestReader<&Repository>>,
        path: &[u8],
        unmet: &mut Vec<FileEntry>,
    ) -> Option<FileEntry> {
        match row_at(rows.as_mut()?, path, &mut |row| unmet.extend(container(row))) {
            Ok(row) => row,
            Err(error) => {
                let message = format!("files are not compared with the parent, its manifest cannot be read: {error}");
                self.progress.warning(&Warning { path: "manifest".into(), message, incomplete: false });
                *rows = None;
                None
            }
        }
    }

    fn count(&self, row: &FileEntry, was: Option<FileEntry>, tally: &mut Tally<'_>) {
        tally.report.same_rows += u64::from(was.as_ref().is_some_and(|was| is_same(row, was)));
        let Tally { totals, report, alarms, .. } = tally;
        match (&row.kind, &row.hard_link) {
            (EntryKind::File, None) => {
                totals.files += 1;
                totals.bytes += row.size;
                if let Some(facts) = &row.avro {
                    report.avro.count(facts);
                }
                let was = was.filter(|was| was.kind == EntryKind::File);
                alarms.file(row, was.as_ref(), self.progress);
                self.progress.files(1);
                return;
            }
            (EntryKind::File, Some(_)) => {
                totals.others += 1;
                return;
            }
            (EntryKind::Directory, _) => totals.directories += 1,
            _ => totals.others += 1,
        }
        if let Some(was) = was {
            alarms.unmet(&was);
        }
    }

    /// Where the snapshot comes from: the parent is that of the parts, if it is there still.
    fn lineage(&self) -> Result<Lineage> {
        let Run { record, terms, .. } = self.run;
        let options = CreateOptions::default().series(&*terms.series).host(&*record.host);
        let mut lineage = Lineage::find(self.repository, &options, self.progress)?;
        lineage.paths = record.all_paths(self.repository)?;
        if lineage.parent.as_ref().map(|parent| parent.id) != record.parent {
            lineage.parent = self.run.parent(self.repository, self.progress)?;
        }
        Ok(lineage)
    }

    /// What was left out, by all parts, and what the root is to remember.
    fn rules(&self, dropped: Vec<Vec<u8>>, remembered: Vec<Rule>) -> Vec<Rule> {
        let of_parts = |name: &'static str| {
            let all = self.parts.iter().flat_map(|(root, _)| &root.rules).filter(move |rule| rule.name == name);
            all.map(|rule| rule.value.clone()).collect::<BTreeSet<_>>()
        };
        let passed_over: Vec<PathBuf> =
            of_parts(PASSED_OVER).iter().map(|path| PathBuf::from(OsStr::from_bytes(path))).collect();
        let unreadable = of_parts(UNREADABLE).into_iter().chain(dropped).collect();
        let agreed = self.run.record.rules.iter().filter(|rule| rule.name != SHARD).cloned();
        agreed.chain(left_out(&passed_over, unreadable)).chain(remembered).collect()
    }
}

/// How many paths could not be read. A directory that no part could list counts once.
fn unreadable(parts: &[(SnapshotRoot, Part)]) -> u64 {
    let (mut count, mut own, mut others) = (0, HashSet::new(), HashSet::new());
    for (root, part) in parts {
        let paths = root.rules.iter().filter(|rule| rule.name == UNREADABLE).map(|rule| rule.value.as_slice());
        let (mine, foreign): (Vec<_>, Vec<_>) =
            paths.partition(|path| Shard::number_of(path, part.parts) == part.number);
        count += root.totals.unreadable.saturating_sub(foreign.len() as u64);
        own.extend(mine);
        others.extend(foreign);
    }
    count + others.difference(&own).count() as u64
}

/// State of files of the parent that no part has, as the parts to which they belong found it.
struct MissedByParts {
    /// By path; where it is gone, the directory that still stands above it.
    missed: HashMap<Vec<u8>, Option<Vec<u8>>>,
    folders: HashSet<Vec<u8>>,
    /// How many parts there are.
    parts: u32,
    /// Numbers of parts that miss more than they name.
    cut: HashSet<u32>,
}

impl MissedByParts {
    fn new(parts: &[(SnapshotRoot, Part)]) -> Self {
        let all = parts.iter().flat_map(|(_, part)| part.missed.named());
        let missed: HashMap<_, _> = all.map(|missed| (missed.path.clone(), missed.gone_from.clone())).collect();
        let folders = missed.values().flatten().cloned().collect();
        let cut = parts.iter().filter(|(_, part)| part.missed.is_cut()).map(|(_, part)| part.number).collect();
        Self { missed, folders, parts: parts.len() as u32, cut }
    }
}

impl Fates for MissedByParts {
    fn fate(&self, tree_path: &[u8]) -> Fate {
        match self.missed.get(tree_path) {
            Some(Some(_)) => Fate::Gone,
            Some(None) => Fate::Unknown,
            // It may be one of those that have no room in the list.
            None if self.cut.contains(&Shard::number_of(tree_path, self.parts)) => Fate::Unknown,
            None => Fate::LeftOut,
        }
    }

    fn is_folder(&self, tree_path: &[u8]) -> bool {
        self.folders.contains(tree_path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SnapshotId;
    use crate::progress::Silent;
    use crate::snapshot::{Missed, Missing};

    fn part(number: u32, gone: u32) -> (SnapshotRoot, Part) {
        let mut missed = Missing::default();
        (0..gone).for_each(|n| {
            missed.push(Missed { path: format!("{number}/{n}").into_bytes(), gone_from: Some(Vec::new()) })
        });
        let (run, series) = ("night".into(), "s".into());
        let part = Part { run, number, parts: 2, series, stored: 0, directories_met: 1, names_met: 1, missed };
        (SnapshotRoot::nothing(SnapshotId::new([1; 16])), part)
    }

    /// They were taken for files that are left out on purpose, which raises no alarm.
    #[test]
    fn missing_files_beyond_the_limit_of_a_part_are_not_taken_for_left_out() {
        let parts = [part(1, 3), part(2, 10_020)];
        let missed = MissedByParts::new(&parts);
        let owned_by = |number| {
            let mut names = (0..).map(|n: u32| n.to_string().into_bytes());
            names.find(|name| Shard::number_of(name, 2) == number).unwrap()
        };
        assert_eq!(missed.fate(&owned_by(1)), Fate::LeftOut);
        assert_eq!(missed.fate(&owned_by(2)), Fate::Unknown);
        assert_eq!(missed.fate(b"2/9999"), Fate::Gone);
        for (accepts, expected) in [(false, 20), (true, 0)] {
            let root = SnapshotRoot::nothing(SnapshotId::new([2; 16]));
            let mut alarms = Alarms::new(Some(&root), accepts);
            alarms.more_are_gone(parts.iter().map(|(_, part)| part.missed.more_gone()).sum());
            alarms.finish(&missed, false, &Silent);
            assert_eq!(alarms.missing, expected);
        }
    }
}
