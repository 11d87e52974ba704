//! Which part of a tree a path belongs to, where several processes divide it.
//!
//! It follows from the path and the number of parts alone, so processes need not talk to each other, and what appears,
//! vanishes or changes meanwhile moves nothing else to another part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::id::Digester;
use crate::values;

/// One of the parts that a tree is divided into, written `K/N`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shard {
    number: u32,
    parts: u32,
}

impl Shard {
    /// The most parts that a tree can be divided into.
    pub const MOST: u32 = 1024;

    /// The way of dividing that this version knows. Parts that were divided in another way do not fit together.
    pub const DIVISION: u8 = 1;

    /// Part `number`, counted from 1, of `of`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn new(number: u32, of: u32) -> Result<Self, String> {
        match (number, of) {
            (_, 0) => Err("a tree has one part at least".into()),
            (_, of) if of > Self::MOST => Err(format!("{of} parts are more than the limit of {}", Self::MOST)),
            (0, of) => Err(format!("there is no part 0/{of}: parts are counted from 1")),
            (number, of) if number > of => Err(format!("there is no part {number}/{of}: the last one is {of}/{of}")),
            (number, parts) => Ok(Self { number, parts }),
        }
    }

    /// Its number, from 1 on.
    pub fn number(self) -> u32 {
        self.number
    }

    /// How many parts there are.
    pub fn parts(self) -> u32 {
        self.parts
    }

    /// All parts, of this number of them.
    ///
    /// # Errors
    /// As of [`new`](Self::new).
    pub fn all(of: u32) -> Result<impl Iterator<Item = Self>, String> {
        Self::new(1, of)?;
        Ok((1..=of).map(move |number| Self { number, parts: of }))
    }

    /// Whether the path of a manifest belongs to this part.
    pub fn owns(self, path: &[u8]) -> bool {
        Self::number_of(path, self.parts) == self.number
    }

    /// The number of the part, of `of` parts, that the path of a manifest belongs to.
    ///
    /// Files that are numbered are often alike, and often large: `part-00000` to `part-00007`. Of `of`
    /// consecutive numbers, beginning at a multiple of that, each part gets one; a hash decides which of them is the first. All
    /// else goes by a hash alone.
    pub fn number_of(path: &[u8], of: u32) -> u32 {
        let of = u64::from(of.max(1));
        let digits = last_numbered(path);
        let (mut quotient, mut remainder) = (Vec::with_capacity(digits.len()), 0);
        for digit in path.get(digits.clone()).unwrap_or_default() {
            remainder = remainder * 10 + u64::from(digit - b'0');
            // Below 10 by the rule of long division.
            quotient.push(b'0' + (remainder / of) as u8);
            remainder %= of;
        }
        let mut digester = Digester::new();
        digester.update(b"snap 2026-11 v1 shard\0");
        digester.update(path.get(..digits.start).unwrap_or(path));
        digester.update(b"\0");
        digester.update(&quotient);
        digester.update(b"\0");
        digester.update(path.get(digits.end..).unwrap_or_default());
        let [a, b, c, d, e, f, g, h, ..] = digester.finish();
        let hash = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        // Both are below the number of parts.
        ((hash % of + remainder) % of) as u32 + 1
    }
}

/// The first digits of the last component that has some; nothing, at the end, if there are none.
fn last_numbered(path: &[u8]) -> std::ops::Range<usize> {
    let Some(last) = path.iter().rposition(u8::is_ascii_digit) else { return path.len()..path.len() };
    let component = path[..last].iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let start = path[component..].iter().position(u8::is_ascii_digit).map_or(last, |at| component + at);
    let length = path[start..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    start..start + length
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.parts)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no part: write it like 3/8");
        let (number, of) = text.trim().split_once('/').ok_or_else(wrong)?;
        let parse = |text: &str| text.parse::<u32>().map_err(|_| wrong());
        Self::new(parse(number)?, parse(of)?)
    }
}

impl Serialize for Shard {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Shard {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        values::from_text(deserializer, str::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What the file of a number is called; the function returns an id for it.
    type Naming = fn(u64, &dyn Fn(u64) -> String) -> String;

    fn counts(paths: impl Iterator<Item = String>, of: u32) -> Vec<u64> {
        let mut counts = vec![0; of as usize];
        paths.for_each(|path| counts[Shard::number_of(path.as_bytes(), of) as usize - 1] += 1);
        counts
    }

    #[test]
    fn consecutive_numbers_go_to_all_parts_in_turn() {
        for of in [2, 3, 8, 10] {
            let names = [
                (0..u64::from(of)).map(|n| format!("lake/orders/part-{n:05}.avro")).collect::<Vec<_>>(),
                (0..u64::from(of)).map(|n| format!("lake/shard={n}/data.avro")).collect(),
                (0..u64::from(of)).map(|n| format!("00000{n}_0")).collect(),
            ];
            for names in names {
                assert!(counts(names.into_iter(), of).iter().all(|count| *count == 1), "{of}");
            }
        }
    }

    #[test]
    fn many_files_are_spread_evenly_whatever_they_are_called() {
        let uuid = |n: u64| crate::id::hex(&crate::id::digest(&n.to_le_bytes())[..16]);
        let kinds: [Naming; 6] = [
            |n, _| format!("d{:02}/file-{n:06}.avro", n % 40),
            // Offsets, all of which are multiples of the number of parts.
            |n, _| format!("orders+3+{:010}.avro", n * 1000),
            |n, _| format!("seg-{}", n << 16),
            |n, uuid| format!("{}/{}.avro", n % 7, uuid(n)),
            |n, uuid| {
                uuid(n).chars().filter(|c| !c.is_ascii_digit()).collect::<String>() + &"x".repeat((n % 9) as usize)
            },
            |n, _| format!("dt=2026-{:02}-{:02}/h{}/data", n % 12, n / 12 % 28, n / 336),
        ];
        for (kind, name) in kinds.iter().enumerate() {
            for of in [3, 8] {
                let counts = counts((0..8000).map(|n| name(n, &uuid)), of);
                let mean = 8000.0 / f64::from(of);
                assert!(counts.iter().all(|count| (*count as f64 - mean).abs() < mean * 0.12), "{kind}: {counts:?}");
            }
        }
    }

    /// Runs rest on it: parts that were divided differently do not fit together. A change is a new [`Shard::DIVISION`].
    #[test]
    fn the_division_does_not_change() {
        let path = |path: &str| [2, 8, 1000].map(|of| Shard::number_of(path.as_bytes(), of));
        assert_eq!(path("lake/orders/part-00017.avro"), DIVIDED[0]);
        assert_eq!(path("no digits"), DIVIDED[1]);
        assert_eq!(path("dt=2026-11-30/readme"), DIVIDED[2]);
    }

    const DIVIDED: [[u32; 3]; 3] = [[2, 6, 474], [1, 5, 333], [2, 2, 310]];

    #[test]
    fn a_part_is_read_from_its_text() {
        assert_eq!("3/8".parse::<Shard>().unwrap().to_string(), "3/8");
        for (wrong, why) in [
            ("0/8", "counted from 1"),
            ("9/8", "the last one is 8/8"),
            ("1/0", "one part at least"),
            ("1/5000", "the limit of 1024"),
            ("1", "like 3/8"),
            ("/8", "like 3/8"),
            ("1/", "like 3/8"),
            ("", "like 3/8"),
            ("-1/2", "like 3/8"),
        ] {
            assert!(wrong.parse::<Shard>().unwrap_err().contains(why), "{wrong}");
        }
        assert_eq!(Shard::all(3).unwrap().map(|shard| shard.to_string()).collect::<Vec<_>>(), ["1/3", "2/3", "3/3"]);
    }

    proptest! {
        #[test]
        fn each_path_is_in_one_part(path: Vec<u8>, of in 1..50_u32) {
            let number = Shard::number_of(&path, of);
            prop_assert!((1..=of).contains(&number));
            let owners = Shard::all(of).unwrap().filter(|shard| shard.owns(&path)).count();
            prop_assert_eq!(owners, 1);
        }
    }
}
