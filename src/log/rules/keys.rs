//! Keys, features and settings.

use std::collections::BTreeSet;

use crate::error::{Error, KeyRefusal, Result};
use crate::id::KeyId;
use crate::log::append::Appended;
use crate::log::{Body, Features, Log, Settings, State};

impl Log {
    /// **KeyAdd**. Its slot is there before: a slot that the log names and that is not there opens nothing.
    ///
    /// # Errors
    /// [`Error::KeysRotated`] if the slot holds older keys than the log by now.
    pub fn key_add(&self, key: KeyId, hash: [u8; 32]) -> Result<Appended> {
        self.append(&(), &mut |_| Ok(Body::KeyAdd { key, hash }))
    }

    /// **KeyRemove**. The key must be named, and not be the last one: without any nothing could be read.
    ///
    /// # Errors
    /// [`Error::KeyRefused`].
    pub fn key_remove(&self, key: KeyId) -> Result<Appended> {
        self.append(&(), &mut |state| match (state.keys.contains_key(&key), state.keys.len()) {
            (false, _) => Err(Error::KeyRefused { key, refusal: KeyRefusal::Unknown }),
            (true, 1) => Err(Error::KeyRefused { key, refusal: KeyRefusal::Last }),
            (true, _) => Ok(Body::KeyRemove { key }),
        })
    }

    /// **KeyRotate**. All key slots of before are taken away, so each of them must be among those that are `leaving`: somebody
    /// may have added one meanwhile, and nobody asked to take that away.
    ///
    /// # Errors
    /// [`Error::KeyRefused`], as of [`may_rotate`](Log::may_rotate); [`Error::KeysRotated`] if somebody else was faster.
    pub fn key_rotate(
        &self,
        (epoch, commitment): (u32, [u8; 32]),
        slot: (KeyId, [u8; 32]),
        leaving: &BTreeSet<KeyId>,
    ) -> Result<Appended> {
        self.append(&(), &mut |state| {
            refuse_staying(state, leaving)?;
            Ok(Body::KeyRotate { epoch, commitment, keys: vec![slot] })
        })
    }

    /// Whether the keys may be rotated where these slots are to be taken away, by the log as it is now.
    ///
    /// # Errors
    /// [`Error::KeyRefused`] for a slot that would be taken away and is not among these; those of reading the log.
    pub fn may_rotate(&self, leaving: &BTreeSet<KeyId>) -> Result<()> {
        self.refresh()?;
        refuse_staying(&self.state(), leaving)
    }

    /// **Config**: from now on these features are needed. To be called before anything is stored that rests on them: a version
    /// that does not know them must not read on. Nothing is said again.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn require_features(&self, features: Features) -> Result<()> {
        if self.features().contains(features) {
            return Ok(());
        }
        self.append(&(), &mut |_| Ok(Body::Config { features, settings: Settings::default() })).map(drop)
    }

    /// **Config**: settings change. They never decide about safety, so the last one counts.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn change_settings(&self, settings: &Settings) -> Result<()> {
        self.check_writable()?;
        let features = Features::default();
        self.append(&(), &mut |_| Ok(Body::Config { features, settings: settings.clone() })).map(drop)
    }
}

fn refuse_staying(state: &State, leaving: &BTreeSet<KeyId>) -> Result<()> {
    match state.keys.keys().find(|key| !leaving.contains(key)) {
        None => Ok(()),
        Some(key) => Err(Error::KeyRefused { key: *key, refusal: KeyRefusal::NotLeaving }),
    }
}
