//! Finds the encoder of a file, and checks each block with it.
//!
//! Nothing here knows time or threads: effort is counted in nominal nanoseconds ([`Method::cost`]), so the same file makes
//! the same recipe on any machine; the caller shares a [`Prober`] between threads, each with its own [`Encoders`].

use super::id::{EncoderId, Method, Tail};
use super::{Encoders, SnappyHash};
use crate::avro::codec::Codec;

/// The effort for probing a file, in nominal nanoseconds: 2 s, which is 45 MB through zlib level 6.
pub const PROBE_EFFORT: u64 = 2_000_000_000;

/// The effort for one block that the file's encoder does not reproduce, in nominal nanoseconds: 0.1 s.
pub const BLOCK_EFFORT: u64 = 100_000_000;

/// An encoder that stops at the first difference has seen no more plain bytes than this until then, in most cases.
const EARLY_STOP: usize = 128 << 10;

/// A block as it stands in a file, and decoded.
#[derive(Debug, Clone, Copy)]
pub struct Sample<'a> {
    /// The decoded bytes.
    pub plain: &'a [u8],
    /// The payload to be reproduced.
    pub payload: &'a [u8],
    /// How much of the payload the compressed stream takes, as the decoder said.
    pub consumed: usize,
}

impl Sample<'_> {
    /// The rule that makes what follows the compressed stream, if there is one.
    pub fn tail(&self, codec: Codec) -> Option<Tail> {
        Tail::of(codec, self.plain, self.payload.get(self.consumed..)?)
    }
}

/// The encoders that may have written a file, and the one that did.
#[derive(Debug, Clone)]
pub struct Prober {
    candidates: Vec<EncoderId>,
    winner: Option<EncoderId>,
    /// How many blocks needed which method, since the file's encoder at that time did not make them.
    needed: Vec<(Method, usize)>,
}

impl Prober {
    /// A prober that tries `candidates` in order ([`candidates`](super::candidates)). What won for the same schema or
    /// writer last time should be put in front by [`Self::expect`], and ids that are too slow to restore left out.
    pub fn new(candidates: Vec<EncoderId>) -> Self {
        Self { candidates, winner: None, needed: Vec::new() }
    }

    /// Tries `id` before the others.
    pub fn expect(&mut self, id: EncoderId) {
        self.candidates.retain(|candidate| candidate.method != id.method);
        self.candidates.insert(0, id);
    }

    /// The file's encoder, if one was found.
    pub fn winner(&self) -> Option<EncoderId> {
        self.winner
    }

    /// Makes `id` the file's encoder.
    pub fn prefer(&mut self, id: EncoderId) {
        self.expect(id);
        self.winner = Some(id);
    }

    /// Takes note of the ids that [`Self::find`] returned. The one that most blocks needed, where the file's encoder did not make
    /// them, is the file's encoder from now on: its first blocks may fit several, and later ones would pay two attempts each.
    pub fn learn(&mut self, found: &[EncoderId]) {
        let Some(winner) = self.winner else { return };
        for id in found.iter().filter(|id| id.method != winner.method) {
            match self.needed.iter_mut().find(|(method, _)| *method == id.method) {
                Some((_, blocks)) => *blocks += 1,
                None => self.needed.push((id.method, 1)),
            }
        }
        let blocks = |wanted: Method| self.needed.iter().find(|(method, _)| *method == wanted).map_or(0, |(_, n)| *n);
        // Of several with the same number the first.
        let most = self.needed.iter().rev().max_by_key(|(_, blocks)| *blocks);
        if let Some((method, _)) = most.copied().filter(|(_, most)| *most > blocks(winner.method)) {
            self.prefer(EncoderId { method, tail: winner.tail });
        }
    }

    /// Picks the encoder that reproduces the most of `samples`, the first such in the order of candidates; about three
    /// are enough, the shorter ones first. Spends `effort` and stops when there is none left.
    pub fn probe(&mut self, encoders: &mut Encoders, samples: &[Sample<'_>], effort: &mut u64) -> Option<EncoderId> {
        let mut best: Option<(EncoderId, usize)> = None;
        // Candidates are tried with one sample, and only those that fit it with the others: a file has one writer.
        for (first, sample) in samples.iter().enumerate() {
            for candidate in &self.candidates {
                let Some(exact) = attempt(encoders, *candidate, sample, effort) else { continue };
                if !exact {
                    continue;
                }
                let others = samples[first + 1..].iter();
                let fits = others.filter(|other| attempt(encoders, *candidate, other, effort) == Some(true)).count();
                if best.is_none_or(|(_, most)| fits > most) {
                    best = Some((*candidate, fits));
                }
                if first + 1 + fits == samples.len() {
                    break;
                }
            }
            if best.is_some() {
                break;
            }
        }
        self.winner = best.map(|(id, _)| id);
        self.winner
    }

    /// The id that reproduces this block exactly: the file's encoder, or another of the candidates. The file's encoder is
    /// always tried; others are while `effort` lasts. None also where probing found no encoder at all.
    pub fn find(&self, encoders: &mut Encoders, sample: &Sample<'_>, effort: &mut u64) -> Option<EncoderId> {
        let winner = self.winner?;
        let tail = sample.tail(winner.codec())?;
        let winner = EncoderId { method: winner.method, tail };
        if encoders.verify(&winner, sample.plain, sample.payload) {
            return Some(winner);
        }
        // The samples may have fitted several, so what is nearest to the winner comes first.
        let mut others: Vec<&EncoderId> = self.candidates.iter().collect();
        others.sort_by_key(|id| distance(id.method, winner.method));
        for other in others.into_iter().filter(|other| other.method != winner.method) {
            let other = EncoderId { method: other.method, tail };
            if attempt(encoders, other, sample, effort) == Some(true) {
                return Some(other);
            }
        }
        None
    }
}

/// How near two methods are: 0 for the same settings of another version of one library, which agree on short blocks; 1
/// where they differ in the level only.
fn distance(a: Method, b: Method) -> u8 {
    match (a, b) {
        (Method::Zstd157 { mode, level, checksum }, Method::Zstd156 { mode: m, level: l, checksum: c })
        | (Method::Zstd156 { mode, level, checksum }, Method::Zstd157 { mode: m, level: l, checksum: c })
            if (mode, level, checksum) == (m, l, c) =>
        {
            0
        }
        _ if std::mem::discriminant(&a) == std::mem::discriminant(&b) => 1,
        _ => 2,
    }
}

/// Verifies if `effort` allows, and takes what it costs; None if it does not, or if the tail is another.
fn attempt(encoders: &mut Encoders, id: EncoderId, sample: &Sample<'_>, effort: &mut u64) -> Option<bool> {
    let tail = sample.tail(id.codec())?;
    let id = EncoderId { method: id.method, tail };
    let cost = |bytes: usize| u64::from(id.method.cost()).saturating_mul(bytes as u64 + 1024);
    let stops_early = match id.method {
        Method::Zlib { .. } | Method::ChromiumZlib { .. } | Method::Miniz { .. } => true,
        Method::Go { .. } | Method::GoHuffman => true,
        Method::Snappy(hash) => hash != SnappyHash::Shift14,
        _ => false,
    };
    let expected = if stops_early { sample.plain.len().min(EARLY_STOP) } else { sample.plain.len() };
    if *effort < cost(expected) {
        return None;
    }
    let exact = encoders.verify(&id, sample.plain, sample.payload);
    let spent = if exact { sample.plain.len() } else { expected };
    *effort = effort.saturating_sub(cost(spent));
    Some(exact)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::encoder::selftest::{Kind, sample};
    use crate::avro::encoder::{WriterHint, ZstdMode, candidates};

    const LEVEL_4: Method = Method::Zlib { level: 4, mem_level: 8 };

    fn encoded(id: EncoderId, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoders::new().encode(&id, plain, &mut out).unwrap();
        out
    }

    fn block<'a>(plain: &'a [u8], payload: &'a [u8], tail: usize) -> Sample<'a> {
        Sample { plain, payload, consumed: payload.len() - tail }
    }

    #[test]
    fn the_encoder_is_found_and_another_for_a_block_that_differs() {
        let plain = sample(Kind::Records, 90_000);
        let (a, b) = plain.split_at(40_000);
        let id = EncoderId { method: LEVEL_4, tail: Tail::Adler3 };
        let (first, second, odd) = (encoded(id, a), encoded(id, b), encoded(Method::Miniz { level: 10 }.plain(), b));
        let samples = [block(a, &first, 3), block(b, &second, 3)];
        let mut encoders = Encoders::new();
        let mut prober = Prober::new(candidates(Codec::Deflate, &WriterHint::default(), &samples[0]));
        let mut effort = PROBE_EFFORT;
        assert_eq!(prober.probe(&mut encoders, &samples, &mut effort), Some(id));
        assert!(effort < PROBE_EFFORT);
        assert_eq!(prober.find(&mut encoders, &samples[1], &mut 0), Some(id));
        let odd = block(b, &odd, 0);
        assert_eq!(prober.find(&mut encoders, &odd, &mut 0), None);
        let found = prober.find(&mut encoders, &odd, &mut PROBE_EFFORT.clone());
        assert_eq!(found, Some(Method::Miniz { level: 10 }.plain()));
        prober.prefer(found.unwrap());
        assert_eq!(prober.find(&mut encoders, &odd, &mut 0), found);
    }

    #[test]
    fn where_short_blocks_fit_two_versions_later_ones_are_found_at_once() {
        let version = |new| match new {
            true => Method::Zstd157 { mode: ZstdMode::Once, level: 3, checksum: false },
            false => Method::Zstd156 { mode: ZstdMode::Once, level: 3, checksum: false },
        };
        let plain = sample(Kind::Records, 200_000);
        let (short, long) = plain.split_at(100);
        for new in [true, false] {
            let (id, other) = (version(new).plain(), version(!new).plain());
            let payloads = [encoded(id, short), encoded(id, long)];
            assert_eq!(payloads[0], encoded(other, short), "both versions make the same of a short block");
            assert_ne!(payloads[1], encoded(other, long));
            let mut prober =
                Prober::new(candidates(Codec::Zstandard, &WriterHint::default(), &block(short, &payloads[0], 0)));
            prober.expect(other);
            let mut encoders = Encoders::new();
            prober.probe(&mut encoders, &[block(short, &payloads[0], 0)], &mut PROBE_EFFORT.clone());
            assert_eq!(prober.winner(), Some(other));
            // No more effort than one attempt takes, and then none.
            let mut effort = u64::from(id.method.cost()) * (long.len() as u64 + 1024);
            assert_eq!(prober.find(&mut encoders, &block(long, &payloads[1], 0), &mut effort), Some(id));
            prober.learn(&[other, other, id]);
            assert_eq!(prober.winner(), Some(id));
            assert_eq!(prober.find(&mut encoders, &block(long, &payloads[1], 0), &mut 0), Some(id));
            // One block that needs the other one again does not turn it back, two do.
            prober.learn(&[id, other]);
            assert_eq!(prober.winner(), Some(id));
            prober.learn(&[other]);
            assert_eq!(prober.winner(), Some(other));
        }
    }

    #[test]
    fn without_effort_nothing_is_tried() {
        let plain = sample(Kind::Records, 10_000);
        let payload = encoded(LEVEL_4.plain(), &plain);
        let samples = [block(&plain, &payload, 0)];
        let mut prober = Prober::new(vec![LEVEL_4.plain()]);
        assert_eq!(prober.probe(&mut Encoders::new(), &samples, &mut 1000), None);
        assert_eq!(prober.find(&mut Encoders::new(), &samples[0], &mut PROBE_EFFORT.clone()), None);
    }

    #[test]
    fn what_won_last_time_is_tried_first() {
        let plain = sample(Kind::Records, 10_000);
        let payload = encoded(LEVEL_4.plain(), &plain);
        let samples = [block(&plain, &payload, 0)];
        let mut prober = Prober::new(candidates(Codec::Deflate, &WriterHint::default(), &samples[0]));
        prober.expect(LEVEL_4.plain());
        let mut effort = u64::from(LEVEL_4.cost()) * 12_000;
        assert_eq!(prober.probe(&mut Encoders::new(), &samples, &mut effort), Some(LEVEL_4.plain()));
    }

    #[test]
    fn a_tail_of_no_rule_or_a_wrong_length_fits_nothing() {
        let plain = sample(Kind::Records, 1_000);
        let payload = [encoded(LEVEL_4.plain(), &plain), vec![1, 2, 3]].concat();
        assert_eq!(candidates(Codec::Deflate, &WriterHint::default(), &block(&plain, &payload, 3)), []);
        let beyond = Sample { plain: &plain, payload: &payload, consumed: payload.len() + 1 };
        assert_eq!(candidates(Codec::Deflate, &WriterHint::default(), &beyond), []);
    }
}
