//! The secrets of a repository.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{CryptoError, Entropy};
use crate::wire::{self, Malformed, Reader, Write};

/// Thirty-two secret bytes, wiped when dropped and never printed.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Secret(pub(crate) [u8; 32]);

impl Secret {
    /// The secret with these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Fresh random bytes.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        Ok(Self(entropy.array()?))
    }

    /// Another secret that follows from this one; `purpose` keeps different uses apart.
    pub fn derive(&self, purpose: &str, salt: &[u8]) -> Secret {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(purpose.len() as u64).to_le_bytes()).update(purpose.as_bytes()).update(salt);
        Secret(*hasher.finalize().as_bytes())
    }

    /// What ties a ciphertext to this very key: AES-GCM and Poly1305 alone would open under several keys.
    pub fn commitment(&self) -> [u8; 32] {
        self.derive("key commitment", &[]).0
    }

    /// The bytes themselves.
    pub fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Everything secret about a repository. Its plain form (sealed in every key slot) is drawn in `docs/format.md`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keyring {
    /// Names chunks; for the life of the repository.
    pub chunk_id_key: Secret,
    /// The master key of each epoch; new objects use the last one.
    pub epochs: Vec<Secret>,
}

/// How many epochs a keyring may have.
const MAX_EPOCHS: usize = 1024;

impl Keyring {
    /// A fresh keyring.
    pub fn random(entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        Ok(Self { chunk_id_key: Secret::random(entropy)?, epochs: vec![Secret::random(entropy)?] })
    }

    /// The epoch whose key new objects use.
    pub fn current_epoch(&self) -> u32 {
        self.epochs.len().saturating_sub(1) as u32
    }

    /// This keyring with one more epoch, whose master key is random.
    pub fn rotated(&self, entropy: &dyn Entropy) -> Result<Self, CryptoError> {
        if self.epochs.len() >= MAX_EPOCHS {
            return Err(CryptoError(format!("a keyring has at most {MAX_EPOCHS} epochs")));
        }
        let mut rotated = self.clone();
        rotated.epochs.push(Secret::random(entropy)?);
        Ok(rotated)
    }

    /// Whether this very key is the master key of an epoch.
    pub fn holds(&self, epoch: u32, commitment: &[u8; 32]) -> bool {
        self.master(epoch).is_some_and(|master| master.commitment() == *commitment)
    }

    /// The master key of an epoch.
    pub fn master(&self, epoch: u32) -> Option<&Secret> {
        self.epochs.get(usize::try_from(epoch).ok()?)
    }

    /// The plain bytes of the keyring.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(64 + 32 * self.epochs.len());
        bytes.put_u8(1);
        bytes.put(&self.chunk_id_key.0);
        bytes.put_varint(self.epochs.len() as u64);
        for epoch in &self.epochs {
            bytes.put(&epoch.0);
        }
        bytes
    }

    /// Reads what [`encode`](Keyring::encode) wrote.
    pub fn decode(bytes: &[u8]) -> wire::Result<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u8()? != 1 {
            return Err(Malformed::new("a keyring of another version"));
        }
        let chunk_id_key = Secret(reader.array()?);
        let count = reader.count(32)?;
        if count == 0 || count > MAX_EPOCHS {
            return Err(Malformed::new(format!("a keyring with {count} epochs")));
        }
        let epochs = (0..count).map(|_| reader.array().map(Secret)).collect::<wire::Result<_>>()?;
        reader.finish()?;
        Ok(Self { chunk_id_key, epochs })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SeededEntropy;

    #[test]
    fn a_keyring_has_an_end() {
        let mut keyring = Keyring::random(&SeededEntropy::new(1)).unwrap();
        while let Ok(rotated) = keyring.rotated(&SeededEntropy::new(3)) {
            keyring = rotated;
        }
        assert_eq!(keyring.epochs.len(), MAX_EPOCHS);
        assert!(Keyring::decode(&keyring.encode()).is_ok());
    }

    #[test]
    fn a_keyring_is_read_back() {
        let keyring = Keyring::random(&SeededEntropy::new(1)).unwrap().rotated(&SeededEntropy::new(2)).unwrap();
        let bytes = keyring.encode();
        assert_eq!(Keyring::decode(&bytes).unwrap(), keyring);
        assert_eq!(keyring.current_epoch(), 1);
        for cut in 0..bytes.len() {
            assert!(Keyring::decode(&bytes[..cut]).is_err());
        }
        assert!(
            keyring.holds(1, &keyring.epochs[1].commitment()) && !keyring.holds(0, &keyring.epochs[1].commitment())
        );
        assert!(!keyring.holds(2, &keyring.epochs[1].commitment()));
        assert!(!format!("{keyring:?}").contains(&crate::id::hex(&keyring.epochs[0].0[..2])));
    }
}
