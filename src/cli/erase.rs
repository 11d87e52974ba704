//! `snap erase`

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use avro_snap::avro::filter::Expression;
use avro_snap::ops::erase::{EraseError, EraseOptions, ErasePlan, EraseReport, erase, plan};
use avro_snap::report::utc;
use serde_json::{Value, json};

use super::Context;
use super::cat::no_condition;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file;
use super::format::{count, local_time, seconds, size};
use super::pick::{Filters, patterns, whole};
use super::progress::Meter;

/// Take records out of the Avro files of snapshots that exist, for good
///
/// Every file at PATH (a file, a folder, or a pattern) in every snapshot is looked through. What would be done is shown first. Then
/// each file that holds such records is written again without them: a sound container with the same schema, codec and metadata
/// and a new sync marker. Snapshots keep their ids, times and tags; all other files and records stay as they are. The exact
/// bytes that such a file had are gone on purpose: `ls --long`, `restore` and `manifest` say so.
///
/// Nothing is deleted by this alone: run `snap prune --grace 0` afterwards, which leaves nothing of the records in the repository.
/// `snap check --erased FILE` then looks for them, if --report wrote that file. Copies of the repository, and what lies at the
/// source, are yours to look after: the next `create` saves records that are still there.
///
/// Files that cannot be decoded as a whole (damaged, of an unknown codec, no Avro file, without a field that is asked for) stay
/// as they are and are reported; the exit code is then 3. --exclude says which of them do not matter.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// File, folder or pattern, as the snapshots name it
    #[arg(value_name = "PATH")]
    what: OsString,

    /// Erase the records of which CONDITION is true, like "email = 'a@b.example' or id in (1, 2)"
    ///
    /// Comparisons, `in`, `between`, `like`, `is null`, `and`, `or`, `not` and parentheses; fields within others are a.b.
    #[arg(long = "where", value_name = "CONDITION", required_unless_present = "key", conflicts_with = "key")]
    condition: Option<Expression>,

    /// Erase the records with this key: fields and their values, like id=4711 or id=4711,region=eu; may be repeated
    #[arg(long, value_name = "FIELD=VALUE,...")]
    key: Vec<String>,

    /// Only from this snapshot; may be repeated [default: all that match the filters]
    #[arg(long, value_name = "SNAPSHOT")]
    snapshot: Vec<OsString>,

    /// Leave files matching PATTERN alone
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,

    /// Show what would be erased, and write nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Do not ask
    #[arg(long)]
    yes: bool,

    /// Write what was erased to FILE, as JSON, with what `snap check --erased` needs
    ///
    /// It holds no records, but hashes of them: anybody who has the file can test whether a record that they know was erased. Keep it
    /// as safe as the data, and delete it once it is not needed any more. A file that exists is not replaced.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,

    /// Compression of new data [default: that of the repository]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    /// What the flags say.
    pub(super) fn options(&self) -> Result<EraseOptions> {
        let path = std::str::from_utf8(self.what.as_bytes());
        let path = path.map_err(|_| Failure::Usage("the path is not UTF-8: use a pattern for it".into()))?;
        let mut options = EraseOptions::new(path).exclude(patterns(&self.exclude, false)?);
        options = options.r#where(self.condition.clone()).compression(self.compression.map(Into::into));
        Ok(options.key(self.key.iter().cloned()))
    }

    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let options = self.options()?;
        let selectors = self.snapshot.iter().map(|text| whole(text, "what is erased from"));
        let selectors = selectors.collect::<Result<Vec<_>>>()?;
        let filter = self.filters.filter()?;
        if let Some(report) = self.report.as_ref().filter(|report| report.exists()) {
            return Err(Failure::Usage(format!("{} exists already, and is not replaced", report.display())));
        }
        if output.json && !self.dry_run && !self.yes {
            return Err(Failure::Usage("--json does not ask: --dry-run shows the plan, --yes carries it out".into()));
        }
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let unreadable = listing.unreadable.len();
        let mut chosen = context.choose_all(&mut listing, selectors, &filter)?;
        chosen.sort_by_key(|root| (root.series.clone(), root.time, root.id));
        chosen.dedup_by_key(|root| root.id);
        let ids: Vec<_> = chosen.iter().map(|root| root.id).collect();
        let meter = Meter::new(output);
        let planned = plan(&repository, &ids, &options, &meter);
        meter.finish();
        let plan = planned.map_err(failure)?;
        let times = |id| chosen.iter().find(|root| root.id == id).map_or(0, |root| root.time);
        let exit = if plan.left.is_empty() && unreadable == 0 { Exit::Done } else { Exit::Incomplete };
        if !output.json {
            show(context, &plan, &times)?;
        }
        say_left(context, &plan);
        let began = repository.log().clock().now();
        if self.dry_run || plan.snapshots.is_empty() {
            if let Some(path) = self.report.as_ref().filter(|_| !self.dry_run) {
                write_report(context, path, &plan, Some(&EraseReport::default()), began)?;
            }
            let nothing = EraseReport::default();
            let said = if output.json { summary(context, &plan, &nothing, self.dry_run) } else { Ok(()) };
            return context.finish_with(exit, said);
        }
        if !self.yes {
            confirm(context, &plan)?;
        }
        // What is not written down cannot be looked for later: the file is there before anything is changed.
        if let Some(path) = &self.report {
            write_report(context, path, &plan, None, began)?;
        }
        let meter = Meter::new(output);
        let done = erase(&repository, &plan, &options, &meter);
        meter.finish();
        let report = done?;
        if let Some(path) = &self.report {
            write_report(context, path, &plan, Some(&report), began)?;
        }
        let exit = if report.failed.is_empty() { exit } else { Exit::Damage };
        context.finish_with(exit, print(context, &plan, &report, self.report.as_deref()))
    }
}

fn failure(error: EraseError) -> Failure {
    let message = error.to_string();
    match error {
        EraseError::Library(error) => Failure::of_arguments(error),
        EraseError::NoFiles { .. } => {
            Failure::plain(message, "`snap find PATTERN` shows which snapshots have which files")
        }
        EraseError::Filter(error) => no_condition(&error),
        _ => Failure::plain(message, "`snap schema show SNAPSHOT:PATH` shows all fields"),
    }
}

fn show(context: &Context, plan: &ErasePlan, time: &dyn Fn(avro_snap::id::SnapshotId) -> i64) -> Result<()> {
    let output = &context.output;
    for snapshot in &plan.snapshots {
        let records: u64 = snapshot.files.iter().map(|file| file.records_erased).sum();
        let files = count(snapshot.files.len() as u64, "file");
        let (short, time) = (snapshot.id.short(), local_time(time(snapshot.id)));
        output.line(format!("snapshot {short}  {time}  {} of {files}", count(records, "record")))?;
        if output.verbose {
            for file in &snapshot.files {
                let mut line = format!("  {} of {} in ", file.records_erased, file.records_erased + file.records_left);
                line.push_str(&String::from_utf8_lossy(&output.path(&file.path)));
                output.line(line)?;
            }
        }
    }
    let looked = format!(
        "{} in {} looked through",
        count(plan.contents, "different file"),
        count(plan.snapshots_looked_at, "snapshot")
    );
    match plan.snapshots.is_empty() {
        true => output.note(format_args!("{looked}: no such record"))?,
        false => output.note(format_args!(
            "{looked}: {} in {}, in {}",
            count(plan.records, "such record"),
            count(plan.contents_concerned, "different file"),
            count(plan.snapshots.len() as u64, "snapshot")
        ))?,
    }
    Ok(())
}

/// Files that stay as they are, each once.
fn say_left(context: &Context, plan: &ErasePlan) {
    let mut said = std::collections::BTreeMap::<(&[u8], &str), u64>::new();
    for left in &plan.left {
        *said.entry((&left.path, &left.reason)).or_default() += 1;
    }
    for ((path, reason), snapshots) in said {
        let path = String::from_utf8_lossy(path);
        let message = format!("{path} ({}) stays as it is: {reason}", count(snapshots, "snapshot"));
        context.output.error("left", &message, None);
    }
}

fn confirm(context: &Context, plan: &ErasePlan) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage(
            "nothing was erased: --yes says that this is meant (there is no terminal to ask on)".into(),
        ));
    }
    context.output.flush()?;
    let snapshots = count(plan.snapshots.len() as u64, "snapshot");
    let question = format!("Erase {} from {snapshots}, for good? [type yes] ", count(plan.records, "record"));
    let mut stderr = std::io::stderr();
    let asked = stderr.write_all(question.as_bytes()).and_then(|()| stderr.flush());
    let mut answer = String::new();
    let read = asked.and_then(|()| std::io::stdin().read_line(&mut answer));
    match read.is_ok() && answer.trim() == "yes" {
        true => Ok(()),
        false => Err(Failure::Usage("nothing was erased".into())),
    }
}

/// The report for `check --erased`: written before anything is changed, and again when all is done.
fn write_report(
    context: &Context,
    path: &Path,
    plan: &ErasePlan,
    report: Option<&EraseReport>,
    began: i64,
) -> Result<()> {
    let wrong = |error: serde_json::Error| Failure::Usage(format!("the report cannot be written: {error}"));
    let mut value = serde_json::to_value(&plan.proof).map_err(wrong)?;
    if let Value::Object(object) = &mut value {
        let more = json!({
            "erased_at": utc(i128::from(began)),
            "is_done": report.is_some(),
            "snapshots": plan.snapshots,
            "left": plan.left,
        });
        object.extend(more.as_object().cloned().unwrap_or_default());
        if let Some(report) = report {
            object.insert("result".into(), serde_json::to_value(report).map_err(wrong)?);
        }
    }
    let text = serde_json::to_vec_pretty(&value).map_err(wrong)?;
    Ok(file::write(Some(path), &context.output, |give| give(&text).and_then(|()| give(b"\n")))?)
}

fn summary(context: &Context, plan: &ErasePlan, report: &EraseReport, dry_run: bool) -> Result<()> {
    let asked = json!({
        "dry_run": dry_run,
        "snapshots": plan.snapshots,
        "left": plan.left,
        "snapshots_looked_at": plan.snapshots_looked_at,
        "contents": plan.contents,
        "contents_concerned": plan.contents_concerned,
        "records_found": plan.records,
    });
    Ok(context.output.object_with("summary", asked, report)?)
}

fn print(context: &Context, plan: &ErasePlan, report: &EraseReport, path: Option<&Path>) -> Result<()> {
    let output = &context.output;
    for id in &report.appeared {
        let message = format!("snapshot {} was made meanwhile and was not looked through: run this again", id.short());
        output.warn(&message);
    }
    if output.json {
        return summary(context, plan, report, false);
    }
    output.note(format_args!(
        "{} erased from {} in {}, added {} in {}",
        count(report.records, "record"),
        count(report.files, "different file"),
        count(report.replaced.len() as u64, "snapshot"),
        size(report.bytes_added),
        seconds(report.duration_secs)
    ))?;
    if !report.removed.is_empty() {
        output.note(format_args!("{} removed meanwhile", count(report.removed.len() as u64, "snapshot")))?;
    }
    output.note(format_args!("`snap prune --grace 0` makes it final: until then the repository still holds them"))?;
    if let Some(path) = path {
        output.note(format_args!("`snap check --erased {}` looks for them after that", path.display()))?;
    }
    if !report.failed.is_empty() {
        let what = count(report.failed.len() as u64, "file or snapshot");
        output.error("damaged", &format!("nothing was erased from {what}, as reported above"), None);
    }
    Ok(())
}
