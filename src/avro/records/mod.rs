//! Records as JSON, in one of two encodings.
//!
//! [`Encoding::Plain`], for people and for tools that do not know Avro:
//!
//! - `null`, booleans and numbers are themselves; NaN and the infinities are the texts `"NaN"`, `"Infinity"` and
//!   `"-Infinity"`; a float has as many digits as distinguish it from other floats.
//! - Strings and symbols of enums are texts. Of a string that is not UTF-8, U+FFFD (the replacement character) stands for
//!   each part that is not valid: JSON has no way to write it, and the record is worth more than the letter. Bytes and fixed are
//!   texts, too, each byte being the character of that
//!   number (0 to 255), as Avro's JSON encoding has it.
//! - Records keep the order of their fields, maps that of their entries. The value of a union stands for itself, without
//!   the name of its branch.
//! - Logical types: decimals are texts like `"12.30"`; dates, times and timestamps texts like `"2026-03-01"`,
//!   `"12:30:00.000"`, `"2026-03-01T12:30:00.000Z"` (a local timestamp without the `Z`); a uuid is its usual text, a
//!   duration like `"P1M2DT3.004S"`. Years outside of 0 to 9999 have a sign, like `"+12345-01-01"`, times outside of a
//!   day more hours or a sign. A logical type that is not known, or that does not go with its type, changes nothing.
//!
//! [`Encoding::Avro`] is the "JSON Encoding" of the Avro specification 1.12: the same, but logical types change nothing,
//! and the value of a union is an object with the name of its branch, unless it is null.
//!
//! Memory is bounded whatever the schema and the data: a record is written in parts, types are followed by an explicit
//! stack, and what takes no bytes (of which few bytes can hold any number) may make 64 MiB of text in a record.

mod fields;
mod logical;
mod text;

use super::schema::{Field, Kind, NodeId, Schema};
use super::varint;
use crate::error::{Error, Result};
pub use fields::Fields;
#[cfg(test)]
pub(super) use logical::moment;
pub(super) use logical::of_bytes;
use text::Out;

/// Why records cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The bytes are not a record of the schema.
    #[error("the bytes are not a record of the schema")]
    Malformed,
    /// Values of no bytes make too much text.
    #[error("it holds too many values that take no bytes")]
    TooManyEmpty,
    /// Values stand too deep within each other.
    #[error("its values nest too deep")]
    TooDeep,
    /// A field that is not there.
    #[error("the schema has no field {field}{}", fields_there(.there))]
    NoField {
        /// Which.
        field: String,
        /// Those that there are in its place.
        there: Vec<String>,
    },
}

fn fields_there(there: &[String]) -> String {
    match there {
        [] => String::new(),
        some => format!("; there are {}", some.join(", ")),
    }
}

/// How records are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// For people.
    #[default]
    Plain,
    /// As Avro's specification says.
    Avro,
}

/// A record is handed over in parts of about this many bytes.
const PART: usize = 256 << 10;

/// The most text that values of no bytes may make in a record.
const MAX_EMPTY: usize = 64 << 20;

/// How many values may stand within each other.
const MAX_LEVELS: usize = 1 << 18;

/// Writes records of one schema.
#[derive(Debug)]
pub struct RecordWriter<'s> {
    schema: &'s Schema,
    fields: &'s Fields,
    encoding: Encoding,
    text: String,
    lossy: bool,
}

impl<'s> RecordWriter<'s> {
    /// For records of this schema, or only these fields of them.
    pub fn new(schema: &'s Schema, fields: &'s Fields, encoding: Encoding) -> Self {
        Self { schema, fields, encoding, text: String::new(), lossy: false }
    }

    /// Whether the record that was written last holds a string that is not UTF-8, so that its text does not say all of it.
    pub fn was_lossy(&self) -> bool {
        self.lossy
    }

    /// Hands over the text of a record in parts. Of one that cannot be written nothing is handed over, and the error says why.
    ///
    /// # Errors
    /// Errors of `give`.
    pub fn write(
        &mut self,
        datum: &[u8],
        give: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<std::result::Result<(), RecordError>> {
        match self.pass(datum, false, &mut |_| Err(Stop::Long)) {
            Err(Stop::Long) => {}
            Err(Stop::Record(error)) => return Ok(Err(error)),
            Err(Stop::Given(error)) => return Err(error),
            Ok(()) => {
                give(&self.text)?;
                return Ok(Ok(()));
            }
        }
        // A long record: whether it is sound as a whole must be known before its first part is given.
        let mut full = |text: &mut String| {
            let done = give(text).map_err(Stop::Given);
            text.clear();
            done
        };
        for muted in [true, false] {
            match self.pass(datum, muted, &mut full) {
                Err(Stop::Record(error)) => return Ok(Err(error)),
                Err(Stop::Given(error)) => return Err(error),
                Ok(()) | Err(Stop::Long) => {}
            }
        }
        give(&self.text)?;
        self.text = String::new();
        Ok(Ok(()))
    }

    /// Writes a record into `text`, which `full` empties where it is longer than [`PART`]. If `muted`, only looks whether
    /// that can be done.
    fn pass(&mut self, datum: &[u8], muted: bool, full: &mut dyn FnMut(&mut String) -> Done) -> Done {
        self.text.clear();
        let mut pass = Pass {
            schema: self.schema,
            encoding: self.encoding,
            rest: datum,
            out: Out { text: &mut self.text, muted, lossy: false, full },
            empty: 0,
            stack: Vec::new(),
        };
        pass.value(self.schema.root(), Some(self.fields))?;
        while let Some(level) = pass.stack.pop() {
            pass.go_on(level)?;
        }
        self.lossy = pass.out.lossy;
        match pass.rest {
            [] => Ok(()),
            _ => Err(Stop::Record(RecordError::Malformed)),
        }
    }
}

/// Why a pass ends before its end.
enum Stop {
    /// The text is too long to be given at once.
    Long,
    Record(RecordError),
    Given(Error),
}

type Done<T = ()> = std::result::Result<T, Stop>;

/// A value that was begun.
enum Level<'s> {
    Record {
        fields: std::slice::Iter<'s, Field>,
        wanted: Option<&'s Fields>,
        first: bool,
    },
    List {
        item: NodeId,
        map: bool,
        left: u64,
        wanted: Option<&'s Fields>,
        first: bool,
    },
    /// The object around the value of a union.
    Tag,
}

/// One way through a record.
struct Pass<'s, 'o> {
    schema: &'s Schema,
    encoding: Encoding,
    rest: &'s [u8],
    out: Out<'o>,
    /// How much text was made of values that take no bytes.
    empty: usize,
    stack: Vec<Level<'s>>,
}

impl<'s> Pass<'s, '_> {
    /// Does the next step of a value that was begun.
    fn go_on(&mut self, level: Level<'s>) -> Done {
        match level {
            Level::Tag => self.out.push("}"),
            Level::Record { mut fields, wanted, first } => {
                let Some(field) = fields.next() else { return self.put(wanted, "}") };
                let within = wanted.and_then(|wanted| wanted.within(&field.name));
                self.stack.push(Level::Record { fields, wanted, first: first && within.is_none() });
                if within.is_some() {
                    if self.schema.is_empty(field.node) {
                        self.charge(field.name.len())?;
                    }
                    self.put(within, if first { "" } else { "," })?;
                    self.out.string(&field.name)?;
                    self.out.push(":")?;
                }
                self.value(field.node, within)
            }
            Level::List { item, map, mut left, wanted, first } => {
                if left == 0 {
                    left = self.run()?;
                }
                if left == 0 {
                    return self.put(wanted, if map { "}" } else { "]" });
                }
                let key = if map { Some(self.bytes()?) } else { None };
                let within = match key {
                    Some(key) => wanted.and_then(|wanted| wanted.within(&String::from_utf8_lossy(key))),
                    None => wanted,
                };
                self.stack.push(Level::List { item, map, left: left - 1, wanted, first: first && within.is_none() });
                self.put(within, if first { "" } else { "," })?;
                if let (Some(key), Some(_)) = (key, within) {
                    self.out.text(key)?;
                    self.out.push(":")?;
                }
                self.value(item, within)
            }
        }
    }

    /// Writes the value that comes next if it is wanted. One that holds others is only begun.
    fn value(&mut self, id: NodeId, wanted: Option<&'s Fields>) -> Done {
        let node = self.schema.node(id);
        let logical = node.logical.as_deref().filter(|_| self.encoding == Encoding::Plain);
        match &node.kind {
            Kind::Null => {
                self.charge(5)?;
                self.put(wanted, "null")
            }
            Kind::Boolean => {
                let byte = self.take(1)?;
                self.put(wanted, if byte == [0] { "false" } else { "true" })
            }
            kind @ (Kind::Int | Kind::Long) => {
                let value = self.long()?;
                match wanted.and(logical::moment(value, kind, logical)) {
                    Some(text) => self.out.string(&text),
                    None => self.put(wanted, &value.to_string()),
                }
            }
            Kind::Float => {
                let bytes = self.take(4)?.first_chunk().copied().unwrap_or_default();
                let value = f32::from_le_bytes(bytes);
                self.put(wanted, &float(f64::from(value), &value))
            }
            Kind::Double => {
                let bytes = self.take(8)?.first_chunk().copied().unwrap_or_default();
                let value = f64::from_le_bytes(bytes);
                self.put(wanted, &float(value, &value))
            }
            kind @ Kind::Bytes => {
                let bytes = self.bytes()?;
                self.octets(bytes, id, kind, logical, wanted)
            }
            kind @ Kind::Fixed { size, .. } => {
                if *size == 0 {
                    self.charge(4)?;
                }
                let bytes = self.take(*size)?;
                self.octets(bytes, id, kind, logical, wanted)
            }
            Kind::String => {
                let bytes = self.bytes()?;
                if wanted.is_none() {
                    return Ok(());
                }
                self.out.text(bytes)
            }
            Kind::Enum { symbols, .. } => {
                let place = self.long()?;
                let symbol = usize::try_from(place).ok().and_then(|place| symbols.get(place));
                let symbol = symbol.ok_or(Stop::Record(RecordError::Malformed))?;
                if wanted.is_some() { self.out.string(symbol) } else { Ok(()) }
            }
            Kind::Record { fields, .. } => {
                if fields.is_empty() {
                    self.charge(3)?;
                }
                self.put(wanted, "{")?;
                self.begin(Level::Record { fields: fields.iter(), wanted, first: true })
            }
            Kind::Array { items } => {
                self.put(wanted, "[")?;
                self.begin(Level::List { item: *items, map: false, left: 0, wanted, first: true })
            }
            Kind::Map { values } => {
                self.put(wanted, "{")?;
                self.begin(Level::List { item: *values, map: true, left: 0, wanted, first: true })
            }
            Kind::Union { branches } => self.union(branches, wanted),
        }
    }

    /// The value of a union. Unions within unions, which the specification does not know, nest as deep as the schema.
    fn union(&mut self, branches: &'s [NodeId], wanted: Option<&'s Fields>) -> Done {
        let place = self.long()?;
        let branch = usize::try_from(place).ok().and_then(|place| branches.get(place));
        let branch = *branch.ok_or(Stop::Record(RecordError::Malformed))?;
        let kind = &self.schema.node(branch).kind;
        if self.encoding == Encoding::Avro && wanted.is_some() && *kind != Kind::Null {
            self.out.push("{")?;
            self.out.string(branch_name(kind))?;
            self.out.push(":")?;
            self.begin(Level::Tag)?;
        }
        self.value(branch, wanted)
    }

    fn begin(&mut self, level: Level<'s>) -> Done {
        self.stack.push(level);
        if self.stack.len() > MAX_LEVELS { Err(Stop::Record(RecordError::TooDeep)) } else { Ok(()) }
    }

    fn put(&mut self, wanted: Option<&Fields>, text: &str) -> Done {
        if wanted.is_some() { self.out.push(text) } else { Ok(()) }
    }

    /// Counts text of what takes no bytes.
    fn charge(&mut self, bytes: usize) -> Done {
        self.empty += bytes;
        if self.empty > MAX_EMPTY { Err(Stop::Record(RecordError::TooManyEmpty)) } else { Ok(()) }
    }

    /// Bytes or a fixed.
    fn octets(
        &mut self,
        bytes: &[u8],
        id: NodeId,
        kind: &Kind,
        logical: Option<&str>,
        wanted: Option<&Fields>,
    ) -> Done {
        if wanted.is_none() {
            return Ok(());
        }
        let scale = self.schema.decimal(id).filter(|_| logical.is_some()).map(|decimal| decimal.scale);
        match logical::of_bytes(bytes, kind, logical, scale) {
            Some(text) => self.out.string(&text),
            None => self.out.latin(bytes),
        }
    }

    fn take(&mut self, length: u64) -> Done<&'s [u8]> {
        let length = usize::try_from(length).ok();
        let (taken, rest) =
            length.and_then(|length| self.rest.split_at_checked(length)).ok_or(Stop::Record(RecordError::Malformed))?;
        self.rest = rest;
        Ok(taken)
    }

    fn long(&mut self) -> Done<i64> {
        let long = varint::decode(self.rest).map_err(|_| Stop::Record(RecordError::Malformed))?;
        self.take(long.used as u64)?;
        Ok(long.value)
    }

    fn bytes(&mut self) -> Done<&'s [u8]> {
        let length = u64::try_from(self.long()?).map_err(|_| Stop::Record(RecordError::Malformed))?;
        self.take(length)
    }

    /// How many items the next run of a list has; its length in bytes is of no use here.
    fn run(&mut self) -> Done<u64> {
        let count = self.long()?;
        if count < 0 {
            self.long()?;
        }
        Ok(count.unsigned_abs())
    }
}

/// The name of a branch of a union in Avro's JSON encoding.
fn branch_name(kind: &Kind) -> &str {
    match kind {
        Kind::Array { .. } => "array",
        Kind::Map { .. } => "map",
        Kind::Union { .. } => "union",
        Kind::Record { name, .. } if name.is_empty() => "record",
        Kind::Enum { name, .. } if name.is_empty() => "enum",
        Kind::Fixed { name, .. } if name.is_empty() => "fixed",
        Kind::Record { name, .. } | Kind::Enum { name, .. } | Kind::Fixed { name, .. } => name,
        primitive => primitive.primitive().unwrap_or_default(),
    }
}

/// A number with as many digits as its own type needs.
fn float(value: f64, exact: &impl serde::Serialize) -> String {
    match serde_json::to_string(exact) {
        Ok(text) if value.is_finite() => text,
        _ if value.is_nan() => "\"NaN\"".into(),
        _ => if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }.into(),
    }
}

#[cfg(test)]
mod tests;
