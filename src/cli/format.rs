//! Sizes, times and modes, as people read and write them.

use std::fmt::Write;

use avro_snap::snapshot::entry::{EntryKind, FileEntry, Time};
use avro_snap::storage::Traffic;
pub(crate) use avro_snap::values::size_text as size;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::output::{Output, printable};

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

/// What went over the network.
pub(crate) fn traffic(traffic: Traffic) -> String {
    let retried = match traffic.retries {
        0 => String::new(),
        retries => format!(" ({} after a failure)", retries),
    };
    format!(
        "storage: {}{retried}, {} sent, {} received",
        count(traffic.requests, "request"),
        size(traffic.bytes_sent),
        size(traffic.bytes_received)
    )
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

/// Kind, permissions and special bits, as `ls -l` writes them.
pub(crate) fn mode(entry: &FileEntry) -> String {
    entry.permissions()
}

/// What a row stands for, for programs.
pub(crate) fn kind(entry: &FileEntry) -> &'static str {
    entry.kind.name()
}

/// A row in full, for people. The path is given as it is printed.
pub(crate) fn long(entry: &FileEntry, path: &[u8], output: &Output) -> Vec<u8> {
    let user = entry.user.clone().unwrap_or_else(|| entry.uid.to_string());
    let group = entry.group.clone().unwrap_or_else(|| entry.gid.to_string());
    let (mode, size, time) = (mode(entry), entry.size, local_file_time(entry.mtime));
    let mut line = format!("{mode} {user:<8} {group:<8} {size:>12} {time}  ").into_bytes();
    line.extend_from_slice(path);
    if let EntryKind::Symlink(target) = &entry.kind {
        line.extend_from_slice(b" -> ");
        line.extend_from_slice(&output.path(target));
    }
    if let Some(facts) = &entry.avro {
        // The codec's name is the file's: it may hold anything.
        let codec = printable(&facts.codec).replace('\n', "\\x0a");
        let mut said = format!("  [avro {codec}, {}", count(facts.declared_records, "record"));
        if facts.state != avro_snap::snapshot::entry::AvroState::Ok {
            let _ = write!(said, ", {}", facts.state.name());
        } else if facts.blocks_raw > 0 {
            let _ = write!(said, ", {} of {} raw", facts.blocks_raw, count(facts.blocks, "block"));
            // Nothing is said of those that were to be kept as they are.
            if !facts.raw_reason.is_empty() {
                let _ = write!(said, ": {}", printable(&facts.raw_reason).replace('\n', "\\x0a"));
            }
        }
        said.push(']');
        line.extend_from_slice(said.as_bytes());
    }
    if let Some(altered) = entry.altered {
        line.extend_from_slice(format!("  [records erased {}]", local_time(altered)).as_bytes());
    }
    line
}

#[cfg(test)]
mod tests {
    use avro_snap::snapshot::entry::AvroFacts;

    use super::*;

    #[test]
    fn what_a_file_says_of_itself_is_no_command_to_a_terminal() {
        let facts = AvroFacts {
            state: avro_snap::snapshot::entry::AvroState::Ok,
            codec: "\x1b[2J\n".into(),
            fingerprint: 0,
            blocks: 0,
            declared_records: 0,
            verified_records: 0,
            encoder: String::new(),
            blocks_exact: 0,
            blocks_corrected: 0,
            blocks_raw: 0,
            stray_bytes: 0,
            raw_reason: String::new(),
        };
        let entry = FileEntry { path: b"name".to_vec(), avro: Some(facts), ..FileEntry::nothing() };
        let line = long(&entry, b"name", &Output::new(false, true, false));
        assert!(!line.contains(&0x1b) && !line.contains(&b'\n'), "{}", String::from_utf8_lossy(&line));
        assert!(String::from_utf8_lossy(&line).contains("name  [avro \\x1b[2J\\x0a, 0 records"));
    }

    #[test]
    fn sizes_are_written() {
        for (bytes, expected) in [(0, "0 B"), (999, "999 B"), (1024, "1.00 KiB"), (1 << 20, "1.00 MiB")] {
            assert_eq!(size(bytes), expected);
        }
        assert_eq!(size(u64::MAX), "16384 PiB");
    }
}
