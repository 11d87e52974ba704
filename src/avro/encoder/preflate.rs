//! The last resort for deflate: what preflate-rs cannot predict of a stream, as corrections.
//!
//! preflate-rs (<https://github.com/microsoft/preflate-rs>, pinned at 0.7.6, whose format of corrections is no other
//! version's) guesses the encoder's settings and notes where it errs. It takes about 100 ns a decoded byte to split and
//! 30 to join, and has assertions inside: a panic there is caught and is a refusal here.

use std::panic::{AssertUnwindSafe, catch_unwind};

use preflate_rs::{PreflateConfig, preflate_whole_deflate_stream, recreate_whole_deflate_stream};

/// Corrections are worth keeping if they take less than this share of the stream, in percent.
pub const MAX_CORRECTIONS_PERCENT: usize = 10;

/// The longest plain bytes that are split or joined, in bytes: 16 MiB, for the time it takes.
const MAX_PLAIN: usize = 16 << 20;

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

/// Rebuilds the stream that [`preflate_split`] took apart. None if the two do not belong together or are damaged, as far
/// as preflate-rs sees it; a caller compares hashes anyway.
///
/// **`corrections` must be what [`preflate_split`] gave**: preflate-rs reads forged ones without a bound, and some make
/// it write empty blocks until memory ends. A chunk's id, which is checked before its bytes are used, keeps damage away;
/// anyone who can write to an unencrypted repository can forge both. Panics inside are caught; the panic hook is still
/// called, so a program that wants silence has to see to it.
pub fn preflate_join(plain: &[u8], corrections: &[u8]) -> Option<Vec<u8>> {
    if plain.len() > MAX_PLAIN || corrections.len() > MAX_PLAIN {
        return None;
    }
    catch_unwind(AssertUnwindSafe(|| recreate_whole_deflate_stream(plain, corrections).ok())).ok()?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::encoder::selftest::{Kind, sample};
    use crate::avro::encoder::{Encoders, Method, NgCalls};
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
            Method::ZlibNg { level: 6, calls: NgCalls::Once },
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
    }
}
