//! Any range of a file, without rebuilding what is before it.
//!
//! The layout says for each check how many bytes of the file and how many entries it covers, so the place of a block is known
//! up to the blocks of one check. Of those, as few as it takes are encoded, and what was learned about their lengths is
//! kept for the next range. In the plain view nothing is encoded at all. Every chunk is read by its id, so it is what was saved; of
//! what encoders make only the length is compared, since the hash of a check needs all of its blocks.

mod segment;

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::segment::{Found, Loaded, Mark, Marks};
use super::layout::{Class, Entry, LayoutReader};
use super::rebuild::{BlockFrame, MAX_ENTRY};
use super::stream::{Stream, StreamReader};
use super::views::{View, plain_head, plain_header};
use super::{ContainerRecipe, Recipe};
use crate::avro::container::{MAX_HEADER, Parsed, parse_header};
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};

/// A payload that has to be made.
#[derive(Debug, Clone, Copy)]
pub struct ToEncode<'a> {
    /// The decoded payload.
    pub plain: &'a [u8],
    /// The encoder's frozen id.
    pub encoder: &'a str,
    /// What its output has to be corrected by.
    pub corrections: Option<&'a [u8]>,
}

/// Makes a payload.
pub type Encode<'e> = dyn FnMut(ToEncode<'_>) -> Result<Vec<u8>> + 'e;

/// Reads ranges of one file in one view. It owns its source: a clone shares what is known about the file, and has a place of
/// its own.
///
/// Memory: one segment of the layout, one chunk for each stream, and the last block that was encoded.
pub struct RangeReader<S> {
    file: Arc<File>,
    source: S,
    tracks: Box<Tracks<S>>,
    segment: Option<Loaded>,
    block: Option<Block>,
}

/// What all readers of a file share.
struct File {
    recipe: Recipe,
    /// The view that is read, which is the exact one where both are the same.
    view: View,
    /// The header in that view, its marker included; empty if the file is no container.
    header: Vec<u8>,
    marks: Mutex<Marks>,
}

/// The streams of a file, each with the place that it is read at. The first is that of a plain file.
struct Tracks<S> {
    records: Track<S>,
    payloads: Track<S>,
    strays: Track<S>,
    corrections: Track<S>,
}

/// A block that was encoded, as it stands in the file.
struct Block {
    segment: u64,
    entry: usize,
    bytes: Vec<u8>,
}

impl File {
    fn marks(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: ChunkSource + Clone> RangeReader<S> {
    /// A reader of the file with this recipe. Reads the header of a container.
    ///
    /// # Errors
    /// If the header is lost or damaged.
    pub fn new(recipe: Recipe, view: View, source: S) -> Result<Self> {
        let (view, header, first) = match &recipe {
            Recipe::Plain(_) => (View::Exact, Vec::new(), Mark::default()),
            Recipe::Container(container) => {
                let exact = header_of(container, source.clone())?;
                let plain = match parse_header(&exact) {
                    Parsed::Done(header) => plain_header(container, &header),
                    _ => None,
                };
                let of = |header: &Vec<u8>| header.len() as u64;
                let first = Mark { exact: of(&exact), plain: plain.as_ref().map_or(0, of), ..Mark::default() };
                match plain {
                    Some(plain) if view == View::Plain => (View::Plain, plain, first),
                    _ => (View::Exact, exact, first),
                }
            }
        };
        let tracks = Box::new(Tracks::of(&recipe, &source));
        let file = Arc::new(File { recipe, view, header, marks: Mutex::new(Marks::new(first)) });
        Ok(Self { file, source, tracks, segment: None, block: None })
    }

    /// The view that is read: [`View::Exact`] also where the plain one was asked for and is the file itself.
    pub fn view(&self) -> View {
        self.file.view
    }

    /// How many bytes the header of a container has in this view, its marker included; 0 if the recipe keeps none.
    pub fn header_length(&self) -> u64 {
        self.file.header.len() as u64
    }

    /// How many bytes the view has. Reads the layout to its end, once for all clones.
    ///
    /// # Errors
    /// If chunks of the layout are lost or damaged.
    pub fn length(&mut self) -> Result<u64> {
        if let Recipe::Plain(stream) = &self.file.recipe {
            return Ok(stream.length());
        }
        let known = self.file.marks().end;
        let end = match known {
            Some(end) => end,
            None => match self.seek(u64::MAX)? {
                Some(end) => end,
                None => {
                    return Err(Error::damaged("the recipe", "it says that the file has more bytes than there are"));
                }
            },
        };
        Ok(end.at(self.file.view))
    }

    /// Appends the `length` bytes from `offset` on to `out`; fewer where the file ends before.
    ///
    /// # Errors
    /// If chunks that are needed are lost or damaged, and those of `encode`. `out` may have some of the bytes then.
    pub fn read(&mut self, mut offset: u64, length: usize, encode: &mut Encode<'_>, out: &mut Vec<u8>) -> Result<()> {
        let file = self.file.clone();
        let until = out.len().saturating_add(length);
        if let Recipe::Plain(stream) = &file.recipe {
            let left = stream.length().saturating_sub(offset).min(length as u64);
            return self.tracks.records.read(offset, left, out);
        }
        if let Some(rest) = usize::try_from(offset).ok().and_then(|offset| file.header.get(offset..)) {
            out.extend_from_slice(&rest[..rest.len().min(length)]);
            offset = offset.max(file.header.len() as u64);
        }
        while out.len() < until {
            let Some((number, range)) = self.find(offset, encode)? else { break };
            let end = range.end.min(offset.saturating_add((until - out.len()) as u64));
            self.put(number, &range, offset - range.start..end - range.start, encode, out)?;
            offset = end;
        }
        Ok(())
    }

    /// The entry that has this place of the view, and its bytes there; none after the end.
    fn find(&mut self, place: u64, encode: &mut Encode<'_>) -> Result<Option<(usize, Range<u64>)>> {
        if !self.segment.as_ref().is_some_and(|segment| segment.has(self.file.view, place))
            && self.seek(place)?.is_some()
        {
            return Ok(None);
        }
        loop {
            let found = self.segment.as_ref().map_or(Found::Contradiction, |segment| segment.find(place));
            match found {
                Found::Entry(number, range) => return Ok(Some((number, range))),
                Found::Needs(number) => self.encode(number, encode)?,
                Found::Contradiction => return Err(contradiction()),
            }
        }
    }

    /// Loads the segment of the layout that has this place. Where none has, returns what is after the last one.
    fn seek(&mut self, place: u64) -> Result<Option<Mark>> {
        let (file, view) = (self.file.clone(), self.file.view);
        let Recipe::Container(recipe) = &file.recipe else { return Err(contradiction()) };
        let mut mark = file.marks().before(view, place);
        // Not every segment has a mark.
        if let Some(end) = self.segment.as_ref().map(|segment| segment.end)
            && end.at(view) <= place
            && end.number > mark.number
        {
            mark = end;
        }
        let mut layout = LayoutReader::new(&recipe.layout, self.source.clone());
        layout.skip(mark.layout)?;
        loop {
            let left = layout.left();
            let Some((entries, checks)) = layout.next_segment()? else {
                file.marks().end = Some(mark);
                return Ok(Some(mark));
            };
            let end = mark.after(&entries, &checks, left - layout.left());
            file.marks().add(end);
            if place < end.at(view) {
                let known = |entry: &Entry| known_length(recipe, view, entry);
                self.segment = Some(Loaded::new((mark, end), entries, &checks, view, known));
                return Ok(None);
            }
            mark = end;
        }
    }

    /// Encodes the block of an entry of the segment, which is kept until the next one.
    fn encode(&mut self, number: usize, encode: &mut Encode<'_>) -> Result<()> {
        let Recipe::Container(recipe) = &self.file.recipe else { return Err(contradiction()) };
        let segment = self.segment.as_mut().ok_or_else(contradiction)?;
        if self.block.as_ref().is_some_and(|block| block.is(segment, number)) {
            return Ok(());
        }
        // A large one is not held beside the next.
        self.block = None;
        let (Some(entry), Some(offsets)) = (segment.entries.get(number), segment.offsets.get(number)) else {
            return Err(contradiction());
        };
        if entry.length > MAX_ENTRY || entry.corrections > MAX_ENTRY {
            return Err(Error::damaged("the recipe", "a block is longer than what there is for it"));
        }
        let (mut plain, mut corrections) = (Vec::new(), Vec::new());
        self.tracks.records.read(offsets.records, entry.length, &mut plain)?;
        self.tracks.corrections.read(offsets.corrections, entry.corrections, &mut corrections)?;
        let payload = encode(ToEncode {
            plain: &plain,
            encoder: encoder_of(recipe, entry)
                .ok_or_else(|| Error::damaged("the recipe", "a block names no encoder of it"))?,
            corrections: (entry.class == Class::Corrected).then_some(&corrections[..]),
        })?;
        drop(plain);
        let mut bytes = Vec::new();
        BlockFrame::new(entry, recipe.marker).put(&payload, &mut bytes);
        if !segment.learn(number, bytes.len() as u64) {
            return Err(contradiction());
        }
        self.block = Some(Block { segment: segment.start.number, entry: number, bytes });
        Ok(())
    }

    /// Appends these bytes of an entry, which has these bytes of the view.
    fn put(
        &mut self,
        number: usize,
        place: &Range<u64>,
        wanted: Range<u64>,
        encode: &mut Encode<'_>,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let (file, view) = (self.file.clone(), self.file.view);
        let Recipe::Container(recipe) = &file.recipe else { return Err(contradiction()) };
        let segment = self.segment.as_ref().ok_or_else(contradiction)?;
        let (Some(entry), Some(offsets)) = (segment.entries.get(number), segment.offsets.get(number)) else {
            return Err(contradiction());
        };
        if known_length(recipe, view, entry).is_none() {
            self.encode(number, encode)?;
            let block = self.block.as_ref().ok_or_else(contradiction)?;
            if block.bytes.len() as u64 != place.end - place.start {
                return Err(contradiction());
            }
            out.extend_from_slice(&block.bytes[wanted.start as usize..wanted.end as usize]);
            return Ok(());
        }
        let (track, offset) = match entry.class {
            Class::Records | Class::Corrected => (&mut self.tracks.records, offsets.records),
            Class::Payload => (&mut self.tracks.payloads, offsets.payloads),
            Class::Stray => (&mut self.tracks.strays, offsets.strays),
        };
        let (head, marker) = match (entry.class, view) {
            (Class::Stray, _) => (Vec::new(), &[][..]),
            (_, View::Plain) => (plain_head(entry), &recipe.marker[..]),
            (_, View::Exact) => (BlockFrame::new(entry, recipe.marker).head(entry.length as usize), &recipe.marker[..]),
        };
        let payload = head.len() as u64..(head.len() as u64).saturating_add(entry.length);
        put_part(&head, 0, &wanted, out);
        let (from, to) = (wanted.start.max(payload.start), wanted.end.min(payload.end));
        if from < to {
            track.read(offset.saturating_add(from - payload.start), to - from, out)?;
        }
        put_part(marker, payload.end, &wanted, out);
        Ok(())
    }
}

impl<S: Clone> Clone for RangeReader<S> {
    fn clone(&self) -> Self {
        let (file, source) = (self.file.clone(), self.source.clone());
        Self { tracks: Box::new(Tracks::of(&file.recipe, &source)), file, source, segment: None, block: None }
    }
}

impl<S> RangeReader<S> {
    /// Lets go of what takes memory: for a reader that is kept and not used for a while.
    pub fn rest(&mut self, most: usize) {
        if self.block.as_ref().is_some_and(|block| block.bytes.len() > most) {
            self.block = None;
        }
    }
}

impl Block {
    fn is(&self, segment: &Loaded, number: usize) -> bool {
        self.segment == segment.start.number && self.entry == number
    }
}

/// Appends what of `part`, which stands at this place of an entry, is wanted.
fn put_part(part: &[u8], at: u64, wanted: &Range<u64>, out: &mut Vec<u8>) {
    let bound = |place: u64| place.saturating_sub(at).min(part.len() as u64) as usize;
    out.extend_from_slice(&part[bound(wanted.start)..bound(wanted.end)]);
}

/// The encoder of an entry; none if the recipe has no such number.
fn encoder_of<'r>(recipe: &'r ContainerRecipe, entry: &Entry) -> Option<&'r str> {
    usize::try_from(entry.encoder).ok().and_then(|number| recipe.encoders.get(number)).map(String::as_str)
}

/// How many bytes of the view an entry has; none if it has to be encoded for that.
pub(crate) fn known_length(recipe: &ContainerRecipe, view: View, entry: &Entry) -> Option<u64> {
    match (view, entry.class) {
        (View::Plain, _) => Some(super::views::plain_length(entry)),
        (View::Exact, Class::Corrected) => None,
        (View::Exact, Class::Records) if encoder_of(recipe, entry) != Some("null") => None,
        // A forged one is found out when it is encoded, and refused.
        (View::Exact, _) if entry.length > MAX_ENTRY => None,
        (View::Exact, _) => Some(entry.length_in_file(entry.length as usize)),
    }
}

fn header_of<S: ChunkSource>(recipe: &ContainerRecipe, source: S) -> Result<Vec<u8>> {
    let length = recipe.header.length();
    if length > MAX_HEADER as u64 {
        return Err(Error::damaged("the recipe", "it holds no valid header"));
    }
    let mut bytes = Vec::new();
    StreamReader::new(&recipe.header, source).read(length as usize, &mut bytes)?;
    bytes.extend_from_slice(&recipe.marker);
    Ok(bytes)
}

fn contradiction() -> Error {
    Error::damaged("the recipe", "blocks do not have the lengths that the layout says")
}

/// A stream and the place that it was read up to, so that reading on does not search again.
struct Track<S> {
    stream: Stream,
    source: S,
    reader: Option<(StreamReader<S>, u64)>,
}

impl<S: ChunkSource + Clone> Track<S> {
    /// Appends this many bytes from this place on.
    fn read(&mut self, at: u64, length: u64, out: &mut Vec<u8>) -> Result<()> {
        if length == 0 {
            return Ok(());
        }
        if at.checked_add(length).is_none_or(|end| end > self.stream.length()) {
            return Err(Error::damaged("the recipe", "a stream is shorter than the layout needs"));
        }
        let (mut reader, from) = match self.reader.take() {
            Some((reader, from)) if from <= at => (reader, from),
            _ => (StreamReader::new(&self.stream, self.source.clone()), 0),
        };
        reader.skip(at - from)?;
        reader.read(length as usize, out)?;
        self.reader = Some((reader, at + length));
        Ok(())
    }
}

impl<S: Clone> Tracks<S> {
    fn of(recipe: &Recipe, source: &S) -> Self {
        let track = |stream: &Stream| Track { stream: stream.clone(), source: source.clone(), reader: None };
        let nothing = || track(&Stream::Empty);
        match recipe {
            Recipe::Plain(stream) => {
                Self { records: track(stream), payloads: nothing(), strays: nothing(), corrections: nothing() }
            }
            Recipe::Container(recipe) => Self {
                records: track(&recipe.records),
                payloads: track(&recipe.payloads),
                strays: track(&recipe.strays),
                corrections: track(&recipe.corrections),
            },
        }
    }
}

impl<S> std::fmt::Debug for RangeReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RangeReader").field("view", &self.file.view).finish_non_exhaustive()
    }
}
