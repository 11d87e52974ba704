//! snap: a content-addressed, deduplicating snapshot store for Apache Avro files.
//!
//! What stands on this page, with [`storage`] and [`options`], is the library. The modules that this page does not show are
//! public for the program and the tests of this package alone: they are internal and may change at any time.
//!
//! The library prints nothing and never ends the process. What takes long listens to a [`CancelToken`], runs on a
//! [`Runtime`], and reports to a [`Progress`]. Everything returns an [`Error`], which says what it is about.
//!
//! # Make a repository
//!
//! A repository lies in a [storage]: a local folder, memory, or one of your own. This one is encrypted.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour/setup.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//!
//! use avro_snap::options::{KdfCost, SystemClock, SystemEntropy};
//! use avro_snap::storage::{Backend, Local};
//! use avro_snap::{InitOptions, OpenOptions, Repository, Unlock};
//!
//! let folder = tempfile::tempdir()?;
//! let storage: Arc<dyn Backend> = Arc::new(Local::new(folder.path().join("repository")));
//! let password = b"correct horse battery staple";
//! let cheap = KdfCost { memory_kib: 64, ..KdfCost::default() }; // For an example only: this is quickly guessed.
//! let init = InitOptions::default().password(password.to_vec()).kdf(cheap).label("me");
//! let id = Repository::init(&storage, &init, &SystemClock, &SystemEntropy)?;
//!
//! let unlock = Unlock::Password(&mut || Ok(password.to_vec()));
//! let repository = Repository::open(storage, unlock, &OpenOptions::default())?;
//! assert_eq!(repository.id(), id);
//! # Ok(())
//! # }
//! ```
//!
//! # Save
//!
//! [`create`] makes a snapshot of files and folders. What is known already is not stored again. (`nights` is a folder with
//! three nights of Avro files.)
//!
//! Options have setters, and the defaults of the program. They also come from any format that serde reads, such as TOML: the
//! keys are the flags of the command line, and the values are written like theirs.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour/setup.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use avro_snap::{CreateOptions, Silent, create};
//!
//! let repository = new_repository()?;
//! let first = create(&repository, CreateOptions::new([nights().join("2026-03-01")]).series("orders"), &Silent)?;
//! let text = format!("sources = [{:?}]\nseries = \"orders\"\ntag = \"nightly,orders\"", nights().join("2026-03-02"));
//! let options: CreateOptions = toml::from_str(&text)?;
//! let second = create(&repository, options, &Silent)?;
//! assert!(first.snapshot.is_some() && second.bytes_added < first.bytes_added / 2);
//! # Ok(())
//! # }
//! ```
//!
//! # List, and read a range
//!
//! A [`Snapshot`], its folders ([`Dir`]) and files ([`File`]) own a share of the repository. They can be kept, cloned and used
//! by several threads at once: by a mount, a server, an object of another language. Any range of a file is read without
//! what stands before it.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour/setup.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use avro_snap::{Snapshot, View};
//!
//! let repository = new_repository()?;
//! save(&repository, &nights())?;
//! for snapshot in Snapshot::list(&repository)? {
//!     println!("{} of {}", snapshot.id(), snapshot.root().series);
//!     for child in snapshot.dir("2026-03-01")?.children() {
//!         let child = child?;
//!         println!("{:>10} {}", child.size, String::from_utf8_lossy(child.name()));
//!     }
//!     let file = snapshot.file("2026-03-01/orders.avro")?;
//!     let (mut bytes, saved) = ([0; 100], std::fs::read(nights().join("2026-03-01/orders.avro"))?);
//!     assert_eq!(file.read_at(View::Exact, 1000, &mut bytes)?, 100);
//!     assert_eq!(bytes, saved[1000..1100]);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Records
//!
//! Records of Avro files come as JSON, or as Avro's bytes with the schema that they were written with.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour/setup.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use avro_snap::Snapshot;
//! use avro_snap::options::Encoding;
//!
//! let repository = new_repository()?;
//! let snapshot = Snapshot::open(&repository, save(&repository, &nights())?)?;
//! let records = snapshot.file("2026-03-02/stations.avro")?.records()?;
//! assert!(records.schema_text().contains("\"record\""));
//! for record in records.take(3) {
//!     let record = record?;
//!     println!("{}: {} bytes, {}", record.ordinal, record.bytes.len(), record.to_json(Encoding::Plain)?);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Restore
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour/setup.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use avro_snap::{RestoreOptions, Silent, Snapshot, restore};
//!
//! let repository = new_repository()?;
//! let snapshot = Snapshot::open(&repository, save(&repository, &nights())?)?;
//! let target = tempfile::tempdir()?;
//! let report = restore(&repository, &snapshot.root(), &RestoreOptions::new(target.path()), &Silent)?;
//! assert!(report.failed.is_empty());
//! let path = "2026-03-03/orders.avro";
//! assert_eq!(std::fs::read(target.path().join(path))?, std::fs::read(nights().join(path))?);
//! # Ok(())
//! # }
//! ```
//!
//! # Forget and prune
//!
//! [`forget`] removes snapshots by a plan that can be looked at first. [`prune`] deletes what no snapshot needs any more.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour/setup.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use avro_snap::{ForgetWanted, Listing, PruneOptions, Silent, forget, plan_forget, prune};
//!
//! let repository = new_repository()?;
//! let (old, new) = (save(&repository, &nights().join("2026-03-01"))?, save(&repository, &nights())?);
//! let plan = plan_forget(&repository, &Listing::read(&repository), &ForgetWanted::These(vec![old]), false)?;
//! assert!(plan.refused.is_empty());
//! assert_eq!(forget(&repository, &plan)?, [old]);
//! prune(&repository, &PruneOptions::default().grace(Duration::ZERO), &Silent)?; // There are no readers meanwhile.
//! let left: Vec<_> = Listing::read(&repository).snapshots.iter().map(|root| root.id).collect();
//! assert_eq!(left, [new]);
//! # Ok(())
//! # }
//! ```
//!
//! # A storage of your own
//!
//! A storage implements [`Backend`](storage::Backend). [`storage::conformance`] checks that it keeps what it promises.
//!
//! ```
//! # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/tour/setup.rs"));
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use avro_snap::storage::{Abilities, Backend, ByteRange, Created, Each, Kind, Memory, Name, ObjectMeta, PutTerms, Result};
//!
//! /// Counts the bytes that are put into another storage.
//! #[derive(Debug, Default)]
//! struct Counting {
//!     inner: Memory,
//!     bytes: AtomicU64,
//! }
//!
//! impl Backend for Counting {
//!     fn location(&self) -> String {
//!         format!("{}, counted", self.inner.location())
//!     }
//!
//!     fn abilities(&self) -> Abilities {
//!         self.inner.abilities()
//!     }
//!
//!     fn prepare(&self) -> Result<()> {
//!         self.inner.prepare()
//!     }
//!
//!     fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
//!         self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
//!         self.inner.put(name, bytes, terms)
//!     }
//!
//!     fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
//!         self.inner.read_one(name, range)
//!     }
//!
//!     fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
//!         self.inner.head(name)
//!     }
//!
//!     fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
//!         self.inner.list(kind, after, each)
//!     }
//!
//!     fn delete(&self, name: &Name) -> Result<()> {
//!         self.inner.delete(name)
//!     }
//! }
//!
//! let storage = Counting::default();
//! let name = Name::config();
//! assert_eq!(storage.create(&name, b"bytes")?, Created::New);
//! assert_eq!(storage.create(&name, b"others")?, Created::Exists);
//! assert_eq!((storage.read(&name, 100)?, storage.bytes.into_inner()), (b"bytes".to_vec(), 11));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

// The modules are rooms, and which of them may name which is a graph that a test holds (`docs/architecture.md`,
// `tests/rooms.rs`). They are public for the program and the tests of this package, which are other crates.
#[doc(hidden)]
pub mod avro;
#[cfg(feature = "object-store")]
#[doc(hidden)]
pub mod bucket;
mod cache;
#[doc(hidden)]
pub mod chunk;
#[doc(hidden)]
pub mod crypto;
#[doc(hidden)]
pub mod error;
#[doc(hidden)]
pub mod files;
#[doc(hidden)]
pub mod gc;
#[doc(hidden)]
pub mod graph;
#[doc(hidden)]
pub mod hints;
#[doc(hidden)]
pub mod iceberg;
#[doc(hidden)]
pub mod id;
#[doc(hidden)]
pub mod index;
#[doc(hidden)]
pub mod ingest;
#[doc(hidden)]
pub mod integrity;
#[doc(hidden)]
pub mod live;
#[doc(hidden)]
pub mod log;
#[cfg(feature = "mount")]
#[doc(hidden)]
pub mod mount;
#[doc(hidden)]
pub mod ops;
#[doc(hidden)]
pub mod pack;
#[doc(hidden)]
pub mod progress;
#[doc(hidden)]
pub mod read;
#[doc(hidden)]
pub mod recipe;
#[doc(hidden)]
pub mod report;
#[doc(hidden)]
pub mod runtime;
#[cfg(feature = "serve")]
#[doc(hidden)]
pub mod serve;
#[doc(hidden)]
pub mod snapshot;
pub mod storage;
#[doc(hidden)]
pub mod store;
#[doc(hidden)]
pub mod tables;
#[doc(hidden)]
pub mod values;
#[doc(hidden)]
pub mod wire;

#[doc(inline)]
pub use self::{
    error::{Error, ErrorKind, Result},
    id::SnapshotId,
    ops::check::{CheckOptions, CheckReport, check},
    ops::copy::{Copier, CopyOptions, CopyReport},
    ops::create::{CreateOptions, CreateReport, create},
    ops::forget::{Plan as ForgetPlan, Wanted as ForgetWanted, forget, plan as plan_forget},
    ops::prune::{PruneOptions, PruneReport, prune},
    ops::restore::{RestoreOptions, RestoreReport, restore},
    ops::select::Listing,
    progress::{Progress, Silent},
    read::{Dir, File, Snapshot},
    recipe::View,
    runtime::{CancelToken, Runtime},
    store::{InitOptions, OpenOptions, Repository, Unlock},
};

/// What options, reports and readers are made of.
pub mod options {
    #[doc(inline)]
    pub use crate::{
        avro::records::Encoding,
        chunk::CutParams,
        crypto::slot::KdfCost,
        crypto::{Suite, SystemEntropy},
        files::{Overwrite, Pattern, Rules},
        ops::check::DataSubset,
        ops::copy::Copied,
        ops::create::{Depth, Expectation, Judgement, StreamSource, Value},
        ops::forget::{ForgetOptions, GroupBy},
        ops::prune::MaxUnused,
        ops::select::Filter,
        progress::{Change, Phase, Warning},
        read::{Block, Blocks, Children, FileReader, Record, Records, Unsound},
        snapshot::SnapshotRoot,
        snapshot::entry::{EntryKind, FileEntry},
        snapshot::retention::Policy,
        store::{CachePlace, Compression, SystemClock},
    };
}
