//! The command line: arguments, output and exit codes. One file a verb; all printing goes through [`output`].

mod cache;
mod cat;
mod check;
mod completions;
mod compression;
mod copy;
mod count;
mod create;
mod debug;
mod diff;
mod drill;
mod dump;
mod elsewhere;
mod erase;
mod examples;
mod exit;
mod failure;
mod feed;
mod file;
mod filter;
mod find;
mod forget;
mod format;
mod from;
mod globals;
mod init;
mod interrupt;
mod key;
mod log;
mod lost;
mod ls;
mod manifest;
mod merge;
#[cfg(feature = "mount")]
mod mount;
mod open;
mod optimize;
mod output;
mod page;
mod panic;
mod parity;
mod parts;
mod password;
mod pick;
mod places;
mod plan;
mod progress;
mod prune;
mod record_diff;
mod recover;
mod repair;
#[cfg(feature = "serve")]
mod report;
mod restore;
mod retain;
mod schema;
#[cfg(feature = "serve")]
mod serve;
mod snapshots;
mod sources;
mod stats;
mod stores;
mod table;
mod tag;
mod when;
mod words;

#[cfg(test)]
mod options_tests;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use avro_snap::error::Error;
use avro_snap::storage::Rates;
use clap::{CommandFactory, FromArgMatches, Parser};

use exit::Exit;
use failure::{Failure, Result};
use globals::Globals;
use interrupt::When;
use output::Output;

/// Deduplicating, encrypted snapshots of Avro files (and any others)
///
/// snap looks into Avro container files and stores their records once, however often a table is exported. Restored files
/// are the same bit for bit.
#[derive(Debug, Parser)]
#[command(name = "snap", version, after_long_help = after_help(), max_term_width = 100)]
struct Cli {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    Init(init::Args),
    #[command(visible_alias = "backup")]
    Create(Box<create::Args>),
    Plan(plan::Args),
    Merge(merge::Args),
    Copy(Box<copy::Args>),
    Restore(restore::Args),
    Snapshots(snapshots::Args),
    Ls(ls::Args),
    Find(find::Args),
    Cat(cat::Args),
    Count(count::Args),
    Schema(schema::Args),
    Diff(Box<diff::Args>),
    Log(log::Args),
    Tag(tag::Args),
    Forget(Box<forget::Args>),
    Stats(stats::Args),
    Dump(dump::Args),
    Manifest(manifest::Args),
    #[cfg(feature = "mount")]
    Mount(mount::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    #[cfg(feature = "serve")]
    Report(report::Args),
    Check(check::Args),
    Drill(drill::Args),
    #[command(visible_alias = "gc")]
    Prune(prune::Args),
    Retain(retain::Args),
    Optimize(optimize::Args),
    Erase(Box<erase::Args>),
    Repair(repair::Args),
    Recover(recover::Args),
    Key(key::Args),
    Cache(cache::Args),
    Debug(debug::Args),
    Completions(completions::Args),
}

/// What every verb has at hand.
#[derive(Debug)]
struct Context {
    globals: Globals,
    output: Output,
    /// The verb looks at what lies in the storage, so that what this machine keeps of it must not stand in.
    #[cfg_attr(not(feature = "object-store"), expect(dead_code))]
    looks_at_storage: bool,
    /// The verb begins to write as soon as the repository is open.
    begins_to_write: bool,
    /// The verb may write objects of the repository.
    writes_objects: bool,
    /// The verb reads another repository, which `--from-repo` names.
    takes_from_another: bool,
    /// What all stores together keep to.
    #[cfg_attr(not(feature = "object-store"), expect(dead_code))]
    rates: Option<Arc<Rates>>,
}

fn after_help() -> String {
    format!(
        "{}\n\nSnapshots:\n  latest, latest~2 (the one two before it in the same series), SERIES:latest, or the beginning of \
         an id;\n  SNAPSHOT:PATH for something in it.\n\nEnvironment:\n  SNAP_REPOSITORY, SNAP_PASSWORD, SNAP_PASSWORD_FILE, \
         SNAP_PASSWORD_COMMAND,\n  SNAP_CACHE_DIR, SNAP_CACHE_SIZE, SNAP_STATE_DIR, SNAP_HOST, SNAP_RETAIN, SNAP_FROM_REPOSITORY,\n  SNAP_FROM_PASSWORD, \
         SNAP_FROM_PASSWORD_FILE, SNAP_FROM_PASSWORD_COMMAND,\n  XDG_CACHE_HOME, XDG_STATE_HOME\n\n{}",
        examples::of("snap"),
        exit::TABLE
    )
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    panic::install();
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let command = examples::added_to(Cli::command());
    let parsed = command.clone().try_get_matches_from(&arguments).and_then(|matches| {
        let cli = Cli::from_arg_matches(&matches)?;
        Ok((cli, page::of_matches(&matches)))
    });
    let (Cli { mut globals, verb }, page) = match parsed {
        Ok(parsed) => parsed,
        Err(error) => return page::refuse(error, command, &arguments).into(),
    };
    globals.page = page;
    let checked = globals.settle();
    let output = Output::new(globals.json, globals.quiet, globals.verbose > 0);
    let (looks_at_storage, begins_to_write) = (verb.looks_at_storage(), matches!(verb, Verb::Create(_)));
    let (writes_objects, takes_from_another) = (verb.writes_objects(), verb.takes_from_another());
    let rates = globals.rates().map(Arc::new);
    let context =
        Context { globals, output, looks_at_storage, begins_to_write, writes_objects, takes_from_another, rates };
    interrupt::install(verb.when_interrupted(), context.output.json);
    context.end(checked.and_then(|()| verb.run(&context))).into()
}

impl Verb {
    fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Init(args) => args.run(context),
            Self::Create(args) => args.run(context),
            Self::Plan(args) => args.run(context),
            Self::Merge(args) => args.run(context),
            Self::Copy(args) => args.run(context),
            Self::Restore(args) => args.run(context),
            Self::Snapshots(args) => args.run(context),
            Self::Ls(args) => args.run(context),
            Self::Find(args) => args.run(context),
            Self::Cat(args) => args.run(context),
            Self::Count(args) => args.run(context),
            Self::Schema(args) => args.run(context),
            Self::Diff(args) => args.run(context),
            Self::Log(args) => args.run(context),
            Self::Tag(args) => args.run(context),
            Self::Forget(args) => args.run(context),
            Self::Stats(args) => args.run(context),
            Self::Dump(args) => args.run(context),
            Self::Manifest(args) => args.run(context),
            #[cfg(feature = "mount")]
            Self::Mount(args) => args.run(context),
            #[cfg(feature = "serve")]
            Self::Serve(args) => args.run(context),
            #[cfg(feature = "serve")]
            Self::Report(args) => args.run(context),
            Self::Check(args) => args.run(context),
            Self::Drill(args) => args.run(context),
            Self::Prune(args) => args.run(context),
            Self::Retain(args) => args.run(context),
            Self::Optimize(args) => args.run(context),
            Self::Erase(args) => args.run(context),
            Self::Repair(args) => args.run(context),
            Self::Recover(args) => args.run(context),
            Self::Key(args) => args.run(context),
            Self::Cache(args) => args.run(context),
            Self::Debug(args) => args.run(context),
            Self::Completions(args) => args.run(context, Cli::command()),
        }
    }
}

impl Verb {
    fn looks_at_storage(&self) -> bool {
        matches!(self, Self::Check(_) | Self::Repair(_) | Self::Recover(_))
    }

    /// Whether it may write objects of the repository.
    fn writes_objects(&self) -> bool {
        matches!(self.when_interrupted(), When::Changing(_)) && !matches!(self, Self::Restore(_))
    }

    /// Whether it reads another repository.
    fn takes_from_another(&self) -> bool {
        match self {
            Self::Copy(_) => true,
            Self::Init(args) => args.takes_from_another(),
            _ => false,
        }
    }

    /// What is said if it is interrupted.
    fn when_interrupted(&self) -> When {
        match self {
            Self::Create(_) => When::Changing("run it again, it uses what is stored so far"),
            Self::Merge(_) => When::Changing("run it again, the parts are there as long as it is not done"),
            Self::Copy(_) => When::Changing("run it again, the snapshots copied so far stay"),
            Self::Restore(_) => When::Changing(
                "no file in the target is half written; run it again, with --overwrite if-changed to keep the \
                 files restored so far",
            ),
            Self::Init(_) => When::Changing("run it again if there is no repository yet"),
            Self::Key(_) => When::Changing("`snap key list` says what is done; run it again if it is not"),
            Self::Tag(_) | Self::Forget(_) => {
                When::Changing("`snap snapshots` says what is done; run it again if it is not")
            }
            Self::Erase(_) => {
                When::Changing("run it again: files of snapshots that are done hold no such records any more")
            }
            Self::Prune(_) | Self::Repair(_) | Self::Recover(_) | Self::Retain(_) | Self::Optimize(_) => {
                When::Changing("run it again, it continues from what is done so far")
            }
            #[cfg(feature = "mount")]
            Self::Mount(_) => When::Serving,
            #[cfg(feature = "serve")]
            Self::Serve(_) => When::Serving,
            _ => When::Reading,
        }
    }
}

impl Context {
    /// Says what went wrong, if anything did, and how the program ends.
    fn end(&self, ended: Result<Exit>) -> Exit {
        let flushed = self.output.flush().map_err(Failure::from);
        if self.output.verbose
            && let Some(traffic) = self.output.traffic()
        {
            self.output.to_stderr(&format!("snap: {}", format::traffic(traffic)));
        }
        match ended.and_then(|exit| flushed.map(|()| exit)) {
            Ok(exit) => exit,
            Err(failure) if failure.is_closed_pipe() => Exit::Done,
            Err(Failure::Library(Error::Interrupted)) => interrupt::end(),
            Err(_) if interrupt::happened() => interrupt::end(),
            Err(failure) => {
                self.output.failure(&failure, &self.globals);
                failure.exit()
            }
        }
    }

    /// The exit code of work that is done, even where its output is not read any more.
    fn finish_with(&self, exit: Exit, said: Result<()>) -> Result<Exit> {
        match said.and_then(|()| self.output.flush().map_err(Failure::from)) {
            Err(failure) if !failure.is_closed_pipe() => Err(failure),
            _ => Ok(exit),
        }
    }
}
