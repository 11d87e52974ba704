//! Decodes Avro files with the `apache-avro` package, which has nothing in common with our own reader.

use std::io::{BufReader, Read};

use crate::avro::schema::Schema;
use crate::id::Digester;
use crate::snapshot::entry::{AvroFacts, AvroState};

/// The reader, with the version that `Cargo.toml` asks for.
pub(super) const NAME: &str = "apache-avro 0.22";

/// The longest thing that the reader sets memory aside for, in bytes: as much as a decoded block may have.
const LONGEST: usize = crate::avro::codec::MAX_DECODED;

/// What the second reader made of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read2 {
    /// It decoded this many records.
    Records(u64),
    /// It did not read it, for this reason. That says nothing about the file, whose bytes were compared.
    NotOpened(String),
}

/// Why the second reader is not asked about a file with this schema. It sets no bounds to what blocks decode to, nor to how deep values nest
/// or how many take no bytes, and a stack that overflows would end this process: so it is asked only where all of that is bounded.
pub(super) fn why_not(facts: &AvroFacts, schema: &Schema) -> Option<String> {
    let state = match facts.state {
        AvroState::Ok | AvroState::HeaderOnly if facts.verified_records == facts.declared_records => None,
        AvroState::Undecoded | AvroState::BeyondLimits => Some("it was saved without decoding its records"),
        AvroState::Ok | AvroState::HeaderOnly => Some("not all of its records were decoded when it was saved"),
        _ => Some("it was not sound when it was saved"),
    };
    state.map(str::to_owned).or_else(|| schema.unbounded().map(|unbounded| unbounded.to_string()))
}

/// Decodes all records. What the reader does not read of the file is left.
pub(super) fn decode(file: &mut dyn Read) -> Read2 {
    apache_avro::util::max_allocation_bytes(LONGEST);
    let reader = match apache_avro::Reader::new(BufReader::with_capacity(1 << 16, file)) {
        Ok(reader) => reader,
        Err(error) => return Read2::NotOpened(error.to_string()),
    };
    let mut records = 0;
    for record in reader {
        match record {
            Ok(_) => records += 1,
            Err(error) => return Read2::NotOpened(format!("after {records} records: {error}")),
        }
    }
    Read2::Records(records)
}

/// Passes on what is read, and hashes it.
pub(super) struct Hashing<R> {
    inner: R,
    digester: Digester,
    pub(super) length: u64,
    /// What went wrong with reading, which no reader of Avro is asked about.
    pub(super) failure: Option<std::io::Error>,
}

impl<R: Read> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, digester: Digester::new(), length: 0, failure: None }
    }

    /// Reads what is left; returns the hash of all.
    pub(super) fn finish(mut self) -> std::io::Result<([u8; 32], u64)> {
        let mut buffer = vec![0; 1 << 18];
        while self.read(&mut buffer)? > 0 {}
        match self.failure {
            Some(error) => Err(error),
            None => Ok((self.digester.finish(), self.length)),
        }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = match self.inner.read(buffer) {
            Err(error) if error.kind() != std::io::ErrorKind::Interrupted => {
                let said = std::io::Error::new(error.kind(), error.to_string());
                self.failure.get_or_insert(error);
                return Err(said);
            }
            read => read?,
        };
        self.digester.update(buffer.get(..count).unwrap_or(&[]));
        self.length += count as u64;
        Ok(count)
    }
}
