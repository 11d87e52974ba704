//! The walk for data that nest deep: slower, but with a list of what is still to be read in place of the stack.

use super::Body;
use super::{
    MAX_DEPTH, Op, Program, Reason, WalkError, Walked, branch, invalid, long, run_of_items, skip_bytes, skip_long,
};

/// What is still to be read of one level.
enum Level {
    /// The ops from the first number to before the second.
    Ops(usize, usize),
    /// This many items, then the next run of them.
    Items { item: Body, least: u32, left: u64 },
}

impl Program {
    /// Where what `body` describes ends that begins at `at`, nested up to [`MAX_DEPTH`] deep.
    #[cold]
    pub(super) fn deep(&self, body: Body, bytes: &[u8], mut at: usize) -> Walked {
        let mut levels = vec![self.level(body)];
        while let Some(level) = levels.pop() {
            if levels.len() >= MAX_DEPTH {
                return invalid(Reason::TooDeep, at);
            }
            if at > bytes.len() {
                return Err(WalkError::Truncated);
            }
            match level {
                Level::Ops(next, end) => {
                    let Some(op) = self.ops.get(next).filter(|_| next < end) else { continue };
                    // A level that has nothing left is not kept, so that a long chain costs nothing.
                    if next + 1 < end {
                        levels.push(Level::Ops(next + 1, end));
                    }
                    match self.enter(op, bytes, &mut at)? {
                        Some(inner) => levels.push(inner),
                        None => at = plain(op, bytes, at)?,
                    }
                }
                Level::Items { item, least, left: 0 } => {
                    let (count, start) = run_of_items(bytes, at, least)?;
                    at = start;
                    match count {
                        0 => {}
                        _ if least == 0 => levels.push(Level::Items { item, least, left: 0 }),
                        count => levels.push(Level::Items { item, least, left: count }),
                    }
                }
                Level::Items { item, least, left } => {
                    levels.push(Level::Items { item, least, left: left - 1 });
                    levels.push(self.level(item));
                }
            }
        }
        if at > bytes.len() { Err(WalkError::Truncated) } else { Ok(at) }
    }

    fn level(&self, body: Body) -> Level {
        let (start, end) = self.bodies[body.0 as usize];
        Level::Ops(start as usize, end as usize)
    }

    /// The level that an op opens, if it is one that does.
    fn enter(&self, op: &Op, bytes: &[u8], at: &mut usize) -> Result<Option<Level>, WalkError> {
        Ok(Some(match *op {
            Op::Union { first, count } => match long(bytes, *at)? {
                (branch, next) if (0..i64::from(count)).contains(&branch) => {
                    *at = next;
                    self.level(self.branches[first as usize + branch as usize])
                }
                _ => return invalid(Reason::Branch, *at),
            },
            Op::Call(body) => self.level(body),
            Op::Array { item, least } | Op::Map { item, least } => Level::Items { item, least, left: 0 },
            _ => return Ok(None),
        }))
    }
}

/// An op that opens no level.
fn plain(op: &Op, bytes: &[u8], at: usize) -> Walked {
    let optional = |null, other: &dyn Fn(usize) -> Walked| match branch(bytes, at, null)? {
        (at, true) => Ok(at),
        (at, false) => other(at),
    };
    match *op {
        Op::Skip(size) => Ok(at.saturating_add(size)),
        Op::Long => skip_long(bytes, at),
        Op::Bytes => skip_bytes(bytes, at),
        Op::OptionalLong { null } => optional(null, &|at| skip_long(bytes, at)),
        Op::OptionalBytes { null } => optional(null, &|at| skip_bytes(bytes, at)),
        Op::OptionalSkip { null, size } => optional(null, &|at| Ok(at.saturating_add(size as usize))),
        Op::Enum(symbols) => match long(bytes, at)? {
            (symbol, next) if (0..i64::from(symbols)).contains(&symbol) => Ok(next),
            _ => invalid(Reason::Symbol, at),
        },
        Op::Never | Op::Union { .. } | Op::Call(_) | Op::Array { .. } | Op::Map { .. } => invalid(Reason::Endless, at),
    }
}
