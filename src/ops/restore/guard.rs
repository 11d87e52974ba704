//! What a restore refuses before it writes anything.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::RestoreOptions;
use super::selection::Selection;
use super::sweep::{Row, Rows};
use crate::error::{Error, Refusal, Result};
use crate::files::{Coverage, Spared, is_in_store, is_same, resolved};
use crate::ops::is_at_or_below;
use crate::snapshot::SnapshotRoot;
use crate::store::Repository;

/// Where in the target that lies what must not be touched: the repository in use, and what this program keeps for
/// itself.
///
/// # Errors
/// If the target itself lies in such a place.
pub(super) fn in_use_below_target(options: &RestoreOptions) -> Result<Vec<Vec<u8>>> {
    // A URL is what it is, wherever links may lead to.
    let resolve = |place: &Path| if is_in_store(place) { place.to_path_buf() } else { resolved(place) };
    let target = resolve(&options.target);
    let mut below = Vec::new();
    for place in &options.in_use {
        let resolved = resolve(place);
        if target.starts_with(&resolved) {
            let (target, place) = (options.target.display(), place.display());
            return Err(Error::argument(
                "target",
                format!("the target {target} lies in {place}, which snap needs for itself"),
            ));
        }
        if let Ok(path) = resolved.strip_prefix(&target) {
            below.push(path.as_os_str().as_bytes().to_vec());
        }
    }
    Ok(below)
}

/// Refuses to delete where that would surely do harm.
///
/// # Errors
/// [`Error::DeleteRefused`], and those of the manifest.
pub(super) fn may_delete(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    options: &RestoreOptions,
    coverage: &Coverage,
    spared: &Spared,
) -> Result<()> {
    let selection = Selection { include: &options.include, exclude: &options.exclude };
    let refused = |refusal| Err(Error::DeleteRefused(refusal));
    if is_same(&options.target, Path::new("/")) && !names_places(options, selection) {
        return refused(Refusal::WholeSystem { target: options.target.clone() });
    }
    let top = &options.subfolder;
    if !top.is_empty() && snapshot.rows(repository).at(top)? != Row::Folder {
        return Ok(());
    }
    if let Some(refusal) = precious(options, coverage, selection) {
        return refused(refusal);
    }
    if !options.delete_despite_unreadable {
        let mut recorded = spared.unreadable().peekable();
        let count = match recorded.peek() {
            None => snapshot.totals.unreadable,
            Some(_) => recorded
                .filter(|path| is_at_or_below(path, top) || is_at_or_below(top, path))
                .filter(|path| selection.selects(path) || path.is_empty() || is_at_or_below(top, path))
                .count() as u64,
        };
        if count > 0 {
            return refused(Refusal::Unreadable { snapshot: snapshot.id.short(), count });
        }
    }
    Ok(())
}

/// Whether the filters let through certain places only, and not the whole target.
fn names_places(options: &RestoreOptions, selection: Selection<'_>) -> bool {
    !options.include.is_empty()
        && options.include.iter().all(crate::files::Pattern::names_a_place)
        && !selection.selects(&options.subfolder)
}

/// Directories of the system, which are never meant to be replaced by something else.
const OF_THE_SYSTEM: [&str; 14] = [
    "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/lib64", "/proc", "/root", "/run", "/sbin", "/sys", "/usr",
    "/var",
];

/// Whether a home, a directory that holds one, or one of the system would be swept though it is not what was saved:
/// mostly a wrong target.
fn precious(options: &RestoreOptions, coverage: &Coverage, selection: Selection<'_>) -> Option<Refusal> {
    let target = resolved(&options.target);
    let home = options.home.as_ref().map(|home| resolved(home)).unwrap_or_default();
    let refusal = |place: &Path| {
        let below = place.strip_prefix(&target).ok()?.as_os_str();
        let tree_path = Path::new(OsStr::from_bytes(&options.subfolder)).join(below);
        let tree_path = tree_path.as_os_str().as_bytes();
        let tree_path = tree_path.strip_suffix(b"/").unwrap_or(tree_path);
        let ground = coverage.at(tree_path);
        let is_swept = ground.is_covered() && selection.selects(tree_path);
        (is_swept && !is_same(ground.fs_path(), place))
            .then(|| Refusal::Precious { place: place.to_path_buf(), saved: ground.fs_path().to_path_buf() })
    };
    home.ancestors().filter(|place| place.is_absolute()).chain(OF_THE_SYSTEM.iter().map(Path::new)).find_map(refusal)
}
