//! Which snapshot is meant.

use crate::chunk::ChunkSource;
use crate::commands::check::ATTEMPTS;
use crate::error::{Context, Error, Result};
use crate::id::SnapshotId;
use crate::repository::{Features, Repository, SnapshotRecord};
use crate::snapshot::SnapshotRoot;

/// The snapshots of a repository.
#[derive(Debug, Default)]
pub struct Listing {
    /// Those that can be read, by their time, and of the same time in the order in which they were made. They carry the
    /// tags that they have now.
    pub snapshots: Vec<SnapshotRoot>,
    /// Those whose root cannot be read, and why.
    pub unreadable: Vec<(SnapshotId, Error)>,
}

impl Listing {
    /// Reads the root of every snapshot that the log names.
    ///
    /// Where one cannot be read and the log has moved meanwhile, all are read again: it may have been removed.
    pub fn read(repository: &Repository) -> Self {
        let mut listing = Self::default();
        for _ in 0..ATTEMPTS {
            let state = repository.state();
            listing = Self::default();
            for record in &state.snapshots {
                match read_root(repository, record) {
                    Ok(root) => listing.snapshots.push(root),
                    Err(error) => listing.unreadable.push((record.id, error)),
                }
            }
            // What is wrong with the log itself is told to who opens the repository.
            if listing.unreadable.is_empty() || !repository.has_moved(&state).unwrap_or(false) {
                break;
            }
        }
        // Stable, and the log's own order is that in which they were made.
        listing.snapshots.sort_by_key(|root| root.time);
        listing
    }

    /// Those that fit, in order.
    pub fn fitting<'l>(&'l self, filter: &Filter) -> impl DoubleEndedIterator<Item = &'l SnapshotRoot> {
        self.snapshots.iter().filter(|root| filter.fits(root))
    }
}

/// The root of a snapshot, with the tags that it has now.
pub fn read_root(repository: &Repository, record: &SnapshotRecord) -> Result<SnapshotRoot> {
    let name = format!("the root of snapshot {}", record.id);
    let mut root = SnapshotRoot::decode(&repository.get(&record.root)?).in_object(&name)?;
    if root.id != record.id {
        return Err(Error::damaged(name, format!("it is that of snapshot {}", root.id)));
    }
    Features::check(root.required_read, Features::KNOWN.read, "to read a snapshot of")?;
    if let Some(tags) = &record.tags {
        root.tags.clone_from(tags);
    }
    Ok(root)
}

/// Whether a snapshot was removed since the log was read: then it is no wonder if something of it is gone.
///
/// # Errors
/// Those of reading the log.
pub fn was_removed(repository: &Repository, snapshot: SnapshotId) -> Result<bool> {
    repository.refresh_index()?;
    Ok(!repository.state().snapshots.iter().any(|record| record.id == snapshot))
}

/// What came of reading a snapshot; where something of it is gone, since it was removed meanwhile, it is that.
///
/// # Errors
/// [`Error::SnapshotRemoved`], and the error that was given.
pub fn unless_removed<T>(repository: &Repository, snapshot: SnapshotId, read: Result<T>) -> Result<T> {
    match read {
        Err(error) if error.is_damage() && was_removed(repository, snapshot).unwrap_or(false) => {
            Err(Error::SnapshotRemoved { snapshot })
        }
        read => read,
    }
}

/// Narrows down which snapshots are looked at. Empty lists let everything through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Made on one of these hosts.
    pub hosts: Vec<String>,
    /// Of one of these series.
    pub series: Vec<String>,
    /// Having all tags of one of these lists. An empty list stands for no tags at all.
    pub tags: Vec<Vec<String>>,
    /// With all of these paths, absolute, among those that were saved.
    pub paths: Vec<Vec<u8>>,
    /// Not later than this, nanoseconds since 1970 (UTC).
    pub at: Option<i64>,
}

impl Filter {
    /// Whether a snapshot passes.
    pub fn fits(&self, root: &SnapshotRoot) -> bool {
        let tagged = |wanted: &Vec<String>| match wanted.is_empty() {
            true => root.tags.is_empty(),
            false => wanted.iter().all(|tag| root.tags.contains(tag)),
        };
        (self.hosts.is_empty() || self.hosts.contains(&root.host))
            && (self.series.is_empty() || self.series.contains(&root.series))
            && (self.tags.is_empty() || self.tags.iter().any(tagged))
            && self.paths.iter().all(|path| root.paths.contains(path))
            && self.at.is_none_or(|at| root.time <= at)
    }
}

/// What names one snapshot, and perhaps something in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Which snapshot.
    pub which: Which,
    /// What in it, as manifests write paths; empty for all.
    pub path: Vec<u8>,
}

/// What names one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The latest but so many.
    Latest(usize),
    /// The one whose id begins so.
    Prefix(String),
}

impl Selector {
    /// Understands `latest`, `latest~N`, the beginning of an id, and any of these with `:PATH` behind it. Nothing before
    /// the colon stands for `latest`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is none of these, or if the path leads upwards.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let (which, path) = match text.iter().position(|byte| *byte == b':') {
            Some(colon) => (&text[..colon], &text[colon + 1..]),
            None => (text, &[][..]),
        };
        let which = String::from_utf8_lossy(which);
        Ok(Self { which: Which::parse(&which)?, path: manifest_path(path)? })
    }

    /// The snapshot that is meant.
    ///
    /// # Errors
    /// [`Error::NoSnapshot`], [`Error::AmbiguousSnapshot`]; where the id is that of a snapshot whose root cannot be
    /// read, what is wrong with it.
    pub fn pick(&self, listing: &mut Listing, filter: &Filter) -> Result<SnapshotRoot> {
        let wanted = || Error::NoSnapshot { wanted: self.which.to_string() };
        match &self.which {
            Which::Latest(back) => listing.fitting(filter).rev().nth(*back).cloned().ok_or_else(wanted),
            Which::Prefix(prefix) => {
                let is_meant = |id: &SnapshotId| id.to_string().starts_with(prefix);
                let fitting: Vec<_> = listing.fitting(filter).filter(|root| is_meant(&root.id)).cloned().collect();
                let unreadable = listing.unreadable.iter().filter(|(id, _)| is_meant(id)).count();
                match (fitting.len() + unreadable, fitting.into_iter().next()) {
                    (0, _) => Err(wanted()),
                    (1, Some(root)) => Ok(root),
                    (1, None) => {
                        let at = listing.unreadable.iter().position(|(id, _)| is_meant(id));
                        Err(at.map_or_else(wanted, |at| listing.unreadable.swap_remove(at).1))
                    }
                    (count, _) => Err(Error::AmbiguousSnapshot { wanted: self.which.to_string(), count }),
                }
            }
        }
    }
}

impl Which {
    fn parse(text: &str) -> Result<Self> {
        let invalid = || {
            Error::Invalid(format!(
                "{text:?} names no snapshot: that is `latest`, `latest~N`, or the beginning of an id"
            ))
        };
        match text.strip_prefix("latest") {
            None if text.is_empty() => Ok(Self::Latest(0)),
            None => match text.len() <= 2 * SnapshotId::LEN && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                true => Ok(Self::Prefix(text.to_ascii_lowercase())),
                false => Err(invalid()),
            },
            Some("") => Ok(Self::Latest(0)),
            Some(rest) => {
                let back = rest.strip_prefix('~').and_then(|number| number.parse().ok());
                back.map(Self::Latest).ok_or_else(invalid)
            }
        }
    }
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest(0) => f.write_str("latest"),
            Self::Latest(back) => write!(f, "latest~{back}"),
            Self::Prefix(prefix) => f.write_str(prefix),
        }
    }
}

/// A path as people write it, the way manifests write it: without `/` at its ends, without empty and `.` components.
///
/// # Errors
/// [`Error::Invalid`] for one that leads upwards.
pub fn manifest_path(path: &[u8]) -> Result<Vec<u8>> {
    let components: Vec<&[u8]> =
        path.split(|byte| *byte == b'/').filter(|component| !matches!(*component, b"" | b".")).collect();
    match components.contains(&&b".."[..]) || path.contains(&0) {
        true => Err(Error::Invalid(format!("{:?} is no path in a snapshot", String::from_utf8_lossy(path)))),
        false => Ok(components.join(&b'/')),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Totals;

    fn root(id: u8, time: i64, host: &str, tags: &[&str]) -> SnapshotRoot {
        SnapshotRoot {
            id: SnapshotId::new([id; 16]),
            series: format!("{host}:/data"),
            host: host.into(),
            user: "anna".into(),
            time,
            paths: vec![b"/data".to_vec(), b"/more".to_vec()],
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
            parent: None,
            program: "snap".into(),
            required_read: 0,
            totals: Totals::default(),
            rules: Vec::new(),
            path_list: crate::recipe::Stream::Empty,
            manifest: None,
        }
    }

    fn listing() -> Listing {
        let snapshots = vec![
            root(0x11, 10, "a", &["x"]),
            root(0x12, 20, "b", &["x", "y"]),
            root(0x21, 30, "a", &[]),
            root(0x31, 40, "b", &["y"]),
        ];
        let unreadable = vec![(SnapshotId::new([0x32; 16]), Error::WorkerStopped)];
        Listing { snapshots, unreadable }
    }

    fn pick(text: &str, filter: &Filter) -> Result<u8> {
        let root = Selector::parse(text.as_bytes())?.pick(&mut listing(), filter)?;
        Ok(root.id.as_bytes()[0])
    }

    #[test]
    fn one_snapshot_is_meant() {
        let all = Filter::default();
        for (text, expected) in [
            ("latest", 0x31),
            ("", 0x31),
            (":path", 0x31),
            ("latest~0", 0x31),
            ("latest~3:a/b", 0x11),
            ("1111", 0x11),
            ("2", 0x21),
            ("12121212121212121212121212121212", 0x12),
            ("31", 0x31),
        ] {
            assert_eq!(pick(text, &all).unwrap(), expected, "{text}");
        }
        assert!(matches!(pick("latest~4", &all), Err(Error::NoSnapshot { wanted }) if wanted == "latest~4"));
        assert!(matches!(pick("ff", &all), Err(Error::NoSnapshot { .. })));
        assert!(matches!(pick("1", &all), Err(Error::AmbiguousSnapshot { count: 2, .. })));
        assert!(matches!(pick("3", &all), Err(Error::AmbiguousSnapshot { count: 2, .. })), "one cannot be read");
        assert!(matches!(pick("32", &all), Err(Error::WorkerStopped)), "what is wrong with it is told");
        for wrong in ["latest~", "latest~x", "latest2", "xyz", "latest:../x", "111111111111111111111111111111111"] {
            assert!(matches!(pick(wrong, &all), Err(Error::Invalid(_))), "{wrong}");
        }
    }

    #[test]
    fn filters_narrow_down_what_is_meant() {
        let tags = |lists: &[&[&str]]| {
            let tags = lists.iter().map(|list| list.iter().map(|tag| (*tag).to_owned()).collect()).collect();
            Filter { tags, ..Filter::default() }
        };
        let fitting =
            |filter: &Filter| -> Vec<u8> { listing().fitting(filter).map(|root| root.id.as_bytes()[0]).collect() };
        assert_eq!(fitting(&Filter { hosts: vec!["a".into()], ..Filter::default() }), [0x11, 0x21]);
        assert_eq!(fitting(&Filter { series: vec!["b:/data".into()], ..Filter::default() }), [0x12, 0x31]);
        assert_eq!(fitting(&Filter { at: Some(29), ..Filter::default() }), [0x11, 0x12]);
        assert_eq!(fitting(&Filter { paths: vec![b"/more".to_vec()], ..Filter::default() }).len(), 4);
        assert_eq!(fitting(&Filter { paths: vec![b"/mor".to_vec()], ..Filter::default() }).len(), 0);
        assert_eq!(fitting(&tags(&[&["x", "y"]])), [0x12]);
        assert_eq!(fitting(&tags(&[&["x"], &["y"]])), [0x11, 0x12, 0x31]);
        assert_eq!(fitting(&tags(&[&[]])), [0x21]);
        assert_eq!(pick("latest", &Filter { at: Some(30), ..Filter::default() }).unwrap(), 0x21);
        assert!(pick("31", &Filter { at: Some(30), ..Filter::default() }).is_err());
    }

    #[test]
    fn paths_are_written_as_manifests_write_them() {
        for (path, expected) in [("/a//b/./c/", "a/b/c"), ("", ""), ("/", ""), ("a", "a"), ("a:b", "a:b")] {
            assert_eq!(manifest_path(path.as_bytes()).unwrap(), expected.as_bytes(), "{path}");
        }
        assert!(manifest_path(b"a/../b").is_err() && manifest_path(b"a\0").is_err());
    }
}
