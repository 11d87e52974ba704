//! What `restore` is to do.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Deserializer};

use super::moved::Moves;
use super::recode;
use crate::avro::codec::Codec;
use crate::error::{Error, Result};
use crate::files::{Overwrite, Pattern};
use crate::iceberg::LocationMap;
use crate::snapshot::Shard;
use crate::values;

/// What to restore, and where.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct RestoreOptions {
    /// Where to. The URL of a place in an object store says only what it is called: [`restore_to`](super::restore_to).
    pub target: PathBuf,
    /// Only what is at or below this path of the snapshot; its components do not appear in the target. Empty for all.
    #[serde(skip)]
    pub subfolder: Vec<u8>,
    /// Only what one of these fits (and what is below it); all if there are none.
    #[serde(deserialize_with = "Pattern::sensitive")]
    pub include: Vec<Pattern>,
    /// More patterns of this kind. In text, they ignore the case of letters.
    #[serde(deserialize_with = "Pattern::insensitive")]
    pub iinclude: Vec<Pattern>,
    /// Files of more patterns of this kind, one in a line ([`patterns_in`](crate::files::rules::patterns_in)).
    #[serde(deserialize_with = "values::texts")]
    pub include_file: Vec<PathBuf>,
    /// Files of more patterns of this kind that ignore the case of letters.
    #[serde(deserialize_with = "values::texts")]
    pub iinclude_file: Vec<PathBuf>,
    /// Not what one of these fits.
    #[serde(deserialize_with = "Pattern::sensitive")]
    pub exclude: Vec<Pattern>,
    /// More patterns of this kind. In text, they ignore the case of letters.
    #[serde(deserialize_with = "Pattern::insensitive")]
    pub iexclude: Vec<Pattern>,
    /// Files of more patterns of this kind.
    #[serde(deserialize_with = "values::texts")]
    pub exclude_file: Vec<PathBuf>,
    /// Files of more patterns of this kind that ignore the case of letters.
    #[serde(deserialize_with = "values::texts")]
    pub iexclude_file: Vec<PathBuf>,
    /// Restore only this part: the others are restored by other processes, into the same target perhaps. What the filters select
    /// is divided. Not together with `delete`.
    pub shard: Option<Shard>,
    /// What happens to files that are there.
    pub overwrite: Overwrite,
    /// Remove what is in the target, at or below a root of the snapshot, and not in the snapshot. What `create` would not
    /// have saved stays.
    pub delete: bool,
    /// Remove even if something could not be read when the snapshot was made.
    pub delete_despite_unreadable: bool,
    /// Directories that are neither written to nor removed: the repository, and what belongs to this program.
    #[serde(skip)]
    pub in_use: Vec<PathBuf>,
    /// The user's home: it is not swept unless it is what was saved.
    #[serde(skip)]
    pub home: Option<PathBuf>,
    /// Look at everything, write nothing.
    pub dry_run: bool,
    /// Read every restored file again and compare.
    pub verify: bool,
    /// Give programs their set-user-id and set-group-id bits and capabilities.
    pub restore_suid: bool,
    /// Make holes of zeros in all files, and not only in those that had holes.
    pub sparse: bool,
    /// Write containers with another codec instead of bit for bit.
    #[serde(deserialize_with = "some_codec")]
    pub recode: Option<Codec>,
    /// Restore Iceberg tables so that they can be read elsewhere: locations that begin with the old side of a mapping begin with the new
    /// one then, in metadata files, manifest lists and manifests. All tables in what is restored must be covered. Not with `recode`
    /// or `salvage`, and only where everything is overwritten.
    #[serde(deserialize_with = "maps")]
    pub map: Vec<LocationMap>,
    /// What comes of that.
    #[serde(skip)]
    pub(super) moves: Option<Arc<Moves>>,
    /// Of files of which something is lost, write what is left, and a report beside it (`<file>.salvage.json`).
    pub salvage: bool,
}

impl RestoreOptions {
    /// Restores into this directory.
    pub fn new(target: impl Into<PathBuf>) -> Self {
        Self::default().target(target)
    }

    values::setters! {
        is target: PathBuf;
        is subfolder: Vec<u8>;
        each include: Pattern;
        each iinclude: Pattern;
        each include_file: PathBuf;
        each iinclude_file: PathBuf;
        each exclude: Pattern;
        each iexclude: Pattern;
        each exclude_file: PathBuf;
        each iexclude_file: PathBuf;
        is shard: Option<Shard>;
        is overwrite: Overwrite;
        is delete: bool;
        is delete_despite_unreadable: bool;
        each in_use: PathBuf;
        is home: Option<PathBuf>;
        is dry_run: bool;
        is verify: bool;
        is restore_suid: bool;
        is sparse: bool;
        is recode: Option<Codec>;
        each map: LocationMap;
        is salvage: bool;
    }

    /// Reads the files of patterns: from then on all patterns are in `include` and `exclude`. [`restore`](super::restore())
    /// does that itself where it was not done.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for what is no list or no pattern, and for a list to include that is empty: it would let everything
    /// through. And if a file cannot be read.
    pub fn read_patterns(&mut self) -> Result<()> {
        self.include.append(&mut self.iinclude);
        let (exact, insensitive) = (std::mem::take(&mut self.include_file), std::mem::take(&mut self.iinclude_file));
        for (name, files, insensitive) in [("include-file", exact, false), ("iinclude-file", insensitive, true)] {
            for file in files {
                if Pattern::add_from(&file, insensitive, &mut self.include)? == 0 {
                    return Err(empty(name, &file));
                }
            }
        }
        self.exclude.append(&mut self.iexclude);
        let (exact, insensitive) = (std::mem::take(&mut self.exclude_file), std::mem::take(&mut self.iexclude_file));
        for (files, insensitive) in [(exact, false), (insensitive, true)] {
            for file in files {
                Pattern::add_from(&file, insensitive, &mut self.exclude)?;
            }
        }
        Ok(())
    }
}

fn empty(name: &'static str, file: &Path) -> Error {
    Error::argument(name, format!("{name} {}: there is no pattern in it", file.display()))
}

fn maps<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<LocationMap>, D::Error> {
    values::from_texts(deserializer, str::parse)
}

fn some_codec<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Option<Codec>, D::Error> {
    values::from_text(deserializer, |text| {
        let codec = Codec::from_name(text).filter(|codec| recode::encoder_for(*codec).is_some());
        codec.ok_or_else(|| format!("{text:?} is no codec to write with: null, deflate, snappy, zstandard"))
    })
    .map(Some)
}
