//! An Avro file in a snapshot, block by block: without encoding anything again, and without reading what is skipped.

use crate::avro::codec::{Codec, DecodeError, Decoder, MAX_DECODED};
use crate::avro::container::{Header, Parsed, parse_header};
use crate::avro::schema::{Schema, SchemaError};
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::recipe::{
    Class, ContainerRecipe, Entry, Finding, Framer, LayoutReader, Recipe, Segment, Stream, StreamReader, View,
    known_length,
};
use crate::snapshot::entry::FileEntry;

/// Why a file cannot be looked into. Nothing is wrong with the repository then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotAvro {
    /// It does not begin like a container.
    #[error("not an Avro file")]
    NoContainer,
    /// Its header cannot be read.
    #[error("its header is not sound{}", .0.as_ref().map(|flaw| format!(": {flaw}")).unwrap_or_default())]
    Header(Option<String>),
    /// The header names no schema that is a text.
    #[error("its header holds no schema")]
    NoSchema,
    /// The schema cannot be understood.
    #[error("its schema is not sound: {0}")]
    Schema(SchemaError),
    /// A codec that is not known.
    #[error("its codec {0:?} is not known")]
    Codec(String),
}

/// A container on its way through its blocks.
pub struct AvroFile<S> {
    header: Header,
    place: BlockSource<S>,
    blocks: u64,
    passed: Lengths,
}

/// How many bytes of each view something takes; of the exact one none where that is not known without encoding.
#[derive(Debug, Clone, Copy)]
struct Lengths {
    exact: Option<u64>,
    plain: u64,
}

impl Lengths {
    const NONE: Self = Self { exact: Some(0), plain: 0 };

    fn add(&mut self, other: Self) {
        self.exact = self.exact.zip(other.exact).map(|(sum, length)| sum.saturating_add(length));
        self.plain = self.plain.saturating_add(other.plain);
    }

    /// Of what is there as it stands in the file.
    fn of(length: u64) -> Self {
        Self { exact: Some(length), plain: length }
    }
}

enum BlockSource<S> {
    Recipe(Box<Streams<S>>),
    /// It was saved without looking into it.
    Bytes(Box<Framed<S>>),
}

struct Streams<S> {
    recipe: Box<ContainerRecipe>,
    layout: LayoutReader<S>,
    records: StreamReader<S>,
    payloads: StreamReader<S>,
    strays: StreamReader<S>,
    entries: std::vec::IntoIter<Entry>,
}

struct Framed<S> {
    stream: StreamReader<S>,
    framer: Framer,
    end: bool,
}

/// What comes next in a container.
#[derive(Debug)]
pub enum Piece {
    /// A block.
    Block(StoredBlock),
    /// A block that was not wanted.
    Passed {
        /// How many records it says it holds.
        count: u64,
    },
    /// This many bytes belong to no sound block.
    Stray(u64),
}

/// A block as it is stored.
#[derive(Debug)]
pub struct StoredBlock {
    /// Its place among the sound blocks of the file, from 0 on.
    pub ordinal: u64,
    /// How many records it says it holds.
    pub count: u64,
    bytes: Vec<u8>,
    decoded: bool,
}

impl StoredBlock {
    /// The records: what the payload decodes to, which must be walked: of a deflate stream without an end it is what there
    /// is. `buffer` is what may be used for it.
    pub(crate) fn plain<'b>(
        &'b self,
        codec: Codec,
        decoder: &mut Decoder,
        buffer: &'b mut Vec<u8>,
    ) -> std::result::Result<&'b [u8], DecodeError> {
        if self.decoded || codec == Codec::Null {
            return Ok(&self.bytes);
        }
        decoder.decode_unfinished(codec, &self.bytes, MAX_DECODED, buffer)?;
        Ok(buffer)
    }

    /// As [`plain`](Self::plain), as a buffer of its own.
    pub(crate) fn into_plain(self, codec: Codec, decoder: &mut Decoder) -> std::result::Result<Vec<u8>, DecodeError> {
        if self.decoded || codec == Codec::Null {
            return Ok(self.bytes);
        }
        let mut plain = Vec::new();
        decoder.decode_unfinished(codec, &self.bytes, MAX_DECODED, &mut plain)?;
        Ok(plain)
    }

    /// How many bytes are stored of it.
    pub(crate) fn length(&self) -> usize {
        self.bytes.len()
    }
}

impl<S: ChunkSource + Clone> AvroFile<S> {
    /// Reads the header of a regular file.
    ///
    /// # Errors
    /// If chunks are lost or damaged. That the file is no container is no error.
    pub fn open(source: S, entry: &FileEntry) -> Result<std::result::Result<Self, NotAvro>> {
        let shown = String::from_utf8_lossy(&entry.path);
        if entry.recipe.is_empty() {
            return Ok(Err(NotAvro::NoContainer));
        }
        match Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {shown}"))? {
            Recipe::Container(recipe) => {
                let header = header_of(&source, &recipe)?;
                let streams = Streams {
                    layout: LayoutReader::new(&recipe.layout, source.clone()),
                    records: StreamReader::new(&recipe.records, source.clone()),
                    payloads: StreamReader::new(&recipe.payloads, source.clone()),
                    strays: StreamReader::new(&recipe.strays, source),
                    entries: Vec::new().into_iter(),
                    recipe,
                };
                Ok(Ok(Self { header, place: BlockSource::Recipe(Box::new(streams)), blocks: 0, passed: Lengths::NONE }))
            }
            Recipe::Plain(stream) => Framed::open(source, &stream),
        }
    }

    /// The header of the container: schema, codec, marker.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The schema that the records were written with.
    ///
    /// # Errors
    /// Why there is none.
    pub fn schema(&self) -> std::result::Result<Schema, NotAvro> {
        let text = self.header.schema_text().ok_or(NotAvro::NoSchema)?;
        Schema::parse(text).map_err(NotAvro::Schema)
    }

    /// The codec of the blocks.
    ///
    /// # Errors
    /// If it is not known.
    pub fn codec(&self) -> std::result::Result<Codec, NotAvro> {
        let name = self.header.codec_name();
        Codec::from_name(name).ok_or_else(|| NotAvro::Codec(name.to_owned()))
    }

    /// How many bytes of a view the pieces took that came so far; none where that is not known without encoding.
    pub(super) fn passed(&self, view: View) -> Option<u64> {
        match view {
            View::Exact => self.passed.exact,
            View::Plain => Some(self.passed.plain),
        }
    }

    /// The next piece. Blocks whose number of records `wanted` refuses are skipped, their bytes not read where they
    /// need not be.
    ///
    /// # Errors
    /// If chunks are lost or damaged.
    pub fn next_piece(&mut self, wanted: impl FnOnce(u64) -> bool) -> Result<Option<Piece>> {
        let piece = match &mut self.place {
            BlockSource::Recipe(streams) => streams.next_piece(self.blocks, wanted)?,
            BlockSource::Bytes(framed) => framed.next_piece(self.blocks, wanted)?,
        };
        let piece = piece.map(|(piece, lengths)| {
            self.passed.add(lengths);
            piece
        });
        self.blocks += u64::from(matches!(piece, Some(Piece::Block(_) | Piece::Passed { .. })));
        Ok(piece)
    }
}

/// The header of a container.
pub(crate) fn header_of<S: ChunkSource + ?Sized>(source: &S, recipe: &ContainerRecipe) -> Result<Header> {
    let mut stream = StreamReader::new(&recipe.header, source);
    let mut bytes = stream.read_entry(recipe.header.length())?;
    bytes.extend_from_slice(&recipe.marker);
    match parse_header(&bytes) {
        Parsed::Done(header) => Ok(header),
        _ => Err(Error::damaged("the recipe", "it holds no valid header")),
    }
}

impl<S: ChunkSource> Streams<S> {
    fn next_piece(&mut self, ordinal: u64, wanted: impl FnOnce(u64) -> bool) -> Result<Option<(Piece, Lengths)>> {
        let entry = loop {
            if let Some(entry) = self.entries.next() {
                break entry;
            }
            let Some((entries, _)) = self.layout.next_segment()? else { return Ok(None) };
            self.entries = entries.into_iter();
        };
        let length = |view| known_length(&self.recipe, view, &entry);
        let lengths = Lengths { exact: length(View::Exact), plain: length(View::Plain).unwrap_or_default() };
        let (stream, decoded) = match entry.class {
            Class::Stray => {
                self.strays.skip(entry.length)?;
                return Ok(Some((Piece::Stray(entry.length), lengths)));
            }
            Class::Payload => (&mut self.payloads, false),
            Class::Records | Class::Corrected => (&mut self.records, true),
        };
        if !wanted(entry.count) {
            stream.skip(entry.length)?;
            return Ok(Some((Piece::Passed { count: entry.count }, lengths)));
        }
        let bytes = stream.read_entry(entry.length)?;
        Ok(Some((Piece::Block(StoredBlock { ordinal, count: entry.count, bytes, decoded }), lengths)))
    }
}

impl<S: ChunkSource> Framed<S> {
    fn open(source: S, stream: &Stream) -> Result<std::result::Result<AvroFile<S>, NotAvro>> {
        let stream = StreamReader::new(stream, source);
        let mut framed = Self { stream, framer: Framer::new(true), end: false };
        match framed.next_segment()? {
            Some(Segment::Header(header)) => {
                let place = BlockSource::Bytes(Box::new(framed));
                Ok(Ok(AvroFile { header: *header, place, blocks: 0, passed: Lengths::NONE }))
            }
            _ => Ok(Err(match framed.framer.finding() {
                Finding::BadHeader(flaw) => NotAvro::Header(flaw.map(|flaw| flaw.to_string())),
                Finding::BeyondLimits(flaw) => NotAvro::Header(Some(flaw.to_string())),
                _ => NotAvro::NoContainer,
            })),
        }
    }

    fn next_segment(&mut self) -> Result<Option<Segment>> {
        loop {
            if let Some(segment) = self.framer.next_segment(self.end) {
                return Ok(Some(segment));
            }
            if self.end {
                return Ok(None);
            }
            match self.stream.some()? {
                Some(bytes) => self.framer.push(&bytes),
                None => self.end = true,
            }
        }
    }

    fn next_piece(&mut self, ordinal: u64, wanted: impl FnOnce(u64) -> bool) -> Result<Option<(Piece, Lengths)>> {
        let Some(segment) = self.next_segment()? else { return Ok(None) };
        let (piece, length) = match segment {
            Segment::Block(block) => {
                let length = block.length();
                let piece = match wanted(block.count) {
                    false => Piece::Passed { count: block.count },
                    true => {
                        Piece::Block(StoredBlock { ordinal, count: block.count, bytes: block.payload, decoded: false })
                    }
                };
                (piece, length)
            }
            Segment::Stray(bytes) | Segment::Plain(bytes) => (Piece::Stray(bytes.len() as u64), bytes.len() as u64),
            Segment::Header(header) => (Piece::Stray(header.length as u64), header.length as u64),
        };
        Ok(Some((piece, Lengths::of(length))))
    }
}

impl<S> std::fmt::Debug for AvroFile<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AvroFile").field("header", &self.header).field("blocks", &self.blocks).finish_non_exhaustive()
    }
}
