//! The command line: what it takes, and what comes of it. One file a verb; all printing goes through [`output`].

mod cat;
mod check;
mod completions;
mod compression;
mod copy;
mod create;
mod diff;
mod dump;
mod exit;
mod failure;
mod feed;
mod file;
mod find;
mod forget;
mod format;
mod from;
mod globals;
mod init;
mod key;
mod lost;
mod ls;
mod manifest;
mod open;
mod output;
mod panic;
mod parity;
mod password;
mod pick;
mod places;
mod progress;
mod prune;
mod recover;
mod repair;
mod restore;
mod rows;
mod schema;
mod snapshots;
mod stats;
mod tag;
mod words;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use exit::Exit;
use failure::{Failure, Result};
use globals::Globals;
use output::Output;

/// Deduplicating, encrypted snapshots of Avro files (and of any others)
///
/// snap looks into Avro container files: their records are stored once, however often a file is exported again, and
/// restored files are the same bit for bit.
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
    Copy(Box<copy::Args>),
    Restore(restore::Args),
    Snapshots(snapshots::Args),
    Ls(ls::Args),
    Find(find::Args),
    Cat(cat::Args),
    Schema(schema::Args),
    Diff(diff::Args),
    Tag(tag::Args),
    Forget(Box<forget::Args>),
    Stats(stats::Args),
    Dump(dump::Args),
    Manifest(manifest::Args),
    Check(check::Args),
    #[command(visible_alias = "gc")]
    Prune(prune::Args),
    Repair(repair::Args),
    Recover(recover::Args),
    Key(key::Args),
    Completions(completions::Args),
}

/// What every verb has at hand.
#[derive(Debug)]
struct Context {
    globals: Globals,
    output: Output,
}

fn after_help() -> String {
    format!(
        "Snapshots:\n  latest, latest~2 (the one two before), or the beginning of an id; `SNAPSHOT:PATH` for something in \
         one.\n\nEnvironment:\n  SNAP_REPOSITORY, SNAP_PASSWORD, SNAP_PASSWORD_FILE, SNAP_PASSWORD_COMMAND, \
         SNAP_CACHE_DIR, SNAP_STATE_DIR,\n  SNAP_HOST; SNAP_FROM_REPOSITORY, SNAP_FROM_PASSWORD, SNAP_FROM_PASSWORD_FILE, SNAP_FROM_PASSWORD_COMMAND;\n  \
         XDG_CACHE_HOME, XDG_STATE_HOME\n\n{}",
        exit::TABLE
    )
}

/// Runs the command line of this process.
pub(crate) fn main() -> ExitCode {
    panic::install();
    let Cli { globals, verb } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    let output = Output::new(globals.json, globals.quiet, globals.verbose);
    let context = Context { globals, output };
    context.end(verb.run(&context)).into()
}

impl Verb {
    fn run(self, context: &Context) -> Result<Exit> {
        match self {
            Self::Init(args) => args.run(context),
            Self::Create(args) => args.run(context),
            Self::Copy(args) => args.run(context),
            Self::Restore(args) => args.run(context),
            Self::Snapshots(args) => args.run(context),
            Self::Ls(args) => args.run(context),
            Self::Find(args) => args.run(context),
            Self::Cat(args) => args.run(context),
            Self::Schema(args) => args.run(context),
            Self::Diff(args) => args.run(context),
            Self::Tag(args) => args.run(context),
            Self::Forget(args) => args.run(context),
            Self::Stats(args) => args.run(context),
            Self::Dump(args) => args.run(context),
            Self::Manifest(args) => args.run(context),
            Self::Check(args) => args.run(context),
            Self::Prune(args) => args.run(context),
            Self::Repair(args) => args.run(context),
            Self::Recover(args) => args.run(context),
            Self::Key(args) => args.run(context),
            Self::Completions(args) => args.run(context, Cli::command()),
        }
    }
}

impl Context {
    /// Says what went wrong, if anything did, and how the program ends.
    fn end(&self, ended: Result<Exit>) -> Exit {
        let flushed = self.output.flush().map_err(Failure::from);
        match ended.and_then(|exit| flushed.map(|()| exit)) {
            Ok(exit) => exit,
            Err(failure) if failure.is_closed_pipe() => Exit::Done,
            Err(failure) => {
                self.output.failure(&failure, &self.globals);
                failure.exit()
            }
        }
    }

    /// The exit code of work that is done, even where nobody reads what is said about it any more.
    fn told(&self, exit: Exit, said: Result<()>) -> Result<Exit> {
        match said.and_then(|()| self.output.flush().map_err(Failure::from)) {
            Err(failure) if !failure.is_closed_pipe() => Err(failure),
            _ => Ok(exit),
        }
    }
}

/// Arguments that clap does not take, or a wish for help.
fn usage(error: &clap::Error) -> Exit {
    use clap::error::ErrorKind;
    let is_wish = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    let json = !is_wish && std::env::args_os().any(|argument| argument == "--json");
    match json {
        true => {
            // The first paragraph says what is wrong, the others how it is done.
            let text = error.render().to_string();
            let said: Vec<&str> = text.lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
            let message = said.join(" ").trim_start_matches("error: ").to_owned();
            Output::new(true, true, false).error("usage", &message, Some("see `snap --help`"));
        }
        // That nobody reads it is no reason to fail.
        false => drop(error.print()),
    }
    if is_wish { Exit::Done } else { Exit::Usage }
}
