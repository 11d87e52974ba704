//! `snap snapshots`

use std::collections::HashMap;

use avro_snap::commands::select::Listing;
use avro_snap::snapshot::SnapshotRoot;

use super::Context;
use super::exit::Exit;
use super::failure::Result;
use super::format::{count, local_time, size};
use super::table::Table;
use super::pick::Filters;
use super::rows;

/// List the snapshots
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    filters: Filters,

    /// Only the last so many of each series
    #[arg(long, value_name = "N")]
    latest: Option<usize>,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let filter = self.filters.filter()?;
        let repository = context.open()?;
        let listing = context.listing(&repository);
        let shown = last_of_each(&listing, listing.fitting(&filter).collect(), self.latest);
        if context.output.json {
            for root in shown {
                context.output.object("snapshot", rows::snapshot(root))?;
            }
            return Ok(Exit::Done);
        }
        let mut table = Table::new(&["ID", "Time", "Host", "Series", "Tags", "Files", "Size"], &[5, 6]);
        for root in &shown {
            table.row(vec![
                root.id.short(),
                local_time(root.time),
                root.host.clone(),
                root.series.clone(),
                root.tags.join(","),
                root.totals.files.to_string(),
                size(root.totals.bytes),
            ]);
        }
        if !shown.is_empty() {
            table.print(&context.output)?;
        }
        context.output.note(format_args!("{}", count(shown.len() as u64, "snapshot")))?;
        Ok(Exit::Done)
    }
}

/// The last so many of each series, in the order in which they came.
fn last_of_each<'l>(
    listing: &Listing,
    snapshots: Vec<&'l SnapshotRoot>,
    latest: Option<usize>,
) -> Vec<&'l SnapshotRoot> {
    let Some(latest) = latest else { return snapshots };
    let mut taken: HashMap<&str, usize> = HashMap::new();
    let mut kept: Vec<_> = snapshots
        .into_iter()
        .rev()
        .filter(|root| {
            // What is dated in the future does not count, and is shown.
            if listing.is_ahead(root) {
                return true;
            }
            let taken = taken.entry(&root.series).or_default();
            *taken += 1;
            *taken <= latest
        })
        .collect();
    kept.reverse();
    kept
}
