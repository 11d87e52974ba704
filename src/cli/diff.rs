//! `snap diff`

use std::ffi::OsString;

use avro_snap::ops::diff::{AvroChange, Change, DiffSummary, Difference, Side, TableChange, diff_with_tables};
use avro_snap::report;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::Result;
use super::format::{count, kind, size};
use super::pick::{Filters, selector};

/// Show what changed between two snapshots
///
/// Each path is preceded by what happened to it: + added, - removed, M changed content, T changed type, and with --metadata U
/// where only mode, owner, time or attributes changed.
///
/// Of Avro files the records are counted, before and after, and it is said how schema and codec changed. A folder of Avro files
/// of one kind of record is a table: after its files a line that begins with = sums it up. These numbers were found when the files
/// were saved. Records that moved from one file to another count as removed with the one and added with the other.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The earlier snapshot
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    before: OsString,

    /// The later snapshot
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    after: OsString,

    /// Also show paths of which only metadata changed
    #[arg(long)]
    metadata: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let (before, after) = (selector(Some(&self.before))?, selector(Some(&self.after))?);
        let filter = self.filters.filter()?;
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let (old, before) = context.choose(&mut listing, before, &filter)?;
        let (new, after) = context.choose(&mut listing, after, &filter)?;
        let sides = (Side { snapshot: &old, path: &before }, Side { snapshot: &new, path: &after });
        let mut each = |change: &Change<'_>| {
            if change.difference == Difference::Metadata && !self.metadata {
                return Ok(());
            }
            match output.json {
                true => output.object("change", change),
                false => {
                    let mut line = format!("{}  ", change.difference.sign()).into_bytes();
                    line.extend_from_slice(&output.path(change.path));
                    line.extend_from_slice(sizes(change).as_bytes());
                    if let Some(avro) = &change.avro {
                        line.extend_from_slice(said_of_file(avro).as_bytes());
                    }
                    output.line(line)
                }
            }
        };
        let mut table = |table: &TableChange| match output.json {
            true => output.object_with("table", json!(table), report::Path(&table.path)),
            false => {
                let path = if table.path.is_empty() { &b"."[..] } else { &table.path };
                let mut line = b"=  ".to_vec();
                line.extend_from_slice(&output.path(path));
                line.extend_from_slice(said_of_table(table).as_bytes());
                output.line(line)
            }
        };
        let summary = diff_with_tables(&repository, sides.0, sides.1, &mut each, &mut table)?;
        match output.json {
            true => {
                let sides = json!({"snapshot_before": old.id, "snapshot_after": new.id});
                output.object_with("summary", sides, summary)?;
            }
            false => say(context, &summary)?,
        }
        Ok(Exit::Done)
    }
}

/// The sizes of files, printed after their path.
fn sizes(change: &Change<'_>) -> String {
    let file = |entry: Option<&avro_snap::snapshot::entry::FileEntry>| {
        entry.filter(|entry| kind(entry) == "file").map(|entry| size(entry.size))
    };
    match (change.difference, file(change.before), file(change.after)) {
        (Difference::Content | Difference::Type, Some(before), Some(after)) => format!("  ({before} -> {after})"),
        (Difference::Metadata, ..) | (_, None, None) => String::new(),
        (_, before, after) => before.or(after).map(|size| format!("  ({size})")).unwrap_or_default(),
    }
}

/// What changed in an Avro file, printed after its sizes.
fn said_of_file(avro: &AvroChange<'_>) -> String {
    let mut said = match (avro.records_before, avro.records_after) {
        _ if avro.same_records && avro.codec_before != avro.codec_after => "  same records, another codec".to_owned(),
        _ if avro.same_records => "  same records, another marker, blocks or metadata".to_owned(),
        (Some(before), Some(after)) => format!("  {before} -> {after} records"),
        (Some(records), None) if avro.codec_after.is_none() => format!("  {}", count(records, "record")),
        (None, Some(records)) if avro.codec_before.is_none() => format!("  {}", count(records, "record")),
        _ => "  records not known".to_owned(),
    };
    if let Some(verdict) = avro.verdict.filter(|_| !avro.same_records) {
        said.push_str(&format!(", schema {}", verdict.name()));
    }
    if let (Some(before), Some(after)) = (avro.codec_before, avro.codec_after)
        && before != after
    {
        said.push_str(&format!(", codec {before} -> {after}"));
    }
    said
}

/// What changed in a table, printed after its path.
fn said_of_table(table: &TableChange) -> String {
    let known = |records: Option<u64>| records.map_or_else(|| "?".to_owned(), |records| records.to_string());
    let mut said = format!(
        "  {} -> {} files ({} added, {} removed, {} changed), {} -> {} records ({} in added files, {} in removed files)",
        table.files_before,
        table.files_after,
        table.files_added,
        table.files_removed,
        table.files_changed,
        known(table.records_before),
        known(table.records_after),
        known(table.records_in_added_files),
        known(table.records_in_removed_files)
    );
    if let Some(verdict) = table.schema_verdict {
        said.push_str(&format!(", schema {}", verdict.name()));
    }
    if table.codecs_before != table.codecs_after && table.files_before > 0 && table.files_after > 0 {
        let join = |codecs: &std::collections::BTreeSet<String>| codecs.iter().cloned().collect::<Vec<_>>().join("+");
        said.push_str(&format!(", codec {} -> {}", join(&table.codecs_before), join(&table.codecs_after)));
    }
    said
}

fn say(context: &Context, summary: &DiffSummary) -> Result<()> {
    let output = &context.output;
    output.note(format_args!(
        "files:  {} added ({}), {} removed ({}), {} changed ({} -> {})",
        summary.files_added,
        size(summary.bytes_added),
        summary.files_removed,
        size(summary.bytes_removed),
        summary.files_changed,
        size(summary.bytes_changed_before),
        size(summary.bytes_changed_after)
    ))?;
    output.note(format_args!(
        "others: {} added, {} removed, {} changed; {} became another kind; {} with other metadata only",
        summary.others_added,
        summary.others_removed,
        summary.others_changed,
        summary.type_changed,
        summary.metadata_changed
    ))?;
    Ok(())
}
