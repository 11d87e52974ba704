//! Keeping from deletion what a repository cannot do without.

use std::sync::Arc;
use std::time::Duration;

use super::{Backend, Created, Kind, Name, PutTerms, Result};

/// For no longer than this anything is kept from being deleted: that cannot be taken back, whatever it costs.
pub const LONGEST_RETENTION: Duration = Duration::from_secs(10 * 366 * 86_400);

/// Keeps new objects of another backend from being deleted for a time: packs, index objects, entries of the log, the config
/// and key slots. Parity, checkpoints and what runs leave for each other can be made again, and are left alone.
#[derive(Debug)]
pub struct Retain {
    inner: Arc<dyn Backend>,
    time: Duration,
}

impl Retain {
    /// Keeps what is created in `inner` for this long, from the moment of its creation on.
    pub fn new(inner: Arc<dyn Backend>, time: Duration) -> Self {
        Self { inner, time: time.min(LONGEST_RETENTION) }
    }

    /// Whether objects of this kind are kept.
    pub fn keeps(kind: Kind) -> bool {
        match kind {
            Kind::Config | Kind::Key | Kind::Log | Kind::Pack | Kind::Index => true,
            Kind::Checkpoint | Kind::Gc | Kind::Session | Kind::Parity => false,
        }
    }
}

impl Backend for Retain {
    forward!(inner: location, abilities, traffic, prepare, read_one, read_stored, read_many, read_again, head, list,
        delete, delete_many, settle, tidy, keep_reserve, use_reserve, retain);

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        let retain = if Self::keeps(name.kind()) { terms.retain.max(Some(self.time)) } else { terms.retain };
        self.inner.put(name, bytes, &PutTerms { retain, ..*terms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::{Memory, StorageErrorKind};

    #[test]
    fn what_cannot_be_made_again_is_kept_and_nothing_else() {
        // A storage that cannot keep anything says so where it is asked to.
        let storage = Retain::new(Arc::new(Memory::new()), Duration::from_secs(60));
        for kind in Kind::ALL {
            let created = storage.create(&Name::new(kind, "a1"), b"x");
            match Retain::keeps(kind) {
                true => assert_eq!(created.unwrap_err().kind(), StorageErrorKind::Unsupported, "{kind:?}"),
                false => assert_eq!(created.unwrap(), Created::New, "{kind:?}"),
            }
        }
    }
}
