//! Whether the encoders of this build write what they must. A build against another library could break that promise
//! silently; then neither a snapshot nor a restored file may rest on them.

use std::mem::discriminant;
use std::sync::OnceLock;

use crate::avro::encoder::{EncoderId, Encoders, self_test};

/// Whether the encoder's family passed its self-test, which is made at the first call and takes some hundredths of a
/// second.
pub(crate) fn is_trusted(id: &EncoderId) -> bool {
    static FAILED: OnceLock<Vec<EncoderId>> = OnceLock::new();
    let failed = FAILED.get_or_init(|| {
        let outcomes = self_test(&mut Encoders::new());
        outcomes.into_iter().filter(|(_, passed)| !passed).map(|(id, _)| id).collect()
    });
    !failed.iter().any(|broken| discriminant(&broken.method) == discriminant(&id.method))
}
