//! What is done to a single column before it is compressed.

use std::borrow::Cow;

use super::ColumnKind;
use crate::avro::varint::{self, unzigzag};

/// How a column was coded. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coding {
    /// The column as it is.
    Plain,
    /// A part of the column that is repeated to its end.
    Repeated,
    /// Of numbers: what each differs from the one before it, the first from 0, wrapping at 64 bits; as numbers.
    Deltas,
    /// Of values of this many bytes: the first bytes of all, then the second bytes of all, and so on.
    Planes(u8),
    /// Of numbers: each as this many bytes, little-endian, without undoing the zig-zag; then as `Planes`.
    NumberPlanes(u8),
    /// Of numbers: what each differs from the one before it, zig-zag; then as `NumberPlanes`.
    DeltaPlanes(u8),
}

const PLAIN: u8 = 0;
const REPEATED: u8 = 1;
const DELTAS: u8 = 2;
const PLANES: u8 = 16;
const NUMBER_PLANES: u8 = 48;
const DELTA_PLANES: u8 = 64;

/// The longest values that are cut into planes.
const MAX_PLANES: u8 = 16;

/// The most bytes of a number in planes.
const MAX_NUMBER: u8 = 8;

impl Coding {
    /// The number of the coding in the format.
    pub fn number(self) -> u8 {
        match self {
            Self::Plain => PLAIN,
            Self::Repeated => REPEATED,
            Self::Deltas => DELTAS,
            Self::Planes(width) => PLANES + width,
            Self::NumberPlanes(width) => NUMBER_PLANES + width,
            Self::DeltaPlanes(width) => DELTA_PLANES + width,
        }
    }

    /// The coding with this number.
    pub fn from_number(number: u8) -> Option<Self> {
        let width = |base: u8, most: u8| number.checked_sub(base).filter(|width| (1..=most).contains(width));
        Some(match number {
            PLAIN => Self::Plain,
            REPEATED => Self::Repeated,
            DELTAS => Self::Deltas,
            _ => match (width(PLANES, MAX_PLANES), width(NUMBER_PLANES, MAX_NUMBER), width(DELTA_PLANES, MAX_NUMBER)) {
                (Some(width), _, _) => Self::Planes(width),
                (_, Some(width), _) => Self::NumberPlanes(width),
                (_, _, Some(width)) => Self::DeltaPlanes(width),
                _ => return None,
            },
        })
    }

    /// Whether the coded column always has as many bytes as the column itself.
    pub fn keeps_length(self) -> bool {
        matches!(self, Self::Plain | Self::Planes(_))
    }

    /// How many parts of equal length the coded column has that are not like each other.
    pub fn parts(self) -> usize {
        match self {
            Self::Plain | Self::Repeated | Self::Deltas => 1,
            Self::Planes(width) | Self::NumberPlanes(width) | Self::DeltaPlanes(width) => usize::from(width),
        }
    }

    /// The column again, which must have `length` bytes. `None` if it cannot be that.
    pub fn decode(self, coded: &[u8], length: usize) -> Option<Cow<'_, [u8]>> {
        let column = match self {
            Self::Plain => return (coded.len() == length).then_some(Cow::Borrowed(coded)),
            Self::Planes(_) if coded.len() != length => return None,
            Self::Planes(width) => interleave(coded, width.into())?,
            Self::Repeated => repeat(coded, length)?,
            Self::Deltas => {
                let mut column = Vec::with_capacity(length);
                let (mut rest, mut sum) = (coded, 0i64);
                while let Some((bits, after)) = next_number(rest) {
                    rest = after;
                    sum = sum.wrapping_add(unzigzag(bits));
                    put_number(&mut column, zigzag(sum));
                    if column.len() > length {
                        return None;
                    }
                }
                rest.is_empty().then_some(column)?
            }
            Self::NumberPlanes(width) => numbers_from_planes(coded, width.into(), length, |bits| bits)?,
            Self::DeltaPlanes(width) => {
                let mut sum = 0i64;
                numbers_from_planes(coded, width.into(), length, |bits| {
                    sum = sum.wrapping_add(unzigzag(bits));
                    zigzag(sum)
                })?
            }
        };
        (column.len() == length).then_some(Cow::Owned(column))
    }
}

/// What may be tried for a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// See [`Coding::Plain`].
    Plain,
    /// See [`Coding::Deltas`].
    Deltas,
    /// See [`Coding::Planes`] and [`Coding::NumberPlanes`].
    Planes,
    /// See [`Coding::DeltaPlanes`].
    DeltaPlanes,
}

/// A coded column.
pub type Coded<'a> = (Coding, Cow<'a, [u8]>);

impl Trial {
    /// What is worth trying for columns of this kind, besides leaving them plain.
    pub fn of(kind: ColumnKind) -> &'static [Trial] {
        match kind {
            ColumnKind::Number => &[Self::Deltas, Self::Planes, Self::DeltaPlanes],
            ColumnKind::Length => &[Self::Planes],
            ColumnKind::Fixed(2..=16) => &[Self::Planes],
            ColumnKind::Branch | ColumnKind::Count | ColumnKind::Bytes | ColumnKind::Text | ColumnKind::Fixed(_) => &[],
        }
    }

    /// Codes a column of this kind. What this does not fit, a number in another than its shortest form for example, is
    /// left plain, and so is what would be twice as long or longer. A column of equal values becomes one of them.
    pub fn code(self, kind: ColumnKind, column: &[u8]) -> Coded<'_> {
        if let Some(part) = repeated(kind, column) {
            return (Coding::Repeated, Cow::Borrowed(part));
        }
        let coded = match (self, kind) {
            (Self::Planes, ColumnKind::Fixed(width @ 2..=16)) => {
                Some((Coding::Planes(width as u8), deinterleave(column, width as usize)))
            }
            (Self::Plain, _) => None,
            (trial, kind) if kind.is_numbers() => numbers(column).map(|values| trial.code_numbers(values)),
            _ => None,
        };
        match coded.filter(|(_, coded)| coded.len() < 2 * column.len()) {
            Some((coding, coded)) => (coding, Cow::Owned(coded)),
            None => (Coding::Plain, Cow::Borrowed(column)),
        }
    }

    fn code_numbers(self, mut values: Vec<u64>) -> (Coding, Vec<u8>) {
        if self != Self::Planes {
            let mut before = 0i64;
            for value in &mut values {
                let number = unzigzag(*value);
                *value = zigzag(number.wrapping_sub(before));
                before = number;
            }
        }
        if self == Self::Deltas {
            let mut coded = Vec::with_capacity(values.len());
            values.iter().for_each(|value| put_number(&mut coded, *value));
            return (Coding::Deltas, coded);
        }
        let all = values.iter().fold(0, |all, value| all | value);
        let width = (u64::BITS - all.leading_zeros()).div_ceil(8).max(1) as u8;
        let mut coded = Vec::with_capacity(values.len() * usize::from(width));
        for byte in 0..width {
            coded.extend(values.iter().map(|value| (value >> (8 * byte)) as u8));
        }
        match self {
            Self::Planes => (Coding::NumberPlanes(width), coded),
            _ => (Coding::DeltaPlanes(width), coded),
        }
    }
}

/// The first value of a column, if the column is nothing but that value, at least twice.
fn repeated(kind: ColumnKind, column: &[u8]) -> Option<&[u8]> {
    let width = match kind {
        ColumnKind::Fixed(width) => width as usize,
        ColumnKind::Bytes => 1,
        ColumnKind::Text => return None,
        _ => column.iter().position(|byte| *byte < 0x80)? + 1,
    };
    let again = column.get(width..).filter(|again| !again.is_empty() && again.len() % width == 0)?;
    (column.get(..again.len())? == again).then(|| column.get(..width))?
}

/// `part` again and again, up to `length` bytes.
fn repeat(part: &[u8], length: usize) -> Option<Vec<u8>> {
    (!part.is_empty() && length.is_multiple_of(part.len())).then(|| part.repeat(length / part.len()))
}

/// From value after value to plane after plane. What does not fill a last value is dropped.
fn deinterleave(values: &[u8], width: usize) -> Vec<u8> {
    let mut planes = Vec::with_capacity(values.len());
    for byte in 0..width {
        planes.extend(values.chunks_exact(width).filter_map(|value| value.get(byte)));
    }
    planes
}

/// From plane after plane to value after value.
fn interleave(planes: &[u8], width: usize) -> Option<Vec<u8>> {
    let count = planes.len().checked_div(width).filter(|count| count * width == planes.len())?;
    let mut values = vec![0; planes.len()];
    if count > 0 {
        for (byte, plane) in planes.chunks_exact(count).enumerate() {
            let to = values.get_mut(byte..).unwrap_or_default();
            to.iter_mut().step_by(width).zip(plane).for_each(|(to, from)| *to = *from);
        }
    }
    Some(values)
}

/// A column of numbers from their planes, each turned by `turn`; of at most `length` bytes and a number more.
fn numbers_from_planes(
    planes: &[u8],
    width: usize,
    length: usize,
    mut turn: impl FnMut(u64) -> u64,
) -> Option<Vec<u8>> {
    let count = planes.len().checked_div(width).filter(|count| count * width == planes.len() && *count <= length)?;
    let mut column = Vec::with_capacity(length);
    const AT_ONCE: usize = 256;
    let mut values = [0u64; AT_ONCE];
    for start in (0..count).step_by(AT_ONCE) {
        let some = values.get_mut(..AT_ONCE.min(count - start))?;
        some.fill(0);
        for byte in 0..width {
            let plane = planes.get(byte * count + start..)?;
            some.iter_mut().zip(plane).for_each(|(value, from)| *value |= u64::from(*from) << (8 * byte));
        }
        some.iter().for_each(|bits| put_number(&mut column, turn(*bits)));
        if column.len() > length {
            return None;
        }
    }
    Some(column)
}

/// All numbers of a column, without undoing the zig-zag. `None` if one is not in its shortest form.
fn numbers(mut column: &[u8]) -> Option<Vec<u64>> {
    let mut values = Vec::with_capacity(column.len());
    while let Some((bits, rest)) = next_number(column) {
        values.push(bits);
        column = rest;
    }
    column.is_empty().then_some(values)
}

/// The number at the start, if it is in its shortest form, and what follows it.
#[inline(always)]
fn next_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first < 0x80 {
        return Some((u64::from(*first), rest));
    }
    let (second, rest) = rest.split_first()?;
    if *second < 0x80 {
        return (*second != 0).then_some((u64::from(first & 0x7f) | u64::from(*second) << 7, rest));
    }
    long_number(bytes)
}

#[inline(never)]
fn long_number(bytes: &[u8]) -> Option<(u64, &[u8])> {
    if let Some(word) = bytes.first_chunk::<8>() {
        let word = u64::from_le_bytes(*word);
        let last = !word & 0x8080_8080_8080_8080;
        if last != 0 {
            let length = last.trailing_zeros() as usize / 8 + 1;
            // The bytes of the number without what follows them, then seven bits of each.
            let own = word & (last ^ last.wrapping_sub(1)) & 0x7f7f_7f7f_7f7f_7f7f;
            let bits = (0..8).fold(0, |bits, byte| bits | (own >> (8 * byte) & 0x7f) << (7 * byte));
            let shortest = length == 1 || bits >> (7 * (length - 1)) != 0;
            return shortest.then_some((bits, bytes.get(length..)?));
        }
    }
    let long = varint::decode(bytes).ok().filter(|long| long.canonical)?;
    Some((zigzag(long.value), bytes.get(long.used..)?))
}

#[inline(always)]
fn put_number(out: &mut Vec<u8>, mut bits: u64) {
    while bits >= 0x80 {
        out.push(bits as u8 | 0x80);
        bits >>= 7;
    }
    out.push(bits as u8);
}

#[inline(always)]
fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}
