//! Text in URLs, XML and HTML.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::live::percent_decoded;

/// What is not encoded in a part of an address: the unreserved characters of RFC 3986, as the signature of S3 wants it.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// The same for a whole path.
const PATH: &AsciiSet = &UNRESERVED.remove(b'/');

/// Encodes all but the unreserved characters; `/` stays where it is one.
pub(super) fn encoded(bytes: &[u8], keeps_slash: bool) -> String {
    percent_encode(bytes, if keeps_slash { PATH } else { UNRESERVED }).to_string()
}

/// Decodes a part of a query, in which `+` is a space. None if it is malformed.
pub(super) fn of_query(text: &str) -> Option<Vec<u8>> {
    percent_decoded(text.replace('+', " ").as_bytes())
}

/// As the text of an element or an attribute. What XML cannot hold becomes U+FFFD.
pub(super) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(character))),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            character => escaped.push(character),
        }
    }
    escaped
}

/// The last second that is written: the protocols know years of four digits only.
fn last_second() -> i64 {
    jiff::Timestamp::MAX.as_second()
}

/// A time as HTTP has it, like `Mon, 30 Nov 2026 00:00:00 GMT`.
pub(super) fn http_date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds.clamp(0, last_second())).unwrap_or_default();
    time.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// A time as S3 has it, like `2026-11-30T00:00:00.000Z`.
pub(super) fn iso_date(seconds: i64) -> String {
    let time = jiff::Timestamp::from_second(seconds.clamp(0, last_second())).unwrap_or_default();
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_those_of_the_protocols() {
        assert_eq!(http_date(1_796_342_400), "Fri, 04 Dec 2026 00:00:00 GMT");
        assert_eq!(iso_date(1_796_342_400), "2026-12-04T00:00:00.000Z");
        assert_eq!(http_date(i64::MIN), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(iso_date(i64::MAX), "9999-12-30T22:00:00.000Z");
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(bytes: Vec<u8>, keeps: bool, text: String) {
            prop_assert_eq!(percent_decoded(encoded(&bytes, keeps).as_bytes()), Some(bytes));
            prop_assert_eq!(of_query(&encoded(text.as_bytes(), keeps)), Some(text.into_bytes()));
        }
    }
}
