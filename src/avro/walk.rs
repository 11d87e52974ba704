//! Where records end: walks the bytes of a datum without building it, checking all that can be checked.
//!
//! "Binary encoding" in the Avro specification 1.12. Checked are: numbers of at most 10 bytes, lengths and counts against
//! what is left, branches and symbols that exist. What common readers read is no fault, though the specification forbids
//! it: an `int` of more than 32 bits, booleans other than 0 and 1, runs of array and map items that are not as long as
//! they announce, strings that are not UTF-8.
//!
//! A schema is compiled into lists of `Op`s, `Body` being one list. Records that are used in one place only are part
//! of the list around them; only records used in several places are called.

mod compile;
mod deep;

use super::schema::Schema;
use super::varint::{self, Fault};

/// How deep data may nest for [`Schema::skip`]: arrays, maps, unions and records that lead back to themselves. Building
/// what was skipped needs stack for each level.
pub const MAX_NESTING: usize = 512;

/// How deep data may nest for [`Schema::walk_block`], which needs no stack for it. A level that has nothing left to read
/// does not count.
pub const MAX_DEPTH: usize = 1 << 16;

/// Why a datum does not end where it should.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WalkError {
    /// The bytes end within the datum; so far it is sound.
    #[error("the bytes end within a record")]
    Truncated,
    /// No bytes that follow could make this a datum of the schema.
    #[error("{reason} at byte {at}")]
    Invalid {
        /// Why the bytes are no record.
        reason: Reason,
        /// Where, as an index into the bytes that were walked.
        at: usize,
    },
}

/// What is wrong with a datum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Reason {
    /// A number of more than 10 bytes or 64 bits.
    #[error("a number that is too long")]
    Number,
    /// A string of fewer than no bytes.
    #[error("a negative length")]
    NegativeLength,
    /// A count that has no absolute value.
    #[error("an impossible count")]
    Count,
    /// A branch that the union does not have.
    #[error("a branch that the union does not have")]
    Branch,
    /// A symbol that the enum does not have.
    #[error("a symbol that the enum does not have")]
    Symbol,
    /// More than [`MAX_NESTING`] or [`MAX_DEPTH`] levels: too many for this program, which says nothing against the data.
    #[error("data that nests deeper than this program follows")]
    TooDeep,
    /// The schema is a record that holds itself whole, so nothing is a datum of it.
    #[error("a record that holds itself without end")]
    Endless,
}

/// What one step of a walk does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// A fixed number of bytes of any value.
    Skip(usize),
    /// A number: an int or a long.
    Long,
    /// A length and that many bytes: bytes, string.
    Bytes,
    /// An int from 0 to below this.
    Enum(u32),
    Array {
        /// What an item is.
        item: Body,
        /// The fewest bytes of an item, 0 only where all are empty.
        least: u32,
    },
    /// The same; the key is part of the item.
    Map {
        item: Body,
        least: u32,
    },
    /// A number and what the branch says that has it.
    Union {
        first: u32,
        count: u32,
    },
    /// A union of null, whose number in its only byte is `null` (0 or 2), and of a number, ...
    OptionalLong {
        null: u8,
    },
    OptionalBytes {
        null: u8,
    },
    OptionalSkip {
        null: u8,
        size: u32,
    },
    /// A record that is used in several places.
    Call(Body),
    /// Nothing is a datum.
    Never,
}

/// The number of a list of ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Body(u32);

/// A schema as ops.
#[derive(Debug, Clone)]
pub(super) struct Program {
    ops: Vec<Op>,
    /// Where in `ops` each body stands.
    bodies: Vec<(u32, u32)>,
    /// The bodies of the branches of all unions.
    branches: Vec<Body>,
    root: Body,
}

pub(super) type Walked = Result<usize, WalkError>;

impl Schema {
    /// Where the datum that begins at `at` ends. It nests no deeper than [`MAX_NESTING`].
    ///
    /// The work is bounded by the bytes that are there, whatever they say.
    ///
    /// # Errors
    /// [`WalkError::Truncated`] where the bytes end too early (also where `at` is beyond them), else
    /// [`WalkError::Invalid`].
    pub fn skip(&self, bytes: &[u8], at: usize) -> Result<usize, WalkError> {
        self.program.shallow(bytes, at)
    }

    /// Walks the records of one block: `declared` of them must fill `bytes` exactly. They may nest as deep as
    /// [`MAX_DEPTH`]. Calls `each` with where each one ends,
    /// in order, until something is wrong.
    ///
    /// Records of 0 bytes ([`Schema::always_empty`]) are counted, not returned: there may be 2^63 of them.
    pub fn walk_block(&self, bytes: &[u8], declared: u64, each: &mut impl FnMut(usize)) -> BlockWalk {
        let (mut verified, mut end) = (0, 0);
        if self.always_empty() {
            verified = declared;
        }
        while verified < declared {
            match self.program.datum(bytes, end) {
                Ok(next) => {
                    verified += 1;
                    end = next;
                    each(end);
                }
                Err(error) => return BlockWalk { verified, end, fault: Some(BlockFault::Record(error)) },
            }
        }
        let fault = (end < bytes.len()).then_some(BlockFault::Trailing);
        BlockWalk { verified, end, fault }
    }
}

/// What walking a block taught.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockWalk {
    /// How many records were found sound.
    pub verified: u64,
    /// Where the last of them ends: up to here all is well.
    pub end: usize,
    /// What is wrong after that; `None` where the block holds what it declares and nothing else.
    pub fault: Option<BlockFault>,
}

/// What is wrong with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockFault {
    /// The next record is not sound. [`WalkError::Truncated`] at the end of the bytes is a record that is missing.
    #[error("{0}")]
    Record(WalkError),
    /// Bytes follow the last record.
    #[error("bytes after the last record")]
    Trailing,
}

impl WalkError {
    /// Whether the datum goes beyond what this program allows, so that nothing is known to be wrong with it.
    pub fn is_beyond_limits(&self) -> bool {
        matches!(self, Self::Invalid { reason: Reason::TooDeep, .. })
    }
}

impl Program {
    /// [`Schema::skip`].
    #[inline]
    fn shallow(&self, bytes: &[u8], at: usize) -> Walked {
        self.shallow_body(self.root, bytes, at)
    }

    #[inline]
    fn shallow_body(&self, body: Body, bytes: &[u8], at: usize) -> Walked {
        match self.run(body, bytes, at, 0)? {
            end if end <= bytes.len() => Ok(end),
            _ => Err(WalkError::Truncated),
        }
    }

    /// Where what a body describes ends that begins at `at`, nested up to [`MAX_DEPTH`] deep.
    #[inline]
    pub(super) fn skip(&self, body: Body, bytes: &[u8], at: usize) -> Walked {
        match self.shallow_body(body, bytes, at) {
            Err(error) if error.is_beyond_limits() => self.deep(body, bytes, at),
            walked => walked,
        }
    }

    /// The same for data of any depth: the fast way first, which fits nearly all.
    #[inline]
    fn datum(&self, bytes: &[u8], at: usize) -> Walked {
        self.skip(self.root, bytes, at)
    }

    fn ops(&self, body: Body) -> &[Op] {
        let (start, end) = self.bodies[body.0 as usize];
        &self.ops[start as usize..end as usize]
    }

    /// Runs one list of ops. Plain lengths are not checked as they are added: what comes out may lie beyond the bytes,
    /// which the next look at them, or else the caller, finds.
    fn run(&self, body: Body, bytes: &[u8], mut at: usize, depth: usize) -> Walked {
        if depth > MAX_NESTING {
            return invalid(Reason::TooDeep, at);
        }
        for op in self.ops(body) {
            at = match *op {
                Op::Skip(size) => at.saturating_add(size),
                Op::Long => skip_long(bytes, at)?,
                Op::Bytes => skip_bytes(bytes, at)?,
                Op::OptionalBytes { null } => match branch(bytes, at, null)? {
                    (at, true) => at,
                    (at, false) => skip_bytes(bytes, at)?,
                },
                Op::OptionalSkip { null, size } => match branch(bytes, at, null)? {
                    (at, true) => at,
                    (at, false) => at.saturating_add(size as usize),
                },
                Op::OptionalLong { null } => match branch(bytes, at, null)? {
                    (at, true) => at,
                    (at, false) => skip_long(bytes, at)?,
                },
                Op::Enum(symbols) => match long(bytes, at)? {
                    (symbol, next) if (0..i64::from(symbols)).contains(&symbol) => next,
                    _ => return invalid(Reason::Symbol, at),
                },
                Op::Union { first, count } => match long(bytes, at)? {
                    (branch, next) if (0..i64::from(count)).contains(&branch) => {
                        let body = self.branches[first as usize + branch as usize];
                        self.run(body, bytes, next, depth + 1)?
                    }
                    _ => return invalid(Reason::Branch, at),
                },
                Op::Array { item, least } | Op::Map { item, least } => self.items(item, least, bytes, at, depth)?,
                // What is called takes a byte at least. Without this look, records that double at each step would be gone
                // through to their end where no bytes are left.
                Op::Call(_) if at >= bytes.len() => return Err(WalkError::Truncated),
                Op::Call(body) => self.run(body, bytes, at, depth + 1)?,
                Op::Never => return invalid(Reason::Endless, at),
            };
        }
        Ok(at)
    }

    /// The runs of items of an array or a map, to the 0 that ends them.
    fn items(&self, item: Body, least: u32, bytes: &[u8], mut at: usize, depth: usize) -> Walked {
        loop {
            let (count, start) = run_of_items(bytes, at, least)?;
            at = start;
            if count == 0 {
                return Ok(at);
            }
            if least > 0 {
                if let &[Op::Skip(size)] = self.ops(item) {
                    at = at.saturating_add(size.saturating_mul(count as usize));
                } else {
                    for _ in 0..count {
                        at = self.run(item, bytes, at, depth + 1)?;
                    }
                }
            }
            if at > bytes.len() {
                return Err(WalkError::Truncated);
            }
        }
    }
}

/// How many items the run at `at` has, 0 for the end of the array or map, and where they begin. Of items that take
/// bytes (`least` at least) there are no more than fit into what is left.
///
/// A count below 0 is followed by the run's length in bytes. Readers have no use for it, and some writers put a wrong
/// one there.
pub(super) fn run_of_items(bytes: &[u8], at: usize, least: u32) -> Result<(u64, usize), WalkError> {
    let (count, mut next) = long(bytes, at)?;
    match count {
        0 => return Ok((0, next)),
        i64::MIN => return invalid(Reason::Count, at),
        1.. => {}
        _ => next = skip_long(bytes, next)?,
    }
    let (count, left) = (count.unsigned_abs(), bytes.len().saturating_sub(next));
    if least > 0 && count.checked_mul(u64::from(least)).is_none_or(|bytes| bytes > left as u64) {
        return Err(WalkError::Truncated);
    }
    Ok((count, next))
}

#[cold]
pub(super) fn invalid<T>(reason: Reason, at: usize) -> Result<T, WalkError> {
    Err(WalkError::Invalid { reason, at })
}

/// The number at `at`, and where it ends.
#[inline(always)]
pub(super) fn long(bytes: &[u8], at: usize) -> Result<(i64, usize), WalkError> {
    match bytes.get(at) {
        Some(&byte) if byte < 0x80 => Ok((varint::unzigzag(u64::from(byte)), at + 1)),
        _ => any_long(bytes, at),
    }
}

/// [`long`] for numbers of any length.
#[inline(never)]
fn any_long(bytes: &[u8], at: usize) -> Result<(i64, usize), WalkError> {
    match varint::decode(bytes.get(at..).unwrap_or_default()) {
        Ok(long) => Ok((long.value, at + long.used)),
        Err(Fault::Short) => Err(WalkError::Truncated),
        Err(Fault::TooLong) => invalid(Reason::Number, at),
    }
}

/// How many bytes the number at `at` takes where that is at most 8 and 8 bytes are there.
#[inline(always)]
fn length_of_number(bytes: &[u8], at: usize) -> Option<usize> {
    let word = u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?);
    let ends = !word & 0x8080_8080_8080_8080;
    (ends != 0).then_some(ends.trailing_zeros() as usize / 8 + 1)
}

#[inline(always)]
fn skip_long(bytes: &[u8], at: usize) -> Walked {
    match length_of_number(bytes, at) {
        Some(length) => Ok(at + length),
        None => any_long(bytes, at).map(|(_, end)| end),
    }
}

#[inline(always)]
pub(super) fn skip_bytes(bytes: &[u8], at: usize) -> Walked {
    match bytes.get(at) {
        // Lengths below 64 in one byte; odd is negative.
        Some(&byte) if byte & 0x81 == 0 => Ok(at + 1 + usize::from(byte >> 1)),
        _ => skip_many_bytes(bytes, at),
    }
}

#[inline(never)]
fn skip_many_bytes(bytes: &[u8], at: usize) -> Walked {
    let (length, start) = any_long(bytes, at)?;
    match usize::try_from(length) {
        Ok(length) if length <= bytes.len() - start => Ok(start + length),
        Err(_) if length < 0 => invalid(Reason::NegativeLength, at),
        _ => Err(WalkError::Truncated),
    }
}

/// Reads the number of a branch where one of two is null: where the datum begins, and whether it is the null.
#[inline(always)]
fn branch(bytes: &[u8], at: usize, null: u8) -> Result<(usize, bool), WalkError> {
    match bytes.get(at) {
        Some(&byte @ (0 | 2)) => Ok((at + 1, byte == null)),
        _ => any_branch(bytes, at, null),
    }
}

#[inline(never)]
fn any_branch(bytes: &[u8], at: usize, null: u8) -> Result<(usize, bool), WalkError> {
    match any_long(bytes, at)? {
        (branch @ (0 | 1), next) => Ok((next, branch == i64::from(null / 2))),
        _ => invalid(Reason::Branch, at),
    }
}

#[cfg(test)]
mod tests;
