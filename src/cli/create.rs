//! `snap create`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use avro_snap::error::Error;
use avro_snap::ops::create::{CreateOptions, CreateReport, Depth, Expectation, StreamSource};
use avro_snap::ops::select::{Filter, manifest_path};
use avro_snap::snapshot::Shard;
use avro_snap::store::{InitOptions, Repository};
use avro_snap::values::comma_list;
use serde_json::json;

use super::Context;
use super::compression::Compression;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::feed;
use super::format::{count, seconds, size};
use super::init;
use super::parity::warn_of_mended;
use super::password::is_standard_input;
use super::pick::whole;
use super::progress::Meter;
use super::sources::{ExcludeArgs, ListArgs, distinct};
use super::when::{Day, parse_time};
use super::{places, stores};

/// Save files and directories as a new snapshot
///
/// Files that did not change since the previous snapshot (by size, times and inode) are not read again. The repository, and
/// snap's own cache and state of it, are skipped if they lie in what is saved.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Files and directories to save, or prefixes in object stores (s3://, gs:// or az://BUCKET/PREFIX/)
    ///
    /// A symbolic link with a slash after it stands for the directory that it points to.
    #[arg(required_unless_present_any = ["stdin", "files_from", "files_from_raw", "iceberg"], value_name = "PATH")]
    paths: Vec<PathBuf>,

    /// Add these tags to the snapshot; may be repeated
    #[arg(long, value_name = "TAG,...")]
    tag: Vec<String>,

    /// Set the host name [env: SNAP_HOST] [default: the system's]
    #[arg(short = 'H', long, value_name = "HOST")]
    host: Option<String>,

    /// Series this snapshot belongs to [default: the host and paths]
    ///
    /// The snapshot is compared with the last one of the same series.
    #[arg(long, value_name = "SERIES")]
    series: Option<String>,

    /// Set the time of the snapshot, like "2026-07-14 12:00", yesterday or @1700000000 [default: now]
    #[arg(long, value_name = "TIME")]
    time: Option<String>,

    /// Compare with this snapshot [default: the last one of the series]
    #[arg(long, value_name = "SNAPSHOT", conflicts_with = "force")]
    parent: Option<OsString>,

    #[command(flatten)]
    source: SourceArgs,

    /// Save an Iceberg table: all files that its current state is made of; may be repeated
    ///
    /// PATH is a metadata file, or the folder of a table, of which the newest metadata is taken. Where a catalog knows which metadata
    /// is current, name that file. A snapshot is made only if it has every file that the metadata names: if the table drops some of
    /// them meanwhile, all begins again with newer metadata. The files must lie in the local file system.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["stdin", "stdin_from_command", "shard"])]
    iceberg: Vec<PathBuf>,

    /// Save all snapshots of the Iceberg tables, and earlier metadata files, instead of the current state alone
    #[arg(long, requires = "iceberg")]
    iceberg_history: bool,

    /// Save only part K of N; other processes save the others, as parts of the same --run
    ///
    /// Which part a file belongs to follows from its path. Parts may be saved on several machines and at the same time; one that is
    /// there is not saved again (unless with --force). `snap merge` makes a snapshot of all parts.
    #[arg(long, value_name = "K/N", conflicts_with_all = ["stdin", "stdin_from_command", "skip_if_unchanged"])]
    shard: Option<Shard>,

    /// Name of the run that the part belongs to: the same for all parts, and another one for each run
    ///
    /// The first part that is begun decides what all are compared with. The others need the same sources, excludes, host, series and
    /// tags. Without --host (or SNAP_HOST), the host is `shards`.
    #[arg(long, value_name = "NAME")]
    run: Option<String>,

    /// Write nothing; show what would be saved and how many bytes it would add
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Create the repository if there is none yet, encrypted with the password that is given
    #[arg(long)]
    init: bool,

    /// Read every file, even if it looks unmodified
    #[arg(short, long)]
    force: bool,

    /// Ignore ctime when deciding whether a file was modified
    #[arg(long)]
    ignore_ctime: bool,

    /// Ignore inode numbers when deciding whether a file was modified (for network file systems)
    #[arg(long)]
    ignore_inode: bool,

    /// How to process Avro files
    #[arg(long, value_enum, default_value_t, value_name = "DEPTH")]
    avro: Avro,

    /// Keep compressed blocks whole if encoding them again is slower than this, in MB of records per second and core
    ///
    /// Restoring them would take as long. 0 decodes every block that can be encoded again to the same bytes.
    #[arg(long, value_name = "MB/S", default_value_t = CreateOptions::default().min_encode_speed, value_parser = CreateOptions::parse_speed)]
    min_encode_speed: f64,

    /// Compression of new data [default: that of the repository]
    #[arg(long, value_enum, value_name = "HOW")]
    compression: Option<Compression>,

    /// Exit with code 3 if an Avro file is damaged, cut off, gone, or has fewer records than before
    ///
    /// It is saved as it is in any case. The code is 3 each time until the file is sound again.
    #[arg(long)]
    fail_on_damaged: bool,

    /// Accept that Avro files are gone or have fewer records than before, and stop reporting it
    #[arg(long)]
    accept_losses: bool,

    /// Exit with code 3 if a table is not as expected; may be repeated
    ///
    /// PATH is a pattern as of --exclude, matched with paths as they stand in the snapshot: `orders` is everything below that name.
    /// Conditions, parted by commas: `records >= 1000`, `records >= 0.95 * previous` (also files and bytes; < <= = != >= >), `schema
    /// backward` (full, forward, same: the newest schema against that of the snapshot before), `newest < 26h` (the newest file),
    /// `sound` (all Avro files). A PATH that matches no file fails. What the snapshot before has nothing of is not compared with it.
    /// The snapshot is made in any case.
    #[arg(long, value_name = "PATH:CONDITION,...", conflicts_with = "shard")]
    expect: Vec<Expectation>,

    /// Make no snapshot if it would hold the same as the one before
    ///
    /// Standard input and the output of a command have no times: they are the same if their bytes are.
    #[arg(long)]
    skip_if_unchanged: bool,

    // Last, since its heading goes for all that follows.
    #[command(flatten)]
    exclude: ExcludeArgs,
}

/// Where what is to be saved comes from.
#[derive(Debug, clap::Args)]
struct SourceArgs {
    /// Save standard input as one file
    #[arg(long, group = "stream", conflicts_with_all = ["paths", "files_from", "files_from_raw"])]
    stdin: bool,

    /// Save what a command writes as one file, like `snap create --stdin-from-command -- pg_dump shop`
    ///
    /// If the command fails, no snapshot is made.
    #[arg(long, group = "stream", requires = "paths", conflicts_with_all = ["files_from", "files_from_raw"])]
    stdin_from_command: bool,

    /// Set the path of that file in the snapshot
    #[arg(long, value_name = "NAME", default_value = "stdin", requires = "stream")]
    stdin_filename: OsString,

    #[command(flatten)]
    lists: ListArgs,
}

/// The host of a snapshot that several processes make together: no machine can speak for all of them.
const RUN_HOST: &str = "shards";

/// How far to look into Avro files.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
enum Avro {
    /// Decode blocks where they can be encoded again to the same bytes
    #[default]
    Deep,
    /// Take files apart, but keep compressed blocks as they are: restores faster, dedups less
    Frame,
    /// Treat them as any other file
    Bytes,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        self.check_standard_input(context)?;
        // Nothing could choose such a series again.
        if self.series.as_ref().is_some_and(|series| series.trim().is_empty()) {
            return Err(Failure::Usage("--series is empty: was a variable not set?".into()));
        }
        match (&self.shard, &self.run) {
            (Some(_), None) => {
                return Err(Failure::Usage(
                    "--shard needs --run NAME: the parts of a run belong together by its name".into(),
                ));
            }
            (None, Some(_)) => return Err(Failure::Usage("--run needs --shard K/N: which part is this?".into())),
            _ => {}
        }
        let time = self.time.as_deref().map(|text| parse_time(text, Day::Begins)).transpose();
        let time = time.map_err(Failure::Usage)?;
        let parent = self.parent.as_deref().map(|text| whole(text, "the parent")).transpose()?;
        let sources = self.sources(context)?;
        let mut options = self.options()?.sources(sources).time(time);
        if self.run.is_some() && self.given_host().is_none() {
            options.host = RUN_HOST.into();
        }
        options.read_patterns().map_err(Failure::of_arguments)?;
        let stream_path = self.source.stream_path()?;
        let place = context.repository_folder()?;
        let repository = self.open(context, &place)?;
        if let Some(selector) = &parent {
            let mut listing = context.listing(&repository);
            options.parent = Some(context.choose_whole(&mut listing, selector.clone(), &Filter::default())?.id);
        }
        options.pass_over = context.own_folders(&place, &repository);
        options.stream = self.stream(stream_path)?;
        let meter = Meter::new(&context.output);
        let created = stores::create(context, &repository, options, &meter);
        meter.finish();
        warn_of_mended(&context.output, &repository);
        let report = created?;
        let exit = match report.unreadable {
            1.. => Exit::Incomplete,
            0 if report.iceberg.iter().any(|table| table.wrong_length > 0) => Exit::Incomplete,
            0 if report.has_disappointed() || (self.fail_on_damaged && report.has_alarms()) => Exit::Incomplete,
            0 => Exit::Done,
        };
        context.finish_with(exit, print_report(context, &report, self.dry_run, self.skip_if_unchanged))
    }

    /// What the flags say, without what needs the repository or standard input.
    pub(super) fn options(&self) -> Result<CreateOptions> {
        let Self { exclude, .. } = self;
        let mut options = CreateOptions::new(&self.paths);
        exclude.put(&mut options)?;
        options.series.clone_from(&self.series);
        options.host = self.given_host().unwrap_or(options.host);
        options.shard = self.shard;
        options.run.clone_from(&self.run);
        options.iceberg.clone_from(&self.iceberg);
        options.iceberg_history = self.iceberg_history;
        options.tag = distinct(self.tag.iter().flat_map(|list| comma_list(list)));
        options.force = self.force;
        options.ignore_ctime = self.ignore_ctime;
        options.ignore_inode = self.ignore_inode;
        options.avro = match self.avro {
            Avro::Deep => Depth::Deep,
            Avro::Frame => Depth::Frame,
            Avro::Bytes => Depth::Bytes,
        };
        options.min_encode_speed = self.min_encode_speed;
        options.compression = self.compression.map(Into::into);
        options.skip_if_unchanged = self.skip_if_unchanged;
        options.accept_losses = self.accept_losses;
        options.expect.clone_from(&self.expect);
        options.dry_run = self.dry_run;
        Ok(options)
    }

    fn given_host(&self) -> Option<String> {
        self.host.clone().or_else(|| std::env::var("SNAP_HOST").ok()).filter(|name| !name.is_empty())
    }

    /// What is saved instead of files.
    fn stream(&self, path: Vec<u8>) -> Result<Option<StreamSource>> {
        match (self.source.stdin, self.source.stdin_from_command) {
            (true, _) => Ok(Some(feed::standard_input(path))),
            (_, true) => feed::of_command(&self.paths, path).map(Some),
            _ => Ok(None),
        }
    }

    /// Standard input can be read once only.
    fn check_standard_input(&self, context: &Context) -> Result<()> {
        let lists = self.source.lists.files();
        let mut readers: Vec<&str> = lists.filter(|file| is_standard_input(file)).map(|_| "--files-from").collect();
        if self.source.stdin {
            readers.push("--stdin");
        }
        if context.password_source()?.is_standard_input() {
            readers.push("the password file");
        }
        match readers.as_slice() {
            [] | [_] => Ok(()),
            [one, other, ..] => Err(Failure::Usage(format!("{one} and {other} would both read standard input"))),
        }
    }

    fn open(&self, context: &Context, place: &Path) -> Result<Repository> {
        if stores::is_store(place) && !self.dry_run {
            stores::look_into(context, place)?;
        }
        let repository = match context.open() {
            Err(Failure::Library(Error::NoRepository { .. })) if self.init && !self.dry_run => {
                if let Some(id) = places::known(context, place) {
                    return Err(not_there(place, &id));
                }
                init::refuse_strangers(context, place)?;
                let made = init::make(context, place, InitOptions::default())?;
                context.output.note(format_args!(
                    "created repository {} at {}",
                    made.0.repository_id,
                    place.display()
                ))?;
                context.open_knowing(place, &made.1.unwrap_or_default())
            }
            opened => opened,
        }?;
        places::remember(context, place, repository.id());
        Ok(repository)
    }

    /// All paths that are to be saved, each once.
    fn sources(&self, context: &Context) -> Result<Vec<PathBuf>> {
        if self.source.stdin_from_command {
            return Ok(Vec::new());
        }
        if self.source.stdin || !self.iceberg.is_empty() {
            return self.source.lists.roots(context, &self.paths);
        }
        self.source.lists.some_roots(context, &self.paths)
    }
}

impl SourceArgs {
    fn stream_path(&self) -> Result<Vec<u8>> {
        let path = manifest_path(self.stdin_filename.as_bytes()).map_err(|error| Failure::Usage(error.to_string()))?;
        match path.is_empty() {
            true => Err(Failure::Usage("--stdin-filename names no file".into())),
            false => Ok(path),
        }
    }
}

/// Why no repository is made here.
fn not_there(place: &Path, id: &str) -> Failure {
    Failure::Own {
        exit: Exit::NoRepository,
        code: "not_there",
        message: format!("repository {id} was at {} before, and nothing is there now", place.display()),
        hint: Some(format!(
            "is its disk not mounted? If a new repository is meant, make it with `snap init -r {}`",
            place.display()
        )),
    }
}

fn print_part(context: &Context, report: &CreateReport) -> Result<()> {
    let (Some(shard), Some(run)) = (report.shard, &report.run) else { return Ok(()) };
    let done = if report.part_was_there == Some(true) { "is there already" } else { "saved" };
    context
        .output
        .note(format_args!("part {shard} of run {run} {done}; `snap merge --run {run}` makes a snapshot of all"))?;
    Ok(())
}

fn print_tables(context: &Context, report: &CreateReport) -> Result<()> {
    for table in &report.iceberg {
        let records = table.records.map(|records| format!(", {}", count(records, "record"))).unwrap_or_default();
        let (snapshots, files) = (count(table.table_snapshots, "snapshot"), count(table.files, "file"));
        context.output.note(format_args!("iceberg: {}: {snapshots}, {files}{records}", table.location))?;
        if table.wrong_length > 0 {
            let message = format!("{} of another length than the table says", count(table.wrong_length, "file"));
            context.output.warn(&format!("{}: {message}", table.location));
        }
    }
    Ok(())
}

/// What was expected, after what was not met was reported as it was found.
fn print_expectations(context: &Context, report: &CreateReport) -> Result<()> {
    let of = |met| report.expectations.iter().filter(move |judgement| judgement.met == met);
    for judgement in of(None) {
        let (name, condition) = (&judgement.name, &judgement.condition);
        let reason = judgement.reason.as_deref().unwrap_or("it cannot be judged");
        context.output.note(format_args!("expect:  {name}: {condition}: not checked, {reason}"))?;
    }
    let failed = of(Some(false)).count() as u64;
    if !report.expectations.is_empty() {
        let (met, all) = (of(Some(true)).count(), report.expectations.len());
        context.output.note(format_args!("expect:  {met} of {} met", count(all as u64, "condition")))?;
    }
    if failed > 0 {
        let kept = match report.snapshot {
            Some(_) => "; the snapshot is saved nevertheless",
            None => "",
        };
        let message = format!("{} not met, as reported above{kept}", count(failed, "expectation"));
        context.output.error("not_as_expected", &message, None);
    }
    Ok(())
}

fn print_report(context: &Context, report: &CreateReport, dry_run: bool, skip: bool) -> Result<()> {
    let output = &context.output;
    let CreateReport { avro, .. } = report;
    if output.json {
        return Ok(output.object_with("summary", json!({"dry_run": dry_run}), report)?);
    }
    match (report.snapshot, report.parent) {
        _ if !dry_run && report.shard.is_some() => print_part(context, report)?,
        (Some(id), Some(parent)) => {
            output.note(format_args!("snapshot {} saved, compared with {}", id.short(), parent.short()))?;
        }
        (Some(id), None) => output.note(format_args!("snapshot {} saved, the first of its series", id.short()))?,
        (None, Some(parent)) if skip && report.unchanged => {
            output.note(format_args!("nothing has changed since snapshot {}: no new one is made", parent.short()))?;
        }
        (None, _) => output.note(format_args!("nothing was written; this is what would be saved:"))?,
    }
    output.note(format_args!(
        "files:   {} new, {} changed, {} unmodified ({})",
        report.files_new,
        report.files_changed,
        report.files_unmodified,
        size(report.bytes_total)
    ))?;
    if report.unreadable > 0 {
        output.note(format_args!("missing: {} could not be read", report.unreadable))?;
    }
    print_tables(context, report)?;
    if avro.files > 0 || avro.unsound > 0 {
        output.note(format_args!(
            "avro:    {} ({} not sound), {} decoded",
            count(avro.files, "file"),
            avro.unsound,
            count(avro.records, "record")
        ))?;
        output.note(format_args!(
            "blocks:  {} decoded, {} kept as they are",
            avro.blocks_exact + avro.blocks_corrected,
            avro.blocks_raw
        ))?;
        for writer in &avro.unknown_writers {
            output.note(format_args!(
                "raw:     {} of {}: {}",
                count(writer.blocks, "block"),
                count(writer.files, "file"),
                writer.reason
            ))?;
        }
    }
    output.note(format_args!(
        "read {}, {} {} ({}) in {}",
        size(report.bytes_read),
        if dry_run { "would add about" } else { "added" },
        size(report.bytes_added),
        count(report.chunks_new, "new chunk"),
        seconds(report.duration_secs)
    ))?;
    print_expectations(context, report)?;
    if let Some(similar) = &report.similar_series {
        output.warn(&format!(
            "this is the first snapshot of series {:?}, which differs from {:?} in digits only; with the same \
             `--series NAME` for both, unchanged files need not be read",
            output.series(&report.series),
            output.series(similar)
        ));
    }
    Ok(())
}
