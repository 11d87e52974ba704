//! Taking back what the log has as damaged, where it is found whole: a disk that was away is there again, or a pack was put
//! back from elsewhere.

use std::collections::BTreeSet;

use super::{ChunkReader, FrameReader, Opened};
use crate::error::Result;
use crate::id::{PackId, digest};
use crate::log::Damage;
use crate::pack::{self, PackInfo};
use crate::storage::ByteRange;

impl ChunkReader {
    /// Reads those of these packs that the log has something of as damaged, and says in the log what of that is sound after
    /// all: from then on it counts again. Returns the packs concerned.
    ///
    /// # Errors
    /// [`Error::Storage`](crate::error::Error::Storage) for failures that say nothing about a pack.
    pub fn take_back_damage(&self, packs: &[PackId]) -> Result<Vec<PackId>> {
        self.log.sound(&*self.catalog, packs, &mut |pack, damage| {
            let frames = self.sound_frames(pack, damage)?;
            if frames.is_some() {
                // From here on something may rest on it.
                self.packs.backend().settle(&pack::pack_name(pack))?;
            }
            Ok(frames)
        })
    }

    /// Which of the frames that are recorded as damaged are sound: an empty list if all of the pack is, none if none of them
    /// is. Of a pack that is recorded as a whole, all have to be.
    fn sound_frames(&self, id: &PackId, damage: &Damage) -> Result<Option<Vec<u32>>> {
        let all = ByteRange::UpTo(pack::MAX_PACK);
        let bytes = match self.packs.backend().read_stored(&pack::pack_name(id), all) {
            Err(error) if error.is_damage() => return Ok(None),
            read => read?,
        };
        // What is not what it was, its parity may bring back; but what lies there is damaged.
        if digest(&bytes) != *id.as_bytes() {
            return Ok(None);
        }
        let info = match self.packs.read_pack(id, &bytes) {
            Err(error) if error.is_damage() => return Ok(None),
            read => read?,
        };
        let all: BTreeSet<u32> = (0..info.directory.frames.len() as u32).collect();
        let recorded = match damage {
            Damage::Whole => &all,
            Damage::Frames(frames) => frames,
        };
        let mut sound = Vec::new();
        for frame in recorded {
            if self.is_sound_frame(&info, &bytes, *frame)? {
                sound.push(*frame);
            }
        }
        Ok(match (sound.len() == recorded.len(), damage) {
            (true, _) => Some(Vec::new()),
            (false, Damage::Whole) => None,
            (false, Damage::Frames(_)) => Some(sound).filter(|sound| !sound.is_empty()),
        })
    }

    fn is_sound_frame(&self, info: &PackInfo, bytes: &[u8], number: u32) -> Result<bool> {
        let Some(frame) = info.directory.frames.get(number as usize) else { return Ok(false) };
        let start = frame.offset as usize;
        let Some(sealed) = bytes.get(start..start.saturating_add(frame.stored as usize)) else { return Ok(false) };
        let plain = match FrameReader::new()?.open(self, info, number as usize, sealed.to_vec()) {
            Ok(Opened::Plain(plain)) => plain,
            // Its own bytes are what was written. Whether they are of use, its bases say.
            Ok(Opened::WithoutBase(error)) if error.is_damage() => return Ok(true),
            Ok(Opened::WithoutBase(error)) => return Err(error),
            Err(error) if error.is_damage() => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(info.prove_chunks(number as usize, &plain, &self.hasher).is_ok())
    }
}
