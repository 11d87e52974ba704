//! Which snapshots to keep: the rules of `forget`, as restic has them. A pure function of times and tags.
//!
//! Rules are independent of each other: a snapshot is kept if any of them wants it. They look at the snapshots from the
//! newest to the oldest. A rule with a number keeps the newest snapshot of each period until the number is used up, and
//! the oldest snapshot of all if it is not; periods without snapshots do not count. A rule with a duration keeps what is
//! newer than some span before the newest snapshot (not before now). Snapshots dated in the future are left alone: none is
//! removed, and no rule counts them.

mod calendar;

pub use calendar::{LocalTime, Period, Span, Utc};

use serde::{Deserialize, Deserializer};

use crate::values;

/// How many a rule keeps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Quota {
    /// There is no such rule.
    #[default]
    Nothing,
    /// At most this many; 0 is no rule, either.
    Of(u32),
    /// Without limit.
    All,
}

impl Quota {
    /// Reads a number, or `unlimited` (or -1).
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.trim() {
            "unlimited" | "-1" => Ok(Self::All),
            number => match number.parse() {
                Ok(0) => Ok(Self::Nothing),
                Ok(number) => Ok(Self::Of(number)),
                Err(_) => Err(format!("{text:?} is neither a number nor `unlimited`")),
            },
        }
    }

    /// Takes one away, if there is one left.
    fn take(&mut self) {
        if let Self::Of(left) = self {
            *left = left.saturating_sub(1);
        }
    }

    fn is_used_up(self) -> bool {
        matches!(self, Self::Nothing | Self::Of(0))
    }
}

impl<'de> Deserialize<'de> for Quota {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        values::from_text(deserializer, Self::parse)
    }
}

impl From<u32> for Quota {
    fn from(number: u32) -> Self {
        Self::Of(number)
    }
}

/// The rules by which snapshots are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct Policy {
    /// The newest ones.
    pub keep_last: Quota,
    /// The newest one of each of the newest hours.
    pub keep_hourly: Quota,
    /// Of days.
    pub keep_daily: Quota,
    /// Of weeks.
    pub keep_weekly: Quota,
    /// Of months.
    pub keep_monthly: Quota,
    /// Of years.
    pub keep_yearly: Quota,
    /// All that are newer than this.
    pub keep_within: Span,
    /// The newest one of each hour of those that are newer than this.
    pub keep_within_hourly: Span,
    /// Of each day.
    pub keep_within_daily: Span,
    /// Of each week.
    pub keep_within_weekly: Span,
    /// Of each month.
    pub keep_within_monthly: Span,
    /// Of each year.
    pub keep_within_yearly: Span,
    /// Those that have all tags of one of these lists. An empty list stands for no tags at all.
    #[serde(deserialize_with = "values::lists")]
    pub keep_tag: Vec<Vec<String>>,
}

impl Policy {
    values::setters! {
        is keep_last: Quota;
        is keep_hourly: Quota;
        is keep_daily: Quota;
        is keep_weekly: Quota;
        is keep_monthly: Quota;
        is keep_yearly: Quota;
        is keep_within: Span;
        is keep_within_hourly: Span;
        is keep_within_daily: Span;
        is keep_within_weekly: Span;
        is keep_within_monthly: Span;
        is keep_within_yearly: Span;
        is keep_tag: Vec<Vec<String>>;
    }

    /// How many of the newest of each period are kept, in the order of [`Period::ALL`].
    fn periodic(&self) -> [Quota; 5] {
        [self.keep_hourly, self.keep_daily, self.keep_weekly, self.keep_monthly, self.keep_yearly]
    }

    /// How new those are of each period of which the newest is kept, in the order of [`Period::ALL`].
    fn periodic_within(&self) -> [Span; 5] {
        [
            self.keep_within_hourly,
            self.keep_within_daily,
            self.keep_within_weekly,
            self.keep_within_monthly,
            self.keep_within_yearly,
        ]
    }

    /// Whether there is no rule in it.
    pub fn is_empty(&self) -> bool {
        self.keep_last.is_used_up()
            && self.periodic().iter().all(|quota| quota.is_used_up())
            && self.keep_within.is_zero()
            && self.periodic_within().iter().all(|span| span.is_zero())
            && self.keep_tag.is_empty()
    }
}

/// Time and tags of a snapshot, by which the rules decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dated<'a> {
    /// When the snapshot was made, nanoseconds since 1970 (UTC).
    pub time: i64,
    /// Tags of the snapshot.
    pub tags: &'a [String],
}

/// What a snapshot is kept for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It is one of the newest.
    Last,
    /// It is the newest of its period, or the oldest of all where the rule has some left.
    Periodic {
        /// Length of the period: hour, day, ...
        period: Period,
        /// It is kept as the oldest of all, not as the newest of its period.
        oldest: bool,
    },
    /// It is new enough.
    Within(Span),
    /// It is new enough, and the newest of its period or the oldest of all.
    PeriodicWithin {
        /// Length of the period: hour, day, ...
        period: Period,
        /// How new is new enough.
        span: Span,
        /// It is kept as the oldest of all, not as the newest of its period.
        oldest: bool,
    },
    /// It has these tags (none, if there are none here).
    Tags(Vec<String>),
    /// It is dated later than now, so no rule knows what to make of it.
    InTheFuture,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let old = |oldest: &bool| if *oldest { "oldest " } else { "" };
        match self {
            Self::Last => f.write_str("last snapshot"),
            Self::Periodic { period, oldest } => write!(f, "{}{} snapshot", old(oldest), period.adverb()),
            Self::Within(span) => write!(f, "within {span}"),
            Self::PeriodicWithin { period, span, oldest } => {
                write!(f, "{}{} within {span}", old(oldest), period.adverb())
            }
            Self::Tags(tags) if tags.is_empty() => f.write_str("has no tags"),
            Self::Tags(tags) => write!(f, "has tags [{}]", tags.join(", ")),
            Self::InTheFuture => f.write_str("dated in the future"),
        }
    }
}

/// What each of the snapshots of one group is kept for, in the order in which they are given; nothing for those that are
/// to be removed. Of snapshots with the same time the later one in the list counts as the newer one. With an empty
/// policy all but those in the future are to be removed: the caller refuses that first.
pub fn apply(policy: &Policy, snapshots: &[Dated<'_>], now: i64, zone: &dyn LocalTime) -> Vec<Vec<Reason>> {
    let mut reasons: Vec<Vec<Reason>> = vec![Vec::new(); snapshots.len()];
    let mut order = Vec::new();
    for (number, snapshot) in snapshots.iter().enumerate() {
        match (snapshot.time > now, reasons.get_mut(number)) {
            (true, Some(own)) => own.push(Reason::InTheFuture),
            _ => order.push((snapshot.time, number)),
        }
    }
    order.sort_unstable_by(|a, b| b.cmp(a));
    let Some((latest, _)) = order.first().copied() else { return reasons };
    let mut last = policy.keep_last;
    let mut periodic = policy.periodic().map(|quota| (quota, None));
    let mut within = policy.periodic_within().map(|span| (span, span.before(latest, zone), None));
    let border = policy.keep_within.before(latest, zone);
    for (place, (time, number)) in order.iter().enumerate() {
        let (Some(snapshot), Some(own)) = (snapshots.get(*number), reasons.get_mut(*number)) else { continue };
        let (wall, oldest) = (zone.wall(*time), place + 1 == order.len());
        own.extend(
            policy.keep_tag.iter().filter(|tags| has_tags(snapshot, tags)).map(|tags| Reason::Tags(tags.clone())),
        );
        if !policy.keep_within.is_zero() && i128::from(*time) > border {
            own.push(Reason::Within(policy.keep_within));
        }
        if !last.is_used_up() {
            last.take();
            own.push(Reason::Last);
        }
        for (period, (quota, seen)) in Period::ALL.into_iter().zip(&mut periodic) {
            let key = period.key(*time, wall);
            let is_new = *seen != Some(key);
            if !quota.is_used_up() && (is_new || oldest) {
                *seen = Some(key);
                quota.take();
                own.push(Reason::Periodic { period, oldest: !is_new });
            }
        }
        for (period, (span, border, seen)) in Period::ALL.into_iter().zip(&mut within) {
            let key = period.key(*time, wall);
            let is_new = *seen != Some(key);
            if !span.is_zero() && i128::from(*time) > *border && (is_new || oldest) {
                *seen = Some(key);
                own.push(Reason::PeriodicWithin { period, span: *span, oldest: !is_new });
            }
        }
    }
    reasons
}

fn has_tags(snapshot: &Dated<'_>, tags: &[String]) -> bool {
    match tags.is_empty() {
        true => snapshot.tags.is_empty(),
        false => tags.iter().all(|tag| snapshot.tags.contains(tag)),
    }
}

#[cfg(test)]
mod tests;
