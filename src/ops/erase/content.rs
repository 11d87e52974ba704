//! The records of one file, judged one by one (`find --where` counts them so, too); and the file without some of them.

use crate::avro::codec::{Codec, Decoder};
use crate::avro::container::{Header, MARKER, put_block_header};
use crate::avro::encoder::{EncodeError, EncoderId, Encoders};
use crate::avro::filter::{Expression, Filter, FilterError};
use crate::avro::schema::Schema;
use crate::error::{Error, Result};
use crate::read::avro_file::{AvroFile, Piece, StoredBlock};
use crate::snapshot::entry::FileEntry;
use crate::store::Repository;

/// Why a file stays as it is.
pub(in crate::ops) enum Unfit {
    /// The condition does not go with its schema.
    Filter(FilterError),
    /// It cannot be decoded as a whole.
    Unsound(String),
}

impl From<String> for Unfit {
    fn from(reason: String) -> Self {
        Self::Unsound(reason)
    }
}

/// A container whose records are judged.
pub(in crate::ops) struct Judging<'r> {
    file: AvroFile<&'r Repository>,
    codec: Codec,
    schema: Schema,
    filter: Filter,
    decoder: Decoder,
    buffer: Vec<u8>,
}

/// A block that was judged.
#[derive(Default)]
pub(in crate::ops) struct JudgedBlock {
    /// The records that stay, end to end.
    pub(super) kept: Vec<u8>,
    pub(super) kept_records: u64,
    /// Records that go.
    pub(in crate::ops) erased: u64,
}

impl<'r> Judging<'r> {
    pub(in crate::ops) fn open(
        repository: &'r Repository,
        entry: &FileEntry,
        condition: &Expression,
    ) -> Result<std::result::Result<Self, Unfit>> {
        let unfit = |reason: String| Ok(Err(Unfit::Unsound(reason)));
        let file = match AvroFile::open(repository, entry)? {
            Ok(file) => file,
            Err(reason) => return unfit(reason.to_string()),
        };
        let (schema, codec) = match (file.schema(), file.codec()) {
            (Ok(schema), Ok(codec)) => (schema, codec),
            (Err(reason), _) | (_, Err(reason)) => return unfit(reason.to_string()),
        };
        let filter = match Filter::new(condition, &schema) {
            Ok(filter) => filter,
            Err(error) => return Ok(Err(Unfit::Filter(error))),
        };
        Ok(Ok(Self { file, codec, schema, filter, decoder: Decoder::new(), buffer: Vec::new() }))
    }

    pub(super) fn header(&self) -> &Header {
        self.file.header()
    }

    pub(super) fn codec(&self) -> Codec {
        self.codec
    }

    /// The next block, and what is in it; none at the end. `erased` is handed each record that goes.
    pub(in crate::ops) fn next_block(
        &mut self,
        erased: &mut dyn FnMut(&[u8]),
    ) -> Result<Option<std::result::Result<JudgedBlock, Unfit>>> {
        match self.file.next_piece(|_| true)? {
            None => Ok(None),
            Some(Piece::Stray(bytes)) => Ok(Some(Err(format!("{bytes} bytes of it are no sound block").into()))),
            Some(Piece::Passed { .. }) => Err(Error::Internal("a block was passed over that was wanted".into())),
            Some(Piece::Block(block)) => Ok(Some(self.judge(&block, erased).map_err(Unfit::Unsound))),
        }
    }

    fn judge(
        &mut self,
        block: &StoredBlock,
        erased: &mut dyn FnMut(&[u8]),
    ) -> std::result::Result<JudgedBlock, String> {
        let Self { schema, filter, decoder, buffer, codec, .. } = self;
        let of_block = |reason: &dyn std::fmt::Display| format!("block {}: {reason}", block.ordinal);
        let plain = block.plain(*codec, decoder, buffer).map_err(|error| of_block(&error))?;
        let (mut judged, mut start, mut wrong) = (JudgedBlock::default(), 0, None);
        if schema.always_empty() {
            // They may be as many as a number can say, and are all the same.
            let goes = filter.matches(&[]).map_err(|error| of_block(&error))?;
            *(if goes { &mut judged.erased } else { &mut judged.kept_records }) = block.count;
        }
        let walk = schema.walk_block(plain, block.count, &mut |end| {
            let record = plain.get(start..end).unwrap_or_default();
            start = end;
            match filter.matches(record) {
                Ok(true) => {
                    judged.erased += 1;
                    erased(record);
                }
                Ok(false) => {
                    judged.kept_records += 1;
                    judged.kept.extend_from_slice(record);
                }
                Err(error) => wrong = Some(error),
            }
        });
        match (walk.fault, wrong) {
            (Some(fault), _) => Err(of_block(&fault)),
            (None, Some(error)) => Err(of_block(&error)),
            (None, None) => Ok(judged),
        }
    }
}

/// A container without the records that go, to be read piece by piece. Each block holds what is left of a block; those of which
/// nothing is left are left out.
pub(super) struct Remaining<'r> {
    judging: Judging<'r>,
    marker: [u8; MARKER],
    encoder: EncoderId,
    encoders: Encoders,
    out: Vec<u8>,
    at: usize,
    ended: bool,
    /// Records that went, and that are left.
    pub(super) erased: u64,
    pub(super) kept: u64,
}

impl<'r> Remaining<'r> {
    /// `encoder` is the id of what wrote the blocks so far, where that is known.
    pub(super) fn new(judging: Judging<'r>, marker: [u8; MARKER], encoder: &str) -> Result<Self> {
        let codec = judging.codec();
        let own = encoder.parse::<EncoderId>().ok().filter(|id| id.codec() == codec);
        let out = [judging.header().bytes(), &marker[..]].concat();
        let encoder = own.map_or_else(|| usual(codec), Ok)?;
        let encoders = Encoders::new();
        Ok(Self { judging, marker, encoder, encoders, out, at: 0, ended: false, erased: 0, kept: 0 })
    }

    /// Reads what comes next; 0 at the end.
    ///
    /// # Errors
    /// If the file is lost, damaged or, other than when it was looked through, not sound.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        while self.at == self.out.len() && !self.ended {
            self.out.clear();
            self.at = 0;
            self.refill()?;
        }
        let rest = self.out.get(self.at..).unwrap_or_default();
        let count = rest.len().min(into.len());
        if let (Some(to), Some(from)) = (into.get_mut(..count), rest.get(..count)) {
            to.copy_from_slice(from);
        }
        self.at += count;
        Ok(count)
    }

    fn refill(&mut self) -> Result<()> {
        let block = match self.judging.next_block(&mut |_| {})? {
            None => {
                self.ended = true;
                return Ok(());
            }
            Some(Ok(block)) => block,
            Some(Err(_)) => return Err(Error::damaged("a file", "it is not as sound as when it was looked through")),
        };
        self.erased = self.erased.saturating_add(block.erased);
        self.kept = self.kept.saturating_add(block.kept_records);
        if block.kept_records == 0 {
            return Ok(());
        }
        let mut payload = Vec::new();
        let mut encoded = self.encoders.encode(&self.encoder, &block.kept, &mut payload);
        if let Err(EncodeError::Unsupported(_) | EncodeError::BeyondWindow(_)) = encoded {
            // What this build or this length is not for, the usual encoder of the codec is.
            self.encoder = usual(self.judging.codec())?;
            encoded = self.encoders.encode(&self.encoder, &block.kept, &mut payload);
        }
        encoded.map_err(|error| Error::Internal(format!("a block cannot be encoded: {error}")))?;
        put_block_header(&mut self.out, block.kept_records, payload.len());
        self.out.append(&mut payload);
        self.out.extend_from_slice(&self.marker);
        Ok(())
    }
}

/// What most writers use for a codec.
fn usual(codec: Codec) -> Result<EncoderId> {
    let id = match codec {
        Codec::Null => "null",
        Codec::Deflate => "zlib:L6:M8",
        Codec::Snappy => "snappy:shift14",
        Codec::Zstandard => "zstd-1.5.7:once:L3",
        Codec::Bzip2 => "bzip2:L9",
        Codec::Xz => "xz:P6:crc64",
    };
    id.parse().map_err(|_| Error::Internal(format!("there is no encoder {id}")))
}
