//! What a block really holds, compared with what it declares.

use super::codec::{Codec, DecodeError, Decoder, MAX_DECODED};
use super::schema::{Schema, SchemaError, SchemaFlaw};
use super::walk::{BlockFault, BlockWalk, WalkError};

/// Why a block, or the schema, is not what it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// It is damaged: no reader gets all that it declares.
    Damaged(String),
    /// It goes beyond the limits of this program. Nothing is known to be wrong with it.
    BeyondLimits(String),
}

impl Trouble {
    /// The same in words.
    pub fn reason(&self) -> &str {
        match self {
            Self::Damaged(reason) | Self::BeyondLimits(reason) => reason,
        }
    }

    fn new(is_beyond_limits: bool, reason: String) -> Self {
        if is_beyond_limits { Self::BeyondLimits(reason) } else { Self::Damaged(reason) }
    }
}

impl From<DecodeError> for Trouble {
    fn from(error: DecodeError) -> Self {
        Self::new(error.is_beyond_limits(), error.to_string())
    }
}

impl From<&SchemaError> for Trouble {
    fn from(error: &SchemaError) -> Self {
        Self::new(error.is_limit(), format!("its schema: {error}"))
    }
}

impl From<&SchemaFlaw> for Trouble {
    fn from(flaw: &SchemaFlaw) -> Self {
        Self::Damaged(format!("its schema: {flaw}"))
    }
}

impl Trouble {
    /// What a walk found, if anything; `length` is how many bytes were walked.
    pub fn of_walk(walked: &BlockWalk, length: usize) -> Option<Self> {
        let record = walked.verified;
        Some(match walked.fault? {
            BlockFault::Trailing => Self::Damaged(BlockFault::Trailing.to_string()),
            BlockFault::Record(WalkError::Truncated) if walked.end == length => {
                Self::Damaged(format!("record {record} is missing"))
            }
            BlockFault::Record(error) => Self::new(error.is_beyond_limits(), format!("record {record}: {error}")),
        })
    }
}

/// What was found in a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// How many of its records were found sound.
    pub verified: u64,
    /// What is wrong, if anything is.
    pub trouble: Option<Trouble>,
}

impl Looked {
    fn wrong(trouble: Trouble) -> Self {
        Self { verified: 0, trouble: Some(trouble) }
    }

    /// Walks decoded records. Without a schema there is nothing to compare them with.
    pub fn at_records(schema: Option<&Schema>, plain: &[u8], declared: u64) -> Self {
        let Some(schema) = schema else { return Self { verified: 0, trouble: None } };
        let walked = schema.walk_block(plain, declared, &mut |_| {});
        Self { verified: walked.verified, trouble: Trouble::of_walk(&walked, plain.len()) }
    }

    /// Decodes a payload into `plain` and walks the records. Without a schema the payload must at least decode whole.
    pub fn into_payload(
        decoder: &mut Decoder,
        codec: Codec,
        schema: Option<&Schema>,
        payload: &[u8],
        declared: u64,
        plain: &mut Vec<u8>,
    ) -> Self {
        let decoded = match schema {
            Some(_) => decoder.decode_unfinished(codec, payload, MAX_DECODED, plain),
            None => decoder.decode(codec, payload, MAX_DECODED, plain),
        };
        match decoded {
            Ok(_) => Self::at_records(schema, plain, declared),
            Err(error) => Self::wrong(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(codec: Codec, payload: &[u8], declared: u64) -> Looked {
        let schema = Schema::parse("\"long\"").unwrap();
        Looked::into_payload(&mut Decoder::new(), codec, Some(&schema), payload, declared, &mut Vec::new())
    }

    #[test]
    fn a_block_without_records_and_bytes_is_sound_whatever_its_codec() {
        for codec in Codec::ALL {
            assert_eq!(look(codec, &[], 0), Looked { verified: 0, trouble: None }, "{codec}");
            assert!(matches!(look(codec, &[], 1).trouble, Some(Trouble::Damaged(_))), "{codec}");
        }
    }

    #[test]
    fn a_flushed_deflate_stream_counts_if_all_records_are_there() {
        // A stored block that is not the last one: 3 bytes, no end of the stream.
        let open = [0, 3, 0, !3, !0, 2, 4, 6];
        assert_eq!(look(Codec::Deflate, &open, 3), Looked { verified: 3, trouble: None });
        assert_eq!(look(Codec::Deflate, &open, 4).trouble.unwrap().reason(), "record 3 is missing");
        assert_eq!(look(Codec::Deflate, &open, 2).trouble.unwrap().reason(), "bytes after the last record");
        assert!(Decoder::new().decode(Codec::Deflate, &open, 100, &mut Vec::new()).is_err());
    }

    #[test]
    fn a_cut_last_zstandard_frame_counts_if_all_records_are_there() {
        use crate::avro::encoder::Encoders;
        let frame = |plain: &[u8]| {
            let mut out = Vec::new();
            Encoders::new().encode(&"zstd-1.5.7:once:L3:C".parse().unwrap(), plain, &mut out).unwrap();
            out
        };
        let whole = frame(&[2, 4, 6]);
        let skippable = [0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3];
        let checksum_cut = whole[..whole.len() - 2].to_vec();
        let mut cut = vec![checksum_cut.clone(), [&frame(&[2]), &frame(&[4, 6])[..7], &[]].concat()];
        cut.extend((1..skippable.len()).map(|length| [&whole[..], &skippable[..length]].concat()));
        for (at, payload) in cut.iter().enumerate() {
            assert!(Decoder::new().decode(Codec::Zstandard, payload, 100, &mut Vec::new()).is_err(), "{at}");
            match at {
                // The second frame holds nothing yet.
                1 => assert_eq!(look(Codec::Zstandard, payload, 1).verified, 1),
                _ => assert_eq!(look(Codec::Zstandard, payload, 3), Looked { verified: 3, trouble: None }, "{at}"),
            }
            let missing = look(Codec::Zstandard, payload, 4).trouble.unwrap();
            assert!(missing.reason().ends_with("is missing"), "{missing:?}");
        }
        let too_much = frame(&vec![0; 1 << 20]);
        let error =
            Decoder::new().decode_unfinished(Codec::Zstandard, &too_much[..too_much.len() - 1], 1000, &mut Vec::new());
        assert!(matches!(error, Err(DecodeError::TooLarge { .. })), "{error:?}");
        assert!(look(Codec::Zstandard, &[&whole[..], b"no frame"].concat(), 3).trouble.is_some());
    }

    #[test]
    fn a_damaged_length_is_damage_and_a_true_one_beyond_the_limit_is_none() {
        // Snappy: a length of 4 GiB before one literal.
        let snappy = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 2, 0, 0, 0, 0];
        assert!(matches!(look(Codec::Snappy, &snappy, 1).trouble, Some(Trouble::Damaged(_))));
        let mut plain = Vec::new();
        let error = Decoder::new().decode(Codec::Null, &[0; 11], 10, &mut plain).unwrap_err();
        assert!(matches!(Trouble::from(error), Trouble::BeyondLimits(_)));
    }
}
