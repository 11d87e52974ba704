//! Small frames of packs that lie beyond a network. A request costs more there than many bytes, so what lies around a frame is
//! read with it and kept for a while: the bases of a night's deltas are thousands of frames that lie close together.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::id::PackId;
use crate::pack::PackInfo;
use crate::storage::{Backend, Result, batch};

/// How many bytes are read at once, from a multiple of this on. A [`Cache`](crate::storage::Cache) keeps ranges of this length.
const WINDOW: u64 = 1 << 20;

/// How many are held in memory.
const HELD: usize = 16;

/// A frame of at least this many bytes is read by itself.
const OWN_REQUEST: u64 = WINDOW / 2;

/// A pack, and which of its windows.
type Key = (PackId, u64);

/// A window, once it is read. Threads that want the same one wait here for the one that reads it.
type Slot = Arc<Mutex<Option<Arc<[u8]>>>>;

/// What was read last, the latest at the end.
#[derive(Debug, Default)]
pub(super) struct Windows {
    held: Mutex<VecDeque<(Key, Slot)>>,
}

impl Windows {
    /// These bytes of a pack. `again` says that later processes will ask for what lies there, too.
    ///
    /// # Errors
    /// If a request fails, or the pack is shorter than that.
    pub(super) fn read(
        &self,
        backend: &dyn Backend,
        info: &PackInfo,
        (offset, length): (u64, usize),
        again: bool,
    ) -> Result<Vec<u8>> {
        let end = offset.saturating_add(length as u64);
        if length == 0 || length as u64 >= OWN_REQUEST || end > info.length {
            return backend.read_range(&info.name(), offset, length);
        }
        let mut bytes = Vec::with_capacity(length);
        for number in offset / WINDOW..=(end - 1) / WINDOW {
            let start = number * WINDOW;
            let part = (offset.max(start) - start) as usize..(end.min(start + WINDOW) - start) as usize;
            let window = self.window(backend, info, number, again)?;
            match window.as_deref().and_then(|window| window.get(part)) {
                Some(part) => bytes.extend_from_slice(part),
                // The pack is cut off or cannot be read somewhere else, which is no reason to give up this frame.
                None => return backend.read_range(&info.name(), offset, length),
            }
        }
        Ok(bytes)
    }

    /// Lets go of what is held of a pack.
    pub(super) fn forget(&self, pack: &PackId) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).retain(|((of, _), _)| of != pack);
    }

    /// A window; none where it cannot be read as a whole.
    fn window(&self, backend: &dyn Backend, info: &PackInfo, number: u64, again: bool) -> Result<Option<Arc<[u8]>>> {
        let slot = self.slot((info.id, number));
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.is_none() {
            let start = number * WINDOW;
            let length = (info.length - start).min(WINDOW) as usize;
            let read = match again {
                true => batch::read_again(backend, &info.name(), start, length),
                false => backend.read_range(&info.name(), start, length),
            };
            match read {
                Ok(bytes) => *slot = Some(bytes.into()),
                Err(error) if error.kind().is_passing() => return Err(error),
                Err(_) => return Ok(None),
            }
        }
        Ok(slot.clone())
    }

    fn slot(&self, key: Key) -> Slot {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let found = held.iter().position(|(held, _)| *held == key).and_then(|at| held.remove(at));
        let (key, slot) = found.unwrap_or_else(|| (key, Slot::default()));
        held.push_back((key, slot.clone()));
        if held.len() > HELD {
            held.pop_front();
        }
        slot
    }
}
