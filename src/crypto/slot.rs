//! A key slot: the keyring, sealed by a password. On disk it is `keys/<id>`, drawn in `docs/format.md`.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::AeadInOut};

use super::{CryptoError, Entropy, Keyring, Prelude, Secret, Suite, TAG_LEN, open_prelude};
use crate::id::{Kind, RepositoryId};
use crate::wire::{Malformed, Reader, Write};

/// The largest key slot that is read, in bytes.
pub const MAX_SLOT: u64 = 128 << 10;

const KDF_ARGON2ID: u8 = 1;

/// What Argon2id is to cost. The default is the second choice of RFC 9106, section 4: 64 MiB, 3 passes, 4 lanes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KdfCost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over it.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for KdfCost {
    fn default() -> Self {
        Self { memory_kib: 64 << 10, passes: 3, lanes: 4 }
    }
}

impl KdfCost {
    /// Reads how much memory it takes, in MiB: 8 to 2048.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse_memory(text: &str) -> std::result::Result<Self, String> {
        match text.parse() {
            Ok(mib @ 8..=2048) => Ok(Self { memory_kib: mib << 10, ..Self::default() }),
            Ok(mib) => Err(format!("{mib} is not in 8..=2048")),
            Err(_) => Err(format!("{text:?} is no number of MiB")),
        }
    }

    /// Beyond these a slot is refused: a hostile one could otherwise keep the reader busy for ever.
    pub const MAX: KdfCost = KdfCost { memory_kib: 2 << 20, passes: 16, lanes: 16 };

    /// How much work it is: KiB that are gone over, in all passes.
    pub fn work(self) -> u64 {
        u64::from(self.memory_kib).saturating_mul(u64::from(self.passes))
    }

    fn check(self) -> Result<Params, Malformed> {
        let absurd = || Malformed(format!("it asks for an absurd key derivation: {self:?}"));
        let Self { memory_kib, passes, lanes } = self;
        if memory_kib > Self::MAX.memory_kib || passes > Self::MAX.passes || lanes > Self::MAX.lanes {
            return Err(absurd());
        }
        Params::new(memory_kib, passes, lanes, Some(32)).map_err(|_| absurd())
    }
}

/// What a slot says in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotInfo {
    /// The repository it opens.
    pub repository: RepositoryId,
    /// What deriving its key costs.
    pub cost: KdfCost,
    /// When it was made, nanoseconds since 1970 (UTC).
    pub created: i64,
    /// For people: who made it, what it is for.
    pub label: String,
}

/// Why a slot gave no keyring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SlotError {
    /// It is no sound key slot.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The password is not the one it was made with (or its clear part was changed).
    #[error("the password does not open it")]
    WrongPassword,
    /// The system could not derive the key.
    #[error("{0}")]
    Crypto(String),
}

/// Seals the keyring under a password.
///
/// # Errors
/// If `info` asks for an absurd cost, or the system returns no memory or random bytes.
pub fn seal(
    entropy: &dyn Entropy,
    keyring: &Keyring,
    password: &[u8],
    info: &SlotInfo,
) -> Result<Vec<u8>, CryptoError> {
    let salt: [u8; 16] = entropy.array()?;
    let nonce: [u8; 24] = entropy.array()?;
    let params = info.cost.check().map_err(|malformed| CryptoError(malformed.0))?;
    let (key, commitment) = derive(params, password, &salt).map_err(|e| CryptoError(e.to_string()))?;
    let mut bytes = Vec::new();
    let prelude = Prelude { kind: Kind::Key, suite: Suite::XChaCha20Poly1305, epoch: 0, repository: info.repository };
    bytes.put(&prelude.encode());
    bytes.put(&[KDF_ARGON2ID, 0, 0, 0]);
    bytes.put_u32(info.cost.memory_kib);
    bytes.put_u32(info.cost.passes);
    bytes.put_u32(info.cost.lanes);
    bytes.put(&salt);
    bytes.put_i64(info.created);
    bytes.put(&nonce);
    bytes.put(&commitment);
    bytes.put_string(info.label.as_bytes());
    let mut text = keyring.encode();
    let tag = XChaCha20Poly1305::new(key.expose().into())
        .encrypt_inout_detached(&nonce.into(), &bytes, text.as_mut_slice().into())
        .map_err(|_| CryptoError("the keyring cannot be sealed".into()))?;
    bytes.put(&text);
    bytes.put(&tag);
    zeroize::Zeroize::zeroize(&mut text);
    Ok(bytes)
}

/// What a slot says in clear; says nothing about whether that is true.
pub fn info(bytes: &[u8]) -> Result<SlotInfo, Malformed> {
    Clear::read(bytes).map(|clear| clear.info)
}

/// The keyring, if the password is right.
pub fn open(bytes: &[u8], password: &[u8]) -> Result<(Keyring, SlotInfo), SlotError> {
    let clear = Clear::read(bytes)?;
    let (key, commitment) = derive(clear.info.cost.check()?, password, &clear.salt)?;
    if commitment != clear.commitment {
        return Err(SlotError::WrongPassword);
    }
    let (bound, sealed) = bytes.split_at(clear.length);
    let length = sealed.len().checked_sub(TAG_LEN).ok_or_else(|| Malformed::new("it is too short"))?;
    let (text, tag) = sealed.split_at(length);
    let (mut text, tag) = (text.to_vec(), <&chacha20poly1305::Tag>::try_from(tag));
    let opened = tag.is_ok_and(|tag| {
        XChaCha20Poly1305::new(key.expose().into())
            .decrypt_inout_detached(&clear.nonce.into(), bound, text.as_mut_slice().into(), tag)
            .is_ok()
    });
    if !opened {
        return Err(Malformed::new("its authentication tag does not fit").into());
    }
    let keyring = Keyring::decode(&text);
    zeroize::Zeroize::zeroize(&mut text);
    Ok((keyring?, clear.info))
}

struct Clear {
    info: SlotInfo,
    salt: [u8; 16],
    nonce: [u8; 24],
    commitment: [u8; 32],
    length: usize,
}

impl Clear {
    fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let repository = open_prelude(&mut reader, Kind::Key)?.repository;
        if reader.array()? != [KDF_ARGON2ID, 0, 0, 0] {
            return Err(Malformed::new("its key derivation is not known"));
        }
        let cost = KdfCost { memory_kib: reader.u32()?, passes: reader.u32()?, lanes: reader.u32()? };
        let (salt, created) = (reader.array()?, reader.i64()?);
        let (nonce, commitment) = (reader.array()?, reader.array()?);
        let label = reader.text()?.to_owned();
        let info = SlotInfo { repository, cost, created, label };
        Ok(Self { info, salt, nonce, commitment, length: bytes.len() - reader.remaining() })
    }
}

/// The key that seals the slot, and its commitment.
fn derive(params: Params, password: &[u8], salt: &[u8; 16]) -> Result<(Secret, [u8; 32]), SlotError> {
    let failed =
        |e: &dyn std::fmt::Display| SlotError::Crypto(format!("deriving the key from the password failed: {e}"));
    // A slot may ask for more memory than there is, which must be an error.
    let mut memory = Vec::new();
    let blocks = params.block_count();
    memory.try_reserve_exact(blocks).map_err(|e| failed(&e))?;
    memory.resize(blocks, Block::default());
    let mut root = Secret::new([0; 32]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into_with_memory(password, salt, &mut root.0, &mut memory)
        .map_err(|e| failed(&e))?;
    Ok((root.derive("key slot", &[]), root.commitment()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SeededEntropy;

    const CHEAP: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };

    fn slot() -> (Vec<u8>, Keyring, SlotInfo) {
        let entropy = SeededEntropy::new(5);
        let keyring = Keyring::random(&entropy).unwrap();
        let info = SlotInfo {
            repository: RepositoryId::new([3; 16]),
            cost: CHEAP,
            created: 1_700_000_000_000_000_000,
            label: "anna@host".into(),
        };
        (seal(&entropy, &keyring, b"secret", &info).unwrap(), keyring, info)
    }

    #[test]
    fn only_the_right_password_opens_a_slot() {
        let (bytes, keyring, info) = slot();
        assert_eq!(open(&bytes, b"secret").unwrap(), (keyring, info.clone()));
        assert_eq!(open(&bytes, b"Secret").unwrap_err(), SlotError::WrongPassword);
        assert_eq!(super::info(&bytes).unwrap(), info);
    }

    #[test]
    fn a_changed_slot_never_opens() {
        let (bytes, ..) = slot();
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            // Not where a flip would ask for gigabytes: those are refused, or just slow.
            if !(32..44).contains(&at) {
                assert!(open(&changed, b"secret").is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn absurd_costs_are_refused() {
        let (mut bytes, ..) = slot();
        bytes[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(matches!(open(&bytes, b"secret"), Err(SlotError::Malformed(_))));
    }
}
