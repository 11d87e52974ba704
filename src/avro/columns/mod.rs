//! Records taken apart into columns, and put together again (`docs/format.md`, "Columnar frames").
//!
//! Values of one field are more like each other than like what stands around them, so a compressor does better with
//! columns than with rows. What a schema says of the bytes is compiled to a [`TypeTree`], small enough to travel with
//! the columns. [`TypeTree::split`] deals the bytes of whole records out to columns: **every byte goes to exactly one
//! column, unchanged**, so any form of a number or of an array's blocks comes back as it was, and the columns have
//! together as many bytes as the records. [`TypeTree::join`] goes the other way. A [`Coding`] then turns a single column
//! into something that compresses better.
//!
//! Trees and columns may be damaged or forged. What a column can hold bounds the work and the memory of everything
//! here: whatever is not sound is `None`, never a panic.

mod coding;

mod program;
mod transpose;
mod tree;

#[cfg(test)]
mod tests;

pub use coding::{Coded, Coding, Trial};
pub use program::ColumnKind;
pub use tree::TypeTree;

/// The most columns of a tree.
pub const MAX_COLUMNS: usize = 4096;

/// The most types of a tree; a type that is named again counts again.
pub const MAX_TYPES: usize = 16_384;

/// The most bytes of a tree.
pub const MAX_TREE: usize = 64 << 10;

/// How deep the types of a tree may stand within each other.
pub const MAX_DEPTH: usize = 64;

/// How deep the data may stand within each other: a record that holds itself can go deeper than its type.
pub const MAX_NESTING: usize = 256;

/// The longest value of a fixed length, in bytes.
pub const MAX_FIXED: u64 = 16 << 20;
