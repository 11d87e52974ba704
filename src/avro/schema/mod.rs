//! A schema, read from its JSON and compiled ("Schema Declaration" in the Avro specification 1.12).
//!
//! Names are resolved, so a schema is an arena of [`Node`]s that name each other by number: what compiles something
//! from it (columns, a walk) starts at [`Schema::root`] and follows the numbers; records may lead back to themselves.
//! What says nothing about the bytes of a datum stands beside the nodes (defaults, aliases, the digits of decimals: what
//! schema resolution needs) or is left out: docs, orders, unknown attributes.

mod bounds;
mod canonical;
mod evolution;
mod flaw;
mod json;
mod parse;
mod resolve;

pub use bounds::Unbounded;
pub use evolution::Decimal;
pub use flaw::SchemaFlaw;

use super::walk::{Body, Program};
use evolution::Evolution;
pub(super) use json::Literal;

/// The most bytes of a schema's JSON: 16 MiB.
pub const MAX_TEXT: usize = 16 << 20;

/// How deep schemas may stand within each other. Their JSON may nest 1024 deep; records directly within records take
/// three levels of it each.
pub const MAX_DEPTH: usize = 256;

/// The most named types (records, enums, fixed).
pub const MAX_NAMES: usize = 10_000;

/// The most nodes; references to named types and plain primitive types share theirs.
pub const MAX_NODES: usize = 100_000;

/// The most bytes of full names, counted wherever a name is defined or referred to: 16 MiB. A schema can inherit a long
/// namespace into many names, so this is what bounds the memory of the names and of the canonical form.
pub const MAX_NAME_BYTES: usize = 16 << 20;

/// Why a text is not a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// More than [`MAX_TEXT`] bytes.
    #[error("a schema of {0} bytes, which is more than 16 MiB")]
    TooLong(usize),
    /// Not JSON.
    #[error("not JSON: {0}")]
    Json(String),
    /// More than [`MAX_DEPTH`] schemas within each other, or more than 1024 levels of JSON.
    #[error("a schema that nests more than 256 deep")]
    TooDeep,
    /// More than [`MAX_NAMES`], [`MAX_NODES`] or [`MAX_NAME_BYTES`].
    #[error("a schema of too many types or too long names")]
    TooMany,
    /// Something that is no schema stands in place of one, a number for example.
    #[error("a schema must be a name, an object or a list")]
    NotASchema,
    /// An attribute is missing or of the wrong kind.
    #[error("{of} without a proper {attribute:?}")]
    Attribute {
        /// Of what, with its article: "a record", ...
        of: &'static str,
        /// Name of the attribute.
        attribute: &'static str,
    },
    /// A name that is not defined.
    #[error("the type {0:?} is not defined")]
    UnknownName(String),
    /// A name that is defined twice, and not as the same enum or fixed.
    #[error("the type {0:?} is defined twice")]
    DefinedTwice(String),
}

impl SchemaError {
    /// Whether the schema goes beyond the limits of this module, so that it is not known whether anything is wrong with it.
    pub fn is_limit(&self) -> bool {
        matches!(self, Self::TooLong(_) | Self::TooDeep | Self::TooMany)
    }
}

/// The number of a node, for [`Schema::node`] of the schema it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u32);

impl NodeId {
    /// The number itself: below [`Schema::len`], so it can index a table that has a row for each node.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// One type of a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// What it is, and so how its datum lies in the bytes.
    pub kind: Kind,
    /// The name of its logical type (`timestamp-millis`, `decimal`, ...) as the schema has it, known or not. It
    /// changes nothing about the bytes.
    pub logical: Option<String>,
}

/// What a type is. Bytes as "Binary encoding" in the specification says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// No bytes.
    Null,
    /// A byte, 0 or 1.
    Boolean,
    /// A zig-zag number of 32 bits.
    Int,
    /// A zig-zag number of 64 bits.
    Long,
    /// 4 bytes, little-endian.
    Float,
    /// 8 bytes, little-endian.
    Double,
    /// A length (long) and that many bytes.
    Bytes,
    /// The same, the bytes being UTF-8.
    String,
    /// The fields one after the other. An `error` is a record.
    Record {
        /// Full name, with the namespace; empty if it has none.
        name: String,
        /// Its fields, in order.
        fields: Vec<Field>,
    },
    /// An int: the place of a symbol.
    Enum {
        /// Full name, with the namespace.
        name: String,
        /// Its symbols, in order.
        symbols: Vec<String>,
    },
    /// Bytes of a fixed length.
    Fixed {
        /// Full name, with the namespace.
        name: String,
        /// Length in bytes.
        size: u64,
    },
    /// Runs of items, each with its count (long; below 0 it is followed by the run's length in bytes), ended by a
    /// count of 0.
    Array {
        /// What each item is.
        items: NodeId,
    },
    /// The same, each item being a string and a value.
    Map {
        /// What each value is.
        values: NodeId,
    },
    /// A long, the place of a branch, and its datum.
    Union {
        /// The branches, in order.
        branches: Vec<NodeId>,
    },
}

impl Kind {
    /// The name of a primitive type; none for others.
    pub fn primitive(&self) -> Option<&'static str> {
        Some(match self {
            Self::Null => "null",
            Self::Boolean => "boolean",
            Self::Int => "int",
            Self::Long => "long",
            Self::Float => "float",
            Self::Double => "double",
            Self::Bytes => "bytes",
            Self::String => "string",
            _ => return None,
        })
    }
}

/// A field of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// Name as it stands in the schema, without aliases.
    pub name: String,
    /// The schema of its values.
    pub node: NodeId,
}

/// A schema whose names are resolved, ready to walk.
#[derive(Debug, Clone)]
pub struct Schema {
    nodes: Vec<Node>,
    root: NodeId,
    /// How few bytes a datum of each node takes, 0 exactly where it takes none.
    least: Vec<u64>,
    evolution: Evolution,
    flaw: Option<SchemaFlaw>,
    pub(super) program: Program,
}

impl Schema {
    /// Reads a schema from JSON.
    ///
    /// As strict as telling where a datum ends needs, and no stricter: names may hold any characters, unions may repeat
    /// or nest, a name not found in its namespace is looked for outside of all namespaces, types may have no name, may be
    /// referred to before they are defined, an equal enum or fixed may be defined again, text may follow the JSON, since
    /// such files exist.
    ///
    /// # Errors
    /// What is not a schema, and what is beyond the limits of this module.
    pub fn parse(text: &str) -> Result<Self, SchemaError> {
        parse::schema(text)
    }

    /// The first thing in it that every common reader refuses, although its records can be walked. A file with such a
    /// schema counts as damaged, and is taken apart and printed like any other.
    pub fn flaw(&self) -> Option<&SchemaFlaw> {
        self.flaw.as_ref()
    }

    /// The type of a datum.
    pub fn root(&self) -> NodeId {
        self.root
    }

    /// A node of this schema.
    ///
    /// # Panics
    /// May panic on a number that came from another schema.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// How many nodes there are.
    #[allow(clippy::len_without_is_empty, reason = "there is always a root")]
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether a datum takes 0 bytes: null, a fixed of no bytes, a record of nothing but such. A datum of any other
    /// schema takes at least one byte.
    pub fn always_empty(&self) -> bool {
        self.is_empty(self.root)
    }

    /// The same for a datum of one of its types.
    pub(super) fn is_empty(&self, id: NodeId) -> bool {
        self.least_bytes(id) == 0
    }

    /// How few bytes a datum of one of its types takes; 0 exactly where it takes none.
    pub(super) fn least_bytes(&self, id: NodeId) -> u64 {
        self.least.get(id.index()).copied().unwrap_or(1)
    }

    /// Compiles walks over values of these types in a row, a body for each list.
    pub(super) fn compile_walks(&self, lists: &[Vec<NodeId>]) -> (Program, Vec<Body>) {
        // The root is one of its own uses: without it, a record that leads back to itself would be put into itself.
        let all: Vec<_> = std::iter::once(vec![self.root]).chain(lists.iter().cloned()).collect();
        let (program, mut bodies) = Program::compile_lists(&self.nodes, &self.least, &all);
        bodies.remove(0);
        (program, bodies)
    }

    /// The schema in its Parsing Canonical Form ("Transforming into Parsing Canonical Form").
    pub fn canonical_form(&self) -> String {
        canonical::form(self)
    }

    /// CRC-64-AVRO of the canonical form ("Schema Fingerprints").
    pub fn fingerprint(&self) -> u64 {
        canonical::crc64(self.canonical_form().as_bytes())
    }
}

#[cfg(test)]
mod tests;
