//! What a file of a table consists of, in an order: pieces of its records, blocks that are kept as they were.
//!
//! A piece of a stream of records mostly begins and ends where a record does (`chunk::StreamCutter`). Where that is certain it
//! may be left out, or another thread may begin with it.

use std::collections::VecDeque;

use super::table::TableFile;
use crate::chunk::{ChunkKind, ChunkSource};
use crate::error::Result;
use crate::id::ChunkId;
use crate::recipe::{Class, Entry, LayoutReader, Reference, Stream, TreeReader};
use crate::store::Repository;

/// A part of a file.
#[derive(Debug)]
pub(super) enum Unit {
    /// The records of the file that are stored decoded, where they are so few that they stand in the recipe.
    Inline,
    /// A piece of the records that are stored decoded.
    Piece(Piece),
    /// A block whose payload is kept as it was.
    Block(Block),
    /// The whole file, of which not all is sound.
    Unsound,
}

#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) id: ChunkId,
    pub(crate) length: u64,
    /// How many records end in it.
    pub(crate) records: u64,
    /// Whether it begins and ends where a record does, as far as the references say.
    pub(crate) begins: bool,
    pub(crate) ends: bool,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// Where in the payloads of the file it begins.
    pub(crate) start: u64,
    pub(crate) length: u64,
    /// How many records it holds.
    pub(crate) records: u64,
    /// The chunk that is its payload and nothing else.
    pub(crate) id: Option<ChunkId>,
}

/// The parts of a file, in order.
pub(super) struct Units<'r> {
    first: Option<Unit>,
    pieces: Pieces<'r>,
    blocks: Option<Blocks<'r>>,
}

impl<'r> Units<'r> {
    pub(super) fn of(file: &TableFile, repository: &'r Repository) -> Result<Self> {
        let align = u64::from(repository.cut_params().align);
        let nothing = Pieces { tree: TreeReader::empty(repository), next: None, begins: true, align };
        let Some(recipe) = file.sound_recipe() else {
            return Ok(Self { first: Some(Unit::Unsound), pieces: nothing, blocks: None });
        };
        let (first, pieces) = match &recipe.records {
            Stream::Empty => (None, nothing),
            Stream::Inline(_) => (Some(Unit::Inline), nothing),
            Stream::Tree(tree) => {
                let mut tree = TreeReader::new(tree, repository);
                let next = tree.next_piece()?;
                (None, Pieces { tree, next, begins: true, align })
            }
        };
        let blocks = match recipe.payloads.length() {
            0 => None,
            _ => Some(Blocks::new(&recipe.layout, &recipe.payloads, repository)),
        };
        Ok(Self { first, pieces, blocks })
    }

    pub(super) fn next_unit(&mut self) -> Result<Option<Unit>> {
        if let Some(unit) = self.first.take() {
            return Ok(Some(unit));
        }
        if let Some(piece) = self.pieces.next_piece()? {
            return Ok(Some(Unit::Piece(piece)));
        }
        match &mut self.blocks {
            Some(blocks) => Ok(blocks.next_block()?.map(Unit::Block)),
            None => Ok(None),
        }
    }
}

/// The pieces of the records.
struct Pieces<'r> {
    tree: TreeReader<&'r Repository>,
    next: Option<Reference>,
    begins: bool,
    align: u64,
}

impl Pieces<'_> {
    fn next_piece(&mut self) -> Result<Option<Piece>> {
        let Some(piece) = self.next.take() else { return Ok(None) };
        self.next = self.tree.next_piece()?;
        // A cut that is no border of a record has none for `align` bytes after it. Each border takes a byte at least, so a
        // piece after such a cut has no more of them than it has bytes beyond that.
        let ends = self.next.as_ref().is_none_or(|next| next.records > next.length.saturating_sub(self.align));
        let begins = std::mem::replace(&mut self.begins, ends);
        Ok(Some(Piece { id: piece.id, length: piece.length, records: piece.records, begins, ends }))
    }
}

/// The blocks that are kept as they were.
struct Blocks<'r> {
    layout: LayoutReader<&'r Repository>,
    entries: VecDeque<Entry>,
    pieces: TreeReader<&'r Repository>,
    /// The piece that is looked at, and where it begins.
    piece: Option<(u64, Reference)>,
    start: u64,
}

impl<'r> Blocks<'r> {
    fn new(layout: &Stream, payloads: &Stream, repository: &'r Repository) -> Self {
        let pieces = match payloads {
            Stream::Tree(tree) => TreeReader::new(tree, repository),
            _ => TreeReader::empty(repository),
        };
        let layout = LayoutReader::new(layout, repository);
        Self { layout, entries: VecDeque::new(), pieces, piece: None, start: 0 }
    }

    fn next_block(&mut self) -> Result<Option<Block>> {
        loop {
            let Some(entry) = self.entries.pop_front() else {
                let Some((entries, _)) = self.layout.next_segment()? else { return Ok(None) };
                self.entries = entries.into();
                continue;
            };
            if entry.class == Class::Payload {
                let start = self.start;
                self.start = start.saturating_add(entry.length);
                let id = self.piece_of(start, entry.length)?;
                return Ok(Some(Block { start, length: entry.length, records: entry.count, id }));
            }
        }
    }

    /// The piece that is exactly this range.
    fn piece_of(&mut self, start: u64, length: u64) -> Result<Option<ChunkId>> {
        loop {
            let (at, piece) = match self.piece.take() {
                Some(piece) => piece,
                None => match self.pieces.next_piece()? {
                    Some(piece) => (0, piece),
                    None => return Ok(None),
                },
            };
            let end = at.saturating_add(piece.length);
            if end > start {
                let id = (at == start && piece.length == length).then_some(piece.id);
                self.piece = Some((at, piece));
                return Ok(id);
            }
            self.piece = self.pieces.next_piece()?.map(|next| (end, next));
            if self.piece.is_none() {
                return Ok(None);
            }
        }
    }
}

/// Whether a chunk was stored as nothing but whole records. The references alone do not say so for certain: files that were
/// copied keep the cuts of the repository that they came from.
pub(crate) fn is_whole(repository: &Repository, id: &ChunkId) -> bool {
    let kind = || {
        let (pack, frame) = repository.catalog().frame_of(id).ok()??;
        let info = repository.catalog().index().pack(pack).ok()?;
        info.frame(frame as usize).ok().map(|frame| frame.kind)
    };
    kind() == Some(ChunkKind::Records)
}

/// Reads a stretch of a stream.
pub(super) fn read_range<S: ChunkSource>(source: S, stream: &Stream, start: u64, length: u64) -> Result<Vec<u8>> {
    let mut reader = crate::recipe::StreamReader::new(stream, source);
    reader.skip(start)?;
    let mut bytes = Vec::new();
    reader.read(usize::try_from(length).unwrap_or(usize::MAX), &mut bytes)?;
    Ok(bytes)
}
