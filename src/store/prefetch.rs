//! Reading several frames at once before they are asked for: ranges of one pack that lie side by side become one request.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::frame_cache::Claimed;
use super::{ChunkReader, FrameKey, FrameReader, Opened};
use crate::error::Result;
use crate::id::ChunkId;
use crate::pack::{Encoding, PackInfo};
use crate::storage::{ByteRange, Name};

/// How many bytes of frames are read at once.
const PREFETCHED: usize = 8 << 20;

/// A frame that is to be read.
struct Wanted {
    key: FrameKey,
    info: Arc<PackInfo>,
    range: (Name, ByteRange),
    length: usize,
    /// Later processes will ask for it again.
    again: bool,
}

impl ChunkReader {
    /// Reads the frames of these chunks at once and decodes them, so that the chunks are at hand soon after. Deltas are left
    /// to the threads that ask for them, and so is the reporting of all that is wrong.
    pub fn prefetch_chunks(&self, chunks: &[ChunkId]) {
        let keys: BTreeSet<FrameKey> =
            chunks.iter().filter_map(|id| self.catalog.frame_of(id).ok().flatten()).collect();
        self.prefetch_frames(&keys.into_iter().collect::<Vec<_>>());
    }

    /// The same of these frames. Threads that ask for one of them meanwhile wait for it. Returns those that are deltas, which
    /// are left alone.
    pub fn prefetch_frames(&self, keys: &[FrameKey]) -> Vec<FrameKey> {
        let (mut wanted, mut deltas) = (Vec::new(), Vec::new());
        for key in keys {
            let Ok(info) = self.catalog.index().pack(key.0) else { continue };
            let Ok(frame) = info.frame(key.1 as usize) else { continue };
            if frame.encoding == Encoding::Delta {
                deltas.push(*key);
                continue;
            }
            let length = frame.stored as usize;
            let range = (info.name(), ByteRange::Exactly { offset: u64::from(frame.offset), length });
            let again = frame.kind.is_hot();
            wanted.push(Wanted { key: *key, range, length, again, info });
        }
        let mut rest = &wanted[..];
        while !rest.is_empty() {
            let mut bytes = 0;
            let fits = rest.iter().take_while(|wanted| {
                bytes += wanted.length;
                bytes <= PREFETCHED
            });
            let (portion, others) = rest.split_at(fits.count().max(1));
            rest = others;
            self.prefetch_portion(portion);
        }
        deltas
    }

    fn prefetch_portion(&self, portion: &[Wanted]) {
        let mut claimed = self.frames.claim(portion.iter().map(|wanted| wanted.key));
        for again in [true, false] {
            let mine: Vec<&Wanted> =
                portion.iter().filter(|wanted| wanted.again == again && claimed.has(&wanted.key)).collect();
            if mine.is_empty() {
                continue;
            }
            let ranges: Vec<_> = mine.iter().map(|wanted| wanted.range.clone()).collect();
            let backend = self.log.backend();
            let read = if again { backend.read_again(&ranges) } else { backend.read_many(&ranges) };
            for (wanted, sealed) in mine.into_iter().zip(read) {
                if let Ok(sealed) = sealed {
                    self.decode_claimed(&mut claimed, wanted, sealed);
                }
            }
        }
    }

    /// What cannot be decoded is left to the thread that asks for it.
    fn decode_claimed(&self, claimed: &mut Claimed<'_>, wanted: &Wanted, sealed: Vec<u8>) {
        let decode =
            || -> Result<Opened> { FrameReader::new()?.open(self, &wanted.info, wanted.key.1 as usize, sealed) };
        if let Ok(Opened::Plain(plain)) = decode() {
            claimed.settle(wanted.key, plain);
        }
    }
}
