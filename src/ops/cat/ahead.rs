//! Records are read and decoded in a thread of their own while those before them are used.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::error::Result;
use crate::runtime::spawn;
use crate::tables::{Batch, Reader};

/// How many batches are ready at most.
const READY: usize = 4;

/// After a batch of this many bytes nothing is read until it is used, so that no two of them are in memory.
const LARGE: usize = 8 << 20;

/// Hands all batches to `take`, in order, until it says that no more are wanted.
///
/// # Errors
/// Those of reading, and of `take`, at the first of which it stops.
pub(super) fn read_ahead(reader: Reader, take: &mut dyn FnMut(Batch) -> Result<bool>) -> Result<()> {
    std::thread::scope(|scope| {
        let (batches, ready) = sync_channel(READY);
        let (used, done) = sync_channel(1);
        spawn(scope, move || send(reader, &batches, &done))?;
        for batch in ready {
            let batch = batch?;
            let is_large = batch.bytes.len() >= LARGE;
            if !take(batch)? {
                break;
            }
            if is_large && used.send(()).is_err() {
                break;
            }
        }
        Ok(())
    })
}

/// Reads until the other end is closed.
fn send(reader: Reader, batches: &SyncSender<Result<Batch>>, used: &Receiver<()>) {
    for batch in reader {
        let is_large = batch.as_ref().is_ok_and(|batch| batch.bytes.len() >= LARGE);
        if batches.send(batch).is_err() || (is_large && used.recv().is_err()) {
            return;
        }
    }
}
