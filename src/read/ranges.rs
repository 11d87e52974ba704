//! Ranges of one file, by its row and a source of chunks. [`File`](super::File) is this for a snapshot of a repository.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::content::{EncoderBench, encode};
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::recipe::{RangeReader, Recipe, Stream, ToEncode, View};
use crate::snapshot::entry::{EntryKind, FileEntry};

/// A regular file in its two views. It owns its source (an `Arc<Repository>`, for example), clones are cheap, and several
/// threads can read at once.
///
/// Memory: a handful of places where somebody read last, each with a segment of the layout and at most 4 MiB of the block that was
/// encoded last; and what the reads that are going on need, two blocks each at most.
pub struct Ranges<S> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    source: S,
    recipe: Recipe,
    /// As it is now is what new places begin with.
    exact: RangeReader<S>,
    plain: RangeReader<S>,
    encoders: Arc<EncoderBench>,
    /// Places where somebody read last, the latest at the end.
    places: Mutex<VecDeque<OpenPosition<S>>>,
}

struct OpenPosition<S> {
    view: View,
    /// The byte after those that were read.
    next: u64,
    reader: RangeReader<S>,
}

/// How many places are kept, ...
const PLACES: usize = 4;
/// ... and how many bytes of an encoded block with each of them.
const KEPT_BLOCK: usize = 4 << 20;
/// How many bytes are read in one go.
const STEP: usize = 1 << 20;

impl<S: ChunkSource + Clone> Ranges<S> {
    /// The file of this row. Of a hard link it is the row of its first name that has the content.
    ///
    /// # Errors
    /// [`Error::WrongKind`] if it is no regular file; if its recipe or header is lost or damaged.
    pub fn open(source: S, entry: &FileEntry) -> Result<Self> {
        Self::open_with(source, entry, Arc::default())
    }

    /// The same with encoders that several files share.
    pub(super) fn open_with(source: S, entry: &FileEntry, encoders: Arc<EncoderBench>) -> Result<Self> {
        let shown = String::from_utf8_lossy(&entry.path);
        if entry.kind != EntryKind::File || entry.hard_link.is_some() {
            return Err(Error::wrong_kind(&entry.path, "a regular file with a content of its own"));
        }
        let recipe = match entry.recipe.is_empty() {
            true => Recipe::Plain(Stream::Empty),
            false => Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {shown}"))?,
        };
        let exact = RangeReader::new(recipe.clone(), View::Exact, source.clone())?;
        let plain = RangeReader::new(recipe.clone(), View::Plain, source.clone())?;
        let places = Mutex::default();
        Ok(Self { shared: Arc::new(Shared { source, recipe, exact, plain, encoders, places }) })
    }

    /// The view that is served where this one is asked for: the exact one also where the plain one is the file itself.
    pub fn view(&self, asked: View) -> View {
        self.shared.reader(asked).view()
    }

    /// How many bytes the header of a container has in the view that is served where this one is asked for.
    pub(super) fn header_length(&self, asked: View) -> u64 {
        self.shared.reader(asked).header_length()
    }

    /// How many bytes the view has. Reads the layout once.
    ///
    /// # Errors
    /// If chunks of the layout are lost or damaged.
    pub fn length(&self, view: View) -> Result<u64> {
        self.shared.reader(view).clone().length()
    }

    /// Reads from `offset` on into `buffer`; how many bytes were read: all that fit, fewer at the end of the file.
    ///
    /// # Errors
    /// If chunks that are needed are lost or damaged, or an encoder is not known.
    pub fn read_at(&self, view: View, offset: u64, buffer: &mut [u8]) -> Result<usize> {
        let mut place = self.shared.take(view, offset);
        let (mut bytes, mut done) = (Vec::new(), 0);
        let mut make = |wanted: ToEncode<'_>| {
            self.shared.encoders.with(|encoders| encode(encoders, wanted.plain, wanted.encoder, wanted.corrections))
        };
        while done < buffer.len() {
            bytes.clear();
            let step = (buffer.len() - done).min(STEP);
            place.reader.read(offset.saturating_add(done as u64), step, &mut make, &mut bytes)?;
            buffer[done..done + bytes.len()].copy_from_slice(&bytes);
            done += bytes.len();
            if bytes.len() < step {
                break;
            }
        }
        place.next = offset.saturating_add(done as u64);
        self.shared.give_back(place);
        Ok(done)
    }
}

impl<S> Ranges<S> {
    /// Where its chunks come from.
    pub fn source(&self) -> &S {
        &self.shared.source
    }

    /// How it is rebuilt.
    pub fn recipe(&self) -> &Recipe {
        &self.shared.recipe
    }
}

impl<S> Shared<S> {
    fn reader(&self, view: View) -> &RangeReader<S> {
        match view {
            View::Exact => &self.exact,
            View::Plain => &self.plain,
        }
    }

    fn places(&self) -> MutexGuard<'_, VecDeque<OpenPosition<S>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: ChunkSource + Clone> Shared<S> {
    /// A place to read from: where somebody stopped just there, else the one that was left alone for longest, else a new one.
    fn take(&self, view: View, offset: u64) -> OpenPosition<S> {
        let mut places = self.places();
        let of_view = |place: &OpenPosition<S>| place.view == view;
        let here = places.iter().position(|place| of_view(place) && place.next == offset);
        let any = || if places.len() < PLACES { None } else { places.iter().position(of_view) };
        let found = here.or_else(any).and_then(|number| places.remove(number));
        found.unwrap_or_else(|| OpenPosition { view, next: 0, reader: self.reader(view).clone() })
    }

    fn give_back(&self, mut place: OpenPosition<S>) {
        place.reader.rest(KEPT_BLOCK);
        let mut places = self.places();
        if places.len() >= PLACES {
            places.pop_front();
        }
        places.push_back(place);
    }
}

impl<S> Clone for Ranges<S> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<S> std::fmt::Debug for Ranges<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ranges(..)")
    }
}
