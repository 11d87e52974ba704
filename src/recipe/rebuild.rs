//! Putting a file together again.

use super::framer::RawBlock;
use super::layout::{CheckHash, Checker, Class, Entry, LayoutReader};
use super::stream::StreamReader;
use super::{ContainerRecipe, Recipe};
use crate::avro::codec::MAX_DECODED;
use crate::avro::container::{MAX_BLOCK, put_block_header};
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};

/// A part of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// The header of a container, its marker included. The layout has no check for it.
    Header(Vec<u8>),
    /// These bytes, which are no block.
    Bytes(Vec<u8>),
    /// A block whose payload is these bytes.
    Payload {
        /// The payload as it stands in the file.
        payload: Vec<u8>,
        /// Count, marker and form of the block around it.
        frame: BlockFrame,
    },
    /// A block whose payload an encoder makes from these bytes.
    Encode {
        /// The decoded payload.
        plain: Vec<u8>,
        /// The encoder's frozen id.
        encoder: String,
        /// What its output has to be corrected by.
        corrections: Option<Vec<u8>>,
        /// Count, marker and form of the block around it.
        frame: BlockFrame,
    },
}

/// What stands around the payload of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockFrame {
    count: u64,
    odd_head: Option<Vec<u8>>,
    marker: [u8; 16],
}

impl BlockFrame {
    /// That of a block that the layout has this entry for.
    pub(super) fn new(entry: &Entry, marker: [u8; 16]) -> Self {
        Self { count: entry.count, odd_head: entry.odd_head.clone(), marker }
    }

    /// How many records the block says it holds.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The block with this payload, as the framer gave it.
    pub fn block(self, payload: Vec<u8>) -> RawBlock {
        RawBlock { count: self.count, odd_head: self.odd_head, payload }
    }

    /// What stands before a payload of this length.
    pub(super) fn head(&self, payload: usize) -> Vec<u8> {
        let mut head = Vec::with_capacity(20);
        match &self.odd_head {
            Some(odd) => head.extend_from_slice(odd),
            None => put_block_header(&mut head, self.count, payload),
        }
        head
    }

    /// Appends the block with this payload.
    pub fn put(&self, payload: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head(payload.len()));
        out.extend_from_slice(payload);
        out.extend_from_slice(&self.marker);
    }
}

/// Returns the parts of one file in order. The caller encodes what has to be encoded (several at once, if it likes) and
/// hands every payload, and bytes that are no block, to
/// [`check`](RecipeReader::check) in the same order.
pub struct RecipeReader<S> {
    place: ReaderState<S>,
}

enum ReaderState<S> {
    Plain(StreamReader<S>),
    Container(Box<Container<S>>),
}

struct Container<S> {
    recipe: ContainerRecipe,
    begun: bool,
    header: StreamReader<S>,
    layout: LayoutReader<S>,
    records: StreamReader<S>,
    payloads: StreamReader<S>,
    strays: StreamReader<S>,
    corrections: StreamReader<S>,
    entries: std::vec::IntoIter<Entry>,
    check: Check,
}

/// Compares payloads with the checks of the layout, so that a wrong one is named by its place.
#[derive(Debug, Default)]
struct Check {
    checker: Checker,
    segments: std::collections::VecDeque<(usize, std::collections::VecDeque<CheckHash>)>,
    block: u64,
}

impl Check {
    fn payload(&mut self, payload: &[u8]) -> Result<()> {
        let Some((left, checks)) = self.segments.front_mut() else { return Ok(()) };
        *left = left.saturating_sub(1);
        let last = *left == 0;
        let wrong = match self.checker.entry(payload, last) {
            Some(check) => checks.pop_front() != Some(check),
            None => false,
        };
        self.block += 1;
        if last {
            self.segments.pop_front();
        }
        match wrong {
            true => Err(Error::damaged("the file", format!("what was rebuilt up to block {} differs", self.block))),
            false => Ok(()),
        }
    }
}

impl<S: ChunkSource + Clone> RecipeReader<S> {
    /// At the start of the file.
    pub fn new(recipe: &Recipe, source: S) -> Self {
        let place = match recipe {
            Recipe::Plain(stream) => ReaderState::Plain(StreamReader::new(stream, source)),
            Recipe::Container(recipe) => ReaderState::Container(Box::new(Container {
                begun: false,
                header: StreamReader::new(&recipe.header, source.clone()),
                layout: LayoutReader::new(&recipe.layout, source.clone()),
                records: StreamReader::new(&recipe.records, source.clone()),
                payloads: StreamReader::new(&recipe.payloads, source.clone()),
                strays: StreamReader::new(&recipe.strays, source.clone()),
                corrections: StreamReader::new(&recipe.corrections, source),
                recipe: (**recipe).clone(),
                entries: Vec::new().into_iter(),
                check: Check::default(),
            })),
        };
        Self { place }
    }

    /// The next part.
    pub fn next_part(&mut self) -> Result<Option<Part>> {
        match &mut self.place {
            ReaderState::Plain(stream) => {
                let bytes = stream.some()?;
                Ok(bytes.map(|bytes| Part::Bytes(bytes.to_vec())))
            }
            ReaderState::Container(container) => container.next_part(),
        }
    }

    /// Compares the next payload (or stray bytes), in the order of the file, with what the layout says.
    ///
    /// # Errors
    /// [`Error::Damaged`] if what was rebuilt is not what was saved.
    pub fn check(&mut self, payload: &[u8]) -> Result<()> {
        match &mut self.place {
            ReaderState::Container(container) => container.check.payload(payload),
            ReaderState::Plain(_) => Ok(()),
        }
    }
}

impl<S: ChunkSource> Container<S> {
    fn next_part(&mut self) -> Result<Option<Part>> {
        if !self.begun {
            self.begun = true;
            let mut header = read_all(&mut self.header)?;
            header.extend_from_slice(&self.recipe.marker);
            return Ok(Some(Part::Header(header)));
        }
        let Some(entry) = self.next_entry()? else { return Ok(None) };
        let frame = BlockFrame { count: entry.count, odd_head: entry.odd_head, marker: self.recipe.marker };
        Ok(Some(match entry.class {
            Class::Stray => Part::Bytes(self.strays.read_entry(entry.length)?),
            Class::Payload => Part::Payload { payload: self.payloads.read_entry(entry.length)?, frame },
            Class::Records | Class::Corrected => {
                let plain = self.records.read_entry(entry.length)?;
                let encoder = encoder_of(&self.recipe, entry.encoder)?;
                let corrections = match entry.class {
                    Class::Corrected => Some(self.corrections.read_entry(entry.corrections)?),
                    _ => None,
                };
                match encoder {
                    "null" => Part::Payload { payload: plain, frame },
                    _ => Part::Encode { plain, encoder: encoder.to_owned(), corrections, frame },
                }
            }
        }))
    }

    fn next_entry(&mut self) -> Result<Option<Entry>> {
        loop {
            if let Some(entry) = self.entries.next() {
                return Ok(Some(entry));
            }
            let Some((entries, checks)) = self.layout.next_segment()? else { return Ok(None) };
            let hashes = checks.iter().map(|check| check.hash).collect();
            self.check.segments.push_back((entries.len(), hashes));
            self.entries = entries.into_iter();
        }
    }
}

/// The encoder that an entry of a layout names by its number.
pub(super) fn encoder_of(recipe: &ContainerRecipe, number: u64) -> Result<&str> {
    let encoder = usize::try_from(number).ok().and_then(|n| recipe.encoders.get(n));
    encoder.map(String::as_str).ok_or_else(|| Error::damaged("the recipe", "a block names no encoder of it"))
}

impl<S: ChunkSource> StreamReader<S> {
    /// The bytes of one entry of a layout. What a damaged layout may ask for is bounded by what the stream has.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the stream has fewer, or no entry can be that long; those of the source.
    pub fn read_entry(&mut self, length: u64) -> Result<Vec<u8>> {
        if length > self.left() || length > MAX_ENTRY {
            return Err(Error::damaged("the recipe", "a block is longer than what there is for it"));
        }
        let mut bytes = Vec::with_capacity(length as usize);
        self.read(length as usize, &mut bytes)?;
        Ok(bytes)
    }
}

/// The longest entry of a layout: the payload of a block, stored or decoded.
pub const MAX_ENTRY: u64 = if MAX_DECODED > MAX_BLOCK { MAX_DECODED as u64 } else { MAX_BLOCK as u64 };

fn read_all<S: ChunkSource>(stream: &mut StreamReader<S>) -> Result<Vec<u8>> {
    stream.read_entry(stream.left())
}

impl<S> std::fmt::Debug for RecipeReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RecipeReader(..)")
    }
}
