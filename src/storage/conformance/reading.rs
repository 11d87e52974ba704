//! Reading, listing and asking.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::{ByteRange, Kind, Name, ObjectMeta, Open, Outcome, Reason, damaged, holds, listed, missing, name, same};

pub(super) fn ranges_are_exact(open: &Open<'_>) -> Outcome {
    let (storage, name) = (open(), name(Kind::Pack, 1));
    let bytes: Vec<u8> = (0..=255).cycle().take(1000).collect();
    storage.create(&name, &bytes)?;
    for (offset, length) in [(0, 0), (0, 1), (0, 1000), (999, 1), (1000, 0), (300, 400)] {
        let range = storage.read_range(&name, offset as u64, length)?;
        holds(Some(&range[..]) == bytes.get(offset..offset + length), || {
            format!("{length} bytes from {offset} came back otherwise")
        })?;
        let exactly = ByteRange::Exactly { offset: offset as u64, length };
        same(&storage.read_stored(&name, exactly)?, &range, "a range that is read from the storage itself")?;
        for _ in 0..2 {
            let again = storage.read_again(&[(name.clone(), exactly), (name.clone(), ByteRange::UpTo(1000))]);
            let again = again.into_iter().collect::<Result<Vec<_>, _>>()?;
            same(&again, &vec![range.clone(), bytes.clone()], "what will be asked for again")?;
        }
    }
    same(&storage.read_stored(&name, ByteRange::UpTo(1000))?, &bytes, "all, from the storage itself")?;
    for (offset, length) in [(0, 1001), (1000, 1), (1001, 0), (u64::MAX, 1), (u64::MAX, 0), (1, usize::MAX)] {
        damaged(storage.read_range(&name, offset, length), &format!("reading {length} of 1000 bytes from {offset}"))?;
    }
    storage.delete(&name)?;
    let (part, all) = (ByteRange::Exactly { offset: 300, length: 400 }, ByteRange::UpTo(1000));
    for range in [part, all] {
        missing(storage.read_one(&name, range), "reading what was deleted")?;
        missing(storage.read_stored(&name, range), "reading what was deleted from the storage itself")?;
        for read in storage.read_again(&[(name.clone(), range)]) {
            missing(read, "reading again what was deleted")?;
        }
    }
    Ok(())
}

pub(super) fn limits_are_kept(open: &Open<'_>) -> Outcome {
    let (storage, name) = (open(), name(Kind::Index, 1));
    storage.create(&name, b"0123456789")?;
    for limit in [10, 11, u64::MAX] {
        same(&storage.read(&name, limit)?, &b"0123456789".to_vec(), "ten bytes")?;
    }
    for limit in [0, 1, 9] {
        damaged(storage.read(&name, limit), &format!("reading ten bytes where {limit} are allowed"))?;
    }
    Ok(())
}

pub(super) fn what_is_missing_is_said_to_be(open: &Open<'_>) -> Outcome {
    let storage = open();
    for kind in Kind::ALL {
        let name = name(kind, 1);
        missing(storage.read(&name, u64::MAX), "reading what is not there")?;
        missing(storage.read(&name, 0), "reading nothing of what is not there")?;
        missing(storage.read_range(&name, 0, 0), "reading none of what is not there")?;
        missing(storage.read_range(&name, u64::MAX, 1), "reading beyond what is not there")?;
        same(&storage.head(&name)?, &None, "asking for what is not there")?;
        holds(listed(&*storage, kind)?.is_empty(), || format!("{kind:?} is listed though there is none"))?;
    }
    Ok(())
}

pub(super) fn every_kind_is_listed(open: &Open<'_>) -> Outcome {
    let storage = open();
    let mut expected = BTreeMap::<Kind, BTreeMap<Name, u64>>::new();
    for (i, kind) in Kind::ALL.into_iter().enumerate() {
        let count = if kind == Kind::Config { 2 } else { 20 };
        for n in 1..=count {
            let length = 10 * i + n as usize;
            storage.create(&name(kind, n), &vec![7; length])?;
            expected.entry(kind).or_default().insert(name(kind, n), length as u64);
        }
    }
    for (kind, expected) in &expected {
        same(&listed(&*open(), *kind)?, expected, "what is listed")?;
        for (name, length) in expected {
            same(&storage.size(name)?, &Some(*length), "the length of what is listed")?;
            same(&(storage.read(name, *length)?.len() as u64), length, "how much of it is read")?;
        }
    }
    Ok(())
}

pub(super) fn a_listing_is_in_order_and_begins_after_any_name(open: &Open<'_>) -> Outcome {
    let storage = open();
    for kind in Kind::ALL {
        let count = if kind == Kind::Config { 2 } else { 12 };
        let mut names: Vec<Name> = (1..=count).map(|n| name(kind, n)).collect();
        for name in &names {
            storage.create(name, b"x")?;
        }
        names.sort();
        for after in std::iter::once(None).chain(names.iter().map(Some)) {
            let rest: Vec<Name> =
                names.iter().filter(|name| after.is_none_or(|after| *name > after)).cloned().collect();
            let mut shown = Vec::new();
            storage.list(kind, after, &mut |meta| {
                shown.push(meta.name);
                ControlFlow::Continue(())
            })?;
            same(&shown, &rest, &format!("{kind:?} after {after:?}"))?;
            let mut first = None;
            let mut calls = 0;
            storage.list(kind, after, &mut |meta| {
                calls += 1;
                first.get_or_insert(meta.name);
                ControlFlow::Break(())
            })?;
            same(&first, &rest.first().cloned(), &format!("the first of {kind:?} after {after:?}"))?;
            holds(calls <= 1, || "a listing went on though it was broken off".into())?;
        }
        // A name that is not there is as good as any to begin after.
        if let (Some(gone), Some(next)) = (names.first(), names.get(1)) {
            storage.delete(gone)?;
            let mut first = None;
            storage.list(kind, Some(gone), &mut |meta| {
                first = Some(meta.name);
                ControlFlow::Break(())
            })?;
            same(&first, &Some(next.clone()), "the first one after one that is gone")?;
        }
    }
    Ok(())
}

pub(super) fn a_listing_may_be_acted_upon(open: &Open<'_>) -> Outcome {
    let storage = open();
    for n in 0..20 {
        storage.create(&name(Kind::Gc, n), b"x")?;
    }
    let mut outcome = Ok(());
    storage.list(Kind::Gc, None, &mut |meta| match storage.delete(&meta.name) {
        Ok(()) => ControlFlow::Continue(()),
        Err(error) => {
            outcome = Err(Reason::from(error));
            ControlFlow::Break(())
        }
    })?;
    outcome?;
    holds(listed(&*storage, Kind::Gc)?.is_empty(), || "what was deleted while it was listed is there".into())
}

pub(super) fn facts_are_the_same_everywhere(open: &Open<'_>) -> Outcome {
    let storage = open();
    for n in 0..3 {
        storage.create(&name(Kind::Pack, n), &vec![0; n as usize])?;
    }
    for meta in storage.list_all(Kind::Pack)? {
        let ObjectMeta { name, modified, .. } = &meta;
        same(&open().head(name)?, &Some(meta.clone()), "what is known of an object, and what its listing says")?;
        let has_clock = storage.abilities().has_clock;
        holds(modified.is_some() == has_clock, || format!("has_clock: {has_clock}, and {name} was made {modified:?}"))?;
    }
    Ok(())
}
