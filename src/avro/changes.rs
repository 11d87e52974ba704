//! Which fields of a schema changed, and what a type is in a line of words.

use std::collections::{HashMap, HashSet};

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::compat::{full_name, is_plain};
use super::schema::{Kind, NodeId, Schema};

/// What changed about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldChange {
    /// Where it stands, like `address.lines[]`; empty for the type of the whole.
    pub path: String,
    /// What it was; none if there was no such field.
    pub before: Option<String>,
    /// What it is; none if there is no such field any more.
    pub after: Option<String>,
}

/// The fields that were added, removed or changed from one schema to another, in the order of the later one; removed
/// ones come last. A named type is looked into where it first stands.
pub fn changes(before: &Schema, after: &Schema) -> Vec<FieldChange> {
    let (old, new) = (outline(before), outline(after));
    let was: HashMap<&str, &str> = old.iter().map(|(path, said)| (path.as_str(), said.as_str())).collect();
    let there: HashSet<&str> = new.iter().map(|(path, _)| path.as_str()).collect();
    let mut changes = Vec::new();
    for (path, after) in &new {
        let before = was.get(path.as_str()).copied();
        if before != Some(after) {
            let before = before.map(str::to_owned);
            changes.push(FieldChange { path: path.clone(), before, after: Some(after.clone()) });
        }
    }
    for (path, before) in &old {
        if !there.contains(path.as_str()) {
            changes.push(FieldChange { path: path.clone(), before: Some(before.clone()), after: None });
        }
    }
    changes
}

/// Every field and what it is.
fn outline(schema: &Schema) -> Vec<(String, String)> {
    let lines = vec![(String::new(), schema.say(schema.root()))];
    let mut outline = Outline { schema, seen: HashSet::new(), lines, bytes: 0 };
    outline.node(schema.root(), "");
    if outline.bytes > MAX_OUTLINE {
        outline.lines.push(("(and more)".into(), "too much to be listed".into()));
    }
    outline.lines
}

struct Outline<'s> {
    schema: &'s Schema,
    seen: HashSet<NodeId>,
    lines: Vec<(String, String)>,
    /// How long the lines are together.
    bytes: usize,
}

/// The most bytes of an outline: nested fields with long names would make it many times as long as the schema.
const MAX_OUTLINE: usize = 32 << 20;

/// The longest path that is gone on from.
const MAX_PATH: usize = 16 << 10;

impl Outline<'_> {
    /// Nests no deeper than [`MAX_DEPTH`](super::schema::MAX_DEPTH), since types are looked into where they are first
    /// mentioned.
    fn node(&mut self, id: NodeId, path: &str) {
        let schema = self.schema;
        if path.len() > MAX_PATH {
            self.bytes = usize::MAX;
        }
        if self.bytes > MAX_OUTLINE {
            return;
        }
        match &schema.node(id).kind {
            Kind::Record { fields, .. } if self.seen.insert(id) => {
                for (place, field) in fields.iter().enumerate() {
                    let dot = if path.is_empty() { "" } else { "." };
                    let path = format!("{path}{dot}{}", field.name);
                    let default = if schema.has_default(id, place) { ", with a default" } else { "" };
                    let said = format!("{}{default}", schema.say(field.node));
                    self.bytes = self.bytes.saturating_add(path.len() + said.len());
                    if self.bytes > MAX_OUTLINE {
                        return;
                    }
                    self.lines.push((path.clone(), said));
                    self.node(field.node, &path);
                }
            }
            Kind::Array { items } => self.node(*items, &format!("{path}[]")),
            Kind::Map { values } => self.node(*values, &format!("{path}{{}}")),
            Kind::Union { branches } => {
                let several = branches.iter().filter(|id| !is_plain(&schema.node(**id).kind)).count() > 1;
                for branch in branches {
                    match full_name(&schema.node(*branch).kind) {
                        name if several && !name.is_empty() => self.node(*branch, &format!("{path}<{name}>")),
                        _ => self.node(*branch, path),
                    }
                }
            }
            _ => {}
        }
    }
}

/// How long the description of a type is at most, in bytes (about).
const SAID: usize = 400;

impl Schema {
    /// What a type is, for people, in a line. Named types are named, not spelled out.
    pub fn say(&self, id: NodeId) -> String {
        let mut out = String::new();
        self.say_into(id, &mut out);
        // A single name may be as long as the schema.
        if out.len() > 2 * SAID {
            out.truncate(out.floor_char_boundary(2 * SAID));
            out.push_str("...");
        }
        out
    }

    fn say_into(&self, id: NodeId, out: &mut String) {
        if out.len() > SAID {
            return out.push_str("...");
        }
        let node = self.node(id);
        match &node.kind {
            Kind::Record { name, .. } => out.push_str(&format!("record {name}")),
            Kind::Fixed { name, size } => out.push_str(&format!("fixed {name} of {size} bytes")),
            Kind::Enum { name, symbols } => {
                out.push_str(&format!("enum {name} {{"));
                for (place, symbol) in symbols.iter().enumerate() {
                    if out.len() > SAID {
                        out.push_str(", ...");
                        break;
                    }
                    out.push_str(if place == 0 { "" } else { ", " });
                    out.push_str(symbol);
                }
                out.push('}');
            }
            Kind::Array { items } => {
                out.push_str("array of ");
                self.say_into(*items, out);
            }
            Kind::Map { values } => {
                out.push_str("map of ");
                self.say_into(*values, out);
            }
            Kind::Union { branches } => {
                out.push('[');
                for (place, branch) in branches.iter().enumerate() {
                    if out.len() > SAID {
                        out.push_str(", ...");
                        break;
                    }
                    out.push_str(if place == 0 { "" } else { ", " });
                    self.say_into(*branch, out);
                }
                out.push(']');
            }
            primitive => out.push_str(primitive.primitive().unwrap_or_default()),
        }
        match (self.decimal(id), &node.logical) {
            (Some(decimal), _) => out.push_str(&format!(" (decimal {}, {})", decimal.precision, decimal.scale)),
            (None, Some(logical)) => out.push_str(&format!(" ({logical})")),
            (None, None) => {}
        }
    }
}

impl FieldChange {
    /// What happened to it, in one letter: added, removed, or changed.
    pub fn sign(&self) -> char {
        match (&self.before, &self.after) {
            (Some(_), Some(_)) => 'M',
            (None, Some(_)) => '+',
            (_, None) => '-',
        }
    }
}

impl Serialize for FieldChange {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut change = serializer.serialize_struct("FieldChange", 4)?;
        change.serialize_field("modifier", &self.sign())?;
        change.serialize_field("field", &self.path)?;
        change.serialize_field("before", &self.before)?;
        change.serialize_field("after", &self.after)?;
        change.end()
    }
}
