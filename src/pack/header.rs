//! The first and the last bytes of a pack, the only ones in clear.

use crate::crypto::Suite;
use crate::id::{RepositoryId, digest};
use crate::wire::{Malformed, Reader, Result, Write};

/// Length in bytes of a pack's header.
pub const HEADER_LEN: usize = 96;

/// Length in bytes of a pack's trailer.
pub const TRAILER_LEN: usize = 40;

const MAGIC: &[u8; 8] = b"SNAPPACK";
const END_MAGIC: &[u8; 8] = b"SNAPPEND";
const VERSION: u16 = 1;

/// How a pack begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How the pack is sealed.
    pub suite: Suite,
    /// Under the master key of which epoch.
    pub epoch: u32,
    /// To which repository it belongs.
    pub repository: RepositoryId,
    /// What the pack's own key follows from; it also makes the pack's name one of its own.
    pub salt: [u8; 32],
    /// Ties the pack to its key; zeros in an unencrypted repository.
    pub commitment: [u8; 32],
}

impl Header {
    /// The bytes of the header.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN);
        bytes.put(MAGIC);
        bytes.put_u16(VERSION);
        bytes.put_u8(self.suite as u8);
        bytes.put_u8(0);
        bytes.put_u32(self.epoch);
        bytes.put(self.repository.as_bytes());
        bytes.put(&self.salt);
        bytes.put(&self.commitment);
        bytes
    }

    /// Reads what [`encode`](Header::encode) wrote.
    pub fn read(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        if reader.bytes(8)? != MAGIC {
            return Err(Malformed::new("it does not begin with SNAPPACK"));
        }
        check_version(reader.u16()?)?;
        let suite = reader.u8()?;
        let suite = Suite::from_number(suite).ok_or_else(|| Malformed(format!("cipher suite {suite} is not known")))?;
        match reader.u8()? {
            0 => {}
            flags => return Err(Malformed(format!("its flags {flags:#x} are not known"))),
        }
        let epoch = reader.u32()?;
        let repository = RepositoryId::new(reader.array()?);
        let (salt, commitment) = (reader.array()?, reader.array()?);
        reader.finish()?;
        Ok(Self { suite, epoch, repository, salt, commitment })
    }
}

/// How a pack ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trailer {
    /// Where the sealed directory begins.
    pub directory_offset: u64,
    /// How long it is.
    pub directory_length: u32,
    /// How long the whole pack is.
    pub pack_length: u64,
}

impl Trailer {
    /// The bytes of the trailer.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TRAILER_LEN);
        bytes.put_u64(self.directory_offset);
        bytes.put_u32(self.directory_length);
        bytes.put_u16(VERSION);
        bytes.put_u16(0);
        bytes.put_u64(self.pack_length);
        let check = digest(&bytes);
        bytes.put(&check[..8]);
        bytes.put(END_MAGIC);
        bytes
    }

    /// Reads the trailer of a pack of this length, and checks that what it says fits the length.
    pub fn read(bytes: &[u8], length: u64) -> Result<Self> {
        let mut reader = Reader::new(bytes);
        let directory_offset = reader.u64()?;
        let directory_length = reader.u32()?;
        check_version(reader.u16()?)?;
        let reserved = reader.u16()?;
        let pack_length = reader.u64()?;
        let (check, magic) = (reader.bytes(8)?, reader.bytes(8)?);
        reader.finish()?;
        if magic != END_MAGIC || reserved != 0 || digest(&bytes[..24])[..8] != *check {
            return Err(Malformed::new("its last bytes are no sound trailer: it may be cut off"));
        }
        let end =
            directory_offset.checked_add(u64::from(directory_length)).and_then(|e| e.checked_add(TRAILER_LEN as u64));
        match pack_length == length && end == Some(length) && directory_offset >= HEADER_LEN as u64 {
            true => Ok(Self { directory_offset, directory_length, pack_length }),
            false => Err(Malformed(format!("it has {length} bytes, its trailer says {pack_length}"))),
        }
    }

    /// Where the directory lies in a pack whose trailer begins at `trailer`.
    pub fn directory_range(&self, trailer: usize) -> std::ops::Range<usize> {
        trailer.saturating_sub(self.directory_length as usize)..trailer
    }
}

fn check_version(version: u16) -> Result<()> {
    match version {
        VERSION => Ok(()),
        other => Err(Malformed(format!("it is of pack version {other}, this is version {VERSION}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_and_trailer_are_read_back() {
        let header = Header {
            suite: Suite::Aes256Gcm,
            epoch: 3,
            repository: RepositoryId::new([1; 16]),
            salt: [2; 32],
            commitment: [3; 32],
        };
        let bytes = header.encode();
        assert_eq!(bytes.len(), HEADER_LEN);
        assert_eq!(Header::read(&bytes).unwrap(), header);

        let trailer = Trailer { directory_offset: 1000, directory_length: 200, pack_length: 1240 };
        let bytes = trailer.encode();
        assert_eq!(bytes.len(), TRAILER_LEN);
        assert_eq!(Trailer::read(&bytes, 1240).unwrap(), trailer);
        assert!(Trailer::read(&bytes, 1241).is_err());
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            assert!(Trailer::read(&changed, 1240).is_err(), "byte {at}");
        }
    }
}
