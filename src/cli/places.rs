//! Where this machine has used repositories. A place where there was one, and nothing is now, is mostly a disk that is not
//! mounted, and no place for a new one.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use avro_snap::id::{RepositoryId, digest, hex};

use super::Context;

/// The names of a place: as it is written, and without links as far as it exists.
fn names(place: &Path) -> Vec<PathBuf> {
    if super::stores::is_store(place) {
        return vec![place.to_path_buf()];
    }
    let written = std::path::absolute(place).unwrap_or_else(|_| place.to_path_buf());
    let mut names = vec![written.clone()];
    for above in written.ancestors() {
        if let (Ok(real), Ok(rest)) = (above.canonicalize(), written.strip_prefix(above)) {
            names.push(if rest == Path::new("") { real } else { real.join(rest) });
            break;
        }
    }
    names.dedup();
    names
}

/// Where it is remembered that a repository was at this place.
fn file(state: &Path, name: &Path) -> PathBuf {
    let hash = digest(name.as_os_str().as_bytes());
    state.join("places").join(hex(hash.get(..16).unwrap_or(&hash)))
}

/// Remembers that this repository is at this place. That it cannot be is no reason to stop.
pub(crate) fn remember(context: &Context, place: &Path, id: RepositoryId) {
    let Some(state) = context.globals.state_folder() else { return };
    for name in names(place) {
        let file = file(&state, &name);
        let text = [format!("{id} ").as_bytes(), name.as_os_str().as_bytes(), b"\n"].concat();
        if std::fs::read(&file).is_ok_and(|known| known == text) {
            continue;
        }
        let write = || -> std::io::Result<()> {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(file.parent().unwrap_or(&state))?;
            let new = file.with_extension(format!("{}.new", std::process::id()));
            let mut options = std::fs::OpenOptions::new();
            options.write(true).create(true).truncate(true).mode(0o600).open(&new)?.write_all(&text)?;
            std::fs::rename(new, &file)
        };
        let _ = write();
    }
}

/// The repository that was at this place when this machine used it last.
pub(crate) fn known(context: &Context, place: &Path) -> Option<String> {
    let state = context.globals.state_folder()?;
    names(place).iter().find_map(|name| {
        let text = std::fs::read(file(&state, name)).ok()?;
        let (id, rest) = text.split_at_checked(text.iter().position(|byte| *byte == b' ')?)?;
        let there = rest.strip_prefix(b" ")?.strip_suffix(b"\n")?;
        (OsStr::from_bytes(there) == name).then(|| String::from_utf8_lossy(id).into_owned())
    })
}
