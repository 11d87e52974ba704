//! What of a row is kept beside an object: its user metadata. The names and forms of `mtime` and `mode` are rclone's.

use crate::id::{ContentHash, hex};
use crate::snapshot::entry::{FileEntry, Time};
use crate::storage::remote::Notes;

/// The modification time, in seconds since 1970, with a fraction.
const MTIME: &str = "mtime";
/// Permissions, octal.
const MODE: &str = "mode";
/// BLAKE3 of the content, hexadecimal: what `b3sum` prints.
const CONTENT: &str = "blake3";

/// What is kept of a row.
pub(super) fn of(entry: &FileEntry) -> Notes {
    let mut notes = Notes::new();
    notes.insert(MTIME.into(), written(entry.mtime));
    notes.insert(MODE.into(), format!("{:o}", entry.mode));
    if let Some(content) = &entry.content {
        notes.insert(CONTENT.into(), hex(content.as_bytes()));
    }
    notes
}

/// The modification time that was kept.
pub(super) fn mtime(notes: &Notes) -> Option<Time> {
    read(notes.get(MTIME)?)
}

/// Whether the content that was kept is this one; none if nothing was kept.
pub(super) fn is_content(notes: &Notes, content: &ContentHash) -> Option<bool> {
    notes.get(CONTENT).map(|text| *text == hex(content.as_bytes()))
}

fn written(time: Time) -> String {
    let nanoseconds = time.nanoseconds();
    let (sign, nanoseconds) = if nanoseconds < 0 { ("-", -nanoseconds) } else { ("", nanoseconds) };
    format!("{sign}{}.{:09}", nanoseconds / 1_000_000_000, nanoseconds % 1_000_000_000)
}

fn read(text: &str) -> Option<Time> {
    let (sign, text) = match text.trim().strip_prefix('-') {
        Some(text) => (-1, text),
        None => (1, text.trim()),
    };
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    if !(seconds.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds =
        sign * (i128::from(seconds.parse::<i64>().ok()?) * 1_000_000_000 + digits.parse::<i128>().ok()?);
    let seconds = i64::try_from(nanoseconds.div_euclid(1_000_000_000)).ok()?;
    Some(Time { seconds, nanos: u32::try_from(nanoseconds.rem_euclid(1_000_000_000)).ok()? })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_time_comes_back(seconds in -10_000_000_000i64..100_000_000_000, nanos in 0u32..1_000_000_000) {
            let time = Time { seconds, nanos };
            prop_assert_eq!(read(&written(time)), Some(time));
        }

        #[test]
        fn what_others_wrote_does_no_harm(text in ".{0,30}") {
            read(&text);
        }
    }

    #[test]
    fn times_are_read_as_others_write_them() {
        assert_eq!(read("1700000000"), Some(Time { seconds: 1_700_000_000, nanos: 0 }));
        assert_eq!(read("1700000000.5"), Some(Time { seconds: 1_700_000_000, nanos: 500_000_000 }));
        assert_eq!(read("1700000000.1234567899"), Some(Time { seconds: 1_700_000_000, nanos: 123_456_789 }));
        assert_eq!(read("-0.5"), Some(Time { seconds: -1, nanos: 500_000_000 }));
        assert_eq!((read("soon"), read("1.x"), read("")), (None, None, None));
    }

    #[test]
    fn content_is_known_by_its_hash() {
        let (one, other) = (ContentHash::new([1; 32]), ContentHash::new([2; 32]));
        let notes = of(&FileEntry { content: Some(one), mode: 0o640, ..FileEntry::nothing() });
        assert_eq!((is_content(&notes, &one), is_content(&notes, &other)), (Some(true), Some(false)));
        assert_eq!(notes.get(MODE).map(String::as_str), Some("640"));
        let bare = of(&FileEntry::nothing());
        assert_eq!(is_content(&bare, &one), None);
    }
}
