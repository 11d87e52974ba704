//! The cipher of one pack.

use aws_lc_rs::aead;
use chacha20poly1305::{KeyInit, XChaCha20Poly1305, XNonce, aead::AeadInOut};

use super::{CryptoError, OpenError, Secret, TAG_LEN, open_tag};
use crate::id::RepositoryId;

/// How packs are sealed. The numbers are part of the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Suite {
    /// Not encrypted; a BLAKE3 checksum stands for the tag.
    None = 0,
    /// AES-256 in Galois/counter mode (NIST SP 800-38D), for machines with AES instructions.
    Aes256Gcm = 1,
    /// XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha), fast everywhere.
    XChaCha20Poly1305 = 2,
}

impl Suite {
    /// The suite with this number in the format.
    pub fn from_number(number: u8) -> Option<Self> {
        [Self::None, Self::Aes256Gcm, Self::XChaCha20Poly1305].into_iter().find(|suite| *suite as u8 == number)
    }

    /// The suite with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Aes256Gcm, Self::XChaCha20Poly1305].into_iter().find(|suite| suite.name() == name)
    }

    /// Its name on the command line and in listings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Aes256Gcm => "aes-256-gcm",
            Self::XChaCha20Poly1305 => "xchacha20-poly1305",
        }
    }
}

/// What is authenticated with a part of a pack, so that it opens only where it was put.
#[derive(Debug, Clone, Copy)]
pub struct FrameContext<'a> {
    /// Which part: a frame's number, or [`FrameContext::DIRECTORY`].
    pub number: u32,
    /// Encoding, kind and the digest of the chunks, as [`pack`](crate::pack) lays them out.
    pub bound: &'a [u8],
}

impl FrameContext<'_> {
    /// The number that stands for the directory of a pack.
    pub const DIRECTORY: u32 = u32::MAX;
}

enum Key {
    Open,
    Aes(Box<aead::LessSafeKey>),
    ChaCha(Box<XChaCha20Poly1305>),
}

/// Seals and opens the parts of one pack. Its key belongs to this pack alone (it follows from the pack's salt), so
/// numbering the parts makes nonces that never repeat under it.
pub struct PackCipher {
    key: Key,
    place: Vec<u8>,
    commitment: [u8; 32],
}

impl PackCipher {
    /// The cipher of the pack with this salt.
    ///
    /// # Errors
    /// If the suite needs a master key and there is none.
    pub fn new(
        suite: Suite,
        repository: RepositoryId,
        master: Option<&Secret>,
        salt: &[u8; 32],
    ) -> Result<Self, CryptoError> {
        let mut place = repository.as_bytes().to_vec();
        place.extend_from_slice(salt);
        let (key, commitment) = match (suite, master.map(|master| master.derive("pack", salt))) {
            (Suite::None, _) => (Key::Open, [0; 32]),
            (_, None) => return Err(CryptoError("an encrypted pack without a key".into())),
            (Suite::Aes256Gcm, Some(key)) => {
                let unbound = aead::UnboundKey::new(&aead::AES_256_GCM, key.expose())
                    .map_err(|_| CryptoError("AES-256-GCM refused its key".into()))?;
                (Key::Aes(Box::new(aead::LessSafeKey::new(unbound))), key.commitment())
            }
            (Suite::XChaCha20Poly1305, Some(key)) => {
                (Key::ChaCha(Box::new(XChaCha20Poly1305::new(key.expose().into()))), key.commitment())
            }
        };
        Ok(Self { key, place, commitment })
    }

    /// What the pack's header carries to tie it to its key; zeros where there is no key.
    pub fn commitment(&self) -> &[u8; 32] {
        &self.commitment
    }

    /// Seals `bytes` in place and appends the tag.
    pub fn seal(&self, context: FrameContext<'_>, bytes: &mut Vec<u8>) -> Result<(), CryptoError> {
        let length = bytes.len();
        let refused = || CryptoError(format!("a frame of {length} bytes cannot be sealed"));
        let bound = self.bound(context);
        match &self.key {
            Key::Open => {
                let tag = open_tag(&[&bound], bytes);
                bytes.extend_from_slice(&tag);
            }
            Key::Aes(key) => {
                let tag = key
                    .seal_in_place_separate_tag(aes_nonce(context.number), aead::Aad::from(&bound), bytes)
                    .map_err(|_| refused())?;
                bytes.extend_from_slice(tag.as_ref());
            }
            Key::ChaCha(key) => {
                let tag = key
                    .encrypt_inout_detached(&chacha_nonce(context.number), &bound, bytes.as_mut_slice().into())
                    .map_err(|_| refused())?;
                bytes.extend_from_slice(&tag);
            }
        }
        Ok(())
    }

    /// Opens what [`seal`](PackCipher::seal) made under the same context, in place.
    pub fn open(&self, context: FrameContext<'_>, bytes: &mut Vec<u8>) -> Result<(), OpenError> {
        let length = bytes.len().checked_sub(TAG_LEN).ok_or(OpenError::NotAuthentic)?;
        let bound = self.bound(context);
        let (text, tag) = bytes.split_at_mut(length);
        let opened = match &self.key {
            Key::Open => open_tag(&[&bound], text) == *tag,
            Key::Aes(key) => key.open_in_place(aes_nonce(context.number), aead::Aad::from(&bound), &mut *bytes).is_ok(),
            Key::ChaCha(key) => <&chacha20poly1305::Tag>::try_from(&*tag).is_ok_and(|tag| {
                key.decrypt_inout_detached(&chacha_nonce(context.number), &bound, text.into(), tag).is_ok()
            }),
        };
        bytes.truncate(length);
        opened.then_some(()).ok_or(OpenError::NotAuthentic)
    }

    fn bound(&self, context: FrameContext<'_>) -> Vec<u8> {
        let mut bound = self.place.clone();
        bound.extend_from_slice(&context.number.to_le_bytes());
        bound.extend_from_slice(context.bound);
        bound
    }
}

impl std::fmt::Debug for PackCipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PackCipher(..)")
    }
}

fn aes_nonce(number: u32) -> aead::Nonce {
    let mut nonce = [0; 12];
    nonce[..4].copy_from_slice(&number.to_le_bytes());
    aead::Nonce::assume_unique_for_key(nonce)
}

fn chacha_nonce(number: u32) -> XNonce {
    let mut nonce = [0; 24];
    nonce[..4].copy_from_slice(&number.to_le_bytes());
    nonce.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SUITES: [Suite; 3] = [Suite::None, Suite::Aes256Gcm, Suite::XChaCha20Poly1305];

    fn cipher(suite: Suite, repository: u8, master: u8, salt: u8) -> PackCipher {
        let master = Secret::new([master; 32]);
        PackCipher::new(suite, RepositoryId::new([repository; 16]), Some(&master), &[salt; 32]).unwrap()
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(bytes: Vec<u8>, number: u32, bound: Vec<u8>) {
            for suite in SUITES {
                let cipher = cipher(suite, 1, 2, 3);
                let context = FrameContext { number, bound: &bound };
                let mut sealed = bytes.clone();
                cipher.seal(context, &mut sealed)?;
                prop_assert_eq!(sealed.len(), bytes.len() + TAG_LEN);
                cipher.open(context, &mut sealed)?;
                prop_assert_eq!(&sealed, &bytes);
            }
        }
    }

    #[test]
    fn nothing_opens_elsewhere_or_changed() {
        let context = FrameContext { number: 7, bound: b"kind" };
        for suite in SUITES {
            let mut sealed = b"some frame".to_vec();
            cipher(suite, 1, 2, 3).seal(context, &mut sealed).unwrap();
            let opens = |cipher: PackCipher, context, bytes: &[u8]| cipher.open(context, &mut bytes.to_vec()).is_ok();
            assert!(opens(cipher(suite, 1, 2, 3), context, &sealed));
            assert!(!opens(cipher(suite, 9, 2, 3), context, &sealed), "another repository");
            assert!(!opens(cipher(suite, 1, 2, 9), context, &sealed), "another pack");
            assert!(!opens(cipher(suite, 1, 2, 3), FrameContext { number: 8, ..context }, &sealed), "another place");
            assert!(!opens(cipher(suite, 1, 2, 3), FrameContext { bound: b"kinD", ..context }, &sealed));
            if suite != Suite::None {
                assert!(!opens(cipher(suite, 1, 9, 3), context, &sealed), "another key");
                assert_ne!(cipher(suite, 1, 2, 3).commitment(), cipher(suite, 1, 9, 3).commitment());
            }
            for at in 0..sealed.len() {
                let mut changed = sealed.clone();
                changed[at] ^= 1;
                assert!(!opens(cipher(suite, 1, 2, 3), context, &changed), "byte {at} of {suite:?}");
                assert!(!opens(cipher(suite, 1, 2, 3), context, &sealed[..at]));
            }
        }
    }
}
