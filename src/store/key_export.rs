//! Key exports: the secrets of a repository as a text.

use super::keys::unencrypted;
use super::{Config, Keys};
use crate::crypto::Keyring;
use crate::error::{Error, Result};
use crate::id::{RepositoryId, digest, hex, unhex};

impl Keys {
    /// The secrets of the repository as a text to be kept in a safe place: with it and the packs, everything can be read
    /// without any key slot.
    pub fn export(&self) -> Result<String> {
        let (envelope, repository) = (self.log.envelope(), self.log.repository());
        let plain = envelope.keyring().ok_or_else(unencrypted)?.encode();
        let check = digest(&[&repository.as_bytes()[..], &plain].concat());
        let (keyring, check, config) = (hex(&plain), hex(&check[..8]), hex(&self.config));
        Ok(format!("{EXPORT_HEAD}\nrepository {repository}\nkeyring {keyring}\ncheck {check}\nconfig {config}\n"))
    }
}

const EXPORT_HEAD: &str = "snap key export, version 1. Who has this text can read the whole repository.";

/// Reads what [`Keys::export`] wrote.
///
/// # Errors
/// [`Error::Invalid`] if the text is not such an export, or was changed.
pub(super) fn parse_export(text: &str) -> Result<(RepositoryId, Keyring)> {
    let wrong = || Error::Invalid("this is no key export, or a damaged one".into());
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map(str::trim).ok_or_else(wrong)
    };
    let repository: RepositoryId = field("repository")?.parse().map_err(|_| wrong())?;
    let digits = field("keyring")?;
    let mut plain = vec![0; digits.len() / 2];
    if !unhex(digits, &mut plain) {
        return Err(wrong());
    }
    let check = digest(&[&repository.as_bytes()[..], &plain].concat());
    if field("check")? != hex(&check[..8]) {
        return Err(wrong());
    }
    Ok((repository, Keyring::decode(&plain).map_err(|_| wrong())?))
}

/// The config that a key export has in it, where it has one: those of before do not.
///
/// # Errors
/// [`Error::Invalid`] if the text is no key export.
pub(super) fn exported_config(text: &str) -> Result<Option<Config>> {
    let (repository, _) = parse_export(text)?;
    let Some(digits) = text.lines().find_map(|line| line.strip_prefix("config ")).map(str::trim) else {
        return Ok(None);
    };
    let mut bytes = vec![0; digits.len() / 2];
    let config = unhex(digits, &mut bytes).then(|| Config::decode(&bytes).ok()).flatten();
    Ok(config.filter(|config| config.repository == repository))
}
