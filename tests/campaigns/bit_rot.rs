//! Single bits flip in the objects of repositories, objects are cut off, and objects lie in each other's place, by the
//! hundred thousand. Each time the code that reads the object notices, and no chunk is ever given out that is not what it
//! was. (`tests/campaigns/bit_flips.rs` asks whole checks and restores, for fewer of them.)
//!
//! `SNAP_ROT_FLIPS=n` flips n bits (20 000 by default), `SNAP_ROT_CUTS=n` cuts off or swaps n objects (1 000), in the
//! repositories of lives that seeds from `SNAP_ROT_SEED` on generate.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::sim_life;
use crate::sim_store;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use avro_snap::crypto::Suite;
use avro_snap::index::CachedPack;
use avro_snap::pack::{PackInfo, read_pack};
use avro_snap::storage::{
    self, Abilities, Backend, ByteRange, Created, Each, Kind, Memory, Name, ObjectMeta, PutTerms, StorageErrorKind,
};
use avro_snap::store::{FrameReader, Repository};
use sim_life::{Deed, Life};
use sim_store::Dice;

/// A storage some of whose objects are shown otherwise than they are.
#[derive(Debug)]
struct Rotten {
    below: Memory,
    shown: Mutex<BTreeMap<Name, Vec<u8>>>,
}

impl Rotten {
    fn show(&self, shown: &[(Name, Vec<u8>)]) {
        *self.shown.lock().unwrap() = shown.iter().cloned().collect();
    }

    fn bytes(&self, name: &Name) -> storage::Result<Vec<u8>> {
        match self.shown.lock().unwrap().get(name) {
            Some(bytes) => Ok(bytes.clone()),
            None => self.below.read(name, u64::MAX - 1),
        }
    }
}

impl Backend for Rotten {
    fn location(&self) -> String {
        "rotten".into()
    }

    fn abilities(&self) -> Abilities {
        self.below.abilities()
    }

    fn prepare(&self) -> storage::Result<()> {
        Ok(())
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> storage::Result<Created> {
        self.below.put(name, bytes, terms)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> storage::Result<Vec<u8>> {
        range.of(name, &self.bytes(name)?)
    }

    fn head(&self, name: &Name) -> storage::Result<Option<ObjectMeta>> {
        match self.bytes(name) {
            Ok(bytes) => Ok(Some(ObjectMeta::new(name.clone(), bytes.len() as u64))),
            Err(error) if error.kind() == StorageErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> storage::Result<()> {
        self.below.list(kind, after, each)
    }

    fn delete(&self, name: &Name) -> storage::Result<()> {
        self.below.delete(name)
    }
}

/// A pack, its number in the index, and what each of its frames holds.
type Frames = (Arc<PackInfo>, CachedPack, Vec<Vec<u8>>);

/// A repository, and what its frames hold.
struct Sample {
    life: Life,
    rotten: Arc<Rotten>,
    repository: Repository,
    objects: Vec<(Name, Vec<u8>)>,
    frames: BTreeMap<Name, Frames>,
    reader: FrameReader,
}

impl Sample {
    fn new(seed: u64) -> Self {
        let suite = if seed.is_multiple_of(2) { Suite::None } else { Suite::Aes256Gcm };
        let below = Memory::new();
        let mut life = Life::new(Arc::new(below.clone()), suite, seed);
        life.init().unwrap();
        for deed in [
            Deed::Save { series: 0, many_packs: true },
            Deed::Key,
            Deed::Save { series: 1, many_packs: false },
            Deed::Forget,
            Deed::Tag,
            Deed::Prune { grace: true },
            Deed::Save { series: 0, many_packs: false },
        ] {
            life.act(deed).unwrap();
        }
        let rotten = Arc::new(Rotten { below: below.clone(), shown: Mutex::default() });
        life.backend = rotten.clone();
        let repository = life.open().unwrap();
        let mut objects = Vec::new();
        for kind in Kind::ALL {
            for ObjectMeta { name, size, .. } in below.list_all(kind).unwrap() {
                let bytes = below.read(&name, size).unwrap();
                objects.push((name, bytes));
            }
        }
        let (mut reader, mut frames) = (FrameReader::new().unwrap(), BTreeMap::new());
        for number in repository.catalog().index().pack_numbers() {
            let info = repository.catalog().index().pack(number).unwrap();
            let plain = (0..info.directory.frames.len() as u32)
                .map(|frame| reader.read(repository.reader(), (number, frame)).unwrap())
                .collect();
            frames.insert(info.name(), (info, number, plain));
        }
        let state = repository.state();
        // What does not count any more need not be noticed.
        objects.retain(|(name, _)| match name.kind() {
            Kind::Pack => frames.contains_key(name),
            Kind::Index => name.file().parse().is_ok_and(|id| state.indexes.contains(&id)),
            _ => true,
        });
        Self { life, rotten, repository, objects, frames, reader }
    }

    /// Whether the code that reads this object notices that it is not what it was. Panics on wrong bytes.
    fn notices(&mut self, name: &Name, what: &str) -> bool {
        match name.kind() {
            Kind::Pack => {
                let (info, number, plain) = &self.frames[name];
                for (frame, plain) in plain.iter().enumerate() {
                    if let Ok(read) = self.reader.read(self.repository.reader(), (*number, frame as u32)) {
                        assert!(read == *plain, "WRONG BYTES: frame {frame} of {name}, {what}");
                    }
                }
                let bytes = self.rotten.bytes(name).unwrap();
                let repository = &self.repository;
                !read_pack(&info.id, &bytes, repository.id(), repository.keys().keyring().as_ref())
                    .is_ok_and(|read| read == **info)
            }
            Kind::Index => self.repository.catalog().read_index_object(&name.file().parse().unwrap()).is_err(),
            // Config, keys, log: read when the repository is opened, or looked at by `check`.
            _ => match self.life.open() {
                Err(_) => true,
                Ok(repository) => {
                    // Opening goes on from a checkpoint; `check` follows the log from its first entry on.
                    let history = repository.log().history();
                    history.map_or(true, |history| !history.unsound_checkpoints.is_empty())
                        || !repository.keys().check().is_empty()
                        || !repository.config().check().is_empty()
                }
            },
        }
    }
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// Lets all cores do things to samples until `count` were done.
fn campaign(count: u64, each: impl Fn(&mut Sample, &mut Dice) -> (String, bool) + Sync) {
    let (done, seeds, began) = (AtomicU64::new(0), AtomicU64::new(number("SNAP_ROT_SEED", 0)), Instant::now());
    let kinds: Mutex<BTreeMap<String, u64>> = Mutex::default();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while done.load(Ordering::Relaxed) < count {
                    let seed = seeds.fetch_add(1, Ordering::Relaxed);
                    let (mut sample, mut dice) = (Sample::new(seed), Dice::new(seed));
                    let mut met: BTreeMap<String, u64> = BTreeMap::new();
                    // A new repository now and then.
                    for _ in 0..5_000 {
                        if done.fetch_add(1, Ordering::Relaxed) >= count {
                            break;
                        }
                        let (what, noticed) = each(&mut sample, &mut dice);
                        assert!(noticed, "NOT NOTICED: SNAP_ROT_SEED={seed}: {what}");
                        *met.entry(what.split(['/', ' ']).next().unwrap().to_owned()).or_default() += 1;
                    }
                    let mut kinds = kinds.lock().unwrap();
                    met.into_iter().for_each(|(kind, count)| *kinds.entry(kind).or_default() += count);
                }
            });
        }
    });
    println!("{:?}, all noticed, in {:.1?}", kinds.into_inner().unwrap(), began.elapsed());
}

#[test]
fn every_flipped_bit_is_noticed_and_gives_no_wrong_bytes() {
    campaign(number("SNAP_ROT_FLIPS", 20_000), |sample, dice| {
        let total: usize = sample.objects.iter().map(|(_, bytes)| bytes.len()).sum();
        let mut at = dice.below(total);
        let (name, bytes) = sample
            .objects
            .iter()
            .find(|(_, bytes)| {
                let here = at < bytes.len();
                at -= if here { 0 } else { bytes.len() };
                here
            })
            .cloned()
            .unwrap();
        let (mut flipped, bit) = (bytes, dice.below(8));
        flipped[at] ^= 1 << bit;
        let what = format!("{name}, bit {bit} of byte {at}");
        sample.rotten.show(&[(name.clone(), flipped)]);
        let noticed = sample.notices(&name, &what);
        (what, noticed)
    });
}

#[test]
fn every_object_that_was_cut_off_or_lies_elsewhere_is_noticed() {
    campaign(number("SNAP_ROT_CUTS", 1_000), |sample, dice| {
        let (name, bytes) = sample.objects[dice.below(sample.objects.len())].clone();
        if dice.one_in(2) {
            let cut = dice.below(bytes.len());
            sample.rotten.show(&[(name.clone(), bytes[..cut].to_vec())]);
            let what = format!("{name} cut to {cut} of {} bytes", bytes.len());
            let noticed = sample.notices(&name, &what);
            return (what, noticed);
        }
        let others: Vec<_> =
            sample.objects.iter().filter(|(other, found)| *other != name && *found != bytes).cloned().collect();
        // Of its own kind, most of the time.
        let alike: Vec<_> = others.iter().filter(|(other, _)| other.kind() == name.kind()).cloned().collect();
        let from = if alike.is_empty() || dice.one_in(8) { others } else { alike };
        let (other, found) = from[dice.below(from.len())].clone();
        sample.rotten.show(&[(name.clone(), found), (other.clone(), bytes)]);
        let what = format!("{name} and {other} swapped");
        let noticed = sample.notices(&name, &what) && sample.notices(&other, &what);
        (what, noticed)
    });
}
