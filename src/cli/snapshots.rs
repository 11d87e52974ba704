//! `snap snapshots`

use std::collections::{HashMap, HashSet};
use std::ffi::OsString;

use avro_snap::error::Result as LibraryResult;
use avro_snap::ops::forget::{GroupBy, GroupKey};
use avro_snap::ops::select::Listing;
use avro_snap::snapshot::SnapshotRoot;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, size};
use super::output::Output;
use super::pick::{Filters, whole};
use super::table::{Table, heading};

/// List the snapshots
///
/// Long names of series are cut in the middle so that a line fits the terminal; --json prints them in full.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// List only these snapshots
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    #[command(flatten)]
    filters: Filters,

    /// Show only the last N snapshots of each series (or group)
    #[arg(long, value_name = "N")]
    latest: Option<usize>,

    /// Group snapshots by these: series, host, paths, tags
    #[arg(short, long, value_name = "WHAT,...")]
    group_by: Option<String>,

    /// Show only id, time and series
    #[arg(short, long)]
    compact: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let named = self.snapshots.iter().map(|text| whole(text, "what is listed")).collect::<Result<Vec<_>>>()?;
        let filter = self.filters.filter()?;
        let group_by = self.group_by.as_deref().map(GroupBy::parse).transpose();
        let group_by = group_by.map_err(|error| Failure::Usage(error.to_string()))?;
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let mut chosen = HashSet::new();
        for selector in &named {
            chosen.insert(context.choose_whole(&mut listing, selector.clone(), &filter)?.id);
        }
        if !named.is_empty() {
            listing.snapshots.retain(|root| chosen.contains(&root.id));
        }
        let shown = last_of_each(&listing, &filter, self.latest, group_by.unwrap_or_default());
        let groups = match group_by {
            Some(group_by) => group_by.groups(shown.iter().copied()).into_iter().collect(),
            None => vec![(GroupKey::default(), shown.clone())],
        };
        for (number, (key, roots)) in groups.iter().enumerate() {
            let is_group = group_by.is_some_and(|group_by| group_by != GroupBy::NONE);
            if output.json {
                let group = if is_group { json!({"group": key.to_string()}) } else { json!({}) };
                roots.iter().try_for_each(|root| output.object_with("snapshot", group.clone(), root))?;
                continue;
            }
            if is_group {
                let gap = if number > 0 { "\n" } else { "" };
                output.note(format_args!("{gap}{}", heading(&key.to_string(), output.width())))?;
            }
            self.print(output, roots)?;
        }
        output.note(format_args!("{}", count(shown.len() as u64, "snapshot")))?;
        Ok(Exit::Done)
    }

    fn print(&self, output: &Output, roots: &[&SnapshotRoot]) -> LibraryResult<()> {
        if roots.is_empty() {
            return Ok(());
        }
        let mut table = match self.compact {
            true => Table::new(&["ID", "Time", "Series"], &[]).cutting(&[2]),
            false => {
                Table::new(&["ID", "Time", "Host", "Series", "Tags", "Files", "Size"], &[5, 6]).cutting(&[2, 3, 4])
            }
        };
        for root in roots {
            let short = [root.id.short(), local_time(root.time)];
            let rest = match self.compact {
                true => vec![root.series.clone()],
                false => vec![
                    root.host.clone(),
                    root.series.clone(),
                    root.tags.join(","),
                    root.totals.files.to_string(),
                    size(root.totals.bytes),
                ],
            };
            table.row(short.into_iter().chain(rest).collect());
        }
        table.print(output)
    }
}

/// The last ones of each group, in the order in which they came.
fn last_of_each<'l>(
    listing: &'l Listing,
    filter: &avro_snap::ops::select::Filter,
    latest: Option<usize>,
    group_by: GroupBy,
) -> Vec<&'l SnapshotRoot> {
    let snapshots = listing.fitting(filter);
    let Some(latest) = latest else { return snapshots.collect() };
    let mut taken: HashMap<GroupKey, usize> = HashMap::new();
    let mut kept: Vec<_> = snapshots
        .rev()
        .filter(|root| {
            // What is dated in the future does not count, and is shown.
            if listing.is_ahead(root) {
                return true;
            }
            let taken = taken.entry(group_by.key(root)).or_default();
            *taken += 1;
            *taken <= latest
        })
        .collect();
    kept.reverse();
    kept
}
