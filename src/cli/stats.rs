//! `snap stats`

use std::collections::HashSet;
use std::ffi::OsString;

use avro_snap::chunk::ChunkKind;
use avro_snap::id::SnapshotId;
use avro_snap::ops::select::Selector;
use avro_snap::ops::stats::{Amount, SnapshotStats, Stats, stats};
use avro_snap::pack::Encoding;

use super::Context;
use super::elsewhere;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time, size};
use super::pick::{Filters, selector};
use super::table::Table;

/// Show how much data snapshots hold, and what each added to the repository
///
/// Without arguments all snapshots are counted; --series and the other filters choose some. Sizes in the repository are
/// those of encoded chunks, as shares of the frames that hold them. Size is what a snapshot restores to, New what it was
/// the first to hold, Stored what that takes in the repository, and "Only here" what no other snapshot needs. --json also
/// has files, records and decoded sizes of each snapshot.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Count only these snapshots
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// Show only the totals
    #[arg(long)]
    total: bool,

    // What restic has; all of its figures are shown at once here.
    #[arg(long, value_name = "MODE", hide = true)]
    mode: Option<String>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        if let Some(mode) = &self.mode {
            let answer = elsewhere::stats_mode(mode);
            context.output.warn(answer.ok_or_else(|| {
                Failure::Usage(format!("there is no --mode {mode:?}: all figures are shown at once"))
            })?);
        }
        let selectors = self.snapshots.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        if !selectors.iter().all(Selector::may_be_whole) {
            return Err(Failure::Usage("figures are those of whole snapshots: no path goes here".into()));
        }
        let filter = self.filters.filter()?;
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let mut chosen = HashSet::<SnapshotId>::new();
        let is_named = !selectors.is_empty();
        for selector in selectors {
            chosen.insert(context.choose_whole(&mut listing, selector, &filter)?.id);
        }
        if !is_named {
            chosen.extend(listing.fitting(&filter).map(|root| root.id));
        }
        let all = chosen.len() == listing.snapshots.len();
        let found = stats(&repository, &listing, &chosen)?;
        if found.unreadable > 0 {
            let parts = count(found.unreadable, "part");
            context.output.warn(&format!("{parts} cannot be read, so the figures are too small; see `snap check`"));
        }
        match context.output.json {
            true => self.print_json(context, &found)?,
            false => self.print_report(context, &found, all)?,
        }
        Ok(Exit::Done)
    }

    fn print_json(&self, context: &Context, found: &Stats) -> Result<()> {
        if !self.total {
            found.snapshots.iter().try_for_each(|one| context.output.object("snapshot", one))?;
        }
        Ok(context.output.object("summary", found)?)
    }

    fn print_report(&self, context: &Context, found: &Stats, all: bool) -> Result<()> {
        let output = &context.output;
        if !self.total && !found.snapshots.is_empty() {
            each(&found.snapshots).print(output)?;
            output.line("")?;
        }
        let (held, objects) = (&found.held, &found.objects);
        let times = |ratio: Option<f64>| ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}x"));
        let mut table = Table::new(&["Files", &held.files.to_string(), &size(held.bytes)], &[1, 2]);
        let mut line = |what: &str, number: String, bytes: String| table.row(vec![what.to_owned(), number, bytes]);
        line("Avro files", held.avro_files.to_string(), String::new());
        line("Records", held.records.to_string(), String::new());
        line("Decoded", String::new(), size(held.decoded));
        line("Unique chunks", found.unique.chunks.to_string(), size(found.unique.plain));
        line("Stored", String::new(), size(found.unique.stored));
        line("Only these need", found.only.chunks.to_string(), size(found.only.stored));
        line("Deduplication", String::new(), times(found.deduplication()));
        line("Compression", String::new(), times(found.compression()));
        line("Files to stored", String::new(), times(found.saving()));
        table.print(output)?;
        for (title, named) in [("Encoding", encodings(found)), ("Kind", kinds(found))] {
            output.line("")?;
            let mut table = Table::new(&[title, "Chunks", "Bytes", "Stored"], &[1, 2, 3]);
            for (name, found) in named {
                table.row(vec![name.to_owned(), found.chunks.to_string(), size(found.plain), size(found.stored)]);
            }
            table.print(output)?;
        }
        output.line("")?;
        let parity = match objects.parity_bytes {
            0 => String::new(),
            bytes => format!("parity {}, ", size(bytes)),
        };
        let whole =
            objects.pack_bytes + objects.parity_bytes + objects.index_bytes + objects.log_bytes + objects.other_bytes;
        let unused = format!("{} in {}", size(found.unused.stored), count(found.unused.chunks, "chunk"));
        let all = if all { "all there are" } else { "not all there are" };
        output.note(format_args!("{}, {all}", count(found.snapshots.len() as u64, "snapshot")))?;
        output
            .note(format_args!("the whole repository takes {}, of which no snapshot needs {unused}:", size(whole)))?;
        output.note(format_args!(
            "  {} {}, {parity}index {}, log {}",
            count(objects.packs, "pack"),
            size(objects.pack_bytes),
            size(objects.index_bytes),
            size(objects.log_bytes),
        ))?;
        Ok(())
    }
}

fn each(snapshots: &[SnapshotStats]) -> Table {
    let head = ["ID", "Time", "Series", "Size", "New", "Stored", "Only here"];
    let mut table = Table::new(&head, &[3, 4, 5, 6]).cutting(&[2]);
    for one in snapshots {
        table.row(vec![
            one.snapshot.id.short(),
            // To the minute, so that a line has room for the series.
            local_time(one.snapshot.time).get(..16).unwrap_or_default().to_owned(),
            one.snapshot.series.clone(),
            size(one.held.bytes),
            size(one.added.plain),
            size(one.added.stored),
            size(one.only.stored),
        ]);
    }
    table
}

fn encodings(found: &Stats) -> Vec<(&'static str, &Amount)> {
    let name = |encoding: &Encoding| match encoding {
        Encoding::Raw => "raw",
        Encoding::Zstd => "zstd",
        Encoding::Delta => "delta",
        Encoding::Columnar => "columnar",
    };
    found.by_encoding.iter().map(|(encoding, amount)| (name(encoding), amount)).collect()
}

fn kinds(found: &Stats) -> Vec<(&'static str, &Amount)> {
    let name = |kind: &ChunkKind| match kind {
        ChunkKind::Records => "records",
        ChunkKind::Bytes => "bytes",
        ChunkKind::Payload => "payloads",
        ChunkKind::Header => "headers",
        ChunkKind::Layout => "layouts",
        ChunkKind::Node => "nodes",
        ChunkKind::Rows => "rows",
        ChunkKind::Root => "roots",
        ChunkKind::Corrections => "corrections",
    };
    found.by_kind.iter().map(|(kind, amount)| (name(kind), amount)).collect()
}
