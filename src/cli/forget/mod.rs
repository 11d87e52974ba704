//! `snap forget`

mod undo;

use std::ffi::OsString;

use avro_snap::ops::forget::{ForgetOptions, Group, GroupBy, Kept, Plan, Wanted, forget, plan, savings};
use avro_snap::ops::select::{Filter, Listing, Selector};
use avro_snap::snapshot::retention::{LocalTime, Policy, Quota, Span};
use avro_snap::store::Repository;
use avro_snap::values::comma_list;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;

use crate::cli::Context;
use crate::cli::exit::Exit;
use crate::cli::failure::{Failure, Result};
use crate::cli::format::{count, local_time, size};
use crate::cli::pick::{Filters, selector};
use crate::cli::prune;
use crate::cli::table::{Table, heading};

/// Remove snapshots, by name or by a policy
///
/// A policy is one or more --keep-... rules, applied to each series separately. Each rule looks at the snapshots from the
/// newest to the oldest, and a snapshot is kept if any rule keeps it. Days, weeks (from Monday), months and years are those
/// of the calendar in local time; hours are real ones, also when clocks are changed. Periods without snapshots do not
/// count. While a rule with a number has some left, the oldest snapshot is kept, too. Snapshots dated in the future are
/// never removed by a policy.
///
/// The data stays in the repository until `snap prune` deletes it, and until then `snap forget --undo` brings the
/// snapshots back.
///
/// The last snapshot with a sound copy of an Avro file is not removed while later ones have only torn or damaged copies.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Snapshots to remove: at least 4 digits of the id, or `latest` if there is one series, or SERIES:latest
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    #[command(flatten)]
    rules: Rules,

    /// Apply the policy to groups of snapshots with the same series, host, paths or tags; none for all at once
    #[arg(short, long, value_name = "WHAT,...", default_value = "series")]
    group_by: String,

    /// Show what would be removed, and remove nothing
    #[arg(short = 'n', long)]
    dry_run: bool,

    /// Run `snap prune` afterwards; not on a dry run
    #[arg(long)]
    prune: bool,

    #[command(flatten)]
    limits: prune::Limits,

    /// Do not calculate how much space would be freed, which reads all snapshots
    #[arg(long)]
    no_size: bool,

    /// Remove all snapshots of a group if no rule keeps any; without rules, all that match the filters
    #[arg(long)]
    unsafe_allow_remove_all: bool,

    /// Remove even the last snapshot with a sound copy of a file of which later ones have damaged copies
    #[arg(long)]
    allow_losing_sound_files: bool,

    /// Bring back these removed snapshots, or all of the last removal
    ///
    /// With --dry-run, lists all removed snapshots and which of them would come back.
    #[arg(long, conflicts_with_all = ["rules", "prune", "no_size", "unsafe_allow_remove_all", "allow_losing_sound_files"])]
    undo: bool,

    #[command(flatten)]
    filters: Filters,
}

/// Flags of the policy.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which snapshots to keep")]
#[group(id = "rules", multiple = true)]
struct Rules {
    /// Keep the last N snapshots (here and below, `unlimited` for all)
    #[arg(short = 'l', long, value_name = "N", value_parser = Quota::parse, allow_hyphen_values = true)]
    keep_last: Option<Quota>,

    /// Keep the last snapshot of each of the last N hours that have one
    #[arg(long, value_name = "N", value_parser = Quota::parse, allow_hyphen_values = true)]
    keep_hourly: Option<Quota>,

    /// Keep the last snapshot of each of the last N days
    #[arg(short = 'd', long, value_name = "N", value_parser = Quota::parse, allow_hyphen_values = true)]
    keep_daily: Option<Quota>,

    /// Keep the last snapshot of each of the last N weeks
    #[arg(short = 'w', long, value_name = "N", value_parser = Quota::parse, allow_hyphen_values = true)]
    keep_weekly: Option<Quota>,

    /// Keep the last snapshot of each of the last N months
    #[arg(short = 'm', long, value_name = "N", value_parser = Quota::parse, allow_hyphen_values = true)]
    keep_monthly: Option<Quota>,

    /// Keep the last snapshot of each of the last N years
    #[arg(short = 'y', long, value_name = "N", value_parser = Quota::parse, allow_hyphen_values = true)]
    keep_yearly: Option<Quota>,

    /// Keep all snapshots within this time before the newest one, like 2y5m7d3h
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    keep_within: Option<Span>,

    /// Keep the last snapshot of each hour within this time before the newest one
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    keep_within_hourly: Option<Span>,

    /// Keep the last snapshot of each day within this time
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    keep_within_daily: Option<Span>,

    /// Keep the last snapshot of each week within this time
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    keep_within_weekly: Option<Span>,

    /// Keep the last snapshot of each month within this time
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    keep_within_monthly: Option<Span>,

    /// Keep the last snapshot of each year within this time
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    keep_within_yearly: Option<Span>,

    /// Keep snapshots that have all of these tags; may be repeated, matches any of the lists
    ///
    /// An empty list (written as a comma) keeps snapshots without tags.
    #[arg(long, value_name = "TAG,...")]
    keep_tag: Vec<String>,
}

impl Rules {
    fn policy(&self) -> Policy {
        let mut policy = Policy::default()
            .keep_last(self.keep_last.unwrap_or_default())
            .keep_hourly(self.keep_hourly.unwrap_or_default())
            .keep_daily(self.keep_daily.unwrap_or_default())
            .keep_weekly(self.keep_weekly.unwrap_or_default())
            .keep_monthly(self.keep_monthly.unwrap_or_default())
            .keep_yearly(self.keep_yearly.unwrap_or_default())
            .keep_within(self.keep_within.unwrap_or_default())
            .keep_within_hourly(self.keep_within_hourly.unwrap_or_default())
            .keep_within_daily(self.keep_within_daily.unwrap_or_default())
            .keep_within_weekly(self.keep_within_weekly.unwrap_or_default())
            .keep_within_monthly(self.keep_within_monthly.unwrap_or_default())
            .keep_within_yearly(self.keep_within_yearly.unwrap_or_default());
        policy.keep_tag = self.keep_tag.iter().map(|list| comma_list(list)).collect();
        policy
    }
}

/// Calendars as this machine's clock on the wall has them.
struct Wall(TimeZone);

impl LocalTime for Wall {
    fn wall(&self, moment: i64) -> i128 {
        let offset = Timestamp::from_nanosecond(moment.into()).map_or(0, |time| self.0.to_offset(time).seconds());
        i128::from(moment) + i128::from(offset) * 1_000_000_000
    }

    fn moment(&self, wall: i128) -> i128 {
        let shown = Timestamp::from_nanosecond(wall).map(|time| TimeZone::UTC.to_datetime(time));
        let moment = shown.and_then(|shown| self.0.to_ambiguous_timestamp(shown).compatible());
        // That far from now the zone is not known.
        moment.map_or(wall, |moment| moment.as_nanosecond())
    }
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        if self.undo {
            return self.bring_back(context);
        }
        self.refuse_empty()?;
        let options = self.options()?;
        let selectors = self.snapshots.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        // A colon with nothing after it is a path that was to be there: mostly a variable that is not set.
        let ends_in_colon = self.snapshots.iter().any(|text| text.as_encoded_bytes().ends_with(b":"));
        if ends_in_colon || !selectors.iter().all(Selector::may_be_whole) {
            return Err(Failure::Usage("whole snapshots are removed: no path goes here".into()));
        }
        self.refuse_nonsense(&options.policy, &options.filter)?;
        let repository = context.open()?;
        let listing = context.listing(&repository);
        let zone = Wall(TimeZone::system());
        let wanted = match selectors.is_empty() {
            true => options.wanted(&zone),
            false => {
                let ids =
                    selectors.into_iter().map(|selector| context.choose_to_delete(&listing, selector, &options.filter));
                Wanted::These(ids.collect::<Result<_>>()?)
            }
        };
        let plan = plan(&repository, &listing, &wanted, options.allow_losing_sound_files)?;
        self.refuse_plan(&plan)?;
        let removed = match self.dry_run {
            true => plan.removed(),
            false => forget(&repository, &plan)?,
        };
        self.print_report(context, &repository, &listing, &plan, removed.len() as u64)?;
        let exit = match self.prune && !self.dry_run && !removed.is_empty() {
            true => self.limits.prune_after(context, &repository)?,
            false => Exit::Done,
        };
        context.finish_with(exit, Ok(()))
    }

    /// What the flags say.
    pub(in crate::cli) fn options(&self) -> Result<ForgetOptions> {
        let options = ForgetOptions::new(self.rules.policy());
        let group_by = GroupBy::parse(&self.group_by).map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(options
            .filter(self.filters.filter()?)
            .group_by(group_by)
            .allow_losing_sound_files(self.allow_losing_sound_files))
    }

    /// Refuses what is empty: mostly a variable that is not set, which must not decide what is removed.
    fn refuse_empty(&self) -> Result<()> {
        let usage = |text: &str| Err(Failure::Usage(text.into()));
        let is_empty = |text: &String| text.trim().is_empty();
        match () {
            () if is_empty(&self.group_by) => {
                usage("--group-by is empty: say `none` to apply the policy to all at once")
            }
            () if self.rules.keep_tag.iter().any(is_empty) => {
                usage("--keep-tag is empty: write `--keep-tag ,` to keep the snapshots without tags")
            }
            () if self.filters.names_an_empty_tag() => {
                usage("--tag is empty: write `--tag ,` for the snapshots without tags")
            }
            () => Ok(()),
        }
    }

    /// Whether it is clear what is to go.
    fn refuse_nonsense(&self, policy: &Policy, filter: &Filter) -> Result<()> {
        let usage = |text: &str| Err(Failure::Usage(text.into()));
        match (self.snapshots.is_empty(), policy.is_empty()) {
            (false, false) => usage("snapshots are removed either by name or by a policy, not both at once"),
            (true, true) if !self.unsafe_allow_remove_all => {
                usage("nothing says which snapshots to remove: name them, or give a rule like --keep-last 7")
            }
            (true, true) if *filter == Filter::default() => usage(
                "--unsafe-allow-remove-all without a rule removes all that the filters let through: give one of --host, \
                 --series, --tag, --path",
            ),
            _ => Ok(()),
        }
    }

    /// Whether what is planned may be done.
    fn refuse_plan(&self, plan: &Plan) -> Result<()> {
        if let Some(loss) = plan.refused.first() {
            let more = match plan.refused.len() as u64 - 1 {
                0 => String::new(),
                more => format!(", and {} more of the kind", count(more, "file")),
            };
            return Err(Failure::plain(
                format!("snapshot {} is the {loss}{more}; nothing was removed", loss.snapshot.short()),
                "--allow-losing-sound-files removes it all the same",
            ));
        }
        let by_name = !self.snapshots.is_empty();
        match plan.groups.iter().find(|group| group.loses_all()) {
            Some(group) if !by_name && !self.unsafe_allow_remove_all => Err(Failure::plain(
                format!(
                    "no rule keeps any of the {} of {}; nothing was removed",
                    count(group.decisions.len() as u64, "snapshot"),
                    group.key
                ),
                "keep one with --keep-last 1, or remove them with --unsafe-allow-remove-all",
            )),
            _ => Ok(()),
        }
    }

    fn print_report(
        &self,
        context: &Context,
        repository: &Repository,
        listing: &Listing,
        plan: &Plan,
        removed: u64,
    ) -> Result<()> {
        let output = &context.output;
        let by_name = !self.snapshots.is_empty();
        for group in plan.groups.iter().filter(|group| !group.decisions.is_empty()) {
            let title = if by_name { String::new() } else { group.key.to_string() };
            match output.json {
                true => print_json(context, group, &title)?,
                false => print_table(context, group, &title)?,
            }
        }
        for decision in plan.groups.iter().flat_map(|group| &group.decisions) {
            let sound = decision.kept_for.iter().filter(|kept| matches!(kept, Kept::Sound(_))).count();
            if let (Some(Kept::Sound(loss)), true) = (decision.kept_for.first(), sound > 0) {
                let more =
                    if sound > 1 { format!(" and {} more", count(sound as u64 - 1, "file")) } else { String::new() };
                output.warn(&format!(
                    "snapshot {} stays: it is the {loss}{more}; --allow-losing-sound-files removes it",
                    decision.snapshot.id.short()
                ));
            }
        }
        let measured = !self.no_size && removed > 0 && (output.json || !output.quiet);
        let freed = measured.then(|| savings(repository, listing, plan)).transpose()?;
        if output.json {
            let done = json!({"dry_run": self.dry_run, "removed": removed, "kept": plan.kept()});
            return Ok(output.object_with("summary", done, freed)?);
        }
        let would = if self.dry_run { "would remove" } else { "removed" };
        output.note(format_args!("{would} {}, kept {}", count(removed, "snapshot"), plan.kept()))?;
        if let Some(freed) = freed {
            output.note(format_args!(
                "only they need{} {} ({} of data), which take {} in the repository until it is pruned",
                if self.dry_run { "" } else { "ed" },
                count(freed.chunks, "chunk"),
                size(freed.plain),
                size(freed.stored)
            ))?;
            if freed.unreadable > 0 {
                output.warn("some of the repository cannot be read, so these figures are not exact; see `snap check`");
            }
        }
        Ok(())
    }
}

/// How many files are named among the reasons in a table; JSON names all.
const NAMED: usize = 2;

fn print_table(context: &Context, group: &Group, title: &str) -> Result<()> {
    let output = &context.output;
    if output.quiet {
        return Ok(());
    }
    if !title.is_empty() {
        output.line(heading(title, output.width()))?;
    }
    let mut table = Table::new(&["ID", "Time", "Host", "Tags", "Action", "Reasons"], &[]).cutting(&[2, 3]).wrapping();
    for decision in &group.decisions {
        let root = &decision.snapshot;
        let mut reasons = decision.reasons();
        if matches!(decision.kept_for.first(), Some(Kept::Sound(_))) && reasons.len() > NAMED {
            let more = reasons.len() - NAMED;
            reasons.truncate(NAMED);
            reasons.push(format!("and {more} more"));
        }
        table.row(vec![
            root.id.short(),
            local_time(root.time),
            root.host.clone(),
            root.tags.join(","),
            decision.action().into(),
            reasons.join(", "),
        ]);
    }
    table.print(output)?;
    Ok(())
}

fn print_json(context: &Context, group: &Group, title: &str) -> Result<()> {
    let group_title = json!({"group": Some(title).filter(|title| !title.is_empty())});
    for decision in &group.decisions {
        context.output.object_with("snapshot", group_title.clone(), decision)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_knows_summer_time() {
        let berlin = Wall(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        const HOUR: i64 = 3_600_000_000_000;
        // 2026-01-01 and 2026-07-01, midnight UTC.
        for (moment, ahead) in [(1_767_225_600_000_000_000, HOUR), (1_782_864_000_000_000_000, 2 * HOUR)] {
            assert_eq!(berlin.wall(moment), i128::from(moment + ahead));
            assert_eq!(berlin.moment(i128::from(moment + ahead)), i128::from(moment));
        }
    }
}
