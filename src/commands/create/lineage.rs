//! To which series a snapshot belongs, and which one it is compared with.

use super::CreateOptions;
use crate::commands::select::read_root;
use crate::error::{Error, Result};
use crate::id::SnapshotId;
use crate::progress::{Progress, Warning};
use crate::repository::Repository;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};

/// Where a new snapshot comes from.
pub(super) struct Lineage {
    /// Its series.
    pub(super) series: String,
    /// What is saved, as absolute paths.
    pub(super) paths: Vec<Vec<u8>>,
    /// The last snapshot of the series.
    pub(super) parent: Option<SnapshotRoot>,
    /// A known series that this new one differs from in digits only.
    pub(super) similar: Option<String>,
    /// The snapshot that this one is probably most like: the parent, else the last of a similar series, else the last.
    pub(super) nearest: Option<SnapshotRoot>,
}

impl Lineage {
    pub(super) fn find(repository: &Repository, options: &CreateOptions, progress: &dyn Progress) -> Result<Self> {
        let paths = absolute_paths(options);
        let series = options.series.clone().unwrap_or_else(|| default_series(&options.host, &paths));
        let mut parent = options.parent.map(|id| named(repository, id)).transpose()?;
        let mut known = Vec::new();
        for record in repository.state().snapshots.iter().rev().take_while(|_| options.parent.is_none()) {
            match read_root(repository, record) {
                Ok(root) if root.series == series => {
                    parent = Some(root);
                    break;
                }
                Ok(root) => known.push(root),
                Err(error) => progress.warning(&Warning {
                    path: format!("snapshot {}", record.id.short()),
                    message: format!("it is passed over as a parent: {error}"),
                    incomplete: false,
                }),
            }
        }
        let similar = match parent {
            Some(_) => None,
            None => known.iter().find(|other| without_digits(&other.series) == without_digits(&series)),
        };
        let nearest = parent.as_ref().or(similar).or(known.first()).cloned();
        let similar = similar.map(|root| root.series.clone());
        Ok(Self { series, paths, parent, similar, nearest })
    }
}

/// A snapshot that was chosen as the parent.
fn named(repository: &Repository, id: SnapshotId) -> Result<SnapshotRoot> {
    let record = repository.state().snapshots.into_iter().find(|record| record.id == id);
    read_root(repository, &record.ok_or_else(|| Error::NoSnapshot { wanted: id.to_string() })?)
}

/// The series of a snapshot that is given none: its host and paths.
fn default_series(host: &str, paths: &[Vec<u8>]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
    format!("{host}:{}", paths.join(","))
}

fn without_digits(series: &str) -> String {
    series.chars().filter(|c| !c.is_ascii_digit()).collect()
}

fn absolute_paths(options: &CreateOptions) -> Vec<Vec<u8>> {
    use std::os::unix::ffi::OsStrExt;
    if let Some(stream) = &options.stream {
        return vec![[b"/", &stream.path[..]].concat()];
    }
    let mut paths: Vec<Vec<u8>> = options
        .roots
        .iter()
        .map(|root| {
            let mut absolute = std::path::PathBuf::from("/");
            for component in options.working_directory.join(root).components() {
                match component {
                    std::path::Component::Normal(name) => absolute.push(name),
                    std::path::Component::ParentDir => drop(absolute.pop()),
                    _ => {}
                }
            }
            absolute.as_os_str().as_bytes().to_vec()
        })
        .collect();
    paths.sort();
    paths.dedup();
    paths
}

/// Which differences between a file and its row in the parent do not count.
#[derive(Debug, Clone, Copy)]
pub(super) struct Indifference {
    pub(super) to_everything_else: bool,
    pub(super) to_ctime: bool,
    pub(super) to_inode: bool,
}

impl Indifference {
    /// Whether the file is what the parent has, so that it need not be read.
    pub(super) fn unmodified(self, now: &FileEntry, parent: &FileEntry) -> bool {
        !self.to_everything_else
            && now.kind == EntryKind::File
            && parent.kind == EntryKind::File
            && parent.content.is_some()
            && !parent.racy
            && now.size == parent.size
            && now.mtime == parent.mtime
            && (self.to_ctime || now.ctime == parent.ctime)
            && (self.to_inode || now.inode == parent.inode)
    }
}
