//! Why a command ended without its work done, what code it ends with, and what helps.

use std::io::ErrorKind;
use std::path::Path;

use avro_snap::error::{Error, Refusal, RunRefusal, StorageErrorKind, Subject};
use avro_snap::storage::Kind;

use super::exit::Exit;
use super::globals::Globals;
use super::output::STANDARD_OUTPUT;

/// Result of a verb.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Why a command ended without its work done.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library says so.
    Library(Error),
    /// The arguments make no sense.
    Usage(String),
    /// Something about the way the command was called.
    Own {
        /// How the program ends.
        exit: Exit,
        /// Stable, for programs.
        code: &'static str,
        /// For people.
        message: String,
        /// What helps.
        hint: Option<String>,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Library(error)
    }
}

impl Failure {
    /// Something that has no code of its own.
    pub(crate) fn plain(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Own { exit: Exit::Failed, code: "failed", message: message.into(), hint: Some(hint.into()) }
    }

    /// An error of what the arguments were made into: a usage error if the library says that one makes no sense.
    pub(crate) fn of_arguments(error: Error) -> Self {
        match error {
            Error::InvalidArgument { reason, .. } => Self::Usage(reason),
            error => Self::Library(error),
        }
    }

    /// No password is available.
    pub(crate) fn no_password(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Own { exit: Exit::Password, code: "no_password", message: message.into(), hint: Some(hint.into()) }
    }

    /// How the program ends.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Library(error) => Exit::of(error),
            Self::Usage(_) => Exit::Usage,
            Self::Own { exit, .. } => *exit,
        }
    }

    /// Whether the reader of the output closed it, such as `head`. Nothing is wrong then.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Library(Error::Io { path, source, .. })
            if source.kind() == ErrorKind::BrokenPipe && path.as_os_str() == STANDARD_OUTPUT)
    }

    /// What is said about it: the error and all its causes, each once.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Library(error) => error.message(),
            Self::Usage(message) | Self::Own { message, .. } => message.clone(),
        }
    }

    /// A stable name for programs.
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Library(error) => error.code(),
            Self::Usage(_) => "usage",
            Self::Own { code, .. } => code,
        }
    }

    /// What helps, where there is a way out.
    pub(crate) fn hint(&self, globals: &Globals) -> Option<String> {
        match self {
            Self::Library(error) => hint(error, globals),
            Self::Usage(_) => Some(format!("see `{} --help`", globals.page)),
            Self::Own { hint, .. } => hint.clone(),
        }
    }
}

/// What helps against an error, where there is a way out.
pub(crate) fn hint(error: &Error, globals: &Globals) -> Option<String> {
    Some(match error {
        Error::NoRepository { location } => format!("create one with `snap init -r {location}`, or check -r"),
        Error::CannotInit { .. } => "choose another place, or use what is there with -r".into(),
        Error::WrongPassword { .. } => {
            "check --password-file, --password-command, SNAP_PASSWORD, SNAP_PASSWORD_FILE; if all passwords are lost, \
             `snap key import` makes a new one from a key export"
                .into()
        }
        Error::NoPassword { .. } => "give it with --password-file, --password-command or SNAP_PASSWORD".into(),
        Error::KeysRotated { .. } => {
            "the keys were rotated meanwhile: run the command again, which opens the repository with the new keys. \
             What was stored so far is there and is used then"
                .into()
        }
        Error::OldExport { .. } => "make a new one with `snap key export`, with a current password".into(),
        Error::RolledBack { repository, .. } => {
            let head = globals.state_folder().map(|folder| folder.join(repository.to_string()).join("head"));
            let file = head.map_or_else(|| "the file `head` in the state folder".into(), |p| p.display().to_string());
            format!(
                "the storage shows an older or another state than before: this is an older copy, a copy was put back, a disk \
                 lost writes, or it was tampered with. --allow-rollback reads it as it is, and `snap check` says more. \
                 Snapshots made since may be gone from the log: `snap recover` finds those whose data is there. Once you \
                 are sure that this is the state to go on with, remove {file}"
            )
        }
        Error::StorageAway { .. } => {
            "nothing was recorded and nothing is lost by this. Bring back the disk, mount or share that the packs lie on, then \
             run `snap check`. Only if the packs are gone for good: `snap repair snapshots --accept-missing-packs` records \
             that, and `snap create` stores again what is still there to be saved. Where a prune of a full disk was \
             interrupted: `snap prune`"
                .into()
        }
        Error::Busy { .. } => "wait until the other process is done, then run it again".into(),
        Error::Pruned { .. } => {
            "for a new snapshot run `snap create` again, which reads what is missing again; one that was removed cannot come \
             back any more"
                .into()
        }
        Error::Cache { .. } => "--no-cache works without it; it may be deleted, nothing is lost with it".into(),
        Error::Io { path, .. } if error.is_full() => when_full(path, globals),
        Error::Storage(_) if error.is_full() => FULL_REPOSITORY.into(),
        Error::Io { source, .. } if source.kind() == ErrorKind::ReadOnlyFilesystem => {
            "the file system is mounted read-only".into()
        }
        Error::UnsafePath { .. } => {
            "a path that leads out of the target is never written; restore into an empty directory instead".into()
        }
        Error::DeleteRefused(refusal) => match refusal {
            Refusal::Unreadable { .. } => {
                "restore without --delete, or take another snapshot; --delete-despite-unreadable removes all else and \
                 leaves alone what is known by its path to have been unreadable"
            }
            Refusal::WholeSystem { .. } => {
                "say with --include /PATH where something may be removed (no * in the first name), or restore without \
                 --delete"
            }
            Refusal::Precious { .. } => {
                "check --target; restore without --delete, or one folder at a time: SNAPSHOT:PATH into that folder"
            }
            _ => "restore without --delete",
        }
        .into(),
        Error::RunRefused { run, refusal } => run_hint(run, refusal),
        Error::Exhausted { .. } => OUT_OF_RESOURCES.into(),
        Error::NoSnapshot { .. } | Error::SnapshotRemoved { .. } => "`snap snapshots` lists all snapshots".into(),
        Error::SnapshotReplaced { .. } => "run the command again: it reads the snapshot as it is stored now".into(),
        Error::AmbiguousSnapshot { .. } => "give more digits of the id; `snap snapshots` lists them".into(),
        Error::WrongKind { .. } => "`snap ls --long` shows what it is".into(),
        Error::NoPath { snapshot, .. } => format!("`snap ls {snapshot}` lists what is there"),
        Error::Unsupported { .. } => "use the version of snap that wrote it, or a later one".into(),
        error if error.is_damage() => {
            let help = damage_hint(error.object_kind());
            in_its_place(error, globals).map_or_else(|| help.into(), |there| format!("{there}. Then: {help}"))
        }
        Error::Storage(error) => return storage_hint(error.kind()).map(Into::into),
        _ => return None,
    })
}

/// What helps where a part or a run was refused.
fn run_hint(run: &str, refusal: &RunRefusal) -> String {
    match refusal {
        RunRefusal::Merged(_) | RunRefusal::Over => "each run needs a name of its own, such as the date".into(),
        RunRefusal::Unknown => "`snap merge --list` shows the runs that are not merged".into(),
        RunRefusal::Incomplete { missing, of } => {
            let first = missing.first().copied().unwrap_or(1);
            format!(
                "run each of them again, like `snap create --shard {first}/{of} --run {run} ...` with the same sources and \
                 options; the other parts stay. `snap merge --run {run} --discard` gives the run up"
            )
        }
        RunRefusal::Uneven { part, .. } => format!(
            "is the source not mounted on the machine that saved part {part}? Run that part again with --force. If it is meant to \
             be so: `snap merge --run {run} --accept-losses`"
        ),
        _ => format!(
            "start all parts of a run with the same sources and options; `snap merge --run {run} --discard` gives the run up, for \
             another one"
        ),
    }
}

/// What helps where this machine has run out of something.
const OUT_OF_RESOURCES: &str = "this machine has run out of threads, open files or memory: see `ulimit -a`";

/// What helps where the storage of the repository is full.
const FULL_REPOSITORY: &str = "the disk is full. What was stored before is safe; make room and run it again, it goes on \
                               from there. `snap forget` and `snap prune` work without a free byte; see also `snap prune \
                               --unsafe-recover-no-free-space`";

/// What helps where the disk that has this path is full: that of the repository, of the cache or the state, or of what is
/// written elsewhere, such as the target of a restore.
fn when_full(path: &Path, globals: &Globals) -> String {
    // Before and after links are followed: errors have the path as it was given.
    let lies_in = |folder: &Path| path.starts_with(folder) || is_below(path, folder);
    let repository = globals.repo.as_deref().and_then(|location| super::open::folder(location).ok());
    if repository.is_some_and(|folder| lies_in(&folder)) {
        return FULL_REPOSITORY.into();
    }
    if globals.cache_folder().is_some_and(|folder| lies_in(&folder)) {
        return "the disk of the cache is full, not that of the repository: make room there, or move the cache with \
                --cache-dir; --no-cache works without it"
            .into();
    }
    if path.as_os_str() == STANDARD_OUTPUT {
        return "the disk that the output goes to is full; the repository is not affected".into();
    }
    "the disk that this path is on is full; the repository is not affected. Make room there and run it again".into()
}

/// Whether a path lies in a folder, links followed.
fn is_below(path: &Path, folder: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    // What could not be written may not be there.
    let there = path.ancestors().find_map(|path| path.canonicalize().ok());
    there.is_some_and(|path| path.starts_with(folder))
}

/// What to do first where something that is no file lies in the place of the object that the error is about: no repair removes
/// that.
pub(super) fn in_its_place(error: &Error, globals: &Globals) -> Option<String> {
    let (Error::ObjectMissing { name } | Error::Damaged { name: Subject::Object(name), .. }) = error else {
        return None;
    };
    let path = super::open::folder(globals.repo.as_deref()?).ok()?.join(name.to_string());
    let there = path.symlink_metadata().ok().filter(|there| !there.is_file())?;
    let what = match there.file_type() {
        kind if kind.is_dir() => "a folder",
        kind if kind.is_symlink() => "a symbolic link",
        _ => "no file",
    };
    Some(format!(
        "{} is {what}, where a file of the repository belongs: look at what it is, and move it away",
        path.display()
    ))
}

/// What helps where an object of this kind is missing or damaged.
fn damage_hint(kind: Option<Kind>) -> &'static str {
    match kind {
        Some(Kind::Config) => {
            "without its config no repository can be opened: `snap repair config` rebuilds it from its second copy, from \
             a key export (--key-export), or with the help of the log and the packs. A copy of its 96 bytes from any backup \
             of the repository also works"
        }
        Some(Kind::Log) => {
            "the log of the repository is broken; the packs have the data: `snap recover` lists the snapshots that lie in \
             them and puts the log right"
        }
        Some(Kind::Key) => {
            "without a sound key slot no password opens the repository: `snap key import` makes one from a key export, and \
             --key-export opens it without one. The files in its folder `keys`, from any copy of the repository, do as well"
        }
        Some(Kind::Index) => "`snap repair index` rebuilds lost index objects from the packs",
        _ => "`snap check --read-data` lists all that is damaged; other files and snapshots can still be restored",
    }
}

/// What helps where the storage of the repository failed.
fn storage_hint(kind: StorageErrorKind) -> Option<&'static str> {
    Some(match kind {
        StorageErrorKind::ReadOnly => "the file system is mounted read-only",
        StorageErrorKind::BadMedium => {
            "the disk cannot read or write a place: see the log of the system. `snap check --read-data` says what is lost by \
             it; copy the repository to another disk first"
        }
        StorageErrorKind::NotDurable => {
            "the system could not write to the disk what it had taken: see the log of the system. What was stored before is \
             safe; run it again once the disk is sound"
        }
        StorageErrorKind::Unavailable => {
            "the storage does not answer; nothing is known to be lost. Run it again once it is there"
        }
        StorageErrorKind::Archived => {
            "the storage class of this pack keeps it in an archive: `snap restore --dry-run --packs` lists all packs that a \
             restore needs; have the store thaw them (`aws s3api restore-object`, a rehydration on Azure), then run it again"
        }
        StorageErrorKind::Throttled => "the storage asks for fewer requests: run it again later",
        StorageErrorKind::UnknownOutcome => {
            "an answer of the storage was lost, so it may have been done. Nothing is half done: look at `snap snapshots`, \
             and run it again"
        }
        StorageErrorKind::Exhausted => OUT_OF_RESOURCES,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_that_of_what_was_written() {
        use clap::Parser;
        #[derive(Debug, Parser)]
        struct Line {
            #[command(flatten)]
            globals: Globals,
        }
        let folder = tempfile::tempdir().unwrap();
        let repository = folder.path().join("repository");
        std::fs::create_dir(&repository).unwrap();
        std::os::unix::fs::symlink(&repository, folder.path().join("link")).unwrap();
        for location in [repository.clone(), folder.path().join("link")] {
            let line = ["snap".as_ref(), "-r".as_ref(), location.as_os_str()];
            let cache = ["--cache-dir".into(), folder.path().join("cache").into_os_string()];
            let line = line.iter().map(|text| text.to_os_string()).chain(cache);
            let globals = Line::parse_from(line).globals;
            let full = |path: &Path| {
                let error = Error::io("write", path, std::io::Error::from(ErrorKind::StorageFull));
                hint(&error, &globals).unwrap()
            };
            for object in ["packs/12/34", "log/x"] {
                assert!(full(&repository.join(object)).contains("`snap forget` and `snap prune` work"), "{object}");
                assert!(full(&location.join(object)).contains("`snap forget` and `snap prune` work"), "{object}");
            }
            assert!(full(&folder.path().join("cache/x/index.db")).contains("the disk of the cache"));
            for elsewhere in ["target/a", "repository2/x"] {
                let said = full(&folder.path().join(elsewhere));
                assert!(said.contains("the repository is not affected"), "{elsewhere}: {said}");
            }
        }
    }

    #[test]
    fn each_cause_is_said_once() {
        let error = Error::io("read", "x", std::io::Error::other("no such luck"));
        assert_eq!(error.message(), "read x: no such luck");
    }
}
