//! Which encoders were tried on the blocks of a container, and where what they make differs: for those who want to know why blocks are
//! kept as they are.

use serde::{Deserialize, Serialize};

use crate::avro::codec::{Codec, Decoder, MAX_DECODED};
use crate::avro::container::Header;
use crate::avro::encoder::{EncoderId, Encoders, Sample, WriterHint, candidates, preflate_split, signature};
use crate::error::Result;
use crate::recipe::{Framer, RawBlock, Segment};
use crate::values;

/// Which blocks are looked into.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct EncoderOptions {
    /// How many blocks, from the first one on; all if 0.
    pub blocks: u64,
}

impl Default for EncoderOptions {
    fn default() -> Self {
        Self { blocks: 3 }
    }
}

impl EncoderOptions {
    values::setters! {
        is blocks: u64;
    }
}

/// An encoder that was tried on a block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tried {
    /// Its id.
    pub encoder: String,
    /// The first byte of the payload that it makes otherwise, from 0 on; none if it makes all of it.
    pub differs_at: Option<u64>,
}

/// What was tried on one block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockReport {
    /// Which block, from 0 on.
    pub block: u64,
    /// How many records it declares.
    pub records: u64,
    /// How long its payload is.
    pub bytes_payload: u64,
    /// What it decodes to; none if it does not decode.
    pub bytes_decoded: Option<u64>,
    /// The encoder that makes it again, if one does.
    pub encoder: Option<String>,
    /// How long the corrections are with which a deflate payload without an encoder can be made again, if so.
    pub bytes_corrections: Option<u64>,
    /// What can be seen of the writer.
    pub writer: String,
    /// What was tried, in order, up to the one that makes it.
    pub tried: Vec<Tried>,
    /// Why nothing was tried, if so.
    pub reason: Option<String>,
}

/// What was found of a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct EncoderReport {
    /// The codec that its header names.
    pub codec: String,
    /// The keys of its metadata, in the order of the file.
    pub metadata: Vec<String>,
    /// Blocks that were looked into.
    pub blocks: u64,
    /// Blocks that an encoder makes again.
    pub blocks_exact: u64,
    /// Whether there are more blocks, which were not looked into.
    pub more: bool,
}

/// How many bytes are read at once.
const READ: usize = 1 << 20;

/// Tries encoders on the blocks of the container that `read` returns the bytes of, and hands what was found of each block to `each`.
/// None if it is no container with a sound header.
///
/// # Errors
/// Those of `read` and `each`.
pub fn encoders(
    options: &EncoderOptions,
    read: &mut dyn FnMut(&mut [u8]) -> Result<usize>,
    each: &mut dyn FnMut(BlockReport) -> Result<()>,
) -> Result<Option<EncoderReport>> {
    let (mut framer, mut trial, mut buffer) = (Framer::new(true), None::<Trial>, vec![0; READ]);
    loop {
        let count = read(&mut buffer)?;
        framer.push(buffer.get(..count).unwrap_or_default());
        while let Some(segment) = framer.next_segment(count == 0) {
            match (segment, &mut trial) {
                (Segment::Header(header), _) => trial = Some(Trial::new(&header)),
                (Segment::Block(_), Some(trial)) if options.blocks > 0 && trial.report.blocks == options.blocks => {
                    trial.report.more = true;
                    return Ok(Some(trial.report.clone()));
                }
                (Segment::Block(block), Some(trial)) => each(trial.block(&block))?,
                _ => {}
            }
        }
        if count == 0 {
            return Ok(trial.map(|trial| trial.report));
        }
    }
}

/// Blocks of one file, tried one after the other.
struct Trial {
    codec: Option<Codec>,
    hint: WriterHint,
    decoder: Decoder,
    encoders: Encoders,
    /// What made the block before.
    last: Option<EncoderId>,
    report: EncoderReport,
}

impl Trial {
    fn new(header: &Header) -> Self {
        let keys = || header.entries().map(|(key, _)| key);
        Self {
            codec: Codec::from_name(header.codec_name()),
            hint: WriterHint::from_keys(keys()),
            decoder: Decoder::new(),
            encoders: Encoders::new(),
            last: None,
            report: EncoderReport {
                codec: header.codec_name().into(),
                metadata: keys().map(|key| String::from_utf8_lossy(key).into_owned()).collect(),
                ..EncoderReport::default()
            },
        }
    }

    fn block(&mut self, block: &RawBlock) -> BlockReport {
        let mut report = BlockReport {
            block: self.report.blocks,
            records: block.count,
            bytes_payload: block.payload.len() as u64,
            bytes_decoded: None,
            encoder: None,
            bytes_corrections: None,
            writer: String::new(),
            tried: Vec::new(),
            reason: None,
        };
        self.report.blocks += 1;
        match self.codec {
            None => report.reason = Some("its codec is not known".into()),
            Some(codec) => self.try_all(codec, &block.payload, &mut report),
        }
        self.report.blocks_exact += u64::from(report.encoder.is_some());
        report
    }

    fn try_all(&mut self, codec: Codec, payload: &[u8], report: &mut BlockReport) {
        let mut plain = Vec::new();
        let consumed = match self.decoder.decode(codec, payload, MAX_DECODED, &mut plain) {
            Ok(consumed) => consumed,
            Err(error) => {
                report.reason = Some(error.to_string());
                return;
            }
        };
        report.bytes_decoded = Some(plain.len() as u64);
        let sample = Sample { plain: &plain, payload, consumed };
        report.writer = signature(codec, &self.hint, &sample);
        let Some(tail) = sample.tail(codec) else {
            report.reason = Some("no encoder leaves what follows its stream".into());
            return;
        };
        let mut ids = candidates(codec, &self.hint, &sample);
        if let Some(last) = self.last.map(|last| EncoderId { tail, ..last }) {
            ids.retain(|id| *id != last);
            ids.insert(0, last);
        }
        for id in ids {
            // What cannot be encoded here differs from the start.
            let differs_at = self.encoders.first_difference(&id, &plain, payload).unwrap_or(Some(0));
            let differs_at = differs_at.map(|at| at as u64);
            report.tried.push(Tried { encoder: id.to_string(), differs_at });
            if differs_at.is_none() {
                report.encoder = Some(id.to_string());
                self.last = Some(id);
                return;
            }
        }
        if codec == Codec::Deflate {
            let split = payload.get(..consumed).and_then(|stream| preflate_split(stream, MAX_DECODED));
            report.bytes_corrections = split.map(|(_, corrections)| corrections.len() as u64);
        }
    }
}
