//! A segment of a layout with the places of its entries, and where segments begin.

use std::ops::Range;

use super::super::layout::{Check, Class, Entry};
use super::super::views::{View, plain_length};

/// Where a segment of the layout begins, in everything that is read along with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Mark {
    /// How many segments are before it.
    pub(super) number: u64,
    /// Bytes of the layout before it.
    pub(super) layout: u64,
    /// Bytes of the file, and of its plain view, before it.
    pub(super) exact: u64,
    pub(super) plain: u64,
    /// Bytes of the streams before it.
    pub(super) offsets: Offsets,
}

/// Places in the streams that entries take their bytes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Offsets {
    pub(super) records: u64,
    pub(super) payloads: u64,
    pub(super) strays: u64,
    pub(super) corrections: u64,
}

impl Offsets {
    /// The places after this entry. What a forged layout says may not even add up.
    fn after(mut self, entry: &Entry) -> Self {
        let stream = match entry.class {
            Class::Records | Class::Corrected => &mut self.records,
            Class::Payload => &mut self.payloads,
            Class::Stray => &mut self.strays,
        };
        *stream = stream.saturating_add(entry.length);
        self.corrections = self.corrections.saturating_add(entry.corrections);
        self
    }
}

impl Mark {
    /// The place in this view.
    pub(super) fn at(&self, view: View) -> u64 {
        match view {
            View::Exact => self.exact,
            View::Plain => self.plain,
        }
    }

    /// Where the next segment begins, if this one has these entries and checks and takes this many bytes of the layout.
    pub(super) fn after(&self, entries: &[Entry], checks: &[Check], layout: u64) -> Self {
        let sum = |from: u64, lengths: &mut dyn Iterator<Item = u64>| lengths.fold(from, u64::saturating_add);
        Self {
            number: self.number + 1,
            layout: self.layout.saturating_add(layout),
            exact: sum(self.exact, &mut checks.iter().map(|check| check.covers)),
            plain: sum(self.plain, &mut entries.iter().map(plain_length)),
            offsets: entries.iter().fold(self.offsets, Offsets::after),
        }
    }
}

/// How many marks are kept of one file. Of larger files every second segment has one, every fourth, and so on.
const MAX_MARKS: usize = 4096;

/// Where the segments of a layout begin, as far as they were read.
#[derive(Debug)]
pub(super) struct Marks {
    known: Vec<Mark>,
    stride: u64,
    /// Behind the last segment, once that was met.
    pub(super) end: Option<Mark>,
}

impl Marks {
    /// Of a file whose first segment begins here.
    pub(super) fn new(first: Mark) -> Self {
        Self { known: vec![first], stride: 1, end: None }
    }

    /// The last mark that is known not to be after this place.
    pub(super) fn before(&self, view: View, place: u64) -> Mark {
        let after = self.known.partition_point(|mark| mark.at(view) <= place);
        self.known.get(after.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Takes in the mark that was found after the segment of another.
    pub(super) fn add(&mut self, mark: Mark) {
        if !mark.number.is_multiple_of(self.stride) || self.known.last().is_some_and(|last| last.number >= mark.number)
        {
            return;
        }
        self.known.push(mark);
        if self.known.len() > MAX_MARKS {
            self.stride *= 2;
            self.known.retain(|mark| mark.number.is_multiple_of(self.stride));
        }
    }
}

/// A segment that is being read from. How long a block is in the file is not known before it was encoded, but for where
/// stretches begin, which the checks say.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) start: Mark,
    pub(super) end: Mark,
    pub(super) entries: Vec<Entry>,
    /// Where each entry takes its bytes from.
    pub(super) offsets: Vec<Offsets>,
    /// How many bytes each entry has in the view, where that is known.
    lengths: Vec<Option<u64>>,
    /// First entry and first byte of each stretch, and what is after the last one.
    stretches: Vec<(usize, u64)>,
}

/// What is known about a place in a segment.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// It is in this entry, which has these bytes of the view.
    Entry(usize, Range<u64>),
    /// The length of this entry has to be learned first.
    Needs(usize),
    /// Nowhere: lengths and checks of the layout do not agree.
    Contradiction,
}

impl Loaded {
    /// The segment between two marks. `known` says how many bytes of the view an entry has, where it need not be encoded for
    /// that.
    pub(super) fn new(
        (start, end): (Mark, Mark),
        entries: Vec<Entry>,
        checks: &[Check],
        view: View,
        known: impl FnMut(&Entry) -> Option<u64>,
    ) -> Self {
        let mut stretches: Vec<(usize, u64)> = vec![(0, start.at(view))];
        if view == View::Exact {
            for check in checks {
                let (first, at) = stretches.last().copied().unwrap_or_default();
                stretches.push((first.saturating_add(check.entries as usize), at.saturating_add(check.covers)));
            }
        } else {
            stretches.push((entries.len(), end.plain));
        }
        let mut next = start.offsets;
        let advance = |entry| {
            let after = next.after(entry);
            std::mem::replace(&mut next, after)
        };
        let offsets = entries.iter().map(advance).collect();
        let lengths = entries.iter().map(known).collect();
        Self { start, end, entries, offsets, lengths, stretches }
    }

    /// Whether a place of the view is in this segment.
    pub(super) fn has(&self, view: View, place: u64) -> bool {
        self.start.at(view) <= place && place < self.end.at(view)
    }

    /// Says how many bytes of the view an entry has, now that it was encoded. False if another number was known.
    pub(super) fn learn(&mut self, number: usize, length: u64) -> bool {
        match self.lengths.get_mut(number) {
            Some(known @ None) => {
                *known = Some(length);
                true
            }
            Some(known) => *known == Some(length),
            None => false,
        }
    }

    /// Which entry has this place. Goes from both ends of its stretch over what is known, and asks for what is unknown at the
    /// end that is nearer. The payloads of a stretch have less than 1 MiB without the last one, so whatever is encoded beside the
    /// block that is looked for comes to less than 2 MiB: an entry at the far end is asked for only if it is not longer than
    /// what lies on the other side.
    pub(super) fn find(&self, place: u64) -> Found {
        let after = self.stretches.partition_point(|stretch| stretch.1 <= place);
        let stretch =
            after.checked_sub(1).and_then(|before| Some((self.stretches.get(before)?, self.stretches.get(after)?)));
        let Some((&(mut low, mut from), &(mut high, mut to))) = stretch else { return Found::Contradiction };
        let known = |number: usize| self.lengths.get(number).copied().flatten();
        while low < high {
            if let Some(length) = known(low) {
                let end = from.saturating_add(length);
                if end > to {
                    return Found::Contradiction;
                }
                if place < end {
                    return Found::Entry(low, from..end);
                }
                (low, from) = (low + 1, end);
            } else if let Some(length) = known(high - 1) {
                let Some(start) = to.checked_sub(length).filter(|start| *start >= from) else {
                    return Found::Contradiction;
                };
                if place >= start {
                    return Found::Entry(high - 1, start..to);
                }
                (high, to) = (high - 1, start);
            } else if low + 1 == high {
                return Found::Entry(low, from..to);
            } else {
                return Found::Needs(if place - from < to - place { low } else { high - 1 });
            }
        }
        Found::Contradiction
    }
}
