//! A change feed as an Avro file: each change with both images of the record.
//!
//! The images have the schema that the records are read with, whose types are defined in `before` and named in what follows.

use serde::Deserialize;
use serde_json::json;

use super::change::{Operation, RecordChange};
use super::keys::Key;
use super::table::ReaderSchema;
use crate::avro::codec::Codec;
use crate::avro::container::{MARKER, encode_header, put_block_header};
use crate::avro::encoder::{EncoderId, Encoders};
use crate::avro::schema::{Kind, NodeId, Schema};
use crate::avro::varint;
use crate::error::{Error, Result};
use crate::id::digest;

/// How the blocks of a feed are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FeedCodec {
    /// Not at all.
    Null,
    /// What every reader knows.
    #[default]
    Deflate,
    /// Quicker, and mostly smaller.
    Zstandard,
}

impl FeedCodec {
    fn codec(self) -> Codec {
        match self {
            Self::Null => Codec::Null,
            Self::Deflate => Codec::Deflate,
            Self::Zstandard => Codec::Zstandard,
        }
    }

    fn encoder(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Deflate => "zlib:L6:M8",
            Self::Zstandard => "zstd-1.5.7:once:L3",
        }
    }
}

/// A block of a feed ends after this many bytes.
const BLOCK: usize = 64 << 10;

/// Writes changes as an Avro file.
#[derive(Debug)]
pub struct FeedWriter<'f> {
    key: Option<(&'f Key, Vec<KeyField>)>,
    schema: String,
    codec: FeedCodec,
    encoder: EncoderId,
    encoders: Encoders,
    marker: [u8; MARKER],
    block: Vec<u8>,
    count: u64,
}

/// A field of the key in a feed.
#[derive(Debug)]
struct KeyField {
    name: String,
    /// What it may be.
    types: Vec<NodeId>,
    /// It may be missing: its type is a union that begins with null.
    optional: bool,
}

impl<'f> FeedWriter<'f> {
    pub(super) fn new(reader: &'f ReaderSchema, key: Option<&'f Key>, codec: FeedCodec) -> Result<Self> {
        let key = key.map(|key| key_fields(reader, key).map(|fields| (key, fields))).transpose()?;
        let schema = schema_of(reader, key.as_ref().map(|(_, fields)| &fields[..]))?;
        let encoder = codec.encoder();
        let encoder = encoder.parse().map_err(|_| Error::Internal(format!("there is no encoder {encoder}")))?;
        let mut marker = [0; MARKER];
        // It need not be secret, only unlike the data.
        marker.copy_from_slice(&digest(&[schema.as_bytes(), b"feed"].concat())[..MARKER]);
        let (encoders, block) = (Encoders::new(), Vec::new());
        Ok(Self { key, schema, codec, encoder, encoders, marker, block, count: 0 })
    }

    /// The schema of the feed.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The beginning of the file.
    pub fn header(&self) -> Vec<u8> {
        let entries = [("avro.schema", &*self.schema), ("avro.codec", self.codec.codec().name())];
        encode_header(entries.into_iter().map(|(key, value)| (key.as_bytes(), value.as_bytes())), &self.marker)
    }

    /// Adds a change. Returns the next bytes of the file, if a block is full.
    ///
    /// # Errors
    /// If a block cannot be compressed.
    pub fn push(&mut self, change: &RecordChange<'_>) -> Result<Option<Vec<u8>>> {
        let out = &mut self.block;
        let operation = Operation::ALL.iter().position(|operation| *operation == change.operation);
        varint::encode(out, operation.unwrap_or_default() as i64);
        put_string(out, &change.snapshot.id.to_string());
        varint::encode(out, change.snapshot.time.div_euclid(1000));
        for image in [change.before, change.after] {
            varint::encode(out, i64::from(image.is_some()));
            out.extend_from_slice(image.unwrap_or_default());
        }
        if let Some((key, fields)) = &self.key {
            let record = change.record();
            key.fields_of(record, |found| {
                for (field, located) in fields.iter().zip(found) {
                    let place = located.as_ref().and_then(|at| field.types.iter().position(|node| *node == at.node));
                    if field.optional {
                        varint::encode(out, place.map_or(0, |place| place as i64 + 1));
                    }
                    if let (Some(_), Some(located)) = (place, located) {
                        out.extend_from_slice(located.bytes(record));
                    }
                }
            })?;
        }
        if !change.changed.is_empty() {
            varint::encode(out, change.changed.len() as i64);
            change.changed.iter().for_each(|name| put_string(out, name));
        }
        varint::encode(out, 0);
        self.count += 1;
        if self.block.len() >= BLOCK { self.flush() } else { Ok(None) }
    }

    /// The last bytes of the file.
    ///
    /// # Errors
    /// As of [`push`](FeedWriter::push).
    pub fn finish(mut self) -> Result<Vec<u8>> {
        Ok(self.flush()?.unwrap_or_default())
    }

    fn flush(&mut self) -> Result<Option<Vec<u8>>> {
        if self.count == 0 {
            return Ok(None);
        }
        let (mut payload, mut bytes) = (Vec::new(), Vec::new());
        self.encoders
            .encode(&self.encoder, &self.block, &mut payload)
            .map_err(|error| Error::Internal(format!("a block of the feed was not compressed: {error}")))?;
        put_block_header(&mut bytes, std::mem::take(&mut self.count), payload.len());
        bytes.append(&mut payload);
        bytes.extend_from_slice(&self.marker);
        self.block.clear();
        Ok(Some(bytes))
    }
}

fn put_string(out: &mut Vec<u8>, text: &str) {
    varint::encode(out, text.len() as i64);
    out.extend_from_slice(text.as_bytes());
}

fn refused(reason: &str) -> Error {
    Error::argument("format", format!("no change feed can be written as Avro: {reason}"))
}

fn key_fields(reader: &ReaderSchema, key: &Key) -> Result<Vec<KeyField>> {
    let (mut fields, mut taken) = (Vec::new(), Vec::new());
    let types = key.types(reader)?;
    for (path, types) in key.paths.iter().zip(types) {
        let is_null = |node: &NodeId| reader.schema.node(*node).kind == Kind::Null;
        let optional = path.names().len() > 1 || types.len() != 1 || types.iter().any(is_null);
        let types = types.into_iter().filter(|node| !is_null(node)).collect();
        let mut name = path.names().join("_");
        while taken.contains(&name) {
            name.push('_');
        }
        let sound = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if !name.chars().all(sound) || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(refused("the name of a field of the key is none that readers of Avro take"));
        }
        taken.push(name.clone());
        fields.push(KeyField { name, types, optional });
    }
    Ok(fields)
}

/// The schema of a feed.
fn schema_of(reader: &ReaderSchema, key: Option<&[KeyField]>) -> Result<String> {
    let Kind::Record { name, .. } = &reader.schema.node(reader.schema.root()).kind else {
        return Err(refused("the records of the table are no records of fields"));
    };
    if let Some(flaw) = reader.schema.flaw() {
        return Err(refused(&format!("readers of Avro refuse the schema of the table: {flaw}")));
    }
    // Text that follows the JSON of a schema is passed over.
    let mut texts = serde_json::Deserializer::from_str(&reader.text).into_iter::<serde::de::IgnoredAny>();
    if !matches!(texts.next(), Some(Ok(_))) {
        return Err(refused("the schema of the table nests too deep"));
    }
    let image = reader.text.get(..texts.byte_offset()).unwrap_or_default();
    // Types without a namespace in the table's schema stay without one, and so do these; none may be called like another.
    let own = |name: &str| {
        let mut name = name.to_owned();
        while reader.text.contains(&name) {
            name.push('_');
        }
        name
    };
    let key = match key {
        None => json!("null"),
        Some(fields) => {
            let field = |field: &KeyField| {
                let mut types: Vec<_> = field.types.iter().map(|node| type_json(&reader.schema, *node)).collect();
                let kind = match (field.optional, types.len()) {
                    (false, 1) => types.remove(0),
                    _ => std::iter::once(json!("null")).chain(types).collect(),
                };
                json!({"name": field.name, "type": kind})
            };
            json!({"type": "record", "name": own("_Key"), "fields": fields.iter().map(field).collect::<Vec<_>>()})
        }
    };
    let operations = Operation::ALL.map(Operation::name);
    let operation = json!({"type": "enum", "name": own("_Operation"), "symbols": operations});
    let time = json!({"type": "long", "logicalType": "timestamp-micros"});
    let strings = json!({"type": "array", "items": "string"});
    Ok(format!(
        r#"{{"type":"record","name":"{}","fields":[{{"name":"_op","type":{operation}}},{{"name":"_snapshot","type":"string"}},{{"name":"_time","type":{time}}},{{"name":"before","type":["null",{image}],"default":null}},{{"name":"after","type":["null",{}],"default":null}},{{"name":"_key","type":{key}}},{{"name":"_changed","type":{strings}}}]}}"#,
        own("_Change"),
        json!(name),
    ))
}

/// A type of a schema that stands elsewhere: named types by their names.
fn type_json(schema: &Schema, id: NodeId) -> serde_json::Value {
    let node = schema.node(id);
    let plain = match &node.kind {
        Kind::Record { name, .. } | Kind::Enum { name, .. } | Kind::Fixed { name, .. } => return json!(name),
        Kind::Array { items } => return json!({"type": "array", "items": type_json(schema, *items)}),
        Kind::Map { values } => return json!({"type": "map", "values": type_json(schema, *values)}),
        Kind::Union { branches } => return branches.iter().map(|branch| type_json(schema, *branch)).collect(),
        primitive => primitive.primitive().unwrap_or_default(),
    };
    match (&node.logical, schema.decimal(id)) {
        (Some(logical), Some(digits)) => {
            json!({"type": plain, "logicalType": logical, "precision": digits.precision, "scale": digits.scale})
        }
        (Some(logical), None) => json!({"type": plain, "logicalType": logical}),
        (None, _) => json!(plain),
    }
}
