//! Streams: byte strings of any length, kept as chunks.

use std::collections::VecDeque;
use std::sync::Arc;

use super::INLINE_BELOW;
use super::tree::{Reference, Tree, TreeBuilder, TreeReader};
use crate::chunk::{ChunkKind, ChunkSink, ChunkSource, RecordShape};
use crate::error::{Error, Result};
use crate::id::ChunkId;
use crate::wire::{self, Malformed, Reader, Write};

/// Where the bytes of a stream are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// There are none.
    Empty,
    /// Here.
    Inline(Vec<u8>),
    /// In this tree of chunks.
    Tree(Tree),
}

const EMPTY: u8 = 0;
const INLINE: u8 = 1;
const TREE: u8 = 2;

impl Stream {
    /// How many bytes the stream has.
    pub fn length(&self) -> u64 {
        match self {
            Stream::Empty => 0,
            Stream::Inline(bytes) => bytes.len() as u64,
            Stream::Tree(tree) => tree.root.length,
        }
    }

    /// How many bytes the stream has at most, whatever it states: no tree of its height can hold more.
    pub(super) fn longest(&self) -> u64 {
        match self {
            Stream::Tree(tree) => tree.root.length.min(tree.capacity()),
            stream => stream.length(),
        }
    }

    /// Appends where the bytes are, as `docs/format.md` draws it ("Streams").
    pub(crate) fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Stream::Empty => bytes.put_u8(EMPTY),
            Stream::Inline(inline) => {
                bytes.put_u8(INLINE);
                bytes.put_string(inline);
            }
            Stream::Tree(Tree { root, height }) => {
                bytes.put(&[TREE, *height]);
                bytes.put(root.id.as_bytes());
                bytes.put_varint(root.length);
                bytes.put_varint(root.records);
            }
        }
    }

    /// Reads what [`write`](Stream::write) wrote.
    pub(crate) fn read(reader: &mut Reader<'_>) -> wire::Result<Self> {
        Ok(match reader.u8()? {
            EMPTY => Stream::Empty,
            INLINE => Stream::Inline(reader.string()?.to_vec()),
            TREE => {
                let height = reader.u8()?;
                let id = ChunkId::new(reader.array()?);
                let (length, records) = (reader.varint()?, reader.varint()?);
                Stream::Tree(Tree { root: Reference { id, length, records, last: Vec::new() }, height })
            }
            other => return Err(Malformed(format!("a stream of kind {other}, which is not known"))),
        })
    }

    /// Calls `each` with every chunk of the stream: nodes (true) and pieces (false).
    pub fn each_chunk<S: ChunkSource + ?Sized>(
        &self,
        source: &S,
        mut each: impl FnMut(&ChunkId, bool) -> Result<()>,
    ) -> Result<()> {
        let Stream::Tree(tree) = self else { return Ok(()) };
        TreeReader::new(tree, source).each_node(|id| each(id, true))?;
        let mut pieces = TreeReader::new(tree, source);
        while let Some(piece) = pieces.next_piece()? {
            each(&piece.id, false)?;
        }
        Ok(())
    }
}

/// Builds a stream from pieces.
#[derive(Debug, Default)]
pub struct StreamBuilder {
    tree: TreeBuilder,
    /// The first piece, as long as it is the only one and short: it may end up inline.
    first: Option<(ChunkKind, Vec<u8>, u64)>,
    begun: bool,
    /// What its records are like, where that is known.
    shape: Option<Arc<RecordShape>>,
}

impl StreamBuilder {
    /// An empty stream.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty stream whose pieces of kind [`Records`](ChunkKind::Records) are whole records of this shape.
    pub fn of_records(shape: Option<Arc<RecordShape>>) -> Self {
        Self { shape, ..Self::default() }
    }

    /// The next piece, in which this many records end. Pieces of no bytes are skipped.
    pub fn push(
        &mut self,
        kind: ChunkKind,
        bytes: Vec<u8>,
        records: u64,
        sink: &mut (impl ChunkSink + ?Sized),
    ) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if !self.begun && bytes.len() < INLINE_BELOW {
            self.begun = true;
            self.first = Some((kind, bytes, records));
            return Ok(());
        }
        self.begun = true;
        if let Some((kind, bytes, records)) = self.first.take() {
            self.put(kind, bytes, records, sink)?;
        }
        self.put(kind, bytes, records, sink)
    }

    fn put(
        &mut self,
        kind: ChunkKind,
        bytes: Vec<u8>,
        records: u64,
        sink: &mut (impl ChunkSink + ?Sized),
    ) -> Result<()> {
        let length = bytes.len() as u64;
        let id = match &self.shape {
            Some(shape) if kind == ChunkKind::Records => sink.put_records(bytes, shape)?,
            _ => sink.put(kind, bytes)?,
        };
        self.tree.push(Reference { id, length, records, last: Vec::new() }, sink)
    }

    /// Ends the stream and returns its recipe.
    pub fn finish(self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<Stream> {
        match (self.first, self.tree.finish(sink)?) {
            (Some((_, bytes, _)), _) => Ok(Stream::Inline(bytes)),
            (None, Some(tree)) => Ok(Stream::Tree(tree)),
            (None, None) => Ok(Stream::Empty),
        }
    }
}

/// Reads a stream from its start, or from any offset.
pub struct StreamReader<S> {
    pieces: TreeReader<S>,
    /// Pieces that were announced to the source and not read yet.
    ahead: VecDeque<Reference>,
    current: Arc<[u8]>,
    at: usize,
    left: u64,
}

/// How many bytes of pieces are announced ahead of what is read, ...
const AHEAD: u64 = 8 << 20;
/// ... and how many pieces: a forged tree may have any number of short ones.
const AHEAD_PIECES: usize = 1024;

impl<S: ChunkSource> StreamReader<S> {
    /// At the start of the stream.
    pub fn new(stream: &Stream, source: S) -> Self {
        let (pieces, current) = match stream {
            Stream::Empty => (TreeReader::empty(source), Arc::from(&[][..])),
            Stream::Inline(bytes) => (TreeReader::empty(source), Arc::from(&bytes[..])),
            Stream::Tree(tree) => (TreeReader::new(tree, source), Arc::from(&[][..])),
        };
        Self { pieces, ahead: VecDeque::new(), current, at: 0, left: stream.length() }
    }

    /// How many bytes are left.
    pub fn left(&self) -> u64 {
        self.left
    }

    /// Skips this many bytes. Nothing of them is read from the source where whole pieces can be skipped.
    pub fn skip(&mut self, mut count: u64) -> Result<()> {
        count = count.min(self.left);
        self.left -= count;
        let here = (self.current.len() - self.at) as u64;
        if count < here {
            self.at += count as usize;
            return Ok(());
        }
        count -= here;
        self.at = self.current.len();
        while let Some(piece) = self.ahead.front() {
            if piece.length > count {
                return self.enter(count);
            }
            count -= piece.length;
            self.ahead.pop_front();
        }
        self.pieces.skip_while(|reference| {
            let passed = reference.length <= count;
            count -= if passed { reference.length } else { 0 };
            passed
        })?;
        self.enter(count)
    }

    fn enter(&mut self, offset: u64) -> Result<()> {
        if offset > 0 {
            self.next_piece()?;
            self.at = offset as usize;
        }
        Ok(())
    }

    /// Appends exactly `count` bytes to `out`.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the stream has fewer.
    pub fn read(&mut self, mut count: usize, out: &mut Vec<u8>) -> Result<()> {
        if count as u64 > self.left {
            return Err(Error::damaged("the recipe", "a stream is shorter than the layout needs"));
        }
        self.left -= count as u64;
        while count > 0 {
            let here = &self.current[self.at..];
            if here.is_empty() {
                self.next_piece()?;
                continue;
            }
            let taken = here.len().min(count);
            out.extend_from_slice(&here[..taken]);
            self.at += taken;
            count -= taken;
        }
        Ok(())
    }

    /// The next bytes, at least one and as many as are at hand; none at the end.
    pub fn some(&mut self) -> Result<Option<Arc<[u8]>>> {
        if self.left == 0 {
            return Ok(None);
        }
        while self.at == self.current.len() {
            self.next_piece()?;
        }
        let bytes = match self.at {
            0 => self.current.clone(),
            at => Arc::from(&self.current[at..]),
        };
        self.at = self.current.len();
        self.left = self.left.saturating_sub(bytes.len() as u64);
        Ok(Some(bytes))
    }

    fn next_piece(&mut self) -> Result<()> {
        // What a forged tree says about lengths may not even add up.
        let mut announced = self.ahead.iter().fold(0, |sum: u64, piece| sum.saturating_add(piece.length));
        while announced < AHEAD && self.ahead.len() < AHEAD_PIECES {
            let Some(piece) = self.pieces.next_piece()? else { break };
            announced = announced.saturating_add(piece.length);
            // What is read at once need not be announced.
            if !self.ahead.is_empty() {
                self.pieces.source().will_need(&piece.id);
            }
            self.ahead.push_back(piece);
        }
        let Some(piece) = self.ahead.pop_front() else {
            return Err(Error::damaged("the recipe", "a stream ends before its length"));
        };
        self.current = self.pieces.source().get(&piece.id)?;
        self.at = 0;
        match self.current.len() as u64 == piece.length && piece.length > 0 {
            true => Ok(()),
            false => Err(Error::damaged(format_args!("chunk {}", piece.id), "it is not as long as its reference says")),
        }
    }
}

impl<S> std::fmt::Debug for StreamReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamReader({} bytes left)", self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkMap;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stream_is_read_back_from_anywhere(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..700), 0..40),
            skip in 0usize..30_000, parts in prop::collection::vec(1usize..2000, 1..5),
        ) {
            let mut map = ChunkMap::default();
            let mut builder = StreamBuilder::new();
            for piece in &pieces {
                builder.push(ChunkKind::Bytes, piece.clone(), 0, &mut map).unwrap();
            }
            let stream = builder.finish(&mut map).unwrap();
            let all = pieces.concat();
            prop_assert_eq!(stream.length(), all.len() as u64);
            let mut bytes = Vec::new();
            stream.write(&mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(&Stream::read(&mut reader)?, &stream);
            reader.finish()?;

            let mut reader = StreamReader::new(&stream, &map);
            let skip = skip.min(all.len());
            reader.skip((skip / 2) as u64).unwrap();
            reader.skip((skip - skip / 2) as u64).unwrap();
            let mut read = Vec::new();
            for part in parts.iter().cycle() {
                let part = (*part).min(reader.left() as usize);
                reader.read(part, &mut read).unwrap();
                if reader.left() == 0 {
                    break;
                }
            }
            prop_assert_eq!(&read, &all[skip..]);
            prop_assert!(reader.read(1, &mut read).is_err());
        }
    }

    /// A stream whose tree has this many levels of nodes with these lengths; all its pieces are one chunk of 3 bytes.
    fn forged(map: &mut ChunkMap, lengths: &[u64], levels: u8) -> Stream {
        let mut id = map.put(ChunkKind::Bytes, b"abc".to_vec()).unwrap();
        let mut lengths = lengths.to_vec();
        for _ in 0..levels {
            let mut node = vec![1];
            node.put_varint(lengths.len() as u64);
            lengths.iter().for_each(|_| node.put(id.as_bytes()));
            lengths.iter().for_each(|length| node.put_varint(*length));
            node.extend(std::iter::repeat_n(0, lengths.len() + 1));
            id = map.put(ChunkKind::Node, node).unwrap();
            let length = lengths.iter().fold(0, |sum: u64, length| sum.saturating_add(*length));
            lengths.fill(length);
        }
        Stream::Tree(Tree { root: Reference { id, length: lengths[0], records: 0, last: Vec::new() }, height: levels })
    }

    #[test]
    fn lengths_that_are_forged_neither_overflow_nor_fill_the_memory() {
        let mut map = ChunkMap::default();
        for (lengths, levels) in [(&[3, u64::MAX][..], 1), (&[3, 0, 5], 1), (&[3; 1000], 2)] {
            let stream = forged(&mut map, lengths, levels);
            let mut reader = StreamReader::new(&stream, &map);
            let mut out = Vec::new();
            reader.read(3, &mut out).unwrap();
            assert_eq!(out, b"abc");
            assert!(reader.ahead.len() <= AHEAD_PIECES);
            if levels == 1 {
                assert!(reader.read(1, &mut out).is_err());
            }
        }
    }
}
