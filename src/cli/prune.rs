//! `snap prune`

use std::sync::LazyLock;
use std::time::Duration;

use avro_snap::ops::prune::{Fate, MaxUnused, PruneOptions, PruneReport, Tally, prune, prune_without_room};
use avro_snap::store::Repository;
use avro_snap::values::{duration_text, parse_duration, parse_size};
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{count, size};
use super::parity::warn_of_mended;
use super::progress::Meter;

/// Delete data that no snapshot needs
///
/// Data that is still needed is copied out of packs that are largely unused. Packs that go are condemned first, and deleted
/// by the next prune after the grace period. Other processes may write, restore or prune at the same time. A prune may be
/// interrupted at any time; the next one continues.
///
/// Where records were erased from snapshots (`snap erase`), nothing unused is tolerated whatever --max-unused says, and data that
/// is stored as a difference to unused data is stored again: what was erased is gone once the packs are deleted (--grace 0 does
/// that at once).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Change nothing; show what would be done and how much the deletion would free
    #[arg(short = 'n', long)]
    dry_run: bool,

    #[command(flatten)]
    limits: Limits,

    /// Free space on a full disk: delete what no snapshot needs before the log says so
    ///
    /// Try without it first: `snap prune --grace 0` works without a free byte in most cases. NO OTHER PROCESS MAY USE THE
    /// REPOSITORY MEANWHILE: what somebody is just saving is lost with it. It implies --grace 0. The id of the repository
    /// may be given, and must be the right one then.
    #[arg(long, value_name = "REPOSITORY_ID", num_args = 0..=1, default_missing_value = "", require_equals = false)]
    unsafe_recover_no_free_space: Option<String>,
}

/// The library's own grace, as it is written.
static GRACE: LazyLock<String> = LazyLock::new(|| duration_text(PruneOptions::default().grace));

/// The library's own time to keep parts, as it is written.
static KEEP_PARTS: LazyLock<String> = LazyLock::new(|| duration_text(PruneOptions::default().keep_parts));

/// How far a prune goes.
#[derive(Debug, clap::Args)]
pub(crate) struct Limits {
    /// Tolerate this much unused data: a share like 5%, a size like 500M, or `unlimited`
    #[arg(long, value_name = "LIMIT", default_value_t = PruneOptions::default().max_unused, value_parser = MaxUnused::parse)]
    max_unused: MaxUnused,

    /// Repack at most SIZE bytes per run; the next prune continues
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    max_repack_size: Option<u64>,

    /// Merge packs smaller than half the usual size
    #[arg(long)]
    repack_small: bool,

    /// Re-encrypt packs that are sealed under keys from before the last `snap key rotate`
    ///
    /// Once the grace has passed and they are deleted, the old keys open nothing of the data any more. The log stays as it
    /// is: anyone with the old keys can read what it says up to the rotation (names of snapshots, times, on which machine).
    /// Together with --max-repack-size it is done bit by bit.
    #[arg(long)]
    reencrypt: bool,

    /// Delete packs condemned at least this long ago: a number with s, m, h, d, w or y
    ///
    /// Until then restores that began earlier can end, and removed snapshots can be brought back. It also says how old
    /// things must be that no snapshot names, to count as left behind by an interrupted run. 0 deletes at once.
    #[arg(long, value_name = "DURATION", default_value = GRACE.as_str(), value_parser = parse_duration)]
    grace: Duration,

    /// Remove the parts of runs that were not merged, this long after the last part was saved
    ///
    /// `snap merge --list` shows such runs. 0 removes them at once.
    #[arg(long, value_name = "DURATION", default_value = KEEP_PARTS.as_str(), value_parser = parse_duration)]
    keep_parts: Duration,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let repository = context.open()?;
        let recovers = self.recovers(&repository)?;
        let (report, exit) = prune_with(context, &repository, &self.options(), recovers)?;
        context.finish_with(exit, print_report(context, &report, self.dry_run))
    }
}

impl Args {
    /// What the flags say.
    pub(super) fn options(&self) -> PruneOptions {
        self.limits.options(self.dry_run)
    }

    /// Whether room is to be made by all means.
    fn recovers(&self, repository: &Repository) -> Result<bool> {
        let own = repository.id().to_string();
        match self.unsafe_recover_no_free_space.as_deref() {
            None => Ok(false),
            Some(given) if given.is_empty() || given == own => Ok(true),
            Some(given) => {
                let message = format!("--unsafe-recover-no-free-space {given}: the id of this repository is {own}");
                Err(Failure::Usage(message))
            }
        }
    }
}

impl Limits {
    fn options(&self, dry_run: bool) -> PruneOptions {
        PruneOptions::default()
            .max_unused(self.max_unused)
            .max_repack_size(self.max_repack_size)
            .repack_small(self.repack_small)
            .reencrypt(self.reencrypt)
            .grace(self.grace)
            .keep_parts(self.keep_parts)
            .dry_run(dry_run)
    }

    /// Prunes after snapshots were removed, and prints the result.
    pub(crate) fn prune_after(&self, context: &Context, repository: &Repository) -> Result<Exit> {
        let (report, exit) = prune_with(context, repository, &self.options(false), false)?;
        print_report(context, &report, false)?;
        Ok(exit)
    }
}

fn prune_with(
    context: &Context,
    repository: &Repository,
    options: &PruneOptions,
    recovers: bool,
) -> Result<(PruneReport, Exit)> {
    let meter = Meter::new(&context.output);
    let pruned = match recovers {
        true => prune_without_room(repository, options, &meter),
        false => prune(repository, options, &meter),
    };
    meter.finish();
    warn_of_mended(&context.output, repository);
    let report = pruned?;
    let exit = if report.lost_chunks > 0 { Exit::Damage } else { Exit::Done };
    Ok((report, exit))
}

fn print_report(context: &Context, report: &PruneReport, dry_run: bool) -> Result<()> {
    let output = &context.output;
    if report.lost_chunks > 0 {
        let lost = count(report.lost_chunks, "chunk");
        let hint = "`snap check` names the snapshots and paths; what is left of them was kept";
        output.error("damage", &format!("{lost} that snapshots need are lost"), Some(hint));
    }
    if report.without_room {
        output.warn(
            "the disk is full: nothing was copied out of packs that are partly needed. Once there is room, the next prune \
             does that; --grace 0 deletes at once what was condemned",
        );
    }
    if output.json {
        if dry_run {
            report.packs.iter().try_for_each(|pack| output.object("pack", pack))?;
        }
        return output.object_with("summary", json!({"dry_run": dry_run}), report).map_err(Failure::from);
    }
    if output.verbose {
        for pack in report.packs.iter().filter(|pack| pack.fate != Fate::Used) {
            let (needed, of) = (size(pack.needed), size(pack.length));
            output.line(format!("{}  {needed} of {of} needed: {}", pack.id, reason(pack.fate)))?;
        }
    }
    let line = |what: &str, fates: &dyn Fn(Fate) -> bool| -> Result<()> {
        match report.tally(fates) {
            Tally { packs: 0, .. } => Ok(()),
            tally => Ok(output.note(format_args!("{what} {}, {}", count(tally.packs, "pack"), size(tally.bytes)))?),
        }
    };
    line("kept:", &|fate| !fate.goes())?;
    for fate in [Fate::Young, Fate::Damaged, Fate::Deferred] {
        line(&format!("  of these {}:", reason(fate)), &|other| other == fate)?;
    }
    line(if dry_run { "would be removed:" } else { "removed:" }, &|fate| fate.goes() && !fate.is_copied())?;
    line(if dry_run { "would be repacked:" } else { "repacked:" }, &Fate::is_copied)?;
    for fate in [Fate::PartlyUnused, Fate::Small, Fate::OldKey, Fate::OnUnused] {
        line(&format!("  of these {}:", reason(fate)), &|other| other == fate)?;
    }
    if report.old_keys.packs > 0 {
        let old = format!("{}, {}", count(report.old_keys.packs, "pack"), size(report.old_keys.bytes));
        output.note(format_args!("kept under keys from before the last rotation: {old}; --reencrypt moves them"))?;
    }
    if report.parts_removed > 0 {
        let parts = count(report.parts_removed, "part");
        let removed = if dry_run { "would be removed" } else { "removed" };
        output.note(format_args!("{parts} of abandoned runs {removed} (see `snap merge --help`)"))?;
    }
    if report.purges {
        output.note(format_args!("records were erased from snapshots: nothing unused is kept"))?;
    }
    output.note(format_args!("unused and kept: {}", size(report.unused_bytes_left)))?;
    let swept = format!("{}, {}", count(report.swept.packs, "condemned pack"), size(report.swept.bytes));
    match dry_run {
        true => output.note(format_args!("would be deleted now: {swept}"))?,
        false => output.note(format_args!("deleted {swept}"))?,
    }
    if report.waiting.packs > 0 {
        let waiting = format!("{}, {}", count(report.waiting.packs, "condemned pack"), size(report.waiting.bytes));
        output.note(format_args!("{waiting}, wait for the grace to pass: the next prune after it deletes them"))?;
    }
    if report.retained.packs > 0 {
        let retained = format!("{}, {}", count(report.retained.packs, "condemned pack"), size(report.retained.bytes));
        output.note(format_args!("{retained}, cannot be deleted yet (object lock): the next prune tries again"))?;
    }
    Ok(())
}

fn reason(fate: Fate) -> &'static str {
    match fate {
        Fate::Used => "all of it is needed",
        Fate::FewUnused => "little of it is unused",
        Fate::Deferred => "left for the next prune",
        Fate::Young => "too young to be judged",
        Fate::Damaged => "damaged and needed",
        Fate::Unused => "not needed",
        Fate::Gone => "gone, and not needed",
        Fate::PartlyUnused => "too much of it is unused",
        Fate::Small => "small",
        Fate::OldKey => "sealed under an older key",
        Fate::OnUnused => "resting on what is not needed",
    }
}
