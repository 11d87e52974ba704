//! Which packs were read and found sound, and when, on this machine. It lies beside the remembered head. Losing it costs
//! reading; it proves nothing to anybody but the machine that wrote it.
//!
//! ```text
//! offset  size  what
//!      0     8  "SNAPVRF1"
//!      8     …  for each pack: 32: its name; 8: i64, when (nanoseconds since 1970, UTC)
//!   last    16  the first 16 bytes of BLAKE3 of all bytes before
//! ```

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::Packs;
use crate::error::{Error, Result};
use crate::id::{PackId, digest};
use crate::log::replace_file;
use crate::wire::{Reader, Write};

const MAGIC: &[u8; 8] = b"SNAPVRF1";

/// A larger file is none that was written here: of so many packs a repository would have petabytes.
const MAX_FILE: u64 = 40 << 24;

/// When packs were found sound. 40 bytes a pack on the disk, some more in memory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VerifiedPacks(BTreeMap<PackId, i64>);

impl VerifiedPacks {
    /// When the pack was found sound the last time, nanoseconds since 1970 (UTC).
    pub fn verified(&self, pack: &PackId) -> Option<i64> {
        self.0.get(pack).copied()
    }

    /// The pack was found sound at this time.
    pub fn set(&mut self, pack: PackId, time: i64) {
        self.0.insert(pack, time);
    }

    /// The pack was not found sound.
    pub fn forget(&mut self, pack: &PackId) {
        self.0.remove(pack);
    }

    /// Forgets all packs but these.
    pub fn retain(&mut self, keep: impl Fn(&PackId) -> bool) {
        self.0.retain(|pack, _| keep(pack));
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        for (pack, time) in &self.0 {
            bytes.put(pack.as_bytes());
            bytes.put_i64(*time);
        }
        let check = digest(&bytes);
        bytes.put(&check[..16]);
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, check) = bytes.split_at_checked(bytes.len().checked_sub(16)?)?;
        let rows = body.strip_prefix(MAGIC).filter(|rows| rows.len() % 40 == 0)?;
        if digest(body)[..16] != *check {
            return None;
        }
        let row = |row: &[u8]| {
            let mut reader = Reader::new(row);
            Some((PackId::new(reader.array().ok()?), reader.i64().ok()?))
        };
        rows.chunks_exact(40).map(row).collect::<Option<_>>().map(Self)
    }

    fn read(path: &Path) -> Option<Self> {
        let is_small = std::fs::metadata(path).ok()?.len() <= MAX_FILE;
        is_small.then(|| Self::decode(&std::fs::read(path).ok()?))?
    }
}

impl Packs {
    /// Which packs were found sound on this machine, and when. Nothing where that is not kept, or cannot be read.
    pub fn verified(&self) -> VerifiedPacks {
        self.verified_path().and_then(|path| VerifiedPacks::read(&path)).unwrap_or_default()
    }

    /// Keeps which packs were found sound, instead of what was kept before.
    ///
    /// # Errors
    /// If there is no place for it, or it cannot be written.
    pub fn remember_verified(&self, packs: &VerifiedPacks) -> Result<()> {
        let path = self.verified_path().ok_or_else(|| Error::Invalid("there is no folder to remember it in".into()))?;
        replace_file(&path, &packs.encode())
    }

    fn verified_path(&self) -> Option<PathBuf> {
        self.log.remembered().map(|head| head.with_file_name("verified"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_verified_is_read_back_and_any_change_is_noticed(
            packs in prop::collection::btree_map(any::<[u8; 32]>().prop_map(PackId::new), any::<i64>(), 0..9),
            at: prop::sample::Index, noise: Vec<u8>,
        ) {
            let packs = VerifiedPacks(packs);
            let mut bytes = packs.encode();
            prop_assert_eq!(VerifiedPacks::decode(&bytes), Some(packs));
            let at = at.index(bytes.len());
            bytes[at] ^= 1;
            prop_assert_eq!(VerifiedPacks::decode(&bytes), None);
            prop_assert_eq!(VerifiedPacks::decode(&bytes[..at]), None);
            prop_assert_eq!(VerifiedPacks::decode(&noise), None);
        }
    }
}
