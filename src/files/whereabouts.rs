//! Where paths lead, whatever they are called; on which machine, and for whom.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::stat::Seen;
use crate::error::{IoContext, Result};

/// The name of this machine.
pub fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

/// Who works, by name or number.
pub fn user() -> String {
    let name = uzers::get_current_username().map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| rustix::process::getuid().as_raw().to_string())
}

/// The directory that relative paths count from.
///
/// # Errors
/// If it cannot be found, since it was removed, for one.
pub fn working_directory() -> Result<PathBuf> {
    std::env::current_dir().when("find", "the working directory")
}

/// The path without links, `.` and `..`. What of it is not there yet stays as it is written.
pub fn resolved(path: &Path) -> PathBuf {
    let (mut above, mut missing) = (path.to_path_buf(), Vec::new());
    loop {
        match std::fs::canonicalize(&above) {
            Ok(found) => return missing.iter().rev().fold(found, |path, name| path.join(name)),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(_) => return path.to_path_buf(),
        }
        match (above.file_name().map(ToOwned::to_owned), above.pop()) {
            (Some(name), true) => missing.push(name),
            _ => return path.to_path_buf(),
        }
    }
}

/// Whether both lead to the same thing, by its file system and number there.
pub fn is_same(one: &Path, other: &Path) -> bool {
    let place =
        |path: &Path| rustix::fs::stat(path).map(|stat| Seen::from(stat).stat).map(|stat| (stat.dev, stat.inode));
    matches!((place(one), place(other)), (Ok(one), Ok(other)) if one == other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_path_is_called_does_not_matter() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap().join("real");
        std::fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, folder.path().join("link")).unwrap();
        assert_eq!(resolved(&folder.path().join("link/../link/new/er")), real.join("new/er"));
        assert!(is_same(&real, &folder.path().join("link")) && !is_same(&real, folder.path()));
        assert!(!is_same(&real.join("none"), &real.join("none")));
        for root in ["/", "/tmp/..", "/proc/self/root"] {
            assert!(is_same(Path::new(root), Path::new("/")) || !Path::new(root).exists(), "{root}");
        }
    }
}
