//! The config: what never changes about a repository (drawn in `docs/format.md`, "Config"). It lies in clear, since it
//! is needed before any key is; the first entry of the log carries its hash, so that nobody can change it unnoticed.

use crate::chunk::CutParams;
use crate::crypto::{Prelude, Suite, open_prelude};
use crate::id::{RepositoryId, digest};
use crate::log::Features;
use crate::storage::Kind;
use crate::wire::{self, Malformed, Reader, Write};

/// The largest config that is read, in bytes.
pub(super) const MAX_CONFIG: u64 = 4096;

/// What never changes about a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Its name.
    pub repository: RepositoryId,
    /// How packs are sealed.
    pub suite: Suite,
    /// When it was made, nanoseconds since 1970 (UTC).
    pub created: i64,
    /// How streams are cut.
    pub cut: CutParams,
    /// Features needed from the start.
    pub features: Features,
}

const CHUNKER_FASTCDC_2020: u8 = 1;

impl Config {
    /// The bytes of the config.
    pub fn encode(&self) -> Vec<u8> {
        let prelude = Prelude { kind: Kind::Config, suite: self.suite, epoch: 0, repository: self.repository }.encode();
        let mut bytes = prelude.to_vec();
        bytes.put_i64(self.created);
        bytes.put(&[CHUNKER_FASTCDC_2020, 0, 0, 0]);
        self.cut.write(&mut bytes);
        bytes.put_u64(self.features.read);
        bytes.put_u64(self.features.write);
        bytes.put_u64(self.features.gc);
        let check = digest(&bytes);
        bytes.put(&check[..16]);
        bytes
    }

    /// Reads what [`encode`](Config::encode) wrote.
    pub fn decode(bytes: &[u8]) -> wire::Result<Self> {
        let mut reader = Reader::new(bytes);
        let prelude = open_prelude(&mut reader, Kind::Config)?;
        let created = reader.i64()?;
        if reader.array()? != [CHUNKER_FASTCDC_2020, 0, 0, 0] {
            return Err(Malformed::new("its way of cutting is not known"));
        }
        let cut = CutParams::read(&mut reader)?;
        let features = Features { read: reader.u64()?, write: reader.u64()?, gc: reader.u64()? };
        let check = reader.bytes(16)?;
        reader.finish()?;
        match digest(&bytes[..bytes.len() - 16])[..16] == *check {
            true => Ok(Self { repository: prelude.repository, suite: prelude.suite, created, cut, features }),
            false => Err(Malformed::new("its checksum does not fit")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_read_back_and_any_change_is_noticed() {
        let config = Config {
            repository: RepositoryId::new([1; 16]),
            suite: Suite::Aes256Gcm,
            created: 1,
            cut: CutParams::default(),
            features: Features { read: 1, write: 2, gc: 4 },
        };
        let bytes = config.encode();
        assert_eq!(Config::decode(&bytes).unwrap(), config);
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 8;
            assert!(Config::decode(&changed).is_err(), "byte {at}");
        }
    }
}
