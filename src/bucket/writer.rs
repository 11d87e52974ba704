//! Writing one object: a small one at once, a large one in parts, of which some are on their way while the next is gathered. What has
//! the key stays until the new object is complete.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::mem::take;
use std::path::PathBuf;
use std::sync::Arc;

use super::reader::ObjectReader;
use super::{errors, notes, target};
use crate::error::{Error, Result};
use crate::files::TargetFile;
use crate::id::{ContentHash, Digester};
use crate::progress::Progress;
use crate::snapshot::entry::FileEntry;
use crate::storage::StorageErrorKind;
use crate::storage::remote::{Notes, Objects, Part, Upload};

/// An object of more bytes is sent in parts of at least this many.
const PART: u64 = 8 << 20;

/// Parts of an object of which it is not known how long it will be.
const UNSIZED_PART: u64 = 32 << 20;

/// How many parts an object can have: S3 takes no more.
const MOST_PARTS: u64 = 10_000;

/// How many parts are on their way while the next is gathered, unless they are large.
const AHEAD: usize = 2;

/// Parts that are longer than this go one by one, so that they do not fill the memory: those of objects above 300 GB.
const LARGE_PART: u64 = 32 << 20;

/// How long parts must be so that an object of this size has no more than it may; all are of one length, as some stores ask for.
fn part_of(size: u64) -> usize {
    let part = match size {
        0 => UNSIZED_PART,
        size => size.div_ceil(MOST_PARTS - 1).max(PART),
    };
    usize::try_from(part).unwrap_or(usize::MAX)
}

pub(super) struct ObjectWriter {
    objects: Arc<Objects>,
    key: String,
    url: PathBuf,
    notes: Notes,
    part: usize,
    /// What is not on its way yet.
    gathered: Vec<u8>,
    upload: Option<Upload>,
    ahead: VecDeque<Part>,
    written: u64,
    digester: Digester,
}

impl ObjectWriter {
    /// `entry` is what is known of the file: of size 0 and without content where other bytes are written than were saved.
    pub(super) fn new(objects: Arc<Objects>, key: String, entry: &FileEntry) -> Self {
        let url = PathBuf::from(objects.url(&key));
        Self {
            objects,
            key,
            url,
            notes: notes::of(entry),
            part: part_of(entry.size),
            gathered: Vec::new(),
            upload: None,
            ahead: VecDeque::new(),
            written: 0,
            digester: Digester::new(),
        }
    }

    /// Sends what was gathered as a part.
    fn send(&mut self) -> Result<()> {
        let failed = |error| errors::store_failure(&self.url, &error);
        let mut upload = match self.upload.take() {
            Some(upload) => upload,
            None => self.objects.begin_upload(&self.key, &self.notes).map_err(failed)?,
        };
        let bytes = take(&mut self.gathered);
        self.ahead.push_back(self.objects.send_part(&mut upload, bytes));
        self.upload = Some(upload);
        self.wait(if self.part as u64 > LARGE_PART { 0 } else { AHEAD })
    }

    /// Waits until no more parts than this are on their way.
    fn wait(&mut self, most: usize) -> Result<()> {
        while self.ahead.len() > most
            && let (Some(part), Some(upload)) = (self.ahead.pop_front(), &mut self.upload)
        {
            self.objects.sent(upload, part).map_err(|error| errors::store_failure(&self.url, &error))?;
        }
        Ok(())
    }

    /// Completes an object that was sent in parts.
    fn complete(&mut self) -> Result<()> {
        if !self.gathered.is_empty() {
            self.send()?;
        }
        self.wait(0)?;
        let Some(upload) = &self.upload else { return Ok(()) };
        match self.objects.complete(upload) {
            Err(error) if error.kind() == StorageErrorKind::UnknownOutcome && self.is_there()? => {}
            done => done.map_err(|error| errors::store_failure(&self.url, &error))?,
        }
        self.upload = None;
        Ok(())
    }

    /// Whether the object that has the key now is what was written.
    fn is_there(&self) -> Result<bool> {
        let head = self.objects.head(&self.key).map_err(|error| errors::store_failure(&self.url, &error))?;
        if head.is_none_or(|(object, _)| object.size != self.written) {
            return Ok(false);
        }
        let written = ContentHash::new(self.digester.clone().finish());
        let mut reader = ObjectReader::open(self.objects.clone(), &self.key)?;
        target::is_content(&mut reader, &written).map_err(|error| Error::io("read", &self.url, error))
    }
}

impl Drop for ObjectWriter {
    fn drop(&mut self) {
        self.ahead.clear();
        if let Some(upload) = &self.upload {
            self.objects.abort(upload);
        }
    }
}

impl TargetFile for ObjectWriter {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.gathered.len() >= self.part {
                self.send()?;
            }
            let (now, later) = rest.split_at(rest.len().min(self.part - self.gathered.len()));
            self.gathered.extend_from_slice(now);
            rest = later;
        }
        self.digester.update(bytes);
        self.written += bytes.len() as u64;
        Ok(())
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn finish(mut self: Box<Self>, entry: &FileEntry, _: &dyn Progress) -> Result<Box<dyn Read>> {
        if entry.size != self.written {
            let reason = format!("it has {} bytes, and {} were written", entry.size, self.written);
            return Err(Error::not_restored(self.url.display(), reason));
        }
        match self.upload.is_some() {
            true => self.complete()?,
            false => {
                let bytes = take(&mut self.gathered);
                self.objects
                    .put(&self.key, bytes, &self.notes)
                    .map_err(|error| errors::store_failure(&self.url, &error))?;
            }
        }
        Ok(Box::new(Later::Unopened(self.objects.clone(), self.key.clone())))
    }
}

/// An object that is read from its beginning, once anybody reads it.
enum Later {
    Unopened(Arc<Objects>, String),
    Open(Box<ObjectReader>),
}

impl Read for Later {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if let Self::Unopened(objects, key) = self {
            let opened = ObjectReader::open(objects.clone(), key).map_err(|error| match error {
                Error::Io { source, .. } => source,
                error => io::Error::other(error),
            })?;
            *self = Self::Open(Box::new(opened));
        }
        match self {
            Self::Open(reader) => reader.read(buffer),
            Self::Unopened(..) => Ok(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_object_has_more_parts_than_a_store_takes() {
        assert_eq!(part_of(1), PART as usize);
        assert_eq!(part_of(PART * 100), PART as usize);
        for size in [PART * MOST_PARTS, 5 << 40, u64::MAX / 2] {
            let part = part_of(size) as u64;
            assert!(size.div_ceil(part) <= MOST_PARTS && part >= PART, "{size}");
        }
        assert_eq!(part_of(0), UNSIZED_PART as usize);
    }
}
