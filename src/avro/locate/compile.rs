//! From paths and a schema to the plans of a locator.

use std::collections::{HashMap, HashSet};

use super::{LocateError, Locator, Plan, Step, Within};
use crate::avro::field_path::FieldPath;
use crate::avro::schema::{Field, Kind, NodeId, Schema};
use crate::avro::walk::Body;

/// The most plans of a locator, and lists of types to skip.
const MAX_PLANS: usize = 1 << 20;

/// How deep plans stand within each other.
const MAX_DEPTH: usize = 512;

/// How many fields an error names.
const NAMED: usize = 20;

/// The types that a field can have: those of all branches of unions, among them perhaps null.
///
/// # Errors
/// [`LocateError::NoField`] and [`LocateError::InArray`].
pub fn types_of(schema: &Schema, path: &FieldPath) -> Result<Vec<NodeId>, LocateError> {
    let mut nodes = branches(schema, vec![schema.root()]);
    for name in path.names() {
        let (mut to, mut there, mut array) = (Vec::new(), Vec::new(), false);
        for id in nodes {
            match &schema.node(id).kind {
                Kind::Record { fields, .. } => {
                    to.extend(fields.iter().find(|field| field.name == *name).map(|field| field.node));
                    there.extend(fields.iter().map(|field| field.name.clone()).take(NAMED));
                }
                Kind::Map { values } => to.push(*values),
                Kind::Array { .. } => array = true,
                _ => {}
            }
        }
        if to.is_empty() && array {
            return Err(LocateError::InArray { field: path.clone() });
        }
        if to.is_empty() {
            there.truncate(NAMED);
            return Err(LocateError::NoField { field: path.clone(), there });
        }
        nodes = branches(schema, to);
    }
    Ok(nodes)
}

/// These types, and in place of unions their branches, each once.
fn branches(schema: &Schema, from: Vec<NodeId>) -> Vec<NodeId> {
    let (mut out, mut seen, mut waiting) = (Vec::new(), HashSet::new(), from);
    waiting.reverse();
    while let Some(id) = waiting.pop() {
        if !seen.insert(id) {
            continue;
        }
        match &schema.node(id).kind {
            Kind::Union { branches } => waiting.extend(branches.iter().rev()),
            _ => out.push(id),
        }
    }
    out
}

/// [`Locator::new`].
pub(super) fn locator(schema: &Schema, paths: &[FieldPath]) -> Result<Locator, LocateError> {
    let mut wanted = vec![Wanted::default()];
    for (slot, path) in paths.iter().enumerate() {
        types_of(schema, path)?;
        let mut at = 0;
        for name in path.names() {
            at = step(&mut wanted, at, name);
        }
        wanted[at].slots.push(slot);
    }
    let mut compiler = Compiler {
        schema,
        wanted: &wanted,
        // The first list is the root of the program. It is not used, but says that the root is one of its own uses.
        lists: vec![vec![schema.root()]],
        drafts: Vec::new(),
        known: HashMap::new(),
    };
    let root = compiler.plan(0, schema.root(), 0)?;
    let Compiler { lists, drafts, .. } = compiler;
    let (program, bodies) = schema.compile_lists(&lists);
    let plans = drafts.into_iter().map(|draft| draft.finish(&bodies)).collect();
    Ok(Locator { program, plans, root, fields: paths.len() })
}

/// What is wanted at one place of a record, whatever the schema: a tree by names.
#[derive(Debug, Default)]
struct Wanted {
    /// The paths that end here.
    slots: Vec<usize>,
    /// What goes on from here.
    within: Vec<(String, usize)>,
}

fn step(wanted: &mut Vec<Wanted>, at: usize, name: &str) -> usize {
    if let Some((_, next)) = wanted[at].within.iter().find(|(known, _)| known == name) {
        return *next;
    }
    let next = wanted.len();
    wanted.push(Wanted::default());
    wanted[at].within.push((name.to_owned(), next));
    next
}

/// A plan in which lists of types stand for the bodies that skip them.
struct Draft {
    node: NodeId,
    slots: Vec<usize>,
    within: DraftWithin,
}

enum DraftWithin {
    Whole(usize),
    Null,
    Record(Vec<DraftStep>, usize),
    Map { keys: Vec<(String, usize)>, value: usize },
    Union(Vec<usize>),
}

enum DraftStep {
    Skip(usize),
    Enter(usize),
}

impl Draft {
    fn finish(self, bodies: &[Body]) -> Plan {
        let within = match self.within {
            DraftWithin::Null => Within::Null,
            DraftWithin::Whole(list) => Within::Whole(bodies[list]),
            DraftWithin::Record(steps, wanted) => {
                let steps = steps.into_iter().map(|step| match step {
                    DraftStep::Skip(list) => Step::Skip(bodies[list]),
                    DraftStep::Enter(plan) => Step::Enter(plan),
                });
                Within::Record(steps.collect(), wanted)
            }
            DraftWithin::Map { keys, value } => Within::Map { keys, value: bodies[value] },
            DraftWithin::Union(plans) => Within::Union(plans),
        };
        Plan { node: self.node, slots: self.slots, within }
    }
}

struct Compiler<'a> {
    schema: &'a Schema,
    wanted: &'a [Wanted],
    /// Types that are skipped together.
    lists: Vec<Vec<NodeId>>,
    drafts: Vec<Draft>,
    /// The plan for what is wanted at a node: records that lead back to themselves come again and again.
    known: HashMap<(usize, NodeId), usize>,
}

impl Compiler<'_> {
    fn list(&mut self, nodes: Vec<NodeId>) -> usize {
        self.lists.push(nodes);
        self.lists.len() - 1
    }

    /// The plan for what is wanted of a value of one type.
    fn plan(&mut self, wanted: usize, id: NodeId, depth: usize) -> Result<usize, LocateError> {
        if let Some(plan) = self.known.get(&(wanted, id)) {
            return Ok(*plan);
        }
        if depth >= MAX_DEPTH || self.drafts.len() >= MAX_PLANS || self.lists.len() >= MAX_PLANS {
            return Err(LocateError::TooMany);
        }
        let (schema, here) = (self.schema, &self.wanted[wanted]);
        let mut slots = here.slots.clone();
        let within = match &schema.node(id).kind {
            Kind::Null => DraftWithin::Null,
            Kind::Union { branches } => {
                // The branch is what is found.
                slots.clear();
                let plans = branches.iter().map(|branch| self.plan(wanted, *branch, depth + 1));
                DraftWithin::Union(plans.collect::<Result<_, _>>()?)
            }
            Kind::Record { fields, .. } if !here.within.is_empty() => self.record(wanted, fields, depth)?,
            Kind::Map { values } if !here.within.is_empty() => {
                let keys =
                    here.within.iter().map(|(key, next)| Ok((key.clone(), self.plan(*next, *values, depth + 1)?)));
                let keys = keys.collect::<Result<_, _>>()?;
                DraftWithin::Map { keys, value: self.list(vec![*values]) }
            }
            _ => DraftWithin::Whole(self.list(vec![id])),
        };
        self.drafts.push(Draft { node: id, slots, within });
        let plan = self.drafts.len() - 1;
        self.known.insert((wanted, id), plan);
        Ok(plan)
    }

    fn record(&mut self, wanted: usize, fields: &[Field], depth: usize) -> Result<DraftWithin, LocateError> {
        let (mut steps, mut skipped, mut last) = (Vec::new(), Vec::new(), 0);
        // A name that stands twice means the first of them, as it does in `types_of`.
        let mut met = HashSet::new();
        for field in fields {
            let next = self.wanted[wanted].within.iter().find(|(name, _)| *name == field.name);
            let Some((_, next)) = next.filter(|(name, _)| met.insert(name.as_str())) else {
                skipped.push(field.node);
                continue;
            };
            if !skipped.is_empty() {
                steps.push(DraftStep::Skip(self.list(std::mem::take(&mut skipped))));
            }
            steps.push(DraftStep::Enter(self.plan(*next, field.node, depth + 1)?));
            last = steps.len();
        }
        if !skipped.is_empty() {
            steps.push(DraftStep::Skip(self.list(skipped)));
        }
        Ok(DraftWithin::Record(steps, last))
    }
}
