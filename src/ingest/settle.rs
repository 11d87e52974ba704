//! Taking a file of a snapshot apart again with the encoders of today: payloads that were kept as they are, or needed
//! corrections, become records where an encoder makes them.

use super::encoder_finder::{EncoderFinder, GIVE_UP_AFTER};
use super::feeder::Feeder;
use super::file::{BATCH_BLOCKS, BATCH_BYTES, FileContext, decide_each, facts};
use crate::avro::codec::Codec;
use crate::avro::container::{Header, Parsed, parse_header};
use crate::error::{Context, Error, Result};
use crate::read::{FileAssembler, Prefetching, Rebuilt};
use crate::recipe::{Framer, Part, PayloadDecision, RawBlock, Recipe, Segment, Splitter, UnsettledBlocks};
use crate::snapshot::entry::{AvroFacts, FileEntry};
use crate::store::Repository;

/// A file that was taken apart with the encoders of today.
pub(crate) struct Settled {
    pub(crate) recipe: Vec<u8>,
    pub(crate) facts: AvroFacts,
    /// Blocks that an encoder makes, or makes without corrections, and did not before.
    pub(crate) blocks: u64,
    /// How many bytes of payloads and corrections are stored as records instead.
    pub(crate) bytes: u64,
}

/// At most this many bytes of blocks are looked at to see whether taking a file apart again is worth it, but for the last block.
const TRIED_BYTES: usize = 4 << 20;

/// Whether some block of a file is kept as it is, or needs corrections, and its codec is one that has encoders. Nothing is read
/// for that.
pub(crate) fn may_settle(facts: &AvroFacts) -> bool {
    let codec = Codec::from_name(&facts.codec);
    codec.is_some_and(|codec| codec != Codec::Null) && (facts.blocks_raw > 0 || facts.blocks_corrected > 0)
}

/// Whether an encoder makes one of the first blocks that are kept as they are, or need corrections. Of the file only those are
/// read, and none is tried after as many as `create` tries.
pub(crate) fn finds_encoder(
    context: &FileContext<'_>,
    assembler: &FileAssembler<'_, Repository>,
    entry: &FileEntry,
    expected: Option<&str>,
) -> Result<bool> {
    let shown = String::from_utf8_lossy(&entry.path);
    let Recipe::Container(recipe) = Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {shown}"))?
    else {
        return Ok(false);
    };
    let mut unsettled = UnsettledBlocks::new(&recipe, assembler.source);
    let header = header_of(&unsettled.header()?, entry)?;
    let mut finder = finder(context, &header, expected);
    let (mut blocks, mut old, mut bytes) = (Vec::new(), Vec::new(), 0);
    while blocks.len() < GIVE_UP_AFTER
        && bytes < TRIED_BYTES
        && let Some(part) = unsettled.next_block()?
    {
        for (part, made) in assembler.encode(vec![part])? {
            let (block, settled) = match (part, made) {
                (Part::Payload { payload, frame }, _) => (frame.block(payload), None),
                (Part::Encode { frame, corrections, .. }, Some(payload)) => (frame.block(payload), corrections),
                _ => return Err(Error::WorkerStopped),
            };
            // A block of no bytes says nothing about its encoder.
            if !block.payload.is_empty() {
                bytes += block.payload.len();
                blocks.push(block);
                old.push(settled.is_some());
            }
        }
    }
    let (mut found, mut old) = (false, old.into_iter());
    decide_each(context, &mut finder, blocks, false, &mut |_, decision| {
        found |= is_better(&decision, old.next().unwrap_or(false));
        Ok(())
    })?;
    Ok(found)
}

/// Rebuilds a file, compares it with its hash, and takes it apart again. What an encoder made so far is left to it.
pub(crate) fn settle(
    context: &FileContext<'_>,
    assembler: &FileAssembler<'_, Prefetching<'_, '_>>,
    entry: &FileEntry,
    expected: Option<&str>,
    feeder: &mut Feeder<'_, '_, '_>,
) -> Result<Settled> {
    let Some(before) = &entry.avro else {
        return Err(Error::Internal("a file that is no container is to be settled".into()));
    };
    let mut file = Settling {
        context,
        expected,
        splitter: Splitter::new(context.cut),
        framer: Framer::new(true),
        finder: None,
        waiting: Vec::new(),
        bytes: 0,
        blocks: 0,
    };
    assembler.parts(entry, &mut |rebuilt| {
        context.repository.runtime().go_on()?;
        context.progress.bytes(rebuilt.bytes().len() as u64);
        file.framer.push(rebuilt.bytes());
        while file.framer.next_segment(false).is_some() {}
        file.part(rebuilt, entry, feeder)
    })?;
    file.flush(feeder)?;
    while file.framer.next_segment(true).is_some() {}
    let split = file.splitter.finish(feeder)?;
    let recipe = split.recipe.encode();
    let was = Recipe::decode(&entry.recipe).map_or(0, |recipe| recipe.unsettled_bytes());
    let bytes = was.saturating_sub(split.recipe.unsettled_bytes());
    let finding = file.framer.finding();
    let state = split.state(finding).unwrap_or(before.state);
    let reason = split.reason(finding, file.finder.as_ref().map(EncoderFinder::why_raw));
    let facts = facts(split, state, before.codec.clone(), reason, file.framer.stray_bytes());
    Ok(Settled { recipe, facts, blocks: file.blocks, bytes })
}

fn header_of(bytes: &[u8], entry: &FileEntry) -> Result<Header> {
    let shown = String::from_utf8_lossy(&entry.path);
    match parse_header(bytes) {
        Parsed::Done(header) => Ok(header),
        _ => Err(Error::damaged(format!("the recipe of {shown}"), "it holds no valid header")),
    }
}

fn finder<'c>(context: &FileContext<'c>, header: &Header, expected: Option<&str>) -> EncoderFinder<'c> {
    let FileContext { bench, effort, schemas, repository, .. } = context;
    EncoderFinder::new(bench, repository.hints(), *effort, header, schemas.of(header), expected)
}

/// Whether a decision is more than what there was: a payload as it is, or with corrections.
fn is_better(decision: &PayloadDecision, was_corrected: bool) -> bool {
    match decision {
        PayloadDecision::Keep(_) => false,
        PayloadDecision::Decode { corrections, .. } => !was_corrected || corrections.is_none(),
    }
}

/// A file on its way out of its old streams and into new ones.
struct Settling<'a, 'c> {
    context: &'a FileContext<'c>,
    expected: Option<&'a str>,
    splitter: Splitter,
    /// Sees the file as `create` would, for what its row says.
    framer: Framer,
    finder: Option<EncoderFinder<'c>>,
    /// Blocks that are to be dealt with together.
    waiting: Vec<Waiting>,
    bytes: usize,
    blocks: u64,
}

/// A block, and what was done about it so far.
struct Waiting {
    block: RawBlock,
    /// None for a payload that is kept as it is.
    was: Option<PayloadDecision>,
    /// Whether that stays.
    stays: bool,
}

impl Settling<'_, '_> {
    fn part(&mut self, rebuilt: Rebuilt<'_>, entry: &FileEntry, feeder: &mut Feeder<'_, '_, '_>) -> Result<()> {
        let Rebuilt { part, payload: made, .. } = rebuilt;
        let waiting = match (part, made) {
            (Part::Header(bytes), _) => {
                let header = header_of(&bytes, entry)?;
                self.finder = Some(finder(self.context, &header, self.expected));
                let schema = self.context.schemas.of(&header);
                feeder.schema(schema.fingerprint());
                return self.splitter.header(&header, schema, feeder);
            }
            (Part::Bytes(bytes), _) => {
                self.flush(feeder)?;
                return self.splitter.segment(Segment::Stray(bytes), feeder);
            }
            (Part::Payload { payload, frame }, _) => Waiting { block: frame.block(payload), was: None, stays: false },
            (Part::Encode { plain, encoder, corrections, frame }, Some(payload)) => {
                self.bytes += plain.len();
                let stays = corrections.is_none();
                let was = PayloadDecision::Decode { plain: Some(plain), encoder, corrections };
                Waiting { block: frame.block(payload), was: Some(was), stays }
            }
            (Part::Encode { .. }, None) => return Err(Error::WorkerStopped),
        };
        self.bytes += waiting.block.payload.len();
        self.waiting.push(waiting);
        match self.bytes < BATCH_BYTES && self.waiting.len() < BATCH_BLOCKS {
            true => Ok(()),
            false => self.flush(feeder),
        }
    }

    /// Decides about the blocks that wait, and puts them into streams.
    fn flush(&mut self, feeder: &mut Feeder<'_, '_, '_>) -> Result<()> {
        self.bytes = 0;
        let (mut open, mut order) = (Vec::new(), Vec::new());
        for Waiting { block, was, stays } in std::mem::take(&mut self.waiting) {
            if stays {
                order.push((Some(block), was));
            } else {
                open.push(block);
                order.push((None, was));
            }
        }
        if order.is_empty() {
            return Ok(());
        }
        let Some(finder) = &mut self.finder else {
            return Err(Error::Internal("a block without a header".into()));
        };
        let (splitter, mut order, blocks) = (&mut self.splitter, order.into_iter(), &mut self.blocks);
        let mut next = |open: Option<(RawBlock, PayloadDecision)>| -> Result<()> {
            let mut open = open;
            for (block, was) in order.by_ref() {
                match (block, was, open.take()) {
                    // One that stays, before the one that was decided about.
                    (Some(block), Some(was), decided) => {
                        splitter.block(block, was, feeder)?;
                        open = decided;
                    }
                    (_, was, Some((block, decision))) => {
                        let better = is_better(&decision, was.is_some());
                        *blocks += u64::from(better);
                        let decision = if better { decision } else { was.unwrap_or(decision) };
                        return splitter.block(block, decision, feeder);
                    }
                    (_, _, None) => return Err(Error::WorkerStopped),
                }
            }
            Ok(())
        };
        if !open.is_empty() {
            decide_each(self.context, finder, open, false, &mut |block, decision| next(Some((block, decision))))?;
        }
        next(None)
    }
}
