//! Which part of a writer's type a reader's type is read from: one step of "Schema Resolution" in the Avro specification
//! 1.12. What is within the two types are pairs of their own.

use std::collections::{HashMap, HashSet};

use super::{full_name, is_plain, promotes};
use crate::avro::schema::{Kind, NodeId, Schema};

/// How one type of the writer is read as one of the reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::avro) enum Matching<'s> {
    /// The writer's is a union: each of these is read as the whole of the reader's type.
    Branches(&'s [NodeId]),
    /// The reader's is a union: the branch of this number is what is read.
    Branch(usize, NodeId),
    /// Records: where each field of the reader comes from.
    Record(Vec<FieldSource>),
    /// Enums: what becomes of each symbol of the writer; none where the reader knows it not and has no default.
    Enum(Vec<Option<usize>>),
    /// Arrays of these items.
    Array(NodeId, NodeId),
    /// Maps of these values.
    Map(NodeId, NodeId),
    /// The same bytes: a plain type, or a fixed of the same size.
    Same,
    /// Fixed types of different sizes.
    OtherSize(u64, u64),
    /// A plain type that is read as a wider one.
    Promoted,
    /// No branch of the reader's union can be read from it.
    NoBranch,
    /// It cannot be read.
    Unlike,
}

/// Where a field of the reader comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::avro) enum FieldSource {
    /// The field of this number in the writer's record.
    Written(usize),
    /// It is not written, and has a default.
    Default,
    /// It is not written, and has none.
    Missing,
}

/// The schemas whose types are matched.
#[derive(Debug, Clone, Copy)]
pub(in crate::avro) struct Matcher<'s> {
    pub(in crate::avro) writer: &'s Schema,
    pub(in crate::avro) reader: &'s Schema,
}

impl<'s> Matcher<'s> {
    /// How one type is read as another.
    pub(in crate::avro) fn matching(&self, w: NodeId, r: NodeId) -> Matching<'s> {
        match (&self.writer.node(w).kind, &self.reader.node(r).kind) {
            (Kind::Union { branches }, _) => Matching::Branches(branches),
            (_, Kind::Union { branches }) => match self.best(w, branches) {
                Some(place) => Matching::Branch(place, branches[place]),
                None => Matching::NoBranch,
            },
            (Kind::Record { fields: theirs, .. }, Kind::Record { fields: ours, .. }) if self.same_name(w, r) => {
                let by_name: HashMap<&str, usize> =
                    theirs.iter().enumerate().map(|(place, field)| (field.name.as_str(), place)).collect();
                let sources = ours.iter().enumerate().map(|(place, field)| {
                    let aliases = self.reader.field_aliases(r, place).iter().map(String::as_str);
                    let mut names = std::iter::once(field.name.as_str()).chain(aliases);
                    match names.find_map(|name| by_name.get(name)) {
                        Some(place) => FieldSource::Written(*place),
                        None if self.reader.has_default(r, place) => FieldSource::Default,
                        None => FieldSource::Missing,
                    }
                });
                Matching::Record(sources.collect())
            }
            (Kind::Enum { symbols: theirs, .. }, Kind::Enum { symbols: ours, .. }) if self.same_name(w, r) => {
                let mut known = HashMap::new();
                for (place, symbol) in ours.iter().enumerate() {
                    known.entry(symbol.as_str()).or_insert(place);
                }
                let default = self.reader.default_symbol(r).and_then(|symbol| known.get(symbol).copied());
                Matching::Enum(theirs.iter().map(|symbol| known.get(symbol.as_str()).copied().or(default)).collect())
            }
            (Kind::Fixed { size: theirs, .. }, Kind::Fixed { size: ours, .. }) if self.same_name(w, r) => {
                if theirs == ours { Matching::Same } else { Matching::OtherSize(*theirs, *ours) }
            }
            (Kind::Array { items: theirs }, Kind::Array { items: ours }) => Matching::Array(*theirs, *ours),
            (Kind::Map { values: theirs }, Kind::Map { values: ours }) => Matching::Map(*theirs, *ours),
            (theirs, ours) if is_plain(theirs) && theirs == ours => Matching::Same,
            (theirs, ours) if promotes(theirs, ours) => Matching::Promoted,
            _ => Matching::Unlike,
        }
    }

    /// The symbols of a writer's enum that the reader does not know.
    pub(super) fn unknown_symbols(&self, w: NodeId, r: NodeId) -> Vec<&'s str> {
        match (&self.writer.node(w).kind, &self.reader.node(r).kind) {
            (Kind::Enum { symbols: theirs, .. }, Kind::Enum { symbols: ours, .. }) => {
                let known: HashSet<&str> = ours.iter().map(String::as_str).collect();
                theirs.iter().map(String::as_str).filter(|symbol| !known.contains(symbol)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The branch of a reader's union for a type of the writer that is no union.
    fn best(&self, writer: NodeId, branches: &[NodeId]) -> Option<usize> {
        let mut best = (0, None);
        for (place, branch) in branches.iter().enumerate() {
            let fit = self.fit(writer, *branch);
            if fit > best.0 {
                best = (fit, Some(place));
            }
        }
        best.1
    }

    /// How well a type of the writer fits a branch of the reader at first sight; 0 if not at all. Unions within unions
    /// nest no deeper than the schema's text.
    fn fit(&self, w: NodeId, r: NodeId) -> u8 {
        let (writer, reader) = (&self.writer.node(w).kind, &self.reader.node(r).kind);
        match (writer, reader) {
            (_, Kind::Union { branches }) => branches.iter().map(|branch| self.fit(w, *branch)).max().unwrap_or(0),
            (Kind::Array { .. }, Kind::Array { .. }) | (Kind::Map { .. }, Kind::Map { .. }) => 3,
            (Kind::Record { .. }, Kind::Record { .. })
            | (Kind::Enum { .. }, Kind::Enum { .. })
            | (Kind::Fixed { .. }, Kind::Fixed { .. }) => match (full_name(writer), full_name(reader)) {
                (theirs, ours) if theirs == ours => 3,
                _ if self.same_name(w, r) => 2,
                _ => 0,
            },
            (theirs, ours) if is_plain(theirs) && theirs == ours => 3,
            (theirs, ours) => u8::from(promotes(theirs, ours)),
        }
    }

    /// Whether the names of two named types of one kind go together.
    fn same_name(&self, writer: NodeId, reader: NodeId) -> bool {
        let short = |name: &'s str| name.rsplit('.').next().unwrap_or(name);
        let theirs = full_name(&self.writer.node(writer).kind);
        let ours = full_name(&self.reader.node(reader).kind);
        short(theirs) == short(ours) || self.reader.aliases(reader).iter().any(|alias| alias == theirs)
    }
}
