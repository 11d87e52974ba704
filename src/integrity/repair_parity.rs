//! Making the redundancy of packs that have none, or none that is sound.

use rayon::prelude::*;

use crate::error::Result;
use crate::id::PackId;
use crate::progress::{Phase, Progress};
use crate::store::{ParityFound, Repository, Settings};

/// Sets how much redundancy new packs get, in thousandths of their length, if it is another share than it was.
pub(super) fn set_share(repository: &Repository, share: u32) -> Result<()> {
    if repository.settings().parity() == share {
        return Ok(());
    }
    let mut settings = Settings::default();
    settings.set_parity(share);
    repository.log().change_settings(&settings)
}

/// Whether a sound pack beside which this was found is to get a parity object.
pub(super) fn is_due(found: &ParityFound, share: u32) -> bool {
    match found {
        ParityFound::Sound => false,
        ParityFound::Missing => share > 0,
        ParityFound::Unsound(_) => true,
    }
}

/// Makes parity objects of these packs, on all threads of the pool that this runs in. A pack that turns out to be damaged
/// meanwhile is skipped.
pub(super) fn renew(repository: &Repository, packs: &[PackId], progress: &dyn Progress) -> Result<()> {
    progress.begin(Phase::Repair, Some(packs.len() as u64), None);
    packs.par_iter().try_for_each(|pack| {
        let renewed = repository.packs().renew_parity(pack);
        progress.files(1);
        match renewed {
            Err(error) if error.is_damage() => Ok(()),
            renewed => renewed.map(drop),
        }
    })
}
