//! The streams of a file, while it is taken apart.

use std::sync::Arc;

use super::Stream;
use super::stream::StreamBuilder;
use crate::chunk::{ChunkKind, ChunkSink, CutParams, Piece, RecordShape, StreamCutter};
use crate::error::Result;

/// A stream that is being cut.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) cutter: StreamCutter,
    stream: StreamBuilder,
    kind: ChunkKind,
}

impl Track {
    pub(super) fn new(params: CutParams, kind: ChunkKind, has_borders: bool) -> Self {
        Self { cutter: StreamCutter::new(params, has_borders), stream: StreamBuilder::new(), kind }
    }

    /// That of records of this shape, where their borders are known.
    pub(super) fn of_records(params: CutParams, shape: Option<Arc<RecordShape>>, has_borders: bool) -> Self {
        Self { stream: StreamBuilder::of_records(shape), ..Self::new(params, ChunkKind::Records, has_borders) }
    }

    pub(super) fn push(&mut self, bytes: &[u8], sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        self.cutter.push(bytes);
        self.drain(false, sink)
    }

    pub(super) fn drain(&mut self, finished: bool, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        while let Some(Piece { bytes, records, aligned }) = self.cutter.next_piece(finished) {
            // Only whole records may ever be coded as columns.
            let kind = if self.kind == ChunkKind::Records && !aligned { ChunkKind::Bytes } else { self.kind };
            self.stream.push(kind, bytes, records, sink)?;
        }
        Ok(())
    }

    pub(super) fn finish(mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<Stream> {
        self.drain(true, sink)?;
        self.stream.finish(sink)
    }
}

/// Payloads that are kept. One of middle size is a chunk of its own, so that equal payloads meet again wherever they
/// stand; small ones are joined; large ones are cut by content.
#[derive(Debug)]
pub(super) struct Payloads {
    params: CutParams,
    stream: StreamBuilder,
    small: Vec<u8>,
}

/// Payloads of at least this many bytes are not joined with others, ...
const OWN_CHUNK: usize = 4 << 10;
/// ... those above this many are cut, ...
const CUT_ABOVE: usize = 1 << 20;
/// ... and joined ones make a chunk when they come to this many.
const JOINED: usize = 64 << 10;

impl Payloads {
    pub(super) fn new(params: CutParams) -> Self {
        Self { params, stream: StreamBuilder::new(), small: Vec::new() }
    }

    pub(super) fn push(&mut self, payload: &[u8], sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        if payload.len() < OWN_CHUNK {
            self.small.extend_from_slice(payload);
            return if self.small.len() < JOINED { Ok(()) } else { self.flush(sink) };
        }
        self.flush(sink)?;
        if payload.len() <= CUT_ABOVE {
            return self.stream.push(ChunkKind::Payload, payload.to_vec(), 0, sink);
        }
        let mut cutter = StreamCutter::new(self.params, false);
        cutter.push(payload);
        while let Some(piece) = cutter.next_piece(true) {
            self.stream.push(ChunkKind::Payload, piece.bytes, 0, sink)?;
        }
        Ok(())
    }

    fn flush(&mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        self.stream.push(ChunkKind::Payload, std::mem::take(&mut self.small), 0, sink)
    }

    pub(super) fn finish(mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<Stream> {
        self.flush(sink)?;
        self.stream.finish(sink)
    }
}
