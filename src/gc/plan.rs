//! What becomes of each pack: a decision about numbers, without any effect.

use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::values;

/// How much may be left lying about.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MaxUnused {
    /// A number of bytes.
    Bytes(u64),
    /// This share of all packs, in percent.
    Percent(f64),
}

impl MaxUnused {
    /// Reads a share like `5%`, a size like `500M`, or `unlimited`.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "unlimited" {
            return Ok(Self::Percent(100.0));
        }
        match text.strip_suffix('%') {
            None => values::parse_size(text).map(Self::Bytes),
            Some(number) => match number.trim().parse() {
                Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(Self::Percent(percent)),
                _ => Err(format!("{text:?} is not a share: write it like 5%")),
            },
        }
    }

    /// The limit in bytes, where `used` bytes are used.
    pub fn bytes(self, used: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(percent) if percent >= 100.0 => u64::MAX,
            // The share is one of used and unused together.
            Self::Percent(percent) => (used as f64 * percent.max(0.0) / (100.0 - percent.max(0.0))) as u64,
        }
    }

    /// The share of a frame that may be dead if the frame is to be copied as it is.
    pub fn share(self, used: u64) -> f64 {
        match self {
            Self::Percent(percent) => percent / 100.0,
            Self::Bytes(bytes) => bytes as f64 / (used.max(1) as f64 + bytes as f64),
        }
    }
}

impl fmt::Display for MaxUnused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(f, "{bytes}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl<'de> Deserialize<'de> for MaxUnused {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        values::from_text(deserializer, Self::parse)
    }
}

/// What is known about a pack.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Facts {
    /// Length of the pack in bytes.
    pub length: u64,
    /// How much of that is needed.
    pub needed: u64,
    /// It is not there any more.
    pub gone: bool,
    /// A writer may still be at work on what is in it.
    pub young: bool,
    /// What is needed lies in it, damaged: whatever is left of that may be of use yet.
    pub damaged: bool,
    /// It is sealed under a key of before the last rotation.
    pub old_key: bool,
    /// Something that is needed of it is stored as a difference to what no snapshot needs.
    pub on_unused: bool,
}

/// What becomes of a pack, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// It stays: all of it is needed.
    Used,
    /// It stays: little enough of it is not needed.
    FewUnused,
    /// It stays: this run repacks no more.
    Deferred,
    /// It stays: it was written lately, and its snapshot may be yet to come.
    Young,
    /// It stays: what lies in it is damaged, and needed.
    Damaged,
    /// It goes: nothing in it is needed.
    Unused,
    /// It goes, as it is gone already: nothing in it is needed.
    Gone,
    /// What is needed of it is copied, then it goes: too much of it is not needed.
    PartlyUnused,
    /// It is copied, then it goes: it is small.
    Small,
    /// What is needed of it is copied, then it goes: it is sealed under an older key.
    OldKey,
    /// What is needed of it is copied, then it goes: it rests on what no snapshot needs, which is to go for good.
    OnUnused,
}

impl Fate {
    /// Whether it goes.
    pub fn goes(self) -> bool {
        matches!(self, Self::Unused | Self::Gone) || self.is_copied()
    }

    /// Whether what is needed of it is copied.
    pub fn is_copied(self) -> bool {
        matches!(self, Self::PartlyUnused | Self::Small | Self::OldKey | Self::OnUnused)
    }

    /// A stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::FewUnused => "few_unused",
            Self::Deferred => "deferred",
            Self::Young => "young",
            Self::Damaged => "damaged",
            Self::Unused => "unused",
            Self::Gone => "gone",
            Self::PartlyUnused => "partly_unused",
            Self::Small => "small",
            Self::OldKey => "old_key",
            Self::OnUnused => "on_unused",
        }
    }
}

/// What a plan goes by.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How much may be left lying about.
    pub max_unused: MaxUnused,
    /// How many needed bytes are copied at most.
    pub max_repack: Option<u64>,
    /// Packs below this many bytes are put together; none are at 0.
    pub small: u64,
    /// Packs that are sealed under an older key are copied.
    pub reencrypt: bool,
}

/// Decides what becomes of each pack. Packs of which much is unused are copied first; where packs are copied for their key,
/// these come before all others.
pub fn decide(packs: &[Facts], limits: Limits) -> Vec<Fate> {
    let used: u64 = packs.iter().map(|facts| facts.needed).sum();
    let is_small = |facts: &Facts| facts.needed > 0 && !facts.young && !facts.damaged && facts.length < limits.small;
    let several_small = packs.iter().filter(|facts| is_small(facts)).count() > 1;
    let mut fates: Vec<Fate> = packs
        .iter()
        .map(|facts| match facts {
            Facts { damaged: true, .. } => Fate::Damaged,
            Facts { needed: 0, gone: true, .. } => Fate::Gone,
            Facts { young: true, .. } => Fate::Young,
            Facts { needed: 0, .. } => Fate::Unused,
            Facts { old_key: true, .. } if limits.reencrypt => Fate::OldKey,
            Facts { on_unused: true, .. } => Fate::OnUnused,
            _ if several_small && is_small(facts) => Fate::Small,
            Facts { length, needed, .. } if needed < length => Fate::FewUnused,
            _ => Fate::Used,
        })
        .collect();
    let unused = |facts: &Facts| facts.length.saturating_sub(facts.needed);
    let mut candidates: Vec<usize> =
        (0..packs.len()).filter(|at| fates[*at] == Fate::FewUnused || fates[*at].is_copied()).collect();
    // By the unused share, largest first; without a division.
    candidates.sort_by(|a, b| {
        let share = |own: &Facts, other: &Facts| u128::from(unused(own)) * u128::from(other.length);
        let is_old = |at: usize| matches!(fates[at], Fate::OldKey | Fate::OnUnused);
        let by_share = share(&packs[*b], &packs[*a]).cmp(&share(&packs[*a], &packs[*b]));
        is_old(*b).cmp(&is_old(*a)).then(by_share).then(a.cmp(b))
    });
    let mut left: u64 = (0..packs.len()).filter(|at| !fates[*at].goes()).map(|at| unused(&packs[at])).sum();
    left += candidates.iter().filter(|at| fates[**at] != Fate::FewUnused).map(|at| unused(&packs[*at])).sum::<u64>();
    let allowed = limits.max_unused.bytes(used);
    let mut copied = 0;
    for at in candidates {
        let facts = &packs[at];
        let too_much = left > allowed && unused(facts) > 0;
        if !too_much && fates[at] == Fate::FewUnused {
            continue;
        }
        if limits.max_repack.is_some_and(|most| copied + facts.needed > most) {
            fates[at] = Fate::Deferred;
            continue;
        }
        copied += facts.needed;
        left = left.saturating_sub(unused(facts));
        if too_much && !matches!(fates[at], Fate::OldKey | Fate::OnUnused) {
            fates[at] = Fate::PartlyUnused;
        }
    }
    fates
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOTHING: Limits =
        Limits { max_unused: MaxUnused::Percent(5.0), max_repack: None, small: 0, reencrypt: false };

    fn pack(length: u64, needed: u64) -> Facts {
        Facts { length, needed, ..Facts::default() }
    }

    #[test]
    fn the_emptiest_packs_are_copied_until_little_enough_is_unused() {
        let packs = [pack(100, 100), pack(100, 0), pack(100, 90), pack(100, 20), pack(100, 96)];
        let fates = decide(&packs, NOTHING);
        // 306 are used, so 16 may be unused: without the fourth there are 14.
        assert_eq!(fates, [Fate::Used, Fate::Unused, Fate::FewUnused, Fate::PartlyUnused, Fate::FewUnused]);
        let fates = decide(&packs, Limits { max_unused: MaxUnused::Bytes(0), ..NOTHING });
        assert_eq!(fates[2..], [Fate::PartlyUnused; 3]);
        let fates = decide(&packs, Limits { max_unused: MaxUnused::Percent(100.0), ..NOTHING });
        assert_eq!(fates[2..], [Fate::FewUnused; 3]);
        let fates = decide(&packs, Limits { max_unused: MaxUnused::Bytes(0), max_repack: Some(110), ..NOTHING });
        assert_eq!(fates[2..], [Fate::PartlyUnused, Fate::PartlyUnused, Fate::Deferred]);
    }

    #[test]
    fn what_is_young_or_damaged_stays_and_what_is_small_is_joined() {
        let young = Facts { young: true, ..pack(100, 0) };
        let damaged = Facts { damaged: true, gone: true, ..pack(100, 3) };
        let gone = Facts { gone: true, young: true, ..pack(100, 0) };
        assert_eq!(decide(&[young, damaged, gone], NOTHING), [Fate::Young, Fate::Damaged, Fate::Gone]);
        let small = Limits { small: 50, ..NOTHING };
        assert_eq!(decide(&[pack(30, 30), pack(100, 100)], small), [Fate::Used; 2], "there is nothing to join it with");
        assert_eq!(
            decide(&[pack(30, 30), pack(20, 20), pack(100, 100)], small),
            [Fate::Small, Fate::Small, Fate::Used]
        );
    }

    #[test]
    fn what_is_under_an_older_key_is_copied_first_and_only_if_asked_for() {
        let old = |facts: Facts| Facts { old_key: true, ..facts };
        let packs = [pack(100, 10), old(pack(100, 100)), old(pack(100, 0)), old(pack(100, 99)), pack(100, 100)];
        let as_ever = [Fate::PartlyUnused, Fate::Used, Fate::Unused, Fate::FewUnused, Fate::Used];
        assert_eq!(decide(&packs, NOTHING), as_ever);
        let reencrypt = Limits { reencrypt: true, ..NOTHING };
        let fates = decide(&packs, reencrypt);
        assert_eq!(fates, [Fate::PartlyUnused, Fate::OldKey, Fate::Unused, Fate::OldKey, Fate::Used]);
        // 99 and 100 bytes of old packs come before the ten of the other.
        let fates = decide(&packs, Limits { max_repack: Some(105), ..reencrypt });
        assert_eq!(fates, [Fate::Deferred, Fate::Deferred, Fate::Unused, Fate::OldKey, Fate::Used]);
        let young = old(Facts { young: true, ..pack(100, 3) });
        let damaged = old(Facts { damaged: true, ..pack(100, 3) });
        assert_eq!(decide(&[young, damaged], reencrypt), [Fate::Young, Fate::Damaged]);
    }

    #[test]
    fn what_rests_on_what_goes_for_good_is_copied() {
        let resting = |facts: Facts| Facts { on_unused: true, ..facts };
        let packs = [
            pack(100, 100),
            resting(pack(100, 100)),
            resting(pack(100, 0)),
            resting(Facts { young: true, ..pack(9, 9) }),
        ];
        assert_eq!(decide(&packs, NOTHING), [Fate::Used, Fate::OnUnused, Fate::Unused, Fate::Young]);
    }

    #[test]
    fn limits_are_read_and_written() {
        for (text, limit) in [
            ("5%", MaxUnused::Percent(5.0)),
            ("0", MaxUnused::Bytes(0)),
            ("10M", MaxUnused::Bytes(10 << 20)),
            ("unlimited", MaxUnused::Percent(100.0)),
        ] {
            assert_eq!(MaxUnused::parse(text), Ok(limit));
            assert_eq!(MaxUnused::parse(&limit.to_string()), Ok(limit));
        }
        for wrong in ["%", "101%", "-1%", "x", "NaN%"] {
            assert!(MaxUnused::parse(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_needed_never_just_goes_and_the_limit_is_kept(
            packs in prop::collection::vec((0u64..100, 0u64..100, 0u8..8), 0..30), allowed in 0u64..300,
            reencrypt: bool,
        ) {
            let packs: Vec<_> = packs
                .into_iter()
                .map(|(needed, unused, flags)| Facts {
                    young: flags == 1,
                    damaged: flags == 2,
                    gone: flags == 3 && needed == 0,
                    old_key: flags > 5,
                    ..pack(needed + unused, needed)
                })
                .collect();
            let fates = decide(&packs, Limits { max_unused: MaxUnused::Bytes(allowed), reencrypt, ..NOTHING });
            let mut left = 0;
            for (facts, fate) in packs.iter().zip(&fates) {
                prop_assert!(!matches!(fate, Fate::Unused | Fate::Gone) || facts.needed == 0);
                prop_assert!(!fate.is_copied() || !facts.young && !facts.damaged);
                prop_assert!(!(reencrypt && facts.old_key) || fate.goes() || matches!(fate, Fate::Young | Fate::Damaged));
                if *fate == Fate::FewUnused {
                    left += facts.length - facts.needed;
                }
            }
            prop_assert!(left <= allowed, "{} of {}", left, allowed);
        }
    }
}
