//! Finding the config: it is there twice, `config` and `config2`, since without it nothing can be read. Where both have
//! suffered, one changed byte is found by trying all. What is found counts only if the log began with it.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::config::{Config, MAX_CONFIG};
use crate::error::{Error, Result};
use crate::id::{IndexId, PackId, digest};
use crate::log::Log;
use crate::storage::StorageErrorKind::{BadMedium, Damaged, NotFound};
use crate::storage::{Backend, Kind, Name, ObjectMeta, create_resolved};

/// A config, and what is wrong with the first copy of it where it was not taken from there.
pub(super) struct FoundConfig {
    pub(super) config: Config,
    pub(super) hash: [u8; 32],
    pub(super) trouble: Option<Error>,
}

impl FoundConfig {
    fn new(config: Config, bytes: &[u8], trouble: Option<Error>) -> Self {
        Self { config, hash: digest(bytes), trouble }
    }
}

/// The config as the first copy of it says, or the second, or what one changed byte of either was before.
///
/// # Errors
/// [`Error::NoRepository`] where there is neither a copy nor anything else of a repository.
pub(super) fn find(backend: &dyn Backend) -> Result<FoundConfig> {
    let first = backend.read(&Name::config(), MAX_CONFIG);
    let error = match &first {
        Ok(bytes) => match Config::decode(bytes) {
            Ok(config) => return Ok(FoundConfig::new(config, bytes, None)),
            Err(malformed) => Error::damaged(Name::config(), malformed),
        },
        Err(error) if error.is_taken() => Error::damaged(Name::config(), error.reason()),
        Err(error) if error.kind() == NotFound => Error::damaged(Name::config(), "it is missing"),
        Err(error) => Error::damaged(Name::config(), error),
    };
    let copy = backend.read(&Name::config_copy(), MAX_CONFIG);
    let trouble = |instead: &str| match &error {
        Error::Damaged { name, reason } => Some(Error::damaged(name.clone(), format_args!("{reason}; {instead}"))),
        _ => None,
    };
    if let Ok(bytes) = &copy
        && let Ok(config) = Config::decode(bytes)
    {
        return Ok(FoundConfig::new(config, bytes, trouble("its copy `config2` is read instead")));
    }
    let mended = [&first, &copy].into_iter().find_map(|bytes| mend(bytes.as_deref().ok()?));
    if let Some(bytes) = mended
        && let Ok(config) = Config::decode(&bytes)
    {
        return Ok(FoundConfig::new(config, &bytes, trouble("one byte of it has changed, which could be told")));
    }
    match (first, copy) {
        (Err(one), Err(two)) if one.kind() == NotFound && two.kind() == NotFound && !is_anything_there(backend)? => {
            Err(Error::NoRepository { location: backend.location() })
        }
        // A failure of the storage is no damage: the disk may be there again in a moment.
        (Err(failed), _) if !failed.is_damage() => Err(failed.into()),
        (Err(missing), Err(failed)) if missing.kind() == NotFound && !failed.is_damage() => Err(failed.into()),
        _ => Err(error),
    }
}

/// The other copy, where it can be read and says something else than this.
pub(super) fn other(backend: &dyn Backend, found: &FoundConfig) -> Option<FoundConfig> {
    if found.trouble.is_some() {
        return None;
    }
    let bytes = backend.read(&Name::config_copy(), MAX_CONFIG).ok()?;
    let config = Config::decode(&bytes).ok()?;
    let reason = "it is not the one that the log began with; its copy `config2` is, and is read instead";
    let other = FoundConfig::new(config, &bytes, Some(Error::damaged(Name::config(), reason)));
    (other.hash != found.hash).then_some(other)
}

/// The bytes of a config of which one has changed: the only ones with a checksum that fits.
fn mend(bytes: &[u8]) -> Option<Vec<u8>> {
    const LENGTH: usize = 96;
    let mut tried = <[u8; LENGTH]>::try_from(bytes).ok()?;
    for at in 0..LENGTH {
        let was = tried[at];
        for byte in (0..=u8::MAX).filter(|byte| *byte != was) {
            tried[at] = byte;
            if digest(&tried[..80])[..16] == tried[80..] {
                return Some(tried.to_vec());
            }
        }
        tried[at] = was;
    }
    None
}

/// Whether there is anything that only a repository has.
pub(super) fn is_anything_there(backend: &dyn Backend) -> Result<bool> {
    let mut found = false;
    for kind in [Kind::Log, Kind::Index, Kind::Pack] {
        backend.list(kind, None, &mut |ObjectMeta { name, .. }| {
            found |= match kind {
                Kind::Log => name.sequence().is_some(),
                Kind::Index => name.file().parse::<IndexId>().is_ok(),
                _ => name.file().parse::<PackId>().is_ok(),
            };
            if found { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })?;
    }
    Ok(found)
}

/// Makes both copies be these bytes. One that is sound stays until the other is, so that a config is there at any time;
/// where none is, the second copy is made first. Gives the names of those that were made.
pub(super) fn write_both(backend: &dyn Backend, bytes: &[u8]) -> Result<Vec<Name>> {
    let mut made = Vec::new();
    for name in [Name::config_copy(), Name::config()] {
        match backend.read(&name, MAX_CONFIG) {
            Ok(found) if found == bytes => continue,
            Ok(_) => backend.delete(&name)?,
            Err(error) => match error.kind() {
                NotFound => {}
                // A bad sector is damage. Any other failure of the storage says nothing about the bytes.
                Damaged(_) | BadMedium => backend.delete(&name)?,
                _ => return Err(error.into()),
            },
        }
        create_resolved(backend, &name, bytes)?;
        made.push(name);
    }
    Ok(made)
}

/// The config of an open repository, and its copies in the storage.
#[derive(Debug)]
pub struct KeptConfig {
    log: Arc<Log>,
    config: Config,
    trouble: Option<Error>,
}

impl std::ops::Deref for KeptConfig {
    type Target = Config;

    fn deref(&self) -> &Config {
        &self.config
    }
}

impl KeptConfig {
    pub(super) fn new(log: Arc<Log>, config: Config, trouble: Option<Error>) -> Self {
        Self { log, config, trouble }
    }

    /// What is wrong with the first copy, where the repository was opened without it.
    pub fn trouble(&self) -> Option<&Error> {
        self.trouble.as_ref()
    }

    /// What is wrong with the copies of the config. That there is no second one is not: repositories of before it have
    /// none.
    pub fn check(&self) -> Vec<Error> {
        let mut problems = Vec::new();
        let wanted = self.config.encode();
        for name in [Name::config(), Name::config_copy()] {
            match self.log.backend().read(&name, MAX_CONFIG) {
                Ok(bytes) if bytes == wanted => {}
                Ok(_) => problems.push(Error::damaged(name, "its bytes are not those that the log began with")),
                Err(error) if error.kind() == NotFound && name == Name::config_copy() => {}
                Err(error) => problems.push(error.into()),
            }
        }
        problems
    }

    /// The copies of the config that are not what they should be, or missing.
    pub fn unsound(&self) -> Vec<Name> {
        let wanted = self.config.encode();
        let is_unsound = |name: &Name| !self.log.backend().read(name, MAX_CONFIG).is_ok_and(|bytes| bytes == wanted);
        [Name::config(), Name::config_copy()].into_iter().filter(is_unsound).collect()
    }

    /// Makes the copies of the config that are damaged or missing again. Returns their names.
    ///
    /// # Errors
    /// Those of the backend.
    pub fn keep(&self) -> Result<Vec<Name>> {
        self.log.check_writable()?;
        write_both(&**self.log.backend(), &self.config.encode())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::CutParams;
    use crate::crypto::Suite;
    use crate::id::RepositoryId;
    use crate::storage::{Created, Memory};
    use crate::store::Features;

    fn config() -> Config {
        Config {
            repository: RepositoryId::new([7; 16]),
            suite: Suite::Aes256Gcm,
            created: 1_790_000_000_123_456_789,
            cut: CutParams::default(),
            features: Features::KNOWN,
        }
    }

    #[test]
    fn any_one_changed_byte_is_put_right_without_a_copy() {
        let sound = config().encode();
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 1 << (at % 8);
            assert_eq!(mend(&bytes).as_ref(), Some(&sound), "byte {at}");
        }
        let mut bytes = sound.clone();
        bytes[3] ^= 1;
        bytes[30] ^= 1;
        assert_eq!(mend(&bytes), None);
        assert_eq!(mend(&sound[1..]), None);
    }

    #[test]
    fn a_config_is_found_as_long_as_one_copy_is_sound_or_one_byte_wrong() {
        let (sound, mut bad) = (config().encode(), config().encode());
        bad[50] ^= 1;
        let garbage = b"garbage".to_vec();
        let all = [None, Some(sound.clone()), Some(bad), Some(garbage)];
        for (first, second) in all.iter().flat_map(|first| all.iter().map(move |second| (first, second))) {
            let memory = Memory::new();
            let put = |name: Name, bytes: &Option<Vec<u8>>| {
                bytes.iter().for_each(|bytes| assert_eq!(memory.create(&name, bytes).unwrap(), Created::New));
            };
            put(Name::config(), first);
            put(Name::config_copy(), second);
            let nothing_left = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_none_or(|bytes| bytes == b"garbage");
            match find(&memory) {
                Ok(found) => {
                    assert_eq!((&found.config, found.hash), (&config(), digest(&sound)));
                    assert_eq!(found.trouble.is_none(), first.as_ref() == Some(&sound));
                    let made = write_both(&memory, &found.config.encode()).unwrap().len();
                    let wrong = [first, second].iter().filter(|bytes| bytes.as_ref() != Some(&sound)).count();
                    assert_eq!(made, wrong);
                    assert!(find(&memory).unwrap().trouble.is_none());
                }
                Err(error) => {
                    assert!(nothing_left(first) && nothing_left(second), "{error}");
                    let is_nothing = first.is_none() && second.is_none();
                    assert_eq!(matches!(error, Error::NoRepository { .. }), is_nothing, "{error}");
                }
            }
        }
    }

    #[test]
    fn a_config_that_is_lost_is_damage_where_anything_is_left() {
        let memory = Memory::new();
        memory.create(&Name::log(5), b"x").unwrap();
        assert!(matches!(find(&memory), Err(Error::Damaged { name, .. }) if name == Name::config().into()));
        memory.delete(&Name::log(5)).unwrap();
        memory.create(&Name::new(Kind::Log, "lock"), b"x").unwrap();
        assert!(matches!(find(&memory), Err(Error::NoRepository { .. })));
    }
}
