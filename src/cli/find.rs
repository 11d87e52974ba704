//! `snap find`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use avro_snap::avro::filter::Expression;
use avro_snap::error::Error;
use avro_snap::ops::find::{Search, Wanted, find};
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::snapshot::entry::Time;

use serde_json::json;

use super::Context;
use super::cat::no_condition;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, long};
use super::pick::{Filters, selector};
use super::table::wrapped;
use super::when::{Day, parse_time};

/// Find files in all snapshots
///
/// Prints each path once for every content that it had, and the snapshots in which it had it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Pattern to look for: without a /, it is compared with names, otherwise with paths
    ///
    /// `*`, `?` and `[a-z]` match within a name, `**` any directories.
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<OsString>,

    /// Search only this snapshot; may be repeated
    #[arg(short, long, value_name = "SNAPSHOT[:PATH]")]
    snapshot: Vec<OsString>,

    /// Ignore the case of letters
    #[arg(short, long)]
    ignore_case: bool,

    /// Only files modified at or after this time, like 2026-07-14 or "2 days ago"
    #[arg(short = 'O', long, value_name = "TIME")]
    oldest: Option<String>,

    /// Only files modified at or before this time
    #[arg(short = 'N', long, value_name = "TIME")]
    newest: Option<String>,

    /// Only Avro files with records of which CONDITION is true, as `snap cat --where` has it, and how many
    ///
    /// Each content is decoded once, in however many snapshots it is. Exit code 3 if an Avro file cannot be decoded as a whole.
    #[arg(long = "where", value_name = "CONDITION")]
    condition: Option<Expression>,

    /// Print mode, owner, size, time, and for Avro files codec and records
    #[arg(short, long)]
    long: bool,

    /// Print only paths, each ended by a NUL character
    #[arg(short = '0', long = "null", conflicts_with = "long")]
    null: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let search = self.search()?;
        if self.null && output.json {
            return Err(Failure::Usage("--null and --json do not go together".into()));
        }
        let selectors = self.snapshot.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        let filter = self.filters.filter()?;
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let mut searched = Vec::new();
        for selector in selectors {
            searched.push(context.choose(&mut listing, selector, &filter)?);
        }
        if self.snapshot.is_empty() {
            searched.extend(listing.fitting(&filter).map(|root| (root.clone(), Vec::new())));
        }
        let found = find(&repository, &searched, &search, &mut |found| {
            let roots: Vec<&SnapshotRoot> =
                found.snapshots.iter().filter_map(|number| Some(&searched.get(*number)?.0)).collect();
            if output.json {
                let ids: Vec<String> = roots.iter().map(|root| root.id.to_string()).collect();
                // The last one that has it comes first to hand.
                let mut where_it_is = json!({"snapshot_id": ids.last(), "snapshots": ids});
                if let Some(records) = found.records {
                    where_it_is["records_matching"] = records.into();
                }
                return output.object_with("match", where_it_is, &found.entry);
            }
            if self.null {
                return output.ended_by_nul(&found.entry.path);
            }
            let path = output.path(&found.entry.path);
            match self.long {
                true => output.line(long(&found.entry, &path, output))?,
                false => output.line(path)?,
            }
            if let Some(records) = found.records {
                output.note(format_args!("    {}", count(records, "matching record")))?;
            }
            said_snapshots(&roots, output.width()).iter().try_for_each(|line| output.note(format_args!("{line}")))
        })?;
        if let Some(error) = &found.misfit {
            return Err(no_condition(error));
        }
        if found.matches == 0 && !self.null {
            output.note(format_args!("nothing found in {}", count(searched.len() as u64, "snapshot")))?;
        }
        for (path, reason) in &found.unfit {
            output.error("unsound", &format!("{}: {reason}", String::from_utf8_lossy(path)), None);
        }
        Ok(if found.unfit.is_empty() { Exit::Done } else { Exit::Incomplete })
    }

    fn search(&self) -> Result<Search> {
        let wanted = |pattern: &OsString| Wanted::new(pattern.as_bytes(), self.ignore_case);
        let wanted = self.patterns.iter().map(wanted).collect::<std::result::Result<Vec<_>, Error>>();
        let time = |text: &Option<String>, day| -> Result<Option<Time>> {
            let time = text.as_deref().map(|text| parse_time(text, day)).transpose();
            Ok(time.map_err(Failure::Usage)?.map(Time::from_nanoseconds))
        };
        Ok(Search {
            wanted: wanted.map_err(|error| Failure::Usage(error.to_string()))?,
            oldest: time(&self.oldest, Day::Begins)?,
            newest: time(&self.newest, Day::Ends)?,
            records: self.condition.clone(),
        })
    }
}

/// The snapshots in which a match was found, in lines of at most this width.
fn said_snapshots(roots: &[&SnapshotRoot], width: usize) -> Vec<String> {
    const INDENT: &str = "    ";
    let said = match roots {
        [] => String::new(),
        [one] => format!("in snapshot {} of {}", one.id.short(), local_time(one.time)),
        [first, .., last] => {
            let ids: Vec<String> = roots.iter().map(|root| root.id.short()).collect();
            let (first, last) = (local_time(first.time), local_time(last.time));
            format!("in {} snapshots, {first} to {last}: {}", roots.len(), ids.join(" "))
        }
    };
    wrapped(&said, width.saturating_sub(INDENT.len())).iter().map(|line| format!("{INDENT}{line}")).collect()
}
