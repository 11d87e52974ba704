//! A folder of our own for files that are written, read again and removed.

use std::fs::{DirBuilder, File};
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::Advice;

use super::target::{Target, TargetOptions};
use crate::error::{IoContext, Result};

/// How the name of such a folder begins.
const BEGIN: &str = "snap-drill-";

/// A folder that no other user can look into. Dropping it removes it with all that is in it.
#[derive(Debug)]
pub struct ScratchFolder {
    path: PathBuf,
    target: Target,
}

impl ScratchFolder {
    /// Makes one in this folder, which must be there; by default in that of the system for temporary files.
    ///
    /// # Errors
    /// If it cannot be made.
    pub fn new(above: Option<&Path>) -> Result<Self> {
        let above = above.map_or_else(std::env::temp_dir, Path::to_path_buf);
        let path = above.join(format!("{BEGIN}{:016x}", RandomState::new().hash_one(0)));
        DirBuilder::new().mode(0o700).create(&path).when("create", &path)?;
        match Target::new(&path, TargetOptions::default()) {
            Ok(target) => Ok(Self { path, target }),
            Err(error) => {
                let _ = std::fs::remove_dir(&path);
                Err(error)
            }
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes can be written there.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn free_bytes(&self) -> Result<u64> {
        let found = rustix::fs::statvfs(&self.path).map_err(std::io::Error::from).when("stat", &self.path)?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    /// What files are restored to.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Opens a file that was restored, after all of it has reached the disk. What the system keeps of it in memory is dropped first, as
    /// far as the system lets that be done, so that what is read comes from the disk.
    ///
    /// # Errors
    /// If it cannot be opened, or its bytes did not reach the disk.
    pub fn open_again(&self, name: &str) -> Result<File> {
        let path = self.path.join(name);
        let file = File::open(&path).when("open", &path)?;
        file.sync_all().when("sync", &path)?;
        // A file system in memory has nothing else.
        let _ = rustix::fs::fadvise(&file, 0, None, Advice::DontNeed);
        Ok(file)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// If it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        std::fs::remove_file(&path).when("remove", &path)
    }
}

impl Drop for ScratchFolder {
    fn drop(&mut self) {
        // All that is in it was made by this value. What cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_and_leaves_nothing() {
        let above = tempfile::tempdir().unwrap();
        let scratch = ScratchFolder::new(Some(above.path())).unwrap();
        let path = scratch.path().to_path_buf();
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700);
        assert!(scratch.free_bytes().unwrap() > 0);
        std::fs::write(path.join("a"), "content").unwrap();
        assert_eq!(std::io::read_to_string(scratch.open_again("a").unwrap()).unwrap(), "content");
        std::fs::write(path.join("b"), "left").unwrap();
        scratch.remove("a").unwrap();
        drop(scratch);
        assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), 0);
        assert!(ScratchFolder::new(Some(&path)).is_err());
    }
}
