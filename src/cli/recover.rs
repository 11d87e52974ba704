//! `snap recover`

use std::ffi::OsString;

use avro_snap::ops::recover::{Candidate, Found, RecoverReport, find_snapshots, recover};
use avro_snap::store::LogDamage;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, local_time};
use super::pick::id_prefix;
use super::progress::Meter;
use super::table::Table;

/// Find snapshots whose log entries are lost, and bring them back
///
/// Without arguments this lists what it finds, and changes nothing. A snapshot may be missing in the log because an entry
/// is lost, because it was removed on purpose (shown as far as the log still says so), or because its `create` was
/// interrupted at the very end. If the log itself is broken, recovering also repairs it: the entries after the break are
/// appended again. What only a lost entry said is gone: later changes of tags, removals of snapshots and of passwords.
/// No other process may use the repository at the same time.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Bring back these snapshots, even if they were removed or are damaged
    #[arg(value_name = "SNAPSHOT", conflicts_with = "all")]
    snapshots: Vec<OsString>,

    /// Repair the log, and bring back all snapshots that are whole and were not removed as far as the log says
    #[arg(long)]
    all: bool,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let wanted = self.snapshots.iter().map(|id| id_prefix(id)).collect::<Result<Vec<_>>>()?;
        let (repository, damage) = context.open_broken()?;
        let meter = Meter::new(&context.output);
        let found = find_snapshots(&repository, &meter);
        meter.finish();
        let found = found?;
        let chosen = self.choose(&found, &wanted)?;
        let writes = self.all || !chosen.is_empty();
        let report = recover(&repository, damage.as_ref(), &found, chosen, writes)?;
        // A damaged copy of the config is put right even by a listing: that changes nothing that anybody could miss.
        if writes || repository.config().trouble().is_some() {
            for name in repository.config().keep()? {
                context.output.note(format_args!("{name} was written again from its other copy"))?;
            }
        }
        let exit = match (writes, damage.is_some() || !found.unreadable.is_empty() || !found.unsound.is_empty()) {
            (false, true) => Exit::Damage,
            (true, _) if !found.unsound.is_empty() || !found.unreadable.is_empty() => Exit::Damage,
            _ => Exit::Done,
        };
        let said = print_report(context, damage.as_ref(), &found, &report, writes);
        context.finish_with(exit, said)
    }

    fn choose<'f>(&self, found: &'f Found, wanted: &[String]) -> Result<Vec<&'f Candidate>> {
        if self.all {
            let is_meant = |candidate: &&Candidate| candidate.is_whole() && !candidate.forgotten;
            return Ok(found.candidates.iter().filter(is_meant).collect());
        }
        let mut chosen = Vec::new();
        for prefix in wanted {
            let mut fitting = found.candidates.iter().filter(|found| found.root.id.to_string().starts_with(&**prefix));
            match (fitting.next(), fitting.next()) {
                (Some(one), None) => chosen.push(one),
                (None, _) => {
                    return Err(Failure::plain(
                        format!("no snapshot {prefix} was found that the log does not name"),
                        "`snap recover` lists those that were found",
                    ));
                }
                (Some(_), Some(_)) => {
                    return Err(Failure::plain(
                        format!("snapshot id {prefix} is ambiguous"),
                        "give more digits of the id",
                    ));
                }
            }
        }
        Ok(chosen)
    }
}

fn print_report(
    context: &Context,
    damage: Option<&LogDamage>,
    found: &Found,
    report: &RecoverReport,
    writes: bool,
) -> Result<()> {
    let output = &context.output;
    if let Some(damage) = damage {
        let at = format!("the log is broken at entry {}: {}", damage.at, damage.cause.message());
        let after = format!("{} after it can be read, {} cannot", damage.after, damage.unreadable);
        output.error("log_broken", &format!("{at}; {after}"), None);
    }
    for (_, error) in &found.unsound {
        output.error(error.code(), &error.message(), None);
    }
    for (chunk, error) in &found.unreadable {
        output.error(
            error.code(),
            &format!("the root of a snapshot in chunk {} is lost: {}", chunk.short(), error.message()),
            None,
        );
    }
    if output.json {
        for candidate in &found.candidates {
            output.object_with("candidate", json!({"brought_back": report.is_back(candidate)}), candidate)?;
        }
        return Ok(output.object("summary", report)?);
    }
    if !found.candidates.is_empty() {
        let mut table = Table::new(&["ID", "Time", "Host", "Files", "State", "Series"], &[3]).cutting(&[2, 4, 5]);
        for candidate in &found.candidates {
            let root = &candidate.root;
            table.row(vec![
                root.id.short(),
                local_time(root.time),
                root.host.clone(),
                root.totals.files.to_string(),
                state_of(candidate, report.is_back(candidate)),
                root.series.clone(),
            ]);
        }
        table.print(output)?;
    }
    if let Some(kept) = report.log_entries_kept {
        output
            .note(format_args!("the log is whole again, with {}", count(kept, "entry").replace("entrys", "entries")))?;
        if report.keys_added > 0 {
            let keys = count(report.keys_added, "key");
            output.note(format_args!("{keys} taken from the key slots that are there: see `snap key list`"))?;
        }
    }
    match (found.candidates.len() as u64, writes) {
        (0, _) => output.note(format_args!("no snapshots were found that the log does not name"))?,
        (candidates, false) => {
            output.note(format_args!("{} found that the log does not name", count(candidates, "snapshot")))?;
        }
        (candidates, true) => {
            let back = report.brought_back.len();
            output.note(format_args!("{back} of {} brought back", count(candidates, "snapshot")))?;
        }
    }
    if !writes && (damage.is_some() || !found.candidates.is_empty()) {
        output.note(format_args!("nothing was changed: `snap recover --all` or `snap recover ID` does it"))?;
    }
    Ok(())
}

fn state_of(candidate: &Candidate, is_back: bool) -> String {
    let state = match (candidate.nothing_left, candidate.lost) {
        (true, _) => "lost".to_owned(),
        (false, 0) => "whole".to_owned(),
        (false, lost) => format!("{} damaged", count(lost, "file")),
    };
    match (is_back, candidate.forgotten, candidate.replaces) {
        (true, ..) => format!("{state}, brought back"),
        (false, true, _) => format!("{state}, was removed"),
        (false, false, Some(_)) => format!("{state}, a later form of a damaged one"),
        (false, false, None) => state,
    }
}
