//! A prefix of a bucket as the target of a restore.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::place::Place;
use super::reader::ObjectReader;
use super::writer::ObjectWriter;
use super::{Stores, errors, notes, walk};
use crate::error::{Error, Result};
use crate::files::beneath::check_path;
use crate::files::{Existing, Overwrite, RestoreTarget, TargetAbilities, TargetFile};
use crate::id::{ContentHash, Digester};
use crate::snapshot::entry::{FileEntry, Time};
use crate::storage::remote::{Notes, Object, Objects};

/// The longest key, in bytes, that all stores take.
const LONGEST_KEY: usize = 1024;

/// A prefix of a bucket that snapshots are restored to. Each file becomes an object, which is seen once it is complete.
#[derive(Debug)]
pub struct Target {
    objects: Arc<Objects>,
    url: PathBuf,
    prefix: String,
}

impl Target {
    /// The place that the URL names, which need not have anything in it.
    ///
    /// # Errors
    /// If the URL names no place, or the bucket is not there or cannot be reached.
    pub fn open(stores: &Stores, url: &Path) -> Result<Self> {
        let place = Place::parse("target", url)?;
        let objects = stores.objects(&place.location)?;
        walk::look(&objects, &place.prefix())?;
        Ok(Self { objects, url: PathBuf::from(place.location.to_string()), prefix: place.prefix() })
    }

    /// The key for a path of a manifest.
    fn key(&self, path: &[u8]) -> Result<String> {
        check_path(path)?;
        let refused = |reason: &str| Err(Error::not_restored(self.shown(path).display(), reason));
        let Ok(text) = std::str::from_utf8(path) else {
            return refused("its name is not UTF-8, as keys of objects are");
        };
        let key = format!("{}{text}", self.prefix);
        match key.len() {
            length if length > LONGEST_KEY => refused("its key would have more than 1024 bytes"),
            _ if !Objects::can_name(&key) => refused("its name has control characters, which its key cannot have"),
            _ => Ok(key),
        }
    }

    fn head(&self, path: &[u8]) -> Result<Option<(Object, Notes)>> {
        let key = self.key(path)?;
        self.objects.head(&key).map_err(|error| errors::store_failure(self.shown(path), &error))
    }

    /// Whether an object has this content: by what is known of it, or else by reading it.
    fn has(&self, object: &Object, notes: &Notes, content: &ContentHash) -> Result<bool> {
        if let Some(known) = notes::is_content(notes, content) {
            return Ok(known);
        }
        let mut reader = ObjectReader::open(self.objects.clone(), &object.key)?;
        is_content(&mut reader, content).map_err(|error| Error::io("read", self.objects.url(&object.key), error))
    }
}

/// Whether these are the bytes of a content.
pub(super) fn is_content(reader: &mut dyn Read, content: &ContentHash) -> std::io::Result<bool> {
    let (mut digester, mut buffer) = (Digester::new(), vec![0; 1 << 20]);
    loop {
        match reader.read(&mut buffer)? {
            0 => return Ok(*content.as_bytes() == digester.finish()),
            count => digester.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

impl RestoreTarget for Target {
    fn abilities(&self) -> TargetAbilities {
        TargetAbilities::FILES_ONLY
    }

    fn shown(&self, path: &[u8]) -> PathBuf {
        self.url.join(String::from_utf8_lossy(path).as_ref())
    }

    /// The time is that of the file that was restored, where that is known, else that of the object.
    fn existing(&self, path: &[u8]) -> Result<Option<Existing>> {
        Ok(self.head(path)?.map(|(object, notes)| Existing {
            is_file: true,
            is_folder: false,
            is_link: false,
            size: object.size,
            mtime: notes::mtime(&notes).unwrap_or(Time { seconds: object.modified, nanos: 0 }),
        }))
    }

    /// What an object holds is known by its content, and not by the time at which it was put there.
    fn wants(&self, path: &[u8], entry: &FileEntry, overwrite: Overwrite) -> Result<bool> {
        match (overwrite, &entry.content) {
            // What is wrong with the key is reported now, and not after all of it was read.
            (Overwrite::Always, _) => self.key(path).map(|_| true),
            (Overwrite::IfChanged, Some(content)) => match self.head(path)? {
                Some((object, notes)) if object.size == entry.size => Ok(!self.has(&object, &notes, content)?),
                _ => Ok(true),
            },
            _ => Ok(overwrite.writes(self.existing(path)?.as_ref(), entry)),
        }
    }

    fn begin(&self, path: &[u8], entry: &FileEntry, _: bool) -> Result<Box<dyn TargetFile + '_>> {
        let key = self.key(path)?;
        Ok(Box::new(ObjectWriter::new(self.objects.clone(), key, entry)))
    }

    fn make_directory(&self, path: &[u8], _: &FileEntry) -> Result<()> {
        Err(Error::not_restored(self.shown(path).display(), "there are no directories in an object store"))
    }

    fn hard_link(&self, path: &[u8], _: &[u8]) -> Result<()> {
        Err(Error::not_restored(self.shown(path).display(), "there are no hard links in an object store"))
    }
}
