//! The pieces of a stream, lost ones among them.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::IsLost;
use crate::chunk::ChunkSource;
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::recipe::Stream;
use crate::recipe::tree::TreeReader;

/// A piece of a stream, or all that hung on a node that is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalkedPiece {
    /// Which bytes of the stream.
    pub range: Range<u64>,
    /// Whether they are lost.
    pub lost: bool,
    /// The chunk, or the node; none if the bytes stand in the recipe, or nowhere.
    pub id: Option<ChunkId>,
}

/// Goes through the pieces of a stream, lost ones among them.
pub struct PieceWalk<'s, S: ?Sized> {
    pub(super) source: &'s S,
    inline: Arc<[u8]>,
    inline_given: bool,
    pieces: TreeReader<&'s S>,
    at: u64,
    end: u64,
}

impl<'s, S: ChunkSource + ?Sized> PieceWalk<'s, S> {
    /// At the start of the stream.
    pub fn new(stream: &Stream, source: &'s S) -> Self {
        let (inline, pieces) = match stream {
            Stream::Empty => (&[][..], TreeReader::empty(source)),
            Stream::Inline(bytes) => (&bytes[..], TreeReader::empty(source)),
            Stream::Tree(tree) => (&[][..], TreeReader::new(tree, source)),
        };
        Self { source, inline: inline.into(), inline_given: inline.is_empty(), pieces, at: 0, end: stream.length() }
    }

    /// The next piece.
    pub fn next_piece(&mut self, is_lost: IsLost<'_>) -> Result<Option<WalkedPiece>> {
        if !self.inline_given {
            self.inline_given = true;
            self.at = self.end;
            return Ok(Some(WalkedPiece { range: 0..self.end, lost: false, id: None }));
        }
        let Some((reference, error)) = self.pieces.next_or_lost()? else {
            // A tree that does not come to its own length: what is missing is lost.
            let range = std::mem::replace(&mut self.at, self.end)..self.end;
            return Ok((!range.is_empty()).then_some(WalkedPiece { range, lost: true, id: None }));
        };
        let start = self.at;
        self.at = start.saturating_add(reference.length).min(self.end);
        let lost = error.is_some() || is_lost(&reference.id)?;
        Ok(Some(WalkedPiece { range: start..self.at, lost, id: Some(reference.id) }))
    }

    /// The bytes of a piece that is not lost.
    ///
    /// # Errors
    /// Errors of the source; [`Error::Damaged`] if the chunk is not as long as its reference says.
    pub fn read(&self, piece: &WalkedPiece) -> Result<Arc<[u8]>> {
        let Some(id) = &piece.id else { return Ok(self.inline.clone()) };
        let bytes = self.source.get(id)?;
        match bytes.len() as u64 == piece.range.end - piece.range.start {
            true => Ok(bytes),
            false => Err(Error::damaged(format_args!("chunk {id}"), "it is not as long as its reference says")),
        }
    }
}

impl<S: ?Sized> std::fmt::Debug for PieceWalk<'_, S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PieceWalk(at {} of {})", self.at, self.end)
    }
}

/// The pieces of a stream around a place that only goes forward.
pub(super) struct Window<'s, S: ?Sized> {
    walk: PieceWalk<'s, S>,
    held: VecDeque<WalkedPiece>,
}

/// A forged tree may have any number of short pieces.
const MAX_HELD: usize = 1 << 20;

impl<'s, S: ChunkSource + ?Sized> Window<'s, S> {
    pub(super) fn new(stream: &Stream, source: &'s S) -> Self {
        Self { walk: PieceWalk::new(stream, source), held: VecDeque::new() }
    }

    /// Whether all bytes of the range are there. Ranges come in order.
    pub(super) fn has(&mut self, range: &Range<u64>, is_lost: IsLost<'_>) -> Result<bool> {
        if range.is_empty() {
            return Ok(true);
        }
        if range.end > self.walk.end {
            return Ok(false);
        }
        while self.held.front().is_some_and(|piece| piece.range.end <= range.start) {
            self.held.pop_front();
        }
        while self.walk.at < range.end {
            let Some(piece) = self.walk.next_piece(is_lost)? else { return Ok(false) };
            if piece.range.end > range.start {
                self.held.push_back(piece);
            }
            if self.held.len() > MAX_HELD {
                return Ok(false);
            }
        }
        Ok(self.held.iter().take_while(|piece| piece.range.start < range.end).all(|piece| !piece.lost))
    }

    /// The bytes of the range that was asked for last and is there.
    pub(super) fn read(&self, range: &Range<u64>) -> Result<Vec<u8>> {
        // A block without records rests on nothing, even where it stands in the middle of what is lost.
        if range.is_empty() {
            return Ok(Vec::new());
        }
        let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
        let overlaps = |piece: &&WalkedPiece| piece.range.start < range.end && piece.range.end > range.start;
        for piece in self.held.iter().filter(overlaps) {
            let read = self.walk.read(piece)?;
            let from = range.start.saturating_sub(piece.range.start) as usize;
            let to = (range.end.min(piece.range.end) - piece.range.start) as usize;
            bytes.extend_from_slice(read.get(from..to).unwrap_or(&[]));
        }
        match bytes.len() as u64 == range.end - range.start {
            true => Ok(bytes),
            false => Err(Error::damaged("the recipe", "a stream is shorter than the layout needs")),
        }
    }
}
