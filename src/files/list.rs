//! The text of a list of paths or patterns, as editors and shells on any system write it.

/// The text of a list as UTF-8 bytes, one entry a line: without a byte order mark, and decoded where it is UTF-16 (which
/// PowerShell writes). Bytes that are no UTF-8 stay as they are, since paths may hold any.
///
/// # Errors
/// What is wrong with it, as a sentence, where it is neither.
pub fn list_text(bytes: Vec<u8>) -> Result<Vec<u8>, String> {
    match bytes.as_slice() {
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => Err("it is UTF-32: save it as UTF-8".into()),
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => without_nul(rest.to_vec()),
        _ => without_nul(bytes),
    }
}

/// No path or pattern holds a NUL, but UTF-16 without a mark is full of them.
fn without_nul(text: Vec<u8>) -> Result<Vec<u8>, String> {
    match text.contains(&0) {
        true => {
            Err("it holds NUL characters: a list is text, one entry a line (UTF-8, or UTF-16 with a byte order mark)"
                .into())
        }
        false => Ok(text),
    }
}

fn utf16(bytes: &[u8], unit: impl Fn([u8; 2]) -> u16) -> Result<Vec<u8>, String> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let wrong = || "it begins like UTF-16 and is none".to_owned();
    if !rest.is_empty() {
        return Err(wrong());
    }
    let text: String =
        char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<_, _>>().map_err(|_| wrong())?;
    without_nul(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str, bytes: impl Fn(u16) -> [u8; 2]) -> Vec<u8> {
        format!("\u{feff}{text}").encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn lists_are_read_however_they_are_encoded() {
        let text = "a\nö/ü 🦀\r\n";
        for list in [
            text.as_bytes().to_vec(),
            format!("\u{feff}{text}").into_bytes(),
            encoded(text, u16::to_le_bytes),
            encoded(text, u16::to_be_bytes),
        ] {
            assert_eq!(list_text(list), Ok(text.as_bytes().to_vec()));
        }
        assert_eq!(list_text(b"a\xff\n".to_vec()), Ok(b"a\xff\n".to_vec()), "a path may hold any bytes");
        assert_eq!(list_text(Vec::new()), Ok(Vec::new()));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for wrong in [&b"a\0b\n"[..], b"\xff\xfea", b"\xff\xfe\0\0a\0\0\0", b"\xff\xfe\x00\xd8", b"\xef\xbb\xbfa\0"] {
            assert!(list_text(wrong.to_vec()).is_err(), "{wrong:?}");
        }
    }
}
