//! Settings of a repository: what every writer goes by where its options do not say otherwise. They stand in the log.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::wire::{Malformed, Reader, Result, Write};

/// How hard new data is compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compression {
    /// Zstandard level 1.
    Fast,
    /// Zstandard level 3.
    #[default]
    Default,
    /// Zstandard level 12.
    Max,
    /// Not at all.
    Off,
}

impl Compression {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fast, Self::Default, Self::Max, Self::Off];

    /// Its name in settings and options.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Default => "default",
            Self::Max => "max",
            Self::Off => "off",
        }
    }

    /// The Zstandard level. Frames that are compressed hold records column by column, whatever the level.
    pub fn level(self) -> Option<i32> {
        match self {
            Self::Fast => Some(1),
            Self::Default => Some(3),
            Self::Max => Some(12),
            Self::Off => None,
        }
    }
}

/// What was set, by number. Numbers that this version does not know are kept and have no effect: nothing that must be
/// understood is a setting (that is what features are for).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings(BTreeMap<u8, String>);

impl Settings {
    /// How new frames are compressed where nobody says so: the name of a mode.
    pub const COMPRESSION: u8 = 1;

    /// How much redundancy new packs get: thousandths of their length.
    pub const PARITY: u8 = 2;

    /// The most redundancy that can be set, in thousandths: as much as there is to be protected.
    pub const MAX_PARITY: u32 = 1000;

    /// What is set under this number.
    pub fn get(&self, number: u8) -> Option<&str> {
        self.0.get(&number).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// How new data is compressed where nobody says so. What a later version set has no effect.
    pub fn compression(&self) -> Compression {
        let set = self.get(Self::COMPRESSION);
        let known = Compression::ALL.into_iter().find(|compression| set == Some(compression.name()));
        known.unwrap_or_default()
    }

    /// The Zstandard level of new frames: that of what was asked for, else of what is set; none leaves them uncompressed.
    pub fn compression_level(&self, asked: Option<Compression>) -> Option<i32> {
        asked.unwrap_or_else(|| self.compression()).level()
    }

    /// Sets how new data is compressed where nobody says so.
    pub fn set_compression(&mut self, compression: Compression) {
        let is_default = compression == Compression::default();
        self.set(Self::COMPRESSION, if is_default { String::new() } else { compression.name().into() });
    }

    /// How much redundancy new packs get, in thousandths of their length; 0 is none, and so is what a later version set.
    pub fn parity(&self) -> u32 {
        let set = self.get(Self::PARITY).and_then(|text| text.parse().ok());
        set.filter(|share| *share <= Self::MAX_PARITY).unwrap_or(0)
    }

    /// Sets how much redundancy new packs get, in thousandths of their length.
    pub fn set_parity(&mut self, share: u32) {
        self.set(Self::PARITY, if share == 0 { String::new() } else { share.to_string() });
    }

    /// Sets a value. An empty one is the default.
    pub fn set(&mut self, number: u8, value: String) {
        self.0.insert(number, value);
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes over what a later entry sets.
    pub fn update(&mut self, newer: &Settings) {
        self.0.extend(newer.0.iter().map(|(number, value)| (*number, value.clone())));
    }

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.put_varint(self.0.len() as u64);
        for (number, value) in &self.0 {
            bytes.put_u8(*number);
            bytes.put_string(value.as_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let mut settings = BTreeMap::new();
        for _ in 0..reader.count(2)? {
            let (number, value) = (reader.u8()?, reader.text()?.to_owned());
            if settings.last_key_value().is_some_and(|(last, _)| *last >= number) {
                return Err(Malformed::new("its settings are not in the order of their numbers"));
            }
            settings.insert(number, value);
        }
        Ok(Self(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compression_that_is_set_comes_back() {
        for compression in Compression::ALL {
            let mut settings = Settings::default();
            settings.set_compression(compression);
            assert_eq!(settings.compression(), compression);
        }
        let mut later = Settings::default();
        later.set(Settings::COMPRESSION, "of the future".into());
        assert_eq!(later.compression(), Compression::Default);
    }

    #[test]
    fn settings_have_one_form_in_bytes() {
        let mut settings = Settings::default();
        settings.set(Settings::COMPRESSION, "max".into());
        settings.set_parity(50);
        let mut bytes = Vec::new();
        settings.write(&mut bytes);
        assert_eq!(Settings::read(&mut Reader::new(&bytes)).unwrap(), settings);
        for wrong in [&[2, 1, 0, 1, 0][..], &[2, 2, 0, 1, 0]] {
            assert!(Settings::read(&mut Reader::new(wrong)).is_err(), "{wrong:?}");
        }
    }
}
