//! The compiled form of a schema: what is needed to find where values end, and nothing else.

use super::program::Program;
use super::{ColumnKind, MAX_COLUMNS, MAX_DEPTH, MAX_FIXED, MAX_TREE, MAX_TYPES};
use crate::avro::schema::{Kind, NodeId, Schema};
use crate::wire::{Malformed, Reader, Result, Write};

/// How records are dealt out to columns.
#[derive(Debug, Clone)]
pub struct TypeTree {
    bytes: Vec<u8>,
    root: Type,
    pub(super) program: Program,
}

/// A type of the tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Type {
    /// No bytes.
    Nothing,
    /// A number in Avro's form: an int, a long, an enum.
    Number,
    /// This many bytes: a boolean, a float, a double, a fixed.
    Fixed(u32),
    /// A length and that many bytes; in one column, or lengths and bytes in a column each.
    Text { together: bool },
    /// One value after the other. `called` if a type within it leads back here.
    Record { fields: Vec<Type>, called: bool },
    /// An array. A map is an array of records of a text and a value.
    List(Box<Type>),
    /// A number, and what the branch of that number is.
    Union(Vec<Type>),
    /// The record that stands this many records further out; 0 is the innermost one that this stands in.
    Enclosing(usize),
}

const NOTHING: u8 = 0;
const NUMBER: u8 = 1;
const FIXED: u8 = 2;
const TEXT: u8 = 3;
const TEXT_TOGETHER: u8 = 4;
const RECORD: u8 = 5;
const LIST: u8 = 6;
const UNION: u8 = 7;
const ENCLOSING: u8 = 8;

impl TypeTree {
    /// That of a schema. `None` if its data cannot be dealt out: it takes no bytes, or has too many types or columns, or
    /// they stand too deep.
    pub fn of_schema(schema: &Schema) -> Option<Self> {
        let mut types = 0;
        let root = of_node(schema, schema.root(), &mut Vec::new(), 0, &mut types)?;
        Self::of_type(root).ok()
    }

    /// Reads a tree; all of `bytes` must be it.
    ///
    /// # Errors
    /// What is no tree, or beyond the limits of this module.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        if bytes.len() > MAX_TREE {
            return Err(Malformed(format!("a type tree of {} bytes", bytes.len())));
        }
        let mut reader = Reader::new(bytes);
        let root = read_type(&mut reader, 0, &mut 0, &mut Vec::new())?;
        reader.finish()?;
        Self::of_type(root)
    }

    fn of_type(root: Type) -> Result<Self> {
        let mut bytes = Vec::new();
        write(&root, &mut bytes);
        let program = Program::compile(&root);
        if bytes.len() > MAX_TREE || program.columns.len() > MAX_COLUMNS {
            return Err(Malformed::new("a type tree of too many columns"));
        }
        if program.is_empty() {
            return Err(Malformed::new("a type tree whose values take no bytes"));
        }
        Ok(Self { bytes, root, program })
    }

    /// The tree as it is written.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What each column holds.
    pub fn columns(&self) -> &[ColumnKind] {
        &self.program.columns
    }

    /// The same tree with texts in one column each where `together` says so. Texts are numbered in the order of their
    /// columns. `None` if that is no tree, which cannot be.
    pub fn with_texts(&self, together: &[bool]) -> Option<Self> {
        let mut root = self.root.clone();
        set_texts(&mut root, &mut together.iter().copied());
        Self::of_type(root).ok()
    }
}

fn of_node(schema: &Schema, id: NodeId, open: &mut Vec<NodeId>, depth: usize, types: &mut usize) -> Option<Type> {
    *types += 1;
    if depth > MAX_DEPTH || *types > MAX_TYPES {
        return None;
    }
    let depth = depth + 1;
    Some(match &schema.node(id).kind {
        Kind::Null => Type::Nothing,
        Kind::Boolean => Type::Fixed(1),
        Kind::Int | Kind::Long | Kind::Enum { .. } => Type::Number,
        Kind::Float => Type::Fixed(4),
        Kind::Double => Type::Fixed(8),
        Kind::Bytes | Kind::String => Type::Text { together: false },
        Kind::Fixed { size: 0, .. } => Type::Nothing,
        Kind::Fixed { size, .. } if *size <= MAX_FIXED => Type::Fixed(*size as u32),
        Kind::Fixed { .. } => return None,
        Kind::Record { fields, .. } => {
            if let Some(out) = open.iter().rev().position(|outer| *outer == id) {
                return Some(Type::Enclosing(out));
            }
            open.push(id);
            let mut within = Vec::with_capacity(fields.len());
            for field in fields {
                match of_node(schema, field.node, open, depth, types)? {
                    Type::Nothing => {}
                    field => within.push(field),
                }
            }
            open.pop();
            match within.is_empty() {
                true => Type::Nothing,
                false => Type::Record { called: calls(&within, 0), fields: within },
            }
        }
        Kind::Array { items } => Type::List(Box::new(of_node(schema, *items, open, depth, types)?)),
        Kind::Map { values } => {
            // The record that an entry is must not be counted by what leads back to a record further out.
            open.push(id);
            let value = of_node(schema, *values, open, depth + 1, types)?;
            open.pop();
            let mut fields = vec![Type::Text { together: false }];
            fields.extend((value != Type::Nothing).then_some(value));
            Type::List(Box::new(Type::Record { fields, called: false }))
        }
        Kind::Union { branches } => {
            let branches = branches.iter().map(|branch| of_node(schema, *branch, open, depth, types));
            Type::Union(branches.collect::<Option<_>>()?)
        }
    })
}

/// Whether any of these types, which stand within a record and `out` more, leads back to it.
fn calls(types: &[Type], out: usize) -> bool {
    types.iter().any(|of| match of {
        Type::Nothing | Type::Number | Type::Fixed(_) | Type::Text { .. } => false,
        Type::Record { fields, .. } => calls(fields, out + 1),
        Type::List(item) => calls(std::slice::from_ref(item), out),
        Type::Union(branches) => calls(branches, out),
        Type::Enclosing(further) => *further == out,
    })
}

/// Reads a type. `open` has for each record around it whether something within leads back there.
fn read_type(reader: &mut Reader<'_>, depth: usize, types: &mut usize, open: &mut Vec<bool>) -> Result<Type> {
    *types += 1;
    if depth > MAX_DEPTH || *types > 2 * MAX_TYPES {
        return Err(Malformed::new("a type tree that is too deep or too large"));
    }
    let depth = depth + 1;
    Ok(match reader.u8()? {
        NOTHING => Type::Nothing,
        NUMBER => Type::Number,
        FIXED => match reader.varint()? {
            size @ 1..=MAX_FIXED => Type::Fixed(size as u32),
            size => return Err(Malformed(format!("a type of {size} bytes"))),
        },
        TEXT => Type::Text { together: false },
        TEXT_TOGETHER => Type::Text { together: true },
        RECORD => {
            let count = reader.count(1)?;
            open.push(false);
            let fields = (0..count).map(|_| read_type(reader, depth, types, open)).collect::<Result<_>>()?;
            Type::Record { fields, called: open.pop().unwrap_or(false) }
        }
        LIST => Type::List(Box::new(read_type(reader, depth, types, open)?)),
        UNION => {
            let count = reader.count(1)?;
            Type::Union((0..count).map(|_| read_type(reader, depth, types, open)).collect::<Result<_>>()?)
        }
        ENCLOSING => {
            let out = reader.varint()?;
            let at = usize::try_from(out).ok().and_then(|out| open.len().checked_sub(out.checked_add(1)?));
            match at.and_then(|at| open.get_mut(at)) {
                Some(called) => *called = true,
                None => return Err(Malformed::new("a type tree that leads out of itself")),
            }
            Type::Enclosing(out as usize)
        }
        other => return Err(Malformed(format!("a type of kind {other}, which is not known"))),
    })
}

fn write(of: &Type, bytes: &mut Vec<u8>) {
    match of {
        Type::Nothing => bytes.put_u8(NOTHING),
        Type::Number => bytes.put_u8(NUMBER),
        Type::Fixed(size) => {
            bytes.put_u8(FIXED);
            bytes.put_varint(u64::from(*size));
        }
        Type::Text { together: false } => bytes.put_u8(TEXT),
        Type::Text { together: true } => bytes.put_u8(TEXT_TOGETHER),
        Type::Record { fields, .. } => {
            bytes.put_u8(RECORD);
            bytes.put_varint(fields.len() as u64);
            fields.iter().for_each(|field| write(field, bytes));
        }
        Type::List(item) => {
            bytes.put_u8(LIST);
            write(item, bytes);
        }
        Type::Union(branches) => {
            bytes.put_u8(UNION);
            bytes.put_varint(branches.len() as u64);
            branches.iter().for_each(|branch| write(branch, bytes));
        }
        Type::Enclosing(out) => {
            bytes.put_u8(ENCLOSING);
            bytes.put_varint(*out as u64);
        }
    }
}

fn set_texts(of: &mut Type, together: &mut impl Iterator<Item = bool>) {
    match of {
        Type::Text { together: this } => *this = together.next().unwrap_or(*this),
        Type::Record { fields: types, .. } | Type::Union(types) => {
            types.iter_mut().for_each(|of| set_texts(of, together));
        }
        Type::List(item) => set_texts(item, together),
        Type::Nothing | Type::Number | Type::Fixed(_) | Type::Enclosing(_) => {}
    }
}
