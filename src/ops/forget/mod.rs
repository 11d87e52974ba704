//! `forget`: which snapshots go, and why the others stay. A plan first, which can be looked at; then one entry of the log.
//! The data stays until garbage is collected, so a removal can be [undone](undo()) until then.

mod group;
mod options;
mod report;
mod sound;
mod undo;

use std::collections::{HashMap, HashSet};

pub use group::{GroupBy, GroupKey};
pub use options::ForgetOptions;
pub use sound::SoundLoss;
pub use undo::{Removed, Undone, last_removed, removed, undo};

use super::select::{Filter, Listing};
use crate::error::{Error, Result};
use crate::graph::Usage;
use crate::id::SnapshotId;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::retention::{self, Dated, LocalTime, Policy, Reason};
use crate::store::Repository;

/// Which snapshots are to be removed.
pub enum Wanted<'a> {
    /// These. Snapshots whose root cannot be read may be among them.
    These(Vec<SnapshotId>),
    /// Of each group of those that the filter lets through, all that the policy does not keep.
    Policy {
        /// What is kept.
        policy: &'a Policy,
        /// Which snapshots are looked at.
        filter: &'a Filter,
        /// What makes a group.
        group_by: &'a GroupBy,
        /// Where calendars are read.
        zone: &'a dyn LocalTime,
    },
}

/// Why a snapshot stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kept {
    /// A rule wants it.
    Rule(Reason),
    /// It is the last one in which this file was sound.
    Sound(SoundLoss),
}

/// Whether a snapshot is kept, and why.
#[derive(Debug, Clone)]
pub struct Decision {
    /// Root of the snapshot.
    pub snapshot: SnapshotRoot,
    /// Why it stays; empty if it goes.
    pub kept_for: Vec<Kept>,
}

/// Snapshots to which a policy is applied together.
#[derive(Debug, Clone)]
pub struct Group {
    /// What they have in common; nothing where snapshots were named one by one.
    pub key: GroupKey,
    /// The decisions about them, the oldest first.
    pub decisions: Vec<Decision>,
}

impl Group {
    /// Whether no snapshot of it is to stay.
    pub fn loses_all(&self) -> bool {
        !self.decisions.is_empty() && self.decisions.iter().all(|decision| decision.kept_for.is_empty())
    }
}

/// Which snapshots are removed, which stay, and why.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The decisions about the snapshots that were looked at.
    pub groups: Vec<Group>,
    /// Snapshots that go although their root cannot be read.
    pub unreadable: Vec<SnapshotId>,
    /// Why it must not be done: snapshots were named that are the last ones in which a file was sound.
    pub refused: Vec<SoundLoss>,
    /// Snapshots because of which others may go.
    rests_on: Vec<SnapshotId>,
}

impl Plan {
    /// The snapshots that are removed.
    pub fn removed(&self) -> Vec<SnapshotId> {
        let decisions = self.groups.iter().flat_map(|group| &group.decisions);
        let gone = decisions.filter(|decision| decision.kept_for.is_empty()).map(|decision| decision.snapshot.id);
        gone.chain(self.unreadable.iter().copied()).collect()
    }

    /// How many of those that were looked at stay.
    pub fn kept(&self) -> usize {
        let decisions = self.groups.iter().flat_map(|group| &group.decisions);
        decisions.filter(|decision| !decision.kept_for.is_empty()).count()
    }
}

/// The only one that matches.
fn one_of(fitting: impl Iterator<Item = SnapshotId>, wanted: &str) -> Result<SnapshotId> {
    let fitting: Vec<SnapshotId> = fitting.collect();
    match fitting.as_slice() {
        [] => Err(Error::NoSnapshot { wanted: wanted.to_owned() }),
        [id] => Ok(*id),
        several => Err(Error::AmbiguousSnapshot { wanted: wanted.to_owned(), count: several.len() }),
    }
}

/// Decides what goes. With a policy, the last snapshot in which a file was sound stays although no rule wants it, if
/// all that would be left of the file is torn or damaged; where such a snapshot was named, the plan is refused. Neither
/// happens if `lose_sound`.
///
/// # Errors
/// [`Error::InvalidArgument`] for a policy without rules that would remove more than nothing; errors of reading roots.
pub fn plan(repository: &Repository, listing: &Listing, wanted: &Wanted<'_>, lose_sound: bool) -> Result<Plan> {
    let mut plan = match wanted {
        Wanted::These(ids) => by_name(listing, ids),
        Wanted::Policy { policy, filter, group_by, zone } => {
            let now = repository.log().clock().now();
            Plan { groups: by_policy(listing, policy, filter, group_by, *zone, now), ..Plan::default() }
        }
    };
    if !lose_sound {
        guard_sound(repository, listing, &mut plan, matches!(wanted, Wanted::These(_)))?;
    }
    plan.rests_on = rests_on(listing, &plan);
    Ok(plan)
}

/// Makes snapshots stay that are the last ones in which a file was sound; refuses the plan if snapshots were named.
fn guard_sound(repository: &Repository, listing: &Listing, plan: &mut Plan, by_name: bool) -> Result<()> {
    loop {
        let removed: HashSet<SnapshotId> = plan.removed().into_iter().collect();
        let losses = sound::losses(repository, &listing.snapshots, &removed)?;
        if by_name || losses.is_empty() {
            plan.refused = losses;
            return Ok(());
        }
        // What stays now may hold other files torn, so it is looked at again.
        let mut stays: HashMap<SnapshotId, Vec<Kept>> = HashMap::new();
        for loss in losses {
            stays.entry(loss.snapshot).or_default().push(Kept::Sound(loss));
        }
        for decision in plan.groups.iter_mut().flat_map(|group| &mut group.decisions) {
            decision.kept_for.extend(stays.remove(&decision.snapshot.id).unwrap_or_default());
        }
    }
}

fn by_name(listing: &Listing, ids: &[SnapshotId]) -> Plan {
    let ids: HashSet<SnapshotId> = ids.iter().copied().collect();
    let named = listing.snapshots.iter().filter(|root| ids.contains(&root.id));
    let decisions: Vec<_> = named.map(|root| Decision { snapshot: root.clone(), kept_for: Vec::new() }).collect();
    let unreadable = listing.unreadable.iter().map(|(id, _)| *id).filter(|id| ids.contains(id)).collect();
    let group = Group { key: GroupKey::default(), decisions };
    Plan { groups: vec![group], unreadable, ..Plan::default() }
}

fn by_policy(
    listing: &Listing,
    policy: &Policy,
    filter: &Filter,
    group_by: &GroupBy,
    zone: &dyn LocalTime,
    now: i64,
) -> Vec<Group> {
    let groups = group_by.groups(listing.fitting(filter)).into_iter();
    groups
        .map(|(key, roots)| {
            let dated: Vec<_> = roots.iter().map(|root| Dated { time: root.time, tags: &root.tags }).collect();
            let reasons = retention::apply(policy, &dated, now, zone);
            let decisions = roots.iter().zip(reasons).map(|(root, reasons)| Decision {
                snapshot: (*root).clone(),
                kept_for: reasons.into_iter().map(Kept::Rule).collect(),
            });
            Group { key, decisions: decisions.collect() }
        })
        .collect()
}

/// The snapshots that stay of every group and every series of which something goes.
fn rests_on(listing: &Listing, plan: &Plan) -> Vec<SnapshotId> {
    let removed: HashSet<SnapshotId> = plan.removed().into_iter().collect();
    let touched = plan.groups.iter().filter(|group| group.decisions.iter().any(|d| d.kept_for.is_empty()));
    let mut rests: HashSet<SnapshotId> =
        touched.flat_map(|group| &group.decisions).map(|decision| decision.snapshot.id).collect();
    let series: HashSet<&str> =
        listing.snapshots.iter().filter(|root| removed.contains(&root.id)).map(|root| &*root.series).collect();
    rests.extend(listing.snapshots.iter().filter(|root| series.contains(&*root.series)).map(|root| root.id));
    rests.into_iter().filter(|id| !removed.contains(id)).collect()
}

/// Carries out a plan; returns the snapshots that were removed.
///
/// # Errors
/// [`Error::InvalidArgument`] if the plan is refused, [`Error::Busy`] if others removed snapshots meanwhile that the plan keeps.
pub fn forget(repository: &Repository, plan: &Plan) -> Result<Vec<SnapshotId>> {
    if let Some(loss) = plan.refused.first() {
        return Err(Error::argument("plan", format!("{} must stay: {loss}", loss.snapshot.short())));
    }
    match plan.removed() {
        none if none.is_empty() => Ok(none),
        removed => repository.log().remove_snapshots(&removed, &plan.rests_on),
    }
}

/// What only the snapshots that go need.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Savings {
    /// Chunks.
    pub chunks: u64,
    /// Their plain bytes.
    pub plain: u64,
    /// What they take in packs.
    pub stored: u64,
    /// Things that could not be read: the other figures may be too small or too large.
    pub unreadable: u64,
}

/// How much collecting garbage would free after this.
///
/// # Errors
/// I/O errors of the repository. What is damaged is counted.
pub fn savings(repository: &Repository, listing: &Listing, plan: &Plan) -> Result<Savings> {
    let removed: HashSet<SnapshotId> = plan.removed().into_iter().collect();
    let state = repository.state();
    // Those that go may be gone already.
    let records = state.snapshots.iter().chain(state.removed.iter().map(|removed| &removed.record));
    let roots: HashMap<_, _> = records.map(|record| (record.id, record.root)).collect();
    let (goes, stays): (Vec<_>, Vec<_>) = listing.snapshots.iter().partition(|root| removed.contains(&root.id));
    let walked: Vec<_> = stays.iter().chain(&goes).filter_map(|root| Some((*roots.get(&root.id)?, *root))).collect();
    let kept = walked.iter().filter(|(_, root)| !removed.contains(&root.id)).count();
    let usage = Usage::of(repository, &walked, false)?;
    let mut savings = Savings { unreadable: usage.unreadable + listing.unreadable.len() as u64, ..Savings::default() };
    usage.each_chunk(|chunk| {
        if chunk.first.is_some_and(|first| first >= kept) {
            savings.chunks += 1;
            savings.plain += chunk.plain;
            savings.stored += chunk.stored;
        }
    })?;
    Ok(savings)
}
