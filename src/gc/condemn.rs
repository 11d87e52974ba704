//! The entry of the log that says which packs do not count any more, and which index objects take the place of which.

use std::collections::{BTreeMap, BTreeSet};

use super::PruneReport;
use super::repack::info_of;
use super::survey::Survey;
use crate::error::Result;
use crate::id::{IndexId, PackId};
use crate::log::{Collection, Condemnation};
use crate::pack::PackInfo;
use crate::progress::Progress;
use crate::store::{PackNumber, Repository, State};

/// How many packs one entry condemns at most: what is left, the next prune does.
const MOST: usize = 200_000;

/// An index object is small if it names fewer packs than this, ...
const SMALL: usize = 64;
/// ... and so many small ones are put together.
const SEVERAL: usize = 4;
/// How much a new index object holds: packs, and chunks in them.
const OBJECT_PACKS: usize = 2048;
const OBJECT_CHUNKS: usize = 150_000;

/// What the entry says besides.
#[derive(Clone, Copy)]
pub(super) struct Also<'p> {
    /// Packs that cannot be read, with their lengths: they go as well.
    pub(super) rubbish: &'p [(PackId, u64)],
    /// Packs that were just written.
    pub(super) written: &'p [PackInfo],
    /// Index objects that are sealed under an older key are made anew.
    pub(super) reencrypt: bool,
}

/// Condemns packs, as far as nothing that was appended meanwhile needs them, and puts index objects in order.
pub(super) fn condemn(
    repository: &Repository,
    survey: &mut Survey<'_>,
    mut condemned: BTreeSet<PackNumber>,
    also: Also<'_>,
    report: &mut PruneReport,
    progress: &dyn Progress,
) -> Result<()> {
    while condemned.len() > MOST {
        condemned.pop_last();
    }
    let published = Published { repository, objects: BTreeMap::new() };
    let mut collection = Condemning { survey, condemned: &mut condemned, also, published, replaced: 0, progress };
    let appended = repository.log().condemn(repository.catalog(), &mut collection)?;
    let replaced = collection.replaced;
    if appended.is_some() {
        report.indexes_replaced = replaced;
        for pack in &condemned {
            report.condemned.add(survey.inventory.pack(*pack).length);
        }
        also.rubbish.iter().for_each(|(_, length)| report.condemned.add(*length));
    }
    Ok(())
}

/// A collection, as it is asked for by the rule of the entry.
struct Condemning<'c, 'r> {
    survey: &'c mut Survey<'r>,
    condemned: &'c mut BTreeSet<PackNumber>,
    also: Also<'c>,
    published: Published<'c>,
    /// How many index objects others took the place of in the last attempt.
    replaced: u64,
    progress: &'c dyn Progress,
}

impl Collection for Condemning<'_, '_> {
    fn unneeded(&mut self, state: &State) -> Result<Vec<PackId>> {
        self.survey.absorb(state, self.progress)?;
        self.survey.shrink(state, self.condemned);
        let inventory = &self.survey.inventory;
        let mut packs: Vec<PackId> = self.condemned.iter().map(|pack| inventory.pack(*pack).id).collect();
        packs.extend(self.also.rubbish.iter().map(|(id, _)| *id).filter(|id| !state.standing.is_condemned(id)));
        Ok(packs)
    }

    fn reindex(&mut self, state: &State, packs: &[PackId]) -> Result<Condemnation> {
        // Another prune may have taken an object of an earlier attempt for one that was left behind. What was superseded
        // counts no more, whoever names it: it has to be made again.
        self.published.objects.retain(|_, object| !state.standing.superseded.contains_key(object));
        // Objects of an earlier attempt may name packs that are condemned by now.
        let mine: BTreeSet<IndexId> = self.published.objects.values().copied().collect();
        let order = IndexOrder::make(self.survey, state, packs, self.also, &mine);
        let mut added = Vec::new();
        for group in order.groups(self.published.repository, state.next)? {
            added.push(self.published.publish(group)?);
        }
        let mut superseded = order.superseded;
        superseded.retain(|object| !added.contains(object));
        self.replaced = superseded.len() as u64;
        Ok(Condemnation { added, superseded })
    }
}

/// Which index objects go, and which packs have to be named anew.
struct IndexOrder {
    superseded: Vec<IndexId>,
    /// Packs that no object would name any more.
    unnamed: BTreeSet<PackId>,
}

impl IndexOrder {
    fn make(
        survey: &Survey<'_>,
        state: &State,
        condemned: &[PackId],
        also: Also<'_>,
        mine: &BTreeSet<IndexId>,
    ) -> Self {
        let goes = |pack: &PackId| condemned.binary_search(pack).is_ok() || state.standing.is_condemned(pack);
        let is_old = |(id, object): &(&IndexId, &super::survey::Object)| {
            !object.young && !state.standing.superseded.contains_key(*id)
        };
        let old = || survey.objects.iter().filter(is_old);
        let is_logged = |id: &IndexId| state.indexes.contains(id);
        // One that no entry names and that is old was left behind.
        let mut superseded: BTreeSet<IndexId> =
            old().filter(|(id, object)| !is_logged(id) || object.packs.iter().any(goes)).map(|(id, _)| *id).collect();
        superseded.extend(survey.unreadable.iter().filter(|id| is_logged(id)));
        superseded.extend(old().filter(|(_, object)| also.reencrypt && object.old_key).map(|(id, _)| *id));
        let is_new = |id: &&IndexId| !is_logged(id) && !state.standing.superseded.contains_key(*id);
        superseded.extend(survey.outdated.iter().filter(is_new));
        superseded.extend(mine);
        let small: Vec<IndexId> = old()
            .filter(|(id, object)| object.packs.len() < SMALL && !superseded.contains(id))
            .map(|(id, _)| *id)
            .collect();
        if small.len() + usize::from(!superseded.is_empty()) >= SEVERAL {
            superseded.extend(small);
        }
        let superseded = &superseded;
        let of = |wanted: bool| old().filter(move |(id, _)| superseded.contains(id) == wanted);
        let mut unnamed: BTreeSet<PackId> = of(true).flat_map(|(_, object)| object.packs.iter().copied()).collect();
        unnamed.extend(also.written.iter().map(|info| info.id));
        unnamed.extend(survey.settled_unindexed());
        for (_, object) in of(false) {
            for pack in &object.packs {
                unnamed.remove(pack);
            }
        }
        unnamed.retain(|pack| !goes(pack));
        Self { superseded: superseded.iter().copied().collect(), unnamed }
    }

    /// The packs that have to be named anew, in portions for one object each, by the log up to entry `next`.
    fn groups(&self, repository: &Repository, next: u64) -> Result<Vec<Vec<PackId>>> {
        let (mut groups, mut group, mut chunks) = (Vec::new(), Vec::new(), 0);
        for pack in &self.unnamed {
            let info = match info_of(repository, pack) {
                // Another prune has written it since the index was read. Or has deleted it, which the log says by now:
                // then this entry cannot be appended, and the next attempt knows better.
                Err(error) if error.is_damage() && repository.catalog().refresh()? => match info_of(repository, pack) {
                    Err(_) if repository.state().next != next => continue,
                    info => info.map_err(|_| error)?,
                },
                Err(_) if repository.state().next != next => continue,
                info => info?,
            };
            chunks += info.directory.chunks.len();
            group.push(*pack);
            if group.len() >= OBJECT_PACKS || chunks >= OBJECT_CHUNKS {
                groups.push(std::mem::take(&mut group));
                chunks = 0;
            }
        }
        groups.push(group);
        groups.retain(|group| !group.is_empty());
        Ok(groups)
    }
}

/// Index objects that this run wrote, so that another attempt need not write the same once more.
struct Published<'r> {
    repository: &'r Repository,
    objects: BTreeMap<Vec<PackId>, IndexId>,
}

impl Published<'_> {
    fn publish(&mut self, packs: Vec<PackId>) -> Result<IndexId> {
        if let Some(object) = self.objects.get(&packs) {
            return Ok(*object);
        }
        let infos = packs.iter().map(|pack| info_of(self.repository, pack).map(|info| (*info).clone()));
        let (object, _) = self.repository.catalog().publish_index(&infos.collect::<Result<Vec<PackInfo>>>()?)?;
        self.objects.insert(packs, object);
        Ok(object)
    }
}
