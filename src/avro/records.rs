//! Records as JSON: decoded by the `apache-avro` package, written as text here.
//!
//! - `null`, booleans and numbers are themselves; NaN and the infinities are the texts `"NaN"`, `"Infinity"` and
//!   `"-Infinity"`; a float has as many digits as tell it from other floats.
//! - Strings and symbols of enums are texts. Bytes and fixed are texts, too, each byte being the character of that
//!   number (0 to 255), as Avro's JSON encoding has it.
//! - Records keep the order of their fields, maps are sorted by key. The value of a union stands for itself, without the
//!   name of its branch.
//! - Logical types: decimals are texts like `"12.30"`; dates, times and timestamps texts like `"2026-03-01"`,
//!   `"12:30:00.000"`, `"2026-03-01T12:30:00.000Z"` (a local timestamp without the `Z`); a uuid is its usual text, a
//!   duration like `"P1M2DT3.004S"`. What is outside of the years 0 to 9999 or of a day, or of a logical type that is
//!   not known, is the plain value.
//!
//! The package is given the parsing canonical form, so what it thinks of defaults, aliases and logical types does not
//! matter. It takes what it reads at its word where bytes end too early, and nests as deep as the data: hand it only what
//! [`Schema::skip`] walked over.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;

use super::schema::{Kind, NodeId, Schema};

/// How much stack decoding may need: [`MAX_NESTING`](super::walk::MAX_NESTING) levels of data with
/// [`MAX_DEPTH`](super::schema::MAX_DEPTH) of schema between any two of them.
pub const STACK: usize = 256 << 20;

/// Why records cannot be decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The package refuses the schema.
    #[error("records of this schema cannot be decoded: {0}")]
    Schema(String),
    /// Items of 0 bytes in an array: few bytes could ask for any amount of memory.
    #[error("records with arrays of items of no bytes are not decoded")]
    EmptyItems,
    /// The package refuses the record.
    #[error("{0}")]
    Record(String),
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

/// A schema for decoding.
#[derive(Debug)]
pub struct RecordSchema {
    schema: Schema,
    apache: apache_avro::Schema,
}

impl RecordSchema {
    /// Prepares a schema.
    ///
    /// # Errors
    /// [`RecordError::Schema`], [`RecordError::EmptyItems`].
    pub fn new(schema: Schema) -> Result<Self, RecordError> {
        if has_empty_items(&schema) {
            return Err(RecordError::EmptyItems);
        }
        let refused = |error: apache_avro::Error| RecordError::Schema(error.to_string());
        let apache = apache_avro::Schema::parse_str(&schema.canonical_form()).map_err(refused)?;
        Ok(Self { schema, apache })
    }

    /// The schema itself.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// Decodes records of the schema.
    ///
    /// # Errors
    /// [`RecordError::Schema`].
    pub fn decoder(&self) -> Result<RecordDecoder<'_>, RecordError> {
        let reader = GenericDatumReader::builder(&self.apache).build();
        let reader = reader.map_err(|error| RecordError::Schema(error.to_string()))?;
        Ok(RecordDecoder { schema: &self.schema, reader })
    }
}

/// Decodes records.
pub struct RecordDecoder<'s> {
    schema: &'s Schema,
    reader: GenericDatumReader<'s>,
}

impl std::fmt::Debug for RecordDecoder<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecordDecoder(..)")
    }
}

impl RecordDecoder<'_> {
    /// Appends a record, which must have been walked, as JSON: all of it, or only these fields.
    ///
    /// # Errors
    /// [`RecordError::Record`]: its strings may not be UTF-8. What was appended is then of no use.
    pub fn put_json(&self, datum: &[u8], fields: &Fields, out: &mut String) -> Result<(), RecordError> {
        let refused = |error: apache_avro::Error| RecordError::Record(error.to_string());
        let value = self.reader.read_value(&mut &datum[..]).map_err(refused)?;
        Json { schema: self.schema, out }.value(&value, self.schema.root(), fields);
        Ok(())
    }
}

/// Whether the schema has arrays of items that take no bytes.
fn has_empty_items(schema: &Schema) -> bool {
    let (mut seen, mut waiting) = (HashSet::new(), vec![schema.root()]);
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        match &schema.node(id).kind {
            Kind::Record { fields, .. } => waiting.extend(fields.iter().map(|field| field.node)),
            Kind::Array { items } if is_empty(schema, *items) => return true,
            Kind::Array { items: inner } | Kind::Map { values: inner } => waiting.push(*inner),
            Kind::Union { branches } => waiting.extend(branches),
            _ => {}
        }
    }
    false
}

/// Whether every datum of a type takes no bytes.
fn is_empty(schema: &Schema, id: NodeId) -> bool {
    let (mut seen, mut waiting) = (HashSet::new(), vec![id]);
    while let Some(id) = waiting.pop() {
        match &schema.node(id).kind {
            Kind::Null | Kind::Fixed { size: 0, .. } => {}
            // One that leads back to itself has no datum at all.
            Kind::Record { fields, .. } if seen.insert(id) => waiting.extend(fields.iter().map(|field| field.node)),
            Kind::Record { .. } => {}
            _ => return false,
        }
    }
    true
}

/// Which fields are wanted: those of a record by name, and so on within them. Empty for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Fields>);

impl Fields {
    /// All fields.
    pub const ALL: Self = Self(BTreeMap::new());

    /// Understands paths like `a` and `b.c`. They lead through arrays and unions without saying so; in maps they name a
    /// key.
    ///
    /// # Errors
    /// [`RecordError::NoField`].
    pub fn new<'p>(paths: impl IntoIterator<Item = &'p str>, schema: &Schema) -> Result<Self, RecordError> {
        let mut fields = Self::ALL;
        let mut whole: Vec<Vec<&str>> = Vec::new();
        for path in paths {
            let steps: Vec<&str> = path.split('.').collect();
            let mut nodes = vec![schema.root()];
            for step in &steps {
                nodes = step_into(schema, nodes, step).map_err(|mut there| {
                    there.truncate(20);
                    RecordError::NoField { field: path.to_owned(), there }
                })?;
            }
            whole.push(steps);
        }
        // Who wants a field as a whole gets it, whatever else is wanted of it.
        whole.sort_by_key(Vec::len);
        for steps in whole {
            let mut at = &mut fields;
            for step in steps {
                let known = at.0.contains_key(step);
                at = at.0.entry(step.to_owned()).or_default();
                if known && at.0.is_empty() {
                    break;
                }
            }
        }
        Ok(fields)
    }

    /// What is wanted within a field; none if nothing is.
    fn within(&self, name: &str) -> Option<&Self> {
        if self.0.is_empty() { Some(self) } else { self.0.get(name) }
    }
}

/// The types that a step leads to, or the names of the fields that there are.
fn step_into(schema: &Schema, mut from: Vec<NodeId>, step: &str) -> Result<Vec<NodeId>, Vec<String>> {
    let (mut to, mut there, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    while let Some(id) = from.pop() {
        if !seen.insert(id) {
            continue;
        }
        match &schema.node(id).kind {
            Kind::Record { fields, .. } => {
                to.extend(fields.iter().filter(|field| field.name == step).map(|field| field.node));
                there.extend(fields.iter().map(|field| field.name.clone()));
            }
            Kind::Array { items } => from.push(*items),
            Kind::Map { values } => to.push(*values),
            Kind::Union { branches } => from.extend(branches),
            _ => {}
        }
    }
    if to.is_empty() { Err(there) } else { Ok(to) }
}

/// Writes values.
struct Json<'a> {
    schema: &'a Schema,
    out: &'a mut String,
}

impl Json<'_> {
    fn value(&mut self, value: &Value, id: NodeId, fields: &Fields) {
        let node = self.schema.node(id);
        let logical = node.logical.as_deref();
        match (value, &node.kind) {
            (Value::Null, _) => self.out.push_str("null"),
            (Value::Boolean(value), _) => self.out.push_str(if *value { "true" } else { "false" }),
            (Value::Int(value), _) => self.integer(i64::from(*value), logical),
            (Value::Long(value), _) => self.integer(*value, logical),
            (Value::Float(value), _) => self.float(f64::from(*value), value),
            (Value::Double(value), _) => self.float(*value, value),
            (Value::String(text), _) | (Value::Enum(_, text), _) => self.text(text),
            (Value::Bytes(bytes) | Value::Fixed(_, bytes), _) => self.bytes(bytes, id, logical),
            (Value::Union(branch, value), Kind::Union { branches }) => match branches.get(*branch as usize) {
                Some(branch) => self.value(value, *branch, fields),
                None => self.out.push_str("null"),
            },
            (Value::Array(values), Kind::Array { items }) => {
                self.out.push('[');
                for (place, value) in values.iter().enumerate() {
                    if place > 0 {
                        self.out.push(',');
                    }
                    self.value(value, *items, fields);
                }
                self.out.push(']');
            }
            (Value::Map(map), Kind::Map { values }) => {
                let sorted: BTreeMap<&str, &Value> = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
                self.entries(sorted.into_iter().map(|(key, value)| (key, value, *values)), fields);
            }
            (Value::Record(values), Kind::Record { fields: types, .. }) => {
                let values = values.iter().zip(types);
                self.entries(values.map(|((_, value), field)| (field.name.as_str(), value, field.node)), fields);
            }
            // The package has nothing else for a schema without logical types.
            _ => self.out.push_str("null"),
        }
    }

    fn entries<'v>(&mut self, entries: impl Iterator<Item = (&'v str, &'v Value, NodeId)>, fields: &Fields) {
        self.out.push('{');
        let mut first = true;
        for (name, value, node) in entries {
            let Some(within) = fields.within(name) else { continue };
            if !first {
                self.out.push(',');
            }
            first = false;
            self.text(name);
            self.out.push(':');
            self.value(value, node, within);
        }
        self.out.push('}');
    }

    fn integer(&mut self, value: i64, logical: Option<&str>) {
        let text = match logical {
            Some("date") => date(value),
            Some("time-millis") => time(value, 3),
            Some("time-micros") => time(value, 6),
            Some("timestamp-millis") => timestamp(value, 3, "Z"),
            Some("timestamp-micros") => timestamp(value, 6, "Z"),
            Some("timestamp-nanos") => timestamp(value, 9, "Z"),
            Some("local-timestamp-millis") => timestamp(value, 3, ""),
            Some("local-timestamp-micros") => timestamp(value, 6, ""),
            Some("local-timestamp-nanos") => timestamp(value, 9, ""),
            _ => None,
        };
        let _ = match text {
            Some(text) => write!(self.out, "\"{text}\""),
            None => write!(self.out, "{value}"),
        };
    }

    /// A number with as many digits as its own type needs.
    fn float(&mut self, value: f64, exact: &impl serde::Serialize) {
        match serde_json::to_string(exact) {
            Ok(text) if value.is_finite() => self.out.push_str(&text),
            _ if value.is_nan() => self.out.push_str("\"NaN\""),
            _ => self.out.push_str(if value > 0.0 { "\"Infinity\"" } else { "\"-Infinity\"" }),
        }
    }

    fn bytes(&mut self, bytes: &[u8], id: NodeId, logical: Option<&str>) {
        let text = match (logical, self.schema.decimal(id), bytes) {
            (_, Some(digits), _) => decimal(bytes, digits.scale),
            (Some("uuid"), _, bytes) if bytes.len() == 16 => Some(uuid(bytes)),
            (Some("duration"), _, &[a, b, c, d, e, f, g, h, i, j, k, l]) => {
                let [months, days, millis] = [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(u32::from_le_bytes);
                Some(format!("P{months}M{days}DT{}.{:03}S", millis / 1000, millis % 1000))
            }
            _ => None,
        };
        match text {
            Some(text) => self.text(&text),
            None => self.text(&bytes.iter().map(|byte| char::from(*byte)).collect::<String>()),
        }
    }

    /// A text in quotes. Characters that a terminal would obey are escaped, all of them.
    fn text(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                c if c.is_control() => drop(write!(self.out, "\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// The most bytes of a decimal that is written as a number; longer ones take ever more time.
const MAX_DECIMAL: usize = 256;

/// A decimal as text: two's complement, highest byte first, the point `scale` digits from the end.
fn decimal(bytes: &[u8], scale: u64) -> Option<String> {
    let scale = usize::try_from(scale).ok().filter(|scale| *scale <= 3 * MAX_DECIMAL)?;
    if bytes.len() > MAX_DECIMAL {
        return None;
    }
    let negative = bytes.first().is_some_and(|byte| *byte >= 0x80);
    let mut magnitude = bytes.to_vec();
    if negative {
        magnitude.iter_mut().for_each(|byte| *byte = !*byte);
        for byte in magnitude.iter_mut().rev() {
            let (sum, carry) = byte.overflowing_add(1);
            *byte = sum;
            if !carry {
                break;
            }
        }
        // -128 as one byte is its own complement, and right as a number without a sign.
    }
    // Digits, the last one first.
    let mut digits: Vec<u8> = Vec::new();
    for byte in magnitude {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            let sum = u32::from(*digit) * 256 + carry;
            *digit = (sum % 10) as u8;
            carry = sum / 10;
        }
        while carry > 0 {
            digits.push((carry % 10) as u8);
            carry /= 10;
        }
    }
    digits.resize(digits.len().max(scale + 1), 0);
    let mut text = String::from(if negative { "-" } else { "" });
    for (place, digit) in digits.iter().enumerate().rev() {
        text.push(char::from(b'0' + digit));
        if place == scale && scale > 0 {
            text.push('.');
        }
    }
    Some(text)
}

fn uuid(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (place, byte) in bytes.iter().enumerate() {
        let dash = if matches!(place, 4 | 6 | 8 | 10) { "-" } else { "" };
        let _ = write!(text, "{dash}{byte:02x}");
    }
    text
}

/// A day counted from 1970-01-01, in the years 0 to 9999.
fn date(days: i64) -> Option<String> {
    // From 0000-03-01 on, in eras of 400 years.
    let days = days.checked_add(719_468)?;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (0..10_000).contains(&year).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// A time of the day, in units of so many digits behind the second.
fn time(value: i64, digits: usize) -> Option<String> {
    let units = 10i64.pow(digits as u32);
    let (seconds, rest) = (value.div_euclid(units), value.rem_euclid(units));
    let clock = || format!("{:02}:{:02}:{:02}.{rest:0digits$}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    (0..86_400).contains(&seconds).then(clock)
}

fn timestamp(value: i64, digits: usize, zone: &str) -> Option<String> {
    let day = 86_400 * 10i64.pow(digits as u32);
    Some(format!("{}T{}{zone}", date(value.div_euclid(day))?, time(value.rem_euclid(day), digits)?))
}

#[cfg(test)]
#[path = "records_tests.rs"]
mod tests;
