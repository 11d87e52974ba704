//! `snap repair config`

use avro_snap::error::Error;
use avro_snap::ops::repair::{ConfigReport, ConfigSource, find_config};
use avro_snap::storage::{Kind, Name};
use avro_snap::store::write_config;
use serde_json::json;

use crate::cli::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Result};
use crate::cli::progress::Meter;

/// Rebuild the config, which is needed to open the repository
///
/// It is kept twice, as `config` and `config2`. Where one of them is damaged or missing it is made from the other, or, if
/// one byte of it has changed, by finding out which. Where both are lost it comes from a key export (--key-export), or is
/// found with the help of the log. Where the beginning of the log is lost, too, a new one is made of what the packs say;
/// `snap recover --all` then begins a new log.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; show what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        match context.open() {
            Ok(repository) => {
                let made = match self.dry_run {
                    true => repository.config().unsound(),
                    false => repository.config().keep()?,
                };
                context.finish_with(Exit::Done, self.print_report(context, &made, ConfigSource::Copy))
            }
            Err(Failure::Library(error)) if is_about_config(&error) => self.find(context, error),
            Err(failure) => Err(failure),
        }
    }

    /// Makes one of which no copy is left.
    fn find(&self, context: &Context, error: Error) -> Result<Exit> {
        if !matches!(error, Error::NoRepository { .. }) {
            context.output.warn(&error.message());
        }
        let lost = context.lost_config()?;
        let meter = Meter::new(&context.output);
        let found = find_config(&lost, &context.globals.runtime(), &meter);
        meter.finish();
        let (config, source) = found?;
        let made = match self.dry_run {
            true => vec![Name::config_copy(), Name::config()],
            false => write_config(&*context.backend(&context.repository_folder()?)?, &config)?,
        };
        if !self.dry_run && source != ConfigSource::Packs {
            // It says what is wrong with it, should it not be the one.
            context.open()?;
        }
        context.finish_with(Exit::Done, self.print_report(context, &made, source))
    }

    fn print_report(&self, context: &Context, made: &[Name], source: ConfigSource) -> Result<()> {
        let output = &context.output;
        let report = ConfigReport::new(made, source);
        if output.json {
            return Ok(output.object_with("summary", json!({"dry_run": self.dry_run}), &report)?);
        }
        if report.made.is_empty() {
            return Ok(output.note(format_args!("both copies of the config are sound: nothing to do"))?);
        }
        let how = match source {
            ConfigSource::Copy => "from what is sound of it",
            ConfigSource::Export => "from the key export",
            ConfigSource::Log => "found by the hash that the log began with",
            ConfigSource::Packs => "a new one, from what the packs say",
        };
        let done = if self.dry_run { "would be rebuilt" } else { "rebuilt" };
        output.note(format_args!("{} {done}: {how}", report.made.join(" and ")))?;
        if source == ConfigSource::Packs {
            output.warn("the beginning of the log is lost, too: `snap recover --all` begins a new log");
        }
        Ok(())
    }
}

fn is_about_config(error: &Error) -> bool {
    error.object_kind() == Some(Kind::Config) || matches!(error, Error::NoRepository { .. })
}
