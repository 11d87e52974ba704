//! A config of which no copy is left: from a key export, or from what the rest of the repository says. The first entry of
//! the log has the hash of it, and everything else but one number is known; that number is a time shortly before that of
//! the entry, so trying them all finds the very same bytes.

use std::ops::ControlFlow;

use super::config::Config;
use super::config_copies::write_both;
use super::open::Unlock;
use super::unlock::Lock;
use super::{Clock, Features, key_export, tried};
use crate::chunk::CutParams;
use crate::crypto::{Envelope, Keyring, PRELUDE_LEN, Prelude, Suite, open_prelude, slot};
use crate::error::{Error, Result};
use crate::id::{KeyId, RepositoryId, digest};
use crate::log::Beginning;
use crate::pack::{HEADER_LEN, Header};
use crate::storage::{Backend, Kind, Name};
use crate::wire::Reader;

/// What is known of a config that is lost.
#[derive(Debug)]
pub enum LostConfig {
    /// All of it: the key export has it.
    Exported(Config),
    /// All but when it was made, and that it has the hash that the log began with.
    Sought(ConfigSearch),
    /// The beginning of the log is lost as well, so this one, which is new, is as good as any. The log has to be begun
    /// anew with it.
    New(Config),
}

/// How to find the config that the log began with.
#[derive(Debug)]
pub struct ConfigSearch {
    hash: [u8; 32],
    shapes: Vec<Config>,
    /// It was made shortly before each of these times.
    before: Vec<i64>,
}

/// So many nanoseconds are tried at once.
const SLICE: i64 = 250_000;

impl ConfigSearch {
    /// How many slices there are: half a second before each time that is known.
    pub const SLICES: u64 = 2000;

    /// Looks among the times of a slice: the first are the likeliest.
    pub fn look(&self, slice: u64) -> Option<Config> {
        let ahead = i64::try_from(slice).ok()?.checked_mul(SLICE)?;
        self.before.iter().find_map(|before| {
            let last = before.checked_sub(ahead)?;
            self.shapes.iter().find_map(|shape| self.look_before(shape, last))
        })
    }

    fn look_before(&self, shape: &Config, last: i64) -> Option<Config> {
        let mut bytes = shape.encode();
        let body = bytes.len() - 16;
        for created in (0..SLICE).map_while(|back| last.checked_sub(back)) {
            bytes[28..36].copy_from_slice(&created.to_le_bytes());
            let check = digest(&bytes[..body]);
            bytes[body..].copy_from_slice(&check[..16]);
            if digest(&bytes) == self.hash {
                return Some(Config { created, ..shape.clone() });
            }
        }
        None
    }
}

impl LostConfig {
    /// Finds out what is known.
    ///
    /// # Errors
    /// [`Error::NoRepository`] if nothing of a repository is there; those of opening the keys.
    pub fn look(backend: &dyn Backend, unlock: Unlock<'_>, clock: &dyn Clock) -> Result<Self> {
        let exported = match &unlock {
            Unlock::Export(text) => key_export::exported_config(text)?,
            Unlock::Password(_) => None,
        };
        let Some(trace) = trace(backend)? else {
            return exported.map(Self::Exported).ok_or_else(|| Error::NoRepository { location: backend.location() });
        };
        let repository = trace.repository;
        let keyring = match (trace.is_encrypted, unlock) {
            (false, _) => None,
            (true, Unlock::Password(ask)) => Some(tried::Tried::default().unlock(backend, repository, &ask()?)?),
            (true, Unlock::Export(text)) => match key_export::parse_export(text)? {
                (own, keyring) if own == repository => Some(keyring),
                (other, _) => return Err(Lock::other_export(other)),
            },
        };
        let begun = begun(backend, repository, keyring)?;
        match (exported, begun) {
            (Some(config), Some(begun)) if digest(&config.encode()) == begun.hash => Ok(Self::Exported(config)),
            (Some(config), None) if config.repository == repository => Ok(Self::Exported(config)),
            (_, Some(begun)) => Ok(Self::Sought(trace.search(begun))),
            (_, None) => Ok(Self::New(trace.config(trace.suites(), Features::KNOWN, clock.now()))),
        }
    }
}

/// Writes both copies of a config that was found. Gives their names.
///
/// # Errors
/// Those of the backend.
pub fn write_config(backend: &dyn Backend, config: &Config) -> Result<Vec<Name>> {
    write_both(backend, &config.encode())
}

/// What the objects that are there say in clear.
struct Trace {
    repository: RepositoryId,
    is_encrypted: bool,
    /// What a pack is sealed with.
    suite: Option<Suite>,
}

/// The first entry of the log.
struct Begun {
    hash: [u8; 32],
    times: Vec<i64>,
}

impl Trace {
    /// What packs may be sealed with, the likeliest first.
    fn suites(&self) -> &[Suite] {
        match (self.is_encrypted, self.suite) {
            (false, _) => &[Suite::None],
            (true, Some(Suite::XChaCha20Poly1305)) => &[Suite::XChaCha20Poly1305, Suite::Aes256Gcm],
            (true, _) => &[Suite::Aes256Gcm, Suite::XChaCha20Poly1305],
        }
    }

    fn config(&self, suites: &[Suite], features: Features, created: i64) -> Config {
        let suite = suites.first().copied().unwrap_or(Suite::None);
        Config { repository: self.repository, suite, created, cut: CutParams::default(), features }
    }

    fn search(&self, begun: Begun) -> ConfigSearch {
        // What the versions so far have put into new repositories.
        let features = [Features::KNOWN, Features::DELTA, Features::default()];
        let shapes = features.iter().flat_map(|features| {
            self.suites().iter().map(|suite| self.config(std::slice::from_ref(suite), *features, 0))
        });
        ConfigSearch { hash: begun.hash, shapes: shapes.collect(), before: begun.times }
    }
}

/// Looks at whatever is there, the beginning of the log first.
fn trace(backend: &dyn Backend) -> Result<Option<Trace>> {
    let mut found: Option<Prelude> = prelude(backend, &Name::log(0), Kind::Log);
    for kind in [Kind::Log, Kind::Index, Kind::Key] {
        backend.list(kind, None, &mut |meta| {
            found = found.or_else(|| prelude(backend, &meta.name, kind));
            if found.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
    }
    let mut header = None;
    backend.list(Kind::Pack, None, &mut |meta| {
        let bytes = backend.read_range(&meta.name, 0, HEADER_LEN).ok();
        let read = bytes.and_then(|bytes| Header::read(&bytes).ok());
        header = read.filter(|header| found.is_none_or(|found| found.repository == header.repository));
        if header.is_none() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    })?;
    let suite = header.as_ref().map(|header| header.suite);
    let known = found.map(|found| (found.repository, found.suite)).or(header.map(|h| (h.repository, h.suite)));
    Ok(known.map(|(repository, own)| Trace { repository, is_encrypted: own != Suite::None, suite }))
}

fn prelude(backend: &dyn Backend, name: &Name, kind: Kind) -> Option<Prelude> {
    let bytes = backend.read_range(name, 0, PRELUDE_LEN).ok()?;
    open_prelude(&mut Reader::new(&bytes), kind).ok()
}

/// What the first entry of the log says, where it can be read.
fn begun(backend: &dyn Backend, repository: RepositoryId, keyring: Option<Keyring>) -> Result<Option<Begun>> {
    let Some(beginning) = Beginning::read(backend, &Envelope::new(repository, keyring))? else { return Ok(None) };
    // A key slot is made between the config and the entry, and much nearer to the config.
    let made = |key: &KeyId| {
        let bytes = backend.read(&Name::new(Kind::Key, key), slot::MAX_SLOT).ok()?;
        slot::info(&bytes).ok().map(|info| info.created)
    };
    let slots = beginning.keys.iter().filter_map(made);
    Ok(Some(Begun { hash: beginning.config, times: slots.chain([beginning.time]).collect() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_is_found_by_its_hash_and_a_time_after_it() {
        let config = |created| Config {
            repository: RepositoryId::new([7; 16]),
            suite: Suite::XChaCha20Poly1305,
            created,
            cut: CutParams::default(),
            features: Features::DELTA,
        };
        let lost = config(1_790_000_000_123_456_789);
        let trace = Trace { repository: lost.repository, is_encrypted: true, suite: None };
        let begun = |after| Begun { hash: digest(&lost.encode()), times: vec![lost.created + after] };
        assert_eq!(trace.search(begun(0)).look(0), Some(lost.clone()));
        assert_eq!(trace.search(begun(SLICE - 1)).look(0), Some(lost.clone()));
        assert_eq!(trace.search(begun(SLICE)).look(0), None);
        assert_eq!(trace.search(begun(SLICE)).look(1), Some(lost.clone()));
        assert_eq!(trace.search(Begun { hash: [0; 32], times: vec![i64::MIN] }).look(u64::MAX), None);
    }
}
