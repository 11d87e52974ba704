//! New keys for a repository. The new slot comes first, then one entry that takes it in and all others away, then the old
//! slots are deleted: at any moment exactly one of two sets of slots counts, and somebody has the password to it.

use super::{Keys, Repository, keys};
use crate::crypto::Envelope;
use crate::crypto::slot::KdfCost;
use crate::error::{Error, Result};
use crate::id::KeyId;
use crate::storage::{Kind, Name, create_resolved};

/// What came of a rotation.
#[derive(Debug)]
pub struct Rotated {
    /// The new key slot.
    pub key: KeyId,
    /// How often the keys were rotated by now.
    pub rotation: u32,
    /// Why the objects of the old slots could not all be deleted. They open nothing; the next prune deletes them.
    pub left: Option<Error>,
}

impl Repository {
    /// Gives the repository a new master key. What is written from now on is sealed under it, and opens by the password of
    /// one new slot. All other slots are taken away, since their passwords are not at hand: those are to be `leaving`.
    ///
    /// # Errors
    /// [`Error::KeyRefused`] if there are slots that are not among those, [`Error::Invalid`] if there is no encryption,
    /// [`Error::KeysRotated`] if somebody else was faster. Then nothing has changed. Those of the backend.
    pub fn rotate_key(&mut self, password: &[u8], cost: KdfCost, label: &str, leaving: &[KeyId]) -> Result<Rotated> {
        let log = &self.log;
        log.check_writable()?;
        let keyring = log.envelope().keyring().ok_or_else(keys::unencrypted)?.rotated(log.entropy())?;
        let rotation = keyring.current_epoch();
        let commitment = keyring.master(rotation).ok_or_else(keys::unencrypted)?.commitment();
        let leaving = leaving.iter().copied().collect();
        log.may_rotate(&leaving)?;
        let now = log.clock().now();
        let slot = keys::new_slot(log.entropy(), &keyring, password, self.id(), cost, now, label)?;
        create_resolved(&**log.backend(), &slot.name, &slot.bytes)?;
        if let Err(error) = log.key_rotate((rotation, commitment), slot.logged(), &leaving) {
            // Only where it is certain that no entry names it: it may be the only way in.
            if matches!(error, Error::KeyRefused { .. } | Error::KeysRotated { .. }) {
                let _ = log.backend().delete(&slot.name);
            }
            return Err(error);
        }
        log.set_envelope(Envelope::new(self.id(), Some(keyring)));
        // Those of before do not count any more.
        let _ = log.write_checkpoint();
        let left = self.keys.delete_former().err();
        Ok(Rotated { key: slot.logged().0, rotation, left })
    }
}

impl Keys {
    /// Deletes the objects of key slots that the log has taken away, where somebody did not live to do it.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn delete_former(&self) -> Result<()> {
        let state = self.log.state();
        let former = &state.former_keys;
        if former.is_empty() {
            return Ok(());
        }
        let mut there = Vec::new();
        self.log.backend().for_each(Kind::Key, &mut |meta| {
            there.extend(meta.name.file().parse::<KeyId>().ok().filter(|key| former.contains(key)));
        })?;
        if there.is_empty() {
            return Ok(());
        }
        self.log.settle()?;
        for key in &there {
            self.log.backend().delete(&Name::new(Kind::Key, key))?;
        }
        Ok(())
    }
}
