//! Which repository, and how it is opened.

use std::cell::RefCell;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use avro_snap::error::{Error, IoContext};
use avro_snap::files::{host, user};
use avro_snap::storage::{Backend, Local, Retain};
use avro_snap::store::{CachePlace, LogDamage, LostConfig, OpenOptions, Repository, Sizes, SystemClock, Unlock};

use super::Context;
use super::failure::{Failure, Result, in_its_place};
use super::password::Source;
use super::stores;

/// The place that a repository location names: a directory, or the URL of one in an object store.
pub(crate) fn folder(location: &Path) -> Result<PathBuf> {
    if let Some(failure) = stores::out_of_reach(location) {
        return Err(failure);
    }
    let bytes = location.as_os_str().as_bytes();
    match bytes.strip_prefix(b"local:") {
        None if bytes.is_empty() => Err(Failure::Usage("the repository location is empty".into())),
        Some(b"") => Err(Failure::Usage("the repository location is empty".into())),
        None => Ok(location.to_path_buf()),
        Some(path) => {
            let path = Path::new(std::ffi::OsStr::from_bytes(path));
            // A directory that is called like a URL.
            Ok(if stores::is_store(path) { Path::new(".").join(path) } else { path.to_path_buf() })
        }
    }
}

impl Context {
    /// The directory of the repository that was asked for.
    pub(crate) fn repository_folder(&self) -> Result<PathBuf> {
        match &self.globals.repo {
            Some(location) if !location.as_os_str().is_empty() => folder(location),
            _ => Err(Failure::Usage(match super::elsewhere::other_repository() {
                Some(other) => format!("no repository is given: {other}"),
                None => "no repository is given: use -r PATH or set SNAP_REPOSITORY".into(),
            })),
        }
    }

    /// What is not to be saved, nor touched by a restore: the repository in this directory, its cache, and what is
    /// remembered of it.
    pub(crate) fn own_folders(&self, place: &Path, repository: &Repository) -> Vec<PathBuf> {
        let id = repository.id().to_string();
        let others = [self.globals.cache_folder(), self.globals.state_folder()];
        [place.to_path_buf()].into_iter().chain(others.into_iter().flatten().map(|folder| folder.join(&id))).collect()
    }

    /// Where its password comes from.
    pub(crate) fn password_source(&self) -> Result<Source> {
        let globals = &self.globals;
        Source::find(globals.password_file.as_deref(), globals.password_command.as_deref(), "SNAP")
    }

    /// Opens the repository.
    pub(crate) fn open(&self) -> Result<Repository> {
        self.open_with_password().map(|(repository, _)| repository)
    }

    /// Opens the repository as far as its log goes; returns what is wrong with that.
    pub(crate) fn open_broken(&self) -> Result<(Repository, Option<LogDamage>)> {
        let folder = self.repository_folder()?;
        let backend = self.backend(&folder)?;
        let open = |unlock: Unlock<'_>| Repository::open_broken(backend, unlock, &self.options());
        let (repository, damage) = self.with_keys(&folder, open)?;
        self.warn_of(&repository);
        Ok((repository, damage))
    }

    /// What is known of the config, where no copy of it is left.
    pub(crate) fn lost_config(&self) -> Result<LostConfig> {
        let folder = self.repository_folder()?;
        let backend = self.backend(&folder)?;
        self.with_keys(&folder, |unlock| LostConfig::look(&*backend, unlock, &SystemClock))
    }

    /// Does something that needs the keys, with an export or with the password.
    fn with_keys<T>(&self, folder: &Path, work: impl FnOnce(Unlock<'_>) -> avro_snap::error::Result<T>) -> Result<T> {
        if let Some(export) = &self.globals.key_export {
            let text = std::fs::read_to_string(export).when("read", export)?;
            return Ok(work(Unlock::Export(&text))?);
        }
        let source = self.password_source()?;
        let failed = RefCell::new(None);
        let mut ask = || {
            source.password(&format!("password of {}", folder.display()), false, &self.output).map_err(|failure| {
                let message = failure.message();
                failed.replace(Some(failure));
                Error::argument("password", message)
            })
        };
        let done = work(Unlock::Password(&mut ask));
        match failed.into_inner() {
            Some(failure) => Err(failure),
            None => Ok(done?),
        }
    }

    /// Says what is wrong with an open repository, and did not keep it from being opened.
    fn warn_of(&self, repository: &Repository) {
        if let Some(error) = repository.config().trouble() {
            let said = error.message();
            let first = in_its_place(error, &self.globals).map_or_else(String::new, |first| format!("{first}. Then "));
            self.output
                .warn(&format!("{said}. {first}`snap repair config` rebuilds it: do so before the other one is lost"));
        }
        if let Some(reason) = repository.log().rolled_back().filter(|_| self.globals.allow_rollback) {
            self.output.warn(&format!(
                "THIS IS AN OLDER OR ANOTHER STATE OF THE REPOSITORY: {reason}. It is read all the same (--allow-rollback); \
                 snapshots made since are not in it, and nothing is written to it"
            ));
        }
    }

    /// Opens the repository as `check` does: one that was rolled back to an older state, too.
    pub(crate) fn open_to_check(&self) -> Result<Repository> {
        self.open_repository(true).map(|(repository, _)| repository)
    }

    /// Opens a repository in the way that was asked for.
    fn open_with(
        &self,
        backend: Arc<dyn Backend>,
        unlock: Unlock<'_>,
        rollback: bool,
    ) -> avro_snap::error::Result<Repository> {
        let mut repository = match rollback || self.globals.allow_rollback {
            true => Repository::open_rolled_back(backend, unlock, &self.options()),
            false => Repository::open(backend, unlock, &self.options()),
        }?;
        if let Some(pack) = self.globals.pack_size {
            repository.set_sizes(Sizes { pack, ..repository.sizes() });
        }
        self.warn_of(&repository);
        Ok(repository)
    }

    /// Opens the repository, and returns the password where one was needed.
    pub(crate) fn open_with_password(&self) -> Result<(Repository, Option<Vec<u8>>)> {
        self.open_repository(false)
    }

    fn open_repository(&self, rollback: bool) -> Result<(Repository, Option<Vec<u8>>)> {
        let folder = self.repository_folder()?;
        let Some(export) = &self.globals.key_export else {
            let what = format!("password of {}", folder.display());
            return self.open_folder_as(&folder, &self.password_source()?, &what, rollback);
        };
        let text = std::fs::read_to_string(export).when("read", export)?;
        Ok((self.open_with(self.backend(&folder)?, Unlock::Export(&text), rollback)?, None))
    }

    /// Opens a repository by the text of a key export.
    pub(crate) fn open_by_export(&self, folder: &Path, text: &str) -> Result<Repository> {
        Ok(self.open_with(self.backend(folder)?, Unlock::Export(text), false)?)
    }

    /// Opens the repository in a directory. On a terminal, a wrong password may be corrected twice.
    pub(crate) fn open_folder(
        &self,
        folder: &Path,
        source: &Source,
        what: &str,
    ) -> Result<(Repository, Option<Vec<u8>>)> {
        self.open_folder_as(folder, source, what, false)
    }

    fn open_folder_as(
        &self,
        folder: &Path,
        source: &Source,
        what: &str,
        rollback: bool,
    ) -> Result<(Repository, Option<Vec<u8>>)> {
        let attempts = if matches!(source, Source::Terminal) { 3 } else { 1 };
        let backend = self.backend(folder)?;
        let mut attempt = 1;
        loop {
            let given = RefCell::new(None);
            let failed = RefCell::new(None);
            // What goes wrong here is reported as it is, not as what the library makes of it.
            let mut ask = || match source.password(what, false, &self.output) {
                Ok(password) => {
                    given.replace(Some(password.clone()));
                    Ok(password)
                }
                Err(failure) => {
                    let message = failure.message();
                    failed.replace(Some(failure));
                    Err(Error::argument("password", message))
                }
            };
            let opened = self.open_with(backend.clone(), Unlock::Password(&mut ask), rollback);
            match (opened, failed.into_inner()) {
                (_, Some(failure)) => return Err(failure),
                (Ok(repository), None) => return Ok((repository, given.into_inner())),
                (Err(Error::WrongPassword { .. }), None) if attempt < attempts => {
                    self.output.warn("that is not the password; try again");
                }
                (Err(error), None) => return Err(error.into()),
            }
            attempt += 1;
        }
    }

    /// Opens a repository whose password is known.
    pub(crate) fn open_knowing(&self, folder: &Path, password: &[u8]) -> Result<Repository> {
        let mut known = || Ok(password.to_vec());
        Ok(self.open_with(self.backend(folder)?, Unlock::Password(&mut known), false)?)
    }

    /// The storage at a place.
    pub(crate) fn backend(&self, place: &Path) -> Result<Arc<dyn Backend>> {
        let backend = match stores::is_store(place) {
            true => stores::open(self, place)?,
            false if self.reads_oldest_versions(place) => {
                return Err(Failure::Usage(
                    "--oldest-versions is for repositories in S3: a directory keeps no versions".into(),
                ));
            }
            false if self.globals.storage_class.is_some() => {
                return Err(Failure::Usage(
                    "--storage-class is for repositories in object stores: a directory has no storage classes".into(),
                ));
            }
            false => Arc::new(Local::new(place)) as Arc<dyn Backend>,
        };
        self.retaining(place, backend)
    }

    /// Whether this is the place that --repo names.
    pub(crate) fn is_own(&self, place: &Path) -> bool {
        self.repository_folder().is_ok_and(|own| own == place)
    }

    /// Whether the oldest versions of its objects are asked for: of the repository that is read. Of two, that is the other one.
    pub(crate) fn reads_oldest_versions(&self, place: &Path) -> bool {
        self.globals.oldest_versions && self.is_own(place) != self.takes_from_another
    }

    /// The storage, which locks what is written to it where that was asked for.
    fn retaining(&self, place: &Path, backend: Arc<dyn Backend>) -> Result<Arc<dyn Backend>> {
        match self.globals.retain {
            None => Ok(backend),
            // What is only read is not locked: of another repository, as in a copy, or by the verb.
            Some(_) if !self.writes_objects || !self.is_own(place) => Ok(backend),
            Some(time) if backend.abilities().retains => Ok(Arc::new(Retain::new(backend, time))),
            Some(_) => Err(Failure::plain(
                format!("{}: objects cannot be locked here, and --retain (SNAP_RETAIN) asks for it", place.display()),
                "leave it out, or use a bucket with object lock (S3, Google Cloud Storage) and uploads with checksums",
            )),
        }
    }

    fn options(&self) -> OpenOptions {
        OpenOptions::default()
            .cache(self.globals.cache_folder().map_or(CachePlace::Temporary, CachePlace::Folder))
            .state_folder(self.globals.state_folder())
            .runtime(self.globals.runtime())
            .begins_to_write(self.begins_to_write)
    }
}

/// The user and the machine: `anna@host`.
pub(crate) fn who() -> String {
    format!("{}@{}", user(), host())
}
