//! Taking a file of a snapshot apart again, with some of its payloads kept as they were written.

use std::sync::Arc;

use super::Feeder;
use crate::avro::codec::Codec;
use crate::avro::container::{Header, Parsed, parse_header};
use crate::chunk::CutParams;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::read::{FileAssembler, Prefetching, Rebuilt};
use crate::recipe::{CompiledSchema, Part, PayloadDecision, Segment, Splitter};
use crate::snapshot::entry::{AvroFacts, FileEntry};

/// A file that was taken apart again.
pub(crate) struct TakenApart {
    pub(crate) recipe: Vec<u8>,
    pub(crate) facts: AvroFacts,
    /// Payloads that are kept as they are now.
    pub(crate) kept: u64,
}

/// Rebuilds a file and takes it apart again, with the payloads of those encoders kept as they are that are meant.
pub(crate) fn take_apart_again(
    assembler: &FileAssembler<'_, Prefetching<'_, '_>>,
    entry: &FileEntry,
    cut: CutParams,
    is_meant: &dyn Fn(&str) -> bool,
    progress: &dyn Progress,
    feeder: &mut Feeder<'_, '_, '_>,
) -> Result<TakenApart> {
    let shown = String::from_utf8_lossy(&entry.path);
    let damaged = |reason: &str| Error::damaged(format!("the recipe of {shown}"), reason);
    let Some(facts) = &entry.avro else { return Err(damaged("it is that of no container")) };
    let mut splitter = Splitter::new(cut);
    let (mut is_null, mut changed) = (false, 0);
    assembler.parts(entry, &mut |rebuilt| {
        progress.bytes(rebuilt.bytes().len() as u64);
        let Rebuilt { part, payload: made, .. } = rebuilt;
        match (part, made) {
            (Part::Header(bytes), _) => {
                let Parsed::Done(header) = parse_header(&bytes) else {
                    return Err(damaged("it holds no valid header"));
                };
                is_null = has_codec_null(&header);
                let schema = Arc::new(CompiledSchema::of(&header));
                splitter.header(&header, schema, feeder)
            }
            (Part::Bytes(bytes), _) => splitter.segment(Segment::Stray(bytes), feeder),
            (Part::Payload { payload, frame }, _) => {
                let decision = match is_null {
                    true => PayloadDecision::Decode { plain: None, encoder: "null".into(), corrections: None },
                    false => PayloadDecision::Keep(None),
                };
                splitter.block(frame.block(payload), decision, feeder)
            }
            (Part::Encode { plain, encoder, corrections, frame }, Some(payload)) => {
                let decision = match is_meant(&encoder) {
                    true => {
                        changed += 1;
                        PayloadDecision::Keep(None)
                    }
                    false => PayloadDecision::Decode { plain: Some(plain), encoder, corrections },
                };
                splitter.block(frame.block(payload), decision, feeder)
            }
            (Part::Encode { .. }, None) => Err(Error::WorkerStopped),
        }
    })?;
    let split = splitter.finish(feeder)?;
    let facts = AvroFacts {
        encoder: split.encoder,
        blocks_exact: split.exact,
        blocks_corrected: split.corrected,
        blocks_raw: split.raw,
        // What was learned of the records when they were looked at holds as it did.
        ..facts.clone()
    };
    Ok(TakenApart { recipe: split.recipe.encode(), facts, kept: changed })
}

fn has_codec_null(header: &Header) -> bool {
    Codec::from_name(header.codec_name()) == Some(Codec::Null)
}
