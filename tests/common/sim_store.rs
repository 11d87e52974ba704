//! A storage that does what storages do, from one seed: it fails before and after the deed, is late, does things in
//! another order or twice, lists what was or a part of what is. Several processes may use it; each has a handle, and
//! where a schedule is on, only one of them goes on at a time, and the seed says which. The same seed gives the same.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use avro_snap::storage::{
    Abilities, Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result, StorageError,
    StorageErrorKind,
};

/// How often what happens: once in so many operations; never where it is 0.
#[derive(Debug, Clone, Copy, Default)]
pub struct Faults {
    /// It fails, and nothing has happened.
    pub before: u64,
    /// It fails, and it has happened.
    pub after: u64,
    /// It fails, and it will happen later: a request that is still on its way. What others do meanwhile comes first.
    pub late: u64,
    /// It is done twice, and the second answer is told.
    pub twice: u64,
    /// It is done, and done once more later: a request that was repeated on its way.
    pub again: u64,
    /// A listing is as it was some time ago.
    pub stale: u64,
    /// A listing lacks some of what is there.
    pub partial: u64,
    /// A listing is empty.
    pub empty: u64,
    /// The process dies at this operation: before or after it had its effect.
    pub death: u64,
    /// A create is acknowledged, and the object is cut off. Not to be survived: to be found.
    pub torn: u64,
    /// A create is acknowledged, and there is no object. Not to be survived: to be found.
    pub lost: u64,
}

impl Faults {
    /// Everything that must be survived.
    pub fn of_a_bad_day() -> Self {
        Self {
            before: 120,
            after: 30,
            late: 30,
            twice: 30,
            again: 30,
            stale: 6,
            partial: 6,
            empty: 20,
            death: 40,
            ..Self::default()
        }
    }

    /// Listings that cannot be trusted, and nothing else.
    pub fn of_listings() -> Self {
        Self { stale: 3, partial: 3, empty: 8, ..Self::default() }
    }
}

/// A stream of numbers from a seed (SplitMix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// True once in `n` times, and never where that is 0.
    pub fn one_in(&mut self, n: u64) -> bool {
        n != 0 && self.next().is_multiple_of(n)
    }
}

type Objects = BTreeMap<Name, Arc<[u8]>>;

/// An operation that changes something.
#[derive(Debug, Clone)]
enum Change {
    Create(Name, Arc<[u8]>),
    Delete(Name),
}

/// How many states of the storage are remembered for stale listings.
const REMEMBERED: usize = 6;

struct World {
    objects: Objects,
    /// Earlier states, by the number of the change after which they were.
    before: Vec<Objects>,
    /// When each object was made, by the storage's clock, which ticks once a step.
    made: BTreeMap<Name, i64>,
    pending: Vec<(u64, Change)>,
    step: u64,
    faults: Faults,
    dice: Dice,
    /// Who may go on; nobody in particular where no schedule is on.
    turn: Option<usize>,
    /// Whoever's turn it is has not made use of it yet.
    granted: bool,
    /// Who takes part in the schedule and has not ended.
    alive: Vec<usize>,
    /// Once in how many operations another one's turn comes.
    switch: u64,
    dead: Vec<bool>,
    /// What happened, if somebody wants to know.
    trace: Option<Vec<String>>,
    happened: Happened,
}

/// How often something went wrong, so that nobody takes a fine day for a bad one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Happened {
    pub operations: u64,
    pub errors: u64,
    pub late: u64,
    pub twice: u64,
    pub listings: u64,
    pub deaths: u64,
    pub torn: u64,
    pub lost: u64,
    pub switches: u64,
}

struct Shared {
    world: Mutex<World>,
    turns: Vec<Condvar>,
}

/// One process's handle of the storage.
#[derive(Clone)]
pub struct SimStore {
    shared: Arc<Shared>,
    actor: usize,
}

impl std::fmt::Debug for SimStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SimStore({})", self.actor)
    }
}

impl SimStore {
    /// An empty storage for so many processes, without faults and without a schedule.
    pub fn new(seed: u64, actors: usize) -> Self {
        let world = World {
            objects: Objects::new(),
            before: Vec::new(),
            made: BTreeMap::new(),
            pending: Vec::new(),
            step: 0,
            faults: Faults::default(),
            dice: Dice::new(seed),
            turn: None,
            granted: false,
            alive: Vec::new(),
            switch: 1,
            dead: vec![false; actors],
            trace: None,
            happened: Happened::default(),
        };
        let turns = (0..actors).map(|_| Condvar::new()).collect();
        Self { shared: Arc::new(Shared { world: Mutex::new(world), turns }), actor: 0 }
    }

    /// The handle of another process.
    pub fn of_actor(&self, actor: usize) -> Self {
        Self { shared: self.shared.clone(), actor }
    }

    pub fn set_faults(&self, faults: Faults) {
        self.world().faults = faults;
    }

    /// From now on these processes go on one at a time; another one's turn comes once in `switch` operations. Each must
    /// [`end`](SimStore::end), and the first to come to an operation waits until [`start`](SimStore::start).
    pub fn schedule(&self, actors: &[usize], switch: u64) {
        let mut world = self.world();
        world.alive = actors.to_vec();
        world.switch = switch.max(1);
        // Nobody's turn yet.
        world.turn = Some(usize::MAX);
    }

    pub fn start(&self) {
        let mut world = self.world();
        world.pass_on(None);
        self.wake(&world);
    }

    /// This process has nothing more to do.
    pub fn end(&self) {
        let mut world = self.world();
        world.alive.retain(|actor| *actor != self.actor);
        world.pass_on(None);
        self.wake(&world);
    }

    /// Whether this process has died: then nothing works any more, until it begins anew.
    pub fn is_dead(&self) -> bool {
        self.world().dead[self.actor]
    }

    /// A new process in the place of one that died.
    pub fn rise(&self) {
        self.world().dead[self.actor] = false;
    }

    /// All that was on its way has arrived, and nothing goes wrong from now on.
    pub fn calm(&self) {
        let mut world = self.world();
        world.faults = Faults::default();
        world.turn = None;
        let pending = std::mem::take(&mut world.pending);
        for (_, change) in pending {
            world.apply(&change);
        }
        world.dead.fill(false);
    }

    pub fn happened(&self) -> Happened {
        self.world().happened
    }

    /// From now on it is written down what happens.
    pub fn keep_trace(&self) {
        self.world().trace = Some(Vec::new());
    }

    pub fn trace(&self) -> Vec<String> {
        self.world().trace.clone().unwrap_or_default()
    }

    /// A remark for the trace.
    pub fn note(&self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.world().trace {
            trace.push(format!("    {} says: {}", self.actor, what()));
        }
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self, world: &World) {
        if let Some(turn) = world.turn.and_then(|turn| self.shared.turns.get(turn)) {
            turn.notify_all();
        }
    }

    /// Waits for this process's turn, and takes a step.
    fn step(&self) -> MutexGuard<'_, World> {
        let mut world = self.world();
        if world.turn == Some(self.actor) && !world.granted {
            // It has had its turn.
            world.pass_on(Some(self.actor));
            self.wake(&world);
        }
        while world.turn.is_some_and(|turn| turn != self.actor) {
            world = self.shared.turns[self.actor].wait(world).unwrap_or_else(PoisonError::into_inner);
        }
        world.granted = false;
        world.step += 1;
        world.happened.operations += 1;
        let step = world.step;
        let (due, pending): (Vec<_>, Vec<_>) =
            std::mem::take(&mut world.pending).into_iter().partition(|(when, _)| *when <= step);
        world.pending = pending;
        for (_, change) in due {
            world.tell(|| format!("    late: {change:?}"));
            world.apply(&change);
        }
        world
    }

    fn operation<T>(&self, what: impl Fn() -> String, work: impl FnOnce(&mut World) -> Result<T>) -> Result<T> {
        let mut world = self.step();
        let actor = self.actor;
        if world.dead[actor] {
            return Err(failure(StorageErrorKind::Other, "the process is dead"));
        }
        world.tell(|| format!("{actor}: {}", what()));
        let faults = world.faults;
        if world.dice.one_in(faults.before) {
            world.happened.errors += 1;
            world.tell(|| "    fails before".into());
            return Err(world.some_error());
        }
        work(&mut world)
    }

    fn change(&self, change: Change) -> Result<Created> {
        let mut world = self.step();
        let actor = self.actor;
        if world.dead[actor] {
            return Err(failure(StorageErrorKind::Other, "the process is dead"));
        }
        world.tell(|| format!("{actor}: {change:?}"));
        let faults = world.faults;
        // The probe of `init` and the like are not what this is about: those tests switch faults on later.
        if world.dice.one_in(faults.death) {
            let deed = world.dice.one_in(2);
            world.tell(|| format!("    dies, deed done: {deed}"));
            if deed {
                world.apply(&change);
            }
            world.dead[actor] = true;
            world.happened.deaths += 1;
            return Err(failure(StorageErrorKind::Other, "the process is dead"));
        }
        if world.dice.one_in(faults.before) {
            world.happened.errors += 1;
            world.tell(|| "    fails before".into());
            return Err(world.some_error());
        }
        if world.dice.one_in(faults.after) {
            world.happened.errors += 1;
            world.tell(|| "    fails after".into());
            world.apply(&change);
            return Err(world.some_error());
        }
        if world.dice.one_in(faults.late) {
            world.happened.late += 1;
            world.tell(|| "    fails, and will be done later".into());
            let when = world.soon();
            world.pending.push((when, change));
            return Err(world.some_error());
        }
        if world.dice.one_in(faults.twice) {
            world.happened.twice += 1;
            world.tell(|| "    done twice".into());
            world.apply(&change);
            return Ok(world.apply(&change));
        }
        if world.dice.one_in(faults.again) {
            world.happened.twice += 1;
            let when = world.soon();
            world.pending.push((when, change.clone()));
        }
        if let Change::Create(name, bytes) = &change
            && !world.objects.contains_key(name)
        {
            // That the last entry of the log is not there is for those to notice who remember it.
            if name.kind() != Kind::Log && world.dice.one_in(faults.lost) {
                world.happened.lost += 1;
                return Ok(Created::New);
            }
            if world.dice.one_in(faults.torn) && !bytes.is_empty() {
                world.happened.torn += 1;
                let keep = world.dice.below(bytes.len());
                return Ok(world.apply(&Change::Create(name.clone(), bytes[..keep].into())));
            }
        }
        Ok(world.apply(&change))
    }
}

impl World {
    /// Chooses whose turn is next.
    fn pass_on(&mut self, current: Option<usize>) {
        if self.turn.is_none() {
            return;
        }
        self.granted = true;
        if let Some(current) = current
            && !self.dice.one_in(self.switch)
        {
            self.turn = Some(current);
            return;
        }
        self.happened.switches += 1;
        self.turn = match self.alive.len() {
            0 => None,
            n => Some(self.alive[self.dice.below(n)]),
        };
    }

    fn tell(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(what());
        }
    }

    fn soon(&mut self) -> u64 {
        self.step + 1 + self.dice.below(200) as u64
    }

    fn apply(&mut self, change: &Change) -> Created {
        let remembers = self.faults.stale != 0;
        match change {
            Change::Create(name, _) if self.objects.contains_key(name) => return Created::Exists,
            Change::Delete(name) if !self.objects.contains_key(name) => return Created::New,
            _ if remembers => {
                if self.before.len() == REMEMBERED {
                    self.before.remove(0);
                }
                self.before.push(self.objects.clone());
            }
            _ => {}
        }
        match change {
            Change::Create(name, bytes) => {
                self.made.insert(name.clone(), self.step as i64 * 1_000_000_000);
                self.objects.insert(name.clone(), bytes.clone());
            }
            Change::Delete(name) => drop(self.objects.remove(name)),
        }
        Created::New
    }

    /// What networks and disks say: that something went wrong and it can be found out what became of it, or who knows.
    fn some_error(&mut self) -> StorageError {
        match self.dice.below(3) {
            0 => failure(StorageErrorKind::UnknownOutcome, "the answer was lost"),
            1 => failure(StorageErrorKind::Unavailable, "503"),
            _ => failure(StorageErrorKind::Other, "timed out"),
        }
    }

    fn object(&self, name: &Name) -> Result<&Arc<[u8]>> {
        self.objects.get(name).ok_or_else(|| StorageError::not_found(name))
    }

    fn meta(&self, name: &Name, object: &[u8]) -> ObjectMeta {
        let modified = self.made.get(name).copied();
        ObjectMeta { modified, ..ObjectMeta::new(name.clone(), object.len() as u64) }
    }
}

fn failure(kind: StorageErrorKind, why: &'static str) -> StorageError {
    StorageError::new(kind, "use").because(why)
}

fn of_kind<'o>(
    objects: &'o Objects,
    kind: Kind,
    after: Option<&Name>,
) -> impl Iterator<Item = (&'o Name, &'o Arc<[u8]>)> {
    let first = after.map_or(Bound::Included(Name::new(kind, "")), |after| Bound::Excluded(after.clone()));
    objects.range((first, Bound::Unbounded)).take_while(move |(name, _)| name.kind() == kind)
}

impl Backend for SimStore {
    fn location(&self) -> String {
        "simulated".into()
    }

    fn abilities(&self) -> Abilities {
        let mut abilities = Abilities::default();
        (abilities.creates_once, abilities.has_clock) = (true, true);
        abilities
    }

    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        if name.file().is_empty() {
            return Err(StorageError::new(StorageErrorKind::Invalid, "write").of(name));
        }
        terms.only_if(self.abilities(), name)?;
        self.change(Change::Create(name.clone(), bytes.into()))
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        self.operation(|| format!("read {range:?} of {name}"), |world| range.of(name, world.object(name)?))
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        self.operation(
            || format!("look at {name}"),
            |world| Ok(world.objects.get(name).map(|object| world.meta(name, object))),
        )
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        let listed: Vec<ObjectMeta> = self.operation(
            || format!("list {kind:?} after {after:?}"),
            |world| {
                let faults = world.faults;
                if world.dice.one_in(faults.empty) {
                    world.happened.listings += 1;
                    world.tell(|| "    nothing".into());
                    return Ok(Vec::new());
                }
                if world.dice.one_in(faults.stale) && !world.before.is_empty() {
                    world.happened.listings += 1;
                    let when = world.dice.below(world.before.len());
                    world.tell(|| format!("    stale by {}", REMEMBERED - when));
                    let then = &world.before[when];
                    return Ok(of_kind(then, kind, after).map(|(name, object)| world.meta(name, object)).collect());
                }
                let metas = of_kind(&world.objects, kind, after).map(|(name, object)| world.meta(name, object));
                let mut listed: Vec<ObjectMeta> = metas.collect();
                if world.dice.one_in(faults.partial) {
                    world.happened.listings += 1;
                    let dice = &mut world.dice;
                    listed.retain(|_| !dice.one_in(3));
                    world.tell(|| "    in part".into());
                }
                Ok(listed)
            },
        )?;
        let _ = listed.into_iter().try_for_each(each);
        Ok(())
    }

    fn settle(&self, name: &Name) -> Result<()> {
        self.operation(|| format!("settle {name}"), |_| Ok(()))
    }

    fn delete(&self, name: &Name) -> Result<()> {
        self.change(Change::Delete(name.clone())).map(drop)
    }
}
