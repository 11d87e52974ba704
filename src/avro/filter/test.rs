//! Questions about one field, prepared for the types that it can have, and asked of encoded values.

use std::cmp::Ordering;
use std::collections::HashSet;

use super::Comparison;
use super::like::Like;
use super::number::Floor;
use crate::avro::locate::Located;
use crate::avro::schema::NodeId;
use crate::avro::varint;
use crate::avro::walk::WalkError;

/// A question about one field.
#[derive(Debug, Clone)]
pub(super) struct Test {
    /// Which of the fields.
    pub(super) field: usize,
    pub(super) question: Prepared,
}

#[derive(Debug, Clone)]
pub(super) enum Prepared {
    IsNull,
    /// For each type what its values are compared with. One that is not there has no value that compares.
    Compare(Comparison, Vec<(NodeId, Target)>),
    In(Vec<(NodeId, Set)>),
    /// The types that are texts.
    Like(Vec<NodeId>, Like),
}

/// What an encoded value is compared with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Target {
    Boolean(bool),
    /// An int or a long.
    Whole(Floor),
    /// An int or a long that counts units of this many nanoseconds, and how many of those it is compared with.
    Moment {
        unit: i128,
        nanoseconds: i128,
    },
    Float(f32),
    Double(f64),
    /// A decimal in bytes with their length before them, or without one.
    Decimal {
        floor: Floor,
        sized: bool,
    },
    /// Bytes with or without a length before them.
    Bytes {
        bytes: Vec<u8>,
        sized: bool,
    },
    /// The symbols of an enum, each as it compares.
    Symbols(Vec<Ordering>),
    /// A text that is made of bytes of a fixed length: of durations.
    Printed(String),
}

/// Several of them.
#[derive(Debug, Clone)]
pub(super) enum Set {
    Longs(HashSet<i64>),
    Bytes { all: HashSet<Vec<u8>>, sized: bool },
    Each(Vec<Target>),
}

impl Set {
    /// Values that are looked up where they can be.
    pub(super) fn new(targets: Vec<Target>) -> Self {
        let longs = targets.iter().map(|target| match target {
            Target::Whole(floor) => floor.long(),
            _ => None,
        });
        if let Some(longs) = longs.collect() {
            return Self::Longs(longs);
        }
        let bytes = targets.iter().map(|target| match target {
            Target::Bytes { bytes, .. } => Some(bytes.clone()),
            _ => None,
        });
        match (bytes.collect(), targets.first()) {
            (Some(all), Some(Target::Bytes { sized, .. })) => Self::Bytes { all, sized: *sized },
            _ => Self::Each(targets),
        }
    }

    fn has(&self, value: &[u8]) -> Result<bool, WalkError> {
        match self {
            Self::Longs(longs) => Ok(longs.contains(&long(value)?)),
            Self::Bytes { all, sized } => Ok(all.contains(content(value, *sized)?)),
            Self::Each(targets) => {
                for target in targets {
                    if target.compare(value)? == Some(Ordering::Equal) {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }
}

impl Test {
    /// Whether it is so of a value; none where that is null and this not asked about.
    pub(super) fn holds(&self, value: Option<&Located>, record: &[u8]) -> Result<Option<bool>, WalkError> {
        let Some(value) = value else {
            return Ok(matches!(self.question, Prepared::IsNull).then_some(true));
        };
        let bytes = value.bytes(record);
        Ok(Some(match &self.question {
            Prepared::IsNull => false,
            Prepared::Compare(comparison, targets) => {
                let target = targets.iter().find(|(node, _)| *node == value.node);
                let ordering = match target {
                    Some((_, target)) => target.compare(bytes)?,
                    None => None,
                };
                comparison.holds(ordering)
            }
            Prepared::In(sets) => match sets.iter().find(|(node, _)| *node == value.node) {
                Some((_, set)) => set.has(bytes)?,
                None => false,
            },
            Prepared::Like(nodes, like) => nodes.contains(&value.node) && like.fits(content(bytes, true)?),
        }))
    }
}

impl Comparison {
    /// Whether it is true of values that compare like this, or do not compare.
    fn holds(self, ordering: Option<Ordering>) -> bool {
        match self {
            Self::Equal => ordering == Some(Ordering::Equal),
            Self::Unequal => ordering != Some(Ordering::Equal),
            Self::Less => ordering == Some(Ordering::Less),
            Self::LessOrEqual => matches!(ordering, Some(Ordering::Less | Ordering::Equal)),
            Self::Greater => ordering == Some(Ordering::Greater),
            Self::GreaterOrEqual => matches!(ordering, Some(Ordering::Greater | Ordering::Equal)),
        }
    }
}

impl Target {
    /// How an encoded value compares with it; none if it is neither less, equal nor greater.
    fn compare(&self, value: &[u8]) -> Result<Option<Ordering>, WalkError> {
        Ok(match self {
            Self::Boolean(other) => Some((value != [0]).cmp(other)),
            Self::Whole(floor) => Some(floor.compare(long(value)?)),
            Self::Moment { unit, nanoseconds } => Some(i128::from(long(value)?).saturating_mul(*unit).cmp(nanoseconds)),
            Self::Float(other) => floating(f32::from_le_bytes(fixed(value)?).into(), (*other).into()),
            Self::Double(other) => floating(f64::from_le_bytes(fixed(value)?), *other),
            Self::Decimal { floor, sized } => Some(floor.compare_bytes(content(value, *sized)?)),
            Self::Bytes { bytes, sized } => Some(content(value, *sized)?.cmp(bytes.as_slice())),
            Self::Symbols(symbols) => {
                usize::try_from(long(value)?).ok().and_then(|symbol| symbols.get(symbol)).copied()
            }
            Self::Printed(text) => (super::compile::duration(value).as_ref() == Some(text)).then_some(Ordering::Equal),
        })
    }
}

/// NaN is equal to itself where it is asked for, and nothing else.
fn floating(value: f64, other: f64) -> Option<Ordering> {
    if value.is_nan() && other.is_nan() { Some(Ordering::Equal) } else { value.partial_cmp(&other) }
}

fn long(value: &[u8]) -> Result<i64, WalkError> {
    varint::decode(value).map(|long| long.value).map_err(|_| WalkError::Truncated)
}

fn fixed<const N: usize>(value: &[u8]) -> Result<[u8; N], WalkError> {
    value.first_chunk().copied().ok_or(WalkError::Truncated)
}

/// The bytes of a value, after their length if it has one.
fn content(value: &[u8], sized: bool) -> Result<&[u8], WalkError> {
    if !sized {
        return Ok(value);
    }
    let length = varint::decode(value).map_err(|_| WalkError::Truncated)?;
    value.get(length.used..).ok_or(WalkError::Truncated)
}
