//! Which types of a writer are the same bytes for a reader.

use std::collections::{HashMap, HashSet};

use crate::avro::compat::{FieldSource, Matcher, Matching};
use crate::avro::schema::{Kind, NodeId};

/// A type of the writer and the type of the reader that it is read as.
pub(super) type Pair = (NodeId, NodeId);

/// The pairs below `root`, itself included, that are not the same bytes. Types that lead back to themselves are the same
/// unless something within them is not.
pub(super) fn different(matcher: &Matcher<'_>, root: Pair) -> HashSet<Pair> {
    let mut pairs = Pairs { places: HashMap::new(), pairs: Vec::new(), used_by: Vec::new() };
    pairs.place(root);
    let (mut at, mut waiting) = (0, Vec::new());
    while let Some(&pair) = pairs.pairs.get(at) {
        let Within { all, same } = within(matcher, pair);
        for inner in all {
            pairs.place(inner);
        }
        match same {
            Some(rests_on) => {
                for inner in rests_on {
                    let place = pairs.place(inner);
                    pairs.used_by[place].push(at);
                }
            }
            None => waiting.push(at),
        }
        at += 1;
    }
    let mut found = vec![false; pairs.pairs.len()];
    while let Some(at) = waiting.pop() {
        if !std::mem::replace(&mut found[at], true) {
            waiting.extend(&pairs.used_by[at]);
        }
    }
    pairs.pairs.into_iter().zip(found).filter_map(|(pair, found)| found.then_some(pair)).collect()
}

struct Pairs {
    places: HashMap<Pair, usize>,
    pairs: Vec<Pair>,
    /// For each pair those that are the same only if it is.
    used_by: Vec<Vec<usize>>,
}

impl Pairs {
    fn place(&mut self, pair: Pair) -> usize {
        *self.places.entry(pair).or_insert_with(|| {
            self.pairs.push(pair);
            self.used_by.push(Vec::new());
            self.pairs.len() - 1
        })
    }
}

/// What is read within a pair.
struct Within {
    /// Every pair that a list may be made for.
    all: Vec<Pair>,
    /// Those that have to be the same for this one to be; none if it is another one whatever they are.
    same: Option<Vec<Pair>>,
}

fn within(matcher: &Matcher<'_>, (w, r): Pair) -> Within {
    let simple = |same: bool| Within { all: Vec::new(), same: same.then(Vec::new) };
    match matcher.matching(w, r) {
        Matching::Branches(branches) => {
            // Each branch has the number of the reader's branch that it is read as.
            let numbered = branches.iter().enumerate().map(|(place, branch)| match matcher.matching(*branch, r) {
                Matching::Branch(number, inner) if number == place => Some((*branch, inner)),
                _ => None,
            });
            let same = numbered.collect();
            Within { all: branches.iter().map(|branch| (*branch, r)).collect(), same }
        }
        Matching::Branch(_, branch) => Within { all: vec![(w, branch)], same: None },
        Matching::Record(sources) => {
            let (theirs, ours) = (&matcher.writer.node(w).kind, &matcher.reader.node(r).kind);
            let (Kind::Record { fields: theirs, .. }, Kind::Record { fields: ours, .. }) = (theirs, ours) else {
                return simple(false);
            };
            let in_order = sources.len() == theirs.len()
                && sources.iter().enumerate().all(|(place, source)| *source == FieldSource::Written(place));
            let read = ours.iter().zip(&sources).filter_map(|(field, source)| match source {
                FieldSource::Written(place) => Some((theirs.get(*place)?.node, field.node)),
                _ => None,
            });
            let all: Vec<Pair> = read.collect();
            Within { same: in_order.then(|| all.clone()), all }
        }
        Matching::Enum(symbols) => simple(symbols.iter().enumerate().all(|(place, symbol)| *symbol == Some(place))),
        Matching::Array(theirs, ours) | Matching::Map(theirs, ours) => {
            Within { all: vec![(theirs, ours)], same: Some(vec![(theirs, ours)]) }
        }
        Matching::Same => simple(true),
        Matching::Promoted => {
            let whole = |kind: &Kind| matches!(kind, Kind::Int | Kind::Long);
            let text = |kind: &Kind| matches!(kind, Kind::Bytes | Kind::String);
            let (theirs, ours) = (&matcher.writer.node(w).kind, &matcher.reader.node(r).kind);
            simple(whole(theirs) && whole(ours) || text(theirs) && text(ours))
        }
        Matching::OtherSize(..) | Matching::NoBranch | Matching::Unlike => simple(false),
    }
}
