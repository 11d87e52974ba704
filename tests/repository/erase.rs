//! Records that are erased are in no chunk after a prune, whatever rested on them; all others are what they were. A run that dies at
//! any operation, or beside others, leaves a whole repository, and the next run ends the work.
//!
//! `SNAP_RACE_STEP=n` tries every n-th moment only (10 by default).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen::Random;
use crate::faults::{self, Files, all_files, check_all};
use crate::interrupted::Interrupted;
use crate::lab::Lab;
use crate::small::{forget, init, lab, run_prune, save, thorough, try_open};
use crate::trouble::{Mishap, Trouble, copy_of};

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use avro_snap::avro::container::{MAGIC, put_block_header};
use avro_snap::avro::encoder::Encoders;
use avro_snap::avro::varint;
use avro_snap::chunk::ChunkKind;
use avro_snap::crypto::Suite;
use avro_snap::error::Result;
use avro_snap::id::SnapshotId;
use avro_snap::ops::erase::{EraseOptions, EraseReport, Proof, check_erased, erase, plan};
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Memory};
use avro_snap::store::{FrameReader, Repository};

const SCHEMA: &str = r#"{"type":"record","name":"Customer","fields":[{"name":"id","type":"long"},
    {"name":"email","type":["null","string"]},{"name":"note","type":"string"}]}"#;

/// What every erased record holds, and no other.
const VICTIM: &[u8] = b"victim-";

fn record(id: i64, email: &str, note: &str) -> Vec<u8> {
    let mut out = Vec::new();
    varint::encode(&mut out, id);
    varint::encode(&mut out, 1);
    for text in [email, note] {
        varint::encode(&mut out, text.len() as i64);
        out.extend_from_slice(text.as_bytes());
    }
    out
}

fn container(codec: &str, encoder: &str, records: &[Vec<u8>]) -> Vec<u8> {
    let (mut file, marker) = (MAGIC.to_vec(), *b"0123456789abcdef");
    varint::encode(&mut file, 3);
    for text in ["avro.schema", SCHEMA, "avro.codec", codec, "owner", "billing"] {
        varint::encode(&mut file, text.len() as i64);
        file.extend_from_slice(text.as_bytes());
    }
    varint::encode(&mut file, 0);
    file.extend_from_slice(&marker);
    for block in records.chunks(40) {
        let mut payload = Vec::new();
        Encoders::new().encode(&encoder.parse().unwrap(), &block.concat(), &mut payload).unwrap();
        put_block_header(&mut file, block.len() as u64, payload.len());
        file.extend_from_slice(&payload);
        file.extend_from_slice(&marker);
    }
    file
}

/// The files of a night. Some records change every night; those of victims are gone in the last one.
fn night(number: u64, rows: i64) -> Files {
    let rows = |table: u64| -> Vec<Vec<u8>> {
        let mut random = Random::new(table);
        let mut all = Vec::new();
        for id in 0..rows {
            let (a, b, changes) = (random.next(), random.next(), random.one_in(15));
            let note = format!("{a:016x}{b:016x}{}", if changes { number } else { 0 });
            match id % 41 {
                7 if number < 2 => all.push(record(id, &format!("victim-{id}@x.example"), &note)),
                7 => {}
                _ => all.push(record(id, &format!("{}@x.example", a % 1000), &note)),
            }
        }
        all
    };
    let mut files = Files::new();
    files.insert("customers-0.avro".into(), container("deflate", "zlib:L6:M8", &rows(1)));
    files.insert("customers-1.avro".into(), container("null", "null", &rows(2)));
    files.insert("same.avro".into(), container("deflate", "zlib:L6:M8", &rows(1)));
    files.insert("read.me".into(), b"what is no table".repeat(50));
    files
}

struct Scene {
    memory: Memory,
    nights: BTreeMap<SnapshotId, Files>,
}

fn scene(nights: u64, rows: i64, suite: Suite) -> Scene {
    let memory = Memory::new();
    let lab = init(&(Arc::new(memory.clone()) as Arc<dyn Backend>), suite);
    let nights =
        (0..nights).map(|number| night(number, rows)).map(|files| (save(&lab, &files).unwrap(), files)).collect();
    Scene { memory, nights }
}

fn options() -> EraseOptions {
    EraseOptions::new("*.avro").r#where(Some("email like 'victim-%'".parse().unwrap()))
}

/// Erases from all snapshots. Returns the report, and the proof as it is written down.
fn erased(lab: &Lab) -> Result<(EraseReport, String)> {
    let repository = try_open(lab)?;
    let ids: Vec<SnapshotId> = repository.state().snapshots.iter().map(|record| record.id).collect();
    let plan = plan(&repository, &ids, &options(), &Silent).map_err(|error| match error {
        avro_snap::ops::erase::EraseError::Library(error) => error,
        other => panic!("{other}"),
    })?;
    assert!(plan.left.is_empty(), "{:?}", plan.left);
    let report = erase(&repository, &plan, &options(), &Silent)?;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    Ok((report, serde_json::to_string(&plan.proof).unwrap()))
}

/// The records of a container, as another library reads them.
fn records(bytes: &[u8]) -> Vec<String> {
    let reader = apache_avro::Reader::new(bytes).unwrap();
    assert_eq!(reader.user_metadata().get("owner").map(Vec::as_slice), Some(&b"billing"[..]));
    reader.map(|value| format!("{:?}", value.unwrap())).collect()
}

fn is_victim(record: &str) -> bool {
    record.contains("victim-")
}

/// Each file is what it was, or is what it was without the records that go. Returns how many of them hold such records.
fn hold(repository: &Repository, expected: &BTreeMap<SnapshotId, Files>, what: &str) -> usize {
    let mut holding = 0;
    for (id, files) in expected {
        let now = all_files(repository, *id).unwrap_or_else(|| panic!("{what}: {id} cannot be restored"));
        assert_eq!(now.keys().collect::<Vec<_>>(), files.keys().collect::<Vec<_>>(), "{what}");
        for (path, before) in files {
            if now[path] == *before {
                holding += usize::from(
                    path.extension().is_some_and(|end| end == "avro")
                        && records(before).iter().any(|record| is_victim(record)),
                );
                continue;
            }
            let left: Vec<_> = records(before).into_iter().filter(|record| !is_victim(record)).collect();
            assert!(left.len() < records(before).len(), "{what}: {}", path.display());
            assert_eq!(records(&now[path]), left, "{what}: {}", path.display());
        }
    }
    let problems = check_all(repository).unwrap().problems;
    assert!(problems.is_empty(), "{what}: {problems:?}");
    holding
}

/// How many chunks of all packs hold the text, and how many frames are differences.
fn chunks_with(repository: &Repository, text: &[u8]) -> (usize, usize) {
    let (mut found, mut deltas) = (0, 0);
    for pack in repository.catalog().index().pack_ids() {
        let info = repository.catalog().index().find_pack(&pack).unwrap().unwrap();
        for (number, frame) in info.directory.frames.iter().enumerate() {
            let plain = FrameReader::new().unwrap().read_frame(repository.reader(), &info, number).unwrap();
            found +=
                usize::from(frame.kind != ChunkKind::Payload && plain.windows(text.len()).any(|window| window == text));
            deltas += usize::from(frame.encoding == avro_snap::pack::Encoding::Delta);
        }
    }
    (found, deltas)
}

/// A further run ends the work. After a prune nothing is left, and the check says so.
fn ends(lab: &Lab, expected: &BTreeMap<SnapshotId, Files>, what: &str) {
    hold(&try_open(lab).unwrap(), expected, what);
    erased(lab).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(erased(lab).unwrap().0.replaced.is_empty(), "{what}");
    run_prune(lab, &thorough()).unwrap();
    let repository = try_open(lab).unwrap();
    assert_eq!(hold(&repository, expected, what), 0, "{what}");
    assert_eq!(chunks_with(&repository, VICTIM).0, 0, "{what}");
}

#[test]
fn nothing_of_an_erased_record_is_left_in_any_chunk() {
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let scene = scene(3, 700, suite);
        let lab = lab(&(Arc::new(scene.memory.clone()) as Arc<dyn Backend>));
        let (found, deltas) = chunks_with(&try_open(&lab).unwrap(), VICTIM);
        assert!(found > 20 && deltas > 5, "{found} {deltas}");
        let (report, proof) = erased(&lab).unwrap();
        // Two nights, of which each has two different files of such records. The third night has none.
        assert_eq!((report.files, report.replaced.len()), (4, 2));
        assert_eq!(report.records, 4 * 17);
        let repository = try_open(&lab).unwrap();
        let read = |repository: &Repository| Proof::parse(&proof, repository).unwrap();
        let before = check_erased(&repository, &read(&repository), &Silent).unwrap();
        assert!(!before.found.is_empty() && !before.is_proven());
        assert_eq!(hold(&repository, &scene.nights, "erased"), 0);
        let root = avro_snap::ops::select::Listing::read(&repository).snapshots.remove(0);
        assert!(root.altered.is_some() && root.revision == 1);
        drop(repository);
        // What is unused is deleted by the most patient prune, too.
        run_prune(&lab, &thorough().max_unused(avro_snap::ops::prune::MaxUnused::Percent(100.0))).unwrap();
        let repository = try_open(&lab).unwrap();
        assert_eq!(hold(&repository, &scene.nights, "pruned"), 0);
        let (found, _) = chunks_with(&repository, VICTIM);
        assert_eq!(found, 0);
        let after = check_erased(&repository, &read(&repository), &Silent).unwrap();
        assert!(after.is_proven() && after.chunks > 20, "{after:?}");
        assert!(erased(&lab).unwrap().0.replaced.is_empty());
    }
}

#[test]
fn a_run_that_dies_loses_nothing_and_the_next_one_ends_it() {
    let scene = scene(2, 120, Suite::None);
    let step = faults::size("SNAP_RACE_STEP", 10).max(1);
    let (mut halfway, mut deaths) = (0, 0);
    for done in [false, true] {
        for operations in (0..).step_by(step) {
            let copy = copy_of(&scene.memory);
            let troubled = Arc::new(Trouble::with(&copy, Mishap::Death { done }, operations));
            let told = erased(&lab(&(troubled.clone() as Arc<dyn Backend>)));
            let what = format!("death at {operations}, done: {done}");
            let sound = lab(&(Arc::new(copy) as Arc<dyn Backend>));
            if !troubled.hit() {
                assert_eq!(told.unwrap().0.replaced.len(), 2, "{what}");
                break;
            }
            assert!(told.is_err(), "{what}");
            deaths += 1;
            halfway += u32::from((1..6).contains(&hold(&try_open(&sound).unwrap(), &scene.nights, &what)));
            ends(&sound, &scene.nights, &what);
        }
    }
    println!("{deaths} deaths, {halfway} of them after one of two snapshots");
    assert!(deaths >= 2);
}

/// Comes in between at moments of a run.
fn beside(inner: fn(&Lab, SnapshotId), removes: bool) {
    let scene = scene(2, 120, Suite::None);
    let first = *scene.nights.keys().next().unwrap();
    let mut left = scene.nights.clone();
    if removes {
        left.remove(&first);
    }
    let step = faults::size("SNAP_RACE_STEP", 10).max(1);
    for moment in (0..).step_by(step) {
        let backend: Arc<dyn Backend> = Arc::new(copy_of(&scene.memory));
        let inside = backend.clone();
        let interrupted = Interrupted::at(&backend, moment, move || inner(&lab(&inside), first));
        let told = erased(&lab(&(interrupted.clone() as Arc<dyn Backend>)));
        let what = format!("moment {moment}");
        told.unwrap_or_else(|error| panic!("{what}: {error}"));
        if !interrupted.happened() {
            println!("{moment} moments");
            break;
        }
        ends(&lab(&backend), &left, &what);
    }
}

#[test]
fn a_snapshot_that_is_removed_and_pruned_meanwhile_is_passed_over() {
    let removes = |lab: &Lab, first: SnapshotId| {
        forget(lab, &[first]).unwrap();
        run_prune(lab, &thorough()).unwrap();
        run_prune(lab, &thorough()).unwrap();
    };
    beside(removes, true);
}

#[test]
fn two_runs_at_once_come_to_the_same() {
    let same = |lab: &Lab, _: SnapshotId| {
        erased(lab).unwrap();
        run_prune(lab, &thorough()).unwrap();
    };
    beside(same, false);
}

#[test]
fn a_path_means_itself_or_what_a_pattern_says() {
    let scene = scene(1, 90, Suite::None);
    let lab = lab(&(Arc::new(scene.memory.clone()) as Arc<dyn Backend>));
    let repository = try_open(&lab).unwrap();
    let ids: Vec<SnapshotId> = scene.nights.keys().copied().collect();
    let files = |path: &str| {
        let options = EraseOptions::new(path).key(["id=7".to_owned()]);
        let plan = plan(&repository, &ids, &options, &Silent).map_err(|error| error.to_string())?;
        let paths = plan.snapshots.iter().flat_map(|snapshot| &snapshot.files);
        Ok::<_, String>(paths.map(|file| String::from_utf8_lossy(&file.path).into_owned()).collect::<Vec<_>>())
    };
    assert_eq!(files("customers-*").unwrap(), ["customers-0.avro", "customers-1.avro"]);
    assert_eq!(files("same.avro").unwrap(), ["same.avro"]);
    assert!(files("same").unwrap_err().contains("no snapshot that was chosen"));
    assert!(files("").unwrap_err().contains("the path is empty"));
    assert!(Path::new("same.avro").extension().is_some());
}
