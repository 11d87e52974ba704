//! Manifest lists and manifests: Avro files, of which a few fields are read and rewritten. All other bytes of a record stay as they are.

use super::location::LocationMap;
use super::{Flaw, Result};
use crate::avro::codec::{Codec, Decoder, MAX_DECODED};
use crate::avro::container::{Header, Parsed, parse_block, parse_header, put_block_header};
use crate::avro::field_path::FieldPath;
use crate::avro::locate::{Located, Locator};
use crate::avro::schema::Schema;
use crate::avro::varint;

/// The longest manifest or manifest list that is read, in bytes.
pub const MAX_MANIFEST: u64 = 512 << 20;

/// What an entry of a manifest says of a file that was there before.
const DELETED: i64 = 2;

/// A manifest that a list names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestOfTable {
    /// Where it is.
    pub location: String,
    /// How long it is, in bytes.
    pub length: u64,
}

/// What a file of a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Rows.
    Data,
    /// Which rows of which files are gone, as files that name those by their paths.
    PositionDeletes,
    /// The same, as bitmaps in a Puffin file.
    DeletionVectors,
    /// Values: rows that have them are gone. No paths stand in it.
    EqualityDeletes,
}

/// A file that a manifest names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileOfTable {
    /// Where it is.
    pub location: String,
    /// How long it is, in bytes.
    pub length: u64,
    /// What it holds.
    pub content: Content,
    /// Whether it belongs to the state of the table: else the entry says that it was taken out.
    pub is_live: bool,
}

/// The manifests that a manifest list names.
///
/// # Errors
/// If it is no sound manifest list.
pub fn manifests_in(bytes: &[u8]) -> Result<Vec<ManifestOfTable>> {
    let mut manifests = Vec::new();
    let file = Opened::new(bytes, LIST_FIELDS)?;
    file.records(&mut |record, fields| {
        manifests.push(ManifestOfTable { location: fields.text(record, 0)?, length: fields.length(record, 1)? });
        Ok(())
    })?;
    Ok(manifests)
}

const LIST_FIELDS: &[&str] = &["manifest_path", "manifest_length"];

/// Hands each file that a manifest names to `each`.
///
/// # Errors
/// If it is no sound manifest; those of `each`.
pub fn files_in(bytes: &[u8], each: &mut dyn FnMut(FileOfTable) -> Result<()>) -> Result<()> {
    let file = Opened::new(bytes, MANIFEST_FIELDS)?;
    file.records(&mut |record, fields| each(entry(record, fields)?))
}

const MANIFEST_FIELDS: &[&str] = &[
    "data_file.file_path",
    "data_file.file_size_in_bytes",
    "status",
    "data_file.content",
    "data_file.file_format",
    "data_file.referenced_data_file",
];

fn entry(record: &[u8], fields: &Fields<'_>) -> Result<FileOfTable> {
    let content = match fields.number(record, 3)?.unwrap_or(0) {
        0 => Content::Data,
        1 if fields.text(record, 4)?.eq_ignore_ascii_case("puffin") => Content::DeletionVectors,
        1 => Content::PositionDeletes,
        2 => Content::EqualityDeletes,
        other => return Err(Flaw::new(format!("an entry has content of the unknown kind {other}"))),
    };
    let is_live = fields.number(record, 2)? != Some(DELETED);
    Ok(FileOfTable { location: fields.text(record, 0)?, length: fields.length(record, 1)?, content, is_live })
}

/// Encodes the payload of a block with a codec.
pub type Encode<'e> = dyn FnMut(Codec, &[u8], &mut Vec<u8>) -> Result<()> + 'e;

/// A manifest of a table that moved. Header, schema and codec are as they were, and so is all of its entries but locations.
///
/// # Errors
/// If it is no sound manifest, a location is covered by none of the mappings, or a live file holds paths itself.
pub fn rewritten_manifest(bytes: &[u8], maps: &[LocationMap], encode: &mut Encode<'_>) -> Result<Vec<u8>> {
    let file = Opened::new(bytes, MANIFEST_FIELDS)?;
    file.rewritten(encode, &mut |record, fields| {
        let found = entry(record, fields)?;
        let what = match found.content {
            Content::PositionDeletes => "position deletes",
            Content::DeletionVectors => "deletion vectors",
            Content::Data | Content::EqualityDeletes => "",
        };
        if found.is_live && !what.is_empty() {
            return Err(Flaw::new(format!(
                "it has {what} ({}), which name data files by paths that stand inside of them",
                found.location
            )));
        }
        let mut edits = vec![(0, put_text(&LocationMap::of(maps, &found.location)?))];
        if fields.get(5).is_some() {
            edits.push((5, put_text(&LocationMap::of(maps, &fields.text(record, 5)?)?)));
        }
        Ok(edits)
    })
}

/// A manifest list of a table that moved. `length` says how long the manifest at an (old) location is now.
///
/// # Errors
/// If it is no sound manifest list, or a location is covered by none of the mappings; those of `length`.
pub fn rewritten_list(
    bytes: &[u8],
    maps: &[LocationMap],
    length: &mut dyn FnMut(&str) -> Result<u64>,
    encode: &mut Encode<'_>,
) -> Result<Vec<u8>> {
    let file = Opened::new(bytes, LIST_FIELDS)?;
    file.rewritten(encode, &mut |record, fields| {
        let location = fields.text(record, 0)?;
        let mut number = Vec::new();
        let length = length(&location)?;
        varint::encode(&mut number, i64::try_from(length).map_err(|_| Flaw::new("a manifest is too long"))?);
        Ok(vec![(0, put_text(&LocationMap::of(maps, &location)?)), (1, number)])
    })
}

fn put_text(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    varint::encode(&mut bytes, text.len() as i64);
    bytes.extend_from_slice(text.as_bytes());
    bytes
}

/// The fields of a record that were asked for.
struct Fields<'f> {
    names: &'f [&'static str],
    /// For each name its place in `found`; none where the schema does not have it.
    places: &'f [Option<usize>],
    found: &'f [Option<Located>],
}

impl Fields<'_> {
    fn get(&self, field: usize) -> Option<&Located> {
        let place = self.places.get(field).copied().flatten()?;
        self.found.get(place)?.as_ref()
    }

    fn wrong(&self, field: usize) -> Flaw {
        Flaw::new(format!("an entry has no sound {}", self.names.get(field).copied().unwrap_or_default()))
    }

    fn number(&self, record: &[u8], field: usize) -> Result<Option<i64>> {
        let Some(located) = self.get(field) else { return Ok(None) };
        varint::decode(located.bytes(record)).map(|long| Some(long.value)).map_err(|_| self.wrong(field))
    }

    fn length(&self, record: &[u8], field: usize) -> Result<u64> {
        let number = self.number(record, field)?.and_then(|number| u64::try_from(number).ok());
        number.ok_or_else(|| self.wrong(field))
    }

    fn text(&self, record: &[u8], field: usize) -> Result<String> {
        let bytes = self.get(field).ok_or_else(|| self.wrong(field))?.bytes(record);
        let long = varint::decode(bytes).map_err(|_| self.wrong(field))?;
        let text = bytes.get(long.used..).and_then(|text| std::str::from_utf8(text).ok());
        text.filter(|text| text.len() as i64 == long.value).map(str::to_owned).ok_or_else(|| self.wrong(field))
    }
}

/// A manifest or a list, of which some fields are looked at. Fields that the schema does not have are not found.
struct Opened<'b> {
    bytes: &'b [u8],
    header: Header,
    schema: Schema,
    codec: Codec,
    names: &'static [&'static str],
    places: Vec<Option<usize>>,
    locator: Locator,
}

/// New bytes for some fields, by their places.
type Edits = Vec<(usize, Vec<u8>)>;

impl<'b> Opened<'b> {
    fn new(bytes: &'b [u8], names: &'static [&'static str]) -> Result<Self> {
        let Parsed::Done(header) = parse_header(bytes) else { return Err(Flaw::new("it is no Avro file")) };
        let text = header.schema_text().ok_or_else(|| Flaw::new("its header has no schema"))?;
        let schema = Schema::parse(text).map_err(|error| Flaw::new(format!("its schema is not sound: {error}")))?;
        let name = header.codec_name();
        let codec = Codec::from_name(name).ok_or_else(|| Flaw::new(format!("its codec {name:?} is not known")))?;
        let (mut paths, mut places): (Vec<FieldPath>, Vec<Option<usize>>) = Default::default();
        for name in names {
            let path: FieldPath = name.parse().map_err(|_| Flaw::new(format!("{name} is no field")))?;
            let is_there = Locator::new(&schema, std::slice::from_ref(&path)).is_ok();
            places.push(is_there.then_some(paths.len()));
            if is_there {
                paths.push(path);
            }
        }
        let locator = Locator::new(&schema, &paths).map_err(|error| Flaw::new(error.to_string()))?;
        if places.iter().take(2).any(Option::is_none) {
            return Err(Flaw::new(format!(
                "its records have no {}",
                names.iter().take(2).copied().collect::<Vec<_>>().join(", ")
            )));
        }
        Ok(Self { bytes, header, schema, codec, names, places, locator })
    }

    /// Hands each block, decoded, to `each`: how many records it has, and these.
    fn blocks(&self, each: &mut dyn FnMut(u64, &[u8]) -> Result<()>) -> Result<()> {
        let (mut at, mut plain, mut decoder) = (self.header.length, Vec::new(), Decoder::new());
        while at < self.bytes.len() {
            let rest = self.bytes.get(at..).unwrap_or_default();
            let Parsed::Done(block) = parse_block(rest, &self.header.marker) else {
                return Err(Flaw::new("one of its blocks is not sound"));
            };
            let payload = rest.get(block.payload()).unwrap_or_default();
            let decoded = decoder.decode_unfinished(self.codec, payload, MAX_DECODED, &mut plain);
            decoded.map_err(|error| Flaw::new(format!("one of its blocks does not decode: {error}")))?;
            each(block.count, &plain)?;
            at += block.length();
        }
        Ok(())
    }

    fn each_record(
        &self,
        count: u64,
        plain: &[u8],
        found: &mut Vec<Option<Located>>,
        each: &mut dyn FnMut(&[u8], &Fields<'_>) -> Result<()>,
    ) -> Result<()> {
        let (wrong, mut at) = (|_| Flaw::new("one of its records is not sound"), 0);
        for _ in 0..count {
            let end = self.schema.skip(plain, at).map_err(wrong)?;
            let record = plain.get(at..end).unwrap_or_default();
            self.locator.find(record, found).map_err(wrong)?;
            each(record, &Fields { names: self.names, places: &self.places, found })?;
            at = end;
        }
        if at == plain.len() { Ok(()) } else { Err(Flaw::new("one of its blocks has more than its records")) }
    }

    fn records(&self, each: &mut dyn FnMut(&[u8], &Fields<'_>) -> Result<()>) -> Result<()> {
        let mut found = Vec::new();
        self.blocks(&mut |count, plain| self.each_record(count, plain, &mut found, each))
    }

    /// The same file with other bytes in some fields.
    fn rewritten(
        &self,
        encode: &mut Encode<'_>,
        edit: &mut dyn FnMut(&[u8], &Fields<'_>) -> Result<Edits>,
    ) -> Result<Vec<u8>> {
        let mut out = self.bytes.get(..self.header.length).unwrap_or_default().to_vec();
        let (mut found, mut edited, mut payload) = (Vec::new(), Vec::new(), Vec::new());
        self.blocks(&mut |count, plain| {
            edited.clear();
            self.each_record(count, plain, &mut found, &mut |record, fields| {
                let edits = edit(record, fields)?;
                let placed = edits.into_iter().filter_map(|(field, new)| Some((fields.get(field)?.range.clone(), new)));
                let mut placed: Vec<_> = placed.collect();
                placed.sort_by_key(|(range, _)| range.start);
                let mut at = 0;
                for (range, new) in placed {
                    edited.extend_from_slice(record.get(at..range.start).unwrap_or_default());
                    edited.extend_from_slice(&new);
                    at = range.end;
                }
                edited.extend_from_slice(record.get(at..).unwrap_or_default());
                Ok(())
            })?;
            payload.clear();
            encode(self.codec, &edited, &mut payload)?;
            put_block_header(&mut out, count, payload.len());
            out.extend_from_slice(&payload);
            out.extend_from_slice(&self.header.marker);
            Ok(())
        })?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::container::encode_header;

    const LIST: &str = r#"{"type":"record","name":"manifest_file","fields":[
        {"name":"manifest_path","type":"string","field-id":500},{"name":"manifest_length","type":"long","field-id":501},
        {"name":"added","type":["null","long"],"default":null}]}"#;
    const MANIFEST: &str = r#"{"type":"record","name":"manifest_entry","fields":[
        {"name":"status","type":"int"},{"name":"snapshot_id","type":["null","long"]},
        {"name":"data_file","type":{"type":"record","name":"r2","fields":[
            {"name":"content","type":"int"},{"name":"file_path","type":"string"},{"name":"file_format","type":"string"},
            {"name":"file_size_in_bytes","type":"long"},
            {"name":"referenced_data_file","type":["null","string"],"default":null}]}}]}"#;

    fn file(schema: &str, records: &[Vec<u8>]) -> Vec<u8> {
        let entries: Vec<(&[u8], &[u8])> =
            vec![(b"avro.schema", schema.as_bytes()), (b"avro.codec", b"null"), (b"format-version", b"2")];
        let mut bytes = encode_header(entries.into_iter(), &[7; 16]);
        // Two blocks, where there is more than one record.
        for records in records.chunks(2) {
            let plain = records.concat();
            put_block_header(&mut bytes, records.len() as u64, plain.len());
            bytes.extend_from_slice(&plain);
            bytes.extend_from_slice(&[7; 16]);
        }
        bytes
    }

    fn listed(path: &str, length: i64) -> Vec<u8> {
        let mut record = put_text(path);
        varint::encode(&mut record, length);
        record.extend_from_slice(&[2, 18]);
        record
    }

    fn data(status: i64, content: i64, path: &str, format: &str, referenced: Option<&str>) -> Vec<u8> {
        let mut record = Vec::new();
        varint::encode(&mut record, status);
        record.push(0);
        varint::encode(&mut record, content);
        record.extend(put_text(path));
        record.extend(put_text(format));
        varint::encode(&mut record, 1000);
        match referenced {
            None => record.push(0),
            Some(text) => record.extend([&[2][..], &put_text(text)].concat()),
        }
        record
    }

    fn copied(_: Codec, plain: &[u8], out: &mut Vec<u8>) -> Result<()> {
        out.extend_from_slice(plain);
        Ok(())
    }

    fn maps() -> Vec<LocationMap> {
        vec!["file:///wh=s3://lake/warehouse".parse().unwrap()]
    }

    #[test]
    fn lists_are_read_and_rewritten() {
        let list = file(LIST, &[listed("/wh/a.avro", 5), listed("file:///wh/b.avro", 6), listed("/wh/c.avro", 7)]);
        let read = |bytes: &[u8]| -> Vec<_> {
            manifests_in(bytes).unwrap().into_iter().map(|found| (found.location, found.length)).collect()
        };
        assert_eq!(read(&list)[1], ("file:///wh/b.avro".into(), 6));
        let mut length = |location: &str| Ok(1000 + location.len() as u64);
        let moved = rewritten_list(&list, &maps(), &mut length, &mut copied).unwrap();
        assert_eq!(read(&moved)[0], ("s3://lake/warehouse/a.avro".into(), 1010));
        assert_eq!(read(&moved)[1], ("s3://lake/warehouse/b.avro".into(), 1017));
        // All else is as it was.
        let same: [LocationMap; 1] = ["/wh=/wh".parse().unwrap()];
        let lengths = read(&list);
        let mut length = |location: &str| Ok(lengths.iter().find(|known| known.0 == location).unwrap().1);
        assert_eq!(
            rewritten_list(&list, &same, &mut length, &mut copied).unwrap().len() + 7,
            list.len(),
            "file:// is gone"
        );
        let elsewhere = vec!["/other=/x".parse().unwrap()];
        let refused = rewritten_list(&list, &elsewhere, &mut |_| Ok(1), &mut copied).unwrap_err();
        assert!(refused.0.contains("covers the location /wh/a.avro"));
    }

    #[test]
    fn manifests_are_read_and_rewritten() {
        let manifest = file(
            MANIFEST,
            &[
                data(1, 0, "/wh/1.parquet", "PARQUET", None),
                data(2, 1, "/wh/gone.parquet", "PARQUET", Some("/wh/1.parquet")),
                data(0, 2, "/wh/3.parquet", "parquet", None),
            ],
        );
        let read = |bytes: &[u8]| {
            let mut all = Vec::new();
            files_in(bytes, &mut |found| {
                all.push((found.location, found.content, found.is_live, found.length));
                Ok(())
            })
            .map(|()| all)
        };
        let found = read(&manifest).unwrap();
        assert_eq!(found[1], ("/wh/gone.parquet".into(), Content::PositionDeletes, false, 1000));
        assert_eq!(found[2], ("/wh/3.parquet".into(), Content::EqualityDeletes, true, 1000));
        let moved = rewritten_manifest(&manifest, &maps(), &mut copied).unwrap();
        assert_eq!(read(&moved).unwrap()[0].0, "s3://lake/warehouse/1.parquet");
        assert!(
            String::from_utf8_lossy(&moved).matches("s3://lake/warehouse/1.parquet").count() == 2,
            "the reference, too"
        );
        let same = vec!["/wh=/wh".parse().unwrap()];
        assert_eq!(rewritten_manifest(&manifest, &same, &mut copied).unwrap(), manifest);
        for (format, what) in [("PARQUET", "position deletes"), ("PUFFIN", "deletion vectors")] {
            let deletes = file(MANIFEST, &[data(0, 1, "/wh/d", format, None)]);
            assert!(rewritten_manifest(&deletes, &same, &mut copied).unwrap_err().0.contains(what));
        }
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let list = file(LIST, &[listed("/wh/a.avro", 5)]);
        assert!(files_in(&list, &mut |_| Ok(())).is_err(), "a list is no manifest");
        for cut in 0..list.len() {
            let _ = manifests_in(&list[..cut]);
        }
        for at in 0..list.len() {
            let mut broken = list.clone();
            broken[at] ^= 0x55;
            let _ = manifests_in(&broken);
        }
        assert!(manifests_in(b"").is_err() && manifests_in(&list[..list.len() - 1]).is_err());
    }
}
