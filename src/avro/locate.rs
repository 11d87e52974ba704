//! Where in an encoded record the fields lie that are asked for: one pass over the bytes, which ends at the last of them.
//!
//! Paths lead through records by the names of fields, through maps by their keys, and through unions without saying so.
//! They do not lead into arrays. Nothing is built: a field that was found is a range of bytes and the type that they are of.

mod compile;

use std::ops::Range;

use super::field_path::FieldPath;
use super::schema::{NodeId, Schema};
use super::walk::{Body, Program, Reason, WalkError, Walked, invalid, long, run_of_items, skip_bytes};

pub use compile::types_of;

/// Why fields cannot be looked for in records of a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocateError {
    /// A field that is not there.
    #[error("the schema has no field {field}{}", fields_there(.there))]
    NoField {
        /// Which.
        field: FieldPath,
        /// Those that there are in its place, the first twenty; none where what holds it is no record.
        there: Vec<String>,
    },
    /// It stands within an array, of which no item is meant more than another.
    #[error("field {field} stands within an array")]
    InArray {
        /// Which.
        field: FieldPath,
    },
    /// The schema leads to the fields in too many or too deep ways.
    #[error("the schema leads to these fields in too many ways")]
    TooMany,
}

fn fields_there(there: &[String]) -> String {
    match there {
        [] => String::new(),
        some => format!("; there are {}", some.join(", ")),
    }
}

/// A field that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What it is: never a union, but the branch, and never null.
    pub node: NodeId,
    /// Which bytes of the record are its datum, without the number of a branch.
    pub range: Range<usize>,
}

impl Located {
    /// Its bytes in the record it was found in.
    pub fn bytes<'d>(&self, record: &'d [u8]) -> &'d [u8] {
        record.get(self.range.clone()).unwrap_or_default()
    }
}

/// Finds fields in records of one schema.
#[derive(Debug, Clone)]
pub struct Locator {
    program: Program,
    plans: Vec<Plan>,
    root: usize,
    fields: usize,
}

/// What is done at a value of one type, for what is wanted of it.
#[derive(Debug, Clone)]
struct Plan {
    node: NodeId,
    /// The fields that this value is.
    slots: Vec<usize>,
    within: Within,
}

#[derive(Debug, Clone)]
enum Within {
    /// Nothing within it is wanted.
    Whole(Body),
    /// A null: no field is found.
    Null,
    /// Steps to the end of the record, and how many of them lead to the last field that is wanted.
    Record(Vec<Step>, usize),
    /// Plans for some keys, the others being skipped.
    Map { keys: Vec<(String, usize)>, value: Body },
    /// A plan for each branch.
    Union(Vec<usize>),
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Skip(Body),
    Enter(usize),
}

impl Locator {
    /// Prepares to look for these fields in records of a schema.
    ///
    /// # Errors
    /// What [`LocateError`] says: a path must lead to a field in one branch of each union at least.
    pub fn new(schema: &Schema, paths: &[FieldPath]) -> Result<Self, LocateError> {
        compile::locator(schema, paths)
    }

    /// Looks for the fields in a record. In `found` then stands for each path, in the order of [`Locator::new`], what was
    /// found; none for a null, and where something on the way is null, a branch without such a field, or a map without such
    /// a key. Of equal keys in a map the first one counts.
    ///
    /// What follows the last of the fields is not looked at: that the record is sound as a whole is for
    /// [`Schema::skip`] to say.
    ///
    /// # Errors
    /// Where the bytes are no record of the schema, or nest too deep.
    pub fn find(&self, record: &[u8], found: &mut Vec<Option<Located>>) -> Result<(), WalkError> {
        found.clear();
        found.resize(self.fields, None);
        self.value(self.root, record, 0, true, found)?;
        Ok(())
    }

    /// Follows the plan of a value that begins at `at`. Returns where it ends, or anything where it is the `last` that is
    /// looked at. Recurses no deeper than plans stand within each other, which is bounded when they are made.
    fn value(&self, plan: usize, bytes: &[u8], at: usize, last: bool, found: &mut [Option<Located>]) -> Walked {
        let Some(plan) = self.plans.get(plan) else { return Ok(at) };
        let last = last && plan.slots.is_empty();
        let end = match &plan.within {
            Within::Null => return Ok(at),
            Within::Whole(_) if last => return Ok(at),
            Within::Whole(body) => self.program.skip(*body, bytes, at)?,
            Within::Record(steps, wanted) => {
                let mut at = at;
                for (place, step) in steps.iter().enumerate() {
                    at = match *step {
                        Step::Skip(_) if last && place >= *wanted => return Ok(at),
                        Step::Skip(body) => self.program.skip(body, bytes, at)?,
                        Step::Enter(plan) => self.value(plan, bytes, at, last && place + 1 >= *wanted, found)?,
                    };
                }
                at
            }
            Within::Map { keys, value } => self.map(keys, *value, bytes, at, found)?,
            Within::Union(branches) => {
                let (branch, next) = long(bytes, at)?;
                match usize::try_from(branch).ok().and_then(|branch| branches.get(branch)) {
                    Some(plan) => self.value(*plan, bytes, next, last, found)?,
                    None => return invalid(Reason::Branch, at),
                }
            }
        };
        for &slot in &plan.slots {
            if let Some(slot) = found.get_mut(slot) {
                *slot = Some(Located { node: plan.node, range: at..end });
            }
        }
        Ok(end)
    }

    fn map(
        &self,
        keys: &[(String, usize)],
        value: Body,
        bytes: &[u8],
        mut at: usize,
        found: &mut [Option<Located>],
    ) -> Walked {
        let mut seen = vec![false; keys.len()];
        loop {
            // Each item takes a byte at least, that of its key.
            let (count, start) = run_of_items(bytes, at, 1)?;
            at = start;
            if count == 0 {
                return Ok(at);
            }
            for _ in 0..count {
                let end = skip_bytes(bytes, at)?;
                let (_, begin) = long(bytes, at)?;
                let Some(key) = bytes.get(begin..end) else { return Err(WalkError::Truncated) };
                let wanted = keys.iter().zip(&mut seen).find(|((wanted, _), _)| wanted.as_bytes() == key);
                at = match wanted {
                    Some(((_, plan), seen)) if !*seen => {
                        *seen = true;
                        self.value(*plan, bytes, end, false, found)?
                    }
                    _ => self.program.skip(value, bytes, end)?,
                };
            }
        }
    }
}

#[cfg(test)]
mod tests;
