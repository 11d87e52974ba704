//! Redundancy of a pack: what makes it whole again where a part of its bytes is not what it was (drawn in
//! `docs/format.md`, "Parity object"). Pure: bytes in, bytes out.
//!
//! A pack is cut into *original shards*, and a Reed-Solomon code makes *recovery shards* from them: any as many of both
//! together as there are originals give back all originals. Short hashes say which shards are sound. They only look for
//! the damage: what is mended counts if all of it hashes to the name of the pack, so that a forged object can give no
//! wrong byte. All of this is about sealed bytes and needs no key.

use reed_solomon_simd::engine::DefaultEngine;
use reed_solomon_simd::rate::{HighRateDecoder, HighRateEncoder, RateDecoder, RateEncoder};

use super::MAX_PACK;
use crate::crypto::{PRELUDE_LEN, Prelude, Suite, open_prelude};
use crate::id::{PackId, RepositoryId, digest};
use crate::storage::{Kind, Name};
use crate::wire::{Malformed, Reader, Result, Write};

/// The longest parity object, in bytes: as many recovery shards as a pack can have originals, and two heads.
pub const MAX_PARITY: u64 = MAX_PACK + (3 << 20);

/// The greatest share, in thousandths of a pack.
pub const MAX_SHARE: u32 = 1000;

/// Reads a share of a pack, like `5%`, `2.5%`, `5` or `off`, as thousandths.
///
/// # Errors
/// What is wrong with it, as a sentence.
pub fn parse_share(text: &str) -> std::result::Result<u32, String> {
    let wrong = || format!("{text:?} is not a share: write it like 5% or 2.5%, at most 100%, or off");
    if text == "off" {
        return Ok(0);
    }
    let number = text.strip_suffix('%').unwrap_or(text);
    let (whole, tenth) = number.split_once('.').unwrap_or((number, "0"));
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    if !is_number(whole) || !is_number(tenth) || tenth.len() > 1 {
        return Err(wrong());
    }
    let share = whole.parse::<u32>().ok().and_then(|whole| whole.checked_mul(10)?.checked_add(tenth.parse().ok()?));
    share.filter(|share| *share <= MAX_SHARE).ok_or_else(wrong)
}

/// Shards are multiples of this many bytes, and at least one.
const SHARD_UNIT: usize = 64;

/// The longest shard that is made: what a disk loses at once is mostly as long, and begins at a multiple of it.
const SHARD_MOST: usize = 4096;

const FIXED_LEN: usize = PRELUDE_LEN + PackId::LEN + 12;
const HASH_LEN: usize = 8;
const CHECK_LEN: usize = 16;

/// How many bytes of shards are worked on at once. The code works on each two bytes of all shards by itself, so shards can
/// be taken in slices, which take less memory.
const AT_ONCE: usize = 1 << 20;

/// The name of the parity object of a pack.
pub fn parity_name(pack: &PackId) -> Name {
    Name::new(Kind::Parity, pack)
}

/// How a pack is cut, and how much is made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Layout {
    /// Bytes of the pack.
    pack: usize,
    /// Bytes of each shard; the last original is filled up with zeros.
    shard: usize,
    originals: usize,
    recoveries: usize,
}

impl Layout {
    /// What this many thousandths of a pack of this length come to. Short packs have short shards: all hashes and one
    /// recovery shard together are to be about as short as they can be.
    fn of(pack: usize, share: u32) -> Option<Self> {
        if pack == 0 || pack as u64 > MAX_PACK || share == 0 {
            return None;
        }
        let shard = (4 * pack.isqrt()).next_power_of_two().clamp(SHARD_UNIT, SHARD_MOST);
        let originals = pack.div_ceil(shard);
        let recoveries = (originals * share.min(MAX_SHARE) as usize).div_ceil(MAX_SHARE as usize);
        Some(Self { pack, shard, originals, recoveries })
    }

    /// Where a shard lies in the pack.
    fn original(&self, number: usize) -> std::ops::Range<usize> {
        let start = number * self.shard;
        start..(start + self.shard).min(self.pack)
    }

    /// Where a recovery shard lies in the object.
    fn recovery(&self, number: usize) -> std::ops::Range<usize> {
        let start = self.head() + number * self.shard;
        start..start + self.shard
    }

    /// How long a head is, in bytes.
    fn head(&self) -> usize {
        FIXED_LEN + self.hashes() + CHECK_LEN
    }

    fn hashes(&self) -> usize {
        HASH_LEN * (self.originals + self.recoveries)
    }

    /// The slices of shards that are worked on, one after the other.
    fn slices(self) -> impl Iterator<Item = std::ops::Range<usize>> {
        let shards = (self.originals + self.recoveries.next_power_of_two()).next_power_of_two();
        let width = (AT_ONCE / shards / SHARD_UNIT * SHARD_UNIT).clamp(SHARD_UNIT, self.shard);
        (0..self.shard).step_by(width).map(move |start| start..(start + width).min(self.shard))
    }
}

fn short_hash(bytes: &[u8]) -> [u8; HASH_LEN] {
    let mut short = [0; HASH_LEN];
    short.copy_from_slice(&digest(bytes)[..HASH_LEN]);
    short
}

/// The code refused its input, which only a forged object can bring about.
fn refused(error: reed_solomon_simd::Error) -> Malformed {
    Malformed(format!("the code does not take its shards: {error}"))
}

/// Makes the parity object of a pack; none if the share, in thousandths of the pack, is 0, or the pack has no bytes or
/// more than a pack may have. The same pack and share always make the same bytes.
pub fn make_parity(repository: RepositoryId, pack: &PackId, bytes: &[u8], share: u32) -> Option<Vec<u8>> {
    Layout::of(bytes.len(), share).and_then(|layout| make(layout, repository, pack, bytes).ok())
}

fn make(layout: Layout, repository: RepositoryId, pack: &PackId, bytes: &[u8]) -> Result<Vec<u8>> {
    let recovery = recovery_shards(&layout, bytes)?;
    let mut fixed = Vec::with_capacity(layout.head());
    fixed.put(&Prelude { kind: Kind::Parity, suite: Suite::None, epoch: 0, repository }.encode());
    fixed.put(pack.as_bytes());
    fixed.put_u32(layout.pack as u32);
    fixed.put_u32(layout.shard as u32);
    fixed.put_u16(layout.originals as u16);
    fixed.put_u16(layout.recoveries as u16);
    let mut hashes = Vec::with_capacity(layout.hashes());
    for shard in bytes.chunks(layout.shard).chain(recovery.chunks(layout.shard)) {
        hashes.put(&short_hash(shard));
    }
    let check = check_of(&fixed, &hashes);
    Ok([&fixed[..], &hashes, &check, &recovery, &hashes, &fixed, &check].concat())
}

fn check_of(fixed: &[u8], hashes: &[u8]) -> [u8; CHECK_LEN] {
    let mut check = [0; CHECK_LEN];
    check.copy_from_slice(&digest(&[fixed, hashes].concat())[..CHECK_LEN]);
    check
}

/// All recovery shards of a pack, end to end.
fn recovery_shards(layout: &Layout, bytes: &[u8]) -> Result<Vec<u8>> {
    let mut recovery = vec![0; layout.recoveries * layout.shard];
    let last = filled_up(layout, bytes);
    let mut encoder: Option<HighRateEncoder<DefaultEngine>> = None;
    for slice in layout.slices() {
        let counts = (layout.originals, layout.recoveries, slice.len());
        let encoder = match &mut encoder {
            Some(encoder) => {
                encoder.reset(counts.0, counts.1, counts.2).map_err(refused)?;
                encoder
            }
            none => {
                let engine = DefaultEngine::new();
                none.insert(HighRateEncoder::new(counts.0, counts.1, counts.2, engine, None).map_err(refused)?)
            }
        };
        for number in 0..layout.originals {
            encoder.add_original_shard(&shard_of(layout, bytes, &last, number)[slice.clone()]).map_err(refused)?;
        }
        let made = encoder.encode().map_err(refused)?;
        for (shard, made) in recovery.chunks_mut(layout.shard).zip(made.recovery_iter()) {
            shard[slice.clone()].copy_from_slice(made);
        }
    }
    Ok(recovery)
}

/// The last original, with the zeros behind it.
fn filled_up(layout: &Layout, bytes: &[u8]) -> Vec<u8> {
    let mut last = bytes.get(layout.original(layout.originals - 1)).unwrap_or(&[]).to_vec();
    last.resize(layout.shard, 0);
    last
}

/// An original of a pack that has all its bytes.
fn shard_of<'b>(layout: &Layout, bytes: &'b [u8], last: &'b [u8], number: usize) -> &'b [u8] {
    match number + 1 == layout.originals {
        true => last,
        false => bytes.get(layout.original(number)).unwrap_or(last),
    }
}

/// A parity object one of whose heads is sound. What it says of itself may be forged all the same.
#[derive(Debug)]
pub struct Parity<'a> {
    repository: RepositoryId,
    pack: PackId,
    layout: Layout,
    hashes: &'a [u8],
    object: &'a [u8],
}

impl<'a> Parity<'a> {
    /// Reads a parity object of this repository. One that was cut off, or is damaged in any one place, is read as well.
    ///
    /// # Errors
    /// If neither of its heads is sound, or says what cannot be.
    pub fn read(object: &'a [u8], repository: RepositoryId) -> Result<Self> {
        let head = first_head(object).or_else(|first| last_head(object).map_err(|_| first));
        let (found, pack, layout, hashes) = head?;
        match found == repository {
            true => Ok(Self { repository, pack, layout, hashes, object }),
            false => Err(Malformed(format!("it belongs to repository {found}"))),
        }
    }

    /// The pack that it belongs to.
    pub fn pack(&self) -> PackId {
        self.pack
    }

    /// Whether it is, byte for byte, what is made of this pack, whose bytes must be sound.
    pub fn is_made_of(&self, pack: &[u8]) -> bool {
        let length = 2 * self.layout.head() + self.layout.recoveries * self.layout.shard;
        pack.len() == self.layout.pack
            && self.object.len() == length
            && make(self.layout, self.repository, &self.pack, pack).is_ok_and(|made| made == self.object)
    }

    /// The whole pack, from what is left of it: bytes at their places, some of them wrong, perhaps cut off, perhaps with
    /// others behind them.
    ///
    /// None if more is lost than this can bring back. What is given hashes to the pack's name.
    pub fn mend(&self, left: &[u8]) -> Option<Vec<u8>> {
        let layout = &self.layout;
        let is_sound = |number: usize, shard: Option<&[u8]>| {
            let hash = self.hashes.get(number * HASH_LEN..(number + 1) * HASH_LEN);
            shard.is_some_and(|shard| hash == Some(&short_hash(shard)[..]))
        };
        let sound: Vec<bool> =
            (0..layout.originals).map(|number| is_sound(number, left.get(layout.original(number)))).collect();
        let lost = sound.iter().filter(|sound| !**sound).count();
        let recoveries: Vec<(usize, &[u8])> = (0..layout.recoveries)
            .filter_map(|number| Some((number, self.object.get(layout.recovery(number))?)))
            .filter(|(number, shard)| is_sound(layout.originals + number, Some(shard)))
            .take(lost)
            .collect();
        if recoveries.len() < lost {
            return None;
        }
        let mut pack = left.get(..layout.pack.min(left.len()))?.to_vec();
        pack.resize(layout.pack, 0);
        if lost > 0 {
            self.restore(&mut pack, &sound, &recoveries).ok()?;
        }
        (digest(&pack) == *self.pack.as_bytes()).then_some(pack)
    }

    /// Puts originals that are not sound in their places.
    fn restore(&self, pack: &mut [u8], sound: &[bool], recoveries: &[(usize, &[u8])]) -> Result<()> {
        let layout = &self.layout;
        let last = filled_up(layout, pack);
        let mut decoder: Option<HighRateDecoder<DefaultEngine>> = None;
        for slice in layout.slices() {
            let counts = (layout.originals, layout.recoveries, slice.len());
            let decoder = match &mut decoder {
                Some(decoder) => {
                    decoder.reset(counts.0, counts.1, counts.2).map_err(refused)?;
                    decoder
                }
                none => {
                    let engine = DefaultEngine::new();
                    none.insert(HighRateDecoder::new(counts.0, counts.1, counts.2, engine, None).map_err(refused)?)
                }
            };
            for number in (0..layout.originals).filter(|number| sound[*number]) {
                let shard = &shard_of(layout, pack, &last, number)[slice.clone()];
                decoder.add_original_shard(number, shard).map_err(refused)?;
            }
            for (number, shard) in recoveries {
                decoder.add_recovery_shard(*number, &shard[slice.clone()]).map_err(refused)?;
            }
            let restored = decoder.decode().map_err(refused)?;
            for (number, shard) in restored.restored_original_iter() {
                let start = layout.original(number).start + slice.start;
                // Of the last one, not the zeros behind it.
                for (byte, restored) in pack.iter_mut().skip(start).zip(shard) {
                    *byte = *restored;
                }
            }
        }
        Ok(())
    }
}

/// A repository, a pack, how it is cut, and the hashes of its shards.
type Head<'a> = (RepositoryId, PackId, Layout, &'a [u8]);

fn first_head(object: &[u8]) -> Result<Head<'_>> {
    let mut reader = Reader::new(object);
    let fixed = reader.bytes(FIXED_LEN)?;
    let (repository, pack, layout) = fixed_fields(fixed)?;
    let hashes = reader.bytes(layout.hashes())?;
    checked(fixed, hashes, reader.bytes(CHECK_LEN)?)?;
    Ok((repository, pack, layout, hashes))
}

fn last_head(object: &[u8]) -> Result<Head<'_>> {
    let too_short = || Malformed::new("it is too short");
    let (rest, check) = object.split_last_chunk::<CHECK_LEN>().ok_or_else(too_short)?;
    let (rest, fixed) = rest.split_last_chunk::<FIXED_LEN>().ok_or_else(too_short)?;
    let (repository, pack, layout) = fixed_fields(fixed)?;
    let hashes = rest.len().checked_sub(layout.hashes()).and_then(|start| rest.get(start..)).ok_or_else(too_short)?;
    checked(fixed, hashes, check)?;
    Ok((repository, pack, layout, hashes))
}

fn fixed_fields(fixed: &[u8]) -> Result<(RepositoryId, PackId, Layout)> {
    let mut reader = Reader::new(fixed);
    let prelude = open_prelude(&mut reader, Kind::Parity)?;
    if prelude.suite != Suite::None || prelude.epoch != 0 {
        return Err(Malformed::new("nothing in a parity object is sealed, but it says so"));
    }
    let pack = PackId::new(reader.array()?);
    let (length, shard) = (reader.u32()? as usize, reader.u32()? as usize);
    let (originals, recoveries) = (usize::from(reader.u16()?), usize::from(reader.u16()?));
    reader.finish()?;
    let is_possible = length > 0
        && length as u64 <= MAX_PACK
        && shard > 0
        && shard.is_multiple_of(SHARD_UNIT)
        && originals == length.div_ceil(shard)
        && (1..=originals).contains(&recoveries)
        && shard as u64 <= MAX_PACK;
    match is_possible {
        true => Ok((prelude.repository, pack, Layout { pack: length, shard, originals, recoveries })),
        false => Err(Malformed(format!(
            "{length} bytes in {originals} shards of {shard} bytes, and {recoveries} for their recovery, cannot be"
        ))),
    }
}

fn checked(fixed: &[u8], hashes: &[u8], check: &[u8]) -> Result<()> {
    match check_of(fixed, hashes)[..] == *check {
        true => Ok(()),
        false => Err(Malformed::new("its head is not what was written")),
    }
}

#[cfg(test)]
#[path = "parity_tests.rs"]
mod tests;
