//! `snap ls`

use std::ffi::OsString;

use avro_snap::ops::iceberg::{IcebergTable, iceberg_tables};
use avro_snap::ops::ls::{Summary, ls};

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, long, size};
use super::parity::warn_of_mended;
use super::pick::{Filters, paths_in, selector, two_paths};
use super::table::Table;

/// List the files of a snapshot
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and perhaps a path in it
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// List only these paths of the snapshot
    #[arg(value_name = "PATH")]
    paths: Vec<OsString>,

    /// Print mode, owner, size, time, and for Avro files codec and records
    #[arg(short, long)]
    long: bool,

    /// List directories with all that is in them; this is the default
    #[arg(long, overrides_with = "no_recursive")]
    recursive: bool,

    /// List only what is directly in the path
    #[arg(long)]
    no_recursive: bool,

    /// List Iceberg tables instead of files: version, current snapshot, records, and where they are
    ///
    /// Of each the newest metadata in the snapshot says that, whether the table was saved with --iceberg or as files.
    #[arg(long, conflicts_with_all = ["long", "null", "no_recursive"])]
    iceberg: bool,

    /// Print only paths, each ended by a NUL character
    #[arg(short = '0', long = "null", conflicts_with = "long")]
    null: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        if self.null && output.json {
            return Err(Failure::Usage("--null and --json do not go together".into()));
        }
        let selector = selector(self.snapshot.as_deref())?;
        let paths = paths_in(&selector, &self.paths)?;
        let repository = context.open()?;
        let (snapshot, path) = context.pick(&repository, selector, &self.filters)?;
        let paths = match paths.is_empty() {
            true => vec![path],
            false if !path.is_empty() => return Err(two_paths()),
            false => paths,
        };
        if self.iceberg {
            let tables = paths.iter().map(|path| iceberg_tables(&repository, &snapshot, path));
            let tables = tables.collect::<std::result::Result<Vec<_>, _>>()?.concat();
            return context.finish_with(Exit::Done, print_tables(context, &tables));
        }
        let mut summary = Summary::default();
        for path in &paths {
            ls(&repository, &snapshot, path, !self.no_recursive, &mut |entry| {
                summary.add(entry);
                if output.json {
                    return output.object("node", entry);
                }
                if self.null {
                    return output.ended_by_nul(&entry.path);
                }
                let path = output.path(&entry.path);
                if self.long { output.line(long(entry, &path, output)) } else { output.line(path) }
            })?;
        }
        warn_of_mended(output, &repository);
        if self.long {
            output.note(format_args!(
                "{} of snapshot {} ({}), {}; {} with {}",
                count(summary.files, "file"),
                snapshot.id.short(),
                local_time(snapshot.time),
                size(summary.bytes),
                count(summary.avro_files, "Avro file"),
                count(summary.records, "record")
            ))?;
        }
        Ok(Exit::Done)
    }
}

fn print_tables(context: &Context, tables: &[IcebergTable]) -> Result<()> {
    let output = &context.output;
    if output.json {
        return Ok(tables.iter().try_for_each(|table| output.object("table", table))?);
    }
    let mut rows = Table::new(&["Table", "Version", "Snapshots", "Current", "Records", "Location"], &[1, 2, 3, 4]);
    for table in tables {
        let path = String::from_utf8_lossy(&table.path).into_owned();
        let Ok(metadata) = &table.metadata else {
            rows.row(vec![path, String::new(), String::new(), String::new(), String::new(), "not understood".into()]);
            continue;
        };
        let current = metadata.chosen(false).ok().and_then(|mut chosen| chosen.pop());
        let text = |number: Option<String>| number.unwrap_or_else(|| "-".into());
        rows.row(vec![
            path,
            metadata.format_version().to_string(),
            text(metadata.snapshots().ok().map(|snapshots| snapshots.len().to_string())),
            text(metadata.current().map(|id| id.to_string())),
            text(current.and_then(|snapshot| snapshot.records).map(|records| records.to_string())),
            metadata.location().to_owned(),
        ]);
    }
    if !tables.is_empty() {
        rows.print(output)?;
    }
    output.note(format_args!("{}", count(tables.len() as u64, "Iceberg table")))?;
    Ok(())
}
