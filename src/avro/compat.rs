//! Whether data that one schema wrote can be read with another ("Schema Resolution" in the Avro specification 1.12).
//!
//! What decides is the types alone: fields that only the reader has need a default, ints may become longs and so on,
//! every branch of a writer's union must be readable, every symbol of a writer's enum must be known or have a default.
//! Names are compared without their namespace, or with the reader's aliases in full. Of a reader's union the branch is
//! taken that fits best: the same full name or kind before the same short name or an alias, before a promotion.
//! Defaults are taken at their word. Logical types change nothing, but decimals must have the same digits.

mod matching;

use std::collections::HashSet;

use serde::ser::{Serialize, SerializeStruct, Serializer};

use super::schema::{Kind, NodeId, Schema};
pub(super) use matching::{FieldSource, Matcher, Matching};

/// The most pairs of types that are looked at. Schemas that people write need as many as they have types.
pub const MAX_PAIRS: usize = 1 << 20;

/// The most comparisons of names and kinds, and bytes of names that are kept.
const MAX_WORK: usize = 1 << 26;

/// The most reasons that are given.
pub const MAX_REASONS: usize = 16;

/// Why data cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Obstacle {
    /// Where in the schema, like `address.lines[]`; empty for the whole.
    pub path: String,
    /// Why data cannot be read there.
    pub reason: String,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.reason),
            path => write!(f, "{path}: {}", self.reason),
        }
    }
}

/// How two versions of a schema go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Each reads what the other wrote.
    Full,
    /// The later one reads what the earlier one wrote.
    Backward,
    /// The earlier one reads what the later one wrote.
    Forward,
    /// Neither reads what the other wrote.
    None,
}

impl Verdict {
    /// The name that people know.
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Backward => "backward",
            Self::Forward => "forward",
            Self::None => "none",
        }
    }
}

/// How a later version of a schema goes together with an earlier one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comparison {
    /// Why the later one does not read what the earlier one wrote; empty if it does.
    pub backward: Vec<Obstacle>,
    /// Why the earlier one does not read what the later one wrote; empty if it does.
    pub forward: Vec<Obstacle>,
}

impl Comparison {
    /// Compares two versions.
    pub fn new(earlier: &Schema, later: &Schema) -> Self {
        Self { backward: obstacles(earlier, later), forward: obstacles(later, earlier) }
    }

    /// In one word.
    pub fn verdict(&self) -> Verdict {
        match (self.backward.is_empty(), self.forward.is_empty()) {
            (true, true) => Verdict::Full,
            (true, false) => Verdict::Backward,
            (false, true) => Verdict::Forward,
            (false, false) => Verdict::None,
        }
    }
}

/// What keeps `reader` from reading the data of `writer`, at most [`MAX_REASONS`]; nothing if it reads them.
pub fn obstacles(writer: &Schema, reader: &Schema) -> Vec<Obstacle> {
    let mut resolver = Resolver {
        matcher: Matcher { writer, reader },
        pairs: Vec::new(),
        seen: HashSet::new(),
        found: Vec::new(),
        work: 0,
    };
    resolver.push(writer.root(), reader.root(), None, String::new());
    let mut at = 0;
    // Pairs that were seen before are taken for readable: if they are not, that was said where they were first seen. So
    // types that lead back to themselves end, however deep they nest.
    while at < resolver.pairs.len() && resolver.found.len() < MAX_REASONS {
        resolver.resolve(at);
        if resolver.work > MAX_WORK {
            resolver.found.push(too_large());
            break;
        }
        at += 1;
    }
    resolver.found
}

/// A type of the writer that a type of the reader has to read.
struct Pair {
    writer: NodeId,
    reader: NodeId,
    /// Within which pair, and where in it.
    within: Option<usize>,
    step: String,
}

struct Resolver<'s> {
    matcher: Matcher<'s>,
    pairs: Vec<Pair>,
    seen: HashSet<(NodeId, NodeId)>,
    found: Vec<Obstacle>,
    work: usize,
}

fn too_large() -> Obstacle {
    Obstacle { path: String::new(), reason: "the schemas are too large to be compared".into() }
}

impl Resolver<'_> {
    fn push(&mut self, writer: NodeId, reader: NodeId, within: Option<usize>, step: String) {
        if self.pairs.len() >= MAX_PAIRS {
            self.work = usize::MAX;
            return;
        }
        // Names may be long, and each is kept once for each pair.
        self.work = self.work.saturating_add(step.len());
        if self.work <= MAX_WORK && self.seen.insert((writer, reader)) {
            self.pairs.push(Pair { writer, reader, within, step });
        }
    }

    fn fail(&mut self, mut at: usize, last: &str, reason: String) {
        let mut steps = vec![last];
        loop {
            let pair = &self.pairs[at];
            steps.push(&pair.step);
            match pair.within {
                Some(within) => at = within,
                None => break,
            }
        }
        steps.reverse();
        let path = steps.concat();
        self.found.push(Obstacle { path: path.trim_start_matches('.').to_owned(), reason });
    }

    fn resolve(&mut self, at: usize) {
        let Pair { writer: w, reader: r, .. } = self.pairs[at];
        let (writer, reader) = (self.matcher.writer, self.matcher.reader);
        let width = |kind: &Kind| match kind {
            Kind::Record { fields, .. } => fields.len(),
            Kind::Enum { symbols, .. } => symbols.len(),
            Kind::Union { branches } => branches.len(),
            _ => 1,
        };
        let (theirs, ours) = (&writer.node(w).kind, &reader.node(r).kind);
        self.work = self.work.saturating_add(width(theirs)).saturating_add(width(ours));
        match self.matcher.matching(w, r) {
            Matching::Branches(branches) => {
                for branch in branches {
                    self.push(*branch, r, Some(at), String::new());
                }
            }
            Matching::Branch(_, branch) => self.push(w, branch, Some(at), String::new()),
            Matching::NoBranch => {
                self.fail(at, "", format!("{} fits no branch of {}", writer.say(w), reader.say(r)));
            }
            Matching::Record(sources) => {
                let (Kind::Record { fields: theirs, .. }, Kind::Record { fields: ours, .. }) = (theirs, ours) else {
                    return;
                };
                for (field, source) in ours.iter().zip(sources) {
                    let step = format!(".{}", field.name);
                    match source {
                        FieldSource::Written(place) => self.push(theirs[place].node, field.node, Some(at), step),
                        FieldSource::Default => {}
                        FieldSource::Missing => {
                            self.fail(at, &step, "the field is not written and has no default".into());
                        }
                    }
                }
            }
            Matching::Enum(symbols) => {
                if symbols.contains(&None) {
                    let unknown = self.matcher.unknown_symbols(w, r);
                    let more = if unknown.len() > 5 { ", ..." } else { "" };
                    let some = unknown[..unknown.len().min(5)].join(", ");
                    self.fail(at, "", format!("the symbols {some}{more} are not known and there is no default"));
                }
            }
            Matching::Array(theirs, ours) => self.push(theirs, ours, Some(at), "[]".into()),
            Matching::Map(theirs, ours) => self.push(theirs, ours, Some(at), "{}".into()),
            Matching::Same => self.decimals(at),
            Matching::OtherSize(theirs, ours) => self.fail(at, "", format!("{theirs} bytes are not {ours}")),
            Matching::Promoted => {}
            Matching::Unlike => {
                self.fail(at, "", format!("{} cannot be read as {}", writer.say(w), reader.say(r)));
            }
        }
    }

    /// Decimals of other digits would be other numbers.
    fn decimals(&mut self, at: usize) {
        let Pair { writer, reader, .. } = self.pairs[at];
        if let (Some(theirs), Some(ours)) = (self.matcher.writer.decimal(writer), self.matcher.reader.decimal(reader))
            && theirs != ours
        {
            let said = |decimal: super::schema::Decimal| format!("{}.{}", decimal.precision, decimal.scale);
            self.fail(at, "", format!("a decimal of {} digits, not of {}", said(theirs), said(ours)));
        }
    }
}

/// Whether a kind is one of those without a name and without anything inside.
pub(super) fn is_plain(kind: &Kind) -> bool {
    use Kind::*;
    matches!(kind, Null | Boolean | Int | Long | Float | Double | Bytes | String)
}

/// Whether the specification lets one kind be read as the other.
fn promotes(writer: &Kind, reader: &Kind) -> bool {
    use Kind::*;
    matches!(
        (writer, reader),
        (Int, Long | Float | Double) | (Long, Float | Double) | (Float, Double) | (String, Bytes) | (Bytes, String)
    )
}

pub(super) fn full_name(kind: &Kind) -> &str {
    match kind {
        Kind::Record { name, .. } | Kind::Enum { name, .. } | Kind::Fixed { name, .. } => name,
        _ => "",
    }
}

impl Comparison {
    /// What stands against reading old data with the new schema, in words.
    pub(crate) fn texts_backward(&self) -> Vec<String> {
        self.backward.iter().map(ToString::to_string).collect()
    }

    /// What stands against reading new data with the old schema, in words.
    pub(crate) fn texts_forward(&self) -> Vec<String> {
        self.forward.iter().map(ToString::to_string).collect()
    }
}

impl Serialize for Comparison {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut comparison = serializer.serialize_struct("Comparison", 3)?;
        comparison.serialize_field("verdict", self.verdict().name())?;
        comparison.serialize_field("against_backward", &self.texts_backward())?;
        comparison.serialize_field("against_forward", &self.texts_forward())?;
        comparison.end()
    }
}

#[cfg(test)]
#[path = "compat_tests.rs"]
mod tests;
