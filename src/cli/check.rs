//! `snap check`

use avro_snap::commands::check::{CheckOptions, CheckReport, DataSubset, check};
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result, chain, code};
use super::format::{count, size};
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
}

fn parse_part(text: &str) -> std::result::Result<(u32, u32), String> {
    let wrong = || format!("{text:?} is no part: write it like 2/7");
    let (part, of) = text.split_once('/').ok_or_else(wrong)?;
    match (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?) {
        (part, of) if (1..=of).contains(&part) => Ok((part, of)),
        _ => Err(wrong()),
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let data = match (self.read_data, self.read_data_subset) {
            (true, _) => DataSubset::All,
            (false, Some((part, of))) => DataSubset::Part { part, of },
            (false, None) => DataSubset::None,
        };
        let repository = context.open()?;
        let meter = Meter::new(&context.output);
        let checked = check(&repository, CheckOptions { data, threads: context.globals.threads() }, &meter);
        meter.finish();
        let report = checked?;
        let exit = if report.problems.is_empty() { Exit::Done } else { Exit::Damage };
        context.told(exit, tell(context, &report))
    }
}

fn tell(context: &Context, report: &CheckReport) -> Result<()> {
    let output = &context.output;
    for error in &report.problems {
        output.error(code(error), &chain(error), None);
    }
    for (snapshot, path) in &report.lost_paths {
        let path = String::from_utf8_lossy(path);
        output.error("lost", &format!("snapshot {} cannot restore {path}", snapshot.short()), None);
    }
    if output.json {
        return output
            .object(
                "summary",
                json!({
                    "problems": report.problems.len(),
                    "lost_paths": report.lost_paths.len(),
                    "snapshots": report.snapshots,
                    "packs": report.packs,
                    "packs_read": report.packs_read,
                    "chunks": report.chunks,
                    "bytes_read": report.bytes_read,
                    "unindexed_packs": report.unindexed_packs,
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
    if report.unindexed_packs > 0 {
        let packs = count(report.unindexed_packs, "pack");
        output.note(format_args!("{packs} that nothing names: left by an interrupted run, no harm"))?;
    }
    match report.problems.len() as u64 {
        0 => output.note(format_args!("no problems found"))?,
        problems => output.error(
            "damage",
            &format!("{} found", count(problems, "problem")),
            Some("what is not named above can still be restored; do not delete anything from the repository by hand"),
        ),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read() {
        assert_eq!((parse_part("1/1"), parse_part("3/7")), (Ok((1, 1)), Ok((3, 7))));
        for wrong in ["0/3", "4/3", "1/0", "1", "a/b", "1/2/3", "50%"] {
            assert!(parse_part(wrong).is_err(), "{wrong}");
        }
    }
}
