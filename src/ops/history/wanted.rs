//! A record that is looked for by its key, given as text.

use super::super::record_diff::{ReaderSchema, json};
use crate::avro::field_path::FieldPath;
use crate::avro::locate::{Located, Locator, types_of};
use crate::avro::records::{Encoding, Fields};
use crate::avro::schema::{Kind, NodeId, Schema};
use crate::avro::varint;
use crate::error::{Error, Result};

/// Fields that have these values, like `id=4711`.
#[derive(Debug)]
pub(super) struct Wanted {
    locator: Locator,
    fields: Vec<WantedField>,
}

#[derive(Debug)]
struct WantedField {
    text: String,
    /// What a value of each type must be.
    types: Vec<(NodeId, Value)>,
    may_be_null: bool,
    /// The field alone, as it is printed.
    printed: Fields,
    steps: usize,
}

/// How a value of a type is compared with a text.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Whole(i64),
    Number(f64),
    Octets(Vec<u8>),
    Boolean(bool),
    /// As records are printed.
    Printed,
}

fn refused(reason: String) -> Error {
    Error::argument("key", reason)
}

impl Wanted {
    /// Parses texts like `id=4711` and `customer.id=4711,day=2026-03-01` for records that are read with a schema.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if one is none, there is no such field, or no value of it is like that.
    pub(super) fn new(reader: &ReaderSchema, texts: &[String]) -> Result<Self> {
        let (mut paths, mut fields) = (Vec::new(), Vec::new());
        for text in texts {
            let mut rest = &**text;
            loop {
                let (path, value) = FieldPath::parse_prefix(rest)
                    .map_err(|error| refused(format!("key {text:?}: {error}; write FIELD=VALUE")))?;
                let value =
                    value.strip_prefix('=').ok_or_else(|| refused(format!("key {text:?}: write FIELD=VALUE")))?;
                let (value, more) = split(value);
                fields.push(WantedField::new(reader, &path, value)?);
                paths.push(path);
                match more {
                    Some(more) => rest = more,
                    None => break,
                }
            }
        }
        let locator = Locator::new(&reader.schema, &paths).map_err(|error| refused(format!("key: {error}")))?;
        Ok(Self { locator, fields })
    }

    /// Whether a record is the one.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn is(&self, reader: &ReaderSchema, record: &[u8]) -> Result<bool> {
        let mut found = Vec::new();
        self.locator
            .find(record, &mut found)
            .map_err(|error| Error::Internal(format!("a record that was read is none: {error}")))?;
        for (field, located) in self.fields.iter().zip(&found) {
            if !field.is(reader, record, located.as_ref())? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A value, and what follows after a comma. One in double quotes may hold commas; a quote in it is doubled.
fn split(text: &str) -> (String, Option<&str>) {
    if let Some(quoted) = text.strip_prefix('"') {
        let (mut value, mut rest) = (String::new(), quoted);
        while let Some((part, after)) = rest.split_once('"') {
            value.push_str(part);
            match after.strip_prefix('"') {
                Some(more) => {
                    value.push('"');
                    rest = more;
                }
                None if after.is_empty() => return (value, None),
                None => match after.strip_prefix(',') {
                    Some(more) => return (value, Some(more)),
                    None => break,
                },
            }
        }
    }
    match text.split_once(',') {
        // A comma that no other field follows is part of the value.
        Some((value, more)) if FieldPath::parse_prefix(more).is_ok_and(|(_, rest)| rest.starts_with('=')) => {
            (value.to_owned(), Some(more))
        }
        _ => (text.to_owned(), None),
    }
}

impl WantedField {
    fn new(reader: &ReaderSchema, path: &FieldPath, text: String) -> Result<Self> {
        let schema = &reader.schema;
        let types = types_of(schema, path).map_err(|error| refused(format!("key: {error}")))?;
        let is_null = |node: &NodeId| schema.node(*node).kind == Kind::Null;
        let may_be_null = text == "null" && (path.names().len() > 1 || types.iter().any(is_null));
        let values: Vec<_> =
            types.iter().filter_map(|node| Some((*node, value_of(schema, *node, &text)?))).collect();
        if values.is_empty() && !may_be_null {
            let kinds: Vec<String> = types.iter().map(|node| schema.say(*node)).collect();
            return Err(refused(format!("key: field {path} is {}, which {text:?} is not", kinds.join(" or "))));
        }
        let printed = Fields::new([&*path.names().join(".")], schema)
            .map_err(|error| refused(format!("key: {error}")))?;
        Ok(Self { text, types: values, may_be_null, printed, steps: path.names().len() })
    }

    fn is(&self, reader: &ReaderSchema, record: &[u8], located: Option<&Located>) -> Result<bool> {
        let Some(located) = located else { return Ok(self.may_be_null) };
        let bytes = located.bytes(record);
        let Some((_, value)) = self.types.iter().find(|(node, _)| *node == located.node) else { return Ok(false) };
        let kind = &reader.schema.node(located.node).kind;
        Ok(match value {
            Value::Whole(whole) => varint::decode(bytes).is_ok_and(|long| long.value == *whole),
            Value::Boolean(truth) => (bytes != [0]) == *truth,
            Value::Number(number) => match kind {
                Kind::Float => bytes.first_chunk().is_some_and(|b| f32::from_le_bytes(*b) == *number as f32),
                _ => bytes.first_chunk().is_some_and(|b| f64::from_le_bytes(*b) == *number),
            },
            Value::Octets(octets) => match kind {
                Kind::Fixed { .. } => bytes == octets,
                _ => varint::decode(bytes).is_ok_and(|length| bytes.get(length.used..) == Some(&octets[..])),
            },
            Value::Printed => self.is_printed(&json(reader, &self.printed, Encoding::Plain, record)?),
        })
    }

    /// Whether the innermost value of the JSON of a record with this field alone is the text.
    fn is_printed(&self, json: &str) -> bool {
        let Ok(mut value) = serde_json::from_str::<serde_json::Value>(json) else { return false };
        for _ in 0..self.steps {
            value = match value {
                serde_json::Value::Object(fields) => fields.into_iter().next().map_or_else(Default::default, |(_, v)| v),
                other => other,
            };
        }
        match value {
            serde_json::Value::String(text) => text == self.text,
            other => other.to_string() == self.text,
        }
    }
}

/// What a value of this type must be that the text stands for; none if there is none.
fn value_of(schema: &Schema, node: NodeId, text: &str) -> Option<Value> {
    let is_logical = schema.node(node).logical.is_some();
    match &schema.node(node).kind {
        Kind::Int | Kind::Long => match text.parse() {
            Ok(whole) => Some(Value::Whole(whole)),
            Err(_) if is_logical => Some(Value::Printed),
            Err(_) => None,
        },
        Kind::Float | Kind::Double => text.parse().ok().map(Value::Number),
        Kind::String => Some(Value::Octets(text.as_bytes().to_vec())),
        Kind::Boolean => text.parse().ok().map(Value::Boolean),
        Kind::Enum { symbols, .. } => {
            symbols.iter().position(|symbol| symbol == text).map(|place| Value::Whole(place as i64))
        }
        Kind::Bytes | Kind::Fixed { .. } if is_logical => Some(Value::Printed),
        Kind::Bytes | Kind::Fixed { .. } => {
            text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<_>>().map(Value::Octets)
        }
        Kind::Null | Kind::Record { .. } | Kind::Array { .. } | Kind::Map { .. } | Kind::Union { .. } => None,
    }
}
