//! What is sealed under a key from before the last rotation. Others may have that key, so it proves nothing about what
//! comes to light only now: an index object that the log does not name is passed over, and a pack that no index object
//! names counts only after each of its chunks was compared with its id. Ids are made with another key, which is never
//! changed; a party that knows it can look for what has an id, but not make anything else that has it.

use super::{ChunkReader, FrameReader, Opened, ReadDirectories};
use crate::error::{Error, Result};
use crate::pack::{MAX_PACK, PackInfo};
use crate::storage::ByteRange;

impl ChunkReader {
    /// Parts packs that are to be named by an index object into those that may be, and those that must not, and why. Of an
    /// older epoch, what index objects say already counts, not what stands in the pack; those that none names are read
    /// whole. All of them get into the local index: one may rest on another.
    ///
    /// # Errors
    /// [`Error::Storage`] for failures that say nothing about a pack, and [`Error::Cache`] if the local index fails.
    pub fn prove_packs(&self, packs: Vec<PackInfo>) -> Result<ReadDirectories> {
        let (mut proven, mut refused) = (Vec::with_capacity(packs.len()), Vec::new());
        let (old, new): (Vec<_>, Vec<_>) = packs.into_iter().partition(|info| info.epoch < self.packs.epoch());
        proven.extend(new);
        for info in &old {
            self.catalog.with_index(|index| index.insert_unpublished(info))?;
        }
        for info in old {
            if self.catalog.index().names_pack(&info.id)
                && let Some(number) = self.catalog.index().pack_number(&info.id)
            {
                proven.push((*self.catalog.with_index(|index| index.pack(number))?).clone());
                continue;
            }
            match self.prove_pack(&info) {
                Ok(()) => proven.push(info),
                Err(error) if error.is_damage() => refused.push((info.id, error)),
                Err(error) => return Err(error),
            }
        }
        Ok(ReadDirectories { sound: proven, unsound: refused })
    }

    fn prove_pack(&self, info: &PackInfo) -> Result<()> {
        let all = ByteRange::UpTo(info.length.min(MAX_PACK));
        let bytes = self.packs.backend().read_stored(&info.name(), all)?;
        if self.packs.read_pack(&info.id, &bytes)?.directory != info.directory {
            return Err(Error::damaged(info.name(), "its directory is not what an index object says"));
        }
        let mut reader = FrameReader::new()?;
        for (number, frame) in info.directory.frames.iter().enumerate() {
            let start = frame.offset as usize;
            let sealed = bytes.get(start..start.saturating_add(frame.stored as usize)).unwrap_or(&[]);
            let plain = match reader.open(self, info, number, sealed.to_vec())? {
                Opened::Plain(plain) => plain,
                Opened::WithoutBase(error) => return Err(error),
            };
            info.prove_chunks(number, &plain, &self.hasher)?;
        }
        Ok(())
    }
}
