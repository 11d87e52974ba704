//! What to do with the payloads of a container: finds the encoder that makes them again, and proves it block by block.

use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use super::Depth;
use super::room::Room;
use crate::avro::block::Looked;
use crate::avro::codec::{Codec, Decoder, MAX_DECODED};
use crate::avro::container::Header;
use crate::avro::encoder::{
    BLOCK_EFFORT, EncoderId, Encoders, PROBE_EFFORT, Prober, Sample, WriterHint, candidates, preflate_split, signature,
};
use crate::avro::schema::Schema;
use crate::hints::{Hints, ProvenPayload};
use crate::id::digest;
use crate::read::is_trusted;
use crate::recipe::{CompiledSchema, PayloadDecision, RawBlock};

/// Contexts for decoding and encoding, used again and again by whichever thread needs one.
#[derive(Default)]
pub(crate) struct Workbench {
    idle: Mutex<Vec<(Decoder, Encoders)>>,
    /// A thread that deals with a large block holds this: there may be one at a time, however many files are read at once.
    pub(crate) large: Mutex<()>,
}

impl Workbench {
    fn with<T>(&self, work: impl FnOnce(&mut Decoder, &mut Encoders) -> T) -> T {
        let lock = || self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lock().pop();
        let (mut decoder, mut encoders) = idle.unwrap_or_else(|| (Decoder::new(), Encoders::new()));
        let done = work(&mut decoder, &mut encoders);
        lock().push((decoder, encoders));
        done
    }
}

/// How far to go to reproduce a payload.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    pub(crate) depth: Depth,
    /// The most nanoseconds that encoding one byte may cost when restoring.
    pub(crate) max_cost: u32,
    /// Whether an encoder's output may be corrected. Reading corrections back trusts them, so only where they are
    /// authenticated.
    pub(crate) corrections: bool,
}

/// Looks into the blocks of one container.
pub(crate) struct EncoderFinder<'w> {
    bench: &'w Workbench,
    /// Where it is remembered which payloads were proven before.
    memory: &'w Hints,
    effort: Effort,
    /// The codec, if it is known and payloads are looked into.
    codec: Option<Codec>,
    schema: Arc<CompiledSchema>,
    hint: WriterHint,
    expected: Option<EncoderId>,
    prober: Option<Prober>,
    /// What may be spent to find an encoder for later blocks, where there is none for the first.
    later_effort: Spent,
    /// What can be seen of the writer, and whether all encoders that may be its are too slow; from the first blocks.
    seen: Option<(String, bool)>,
    /// Blocks in a row that nothing reproduced, from the start.
    nothing_left: usize,
}

/// The nominal cost of the slowest encoders that are tried by default, in nanoseconds a byte.
const USUAL_COST: u32 = 200;

/// What is left of the effort for probing. The slower encoders have one of their own: what is found without them must also be found
/// where they are tried.
#[derive(Debug, Clone, Copy)]
struct Spent {
    usual: u64,
    slow: u64,
}

/// If nothing reproduces this many blocks from the start, nothing will.
pub(super) const GIVE_UP_AFTER: usize = 16;

/// How many blocks are tried with every candidate, to find the file's encoder.
const PROBED: usize = 2;

impl<'w> EncoderFinder<'w> {
    /// For a container with this header, and this schema in it; `expected` is the encoder that its predecessor had.
    pub(crate) fn new(
        bench: &'w Workbench,
        memory: &'w Hints,
        effort: Effort,
        header: &Header,
        schema: Arc<CompiledSchema>,
        expected: Option<&str>,
    ) -> Self {
        Self {
            bench,
            memory,
            effort,
            codec: Codec::from_name(header.codec_name())
                .filter(|codec| effort.depth == Depth::Deep || *codec == Codec::Null),
            schema,
            hint: WriterHint::from_keys(header.entries().map(|(key, _)| key)),
            expected: expected.and_then(|id| id.parse().ok()),
            prober: None,
            later_effort: Spent { usual: PROBE_EFFORT / 4, slow: PROBE_EFFORT },
            seen: None,
            nothing_left: 0,
        }
    }

    /// Why payloads that decode are kept as they are, in words.
    pub(crate) fn why_raw(&self) -> String {
        match &self.seen {
            Some((writer, false)) => format!("no known encoder: {writer}"),
            Some((writer, true)) => format!("encoding again is slower than what was asked for: {writer}"),
            None => "no known encoder".into(),
        }
    }

    /// Whether payloads have to be decoded, so that it pays to hand over many blocks at once.
    pub(crate) fn decodes(&self) -> bool {
        self.codec.is_some_and(|codec| codec != Codec::Null)
    }

    /// Whether an encoder may still be found. If not, payloads are decoded all the same: to see whether they are sound.
    fn hopes(&self) -> bool {
        self.nothing_left < GIVE_UP_AFTER
    }

    /// What to do with these blocks, which follow each other. Uses all threads of the pool. `None` for those that decode to
    /// more than there is room for.
    pub(crate) fn decide(
        &mut self,
        pool: &rayon::ThreadPool,
        blocks: &[RawBlock],
        room: Room,
    ) -> Vec<Option<PayloadDecision>> {
        match self.codec {
            // Records that are not compressed are their own payload, however far one looks, as long as one looks.
            Some(Codec::Null) => blocks.iter().map(|_| Some(as_they_are())).collect(),
            Some(codec) if self.hopes() => self.decode(pool, codec, blocks, room),
            Some(codec) => self.look(pool, codec, blocks, room),
            None => blocks.iter().map(|_| Some(PayloadDecision::Keep(None))).collect(),
        }
    }

    /// Looks whether the blocks hold what they declare, without trying to reproduce them.
    fn look(
        &self,
        pool: &rayon::ThreadPool,
        codec: Codec,
        blocks: &[RawBlock],
        room: Room,
    ) -> Vec<Option<PayloadDecision>> {
        let schema = self.schema.schema();
        let look = |block: &RawBlock| {
            self.bench.with(|decoder, _| {
                let mut plain = Vec::new();
                let looked = match room.decode(decoder, codec, &block.payload, &mut plain)? {
                    Ok(_) => Looked::at_records(schema, &plain, block.count),
                    Err(_) => Looked::into_payload(decoder, codec, schema, &block.payload, block.count, &mut plain),
                };
                Some(PayloadDecision::Keep(Some(looked)))
            })
        };
        match blocks.len() {
            1 => blocks.iter().map(look).collect(),
            _ => pool.install(|| blocks.par_iter().map(look).collect()),
        }
    }

    fn decode(
        &mut self,
        pool: &rayon::ThreadPool,
        codec: Codec,
        blocks: &[RawBlock],
        room: Room,
    ) -> Vec<Option<PayloadDecision>> {
        let mut probed = 0;
        if self.prober.is_none() {
            self.prober = self.probe(codec, blocks, room);
            probed = PROBED;
        }
        if self.prober.as_ref().is_none_or(|prober| prober.winner().is_none()) {
            self.probe_later(codec, blocks, probed, room);
            self.see(codec, blocks, room);
        }
        let (prober, effort) = (self.prober.as_ref(), self.effort);
        let (bench, memory, schema) = (self.bench, self.memory, self.schema.schema());
        let decide = |block: &RawBlock| {
            bench.with(|decoder, encoders| {
                if !worth_remembering(codec) {
                    let decision = decide_block(decoder, encoders, codec, prober, effort, schema, room, block)?;
                    return Some((decision, None, true));
                }
                let hash = digest(&block.payload);
                let proven = memory.proven_encoder(&hash).filter(|id| effort.allows(codec, id));
                match proven.and_then(|encoder| reuse_proven(decoder, codec, encoder, room, block)) {
                    Some(decision) => Some((decision, None, false)),
                    None => {
                        let decision = decide_block(decoder, encoders, codec, prober, effort, schema, room, block)?;
                        let proven = newly_proven(hash, &decision);
                        Some((decision, proven, true))
                    }
                }
            })
        };
        let decided: Vec<Option<(PayloadDecision, Option<ProvenPayload>, bool)>> = match blocks.len() {
            1 => blocks.iter().map(decide).collect(),
            _ => pool.install(|| blocks.par_iter().map(decide).collect()),
        };
        let (mut decisions, mut all_proven, mut found) = (Vec::with_capacity(decided.len()), Vec::new(), Vec::new());
        for decided in decided {
            if let Some((decision, proven, is_found)) = decided {
                all_proven.extend(proven);
                found.extend(is_found.then(|| encoder(&decision)).flatten());
                decisions.push(Some(decision));
            } else {
                decisions.push(None);
            }
        }
        self.memory.remember_proven(&all_proven);
        if let Some(prober) = &mut self.prober {
            prober.learn(&found);
        }
        match decisions.iter().any(|decision| matches!(decision, Some(PayloadDecision::Decode { .. }))) {
            true => self.nothing_left = 0,
            false => self.nothing_left += decisions.iter().flatten().count(),
        }
        decisions
    }

    /// Finds the file's encoder with its first blocks.
    fn probe(&self, codec: Codec, blocks: &[RawBlock], room: Room) -> Option<Prober> {
        let blocks = blocks.iter().filter(|block| says_something(block)).take(PROBED);
        self.probe_with(codec, blocks, room, &mut Spent { usual: PROBE_EFFORT, slow: PROBE_EFFORT })
    }

    /// Tries later blocks one by one, but for those that were `probed`, where the first ones have no encoder: they may be damaged, or
    /// another writer's.
    fn probe_later(&mut self, codec: Codec, blocks: &[RawBlock], probed: usize, room: Room) {
        let mut effort = self.later_effort;
        let tried = GIVE_UP_AFTER.saturating_sub(self.nothing_left);
        for block in blocks.iter().take(tried).filter(|block| says_something(block)).skip(probed) {
            let prober = self.probe_with(codec, std::iter::once(block), room, &mut effort);
            if let Some(prober) = prober.filter(|prober| prober.winner().is_some()) {
                self.prober = Some(prober);
                break;
            }
        }
        self.later_effort = effort;
    }

    /// Looks at the writer of a file without an encoder.
    fn see(&mut self, codec: Codec, blocks: &[RawBlock], room: Room) {
        if self.seen.is_some() {
            return;
        }
        self.seen = self.bench.with(|decoder, _| {
            let block = blocks.iter().find(|block| says_something(block))?;
            let mut plain = Vec::new();
            let consumed = room.decode(decoder, codec, &block.payload, &mut plain)?.ok()?;
            let sample = Sample { plain: &plain, payload: &block.payload, consumed };
            let ids = candidates(codec, &self.hint, &sample);
            let is_slow = !ids.is_empty() && ids.iter().all(|id| id.method.cost() > self.effort.max_cost);
            Some((signature(codec, &self.hint, &sample), is_slow))
        });
    }

    fn probe_with<'b>(
        &self,
        codec: Codec,
        blocks: impl Iterator<Item = &'b RawBlock>,
        room: Room,
        effort: &mut Spent,
    ) -> Option<Prober> {
        self.bench.with(|decoder, encoders| {
            let mut decoded = Vec::new();
            for block in blocks {
                let mut plain = Vec::new();
                if let Some(Ok(consumed)) = room.decode(decoder, codec, &block.payload, &mut plain) {
                    decoded.push((plain, consumed, &block.payload));
                }
            }
            let samples: Vec<Sample<'_>> = decoded
                .iter()
                .map(|(plain, consumed, payload)| Sample { plain, payload, consumed: *consumed })
                .collect();
            let mut ids = candidates(codec, &self.hint, samples.first()?);
            let usable =
                |id: &EncoderId| id.codec() == codec && id.method.cost() <= self.effort.max_cost && is_trusted(id);
            ids.retain(usable);
            // What made the predecessor is tried first, and among the usual ones however slow it is.
            let expected = self.expected.filter(usable);
            let is_usual = |id: &EncoderId| id.method.cost() <= USUAL_COST;
            let (usual, slow) = ids.iter().partition(|id| is_usual(id));
            let (mut usual, slow) = (Prober::new(usual), Prober::new(slow));
            let mut prober = Prober::new(ids);
            if let Some(expected) = expected {
                usual.expect(expected);
                prober.expect(expected);
            }
            let found = [(usual, &mut effort.usual), (slow, &mut effort.slow)]
                .into_iter()
                .find_map(|(mut some, effort)| some.probe(encoders, &samples, effort));
            if let Some(found) = found {
                prober.prefer(found);
            }
            Some(prober)
        })
    }
}

impl Effort {
    /// With encoders of at least this speed, in megabytes a second; corrections only where what is stored is authenticated.
    pub(crate) fn new(depth: Depth, min_encode_speed: f64, is_encrypted: bool) -> Self {
        let max_cost = (1000.0 / min_encode_speed.max(0.001)) as u32;
        Self { depth, max_cost, corrections: is_encrypted }
    }

    /// Whether an encoder may be used for a codec.
    fn allows(self, codec: Codec, id: &str) -> bool {
        let id = id.parse::<EncoderId>();
        id.is_ok_and(|id| id.codec() == codec && id.method.cost() <= self.max_cost && is_trusted(&id))
    }
}

/// A block of no bytes says nothing about its encoder.
fn says_something(block: &RawBlock) -> bool {
    !block.payload.is_empty()
}

/// What to do with a block whose payload was proven before: it is decoded, but not encoded again.
fn reuse_proven(
    decoder: &mut Decoder,
    codec: Codec,
    encoder: String,
    room: Room,
    block: &RawBlock,
) -> Option<PayloadDecision> {
    let mut plain = Vec::new();
    room.decode(decoder, codec, &block.payload, &mut plain)?.ok()?;
    Some(PayloadDecision::Decode { plain: Some(plain), encoder, corrections: None })
}

/// Whether proving a payload costs more than looking up whether it was proven before: a hash, a look-up and a row for each.
fn worth_remembering(codec: Codec) -> bool {
    !matches!(codec, Codec::Null | Codec::Snappy)
}

/// What to remember of a decision: corrections are not, since they would have to be remembered, too.
fn newly_proven(payload: [u8; 32], decision: &PayloadDecision) -> Option<ProvenPayload> {
    match decision {
        PayloadDecision::Decode { encoder, corrections: None, .. } => Some((payload, encoder.clone())),
        _ => None,
    }
}

/// The encoder that makes a block without corrections.
fn encoder(decision: &PayloadDecision) -> Option<EncoderId> {
    match decision {
        PayloadDecision::Decode { encoder, corrections: None, .. } => encoder.parse().ok(),
        _ => None,
    }
}

/// A payload that is its own decoded form.
fn as_they_are() -> PayloadDecision {
    PayloadDecision::Decode { plain: None, encoder: "null".into(), corrections: None }
}

/// What to do with one block: decoded if an encoder makes exactly its payload again, which is tried out here. Else it is
/// kept, with what its records are like. `None` if it decodes to more than there is room for.
#[allow(clippy::too_many_arguments, reason = "all of it is what one attempt needs")]
fn decide_block(
    decoder: &mut Decoder,
    encoders: &mut Encoders,
    codec: Codec,
    prober: Option<&Prober>,
    effort: Effort,
    schema: Option<&Schema>,
    room: Room,
    block: &RawBlock,
) -> Option<PayloadDecision> {
    let mut plain = Vec::new();
    let Ok(consumed) = room.decode(decoder, codec, &block.payload, &mut plain)? else {
        let looked = Looked::into_payload(decoder, codec, schema, &block.payload, block.count, &mut plain);
        return Some(PayloadDecision::Keep(Some(looked)));
    };
    let sample = Sample { plain: &plain, payload: &block.payload, consumed };
    let mut budget = BLOCK_EFFORT.max(effort.max_cost as u64 * plain.len() as u64);
    if let Some(id) = prober.and_then(|prober| prober.find(encoders, &sample, &mut budget)) {
        return Some(PayloadDecision::Decode { plain: Some(plain), encoder: id.to_string(), corrections: None });
    }
    if codec == Codec::Deflate
        && effort.corrections
        && let Some(tail) = sample.tail(codec)
        && let Some(stream) = block.payload.get(..consumed)
        && let Some((split, corrections)) = preflate_split(stream, MAX_DECODED)
        && split == plain
    {
        let encoder = format!("{}{}", crate::recipe::PREFLATE, tail.suffix());
        return Some(PayloadDecision::Decode { plain: Some(plain), encoder, corrections: Some(corrections) });
    }
    Some(PayloadDecision::Keep(Some(Looked::at_records(schema, &plain, block.count))))
}
