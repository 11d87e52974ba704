//! What is wrong with Avro files, reported every night until it is sound again.
//!
//! That a file has fewer records than before, or is gone, shows only by comparison. The night after, the parent snapshot has
//! the worse state already. So a snapshot remembers of each such file how many records it had when it was last sound:
//! rules of the name [`LAST_SOUND`] in its root. Nothing is read again for that.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::unsound::{stray_bytes, what_is_wrong};
use crate::files::{Fate, Fates};
use crate::progress::{Progress, Warning};
use crate::snapshot::entry::{AvroFacts, AvroState, EntryKind, FileEntry};
use crate::snapshot::rules::{ACCEPTED_EMPTY, GONE_UNSOUND, LAST_SOUND};
use crate::snapshot::{Missed, Missing, Rule, Shard, SnapshotRoot};
use crate::wire::{Reader, Write};

/// How many files are remembered, so that roots stay small.
const REMEMBERED: usize = 1000;
/// How many vanished files are looked into.
const GONE: usize = 100_000;
/// How many names a warning holds.
const NAMED: usize = 5;

/// What a run learns about files that were better once.
#[derive(Debug, Default)]
pub(crate) struct Alarms {
    /// Whether what is worse is meant to be so.
    accepts: bool,
    /// Whether there is anything to compare with.
    compares: bool,
    /// How many more files are gone than are known by name; none where all are.
    more_gone: Option<u64>,
    /// By the parent: records of last sound states.
    before: BTreeMap<Vec<u8>, u64>,
    /// The same, as of now.
    now: BTreeMap<Vec<u8>, u64>,
    /// By the parent: files that are gone or torn, and were torn or damaged last.
    unsound: BTreeSet<Vec<u8>>,
    /// Of what is gone now, that which was torn or damaged last.
    gone_unsound: BTreeSet<Vec<u8>>,
    /// That no file is there is meant to be so.
    accepted_empty: bool,
    /// Containers of the parent that were not met.
    unmet: BTreeMap<Vec<u8>, u64>,
    /// Sound containers that are new, by each directory above them.
    new: HashMap<Vec<u8>, Amount>,
    /// Files that have fewer records than in their last sound state, or are no containers any more.
    pub(crate) shrunk: u64,
    /// Files that are gone, and nothing new makes up for them.
    pub(crate) missing: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Amount {
    files: u64,
    records: u64,
}

impl Amount {
    fn add(&mut self, records: u64) {
        self.files += 1;
        self.records = self.records.saturating_add(records);
    }

    /// Whether these new files make up for those.
    fn makes_up_for(self, lost: Self) -> bool {
        self.files > 0 && (self.files >= lost.files || self.records >= lost.records)
    }
}

/// The records of a state that later ones are to be measured by.
fn measure(facts: &AvroFacts) -> Option<u64> {
    let measures = matches!(facts.state, AvroState::Ok | AvroState::HeaderOnly | AvroState::Undecoded);
    measures.then_some(facts.declared_records)
}

impl Alarms {
    pub(crate) fn new(parent: Option<&SnapshotRoot>, accepts: bool) -> Self {
        let rules = parent.iter().flat_map(|parent| &parent.rules).filter(|rule| rule.name == LAST_SOUND && !accepts);
        let before = rules.filter_map(|rule| last_sound(&rule.value)).collect();
        let rules = parent.iter().flat_map(|parent| &parent.rules);
        let unsound = rules.filter(|rule| rule.name == GONE_UNSOUND && !accepts).map(|rule| rule.value.clone());
        Self { accepts, compares: parent.is_some(), before, unsound: unsound.collect(), ..Self::default() }
    }

    /// What a snapshot remembers, to be counted again.
    pub(crate) fn remembered(root: &SnapshotRoot) -> Self {
        Self { missing: 0, shrunk: 0, ..Self::new(Some(root), false) }
    }

    /// A file of that snapshot.
    pub(crate) fn again(&mut self, row: &FileEntry) {
        let Some(last) = self.before.remove(&row.path) else { return };
        let is_worse = match &row.avro {
            // Counted as unsound, if it is an alarm.
            Some(facts) if facts.state.is_alarm() => false,
            Some(facts) => facts.state != AvroState::BeyondLimits && facts.declared_records < last,
            None => true,
        };
        self.shrunk += u64::from(is_worse);
    }

    /// How many files have shrunk, and how many are gone, when all files of that snapshot are known.
    pub(crate) fn counted(&self) -> (u64, u64) {
        (self.shrunk, self.before.len() as u64)
    }

    /// Only what belongs to this part is compared.
    pub(super) fn of_part(mut self, shard: Shard) -> Self {
        self.before.retain(|path, _| shard.owns(path));
        self.unsound.retain(|path| shard.owns(path));
        self
    }

    /// When all files of a part are saved: what is missing, for the merge.
    pub(super) fn missed(&mut self, covered: &dyn Fates) -> Missing {
        let mut unmet = std::mem::take(&mut self.unmet);
        unmet.append(&mut self.before);
        let mut missing = Missing::default();
        for path in unmet.into_keys() {
            match covered.fate(&path) {
                Fate::LeftOut => {}
                Fate::Unknown => missing.push(Missed { path, gone_from: None }),
                Fate::Gone => missing.push(Missed { gone_from: Some(standing_above(&path, covered)), path }),
            }
        }
        missing
    }

    /// What is gone is not known by name in full, but for how many. So it is not known what new files make up for.
    pub(crate) fn more_are_gone(&mut self, count: u64) {
        self.more_gone = Some(if self.accepts { 0 } else { count });
    }

    /// A file that is saved, and its row in the parent.
    pub(crate) fn file(&mut self, entry: &FileEntry, before: Option<&FileEntry>, progress: &dyn Progress) {
        let last = self.last_sound(&entry.path, before);
        let message = match &entry.avro {
            Some(facts) => self.container(entry, facts, last),
            None => last.map(|records| {
                self.owes(&entry.path, records);
                self.shrunk += 1;
                format!("it is no Avro file any more; it had {records} records when it was last sound")
            }),
        };
        if self.compares && before.is_none() && last.is_none() {
            self.is_new(entry);
        }
        for message in message.into_iter().chain(entry.avro.as_ref().and_then(stray_bytes)) {
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            progress.warning(&Warning { path, message, incomplete: false });
        }
    }

    fn last_sound(&mut self, path: &[u8], before: Option<&FileEntry>) -> Option<u64> {
        let remembered = self.before.remove(path);
        let before = before.and_then(|row| row.avro.as_ref()).and_then(measure).filter(|_| !self.accepts);
        remembered.or(before)
    }

    fn owes(&mut self, path: &[u8], records: u64) {
        if self.now.len() < REMEMBERED {
            self.now.insert(path.to_vec(), records);
        }
    }

    fn container(&mut self, entry: &FileEntry, facts: &AvroFacts, last: Option<u64>) -> Option<String> {
        let fewer = last.filter(|last| facts.declared_records < *last);
        let unknown = matches!(facts.state, AvroState::Empty | AvroState::BeyondLimits);
        if let Some(last) = last.filter(|_| unknown || facts.state.is_alarm()).or(fewer) {
            self.owes(&entry.path, last);
        }
        if facts.state.is_alarm() {
            return what_is_wrong(facts);
        }
        let fewer = fewer.filter(|_| facts.state != AvroState::BeyondLimits)?;
        self.shrunk += 1;
        Some(format!("it has {} records, fewer than the {fewer} of its last sound state", facts.declared_records))
    }

    fn is_new(&mut self, entry: &FileEntry) {
        let Some(records) = entry.avro.as_ref().filter(|facts| !facts.state.is_alarm()).and_then(measure) else {
            return;
        };
        self.new.entry(Vec::new()).or_default().add(records);
        for (at, _) in entry.path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            self.new.entry(entry.path.get(..at).unwrap_or_default().to_vec()).or_default().add(records);
        }
    }

    /// A row of the parent in whose place nothing, or no regular file, is saved.
    pub(crate) fn unmet(&mut self, before: &FileEntry) {
        let facts = before.avro.as_ref().filter(|_| before.kind == EntryKind::File);
        if facts.is_some_and(|facts| facts.state.is_alarm()) && !self.accepts && self.unsound.len() < GONE {
            self.unsound.insert(before.path.clone());
        }
        let records = facts.and_then(measure);
        if let Some(records) = records.filter(|_| !self.accepts && self.unmet.len() < GONE) {
            self.unmet.insert(before.path.clone(), records);
        }
    }

    /// Whether it is no alarm that no file is there any more: it is meant to be so, was so the last time, or all containers
    /// that are missing were left out.
    pub(crate) fn accepts_emptied(&mut self, parent: Option<&SnapshotRoot>, covered: &dyn Fates) -> bool {
        let was_accepted = parent.is_some_and(|parent| parent.rules.iter().any(|rule| rule.name == ACCEPTED_EMPTY));
        self.accepted_empty = self.accepts || was_accepted;
        let mut missed = self.unmet.keys().chain(self.before.keys()).peekable();
        let is_left_out = missed.peek().is_some() && missed.all(|path| covered.fate(path) == Fate::LeftOut);
        self.accepted_empty || is_left_out
    }

    /// When all files are saved: reports what is missing, and returns what the root is to remember. `quiet` where it is said
    /// already that everything is gone.
    pub(crate) fn finish(&mut self, covered: &dyn Fates, quiet: bool, progress: &dyn Progress) {
        let mut unmet = std::mem::take(&mut self.unmet);
        unmet.append(&mut self.before);
        let mut gone: BTreeMap<Vec<u8>, Vec<(Vec<u8>, u64)>> = BTreeMap::new();
        for (path, records) in unmet {
            match covered.fate(&path) {
                Fate::LeftOut => {}
                Fate::Unknown => self.owes(&path, records),
                Fate::Gone => gone.entry(standing_above(&path, covered)).or_default().push((path, records)),
            }
        }
        for (folder, files) in gone {
            let mut lost = Amount::default();
            files.iter().for_each(|(_, records)| lost.add(*records));
            if self.more_gone.is_none() && self.new.get(&folder).is_some_and(|new| new.makes_up_for(lost)) {
                continue;
            }
            self.missing += lost.files;
            for (path, records) in &files {
                self.owes(path, *records);
                if self.unsound.contains(path) && self.gone_unsound.len() < REMEMBERED {
                    self.gone_unsound.insert(path.clone());
                }
            }
            if !quiet {
                progress.warning(&missing(&folder, &files));
            }
        }
        if let Some(more @ 1..) = self.more_gone {
            self.missing += more;
            let message =
                format!("{more} more Avro files that were saved before are not there any more, too many to be named");
            progress.warning(&Warning { path: ".".into(), message, incomplete: false });
        }
    }

    /// What the root is to remember.
    pub(crate) fn rules(&self) -> Vec<Rule> {
        let rule = |(path, records): (&Vec<u8>, &u64)| {
            let mut value = Vec::new();
            value.put_varint(*records);
            value.extend_from_slice(path);
            Rule { name: LAST_SOUND.into(), value }
        };
        let gone = |path: &Vec<u8>| Rule { name: GONE_UNSOUND.into(), value: path.clone() };
        let empty = self.accepted_empty.then(|| Rule { name: ACCEPTED_EMPTY.into(), value: Vec::new() });
        self.now.iter().map(rule).chain(self.gone_unsound.iter().map(gone)).chain(empty).collect()
    }
}

fn last_sound(value: &[u8]) -> Option<(Vec<u8>, u64)> {
    let mut reader = Reader::new(value);
    let records = reader.varint().ok()?;
    Some((reader.rest().to_vec(), records))
}

/// The nearest directory above a file that is still there.
fn standing_above(path: &[u8], covered: &dyn Fates) -> Vec<u8> {
    let mut folder = path;
    while let Some(slash) = folder.iter().rposition(|byte| *byte == b'/') {
        folder = folder.get(..slash).unwrap_or_default();
        if covered.is_folder(folder) {
            return folder.to_vec();
        }
    }
    Vec::new()
}

fn missing(folder: &[u8], files: &[(Vec<u8>, u64)]) -> Warning {
    let below = |path: &[u8]| {
        let name = path.strip_prefix(folder).unwrap_or(path);
        String::from_utf8_lossy(name.strip_prefix(b"/").unwrap_or(name)).into_owned()
    };
    let mut names = files.iter().take(NAMED).map(|(path, _)| below(path)).collect::<Vec<_>>().join(", ");
    if files.len() > NAMED {
        names = format!("{names} and {} more", files.len() - NAMED);
    }
    let records: u64 = files.iter().fold(0, |sum, (_, records)| sum.saturating_add(*records));
    let what = match files.len() {
        1 => "an Avro file that was saved before is".to_owned(),
        several => format!("{several} Avro files that were saved before are"),
    };
    let path = match folder {
        b"" => ".".to_owned(),
        folder => String::from_utf8_lossy(folder).into_owned(),
    };
    let message = format!("{what} not there any more ({names}; {records} records), and nothing new makes up for it");
    Warning { path, message, incomplete: false }
}
