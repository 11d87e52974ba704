//! Saving Iceberg tables (`--iceberg`): which files the state of a table is made of, and whether all of them were saved.
//!
//! The metadata file is read first, then manifest lists and manifests: from there on it is known what has to be in the snapshot. Files of
//! a table never change, they can only go away, when the table drops old snapshots. If one is gone, there is newer metadata that does not
//! name it, and all begins again with that. So a snapshot has all that its metadata names, or it is not made.

use std::collections::{BTreeMap, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::CreateOptions;
use crate::error::{Error, Result};
use crate::files::{Pattern, is_directory, is_file, is_gone, is_in_store, names_in, read_whole, saved_path};
use crate::iceberg::manifest::MAX_MANIFEST;
use crate::iceberg::metadata::MAX_METADATA;
use crate::iceberg::{Flaw, MetadataName, TableMetadata, files_in, hinted, local_path, manifests_in};
use crate::id::{ContentHash, digest};
use crate::progress::{Progress, Warning};
use crate::snapshot::entry::{EntryKind, FileEntry};

/// How often it is begun again, since files went away meanwhile.
const ATTEMPTS: u32 = 5;

/// The file by which tables without a catalog say which metadata is the newest.
const HINT: &str = "version-hint.text";

/// What was saved of an Iceberg table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct SavedTable {
    /// The table, as a location.
    pub location: String,
    /// Its metadata file.
    pub metadata: String,
    /// Version of its format.
    pub format_version: i64,
    /// The current snapshot of the table; none if it has none.
    pub table_snapshot_id: Option<i64>,
    /// How many of its snapshots were saved.
    pub table_snapshots: u64,
    /// Records of the current snapshot, if the table says so.
    pub records: Option<u64>,
    /// Files that these snapshots are made of, metadata included.
    pub files: u64,
    /// Files of another length than the table says. They are saved as they are.
    pub wrong_length: u64,
    /// How often it was begun again, since files went away meanwhile.
    pub begun_again: u32,
}

/// What a file must be like.
#[derive(Debug, Clone, Default)]
struct Expected {
    length: Option<u64>,
    content: Option<ContentHash>,
    table: usize,
}

/// The files that tables are made of.
#[derive(Debug, Default)]
pub(super) struct Closure {
    files: BTreeMap<PathBuf, Expected>,
    /// Files that may change, with what they said.
    pub(super) pinned: HashMap<PathBuf, Vec<u8>>,
    pub(super) tables: Vec<SavedTable>,
}

impl Closure {
    /// The files, to be saved.
    pub(super) fn paths(&self) -> impl Iterator<Item = &PathBuf> {
        self.files.keys()
    }

    /// What has to be met while they are saved.
    pub(super) fn promised(&self, working_directory: &Path) -> Promised {
        let below_root = |path: Vec<u8>| path.strip_prefix(b"/").map_or(path.clone(), <[u8]>::to_vec);
        let tree_path = |path: &PathBuf| below_root(saved_path(path, working_directory));
        let expected = self.files.iter().map(|(path, expected)| (tree_path(path), expected.clone())).collect();
        Promised { expected, wrong: vec![0; self.tables.len()], changed: None }
    }

    fn put(&mut self, path: PathBuf, length: Option<u64>, content: Option<&[u8]>) {
        let table = self.tables.len();
        let content = content.map(|bytes| ContentHash::new(digest(bytes)));
        self.files.entry(path).or_insert(Expected { length, content, table });
    }
}

/// Files that must be among those that are saved.
#[derive(Debug, Default)]
pub(super) struct Promised {
    expected: HashMap<Vec<u8>, Expected>,
    /// For each table the files of another length.
    wrong: Vec<u64>,
    changed: Option<Vec<u8>>,
}

impl Promised {
    /// A row of the snapshot.
    pub(super) fn met(&mut self, entry: &FileEntry, progress: &dyn Progress) {
        if self.expected.is_empty() || entry.kind != EntryKind::File {
            return;
        }
        let Some(expected) = self.expected.remove(&entry.path) else { return };
        // Another name of a file has its content elsewhere.
        if entry.hard_link.is_some() {
            return;
        }
        if expected.content.is_some() && expected.content != entry.content {
            self.changed.get_or_insert_with(|| entry.path.clone());
        }
        if let Some(length) = expected.length.filter(|length| *length != entry.size) {
            let message = format!("it has {} bytes, and its table says that it has {length}", entry.size);
            let path = String::from_utf8_lossy(&entry.path).into_owned();
            progress.warning(&Warning { path, message, incomplete: true });
            if let Some(wrong) = self.wrong.get_mut(expected.table) {
                *wrong += 1;
            }
        }
    }

    /// When all is saved: a file that is missing, or is not what was followed.
    pub(super) fn lacks(&self) -> Option<Vec<u8>> {
        self.changed.clone().or_else(|| self.expected.keys().min().cloned())
    }

    /// For each table the files of another length than it says.
    pub(super) fn wrong(self) -> Vec<u64> {
        self.wrong
    }
}

/// Follows tables, again and again if files go away.
#[derive(Debug, Default)]
pub(super) struct Chase {
    attempts: u32,
    /// The metadata file that each table was followed from last.
    last: Vec<PathBuf>,
    /// What was not there.
    lost: Option<PathBuf>,
}

/// Why a table could not be followed.
enum Trouble {
    /// A file is not there.
    Gone(PathBuf),
    Wrong(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match &error {
            Error::Io { path, .. } if is_gone(&error) => Self::Gone(path.clone()),
            _ => Self::Wrong(error),
        }
    }
}

impl Chase {
    /// The files of all tables, as of now.
    ///
    /// # Errors
    /// If a table cannot be followed; if a file is missing though there is no newer metadata.
    pub(super) fn follow(&mut self, options: &CreateOptions, progress: &dyn Progress) -> Result<Closure> {
        loop {
            let mut closure = Closure::default();
            let followed = options.iceberg.iter().enumerate().try_for_each(|(number, table)| {
                let table = options.working_directory.join(table);
                let metadata = self.metadata_of(number, &table, progress)?;
                self.last.resize(options.iceberg.len(), PathBuf::new());
                if let Some(last) = self.last.get_mut(number) {
                    last.clone_from(&metadata);
                }
                follow(&mut closure, metadata, options, progress)
            });
            match followed {
                Ok(()) => {
                    closure.tables.iter_mut().for_each(|table| table.begun_again = self.attempts);
                    return Ok(closure);
                }
                Err(Trouble::Gone(path)) => self.begin_again(path)?,
                Err(Trouble::Wrong(error)) => return Err(error),
            }
        }
    }

    /// A file was not there, or not what it should have been.
    ///
    /// # Errors
    /// If that happened too often.
    pub(super) fn begin_again(&mut self, path: PathBuf) -> Result<()> {
        self.attempts += 1;
        let gone =
            || std::io::Error::new(std::io::ErrorKind::NotFound, "an Iceberg table names it, and it is not there");
        match self.attempts < ATTEMPTS {
            true => {
                self.lost = Some(path);
                Ok(())
            }
            false => Err(Error::io("save", path, gone())),
        }
    }

    /// The metadata file of a table: at first the one that was named, later on the newest beside it.
    fn metadata_of(
        &self,
        number: usize,
        table: &Path,
        progress: &dyn Progress,
    ) -> std::result::Result<PathBuf, Trouble> {
        let newest = match is_directory(table) {
            true => newest(&table.join("metadata"), progress),
            // A name that is misspelt must not mean what lies beside it.
            false if self.attempts == 0 && !is_file(table) => {
                let reason = std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file or folder");
                return Err(Trouble::Wrong(Error::io("open", table, reason)));
            }
            false if self.attempts == 0 => return Ok(table.to_path_buf()),
            false => newest(table.parent().unwrap_or(table), progress),
        };
        let newest = newest.map_err(Trouble::Wrong)?;
        match (&self.lost, self.last.get(number)) {
            // With several tables, another one may have newer metadata.
            // One that is there may have been replaced just then; the second time it is not.
            (Some(lost), Some(last))
                if *last == newest && self.last.len() == 1 && (self.attempts > 1 || !is_file(lost)) =>
            {
                let what = if is_file(lost) { "could not be saved" } else { "is not there" };
                let reason = format!("{} names it, there is no newer metadata, and it {what}", newest.display());
                Err(Trouble::Wrong(Error::io("save", lost, std::io::Error::other(reason))))
            }
            _ => Ok(newest),
        }
    }
}

/// The newest metadata file in a folder: that of the highest version, and of several the one that was written last. One that is being
/// written, or that a failed commit left in part, is none yet.
fn newest(folder: &Path, progress: &dyn Progress) -> Result<PathBuf> {
    let mut names: Vec<MetadataName> = names_in(folder)?.iter().filter_map(|name| MetadataName::parse(name)).collect();
    names.sort_by(|one, other| other.cmp(one));
    let mut unsound = None;
    for same in names.chunk_by(|one, other| one.version == other.version) {
        let mut written = Vec::new();
        for path in same.iter().map(|name| folder.join(&name.name)) {
            match read_metadata(&path) {
                Ok((table, _)) => written.push((table.updated(), path)),
                Err(error @ Error::InvalidArgument { .. }) if is_plain(&path) => {
                    let message = "it is passed over: it is being written, or was left in part".into();
                    progress.warning(&Warning { path: path.display().to_string(), message, incomplete: false });
                    unsound.get_or_insert(error);
                }
                Err(error) if is_gone(&error) => {}
                // An older state must not be taken for the newest.
                Err(error) => return Err(error),
            }
        }
        if let Some((_, path)) = written.into_iter().max() {
            return Ok(path);
        }
    }
    let none = || wrong(folder, &Flaw("there is no metadata file of an Iceberg table in it".into()));
    Err(unsound.unwrap_or_else(none))
}

fn wrong(path: &Path, flaw: &Flaw) -> Error {
    Error::argument("iceberg", format!("{}: {flaw}", path.display()))
}

/// Whether a metadata file is not compressed, as far as its name says.
fn is_plain(path: &Path) -> bool {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    !MetadataName::parse(&name).is_some_and(|name| name.is_compressed())
}

fn read_metadata(path: &Path) -> Result<(TableMetadata, Vec<u8>)> {
    if !is_plain(path) {
        return Err(wrong(path, &Flaw("compressed metadata (write.metadata.compression-codec) is not read".into())));
    }
    let text = read_whole(path, MAX_METADATA)?;
    let table = TableMetadata::parse(&text).map_err(|flaw| wrong(path, &flaw))?;
    Ok((table, text))
}

/// Puts the files of a table into the closure.
fn follow(
    closure: &mut Closure,
    metadata: PathBuf,
    options: &CreateOptions,
    progress: &dyn Progress,
) -> std::result::Result<(), Trouble> {
    let all = options.iceberg_history;
    let refuse = |path: &Path, flaw: &Flaw| Trouble::Wrong(wrong(path, flaw));
    let (table, text) = read_metadata(&metadata)?;
    let at_metadata = |flaw: Flaw| refuse(&metadata, &flaw);
    closure.put(metadata.clone(), None, Some(&text));
    put_hint(closure, &metadata);
    let chosen = table.chosen(all).map_err(at_metadata)?;
    for snapshot in &chosen {
        let mut manifests: Vec<(String, Option<u64>)> =
            snapshot.manifests.iter().map(|location| (location.clone(), None)).collect();
        if let Some(list) = &snapshot.list {
            let path = place(list).map_err(at_metadata)?;
            let bytes = read_whole(&path, MAX_MANIFEST)?;
            let named = manifests_in(&bytes).map_err(|flaw| refuse(&path, &flaw))?;
            manifests.extend(named.into_iter().map(|manifest| (manifest.location, Some(manifest.length))));
            closure.put(path, None, Some(&bytes));
        }
        for (location, length) in manifests {
            let path = place(&location).map_err(at_metadata)?;
            // Snapshots share most of their manifests.
            if closure.files.contains_key(&path) {
                continue;
            }
            let bytes = read_whole(&path, MAX_MANIFEST)?;
            let put = &mut |file: crate::iceberg::FileOfTable| {
                if file.is_live {
                    closure.put(place(&file.location)?, Some(file.length), None);
                }
                Ok(())
            };
            files_in(&bytes, put).map_err(|flaw| refuse(&path, &flaw))?;
            closure.put(path, length, Some(&bytes));
        }
    }
    let is_chosen = |id: i64| chosen.iter().any(|snapshot| snapshot.id == id);
    for statistics in table.statistics().iter().filter(|statistics| is_chosen(statistics.snapshot)) {
        let path = place(&statistics.location).map_err(at_metadata)?;
        // They only help to plan queries.
        match is_file(&path) {
            true => closure.put(path, statistics.length, None),
            false => {
                let message = "statistics of an Iceberg table that are not there".into();
                progress.warning(&Warning { path: path.display().to_string(), message, incomplete: false });
            }
        }
    }
    for location in table.log().iter().filter(|_| all) {
        let path = place(location).map_err(at_metadata)?;
        // Tables may remove the oldest of them.
        if is_file(&path) {
            closure.put(path, None, None);
        }
    }
    refuse_excluded(closure, options)?;
    let current = chosen.iter().find(|snapshot| Some(snapshot.id) == table.current());
    let number = closure.tables.len();
    closure.tables.push(SavedTable {
        location: table.location().to_owned(),
        metadata: metadata.display().to_string(),
        format_version: table.format_version(),
        table_snapshot_id: table.current(),
        table_snapshots: chosen.len() as u64,
        records: current.and_then(|snapshot| snapshot.records),
        files: closure.files.values().filter(|expected| expected.table == number).count() as u64,
        ..SavedTable::default()
    });
    Ok(())
}

/// The hint is saved as it was when it named this metadata, and not if it names another one.
fn put_hint(closure: &mut Closure, metadata: &Path) {
    let hint = metadata.with_file_name(HINT);
    let name = metadata.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    if let Ok(text) = read_whole(&hint, 4096)
        && hinted(&text, &name)
    {
        closure.put(hint.clone(), None, Some(&text));
        closure.pinned.insert(hint, text);
    }
}

/// Where a location is in the local file system.
fn place(location: &str) -> std::result::Result<PathBuf, Flaw> {
    let path = local_path(location).map(PathBuf::from);
    path.ok_or_else(|| {
        let what = if is_in_store(Path::new(location)) { "lies in an object store" } else { "is no local path" };
        Flaw(format!(
            "its file {location} {what}; only tables in the local file system can be followed (all of a bucket's prefix can be saved as files)"
        ))
    })
}

/// What a table is made of must not be left out.
fn refuse_excluded(closure: &Closure, options: &CreateOptions) -> std::result::Result<(), Trouble> {
    let excluded = closure.files.iter().find(|(path, expected)| {
        let too_large = options.exclude_larger_than.zip(expected.length).is_some_and(|(most, length)| length > most);
        too_large || Pattern::any(&options.exclude, path.as_os_str().as_bytes())
    });
    match excluded {
        None => Ok(()),
        Some((path, _)) => Err(Trouble::Wrong(Error::argument(
            "exclude",
            format!("{} is excluded, and an Iceberg table that is to be saved needs it", path.display()),
        ))),
    }
}
