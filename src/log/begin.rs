//! The first entries of a log.

use super::append::writer_name;
use super::reading::open_entry;
use super::{Body, Features, LogEntry, MAX_ENTRY, Settings, State};
use crate::crypto::{Entropy, Envelope};
use crate::error::Result;
use crate::id::{EntryHash, KeyId, digest};
use crate::storage::{Backend, Created, Kind, Name, create_resolved};

/// A log that is being begun. Nobody else knows it yet.
pub(crate) struct NewLog<'a> {
    backend: &'a dyn Backend,
    envelope: Envelope,
    entropy: &'a dyn Entropy,
    now: i64,
    state: State,
}

impl<'a> NewLog<'a> {
    /// One whose entries have this time.
    pub(crate) fn new(backend: &'a dyn Backend, envelope: Envelope, entropy: &'a dyn Entropy, now: i64) -> Self {
        Self { backend, envelope, entropy, now, state: State::default() }
    }

    /// The repository begins, with a config of this hash and these key slots. False if somebody else has begun one there.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) fn init(&mut self, config: [u8; 32], keys: Vec<(KeyId, [u8; 32])>) -> Result<bool> {
        self.append(Body::Init { config, keys })
    }

    /// Everybody who writes into it goes by these settings. False if somebody else has appended an entry there.
    ///
    /// # Errors
    /// Those of the storage.
    pub(crate) fn settings(&mut self, settings: Settings) -> Result<bool> {
        self.append(Body::Config { features: Features::default(), settings })
    }

    fn append(&mut self, body: Body) -> Result<bool> {
        let entry = LogEntry {
            sequence: self.state.next,
            previous: self.state.head,
            transaction: self.entropy.array()?,
            time: self.now,
            writer: writer_name(),
            body,
        };
        let name = Name::log(self.state.next);
        let bytes = self.envelope.seal(self.entropy, Kind::Log, &name.to_string(), &entry.encode())?;
        // A storage may have taken the entry, failed to say so, and answered a repetition of its own request.
        if create_resolved(self.backend, &name, &bytes)? == Created::Exists
            && self.backend.read(&name, bytes.len() as u64).ok().as_deref() != Some(&bytes)
        {
            return Ok(false);
        }
        self.state.apply(&entry, EntryHash::new(digest(&bytes)))?;
        Ok(true)
    }
}

/// What the first entry of a log says.
pub(crate) struct Beginning {
    /// BLAKE3 of all bytes of the config.
    pub(crate) config: [u8; 32],
    /// The first key slots.
    pub(crate) keys: Vec<KeyId>,
    /// When it was made.
    pub(crate) time: i64,
}

impl Beginning {
    /// Reads the first entry of a log; none where it is lost, or does not open with these keys.
    ///
    /// # Errors
    /// Those of the storage that say nothing about the entry.
    pub(crate) fn read(backend: &dyn Backend, envelope: &Envelope) -> Result<Option<Self>> {
        let name = Name::log(0);
        let bytes = match backend.read(&name, MAX_ENTRY) {
            Ok(bytes) => bytes,
            Err(error) if error.is_damage() => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Ok((_, entry)) = open_entry(envelope, &name, &bytes) else { return Ok(None) };
        let Body::Init { config, keys } = entry.body else { return Ok(None) };
        Ok(Some(Self { config, keys: keys.into_iter().map(|(key, _)| key).collect(), time: entry.time }))
    }
}
