//! Which fields of a record are wanted.

use std::collections::{BTreeMap, HashSet};

use super::RecordError;
use crate::avro::schema::{Kind, NodeId, Schema};

/// Which fields are wanted: those of a record by name, and so on within them. Empty for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, Fields>);

impl Fields {
    /// All fields.
    pub const ALL: Self = Self(BTreeMap::new());

    /// Parses paths like `a` and `b.c`. They lead through arrays and unions without saying so; in maps they name a
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
        // A field that is wanted as a whole comes as a whole, whatever else is wanted of it.
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
    pub(super) fn within(&self, name: &str) -> Option<&Self> {
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
