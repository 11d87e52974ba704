//! The root of a snapshot: what belongs to it as a whole. A chunk of its own kind, named by the log.

use super::datum::{DatumReader, DatumWriter, read_properties, write_properties};
use super::entry::Property;
use super::manifest::ManifestReader;
use crate::chunk::ChunkSource;
use crate::id::{ChunkId, SnapshotId};
use crate::recipe::{Reference, Stream, Tree};
use crate::wire::{Malformed, Reader, Result};

/// What belongs to a snapshot as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotRoot {
    /// Id of the snapshot; a replaced root keeps it.
    pub id: SnapshotId,
    /// What it is one of: the snapshots of a series follow each other.
    pub series: String,
    /// The host that it was made on.
    pub host: String,
    /// Who made it.
    pub user: String,
    /// When it was begun, nanoseconds since 1970 (UTC).
    pub time: i64,
    /// What was saved, as absolute paths. Where `path_list` is not empty, only the first of them.
    pub paths: Vec<Vec<u8>>,
    /// What people say about it.
    pub tags: Vec<String>,
    /// The snapshot that it was compared with.
    pub parent: Option<SnapshotId>,
    /// The program that made it.
    pub program: String,
    /// Features that must be known to read it.
    pub required_read: u64,
    /// How often the root was replaced before this one. The higher one is the later one, where a pack has both.
    pub revision: u64,
    /// When content of the snapshot was last changed on purpose, nanoseconds since 1970 (UTC). Earlier roots must not come
    /// back then.
    pub altered: Option<i64>,
    /// How many files and bytes it has.
    pub totals: Totals,
    /// What was left out, and why.
    pub rules: Vec<Rule>,
    /// All paths, each as its length (a varint) and its bytes, where there are too many for the root; else empty.
    pub path_list: Stream,
    /// Its manifest; none if that has no rows.
    pub manifest: Option<Tree>,
    /// What later versions say about it. Names that are not known are kept and have no effect.
    pub properties: Vec<Property>,
}

/// One reason for leaving something out of a snapshot (`docs/format.md`, "Snapshot root", lists the names).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Name of the kind of rule (`snapshot::rules`).
    pub name: String,
    /// What it is about: a pattern, a path, a number.
    pub value: Vec<u8>,
}

/// The figures of a snapshot.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Regular files.
    pub files: u64,
    /// Directories.
    pub directories: u64,
    /// Links, pipes and devices.
    pub others: u64,
    /// Bytes of all regular files.
    pub bytes: u64,
    /// What could not be read and is not in the manifest.
    pub unreadable: u64,
}

const VERSION: i64 = 1;

impl SnapshotRoot {
    /// The root of a snapshot that holds nothing and says nothing about itself.
    pub fn nothing(id: SnapshotId) -> Self {
        Self {
            id,
            series: String::new(),
            host: String::new(),
            user: String::new(),
            time: 0,
            paths: Vec::new(),
            tags: Vec::new(),
            parent: None,
            program: String::new(),
            required_read: 0,
            revision: 0,
            altered: None,
            totals: Totals::default(),
            rules: Vec::new(),
            path_list: Stream::Empty,
            manifest: None,
            properties: Vec::new(),
        }
    }

    /// The bytes of the root, as the schema [`ROOT`](super::schema::ROOT) has it.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = DatumWriter(&mut bytes);
        writer.long(VERSION);
        writer.fixed(self.id.as_bytes());
        for text in [&self.series, &self.host, &self.user] {
            writer.bytes(text.as_bytes());
        }
        writer.long(self.time);
        writer.array(&self.paths, |writer, path| writer.bytes(path));
        writer.array(&self.tags, |writer, tag| writer.bytes(tag.as_bytes()));
        writer.option(self.parent, |writer, parent| writer.fixed(parent.as_bytes()));
        writer.bytes(self.program.as_bytes());
        writer.unsigned(self.required_read);
        writer.unsigned(self.revision);
        writer.option(self.altered, DatumWriter::long);
        let Totals { files, directories, others, bytes: content, unreadable } = self.totals;
        for number in [files, directories, others, content, unreadable] {
            writer.unsigned(number);
        }
        writer.array(&self.rules, |writer, rule| {
            writer.bytes(rule.name.as_bytes());
            writer.bytes(&rule.value);
        });
        let mut path_list = Vec::new();
        self.path_list.write(&mut path_list);
        writer.bytes(&path_list);
        writer.option(self.manifest.as_ref(), |writer, tree| {
            writer.unsigned(u64::from(tree.height));
            writer.fixed(tree.root.id.as_bytes());
            writer.unsigned(tree.root.length);
            writer.unsigned(tree.root.records);
            writer.bytes(&tree.root.last);
        });
        write_properties(&mut writer, &self.properties);
        bytes
    }

    /// Reads what [`encode`](SnapshotRoot::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Result<Self> {
        let mut reader = DatumReader { rest: bytes };
        match reader.long()? {
            VERSION => {}
            other => return Err(Malformed(format!("a snapshot root of version {other}, this is version {VERSION}"))),
        }
        let id = SnapshotId::new(reader.fixed()?);
        let (series, host, user) = (reader.text()?, reader.text()?, reader.text()?);
        let time = reader.long()?;
        let paths = reader.array(|reader| Ok(reader.bytes()?.to_vec()))?;
        let tags = reader.array(DatumReader::text)?;
        let parent = reader.option(|reader| reader.fixed().map(SnapshotId::new))?;
        let program = reader.text()?;
        let required_read = reader.unsigned()?;
        let revision = reader.unsigned()?;
        let altered = reader.option(DatumReader::long)?;
        let totals = Totals {
            files: reader.unsigned()?,
            directories: reader.unsigned()?,
            others: reader.unsigned()?,
            bytes: reader.unsigned()?,
            unreadable: reader.unsigned()?,
        };
        let rules = reader.array(|reader| Ok(Rule { name: reader.text()?, value: reader.bytes()?.to_vec() }))?;
        let mut path_list = Reader::new(reader.bytes()?);
        let paths_in_full = Stream::read(&mut path_list)?;
        path_list.finish()?;
        let manifest = reader.option(|reader| {
            let height = u8::try_from(reader.long()?).map_err(|_| Malformed::new("an impossible tree"))?;
            let id = ChunkId::new(reader.fixed()?);
            let (length, records) = (reader.unsigned()?, reader.unsigned()?);
            Ok(Tree { root: Reference { id, length, records, last: reader.bytes()?.to_vec() }, height })
        })?;
        let properties = read_properties(&mut reader)?;
        match reader.rest.len() {
            0 => Ok(Self {
                id,
                series,
                host,
                user,
                time,
                paths,
                tags,
                parent,
                program,
                required_read,
                revision,
                altered,
                totals,
                rules,
                path_list: paths_in_full,
                manifest,
                properties,
            }),
            left => Err(Malformed(format!("{left} bytes too many in a snapshot root"))),
        }
    }

    /// A reader of its manifest.
    pub fn rows<S: ChunkSource>(&self, source: S) -> ManifestReader<S> {
        ManifestReader::new(self.manifest.as_ref(), source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_root_is_read_back(
            ids: ([u8; 16], Option<[u8; 16]>, [u8; 32]), texts: (String, String, String, String), time: i64,
            paths: Vec<Vec<u8>>, tags: Vec<String>, numbers: (u32, u32, u32, u64, u32), height: u8, tree: bool,
            revision: u64, altered: Option<i64>,
        ) {
            let reference = Reference { id: ChunkId::new(ids.2), length: numbers.3, records: 7, last: b"z".to_vec() };
            let root = SnapshotRoot {
                id: SnapshotId::new(ids.0),
                series: texts.0,
                host: texts.1,
                user: texts.2,
                time,
                paths,
                tags,
                parent: ids.1.map(SnapshotId::new),
                program: texts.3,
                required_read: 5,
                revision,
                altered,
                totals: Totals {
                    files: numbers.0.into(),
                    directories: numbers.1.into(),
                    others: numbers.2.into(),
                    bytes: numbers.3,
                    unreadable: numbers.4.into(),
                },
                rules: vec![Rule { name: "exclude".into(), value: b"*.log".to_vec() }],
                path_list: Stream::Inline(b"\x01x".to_vec()),
                manifest: tree.then_some(Tree { root: reference, height }),
                properties: vec![Property { name: "org.example".into(), value: vec![0, 255] }],
            };
            let bytes = root.encode();
            let schema = crate::avro::schema::Schema::parse(super::super::schema::ROOT).unwrap();
            prop_assert_eq!(schema.skip(&bytes, 0), Ok(bytes.len()));
            prop_assert_eq!(SnapshotRoot::decode(&bytes)?, root);
            for cut in 0..bytes.len() {
                prop_assert!(SnapshotRoot::decode(&bytes[..cut]).is_err());
            }
        }
    }
}
