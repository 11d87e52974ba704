//! How to rebuild one file from chunks.
//!
//! A [`Recipe`] says of which streams a file is made. A sound Avro container is taken apart ([`Framer`], [`Splitter`]):
//! its records, end to end, are one stream; payloads that are kept as they are another; stray bytes a third; how the
//! blocks lie is written down in the layout; the random marker stands in the recipe itself. Any other file is one stream
//! of bytes. [`RecipeReader`] goes the other way, and [`RangeReader`] does for any range of a file. Nothing here knows files or threads: bytes come in pieces, chunks go to a
//! [`ChunkSink`](crate::chunk::ChunkSink), and blocks that need much computing are handed out, so that the caller can
//! deal with several at once.

mod compiled;
mod framer;
mod layout;
mod ranges;
mod rebuild;
mod split;
mod state;
mod stream;
mod survey;
mod track;
mod tree;
mod unsettled;
mod views;

pub use compiled::CompiledSchema;
pub use framer::{Finding, Framer, RawBlock, Segment, is_filler};
pub use layout::{Check, CheckHash, Class, Entry, LayoutReader, LayoutSegment, LayoutWriter};
pub use ranges::{Encode, RangeReader, ToEncode};
pub use rebuild::{BlockFrame, MAX_ENTRY, Part, RecipeReader};
pub use split::{PayloadDecision, Split, Splitter};
pub use state::AvroState;
pub use stream::{Stream, StreamBuilder, StreamReader};
pub use survey::{ContainerSurvey, Loss, PieceWalk, Placed, Ranges, Stretch, WalkedPiece, loss};
pub use tree::{Reference, Tree, TreeBuilder, TreeReader, node_in};
pub use unsettled::UnsettledBlocks;
pub use views::View;

pub(crate) use ranges::known_length;

use crate::avro::encoder::Tail;
use crate::wire::{self, Malformed, Reader, Write};

/// Below this many bytes a stream is kept in the recipe itself.
pub const INLINE_BELOW: usize = 512;

/// The frozen id of the encoder whose output always needs corrections. A tail that follows its stream stands after it, as after
/// other ids.
pub const PREFLATE: &str = "preflate-0.7.6";

/// The tail that an encoder leaves whose output needs corrections; none for other encoders.
pub fn tail_after_corrections(encoder: &str) -> Option<Tail> {
    let suffix = encoder.strip_prefix(PREFLATE)?;
    [Tail::None, Tail::Adler3].into_iter().find(|tail| tail.suffix() == suffix)
}

/// How to rebuild one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recipe {
    /// The file is this stream.
    Plain(Stream),
    /// The file is a container.
    Container(Box<ContainerRecipe>),
}

/// How to rebuild a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerRecipe {
    /// The sync marker that ends header and blocks.
    pub marker: [u8; 16],
    /// The header without its marker.
    pub header: Stream,
    /// The encoders that the layout refers to by number; the first is the file's own.
    pub encoders: Vec<String>,
    /// How blocks and stray bytes lie.
    pub layout: Stream,
    /// The decoded payloads, end to end.
    pub records: Stream,
    /// The payloads that are kept as they are, end to end.
    pub payloads: Stream,
    /// Bytes that belong to no sound block, end to end.
    pub strays: Stream,
    /// What turns the output of an encoder into the payload that was there, end to end. Empty so far.
    pub corrections: Stream,
}

/// No payload of a block that is taken apart is longer, in bytes.
const LONGEST_PAYLOAD: u64 = 32 << 20;

const VERSION: u8 = 1;
const PLAIN: u8 = 1;
const CONTAINER: u8 = 2;

impl Recipe {
    /// The bytes of the recipe, as they stand in a row of a manifest.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        match self {
            Recipe::Plain(stream) => {
                bytes.put_u8(PLAIN);
                stream.write(&mut bytes);
            }
            Recipe::Container(container) => {
                bytes.put_u8(CONTAINER);
                bytes.put(&container.marker);
                bytes.put_varint(container.encoders.len() as u64);
                for encoder in &container.encoders {
                    bytes.put_string(encoder.as_bytes());
                }
                for stream in container.streams() {
                    stream.write(&mut bytes);
                }
            }
        }
        bytes
    }

    /// Reads what [`encode`](Recipe::encode) wrote.
    pub fn decode(bytes: &[u8]) -> wire::Result<Self> {
        let mut reader = Reader::new(bytes);
        match reader.u8()? {
            VERSION => {}
            other => return Err(Malformed(format!("a recipe of version {other}, this is version {VERSION}"))),
        }
        let recipe = match reader.u8()? {
            PLAIN => Recipe::Plain(Stream::read(&mut reader)?),
            CONTAINER => {
                let marker = reader.array()?;
                let count = reader.count(1)?;
                let encoders = (0..count).map(|_| reader.text().map(str::to_owned)).collect::<wire::Result<_>>()?;
                let mut stream = || Stream::read(&mut reader);
                Recipe::Container(Box::new(ContainerRecipe {
                    marker,
                    encoders,
                    header: stream()?,
                    layout: stream()?,
                    records: stream()?,
                    payloads: stream()?,
                    strays: stream()?,
                    corrections: stream()?,
                }))
            }
            other => return Err(Malformed(format!("a recipe of kind {other}, which is not known"))),
        };
        reader.finish()?;
        Ok(recipe)
    }

    /// The length in bytes that no file made by this recipe exceeds, whatever its chunks hold. It rests on the lengths that
    /// the recipe states and on how high its trees are.
    pub fn longest_file(&self) -> u64 {
        match self {
            Recipe::Plain(stream) => stream.longest(),
            Recipe::Container(container) => {
                let [header, layout, records, payloads, strays, corrections] =
                    container.streams().map(|stream| stream.longest());
                // An entry takes two bytes of a layout at least. What stands around a block, and what an encoder may add to
                // one that it cannot make shorter, comes to less than this.
                let entries = layout / 2 + 1;
                let corrected = if corrections > 0 { entries.saturating_mul(LONGEST_PAYLOAD) } else { 0 };
                [header, 16, records, records, payloads, strays, layout, entries.saturating_mul(4096), corrected]
                    .into_iter()
                    .fold(0, u64::saturating_add)
            }
        }
    }

    /// All streams of the file: together they name every chunk that it needs.
    pub fn streams(&self) -> Vec<&Stream> {
        match self {
            Recipe::Plain(stream) => vec![stream],
            Recipe::Container(container) => container.streams().to_vec(),
        }
    }
}

impl ContainerRecipe {
    /// In the order in which they are written.
    fn streams(&self) -> [&Stream; 6] {
        [&self.header, &self.layout, &self.records, &self.payloads, &self.strays, &self.corrections]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::container::put_block_header;
    use crate::chunk::{ChunkMap, CutParams};
    use proptest::prelude::*;

    const SMALL: CutParams = CutParams { min: 64, average: 256, max: 1024, align: 512 };

    /// Takes a file apart, treating payloads as records where `decode` says so.
    fn split(file: &[u8], part: usize, decode: bool, map: &mut ChunkMap) -> (Split, Finding) {
        let (mut framer, mut splitter) = (Framer::new(true), Splitter::new(SMALL));
        for (bytes, end) in file.chunks(part).map(|bytes| (bytes, false)).chain([(&[][..], true)]) {
            framer.push(bytes);
            while let Some(segment) = framer.next_segment(end) {
                match segment {
                    Segment::Block(block) if decode => {
                        let decision =
                            PayloadDecision::Decode { plain: None, encoder: "null".into(), corrections: None };
                        splitter.block(block, decision, map).unwrap();
                    }
                    segment => splitter.segment(segment, map).unwrap(),
                }
            }
        }
        (splitter.finish(map).unwrap(), framer.finding())
    }

    fn rebuild(recipe: &Recipe, map: &ChunkMap) -> Vec<u8> {
        let recipe = Recipe::decode(&recipe.encode()).unwrap();
        let (mut rebuild, mut file) = (RecipeReader::new(&recipe, map), Vec::new());
        while let Some(part) = rebuild.next_part().unwrap() {
            match part {
                Part::Header(bytes) => file.extend(bytes),
                Part::Bytes(bytes) => {
                    rebuild.check(&bytes).unwrap();
                    file.extend(bytes);
                }
                Part::Payload { payload, frame } => {
                    rebuild.check(&payload).unwrap();
                    frame.put(&payload, &mut file);
                }
                Part::Encode { .. } => panic!("nothing was encoded"),
            }
        }
        file
    }

    /// A container of longs, some blocks of which hold them and some of which do not.
    fn container(marker: [u8; 16], blocks: &[(Vec<i64>, bool)]) -> Vec<u8> {
        let mut file = b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00".to_vec();
        file.extend(marker);
        for (longs, sound) in blocks {
            let mut payload = Vec::new();
            for long in longs {
                crate::avro::varint::encode(&mut payload, *long);
            }
            put_block_header(&mut file, longs.len() as u64 + u64::from(!sound), payload.len());
            file.extend(payload);
            file.extend(marker);
        }
        file
    }

    fn blocks() -> impl Strategy<Value = Vec<(Vec<i64>, bool)>> {
        let long = (any::<i64>(), 0u32..64).prop_map(|(long, shift)| long >> shift);
        prop::collection::vec((prop::collection::vec(long, 0..300), prop::bool::weighted(0.9)), 0..12)
    }

    proptest! {
        #[test]
        fn what_is_taken_apart_is_put_together_again(
            marker: [u8; 16], blocks in blocks(), part in 1usize..3000, decode: bool,
            change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut file = container(marker, &blocks);
            if let Some((at, to)) = change {
                let at = at.index(file.len());
                file[at] = to;
            }
            if let Some(cut) = cut {
                file.truncate(cut.index(file.len()));
            }
            let mut map = ChunkMap::default();
            let (split, finding) = split(&file, part, decode, &mut map);
            prop_assert_eq!(rebuild(&split.recipe, &map), file);
            if change.is_none() && cut.is_none() && decode && blocks.iter().all(|(_, sound)| *sound) {
                let records: usize = blocks.iter().map(|(longs, _)| longs.len()).sum();
                prop_assert_eq!((split.declared_records, split.verified_records), (records as u64, records as u64));
                let expected = if blocks.is_empty() { AvroState::HeaderOnly } else { AvroState::Ok };
                prop_assert_eq!(split.state(finding), Some(expected));
            }
        }

        #[test]
        fn any_bytes_are_a_recipe_or_refused(bytes: Vec<u8>) {
            let _ = Recipe::decode(&bytes);
            let _ = Recipe::decode(&[&[VERSION, CONTAINER][..], &bytes].concat());
        }
    }

    #[test]
    fn the_same_records_meet_again_whatever_their_blocks_and_marker() {
        let longs: Vec<i64> = (0..40_000).map(|n| n * n).collect();
        let file = |size: usize, marker| {
            container(marker, &longs.chunks(size).map(|longs| (longs.to_vec(), true)).collect::<Vec<_>>())
        };
        let mut map = ChunkMap::default();
        split(&file(1000, [1; 16]), 4096, true, &mut map);
        let before = map.chunks.len();
        split(&file(777, [2; 16]), 999, true, &mut map);
        let new: Vec<_> = map.chunks.values().filter(|(kind, _)| *kind == ChunkKind::Records).collect();
        assert!(
            map.chunks.len() <= before + 1,
            "{} new chunks, {} of records in all",
            map.chunks.len() - before,
            new.len()
        );
    }

    use crate::chunk::ChunkKind;
}
