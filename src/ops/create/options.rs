//! What `create` is to do.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer};

use super::{Depth, Expectation};
use crate::error::{Error, Result};
use crate::files::{self, Marker, Pattern, Rules};
use crate::id::SnapshotId;
use crate::snapshot::Shard;
use crate::store::Compression;
use crate::values;

/// What to save, and how.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct CreateOptions {
    /// What to save. Relative ones count from `working_directory`. URLs in object stores need [`create_with`](super::create_with).
    #[serde(deserialize_with = "values::texts")]
    pub sources: Vec<PathBuf>,
    /// Where relative sources count from; absolute. That of the process if it is empty.
    #[serde(skip)]
    pub working_directory: PathBuf,
    /// Exclude what one of these matches, with absolute paths ([`pattern`](crate::files::pattern)).
    #[serde(deserialize_with = "Pattern::sensitive")]
    pub exclude: Vec<Pattern>,
    /// Patterns that count after these. In text, they ignore the case of letters.
    #[serde(deserialize_with = "Pattern::insensitive")]
    pub iexclude: Vec<Pattern>,
    /// Files of patterns, one in a line ([`patterns_in`](crate::files::rules::patterns_in)). They count after those.
    #[serde(deserialize_with = "values::texts")]
    pub exclude_file: Vec<PathBuf>,
    /// Exclude all else in directories that hold one of these. In text, `NAME` or `NAME:HEADER`.
    #[serde(deserialize_with = "Marker::all")]
    pub exclude_if_present: Vec<Marker>,
    /// Exclude all else in directories that hold a sound `CACHEDIR.TAG`.
    pub exclude_caches: bool,
    /// Exclude regular files of more bytes than this.
    #[serde(deserialize_with = "values::some_size")]
    pub exclude_larger_than: Option<u64>,
    /// Stay on the file system of each source. Where another is mounted, its root directory is saved without what is in it.
    pub one_file_system: bool,
    /// Directories and files that are left out wherever they are met: the repository itself, as a path or as its URL. Those that are
    /// not there do not count.
    #[serde(skip)]
    pub pass_over: Vec<PathBuf>,
    /// Save these Iceberg tables, each with all files that its current state is made of: a metadata file, or the folder of a table, of
    /// which the newest metadata is taken. A snapshot is made only if it has all of them.
    #[serde(deserialize_with = "values::texts")]
    pub iceberg: Vec<PathBuf>,
    /// Save all snapshots of these tables, and the metadata files of before, instead of the current state alone.
    pub iceberg_history: bool,
    /// Compare with this snapshot instead of the last one of the series.
    #[serde(skip)]
    pub parent: Option<SnapshotId>,
    /// Saves this file instead of `sources`, under this path: standard input, for one.
    #[serde(skip)]
    pub stream: Option<StreamSource>,
    /// What the snapshot is one of; by default its host and paths.
    pub series: Option<String>,
    /// The host that it is made on.
    pub host: String,
    /// Who makes it.
    #[serde(skip)]
    pub user: String,
    /// What people say about it.
    #[serde(deserialize_with = "values::words")]
    pub tag: Vec<String>,
    /// Its time, nanoseconds since 1970 (UTC), if not now.
    #[serde(skip)]
    pub time: Option<i64>,
    /// Read every file, whatever the parent says; and make a part again that is there.
    pub force: bool,
    /// A changed ctime alone does not make a file changed.
    pub ignore_ctime: bool,
    /// A changed inode alone does not make a file changed.
    pub ignore_inode: bool,
    /// How far to look into containers.
    pub avro: Depth,
    /// Encoders slower than this many decoded megabytes a second are not used, so that restores do not crawl.
    #[serde(deserialize_with = "speed")]
    pub min_encode_speed: f64,
    /// How new data is compressed; as is set for the repository if none.
    pub compression: Option<Compression>,
    /// Make no snapshot that would hold the same as its parent.
    pub skip_if_unchanged: bool,
    /// Avro files that are gone, or have fewer records than they had, are meant to be so.
    pub accept_losses: bool,
    /// What the snapshot is expected to hold, as [`Expectation`] reads it: `orders: records >= 0.95 * previous, schema backward`. The
    /// snapshot is made in any case; the report says what is not as expected. Not together with `shard`.
    #[serde(deserialize_with = "Expectation::all")]
    pub expect: Vec<Expectation>,
    /// Save only this part of the sources: the others are saved by other processes, as parts of the same run. All of them need
    /// the same sources, excludes, series, host, tags and time. [`merge`](crate::ops::merge::merge) makes a snapshot of the parts.
    pub shard: Option<Shard>,
    /// Name of the run that the part belongs to; each run needs one of its own.
    pub run: Option<String>,
    /// Look at everything, write nothing.
    pub dry_run: bool,
}

impl Default for CreateOptions {
    /// Nothing to save yet; made now, on this machine, by who runs this process.
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            working_directory: PathBuf::new(),
            exclude: Vec::new(),
            iexclude: Vec::new(),
            exclude_file: Vec::new(),
            exclude_if_present: Vec::new(),
            exclude_caches: false,
            exclude_larger_than: None,
            one_file_system: false,
            pass_over: Vec::new(),
            iceberg: Vec::new(),
            iceberg_history: false,
            parent: None,
            stream: None,
            series: None,
            host: files::host(),
            user: files::user(),
            tag: Vec::new(),
            time: None,
            force: false,
            ignore_ctime: false,
            ignore_inode: false,
            avro: Depth::default(),
            min_encode_speed: 5.0,
            compression: None,
            skip_if_unchanged: false,
            accept_losses: false,
            expect: Vec::new(),
            shard: None,
            run: None,
            dry_run: false,
        }
    }
}

impl CreateOptions {
    /// Saves these files and directories.
    pub fn new(sources: impl IntoIterator<Item: Into<PathBuf>>) -> Self {
        Self::default().sources(sources)
    }

    values::setters! {
        each sources: PathBuf;
        is working_directory: PathBuf;
        each exclude: Pattern;
        each iexclude: Pattern;
        each exclude_file: PathBuf;
        each exclude_if_present: Marker;
        is exclude_caches: bool;
        is exclude_larger_than: Option<u64>;
        is one_file_system: bool;
        each pass_over: PathBuf;
        each iceberg: PathBuf;
        is iceberg_history: bool;
        is parent: Option<SnapshotId>;
        some stream: StreamSource;
        some series: String;
        is host: String;
        is user: String;
        each tag: String;
        is time: Option<i64>;
        is force: bool;
        is ignore_ctime: bool;
        is ignore_inode: bool;
        is avro: Depth;
        is min_encode_speed: f64;
        is compression: Option<Compression>;
        is skip_if_unchanged: bool;
        is accept_losses: bool;
        each expect: Expectation;
        is shard: Option<Shard>;
        some run: String;
        is dry_run: bool;
    }

    /// Reads a speed, in MB per second.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse_speed(text: &str) -> std::result::Result<f64, String> {
        let speed = text.trim().parse().ok().filter(|speed: &f64| speed.is_finite() && *speed >= 0.0);
        speed.ok_or_else(|| format!("{text:?} is no speed: write it like 5 or 0.5, in MB per second"))
    }

    /// Reads the files of patterns: from then on all patterns are in `exclude`. [`create`](super::create()) does that itself
    /// where it was not done.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`](crate::Error::InvalidArgument) for what is no list or no pattern, and if a file cannot be read.
    pub fn read_patterns(&mut self) -> Result<()> {
        self.exclude.append(&mut self.iexclude);
        for file in std::mem::take(&mut self.exclude_file) {
            Pattern::add_from(&file, false, &mut self.exclude)?;
        }
        Ok(())
    }

    /// The folders of Iceberg tables: that above the folder of a metadata file, or the one that was named.
    pub(super) fn tables(&self) -> impl Iterator<Item = PathBuf> {
        let is_metadata = |path: &Path| path.as_os_str().as_encoded_bytes().ends_with(b".json");
        self.iceberg.iter().map(move |path| match path.parent().and_then(Path::parent).filter(|_| is_metadata(path)) {
            Some(folder) if folder.as_os_str().is_empty() => PathBuf::from("."),
            Some(folder) => folder.to_path_buf(),
            None => path.clone(),
        })
    }

    /// With all that is needed from the file system.
    pub(crate) fn settled(mut self) -> Result<Self> {
        if !self.iceberg.is_empty() && (self.shard.is_some() || self.stream.is_some()) {
            return Err(Error::argument(
                "iceberg",
                "all of a table is saved at once: not in parts, and not from a stream",
            ));
        }
        if self.shard.is_some() && !self.expect.is_empty() {
            return Err(Error::argument("expect", "of one part it is not known what all parts have together"));
        }
        self.read_patterns()?;
        if self.working_directory.as_os_str().is_empty() {
            self.working_directory = files::working_directory()?;
        }
        Ok(self)
    }

    /// What is not saved. The patterns must have been read.
    pub(crate) fn rules(&self) -> Result<Rules> {
        let mut rules = Rules::new();
        self.exclude.iter().for_each(|pattern| rules.exclude_pattern(pattern.clone()));
        self.exclude_if_present.iter().for_each(|marker| rules.exclude_if_marked(marker.clone()));
        if self.exclude_caches {
            rules.exclude_caches();
        }
        if let Some(bytes) = self.exclude_larger_than {
            rules.exclude_larger_than(bytes);
        }
        if self.one_file_system {
            rules.one_file_system();
        }
        for path in self.pass_over.iter().filter(|path| path.exists()) {
            rules.pass_over(path)?;
        }
        Ok(rules)
    }
}

pub(crate) fn speed<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<f64, D::Error> {
    values::from_text(deserializer, CreateOptions::parse_speed)
}

/// A file that comes from a stream.
pub struct StreamSource {
    /// Where its bytes are read from.
    pub reader: Box<dyn std::io::Read + Send>,
    /// Its path in the snapshot.
    pub path: Vec<u8>,
    /// What it is called in messages.
    pub shown: String,
}

impl std::fmt::Debug for StreamSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StreamSource({})", String::from_utf8_lossy(&self.path))
    }
}
