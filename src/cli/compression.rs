//! How hard what is stored is compressed: for one run, or for all that do not say.

use avro_snap::store;

/// The compression of new data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
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

impl From<Compression> for store::Compression {
    fn from(asked: Compression) -> Self {
        match asked {
            Compression::Fast => Self::Fast,
            Compression::Default => Self::Default,
            Compression::Max => Self::Max,
            Compression::Off => Self::Off,
        }
    }
}
