//! `snap restore`

use std::ffi::OsString;

use avro_snap::avro::codec::Codec;
use avro_snap::error::{Error, IoContext};
use avro_snap::files::{Overwrite, Spare};
use avro_snap::iceberg::LocationMap;
use avro_snap::ops::restore::{NeededPack, RestoreOptions, RestoreReport, packs_of};
use avro_snap::snapshot::{Shard, SnapshotRoot};
use avro_snap::storage::StorageErrorKind;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result, hint};
use super::filter::PatternArgs;
use super::format::{count, local_time, seconds, size};
use super::globals::given;
use super::parity::warn_of_mended;
use super::pick::{Filters, selector};
use super::progress::Meter;
use super::stores;

/// Write the files of a snapshot into a directory
///
/// Nothing outside of the target is ever touched, whatever the snapshot says. Every restored file is compared with the
/// hash of the one that was saved.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshot, and perhaps a path in it: the components of PATH do not appear in the target
    #[arg(value_name = "SNAPSHOT[:PATH]", required_unless_present = "at")]
    snapshot: Option<OsString>,

    /// Directory to restore into, created if missing; or a prefix in an object store (s3://, gs:// or az://BUCKET/PREFIX)
    #[arg(short, long, value_name = "DIR")]
    target: OsString,

    /// Restore only part K of N; other processes restore the others, into the same directory
    ///
    /// Which part a file belongs to follows from its path. All parts together are the snapshot.
    #[arg(long, value_name = "K/N", conflicts_with = "delete")]
    shard: Option<Shard>,

    /// When to overwrite files that exist in the target
    #[arg(long, value_enum, default_value_t, value_name = "WHEN")]
    overwrite: When,

    /// Remove what is in the target and not in the snapshot
    ///
    /// Only what lies at or below a path that was saved is removed, and only what the filters select. What `create` did not
    /// save stays: what its patterns, sizes and marker files left out, the repository and snap's own folders, sockets, other
    /// file systems. A folder that stands where a file belongs is replaced. A symbolic link is removed as a link, and what it
    /// points to is never entered: a link where the snapshot has a folder is replaced by the folder with --overwrite always,
    /// unless it stands in place of a path that was saved itself; then nothing is restored there, and that is said
    /// (restore SNAPSHOT:PATH into the folder that it leads to). `--dry-run -v` names all that would go. Refused where something
    /// could not be read when the snapshot was made, for the root of the file system (unless each --include
    /// begins with a / and a plain name), and for a home or a folder of the system that is not what was saved.
    #[arg(long)]
    delete: bool,

    /// Remove even if something could not be read when the snapshot was made
    ///
    /// What is known by its path to have been unreadable stays; but if it has another name by now, it goes.
    #[arg(long, requires = "delete")]
    delete_despite_unreadable: bool,

    /// Write nothing; show what would be restored and removed
    ///
    /// With -v, each path is printed with a sign: + it is not there, M it is there with another size or time, = it is there
    /// with the same, - it would be removed.
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// With --dry-run, list the packs that hold the content of the files: what has to be thawed before it can be restored
    ///
    /// Each line has the object's name below the place of the repository, and its length in bytes.
    #[arg(long, requires = "dry_run")]
    packs: bool,

    /// Read every restored file again and compare it
    #[arg(long, conflicts_with = "dry_run")]
    verify: bool,

    /// Restore the set-user-id and set-group-id bits and the capabilities of programs
    #[arg(long)]
    restore_suid: bool,

    /// Write blocks of zeros as holes (sparse files), also in files that had none
    #[arg(long)]
    sparse: bool,

    /// Write Avro files with this codec instead of bit for bit: much faster where theirs is slow
    #[arg(long, value_enum, value_name = "CODEC", conflicts_with = "verify")]
    recode: Option<Recode>,

    /// Move Iceberg tables: locations that begin with OLD begin with NEW in what is restored; may be repeated
    ///
    /// Metadata, manifest lists and manifests are written again, data files are restored bit for bit. The metadata names only the
    /// snapshots of the table that are in what is restored as a whole; metadata of other states is not restored. Refused, before
    /// anything is written, where a location is not covered, the current state is not there as a whole, or a table has position
    /// deletes or deletion vectors: these name data files by paths inside of them.
    #[arg(long, value_name = "OLD=NEW", conflicts_with_all = ["recode", "salvage"])]
    map: Vec<LocationMap>,

    /// Write what is left of files that have lost data
    ///
    /// An Avro file is written as a valid one with the blocks that are whole; any other file with zeros for what is
    /// lost. What is missing stands in FILE.salvage.json beside it. Such files are not what was saved: the exit code is
    /// 21. Without this, they are not written.
    #[arg(long, conflicts_with_all = ["recode", "dry_run"])]
    salvage: bool,

    #[command(flatten)]
    patterns: PatternArgs,

    #[command(flatten)]
    filters: Filters,
}

/// When to overwrite files that exist in the target.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum When {
    /// Overwrite them in any case
    #[default]
    Always,
    /// If size or modification time differ; else only mode, owner and attributes are set
    IfChanged,
    /// If the snapshot's are newer; others stay as they are
    IfNewer,
    /// Keep existing files as they are
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
        // An argument that is a path may not be empty, and is refused with no advice about variables.
        if self.target.is_empty() {
            return Err(Failure::Usage("--target is empty: was a variable not set?".into()));
        }
        let selector = selector(self.snapshot.as_deref())?;
        let mut options = self.options()?;
        let target = std::path::Path::new(&self.target);
        if stores::is_store(target) {
            self.refuse_in_store()?;
            options.target = target.to_path_buf();
        } else {
            options.target = std::path::absolute(target).when("resolve", target)?;
        }
        options.read_patterns().map_err(Failure::of_arguments)?;
        let repository = context.open()?;
        let (snapshot, subfolder) = context.pick(&repository, selector, &self.filters)?;
        options.subfolder = subfolder;
        options.in_use = context.own_folders(&context.repository_folder()?, &repository);
        options.home = given("HOME");
        let packs = self.packs.then(|| packs_of(&repository, &snapshot, &options)).transpose()?;
        let meter = Meter::new(&context.output);
        let restored = stores::restore(context, &repository, &snapshot, &options, &meter);
        meter.finish();
        warn_of_mended(&context.output, &repository);
        let report = restored.map_err(|failure| match failure {
            Failure::Library(error) if !self.map.is_empty() => Failure::of_arguments(error),
            other => other,
        })?;
        for number in &report.unmatched_includes {
            context.output.warn(&format!("nothing in the snapshot matches {}", self.patterns.given(&options, *number)));
        }
        let exit = match report.failed.as_slice() {
            [] if !report.salvaged.is_empty() => Exit::RestoredWithDamage,
            [] if report.not_deleted.is_empty() => Exit::Done,
            [] => Exit::Failed,
            failed if failed.iter().any(|(_, error)| error.is_damage()) => Exit::RestoredWithDamage,
            _ => Exit::Failed,
        };
        context.finish_with(exit, print_report(context, &snapshot, &options, &report, packs.as_deref()))
    }
}

impl Args {
    /// What only a file system can do.
    fn refuse_in_store(&self) -> Result<()> {
        let refused = |flag: &str, why: &str| Err(Failure::Usage(format!("{flag} is for directories: {why}")));
        match self {
            Self { delete: true, .. } => refused(
                "--delete",
                "what else lies under a prefix is not known to be old, and is never removed from an object store",
            ),
            Self { restore_suid: true, .. } => refused("--restore-suid", "objects have no such bits"),
            Self { sparse: true, .. } => refused("--sparse", "objects have no holes"),
            _ => Ok(()),
        }
    }

    /// What the flags say, without what needs the repository.
    pub(super) fn options(&self) -> Result<RestoreOptions> {
        let mut options = self.patterns.options()?;
        options.target = self.target.clone().into();
        options.overwrite = match self.overwrite {
            When::Always => Overwrite::Always,
            When::IfChanged => Overwrite::IfChanged,
            When::IfNewer => Overwrite::IfNewer,
            When::Never => Overwrite::Never,
        };
        options.shard = self.shard;
        options.delete = self.delete;
        options.delete_despite_unreadable = self.delete_despite_unreadable;
        options.dry_run = self.dry_run;
        options.verify = self.verify;
        options.restore_suid = self.restore_suid;
        options.sparse = self.sparse;
        options.recode = self.recode.map(|codec| match codec {
            Recode::Null => Codec::Null,
            Recode::Deflate => Codec::Deflate,
            Recode::Snappy => Codec::Snappy,
            Recode::Zstandard => Codec::Zstandard,
        });
        options.map.clone_from(&self.map);
        options.salvage = self.salvage;
        Ok(options)
    }
}

fn print_report(
    context: &Context,
    snapshot: &SnapshotRoot,
    options: &RestoreOptions,
    report: &RestoreReport,
    packs: Option<&[NeededPack]>,
) -> Result<()> {
    let output = &context.output;
    for pack in packs.unwrap_or_default() {
        match output.json {
            true => output.object("pack", pack)?,
            false => output.line(format!("{} {}", pack.object, pack.bytes))?,
        }
    }
    if output.json {
        let mut asked = json!({
            "dry_run": options.dry_run,
            "snapshot_id": snapshot.id,
            "target": options.target.to_string_lossy(),
            "files_salvaged": report.salvaged.len(),
            "files_failed": report.failed.len(),
        });
        if let Some(packs) = packs {
            asked["packs"] = json!({"packs": packs.len(), "bytes": packs.iter().map(|pack| pack.bytes).sum::<u64>()});
        }
        return Ok(output.object_with("summary", asked, report)?);
    }
    if let Some(packs) = packs {
        let bytes = size(packs.iter().map(|pack| pack.bytes).sum());
        output.note(format_args!("{} ({bytes}) have the content of these files", count(packs.len() as u64, "pack")))?;
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
    if let Some(altered) = snapshot.altered {
        let time = local_time(altered);
        output
            .note(format_args!("records were erased from files of this snapshot, last on {time} (`snap ls --long`)"))?;
    }
    if options.dry_run {
        output.note(format_args!(
            "of these, {} not there, {} with another size or time, {} with the same",
            report.files_new, report.files_differing, report.files_same
        ))?;
    }
    for (number, said) in [
        (report.files_skipped, "left as they were there"),
        (
            report.metadata_restored,
            if options.dry_run {
                "of them would get their mode, owner or attributes of the snapshot"
            } else {
                "of them got their mode, owner or attributes of the snapshot"
            },
        ),
        (report.directories_skipped, "directories not made: an object store has none, and empty ones are not kept"),
        (report.deleted, if options.dry_run { "would be removed" } else { "removed" }),
        (report.verified, "read again and found right"),
        (report.recoded, "written with another codec"),
        (report.not_recoded, "not written with another codec: they are not sound throughout, and are as they were"),
        (report.set_ids_dropped, "without their set-id bits or capabilities (--restore-suid sets them)"),
    ] {
        if number > 0 {
            output.note(format_args!("{number} {said}"))?;
        }
    }
    for table in &report.tables_moved {
        let dropped = match table.table_snapshots_dropped {
            0 => String::new(),
            dropped => format!(", without {} that are not whole here", count(dropped, "snapshot")),
        };
        let (path, kept) = (String::from_utf8_lossy(&table.path), count(table.table_snapshots, "snapshot"));
        output.note(format_args!("table {path} is at {} now, with {kept}{dropped}", table.location))?;
    }
    for (why, number) in &report.kept {
        output.note(format_args!("{number} not in the snapshot and kept: {}", kept_because(*why)))?;
    }
    if !report.not_deleted.is_empty() {
        let message = format!("{} could not be removed, as reported above", report.not_deleted.len());
        output.error("not_deleted", &message, None);
    }
    if !report.salvaged.is_empty() {
        let what = count(report.salvaged.len() as u64, "file");
        let hint = "what they lack stands in the reports beside them, FILE.salvage.json";
        output.error("salvaged", &format!("{what} written in part: they are not what was saved"), Some(hint));
    }
    if !report.failed.is_empty() {
        let what = count(report.failed.len() as u64, "file");
        let is_damage = report.failed.iter().any(|(_, error)| error.is_damage());
        let archived = report
            .failed
            .iter()
            .map(|(_, error)| error)
            .find(|error| matches!(error, Error::Storage(error) if error.kind() == StorageErrorKind::Archived));
        let archived = archived.and_then(|error| hint(error, &context.globals));
        let hint = match (is_damage, options.salvage) {
            (false, _) => archived.as_deref(),
            (true, false) => {
                Some("`snap check` says what is lost and what helps; --salvage writes what is left of damaged files")
            }
            (true, true) => Some("`snap check` says what is lost and what helps"),
        };
        output.error("not_restored", &format!("{what} could not be restored, as reported above"), hint);
    }
    Ok(())
}

/// Why something was not removed, for people.
fn kept_because(why: Spare) -> &'static str {
    match why {
        Spare::InUse => "the repository in use, or what snap keeps for itself",
        Spare::PassedOver => "the repository, or what snap kept for itself, when it was made",
        Spare::Unreadable => "it could not be read when the snapshot was made",
        Spare::LeftOut => "left out when the snapshot was made",
        Spare::Border => "another file system",
        Spare::NotSaved => "sockets, which are not saved",
    }
}
