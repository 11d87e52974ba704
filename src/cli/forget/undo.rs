//! `snap forget --undo`

use avro_snap::ops::forget::{Removed, Undone, last_removed, removed, undo};
use serde_json::json;

use super::Args;
use crate::cli::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::Result;
use crate::cli::format::{count, local_time};
use crate::cli::pick::id_prefix;
use crate::cli::table::Table;

impl Args {
    pub(super) fn bring_back(&self, context: &Context) -> Result<Exit> {
        let prefixes = self.snapshots.iter().map(|id| id_prefix(id)).collect::<Result<Vec<_>>>()?;
        let repository = context.open()?;
        let removed = removed(&repository);
        let meant = last_removed(&removed, &prefixes)?;
        let (mut back, mut swept) = (0, 0);
        let mut decided = Vec::new();
        for snapshot in &removed {
            let is_meant = meant.contains(&snapshot.id());
            let outcome = match is_meant && !self.dry_run {
                true => Some(undo(&repository, snapshot)?),
                false => None,
            };
            back += u64::from(outcome == Some(Undone::Back));
            swept += u64::from(matches!(outcome, Some(Undone::Swept(_))));
            if self.dry_run || is_meant {
                decided.push((snapshot, is_meant, outcome));
            }
        }
        let exit = if swept > 0 { Exit::Failed } else { Exit::Done };
        let said = self.print_undo(context, &decided, back, swept);
        context.finish_with(exit, said)
    }

    fn print_undo(&self, context: &Context, decided: &[Decided<'_>], back: u64, swept: u64) -> Result<()> {
        let output = &context.output;
        if output.json {
            for (snapshot, meant, outcome) in decided {
                let decided = json!({"chosen": meant, "outcome": outcome});
                output.object_with("removed_snapshot", decided, snapshot)?;
            }
            let summary = json!({"dry_run": self.dry_run, "restored": back, "swept": swept});
            return Ok(output.object("summary", summary)?);
        }
        let mut table = Table::new(&["ID", "Time", "Host", "Series", "Removed", ""], &[]).cutting(&[2, 3]);
        for (snapshot, meant, outcome) in decided {
            let root = snapshot.root.as_ref().ok();
            let becomes = match outcome {
                Some(Undone::Back) => "is back".into(),
                Some(Undone::There) => "is there".into(),
                Some(Undone::Swept(gone)) => format!("cannot come back: {} of it gone", count(*gone, "part")),
                None if *meant => "would come back".into(),
                None => String::new(),
            };
            table.row(vec![
                snapshot.id().short(),
                root.map_or_else(|| "?".into(), |root| local_time(root.time)),
                root.map_or_else(String::new, |root| root.host.clone()),
                root.map_or_else(String::new, |root| root.series.clone()),
                local_time(snapshot.logged.time),
                becomes,
            ]);
        }
        if !decided.is_empty() {
            table.print(output)?;
        }
        match self.dry_run {
            true => output.note(format_args!("{} can be named", count(decided.len() as u64, "removed snapshot")))?,
            false => output.note(format_args!("brought back {}", count(back, "snapshot")))?,
        }
        Ok(())
    }
}

/// A removed snapshot, whether it was chosen, and what was done with it.
type Decided<'a> = (&'a Removed, bool, Option<Undone>);
