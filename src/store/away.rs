//! A storage of which a part looks as if it were away: a disk that is not mounted, a share that is not there. What is
//! missing then is not lost, so nothing of it gets into the log, and nothing is stored a second time.

use std::collections::HashSet;

use super::{ATTEMPTS, Catalog};
use crate::error::{Error, Result};
use crate::id::PackId;
use crate::log::{Damage, Standing};
use crate::pack::pack_name;
use crate::storage::Kind;

/// Whether so many of the packs are missing that their disk, mount or share is more likely away than they are lost: all of
/// them, or more than one and more than half.
pub fn looks_away(missing: u64, packs: u64) -> bool {
    missing > 0 && (missing >= packs || (missing > 1 && missing > packs / 2))
}

impl Catalog {
    /// Refuses to go on where so many packs are missing that the storage is more likely away than the packs are lost. A
    /// pack that is missing beside others that are there is no reason to refuse, nor is one that the log has as lost.
    ///
    /// # Errors
    /// [`Error::StorageAway`] if it looks like that, also by a log that did not move meanwhile; those of the backend.
    pub fn refuse_if_away(&self) -> Result<()> {
        let mut attempts = 0;
        loop {
            attempts += 1;
            self.refresh()?;
            let state = self.log().state();
            let (missing, packs) = count_missing(self, &state.standing)?;
            if !looks_away(missing, packs) {
                return Ok(());
            }
            // A prune may have put all into new packs, and deleted the old ones.
            if attempts >= ATTEMPTS || !self.has_moved(&state)? {
                return Err(Error::StorageAway { location: self.log().backend().location(), missing, packs });
            }
        }
    }
}

/// Whether a pack counts among those that should be there.
pub(super) fn should_be_there(id: &PackId, standing: &Standing) -> bool {
    !standing.is_condemned(id) && standing.damaged.get(id) != Some(&Damage::Whole)
}

/// How many packs are missing of those that should be there, and how many these are. What the log has as lost does not
/// count.
fn count_missing(catalog: &Catalog, standing: &Standing) -> Result<(u64, u64)> {
    let mut listed = HashSet::new();
    catalog.log().backend().for_each(Kind::Pack, &mut |meta| {
        listed.extend(meta.name.file().parse::<PackId>());
    })?;
    let (mut missing, mut packs) = (0, 0);
    for (id, _) in catalog.index().packs_known() {
        if !should_be_there(&id, standing) {
            continue;
        }
        packs += 1;
        // A listing proves nothing.
        if !listed.contains(&id) && catalog.log().backend().size(&pack_name(&id))?.is_none() {
            missing += 1;
        }
    }
    Ok((missing, packs))
}
