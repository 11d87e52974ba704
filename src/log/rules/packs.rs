//! Packs and index objects.

use super::{Collection, Condemnation, Follower, LostFrames};
use crate::error::{Error, Result};
use crate::id::{IndexId, PackId};
use crate::log::append::Appended;
use crate::log::{Body, Damage, Log, State};

impl Log {
    /// **Condemn**, or **IndexReplace** where no pack goes. All that snapshots reach must stay rebuildable without the packs,
    /// by the very state that the entry follows: a snapshot that was added meanwhile may rest on them. No index object that
    /// was superseded may be named again, since what it names may be gone.
    ///
    /// # Errors
    /// Those of the collection; [`Error::Busy`] if an object that is to be named was superseded.
    pub fn condemn(&self, follower: &dyn Follower, collection: &mut dyn Collection) -> Result<Option<Appended>> {
        self.append_if(follower, &mut |state| {
            let mut packs = collection.unneeded(state)?;
            packs.retain(|pack| !state.standing.is_condemned(pack));
            packs.sort_unstable();
            let Condemnation { added, mut superseded } = collection.reindex(state, &packs)?;
            superseded.retain(|object| !added.contains(object));
            refuse_superseded(state, &added)?;
            Ok(match packs.is_empty() {
                true if added.is_empty() && superseded.is_empty() => None,
                true => Some(Body::IndexReplace { added, superseded }),
                false => Some(Body::Condemn { packs, added, superseded }),
            })
        })
    }

    /// **Swept**: these were deleted. Only what was condemned or superseded and is not swept yet: somebody else may have swept
    /// the same.
    ///
    /// # Errors
    /// Those of the storage.
    pub fn swept(&self, packs: &[PackId], indexes: &[IndexId]) -> Result<Option<Appended>> {
        self.append_if(&(), &mut |state| {
            let (condemned, superseded) = (&state.standing.condemned, &state.standing.superseded);
            let is_open = |pack: &&PackId| condemned.get(*pack).is_some_and(|retired| !retired.swept);
            let packs: Vec<_> = packs.iter().filter(is_open).copied().collect();
            let is_open = |object: &&IndexId| superseded.get(*object).is_some_and(|retired| !retired.swept);
            let indexes: Vec<_> = indexes.iter().filter(is_open).copied().collect();
            Ok((!packs.is_empty() || !indexes.is_empty()).then_some(Body::Swept { packs, indexes }))
        })
    }

    /// **IndexReplace**: index objects take the place of others. None of the new ones may have been superseded: a prune may
    /// have taken them for what somebody left behind, and what is named after that does not count.
    ///
    /// # Errors
    /// [`Error::Busy`] if one was.
    pub fn replace_indexes(&self, added: &[IndexId], superseded: &[IndexId]) -> Result<Appended> {
        self.check_writable()?;
        self.append(&(), &mut |state| {
            refuse_superseded(state, added)?;
            Ok(Body::IndexReplace { added: added.to_vec(), superseded: superseded.to_vec() })
        })
    }

    /// **Damaged**: what lies in these frames is lost, and does not count as stored. Nothing is said of condemned packs, since
    /// a prune may have deleted them by right, nor what the log has already. Returns what was said.
    ///
    /// # Errors
    /// Those of `found`.
    pub fn damaged(
        &self,
        follower: &dyn Follower,
        found: &mut dyn FnMut(&State) -> Result<LostFrames>,
    ) -> Result<LostFrames> {
        let mut recorded = Vec::new();
        self.append_if(follower, &mut |state| {
            recorded = state.standing.new_damage(found(state)?);
            Ok((!recorded.is_empty()).then(|| Body::Damaged { packs: recorded.clone() }))
        })?;
        Ok(recorded)
    }

    /// **Sound**: what the log has of these packs as damaged is whole after all, as far as `read` finds it so. It is read again
    /// for each attempt, so that no damage is taken back that was recorded after it was read; and it lasts, since from
    /// here on something may rest on it. Returns the packs concerned.
    ///
    /// # Errors
    /// Those of `read`, which returns the sound frames: an empty list if all of the pack is, none if none of them is.
    pub fn sound(
        &self,
        follower: &dyn Follower,
        packs: &[PackId],
        read: &mut dyn FnMut(&PackId, &Damage) -> Result<Option<Vec<u32>>>,
    ) -> Result<Vec<PackId>> {
        self.check_writable()?;
        let mut sound = Vec::new();
        self.append_if(follower, &mut |state| {
            sound.clear();
            for pack in packs.iter().filter(|pack| !state.standing.is_condemned(pack)) {
                let Some(damage) = state.standing.damaged.get(pack) else { continue };
                sound.extend(read(pack, damage)?.map(|frames| (*pack, frames)));
            }
            Ok((!sound.is_empty()).then(|| Body::Sound { packs: sound.clone() }))
        })?;
        Ok(sound.into_iter().map(|(pack, _)| pack).collect())
    }
}

fn refuse_superseded(state: &State, added: &[IndexId]) -> Result<()> {
    match added.iter().any(|object| state.standing.superseded.contains_key(object)) {
        true => Err(Error::Busy { what: "the index".into() }),
        false => Ok(()),
    }
}
