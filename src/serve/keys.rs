//! What the keys of the bucket and the paths of URLs stand for: `plain/latest/orders/part-0.avro`, `exact/<id>/...`,
//! `series/<name>/latest~1/plain/...`.

use crate::error::{Error, Result};
use crate::live::{Live, SnapshotName, escaped, unescaped};
use crate::read::{Dir, Snapshot};
use crate::recipe::View;
use crate::snapshot::entry::{EntryKind, FileEntry};

/// What a key stands for.
#[derive(Debug)]
pub(super) enum Place {
    /// Holds `exact`, `plain` and `series`.
    Top,
    /// Holds all snapshots in a view.
    Snapshots(View),
    /// Holds a folder for each series.
    AllSeries,
    /// Holds the snapshots of a series.
    Series(String),
    /// Holds a snapshot in its two views.
    Views(Snapshot),
    /// A folder of a snapshot.
    Folder(Dir, View),
    /// A regular file of a snapshot.
    File(Snapshot, View, Box<FileEntry>),
}

/// Something in a folder.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: Vec<u8>,
    /// The entry of a regular file; none of a folder.
    pub(super) file: Option<FileEntry>,
}

impl Child {
    fn folder(name: impl Into<Vec<u8>>) -> Self {
        Self { name: name.into(), file: None }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.file.is_none()
    }
}

/// What a key stands for; none if there is nothing. A `/` at its end asks for a folder.
///
/// # Errors
/// Errors of reading the snapshot, also that it is not clear which one is meant.
pub(super) fn find(live: &Live, key: &[u8]) -> Result<Option<Place>> {
    let wants_folder = key.ends_with(b"/");
    let key = key.strip_suffix(b"/").unwrap_or(key);
    let found = absent(look_up(live, key))?;
    Ok(found.filter(|place| !wants_folder || !matches!(place, Place::File(..))))
}

fn look_up(live: &Live, key: &[u8]) -> Result<Option<Place>> {
    let mut components = key.splitn(3, |byte| *byte == b'/');
    let (top, second, rest) = (components.next().unwrap_or_default(), components.next(), components.next());
    if top.is_empty() {
        return Ok(Some(Place::Top));
    }
    if let Some(view) = View::of_name(top) {
        let Some(name) = second else { return Ok(Some(Place::Snapshots(view))) };
        let Some(name) = SnapshotName::parse(name) else { return Ok(None) };
        return in_snapshot(&live.snapshot(&name, None)?, view, rest.unwrap_or_default());
    }
    if top != b"series" {
        return Ok(None);
    }
    let Some(series) = second else { return Ok(Some(Place::AllSeries)) };
    let Some(series) = unescaped(series) else { return Ok(None) };
    let Some(rest) = rest else {
        let is_known = live.listing().snapshots.iter().any(|root| root.series == series);
        return Ok(is_known.then_some(Place::Series(series)));
    };
    let mut components = rest.splitn(3, |byte| *byte == b'/');
    let Some(name) = components.next().and_then(SnapshotName::parse) else { return Ok(None) };
    let snapshot = live.snapshot(&name, Some(&series))?;
    let Some(name) = components.next() else { return Ok(Some(Place::Views(snapshot))) };
    let Some(view) = View::of_name(name) else { return Ok(None) };
    in_snapshot(&snapshot, view, components.next().unwrap_or_default())
}

fn in_snapshot(snapshot: &Snapshot, view: View, path: &[u8]) -> Result<Option<Place>> {
    if path.is_empty() {
        return Ok(Some(Place::Folder(snapshot.dir("")?, view)));
    }
    let entry = snapshot.entry(path)?;
    Ok(match entry.as_ref().map(|entry| &entry.kind) {
        Some(EntryKind::File) => entry.map(|entry| Place::File(snapshot.clone(), view, Box::new(entry))),
        Some(EntryKind::Directory) | None => Some(Place::Folder(snapshot.dir(path)?, view)),
        // Links lead outside of what is served; devices and pipes have no content.
        Some(_) => None,
    })
}

/// That something is not there is no error.
fn absent<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(Error::NoSnapshot { .. } | Error::NoPath { .. } | Error::WrongKind { .. }) => Ok(None),
        found => found,
    }
}

impl Place {
    /// The first `limit` things in a folder whose names come after this one, in the order of their bytes. Fewer only at the
    /// end; what is neither a folder nor a regular file is passed over.
    ///
    /// # Errors
    /// Errors of reading the snapshot.
    pub(super) fn children_after(&self, live: &Live, after: Option<&[u8]>, limit: usize) -> Result<Vec<Child>> {
        let ids = |series: Option<&str>| {
            let listing = live.listing();
            let shown = listing.snapshots.iter().filter(|root| series.is_none_or(|series| root.series == series));
            let mut names: Vec<Vec<u8>> = shown.map(|root| root.id.to_string().into_bytes()).collect();
            if !names.is_empty() {
                names.push(b"latest".to_vec());
            }
            names
        };
        let mut names = match self {
            Self::Top => ["exact", "plain", "series"].map(|name| name.as_bytes().to_vec()).to_vec(),
            Self::Snapshots(_) => ids(None),
            Self::Series(series) => ids(Some(series)),
            Self::Views(_) => View::ALL.map(|view| view.name().as_bytes().to_vec()).to_vec(),
            Self::AllSeries => live.listing().snapshots.iter().map(|root| escaped(&root.series).into_bytes()).collect(),
            Self::Folder(dir, _) => return in_folder(dir, after, limit),
            Self::File(..) => Vec::new(),
        };
        names.sort_unstable();
        names.dedup();
        let names = names.into_iter().filter(|name| after.is_none_or(|after| name.as_slice() > after));
        Ok(names.take(limit).map(Child::folder).collect())
    }

    /// The folder with this name in it.
    ///
    /// # Errors
    /// Errors of reading the snapshot.
    pub(super) fn folder(&self, live: &Live, name: &[u8]) -> Result<Option<Self>> {
        let found = match self {
            Self::Top => look_up(live, name),
            Self::Snapshots(view) => look_up(live, &[view.name().as_bytes(), b"/", name].concat()),
            Self::AllSeries => look_up(live, &[b"series/", name].concat()),
            Self::Series(series) => match SnapshotName::parse(name) {
                Some(name) => live.snapshot(&name, Some(series)).map(|snapshot| Some(Self::Views(snapshot))),
                None => Ok(None),
            },
            Self::Views(snapshot) => match View::of_name(name) {
                Some(view) => in_snapshot(snapshot, view, b""),
                None => Ok(None),
            },
            Self::Folder(dir, view) => dir.dir(name).map(|dir| Some(Self::Folder(dir, *view))),
            Self::File(..) => Ok(None),
        };
        Ok(absent(found)?.filter(|place| !matches!(place, Self::File(..))))
    }
}

/// What is in a folder of a snapshot. A row of a hard link is that of the file.
fn in_folder(dir: &Dir, after: Option<&[u8]>, limit: usize) -> Result<Vec<Child>> {
    let mut found: Vec<Child> = Vec::new();
    let mut last = after.map(<[u8]>::to_vec);
    while found.len() < limit {
        let wanted = limit - found.len();
        let page = dir.children_after(last.as_deref(), wanted)?;
        let ends = page.len() < wanted;
        last = page.last().map(|row| row.name().to_vec()).or(last);
        for row in page {
            match (&row.kind, &row.hard_link) {
                (EntryKind::Directory, _) => found.push(Child::folder(row.name())),
                (EntryKind::File, None) => found.push(Child { name: row.name().to_vec(), file: Some(row) }),
                (EntryKind::File, Some(_)) => {
                    let name = row.name().to_vec();
                    let file = dir.file(&name)?.entry().clone();
                    found.push(Child { name, file: Some(file) });
                }
                _ => {}
            }
        }
        if ends {
            break;
        }
    }
    Ok(found)
}
