//! What `merge` is to do.

use serde::Deserialize;

use crate::store::Compression;
use crate::values;

/// Which run to merge, and how.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct MergeOptions {
    /// Name of the run.
    pub run: String,
    /// Give the run up instead: its parts are removed, and no snapshot is made.
    pub discard: bool,
    /// Avro files that are gone, or have fewer records than they had, are meant to be so; and so are parts that met much less than
    /// the others.
    pub accept_losses: bool,
    /// How the manifest is compressed; as is set for the repository if none.
    pub compression: Option<Compression>,
    /// Look at everything, write nothing.
    pub dry_run: bool,
}

impl MergeOptions {
    /// Merges the parts of this run.
    pub fn new(run: impl Into<String>) -> Self {
        Self::default().run(run)
    }

    values::setters! {
        is run: String;
        is discard: bool;
        is accept_losses: bool;
        is compression: Option<Compression>;
        is dry_run: bool;
    }
}
