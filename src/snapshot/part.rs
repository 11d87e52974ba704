//! What makes a root that of a part (`docs/format.md`, "Parts"): the run that it belongs to, and what the snapshot is to
//! know that the parts become together.

use super::entry::Property;
use super::root::{Rule, SnapshotRoot};
use super::rules::SHARD;
use super::shard::Shard;
use crate::error::{Context, Error, Result};
use crate::wire::{self, Reader, Write};

/// The property of a root that makes it that of a part, or of the record of a run.
pub const PART: &str = "part";

/// The property of a row of a part whose file has several names: its value tells file systems apart. With the stat, it says
/// which rows are names of one file.
pub const LINK: &str = "link";

const VERSION: u8 = 1;

/// The most missing files that a part names, ...
const MISSED: usize = 10_000;
/// ... and the most bytes of paths that it names them with: a root is one chunk.
const MISSED_BYTES: usize = 1 << 20;

/// What the root of a part says beside what any root says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name of the run.
    pub run: String,
    /// Which part it is, from 1 on; 0 for the record of the run.
    pub number: u32,
    /// How many parts the run has.
    pub parts: u32,
    /// The series of the snapshot to be.
    pub series: String,
    /// When it was stored, nanoseconds since 1970 (UTC): by this a run counts as abandoned.
    pub stored: i64,
    /// How many directories the walk met, those of other parts included: it should be as many in all of them.
    pub directories_met: u64,
    /// How many names it met, also of what was left out or belongs to other parts. Where many files lie in one directory, this alone
    /// tells a source that is not mounted from one that is.
    pub names_met: u64,
    /// Avro files of the parent that belong to this part and are not in it. What was left out on purpose is not among them.
    pub missed: Missing,
}

/// Avro files that were not saved, up to a limit by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Missing {
    named: Vec<Missed>,
    /// How many bytes the names take.
    bytes: usize,
    more_gone: u64,
    more_unknown: u64,
}

impl Missing {
    /// One more. Where there is no room for its name any more, it is counted.
    pub fn push(&mut self, missed: Missed) {
        let bytes = missed.path.len() + missed.gone_from.as_ref().map_or(0, Vec::len);
        if self.is_cut() || self.named.len() >= MISSED || self.bytes + bytes > MISSED_BYTES {
            match missed.gone_from {
                Some(_) => self.more_gone += 1,
                None => self.more_unknown += 1,
            }
            return;
        }
        self.bytes += bytes;
        self.named.push(missed);
    }

    /// Those that are named.
    pub fn named(&self) -> &[Missed] {
        &self.named
    }

    /// How many more are gone.
    pub fn more_gone(&self) -> u64 {
        self.more_gone
    }

    /// Whether more are missing than are named.
    pub fn is_cut(&self) -> bool {
        self.more_gone > 0 || self.more_unknown > 0
    }
}

/// An Avro file of the parent that was not saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Its path in the manifest.
    pub path: Vec<u8>,
    /// If it is gone: the nearest directory above it that is still there. None if nothing is known of it.
    pub gone_from: Option<Vec<u8>>,
}

impl Part {
    /// Makes a root that of this part. The series that older versions see is one of its own, so that they compare no
    /// snapshot with it and keep it apart from others.
    pub fn mark(&self, root: &mut SnapshotRoot) {
        root.series = format!("run:{}:{}/{}", self.run, self.number, self.parts);
        root.rules.push(Rule { name: SHARD.into(), value: format!("{}/{}", self.number, self.parts).into_bytes() });
        root.properties.push(Property { name: PART.into(), value: self.encode() });
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::new();
        value.put_u8(VERSION);
        value.put_u8(Shard::DIVISION);
        value.put_string(self.run.as_bytes());
        value.put_varint(u64::from(self.number));
        value.put_varint(u64::from(self.parts));
        value.put_string(self.series.as_bytes());
        value.put_i64(self.stored);
        value.put_varint(self.directories_met);
        value.put_varint(self.names_met);
        value.put_varint(self.missed.named.len() as u64);
        for missed in &self.missed.named {
            value.put_string(&missed.path);
            value.put_u8(u8::from(missed.gone_from.is_some()));
            if let Some(folder) = &missed.gone_from {
                value.put_string(folder);
            }
        }
        value.put_varint(self.missed.more_gone);
        value.put_varint(self.missed.more_unknown);
        value
    }

    /// What a root says of the part that it is of; none if it is that of a snapshot.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Unsupported`] if a later version made it.
    pub fn read_from(root: &SnapshotRoot) -> Result<Option<Self>> {
        let Some(property) = root.properties.iter().find(|property| property.name == PART) else { return Ok(None) };
        let name = format!("part {} of a run", root.id);
        match property.value.as_slice() {
            [VERSION, Shard::DIVISION, ..] => {}
            [version, division, ..] => {
                let reason = format!("it is of version {version}, and divides a tree in way {division}");
                return Err(Error::Unsupported { name, reason });
            }
            _ => {}
        }
        decode(&property.value).in_object(&name).map(Some)
    }
}

fn decode(value: &[u8]) -> wire::Result<Part> {
    let mut reader = Reader::new(value);
    reader.array::<2>()?;
    let run = reader.text()?.to_owned();
    let number = |reader: &mut Reader<'_>| {
        let number = u32::try_from(reader.varint()?).ok().filter(|number| *number <= Shard::MOST);
        number.ok_or_else(|| wire::Malformed::new("a run of more parts than there can be"))
    };
    let (number, parts) = (number(&mut reader)?, number(&mut reader)?);
    if parts == 0 || number > parts {
        return Err(wire::Malformed::new("a part that a run does not have"));
    }
    let series = reader.text()?.to_owned();
    let (stored, directories_met, names_met) = (reader.i64()?, reader.varint()?, reader.varint()?);
    let count = reader.count(2)?;
    let mut missed = Missing::default();
    for _ in 0..count {
        let path = reader.string()?.to_vec();
        let gone_from = match reader.u8()? {
            0 => None,
            _ => Some(reader.string()?.to_vec()),
        };
        missed.bytes += path.len() + gone_from.as_ref().map_or(0, Vec::len);
        missed.named.push(Missed { path, gone_from });
    }
    (missed.more_gone, missed.more_unknown) = (reader.varint()?, reader.varint()?);
    reader.finish()?;
    Ok(Part { run, number, parts, series, stored, directories_met, names_met, missed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SnapshotId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_is_read_back(
            run: String, series: String, stored: i64, parts in 1..=Shard::MOST, number: u32, met: [u64; 2],
            missed: Vec<(Vec<u8>, Option<Vec<u8>>)>, more: [u64; 2],
        ) {
            let mut missing = Missing::default();
            missed.into_iter().for_each(|(path, gone_from)| missing.push(Missed { path, gone_from }));
            [missing.more_gone, missing.more_unknown] = more;
            let ([directories_met, names_met], missed) = (met, missing);
            let number = number % (parts + 1);
            let part = Part { run, number, parts, series, stored, directories_met, names_met, missed };
            let mut root = SnapshotRoot::nothing(SnapshotId::new([1; 16]));
            prop_assert_eq!(Part::read_from(&root).unwrap(), None);
            part.mark(&mut root);
            let mut again = SnapshotRoot::decode(&root.encode()).unwrap();
            prop_assert_eq!(Part::read_from(&again).unwrap(), Some(part));
            let value = again.properties[0].value.clone();
            for cut in (0..value.len()).take(100) {
                again.properties[0].value.truncate(cut);
                prop_assert!(Part::read_from(&again).is_err());
                again.properties[0].value.clone_from(&value);
            }
            again.properties[0].value[1] = 9;
            let is_later = matches!(Part::read_from(&again), Err(Error::Unsupported { .. }));
            prop_assert!(is_later);
        }
    }

    #[test]
    fn a_part_names_missing_files_up_to_a_limit_and_counts_the_rest() {
        for (length, named) in [(10, MISSED), (1000, MISSED_BYTES / 1000)] {
            let mut missed = Missing::default();
            for number in 0..MISSED + 7 {
                let gone_from = (number % 2 == 0).then(|| vec![b'f'; length / 2]);
                let path = vec![b'p'; length - gone_from.as_ref().map_or(0, Vec::len)];
                missed.push(Missed { path, gone_from });
            }
            assert_eq!(missed.named().len(), named);
            let more = (MISSED + 7 - named) as u64;
            assert_eq!(
                (missed.more_gone(), missed.more_unknown),
                (more / 2 + more % 2 * (named as u64 + 1) % 2, more / 2)
            );
        }
    }
}
