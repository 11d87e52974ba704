//! Reading an object from its beginning to its end: several parts of a large one are on their way at once. All parts are of one and the
//! same object, or it is said that they are not.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::errors;
use crate::error::{Error, Result};
use crate::files::{FileStat, Held, SourceOpener, SourceReader};
use crate::snapshot::entry::{FileEntry, Origin, Time};
use crate::storage::remote::{Ahead, Got, Object, Objects};

/// How many bytes are asked for at once.
const PART: u64 = 4 << 20;

/// How many parts are on their way while one is read.
const AHEAD: usize = 3;

/// The row of an object at this path.
pub(super) fn row(path: Vec<u8>, object: &Object) -> FileEntry {
    FileEntry { path, mode: 0o644, ..with_facts(FileEntry::nothing(), object) }
}

/// Where the store has no entity tags, nothing proves next time that an object is the same: it is read again.
fn with_facts(entry: FileEntry, object: &Object) -> FileEntry {
    let Object { size, modified, tag, version, .. } = object;
    let origin = tag.clone().map(|tag| Origin { tag, version: version.clone() });
    let mtime = Time { seconds: *modified, nanos: 0 };
    FileEntry { mtime, size: *size, racy: origin.is_none(), origin, ..entry }
}

/// An object that is being read.
#[derive(Debug)]
pub(super) struct ObjectReader {
    objects: Arc<Objects>,
    url: PathBuf,
    object: Object,
    /// The part that is being read, and how much of it was.
    part: Vec<u8>,
    at: usize,
    /// The parts after it.
    ahead: VecDeque<Ahead>,
    /// From where on nothing was asked for yet.
    asked: u64,
    /// How many bytes were given.
    given: u64,
    /// Whether another object took its place meanwhile.
    is_torn: bool,
}

impl ObjectReader {
    /// Opens the object that has the key now.
    pub(super) fn open(objects: Arc<Objects>, key: &str) -> Result<Self> {
        let got = objects.read(key, 0..PART, None);
        Self::beginning_with(got, objects, key)
    }

    /// ... of which this is the first part.
    fn beginning_with(got: crate::storage::Result<Got>, objects: Arc<Objects>, key: &str) -> Result<Self> {
        let url = PathBuf::from(objects.url(key));
        let (part, object) = match got.map_err(|error| errors::store_failure(&url, &error))? {
            Got::Bytes(part, object) => (part, object),
            Got::Missing => {
                return Err(errors::object_problem("read", url, io::ErrorKind::NotFound, "it is not there any more"));
            }
            Got::Replaced => {
                return Err(errors::object_problem(
                    "read",
                    url,
                    io::ErrorKind::Other,
                    "it was replaced while it was opened",
                ));
            }
        };
        let asked = PART.min(object.size);
        let mut reader =
            Self { objects, url, object, part, at: 0, ahead: VecDeque::new(), asked, given: 0, is_torn: false };
        reader.ask_ahead()?;
        Ok(reader)
    }

    fn ask_ahead(&mut self) -> Result<()> {
        while self.ahead.len() < AHEAD && self.asked < self.object.size {
            let end = self.asked.saturating_add(PART).min(self.object.size);
            let ahead = self.objects.read_ahead(&self.object.key, self.asked..end, self.object.tag.as_deref());
            self.ahead.push_back(ahead.map_err(|error| errors::store_failure(&self.url, &error))?);
            self.asked = end;
        }
        Ok(())
    }

    /// Goes on to the next part; false at the end.
    fn go_on(&mut self) -> Result<bool> {
        let Some(next) = self.ahead.pop_front().filter(|_| !self.is_torn) else { return Ok(false) };
        match self.objects.awaited(&next).map_err(|error| errors::store_failure(&self.url, &error))? {
            Got::Bytes(part, object) if self.object.is_still(&object) => (self.part, self.at) = (part, 0),
            // Removed is as good as replaced: what was read is all of nothing.
            Got::Bytes(..) | Got::Replaced | Got::Missing => {
                self.is_torn = true;
                self.ahead.clear();
                return Ok(false);
            }
        }
        self.ask_ahead()?;
        Ok(true)
    }

    fn next_bytes(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.at == self.part.len() {
            if !self.go_on()? {
                return Ok(0);
            }
        }
        let rest = self.part.get(self.at..).unwrap_or_default();
        let count = rest.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        (self.at, self.given) = (self.at + count, self.given + count as u64);
        Ok(count)
    }
}

impl SourceReader for ObjectReader {
    fn describe(&self, entry: &mut FileEntry) -> Vec<Error> {
        *entry = row(std::mem::take(&mut entry.path), &self.object);
        Vec::new()
    }

    fn stat(&self) -> FileStat {
        let mtime = Time { seconds: self.object.modified, nanos: 0 };
        FileStat { size: self.object.size, mtime, ctime: Time::EPOCH, inode: 0, dev: 0 }
    }

    fn names(&self) -> u64 {
        1
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        self.next_bytes(buffer)
    }

    fn end(&self) -> Result<Held> {
        Ok(if self.is_torn || self.given != self.object.size { Held::Torn } else { Held::Still })
    }

    fn is_recent(&self) -> bool {
        self.object.tag.is_none()
    }
}

impl Read for ObjectReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.next_bytes(buffer) {
            Ok(0) if self.is_torn => Err(io::Error::other("it was replaced while it was read")),
            Ok(count) => Ok(count),
            Err(Error::Io { source, .. }) => Err(source),
            Err(error) => Err(io::Error::other(error)),
        }
    }
}

/// Opens objects of several buckets, by their URLs. The first parts of those that are opened next are on their way before.
#[derive(Debug)]
pub(super) struct Opener {
    /// Each by what the URLs of its objects begin with.
    buckets: Vec<(String, Arc<Objects>)>,
    next: Mutex<Next>,
}

/// What is opened next.
#[derive(Debug, Default)]
struct Next {
    /// In the order in which it is opened, with how much of it is to be read.
    announced: VecDeque<(PathBuf, u64)>,
    begun: HashMap<PathBuf, (Ahead, u64)>,
    /// How many bytes of that are on their way, or there.
    bytes: u64,
}

/// How many objects, and how many bytes of them, may be on their way before they are opened.
const BEGUN: usize = 16;
const BEGUN_BYTES: u64 = 32 << 20;

impl Opener {
    pub(super) fn new(buckets: Vec<(String, Arc<Objects>)>) -> Self {
        Self { buckets, next: Mutex::default() }
    }

    /// The bucket and the key of an object.
    fn find<'p>(&self, path: &'p Path) -> Option<(&Arc<Objects>, &'p str)> {
        let url = path.to_str()?;
        self.buckets.iter().find_map(|(bucket, objects)| Some((objects, url.strip_prefix(bucket.as_str())?)))
    }

    fn next(&self) -> MutexGuard<'_, Next> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins with what was announced, as far as there is room for it.
    fn begin(&self, next: &mut Next) {
        while let Some((_, size)) = next.announced.front()
            && next.begun.len() < BEGUN
            && (next.begun.is_empty() || next.bytes + size <= BEGUN_BYTES)
            && let Some((path, size)) = next.announced.pop_front()
        {
            // What cannot be begun fails when it is opened.
            let begun = self.find(&path).and_then(|(objects, key)| objects.read_ahead(key, 0..PART, None).ok());
            if let Some(ahead) = begun {
                next.bytes += size;
                next.begun.insert(path, (ahead, size));
            }
        }
    }

    /// The beginning of an object that is on its way.
    fn begun(&self, path: &Path) -> Option<Ahead> {
        let mut next = self.next();
        let begun = next.begun.remove(path);
        match &begun {
            Some((_, size)) => next.bytes -= size,
            None => next.announced.retain(|(announced, _)| announced != path),
        }
        self.begin(&mut next);
        begun.map(|(ahead, _)| ahead)
    }
}

impl SourceOpener for Opener {
    fn announce(&self, path: &Path, size: u64) {
        let mut next = self.next();
        next.announced.push_back((path.to_path_buf(), size.min(PART)));
        self.begin(&mut next);
    }

    fn open(&self, path: &Path) -> Result<Box<dyn SourceReader>> {
        let begun = self.begun(path);
        let found = self.find(path);
        let (objects, key) = found.ok_or_else(|| {
            errors::object_problem("open", path, io::ErrorKind::NotFound, "it lies in none of the buckets")
        })?;
        let got = match begun {
            Some(ahead) => objects.awaited(&ahead),
            None => objects.read(key, 0..PART, None),
        };
        Ok(Box::new(ObjectReader::beginning_with(got, objects.clone(), key)?))
    }
}
