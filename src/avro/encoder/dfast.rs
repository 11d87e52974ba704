//! How libzstd until 1.5.6 looks for matches at levels 3 and 4 (its strategy "dfast"), and at level 2 where the length is
//! known and at most 256 KiB.
//!
//! Two tables remember where bytes were last seen: one by eight bytes, one by four or five. A match of eight bytes is taken
//! at once. Where only a short one is found, one more place is looked at for a match of eight bytes, and that one is taken
//! **however long it is**. libzstd 1.5.7 takes it only if it is longer than the short one, and no parameter brings the old
//! choice back: this is why there is an own search. What becomes of the matches (RFC 8878, 3.1.1.3) is libzstd's work, and
//! the same in both.
//!
//! A place is remembered as the number of bytes before it in this and all earlier frames. So tables need no clearing: what
//! an earlier frame left is never above the lowest place of this one.

use std::hint::select_unpredictable;
use std::mem::MaybeUninit;

use super::zstd_context::{FrameParameters, Sequence};

/// The largest table of any level here.
const MOST_BITS: u32 = 18;
const SLOTS: usize = 1 << MOST_BITS;

/// A match of eight bytes is looked for up to this many bytes before the end of a block, no further.
const LOOK: u32 = 8;

/// After this many bytes without a match, the step from place to place grows by one.
const FASTER_AFTER: u32 = 256;

/// Where a frame begins, the last offsets are these (RFC 8878, 3.1.1.5). The third is never used by this search.
const FIRST_OFFSETS: [u32; 2] = [1, 4];

/// Finds the matches of a frame, block by block.
pub(super) struct Dfast {
    tables: Tables,
    /// The place of the frame's first byte.
    base: u32,
    /// How long the frame is.
    length: u32,
    parameters: FrameParameters,
    /// The last two offsets, after the last block and before it.
    offsets: [u32; 2],
    offsets_before: [u32; 2],
}

/// The last place of each hash, by eight bytes and by the first four or five.
struct Tables {
    /// The longer table's in the first half, the shorter one's in the second.
    places: Box<[u32; 2 * SLOTS]>,
    long_bits: u32,
    short_bits: u32,
}

/// What a search came to.
struct Found {
    /// Where the match begins, and its length.
    start: u32,
    length: u32,
    /// The offset as libzstd takes it, and the last two from here on.
    code: u32,
    offsets: [u32; 2],
    /// Where the search was.
    from: u32,
}

impl Dfast {
    /// None never happens: tables have the length that they are made with.
    pub(super) fn new() -> Option<Self> {
        let places = Box::<[u32; 2 * SLOTS]>::try_from(vec![0; 2 * SLOTS]).ok()?;
        Some(Self {
            tables: Tables { places, long_bits: MOST_BITS, short_bits: MOST_BITS },
            base: 0,
            length: 0,
            parameters: FrameParameters::default(),
            offsets: FIRST_OFFSETS,
            offsets_before: FIRST_OFFSETS,
        })
    }

    /// Begins a frame of `length` bytes; false if it is none for this search.
    pub(super) fn begin(&mut self, parameters: FrameParameters, length: usize) -> bool {
        let bits = 1..=MOST_BITS;
        let fits = parameters.is_dfast
            && bits.contains(&parameters.long_bits)
            && bits.contains(&parameters.short_bits)
            && (4..=5).contains(&parameters.min_match);
        let Some(length) = u32::try_from(length).ok().filter(|length| fits && *length < 1 << 31) else { return false };
        self.base = match self.base.checked_add(self.length).filter(|base| *base < 1 << 31) {
            Some(base) => base,
            None => {
                self.tables.places.fill(0);
                0
            }
        };
        self.length = length;
        self.tables.long_bits = parameters.long_bits;
        self.tables.short_bits = parameters.short_bits;
        self.parameters = parameters;
        self.offsets = FIRST_OFFSETS;
        self.offsets_before = FIRST_OFFSETS;
        true
    }

    /// Takes the last block's offsets back: a block that is stored or one repeated byte has no sequences.
    pub(super) fn forget_offsets(&mut self) {
        self.offsets = self.offsets_before;
    }

    /// Writes the sequences of the block from `start` to the end of `data`, which begins where the frame does, and returns
    /// how many they are: None if there is no room. The last one has the literals after the last match.
    pub(super) fn parse(&mut self, data: &[u8], start: usize, room: &mut [MaybeUninit<Sequence>]) -> Option<usize> {
        self.offsets_before = self.offsets;
        let mut out = Written { room, count: 0 };
        let FrameParameters { min_match, long_bits, short_bits, .. } = self.parameters;
        // The usual tables are known when this is compiled: of streams, and of blocks up to 64 and 16 KiB. It is faster so.
        let rest = match (min_match, long_bits, short_bits) {
            (5, 17, 16) => self.block::<5, 17, 16>(data, start, &mut out),
            (5, 16, 15) => self.block::<5, 16, 15>(data, start, &mut out),
            (4, 15, 14) => self.block::<4, 15, 14>(data, start, &mut out),
            (4, ..) => self.block::<4, 0, 0>(data, start, &mut out),
            _ => self.block::<5, 0, 0>(data, start, &mut out),
        };
        out.push(Sequence { offset: 0, litLength: rest, matchLength: 0, rep: 0 });
        (out.count <= out.room.len()).then_some(out.count)
    }

    /// Adds all matches, and returns how many bytes are left after the last.
    fn block<const MIN: usize, const LONG: u32, const SHORT: u32>(
        &mut self,
        data: &[u8],
        start: usize,
        out: &mut Written<'_>,
    ) -> u32 {
        let (start, end) = (start as u32, data.len() as u32);
        let Some(limit) = end.checked_sub(LOOK) else { return end - start };
        let lowest = end.saturating_sub(self.parameters.window);
        // Nothing lies before the first byte.
        let mut at = if start == lowest { start + 1 } else { start };
        // An offset that leads out of the frame is kept for later blocks, and not used in this one.
        let reach = at.min(self.parameters.window);
        let usable = |offset: u32| if offset > reach { (0, offset) } else { (offset, 0) };
        let (first, first_kept) = usable(self.offsets[0]);
        let (second, mut second_kept) = usable(self.offsets[1]);
        let mut offsets = [first, second];
        let mut anchor = start;
        while let Some(found) = self.tables.search::<MIN, LONG, SHORT>(data, at, anchor, self.base, lowest, offsets) {
            offsets = found.offsets;
            out.put(found.start - anchor, found.length, found.code);
            at = found.start + found.length;
            anchor = at;
            if at > limit {
                break;
            }
            self.tables.remember::<MIN, LONG, SHORT>(data, self.base, found.from, at);
            // The offset before the last one, right away; it then is the last one.
            while offsets[1] != 0 && at <= limit && four(data, at) == four(data, at - offsets[1]) {
                let length = LEAST + equal(data, at + LEAST, at + LEAST - offsets[1]);
                offsets.swap(0, 1);
                self.tables.put_both::<MIN, LONG, SHORT>(data, self.base, at);
                out.put(0, length, REPEATED);
                at += length;
                anchor = at;
            }
        }
        if first_kept != 0 && offsets[0] != 0 {
            second_kept = first_kept;
        }
        let or = |used: u32, kept: u32| if used == 0 { kept } else { used };
        self.offsets = [or(offsets[0], first_kept), or(offsets[1], second_kept)];
        end - anchor
    }
}

/// Sequences in the room that libzstd has for them.
struct Written<'a> {
    room: &'a mut [MaybeUninit<Sequence>],
    /// How many there are, with those for which there was no room.
    count: usize,
}

impl Written<'_> {
    #[inline(always)]
    fn put(&mut self, literals: u32, length: u32, offset: u32) {
        self.push(Sequence { offset, litLength: literals, matchLength: length, rep: 0 });
    }

    #[inline(always)]
    fn push(&mut self, sequence: Sequence) {
        if let Some(free) = self.room.get_mut(self.count) {
            free.write(sequence);
        }
        self.count += 1;
    }
}

/// The last offset again. libzstd adds 3 to tell offsets from the three repeated ones (RFC 8878, 3.1.1.5), so the first
/// of those is 1 - 3.
const REPEATED: u32 = 1_u32.wrapping_sub(3);

/// The shortest match.
const LEAST: u32 = 4;

impl Tables {
    /// The logarithms of both tables' lengths. Zeros are for those that are not known when this is compiled.
    #[inline(always)]
    fn bits<const LONG: u32, const SHORT: u32>(&self) -> (u32, u32) {
        if LONG > 0 { (LONG, SHORT) } else { (self.long_bits, self.short_bits) }
    }

    /// The next match from `at` on. `anchor` is where the last one ended, and matches do not grow back over it.
    #[inline(always)]
    fn search<const MIN: usize, const LONG: u32, const SHORT: u32>(
        &mut self,
        data: &[u8],
        mut at: u32,
        anchor: u32,
        base: u32,
        lowest: u32,
        offsets: [u32; 2],
    ) -> Option<Found> {
        let repeated = offsets[0];
        let limit = (data.len() as u32).checked_sub(LOOK)?;
        let bits = self.bits::<LONG, SHORT>();
        let low = base + lowest;
        // A processor cannot foresee whether a place is of this frame, but mostly the bytes there are others. So there is no
        // branch on the former: a place of another frame becomes the one where the search is, and `other` 1, and the bytes there do not
        // differ by 1 from what they are.
        let place = |index: u32, at: u32| {
            let other = index <= low;
            (select_unpredictable(other, at, index.wrapping_sub(base)), u64::from(other))
        };
        let grown = |start: u32, from: u32, least: u32, at: u32| {
            let length = least + equal(data, start + least, from + least);
            let back = grows_back(data, start, from, anchor, lowest);
            let offset = start - from;
            Found { start: start - back, length: length + back, code: offset, offsets: [offset, offsets[0]], from: at }
        };
        let (mut step, mut faster_at) = (1, at + FASTER_AFTER);
        let mut next = at + step;
        if next > limit {
            return None;
        }
        let mut bytes = eight(data, at);
        let mut slot = long_hash(bytes, bits.0);
        let mut short_slot = short_hash::<MIN>(bytes, bits.1);
        let (mut seen, mut near) = (self.places[slot], self.places[short_slot]);
        loop {
            self.places[slot] = base + at;
            self.places[short_slot] = base + at;
            // What is looked at next is fetched now: that takes a while.
            let next_bytes = eight(data, next);
            let next_slot = long_hash(next_bytes, bits.0);
            let next_short_slot = short_hash::<MIN>(next_bytes, bits.1);
            let (next_seen, next_near) = (self.places[next_slot], self.places[next_short_slot]);
            if repeated != 0 && (bytes >> 8) as u32 == four(data, at + 1 - repeated) {
                let length = LEAST + equal(data, at + 1 + LEAST, at + 1 + LEAST - repeated);
                return Some(Found { start: at + 1, length, code: REPEATED, offsets, from: at });
            }
            // With longer steps that place might lie after the match.
            let remembered = if step < 4 { base + next } else { next_seen };
            let (from, other) = place(seen, at);
            if eight(data, from) ^ bytes == other {
                self.places[next_slot] = remembered;
                return Some(grown(at, from, LOOK, at));
            }
            let (from, other) = place(near, at);
            if four(data, from) ^ bytes as u32 == other as u32 {
                self.places[next_slot] = remembered;
                let (next_from, other) = place(next_seen, next);
                if eight(data, next_from) ^ next_bytes == other {
                    return Some(grown(next, next_from, LOOK, at));
                }
                return Some(grown(at, from, LEAST, at));
            }
            if next >= faster_at {
                step += 1;
                faster_at += FASTER_AFTER;
            }
            at = next;
            next += step;
            (bytes, slot, seen) = (next_bytes, next_slot, next_seen);
            (short_slot, near) = (next_short_slot, next_near);
            if next > limit {
                return None;
            }
        }
    }

    /// Remembers some places of a match that was found from `from` on and ends at `end`.
    #[inline(always)]
    fn remember<const MIN: usize, const LONG: u32, const SHORT: u32>(
        &mut self,
        data: &[u8],
        base: u32,
        from: u32,
        end: u32,
    ) {
        self.put_both::<MIN, LONG, SHORT>(data, base, from + 2);
        let bits = self.bits::<LONG, SHORT>();
        let bytes = eight(data, end - 2);
        self.places[long_hash(bytes, bits.0)] = base + end - 2;
        self.places[short_hash::<MIN>(bytes >> 8, bits.1)] = base + end - 1;
    }

    #[inline(always)]
    fn put_both<const MIN: usize, const LONG: u32, const SHORT: u32>(&mut self, data: &[u8], base: u32, at: u32) {
        let bytes = eight(data, at);
        let bits = self.bits::<LONG, SHORT>();
        self.places[long_hash(bytes, bits.0)] = base + at;
        self.places[short_hash::<MIN>(bytes, bits.1)] = base + at;
    }
}

// The products are those of libzstd: other ones would find other matches.

#[inline(always)]
fn long_hash(bytes: u64, bits: u32) -> usize {
    (bytes.wrapping_mul(0xcf1b_bcdc_b7a5_6463) >> (64 - bits)) as usize % SLOTS
}

#[inline(always)]
fn short_hash<const MIN: usize>(bytes: u64, bits: u32) -> usize {
    let hash = if MIN == 4 {
        ((bytes as u32).wrapping_mul(2_654_435_761) >> (32 - bits)) as usize
    } else {
        ((bytes << 24).wrapping_mul(889_523_592_379) >> (64 - bits)) as usize
    };
    SLOTS + hash % SLOTS
}

/// Eight bytes; 0 where there are fewer.
#[inline(always)]
fn eight(data: &[u8], at: u32) -> u64 {
    let at = at as usize;
    data.get(at..at + 8).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// Four bytes; 0 where there are fewer.
#[inline(always)]
fn four(data: &[u8], at: u32) -> u32 {
    let at = at as usize;
    data.get(at..at + 4).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

/// How many bytes are the same from two places on; `from` is the earlier one.
#[inline(always)]
fn equal(data: &[u8], at: u32, from: u32) -> u32 {
    let mut length = 0;
    while (at + length) as usize + 8 <= data.len() {
        let differing = eight(data, at + length) ^ eight(data, from + length);
        if differing != 0 {
            return length + differing.trailing_zeros() / 8;
        }
        length += 8;
    }
    while same(data, at + length, from + length) {
        length += 1;
    }
    length
}

/// How many bytes are the same before two places, up to `anchor` and `lowest`.
#[inline(always)]
fn grows_back(data: &[u8], at: u32, from: u32, anchor: u32, lowest: u32) -> u32 {
    let most = (at - anchor).min(from - lowest);
    let mut back = 0;
    if from >= 8 {
        // How many bytes there are cannot be foreseen, so up to eight are compared at once.
        let differing = eight(data, at - 8) ^ eight(data, from - 8);
        if differing != 0 || most <= 8 {
            return most.min(differing.leading_zeros() / 8);
        }
        back = 8;
    }
    while back < most && same(data, at - back - 1, from - back - 1) {
        back += 1;
    }
    back
}

/// Whether there are the same bytes at two places; `at`, the later one, may be where there is none.
#[inline(always)]
fn same(data: &[u8], at: u32, from: u32) -> bool {
    data.get(at as usize).is_some_and(|byte| data.get(from as usize) == Some(byte))
}
