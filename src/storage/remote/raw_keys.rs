//! Keys of listings as they are.
//!
//! The client takes keys for paths: one that is none (`a//b`, `../x`) fails the whole page, and of one with a slash at its end the
//! slash is dropped. What is not the repository's own has such keys. So before the client reads a listing, each key in it is replaced by
//! its bytes in hexadecimal, which is a path of one part, and is taken back from what the client makes of it.

use super::xml::unescaped;
use crate::id::hex;

/// Marks requests whose answer is such a listing.
#[derive(Debug, Clone, Copy)]
pub(super) struct RawKeys;

/// What keys stand between: those of S3 and Google, and those of Azure, which writes names that are no XML as of a URL.
const TAGS: [(&str, &str, char); 3] =
    [("<Key>", "</Key>", 'k'), ("<Name>", "</Name>", 'k'), ("<Name Encoded=\"true\">", "</Name>", 'u')];

/// A listing in XML with all keys hidden.
pub(super) fn hidden(xml: &[u8]) -> Vec<u8> {
    let mut hidden = Vec::with_capacity(xml.len() * 3 / 2);
    let mut rest = xml;
    while let Some(at) = rest.iter().position(|byte| *byte == b'<') {
        let (before, tag) = rest.split_at(at);
        hidden.extend_from_slice(before);
        let found = TAGS.iter().find_map(|(open, close, form)| {
            let text = tag.strip_prefix(open.as_bytes())?;
            let end = text.windows(close.len()).position(|part| part == close.as_bytes())?;
            Some((open, text.get(..end)?, text.get(end..)?, *form))
        });
        rest = match found {
            Some((open, key, after, form)) => {
                hidden.extend_from_slice(open.as_bytes());
                hidden.push(form as u8);
                hidden.extend_from_slice(hex(key).as_bytes());
                after
            }
            None => {
                hidden.push(b'<');
                tag.get(1..).unwrap_or_default()
            }
        };
    }
    hidden.extend_from_slice(rest);
    hidden
}

/// The key that was hidden so. None for what was not hidden.
pub(super) fn revealed(hidden: &str) -> Option<String> {
    let form = hidden.chars().next()?;
    let digits = hidden.get(form.len_utf8()..)?.as_bytes();
    let bytes = digits.chunks(2).map(byte_of).collect::<Option<Vec<u8>>>()?;
    // XML is UTF-8. What is not cannot be asked for either, and is reported by a name like it.
    let text = unescaped(&String::from_utf8_lossy(&bytes));
    match form {
        'k' => Some(text),
        'u' => Some(unquoted(&text)),
        _ => None,
    }
}

/// The byte of hexadecimal digits.
fn byte_of(digits: &[u8]) -> Option<u8> {
    digits.iter().try_fold(0, |byte: u8, digit| {
        let digit = char::from(*digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())?;
        Some(byte.checked_mul(16)? | digit)
    })
}

/// Puts bytes in place of `%20` and the like.
fn unquoted(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let quoted = (*first == b'%').then(|| after.get(..2)).flatten();
        let byte = quoted.and_then(byte_of);
        bytes.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { after.get(2..).unwrap_or_default() } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(key: &str) -> String {
        key.replace('&', "&amp;").replace('<', "&lt;").replace('\n', "&#10;").replace('\u{1}', "&#x1;")
    }

    proptest! {
        #[test]
        fn any_key_is_one_part_of_a_path_and_comes_back(key in "([a-z./&<\n\u{1} %é;]|&amp;){1,20}") {
            let xml = format!("<Contents><Key>{}</Key><Size>1</Size></Contents>", escaped(&key));
            let text = String::from_utf8(hidden(xml.as_bytes())).unwrap();
            let (_, inner) = text.split_once("<Key>").unwrap();
            let (inner, _) = inner.split_once("</Key>").unwrap();
            prop_assert!(inner.chars().all(|c| c.is_ascii_alphanumeric()));
            prop_assert_eq!(revealed(inner), Some(key));
        }

        #[test]
        fn what_is_no_listing_does_no_harm(xml in prop::collection::vec(any::<u8>(), 0..100), text in ".{0,20}") {
            hidden(&xml);
            revealed(&text);
        }
    }

    #[test]
    fn all_else_of_a_listing_stays() {
        let xml = "<?xml?><List><Prefix>a/</Prefix><Contents><Key>a/b</Key><ETag>\"1\"</ETag></Contents></List>";
        let text = String::from_utf8(hidden(xml.as_bytes())).unwrap();
        assert_eq!(text, xml.replace("a/b", "k612f62"));
        let azure = "<Blob><Name Encoded=\"true\">a%2Fb%01</Name></Blob><Blob><Name>x</Name></Blob>";
        let text = String::from_utf8(hidden(azure.as_bytes())).unwrap();
        assert_eq!(text.matches("<Name>k78</Name>").count(), 1);
        let (_, inner) = text.split_once("<Name Encoded=\"true\">").unwrap();
        assert_eq!(revealed(inner.split_once('<').unwrap().0).unwrap(), "a/b\u{1}");
        assert_eq!(revealed("x61"), None);
        assert_eq!(revealed("k6"), Some("\u{6}".into()));
        assert_eq!((revealed("k+f"), unquoted("%+f%2b")), (None, "%+f+".into()));
    }
}
