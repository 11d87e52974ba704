//! What the names of the file system stand for.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::live::{Live, SnapshotName, escaped, unescaped};
use crate::read::Snapshot;
use crate::recipe::View;
use crate::report::utc;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};

/// Something in the file system.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// Holds `snapshots` and `series`.
    Top,
    /// Holds all snapshots by their times.
    Snapshots,
    /// Holds the series.
    AllSeries,
    /// Holds the snapshots of a series by their times, and `latest`.
    Series(String),
    /// Holds a snapshot in its two views.
    Views(Snapshot),
    /// Something in a snapshot; the folder that holds all has no entry.
    Entry(Snapshot, View, Option<Arc<FileEntry>>),
}

/// A name in a folder.
pub(super) struct Named {
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
}

impl Node {
    /// What stands under a name in it; none if nothing does.
    ///
    /// # Errors
    /// Errors of reading the snapshot.
    pub(super) fn child(&self, live: &Live, name: &[u8]) -> Result<Option<Self>> {
        Ok(match self {
            Self::Top => match name {
                b"snapshots" => Some(Self::Snapshots),
                b"series" => Some(Self::AllSeries),
                _ => None,
            },
            Self::Snapshots => {
                let Some((_, id)) = split_name(name) else { return Ok(None) };
                let found = by_id(live, &id)?;
                found.filter(|root| long_name(root).as_bytes() == name).map(|root| Self::Views(live.of_root(root)))
            }
            Self::AllSeries => {
                let Some(series) = unescaped(name).filter(|series| escaped(series).as_bytes() == name) else {
                    return Ok(None);
                };
                let is_known = live.listing().snapshots.iter().any(|root| root.series == series);
                is_known.then_some(Self::Series(series))
            }
            Self::Series(series) if name == b"latest" => match live.snapshot(&SnapshotName::Latest(0), Some(series)) {
                Ok(snapshot) => Some(Self::Views(snapshot)),
                Err(Error::NoSnapshot { .. }) => None,
                Err(error) => return Err(error),
            },
            Self::Series(series) => {
                let listing = live.listing();
                let found =
                    names_of(&listing.snapshots, series).into_iter().find(|(known, _)| known.as_bytes() == name);
                found.map(|(_, root)| Self::Views(live.of_root(root.clone())))
            }
            Self::Views(snapshot) => View::of_name(name).map(|view| Self::Entry(snapshot.clone(), view, None)),
            Self::Entry(snapshot, view, folder) => {
                let Some(path) = Self::path_in(folder.as_deref(), name) else { return Ok(None) };
                in_snapshot(snapshot, *view, &path)?
            }
        })
    }

    fn path_in(folder: Option<&FileEntry>, name: &[u8]) -> Option<Vec<u8>> {
        match folder {
            None => Some(name.to_vec()),
            Some(entry) if entry.kind == EntryKind::Directory => Some([&entry.path[..], b"/", name].concat()),
            Some(_) => None,
        }
    }

    /// The names in it; none if it is no folder.
    ///
    /// # Errors
    /// Errors of reading the snapshot.
    pub(super) fn names(&self, live: &Live) -> Result<Option<Vec<Named>>> {
        let folders = |names: Vec<String>| {
            let named = |name: String| Named { name: name.into_bytes(), kind: EntryKind::Directory };
            Some(names.into_iter().map(named).collect())
        };
        Ok(match self {
            Self::Top => folders(vec!["series".into(), "snapshots".into()]),
            Self::Snapshots => folders(live.listing().snapshots.iter().map(long_name).collect()),
            Self::AllSeries => {
                let mut names: Vec<String> =
                    live.listing().snapshots.iter().map(|root| escaped(&root.series)).collect();
                names.sort_unstable();
                names.dedup();
                folders(names)
            }
            Self::Series(series) => {
                let listing = live.listing();
                let names = names_of(&listing.snapshots, series).into_iter().map(|(name, _)| name);
                folders(names.chain(["latest".to_owned()]).collect())
            }
            Self::Views(_) => folders(View::ALL.map(|view| view.name().to_owned()).to_vec()),
            Self::Entry(snapshot, _, folder) => {
                let path = folder.as_ref().map_or(&[][..], |entry| &entry.path);
                if folder.as_ref().is_some_and(|entry| entry.kind != EntryKind::Directory) {
                    return Ok(None);
                }
                let children = snapshot.dir(path)?.children();
                let named =
                    children.map(|child| child.map(|child| Named { name: child.name().to_vec(), kind: child.kind }));
                Some(named.collect::<Result<_>>()?)
            }
        })
    }
}

/// Something at a path of a snapshot.
fn in_snapshot(snapshot: &Snapshot, view: View, path: &[u8]) -> Result<Option<Node>> {
    if let Some(entry) = snapshot.entry(path)? {
        // The row of a hard link has no content: the file says what it has.
        let entry = if entry.hard_link.is_some() { snapshot.file(path)?.entry().clone() } else { entry };
        return Ok(Some(Node::Entry(snapshot.clone(), view, Some(Arc::new(entry)))));
    }
    // A folder that was not saved itself, but for something in it.
    match snapshot.dir(path) {
        Ok(_) => {
            let entry = FileEntry::implied_folder(path);
            Ok(Some(Node::Entry(snapshot.clone(), view, Some(Arc::new(entry)))))
        }
        Err(Error::NoPath { .. } | Error::WrongKind { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The time of a snapshot to the second, as it stands in names: `2026-11-30T02:14:05Z`. Colons would be trouble on some systems that
/// files are copied to, so dashes stand for them.
fn time_name(root: &SnapshotRoot) -> String {
    let second = root.time.div_euclid(1_000_000_000);
    utc(i128::from(second) * 1_000_000_000).replace(':', "-")
}

/// The name of a snapshot among all.
fn long_name(root: &SnapshotRoot) -> String {
    format!("{}_{}", time_name(root), root.id.short())
}

/// The time and the id of such a name.
fn split_name(name: &[u8]) -> Option<(String, String)> {
    let (time, id) = std::str::from_utf8(name).ok()?.rsplit_once('_')?;
    Some((time.into(), id.into()))
}

fn by_id(live: &Live, id: &str) -> Result<Option<SnapshotRoot>> {
    let Some(name @ SnapshotName::Prefix(_)) = SnapshotName::parse(id.as_bytes()) else { return Ok(None) };
    match live.snapshot(&name, None) {
        Ok(snapshot) => Ok(Some((*snapshot.root()).clone())),
        Err(Error::NoSnapshot { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names of the snapshots of a series: their times, and the id as well where several were made in one second.
fn names_of<'l>(snapshots: &'l [SnapshotRoot], series: &str) -> Vec<(String, &'l SnapshotRoot)> {
    let mine: Vec<&SnapshotRoot> = snapshots.iter().filter(|root| root.series == series).collect();
    let times: Vec<String> = mine.iter().map(|root| time_name(root)).collect();
    let mut counts = std::collections::HashMap::new();
    for time in &times {
        *counts.entry(time.clone()).or_insert(0) += 1;
    }
    let named = mine.into_iter().zip(times).map(|(root, time)| {
        let is_one = counts.get(&time) == Some(&1);
        (if is_one { time } else { long_name(root) }, root)
    });
    named.collect()
}
