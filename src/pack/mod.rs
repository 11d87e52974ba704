//! Packs: many chunks in one object. A pack is written once and never changed (drawn in `docs/format.md`, "Pack").
//!
//! ```text
//! header 96 | frame 0 | frame 1 | ... | padding | directory | trailer 40
//! ```
//!
//! A *frame* is the unit of compression, encryption and copying: whole chunks of one kind. The *directory* says which
//! chunks lie in which frame; it alone rebuilds the index. Everything above asks for chunks and never sees a frame.

mod builder;
mod chain;
mod columnar;
mod directory;
mod frame;
mod header;
mod open;
mod parity;

pub use builder::{PackBuilder, SealedPack};
pub use chain::{Chain, Place};
pub use directory::{Directory, Frame, FrameChunk, MAX_BASES, MAX_DEPTH};
pub use frame::{EncodedFrame, Encoding, FrameCodec, PlainChunk};
pub use header::{HEADER_LEN, Header, TRAILER_LEN, Trailer};
pub use open::OpenPacks;
pub use parity::{MAX_PARITY, MAX_SHARE, Parity, make_parity, parity_name, parse_share};

use crate::crypto::{FrameContext, Keyring, PackCipher, Suite};
use crate::error::{Context, Error, Result};
use crate::id::{ChunkHasher, ChunkId, PackId, RepositoryId, digest};
use crate::storage::{Kind, Name};

/// The longest pack, in bytes.
pub const MAX_PACK: u64 = 64 << 20;

/// When a pack is closed, in bytes.
pub const PACK_TARGET: usize = 16 << 20;

/// When a pack is closed, in frames: deltas are short, and a directory of very many is much to read for one of them.
pub const PACK_FRAMES: usize = 4096;

/// When a frame is closed, in plain bytes.
pub const FRAME_TARGET: usize = 1 << 20;

/// All that is needed to read from a pack: what its header and its directory say. Index objects hold these.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackInfo {
    /// The pack's id.
    pub id: PackId,
    /// Its length in bytes.
    pub length: u64,
    /// How it is sealed.
    pub suite: Suite,
    /// Under the master key of which epoch.
    pub epoch: u32,
    /// What its own key follows from.
    pub salt: [u8; 32],
    /// Where each frame and chunk lies in the pack.
    pub directory: Directory,
}

impl PackInfo {
    /// The name of the pack's object.
    pub fn name(&self) -> Name {
        pack_name(&self.id)
    }

    /// The cipher that opens this pack.
    pub fn cipher(&self, repository: RepositoryId, keyring: Option<&Keyring>) -> Result<PackCipher> {
        opener_of(&self.id, self.suite, self.epoch, &self.salt, repository, keyring)
    }

    /// The chunks of a frame, cut out of its plain bytes. The bytes of each hash to its id.
    ///
    /// # Errors
    /// [`Error::ChunkDamaged`] for the first of which that is not so.
    pub fn prove_chunks<'p>(
        &self,
        number: usize,
        plain: &'p [u8],
        hasher: &ChunkHasher,
    ) -> Result<Vec<(ChunkId, &'p [u8])>> {
        let mut rest = plain;
        let cut = |chunk: &FrameChunk| match rest.split_at_checked(chunk.length as usize) {
            Some((bytes, after)) if hasher.id(bytes) == chunk.id => {
                rest = after;
                Ok((chunk.id, bytes))
            }
            _ => Err(self.wrong_chunk(&chunk.id)),
        };
        self.directory.chunks_of(self.frame(number)?).iter().map(cut).collect()
    }

    /// The error that says that what should be this chunk is something else.
    pub fn wrong_chunk(&self, id: &ChunkId) -> Error {
        Error::ChunkDamaged { id: *id, pack: self.id, reason: "its bytes do not hash to its id".into() }
    }

    /// The plain bytes of all chunks of a frame, end to end, from its sealed bytes. Their ids are not recomputed here.
    pub fn open_frame(
        &self,
        cipher: &PackCipher,
        codec: &mut FrameCodec,
        number: usize,
        sealed: Vec<u8>,
    ) -> Result<Vec<u8>> {
        self.decode_frame(codec, number, &self.unseal(cipher, number, sealed)?)
    }

    /// The same from its bytes as [`unseal`](PackInfo::unseal) returns them.
    pub fn decode_frame(&self, codec: &mut FrameCodec, number: usize, body: &[u8]) -> Result<Vec<u8>> {
        let frame = self.frame(number)?;
        codec
            .decode(frame.encoding, body, frame.plain as usize)
            .map_err(|e| self.damaged(format!("frame {number}: {e}")))
    }

    /// The plain bytes of a delta, from its bytes as [`unseal`](PackInfo::unseal) returns them and the plain bytes of its
    /// bases, end to end.
    pub fn decode_delta(&self, codec: &mut FrameCodec, number: usize, body: &[u8], base: &[u8]) -> Result<Vec<u8>> {
        let frame = self.frame(number)?;
        codec.decode_delta(body, base, frame.plain as usize).map_err(|e| self.damaged(format!("frame {number}: {e}")))
    }

    /// The bytes of a frame as they were before sealing, still encoded.
    pub fn unseal(&self, cipher: &PackCipher, number: usize, mut sealed: Vec<u8>) -> Result<Vec<u8>> {
        let frame = self.frame(number)?;
        let bound = frame.bound(self.directory.chunks_of(frame));
        let context = FrameContext { number: number as u32, bound: &bound };
        cipher.open(context, &mut sealed).map_err(|e| self.damaged(format!("frame {number}: {e}")))?;
        Ok(sealed)
    }

    /// A frame as the directory lists it.
    pub fn frame(&self, number: usize) -> Result<&Frame> {
        self.directory.frames.get(number).ok_or_else(|| self.damaged(format!("it has no frame {number}")))
    }

    /// A frame with these encoded bytes, ready to be sealed again in another pack.
    pub fn encoded_frame(&self, number: usize, body: Vec<u8>) -> Result<EncodedFrame> {
        let frame = self.frame(number)?;
        let base = |base: &u32| {
            let id = self.directory.bases.get(*base as usize).copied();
            id.ok_or_else(|| self.damaged(format!("frame {number} names a base that is not listed")))
        };
        let chain = match frame.encoding {
            Encoding::Delta => {
                Some(Chain { bases: frame.bases.iter().map(base).collect::<Result<_>>()?, place: frame.place })
            }
            _ => None,
        };
        let chunks = self.directory.chunks_of(frame).to_vec();
        Ok(EncodedFrame { kind: frame.kind, encoding: frame.encoding, chunks, body, chain })
    }

    fn damaged(&self, reason: String) -> Error {
        Error::damaged(self.name(), reason)
    }
}

/// The name of a pack's object.
pub fn pack_name(id: &PackId) -> Name {
    Name::new(Kind::Pack, id)
}

/// Reads what a pack says about itself, from all of its bytes: checks its name, its header, its trailer and its
/// directory, and that the frames lie end to end as the directory has them.
pub fn read_pack(id: &PackId, bytes: &[u8], repository: RepositoryId, keyring: Option<&Keyring>) -> Result<PackInfo> {
    if digest(bytes) != *id.as_bytes() {
        return Err(Error::damaged(pack_name(id), "its bytes do not hash to its name"));
    }
    let header = bytes.get(..HEADER_LEN).unwrap_or(bytes);
    let split = bytes.len().saturating_sub(TRAILER_LEN);
    let trailer = Trailer::read(bytes.get(split..).unwrap_or(&[]), bytes.len() as u64).in_object(pack_name(id))?;
    let directory = bytes.get(trailer.directory_range(split)).unwrap_or(&[]);
    read_parts(id, bytes.len() as u64, header, directory, &trailer, repository, keyring)
}

/// Reads what a pack says about itself, from its header, its sealed directory and its trailer. The caller has no proof
/// that the frames are sound.
pub fn read_parts(
    id: &PackId,
    length: u64,
    header: &[u8],
    directory: &[u8],
    trailer: &Trailer,
    repository: RepositoryId,
    keyring: Option<&Keyring>,
) -> Result<PackInfo> {
    let name = pack_name(id);
    let header = Header::read(header).in_object(&name)?;
    if header.repository != repository {
        return Err(Error::damaged(name, format!("it belongs to repository {}", header.repository)));
    }
    let cipher = opener_of(id, header.suite, header.epoch, &header.salt, repository, keyring)?;
    if *cipher.commitment() != header.commitment {
        return Err(Error::damaged(name, "it is sealed under another key"));
    }
    let mut plain = directory.to_vec();
    cipher
        .open(FrameContext { number: FrameContext::DIRECTORY, bound: b"directory" }, &mut plain)
        .map_err(|e| Error::damaged(&name, format!("directory: {e}")))?;
    let directory = Directory::decode(&plain).in_object(&name)?;
    match directory.frames.last().map_or(HEADER_LEN as u64, |frame| u64::from(frame.offset) + u64::from(frame.stored)) {
        end if end <= trailer.directory_offset => {
            Ok(PackInfo { id: *id, length, suite: header.suite, epoch: header.epoch, salt: header.salt, directory })
        }
        _ => Err(Error::damaged(name, "its frames reach into its directory")),
    }
}

/// The cipher of a pack that is there. An epoch that no key is known of is one that it should not name.
fn opener_of(
    id: &PackId,
    suite: Suite,
    epoch: u32,
    salt: &[u8; 32],
    repository: RepositoryId,
    keyring: Option<&Keyring>,
) -> Result<PackCipher> {
    cipher_of(suite, epoch, salt, repository, keyring).map_err(|error| match error {
        Error::Crypto(reason) => Error::damaged(pack_name(id), reason),
        error => error,
    })
}

fn cipher_of(
    suite: Suite,
    epoch: u32,
    salt: &[u8; 32],
    repository: RepositoryId,
    keyring: Option<&Keyring>,
) -> Result<PackCipher> {
    let master = keyring.and_then(|keyring| keyring.master(epoch));
    if keyring.is_some() && (master.is_none() || suite == Suite::None) {
        let reason = format!("there is no key of epoch {epoch}, suite {}", suite.name());
        return Err(Error::Crypto(reason.into()));
    }
    Ok(PackCipher::new(suite, repository, master, salt)?)
}
