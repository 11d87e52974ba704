//! Sizes, times and modes, as people read and write them.

use std::fmt::Write;

use avro_snap::snapshot::entry::{EntryKind, FileEntry, Time};
use jiff::civil::{Date, DateTime, time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A size for people: binary units, three or four digits.
pub(crate) fn size(bytes: u64) -> String {
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

/// Reads a size: a number, and perhaps `k`, `M`, `G` or `T`, which are powers of 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size: that is a number of bytes, or one with k, M, G or T behind it");
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

/// A duration for people.
pub(crate) fn seconds(duration: f64) -> String {
    match duration {
        short if short < 10.0 => format!("{short:.2} s"),
        short if short < 120.0 => format!("{short:.1} s"),
        long => {
            let whole = long as u64;
            format!("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
        }
    }
}

/// A count of something, with an s where it takes one.
pub(crate) fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn zoned(nanoseconds: i64) -> Option<Zoned> {
    Some(Timestamp::from_nanosecond(i128::from(nanoseconds)).ok()?.to_zoned(TimeZone::system()))
}

/// A time for people: local, to the second.
pub(crate) fn local_time(nanoseconds: i64) -> String {
    zoned(nanoseconds).map_or_else(|| "?".into(), |zoned| zoned.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The time of a file, for people: local, to the second. As `@SECONDS` where the calendar ends before it.
pub(crate) fn local_file_time(time: Time) -> String {
    let zoned = Timestamp::from_nanosecond(time.nanoseconds()).map(|time| time.to_zoned(TimeZone::system()));
    zoned.map_or_else(|_| format!("@{}", time.seconds), |zoned| zoned.strftime("%Y-%m-%d %H:%M:%S").to_string())
}

/// The time of a file, for programs: RFC 3339, UTC, to the nanosecond. As `@SECONDS` where the calendar ends before it.
pub(crate) fn utc_file_time(time: Time) -> String {
    Timestamp::from_nanosecond(time.nanoseconds())
        .map_or_else(|_| format!("@{}", time.seconds), |time| time.to_string())
}

/// A time for programs: RFC 3339, UTC, to the nanosecond.
pub(crate) fn utc_time(nanoseconds: i64) -> String {
    Timestamp::from_nanosecond(i128::from(nanoseconds)).map_or_else(|_| "?".into(), |time| time.to_string())
}

/// What a day without a time of day stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Day {
    /// Its first moment.
    Begins,
    /// Its last.
    Ends,
}

/// Reads a time: RFC 3339, or local as `2026-07-14`, `2026-07-14 12:00` or `2026-07-14 12:00:00`. Gives nanoseconds since
/// 1970 (UTC).
pub(crate) fn parse_time(text: &str, day: Day) -> Result<i64, String> {
    parse_time_in(text, day, TimeZone::system())
}

fn parse_time_in(text: &str, day: Day, zone: TimeZone) -> Result<i64, String> {
    let text = text.trim();
    let wrong = || {
        format!(
            "{text:?} is no time: write it like 2026-07-14, \"2026-07-14 12:00\", \"2026-07-14 12:00:00\" (local) or \
             2026-07-14T12:00:00Z"
        )
    };
    let local = |date: DateTime| date.to_zoned(zone.clone()).map(|zoned| zoned.timestamp());
    // A date alone is as long as this one; the parser of dates would drop what follows.
    let moment = if text.len() == "2026-07-14".len() {
        let date: Date = text.parse().map_err(|_| wrong())?;
        local(match day {
            Day::Begins => date.to_datetime(time(0, 0, 0, 0)),
            Day::Ends => date.to_datetime(time(23, 59, 59, 999_999_999)),
        })
    } else {
        text.parse::<Timestamp>().or_else(|_| local(text.parse::<DateTime>()?))
    };
    i64::try_from(moment.map_err(|_| wrong())?.as_nanosecond()).map_err(|_| wrong())
}

/// Kind, permissions and special bits, as `ls -l` writes them.
pub(crate) fn mode(entry: &FileEntry) -> String {
    let kind = match entry.kind {
        EntryKind::File => '-',
        EntryKind::Directory => 'd',
        EntryKind::Symlink(_) => 'l',
        EntryKind::Fifo => 'p',
        EntryKind::CharDevice(_) => 'c',
        EntryKind::BlockDevice(_) => 'b',
    };
    let mut text = String::from(kind);
    for (shift, special, with_x, without) in [(6, 0o4000, 's', 'S'), (3, 0o2000, 's', 'S'), (0, 0o1000, 't', 'T')] {
        let bits = entry.mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (entry.mode & special != 0, bits & 1 != 0) {
            (true, true) => with_x,
            (true, false) => without,
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

/// What a row stands for, for programs.
pub(crate) fn kind(entry: &FileEntry) -> &'static str {
    match entry.kind {
        EntryKind::File => "file",
        EntryKind::Directory => "dir",
        EntryKind::Symlink(_) => "symlink",
        EntryKind::Fifo => "fifo",
        EntryKind::CharDevice(_) => "chardev",
        EntryKind::BlockDevice(_) => "dev",
    }
}

/// A row in full, for people.
pub(crate) fn long(entry: &FileEntry, path: &[u8]) -> Vec<u8> {
    let user = entry.user.clone().unwrap_or_else(|| entry.uid.to_string());
    let group = entry.group.clone().unwrap_or_else(|| entry.gid.to_string());
    let (mode, size, time) = (mode(entry), entry.size, local_file_time(entry.mtime));
    let mut line = format!("{mode} {user:<8} {group:<8} {size:>12} {time}  ").into_bytes();
    line.extend_from_slice(path);
    if let EntryKind::Symlink(target) = &entry.kind {
        line.extend_from_slice(b" -> ");
        line.extend_from_slice(target);
    }
    if let Some(facts) = &entry.avro {
        let mut said = format!("  [avro {}, {}", facts.codec, count(facts.declared_records, "record"));
        if facts.state != avro_snap::snapshot::entry::AvroState::Ok {
            let _ = write!(said, ", {}", facts.state.name());
        }
        said.push(']');
        line.extend_from_slice(said.as_bytes());
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_and_read() {
        for (bytes, expected) in [(0, "0 B"), (999, "999 B"), (1024, "1.00 KiB"), (1 << 20, "1.00 MiB")] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(size(u64::MAX), "16384 PiB");
        for (text, expected) in [("0", 0), ("10", 10), ("3k", 3 << 10), ("2 MiB", 2 << 20), ("1G", 1 << 30)] {
            assert_eq!(parse_size(text), Ok(expected), "{text}");
        }
        for wrong in ["", "k", "-1", "1x", "99999999999T", "1.5k", "1kk"] {
            assert!(parse_size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times_are_read() {
        let berlin = || TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        let at = |text: &str, day| parse_time_in(text, day, berlin());
        let noon = at("2026-07-14T12:00:00+02:00", Day::Ends).unwrap();
        assert_eq!(utc_time(noon), "2026-07-14T10:00:00Z");
        for text in ["2026-07-14 12:00", "2026-07-14 12:00:00", "2026-07-14T12:00", "2026-07-14T10:00:00Z"] {
            assert_eq!(at(text, Day::Ends), Ok(noon), "{text}");
        }
        let day = 24 * 3_600_000_000_000;
        let midnight = at("2026-07-14", Day::Begins).unwrap();
        assert_eq!(midnight, noon - day / 2);
        assert_eq!(at("2026-07-14", Day::Ends), Ok(midnight + day - 1));
        for wrong in ["", "now", "2026-13-01", "14.07.2026", "2026-07-14 25:00", "2026-07-14x"] {
            assert!(at(wrong, Day::Ends).is_err(), "{wrong}");
        }
    }
}
