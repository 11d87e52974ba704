//! Dates, times and timestamps as texts in expressions: `2026-03-01`, `12:30`, `2026-03-01T12:30:00.5Z`.

use crate::avro::schema::Kind;

const SECOND: i128 = 1_000_000_000;
const DAY: i128 = 86_400 * SECOND;

/// What a whole number counts, by its logical type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unit {
    what: What,
    /// How many nanoseconds one is.
    pub(super) nanoseconds: i128,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Date,
    Time,
    /// A moment in UTC.
    Timestamp,
    /// A moment without a zone.
    Local,
}

impl Unit {
    /// That of a type, if it is one of these.
    pub(super) fn of(kind: &Kind, logical: Option<&str>) -> Option<Self> {
        let (what, nanoseconds) = match (kind, logical?) {
            (Kind::Int, "date") => (What::Date, DAY),
            (Kind::Int, "time-millis") => (What::Time, 1_000_000),
            (Kind::Long, "time-micros") => (What::Time, 1000),
            (Kind::Long, "timestamp-millis") => (What::Timestamp, 1_000_000),
            (Kind::Long, "timestamp-micros") => (What::Timestamp, 1000),
            (Kind::Long, "timestamp-nanos") => (What::Timestamp, 1),
            (Kind::Long, "local-timestamp-millis") => (What::Local, 1_000_000),
            (Kind::Long, "local-timestamp-micros") => (What::Local, 1000),
            (Kind::Long, "local-timestamp-nanos") => (What::Local, 1),
            _ => return None,
        };
        Some(Self { what, nanoseconds })
    }

    /// A text as nanoseconds since 1970, or since midnight.
    pub(super) fn parse(self, text: &str) -> Option<i128> {
        match self.what {
            What::Date => date(text),
            What::Time => time(text),
            What::Timestamp => {
                let (text, zone) = zone(text)?;
                Some(timestamp(text)? - zone)
            }
            What::Local => timestamp(text),
        }
    }

    /// An example of such a text.
    pub(super) fn example(self) -> &'static str {
        match self.what {
            What::Date => "'2026-03-01'",
            What::Time => "'12:30:00'",
            What::Timestamp => "'2026-03-01T12:30:00Z' or '2026-03-01'",
            What::Local => "'2026-03-01T12:30:00' or '2026-03-01'",
        }
    }
}

/// A day, perhaps with a time after a `T` or a space.
fn timestamp(text: &str) -> Option<i128> {
    match text.split_once(['T', 't', ' ']) {
        Some((day, clock)) => Some(date(day)? + time(clock)?),
        None => date(text),
    }
}

/// What stands before a zone, and how far that is ahead of UTC. A timestamp without a zone is one in UTC.
fn zone(text: &str) -> Option<(&str, i128)> {
    if let Some(text) = text.strip_suffix(['Z', 'z']) {
        return text.contains(':').then_some((text, 0));
    }
    let clock = text.find(':').unwrap_or(text.len());
    let Some(at) = text.get(clock..)?.find(['+', '-']).map(|at| clock + at) else { return Some((text, 0)) };
    let (before, offset) = text.split_at_checked(at)?;
    let (hours, minutes) = match offset.get(1..)?.as_bytes() {
        &[a, b, b':', c, d] | &[a, b, c, d] => (pair(a, b)?, pair(c, d)?),
        &[a, b] => (pair(a, b)?, 0),
        _ => return None,
    };
    if hours > 23 || minutes > 59 {
        return None;
    }
    let ahead = i128::from(hours * 3600 + minutes * 60) * SECOND;
    Some((before, if offset.starts_with('-') { -ahead } else { ahead }))
}

fn pair(a: u8, b: u8) -> Option<u32> {
    let digit = |c: u8| char::from(c).to_digit(10);
    Some(digit(a)? * 10 + digit(b)?)
}

/// A number with this count of digits, and no other text.
fn digits(text: &str, count: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let fits = count.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if fits { text.parse().ok() } else { None }
}

/// A day in nanoseconds since 1970. Years outside of 0 to 9999 have a sign.
fn date(text: &str) -> Option<i128> {
    let (sign, rest) = match text.as_bytes().first()? {
        b'+' => (1, text.get(1..)?),
        b'-' => (-1, text.get(1..)?),
        _ => (1, text),
    };
    let mut parts = rest.split('-');
    let year = sign * digits(parts.next()?, if rest.len() < text.len() { 4..=9 } else { 4..=4 })?;
    let (month, day) = (digits(parts.next()?, 2..=2)?, digits(parts.next()?, 2..=2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if parts.next().is_some() || !(1..=length).contains(&day) {
        return None;
    }
    // Years that begin with March, in eras of 400 of them.
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    Some(i128::from(days) * DAY)
}

/// A time in nanoseconds since midnight. More hours than a day has, and a sign, are those of values outside of a day.
fn time(text: &str) -> Option<i128> {
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (clock, fraction) = rest.split_once('.').unwrap_or((rest, "0"));
    let mut parts = clock.split(':');
    let (hours, minutes) = (digits(parts.next()?, 2..=12)?, digits(parts.next()?, 2..=2)?);
    let seconds = match parts.next() {
        Some(seconds) => digits(seconds, 2..=2)?,
        None if fraction == "0" && clock.len() == rest.len() => 0,
        None => return None,
    };
    if parts.next().is_some() || minutes > 59 || seconds > 59 {
        return None;
    }
    let nanoseconds = digits(fraction, 1..=9)? * 10i64.pow(9 - fraction.len() as u32);
    let seconds = i128::from(hours) * 3600 + i128::from(minutes) * 60 + i128::from(seconds);
    Some(sign * (seconds * SECOND + i128::from(nanoseconds)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn unit(kind: Kind, logical: &str) -> Unit {
        Unit::of(&kind, Some(logical)).unwrap()
    }

    #[test]
    fn texts_of_people_are_read() {
        let stamp = unit(Kind::Long, "timestamp-millis");
        let noon = Some(1_772_366_400 * SECOND);
        for text in [
            "2026-03-01T12:00:00Z",
            "2026-03-01 12:00",
            "2026-03-01T12:00:00.000z",
            "2026-03-01T14:00+02:00",
            "2026-03-01T07:30:00-0430",
        ] {
            assert_eq!(stamp.parse(text), noon, "{text}");
        }
        assert_eq!(stamp.parse("2026-03-01"), noon.map(|noon| noon - DAY / 2));
        assert_eq!(unit(Kind::Int, "date").parse("1969-12-31"), Some(-DAY));
        assert_eq!(unit(Kind::Int, "time-millis").parse("00:01:00.5"), Some(60_500_000_000));
        for text in [
            "",
            "2026-3-1",
            "2026-02-29",
            "2026-13-01",
            "2026-03-01T",
            "2026-03-01T24",
            "2026-03-01Z",
            "26-03-01",
            "2026-03-01T12:00:60Z",
            "2026-03-01T12:00:00.1234567890Z",
            "2026-03-01T12:00+25:00",
            "ü",
        ] {
            assert_eq!(stamp.parse(text), None, "{text}");
        }
        assert_eq!(unit(Kind::Long, "local-timestamp-millis").parse("2026-03-01T12:00:00Z"), None);
    }

    proptest! {
        #[test]
        fn what_records_are_printed_as_is_read_back(value: i64, shift in 0u32..64) {
            use crate::avro::records::moment;
            let value = value >> shift;
            for (kind, logical) in [
                (Kind::Int, "date"), (Kind::Int, "time-millis"), (Kind::Long, "time-micros"), (Kind::Long, "timestamp-millis"),
                (Kind::Long, "timestamp-micros"), (Kind::Long, "timestamp-nanos"), (Kind::Long, "local-timestamp-millis"),
                (Kind::Long, "local-timestamp-micros"), (Kind::Long, "local-timestamp-nanos"),
            ] {
                let value = if kind == Kind::Int { i64::from(value as i32) } else { value };
                let text = moment(value, &kind, Some(logical)).unwrap();
                let unit = unit(kind, logical);
                prop_assert_eq!(unit.parse(&text), Some(i128::from(value) * unit.nanoseconds), "{} {}", logical, text);
            }
        }

        #[test]
        fn any_text_is_a_moment_or_none(text: String) {
            let _ = (unit(Kind::Long, "timestamp-millis").parse(&text), unit(Kind::Int, "time-millis").parse(&text));
        }
    }
}
