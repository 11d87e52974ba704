//! Ciphers, keys and passwords. Pure: what is random is handed in through [`Entropy`].
//!
//! The master key of each epoch lies in the [`Keyring`], which is sealed by a password in a key slot ([`slot`]). From it
//! come a key for each pack ([`PackCipher`]) and one for the small objects ([`Envelope`]). An unencrypted repository
//! has no keyring; there, sixteen bytes of BLAKE3 stand where the authentication tag would, against accidents only.

mod entropy;
mod envelope;
mod hmac;
mod keyring;
mod pack_cipher;
pub mod slot;

pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use envelope::{Envelope, PRELUDE_LEN, Prelude, epoch_of, open_prelude};
pub use hmac::{hmac_sha256, is_same_secret, sha256};
pub use keyring::{Keyring, Secret};
pub use pack_cipher::{FrameContext, PackCipher, Suite};

/// Length in bytes of the tag that ends everything that is sealed.
pub const TAG_LEN: usize = 16;

/// Why something sealed did not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short, or with a tag that does not fit: not what was sealed, or not for this place.
    #[error("its authentication tag does not fit")]
    NotAuthentic,
    /// Sealed under a key of an epoch that the keyring does not have.
    #[error("it is sealed under the key of epoch {0}, which is not in the keyring")]
    UnknownEpoch(u32),
}

/// A cipher refused to work; happens only for inputs beyond its limits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct CryptoError(pub(crate) String);

impl From<CryptoError> for crate::error::Error {
    fn from(error: CryptoError) -> Self {
        Self::Crypto(error.into())
    }
}

/// The tag of an unencrypted repository: sixteen bytes of BLAKE3 over the context and the bytes.
fn open_tag(context: &[&[u8]], bytes: &[u8]) -> [u8; TAG_LEN] {
    let mut hasher = blake3::Hasher::new_derive_key("snap 2026-11 v1 checksum of an unencrypted object");
    for part in context {
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part);
    }
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(&hasher.update(bytes).finalize().as_bytes()[..TAG_LEN]);
    tag
}

/// Eight bytes of keyed BLAKE3 over parts of known lengths: what guards the rows of the local index.
pub fn checksum(key: &[u8; 32], parts: &[&[u8]]) -> [u8; 8] {
    let mut hasher = blake3::Hasher::new_keyed(key);
    for part in parts {
        hasher.update(part);
    }
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    checksum
}
