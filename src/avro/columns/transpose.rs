//! From records to columns and back. Both ways are the same walk, which moves every value from where it lies to where it
//! belongs; what differs is which of the two ends is a column.

use super::MAX_NESTING;
use super::program::{Op, Program};
use super::tree::TypeTree;
use crate::avro::varint::{self, MAX_LENGTH, unzigzag};

impl TypeTree {
    /// Deals whole records out to columns, which are emptied first. `None` if the bytes are not such records, or nest
    /// more than [`MAX_NESTING`] deep.
    pub fn split(&self, records: &[u8], columns: &mut Vec<Vec<u8>>) -> Option<()> {
        columns.resize_with(self.columns().len(), Vec::new);
        columns.iter_mut().for_each(Vec::clear);
        let mut ends = Split { records, columns };
        while !ends.records.is_empty() {
            self.program.run(&mut ends, self.program.root(), 0)?;
        }
        Some(())
    }

    /// Puts records together from their columns, of which each must be used up. `None` if they are no such columns.
    ///
    /// What comes out has as many bytes as the columns have together, so the caller bounds it by them.
    pub fn join(&self, columns: &[&[u8]]) -> Option<Vec<u8>> {
        if columns.len() != self.columns().len() {
            return None;
        }
        let length = columns.iter().map(|column| column.len()).sum();
        // Room for bytes that are written after the end and taken back.
        let mut ends = Join { columns: columns.to_vec(), records: Vec::with_capacity(length + 16) };
        // Each turn moves a byte at least, or fails. Nothing is made but from columns, so in the end they are used up.
        while ends.records.len() < length {
            self.program.run(&mut ends, self.program.root(), 0)?;
        }
        Some(ends.records)
    }
}

/// Where the values of a column lie, and where they belong.
trait Ends<'a> {
    fn of(&mut self, column: u32) -> Option<(&mut &'a [u8], &mut Vec<u8>)>;
}

struct Split<'a> {
    /// What is not dealt out yet.
    records: &'a [u8],
    columns: &'a mut [Vec<u8>],
}

struct Join<'a> {
    /// What is left of each column.
    columns: Vec<&'a [u8]>,
    records: Vec<u8>,
}

impl<'a> Ends<'a> for Split<'a> {
    #[inline(always)]
    fn of(&mut self, column: u32) -> Option<(&mut &'a [u8], &mut Vec<u8>)> {
        Some((&mut self.records, self.columns.get_mut(column as usize)?))
    }
}

impl<'a> Ends<'a> for Join<'a> {
    #[inline(always)]
    fn of(&mut self, column: u32) -> Option<(&mut &'a [u8], &mut Vec<u8>)> {
        Some((self.columns.get_mut(column as usize)?, &mut self.records))
    }
}

impl Program {
    fn run<'a>(&self, ends: &mut impl Ends<'a>, ops: &[Op], depth: usize) -> Option<()> {
        if depth > MAX_NESTING {
            return None;
        }
        for op in ops {
            match *op {
                Op::Union { column, first, count } => {
                    let branch = u32::try_from(long(ends, column)?).ok().filter(|branch| *branch < count)?;
                    // Most unions are of null and one simple type, which needs no round of its own.
                    match self.body(first + branch) {
                        [] => {}
                        [op] if op.is_simple() => simple(ends, op)?,
                        ops => self.run(ends, ops, depth + 1)?,
                    }
                }
                Op::List { column, item } => self.list(ends, column, item, depth)?,
                Op::Call { body } => self.run(ends, self.body(body), depth + 1)?,
                _ => simple(ends, op)?,
            }
        }
        Some(())
    }

    /// The blocks of a list, to the 0 that ends them. A count below zero is followed by how many bytes the block has:
    /// that is moved as it is, right or wrong.
    fn list<'a>(&self, ends: &mut impl Ends<'a>, column: u32, item: u32, depth: usize) -> Option<()> {
        let item = self.body(item);
        loop {
            let count = long(ends, column)?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                number(ends, column)?;
            }
            // Items that take no bytes are not gone through; each of the others takes one, or else nests too deep.
            if !item.is_empty() {
                for _ in 0..count.unsigned_abs() {
                    self.run(ends, item, depth + 1)?;
                }
            }
        }
    }
}

/// Moves a value that has no values within.
#[inline(always)]
fn simple<'a>(ends: &mut impl Ends<'a>, op: &Op) -> Option<()> {
    match *op {
        Op::Number { column } => number(ends, column),
        Op::Fixed { column, size } => bytes(ends, column, size as usize),
        Op::Parted { column } => {
            let length = long(ends, column)?;
            bytes(ends, column + 1, usize::try_from(length).ok()?)
        }
        Op::Text { column } => {
            let length = long(ends, column)?;
            bytes(ends, column, usize::try_from(length).ok()?)
        }
        Op::Union { .. } | Op::List { .. } | Op::Call { .. } => None,
    }
}

/// Moves a number.
#[inline(always)]
fn number<'a>(ends: &mut impl Ends<'a>, column: u32) -> Option<()> {
    let (from, to) = ends.of(column)?;
    if let Some(word) = from.first_chunk::<8>() {
        let last = !u64::from_le_bytes(*word) & 0x8080_8080_8080_8080;
        if last != 0 {
            // All eight are appended and those after the number taken back: cheaper than only as many as it has.
            let length = last.trailing_zeros() as usize / 8 + 1;
            to.extend_from_slice(word);
            to.truncate(to.len() - 8 + length);
            *from = from.get(length..)?;
            return Some(());
        }
    }
    any_long(ends, column).map(drop)
}

/// Moves a number and says which.
#[inline(always)]
fn long<'a>(ends: &mut impl Ends<'a>, column: u32) -> Option<i64> {
    let (from, to) = ends.of(column)?;
    match from.split_first() {
        Some((byte, rest)) if *byte < 0x80 => {
            to.push(*byte);
            *from = rest;
            Some(unzigzag(u64::from(*byte)))
        }
        _ => any_long(ends, column),
    }
}

#[inline(never)]
fn any_long<'a>(ends: &mut impl Ends<'a>, column: u32) -> Option<i64> {
    let (from, _) = ends.of(column)?;
    let long = varint::decode(from.get(..MAX_LENGTH).unwrap_or(from)).ok()?;
    bytes(ends, column, long.used)?;
    Some(long.value)
}

/// Moves this many bytes.
#[inline(always)]
fn bytes<'a>(ends: &mut impl Ends<'a>, column: u32, length: usize) -> Option<()> {
    let (from, to) = ends.of(column)?;
    match from.first_chunk::<16>() {
        Some(some) if length <= 16 => {
            to.extend_from_slice(some);
            to.truncate(to.len() - 16 + length);
            *from = from.get(length..)?;
        }
        _ => {
            let (bytes, rest) = from.split_at_checked(length)?;
            to.extend_from_slice(bytes);
            *from = rest;
        }
    }
    Some(())
}
