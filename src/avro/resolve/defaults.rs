//! The defaults of fields as bytes.

use std::collections::HashMap;
use std::sync::Arc;

use crate::avro::schema::{Kind, Literal, NodeId, Schema};
use crate::avro::varint;

/// The most bytes that a default may become: 16 MiB, as many as a schema has.
const MAX_BYTES: usize = 16 << 20;

/// How deep the values of a default may stand within each other, defaults of fields that it leaves out included.
const MAX_DEPTH: usize = 256;

/// The most values that a default may consist of. Records whose fields have defaults can double at each step.
const MAX_VALUES: usize = 1 << 20;

/// Why the default of a field cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unfit {
    /// It is none of its type.
    #[error("its default {0} is not of its type")]
    Type(String),
    /// It is too large.
    #[error("its default is too large")]
    TooLarge,
}

/// The defaults of a schema.
pub(super) struct Defaults<'s> {
    schema: &'s Schema,
    /// Those that were encoded before.
    known: HashMap<(NodeId, usize), Arc<[u8]>>,
}

impl<'s> Defaults<'s> {
    pub(super) fn new(schema: &'s Schema) -> Self {
        Self { schema, known: HashMap::new() }
    }

    /// The bytes of the default of a field (by its place) of a record.
    pub(super) fn of_field(&mut self, record: NodeId, field: usize) -> Result<Arc<[u8]>, Unfit> {
        if let Some(known) = self.known.get(&(record, field)) {
            return Ok(known.clone());
        }
        let mut encoder = Encoder { schema: self.schema, out: Vec::new(), values: 0 };
        encoder.field(record, field, 0)?;
        let bytes: Arc<[u8]> = encoder.out.into();
        self.known.insert((record, field), bytes.clone());
        Ok(bytes)
    }
}

struct Encoder<'s> {
    schema: &'s Schema,
    out: Vec<u8>,
    values: usize,
}

impl<'s> Encoder<'s> {
    /// Appends the default of a field.
    fn field(&mut self, record: NodeId, field: usize, depth: usize) -> Result<(), Unfit> {
        let text = self.schema.default_text(record, field).unwrap_or("null");
        let Kind::Record { fields, .. } = &self.schema.node(record).kind else { return Err(unfit(text)) };
        let node = fields.get(field).ok_or_else(|| unfit(text))?.node;
        let literal = Literal::parse(text).map_err(|_| unfit(text))?;
        match self.value(&literal, node, depth) {
            Ok(true) => Ok(()),
            Ok(false) => Err(unfit(text)),
            Err(error) => Err(error),
        }
    }

    /// Appends a value; says whether it is one of the type. Where it is not, part of it may be there.
    fn value(&mut self, literal: &Literal<'_>, node: NodeId, depth: usize) -> Result<bool, Unfit> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES || self.out.len() > MAX_BYTES {
            return Err(Unfit::TooLarge);
        }
        let schema = self.schema;
        match (&schema.node(node).kind, literal) {
            (Kind::Union { branches }, _) => {
                // The first branch that it is a value of ("Complex Types, Records").
                let length = self.out.len();
                for (place, branch) in branches.iter().enumerate() {
                    varint::encode(&mut self.out, place as i64);
                    if self.value(literal, *branch, depth + 1)? {
                        return Ok(true);
                    }
                    self.out.truncate(length);
                }
                Ok(false)
            }
            (Kind::Record { fields, .. }, Literal::Object(entries)) => {
                for (place, field) in fields.iter().enumerate() {
                    let fits = match entries.iter().rev().find(|(key, _)| *key == field.name.as_str()) {
                        Some((_, value)) => self.value(value, field.node, depth + 1)?,
                        // What it leaves out has a default of its own.
                        None if schema.has_default(node, place) => {
                            self.field(node, place, depth + 1)?;
                            true
                        }
                        None => false,
                    };
                    if !fits {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            (Kind::Array { items }, Literal::List(list)) => {
                if !list.is_empty() {
                    varint::encode(&mut self.out, list.len() as i64);
                }
                for value in list {
                    if !self.value(value, *items, depth + 1)? {
                        return Ok(false);
                    }
                }
                self.out.push(0);
                Ok(true)
            }
            (Kind::Map { values }, Literal::Object(entries)) => {
                if !entries.is_empty() {
                    varint::encode(&mut self.out, entries.len() as i64);
                }
                for (key, value) in entries {
                    self.bytes(key.as_bytes());
                    if !self.value(value, *values, depth + 1)? {
                        return Ok(false);
                    }
                }
                self.out.push(0);
                Ok(true)
            }
            (kind, literal) => Ok(self.plain(kind, literal)),
        }
    }

    /// A value that holds no others.
    fn plain(&mut self, kind: &Kind, literal: &Literal<'_>) -> bool {
        match (kind, literal) {
            (Kind::Null, Literal::Word("null")) => true,
            (Kind::Boolean, Literal::Word(word @ ("true" | "false"))) => {
                self.out.push(u8::from(*word == "true"));
                true
            }
            (Kind::Int, Literal::Word(word)) => match word.parse::<i32>() {
                Ok(number) => self.number(i64::from(number)),
                Err(_) => false,
            },
            (Kind::Long, Literal::Word(word)) => word.parse().is_ok_and(|number| self.number(number)),
            (Kind::Float, _) => match float(literal) {
                // Straight from its digits, so that it is rounded once.
                Some(Number::Digits(digits)) => match digits.parse::<f32>() {
                    Ok(value) => self.raw(&value.to_le_bytes()),
                    Err(_) => false,
                },
                Some(Number::Special(value)) => self.raw(&(value as f32).to_le_bytes()),
                None => false,
            },
            (Kind::Double, _) => match float(literal) {
                Some(Number::Digits(digits)) => match digits.parse::<f64>() {
                    Ok(value) => self.raw(&value.to_le_bytes()),
                    Err(_) => false,
                },
                Some(Number::Special(value)) => self.raw(&value.to_le_bytes()),
                None => false,
            },
            (Kind::String, Literal::Text(text)) => {
                self.bytes(text.as_bytes());
                true
            }
            (Kind::Bytes, Literal::Text(text)) => match latin(text) {
                Some(bytes) => {
                    self.bytes(&bytes);
                    true
                }
                None => false,
            },
            (Kind::Fixed { size, .. }, Literal::Text(text)) => match latin(text) {
                Some(bytes) if bytes.len() as u64 == *size => self.raw(&bytes),
                _ => false,
            },
            (Kind::Enum { symbols, .. }, Literal::Text(text)) => {
                match symbols.iter().position(|symbol| *symbol == **text) {
                    Some(place) => self.number(place as i64),
                    None => false,
                }
            }
            _ => false,
        }
    }

    fn number(&mut self, number: i64) -> bool {
        varint::encode(&mut self.out, number);
        true
    }

    fn raw(&mut self, bytes: &[u8]) -> bool {
        self.out.extend_from_slice(bytes);
        true
    }

    fn bytes(&mut self, bytes: &[u8]) {
        varint::encode(&mut self.out, bytes.len() as i64);
        self.out.extend_from_slice(bytes);
    }
}

/// A number of a float or a double.
enum Number<'l> {
    Digits(&'l str),
    Special(f64),
}

/// Numbers, and what JSON has no numbers for, as a word or as a text.
fn float<'l>(literal: &'l Literal<'_>) -> Option<Number<'l>> {
    let word = match literal {
        Literal::Word(word) => *word,
        Literal::Text(text) => &**text,
        _ => return None,
    };
    match (word, literal) {
        ("NaN" | "-NaN", _) => Some(Number::Special(f64::NAN)),
        ("Infinity" | "+Infinity" | "INF", _) => Some(Number::Special(f64::INFINITY)),
        ("-Infinity" | "-INF", _) => Some(Number::Special(f64::NEG_INFINITY)),
        ("null" | "true" | "false", _) => None,
        (digits, Literal::Word(_)) => Some(Number::Digits(digits)),
        _ => None,
    }
}

/// The bytes that a text of the characters 0 to 255 stands for.
fn latin(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect()
}

fn unfit(text: &str) -> Unfit {
    let shown: String = text.chars().take(60).collect();
    Unfit::Type(if shown.len() < text.len() { format!("{shown}...") } else { shown })
}
