//! From a type tree to what is done for each value: a flat list of ops, each of which knows its columns.

use super::tree::Type;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Numbers of fields.
    Number,
    /// Numbers of branches of a union.
    Branch,
    /// Counts of the blocks of lists, the zeros that end lists, and lengths in bytes after counts below zero.
    Count,
    /// Lengths of texts whose bytes are in the next column.
    Length,
    /// Bytes of texts whose lengths are in the column before.
    Bytes,
    /// Texts: each a length and that many bytes.
    Text,
    /// Values of this many bytes.
    Fixed(u32),
}

impl ColumnKind {
    /// Whether the column consists of numbers in Avro's form.
    pub fn is_numbers(self) -> bool {
        matches!(self, Self::Number | Self::Branch | Self::Count | Self::Length)
    }
}

/// A list of ops.
#[derive(Debug, Clone, Copy)]
pub(super) struct Body {
    start: u32,
    end: u32,
}

/// What is done for a value. Columns by their numbers, of which there are at most [`MAX_COLUMNS`](super::MAX_COLUMNS)
/// by the time a program is used.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    /// Moves a number.
    Number { column: u32 },
    /// Moves `size` bytes.
    Fixed { column: u32, size: u32 },
    /// Moves a length to or from `column`, and that many bytes to or from the next one.
    Parted { column: u32 },
    /// Moves a length and that many bytes.
    Text { column: u32 },
    /// Moves the number of a branch, then does what the branch needs: the body `first` + number.
    Union { column: u32, first: u32, count: u32 },
    /// Moves counts until one is 0; does `item` as often as each says.
    List { column: u32, item: u32 },
    /// Does what a body says.
    Call { body: u32 },
}

impl Op {
    /// Whether there are no values within the value.
    #[inline(always)]
    pub(super) fn is_simple(self) -> bool {
        matches!(self, Self::Number { .. } | Self::Fixed { .. } | Self::Parted { .. } | Self::Text { .. })
    }
}

/// All ops of a tree.
#[derive(Debug, Clone)]
pub(super) struct Program {
    ops: Vec<Op>,
    bodies: Vec<Body>,
    root: u32,
    pub(super) columns: Vec<ColumnKind>,
}

impl Program {
    /// Compiles a tree. No op is made for what takes no bytes, so every op moves at least one; only a call may lead in
    /// a circle, and how deep calls go is bounded where they are done.
    pub(super) fn compile(root: &Type) -> Self {
        let mut compiler = Compiler { lists: Vec::new(), columns: Vec::new(), open: Vec::new() };
        let root = compiler.body(root);
        let (mut ops, mut bodies) = (Vec::new(), Vec::new());
        for list in &compiler.lists {
            let start = ops.len() as u32;
            ops.extend_from_slice(list);
            bodies.push(Body { start, end: ops.len() as u32 });
        }
        Self { ops, bodies, root, columns: compiler.columns }
    }

    pub(super) fn root(&self) -> &[Op] {
        self.body(self.root)
    }

    /// Whether a value takes no bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.root().is_empty()
    }

    /// The ops of the body of this number.
    #[inline(always)]
    pub(super) fn body(&self, number: u32) -> &[Op] {
        match self.bodies.get(number as usize) {
            Some(body) => self.ops.get(body.start as usize..body.end as usize).unwrap_or(&[]),
            None => &[],
        }
    }
}

struct Compiler {
    /// The lists of all bodies.
    lists: Vec<Vec<Op>>,
    columns: Vec<ColumnKind>,
    /// The bodies of the records that are being compiled; those that nothing calls have none.
    open: Vec<u32>,
}

impl Compiler {
    fn column(&mut self, kind: ColumnKind) -> u32 {
        self.columns.push(kind);
        self.columns.len() as u32 - 1
    }

    fn empty_body(&mut self) -> u32 {
        self.lists.push(Vec::new());
        self.lists.len() as u32 - 1
    }

    fn fill(&mut self, body: u32, list: Vec<Op>) {
        if let Some(place) = self.lists.get_mut(body as usize) {
            *place = list;
        }
    }

    fn body(&mut self, of: &Type) -> u32 {
        let body = self.empty_body();
        let mut list = Vec::new();
        self.emit(of, &mut list);
        self.fill(body, list);
        body
    }

    fn emit(&mut self, of: &Type, list: &mut Vec<Op>) {
        match of {
            Type::Nothing => {}
            Type::Number => list.push(Op::Number { column: self.column(ColumnKind::Number) }),
            Type::Fixed(size) => list.push(Op::Fixed { column: self.column(ColumnKind::Fixed(*size)), size: *size }),
            Type::Text { together: true } => list.push(Op::Text { column: self.column(ColumnKind::Text) }),
            Type::Text { together: false } => {
                list.push(Op::Parted { column: self.column(ColumnKind::Length) });
                self.column(ColumnKind::Bytes);
            }
            Type::Record { fields, called: true } => {
                let body = self.empty_body();
                self.open.push(body);
                let mut within = Vec::new();
                fields.iter().for_each(|field| self.emit(field, &mut within));
                self.open.pop();
                self.fill(body, within);
                list.push(Op::Call { body });
            }
            Type::Record { fields, called: false } => {
                self.open.push(u32::MAX);
                fields.iter().for_each(|field| self.emit(field, list));
                self.open.pop();
            }
            Type::List(item) => {
                let column = self.column(ColumnKind::Count);
                let item = self.body(item);
                list.push(Op::List { column, item });
            }
            Type::Union(branches) => {
                let column = self.column(ColumnKind::Branch);
                // The bodies of the branches lie side by side, so that the number of a branch finds its own.
                let bodies: Vec<u32> = branches.iter().map(|_| self.empty_body()).collect();
                for (branch, body) in branches.iter().zip(&bodies) {
                    let mut within = Vec::new();
                    self.emit(branch, &mut within);
                    self.fill(*body, within);
                }
                let first = bodies.first().copied().unwrap_or(0);
                list.push(Op::Union { column, first, count: branches.len() as u32 });
            }
            Type::Enclosing(out) => {
                let body = self.open.iter().rev().nth(*out).copied().unwrap_or(u32::MAX);
                list.push(Op::Call { body });
            }
        }
    }
}
