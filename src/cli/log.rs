//! `snap log`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use avro_snap::avro::filter::Expression;
use avro_snap::ops::history::{
    Counted, RecordHistory, RecordPeriod, TableChange, TableEvent, TableLogOptions, table_log,
};
use avro_snap::ops::select::manifest_path;
use avro_snap::report;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::store::Repository;
use serde_json::{Value, json};

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, size};
use super::parity::warn_of_mended;
use super::pick::Filters;

/// Show in which snapshots a file or table changed, or the states of one record
///
/// A line for each snapshot in which the path is new, has changed or is gone: its records, those that were inserted (+) and
/// deleted (-), where an update counts as both, and the fingerprint of a new schema. A directory or a pattern stands for all Avro
/// files in it, as one table. Snapshots are compared with the one before them in their series.
///
/// With --key a line for each period in which the record with this key was the same: how long, and the record. Only snapshots
/// in which the table changed are looked at, and each chunk is searched once.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Path of a file, directory or pattern, as `snap ls` prints it
    #[arg(value_name = "PATH")]
    table: OsString,

    /// Follow the record whose fields have these values, like `id=4711,region=eu`
    ///
    /// Values are written as `snap cat` prints them, without double quotes; one with a comma stands in single quotes. Fields within
    /// others are named like `customer.id`.
    #[arg(long, value_name = "FIELD=VALUE,...")]
    key: Option<String>,

    /// Count records by files, without reading any: all records of a changed file count as deleted and inserted
    #[arg(long, conflicts_with = "key")]
    quick: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(super) fn options(&self) -> TableLogOptions {
        TableLogOptions::default().quick(self.quick)
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let path = manifest_path(self.table.as_bytes()).map_err(|error| Failure::Usage(error.to_string()))?;
        if path.is_empty() {
            return Err(Failure::Usage("say which file or table, like `snap log export/orders`".into()));
        }
        let key = self.key.as_deref().map(|key| Expression::of_keys([key])).transpose();
        let key = key.map_err(|error| Failure::Usage(format!("--key: {error}; write FIELD=VALUE,...")))?;
        let filter = self.filters.filter()?;
        let repository = Arc::new(context.open()?);
        let listing = context.listing(&repository);
        let chosen: Vec<&SnapshotRoot> = listing.fitting(&filter).collect();
        let exit = match &key {
            None => self.table(context, &repository, &chosen, &path)?,
            Some(key) => record(context, &repository, &chosen, &path, key)?,
        };
        warn_of_mended(&context.output, &repository);
        Ok(exit)
    }

    fn table(
        &self,
        context: &Context,
        repository: &Arc<Repository>,
        chosen: &[&SnapshotRoot],
        path: &[u8],
    ) -> Result<Exit> {
        let (output, mut exit) = (&context.output, Exit::Done);
        let several = are_of_several_series(chosen);
        let changes = table_log(repository, chosen.iter().copied(), path, &self.options(), &mut |change| {
            if let Some(error) = &change.error {
                output.warn(&format!("snapshot {}: {error}", change.snapshot.id.short()));
                exit = Exit::Incomplete;
            }
            match output.json {
                true => output.object_with("table_change", json!(change), report::Path(path)),
                false => output.line(output.path(line(change, several).as_bytes())),
            }
        })?;
        if changes == 0 {
            return Err(nowhere(path));
        }
        output.note(format_args!("{} in {}", count(changes, "change"), count(chosen.len() as u64, "snapshot")))?;
        Ok(exit)
    }
}

fn record(
    context: &Context,
    repository: &Arc<Repository>,
    chosen: &[&SnapshotRoot],
    path: &[u8],
    key: &Expression,
) -> Result<Exit> {
    let output = &context.output;
    let several = are_of_several_series(chosen);
    let history = RecordHistory::find(repository, chosen.iter().copied(), path, key).map_err(|error| match error {
        avro_snap::error::Error::NoPath { .. } => nowhere(path),
        error => Failure::of_arguments(error),
    })?;
    for period in &history.periods {
        let records = history.json(period)?;
        if output.json {
            let parsed: Vec<Value> = records.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            output.object_with("record_period", json!({"record": parsed}), period)?;
            continue;
        }
        let shown = if records.is_empty() { "missing".to_owned() } else { records.join("  ") };
        let series = if several { format!("  [{}]", period.since.series) } else { String::new() };
        output.line(output.path(format!("{}  {shown}{series}", span(period)).as_bytes()))?;
    }
    for fault in &history.faults {
        let message = format!("{}: {}", String::from_utf8_lossy(&fault.path), fault.reason);
        output.error("unsound", &message, Some("its sound records were searched"));
    }
    if !history.is_found() {
        output.note(format_args!("no snapshot has a record with {}", key))?;
    }
    Ok(if history.faults.is_empty() { Exit::Done } else { Exit::Incomplete })
}

fn nowhere(path: &[u8]) -> Failure {
    Failure::plain(
        format!("{} is in none of the snapshots", String::from_utf8_lossy(path)),
        "give it as `snap ls` prints it; `snap find NAME` looks for files in all snapshots",
    )
}

fn are_of_several_series(chosen: &[&SnapshotRoot]) -> bool {
    chosen.windows(2).any(|pair| matches!(pair, [a, b] if a.series != b.series))
}

/// A change as a line for people.
fn line(change: &TableChange<'_>, several: bool) -> String {
    let (time, id) = (local_time(change.snapshot.time), change.snapshot.id.short());
    let mut line = format!("{time}  {id}  {:<8}", change.event.name());
    if change.event != TableEvent::Removed {
        line += &format!("  {}, {}", count(change.files, "file"), size(change.bytes));
    }
    if let (Some(records), true) = (change.records, change.event != TableEvent::Removed) {
        line += &format!(", {}", count(records, "record"));
    }
    if let (Some(inserted), Some(deleted)) = (change.inserted, change.deleted) {
        let by_files =
            if change.counted == Counted::Files && change.event == TableEvent::Changed { " by files" } else { "" };
        line += &format!("  (+{inserted} -{deleted}{by_files})");
    }
    if let (Some(fingerprint), true) =
        (&change.fingerprint, change.verdict.is_some() || change.event == TableEvent::Appeared)
    {
        let verdict = change.verdict.map_or_else(String::new, |verdict| format!(" ({verdict})"));
        line += &format!("  schema {fingerprint}{verdict}");
    }
    if several {
        line += &format!("  [{}]", change.snapshot.series);
    }
    line.trim_end().to_owned()
}

/// The snapshots of a period.
fn span(period: &RecordPeriod) -> String {
    let of = |root: &SnapshotRoot| format!("{}  {}", local_time(root.time), root.id.short());
    match period.snapshots {
        1 => of(&period.since),
        snapshots => format!("{} .. {} ({})", of(&period.since), of(&period.until), count(snapshots, "snapshot")),
    }
}
