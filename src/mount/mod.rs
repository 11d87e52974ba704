//! Snapshots as a read-only file system (FUSE): `snapshots/<time>_<id>/{exact,plain}/`, `series/<name>/{latest,<time>}/{exact,plain}/`.
//!
//! What lies in a snapshot never changes, so the kernel may keep names, attributes and pages of it; the lists of snapshots are asked
//! for again after a second. `/dev/fuse` is spoken to directly, no library of the system is needed.

mod attributes;
mod nodes;
mod system;
mod tree;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fuser::{Config, MountOption, SessionACL};

use crate::error::{Error, IoContext, Result};
use crate::live::Live;
use crate::runtime::CancelToken;
use system::SnapshotSystem;

/// How the file system is mounted.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct MountOptions {
    /// Other users may read, too, as far as the modes of the files let them.
    pub allow_other: bool,
}

/// How often it is looked whether it is to be unmounted.
const STEP: Duration = Duration::from_millis(50);
/// How many threads answer the kernel for each core.
const THREADS: usize = 2;

/// Mounts the snapshots at a directory, calls `mounted`, and returns when the token says so or somebody else unmounted it.
///
/// # Errors
/// If the system does not let it be mounted; those of `mounted`.
pub fn mount(
    live: Live,
    place: &Path,
    options: &MountOptions,
    cancel: &CancelToken,
    mounted: &mut dyn FnMut() -> Result<()>,
) -> Result<()> {
    let mut config = Config::default();
    config.mount_options = vec![
        MountOption::RO,
        MountOption::FSName("snap".into()),
        MountOption::Subtype("snap".into()),
        MountOption::NoSuid,
        MountOption::NoDev,
    ];
    if options.allow_other {
        config.acl = SessionACL::All;
        config.mount_options.push(MountOption::DefaultPermissions);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    config.n_threads = Some(cores * THREADS);
    let session = fuser::spawn_mount(SnapshotSystem::new(Arc::new(live)), place, &config).when("mount", place)?;
    let said = mounted();
    while said.is_ok() && !cancel.is_cancelled() && !session.guard.is_finished() {
        std::thread::sleep(STEP);
    }
    if session.guard.is_finished() {
        session.join().when("serve", place)?;
        return said;
    }
    // Where something still uses it, the kernel refuses; it is let go when the process ends, and then unmounted by hand.
    session.umount_and_join().map_err(|source| Error::io("unmount", place, source))?;
    said
}
