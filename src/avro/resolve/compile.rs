//! From two schemas to lists of ops.

use std::collections::{HashMap, HashSet};

use super::defaults::{Defaults, Unfit};
use super::same::{Pair, different};
use super::{List, Op, Resolver, Wider};
use crate::avro::compat::{FieldSource, Matcher, Matching, Obstacle, full_name};
use crate::avro::schema::{Kind, NodeId, Schema};
use crate::avro::varint;

/// Compiles two schemas that go together.
pub(super) fn compile(writer: &Schema, reader: &Schema) -> Result<Resolver, Vec<Obstacle>> {
    let matcher = Matcher { writer, reader };
    let root = (writer.root(), reader.root());
    // Schemas of one canonical form are the same also where a union holds a type twice.
    let different = match writer.canonical_form() == reader.canonical_form() {
        true => HashSet::new(),
        false => different(&matcher, root),
    };
    let mut compiler = Compiler {
        matcher,
        different,
        defaults: Defaults::new(reader),
        lists: Vec::new(),
        known: HashMap::new(),
        waiting: Vec::new(),
        constants: Vec::new(),
        symbols: Vec::new(),
        branches: Vec::new(),
        walked: Vec::new(),
        fields: Vec::new(),
    };
    compiler.list_of(root);
    while let Some((pair, list)) = compiler.waiting.pop() {
        let mut ops = Vec::new();
        compiler.emit_whole(pair, &mut ops).map_err(|obstacle| vec![obstacle])?;
        compiler.lists[list.0 as usize] = ops;
    }
    Ok(compiler.finish(root))
}

/// An op before the walks are compiled: what is walked is known by its number in the list of walks.
enum Draft {
    Keep(Vec<NodeId>),
    Drop(Vec<NodeId>),
    Op(Op),
}

struct Compiler<'s> {
    matcher: Matcher<'s>,
    different: HashSet<Pair>,
    defaults: Defaults<'s>,
    lists: Vec<Vec<Draft>>,
    /// The lists of pairs.
    known: HashMap<Pair, List>,
    waiting: Vec<(Pair, List)>,
    constants: Vec<u8>,
    symbols: Vec<u32>,
    branches: Vec<List>,
    /// The types that are walked in a row, for each walk.
    walked: Vec<Vec<NodeId>>,
    /// Which of the walks the fields of records are that are entered.
    fields: Vec<usize>,
}

impl<'s> Compiler<'s> {
    /// The list of a pair, which is made later if it is not known.
    fn list_of(&mut self, pair: Pair) -> List {
        if let Some(list) = self.known.get(&pair) {
            return *list;
        }
        let list = List(self.lists.len() as u32);
        self.lists.push(Vec::new());
        self.known.insert(pair, list);
        self.waiting.push((pair, list));
        list
    }

    /// Appends what reads a pair. Records that differ become calls.
    fn emit(&mut self, pair: Pair, ops: &mut Vec<Draft>) -> Result<(), Obstacle> {
        match self.matcher.reader.node(pair.1).kind {
            Kind::Record { .. } if self.different.contains(&pair) => {
                let list = self.list_of(pair);
                ops.push(Draft::Op(Op::Call(list)));
                Ok(())
            }
            _ => self.emit_whole(pair, ops),
        }
    }

    /// The same without a call. Recurses as deep as unions stand within unions.
    fn emit_whole(&mut self, pair @ (w, r): Pair, ops: &mut Vec<Draft>) -> Result<(), Obstacle> {
        if !self.different.contains(&pair) {
            keep(ops, w);
            return Ok(());
        }
        let least = |id| u32::try_from(self.matcher.writer.least_bytes(id)).unwrap_or(u32::MAX);
        let op = match self.matcher.matching(w, r) {
            Matching::Branches(branches) => {
                let lists: Vec<List> = branches.iter().map(|branch| self.list_of((*branch, r))).collect();
                let first = self.branches.len() as u32;
                self.branches.extend(&lists);
                Op::Branch { first, count: lists.len() as u32 }
            }
            Matching::Branch(number, branch) => {
                let mut bytes = Vec::new();
                varint::encode(&mut bytes, number as i64);
                self.put(&bytes, ops);
                return self.emit((w, branch), ops);
            }
            Matching::Record(sources) => return self.record(pair, &sources, ops),
            Matching::Enum(symbols) => {
                let first = self.symbols.len() as u32;
                self.symbols.extend(symbols.iter().map(|symbol| symbol.unwrap_or_default() as u32));
                Op::Symbol { first, count: symbols.len() as u32 }
            }
            Matching::Array(theirs, ours) => Op::Array { least: least(theirs), item: self.list_of((theirs, ours)) },
            Matching::Map(theirs, ours) => {
                Op::Map { least: least(theirs).saturating_add(1), value: self.list_of((theirs, ours)) }
            }
            Matching::Promoted => match (&self.matcher.writer.node(w).kind, &self.matcher.reader.node(r).kind) {
                (Kind::Float, _) => Op::Widen(Wider::FloatToDouble),
                (_, Kind::Float) => Op::Widen(Wider::WholeToFloat),
                _ => Op::Widen(Wider::WholeToDouble),
            },
            // These are the same bytes, or were refused before.
            Matching::Same | Matching::OtherSize(..) | Matching::NoBranch | Matching::Unlike => {
                keep(ops, w);
                return Ok(());
            }
        };
        ops.push(Draft::Op(op));
        Ok(())
    }

    fn record(&mut self, (w, r): Pair, sources: &[FieldSource], ops: &mut Vec<Draft>) -> Result<(), Obstacle> {
        let (writer, reader) = (self.matcher.writer, self.matcher.reader);
        let (Kind::Record { fields: theirs, .. }, Kind::Record { fields: ours, .. }) =
            (&writer.node(w).kind, &reader.node(r).kind)
        else {
            return Ok(());
        };
        let written = |source: &FieldSource| match source {
            FieldSource::Written(place) => Some(*place),
            _ => None,
        };
        let places: Vec<usize> = sources.iter().filter_map(written).collect();
        let in_order = places.windows(2).all(|pair| pair[0] < pair[1]);
        if !in_order {
            let first = self.fields.len() as u32;
            for field in theirs {
                self.fields.push(self.walked.len());
                self.walked.push(vec![field.node]);
            }
            ops.push(Draft::Op(Op::Enter { first, count: theirs.len() as u32 }));
        }
        let mut next = 0;
        for (number, (field, source)) in ours.iter().zip(sources).enumerate() {
            let Some(place) = written(source) else {
                let bytes = self.defaults.of_field(r, number).map_err(|unfit| obstacle(reader, r, number, &unfit))?;
                self.put(&bytes, ops);
                continue;
            };
            match in_order {
                true => theirs.get(next..place).unwrap_or_default().iter().for_each(|field| drop_one(ops, field.node)),
                false if place != next => ops.push(Draft::Op(Op::Seek(place as u32))),
                false => {}
            }
            let Some(theirs) = theirs.get(place) else { continue };
            self.emit((theirs.node, field.node), ops)?;
            next = place + 1;
        }
        match in_order {
            true => theirs.get(next..).unwrap_or_default().iter().for_each(|field| drop_one(ops, field.node)),
            false => ops.push(Draft::Op(Op::Leave)),
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8], ops: &mut Vec<Draft>) {
        if bytes.is_empty() {
            return;
        }
        let start = self.constants.len() as u32;
        self.constants.extend_from_slice(bytes);
        let end = self.constants.len() as u32;
        match ops.last_mut() {
            Some(Draft::Op(Op::Put { end: before, .. })) if *before == start => *before = end,
            _ => ops.push(Draft::Op(Op::Put { start, end })),
        }
    }

    fn finish(mut self, root: Pair) -> Resolver {
        let (mut ops, mut lists) = (Vec::new(), Vec::new());
        // The number of a walk, until its body is known.
        let mut bodies: Vec<(usize, usize)> = Vec::new();
        for list in std::mem::take(&mut self.lists) {
            let start = ops.len() as u32;
            for draft in list {
                let (nodes, kept) = match draft {
                    Draft::Keep(nodes) => (nodes, true),
                    Draft::Drop(nodes) => (nodes, false),
                    Draft::Op(op) => {
                        ops.push(op);
                        continue;
                    }
                };
                bodies.push((ops.len(), self.walked.len()));
                self.walked.push(nodes);
                // Stands for `Drop` until then.
                ops.push(if kept { Op::Seek(0) } else { Op::Leave });
            }
            lists.push((start, ops.len() as u32));
        }
        let (walks, compiled) = self.matcher.writer.compile_walks(&self.walked);
        for (place, walk) in bodies {
            ops[place] = match ops[place] {
                Op::Seek(_) => Op::Keep(compiled[walk]),
                _ => Op::Drop(compiled[walk]),
            };
        }
        Resolver {
            identity: !self.different.contains(&root),
            ops,
            lists,
            constants: self.constants,
            symbols: self.symbols,
            branches: self.branches,
            fields: self.fields.iter().map(|walk| compiled[*walk]).collect(),
            walks,
            empty: self.matcher.writer.always_empty(),
        }
    }
}

/// Appends a value that is the same bytes for both.
fn keep(ops: &mut Vec<Draft>, node: NodeId) {
    match ops.last_mut() {
        Some(Draft::Keep(nodes)) => nodes.push(node),
        _ => ops.push(Draft::Keep(vec![node])),
    }
}

/// Appends a value that the reader does not have.
fn drop_one(ops: &mut Vec<Draft>, node: NodeId) {
    match ops.last_mut() {
        Some(Draft::Drop(nodes)) => nodes.push(node),
        _ => ops.push(Draft::Drop(vec![node])),
    }
}

fn obstacle(reader: &Schema, record: NodeId, field: usize, unfit: &Unfit) -> Obstacle {
    let kind = &reader.node(record).kind;
    let name = match kind {
        Kind::Record { fields, .. } => fields.get(field).map_or("", |field| field.name.as_str()),
        _ => "",
    };
    let within = full_name(kind).rsplit('.').next().unwrap_or_default();
    Obstacle { path: format!("{within}.{name}"), reason: unfit.to_string() }
}
