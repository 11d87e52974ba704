//! Commands of other tools that snap does not have, and what does their job here.

/// What is said about a command that does not exist: what does its job, or why nothing needs to.
pub(crate) fn answer(command: &str) -> Option<&'static str> {
    Some(match command {
        "unlock" | "break-lock" | "list-locks" => {
            "there are no locks: any number of processes may use a repository at once, and a killed one leaves nothing to \
             unlock"
        }
        "migrate" | "upgrade" => {
            "there is nothing to migrate: every version of snap reads the repositories of older ones. `snap optimize` stores \
             old snapshots with the encoders of this version, `snap key rotate` replaces keys, `snap repair packs --parity` \
             adds redundancy"
        }
        "rebuild-index" | "reindex" => "`snap repair index` rebuilds lost index objects from the packs",
        "umount" | "unmount" => "`fusermount3 -u DIR` unmounts what `snap mount` shows; so does Ctrl-C there",
        #[cfg(not(feature = "mount"))]
        "mount" => "this snap was built without `mount`: `snap restore SNAPSHOT:PATH` writes a part of a snapshot",
        #[cfg(not(feature = "serve"))]
        "serve" | "report" => "this snap was built without `serve`: build it with the default features",
        "generate" => {
            "`snap completions SHELL` prints completions for a shell; there are no manual pages yet, see `snap help`"
        }
        "self-update" => {
            "snap does not update itself: build the new version with `cargo install`, it reads the same repositories"
        }
        "cache" => {
            "the cache needs no care: `--no-cache` works without one, `--cache-dir` moves it, and deleting it loses nothing"
        }
        "rewrite" => {
            "snapshots are not rewritten: `snap create --exclude` leaves files out of the next one, `snap tag` changes tags, \
             `snap forget` and `snap prune` remove snapshots and their data, `snap optimize` and `snap repair payloads` store blocks in another way"
        }
        "list" => {
            "`snap snapshots` lists snapshots, `snap ls` files, `snap key list` keys, `snap stats` counts the rest"
        }
        "version" => "`snap --version` prints the version",
        "options" | "features" => "`snap help` lists all commands and flags, and which variables are read",
        "delete" | "rm" | "remove" => {
            "`snap forget` removes snapshots, `snap prune` their data, `snap key remove` passwords"
        }
        "extract" => "`snap restore` writes files, `snap dump` prints one file or a directory as a tar archive",
        "recompress" | "reencode" | "defrag" => {
            "`snap optimize` stores old snapshots again with the encoders of this version, `snap prune` frees what is unused"
        }
        "compact" | "vacuum" => "`snap prune` deletes data that no snapshot needs",
        "verify" | "fsck" => "`snap check` verifies a repository, with --read-data every byte of it",
        "info" => "`snap snapshots` and `snap stats` say what there is and what it takes",
        "rename" | "recreate" => "snapshots do not change; `snap tag` changes their tags",
        "debug" => "`snap check` says what is damaged; docs/format.md describes every byte",
        _ => return None,
    })
}

/// Which of the figures of `stats` are those of a mode of restic's.
pub(crate) fn stats_mode(mode: &str) -> Option<&'static str> {
    Some(match mode {
        "restore-size" => "--mode is not needed, all figures are shown: Size is what a snapshot restores to",
        "raw-data" => "--mode is not needed, all figures are shown: Stored is what data takes in the repository",
        "files-by-contents" | "blobs-per-file" => {
            "--mode is not needed, all figures are shown: Chunks counts what is stored once, Deduplication what that saves"
        }
        _ => return None,
    })
}

/// What shows the same as `cat` of restic's, which prints objects of the repository.
pub(crate) fn object(kind: &str) -> Option<&'static str> {
    Some(match kind {
        "snapshot" => "`snap snapshots --json ID` prints all that is known of a snapshot, `snap ls ID` its files",
        "config" => "`snap stats` says what the repository takes, `snap check` whether its config is sound",
        "index" | "pack" | "blob" | "tree" => {
            "`snap ls --json SNAPSHOT` prints what is known of each file, `snap stats --json` counts packs and chunks, `snap \
             check --read-data` verifies them"
        }
        "key" | "masterkey" => "`snap key list` lists keys, `snap key export` writes one to be kept elsewhere",
        "lock" => "there are no locks",
        _ => return None,
    })
}

/// What is said where no repository is given and another tool's variable has one.
pub(crate) fn other_repository() -> Option<String> {
    let is_set = |name: &&&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let names = ["RESTIC_REPOSITORY", "RESTIC_REPOSITORY_FILE", "BORG_REPO", "KOPIA_CONFIG_PATH"];
    let name = names.iter().find(is_set)?;
    Some(format!(
        "{name} is set, but it names the repository of another tool, which snap cannot use. snap reads SNAP_REPOSITORY (and \
         SNAP_PASSWORD_FILE, SNAP_PASSWORD_COMMAND or SNAP_PASSWORD): make a repository of its own with `snap init`"
    ))
}
