//! restic's documented examples, and what must hold for any policy.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::calendar::tests::at;
use super::*;

const HOUR: i64 = 3_600_000_000_000;
const DAY: i64 = 24 * HOUR;

fn policy(rules: &[(&str, &str)]) -> Policy {
    let mut policy = Policy::default();
    for (rule, value) in rules {
        let (kind, period) = rule.rsplit_once('-').unwrap_or((rule, ""));
        let period = Period::ALL.iter().position(|known| known.adverb() == period || known.adverb() == *rule);
        match (*rule, kind, period) {
            ("last", ..) => policy.keep_last = Quota::parse(value).unwrap(),
            ("within", ..) => policy.keep_within = Span::parse(value).unwrap(),
            (_, "within", Some(period)) => *within(&mut policy, period) = Span::parse(value).unwrap(),
            (.., Some(period)) => *newest(&mut policy, period) = Quota::parse(value).unwrap(),
            _ => panic!("{rule}"),
        }
    }
    policy
}

/// What a policy keeps of a period, by its place in [`Period::ALL`].
fn newest(policy: &mut Policy, period: usize) -> &mut Quota {
    let Policy { keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly, .. } = policy;
    [keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly].into_iter().nth(period).unwrap()
}

/// How new what it keeps of a period must be.
fn within(policy: &mut Policy, period: usize) -> &mut Span {
    let Policy {
        keep_within_hourly,
        keep_within_daily,
        keep_within_weekly,
        keep_within_monthly,
        keep_within_yearly,
        ..
    } = policy;
    [keep_within_hourly, keep_within_daily, keep_within_weekly, keep_within_monthly, keep_within_yearly]
        .into_iter()
        .nth(period)
        .unwrap()
}

/// The places of those that are kept.
fn kept(policy: &Policy, times: &[i64], now: i64) -> Vec<usize> {
    let dated: Vec<_> = times.iter().map(|time| Dated { time: *time, tags: &[] }).collect();
    let reasons = apply(policy, &dated, now, &Utc);
    reasons.iter().enumerate().filter(|(_, reasons)| !reasons.is_empty()).map(|(place, _)| place).collect()
}

/// Twelve Sundays at eleven, from September 1, 2019 on.
fn sundays() -> Vec<i64> {
    (0..12).map(|week| at(2019, 9, 1, 11) + week * 7 * DAY).collect()
}

const NOW: i64 = 4_000_000_000_000_000_000;

#[test]
fn of_twelve_sundays_the_last_four_are_kept() {
    for rule in ["daily", "weekly", "hourly", "last"] {
        assert_eq!(kept(&policy(&[(rule, "4")]), &sundays(), NOW), [8, 9, 10, 11], "{rule}");
    }
    // The last ones of September, October and November, and the oldest, since there is no fourth month.
    assert_eq!(kept(&policy(&[("monthly", "4")]), &sundays(), NOW), [0, 4, 8, 11]);
    assert_eq!(kept(&policy(&[("monthly", "3")]), &sundays(), NOW), [4, 8, 11]);
    assert_eq!(kept(&policy(&[("yearly", "1")]), &sundays(), NOW), [11]);
    assert_eq!(kept(&policy(&[("yearly", "2")]), &sundays(), NOW), [0, 11]);
    assert_eq!(kept(&policy(&[("weekly", "unlimited")]), &sundays(), NOW).len(), 12);
}

#[test]
fn a_hundred_years_of_daily_snapshots_are_thinned_out() {
    // 1924-01-01 to 2023-12-31, a Sunday.
    let times: Vec<i64> =
        (0..).map(|day| at(1924, 1, 1, 20) + day * DAY).take_while(|time| *time < at(2024, 1, 1, 0)).collect();
    assert_eq!(times.len(), 36_525);
    let rules = [("daily", "7"), ("weekly", "5"), ("monthly", "12"), ("yearly", "75")];
    let found = kept(&policy(&rules), &times, NOW);
    // The seven days hold one of the Sundays, the last of the year is one of the last of a month; both are among the days.
    assert_eq!(found.len(), 7 + 4 + 11 + 74);
    for time in [at(2023, 12, 25, 20), at(2023, 12, 3, 20), at(2023, 1, 31, 20), at(1949, 12, 31, 20)] {
        assert!(found.iter().any(|place| times[*place] == time), "{time}");
    }
    assert!(found.iter().all(|place| times[*place] > at(1949, 12, 31, 0)));
}

#[test]
fn durations_count_from_the_newest_snapshot_and_not_from_now() {
    let times: Vec<i64> = (0..30).map(|day| at(2026, 6, 1, 12) + day * DAY).collect();
    assert_eq!(kept(&policy(&[("within", "3d")]), &times, NOW), [27, 28, 29], "what is as old as that is not newer");
    assert_eq!(kept(&policy(&[("within", "3d1h")]), &times, NOW), [26, 27, 28, 29]);
    // Weeks end on June 7, 14, 21 and 28; those of the last 14 days, and the newest.
    assert_eq!(kept(&policy(&[("within-weekly", "14d")]), &times, NOW), [20, 27, 29]);
    assert_eq!(kept(&policy(&[("within-monthly", "1y")]), &times, NOW), [0, 29], "the oldest lies within a year");
    assert_eq!(kept(&policy(&[("within-monthly", "7d")]), &times, NOW), [29]);
}

#[test]
fn several_snapshots_of_one_hour_are_one_hourly_snapshot() {
    let minute = HOUR / 60;
    let noon = at(2024, 5, 17, 12);
    let times = [noon - HOUR, noon + 36 * minute, noon + 41 * minute, noon + HOUR];
    assert_eq!(kept(&policy(&[("hourly", "2")]), &times, NOW), [2, 3]);
    let dated: Vec<_> = times[1..3].iter().map(|time| Dated { time: *time, tags: &[] }).collect();
    let reasons = apply(&policy(&[("hourly", "24")]), &dated, NOW, &Utc);
    let said: Vec<_> = reasons.iter().map(|reasons| reasons[0].to_string()).collect();
    assert_eq!(said, ["oldest hourly snapshot", "hourly snapshot"]);
    // At the very same time, what was made later is newer.
    assert_eq!(kept(&policy(&[("last", "1")]), &[noon, noon, noon - 1], NOW), [1]);
}

#[test]
fn an_hour_that_clocks_show_twice_is_two_hours_and_one_day() {
    /// Clocks go back by an hour at 2026-10-25 01:00 UTC.
    struct Berlin;
    const CHANGE: i64 = 1_792_890_000_000_000_000;
    impl LocalTime for Berlin {
        fn wall(&self, moment: i64) -> i128 {
            i128::from(moment) + i128::from(if moment < CHANGE { 2 * HOUR } else { HOUR })
        }
        fn moment(&self, wall: i128) -> i128 {
            wall - i128::from(HOUR)
        }
    }
    assert_eq!(CHANGE, at(2026, 10, 25, 1));
    // Shown as 01:30, 02:30, 02:30 and 03:30.
    let times: Vec<i64> = (-2..2).map(|hour| CHANGE + hour * HOUR + HOUR / 2).collect();
    let kept = |rules: &[(&str, &str)]| -> Vec<usize> {
        let dated: Vec<_> = times.iter().map(|time| Dated { time: *time, tags: &[] }).collect();
        let reasons = apply(&policy(rules), &dated, NOW, &Berlin);
        reasons.iter().enumerate().filter(|(_, reasons)| !reasons.is_empty()).map(|(place, _)| place).collect()
    };
    assert_eq!(kept(&[("hourly", "4")]), [0, 1, 2, 3]);
    assert_eq!(kept(&[("hourly", "3")]), [1, 2, 3]);
    assert_eq!(kept(&[("within-hourly", "9h")]), [0, 1, 2, 3]);
    assert_eq!(kept(&[("daily", "1")]), [3]);
}

#[test]
fn tags_keep_whatever_the_time() {
    let list = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect::<Vec<_>>();
    let tags = [list(&["a"]), list(&["a", "b"]), list(&[]), list(&["b"])];
    let dated: Vec<_> = (0i64..).zip(&tags).map(|(time, tags)| Dated { time, tags }).collect();
    let kept = |lists: &[&[&str]]| -> Vec<usize> {
        let policy = Policy::default().keep_tag(lists.iter().map(|tags| list(tags)).collect::<Vec<_>>());
        let reasons = apply(&policy, &dated, NOW, &Utc);
        reasons.iter().enumerate().filter(|(_, reasons)| !reasons.is_empty()).map(|(place, _)| place).collect()
    };
    assert_eq!(kept(&[&["a"]]), [0, 1]);
    assert_eq!(kept(&[&["a", "b"]]), [1]);
    assert_eq!(kept(&[&["a"], &["b"]]), [0, 1, 3]);
    assert_eq!(kept(&[&[]]), [2]);
    assert_eq!(kept(&[&["x"]]), [0usize; 0]);
}

#[test]
fn snapshots_in_the_future_are_left_alone_and_not_counted() {
    let now = at(2026, 6, 10, 12);
    let times = [now - 2 * DAY, now - DAY, now - HOUR, now + DAY, now + 40 * DAY];
    assert_eq!(kept(&policy(&[("last", "1")]), &times, now), [2, 3, 4]);
    assert_eq!(kept(&policy(&[("within", "1h")]), &times, now), [2, 3, 4]);
    assert_eq!(kept(&policy(&[("last", "1")]), &times[3..], now), [0, 1]);
}

#[test]
fn rules_are_written_as_people_write_them() {
    assert_eq!((Quota::parse("unlimited"), Quota::parse("-1")), (Ok(Quota::All), Ok(Quota::All)));
    assert_eq!((Quota::parse("0"), Quota::parse("7")), (Ok(Quota::Nothing), Ok(Quota::Of(7))));
    for wrong in ["", "-2", "x", "1.5", "99999999999"] {
        assert!(Quota::parse(wrong).is_err(), "{wrong}");
    }
    assert!(policy(&[("last", "0"), ("within", "0d")]).is_empty());
    assert!((0..5).all(|period| {
        let mut policy = Policy::default();
        *newest(&mut policy, period) = Quota::Of(0);
        policy.is_empty()
    }));
    for rule in [("daily", "1"), ("within", "1h"), ("within-yearly", "1y"), ("last", "-1")] {
        assert!(!policy(&[rule]).is_empty());
    }
    assert!(!Policy::default().keep_tag(vec![vec![]]).is_empty());
}

fn quotas() -> impl Strategy<Value = Quota> {
    prop_oneof![3 => Just(Quota::Nothing), 3 => (0u32..9).prop_map(Quota::Of), 1 => Just(Quota::All)]
}

fn spans() -> impl Strategy<Value = Span> {
    let some = (0u32..2, 0u32..14, 0u32..40, 0u32..50).prop_map(|(years, months, days, hours)| Span {
        years,
        months,
        days,
        hours,
    });
    prop_oneof![2 => Just(Span::default()), 1 => some]
}

fn policies() -> impl Strategy<Value = Policy> {
    (quotas(), prop::array::uniform5(quotas()), spans(), prop::array::uniform5(spans())).prop_map(
        |(last, periodic, new, periodic_within)| {
            let mut policy = Policy::default().keep_last(last).keep_within(new);
            for period in 0..5 {
                *newest(&mut policy, period) = periodic[period];
                *within(&mut policy, period) = periodic_within[period];
            }
            policy
        },
    )
}

fn times() -> impl Strategy<Value = Vec<i64>> {
    let start = at(2024, 1, 1, 0);
    let hours = (0i64..20_000).prop_map(move |hour| start + hour * HOUR);
    let minutes = (0i64..6000).prop_map(move |minute| start + minute * HOUR / 60);
    prop::collection::vec(prop_oneof![hours, minutes], 0..60)
}

/// Each rule alone.
fn rules_of(policy: &Policy) -> Vec<Policy> {
    let mut rules =
        vec![Policy::default().keep_last(policy.keep_last), Policy::default().keep_within(policy.keep_within)];
    for period in 0..5 {
        let mut rule = Policy::default();
        *newest(&mut rule, period) = policy.periodic()[period];
        rules.push(rule);
        let mut rule = Policy::default();
        *within(&mut rule, period) = policy.periodic_within()[period];
        rules.push(rule);
    }
    rules
}

proptest! {
    #[test]
    fn rules_are_independent_and_any_of_them_keeps(policy in policies(), times in times()) {
        let alone: BTreeSet<usize> = rules_of(&policy).iter().flat_map(|rule| kept(rule, &times, NOW)).collect();
        prop_assert_eq!(kept(&policy, &times, NOW), alone.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn the_newest_is_kept_by_any_rule_and_all_by_an_unlimited_one(policy in policies(), times in times()) {
        let found = kept(&policy, &times, NOW);
        let newest = (0..times.len()).max_by_key(|place| (times[*place], *place));
        prop_assert_eq!(policy.is_empty() || newest.is_none_or(|newest| found.contains(&newest)), true);
        prop_assert!(!policy.is_empty() || found.is_empty());
        let all = policy.keep_last(Quota::All);
        prop_assert_eq!(kept(&all, &times, NOW).len(), times.len());
    }

    #[test]
    fn a_number_keeps_the_newest_of_n_periods_and_fills_up_with_the_oldest(
        times in times(), period in 0usize..5, number in 1u32..9,
    ) {
        let mut policy = Policy::default();
        *newest(&mut policy, period) = Quota::Of(number);
        let of = |place: &usize| Period::ALL[period].number(times[*place].into());
        let mut order: Vec<usize> = (0..times.len()).collect();
        order.sort_by_key(|place| std::cmp::Reverse((times[*place], *place)));
        let mut expected: Vec<usize> = Vec::new();
        for place in &order {
            if expected.iter().all(|other| of(other) != of(place)) && expected.len() < number as usize {
                expected.push(*place);
            }
        }
        if let Some(oldest) = order.last()
            && expected.len() < number as usize && !expected.contains(oldest)
        {
            expected.push(*oldest);
        }
        expected.sort_unstable();
        prop_assert_eq!(kept(&policy, &times, NOW), expected);
    }

    #[test]
    fn doing_it_again_removes_nothing_more(policy in policies(), times in times()) {
        prop_assume!(!policy.is_empty());
        let left: Vec<i64> = kept(&policy, &times, NOW).iter().map(|place| times[*place]).collect();
        prop_assert_eq!(kept(&policy, &left, NOW).len(), left.len());
    }

    #[test]
    fn nothing_in_the_future_is_ever_removed_nor_changes_what_else_is(
        policy in policies(), mut times in times(), ahead in prop::collection::vec(1i64..1_000_000, 0..5),
    ) {
        let before = kept(&policy, &times, NOW);
        let count = times.len();
        times.extend(ahead.iter().map(|seconds| NOW + seconds * 1_000_000_000));
        let all: Vec<usize> = before.into_iter().chain(count..times.len()).collect();
        prop_assert_eq!(kept(&policy, &times, NOW), all);
    }
}
