//! Frames that were decoded lately, kept for a while: the chunks of a file lie side by side, and so do their bases.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::FrameKey;
use crate::error::{Error, Result};
use crate::pack::FrameCodec;

/// What a frame is wanted for. Each has a share of its own, so that long chains do not push out what was read ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A chunk in it was asked for.
    Asked = 0,
    /// A delta rests on it.
    Base = 1,
}

/// What to do about a frame that another thread is decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    Waits,
    GivesUp,
}

/// How many plain bytes of frames are kept, by purpose.
const CACHED_BYTES: [usize; 2] = [48 << 20, 40 << 20];

/// Decoded frames, least lately decoded first out. Of several threads that want the same frame one decodes it, the
/// others wait.
///
/// A thread that decodes a delta waits for frames of lesser depth only (`reader.rs` sees to that), so no threads wait in
/// a circle.
#[derive(Debug, Default)]
pub(super) struct FrameCache {
    held: Mutex<Held>,
    decoded: Condvar,
    /// Contexts for decoding, used again and again: to make one takes longer than to undo a delta.
    codecs: Mutex<Vec<FrameCodec>>,
}

#[derive(Debug, Default)]
struct Held {
    frames: HashMap<FrameKey, Slot>,
    order: [VecDeque<FrameKey>; 2],
    bytes: [usize; 2],
    decoded: u64,
}

#[derive(Debug)]
enum Slot {
    BeingDecoded,
    Ready(Arc<[u8]>),
}

impl FrameCache {
    /// The plain bytes of a frame, which `decode` makes if they are not there. [`Error::Busy`] if another thread does just
    /// then, and there is no patience.
    pub(super) fn get(
        &self,
        key: FrameKey,
        purpose: Purpose,
        patience: Patience,
        decode: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Arc<[u8]>> {
        let mut held = self.lock();
        loop {
            match held.frames.get(&key) {
                Some(Slot::Ready(plain)) => return Ok(plain.clone()),
                Some(Slot::BeingDecoded) if patience == Patience::GivesUp => {
                    return Err(Error::Busy { what: "a frame".into() });
                }
                Some(Slot::BeingDecoded) => held = self.decoded.wait(held).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        held.frames.insert(key, Slot::BeingDecoded);
        drop(held);
        let plain = decode().map(Arc::<[u8]>::from);
        let mut held = self.lock();
        match &plain {
            Ok(plain) => {
                held.decoded += plain.len() as u64;
                held.keep(key, purpose, plain.clone());
            }
            Err(_) => {
                held.frames.remove(&key);
            }
        }
        self.decoded.notify_all();
        plain
    }

    /// Takes it upon this thread to decode these frames, but for those that are there or that another thread decodes. It must
    /// not wait for any other frame meanwhile.
    pub(super) fn claim(&self, keys: impl IntoIterator<Item = FrameKey>) -> Claimed<'_> {
        let mut held = self.lock();
        let is_free = |key: &FrameKey| match held.frames.contains_key(key) {
            true => false,
            false => held.frames.insert(*key, Slot::BeingDecoded).is_none(),
        };
        let keys = keys.into_iter().filter(is_free).collect();
        Claimed { cache: self, keys }
    }

    /// Decodes something with a context that no thread uses just then.
    pub(super) fn with_codec<T>(&self, work: impl FnOnce(&mut FrameCodec) -> Result<T>) -> Result<T> {
        let lock = || self.codecs.lock().unwrap_or_else(PoisonError::into_inner);
        let idle = lock().pop();
        let mut codec = match idle {
            Some(codec) => codec,
            None => FrameCodec::new(None)
                .map_err(|error| Error::Exhausted { what: "memory to compress with", source: error.into() })?,
        };
        let done = work(&mut codec);
        lock().push(codec);
        done
    }

    /// Forgets all frames that no thread is at work on.
    pub(super) fn clear(&self) {
        let mut held = self.lock();
        held.frames.retain(|_, slot| matches!(slot, Slot::BeingDecoded));
        (held.order, held.bytes) = Default::default();
    }

    /// How many plain bytes were decoded so far, bases included.
    pub(super) fn bytes_decoded(&self) -> u64 {
        self.lock().decoded
    }

    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Frames that one thread decodes and all others wait for. Those that it does not settle are left to others when this is
/// dropped.
pub(super) struct Claimed<'c> {
    cache: &'c FrameCache,
    keys: BTreeSet<FrameKey>,
}

impl Claimed<'_> {
    /// Whether the frame was claimed and is not settled.
    pub(super) fn has(&self, key: &FrameKey) -> bool {
        self.keys.contains(key)
    }

    /// These are the plain bytes of the frame.
    pub(super) fn settle(&mut self, key: FrameKey, plain: Vec<u8>) {
        if self.keys.remove(&key) {
            let mut held = self.cache.lock();
            held.decoded += plain.len() as u64;
            held.keep(key, Purpose::Asked, plain.into());
            self.cache.decoded.notify_all();
        }
    }
}

impl Drop for Claimed<'_> {
    fn drop(&mut self) {
        let mut held = self.cache.lock();
        for key in &self.keys {
            held.frames.remove(key);
        }
        self.cache.decoded.notify_all();
    }
}

impl Held {
    fn keep(&mut self, key: FrameKey, purpose: Purpose, plain: Arc<[u8]>) {
        let share = purpose as usize;
        let (Some(order), Some(bytes)) = (self.order.get_mut(share), self.bytes.get_mut(share)) else { return };
        *bytes += plain.len();
        order.push_back(key);
        self.frames.insert(key, Slot::Ready(plain));
        while *bytes > CACHED_BYTES[share] && order.len() > 1 {
            let Some(oldest) = order.pop_front() else { break };
            if let Some(Slot::Ready(plain)) = self.frames.remove(&oldest) {
                *bytes -= plain.len();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::CachedPack;

    #[test]
    fn of_those_who_want_a_frame_one_decodes_it_and_the_impatient_go_away() {
        let (cache, key) = (FrameCache::default(), (CachedPack::default(), 2));
        let asked = |patience, decode: &dyn Fn() -> Result<Vec<u8>>| cache.get(key, Purpose::Asked, patience, decode);
        let never = || -> Result<Vec<u8>> { Err(Error::Internal("it is decoded twice".into())) };
        std::thread::scope(|threads| {
            let decode = || {
                // While this is at work.
                let impatient = asked(Patience::GivesUp, &never);
                assert!(matches!(impatient, Err(Error::Busy { .. })), "{impatient:?}");
                threads.spawn(|| assert_eq!(*asked(Patience::Waits, &never).unwrap(), *b"plain"));
                Ok(b"plain".to_vec())
            };
            assert_eq!(*asked(Patience::Waits, &decode).unwrap(), *b"plain");
        });
        assert_eq!(*asked(Patience::GivesUp, &never).unwrap(), *b"plain");
        // What is claimed is waited for, and left to others if nothing comes of it.
        let claims = [(CachedPack::default(), 4), (CachedPack::default(), 5), key];
        let mut claimed = cache.claim(claims);
        assert!(claimed.has(&claims[0]) && claimed.has(&claims[1]) && !claimed.has(&key));
        claimed.settle(claims[0], b"more".to_vec());
        assert_eq!(*cache.get(claims[0], Purpose::Asked, Patience::GivesUp, never).unwrap(), *b"more");
        assert!(matches!(cache.get(claims[1], Purpose::Asked, Patience::GivesUp, never), Err(Error::Busy { .. })));
        drop(claimed);
        assert!(cache.get(claims[1], Purpose::Asked, Patience::GivesUp, || Ok(Vec::new())).is_ok());
        // A failure leaves it to the next one.
        assert!(cache.get((CachedPack::default(), 3), Purpose::Base, Patience::GivesUp, never).is_err());
        assert_eq!(
            *cache.get((CachedPack::default(), 3), Purpose::Base, Patience::GivesUp, || Ok(vec![7])).unwrap(),
            [7]
        );
        assert_eq!(cache.bytes_decoded(), 10);
    }
}
