//! What is to be said about a container whose state is not simply sound.

use crate::recipe::AvroState;
use crate::snapshot::entry::AvroFacts;

/// What is wrong with a file, in words; none where nothing is known to be.
pub(super) fn what_is_wrong(facts: &AvroFacts) -> Option<String> {
    let said = match facts.state {
        AvroState::Torn => "it ends within a block: its writer was cut off".to_owned(),
        AvroState::Damaged if facts.blocks == 0 => "it is not sound".to_owned(),
        AvroState::Damaged => format!(
            "its blocks are not sound ({} of {} records could be verified)",
            facts.verified_records, facts.declared_records
        ),
        AvroState::Foreign => "it is no container that is understood".to_owned(),
        AvroState::Ok | AvroState::HeaderOnly | AvroState::Empty | AvroState::Undecoded | AvroState::BeyondLimits => {
            return None;
        }
    };
    let reason = match facts.raw_reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    Some(format!("{said}{reason}; what is there is stored as it is"))
}

/// What stands at the end of a sound file and belongs to nothing in it.
pub(super) fn stray_bytes(facts: &AvroFacts) -> Option<String> {
    let bytes = if facts.stray_bytes == 1 { "byte" } else { "bytes" };
    (facts.stray_bytes > 0 && !facts.state.is_alarm()).then(|| {
        format!("{} stray {bytes} at the end, after its last block: many readers refuse that", facts.stray_bytes)
    })
}
