//! `snap plan`

use std::path::PathBuf;

use avro_snap::ops::create::CreateOptions;
use avro_snap::ops::plan::PlanReport;

use super::exit::Exit;
use super::failure::Result;
use super::format::{count, size};
use super::progress::Meter;
use super::sources::{ExcludeArgs, ListArgs};
use super::table::Table;
use super::{Context, stores};

/// Show how sources would be divided among several processes
///
/// `snap create --shard K/N` saves what is shown here as part K, as far as the sources do not change. Which part a file belongs to
/// follows from its path. Files are spread evenly where there are many of them, and where they are numbered; a few large files with
/// other names may fall into one part. Then use more parts than processes, and let each process take the next one. Only names and
/// sizes are looked at, and no repository is needed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of parts
    #[arg(long, value_name = "N")]
    shards: u32,

    /// Files and directories that are to be saved
    #[arg(required_unless_present_any = ["files_from", "files_from_raw"], value_name = "PATH")]
    paths: Vec<PathBuf>,

    #[command(flatten)]
    lists: ListArgs,

    // Last, since its heading goes for all that follows.
    #[command(flatten)]
    exclude: ExcludeArgs,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let mut options = CreateOptions::new(self.lists.some_roots(context, &self.paths)?);
        self.exclude.put(&mut options)?;
        options.pass_over =
            context.repository_folder().ok().filter(|place| !stores::is_store(place)).into_iter().collect();
        let meter = Meter::new(&context.output);
        let planned = stores::plan(context, options, self.shards, &meter);
        meter.finish();
        let report = planned?;
        let exit = if report.unreadable > 0 { Exit::Incomplete } else { Exit::Done };
        context.finish_with(exit, print_report(context, &report))
    }
}

fn print_report(context: &Context, report: &PlanReport) -> Result<()> {
    let output = &context.output;
    if output.json {
        return Ok(output.object("summary", report)?);
    }
    let mut table = Table::new(&["Part", "Files", "Size", "Share", "Largest file"], &[1, 2, 3, 4]);
    for part in &report.parts {
        let share = if report.bytes == 0 { 0.0 } else { 100.0 * part.bytes as f64 / report.bytes as f64 };
        let figures = [part.files.to_string(), size(part.bytes), format!("{share:.1}%"), size(part.largest)];
        table.row([part.shard.to_string()].into_iter().chain(figures).collect());
    }
    table.print(output)?;
    output.note(format_args!("{}, {}", count(report.files, "file"), size(report.bytes)))?;
    if let Some(imbalance) = report.imbalance {
        output.note(format_args!("the largest part has {imbalance:.2} times what an average one has"))?;
    }
    if report.unreadable > 0 {
        output.note(format_args!("missing: {} could not be read", report.unreadable))?;
    }
    Ok(())
}
