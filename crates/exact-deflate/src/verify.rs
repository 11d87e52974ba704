//! Checks that a stream is what the encoder would write, without encoding.
//!
//! The stream says what the encoder should have decided. To confirm a decision is cheaper than to make it: where the
//! stream has a match, it is enough to show that no string closer is as long and none further is longer; what was
//! second best need not be known. Block headers are made again from the symbols and compared.

use crate::bits::BitWriter;
use crate::block::{self, Kind};
use crate::confirm::Confirmer;
use crate::inflate::{Bits, Inflater};
use crate::output::{Blocks, end_go};
use crate::rules::Rules;
use crate::slow::Slow;

/// The answer, or `None` if this way cannot tell, since there is a stored block, which does not show its symbols.
pub(crate) fn verify<R: Rules>(
    slow: &mut Slow<R>,
    blocks: &mut Blocks,
    inflater: &mut Inflater,
    plain: &[u8],
    expected: &[u8],
) -> Option<bool> {
    let mut confirmer = Confirmer::new(slow, plain);
    let mut bits = Bits::new(expected);
    let mut position = 0;
    let mut scratch = Vec::new();
    loop {
        let first = bits.position();
        let is_go = blocks.is_go();
        if is_go && position == plain.len() {
            return Some(ends_as_go(&mut scratch, expected, first) && confirmer.end());
        }
        let Some((last, kind)) = inflater.start(&mut bits) else { return Some(false) };
        if kind == Kind::Stored {
            return None;
        }
        let header_end = bits.position();
        blocks.frequencies.clear();
        let read = inflater.symbols(&mut bits, plain, position, blocks.limit, &mut blocks.frequencies, &mut confirmer);
        let Some(read) = read else { return Some(false) };
        // A block ends when it is full, the last one at the end. There it is too late for a literal to end a block of zlib's.
        let is_full = read.symbols == blocks.limit;
        let is_last = read.end == plain.len() && (is_go || !is_full || read.last == 1);
        if last != (is_last && !is_go) || !is_last && !is_full {
            return Some(false);
        }
        let step = if is_full && !last { read.end + 1 - read.last } else { read.end };
        let (planned, _) = blocks.choose(position, read.end, step, plain.len());
        if planned != kind || !header_equals(&mut scratch, blocks, kind, last, expected, first, header_end) {
            return Some(false);
        }
        position = read.end;
        if last {
            return Some(bits.at_end() && confirmer.end());
        }
    }
}

/// A writer that starts at the same bit of a byte as `first` is in `expected`, and the bytes from there on.
fn writer_at<'a, 'b>(scratch: &'a mut Vec<u8>, expected: &'b [u8], first: usize) -> (BitWriter<'a>, &'b [u8]) {
    scratch.clear();
    let mut writer = BitWriter::new(scratch);
    writer.reserve(8192);
    let expected = expected.get(first / 8..).unwrap_or_default();
    let before = (first % 8) as u32;
    writer.put(u64::from(expected.first().copied().unwrap_or(0)) & ((1 << before) - 1), before);
    (writer, expected)
}

/// True if from the bit `first` on there is what Go's streams end with, and nothing else.
fn ends_as_go(scratch: &mut Vec<u8>, expected: &[u8], first: usize) -> bool {
    let (mut writer, expected) = writer_at(scratch, expected, first);
    end_go(&mut writer);
    writer.finish();
    scratch == expected
}

/// Compares the start of a block, up to the first symbol, with what the encoder would write.
fn header_equals(
    scratch: &mut Vec<u8>,
    blocks: &Blocks,
    kind: Kind,
    last: bool,
    expected: &[u8],
    first: usize,
    end: usize,
) -> bool {
    let (mut writer, expected) = writer_at(scratch, expected, first);
    block::write_header(&mut writer, blocks.plan(), kind, last);
    writer.finish();
    let length = end - first / 8 * 8;
    let whole = length / 8;
    if scratch.len() != length.div_ceil(8) || scratch.get(..whole) != expected.get(..whole) {
        return false;
    }
    let mask = (1_u8 << (length % 8)) - 1;
    match (scratch.get(whole), expected.get(whole)) {
        (Some(a), Some(b)) => (a ^ b) & mask == 0,
        _ => mask == 0,
    }
}
