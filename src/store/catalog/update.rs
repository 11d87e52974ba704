//! Keeping the local index up to date, and making it again where it is damaged.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use super::Catalog;
use crate::error::{Error, Result};
use crate::id::{IndexId, PackId};
use crate::index::{self, Index};
use crate::storage::Kind;

/// How many index objects are read at once.
const INDEXES_AT_ONCE: usize = 64;

impl Catalog {
    /// Brings the local index up to date with the index objects of the repository.
    pub(in crate::store) fn update(&self) -> Result<()> {
        self.update_with(true)
    }

    /// The same with those only that the log names, which is all that snapshots need: it is not looked whether there are
    /// others, unless the local index has some.
    pub(in crate::store) fn update_logged(&self) -> Result<()> {
        self.update_with(false)
    }

    fn update_with(&self, looks: bool) -> Result<()> {
        if let Some((sequence, hash)) = self.index.head()
            && self.log.hash_at(sequence)? != Some(hash)
        {
            self.index.clear()?;
        }
        // As of one moment: another thread may read on meanwhile, and what it learns of is not in the index by that.
        let (logged, standing, head) = {
            let state = self.log.state();
            (state.indexes.clone(), state.standing.clone(), state.head_entry())
        };
        let mut wanted = logged.clone();
        // Index objects that no snapshot names yet: what an interrupted or still running writer has stored.
        let is_new = |id: &IndexId| !logged.contains(id) && !standing.superseded.contains_key(id);
        let known: BTreeSet<IndexId> = self.index.objects()?.into_iter().collect();
        if looks || known.iter().any(is_new) {
            let mut unlogged = Vec::new();
            self.packs.backend().for_each(Kind::Index, &mut |meta| {
                unlogged.extend(meta.name.file().parse::<IndexId>().ok().filter(is_new));
            })?;
            let outdated = self.outdated_indexes(&unlogged)?;
            wanted.extend(unlogged.into_iter().filter(|id| !outdated.contains(id)));
            self.has_looked.store(true, Ordering::Relaxed);
        }
        let superseded: Vec<IndexId> = known.difference(&wanted).copied().collect();
        if superseded.iter().any(|object| !standing.superseded.contains_key(object)) {
            // One that was there is not any more.
            self.index.clear()?;
            return self.load_objects(wanted.iter(), head);
        }
        // First what took their place: most packs go on under another object's name.
        self.load_objects(wanted.difference(&known), head)?;
        let swept = standing.condemned.iter().filter(|(pack, retired)| retired.swept && self.index.knows_pack(pack));
        let swept: Vec<PackId> = swept.map(|(pack, _)| *pack).collect();
        match superseded.is_empty() && swept.is_empty() {
            true => Ok(()),
            false => self.index.forget(&superseded, &swept),
        }
    }

    /// Takes in these index objects; with them the index is complete up to `head`.
    fn load_objects<'a>(&self, objects: impl Iterator<Item = &'a IndexId>, head: Option<index::Head>) -> Result<()> {
        let objects: Vec<IndexId> = objects.copied().collect();
        for portion in objects.chunks(INDEXES_AT_ONCE) {
            for (object, packs) in portion.iter().zip(self.read_index_objects(portion)) {
                match packs {
                    Ok(packs) => self.index.insert_object(object, &packs)?,
                    // Nothing rests on an object that the log does not name: it may be half of a writer's work. Of another,
                    // what is in its packs is found missing when it is asked for; the packs themselves may still have it.
                    Err(error) if error.is_damage() => {}
                    Err(error) => return Err(error),
                }
            }
        }
        match head {
            Some(head) => {
                self.log.keep_hash(head);
                self.index.set_head(head)
            }
            None => Ok(()),
        }
    }

    /// Throws the local index away and reads all index objects again.
    ///
    /// # Errors
    /// [`Error::Storage`] if a request fails. [`Error::Cache`] where not even a temporary local index can be made.
    pub fn rebuild(&self) -> Result<()> {
        let mut rebuilt = self.rebuilt.lock().unwrap_or_else(PoisonError::into_inner);
        self.renew()?;
        // Numbers of packs that are held from here on must stay what they are.
        *rebuilt = true;
        Ok(())
    }

    pub(in crate::store) fn renew(&self) -> Result<()> {
        self.index.clear()?;
        match self.update() {
            // Its place is full, or whatever: a temporary file elsewhere does as well.
            Err(Error::Cache { .. }) => {
                self.index.switch_to_temporary()?;
                self.update()
            }
            updated => updated,
        }?;
        // With an index object nothing is lost that the packs have.
        self.adopt_locally()
    }

    /// Takes in what superseded index objects say of packs that are condemned and may still be there: the last resort when a
    /// chunk cannot be located. Done once for each state of the log.
    pub(in crate::store) fn recall_condemned(&self) -> Result<()> {
        let standing = self.log.state().standing.clone();
        let mut recalled = self.recalled.lock().unwrap_or_else(PoisonError::into_inner);
        if *recalled == standing.changed {
            return Ok(());
        }
        for (object, _) in standing.superseded.iter().filter(|(_, retired)| !retired.swept) {
            // It may be deleted just now, or be damaged: then there is nothing to be had from it.
            for info in self.read_index_object(object).unwrap_or_default() {
                if standing.condemned.get(&info.id).is_some_and(|retired| !retired.swept) {
                    self.index.insert_unpublished(&info)?;
                }
            }
        }
        *recalled = standing.changed;
        Ok(())
    }

    /// Makes the local index again, unless that was done since the repository was opened. Other threads wait meanwhile.
    pub(in crate::store) fn rebuild_once(&self) -> Result<()> {
        let mut rebuilt = self.rebuilt.lock().unwrap_or_else(PoisonError::into_inner);
        if !*rebuilt {
            self.renew()?;
            *rebuilt = true;
        }
        Ok(())
    }

    /// Does something with the local index; where that fails, does it again with a new one. What a process does must
    /// not fail because its cache did.
    pub(in crate::store) fn with_index<T>(&self, work: impl Fn(&Index) -> Result<T>) -> Result<T> {
        let again = match work(&self.index) {
            Err(Error::Cache { .. }) => {
                self.rebuild_once()?;
                work(&self.index)
            }
            done => return done,
        };
        match again {
            // Its place is full, or its disk is dying.
            Err(Error::Cache { .. }) => {
                self.index.switch_to_temporary()?;
                self.update()?;
                work(&self.index)
            }
            done => done,
        }
    }
}
