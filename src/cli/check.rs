//! `snap check`

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use avro_snap::error::{Error, IoContext};
use avro_snap::ops::avro_check::{AvroCheckReport, Finding, avro_check, avro_check_of, latest_of_each_series};
use avro_snap::ops::check::{CheckOptions, CheckReport, DataSubset, check_each};
use avro_snap::ops::erase::{FoundErased, Proof, check_erased};
use avro_snap::ops::select::{Filter, Selector};
use avro_snap::storage::Kind;
use avro_snap::store::Repository;
use avro_snap::values::parse_duration;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result, hint};
use super::format::{count, local_time, size};
use super::lost::LossPrinter;
use super::pick::selector;
use super::progress::Meter;

/// Verify the repository
///
/// Without --read-data this finds what is missing, with it also every bit that changed.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Read and decode all data, and recompute every hash
    #[arg(long)]
    read_data: bool,

    /// Read and decode only some packs: a share like 10%, a size like 500M, or part N of M like 1/7
    ///
    /// A share or size takes the packs that were not read on this machine for the longest time, so that a run every night
    /// reads everything in turn.
    #[arg(long, value_name = "SUBSET", conflicts_with = "read_data", value_parser = DataSubset::parse)]
    read_data_subset: Option<DataSubset>,

    /// Read and decode the packs that were not verified on this machine within this time, like 30d, 12h or 2w
    #[arg(long, value_name = "AGE", conflicts_with_all = ["read_data", "read_data_subset"], value_parser = parse_duration)]
    max_age: Option<Duration>,

    /// Decode the records of the Avro files in the latest snapshot of each series, against their schemas
    ///
    /// Files that were not sound when they were saved are reported (exit code 3); others that do not decode are damage.
    #[arg(long)]
    avro: bool,

    /// Look for the records that `snap erase --report FILE` erased, in all that the repository holds, and for nothing else
    ///
    /// All chunks of all packs are decoded and searched. Exit code 1 if a record is still there (then run `snap prune --grace 0`), 3
    /// if something could not be looked into, so that nothing is proven.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["read_data", "read_data_subset", "max_age", "avro"])]
    erased: Option<PathBuf>,

    /// With --avro, look at this snapshot instead, or at a file, folder or pattern in it; may be repeated
    #[arg(long, value_name = "SNAPSHOT[:PATH]", requires = "avro")]
    snapshot: Vec<OsString>,
}

impl Args {
    /// What the flags say.
    pub(super) fn options(&self) -> CheckOptions {
        let mut options = CheckOptions::default();
        options.read_data = self.read_data;
        options.read_data_subset = self.read_data_subset;
        options.max_age = self.max_age;
        options
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let selectors = self.snapshot.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        let repository = Arc::new(context.open_to_check()?);
        if let Some(path) = &self.erased {
            return erased(context, &repository, path);
        }
        let meter = Meter::new(&context.output);
        let mut printer = LossPrinter::new(&context.output);
        let options = self.options();
        let checked = check_each(&repository, options, &meter, &mut |lost| printer.print(&lost));
        meter.finish();
        printer.finish();
        let report = checked?;
        // Where an older state is asked for, being one is no fault. It was said when it was opened.
        let rolled_back = repository.log().rolled_back();
        let is_surprise = rolled_back.is_some() && !context.globals.allow_rollback;
        let exit = match report.problems.len() as u64 {
            0 if is_surprise => Exit::Failed,
            0 => Exit::Done,
            // Nothing is known to be damaged.
            problems if problems == report.unread => Exit::Failed,
            _ => Exit::Damage,
        };
        if let Some(reason) = rolled_back.filter(|_| is_surprise) {
            explain(context, &repository, reason);
        }
        if !self.avro {
            return context.finish_with(exit, print_report(context, &report, rolled_back));
        }
        let said = print_report(context, &report, rolled_back);
        let avro = self.records(context, &repository, selectors)?;
        let exit = match (exit, avro.damaged.is_empty() && avro.problems.is_empty(), avro.unsound.is_empty()) {
            (Exit::Done, true, true) => Exit::Done,
            (Exit::Done, true, false) => Exit::Incomplete,
            (Exit::Failed, true, _) => Exit::Failed,
            _ => Exit::Damage,
        };
        context.finish_with(exit, said.and_then(|()| print_avro(context, &avro)))
    }

    /// Decodes records.
    fn records(
        &self,
        context: &Context,
        repository: &Arc<Repository>,
        selectors: Vec<Selector>,
    ) -> Result<AvroCheckReport> {
        if !selectors.is_empty() {
            let wanted = context.wanted(repository, selectors, &Filter::default())?;
            let meter = Meter::new(&context.output);
            let checked = avro_check_of(repository, &wanted, &meter);
            meter.finish();
            return Ok(checked?);
        }
        let listing = context.listing(repository);
        // What is dated in the future does not hide the last snapshot of today.
        let (ahead, past): (Vec<_>, Vec<_>) = listing.snapshots.iter().partition(|root| listing.is_ahead(root));
        let mut chosen = latest_of_each_series(past.into_iter());
        chosen.extend(ahead);
        let meter = Meter::new(&context.output);
        let checked = avro_check(repository, &chosen, &meter);
        meter.finish();
        Ok(checked?)
    }
}

/// Looks for erased records.
fn erased(context: &Context, repository: &Repository, path: &Path) -> Result<Exit> {
    let output = &context.output;
    let text = std::fs::read_to_string(path).when("read", path)?;
    let proof = Proof::parse(&text, repository);
    let proof = proof.map_err(|error| Failure::Usage(format!("{}: {error}", path.display())))?;
    let meter = Meter::new(output);
    let looked = check_erased(repository, &proof, &meter);
    meter.finish();
    let report = looked?;
    for found in &report.found {
        let (place, records) = match found {
            FoundErased::Chunk { pack, chunk, records } => (format!("chunk {chunk} of pack {pack}"), records),
            FoundErased::File { path, records } => (String::from_utf8_lossy(path).into_owned(), records),
        };
        let hint = "`snap prune --grace 0` deletes what no snapshot needs";
        output.error("erased_record", &format!("{place} holds {}", count(*records, "erased record")), Some(hint));
    }
    for reason in &report.unproven {
        output.error("unproven", reason, None);
    }
    if report.records_too_short > 0 {
        let short = count(report.records_too_short, "record");
        output.error("unproven", &format!("{short} of fewer than 8 bytes cannot be looked for"), None);
    }
    let exit = match (report.found.is_empty(), report.is_proven()) {
        (false, _) => Exit::Failed,
        (true, false) => Exit::Incomplete,
        (true, true) => Exit::Done,
    };
    if output.json {
        return context.finish_with(
            exit,
            Ok(output.object_with("erased_summary", json!({"is_proven": report.is_proven()}), &report)?),
        );
    }
    output.note(format_args!(
        "{} looked for in {} ({}) of {}",
        count(report.records, "different record"),
        count(report.chunks, "chunk"),
        size(report.bytes),
        count(report.packs, "pack")
    ))?;
    if report.is_proven() {
        output.note(format_args!("the repository holds none of them"))?;
    }
    context.finish_with(exit, Ok(()))
}

fn print_avro(context: &Context, report: &AvroCheckReport) -> Result<()> {
    let output = &context.output;
    for error in &report.problems {
        output.error(error.code(), &error.message(), None);
    }
    let say = |finding: &Finding, kind: &str| -> Result<()> {
        let path = String::from_utf8_lossy(&finding.path);
        if output.json {
            return Ok(output.object_with("avro_finding", json!({"finding": kind}), finding)?);
        }
        if kind == "undecided" {
            let short = finding.snapshot.short();
            return Ok(output.note(format_args!("{path} in snapshot {short} is not looked into: {}", finding.reason))?);
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
    for finding in &report.undecided {
        say(finding, "undecided")?;
    }
    if output.json {
        return Ok(output.object("avro_summary", report)?);
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
    if !report.undecided.is_empty() {
        let places = count(report.undecided.len() as u64, "place");
        output.note(format_args!(
            "{places} not decoded (an unknown codec, or too large): nothing is known to be wrong there"
        ))?;
    }
    if !report.damaged.is_empty() || !report.problems.is_empty() {
        let problems = count((report.damaged.len() + report.problems.len()) as u64, "Avro problem");
        output.error(
            "damage",
            &format!("{problems} found"),
            Some("`snap check --read-data` lists all that is damaged"),
        );
    }
    Ok(())
}

/// Says what it means that a log is not what this machine has seen of it.
fn explain(context: &Context, repository: &Repository, reason: &str) {
    let newest = context.listing(repository).snapshots.iter().map(|root| root.time).max();
    let newest = match newest {
        Some(time) => format!("the newest snapshot in this state is of {}", local_time(time)),
        None => "there is no snapshot in this state".into(),
    };
    let (id, location) = (repository.id(), repository.backend().location());
    let error = Error::RolledBack { repository: id, reason: reason.into() };
    let what = format!(
        "{}; {newest}. What is in this state was checked as usual. What was saved, removed or pruned since is not in it: \
         that is as it should be for an older copy of the repository at {location}, and is a loss if this is the repository \
         itself",
        error.message()
    );
    context.output.error(error.code(), &what, hint(&error, &context.globals).as_deref());
}

/// How many problems are printed for people.
const SHOWN: usize = 100;

fn print_report(context: &Context, report: &CheckReport, rolled_back: Option<&str>) -> Result<()> {
    let output = &context.output;
    let shown = if output.json { report.problems.len() } else { SHOWN };
    for error in report.problems.iter().take(shown) {
        output.error(error.code(), &error.message(), None);
    }
    if report.problems.len() > shown {
        let more = report.problems.len() - shown;
        output.error("damage", &format!("{more} more problems are not listed here: --json lists all"), None);
    }
    if output.json {
        return Ok(output.object_with("summary", json!({"rolled_back": rolled_back}), report)?);
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
        output.note(format_args!("{packs} that nothing names: left by an interrupted run, harmless"))?;
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
    if report.unsound_checkpoints > 0 {
        let checkpoints = count(report.unsound_checkpoints, "checkpoint");
        output.note(format_args!(
            "{checkpoints} of the log not what the log says, and ignored, harmless: `snap repair index` deletes that"
        ))?;
    }
    if report.unprotected_packs > 0 {
        let packs = count(report.unprotected_packs, "pack");
        output.note(format_args!("{packs} without parity: `snap repair packs` makes it"))?;
    }
    let is_mendable = report.mendable_packs + report.unsound_parity == report.problems.len() as u64;
    match report.problems.len() as u64 {
        0 => {
            let words = match (rolled_back, context.globals.allow_rollback) {
                (None, _) => "no problems found",
                (Some(_), true) => "no problems found in this older state of the repository",
                (Some(_), false) => "nothing is damaged in this state, but it is not what this machine has seen: see the error",
            };
            output.note(format_args!("{words}"))?;
        }
        problems => output.error(
            "damage",
            &format!("{} found", count(problems, "problem")),
            Some(match (report.lost_indexes, report.damaged_snapshots) {
                _ if report.unread == report.problems.len() as u64 => {
                    "what cannot be read is not judged: put right what the system says (permissions, a disk or a network \
                     that does not answer), then check again"
                }
                _ if report.looks_away() => {
                    "most packs are missing, as if their disk, mount or share were away: bring it back and check again. \
                     Nothing is lost by that, and nothing was recorded"
                }
                _ if report.problems.iter().any(is_of_config) => {
                    "run `snap repair config` first: it writes both copies of the config again; then check again"
                }
                _ if report.problems.iter().all(is_of_key) => {
                    "no data is lost: a key slot that is damaged or missing opens nothing any more. `snap key remove ID` takes \
                     it out, `snap key add` makes a new one"
                }
                _ if is_mendable => "nothing is lost, and all of it can be read: `snap repair packs` puts that right",
                (0, 0) if report.damaged_parts > 0 => {
                    "parts of a run are damaged, and no snapshot is: `snap merge --list` lists runs. Run `snap repair snapshots` \
                     and then the part again, with --force, or give the run up with `snap merge --run NAME --discard`"
                }
                (1.., 0) => "no data is lost: `snap repair index` rebuilds lost index objects from the packs",
                (1.., _) => "run `snap repair index` first: it rebuilds lost index objects from the packs",
                (0, 0) => "no snapshot needs what is damaged, or it is stored elsewhere too: `snap repair packs` puts that right",
                (0, _) => {
                    "what is not named above can still be restored, and what is left of damaged files with `snap restore \
                     --salvage`. `snap repair snapshots` makes the repository store the lost data again where it comes up \
                     again; do not delete anything by hand"
                }
            }),
        ),
    }
    Ok(())
}

/// Whether a problem is that of a copy of the config.
fn is_of_config(problem: &Error) -> bool {
    problem.is_damage() && problem.object_kind() == Some(Kind::Config)
}

/// Whether a problem is that of a key slot.
fn is_of_key(problem: &Error) -> bool {
    problem.is_damage() && problem.object_kind() == Some(Kind::Key)
}
