//! How sound a container is.

/// How sound a container is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum AvroState {
    /// Header and all blocks are sound and the file ends after the last marker, or with stray line ends or NULs after it.
    Ok,
    /// A sound header and nothing else.
    HeaderOnly,
    /// A file of no bytes.
    Empty,
    /// It ends within a block: its writer was cut off.
    Torn,
    /// Something in it is not as it should be, or records are not what the schema says.
    Damaged,
    /// Has the magic of a container, and snap does not understand it.
    Foreign,
    /// The framing is sound, but payloads were not decoded, so nothing is known of the records.
    Undecoded,
    /// Too large for this program's limits. Nothing is known to be wrong with it.
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

    /// Whether something is known to be wrong with the file, so that it has to be reported, `--fail-on-damaged` fails
    /// and a sound state from before must be kept. What was not looked into, and what goes beyond this program's limits,
    /// is no such thing.
    pub fn is_alarm(self) -> bool {
        match self {
            Self::Torn | Self::Damaged | Self::Foreign => true,
            Self::Ok | Self::HeaderOnly | Self::Empty | Self::Undecoded | Self::BeyondLimits => false,
        }
    }

    /// Whether everything in the file was looked into and is sound.
    pub fn is_sound(self) -> bool {
        matches!(self, Self::Ok | Self::HeaderOnly)
    }
}

impl serde::Serialize for AvroState {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::AvroState;

    #[test]
    fn no_state_is_both_sound_and_an_alarm_and_names_are_unlike() {
        for (number, state) in AvroState::ALL.into_iter().enumerate() {
            assert!(!(state.is_sound() && state.is_alarm()), "{state:?}");
            assert_eq!(state as usize, number);
            assert_eq!(AvroState::ALL.iter().filter(|other| other.name() == state.name()).count(), 1);
        }
    }
}
