//! What this machine keeps of a log so that opening it again takes few requests: the folded state as it was last read, and
//! which key slot opened. It lies in the cache folder. What is read from here is compared with the storage, so that what is
//! wrong, old or gone costs time only. Each file is replaced as a whole, so any number of processes may share them.

use std::path::PathBuf;
use std::sync::PoisonError;

use super::entries::SHORT;
use super::{Log, State, checkpoint, remembered};
use crate::crypto::Envelope;
use crate::crypto::slot::MAX_SLOT;
use crate::id::KeyId;
use crate::storage::{Kind, Name};
use crate::wire::{Reader, Write};

const VERSION: u8 = 1;
/// What the envelope of the file is made for: no object is called so.
const LOG: &str = "local log";
/// The longest file that is read, in bytes.
const MAX_FILE: u64 = 128 << 20;

/// The files of one repository.
#[derive(Debug, Clone)]
pub(crate) struct LocalCopies {
    folder: PathBuf,
}

/// The log as it was last read.
#[derive(Debug, Clone)]
pub(super) struct LocalLog {
    /// The key slot that opened the repository.
    pub(super) key: Option<KeyId>,
    /// The number of the last entry.
    pub(super) number: u64,
    sealed: Vec<u8>,
}

impl LocalLog {
    /// The state that the log came to, if this opens with these keys. Whether the log holds that entry is to be asked.
    pub(super) fn state(&self, envelope: &Envelope) -> Option<State> {
        checkpoint::open(envelope, self.number, LOG, &self.sealed)
    }

    /// What is needed to go on from here, to be read at once: the key slot that opened last time, the last entry that was
    /// read or appended here, and two names more, by which the end of the log is known. Mostly there is no more, and each
    /// name that is not there costs a request. If there is more, it is read
    /// [`Entries::STRIDE_ON`](super::entries::Entries::STRIDE_ON) entries at a time.
    pub(super) fn wanted(&self) -> Vec<(Name, u64)> {
        const AHEAD: u64 = 3;
        let entries = (self.number..self.number.saturating_add(AHEAD)).map(|number| (Name::log(number), SHORT));
        let slot = self.key.map(|key| (Name::new(Kind::Key, key), MAX_SLOT));
        slot.into_iter().chain(entries).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        if reader.u8().ok()? != VERSION {
            return None;
        }
        let has_key = reader.u8().ok()? == 1;
        let key = KeyId::new(reader.array().ok()?);
        let number = reader.u64().ok()?;
        Some(Self { key: has_key.then_some(key), number, sealed: reader.rest().to_vec() })
    }
}

impl LocalCopies {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The log as it was last read here.
    pub(super) fn log(&self) -> Option<LocalLog> {
        LocalLog::decode(&self.read("log")?)
    }

    /// The bytes of a file; none if there is none that was written here.
    pub(crate) fn read(&self, file: &str) -> Option<Vec<u8>> {
        let path = self.folder.join(file);
        let is_sane = std::fs::metadata(&path).is_ok_and(|found| found.len() <= MAX_FILE);
        if is_sane { std::fs::read(path).ok() } else { None }
    }

    /// Puts a file in the place of the one of before.
    pub(crate) fn write(&self, file: &str, bytes: &[u8]) {
        // Losing it costs time.
        let _ = remembered::replace(&self.folder.join(file), bytes);
    }
}

/// Once one process has written this many bytes of copies, it keeps the log only after every [`SELDOM`]th entry: a run that
/// appends thousands of entries would write the whole state thousands of times.
const MOST_WRITTEN: u64 = 8 << 20;
const SELDOM: u64 = 64;

/// What this process has kept of the log so far.
#[derive(Debug, Default)]
pub(super) struct Keeping {
    /// The key slot that opened the repository, once that is known.
    key: Option<Option<KeyId>>,
    /// How many bytes were written.
    written: u64,
}

impl Log {
    /// Keeps the folded log, and which slot opened it, for the next time.
    pub(crate) fn keep(&self, key: Option<KeyId>) {
        let mut keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        keeping.key = Some(key);
        let (Some(local), Some((number, _))) = (&self.local, self.state().head_entry()) else { return };
        let before = local.log();
        if before.is_none_or(|before| (before.number, before.key) != (number, key)) {
            keeping.written += self.write_local(local, key);
        }
    }

    /// The same after this process has appended an entry, so that the next one need not read it.
    pub(super) fn keep_appended(&self, entry: u64) {
        let mut keeping = self.keeping.lock().unwrap_or_else(PoisonError::into_inner);
        // Where it was not kept on opening, it is not to be.
        let (Some(local), Some(key)) = (&self.local, keeping.key) else { return };
        if keeping.written < MOST_WRITTEN || entry.is_multiple_of(SELDOM) {
            keeping.written += self.write_local(local, key);
        }
    }

    /// Writes the folded log. Returns how many bytes that took.
    fn write_local(&self, local: &LocalCopies, key: Option<KeyId>) -> u64 {
        let state = self.state();
        let (Some((number, _)), None) = (state.head_entry(), &self.rolled_back) else { return 0 };
        let Some(sealed) = checkpoint::seal(&self.envelope(), &*self.entropy, LOG, &state) else { return 0 };
        let mut bytes = vec![VERSION, u8::from(key.is_some())];
        bytes.put(key.unwrap_or(KeyId::new([0; KeyId::LEN])).as_bytes());
        bytes.put_u64(number);
        bytes.put(&sealed);
        local.write("log", &bytes);
        bytes.len() as u64
    }
}
