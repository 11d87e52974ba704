//! Matching against a comparison that holds everything.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::pending::hash_of;
use super::*;

/// A record of these tests: a byte of key and any others.
type Made = Vec<u8>;

fn key(record: &[u8], key: &mut Vec<u8>) -> Result<()> {
    key.extend(record.first());
    Ok(())
}

/// A change of a record, with bytes of its own.
type Owned = (Option<Made>, Option<Made>, bool);

fn compared(before: &[Made], after: &[Made], keyed: bool, budget: usize, swap: bool) -> (Vec<Owned>, Duplicates) {
    let mut matching = Matching::new(keyed.then_some(&key as KeyOf<'_>), budget);
    let mut sides = [(false, before), (true, after)];
    if swap {
        sides.reverse();
    }
    for (is_after, records) in sides {
        for record in records {
            matching.add(is_after, hash_of(record), record).unwrap();
        }
    }
    let mut found = Vec::new();
    let (duplicates, _) = matching
        .finish(&mut |matched| {
            for _ in 0..matched.count {
                let own = |record: Option<&[u8]>| record.map(<[u8]>::to_vec);
                found.push((own(matched.before), own(matched.after), matched.duplicate));
            }
            Ok(())
        })
        .unwrap();
    found.sort();
    (found, duplicates)
}

/// The same, in the plainest way.
fn naive(before: &[Made], after: &[Made], keyed: bool) -> (Vec<Owned>, Duplicates) {
    let mut counts: BTreeMap<&Made, i64> = BTreeMap::new();
    before.iter().for_each(|record| *counts.entry(record).or_default() -= 1);
    after.iter().for_each(|record| *counts.entry(record).or_default() += 1);
    let mut by_key: BTreeMap<Option<u8>, (Vec<Made>, Vec<Made>)> = BTreeMap::new();
    for (record, count) in counts {
        let group = by_key.entry(record.first().copied()).or_default();
        let list = if count < 0 { &mut group.0 } else { &mut group.1 };
        list.extend(std::iter::repeat_n(record.clone(), count.unsigned_abs() as usize));
    }
    let (mut found, mut duplicates) = (Vec::new(), Duplicates::default());
    for (gone, come) in by_key.into_values() {
        let twice = keyed && (gone.len() > 1 || come.len() > 1);
        duplicates.before += u64::from(keyed && gone.len() > 1);
        duplicates.after += u64::from(keyed && come.len() > 1);
        match (&gone[..], &come[..]) {
            ([was], [is]) if keyed => found.push((Some(was.clone()), Some(is.clone()), false)),
            _ => {
                found.extend(gone.into_iter().map(|was| (Some(was), None, twice)));
                found.extend(come.into_iter().map(|is| (None, Some(is), twice)));
            }
        }
    }
    found.sort();
    (found, duplicates)
}

fn records() -> impl Strategy<Value = Vec<Made>> {
    prop::collection::vec(prop::collection::vec(0u8..6, 0..4), 0..60)
}

proptest! {
    #[test]
    fn matching_finds_what_a_plain_comparison_finds(
        before in records(), after in records(), keyed: bool, swap: bool,
    ) {
        // With little memory most goes to disk, and parts are parted again.
        for budget in [usize::MAX, 2000] {
            prop_assert_eq!(compared(&before, &after, keyed, budget, swap), naive(&before, &after, keyed));
        }
    }

    #[test]
    fn what_both_sides_have_may_be_left_out(
        before in records(), after in records(), common in records(), keyed: bool,
    ) {
        let with = |records: &[Made]| [records, &common].concat();
        let whole = compared(&with(&before), &with(&after), keyed, usize::MAX, false);
        prop_assert_eq!(whole, compared(&before, &after, keyed, usize::MAX, false));
    }
}

#[test]
fn a_key_with_more_records_than_fit_into_memory_is_deleted_and_inserted() {
    let many = |from: u32| (from..from + 3000).map(|number| [&[7][..], &number.to_le_bytes()].concat());
    let (before, after): (Vec<Made>, Vec<Made>) = (many(0).collect(), many(100).collect());
    let (found, _) = compared(&before, &after, true, 20_000, false);
    assert_eq!(found.len(), 200);
    assert!(found.iter().all(|(before, after, duplicate)| before.is_some() != after.is_some() && *duplicate));
}
