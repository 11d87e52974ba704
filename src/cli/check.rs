//! `snap check`

use std::ffi::OsString;

use avro_snap::commands::avro_check::{AvroCheckReport, Finding, avro_check, latest_of_each_series};
use avro_snap::commands::check::{CheckOptions, CheckReport, DataSubset, check_each};
use avro_snap::commands::select::Filter;
use avro_snap::repository::Repository;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result, chain, code};
use super::format::{count, size};
use super::lost::Teller;
use super::output::put_path;
use super::pick::selector;
use super::progress::Meter;

/// Look whether everything is there and is what it should be
///
/// Without --read-data this sees what is missing; with it, every bit that changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read and decode everything and recompute every hash
    #[arg(long)]
    read_data: bool,

    /// Read and decode part N of M (1 to M): with a part a day, all is read in M days
    #[arg(long, value_name = "N/M", conflicts_with = "read_data", value_parser = parse_part)]
    read_data_subset: Option<(u32, u32)>,

    /// Read and decode what was not read and found sound on this machine for so long, like 30d, 12h or 2w
    #[arg(long, value_name = "AGE", conflicts_with_all = ["read_data", "read_data_subset"], value_parser = parse_age)]
    max_age: Option<i64>,

    /// Decode the records of the Avro files in the latest snapshot of each series, against their schemas
    ///
    /// Files that were not sound when they were saved are told (exit code 3); others that do not decode are damage.
    #[arg(long)]
    avro: bool,

    /// With --avro, look at this snapshot instead; may be given several times
    #[arg(long, value_name = "SNAPSHOT", requires = "avro")]
    snapshot: Vec<OsString>,
}

fn parse_part(text: &str) -> std::result::Result<(u32, u32), String> {
    let wrong = || format!("{text:?} is no part: write it like 2/7");
    let (part, of) = text.split_once('/').ok_or_else(wrong)?;
    match (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?) {
        (part, of) if (1..=of).contains(&part) => Ok((part, of)),
        _ => Err(wrong()),
    }
}

/// A length of time, in nanoseconds.
fn parse_age(text: &str) -> std::result::Result<i64, String> {
    let wrong = || format!("{text:?} is no age: write it like 30d, 12h or 2w");
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds: i64 = match unit {
        'h' => 3600,
        'd' => 86_400,
        'w' => 7 * 86_400,
        'y' => 365 * 86_400,
        _ => return Err(wrong()),
    };
    let number: u32 = text.strip_suffix(unit).unwrap_or_default().parse().map_err(|_| wrong())?;
    i64::from(number).checked_mul(seconds * 1_000_000_000).ok_or_else(wrong)
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let repository = context.open()?;
        let data = match (self.read_data, self.read_data_subset, self.max_age) {
            (true, _, _) => DataSubset::All,
            (false, Some((part, of)), _) => DataSubset::Part { part, of },
            (false, None, Some(age)) => DataSubset::NotSince(repository.clock().now().saturating_sub(age)),
            (false, None, None) => DataSubset::None,
        };
        let meter = Meter::new(&context.output);
        let mut teller = Teller::new(&context.output);
        let options = CheckOptions { data, threads: context.globals.threads() };
        let checked = check_each(&repository, options, &meter, &mut |lost| teller.tell(&lost));
        meter.finish();
        teller.finish();
        let report = checked?;
        let exit = match report.problems.len() as u64 {
            0 => Exit::Done,
            // Nothing is known to be damaged.
            problems if problems == report.unread => Exit::Failed,
            _ => Exit::Damage,
        };
        if !self.avro {
            return context.told(exit, tell(context, &report));
        }
        let said = tell(context, &report);
        let avro = self.records(context, &repository)?;
        let exit = match (exit, avro.damaged.is_empty() && avro.problems.is_empty(), avro.unsound.is_empty()) {
            (Exit::Done, true, true) => Exit::Done,
            (Exit::Done, true, false) => Exit::Incomplete,
            _ => Exit::Damage,
        };
        context.told(exit, said.and_then(|()| tell_avro(context, &avro)))
    }

    /// Decodes records.
    fn records(&self, context: &Context, repository: &Repository) -> Result<AvroCheckReport> {
        let mut listing = context.listing(repository);
        let selectors = self.snapshot.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        let mut chosen = Vec::new();
        for selector in selectors {
            chosen.push(selector.pick(&mut listing, &Filter::default())?);
        }
        let chosen = match chosen.is_empty() {
            true => latest_of_each_series(listing.snapshots.iter()),
            false => chosen.iter().collect(),
        };
        let meter = Meter::new(&context.output);
        let checked = avro_check(repository, &chosen, context.globals.threads(), &meter);
        meter.finish();
        Ok(checked?)
    }
}

fn tell_avro(context: &Context, report: &AvroCheckReport) -> Result<()> {
    let output = &context.output;
    for error in &report.problems {
        output.error(code(error), &chain(error), None);
    }
    let say = |finding: &Finding, kind: &str| -> Result<()> {
        let path = String::from_utf8_lossy(&finding.path);
        if output.json {
            let mut object = json!({
                "finding": kind,
                "snapshot": finding.snapshot.to_string(),
                "state": finding.state.name(),
                "block": finding.fault.as_ref().map(|fault| fault.block),
                "record": finding.fault.as_ref().and_then(|fault| fault.record),
                "reason": finding.reason,
            });
            put_path(&mut object, &finding.path);
            return output.object("avro_finding", object).map_err(Failure::from);
        }
        output.error(kind, &format!("{path} in snapshot {}: {}", finding.snapshot.short(), finding.reason), None);
        Ok(())
    };
    for finding in &report.damaged {
        say(finding, "damaged")?;
    }
    for finding in &report.unsound {
        say(finding, "unsound")?;
    }
    if output.json {
        let summary = json!({
            "files": report.files,
            "distinct_files": report.distinct,
            "blocks": report.blocks,
            "records": report.records,
            "unsound": report.unsound.len(),
            "damaged": report.damaged.len() + report.problems.len(),
        });
        return output.object("avro_summary", summary).map_err(Failure::from);
    }
    output.note(format_args!(
        "decoded {} of {} ({} different)",
        count(report.records, "record"),
        count(report.files, "Avro file"),
        report.distinct
    ))?;
    if !report.unsound.is_empty() {
        let faults = count(report.unsound.len() as u64, "fault");
        output.note(format_args!("{faults} that the files had when they were saved: they are kept as they were"))?;
    }
    if !report.damaged.is_empty() || !report.problems.is_empty() {
        let problems = count((report.damaged.len() + report.problems.len()) as u64, "Avro problem");
        output.error(
            "damage",
            &format!("{problems} found"),
            Some("`snap check --read-data` tells all that is damaged"),
        );
    }
    Ok(())
}

/// So many problems are told to people.
const TOLD: usize = 100;

fn tell(context: &Context, report: &CheckReport) -> Result<()> {
    let output = &context.output;
    let told = if output.json { report.problems.len() } else { TOLD };
    for error in report.problems.iter().take(told) {
        output.error(code(error), &chain(error), None);
    }
    if report.problems.len() > told {
        let more = report.problems.len() - told;
        output.error("damage", &format!("{more} more problems are not told here: --json lists all"), None);
    }
    if output.json {
        return output
            .object(
                "summary",
                json!({
                    "problems": report.problems.len(),
                    "damaged_snapshots": report.damaged_snapshots,
                    "lost_paths": report.lost_files,
                    "lost_indexes": report.lost_indexes,
                    "packs_verified_before": report.packs_verified_before,
                    "snapshots": report.snapshots,
                    "packs": report.packs,
                    "packs_read": report.packs_read,
                    "chunks": report.chunks,
                    "bytes_read": report.bytes_read,
                    "unindexed_packs": report.unindexed_packs,
                    "unused_packs": report.unused_packs,
                    "unused_bytes": report.unused_bytes,
                    "condemned_packs": report.condemned_packs,
                    "damaged_packs": report.damaged_packs,
                    "mendable_packs": report.mendable_packs,
                    "unsound_parity": report.unsound_parity,
                    "unprotected_packs": report.unprotected_packs,
                    "packs_taken_back": report.taken_back,
                    "unread_packs": report.unread,
                }),
            )
            .map_err(Failure::from);
    }
    output.note(format_args!(
        "checked {}, {}, {}; read {} ({})",
        count(report.snapshots, "snapshot"),
        count(report.packs, "pack"),
        count(report.chunks, "chunk"),
        count(report.packs_read, "pack"),
        size(report.bytes_read)
    ))?;
    if report.packs_verified_before > 0 {
        let packs = count(report.packs_verified_before, "pack");
        output.note(format_args!("{packs} passed over: read and found sound lately"))?;
    }
    if report.unindexed_packs > 0 {
        let packs = count(report.unindexed_packs, "pack");
        output.note(format_args!("{packs} that nothing names: left by an interrupted run, no harm"))?;
    }
    if report.unused_packs > 0 {
        let packs = count(report.unused_packs, "pack");
        let bytes = size(report.unused_bytes);
        output.note(format_args!("{packs} ({bytes}) that no snapshot needs: `snap prune` frees that"))?;
    }
    if report.condemned_packs > 0 {
        let packs = count(report.condemned_packs, "condemned pack");
        output.note(format_args!("{packs}: a later `snap prune` deletes what is left of that"))?;
    }
    if report.damaged_packs > 0 {
        let packs = count(report.damaged_packs, "pack");
        output.note(format_args!("{packs} with damage that is recorded: new snapshots do not rest on it"))?;
    }
    if report.taken_back > 0 {
        let packs = count(report.taken_back, "pack");
        output.note(format_args!("{packs} recorded as damaged and found whole: counted again from now on"))?;
    }
    if report.unprotected_packs > 0 {
        let packs = count(report.unprotected_packs, "pack");
        output.note(format_args!("{packs} without parity: `snap repair packs` makes it"))?;
    }
    let is_mendable = report.mendable_packs + report.unsound_parity == report.problems.len() as u64;
    match report.problems.len() as u64 {
        0 => output.note(format_args!("no problems found"))?,
        problems => output.error(
            "damage",
            &format!("{} found", count(problems, "problem")),
            Some(match (report.lost_indexes, report.damaged_snapshots) {
                _ if report.unread == report.problems.len() as u64 => {
                    "what cannot be read is not judged: put right what the system says (permissions, a disk or a network \
                     that does not answer), then check again"
                }
                _ if is_mendable => "nothing is lost, and all of it can be read: `snap repair packs` puts that right",
                (1.., 0) => "no data is lost: `snap repair index` makes lost index objects anew from the packs",
                (1.., _) => "run `snap repair index` first: it makes lost index objects anew from the packs",
                (0, 0) => "no snapshot needs what is damaged, or it is stored elsewhere too: `snap repair packs` puts that right",
                (0, _) => {
                    "what is not named above can still be restored, and what is left of damaged files with `snap restore \
                     --salvage`. `snap repair snapshots` makes the repository take the lost data anew where it comes up \
                     again; do not delete anything by hand"
                }
            }),
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_read() {
        assert_eq!((parse_age("30d"), parse_age("1h")), (Ok(30 * 86_400_000_000_000), Ok(3_600_000_000_000)));
        for wrong in ["", "d", "30", "3m", "-1d", "1dd", "4294967295y"] {
            assert!(parse_age(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn parts_are_read() {
        assert_eq!((parse_part("1/1"), parse_part("3/7")), (Ok((1, 1)), Ok((3, 7))));
        for wrong in ["0/3", "4/3", "1/0", "1", "a/b", "1/2/3", "50%"] {
            assert!(parse_part(wrong).is_err(), "{wrong}");
        }
    }
}
