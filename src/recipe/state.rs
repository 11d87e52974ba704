//! How sound a container is.

/// How sound a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AvroState {
    /// Header and all blocks are sound and the file ends after the last marker.
    Ok,
    /// A sound header and nothing else.
    HeaderOnly,
    /// A file of no bytes.
    Empty,
    /// It ends within a block: its writer was cut off.
    Torn,
    /// Something in the middle is not as it should be, or records are not what the schema says.
    Damaged,
    /// Has the magic of a container but is none that snap understands.
    Foreign,
    /// Header and framing are sound; the payloads were not decoded, so nothing is known of the records.
    Undecoded,
    /// Larger than this program looks into. Nothing is known to be wrong.
    BeyondLimits,
}

impl AvroState {
    /// All states, in the order of their symbols in the manifest's schema.
    pub const ALL: [AvroState; 8] = [
        Self::Ok,
        Self::HeaderOnly,
        Self::Empty,
        Self::Torn,
        Self::Damaged,
        Self::Foreign,
        Self::Undecoded,
        Self::BeyondLimits,
    ];

    /// The name in the manifest's schema, and what people see.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::HeaderOnly => "header_only",
            Self::Empty => "empty",
            Self::Torn => "torn",
            Self::Damaged => "damaged",
            Self::Foreign => "foreign",
            Self::Undecoded => "undecoded",
            Self::BeyondLimits => "beyond_limits",
        }
    }
}
