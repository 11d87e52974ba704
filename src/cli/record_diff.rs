//! `snap diff --records`

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use avro_snap::avro::filter::Expression;
use avro_snap::avro::records::Encoding;
use avro_snap::ops::record_diff::{
    FeedCodec, Operation, RecordChange, RecordDiffOptions, RecordDiffReport, RecordFeed, Side,
};
use avro_snap::ops::select::Listing;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::store::Repository;
use avro_snap::values::comma_list;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::file;
use super::format::count;
use super::parity::warn_of_mended;
use super::pick::{Filters, paths_in, selector};

/// What `diff` takes beside the snapshots where it compares records.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Records of Avro files")]
pub(crate) struct RecordArgs {
    /// Compare the records of Avro files: of a file, or of all files of a directory or pattern as one table
    ///
    /// Files and chunks that both sides have are not read, so the work follows the change. All records are read with the newest
    /// schema of the later side. Of equal records as many as both sides have are taken away; what is left was inserted or
    /// deleted, or with --key updated.
    #[arg(long)]
    records: bool,

    /// Fields that say which record is which, like `id` or `customer.id,day`: a record of which others changed is an update
    #[arg(long, value_name = "FIELD,...", requires = "records")]
    key: Vec<String>,

    /// Only records of which this condition is true, like `status = 'open' and total > 100`
    ///
    /// It is asked of both sides: a record of which it is no longer true counts as deleted.
    #[arg(long = "where", value_name = "CONDITION", requires = "records")]
    filter: Option<String>,

    /// Compare each snapshot of a series with the one before it, from this one on; then only a path follows
    #[arg(long, value_name = "SNAPSHOT", requires = "records", requires = "to")]
    from: Option<OsString>,

    /// The last of these snapshots
    #[arg(long, value_name = "SNAPSHOT", requires = "from")]
    to: Option<OsString>,

    /// Print changes as lines for people (or JSON with --json), or write a change feed as an Avro file
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT", requires = "records")]
    format: Format,

    /// Codec of the change feed
    #[arg(long, value_enum, default_value = "deflate", value_name = "CODEC", requires = "records")]
    codec: Codec,

    /// Write the change feed to this file instead of standard output
    #[arg(short = 'o', long, value_name = "FILE", requires = "records")]
    output: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Text,
    Avro,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Codec {
    Null,
    Deflate,
    Zstandard,
}

impl RecordArgs {
    /// Whether records are compared.
    pub(crate) fn is_wanted(&self) -> bool {
        self.records
    }

    fn options(&self) -> Result<RecordDiffOptions> {
        let filter = self.filter.as_deref().map(str::parse::<Expression>).transpose();
        let filter = filter.map_err(|error| Failure::Usage(format!("--where: {error}")))?;
        Ok(RecordDiffOptions::default().key(self.key.iter().flat_map(|list| comma_list(list))).r#where(filter))
    }

    /// Compares what the arguments without flags name.
    pub(crate) fn run(&self, context: &Context, named: &[OsString], filters: &Filters) -> Result<Exit> {
        let output = &context.output;
        if self.key.iter().any(|list| list.trim().is_empty()) {
            return Err(Failure::Usage("--key is empty".into()));
        }
        if self.format != Format::Avro && self.output.is_some() {
            return Err(Failure::Usage("-o FILE is for --format avro".into()));
        }
        let to_stdout = self.output.as_deref().is_none_or(|path| path == std::path::Path::new("-"));
        if self.format == Format::Avro && to_stdout && output.json {
            return Err(Failure::Usage("--format avro and --json need -o FILE to go together".into()));
        }
        let options = self.options()?;
        let repository = Arc::new(context.open()?);
        let sides = self.sides(context, &repository, named, filters)?;
        let snapshots: Vec<SnapshotRoot> = sides.iter().map(|side| side.snapshot.clone()).collect();
        let feed = RecordFeed::new(&repository, sides, &options).map_err(Failure::of_arguments)?;
        let reports = match self.format {
            Format::Text => feed.run(&mut |change| match output.json {
                true => output.line(json_line(change)?),
                false => output.line(output.path(text_line(change)?.as_bytes())),
            })?,
            Format::Avro => {
                let mut reports = Vec::new();
                file::write(self.output.as_deref(), output, |write| {
                    let mut writer = feed.writer(match self.codec {
                        Codec::Null => FeedCodec::Null,
                        Codec::Deflate => FeedCodec::Deflate,
                        Codec::Zstandard => FeedCodec::Zstandard,
                    })?;
                    write(&writer.header())?;
                    reports = feed.run(&mut |change| match writer.push(change)? {
                        Some(bytes) => write(&bytes),
                        None => Ok(()),
                    })?;
                    write(&writer.finish()?)
                })?;
                reports
            }
        };
        warn_of_mended(output, &repository);
        output.flush()?;
        // The bytes of a feed are all that may stand on standard output.
        let is_said = !(self.format == Format::Avro && to_stdout);
        self.end(context, &snapshots, &reports, is_said)
    }

    fn end(
        &self,
        context: &Context,
        snapshots: &[SnapshotRoot],
        reports: &[RecordDiffReport],
        is_said: bool,
    ) -> Result<Exit> {
        let (output, mut exit) = (&context.output, Exit::Done);
        for (pair, report) in snapshots.windows(2).zip(reports) {
            let [old, new] = pair else { continue };
            for fault in &report.faults {
                let message = format!("{}: {}", String::from_utf8_lossy(&fault.path), fault.reason);
                output.error(
                    "unsound",
                    &message,
                    Some("its sound records were compared; `snap dump` writes the file as it is"),
                );
                exit = Exit::Incomplete;
            }
            if !is_said {
                continue;
            }
            if output.json {
                let sides = json!({"snapshot_before": old.id, "snapshot_after": new.id});
                output.object_with("summary", sides, report)?;
                continue;
            }
            if reports.len() > 1 {
                output.note(format_args!("{} -> {}:", old.id.short(), new.id.short()))?;
            }
            say(context, report)?;
        }
        Ok(exit)
    }

    /// The sides that are compared, each with the one before it.
    fn sides(
        &self,
        context: &Context,
        repository: &Arc<Repository>,
        named: &[OsString],
        filters: &Filters,
    ) -> Result<Vec<Side>> {
        let filter = filters.filter()?;
        let mut listing = context.listing(repository);
        let side =
            |snapshot: SnapshotRoot, path: &[u8]| -> Result<Side> { Ok(Side::of_path(repository, snapshot, path)?) };
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            let [path] = named else {
                return Err(Failure::Usage(
                    "with --from and --to only a path follows, like `snap diff --records --from latest~7 --to latest export/orders`"
                        .into(),
                ));
            };
            let paths = paths_in(&selector(Some(from))?, std::slice::from_ref(path))?;
            let path = paths.into_iter().next().unwrap_or_default();
            let (from, to) = (
                context.choose_whole(&mut listing, selector(Some(from))?, &filter)?,
                context.choose_whole(&mut listing, selector(Some(to))?, &filter)?,
            );
            return between(&listing, &from, &to)?.into_iter().map(|snapshot| side(snapshot, &path)).collect();
        }
        let (before, after, beside) = match named {
            [before, after] => (before, after, None),
            [before, after, path] => (before, after, Some(path)),
            _ => return Err(Failure::Usage("say which two snapshots are compared".into())),
        };
        let (before, after) = (selector(Some(before))?, selector(Some(after))?);
        let beside = match beside {
            Some(path) => {
                paths_in(&after, std::slice::from_ref(path))?;
                paths_in(&before, std::slice::from_ref(path))?.pop()
            }
            None => None,
        };
        let (old, mut old_path) = context.choose(&mut listing, before, &filter)?;
        let (new, mut new_path) = context.choose(&mut listing, after, &filter)?;
        if let Some(path) = beside {
            (old_path, new_path) = (path.clone(), path);
        }
        Ok(vec![side(old, &old_path)?, side(new, &new_path)?])
    }
}

/// The snapshots of the series of `to`, from one to the other.
fn between(listing: &Listing, from: &SnapshotRoot, to: &SnapshotRoot) -> Result<Vec<SnapshotRoot>> {
    if from.series != to.series {
        return Err(Failure::Usage(format!(
            "snapshots {} and {} are of different series ({} and {})",
            from.id.short(),
            to.id.short(),
            from.series,
            to.series
        )));
    }
    let series: Vec<_> = listing.snapshots.iter().filter(|root| root.series == to.series).collect();
    let place = |wanted: &SnapshotRoot| series.iter().position(|root| root.id == wanted.id);
    match (place(from), place(to)) {
        (Some(first), Some(last)) if first < last => {
            Ok(series.get(first..=last).unwrap_or_default().iter().map(|root| (*root).clone()).collect())
        }
        _ => Err(Failure::Usage(format!("snapshot {} is not before snapshot {}", from.id.short(), to.id.short()))),
    }
}

/// A change as a line of JSON. Records are JSON already, and are not read again only to be wrapped.
fn json_line(change: &RecordChange<'_>) -> avro_snap::error::Result<String> {
    let null = || "null".to_owned();
    let plain = Encoding::Plain;
    Ok(format!(
        r#"{{"message_type":"record_change","op":"{}","snapshot_id":"{}","key":{},"changed":{},"duplicate":{},"before":{},"after":{}}}"#,
        change.operation.name(),
        change.snapshot.id,
        change.key_json(plain)?.unwrap_or_else(null),
        json!(change.changed),
        change.duplicate,
        change.before_json(plain)?.unwrap_or_else(null),
        change.after_json(plain)?.unwrap_or_else(null),
    ))
}

/// A change as a line for people: the record, or of an update its key and the fields that changed.
fn text_line(change: &RecordChange<'_>) -> avro_snap::error::Result<String> {
    let plain = Encoding::Plain;
    let sign = change.operation.sign();
    if change.operation != Operation::Update {
        let image = change.after_json(plain)?.or(change.before_json(plain)?);
        return Ok(format!("{sign}  {}", image.unwrap_or_default()));
    }
    let key = change.key_json(plain)?.unwrap_or_default();
    Ok(format!("{sign}  {key}  {}", change.fields_text(plain)?))
}

fn say(context: &Context, report: &RecordDiffReport) -> Result<()> {
    let output = &context.output;
    output.note(format_args!(
        "records: {} inserted, {} updated, {} deleted ({} -> {})",
        report.inserted, report.updated, report.deleted, report.records_before, report.records_after
    ))?;
    if report.duplicate_keys_before + report.duplicate_keys_after > 0 {
        output.note(format_args!(
            "keys with several records that differ: {} before, {} after; these records count as deleted and inserted",
            report.duplicate_keys_before, report.duplicate_keys_after
        ))?;
    }
    output.note(format_args!(
        "not read since both sides have them: {} and {}, with {}",
        count(report.files_skipped, "file"),
        count(report.chunks_skipped, "chunk"),
        count(report.records_skipped, "record")
    ))?;
    Ok(())
}
