//! `drill`: restores a sample of a snapshot to a scratch folder, and proves that it is what was saved.
//!
//! Each file of the sample is restored as `restore` does it, read again from the disk and compared with the hash of its row. Avro files
//! are decoded by a second reader, which shares no code with this program: the `apache-avro` package. The result is a
//! [`Certificate`], which can be signed with the keys of the repository.

mod certificate;
mod run;
mod sample;
mod second_reader;

pub use certificate::{Attested, Certificate, Damaged, NotOpened, Signature, attested};
pub use sample::Sample;

use std::path::PathBuf;

use serde::Deserialize;

use crate::error::Result;
use crate::progress::Progress;
use crate::snapshot::SnapshotRoot;
use crate::store::{Repository, unless_moved};
use crate::values;

/// What a drill restores, and where.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DrillOptions {
    /// Only files at or below this path of the snapshot. Empty for all.
    #[serde(skip)]
    pub subfolder: Vec<u8>,
    /// How many of the regular files are restored: `5%`, or `100`, which is the default.
    pub sample: Sample,
    /// Which ones these are follows from this number. None for one that cannot be foreseen.
    pub seed: Option<u64>,
    /// The folder in which the scratch folder is made. That of the system for temporary files if none.
    #[serde(deserialize_with = "some_path")]
    pub scratch: Option<PathBuf>,
    /// Directories in which nothing must be written: the repository, and what belongs to this program.
    #[serde(skip)]
    pub in_use: Vec<PathBuf>,
}

impl DrillOptions {
    values::setters! {
        is subfolder: Vec<u8>;
        is sample: Sample;
        is seed: Option<u64>;
        is scratch: Option<PathBuf>;
        each in_use: PathBuf;
    }
}

fn some_path<'de, D: serde::Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<PathBuf>, D::Error> {
    values::from_text(deserializer, |text| Ok(PathBuf::from(text))).map(Some)
}

/// Restores a sample of a snapshot and compares it with what was saved. No file of it remains.
///
/// # Errors
/// [`Error::NoPath`](crate::Error::NoPath) if there is no file to restore; if the scratch folder cannot be used or has no room for the files; and
/// errors of reading the manifest. What is wrong with a single file is in the certificate, reported to `progress`, and does not stop
/// the work.
pub fn drill(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    options: &DrillOptions,
    progress: &dyn Progress,
) -> Result<Certificate> {
    unless_moved(repository, snapshot, run::carried_out(repository, snapshot, options, progress))
}
