//! Making a pack: frames are gathered, then sealed in memory and checked, then written in one piece.

use std::collections::HashMap;

use super::directory::bound;
use super::{EncodedFrame, FRAME_TARGET, HEADER_LEN, Header, MAX_PACK, PackInfo, TRAILER_LEN, Trailer, cipher_of};
use crate::crypto::{Entropy, FrameContext, Keyring, Suite, TAG_LEN};
use crate::error::{Error, Result};
use crate::id::{ChunkId, Digester, PackId, RepositoryId, digest};
use crate::pack::Directory;

/// Packs above this many bytes are padded, so that their length says little about what is in them.
const PADDED_ABOVE: usize = 1 << 20;

/// Frames that will make up a pack.
#[derive(Debug, Default)]
pub struct PackBuilder {
    frames: Vec<EncodedFrame>,
    bytes: usize,
}

/// A pack as it will lie in the repository.
#[derive(Debug)]
pub struct SealedPack {
    /// What it says about itself.
    pub info: PackInfo,
    /// The bytes of the whole pack.
    pub bytes: Vec<u8>,
}

impl PackBuilder {
    /// Adds a frame.
    pub fn push(&mut self, frame: EncodedFrame) {
        self.bytes += frame.body.len() + TAG_LEN;
        self.frames.push(frame);
    }

    /// How many bytes its frames come to so far.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The frames that are in it.
    pub fn frames(&self) -> &[EncodedFrame] {
        &self.frames
    }

    /// Seals the pack. Every frame is opened again and compared before this returns.
    ///
    /// # Errors
    /// If there are no random bytes, or if what was sealed does not open to what it was: then memory or the cipher
    /// cannot be trusted and nothing must be written.
    pub fn seal(
        self,
        repository: RepositoryId,
        suite: Suite,
        keyring: Option<&Keyring>,
        entropy: &dyn Entropy,
    ) -> Result<SealedPack> {
        let epoch = keyring.map_or(0, Keyring::current_epoch);
        let salt = self.salt(entropy)?;
        let cipher = cipher_of(suite, epoch, &salt, repository, keyring)?;
        let header = Header { suite, epoch, repository, salt, commitment: *cipher.commitment() };
        let mut bytes = Vec::with_capacity(self.bytes + FRAME_TARGET);
        bytes.extend_from_slice(&header.encode());
        let mut directory = Directory::default();
        // The base ids stand in the directory once each.
        let mut numbers = HashMap::new();
        for (number, frame) in self.frames.into_iter().enumerate() {
            let bound = bound(frame.encoding, frame.kind, &frame.chunks);
            let context = FrameContext { number: number as u32, bound: &bound };
            let mut sealed = frame.body.clone();
            cipher.seal(context, &mut sealed)?;
            bytes.extend_from_slice(&sealed);
            let stored = sealed.len() as u32;
            match (&frame.chain, &frame.chunks[..]) {
                (Some(chain), [chunk]) => {
                    let mut number = |id: &ChunkId| {
                        *numbers.entry(*id).or_insert_with(|| {
                            directory.bases.push(*id);
                            directory.bases.len() as u32 - 1
                        })
                    };
                    let bases = chain.bases.iter().map(&mut number).collect();
                    directory.push_delta(frame.kind, *chunk, stored, chain.place, bases);
                }
                _ => directory.push(frame.encoding, frame.kind, &frame.chunks, stored),
            }
            if cipher.open(context, &mut sealed).is_err() || sealed != frame.body {
                return Err(Error::Crypto("a frame that was just sealed does not open to what it was".into()));
            }
        }
        let mut sealed_directory = directory.encode();
        cipher.seal(FrameContext { number: FrameContext::DIRECTORY, bound: b"directory" }, &mut sealed_directory)?;
        let end = sealed_directory.len() + TRAILER_LEN;
        if suite != Suite::None && bytes.len() + end > PADDED_ABOVE {
            let padding = padme(bytes.len() + end) - bytes.len() - end;
            let at = bytes.len();
            bytes.resize(at + padding, 0);
            entropy.fill(&mut bytes[at..])?;
        }
        let trailer = Trailer {
            directory_offset: bytes.len() as u64,
            directory_length: sealed_directory.len() as u32,
            pack_length: (bytes.len() + end) as u64,
        };
        bytes.extend_from_slice(&sealed_directory);
        bytes.extend_from_slice(&trailer.encode());
        if bytes.len() as u64 > MAX_PACK {
            let (value, limit) = (bytes.len() as u64, MAX_PACK);
            return Err(Error::LimitExceeded { what: "the length of a pack in bytes".into(), value, limit });
        }
        let info =
            PackInfo { id: PackId::new(digest(&bytes)), length: bytes.len() as u64, suite, epoch, salt, directory };
        Ok(SealedPack { info, bytes })
    }

    /// Random bytes, hedged with what is in the pack: should the generator ever repeat itself, other content still gets
    /// another key.
    fn salt(&self, entropy: &dyn Entropy) -> Result<[u8; 32]> {
        let mut hasher = Digester::new();
        hasher.update(&entropy.array::<32>()?);
        for chunk in self.frames.iter().flat_map(|frame| &frame.chunks) {
            hasher.update(chunk.id.as_bytes());
        }
        Ok(hasher.finish())
    }
}

/// The next length that reveals at most the highest few bits of the true one (Padmé: "Reducing Metadata Leakage from
/// Encrypted Files and Communication with PURBs", PETS 2019, section 4). At most 12 % more, 3 % at 16 MiB.
fn padme(length: usize) -> usize {
    let exponent = length.ilog2();
    let kept = exponent.max(1).ilog2() + 1;
    let mask = (1usize << exponent.saturating_sub(kept)) - 1;
    (length + mask) & !mask
}

const _: () = assert!(HEADER_LEN < PADDED_ABOVE);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkKind;
    use crate::crypto::SeededEntropy;
    use crate::id::ChunkHasher;
    use crate::pack::{FrameCodec, PlainChunk, read_pack};

    const REPOSITORY: RepositoryId = RepositoryId::new([5; 16]);

    fn pack(suite: Suite, keyring: Option<&Keyring>, frames: usize, length: usize) -> (SealedPack, Vec<Vec<u8>>) {
        let entropy = SeededEntropy::new(9);
        let mut codec = FrameCodec::new(Some(3)).unwrap();
        let mut builder = PackBuilder::default();
        let mut plain = Vec::new();
        for frame in 0..frames {
            let mut bytes = vec![frame as u8; length];
            entropy.fill(&mut bytes[..length / 2]).unwrap();
            let chunks: Vec<_> = bytes
                .chunks(1 + length / 3)
                .map(|part| PlainChunk { id: ChunkHasher::open().id(part), bytes: part.to_vec() })
                .collect();
            builder.push(codec.encode(ChunkKind::Bytes, &chunks));
            plain.push(bytes);
        }
        (builder.seal(REPOSITORY, suite, keyring, &entropy).unwrap(), plain)
    }

    #[test]
    fn a_pack_is_read_back() {
        let keyring = Keyring::random(&SeededEntropy::new(1)).unwrap();
        for (suite, keyring) in
            [(Suite::None, None), (Suite::Aes256Gcm, Some(&keyring)), (Suite::XChaCha20Poly1305, Some(&keyring))]
        {
            for (frames, length) in [(1, 10), (3, 5_000), (5, 700_000)] {
                let (sealed, plain) = pack(suite, keyring, frames, length);
                let info = read_pack(&sealed.info.id, &sealed.bytes, REPOSITORY, keyring).unwrap();
                assert_eq!(info, sealed.info);
                let (cipher, mut codec) = (info.cipher(REPOSITORY, keyring).unwrap(), FrameCodec::new(None).unwrap());
                for (number, (frame, plain)) in info.directory.frames.iter().zip(plain).enumerate() {
                    let range = frame.offset as usize..(frame.offset + frame.stored) as usize;
                    let bytes = sealed.bytes[range].to_vec();
                    assert_eq!(info.open_frame(&cipher, &mut codec, number, bytes).unwrap(), plain);
                }
            }
        }
    }

    #[test]
    fn any_changed_byte_of_a_pack_is_noticed() {
        let keyring = Keyring::random(&SeededEntropy::new(1)).unwrap();
        let (sealed, _) = pack(Suite::Aes256Gcm, Some(&keyring), 2, 100);
        for at in 0..sealed.bytes.len() {
            let mut bytes = sealed.bytes.clone();
            bytes[at] ^= 4;
            assert!(read_pack(&sealed.info.id, &bytes, REPOSITORY, Some(&keyring)).is_err());
            // Even under the name that its bytes now have, no frame opens to other bytes.
            let id = PackId::new(digest(&bytes));
            let Ok(info) = read_pack(&id, &bytes, REPOSITORY, Some(&keyring)) else { continue };
            let (cipher, mut codec) =
                (info.cipher(REPOSITORY, Some(&keyring)).unwrap(), FrameCodec::new(None).unwrap());
            let frames = info.directory.frames.iter().enumerate();
            let opened = frames.filter(|(number, frame)| {
                let range = frame.offset as usize..(frame.offset + frame.stored) as usize;
                info.open_frame(&cipher, &mut codec, *number, bytes[range].to_vec()).is_ok()
            });
            assert_eq!(opened.count(), info.directory.frames.len() - 1, "byte {at}");
        }
    }

    #[test]
    fn lengths_above_a_mebibyte_are_rounded_up_a_little() {
        for length in [1 << 20, (1 << 20) + 1, 3_000_000, 16 << 20, (16 << 20) + 1] {
            let padded = padme(length);
            assert!(padded >= length && padded - length <= length / 30, "{length} {padded}");
        }
    }
}
