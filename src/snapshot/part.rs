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

/// The most missing files that a part names.
const MISSED: usize = 10_000;

/// What the root of a part says beside what any root says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Name of the run.
    pub run: String,
    /// Which part it is, from 1 on; 0 for the record of the run.
    pub number: u32,
    /// How many parts the run has.
    pub of: u32,
    /// The series of the snapshot to be.
    pub series: String,
    /// When it was stored, nanoseconds since 1970 (UTC): by this a run counts as abandoned.
    pub stored: i64,
    /// How many directories the walk met, those of other parts included: it should be as many in all of them.
    pub directories_met: u64,
    /// Avro files of the parent that belong to this part and are not in it. What was left out on purpose is not among them.
    pub missed: Vec<Missed>,
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
        root.series = format!("run:{}:{}/{}", self.run, self.number, self.of);
        root.rules.push(Rule { name: SHARD.into(), value: format!("{}/{}", self.number, self.of).into_bytes() });
        root.properties.push(Property { name: PART.into(), value: self.encode() });
    }

    fn encode(&self) -> Vec<u8> {
        let mut value = Vec::new();
        value.put_u8(VERSION);
        value.put_u8(Shard::DIVISION);
        value.put_string(self.run.as_bytes());
        value.put_varint(u64::from(self.number));
        value.put_varint(u64::from(self.of));
        value.put_string(self.series.as_bytes());
        value.put_i64(self.stored);
        value.put_varint(self.directories_met);
        let missed = self.missed.get(..MISSED).unwrap_or(&self.missed);
        value.put_varint(missed.len() as u64);
        for missed in missed {
            value.put_string(&missed.path);
            value.put_u8(u8::from(missed.gone_from.is_some()));
            if let Some(folder) = &missed.gone_from {
                value.put_string(folder);
            }
        }
        value
    }

    /// What a root says of the part that it is of; none if it is that of a snapshot.
    ///
    /// # Errors
    /// [`Error::Damaged`]; [`Error::Unsupported`] if a later version made it.
    pub fn of(root: &SnapshotRoot) -> Result<Option<Self>> {
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
    let (number, of) = (number(&mut reader)?, number(&mut reader)?);
    if of == 0 || number > of {
        return Err(wire::Malformed::new("a part that a run does not have"));
    }
    let series = reader.text()?.to_owned();
    let (stored, directories_met) = (reader.i64()?, reader.varint()?);
    let count = reader.count(2)?;
    let mut missed = Vec::new();
    for _ in 0..count {
        let path = reader.string()?.to_vec();
        let gone_from = match reader.u8()? {
            0 => None,
            _ => Some(reader.string()?.to_vec()),
        };
        missed.push(Missed { path, gone_from });
    }
    reader.finish()?;
    Ok(Part { run, number, of, series, stored, directories_met, missed })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SnapshotId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_part_is_read_back(
            run: String, series: String, stored: i64, of in 1..=Shard::MOST, number: u32, directories_met: u64,
            missed: Vec<(Vec<u8>, Option<Vec<u8>>)>,
        ) {
            let missed = missed.into_iter().map(|(path, gone_from)| Missed { path, gone_from }).collect();
            let part = Part { run, number: number % (of + 1), of, series, stored, directories_met, missed };
            let mut root = SnapshotRoot::nothing(SnapshotId::new([1; 16]));
            prop_assert_eq!(Part::of(&root).unwrap(), None);
            part.mark(&mut root);
            let mut again = SnapshotRoot::decode(&root.encode()).unwrap();
            prop_assert_eq!(Part::of(&again).unwrap(), Some(part));
            let value = again.properties[0].value.clone();
            for cut in (0..value.len()).take(100) {
                again.properties[0].value.truncate(cut);
                prop_assert!(Part::of(&again).is_err());
                again.properties[0].value.clone_from(&value);
            }
            again.properties[0].value[1] = 9;
            let is_later = matches!(Part::of(&again), Err(Error::Unsupported { .. }));
            prop_assert!(is_later);
        }
    }

    #[test]
    fn a_part_names_missing_files_up_to_a_limit() {
        let missed = (0..MISSED + 5).map(|n| Missed { path: n.to_string().into_bytes(), gone_from: None }).collect();
        let part =
            Part { run: "r".into(), number: 1, of: 2, series: "s".into(), stored: 0, directories_met: 0, missed };
        let mut root = SnapshotRoot::nothing(SnapshotId::new([1; 16]));
        part.mark(&mut root);
        assert_eq!(Part::of(&root).unwrap().unwrap().missed.len(), MISSED);
    }
}
