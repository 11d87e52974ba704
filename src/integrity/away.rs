//! A storage of which a part looks as if it were away: a disk that is not mounted, a share that is not there. What is
//! missing then is not lost, so nothing about it is written into the log.

use std::collections::HashSet;

use super::check::looks_away;
use crate::error::{Error, Result};
use crate::id::PackId;
use crate::index::{Damage, Standing};
use crate::pack::pack_name;
use crate::storage::Kind;
use crate::store::ATTEMPTS;
use crate::store::Repository;

/// Refuses to judge where that many packs are missing that the storage is more likely away than the packs are lost. A pack
/// that is missing beside others that are there is judged as usual.
///
/// # Errors
/// [`Error::StorageAway`] if it looks like that, also by a log that did not move meanwhile; errors of the backend.
pub(super) fn refuse_if_away(repository: &Repository) -> Result<()> {
    let mut attempts = 0;
    loop {
        attempts += 1;
        repository.refresh_index()?;
        let state = repository.state();
        let (missing, packs) = count_missing(repository, &state.standing)?;
        if !looks_away(missing, packs) {
            return Ok(());
        }
        // A prune may have put all into new packs, and deleted the old ones.
        if attempts >= ATTEMPTS || !repository.has_moved(&state)? {
            return Err(Error::StorageAway { location: repository.backend().location(), missing, packs });
        }
    }
}

/// How many packs are missing of those that should be there, and how many these are. What the log has as lost does not
/// count.
fn count_missing(repository: &Repository, standing: &Standing) -> Result<(u64, u64)> {
    let mut listed = HashSet::new();
    repository.backend().for_each(Kind::Pack, &mut |meta| {
        listed.extend(meta.name.file().parse::<PackId>());
    })?;
    let (mut missing, mut packs) = (0, 0);
    for (id, _) in repository.index().packs_known() {
        if standing.is_condemned(&id) || standing.damaged.get(&id) == Some(&Damage::Whole) {
            continue;
        }
        packs += 1;
        // A listing proves nothing.
        if !listed.contains(&id) && repository.backend().size(&pack_name(&id))?.is_none() {
            missing += 1;
        }
    }
    Ok((missing, packs))
}
