//! Amounts and times as people read them.

use crate::report::utc;
pub(super) use crate::values::size_text as size;

/// How many of something, like `1 file` or `1 204 files`.
pub(super) fn count(number: u64, name: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{} {name}{plural}", grouped(number))
}

/// A number in groups of three digits.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// How long ago a moment was, in the largest unit of which it is at least two, or one of seconds.
pub(super) fn ago(time: i64, now: i64) -> String {
    let seconds = now.saturating_sub(time) / 1_000_000_000;
    if seconds < 0 {
        return "in the future".into();
    }
    format!("{} ago", length(seconds))
}

/// A length of time in seconds, in words.
pub(super) fn length(seconds: i64) -> String {
    let units = [(365 * 86_400, "year"), (30 * 86_400, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")];
    let fitting = units.into_iter().find(|(unit, _)| seconds >= 2 * unit);
    let (unit, name) = fitting.unwrap_or((1, "second"));
    count((seconds / unit).unsigned_abs(), name)
}

/// A time to the minute, like `2026-11-30 02:14`.
pub(super) fn minute(time: i64) -> String {
    let text = utc(i128::from(time));
    match text.get(..16) {
        Some(start) if !text.starts_with('@') => start.replace('T', " "),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        assert_eq!(count(1, "file"), "1 file");
        assert_eq!(count(1_204_000, "file"), "1\u{a0}204\u{a0}000 files");
        assert_eq!(length(119), "119 seconds");
        assert_eq!(length(7200), "2 hours");
        assert_eq!(ago(0, -5_000_000_000), "in the future");
        assert_eq!(minute(0), "1970-01-01 00:00");
    }
}
