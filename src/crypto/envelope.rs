//! The envelope of the small objects: log entries, index objects, and whatever else is neither pack nor config.

use chacha20poly1305::{KeyInit, XChaCha20Poly1305, aead::AeadInOut};

use super::{CryptoError, Entropy, Keyring, OpenError, Suite, TAG_LEN, open_tag};
use crate::id::{Kind, RepositoryId};
use crate::wire::{self, Malformed, Reader, Write};

/// The version of the format that this code writes, and the only one that it reads.
pub(crate) const FORMAT_VERSION: u8 = 1;

const MAGIC: &[u8; 4] = b"SNAP";

/// Length in bytes of the prelude.
pub const PRELUDE_LEN: usize = 28;

const NONCE_LEN: usize = 24;

/// The first bytes of every small object: magic, kind, format version, suite, flags (0), key epoch, repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prelude {
    /// What kind of object follows.
    pub kind: Kind,
    /// How it is sealed.
    pub suite: Suite,
    /// Under the key of which epoch.
    pub epoch: u32,
    /// To which repository it belongs.
    pub repository: RepositoryId,
}

impl Prelude {
    /// The bytes of the prelude.
    pub fn encode(&self) -> [u8; PRELUDE_LEN] {
        let mut bytes = [0; PRELUDE_LEN];
        bytes[..4].copy_from_slice(MAGIC);
        bytes[4..8].copy_from_slice(&[self.kind.number(), FORMAT_VERSION, self.suite as u8, 0]);
        bytes[8..12].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[12..].copy_from_slice(self.repository.as_bytes());
        bytes
    }
}

/// Reads the prelude of an object that must be of this kind.
pub fn open_prelude(reader: &mut Reader<'_>, kind: Kind) -> wire::Result<Prelude> {
    if reader.bytes(4)? != MAGIC {
        return Err(Malformed::new("it does not begin with SNAP"));
    }
    let [found, version, suite, flags] = reader.array()?;
    if found != kind.number() {
        return Err(Malformed(format!("it is an object of kind {found}, not {}", kind.number())));
    }
    if version != FORMAT_VERSION {
        return Err(Malformed(format!("it is of format version {version}, this is version {FORMAT_VERSION}")));
    }
    let suite = Suite::from_number(suite).ok_or_else(|| Malformed(format!("cipher suite {suite} is not known")))?;
    if flags != 0 {
        return Err(Malformed(format!("its flags {flags:#x} are not known")));
    }
    Ok(Prelude { kind, suite, epoch: reader.u32()?, repository: RepositoryId::new(reader.array()?) })
}

/// Seals and opens small objects of one repository: XChaCha20-Poly1305 under a random nonce, whatever the packs use.
#[derive(Debug, Clone)]
pub struct Envelope {
    repository: RepositoryId,
    keyring: Option<Keyring>,
}

/// Why an object in an envelope could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// It is no such object.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It was changed, or moved here from elsewhere.
    #[error(transparent)]
    Open(#[from] OpenError),
}

impl Envelope {
    /// The envelope of this repository; without a keyring, of an unencrypted one.
    pub fn new(repository: RepositoryId, keyring: Option<Keyring>) -> Self {
        Self { repository, keyring }
    }

    /// Seals `body`. `name` is what the object will be called, or empty where the name follows from the bytes.
    pub fn seal(&self, entropy: &dyn Entropy, kind: Kind, name: &str, body: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.seal_in(self.keyring.as_ref().map_or(0, Keyring::current_epoch), entropy, kind, name, body)
    }

    /// As [`seal`](Envelope::seal), under the key of this epoch instead of the last one.
    pub fn seal_in(
        &self,
        epoch: u32,
        entropy: &dyn Entropy,
        kind: Kind,
        name: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        if self.keyring.as_ref().is_some_and(|keyring| keyring.master(epoch).is_none()) {
            return Err(CryptoError(format!("there is no key of epoch {epoch}")));
        }
        let suite = if self.keyring.is_some() { Suite::XChaCha20Poly1305 } else { Suite::None };
        let prelude = Prelude { kind, suite, epoch, repository: self.repository }.encode();
        let nonce: [u8; NONCE_LEN] = entropy.array()?;
        let mut sealed = Vec::with_capacity(PRELUDE_LEN + NONCE_LEN + body.len() + TAG_LEN);
        sealed.put(&prelude);
        sealed.put(&nonce);
        sealed.put(body);
        let text = &mut sealed[PRELUDE_LEN + NONCE_LEN..];
        let tag = match self.cipher(epoch) {
            Some(cipher) => cipher
                .encrypt_inout_detached(&nonce.into(), &bound(&prelude, name), text.into())
                .map_err(|_| CryptoError(format!("an object of {} bytes cannot be sealed", body.len())))?
                .into(),
            None => open_tag(&[&prelude, &nonce, name.as_bytes()], text),
        };
        sealed.put(&tag);
        Ok(sealed)
    }

    /// The body of an object that [`seal`](Envelope::seal) made under the same kind and name.
    pub fn open(&self, kind: Kind, name: &str, bytes: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
        let mut reader = Reader::new(bytes);
        let prelude = open_prelude(&mut reader, kind)?;
        if prelude.repository != self.repository {
            return Err(Malformed(format!("it belongs to repository {}", prelude.repository)).into());
        }
        if (prelude.suite == Suite::None) != self.keyring.is_none() {
            return Err(OpenError::NotAuthentic.into());
        }
        let nonce: [u8; NONCE_LEN] = reader.array()?;
        let length = reader.remaining().checked_sub(TAG_LEN).ok_or(OpenError::NotAuthentic)?;
        let mut text = reader.bytes(length)?.to_vec();
        let tag: [u8; TAG_LEN] = reader.array()?;
        let prelude_bytes = prelude.encode();
        let authentic = match &self.keyring {
            None => open_tag(&[&prelude_bytes, &nonce, name.as_bytes()], &text) == tag,
            Some(_) => self
                .cipher(prelude.epoch)
                .ok_or(OpenError::UnknownEpoch(prelude.epoch))?
                .decrypt_inout_detached(
                    &nonce.into(),
                    &bound(&prelude_bytes, name),
                    text.as_mut_slice().into(),
                    &tag.into(),
                )
                .is_ok(),
        };
        match authentic {
            true => Ok(text),
            false => Err(OpenError::NotAuthentic.into()),
        }
    }

    /// The repository that it belongs to.
    pub fn repository(&self) -> RepositoryId {
        self.repository
    }

    /// The secrets, where it has any.
    pub fn keyring(&self) -> Option<&Keyring> {
        self.keyring.as_ref()
    }

    /// The epoch whose key seals what is new; 0 in an unencrypted repository.
    pub fn epoch(&self) -> u32 {
        self.keyring.as_ref().map_or(0, Keyring::current_epoch)
    }

    /// Whether objects are encrypted.
    pub fn encrypts(&self) -> bool {
        self.keyring.is_some()
    }

    /// Whether the keys are those that a repository uses from an epoch on, by the commitment to its master key.
    pub fn holds(&self, epoch: u32, commitment: &[u8; 32]) -> bool {
        self.keyring.as_ref().is_some_and(|keyring| keyring.holds(epoch, commitment))
    }

    fn cipher(&self, epoch: u32) -> Option<XChaCha20Poly1305> {
        let master = self.keyring.as_ref()?.master(epoch)?;
        Some(XChaCha20Poly1305::new(master.derive("small object", &[]).expose().into()))
    }
}

/// The epoch that an object of this kind says it is sealed in; whether that is so shows when it is opened.
pub fn epoch_of(kind: Kind, bytes: &[u8]) -> wire::Result<u32> {
    open_prelude(&mut Reader::new(bytes), kind).map(|prelude| prelude.epoch)
}

fn bound(prelude: &[u8], name: &str) -> Vec<u8> {
    [prelude, name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::SeededEntropy;

    fn envelopes() -> [Envelope; 2] {
        let keyring = Keyring::random(&SeededEntropy::new(1)).unwrap();
        let repository = RepositoryId::new([7; 16]);
        [Envelope::new(repository, Some(keyring)), Envelope::new(repository, None)]
    }

    #[test]
    fn what_is_sealed_opens_only_as_what_it_is() {
        let entropy = SeededEntropy::new(2);
        for envelope in envelopes() {
            let sealed = envelope.seal(&entropy, Kind::Log, "log/5", b"body").unwrap();
            assert_eq!(envelope.open(Kind::Log, "log/5", &sealed).unwrap(), b"body");
            assert!(envelope.open(Kind::Log, "log/6", &sealed).is_err());
            assert!(envelope.open(Kind::Index, "log/5", &sealed).is_err());
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 0x10;
                assert!(envelope.open(Kind::Log, "log/5", &changed).is_err(), "byte {at}");
                assert!(envelope.open(Kind::Log, "log/5", &sealed[..at]).is_err());
            }
        }
    }

    #[test]
    fn each_epoch_has_a_key_of_its_own() {
        let (entropy, repository) = (SeededEntropy::new(4), RepositoryId::new([7; 16]));
        let old = Keyring::random(&entropy).unwrap();
        let new = old.rotated(&entropy).unwrap();
        let commitment = new.epochs[1].commitment();
        let [old, new] = [old, new].map(|keyring| Envelope::new(repository, Some(keyring)));
        let sealed = new.seal(&entropy, Kind::Index, "", b"body").unwrap();
        assert_eq!(epoch_of(Kind::Index, &sealed).unwrap(), 1);
        let refused = old.open(Kind::Index, "", &sealed).unwrap_err();
        assert!(matches!(refused, EnvelopeError::Open(OpenError::UnknownEpoch(1))));
        let sealed = new.seal_in(0, &entropy, Kind::Index, "", b"body").unwrap();
        assert_eq!(old.open(Kind::Index, "", &sealed).unwrap(), b"body");
        assert!(new.seal_in(2, &entropy, Kind::Index, "", b"body").is_err());
        // An object that says it is of a later epoch than it is does not open.
        let mut forged = sealed;
        forged[8] = 1;
        assert!(new.open(Kind::Index, "", &forged).is_err());
        assert!(new.holds(1, &commitment) && !old.holds(1, &commitment));
    }

    #[test]
    fn an_encrypted_repository_takes_no_open_object() {
        let [encrypted, open] = envelopes();
        let forged = open.seal(&SeededEntropy::new(3), Kind::Index, "", b"forged").unwrap();
        assert!(encrypted.open(Kind::Index, "", &forged).is_err());
    }
}
