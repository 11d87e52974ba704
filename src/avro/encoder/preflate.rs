//! The last resort for deflate: what preflate-rs cannot predict of a stream, as corrections.
//!
//! preflate-rs (<https://github.com/microsoft/preflate-rs>, pinned at 0.7.6, whose format of corrections is no other
//! version's) guesses the encoder's settings and notes where it errs. It takes about 100 ns a decoded byte to split and
//! 30 to join, and has assertions inside: a panic there is caught and is a refusal here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use preflate_rs::{
    PreflateConfig, TokenPredictorParameters, preflate_whole_deflate_stream, recreate_whole_deflate_stream,
};

/// Corrections are worth keeping if they take less than this share of the stream, in percent.
pub const MAX_CORRECTIONS_PERCENT: usize = 10;

/// The longest plain bytes that are split or joined, in bytes: 16 MiB, for the time it takes.
const MAX_PLAIN: usize = 16 << 20;

/// How preflate-rs writes corrections: its own private type, mirrored so that settings can be looked at before use.
#[derive(bitcode::Decode)]
struct Corrections {
    parameters: TokenPredictorParameters,
    _corrections: Vec<u8>,
}

/// Splits a raw deflate stream (without a tail) into its plain bytes and corrections.
///
/// None if the stream is damaged, decodes to more than `limit` bytes or 16 MiB, is not rebuilt exactly by
/// [`preflate_join`] (which is tried), or needs corrections of [`MAX_CORRECTIONS_PERCENT`] of its length or more.
pub fn preflate_split(stream: &[u8], limit: usize) -> Option<(Vec<u8>, Vec<u8>)> {
    // No deflate stream decodes to more than 1032 times its length, so short ones need no more than that.
    let limit = limit.min(MAX_PLAIN).min(stream.len().saturating_mul(1032));
    let config = PreflateConfig { max_chain_length: 4096, plain_text_limit: limit, verify_compression: false };
    let (chunk, plain) =
        catch_unwind(AssertUnwindSafe(|| preflate_whole_deflate_stream(stream, &config))).ok()?.ok()?;
    let (plain, corrections) = (plain.text(), chunk.corrections);
    // A stream that passes the limit is given in part.
    if chunk.compressed_size != stream.len() || plain.len() > limit {
        return None;
    }
    if corrections.len().saturating_mul(100) >= stream.len().saturating_mul(MAX_CORRECTIONS_PERCENT) {
        return None;
    }
    (preflate_join(plain, &corrections)? == stream).then(|| (plain.to_vec(), corrections))
}

/// Rebuilds the stream that [`preflate_split`] took apart. None if the two do not belong together or are damaged; a
/// caller compares hashes anyway, since other corrections may give another valid stream.
pub fn preflate_join(plain: &[u8], corrections: &[u8]) -> Option<Vec<u8>> {
    if plain.len() > MAX_PLAIN || corrections.len() > MAX_PLAIN {
        return None;
    }
    catch_unwind(AssertUnwindSafe(|| {
        let parameters = bitcode::decode::<Corrections>(corrections).ok()?.parameters;
        // Blocks without tokens, or windows that deflate does not have, would make it go on for ever.
        if parameters.max_token_count == 0 || parameters.window_bits > 15 {
            return None;
        }
        recreate_whole_deflate_stream(plain, corrections).ok()
    }))
    .ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::encoder::selftest::{Kind, sample};
    use crate::avro::encoder::{Encoders, Method};
    use proptest::prelude::*;

    fn deflated(method: Method, plain: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Encoders::new().encode(&method.plain(), plain, &mut out).unwrap();
        out
    }

    #[test]
    fn a_stream_is_split_and_joined() {
        let plain = sample(Kind::Records, 50_000);
        for method in [
            Method::Zlib { level: 6, mem_level: 8 },
            Method::Zlib { level: 1, mem_level: 8 },
            Method::Miniz { level: 10 },
            Method::ZlibNg { level: 6 },
        ] {
            let stream = deflated(method, &plain);
            let (split, corrections) = preflate_split(&stream, 1 << 20).unwrap();
            assert_eq!(split, plain, "{method}");
            assert!(corrections.len() * 10 < stream.len(), "{method}: {} of {}", corrections.len(), stream.len());
            assert_eq!(preflate_join(&split, &corrections).unwrap(), stream, "{method}");
        }
    }

    #[test]
    fn limits_hold() {
        let stream = deflated(Method::Zlib { level: 6, mem_level: 8 }, &sample(Kind::Records, 200_000));
        assert_eq!(preflate_split(&stream, 199_999), None);
        assert!(preflate_split(&stream, 200_000).is_some());
        assert_eq!(preflate_split(&stream[..stream.len() - 1], 1 << 20), None);
        assert_eq!(preflate_split(&[stream, vec![0]].concat(), 1 << 20), None);
        assert_eq!(preflate_split(&[], 1 << 20), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_bytes_are_split_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Some((plain, corrections)) = preflate_split(&bytes, 1 << 16) {
                prop_assert_eq!(preflate_join(&plain, &corrections), Some(bytes));
            }
        }

        #[test]
        fn any_corrections_are_applied_or_refused(flips in proptest::collection::vec((any::<usize>(), 1u8..), 1..4)) {
            let plain = sample(Kind::Records, 3_000);
            let stream = deflated(Method::Zlib { level: 6, mem_level: 8 }, &plain);
            let Some((plain, mut corrections)) = preflate_split(&stream, 1 << 16) else { return Ok(()) };
            for (at, flip) in flips {
                let at = at % corrections.len();
                corrections[at] ^= flip;
            }
            let _ = preflate_join(&plain, &corrections);
        }
    }
}
