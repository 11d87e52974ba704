//! `snap diff`

use std::ffi::OsString;

use avro_snap::ops::diff::{Change, DiffSummary, Difference, Side, diff};
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::Result;
use super::format::{kind, size};
use super::pick::{Filters, selector};
use super::record_diff::RecordArgs;

/// Show what changed between two snapshots
///
/// Each path is preceded by what happened to it: + added, - removed, M changed content, T changed type, and with --metadata U
/// where only mode, owner, time or attributes changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The earlier snapshot
    #[arg(value_name = "SNAPSHOT[:PATH]")]
    before: OsString,

    /// The later snapshot
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "from")]
    after: Option<OsString>,

    /// With --records the path in both, if not given after a colon
    #[arg(value_name = "PATH", requires = "records")]
    inside: Option<OsString>,

    /// Also show paths of which only metadata changed
    #[arg(long)]
    metadata: bool,

    #[command(flatten)]
    records: RecordArgs,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        if self.records.is_wanted() {
            let named: Vec<OsString> = [Some(self.before), self.after, self.inside].into_iter().flatten().collect();
            return self.records.run(context, &named, &self.filters);
        }
        let (before, after) = (selector(Some(&self.before))?, selector(self.after.as_deref())?);
        let filter = self.filters.filter()?;
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let (old, before) = context.choose(&mut listing, before, &filter)?;
        let (new, after) = context.choose(&mut listing, after, &filter)?;
        let sides = (Side { snapshot: &old, path: &before }, Side { snapshot: &new, path: &after });
        let summary = diff(&repository, sides.0, sides.1, &mut |change| {
            if change.difference == Difference::Metadata && !self.metadata {
                return Ok(());
            }
            match output.json {
                true => output.object("change", change),
                false => {
                    let mut line = format!("{}  ", change.difference.sign()).into_bytes();
                    line.extend_from_slice(&output.path(change.path));
                    line.extend_from_slice(sizes(change).as_bytes());
                    output.line(line)
                }
            }
        })?;
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
