//! Payloads of containers whose encoder was proven before: equal ones (an unchanged table is written again each night, with
//! another marker around the same blocks) need not be encoded again to prove it again.
//!
//! ```text
//! payloads(hash, encoder, tag)   one row a payload: BLAKE3 of it, and the id of the encoder that makes it
//! ```
//!
//! Only a hint like all of this cache, but one that a restore will rest on: a row counts only with its keyed checksum,
//! which also covers the build, since another build of an encoder has proven nothing yet.

use rusqlite::{OptionalExtension, params};

use super::{HintFile, Hints};
use crate::error::Result;

/// A payload: its BLAKE3, and the id of the encoder that makes exactly it from what it decodes to.
pub type ProvenPayload = ([u8; 32], String);

/// Rows beyond which all are forgotten: about 400 MB of the file, 250 GB of payloads of 64 kB.
const MAX_ROWS: i64 = 4_000_000;

impl Hints {
    /// The encoder that was proven to make this payload.
    pub fn proven_encoder(&self, payload: &[u8; 32]) -> Option<String> {
        let file = self.file();
        let row = file.payload(payload).ok().flatten();
        row.filter(|(encoder, tag)| file.payload_tag(payload, encoder) == *tag).map(|(encoder, _)| encoder)
    }

    /// Remembers payloads that were proven. Losing this costs time, so what goes wrong is skipped.
    pub fn remember_proven(&self, payloads: &[ProvenPayload]) {
        if !payloads.is_empty() {
            let _ = self.file().transaction(|file| file.insert_payloads(payloads));
        }
    }
}

impl HintFile {
    fn payload(&self, hash: &[u8; 32]) -> Result<Option<(String, i64)>> {
        let mut statement = self.lookups()?.prepare_cached("SELECT encoder, tag FROM payloads WHERE hash = ?1")?;
        Ok(statement.query_row([hash], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
    }

    fn payload_tag(&self, hash: &[u8; 32], encoder: &str) -> i64 {
        self.keyed(&[b"payload", env!("CARGO_PKG_VERSION").as_bytes(), hash, encoder.as_bytes()])
    }

    fn insert_payloads(&self, payloads: &[([u8; 32], String)]) -> Result<()> {
        self.make_room("payloads", MAX_ROWS, payloads.len())?;
        let mut insert = self
            .connection()
            .prepare_cached("INSERT OR REPLACE INTO payloads (hash, encoder, tag) VALUES (?1, ?2, ?3)")?;
        for (hash, encoder) in payloads {
            insert.execute(params![hash, encoder, self.payload_tag(hash, encoder)])?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_proven_here_counts() {
        let hints = Hints::open(None, [7; 32]).unwrap();
        let proven = [([1; 32], "zlib:L6:M8".to_owned()), ([2; 32], "snappy:mask14".to_owned())];
        hints.remember_proven(&proven);
        assert_eq!(hints.proven_encoder(&[1; 32]).as_deref(), Some("zlib:L6:M8"));
        assert_eq!(hints.proven_encoder(&[3; 32]), None);
        hints.file().connection().execute("UPDATE payloads SET encoder = 'zlib:L9:M8'", []).unwrap();
        assert_eq!(hints.proven_encoder(&[1; 32]), None, "a changed row does not count");
    }
}
