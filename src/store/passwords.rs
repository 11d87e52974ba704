//! What is done with the passwords that open a repository, with a report of each.

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use super::{KeyDescription, Repository};
use crate::crypto::slot::KdfCost;
use crate::error::{Error, Result};
use crate::id::KeyId;

/// What was done with a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyChange {
    /// It was added.
    Added,
    /// It took the place of another one.
    Changed,
    /// It was removed.
    Removed,
    /// It is that of new keys of the repository.
    Rotated,
}

/// Result of a change of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// The key.
    pub key_id: KeyId,
    /// What was done with it.
    pub done: KeyChange,
}

/// A password to be added.
#[derive(Debug, Clone, Copy)]
pub struct NewPassword<'p> {
    /// The password.
    pub password: &'p [u8],
    /// What trying it costs.
    pub kdf: KdfCost,
    /// Whose it is, or what it is for.
    pub label: &'p str,
}

/// Adds a password.
///
/// # Errors
/// Errors of the storage, and of what the log refuses.
pub fn add_key(repository: &Repository, new: NewPassword<'_>) -> Result<KeyReport> {
    let key_id = repository.keys().add(new.password, new.kdf, new.label)?;
    Ok(KeyReport { key_id, done: KeyChange::Added })
}

/// Puts a password in the place of another.
///
/// # Errors
/// Errors of the storage, and of what the log refuses. The new password is there if only the old one could not be removed.
pub fn change_key(repository: &Repository, old: KeyId, new: NewPassword<'_>) -> Result<KeyReport> {
    let KeyReport { key_id, .. } = add_key(repository, new)?;
    repository.keys().remove(old)?;
    Ok(KeyReport { key_id, done: KeyChange::Changed })
}

/// Removes a password.
///
/// # Errors
/// [`Error::KeyRefused`](crate::error::Error::KeyRefused) for the last one, which stays; errors of the storage.
pub fn remove_key(repository: &Repository, key_id: KeyId) -> Result<KeyReport> {
    repository.keys().remove(key_id)?;
    Ok(KeyReport { key_id, done: KeyChange::Removed })
}

/// Result of a rotation.
#[derive(Debug, Serialize)]
pub struct RotationReport {
    /// The new key.
    pub key_id: KeyId,
    /// What was done with it.
    pub done: KeyChange,
    /// How often the keys were rotated by now.
    pub rotation: u32,
    /// The keys of others, which open nothing any more.
    pub removed_keys: Vec<RemovedKey>,
    /// Why the objects of old keys could not all be deleted. The next prune deletes them.
    #[serde(skip)]
    pub left: Option<Error>,
}

/// A key that a rotation took away.
#[derive(Debug, Clone)]
pub struct RemovedKey(pub KeyDescription);

impl Serialize for RemovedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut key = serializer.serialize_struct("RemovedKey", 2)?;
        key.serialize_field("id", &self.0.id)?;
        key.serialize_field("label", &self.0.info.as_ref().map(|info| &info.label))?;
        key.end()
    }
}

/// Gives the repository new keys, which this password alone opens. `own` is the key that it was opened with, and `others` are
/// all others: they must be all that there are.
///
/// # Errors
/// As of [`Repository::rotate_key`].
pub fn rotate_keys(
    repository: &mut Repository,
    new: NewPassword<'_>,
    own: Option<KeyId>,
    others: Vec<KeyDescription>,
) -> Result<RotationReport> {
    let leaving: Vec<KeyId> = own.into_iter().chain(others.iter().map(|key| key.id)).collect();
    let rotated = repository.rotate_key(new.password, new.kdf, new.label, &leaving)?;
    Ok(RotationReport {
        key_id: rotated.key,
        done: KeyChange::Rotated,
        rotation: rotated.rotation,
        removed_keys: others.into_iter().map(RemovedKey).collect(),
        left: rotated.left,
    })
}
