//! How hard what is stored is compressed: for one run, or for all that do not say.

use avro_snap::store::Settings;
use clap::ValueEnum;

/// The compression of new data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compression {
    /// Zstandard level 1
    Fast,
    /// Zstandard level 3
    #[default]
    Default,
    /// Zstandard level 12
    Max,
    /// No compression
    Off,
}

impl Compression {
    /// What was asked for, else what is set for the repository. A setting of a later version has no effect.
    pub(crate) fn of(asked: Option<Self>, settings: &Settings) -> Self {
        let set = || Self::from_str(settings.get(Settings::COMPRESSION)?, false).ok();
        asked.or_else(set).unwrap_or_default()
    }

    /// The settings of a repository with this as its default.
    pub(crate) fn settings(self) -> Settings {
        let mut settings = Settings::default();
        if let Some(value) = self.to_possible_value().filter(|_| self != Self::default()) {
            settings.set(Settings::COMPRESSION, value.get_name().to_owned());
        }
        settings
    }

    /// The Zstandard level. Frames that are compressed hold records column by column, whatever the level.
    pub(crate) fn level(self) -> Option<i32> {
        match self {
            Self::Fast => Some(1),
            Self::Default => Some(3),
            Self::Max => Some(12),
            Self::Off => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_goes_before_what_is_set() {
        for set in Compression::value_variants() {
            let settings = set.settings();
            assert_eq!(Compression::of(None, &settings), *set);
            assert_eq!(Compression::of(Some(Compression::Fast), &settings), Compression::Fast);
        }
        assert!(Compression::Default.settings().is_empty());
        let mut later = Settings::default();
        later.set(Settings::COMPRESSION, "of the future".into());
        assert_eq!(Compression::of(None, &later), Compression::Default);
    }
}
