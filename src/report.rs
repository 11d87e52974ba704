//! How reports are written for programs: what serialisation makes of paths, times, lists of errors and ids.
//!
//! The command line prints reports as they are serialised (`docs/json.md`), so what is decided here is decided for all
//! verbs. Text that may hold any bytes, such as a path, is written as text, and beside it in hexadecimal where the text
//! is not the whole truth.

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::error::Error;
use crate::id::hex;

/// The nanoseconds of a second.
const SECOND: i128 = 1_000_000_000;

/// The days of 400 years.
const ERA: i128 = 146_097;

/// A time in UTC as RFC 3339 writes it, to the nanosecond. Where the year has not four digits: `@` and the seconds since
/// 1970.
pub fn utc(nanoseconds: i128) -> String {
    let (seconds, nanos) = (nanoseconds.div_euclid(SECOND), nanoseconds.rem_euclid(SECOND));
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since the first of March of the year 0, so that the day that may be missing is the last of a year.
    let (era, of_era) = ((days + 719_468).div_euclid(ERA), (days + 719_468).rem_euclid(ERA));
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    if !(0..=9999).contains(&year) {
        return format!("@{seconds}");
    }
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    let fraction = match nanos {
        0 => String::new(),
        nanos => format!(".{}", format!("{nanos:09}").trim_end_matches('0')),
    };
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Puts bytes that are mostly text into an object: as text under `name`, and under `name_hex` where that is not all.
///
/// # Errors
/// Errors of the serialiser.
pub fn put_text<M: SerializeMap>(map: &mut M, name: &str, bytes: &[u8]) -> Result<(), M::Error> {
    map.serialize_entry(name, &String::from_utf8_lossy(bytes))?;
    match std::str::from_utf8(bytes) {
        Ok(_) => Ok(()),
        Err(_) => map.serialize_entry(&format!("{name}_hex"), &hex(bytes)),
    }
}

/// A path that is flattened into an object.
#[derive(Debug, Clone, Copy)]
pub struct Path<'a>(pub &'a [u8]);

impl Serialize for Path<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        put_text(&mut map, "path", self.0)?;
        map.end()
    }
}

/// How many there are, for lists of which each item is reported by itself.
pub(crate) fn count<T, S: Serializer>(items: &[T], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(items.len() as u64)
}

/// What went wrong with which path.
pub(crate) fn failed<S: Serializer>(failed: &[(Vec<u8>, Error)], serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Failed<'a> {
        #[serde(flatten)]
        path: Path<'a>,
        #[serde(flatten)]
        error: &'a Error,
    }
    let mut list = serializer.serialize_seq(Some(failed.len()))?;
    for (path, error) in failed {
        list.serialize_element(&Failed { path: Path(path), error })?;
    }
    list.end()
}

/// The ids alone, where what is wrong with each is reported by itself.
pub(crate) fn ids<I: Serialize, S: Serializer>(named: &[(I, Error)], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(named.len()))?;
    for (id, _) in named {
        list.serialize_element(id)?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_those_of_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-62_167_219_200, "0000-01-01T00:00:00Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "@253402300800"),
            (-62_167_219_201, "@-62167219201"),
        ] {
            assert_eq!(utc(seconds * SECOND), text);
        }
        assert_eq!(utc(120_000_000), "1970-01-01T00:00:00.12Z");
        assert_eq!(utc(-1), "1969-12-31T23:59:59.999999999Z");
    }

    #[test]
    fn a_path_that_is_no_text_has_its_bytes_beside_it() {
        let write = |path: &[u8]| serde_json::to_string(&Path(path)).unwrap();
        assert_eq!(write(b"a/b"), r#"{"path":"a/b"}"#);
        assert_eq!(write(b"a\xff"), "{\"path\":\"a\u{fffd}\",\"path_hex\":\"61ff\"}");
    }
}
