//! What is known of the nodes of a schema only when all of them are there: which types the names mean that were
//! referred to before they were defined, how few bytes a datum takes, how deep the types stand within each other.

use std::collections::HashMap;

use super::{Kind, MAX_DEPTH, Node, NodeId, SchemaError};

/// Numbers from here on stand for names that are not defined yet.
const FIRST: u32 = 1 << 31;

/// Names that were referred to and not known, each with a number in place of a node.
#[derive(Debug, Default)]
pub(super) struct Forward {
    /// The full name, and the name as it was written.
    names: Vec<(String, String)>,
    known: HashMap<(String, String), NodeId>,
}

impl Forward {
    /// What stands for a name until it is known.
    pub(super) fn reference(&mut self, full: String, written: &str) -> NodeId {
        let key = (full, written.to_owned());
        if let Some(&id) = self.known.get(&key) {
            return id;
        }
        let id = NodeId(FIRST + self.names.len() as u32);
        self.names.push(key.clone());
        self.known.insert(key, id);
        id
    }
}

/// Puts nodes in place of names. Returns the root, and for each node a number of bytes that no datum falls short of; 0
/// exactly where every datum is empty.
///
/// # Errors
/// [`SchemaError::UnknownName`], and [`SchemaError::TooDeep`] for types that stand too deep by way of such names.
pub(super) fn resolve(
    nodes: &mut [Node],
    root: NodeId,
    names: &HashMap<String, NodeId>,
    forward: &Forward,
) -> Result<(NodeId, Vec<u64>), SchemaError> {
    let mut meant = Vec::with_capacity(forward.names.len());
    for (full, written) in &forward.names {
        // A name that is not in its namespace is looked for outside of all namespaces.
        let id = names.get(full).or_else(|| names.get(written));
        meant.push(*id.ok_or_else(|| SchemaError::UnknownName(full.clone()))?);
    }
    let put = |id: &mut NodeId| {
        if let Some(node) = id.0.checked_sub(FIRST).and_then(|number| meant.get(number as usize)) {
            *id = *node;
        }
    };
    if !meant.is_empty() {
        for node in nodes.iter_mut() {
            match &mut node.kind {
                Kind::Record { fields, .. } => fields.iter_mut().for_each(|field| put(&mut field.node)),
                Kind::Array { items: inner } | Kind::Map { values: inner } => put(inner),
                Kind::Union { branches } => branches.iter_mut().for_each(put),
                _ => {}
            }
        }
    }
    let mut root = root;
    put(&mut root);
    check_depth(nodes, root)?;
    Ok((root, least(nodes)))
}

/// Refuses types that stand too deep within each other where each is looked into where it is first mentioned: code that
/// goes that way may recurse.
fn check_depth(nodes: &[Node], root: NodeId) -> Result<(), SchemaError> {
    let (mut seen, mut waiting) = (vec![false; nodes.len()], vec![(root, 0)]);
    while let Some((id, depth)) = waiting.pop() {
        if depth >= MAX_DEPTH {
            return Err(SchemaError::TooDeep);
        }
        match &nodes[id.index()].kind {
            Kind::Record { fields, .. } if !std::mem::replace(&mut seen[id.index()], true) => {
                waiting.extend(fields.iter().rev().map(|field| (field.node, depth + 1)));
            }
            Kind::Array { items: inner } | Kind::Map { values: inner } => waiting.push((*inner, depth + 1)),
            Kind::Union { branches } => waiting.extend(branches.iter().rev().map(|branch| (*branch, depth + 1))),
            _ => {}
        }
    }
    Ok(())
}

/// How few bytes a datum of each node takes, 0 exactly where it takes none. Not always the most that could be said of
/// records that are mentioned before they are defined.
fn least(nodes: &[Node]) -> Vec<u64> {
    let mut least: Vec<u64> = nodes.iter().map(|node| u64::from(!is_nothing(&node.kind))).collect();
    find_empty_records(nodes, &mut least);
    // What stands within a node has a higher number, what it refers to mostly a lower one.
    let both_ways = (0..nodes.len()).rev().chain(0..nodes.len());
    for at in both_ways {
        let of = |id: &NodeId| least[id.index()];
        let sum = match &nodes[at].kind {
            Kind::Float => 4,
            Kind::Double => 8,
            Kind::Fixed { size, .. } => *size,
            Kind::Record { fields, .. } => fields.iter().fold(0u64, |sum, field| sum.saturating_add(of(&field.node))),
            Kind::Union { branches } => branches.iter().map(of).min().unwrap_or(0).saturating_add(1),
            _ => continue,
        };
        least[at] = least[at].max(sum);
    }
    least
}

/// Whether a datum takes no bytes for what is seen of the node alone.
fn is_nothing(kind: &Kind) -> bool {
    match kind {
        Kind::Null | Kind::Fixed { size: 0, .. } => true,
        Kind::Record { fields, .. } => fields.is_empty(),
        _ => false,
    }
}

/// Sets to 0 those records all of whose fields are 0. One that stands within itself never is.
fn find_empty_records(nodes: &[Node], least: &mut [u64]) {
    // For each record how many of its fields are not known to be empty, for each node the records that have it as a field.
    let mut open: Vec<usize> = vec![0; nodes.len()];
    let mut used_by: HashMap<NodeId, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if let Kind::Record { fields, .. } = &node.kind {
            open[at] = fields.len();
            // Only what may turn out to be empty.
            let maybe = |id: &NodeId| matches!(nodes[id.index()].kind, Kind::Record { .. }) || least[id.index()] == 0;
            for field in fields.iter().filter(|field| maybe(&field.node)) {
                used_by.entry(field.node).or_default().push(at);
            }
        }
    }
    let mut empty: Vec<usize> = (0..nodes.len()).filter(|at| least[*at] == 0).collect();
    while let Some(at) = empty.pop() {
        for &record in used_by.get(&NodeId(at as u32)).map_or(&[][..], Vec::as_slice) {
            open[record] -= 1;
            if open[record] == 0 {
                least[record] = 0;
                empty.push(record);
            }
        }
    }
}
