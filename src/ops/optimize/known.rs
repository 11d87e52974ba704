//! How each file content was settled so far: most are in many snapshots.

use std::collections::HashMap;
use std::sync::Arc;

use crate::id::ContentHash;
use crate::snapshot::entry::AvroFacts;

/// How a file is stored now, and what its row says about it.
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) recipe: Vec<u8>,
    pub(super) facts: AvroFacts,
}

impl StoredFile {
    /// Whether more of the file is records than where its row says this.
    pub(super) fn is_better_than(&self, facts: &AvroFacts) -> bool {
        (self.facts.blocks_raw, self.facts.blocks_corrected) < (facts.blocks_raw, facts.blocks_corrected)
    }
}

/// How a content was settled.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// It stays as it is: no encoder makes its blocks, or it cannot be rebuilt.
    Stays,
    /// It is stored in another way now.
    Settled(Arc<StoredFile>),
}

/// The fates of contents. Those that were not asked for in a while are forgotten; then such a content is dealt with again, and
/// its chunks turn out to be stored.
#[derive(Debug)]
pub(super) struct Known {
    young: HashMap<ContentHash, Fate>,
    old: HashMap<ContentHash, Fate>,
    half: usize,
}

impl Known {
    /// Remembers this many at least, and twice as many at most.
    pub(super) fn new(half: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), half }
    }

    pub(super) fn get(&mut self, content: &ContentHash) -> Option<Fate> {
        if let Some(fate) = self.young.get(content) {
            return Some(fate.clone());
        }
        let fate = self.old.remove(content)?;
        self.put(*content, fate.clone());
        Some(fate)
    }

    pub(super) fn put(&mut self, content: ContentHash, fate: Fate) {
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(content, fate);
    }

    /// Forgets how files are stored: what that rests on may be deleted by now.
    pub(super) fn forget(&mut self) {
        for fates in [&mut self.young, &mut self.old] {
            fates.retain(|_, fate| matches!(fate, Fate::Stays));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays_known_and_there_are_never_more_than_two_halves() {
        let content = |number: u8| ContentHash::new([number; 32]);
        let mut known = Known::new(4);
        for number in 0..100 {
            known.put(content(number), Fate::Stays);
            assert!(known.get(&content(0)).is_some(), "{number}");
            assert!(known.young.len() + known.old.len() <= 8);
        }
        assert!(known.get(&content(99)).is_some() && known.get(&content(50)).is_none());
    }
}
