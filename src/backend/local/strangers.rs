//! What lies in a folder and is not a repository's: a new repository is not made among other files unawares.

use std::path::{Path, PathBuf};

use super::durable::is_temporary;
use super::errors::During;
use super::reserve::RESERVE;
use super::{Local, TMP, folders};
use crate::backend::{Kind, Result};

impl Local {
    /// Names in the folder, relative to it, that no repository there would have made: the first of them in the order of
    /// names. None where the folder is missing or empty, or holds what an interrupted `init` left.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn stranger(&self) -> Result<Option<PathBuf>> {
        self.stranger_in(Path::new(""))
    }

    fn stranger_in(&self, relative: &Path) -> Result<Option<PathBuf>> {
        let Some(folder) = self.existing(relative)? else { return Ok(None) };
        let mut names = folders::names(&folder).during("list", self.path().join(relative))?;
        names.sort();
        for name in names {
            let path = relative.join(&name);
            match name.to_str().map_or(What::Stranger, |name| what_is(relative, name)) {
                What::Object => {}
                What::Folder => match folders::open(self.path(), &path) {
                    Ok(_) => match self.stranger_in(&path)? {
                        None => {}
                        stranger => return Ok(stranger),
                    },
                    Err(_) => return Ok(Some(path)),
                },
                What::Stranger => return Ok(Some(path)),
            }
        }
        Ok(None)
    }
}

enum What {
    /// An object, or a file that this backend makes.
    Object,
    /// A folder of a repository.
    Folder,
    /// Neither.
    Stranger,
}

/// What a repository would call so.
fn what_is(folder: &Path, name: &str) -> What {
    let is_hex =
        |length| name.len() == length && name.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let is_number = name.len() == 20 && name.bytes().all(|byte| byte.is_ascii_digit());
    let kind = |kind: &Kind| *kind != Kind::Config && Path::new(kind.folder()) == folder;
    let is_object = match Kind::ALL.iter().find(|each| kind(each)) {
        None if folder == Path::new("") => {
            let is_folder =
                name == TMP || Kind::ALL.iter().any(|kind| !kind.folder().is_empty() && kind.folder() == name);
            match is_folder {
                true => return What::Folder,
                // A new file system has this of its own.
                false => matches!(name, "config" | "config2" | RESERVE | "lost+found"),
            }
        }
        None if folder == Path::new(TMP) => is_temporary(name),
        None => is_hex(64),
        Some(Kind::Pack) => return if is_hex(2) { What::Folder } else { What::Stranger },
        Some(Kind::Log | Kind::Checkpoint) => is_number,
        Some(_) => is_hex(16) || is_hex(64),
    };
    if is_object { What::Object } else { What::Stranger }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::{Backend, Name};

    #[test]
    fn only_what_a_repository_makes_is_no_stranger() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("repository");
        let local = Local::new(&root);
        assert_eq!(local.stranger().unwrap(), None, "there is nothing yet");
        local.prepare().unwrap();
        local.keep_reserve().unwrap();
        let id = crate::id::hex(&crate::id::digest(b"x"));
        for kind in [Kind::Pack, Kind::Index, Kind::Parity] {
            local.create(&Name::new(kind, &id), b"x").unwrap();
        }
        for name in [Name::config(), Name::config_copy(), Name::log(7), Name::new(Kind::Key, "0123456789abcdef")] {
            local.create(&name, b"x").unwrap();
        }
        std::fs::create_dir(root.join("lost+found")).unwrap();
        assert_eq!(local.stranger().unwrap(), None);
        for foreign in ["notes.txt", "log/today.log", "packs/README", "packs/ab/x", "tmp/export.avro", ".git", "Config"]
        {
            std::fs::write(root.join(foreign), b"").unwrap();
            assert_eq!(local.stranger().unwrap(), Some(foreign.into()));
            std::fs::remove_file(root.join(foreign)).unwrap();
        }
        std::os::unix::fs::symlink("/", root.join("packs/zz")).unwrap();
        assert_eq!(local.stranger().unwrap(), Some("packs/zz".into()));
    }
}
