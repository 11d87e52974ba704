//! Chunks that are gathered into frames.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::chunk::{ChunkKind, RecordShape};
use crate::pack::{FRAME_TARGET, PlainChunk};

/// What the chunks of a frame have in common: their kind, and for records their shape, where it is known.
pub(crate) type Common = (ChunkKind, Option<Arc<RecordShape>>);

/// Frames that are being filled. What is known of a frame without a chunk is forgotten.
pub(crate) struct Gathering {
    /// When a frame is full, in plain bytes.
    target: usize,
    frames: BTreeMap<Common, (Vec<PlainChunk>, usize)>,
    /// The bytes of all chunks.
    bytes: usize,
}

/// When more bytes wait, ...
const MOST_BYTES: usize = 4 * FRAME_TARGET;

/// ... or more frames, then the fullest one is handed on: there may be any number of shapes.
const MOST_FRAMES: usize = 256;

/// Frames of one shape with fewer bytes, when there is nothing more to come, are put together with others: so short, they
/// cost more as frames than columns save.
const LEAST_SHAPED: usize = 8 << 10;

impl Gathering {
    /// With frames that are full at this many plain bytes.
    pub(crate) fn new(target: usize) -> Self {
        Self { target, frames: BTreeMap::new(), bytes: 0 }
    }

    /// Takes everything out.
    pub(crate) fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(self.target))
    }

    /// Adds a chunk. Returns the frame that is to be handed on now, if there is one.
    pub(crate) fn add(&mut self, common: Common, chunk: PlainChunk) -> Option<(Common, Vec<PlainChunk>)> {
        self.bytes += chunk.bytes.len();
        let (chunks, bytes) = self.frames.entry(common.clone()).or_default();
        *bytes += chunk.bytes.len();
        chunks.push(chunk);
        let full = match *bytes >= self.target {
            true => common,
            false if self.bytes > MOST_BYTES || self.frames.len() > MOST_FRAMES => {
                self.frames.iter().max_by_key(|(_, (_, bytes))| *bytes)?.0.clone()
            }
            false => return None,
        };
        let (chunks, bytes) = self.frames.remove(&full)?;
        self.bytes -= bytes;
        Some((full, chunks))
    }

    /// The frames as they are.
    pub(crate) fn into_unfilled(self) -> impl Iterator<Item = (Common, Vec<PlainChunk>)> {
        self.frames.into_iter().map(|(common, (chunks, _))| (common, chunks))
    }

    /// The frames when there is nothing more to come: those with few records of a shape put together.
    pub(crate) fn into_last(self) -> Vec<(Common, Vec<PlainChunk>)> {
        let (mut frames, mut rest) = (Vec::new(), Self::new(self.target));
        for ((kind, shape), (chunks, bytes)) in self.frames {
            if shape.is_some() && bytes >= LEAST_SHAPED {
                frames.push(((kind, shape), chunks));
            } else {
                frames.extend(chunks.into_iter().filter_map(|chunk| rest.add((kind, None), chunk)));
            }
        }
        frames.extend(rest.into_unfilled());
        frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ChunkHasher;

    fn shape(fingerprint: u64) -> Option<Arc<RecordShape>> {
        Some(Arc::new(RecordShape { fingerprint, tree: vec![1] }))
    }

    fn chunk(length: usize) -> PlainChunk {
        PlainChunk { id: ChunkHasher::open().id(b""), bytes: vec![0; length] }
    }

    #[test]
    fn shapes_do_not_meet_in_a_frame_unless_they_have_next_to_nothing() {
        let mut gathering = Gathering::new(FRAME_TARGET);
        for number in 0..10 {
            assert!(gathering.add((ChunkKind::Records, shape(number)), chunk(100 + 2000 * number as usize)).is_none());
            assert!(gathering.add((ChunkKind::Records, shape(number)), chunk(10)).is_none());
        }
        assert!(gathering.add((ChunkKind::Records, None), chunk(1000)).is_none());
        assert!(gathering.add((ChunkKind::Bytes, None), chunk(1000)).is_none());
        let frames = gathering.into_last();
        let count = |common: Common| frames.iter().filter(|frame| frame.0 == common).map(|frame| frame.1.len()).sum();
        assert_eq!(frames.len(), 7);
        let counts: Vec<usize> = (0..10).map(|number| count((ChunkKind::Records, shape(number)))).collect();
        // 100 + 2000 n + 10 bytes are enough from n = 5 on.
        assert_eq!(counts, [0, 0, 0, 0, 0, 2, 2, 2, 2, 2]);
        assert_eq!(count((ChunkKind::Records, None)), 11);
        assert_eq!(count((ChunkKind::Bytes, None)), 1);
    }

    #[test]
    fn what_waits_is_bounded_however_many_shapes_there_are() {
        for length in [1, 20 << 10, 300 << 10] {
            let mut gathering = Gathering::new(FRAME_TARGET);
            for number in 0..2000 {
                gathering.add((ChunkKind::Records, shape(number)), chunk(length));
                assert!(gathering.frames.len() <= MOST_FRAMES && gathering.bytes <= MOST_BYTES);
                assert_eq!(gathering.bytes, gathering.frames.values().map(|(_, bytes)| bytes).sum::<usize>());
            }
        }
        let mut gathering = Gathering::new(FRAME_TARGET);
        let handed = (0..4).filter_map(|_| gathering.add((ChunkKind::Bytes, None), chunk(FRAME_TARGET / 4)));
        assert_eq!(handed.map(|(_, chunks)| chunks.len()).collect::<Vec<_>>(), [4]);
    }
}
