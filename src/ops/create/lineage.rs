//! To which series a snapshot belongs, and which one it is compared with.

use super::CreateOptions;
use crate::error::{Error, Result};
use crate::files::saved_path;
use crate::id::{SnapshotId, digest, hex};
use crate::progress::{Progress, Warning};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::store::{Repository, read_root, read_roots};

/// How many roots are read at once to find the last one of a series.
const ROOTS_AT_ONCE: usize = 64;

/// Where a new snapshot comes from.
pub(crate) struct Lineage {
    /// Series of the new snapshot.
    pub(crate) series: String,
    /// What is saved, as absolute paths.
    pub(crate) paths: Vec<Vec<u8>>,
    /// The last snapshot of the series.
    pub(crate) parent: Option<SnapshotRoot>,
    /// The last snapshot of the series that has files: the parent, unless that is empty.
    pub(crate) filled: Option<SnapshotRoot>,
    /// A known series that this new one differs from in digits only.
    pub(crate) similar: Option<String>,
    /// The snapshot that this one is probably most like: the parent, else the last of a similar series, else the last.
    pub(crate) nearest: Option<SnapshotRoot>,
}

impl Lineage {
    pub(crate) fn find(repository: &Repository, options: &CreateOptions, progress: &dyn Progress) -> Result<Self> {
        let paths = absolute_paths(options);
        let in_full = default_series(&options.host, &paths);
        let series = series_of(options, &paths);
        let is_ours =
            |root: &SnapshotRoot| root.series == series || (options.series.is_none() && root.series == in_full);
        let mut parent = options.parent.map(|id| named(repository, id)).transpose()?;
        let mut filled = parent.clone().filter(|root| root.totals.files > 0);
        let mut known = Vec::new();
        let mut records = repository.state().whole_snapshots();
        records.reverse();
        if options.parent.is_some() {
            records.clear();
        }
        let portions = records.chunks(ROOTS_AT_ONCE);
        for (record, root) in portions.flat_map(|some| some.iter().zip(read_roots(repository, some))) {
            match root {
                Ok(root) if is_ours(&root) => {
                    if root.totals.files > 0 {
                        filled = Some(root.clone());
                    }
                    parent.get_or_insert(root);
                    if filled.is_some() {
                        break;
                    }
                }
                Ok(_) if parent.is_some() => {}
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
        Ok(Self { series, paths, parent, filled, similar, nearest })
    }
}

impl Lineage {
    /// All parts of a run are compared with the same snapshot. Whether nothing is left of the series is not known of a part.
    pub(super) fn be_of_run(&mut self, parent: Option<SnapshotId>) {
        self.parent = self.parent.take().filter(|found| Some(found.id) == parent);
        (self.filled, self.similar) = (None, None);
    }
}

/// The series of a snapshot of these paths.
pub(super) fn series_of(options: &CreateOptions, paths: &[Vec<u8>]) -> String {
    let bounded = || bounded_series(&options.host, paths, &default_series(&options.host, paths));
    options.series.clone().unwrap_or_else(bounded)
}

/// A snapshot that was chosen as the parent.
fn named(repository: &Repository, id: SnapshotId) -> Result<SnapshotRoot> {
    let record = repository.state().snapshot(id).cloned();
    read_root(repository, &record.ok_or_else(|| Error::NoSnapshot { wanted: id.to_string() })?)
}

/// The series of a snapshot that is given none: its host and paths.
fn default_series(host: &str, paths: &[Vec<u8>]) -> String {
    let paths: Vec<_> = paths.iter().map(|path| String::from_utf8_lossy(path)).collect();
    format!("{host}:{}", paths.join(","))
}

/// The longest series that is made of paths, in bytes.
const LONGEST_SERIES: usize = 256;

/// The default series, short enough for a name: of a long list of paths, the first and a hash of all.
fn bounded_series(host: &str, paths: &[Vec<u8>], in_full: &str) -> String {
    if in_full.len() <= LONGEST_SERIES {
        return in_full.to_owned();
    }
    let first: String =
        paths.first().map(|path| String::from_utf8_lossy(path).chars().take(60).collect()).unwrap_or_default();
    let host: String = host.chars().take(100).collect();
    let hash = hex(digest(in_full.as_bytes()).get(..8).unwrap_or_default());
    format!("{host}:{first},...{}-paths-{hash}", paths.len())
}

/// What to say where not a single file is left of those that an earlier snapshot holds: mostly something is not mounted.
pub(crate) fn emptied(files: u64, lineage: &Lineage) -> Option<Warning> {
    let filled = lineage.filled.as_ref()?;
    if files > 0 {
        return None;
    }
    let mut paths: Vec<_> = lineage.paths.iter().take(5).map(|path| String::from_utf8_lossy(path)).collect();
    if lineage.paths.len() > paths.len() {
        paths.push("...".into());
    }
    let (files, id) = (filled.totals.files, filled.id.short());
    let message = format!("no file is there, and snapshot {id} before it has {files}: is something not mounted?");
    Some(Warning { path: paths.join(", "), message, incomplete: false })
}

fn without_digits(series: &str) -> String {
    series.chars().filter(|c| !c.is_ascii_digit()).collect()
}

pub(super) fn absolute_paths(options: &CreateOptions) -> Vec<Vec<u8>> {
    if let Some(stream) = &options.stream {
        return vec![[b"/", &stream.path[..]].concat()];
    }
    let path = |root: &std::path::PathBuf| saved_path(root, &options.working_directory);
    // The files of a table are others each time: it goes by its folder.
    let tables: Vec<_> = options.tables().collect();
    let mut paths: Vec<Vec<u8>> = options.sources.iter().chain(&tables).map(path).collect();
    paths.sort();
    paths.dedup();
    paths
}

/// What makes a file count as changed since the parent: which differences do not.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChangeDetection {
    /// Every file is read, whatever the parent says.
    pub(super) reads_all: bool,
    /// A changed ctime alone does not make a file changed.
    pub(super) ignores_ctime: bool,
    /// A changed inode alone does not make a file changed.
    pub(super) ignores_inode: bool,
}

impl ChangeDetection {
    /// Whether the file is what the parent has, so that it need not be read.
    pub(super) fn unmodified(self, now: &FileEntry, parent: &FileEntry) -> bool {
        !self.reads_all
            && now.kind == EntryKind::File
            && parent.kind == EntryKind::File
            && parent.content.is_some()
            && !parent.racy
            && now.size == parent.size
            && match (&now.origin, &parent.origin) {
                // What an object store says of its objects proves more than times. Not all of its answers name the version.
                (Some(now_tag), Some(tag)) => {
                    let same_version =
                        now_tag.version.is_none() || tag.version.is_none() || now_tag.version == tag.version;
                    now_tag.tag == tag.tag && same_version && now.mtime == parent.mtime
                }
                (None, None) => {
                    now.mtime == parent.mtime
                        && (self.ignores_ctime || now.ctime == parent.ctime)
                        && (self.ignores_inode || now.inode == parent.inode)
                        // The name may have been another file's when they were read: then the file itself says its own.
                        && now.xattrs == parent.xattrs
                }
                _ => false,
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ContentHash;
    use crate::snapshot::entry::{Time, Xattr};

    #[test]
    fn other_attributes_make_a_file_changed_whatever_its_stat_says() {
        let xattr = Xattr { name: b"user.a".to_vec(), value: b"1".to_vec() };
        let content = Some(ContentHash::new([7; 32]));
        let parent = FileEntry { content, inode: 5, xattrs: vec![xattr], ..FileEntry::nothing() };
        let strict = ChangeDetection { reads_all: false, ignores_ctime: false, ignores_inode: false };
        let lenient = ChangeDetection { ignores_ctime: true, ignores_inode: true, ..strict };
        let later = FileEntry { ctime: Time { seconds: 9, nanos: 0 }, inode: 6, ..parent.clone() };
        assert!(strict.unmodified(&parent, &parent) && lenient.unmodified(&parent, &parent));
        assert!(!strict.unmodified(&later, &parent) && lenient.unmodified(&later, &parent));
        for now in [parent.clone(), later] {
            let changed = FileEntry { xattrs: Vec::new(), ..now };
            assert!(!strict.unmodified(&changed, &parent) && !lenient.unmodified(&changed, &parent), "{changed:?}");
        }
    }

    #[test]
    fn an_object_is_unmodified_by_its_tag_its_version_its_size_and_its_time() {
        use crate::snapshot::entry::Origin;
        let origin =
            |tag: &str, version: Option<&str>| Some(Origin { tag: tag.into(), version: version.map(Into::into) });
        let content = Some(ContentHash::new([7; 32]));
        let parent = FileEntry { content, size: 5, origin: origin("\"1\"", Some("v1")), ..FileEntry::nothing() };
        let strict = ChangeDetection { reads_all: false, ignores_ctime: true, ignores_inode: true };
        let same = |now: FileEntry| strict.unmodified(&now, &parent);
        assert!(same(parent.clone()) && same(FileEntry { origin: origin("\"1\"", None), ..parent.clone() }));
        assert!(!same(FileEntry { origin: origin("\"2\"", Some("v1")), ..parent.clone() }));
        assert!(!same(FileEntry { origin: origin("\"1\"", Some("v2")), ..parent.clone() }));
        assert!(!same(FileEntry { size: 6, ..parent.clone() }));
        assert!(!same(FileEntry { mtime: Time { seconds: 1, nanos: 0 }, ..parent.clone() }));
        assert!(!same(FileEntry { origin: None, ..parent.clone() }));
    }

    #[test]
    fn a_default_series_is_short_and_tells_lists_apart() {
        let series = |count: usize, last: &str| {
            let mut paths: Vec<_> = (0..count).map(|n| format!("/data/part-{n:06}.avro").into_bytes()).collect();
            paths.push(last.as_bytes().to_vec());
            bounded_series("host", &paths, &default_series("host", &paths))
        };
        assert_eq!(series(1, "/x"), "host:/data/part-000000.avro,/x");
        let long = series(2500, "/x");
        assert!(
            long.len() < LONGEST_SERIES && long.starts_with("host:/data/part-000000.avro,...2501-paths-"),
            "{long}"
        );
        assert_ne!(long, series(2500, "/y"));
        assert_eq!(long, series(2500, "/x"));
        let letters = vec!["ö".repeat(5000).into_bytes()];
        assert!(bounded_series("h", &letters, &default_series("h", &letters)).len() < LONGEST_SERIES);
    }
}
