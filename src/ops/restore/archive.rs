//! A directory of a snapshot as a tar archive.

use super::tar;
use crate::error::{Error, Result};
use crate::ops::is_at_or_below;
use crate::read::{EncoderBench, FileAssembler};
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::store::Repository;
use crate::store::unless_moved;
use crate::tables::Wanted;

/// Whether there is anything at a path that is not a single file: then [`archive`] writes it, and not
/// [`dump`](super::dump()).
///
/// # Errors
/// [`Error::NoPath`] if there is nothing; errors of reading the manifest.
pub fn is_folder(repository: &Repository, snapshot: &SnapshotRoot, path: &[u8]) -> Result<bool> {
    if path.is_empty() {
        return Ok(true);
    }
    let entry = unless_moved(repository, snapshot, snapshot.rows(repository).find(path))?;
    let entry = entry.ok_or_else(|| no_path(snapshot, path))?;
    Ok(entry.kind == EntryKind::Directory)
}

fn no_path(snapshot: &SnapshotRoot, path: &[u8]) -> Error {
    Error::NoPath { path: String::from_utf8_lossy(path).into_owned(), snapshot: snapshot.id.short() }
}

/// Hands a tar archive of what is at and below `path` (empty for all) to `write`, piece by piece. Paths are those of the
/// snapshot. Each file is compared with its hash.
///
/// # Errors
/// [`Error::NoPath`] if there is nothing; what is wrong with a file, at the first of which it stops: what was written by
/// then is no whole archive.
pub fn archive(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    path: &[u8],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let fits = |row: &[u8]| is_at_or_below(row, path);
    let found = unless_moved(repository, snapshot, archived(repository, snapshot, path, &fits, write))?;
    if found || path.is_empty() { Ok(()) } else { Err(no_path(snapshot, path)) }
}

/// The same for what several paths and patterns of one snapshot mean.
///
/// # Errors
/// As of [`archive`].
pub fn archive_of(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    wanted: &[Wanted],
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    // What is not there is said before anything is written.
    for one in wanted {
        let fits = |row: Result<FileEntry>| row.map_or(true, |row| one.fits(&row.path));
        if !one.path().is_empty() && !one.rows().any(fits) {
            return Err(no_path(snapshot, one.path()));
        }
    }
    let fits = |row: &[u8]| wanted.iter().any(|one| one.fits(row));
    unless_moved(repository, snapshot, archived(repository, snapshot, b"", &fits, write)).map(drop)
}

fn archived(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    from: &[u8],
    fits: &dyn Fn(&[u8]) -> bool,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<bool> {
    let pool = repository.runtime().compute()?;
    let encoders = EncoderBench::default();
    let assembler = FileAssembler { source: repository, pool, encoders: &encoders };
    let mut rows = snapshot.rows(repository);
    rows.seek(from)?;
    let mut found = false;
    while let Some(mut entry) = rows.next_row()? {
        if !is_at_or_below(&entry.path, from) {
            break;
        }
        if !fits(&entry.path) {
            continue;
        }
        found = true;
        if let Some(first) = entry.hard_link.take() {
            if fits(&first) {
                write(&tar::header(&entry, &tar::Shape::LinkTo(&first))?)?;
                continue;
            }
            // The first name is not in the archive, so this one has the content.
            let row = snapshot.rows(repository).find(&first)?.ok_or_else(|| no_path(snapshot, &first))?;
            entry = FileEntry { path: entry.path, ..row };
        }
        write(&tar::header(&entry, &tar::Shape::Itself)?)?;
        if entry.kind == EntryKind::File {
            assembler.parts(&entry, &mut |rebuilt| write(rebuilt.bytes()))?;
            write(tar::padding(entry.size))?;
        }
    }
    if found || from.is_empty() {
        write(&tar::END)?;
    }
    Ok(found)
}
