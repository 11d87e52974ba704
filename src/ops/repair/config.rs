//! Rebuilding the config where both copies of it are lost.

use rayon::prelude::*;

use serde::Serialize;

use crate::error::{Error, Result};
use crate::id::Name;
use crate::progress::{Phase, Progress};
use crate::runtime::Runtime;
use crate::store::{Config, ConfigSearch, LostConfig};

/// Result of repairing the config.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct ConfigReport {
    /// Its copies that were written, or would be.
    pub made: Vec<String>,
    /// Where it comes from; none if there was nothing to do.
    pub from: Option<ConfigSource>,
}

impl ConfigReport {
    /// These copies were written, or would be, from this.
    pub fn new(made: &[Name], from: ConfigSource) -> Self {
        Self { made: made.iter().map(ToString::to_string).collect(), from: (!made.is_empty()).then_some(from) }
    }
}

/// Where a config comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ConfigSource {
    /// From what was sound of its copies.
    Copy,
    /// From a key export.
    Export,
    /// It was found by the hash that the log began with.
    Log,
    /// From the packs: it is a new one, since the beginning of the log is lost, too.
    Packs,
}

/// Finds a config of which no copy is left, by what is known of it.
///
/// # Errors
/// [`Error::Damaged`] if the log began with one that none of those that can be is.
pub fn find_config(lost: &LostConfig, runtime: &Runtime, progress: &dyn Progress) -> Result<(Config, ConfigSource)> {
    match lost {
        LostConfig::Exported(config) => Ok((config.clone(), ConfigSource::Export)),
        LostConfig::New(config) => Ok((config.clone(), ConfigSource::Packs)),
        LostConfig::Sought(search) => {
            progress.begin(Phase::Repair, None, None);
            let pool = runtime.compute()?;
            // A few at a time: the likeliest first.
            let portions: Vec<u64> = (0..ConfigSearch::SLICES).step_by(16).collect();
            let found = portions.into_iter().find_map(|first| {
                let slices = first..(first + 16).min(ConfigSearch::SLICES);
                pool.install(|| slices.into_par_iter().find_map_any(|slice| search.look(slice)))
            });
            let none = || {
                Error::damaged(
                    crate::id::Name::config(),
                    "no copy of it is left, and none could be found that the log can have begun with",
                )
            };
            found.map(|config| (config, ConfigSource::Log)).ok_or_else(none)
        }
    }
}
