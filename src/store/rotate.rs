//! New keys for a repository. The new slot comes first, then one entry that takes it in and all others away, then the old
//! slots are deleted: at any moment exactly one of two sets of slots counts, and somebody has the password to it.

use std::cell::Cell;

use super::log::Body;
use super::{Repository, State, keys};
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
    /// [`Error::Invalid`] if there are slots that are not among those, or there is no encryption; [`Error::KeysRotated`] if
    /// somebody else was faster. Then nothing has changed. Those of the backend.
    pub fn rotate_key(&mut self, password: &[u8], cost: KdfCost, label: &str, leaving: &[KeyId]) -> Result<Rotated> {
        self.check_writable()?;
        let keyring = self.keyring.as_ref().ok_or_else(keys::unencrypted)?.rotated(&*self.entropy)?;
        let rotation = keyring.current_epoch();
        let commitment = keyring.master(rotation).ok_or_else(keys::unencrypted)?.commitment();
        let may_follow = |state: &State| match state.keys.keys().find(|key| !leaving.contains(key)) {
            None => Ok(()),
            Some(key) => Err(Error::Invalid(format!("key {key} would be taken away, which was not asked for"))),
        };
        self.refresh()?;
        may_follow(&self.lock_state())?;
        let slot = keys::new_slot(&*self.entropy, &keyring, password, self.id(), cost, self.clock.now(), label)?;
        create_resolved(&*self.backend, &slot.name, &slot.bytes)?;
        let refused = Cell::new(false);
        let appended = self.append(|state| {
            may_follow(state).inspect_err(|_| refused.set(true))?;
            Ok(Body::KeyRotate { epoch: rotation, commitment, keys: vec![slot.logged()] })
        });
        if let Err(error) = appended {
            // Only where it is certain that no entry names it: it may be the only way in.
            if refused.get() || matches!(error, Error::KeysRotated { .. }) {
                let _ = self.backend.delete(&slot.name);
            }
            return Err(error);
        }
        self.envelope = Envelope::new(self.id(), Some(keyring.clone()));
        self.keyring = Some(keyring);
        // Those of before do not count any more.
        let _ = self.write_checkpoint();
        let left = self.delete_former_keys().err();
        Ok(Rotated { key: slot.logged().0, rotation, left })
    }

    /// Deletes the objects of key slots that the log has taken away, where somebody did not live to do it.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn delete_former_keys(&self) -> Result<()> {
        let former = self.lock_state().former_keys.clone();
        if former.is_empty() {
            return Ok(());
        }
        let mut there = Vec::new();
        self.backend.for_each(Kind::Key, &mut |meta| {
            there.extend(meta.name.file().parse::<KeyId>().ok().filter(|key| former.contains(key)));
        })?;
        if there.is_empty() {
            return Ok(());
        }
        self.settle_log()?;
        for key in &there {
            self.backend.delete(&Name::new(Kind::Key, key))?;
        }
        Ok(())
    }
}
