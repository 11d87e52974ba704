//! Where random bytes come from.

use std::sync::Mutex;

use super::CryptoError;

/// A source of random bytes: the system's, or a seeded one where a test must be repeatable.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError>;
}

impl dyn Entropy + '_ {
    /// `N` random bytes.
    pub fn array<const N: usize>(&self) -> Result<[u8; N], CryptoError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }
}

/// The operating system's generator.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        getrandom::fill(bytes).map_err(|e| CryptoError(format!("the system returns no random bytes: {e}")))
    }
}

/// A generator that returns the same bytes for the same seed. For tests and simulations, never for real keys.
pub struct SeededEntropy(Mutex<blake3::OutputReader>);

impl SeededEntropy {
    /// The generator of this seed.
    pub fn new(seed: u64) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("snap 2026-11 v1 seeded entropy for tests");
        Self(Mutex::new(hasher.update(&seed.to_le_bytes()).finalize_xof()))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), CryptoError> {
        match self.0.lock() {
            Ok(mut reader) => reader.fill(bytes),
            Err(poisoned) => poisoned.into_inner().fill(bytes),
        }
        Ok(())
    }
}
