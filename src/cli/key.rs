//! `snap key`

use std::io::Write;
use std::path::{Path, PathBuf};

use avro_snap::error::IoContext;
use avro_snap::id::KeyId;
use avro_snap::ops::select::check_digits;
use avro_snap::store::passwords::{
    KeyReport, NewPassword, RotationReport, add_key, change_key, remove_key, rotate_keys,
};
use avro_snap::store::{KeyDescription, Repository};
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file::create_new;
use super::format::{count, local_time, size};
use super::init::Kdf;
use super::open::who;
use super::password::Source;
use super::table::Table;

/// Manage the passwords that open the repository
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the keys; * marks the one in use
    ///
    /// Each key is a password that opens the repository.
    List,
    /// Add a password
    Add(NewKey),
    /// Change the password that the repository is opened with
    Passwd(NewKey),
    /// Remove a password
    ///
    /// Anyone who knew it and kept a copy of the repository (or of its keys) can still read that copy.
    Remove {
        /// Id of the key, at least its first 4 digits (see `snap key list`)
        #[arg(value_name = "ID")]
        id: String,
    },
    /// Replace the keys: old passwords and exports cannot open what is written from now on
    ///
    /// Use it when a password, a key export or a copy of a key may have leaked. The repository keeps the password it was
    /// opened with unless a new one is given; if that password may have leaked, give a new one. All other passwords are
    /// removed, since they cannot be moved to the new keys without being known. Key exports made before cannot open what is
    /// written from now on.
    ///
    /// Data that is stored already stays under the old keys until `snap prune --reencrypt` moves it; index and packs are
    /// then under the new ones alone. The log stays as it is: anyone with the old keys can still read what it says up to now
    /// (ids and times of snapshots, on which machine each was made). Nothing takes back what somebody has read or copied
    /// before. The key that names chunks never changes, so what was stored once is not stored again.
    Rotate {
        /// Remove all other passwords
        #[arg(long)]
        remove_other_keys: bool,
        #[command(flatten)]
        new: NewKey,
    },
    /// Write the secrets of the repository to a file, in case keys or passwords are lost
    ///
    /// Anybody with that file can read everything: keep it as safe as the data, on paper or in a vault.
    Export {
        /// File to write; an existing file is never overwritten; - is standard output
        #[arg(short, long, value_name = "FILE")]
        output: PathBuf,
    },
    /// Add a password using a key export, if no password is known or all keys are lost
    Import {
        /// File that `snap key export` wrote
        #[arg(value_name = "EXPORT_FILE")]
        export: PathBuf,
        #[command(flatten)]
        new: NewKey,
    },
}

/// A password that is to be added.
#[derive(Debug, clap::Args)]
struct NewKey {
    /// Read the new password from this file [env: SNAP_NEW_PASSWORD_FILE, SNAP_NEW_PASSWORD]
    #[arg(long, value_name = "FILE", conflicts_with = "new_password_command")]
    new_password_file: Option<PathBuf>,

    /// Run this command for the new password [env: SNAP_NEW_PASSWORD_COMMAND]
    #[arg(long, value_name = "COMMAND")]
    new_password_command: Option<String>,

    /// Label for the password, such as whose it is [default: user@host]
    #[arg(long, value_name = "TEXT")]
    label: Option<String>,

    #[command(flatten)]
    kdf: Kdf,
}

impl NewKey {
    fn source(&self) -> Result<Source> {
        Source::find(self.new_password_file.as_deref(), self.new_password_command.as_deref(), "SNAP_NEW")
    }

    /// Asks for the new password, and does something with it.
    fn with<T>(
        &self,
        context: &Context,
        source: &Source,
        work: impl FnOnce(NewPassword<'_>) -> avro_snap::error::Result<T>,
    ) -> Result<T> {
        let password = source.password("new password", true, &context.output)?;
        let label = self.label.clone().unwrap_or_else(who);
        Ok(work(NewPassword { password: &password, kdf: self.kdf.cost(), label: &label })?)
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match &self.what {
            What::List => list(context),
            What::Add(new) => {
                let (source, repository) = (new.source()?, context.open()?);
                encrypted(&repository)?;
                let report = new.with(context, &source, |new| add_key(&repository, new))?;
                said(context, "added", report)
            }
            What::Passwd(new) => change(context, new),
            What::Remove { id } => remove(context, id),
            What::Rotate { remove_other_keys, new } => rotate(context, new, *remove_other_keys),
            What::Export { output } => export(context, output),
            What::Import { export, new } => {
                let source = new.source()?;
                let text = std::fs::read_to_string(export).when("read", export)?;
                let repository = context.open_by_export(&context.repository_folder()?, &text)?;
                let report = new.with(context, &source, |new| add_key(&repository, new))?;
                said(context, "added", report)
            }
        }
    }
}

fn said(context: &Context, what: &str, report: KeyReport) -> Result<Exit> {
    let said = match context.output.json {
        true => context.output.object("summary", report),
        false => context.output.note(format_args!("{what} key {}", report.key_id)),
    };
    context.finish_with(Exit::Done, said.map_err(Failure::from))
}

/// One without keys says so before a new password is asked for.
fn encrypted(repository: &Repository) -> Result<()> {
    match repository.keys().keyring() {
        Some(_) => Ok(()),
        None => Err(Failure::plain(
            "the repository is not encrypted: it has no keys",
            "encryption is chosen at `snap init` and cannot be changed",
        )),
    }
}

fn list(context: &Context) -> Result<Exit> {
    let output = &context.output;
    let (repository, password) = context.open_with_password()?;
    // None where it was opened with a key export.
    let in_use = password.and_then(|password| repository.keys().find(&password).ok());
    let mut table = Table::new(&["", "ID", "For", "Made", "Memory"], &[4]).cutting(&[2]);
    for key in repository.keys().list() {
        let info = key.info.as_ref();
        let is_in_use = Some(key.id) == in_use;
        if output.json {
            output.object_with("key", json!({"current": is_in_use}), &key)?;
            continue;
        }
        let mark = if is_in_use { "*" } else { "" };
        let mut row = vec![mark.to_owned(), key.id.to_string()];
        match info {
            Some(info) => {
                row.extend([info.label.clone(), local_time(info.created), size(u64::from(info.cost.memory_kib) << 10)])
            }
            None => row.push("cannot be read".into()),
        }
        table.row(row);
    }
    if !output.json {
        table.print(output)?;
    }
    Ok(Exit::Done)
}

fn change(context: &Context, new: &NewKey) -> Result<Exit> {
    if context.globals.key_export.is_some() {
        let message = "there is no password to change with --key-export: use `snap key import`";
        return Err(Failure::Usage(message.into()));
    }
    let (source, (repository, password)) = (new.source()?, context.open_with_password()?);
    encrypted(&repository)?;
    let old = repository.keys().find(&password.unwrap_or_default())?;
    // The new one first: whatever happens, there is a way in.
    let report = new.with(context, &source, |new| change_key(&repository, old, new))?;
    said(context, "changed the password; it is now", report)
}

fn rotate(context: &Context, new: &NewKey, remove_other_keys: bool) -> Result<Exit> {
    let (source, (mut repository, password)) = (new.source()?, context.open_with_password()?);
    encrypted(&repository)?;
    let own = password.as_ref().map(|password| repository.keys().find(password)).transpose()?;
    let (own, others): (Vec<_>, Vec<_>) = repository.keys().list().into_iter().partition(|key| Some(key.id) == own);
    let name = |key: &KeyDescription| match &key.info {
        Some(info) => format!("{} ({})", key.id, info.label),
        None => key.id.to_string(),
    };
    let names = others.iter().map(name).collect::<Vec<_>>().join(", ");
    if !others.is_empty() && !remove_other_keys {
        return Err(Failure::Own {
            exit: Exit::Failed,
            code: "other_keys",
            message: format!("{} would open nothing any more: {names}", count(others.len() as u64, "other key")),
            hint: Some(
                "--remove-other-keys removes them; after that `snap key add` makes a new one for each owner".into(),
            ),
        });
    }
    let password = match (&source, password) {
        (Source::Terminal, Some(password)) => password,
        _ => source.password("new password", true, &context.output)?,
    };
    let kept = own.first().and_then(|key| key.info.as_ref()).map(|info| info.label.clone());
    let label = new.label.clone().or(kept).unwrap_or_else(who);
    let new = NewPassword { password: &password, kdf: new.kdf.cost(), label: &label };
    let rotated = rotate_keys(&mut repository, new, own.first().map(|key| key.id), others)?;
    let output = &context.output;
    if let Some(error) = &rotated.left {
        let why = error.message();
        output.warn(&format!("old keys open nothing any more, but not all could be deleted; `snap prune` will: {why}"));
    }
    let said = match output.json {
        true => output.object("summary", &rotated),
        false => print_rotated(context, &rotated, &names),
    };
    context.finish_with(Exit::Done, said.map_err(Failure::from))
}

fn print_rotated(context: &Context, rotated: &RotationReport, others: &str) -> avro_snap::error::Result<()> {
    let output = &context.output;
    output.note(format_args!("rotated the keys (rotation {}); the key is now {}", rotated.rotation, rotated.key_id))?;
    if !others.is_empty() {
        output.note(format_args!("removed: {others}. `snap key add` makes a new one for each owner."))?;
    }
    output.note(format_args!("Older key exports do not open it any more: make a new one with `snap key export`."))?;
    output.note(format_args!("What is stored stays under the old keys until `snap prune --reencrypt` moves it."))
}

fn remove(context: &Context, prefix: &str) -> Result<Exit> {
    let (repository, password) = context.open_with_password()?;
    encrypted(&repository)?;
    check_digits(prefix).map_err(|error| Failure::Usage(error.to_string()))?;
    let prefix = prefix.to_ascii_lowercase();
    let fitting: Vec<KeyId> =
        repository.keys().list().iter().map(|key| key.id).filter(|id| id.to_string().starts_with(&prefix)).collect();
    let id = match fitting.as_slice() {
        [id] => *id,
        [] => return Err(Failure::plain(format!("there is no key {prefix}"), "`snap key list` lists them")),
        several => {
            let message = format!("key id {prefix} is ambiguous ({} matches)", several.len());
            return Err(Failure::plain(message, "give more digits of the id"));
        }
    };
    if let Some(password) = password
        && repository.keys().list().len() > 1
        && repository.keys().find(&password)? == id
    {
        return Err(Failure::plain(
            format!("{id} is the key that the repository was just opened with"),
            "open it with another password, or use `snap key passwd`",
        ));
    }
    said(context, "removed", remove_key(&repository, id)?)
}

fn export(context: &Context, output: &Path) -> Result<Exit> {
    // Before a password is asked for in vain.
    if output != Path::new("-") && output.symlink_metadata().is_ok() {
        return Err(Failure::plain(
            format!("{} is there already", output.display()),
            "a key export never overwrites a file: choose another name",
        ));
    }
    let repository = context.open()?;
    encrypted(&repository)?;
    let text = repository.keys().export()?;
    if output == Path::new("-") {
        context.output.bytes(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut file = create_new(output, 0o600)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).when("write", output)?;
    let said = match context.output.json {
        true => context.output.object("summary", json!({"file": output.to_string_lossy()})),
        false => context.output.note(format_args!(
            "wrote {}. Anyone who has it can read the whole repository: keep it safe, and away from the repository.",
            output.display()
        )),
    };
    context.finish_with(Exit::Done, said.map_err(Failure::from))
}
