//! What the keys of a repository say of a text: that somebody who had them wrote it.

use super::Repository;
use crate::id::digest;

/// What stands under a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attestation {
    /// The epoch of the key; none in a repository without keys, where it is a checksum that everybody can make.
    pub epoch: Option<u32>,
    /// Keyed BLAKE3 of the text, or BLAKE3.
    pub value: [u8; 32],
}

impl Repository {
    /// Signs a text with the key of the current epoch. `purpose` keeps different kinds of texts apart.
    pub fn attest(&self, purpose: &str, text: &[u8]) -> Attestation {
        let epoch = self.log.envelope().keyring().map(crate::crypto::Keyring::current_epoch);
        // Without keys there is always a checksum.
        self.attest_of(epoch, purpose, text).unwrap_or(Attestation { epoch: None, value: digest(text) })
    }

    /// The same with the key of this epoch; none if the repository has no such key.
    pub fn attest_of(&self, epoch: Option<u32>, purpose: &str, text: &[u8]) -> Option<Attestation> {
        let envelope = self.log.envelope();
        let value = match (epoch, envelope.keyring()) {
            (Some(epoch), Some(keyring)) => *keyring.master(epoch)?.derive(purpose, text).expose(),
            (None, None) => digest(&[purpose.as_bytes(), text].concat()),
            _ => return None,
        };
        Some(Attestation { epoch, value })
    }
}
