//! A repository to experiment with: the library's own verbs, short to call.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, clippy::print_stderr, reason = "this is part of tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avro_snap::crypto::slot::KdfCost;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::error::Result;
use avro_snap::ops::check::{CheckOptions, CheckReport, DataSubset, check};
use avro_snap::ops::create::{CreateOptions, CreateReport, create};
use avro_snap::ops::restore::{RestoreOptions, RestoreReport, restore};
use avro_snap::ops::select::Listing;
use avro_snap::pack::PackInfo;
use avro_snap::progress::Silent;
use avro_snap::runtime::{CancelToken, Runtime};
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::storage::{Backend, Kind, Memory};
use avro_snap::store::{CachePlace, InitOptions, OpenOptions, Repository, SystemClock, Unlock};

pub const PASSWORD: &[u8] = b"open sesame";

/// Deriving a key shall not take long here.
pub const CHEAP: KdfCost = KdfCost { memory_kib: 64, passes: 1, lanes: 1 };

/// A backend and how to open it.
#[derive(Clone)]
pub struct Lab {
    pub backend: Arc<dyn Backend>,
    pub cache: CachePlace,
}

impl Lab {
    pub fn new(suite: Suite) -> Self {
        Self::on(Arc::new(Memory::new()), suite)
    }

    pub fn on(backend: Arc<dyn Backend>, suite: Suite) -> Self {
        let options = InitOptions::default()
            .encryption(suite)
            .password((suite != Suite::None).then(|| PASSWORD.to_vec()))
            .kdf(CHEAP)
            .label("lab");
        Repository::init(&backend, &options, &SystemClock, &SystemEntropy).unwrap();
        Self { backend, cache: CachePlace::Temporary }
    }

    pub fn open(&self) -> Repository {
        self.try_open().unwrap()
    }

    pub fn try_open(&self) -> Result<Repository> {
        let options = OpenOptions::default().cache(self.cache.clone()).runtime(Runtime::new(2, CancelToken::default()));
        Repository::open(self.backend.clone(), Unlock::Password(&mut || Ok(PASSWORD.to_vec())), &options)
    }

    /// How many bytes all objects have together.
    pub fn size(&self) -> u64 {
        let mut bytes = 0;
        for kind in Kind::ALL {
            self.backend.for_each(kind, &mut |meta| bytes += meta.size).unwrap();
        }
        bytes
    }

    /// Saves what is in a folder.
    pub fn save(&self, folder: &Path) -> CreateReport {
        create(&self.open(), saving(folder), &Silent).unwrap()
    }

    pub fn last(&self, repository: &Repository) -> SnapshotRoot {
        Listing::read(repository).snapshots.pop().unwrap()
    }

    /// Restores the last snapshot.
    pub fn restore_last(&self, target: &Path) -> Result<RestoreReport> {
        let repository = self.try_open()?;
        let snapshot = self.last(&repository);
        restore(&repository, &snapshot, &restoring(target), &Silent)
    }

    pub fn check(&self, data: DataSubset) -> CheckReport {
        check(&self.open(), CheckOptions::reading(data), &Silent).unwrap()
    }
}

/// Options that save what is in a folder, whatever the folder is called.
pub fn saving(folder: &Path) -> CreateOptions {
    CreateOptions::new(vec!["."])
        .working_directory(folder.to_path_buf())
        .series("lab")
        .host("lab")
        .user("tester")
        .min_encode_speed(6.0)
}

pub fn restoring(target: &Path) -> RestoreOptions {
    RestoreOptions::new(target.to_path_buf())
}

/// All packs that the local index knows.
pub fn packs_of(repository: &Repository) -> Vec<Arc<PackInfo>> {
    let index = repository.catalog().index();
    index.pack_numbers().into_iter().map(|number| index.pack(number).unwrap()).collect()
}

/// All regular files below a folder, by their path in it.
pub fn files_of(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_path_buf()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.insert(path.strip_prefix(folder).unwrap().to_path_buf(), fs::read(&path).unwrap());
            }
        }
    }
    files
}

/// Fails unless the two folders hold the same files with the same bytes.
pub fn assert_same(before: &Path, after: &Path) {
    let (before, after) = (files_of(before), files_of(after));
    assert_eq!(before.keys().collect::<Vec<_>>(), after.keys().collect::<Vec<_>>());
    for (path, bytes) in &before {
        assert!(after[path] == *bytes, "{} was not restored as it was", path.display());
    }
}

/// Real files by real writers, where they are at hand; tests that need them pass over loudly where they are not.
pub fn corpus(part: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus").join(part);
    match path.is_dir() {
        true => Some(path),
        false => {
            eprintln!("SKIPPED: the corpus of real files is not here ({})", path.display());
            None
        }
    }
}

pub fn fixtures(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(part)
}
