//! How a component of a path names a snapshot: `latest`, `latest~2`, the beginning of an id, `@2026-11-01`.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::error::Result;
use crate::id::unhex;
use crate::ops::select::{Filter, Listing, Selector, Which};
use crate::snapshot::SnapshotRoot;

/// Names one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SnapshotName {
    /// The newest one, or the one this many before it in the same series.
    Latest(usize),
    /// The one whose id begins with these digits.
    Prefix(String),
    /// The newest one that is not later than this, nanoseconds since 1970 (UTC).
    At(i64),
}

impl SnapshotName {
    /// Parses `latest`, `latest~N`, the beginning of an id, and `@TIME`: a day (its end, UTC), a time with a zone, or seconds
    /// since 1970. None if it is none of these.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(time) = text.strip_prefix('@') {
            return moment(time).map(Self::At);
        }
        // A series and a path are components of their own here.
        let selector = Selector::parse(text.as_bytes()).ok().filter(|_| !text.contains(':'))?;
        Some(match selector.which {
            Which::Latest(back) => Self::Latest(back),
            Which::Prefix(prefix) => Self::Prefix(prefix),
        })
    }

    /// The snapshot that is meant.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`](crate::Error::NoSnapshot), [`Error::AmbiguousSnapshot`](crate::Error::AmbiguousSnapshot).
    pub(super) fn pick(&self, listing: &Listing, series: Option<&str>) -> Result<SnapshotRoot> {
        let mut filter = Filter::default();
        if let Some(series) = series {
            filter = filter.series([series]);
        }
        let text = match self {
            Self::Latest(back) => format!("latest~{back}"),
            Self::Prefix(prefix) => prefix.clone(),
            Self::At(moment) => {
                filter = filter.at(Some(*moment));
                "latest".into()
            }
        };
        // A snapshot whose root cannot be read is not served.
        let found = Selector::parse(text.as_bytes())?.find(listing, &filter)?;
        Ok(found.clone())
    }
}

/// A day, a time or seconds since 1970, as nanoseconds since 1970.
fn moment(text: &str) -> Option<i64> {
    let nanoseconds = if let Ok(seconds) = text.parse::<i64>() {
        i128::from(seconds) * 1_000_000_000
    } else if let Ok(time) = text.parse::<Timestamp>() {
        time.as_nanosecond()
    } else {
        let day: Date = text.parse().ok().filter(|_| text.len() == "2026-11-01".len())?;
        let next = day.checked_add(1.day()).ok()?.to_zoned(TimeZone::UTC).ok()?;
        next.timestamp().as_nanosecond() - 1
    };
    // Snapshots are dated within 64 bits of nanoseconds: what lies beyond them is later, or earlier, than all.
    Some(i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX }))
}

/// The name of a series as a component of a path: `/`, `%`, and what no path may hold stand as `%` and two digits.
pub fn escaped(series: &str) -> String {
    match series {
        "." | ".." => series.replace('.', "%2E"),
        series => utf8_percent_encode(series, NOT_IN_NAMES).to_string(),
    }
}

/// What no component of a path may hold. What is not ASCII is written as it is.
const NOT_IN_NAMES: &AsciiSet = &CONTROLS.add(b'/').add(b'%');

/// The name of a series of such a component; none if it is none.
pub fn unescaped(name: &[u8]) -> Option<String> {
    String::from_utf8(percent_decoded(name)?).ok()
}

/// Decodes `%` and two digits. None where two digits do not follow: what is malformed has no second meaning.
pub fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, after) = after.split_at_checked(2)?;
        let mut byte = [0];
        if !unhex(std::str::from_utf8(digits).ok()?, &mut byte) {
            return None;
        }
        bytes.extend(byte);
        rest = after;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_malformed_is_not_decoded() {
        assert_eq!(percent_decoded(b"a%2Fb%c3%bc"), Some("a/b\u{fc}".as_bytes().to_vec()));
        for wrong in [&b"%"[..], b"%2", b"%zz", b"%+5", b"% 5", b"a%2"] {
            assert_eq!(percent_decoded(wrong), None);
        }
    }

    #[test]
    fn names_are_those_of_the_command_line_and_times() {
        let parse = |text: &str| SnapshotName::parse(text.as_bytes());
        assert_eq!(parse("latest"), Some(SnapshotName::Latest(0)));
        assert_eq!(parse("latest~3"), Some(SnapshotName::Latest(3)));
        assert_eq!(parse("0AfF"), Some(SnapshotName::Prefix("0aff".into())));
        assert_eq!(parse("@0"), Some(SnapshotName::At(0)));
        assert_eq!(parse("@1970-01-01"), Some(SnapshotName::At(86_400_000_000_000 - 1)));
        assert_eq!(parse("@2999-01-01"), Some(SnapshotName::At(i64::MAX)));
        assert_eq!(parse("@1970-01-01T00:00:01Z"), Some(SnapshotName::At(1_000_000_000)));
        for wrong in ["", "late", "latest~", "latest~-1", "@", "@x", "@2026-13-01", "orders:latest", "latest:a", ".."] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn the_name_of_a_series_comes_back(series: String) {
            let name = escaped(&series);
            prop_assert!(!name.contains('/') && name != "." && name != "..");
            prop_assert_eq!(unescaped(name.as_bytes()), Some(series));
        }

        #[test]
        fn any_component_is_a_name_or_none(name: Vec<u8>) {
            let _ = (unescaped(&name), percent_decoded(&name), SnapshotName::parse(&name));
        }
    }
}
