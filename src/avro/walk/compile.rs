//! From the nodes of a schema to the ops of its walk.

use super::{Body, Op, Program};
use crate::avro::schema::{Kind, Node, NodeId};

impl Program {
    /// Compiles `nodes`, for each of which `least` says how few bytes a datum can take (0 only where it is always empty).
    ///
    /// What bounds the work of a walk by its bytes: nothing is emitted for what is always empty, so every op takes a byte,
    /// except a call; and a list that is nothing but a call is replaced by the list it calls, so there are no more calls
    /// than other ops.
    pub(in crate::avro) fn compile(nodes: &[Node], least: &[u64], root: NodeId) -> Self {
        let (program, _) = Self::compile_lists(nodes, least, &[vec![root]]);
        program
    }

    /// The same for lists of nodes that stand one after the other, with a body for each list. The first one, of which there
    /// must be one, is the root.
    pub(in crate::avro) fn compile_lists(nodes: &[Node], least: &[u64], of: &[Vec<NodeId>]) -> (Self, Vec<Body>) {
        let mut uses = vec![0u32; nodes.len()];
        let mut count = |id: NodeId| uses[id.index()] = uses[id.index()].saturating_add(1);
        for node in nodes {
            match &node.kind {
                Kind::Record { fields, .. } => fields.iter().for_each(|field| count(field.node)),
                Kind::Array { items: inner } | Kind::Map { values: inner } => count(*inner),
                Kind::Union { branches } => branches.iter().copied().for_each(&mut count),
                _ => {}
            }
        }
        of.iter().flatten().copied().for_each(&mut count);
        let mut compiler = Compiler {
            nodes,
            least,
            uses,
            lists: Vec::new(),
            branches: Vec::new(),
            called: vec![None; nodes.len()],
            waiting: Vec::new(),
        };
        let bodies: Vec<_> = of
            .iter()
            .map(|ids| compiler.body(|compiler, list| ids.iter().for_each(|id| compiler.emit(*id, list))))
            .collect();
        while let Some((id, body)) = compiler.waiting.pop() {
            let mut list = Vec::new();
            compiler.emit_whole(id, &mut list);
            compiler.lists[body.0 as usize] = list;
        }
        let Compiler { lists, branches, .. } = compiler;
        let root = bodies.first().copied().unwrap_or(Body(0));
        (link(&lists, branches, root), bodies)
    }
}

struct Compiler<'a> {
    nodes: &'a [Node],
    least: &'a [u64],
    uses: Vec<u32>,
    /// The lists of all bodies.
    lists: Vec<Vec<Op>>,
    branches: Vec<Body>,
    /// The bodies of records that are called.
    called: Vec<Option<Body>>,
    /// The nodes that are not compiled yet.
    waiting: Vec<(NodeId, Body)>,
}

impl Compiler<'_> {
    /// A new body with the list that `fill` makes.
    fn body(&mut self, fill: impl FnOnce(&mut Self, &mut Vec<Op>)) -> Body {
        let body = Body(self.lists.len() as u32);
        self.lists.push(Vec::new());
        let mut list = Vec::new();
        fill(self, &mut list);
        self.lists[body.0 as usize] = list;
        body
    }

    /// Appends the ops of a node. Recurses no deeper than the text of the schema nests, since a record that is
    /// mentioned more than once becomes a call.
    fn emit(&mut self, id: NodeId, list: &mut Vec<Op>) {
        if self.least[id.index()] == 0 {
            return;
        }
        let record = matches!(self.nodes[id.index()].kind, Kind::Record { .. });
        if !record || self.uses[id.index()] <= 1 {
            return self.emit_whole(id, list);
        }
        let body = match self.called[id.index()] {
            Some(body) => body,
            None => {
                let body = self.body(|_, _| {});
                self.waiting.push((id, body));
                self.called[id.index()] = Some(body);
                body
            }
        };
        list.push(Op::Call(body));
    }

    fn emit_whole(&mut self, id: NodeId, list: &mut Vec<Op>) {
        // The nodes outlive `self`, which must change below.
        let nodes = self.nodes;
        match &nodes[id.index()].kind {
            Kind::Null => {}
            Kind::Boolean => skip(list, 1),
            Kind::Int | Kind::Long => list.push(Op::Long),
            Kind::Float => skip(list, 4),
            Kind::Double => skip(list, 8),
            Kind::Bytes | Kind::String => list.push(Op::Bytes),
            Kind::Fixed { size, .. } => skip(list, usize::try_from(*size).unwrap_or(usize::MAX)),
            Kind::Enum { symbols, .. } => list.push(Op::Enum(symbols.len() as u32)),
            Kind::Record { fields, .. } => fields.iter().for_each(|field| self.emit(field.node, list)),
            Kind::Array { items } => {
                let item = self.body(|compiler, list| compiler.emit(*items, list));
                list.push(Op::Array { item, least: saturate(self.least[items.index()]) });
            }
            Kind::Map { values } => {
                let item = self.body(|compiler, list| {
                    list.push(Op::Bytes);
                    compiler.emit(*values, list);
                });
                list.push(Op::Map { item, least: saturate(self.least[values.index()].saturating_add(1)) });
            }
            Kind::Union { branches } => self.emit_union(branches, list),
        }
    }

    fn emit_union(&mut self, branches: &[NodeId], list: &mut Vec<Op>) {
        let is_null = |id: NodeId| self.nodes[id.index()].kind == Kind::Null;
        let optional = match *branches {
            [a, b] if is_null(a) != is_null(b) => Some(if is_null(a) { (0, b) } else { (2, a) }),
            _ => None,
        };
        if let Some((null, other)) = optional {
            let mut inner = Vec::new();
            self.emit(other, &mut inner);
            let special = match *inner {
                [Op::Long] => Some(Op::OptionalLong { null }),
                [Op::Bytes] => Some(Op::OptionalBytes { null }),
                [Op::Skip(size)] => u32::try_from(size).ok().map(|size| Op::OptionalSkip { null, size }),
                _ => None,
            };
            if let Some(op) = special {
                return list.push(op);
            }
            let inner = self.body(|_, list| *list = inner);
            let nothing = self.body(|_, _| {});
            let first = self.branches.len() as u32;
            self.branches.extend(if null == 0 { [nothing, inner] } else { [inner, nothing] });
            return list.push(Op::Union { first, count: 2 });
        }
        let bodies: Vec<_> =
            branches.iter().map(|branch| self.body(|compiler, list| compiler.emit(*branch, list))).collect();
        let first = self.branches.len() as u32;
        self.branches.extend(bodies);
        list.push(Op::Union { first, count: branches.len() as u32 });
    }
}

/// Appends this many bytes of any value, to those before them where there are such.
fn skip(list: &mut Vec<Op>, size: usize) {
    match list.last_mut() {
        Some(Op::Skip(before)) => *before = before.saturating_add(size),
        _ => list.push(Op::Skip(size)),
    }
}

fn saturate(least: u64) -> u32 {
    u32::try_from(least).unwrap_or(u32::MAX)
}

/// Puts the lists end to end. A body that only calls another one becomes that one; where such calls go in a circle there
/// is no datum.
fn link(lists: &[Vec<Op>], branches: Vec<Body>, root: Body) -> Program {
    let mut ops = Vec::new();
    let mut bodies: Vec<Option<(u32, u32)>> = Vec::new();
    for list in lists {
        let start = ops.len() as u32;
        bodies.push(match list[..] {
            [Op::Call(_)] => None,
            _ => {
                ops.extend_from_slice(list);
                Some((start, ops.len() as u32))
            }
        });
    }
    let never = (ops.len() as u32, ops.len() as u32 + 1);
    ops.push(Op::Never);
    let mut seen = vec![false; lists.len()];
    for start in 0..lists.len() {
        let mut chain = Vec::new();
        let mut body = start;
        let found = loop {
            match (bodies[body], &lists[body][..]) {
                (Some(found), _) => break found,
                (None, [Op::Call(next)]) if !seen[body] => {
                    seen[body] = true;
                    chain.push(body);
                    body = next.0 as usize;
                }
                _ => break never,
            }
        };
        chain.into_iter().for_each(|body| bodies[body] = Some(found));
    }
    let bodies = bodies.into_iter().map(|body| body.unwrap_or(never)).collect();
    Program { ops, bodies, branches, root }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::schema::Schema;

    fn root_ops(schema: &str) -> Vec<Op> {
        let program = Schema::parse(schema).unwrap().program;
        program.ops(program.root).to_vec()
    }

    #[test]
    fn a_flat_record_is_one_list_and_fixed_bytes_are_joined() {
        let inner =
            r#"{"type":"record","name":"I","fields":[{"name":"x","type":"double"},{"name":"y","type":"null"}]}"#;
        let schema = format!(
            r#"{{"type":"record","name":"R","fields":[{{"name":"a","type":"long"}},{{"name":"b","type":"float"}},
            {{"name":"i","type":{inner}}},{{"name":"f","type":{{"type":"fixed","name":"F","size":3}}}},
            {{"name":"s","type":["string","null"]}},{{"name":"o","type":["null",{{"type":"fixed","name":"G","size":9}}]}}]}}"#
        );
        assert_eq!(
            root_ops(&schema),
            [Op::Long, Op::Skip(15), Op::OptionalBytes { null: 2 }, Op::OptionalSkip { null: 0, size: 9 },]
        );
    }

    #[test]
    fn records_that_only_hold_each_other_cost_no_calls() {
        let wrap = |n: usize, inner: &str| {
            format!(
                r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":{inner}}},{{"name":"n","type":"null"}}]}}"#
            )
        };
        let mut schema = wrap(0, "\"long\"");
        for n in 1..10 {
            schema = wrap(n, &schema);
        }
        let twice = format!(r#"[{schema},"R9","R5"]"#);
        let program = Schema::parse(&twice).unwrap().program;
        for branch in &program.branches {
            assert_eq!(program.ops(*branch), [Op::Long]);
        }
    }

    #[test]
    fn records_that_hold_themselves_whole_have_no_datum() {
        let alone = |n: usize| format!(r#"{{"type":"record","name":"R{n}","fields":[{{"name":"a","type":"R{n}"}}]}}"#);
        assert_eq!(root_ops(&alone(0)), [Op::Never]);
        // Each is found in the time of its own circle, not of the whole schema.
        let many: Vec<_> = (0..9_999).map(alone).collect();
        let program = Schema::parse(&format!("[{}]", many.join(","))).unwrap().program;
        assert!(program.branches.iter().all(|branch| program.ops(*branch) == [Op::Never]));
    }
}
