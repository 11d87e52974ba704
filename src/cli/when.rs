//! Times on the command line: `2026-07-14 12:00`, `2026-11`, `yesterday`, `2 days ago`, `@1700000000`.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Span, Timestamp, ToSpan, Zoned};

/// What a day or month without a time of day stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Day {
    /// The first moment of the day.
    Begins,
    /// The last moment of the day.
    Ends,
}

/// What the help says about times.
pub(crate) const FORMS: &str = "like 2026-07-14, \"2026-07-14 12:00\", 2026-07 (a month), 2026-07-14T12:00:00Z, today, \
                                yesterday, \"2 days ago\" or @1700000000 (seconds since 1970)";

/// Reads a time. Those without a zone are local. Returns nanoseconds since 1970 (UTC).
///
/// # Errors
/// What is wrong with it, as a sentence. A time is never moved: one that clocks skip or that does not fit is an error.
pub(crate) fn parse_time(text: &str, day: Day) -> Result<i64, String> {
    parse_time_at(text, day, &Zoned::now())
}

fn parse_time_at(text: &str, day: Day, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not a time: write it {FORMS}");
    let far = || too_far(text);
    let moment = match relative(text, now) {
        Some(found) => found.map_err(|_| far())?.resolve(day, now.time_zone())?,
        None => absolute(text, day, now.time_zone())?.ok_or_else(wrong)?,
    };
    i64::try_from(moment.as_nanosecond()).map_err(|_| far())
}

fn too_far(text: &str) -> String {
    format!("{text:?} is too far away: times are those from 1677-09-22 to 2262-04-11")
}

/// A moment, or days of which the first or the last moment is meant.
enum Meant {
    Moment(Timestamp),
    /// From this day on, and before the other.
    Days(Date, Date),
}

impl Meant {
    fn resolve(self, day: Day, zone: &TimeZone) -> Result<Timestamp, String> {
        // Where clocks skip midnight, a day begins later; there is always a first moment.
        let start = |date: Date| date.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
        let found = match (self, day) {
            (Self::Moment(moment), _) => Ok(moment),
            (Self::Days(first, _), Day::Begins) => start(first),
            (Self::Days(_, after), Day::Ends) => start(after).and_then(|after| after.checked_sub(1.nanosecond())),
        };
        found.map_err(|error| error.to_string())
    }
}

/// Times that count from now. None if the text is no such time.
fn relative(text: &str, now: &Zoned) -> Option<Result<Meant, jiff::Error>> {
    let day = |date: Date| Ok(Meant::Days(date, date.tomorrow()?));
    let lower = text.to_ascii_lowercase();
    match &*lower {
        "now" => return Some(Ok(Meant::Moment(now.timestamp()))),
        "today" => return Some(day(now.date())),
        "yesterday" => return Some(now.date().yesterday().and_then(day)),
        "tomorrow" => return Some(now.date().tomorrow().and_then(day)),
        _ => {}
    }
    if let Some(number) = lower.strip_prefix('@') {
        return unix(number).map(|found| found.map(Meant::Moment));
    }
    let count = lower.strip_suffix("ago")?.trim_end();
    let digits = count.len() - count.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = count.split_at(digits);
    // More digits than this are too far away in any unit.
    let number: i64 = if number.len() > 15 { i64::MAX } else { number.parse().ok()? };
    let span = Span::new();
    let span = match unit.trim() {
        "s" | "sec" | "secs" | "second" | "seconds" => span.try_seconds(number),
        "min" | "mins" | "minute" | "minutes" => span.try_minutes(number),
        "h" | "hour" | "hours" => span.try_hours(number),
        "d" | "day" | "days" => span.try_days(number),
        "w" | "week" | "weeks" => span.try_weeks(number),
        "month" | "months" => span.try_months(number),
        "y" | "year" | "years" => span.try_years(number),
        _ => return None,
    };
    Some(span.and_then(|span| now.checked_sub(span)).map(|zoned| Meant::Moment(zoned.timestamp())))
}

/// Seconds since 1970, perhaps with a fraction. None if the text is no such number.
fn unix(number: &str) -> Option<Result<Timestamp, jiff::Error>> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let digits = whole.strip_prefix('-').unwrap_or(whole);
    if !is_digits(digits) || !is_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let nanos: i128 = format!("{fraction:0<9}").parse().ok()?;
    // More digits than this are too far away.
    let seconds: i128 = if digits.len() > 18 { i128::MAX / 2_000_000_000 } else { digits.parse().ok()? };
    let nanos = seconds * 1_000_000_000 + nanos;
    Some(Timestamp::from_nanosecond(if whole.starts_with('-') { -nanos } else { nanos }))
}

/// Times that are written out. None if the text is no such time.
fn absolute(text: &str, day: Day, zone: &TimeZone) -> Result<Option<Timestamp>, String> {
    // A second that clocks do not show would be taken for the one before it.
    let seconds = text.split([':', '.', '+', 'Z', 'z']).nth(2).unwrap_or_default();
    if seconds.starts_with("60") {
        return Ok(None);
    }
    if text.len() == "2026-07".len() && text.as_bytes().get(4) == Some(&b'-') {
        let Ok(first) = format!("{text}-01").parse::<Date>() else { return Ok(None) };
        let after = first.checked_add(1.month()).map_err(|_| too_far(text))?;
        return Meant::Days(first, after).resolve(day, zone).map(Some);
    }
    // A date alone is as long as this one; the parser of dates would drop what follows.
    if text.len() == "2026-07-14".len() {
        let Ok(date) = text.parse::<Date>() else { return Ok(None) };
        let after = date.tomorrow().map_err(|_| too_far(text))?;
        return Meant::Days(date, after).resolve(day, zone).map(Some);
    }
    if let Ok(moment) = text.parse::<Timestamp>() {
        return Ok(Some(moment));
    }
    let Ok(wall) = text.parse::<DateTime>() else { return Ok(None) };
    let ambiguous = zone.to_ambiguous_timestamp(wall);
    let found = match (ambiguous.offset(), day) {
        (AmbiguousOffset::Gap { .. }, _) => {
            return Err(format!("{text:?} is not a time: clocks were put forward and never showed it"));
        }
        (AmbiguousOffset::Unambiguous { .. }, _) | (AmbiguousOffset::Fold { .. }, Day::Begins) => ambiguous.earlier(),
        (AmbiguousOffset::Fold { .. }, Day::Ends) => ambiguous.later(),
    };
    found.map(Some).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use avro_snap::report::utc;

    /// 2026-11-30 09:30 in Berlin.
    fn now() -> Zoned {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        "2026-11-30T08:30:00Z".parse::<Timestamp>().unwrap().to_zoned(berlin)
    }

    fn at(text: &str, day: Day) -> Result<i64, String> {
        parse_time_at(text, day, &now())
    }

    fn read(text: &str, day: Day) -> String {
        utc(i128::from(at(text, day).unwrap_or_else(|error| panic!("{error}"))))
    }

    #[test]
    fn times_are_read() {
        let noon = at("2026-07-14T12:00:00+02:00", Day::Ends).unwrap();
        assert_eq!(utc(i128::from(noon)), "2026-07-14T10:00:00Z");
        for text in ["2026-07-14 12:00", "2026-07-14 12:00:00", "2026-07-14T12:00", "2026-07-14T10:00:00Z"] {
            assert_eq!(at(text, Day::Ends), Ok(noon), "{text}");
        }
        let day = 24 * 3_600_000_000_000;
        let midnight = at("2026-07-14", Day::Begins).unwrap();
        assert_eq!(midnight, noon - day / 2);
        assert_eq!(at("2026-07-14", Day::Ends), Ok(midnight + day - 1));
        for wrong in [
            "",
            "soon",
            "2026-13-01",
            "14.07.2026",
            "2026-07-14 25:00",
            "2026-07-14x",
            "2026-13",
            "2026-1",
            "ago",
            "days ago",
            "-2 days ago",
            "2 fortnights ago",
            "@",
            "@x",
            "@1e9",
            "@1.",
            "2026-07-14T12:00:60Z",
        ] {
            let error = at(wrong, Day::Ends).unwrap_err();
            assert!(error.contains("is not a time"), "{wrong}: {error}");
        }
    }

    #[test]
    fn times_are_said_as_people_say_them() {
        for (text, begins, ends) in [
            ("now", "2026-11-30T08:30:00Z", "2026-11-30T08:30:00Z"),
            ("today", "2026-11-29T23:00:00Z", "2026-11-30T22:59:59.999999999Z"),
            ("Yesterday", "2026-11-28T23:00:00Z", "2026-11-29T22:59:59.999999999Z"),
            ("2 days ago", "2026-11-28T08:30:00Z", "2026-11-28T08:30:00Z"),
            ("90min ago", "2026-11-30T07:00:00Z", "2026-11-30T07:00:00Z"),
            ("1 month ago", "2026-10-30T08:30:00Z", "2026-10-30T08:30:00Z"),
            ("2026-11", "2026-10-31T23:00:00Z", "2026-11-30T22:59:59.999999999Z"),
            ("2026-12", "2026-11-30T23:00:00Z", "2026-12-31T22:59:59.999999999Z"),
            ("@1700000000", "2023-11-14T22:13:20Z", "2023-11-14T22:13:20Z"),
            ("@1700000000.25", "2023-11-14T22:13:20.25Z", "2023-11-14T22:13:20.25Z"),
            ("@-1", "1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!((read(text, Day::Begins), read(text, Day::Ends)), (begins.into(), ends.into()), "{text}");
        }
        // A summer day is in summer time, although it is winter.
        assert_eq!(read("5 months ago", Day::Ends), "2026-06-30T07:30:00Z");
    }

    #[test]
    fn what_does_not_fit_is_an_error_and_is_not_moved() {
        for far in
            ["2262-04-13", "1677-01-01", "9999-12-31", "@99999999999", "@-99999999999", "@999999999999999999999999"]
        {
            let error = at(far, Day::Begins).unwrap_err();
            assert!(error.contains("too far away"), "{far}: {error}");
        }
        for far in ["900 years ago", "99999999999999999999 seconds ago"] {
            assert!(at(far, Day::Begins).is_err(), "{far}");
        }
    }

    #[test]
    fn changed_clocks_move_nothing() {
        // 02:30 is skipped in spring and shown twice in autumn.
        assert!(at("2026-03-29 02:30", Day::Begins).unwrap_err().contains("never showed it"));
        assert_eq!(read("2026-10-25 02:30", Day::Begins), "2026-10-25T00:30:00Z");
        assert_eq!(read("2026-10-25 02:30", Day::Ends), "2026-10-25T01:30:00Z");
        assert_eq!(read("2026-03-29", Day::Ends), "2026-03-29T21:59:59.999999999Z");
    }
}
