//! Conditions on records: `status = 'open' and total > 100`, parsed, compiled for a schema, and asked of encoded records
//! without building them.
//!
//! - Comparisons `=`, `==`, `!=`, `<>`, `<`, `<=`, `>`, `>=` of a field with a literal; `in (..)`, `between .. and ..`, `like '..'`
//!   (`%` any characters, `_` one, `\` before either stands for it), each also with `not`; `is null` and `is not null`;
//!   `and`, `or`, `not`, parentheses. A boolean field alone means that it is true. Keywords are written in any case.
//! - Fields are [paths](crate::avro::field_path): `customer.city`, `` `unit price` ``; through unions and maps, not into arrays.
//!   On the left side of a comparison double quotes are those of a field, too; on the right side they are those of a text.
//! - Literals: numbers, `'text'` (a quote in it is doubled), `true`, `false`. Dates, times, timestamps, decimals, UUIDs and
//!   symbols of enums compare with texts, as records are printed; a timestamp without a zone is in UTC, and a day alone means
//!   its midnight. Decimals and whole numbers compare exactly; floating point compares with the nearest number of its type.
//! - A comparison with null is unknown, as in SQL: neither it nor its opposite is true. Where a union holds a value of another type
//!   than the literal, that is not equal, and neither less nor greater; the same goes for NaN.

mod compile;
mod like;
mod moment;
mod number;
mod parse;
mod test;

use std::fmt::{self, Display};
use std::str::FromStr;

use serde::de::{Deserialize, Deserializer};

use super::field_path::FieldPath;
use super::locate::{LocateError, Located, Locator};
use super::schema::Schema;
use super::walk::WalkError;
use number::Number;
use test::Test;

/// A condition, as it was written. What its fields are is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expression {
    text: String,
    condition: Condition<Asked>,
    /// The fields that are asked about, each once.
    fields: Vec<FieldPath>,
}

/// Conditions joined.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition<T> {
    All(Vec<Condition<T>>),
    Any(Vec<Condition<T>>),
    Not(Box<Condition<T>>),
    Test(T),
}

/// A question about a field.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Asked {
    /// Which of the fields.
    field: usize,
    /// At which character of the text it begins.
    at: usize,
    question: Question,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Question {
    IsNull,
    Compare(Comparison, Literal),
    In(Vec<Literal>),
    Like(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Literal {
    Boolean(bool),
    /// A number, and how it was written.
    Number(Number, String),
    Text(String),
    /// A value without quotes, as keys are given: whatever fits the field.
    Bare(String),
}

/// Why a text is no condition, or none on records of a schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason} at character {} of the condition {text:?}", .at + 1)]
pub struct FilterError {
    /// At which character of the text, from 0 on.
    pub at: usize,
    /// The text.
    pub text: String,
    /// What is wrong there.
    pub reason: FilterReason,
}

/// What is wrong with a condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FilterReason {
    /// It cannot be understood.
    #[error("{0}")]
    Syntax(String),
    /// A field that records do not have, or that cannot be asked about.
    #[error(transparent)]
    Field(#[from] LocateError),
    /// The value does not go with the type of the field.
    #[error("{field} is {kind}: {expected}")]
    Type {
        /// Which field.
        field: FieldPath,
        /// What it is, with its article.
        kind: String,
        /// What it can be compared with.
        expected: String,
    },
}

impl Expression {
    /// The condition that a record has one of these keys: each like `id=4711` or `id=4711,region=eu`, with the values that
    /// all of its fields have. A value with a comma, or with spaces around it, stands in single quotes.
    ///
    /// # Errors
    /// What is no key, with its place. At least one must be given.
    pub fn of_keys<'k>(keys: impl IntoIterator<Item = &'k str>) -> Result<Self, FilterError> {
        parse::keys(keys)
    }

    /// The fields that it asks about.
    pub fn fields(&self) -> &[FieldPath] {
        &self.fields
    }
}

impl FromStr for Expression {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse::expression(text)
    }
}

impl Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Expression {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A condition compiled for the records of one schema.
#[derive(Debug, Clone)]
pub struct Filter {
    condition: Condition<Test>,
    locator: Locator,
    found: Vec<Option<Located>>,
}

impl Filter {
    /// Compiles a condition for records of a schema.
    ///
    /// # Errors
    /// Fields that the schema does not have, and values that do not go with what a field is.
    pub fn new(expression: &Expression, schema: &Schema) -> Result<Self, FilterError> {
        compile::filter(expression, schema)
    }

    /// Whether the condition is true of a record. One that is neither true nor false, because of a null, is not true.
    ///
    /// The record is looked at up to the last field that is asked about: that it is sound as a whole is for
    /// [`Schema::skip`] to say.
    ///
    /// # Errors
    /// Where the bytes are no record of the schema.
    pub fn matches(&mut self, record: &[u8]) -> Result<bool, WalkError> {
        self.locator.find(record, &mut self.found)?;
        let of = |test: &Test| test.holds(self.found.get(test.field).and_then(Option::as_ref), record);
        Ok(truth(&self.condition, &of)? == Some(true))
    }
}

/// True, false, or unknown. Conditions stand within each other only so deep.
fn truth<T>(
    condition: &Condition<T>,
    of: &impl Fn(&T) -> Result<Option<bool>, WalkError>,
) -> Result<Option<bool>, WalkError> {
    // What decides alone, whatever the rest is.
    let (all, decisive) = match condition {
        Condition::Test(test) => return of(test),
        Condition::Not(inner) => return Ok(truth(inner, of)?.map(|value| !value)),
        Condition::All(all) => (all, false),
        Condition::Any(any) => (any, true),
    };
    let mut joined = Some(!decisive);
    for condition in all {
        match truth(condition, of)? {
            Some(value) if value == decisive => return Ok(Some(decisive)),
            None => joined = None,
            Some(_) => {}
        }
    }
    Ok(joined)
}

#[cfg(test)]
mod tests;
