//! Rows as bytes.

use super::datum::{DatumReader, DatumWriter};
use super::datum::{read_properties, write_properties};
use super::entry::{AvroFacts, AvroState, Device, EntryKind, FileEntry, Origin, Time, Xattr};
use crate::id::ContentHash;
use crate::wire::{Malformed, Result};

/// Appends a row, as the schema [`ROW`](super::schema::ROW) has it.
pub fn encode_row(entry: &FileEntry, out: &mut Vec<u8>) {
    let mut writer = DatumWriter(out);
    let (kind, target, device) = match &entry.kind {
        EntryKind::File => (0, None, None),
        EntryKind::Directory => (1, None, None),
        EntryKind::Symlink(target) => (2, Some(target), None),
        EntryKind::Fifo => (3, None, None),
        EntryKind::CharDevice(device) => (4, None, Some(device)),
        EntryKind::BlockDevice(device) => (5, None, Some(device)),
    };
    writer.bytes(&entry.path);
    writer.unsigned(kind);
    for number in [entry.mode, entry.uid, entry.gid] {
        writer.unsigned(u64::from(number));
    }
    writer.option(entry.user.as_ref(), |writer, name| writer.bytes(name.as_bytes()));
    writer.option(entry.group.as_ref(), |writer, name| writer.bytes(name.as_bytes()));
    for time in [entry.mtime, entry.ctime] {
        writer.long(time.seconds);
        writer.unsigned(u64::from(time.nanos));
    }
    writer.unsigned(entry.inode);
    writer.unsigned(entry.size);
    writer.boolean(entry.racy);
    writer.boolean(entry.sparse);
    writer.option(target, |writer, target| writer.bytes(target));
    writer.option(device, |writer, device| {
        writer.unsigned(u64::from(device.major));
        writer.unsigned(u64::from(device.minor));
    });
    writer.option(entry.hard_link.as_ref(), |writer, path| writer.bytes(path));
    writer.array(&entry.xattrs, |writer, xattr| {
        writer.bytes(&xattr.name);
        writer.bytes(&xattr.value);
    });
    writer.option(entry.content, |writer, hash| writer.fixed(hash.as_bytes()));
    writer.bytes(&entry.recipe);
    writer.option(entry.avro.as_ref(), |writer, facts| {
        writer.unsigned(facts.state as u64);
        writer.bytes(facts.codec.as_bytes());
        writer.fixed(&facts.fingerprint.to_le_bytes());
        for number in [facts.blocks, facts.declared_records, facts.verified_records] {
            writer.unsigned(number);
        }
        writer.bytes(facts.encoder.as_bytes());
        for number in [facts.blocks_exact, facts.blocks_corrected, facts.blocks_raw] {
            writer.unsigned(number);
        }
        writer.bytes(facts.raw_reason.as_bytes());
        writer.unsigned(facts.stray_bytes);
    });
    writer.option(entry.origin.as_ref(), |writer, origin| {
        writer.bytes(origin.tag.as_bytes());
        writer.option(origin.version.as_ref(), |writer, version| writer.bytes(version.as_bytes()));
    });
    writer.option(entry.altered, DatumWriter::long);
    write_properties(&mut writer, &entry.properties);
}

fn time(reader: &mut DatumReader<'_>) -> Result<Time> {
    let (seconds, nanos) = (reader.long()?, reader.u32()?);
    match nanos < 1_000_000_000 {
        true => Ok(Time { seconds, nanos }),
        false => Err(Malformed::new("a time with more than a second of nanoseconds")),
    }
}

/// Reads the row that `bytes` begin with, and leaves what follows it.
pub fn decode_row(bytes: &mut &[u8]) -> Result<FileEntry> {
    let mut reader = DatumReader { rest: bytes };
    let path = reader.bytes()?.to_vec();
    let kind = reader.symbol(6)?;
    let (mode, uid, gid) = (reader.u32()?, reader.u32()?, reader.u32()?);
    let (user, group) = (reader.option(DatumReader::text)?, reader.option(DatumReader::text)?);
    let (mtime, ctime) = (time(&mut reader)?, time(&mut reader)?);
    let (inode, size) = (reader.unsigned()?, reader.unsigned()?);
    let (racy, sparse) = (reader.boolean()?, reader.boolean()?);
    let target = reader.option(|reader| Ok(reader.bytes()?.to_vec()))?;
    let device = reader.option(|reader| Ok(Device { major: reader.u32()?, minor: reader.u32()? }))?;
    let no_device = Device { major: 0, minor: 0 };
    let kind = match kind {
        0 => EntryKind::File,
        1 => EntryKind::Directory,
        2 => EntryKind::Symlink(target.unwrap_or_default()),
        3 => EntryKind::Fifo,
        4 => EntryKind::CharDevice(device.unwrap_or(no_device)),
        _ => EntryKind::BlockDevice(device.unwrap_or(no_device)),
    };
    let hard_link = reader.option(|reader| Ok(reader.bytes()?.to_vec()))?;
    let xattrs =
        reader.array(|reader| Ok(Xattr { name: reader.bytes()?.to_vec(), value: reader.bytes()?.to_vec() }))?;
    let content = reader.option(|reader| reader.fixed().map(ContentHash::new))?;
    let recipe = reader.bytes()?.to_vec();
    let avro = reader.option(|reader| {
        Ok(AvroFacts {
            state: AvroState::ALL[reader.symbol(AvroState::ALL.len())?],
            codec: reader.text()?,
            fingerprint: u64::from_le_bytes(reader.fixed()?),
            blocks: reader.unsigned()?,
            declared_records: reader.unsigned()?,
            verified_records: reader.unsigned()?,
            encoder: reader.text()?,
            blocks_exact: reader.unsigned()?,
            blocks_corrected: reader.unsigned()?,
            blocks_raw: reader.unsigned()?,
            raw_reason: reader.text()?,
            stray_bytes: reader.unsigned()?,
        })
    })?;
    let origin =
        reader.option(|reader| Ok(Origin { tag: reader.text()?, version: reader.option(DatumReader::text)? }))?;
    let altered = reader.option(DatumReader::long)?;
    let properties = read_properties(&mut reader)?;
    *bytes = reader.rest;
    Ok(FileEntry {
        path,
        kind,
        mode,
        uid,
        gid,
        user,
        group,
        mtime,
        ctime,
        inode,
        size,
        racy,
        sparse,
        hard_link,
        xattrs,
        content,
        recipe,
        avro,
        origin,
        altered,
        properties,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::entry::Property;
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn entries() -> impl Strategy<Value = FileEntry> {
        let device =
            (any::<u32>(), any::<u32>()).prop_map(|(major, minor)| Device { major: major >> 1, minor: minor >> 1 });
        let kind = prop_oneof![
            Just(EntryKind::File),
            Just(EntryKind::Directory),
            any::<Vec<u8>>().prop_map(EntryKind::Symlink),
            Just(EntryKind::Fifo),
            device.clone().prop_map(EntryKind::CharDevice),
            device.prop_map(EntryKind::BlockDevice),
        ];
        let xattr = any::<(Vec<u8>, Vec<u8>)>().prop_map(|(name, value)| Xattr { name, value });
        let facts = (0..AvroState::ALL.len(), any::<(String, u64, u32, u32, u32, String)>()).prop_map(
            |(state, (codec, fingerprint, blocks, declared, verified, encoder))| AvroFacts {
                state: AvroState::ALL[state],
                codec,
                fingerprint,
                blocks: blocks.into(),
                declared_records: declared.into(),
                verified_records: verified.into(),
                encoder,
                blocks_exact: 1,
                blocks_corrected: 2,
                blocks_raw: 3,
                raw_reason: "kept".into(),
                stray_bytes: 4,
            },
        );
        let owner = any::<(u16, u16, u16, Option<String>, Option<String>)>();
        let time = || (any::<i64>(), 0..1_000_000_000u32).prop_map(|(seconds, nanos)| Time { seconds, nanos });
        let times = (time(), time(), any::<u64>(), any::<u64>(), any::<bool>(), any::<bool>());
        let origin = any::<(String, Option<String>)>().prop_map(|(tag, version)| Origin { tag, version });
        let property = any::<(String, Vec<u8>)>().prop_map(|(name, value)| Property { name, value });
        let later = (prop::option::of(origin), any::<Option<i64>>(), prop::collection::vec(property, 0..3));
        let rest = (prop::collection::vec(xattr, 0..3), any::<Option<[u8; 32]>>(), any::<Vec<u8>>());
        (any::<Vec<u8>>(), kind, owner, times, any::<Option<Vec<u8>>>(), rest, prop::option::of(facts), later).prop_map(
            |(path, kind, owner, times, hard_link, (xattrs, content, recipe), avro, (origin, altered, properties))| {
                FileEntry {
                    path,
                    kind,
                    mode: owner.0.into(),
                    uid: owner.1.into(),
                    gid: owner.2.into(),
                    user: owner.3,
                    group: owner.4,
                    mtime: times.0,
                    ctime: times.1,
                    inode: times.2,
                    size: times.3,
                    racy: times.4,
                    sparse: times.5,
                    hard_link,
                    xattrs,
                    content: content.map(ContentHash::new),
                    recipe,
                    avro,
                    origin,
                    altered,
                    properties,
                }
            },
        )
    }

    proptest! {
        #[test]
        fn a_row_is_read_back(entry in entries(), after: Vec<u8>) {
            let mut bytes = Vec::new();
            encode_row(&entry, &mut bytes);
            // The published schema says where the row ends, too.
            let schema = crate::avro::schema::Schema::parse(super::super::schema::ROW).unwrap();
            prop_assert_eq!(schema.skip(&bytes, 0), Ok(bytes.len()));
            bytes.extend(&after);
            let mut rest = &bytes[..];
            prop_assert_eq!(decode_row(&mut rest)?, entry);
            prop_assert_eq!(rest, &after[..]);
        }

        #[test]
        fn any_bytes_are_a_row_or_refused(entry in entries(), at: prop::sample::Index, to: u8, noise: Vec<u8>) {
            let mut bytes = Vec::new();
            encode_row(&entry, &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode_row(&mut &bytes[..]);
            let _ = decode_row(&mut &noise[..]);
        }
    }
}
