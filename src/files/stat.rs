//! What the system reports about a file, and the times in it.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{FileType, Stat, Timespec};

use crate::snapshot::entry::Time;

/// A file changed so shortly before its stat may be changed again without its times telling.
const RACY: i128 = 2_000_000_000;

/// What shows whether a file was changed: equal before and after reading, the file was not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileStat {
    /// Length in bytes.
    pub size: u64,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or metadata.
    pub ctime: Time,
    /// Number on its file system.
    pub inode: u64,
    /// Which file system.
    pub dev: u64,
}

impl FileStat {
    /// Whether the file was changed so shortly before `now` (nanoseconds since 1970) that an equal stat later proves nothing.
    pub fn is_racy(&self, now: i64) -> bool {
        // Programs set mtime to what they like, but ctime is the system's: one ahead of our clock is another clock's.
        let before = |time: Time| i128::from(now) - time.nanoseconds();
        before(self.mtime).abs() <= RACY || before(self.ctime) <= RACY
    }
}

/// The time by the system's clock, in nanoseconds since 1970.
pub fn now() -> i64 {
    let since = |duration: std::time::Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(after) => since(after),
        Err(before) => since(before.duration()).saturating_neg(),
    }
}

/// All that is used of a stat, with the same types on every system.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) stat: FileStat,
    pub(super) kind: FileType,
    /// Permission, set-id and sticky bits.
    pub(super) mode: u32,
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) nlink: u64,
    /// The device that a device node stands for.
    pub(super) rdev: rustix::fs::Dev,
    /// Bytes that the file takes on the disk.
    pub(super) allocated: u64,
}

impl From<Stat> for Seen {
    #[allow(clippy::unnecessary_cast, reason = "the fields have other types on other systems")]
    fn from(stat: Stat) -> Self {
        Self {
            stat: FileStat {
                size: u64::try_from(stat.st_size).unwrap_or(0),
                mtime: moment(stat.st_mtime as i64, stat.st_mtime_nsec as i64),
                ctime: moment(stat.st_ctime as i64, stat.st_ctime_nsec as i64),
                inode: stat.st_ino as u64,
                dev: stat.st_dev as u64,
            },
            kind: FileType::from_raw_mode(stat.st_mode as _),
            mode: stat.st_mode as u32 & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            nlink: stat.st_nlink as u64,
            rdev: stat.st_rdev as _,
            allocated: u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(512),
        }
    }
}

fn moment(seconds: i64, nanoseconds: i64) -> Time {
    // Some network file systems return nanoseconds below 0 for times before 1970.
    let carried = seconds.saturating_add(nanoseconds.div_euclid(1_000_000_000));
    Time { seconds: carried, ..Time::from_nanoseconds(nanoseconds.rem_euclid(1_000_000_000)) }
}

/// A time as the system takes it.
#[allow(clippy::unnecessary_cast, reason = "the fields have other types on other systems")]
pub(super) fn timespec(time: Time) -> Timespec {
    Timespec { tv_sec: time.seconds as _, tv_nsec: time.nanos as _ }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_changed_within_two_seconds_of_the_stat_is_racy() {
        const SECOND: i64 = 1_000_000_000;
        let now = 1_000_000 * SECOND;
        let racy = |mtime, ctime| {
            let (mtime, ctime) = (Time::from_nanoseconds(mtime), Time::from_nanoseconds(ctime));
            FileStat { size: 0, mtime, ctime, inode: 1, dev: 1 }.is_racy(now)
        };
        assert!(!racy(now - 3 * SECOND, now - 3 * SECOND));
        assert!(racy(now - SECOND, now - 3 * SECOND));
        assert!(racy(now - 3 * SECOND, now - SECOND));
        assert!(racy(now - 2 * SECOND, now - 9 * SECOND));
        assert!(racy(now - 3 * SECOND, now + 60 * SECOND), "the clock of a server is ahead");
        assert!(!racy(now + 60 * SECOND, now - 3 * SECOND), "somebody set a time to come");
        assert!(!racy(i64::MIN, i64::MIN));
    }

    #[test]
    fn times_before_1970_go_both_ways() {
        for time in [0, 1, -1, -1_500_000_000, 1_700_000_000_123_456_789] {
            let there = timespec(Time::from_nanoseconds(time));
            assert!((0..1_000_000_000).contains(&there.tv_nsec));
            assert_eq!(moment(there.tv_sec, there.tv_nsec).nanoseconds(), i128::from(time));
        }
    }
}
