//! `snap restore`

use std::ffi::OsString;
use std::path::PathBuf;

use avro_snap::avro::codec::Codec;
use avro_snap::commands::restore::{RestoreOptions, RestoreReport, restore};
use avro_snap::error::IoContext;
use avro_snap::files::Overwrite;
use avro_snap::snapshot::SnapshotRoot;
use serde_json::{Value, json};

use super::Context;
use super::exit::Exit;
use super::failure::Result;
use super::filter::PatternArgs;
use super::format::{count, seconds, size};
use super::output::{failed_paths, put_path};
use super::parity::warn_of_mended;
use super::pick::{Filters, selector};
use super::progress::Meter;

/// Write the files of a snapshot into a directory
///
/// Nothing outside of the target is ever touched, whatever the snapshot says. Every restored file is compared with the
/// hash of the one that was saved.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Which snapshot, and what of it: the components of PATH do not appear in the target
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// Where to; it is made if it is not there
    #[arg(short, long, value_name = "DIR")]
    target: PathBuf,

    /// What happens to files that are there already
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    overwrite: When,

    /// Remove what is in restored directories of the target and not in the snapshot
    #[arg(long)]
    delete: bool,

    /// Look at everything, write nothing, and say what would be restored
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Read every restored file again and compare it
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,

    /// Give programs back their set-user-id and set-group-id bits and their capabilities
    #[arg(long)]
    restore_suid: bool,

    /// Make holes of blocks of zeros, also in files that had none
    #[arg(long)]
    sparse: bool,

    /// Write Avro files with this codec instead of bit for bit: much faster where theirs is slow
    #[arg(long, value_enum, value_name = "CODEC", conflicts_with = "verify")]
    recode: Option<Recode>,

    /// Of files of which data is lost, write what is left
    ///
    /// Of an Avro file that is a valid one of the blocks that are whole; of any other file, its bytes with zeros for what
    /// is lost. What is missing stands in FILE.salvage.json beside it. Such files are not what was saved: the exit code is
    /// 21. Without this, they are not written.
    #[arg(long, conflicts_with_all = ["recode", "dry_run"])]
    salvage: bool,

    #[command(flatten)]
    patterns: PatternArgs,

    #[command(flatten)]
    filters: Filters,
}

/// What happens to files that are there already.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum When {
    /// They are replaced
    #[default]
    Always,
    /// They are replaced if size or modification time differ
    IfChanged,
    /// They are replaced if the snapshot's are newer
    IfNewer,
    /// They stay
    Never,
}

/// The codecs that Avro files can be written with.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Recode {
    /// Not compressed
    Null,
    /// The one that every reader knows
    Deflate,
    /// Fast
    Snappy,
    /// Fast and small
    Zstandard,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let selector = selector(self.snapshot.as_deref())?;
        let (include, exclude) = (self.patterns.includes()?, self.patterns.excludes()?);
        let repository = context.open()?;
        let (snapshot, subfolder) = context.pick(&repository, selector, &self.filters)?;
        let options = RestoreOptions {
            target: std::path::absolute(&self.target).when("resolve", &self.target)?,
            subfolder,
            include: include.patterns.clone(),
            exclude: exclude.patterns,
            overwrite: match self.overwrite {
                When::Always => Overwrite::Always,
                When::IfChanged => Overwrite::IfChanged,
                When::IfNewer => Overwrite::IfNewer,
                When::Never => Overwrite::Never,
            },
            delete: self.delete,
            dry_run: self.dry_run,
            verify: self.verify,
            restore_suid: self.restore_suid,
            sparse: self.sparse,
            recode: self.recode.map(|codec| match codec {
                Recode::Null => Codec::Null,
                Recode::Deflate => Codec::Deflate,
                Recode::Snappy => Codec::Snappy,
                Recode::Zstandard => Codec::Zstandard,
            }),
            salvage: self.salvage,
            threads: context.globals.threads(),
        };
        let meter = Meter::new(&context.output);
        let restored = restore(&repository, &snapshot, &options, &meter);
        meter.finish();
        warn_of_mended(&context.output, &repository);
        let report = restored?;
        for number in &report.unmatched_includes {
            context.output.warn(&format!("nothing in the snapshot matches {}", include.given(*number)));
        }
        let exit = match report.failed.as_slice() {
            [] if report.salvaged.is_empty() => Exit::Done,
            [] => Exit::RestoredWithDamage,
            failed if failed.iter().any(|(_, error)| error.is_damage()) => Exit::RestoredWithDamage,
            _ => Exit::Failed,
        };
        context.told(exit, tell(context, &snapshot, &options, &report))
    }
}

fn tell(context: &Context, snapshot: &SnapshotRoot, options: &RestoreOptions, report: &RestoreReport) -> Result<()> {
    let output = &context.output;
    if output.json {
        let failed = failed_paths(&report.failed);
        let salvaged: Vec<Value> = report
            .salvaged
            .iter()
            .map(|file| {
                let mut object = json!({
                    "report": String::from_utf8_lossy(&file.report),
                    "missing_records": file.salvage.loss.records.total,
                    "missing_blocks": file.salvage.loss.blocks.total,
                    "zero_filled_bytes": file.salvage.loss.bytes.total,
                    "written_records": file.salvage.records,
                });
                put_path(&mut object, &file.path);
                object
            })
            .collect();
        return Ok(output.object(
            "summary",
            json!({
                "dry_run": options.dry_run,
                "snapshot_id": snapshot.id.to_string(),
                "target": options.target.to_string_lossy(),
                "files_restored": report.files_restored,
                "files_skipped": report.files_skipped,
                "others_restored": report.others_restored,
                "bytes_restored": report.bytes_restored,
                "deleted": report.deleted,
                "verified": report.verified,
                "recoded": report.recoded,
                "set_ids_dropped": report.set_ids_dropped,
                "files_salvaged": report.salvaged.len(),
                "salvaged": salvaged,
                "files_failed": report.failed.len(),
                "failed": failed,
                "duration_secs": report.duration_secs,
            }),
        )?);
    }
    output.note(format_args!(
        "{} {} ({}) of snapshot {} {} {} in {}",
        if options.dry_run { "would restore" } else { "restored" },
        count(report.files_restored, "file"),
        size(report.bytes_restored),
        snapshot.id.short(),
        if options.dry_run { "into" } else { "to" },
        options.target.display(),
        seconds(report.duration_secs)
    ))?;
    for (number, said) in [
        (report.files_skipped, "left as they were there"),
        (report.deleted, if options.dry_run { "would be removed" } else { "removed" }),
        (report.verified, "read again and found right"),
        (report.recoded, "written with another codec"),
        (report.set_ids_dropped, "without their set-id bits or capabilities (--restore-suid sets them)"),
    ] {
        if number > 0 {
            output.note(format_args!("{number} {said}"))?;
        }
    }
    if !report.salvaged.is_empty() {
        let what = count(report.salvaged.len() as u64, "file");
        let hint = "what they lack stands in the reports beside them, FILE.salvage.json";
        output.error("salvaged", &format!("{what} written in part: they are not what was saved"), Some(hint));
    }
    if !report.failed.is_empty() {
        let what = count(report.failed.len() as u64, "file");
        let is_damage = report.failed.iter().any(|(_, error)| error.is_damage());
        let hint = match (is_damage, options.salvage) {
            (false, _) => None,
            (true, false) => {
                Some("`snap check` says what is lost and what helps; --salvage writes what is left of damaged files")
            }
            (true, true) => Some("`snap check` says what is lost and what helps"),
        };
        output.error("not_restored", &format!("{what} could not be restored, as told above"), hint);
    }
    Ok(())
}
