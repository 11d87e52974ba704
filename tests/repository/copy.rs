//! Copying snapshots under what a command line cannot be put to: crashes, races, forged data.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;
use crate::small;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use avro_gen::Random;
use avro_snap::chunk::{ChunkKind, ChunkSink};
use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Result};
use avro_snap::id::{ChunkHasher, ChunkId, SnapshotId};
use avro_snap::ops::check::DataSubset;
use avro_snap::ops::copy::{Copied, Copier, CopyOptions, CopyReport};
use avro_snap::ops::create::create;
use avro_snap::ops::select::Listing;
use avro_snap::pack::PlainChunk;
use avro_snap::progress::{Progress, Silent};
use avro_snap::recipe::{ContainerRecipe, Recipe, Stream};
use avro_snap::snapshot::entry::FileEntry;
use avro_snap::snapshot::{ManifestWriter, SnapshotRoot};
use avro_snap::storage::{Backend, Memory};
use avro_snap::store::{CachePlace, Copies, Repository, Sizes, Writer};
use faults::{Crashing, Moment, all_files};
use lab::{Lab, files_of, fixtures, saving};

/// Copies all snapshots that are not there.
fn copy_all(source: &Repository, target: &Repository) -> Result<CopyReport> {
    let mut copier = Copier::new(source, target, CopyOptions::default())?;
    let mut sum = CopyReport::default();
    for root in Listing::read(source).snapshots {
        match copier.copy(&root, &Silent)? {
            Copied::Done(report) => sum.add(&report),
            Copied::Present | Copied::Removed => {}
            Copied::Failed { error, .. } => return Err(error),
        }
    }
    Ok(sum)
}

#[test]
fn a_copy_that_dies_at_any_moment_is_gone_on_with() {
    let folder = faults::quick_folder();
    for suite in [Suite::None, Suite::Aes256Gcm] {
        let source = Lab::new(suite);
        for night in ["nights/2026-03-01", "nights/2026-03-02"] {
            let data = folder.path().join("data");
            for (path, bytes) in files_of(&fixtures(night)) {
                fs::create_dir_all(&data).unwrap();
                fs::write(data.join(path), bytes).unwrap();
            }
            create(&source.open(), saving(&data), &Silent).unwrap();
        }
        let source = source.open();
        let ids: Vec<SnapshotId> = source.state().snapshots.iter().map(|record| record.id).collect();
        let files: Vec<_> = ids.iter().map(|id| all_files(&source, *id).unwrap()).collect();
        let (mut deaths, mut last) = (0, None);
        for moment in [Moment::Before, Moment::After] {
            for operations in 0.. {
                let mut target = Lab::on(Arc::new(Memory::new()), suite);
                let cache = folder.path().join(format!("cache-{suite:?}-{moment:?}-{operations}"));
                target.cache = CachePlace::Folder(cache);
                let crashing = Arc::new(Crashing::dying(target.backend.clone(), operations, moment));
                let doomed = Lab { backend: crashing.clone(), cache: target.cache.clone() };
                let done = doomed.try_open().and_then(|mut target| {
                    target.set_sizes(Sizes { pack: 30_000, frame: 10_000, ..Sizes::default() });
                    copy_all(&source, &target)
                });
                assert_eq!(done.is_err(), crashing.died(), "{done:?}");
                let repository = target.open();
                let kept = repository.state().snapshots.len();
                for (id, files) in ids.iter().zip(&files).take(kept) {
                    assert!(all_files(&repository, *id).as_ref() == Some(files), "what is in the log is whole");
                }
                let report = copy_all(&source, &repository).unwrap();
                assert_eq!(repository.state().snapshots.iter().map(|record| record.id).collect::<Vec<_>>(), ids);
                for (id, files) in ids.iter().zip(&files) {
                    assert!(all_files(&repository, *id).as_ref() == Some(files));
                }
                assert!(target.check(DataSubset::All).problems.is_empty());
                if !crashing.died() {
                    break;
                }
                deaths += 1;
                last = (moment == Moment::Before).then_some(report).or(last);
            }
        }
        println!("{suite:?}: {deaths} deaths");
        assert!(deaths > 12, "{deaths}");
        // It died when all but the last entry was written: nothing has to be read again.
        assert_eq!(last.unwrap().chunks_read, 0);
    }
}

#[test]
fn no_snapshot_is_added_twice() {
    let lab = Lab::new(Suite::None);
    let (first, second) = (lab.open(), lab.open());
    let (one, other) = (Writer::new(&first).unwrap(), Writer::new(&second).unwrap());
    let (id, root) = (SnapshotId::new([1; 16]), ChunkId::new([2; 32]));
    one.commit(id, root).unwrap();
    assert!(matches!(other.commit(id, root), Err(Error::SnapshotExists { snapshot }) if snapshot == id));
    assert_eq!(lab.open().state().snapshots.len(), 1, "the log can be read");
}

/// Puts chunks in without asking what they are.
struct Sink<'c, 'w, 'r> {
    copies: &'c mut Copies<'w, 'r>,
    hasher: ChunkHasher,
}

impl ChunkSink for Sink<'_, '_, '_> {
    fn put(&mut self, kind: ChunkKind, bytes: Vec<u8>) -> Result<ChunkId> {
        let id = self.hasher.id(&bytes);
        self.copies.add(kind, PlainChunk { id, bytes })?;
        Ok(id)
    }
}

/// A repository without encryption, into which somebody put a snapshot of a file with this recipe.
fn forged(recipe: &Recipe) -> Lab {
    let lab = Lab::new(Suite::None);
    let repository = lab.open();
    let writer = Writer::new(&repository).unwrap();
    let mut copies = Copies::new(&writer).unwrap();
    let mut sink = Sink { copies: &mut copies, hasher: repository.hasher() };
    let mut manifest = ManifestWriter::new(repository.hasher());
    let row = FileEntry { path: b"x.avro".to_vec(), size: 10, recipe: recipe.encode(), ..FileEntry::nothing() };
    manifest.push(&row, &mut sink).unwrap();
    let root = SnapshotRoot {
        series: "s".into(),
        host: "h".into(),
        user: "u".into(),
        time: 1,
        program: "snap".into(),
        manifest: manifest.finish(&mut sink).unwrap(),
        ..SnapshotRoot::nothing(SnapshotId::new([1; 16]))
    };
    let id = sink.put(ChunkKind::Root, root.encode()).unwrap();
    copies.finish().unwrap();
    writer.commit(root.id, id).unwrap();
    drop(repository);
    lab
}

#[test]
fn corrections_of_an_unencrypted_repository_are_not_believed() {
    let container = |encoders: &[&str], corrections: Stream| {
        Recipe::Container(Box::new(ContainerRecipe {
            marker: [0; 16],
            header: Stream::Inline(b"Obj\x01\0".to_vec()),
            encoders: encoders.iter().map(|id| (*id).to_owned()).collect(),
            layout: Stream::Empty,
            records: Stream::Empty,
            payloads: Stream::Empty,
            strays: Stream::Empty,
            corrections,
        }))
    };
    for (recipe, expected) in [
        (container(&["preflate-0.7.6"], Stream::Inline(vec![1, 2, 3])), false),
        (container(&["zlib:L6:M8"], Stream::Inline(vec![1, 2, 3])), false),
        (container(&["preflate-0.7.6"], Stream::Empty), false),
        (container(&["zlib:L6:M8", "preflate-0.7.6+adler3"], Stream::Empty), false),
        (container(&["zlib:L6:M8"], Stream::Empty), true),
    ] {
        let source = forged(&recipe);
        for suite in [Suite::None, Suite::Aes256Gcm] {
            let (source, target) = (source.open(), Lab::new(suite).open());
            let root = Listing::read(&source).snapshots.remove(0);
            let mut copier = Copier::new(&source, &target, CopyOptions::default()).unwrap();
            match copier.copy(&root, &Silent).unwrap() {
                Copied::Done(_) => assert!(expected, "{recipe:?}"),
                Copied::Failed { path, error } => {
                    assert!(!expected && error.is_damage(), "{error}");
                    assert_eq!(path.as_deref(), Some(&b"x.avro"[..]));
                }
                Copied::Present | Copied::Removed => panic!("it was not there"),
            }
            assert_eq!(target.state().snapshots.len(), usize::from(expected));
        }
    }
}

#[test]
fn a_repository_is_not_copied_to_itself() {
    let lab = Lab::new(Suite::None);
    let (one, other) = (lab.open(), lab.open());
    let options = CopyOptions::default();
    assert!(matches!(Copier::new(&one, &other, options), Err(Error::InvalidArgument { .. })));
}

/// Does something once, when so many files were begun.
struct Meanwhile {
    left: AtomicUsize,
    action: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Progress for Meanwhile {
    fn at(&self, _: &Path) {
        if self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err()
            && let Some(action) = self.action.lock().unwrap().take()
        {
            action();
        }
    }
}

/// What a copy takes over from is forgotten and pruned while it goes on.
#[test]
fn a_prune_in_the_target_takes_nothing_away_from_a_copy() {
    let source = small::init(&(Arc::new(Memory::new()) as Arc<dyn Backend>), Suite::Aes256Gcm);
    let mut files = small::noise(&mut Random::new(1), 5, 3000);
    small::save(&source, &files).unwrap();
    files.insert("file-3".into(), vec![7; 3000]);
    let second = small::save(&source, &files).unwrap();
    let source = source.open();
    let roots = Listing::read(&source).snapshots;
    let options = CopyOptions::default();
    for (grace, kinds) in [(Duration::ZERO, 2), (Duration::from_secs(86_400), 1)] {
        let (mut outright, mut again) = (0, 0);
        for moment in 0..=files.len() {
            let target = small::init(&(Arc::new(Memory::new()) as Arc<dyn Backend>), Suite::Aes256Gcm);
            let repository = small::open(&target);
            let mut copier = Copier::new(&source, &repository, options).unwrap();
            assert!(matches!(copier.copy(&roots[0], &Silent), Ok(Copied::Done(_))));
            let (pruned, first) = (target.clone(), roots[0].id);
            let action = move || {
                small::forget(&pruned, &[first]).unwrap();
                small::run_prune(&pruned, &small::thorough().grace(grace)).unwrap();
            };
            let meanwhile = Meanwhile { left: moment.into(), action: Mutex::new(Some(Box::new(action))) };
            match copier.copy(&roots[1], &meanwhile) {
                Ok(Copied::Done(report)) => {
                    assert_eq!(report.files_known, 4, "the others are taken over");
                    outright += 1;
                }
                Err(Error::Pruned { snapshot, .. }) => {
                    assert_eq!(snapshot, second);
                    assert!(small::open(&target).state().snapshots.is_empty());
                    // The next attempt does not rest on it.
                    assert!(matches!(copier.copy(&roots[1], &Silent), Ok(Copied::Done(_))));
                    again += 1;
                }
                other => panic!("{other:?}"),
            }
            small::all_is_well(&target, &[(second, files.clone())].into(), "after a prune");
        }
        println!("grace of {grace:?}: {outright} copied outright, {again} at the second attempt");
        assert!(outright > 0 && (again > 0) == (kinds == 2));
    }
}
