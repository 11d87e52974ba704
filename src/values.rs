//! How the values of options are written as text, and read: sizes, lengths of time, lists.
//!
//! The command line and files of options take the same forms, so each form has one parser. What parses them is here if it
//! has no other home, else with its type (`Pattern::new`, `Span::parse`). In a file a number may stand without quotes.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};

/// Setters in builder style: `is` for a value, `the` for one of exactly this type, `some` for one that may be absent, `each`
/// for a list.
macro_rules! setters {
    ($($kind:ident $name:ident: $type:ty;)*) => { $( $crate::values::setters!(@$kind $name $type); )* };
    (@is $name:ident $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.$name = $name.into();
            self
        }
    };
    (@the $name:ident $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: $type) -> Self {
            self.$name = $name;
            self
        }
    };
    (@some $name:ident $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), ").")]
        #[must_use]
        pub fn $name(mut self, $name: impl Into<$type>) -> Self {
            self.$name = Some($name.into());
            self
        }
    };
    (@each $name:ident $type:ty) => {
        #[doc = concat!("Sets [`", stringify!($name), "`](Self#structfield.", stringify!($name), "), all of it.")]
        #[must_use]
        pub fn $name(mut self, $name: impl IntoIterator<Item: Into<$type>>) -> Self {
            self.$name = $name.into_iter().map(Into::into).collect();
            self
        }
    };
}
pub(crate) use setters;

/// Reads a size: a number of bytes, or one with `k`, `M`, `G` or `T`, which are powers of 1024.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a size: write a number of bytes, or one followed by k, M, G or T");
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(['b', 'i', 'k', 'm', 'g', 't']);
    let shift = match &lower[digits.len()..] {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 10,
        "m" | "mb" | "mib" => 20,
        "g" | "gb" | "gib" => 30,
        "t" | "tb" | "tib" => 40,
        _ => return Err(wrong()),
    };
    let number: u64 = digits.trim_end().parse().map_err(|_| wrong())?;
    number.checked_mul(1 << shift).ok_or_else(wrong)
}

/// A size for people: binary units, three or four digits.
pub fn size_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{bytes} B"),
        (_, value) if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        (_, value) if value < 100.0 => format!("{value:.1} {}", UNITS[unit]),
        (_, value) => format!("{value:.0} {}", UNITS[unit]),
    }
}

/// Reads a rate, in bytes a second: a number of KiB, or a size with its unit as of [`parse_size`].
///
/// # Errors
/// What is wrong with it, as a sentence. Nothing at all is no rate.
pub fn parse_rate(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not a rate: write a number of KiB per second, or one followed by k, M or G");
    let text = text.trim().trim_end_matches("/s");
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rate = match is_number {
        true => text.parse().ok().and_then(|kib: u64| kib.checked_mul(1 << 10)),
        false => parse_size(text).ok(),
    };
    rate.filter(|rate| *rate > 0).ok_or_else(wrong)
}

/// The units of lengths of time, and their seconds. A year is 365 days.
const UNITS: [(&str, u64); 6] =
    [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400), ("w", 7 * 86_400), ("y", 365 * 86_400)];

/// Reads a length of time: a whole number with `s`, `m` (minutes), `h`, `d`, `w` or `y`; 0 needs none.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a duration: write it like 90m, 12h, 7d or 2w");
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let unit = UNITS.iter().find(|(unit, _)| *unit == &text[digits.len()..]).map(|(_, seconds)| *seconds);
    let unit = unit.or((number == 0 && digits == text).then_some(1));
    unit.and_then(|unit| number.checked_mul(unit)).map(Duration::from_secs).ok_or_else(wrong)
}

/// A length of time as [`parse_duration`] reads it, to the second.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let whole =
        UNITS.iter().rev().find(|(unit, length)| *unit != "y" && seconds > 0 && seconds.is_multiple_of(*length));
    whole.map_or_else(|| "0".into(), |(unit, length)| format!("{}{unit}", seconds / length))
}

/// The parts of a list with commas, without white space around them. Empty parts do not count.
pub fn comma_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Reads a value from its text. A number stands for itself as text.
///
/// # Errors
/// What `parse` says, and that of what is neither text nor number.
pub fn from_text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, D::Error> {
    deserializer.deserialize_any(Text).and_then(|text| parse(&text).map_err(D::Error::custom))
}

/// Reads a list of values, each from its text. A text alone is a list of one.
///
/// # Errors
/// As of [`from_text`].
pub fn from_texts<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl Fn(&str) -> Result<T, String>,
) -> Result<Vec<T>, D::Error> {
    let texts = deserializer.deserialize_any(Texts)?;
    texts.iter().map(|text| parse(text).map_err(D::Error::custom)).collect()
}

pub(crate) fn some_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    from_text(deserializer, parse_size).map(Some)
}

pub(crate) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    from_text(deserializer, parse_duration)
}

pub(crate) fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    duration(deserializer).map(Some)
}

/// Texts and paths, each as it is.
pub(crate) fn texts<'de, D: Deserializer<'de>, T: for<'t> From<&'t str>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    from_texts(deserializer, |text| Ok(T::from(text)))
}

/// Lists with commas, put together into one.
pub(crate) fn words<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    lists(deserializer).map(|lists| lists.concat())
}

/// Lists with commas.
pub(crate) fn lists<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Vec<String>>, D::Error> {
    from_texts(deserializer, |text| match text.trim() {
        // What an unset variable leaves must not choose anything.
        "" => Err("a list is empty: write a comma for a list of nothing".into()),
        list => Ok(comma_list(list)),
    })
}

/// Takes no key at all: the last of flattened groups, which takes what no other does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NoMore(PhantomData<()>);

impl<'de> serde::Deserialize<'de> for NoMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self::default())
    }
}

impl<'de> Visitor<'de> for NoMore {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no further options")
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        match map.next_key::<String>()? {
            None => Ok(self),
            Some(key) => Err(A::Error::custom(format!("unknown field `{key}`"))),
        }
    }
}

/// A text, or a number as text.
struct Text;

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a number")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<String, E> {
        Ok(number.to_string())
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<String, E> {
        Ok(number.to_string())
    }
}

/// A list of texts, or one of them.
struct Texts;

impl<'de> Visitor<'de> for Texts {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
        Ok(vec![text.to_owned()])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<String>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        for (text, expected) in [("0", 0), ("10", 10), ("3k", 3 << 10), ("2 MiB", 2 << 20), ("1G", 1 << 30)] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for wrong in ["", "k", "-1", "1x", "99999999999T", "1.5k", "1kk"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lengths_of_time_are_read() {
        for (text, seconds) in [
            ("0", 0),
            ("0s", 0),
            ("90m", 5400),
            ("12h", 43_200),
            ("7d", 604_800),
            ("2w", 1_209_600),
            ("1y", 31_536_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)), "{text}");
            assert_eq!(parse_duration(&duration_text(Duration::from_secs(seconds))), Ok(Duration::from_secs(seconds)));
        }
        for wrong in ["", "5", "d", "1x", "-1d", "1 d", "d1", "99999999999999999999d", "18446744073709551615y"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_read() {
        assert_eq!(comma_list(" a, b,,c "), ["a", "b", "c"]);
        assert!(comma_list(",").is_empty());
    }
}
