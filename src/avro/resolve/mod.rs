//! Records that one schema wrote, as another schema reads them: from bytes to bytes ("Schema Resolution" in the Avro
//! specification 1.12).
//!
//! What goes together is what [`compat`](super::compat) says; here it is compiled once for two schemas into lists of `Op`s.
//! What both have in the same bytes is walked and copied as a piece, whatever it holds. Fields that only the reader has are
//! the bytes of their defaults, which are encoded when the lists are made. Where the reader has the fields of a record in
//! another order, the ends of the writer's are found first, and then each is read where it stands.
//!
//! An `int` is the same bytes as a `long`, and a string the same as bytes: that is no change. Runs of items that do change are
//! written without the length in bytes that a run may announce.
//!
//! Nothing is trusted: the work for a record is bounded by its bytes and by [`MAX_RECORD`], data that nest deeper than
//! [`MAX_NESTING`] are refused where they change, and no bytes make this panic.

mod compile;
mod defaults;
mod same;

use super::compat::{Obstacle, obstacles};
use super::schema::Schema;
use super::varint;
use super::walk::{Body, MAX_NESTING, Program, Reason, WalkError, invalid, long, run_of_items, skip_bytes};

/// The most bytes that a record may become: 256 MiB. Defaults can make much of few bytes.
pub const MAX_RECORD: usize = 256 << 20;

/// Steps that a record may take beside those that its bytes, read and written, allow.
const FREE_STEPS: usize = 1 << 12;

/// Why a record cannot be resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The bytes are no record of the writer's schema, or nest too deep.
    #[error("{0}")]
    Walk(WalkError),
    /// Bytes follow the record.
    #[error("bytes after the record")]
    Trailing,
    /// It would be longer than [`MAX_RECORD`].
    #[error("the record would be longer than 256 MiB in the schema that it is read with")]
    TooLarge,
}

impl From<WalkError> for ResolveError {
    fn from(error: WalkError) -> Self {
        Self::Walk(error)
    }
}

type Done<T = ()> = std::result::Result<T, ResolveError>;

/// What one step does. Bytes are read at a place in the writer's record; those since the last step that changed anything
/// are still to be copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    /// Values that are the same bytes for both.
    Keep(Body),
    /// Values that the reader does not have.
    Drop(Body),
    /// Bytes that only the reader has: a default, or the number of a branch.
    Put { start: u32, end: u32 },
    /// A number of another kind.
    Widen(Wider),
    /// A symbol: each one of the writer has its own of the reader.
    Symbol { first: u32, count: u32 },
    /// Runs of items, each by a list.
    Array { item: List, least: u32 },
    /// The same; a key stands before each value.
    Map { value: List, least: u32 },
    /// The number of a branch of the writer, which is read by a list.
    Branch { first: u32, count: u32 },
    /// Another list.
    Call(List),
    /// A record whose fields the reader has in another order begins: where each field of the writer ends is found.
    Enter { first: u32, count: u32 },
    /// Goes to where the field of this number begins in the record that was entered last.
    Seek(u32),
    /// Goes to the end of that record.
    Leave,
}

/// How a number is read as another kind of number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wider {
    WholeToFloat,
    WholeToDouble,
    FloatToDouble,
}

/// The number of a list of ops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct List(u32);

/// Reads records of one schema as records of another one.
#[derive(Debug, Clone)]
pub struct Resolver {
    identity: bool,
    ops: Vec<Op>,
    /// Where in `ops` each list stands.
    lists: Vec<(u32, u32)>,
    /// Bytes that are put.
    constants: Vec<u8>,
    /// For the symbols of all enums, their numbers for the reader.
    symbols: Vec<u32>,
    /// For the branches of all unions, how each is read.
    branches: Vec<List>,
    /// For the fields of all records that are entered, how each is walked.
    fields: Vec<Body>,
    walks: Program,
    /// Whether a record of the writer takes no bytes.
    empty: bool,
}

impl Resolver {
    /// Compiles how `reader` reads what `writer` wrote.
    ///
    /// # Errors
    /// What stands against it: what [`obstacles`] says, and defaults that do not fit their type.
    pub fn new(writer: &Schema, reader: &Schema) -> Result<Self, Vec<Obstacle>> {
        match obstacles(writer, reader) {
            none if none.is_empty() => compile::compile(writer, reader),
            some => Err(some),
        }
    }

    /// Whether every record stays the same bytes. What differs is then only in names, documentation, logical types, or kinds
    /// of the same encoding.
    pub fn is_identity(&self) -> bool {
        self.identity
    }

    /// Appends to `out` what the reader has for a whole record of the writer.
    ///
    /// # Errors
    /// [`ResolveError`]; nothing is appended then.
    pub fn resolve(&self, datum: &[u8], out: &mut Vec<u8>) -> Result<(), ResolveError> {
        let length = out.len();
        match self.resolve_at(datum, 0, out)? {
            end if end == datum.len() => Ok(()),
            _ => {
                out.truncate(length);
                Err(ResolveError::Trailing)
            }
        }
    }

    /// The same for the record that begins at `at`. Returns where it ends.
    ///
    /// # Errors
    /// [`ResolveError`]; nothing is appended then.
    pub fn resolve_at(&self, bytes: &[u8], at: usize, out: &mut Vec<u8>) -> Result<usize, ResolveError> {
        let length = out.len();
        let mut run = Run {
            resolver: self,
            bytes,
            start: at,
            at,
            from: at,
            furthest: at,
            out,
            began: length,
            starts: Vec::new(),
            steps: 0,
        };
        match run.list(List(0), 0).and_then(|()| run.flush()) {
            Ok(()) => Ok(run.at),
            Err(error) => {
                out.truncate(length);
                Err(error)
            }
        }
    }

    /// Whether records of the writer take no bytes, so that all of them are the same record for the reader.
    pub fn reads_nothing(&self) -> bool {
        self.empty
    }

    fn ops(&self, list: List) -> &[Op] {
        let (start, end) = self.lists[list.0 as usize];
        &self.ops[start as usize..end as usize]
    }
}

/// One record on its way.
struct Run<'r> {
    resolver: &'r Resolver,
    bytes: &'r [u8],
    /// Where the record begins.
    start: usize,
    at: usize,
    /// The furthest place that was read up to; fields that are read in another order lead back.
    furthest: usize,
    /// From here on the bytes are still to be copied.
    from: usize,
    out: &'r mut Vec<u8>,
    /// How long `out` was before.
    began: usize,
    /// Where the fields of records that were entered begin, and where the last of each ends.
    starts: Vec<usize>,
    steps: usize,
}

impl Run<'_> {
    fn list(&mut self, list: List, depth: usize) -> Done {
        if depth > MAX_NESTING {
            return Ok(invalid(Reason::TooDeep, self.at)?);
        }
        let (resolver, entered) = (self.resolver, self.starts.len());
        for op in resolver.ops(list) {
            match *op {
                Op::Keep(body) => self.at = resolver.walks.walk(body, self.bytes, self.at, depth)?,
                Op::Drop(body) => {
                    self.flush()?;
                    self.go_to(resolver.walks.walk(body, self.bytes, self.at, depth)?);
                }
                Op::Put { start, end } => {
                    self.put(resolver.constants.get(start as usize..end as usize).unwrap_or_default())?;
                }
                Op::Widen(wider) => self.widen(wider)?,
                Op::Symbol { first, count } => {
                    let symbol = self.number_below(count, Reason::Symbol)?;
                    let symbol = resolver.symbols.get((first + symbol) as usize).copied().unwrap_or_default();
                    self.put_number(i64::from(symbol))?;
                }
                Op::Branch { first, count } => {
                    let branch = self.number_below(count, Reason::Branch)?;
                    let list = resolver.branches.get((first + branch) as usize).copied();
                    self.call(list.unwrap_or(List(0)), depth)?;
                }
                Op::Array { item, least } => self.items(item, least, false, depth)?,
                Op::Map { value, least } => self.items(value, least, true, depth)?,
                Op::Call(list) => self.call(list, depth)?,
                Op::Enter { first, count } => {
                    self.flush()?;
                    let mut at = self.at;
                    for body in resolver.fields.get(first as usize..(first + count) as usize).unwrap_or_default() {
                        self.starts.push(at);
                        at = resolver.walks.walk(*body, self.bytes, at, depth)?;
                    }
                    self.starts.push(at);
                    self.furthest = self.furthest.max(at);
                    self.charge(count as usize)?;
                }
                Op::Seek(field) => {
                    self.flush()?;
                    let start = self.starts.get(entered + field as usize).copied();
                    self.go_to(start.unwrap_or(self.at));
                }
                Op::Leave => {
                    self.flush()?;
                    let end = self.starts.last().copied();
                    self.go_to(end.unwrap_or(self.at));
                    self.starts.truncate(entered);
                }
            }
        }
        Ok(())
    }

    fn call(&mut self, list: List, depth: usize) -> Done {
        self.charge(1)?;
        self.list(list, depth + 1)
    }

    /// Counts steps. Records that hold nothing, and double at each step, must not be gone through to their end.
    fn charge(&mut self, steps: usize) -> Done {
        self.steps = self.steps.saturating_add(steps);
        self.furthest = self.furthest.max(self.at);
        let (read, written) = (self.furthest - self.start, self.out.len() - self.began);
        match self.steps > FREE_STEPS.saturating_add(read).saturating_add(written) {
            true => Err(ResolveError::TooLarge),
            false => Ok(()),
        }
    }

    /// The runs of an array or a map, to the 0 that ends them.
    fn items(&mut self, item: List, least: u32, keys: bool, depth: usize) -> Done {
        loop {
            self.flush()?;
            let (count, start) = run_of_items(self.bytes, self.at, least)?;
            self.go_to(start);
            // A count that is more than an i64 says is none of these: -2^63 was refused.
            self.put_number(i64::try_from(count).unwrap_or(i64::MAX))?;
            if count == 0 {
                return Ok(());
            }
            for _ in 0..count {
                if keys {
                    self.at = skip_bytes(self.bytes, self.at)?;
                }
                self.call(item, depth)?;
            }
        }
    }

    /// A number that is read and not copied.
    fn number(&mut self) -> Done<i64> {
        self.flush()?;
        let (number, end) = long(self.bytes, self.at)?;
        self.go_to(end);
        Ok(number)
    }

    fn number_below(&mut self, limit: u32, reason: Reason) -> Done<u32> {
        let start = self.at;
        match u32::try_from(self.number()?) {
            Ok(number) if number < limit => Ok(number),
            _ => Ok(invalid(reason, start)?),
        }
    }

    fn widen(&mut self, wider: Wider) -> Done {
        match wider {
            Wider::WholeToFloat => {
                let value = self.number()? as f32;
                self.put(&value.to_le_bytes())
            }
            Wider::WholeToDouble => {
                let value = self.number()? as f64;
                self.put(&value.to_le_bytes())
            }
            Wider::FloatToDouble => {
                self.flush()?;
                let bytes = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk());
                let value = f32::from_le_bytes(*bytes.ok_or(WalkError::Truncated)?);
                self.go_to(self.at + 4);
                self.put(&f64::from(value).to_le_bytes())
            }
        }
    }

    /// Goes to a place without copying what lies before it.
    fn go_to(&mut self, at: usize) {
        (self.at, self.from) = (at, at);
    }

    /// Copies what is the same for both.
    fn flush(&mut self) -> Done {
        if self.from < self.at {
            let kept = self.bytes.get(self.from..self.at).ok_or(WalkError::Truncated)?;
            self.from = self.at;
            return self.append(kept);
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Done {
        self.flush()?;
        self.append(bytes)
    }

    fn put_number(&mut self, number: i64) -> Done {
        self.flush()?;
        self.room(varint::MAX_LENGTH)?;
        varint::encode(self.out, number);
        Ok(())
    }

    fn append(&mut self, bytes: &[u8]) -> Done {
        self.room(bytes.len())?;
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    fn room(&self, more: usize) -> Done {
        match self.out.len() - self.began <= MAX_RECORD.saturating_sub(more) {
            true => Ok(()),
            false => Err(ResolveError::TooLarge),
        }
    }
}
