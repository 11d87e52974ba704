//! What time it is on a file system. The times of files are its own, and a server's clock, or one that was set meanwhile,
//! is not ours.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// How often a file system is asked, in different directories.
const TRIES: u32 = 8;

/// The clocks of file systems, as far ahead of ours as they were found.
#[derive(Debug, Default)]
pub struct Clocks {
    known: Mutex<HashMap<u64, Known>>,
}

#[derive(Debug, Clone, Copy)]
enum Known {
    /// How far it is ahead of ours, in nanoseconds.
    Ahead(i64),
    /// How often it was asked without an answer.
    Failed(u32),
}

impl Clocks {
    /// Asks the file system `dev` what time it is, by a file without a name in this directory of it. Nothing is to be seen
    /// of that file, and it is gone at once. Where that cannot be done, its clock counts as ours.
    pub(super) fn learn(&self, dev: u64, folder: &Path, clock: &dyn Fn() -> i64) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = match known.get(&dev) {
            Some(Known::Ahead(_) | Known::Failed(TRIES..)) => return,
            Some(Known::Failed(times)) => *times,
            None => 0,
        };
        let found = match time_of(folder, dev) {
            Some(theirs) => Known::Ahead(theirs.saturating_sub(clock())),
            None => Known::Failed(failed + 1),
        };
        known.insert(dev, found);
    }

    /// The time on that file system when it is `ours` by our clock, in nanoseconds since 1970.
    pub fn on(&self, dev: u64, ours: i64) -> i64 {
        match self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&dev) {
            Some(Known::Ahead(by)) => ours.saturating_add(*by),
            _ => ours,
        }
    }
}

/// The time that the file system puts on a file which is made now.
#[cfg(target_os = "linux")]
fn time_of(folder: &Path, dev: u64) -> Option<i64> {
    use super::place::Place;
    use super::stat::Seen;
    use rustix::fs::{Mode, OFlags};

    let place = Place::of(folder).ok()?;
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    let file = rustix::fs::openat(place.folder(), place.rest(), flags, Mode::RUSR | Mode::WUSR).ok()?;
    let seen = Seen::from(rustix::fs::fstat(file).ok()?);
    let time = i64::try_from(seen.stat.ctime.nanoseconds()).ok()?;
    (seen.stat.dev == dev).then_some(time)
}

#[cfg(not(target_os = "linux"))]
fn time_of(_: &Path, _: u64) -> Option<i64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_clock_of_ours_does_not_matter_where_the_file_system_can_be_asked() {
        use std::os::unix::fs::MetadataExt;
        let folder = tempfile::tempdir().unwrap();
        let dev = std::fs::metadata(folder.path()).unwrap().dev();
        let before = super::super::stat::now();
        let ahead = || super::super::stat::now() + 400 * 86_400_000_000_000;
        let clocks = Clocks::default();
        clocks.learn(dev, folder.path(), &ahead);
        let there = clocks.on(dev, ahead());
        match clocks.known.lock().unwrap().get(&dev) {
            Some(Known::Ahead(_)) => assert!((there - before).abs() < 60_000_000_000, "{there} {before}"),
            _ => eprintln!("SKIPPED: this file system makes no files without names"),
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(clocks.on(dev + 1, 5), 5, "of others nothing is known");
    }
}
