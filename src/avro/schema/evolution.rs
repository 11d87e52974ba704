//! What a schema says for readers of data that another schema wrote: defaults, aliases, the size of decimals ("Schema
//! Resolution" and "Aliases" in the Avro specification 1.12). It says nothing about where a datum ends, so it stands
//! beside the nodes.

use std::collections::HashMap;

use super::json::{Json, Object};
use super::{NodeId, Schema};

/// The digits of a decimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// Number of digits in all.
    pub precision: u64,
    /// Number of digits after the point.
    pub scale: u64,
}

/// What is written down beside the nodes; only where there is anything.
#[derive(Debug, Clone, Default)]
pub(super) struct Evolution {
    /// The JSON of each default.
    pub(super) defaults: HashMap<(NodeId, usize), Box<str>>,
    pub(super) field_aliases: HashMap<(NodeId, usize), Vec<String>>,
    pub(super) aliases: HashMap<NodeId, Vec<String>>,
    pub(super) symbols: HashMap<NodeId, String>,
    pub(super) decimals: HashMap<NodeId, Decimal>,
}

/// The names in a list of aliases. What is no name is no alias.
pub(super) fn aliases(object: &Object) -> impl Iterator<Item = &str> {
    object.list("aliases").unwrap_or_default().iter().filter_map(|alias| match alias {
        Json::Text(alias) => Some(alias.as_str()),
        _ => None,
    })
}

/// The digits that an object of the logical type `decimal` declares.
pub(super) fn decimal(object: &Object) -> Option<Decimal> {
    let number = |attribute| match object.get(attribute) {
        Some(Json::Number(number)) => Some(*number),
        _ => None,
    };
    let decimal = Decimal { precision: number("precision")?, scale: number("scale").unwrap_or(0) };
    (object.text("logicalType") == Some("decimal")).then_some(decimal)
}

impl Schema {
    /// Whether a field (by its place) of a record has a default. Whether that fits its type is not looked at.
    pub fn has_default(&self, record: NodeId, field: usize) -> bool {
        self.evolution.defaults.contains_key(&(record, field))
    }

    /// The JSON of the default of a field (by its place) of a record.
    pub(in crate::avro) fn default_text(&self, record: NodeId, field: usize) -> Option<&str> {
        self.evolution.defaults.get(&(record, field)).map(|text| &**text)
    }

    /// Other names of a field (by its place) of a record.
    pub fn field_aliases(&self, record: NodeId, field: usize) -> &[String] {
        self.evolution.field_aliases.get(&(record, field)).map_or(&[], Vec::as_slice)
    }

    /// Other names of a named type, in full.
    pub fn aliases(&self, node: NodeId) -> &[String] {
        self.evolution.aliases.get(&node).map_or(&[], Vec::as_slice)
    }

    /// What an enum takes for symbols that it does not know.
    pub fn default_symbol(&self, node: NodeId) -> Option<&str> {
        self.evolution.symbols.get(&node).map(String::as_str)
    }

    /// The digits of a type that is a decimal and says them.
    pub fn decimal(&self, node: NodeId) -> Option<Decimal> {
        self.evolution.decimals.get(&node).copied()
    }
}
