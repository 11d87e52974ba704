//! Which reads become one request: ranges of an object that lie side by side.

use std::collections::BTreeMap;

use crate::storage::{ByteRange, Name};

/// This many bytes between two ranges are read along rather than asked for apart: what a fast line carries in the time that a
/// request takes.
const GAP: u64 = 256 << 10;

/// No request asks for more by joining.
const LONGEST: u64 = 16 << 20;

/// A request, and what is wanted of its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) name: Name,
    pub(super) range: ByteRange,
    /// By their numbers.
    pub(super) wants: Vec<usize>,
}

/// The requests for these reads.
pub(super) fn requests(wants: &[(Name, ByteRange)]) -> Vec<Request> {
    let mut requests = Vec::new();
    let mut parts: BTreeMap<&Name, Vec<(u64, u64, usize)>> = BTreeMap::new();
    for (number, (name, range)) in wants.iter().enumerate() {
        match *range {
            // One that is empty, or ends beyond all that can be, is left as it is.
            ByteRange::Exactly { offset, length } if length > 0 && offset.checked_add(length as u64).is_some() => {
                parts.entry(name).or_default().push((offset, offset + length as u64, number));
            }
            range => requests.push(Request { name: name.clone(), range, wants: vec![number] }),
        }
    }
    for (name, mut parts) in parts {
        parts.sort_unstable();
        let mut open: Option<(u64, u64, Vec<usize>)> = None;
        let mut close = |(start, end, wants): (u64, u64, Vec<usize>)| {
            // It fits: it is no longer than LONGEST, or than a single want.
            let range =
                ByteRange::Exactly { offset: start, length: usize::try_from(end - start).unwrap_or(usize::MAX) };
            requests.push(Request { name: name.clone(), range, wants });
        };
        for (start, end, number) in parts {
            match &mut open {
                Some((first, last, wants)) if start <= *last + GAP && end.max(*last) - *first <= LONGEST => {
                    *last = end.max(*last);
                    wants.push(number);
                }
                _ => {
                    if let Some(done) = open.replace((start, end, vec![number])) {
                        close(done);
                    }
                }
            }
        }
        if let Some(done) = open {
            close(done);
        }
    }
    requests
}

/// What was wanted, out of the answer to a request that it is part of.
pub(super) fn part(answer: &[u8], request: ByteRange, want: ByteRange) -> Option<Vec<u8>> {
    match (request, want) {
        (ByteRange::Exactly { offset: start, .. }, ByteRange::Exactly { offset, length }) => {
            let from = usize::try_from(offset.checked_sub(start)?).ok()?;
            answer.get(from..from.checked_add(length)?).map(<[u8]>::to_vec)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn neighbours_are_joined_and_the_rest_is_not() {
        let (a, b) = (Name::log(1), Name::log(2));
        let exactly = |offset, length| ByteRange::Exactly { offset, length };
        let wants = [
            (a.clone(), exactly(1000, 10)),
            (b.clone(), exactly(0, 10)),
            (a.clone(), exactly(0, 100)),
            (a.clone(), exactly(10 << 20, 5)),
            (a.clone(), ByteRange::UpTo(9)),
            (b.clone(), exactly(5, 0)),
            (b.clone(), exactly(u64::MAX, 3)),
        ];
        let joined = requests(&wants);
        let of = |name: &Name, range| {
            joined.iter().find(|one| one.name == *name && one.range == range).map(|one| &one.wants)
        };
        assert_eq!(joined.len(), 6);
        assert_eq!(of(&a, exactly(0, 1010)), Some(&vec![2, 0]));
        assert_eq!(of(&a, exactly(10 << 20, 5)), Some(&vec![3]));
        assert_eq!(of(&a, ByteRange::UpTo(9)), Some(&vec![4]));
    }

    proptest! {
        /// Each want is in one request, and the bytes cut out of its answer are those that were wanted.
        #[test]
        fn no_want_is_lost_and_none_is_mixed_up(ranges in prop::collection::vec((0u64..40, 0usize..40), 0..20), scale in 1u64..200_000) {
            let object: Vec<u8> = (0..100u32).map(|n| n as u8).collect();
            let name = Name::log(1);
            // The plan is made for a large object, and checked on one that is scaled down.
            let wants: Vec<_> = ranges.iter().map(|(offset, length)| (name.clone(), ByteRange::Exactly { offset: offset * scale, length: length * scale as usize })).collect();
            let mut seen = vec![0; wants.len()];
            for request in requests(&wants) {
                for want in &request.wants {
                    seen[*want] += 1;
                    let small = |range: ByteRange| match range {
                        ByteRange::Exactly { offset, length } => ByteRange::Exactly { offset: offset / scale, length: length / scale as usize },
                        all => all,
                    };
                    let ByteRange::Exactly { offset, length } = small(request.range) else { panic!("{request:?}") };
                    let answer = &object[offset as usize..offset as usize + length];
                    let wanted = small(wants[*want].1).of(&name, &object).unwrap();
                    prop_assert_eq!(part(answer, small(request.range), small(wants[*want].1)), Some(wanted));
                }
            }
            prop_assert!(seen.iter().all(|times| *times == 1), "{seen:?}");
        }
    }
}
