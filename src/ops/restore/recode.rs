//! Writing a container with another codec: the same records, other bytes.

use crate::avro::block::Looked;
use crate::avro::codec::{Codec, Decoder, MAX_DECODED};
use crate::avro::container::{Parsed, parse_header, put_block_header};
use crate::avro::encoder::EncoderId;
use crate::avro::schema::Schema;
use crate::chunk::ChunkSource;
use crate::error::{Context, Error, Result};
use crate::id::digest;
use crate::read::EncoderBench;
use crate::read::avro_file::NotAvro;
use crate::recipe::{Part, Recipe, RecipeReader, is_filler};
use crate::snapshot::entry::{AvroState, FileEntry};

/// Whether a file can be written with another codec: nothing may be known to be wrong with it, or its damage would be
/// hidden. Whether its records are what it declares, recoding itself finds.
pub(super) fn can_recode(entry: &FileEntry) -> bool {
    let may_be_sound = |state| matches!(state, AvroState::Ok | AvroState::Undecoded);
    entry.avro.as_ref().is_some_and(|facts| may_be_sound(facts.state) && Codec::from_name(&facts.codec).is_some())
}

/// Hands the container with its payloads in `codec` to `write`.
///
/// # Errors
/// If a chunk is lost or damaged, a payload does not decode, or a block does not hold the records that it declares.
pub(super) fn recode<S: ChunkSource + ?Sized>(
    source: &S,
    encoders: &EncoderBench,
    entry: &FileEntry,
    codec: Codec,
    write: &mut dyn FnMut(&[u8]) -> Result<()>,
) -> Result<()> {
    let shown = String::from_utf8_lossy(&entry.path).into_owned();
    let wrong = |reason: &str| Error::not_restored(&shown, reason);
    let recipe = Recipe::decode(&entry.recipe).in_object(format_args!("the recipe of {shown}"))?;
    let encoder = encoder_for(codec).ok_or_else(|| wrong("there is no such codec to write"))?;
    let from = entry.avro.as_ref().and_then(|facts| Codec::from_name(&facts.codec)).unwrap_or(Codec::Null);
    let mut decoder = Decoder::new();
    // The marker follows from the content: it need not be secret, only unlike the data.
    let mut marker = [0; 16];
    marker.copy_from_slice(&digest(&[&entry.recipe[..], codec.name().as_bytes()].concat())[..16]);
    let mut rebuild = RecipeReader::new(&recipe, source);
    let (mut plain, mut out) = (Vec::new(), Vec::new());
    let (mut schema, mut blocks) = (None, 0u64);
    while let Some(part) = rebuild.next_part()? {
        out.clear();
        let count = match part {
            Part::Header(bytes) => {
                let Parsed::Done(header) = parse_header(&bytes) else { return Err(wrong("its header is not sound")) };
                let text = header.schema_text().ok_or_else(|| wrong("its header holds no schema"))?;
                schema =
                    Some(Schema::parse(text).map_err(|error| Error::not_restored(&shown, NotAvro::Schema(error)))?);
                out = header.with_codec(codec, &marker);
                write(&out)?;
                continue;
            }
            // What editors and file systems left after the last block is no part of the records.
            Part::Bytes(bytes) if is_filler(&bytes) => continue,
            Part::Bytes(_) => return Err(wrong("it holds bytes that belong to no block")),
            Part::Encode { plain: decoded, frame, .. } => {
                plain = decoded;
                frame.count()
            }
            Part::Payload { payload, frame } => {
                decoder
                    .decode_unfinished(from, &payload, MAX_DECODED, &mut plain)
                    .map_err(|e| wrong(&format!("block {blocks} does not decode: {e}")))?;
                frame.count()
            }
        };
        if let Some(trouble) = Looked::at_records(schema.as_ref(), &plain, count).trouble {
            return Err(wrong(&format!("block {blocks}: {}", trouble.reason())));
        }
        blocks += 1;
        let mut payload = Vec::new();
        encoders
            .with(|encoders| encoders.encode(&encoder, &plain, &mut payload))
            .map_err(|error| Error::not_restored(&shown, error))?;
        put_block_header(&mut out, count, payload.len());
        out.extend_from_slice(&payload);
        out.extend_from_slice(&marker);
        write(&out)?;
    }
    Ok(())
}

/// The encoder that new payloads of a codec are made with.
pub(super) fn encoder_for(codec: Codec) -> Option<EncoderId> {
    let id = match codec {
        Codec::Null => "null",
        Codec::Deflate => "zlib:L1:M8",
        Codec::Snappy => "snappy:shift14",
        Codec::Zstandard => "zstd-1.5.7:once:L3",
        Codec::Bzip2 | Codec::Xz => return None,
    };
    id.parse().ok()
}
