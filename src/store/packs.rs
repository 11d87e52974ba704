//! Packs as objects of the storage: sealing and opening them, reading their frames and directories.

use std::sync::Arc;

use super::parity::Mending;
use super::windows::Windows;
use crate::crypto::{PackCipher, Suite};
use crate::error::{Error, Result};
use crate::id::PackId;
use crate::log::Log;
use crate::pack::{self, PackBuilder, PackInfo, SealedPack};
use crate::storage::Backend;

/// The packs of a repository, as far as they are asked for by name.
#[derive(Debug)]
pub struct Packs {
    pub(super) log: Arc<Log>,
    /// What new ones are sealed with.
    suite: Suite,
    pub(super) mending: Mending,
    pub(super) windows: Windows,
}

impl Packs {
    pub(super) fn new(log: Arc<Log>, suite: Suite) -> Self {
        Self { log, suite, mending: Mending::default(), windows: Windows::default() }
    }

    pub(super) fn backend(&self) -> &dyn Backend {
        &**self.log.backend()
    }

    /// Whether they lie beyond a network.
    pub(super) fn is_far(&self) -> bool {
        self.backend().traffic().is_some()
    }

    /// The epoch whose key seals what is written.
    pub fn epoch(&self) -> u32 {
        self.log.envelope().epoch()
    }

    /// What to say where something does not open: if the keys were rotated meanwhile, it is sealed under a key that this
    /// process does not have, and nothing is wrong with it.
    pub(super) fn unless_rotated(&self, error: Error) -> Error {
        if !self.log.envelope().encrypts() || !error.is_damage() {
            return error;
        }
        match self.log.refresh() {
            Err(rotated @ Error::KeysRotated { .. }) => rotated,
            _ => error,
        }
    }

    /// What opens the frames of a pack.
    ///
    /// # Errors
    /// [`Error::KeysRotated`] if it is sealed under a newer key than this process has.
    pub fn cipher_of(&self, info: &PackInfo) -> Result<PackCipher> {
        let envelope = self.log.envelope();
        info.cipher(envelope.repository(), envelope.keyring()).map_err(|error| self.unless_rotated(error))
    }

    /// What a whole pack says about itself.
    ///
    /// # Errors
    /// [`Error::Damaged`] if it is not sound, and [`Error::KeysRotated`] if it is sealed under a newer key than this
    /// process has.
    pub fn read_pack(&self, id: &PackId, bytes: &[u8]) -> Result<PackInfo> {
        let envelope = self.log.envelope();
        let read = pack::read_pack(id, bytes, envelope.repository(), envelope.keyring());
        read.map_err(|error| self.unless_rotated(error))
    }

    /// Seals a pack under the newest key.
    ///
    /// # Errors
    /// If there are no random bytes, or the pack is not what was put into it.
    pub(crate) fn seal(&self, builder: PackBuilder) -> Result<SealedPack> {
        let envelope = self.log.envelope();
        builder.seal(envelope.repository(), self.suite, envelope.keyring(), self.log.entropy())
    }

    /// Makes sure that packs last which only a listing shows, before something rests on them: their writer may have
    /// died, or be about to make them durable.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails.
    pub fn settle<'p>(&self, packs: impl IntoIterator<Item = &'p PackInfo>) -> Result<()> {
        for info in packs {
            self.backend().settle(&info.name())?;
        }
        Ok(())
    }
}
