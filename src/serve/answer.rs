//! Answers: their status, what all of them say, and files with ranges.

use std::sync::Arc;

use hyper::header::{self, HeaderValue};
use hyper::{HeaderMap, Response, StatusCode};
use tokio::sync::Semaphore;

use super::body::{AnswerBody, Part, of_file};
use super::request::Asked;
use super::text::http_date;
use crate::error::Result;
use crate::live::OpenFile;

/// An answer.
pub(super) type Answer = Response<AnswerBody>;

/// An answer of this type and text.
pub(super) fn answer(status: StatusCode, kind: &'static str, text: impl Into<hyper::body::Bytes>) -> Answer {
    let mut answer = Response::new(AnswerBody::whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// An answer without content.
pub(super) fn bare(status: StatusCode) -> Answer {
    let mut answer = Response::new(AnswerBody::empty());
    *answer.status_mut() = status;
    answer
}

/// A text for people.
pub(super) fn plain_text(status: StatusCode, text: impl Into<String>) -> Answer {
    let mut text: String = text.into();
    text.push('\n');
    answer(status, "text/plain; charset=utf-8", text)
}

/// Sets a header, unless it cannot hold the value.
pub(super) fn set(answer: &mut Answer, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

/// Which bytes of a file are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    /// All.
    Whole,
    /// This many from there on.
    Part { start: u64, length: u64 },
    /// None that it has.
    Outside,
}

/// Reads a range (RFC 9110, section 14). Several ranges, other units and what makes no sense are passed over, as it allows.
pub(super) fn range_of(value: Option<&str>, length: u64) -> Range {
    let Some((first, last)) =
        value.and_then(|value| value.trim().strip_prefix("bytes=")).and_then(|v| v.split_once('-'))
    else {
        return Range::Whole;
    };
    let number = |text: &str| {
        let digits = text.trim();
        let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        // A number with more digits than fit lies beyond the end of any file.
        is_number.then(|| digits.parse::<u64>().unwrap_or(u64::MAX))
    };
    match (first.trim().is_empty(), number(first), number(last)) {
        (true, _, Some(0)) => Range::Outside,
        (true, _, Some(_)) if length == 0 => Range::Outside,
        (true, _, Some(last)) => Range::Part { start: length.saturating_sub(last), length: last.min(length) },
        (false, Some(start), _) if start >= length && (last.trim().is_empty() || number(last).is_some()) => {
            Range::Outside
        }
        (false, Some(start), None) if last.trim().is_empty() => Range::Part { start, length: length - start },
        (false, Some(start), Some(end)) if end >= start => {
            Range::Part { start, length: end.min(length - 1) - start + 1 }
        }
        _ => Range::Whole,
    }
}

/// A file or a part of it, under the conditions of the request.
pub(super) async fn file(asked: &Asked, open: Arc<OpenFile>, reads: Arc<Semaphore>) -> Result<Answer> {
    let tag = format!("\"{}\"", open.tag());
    let entry = open.entry();
    let modified = http_date(entry.mtime.seconds);
    let names =
        |list: &str| list.trim() == "*" || list.split(',').any(|named| named.trim().trim_start_matches("W/") == tag);
    let mut answer = if asked.header(header::IF_MATCH).is_some_and(|list| !names(list)) {
        bare(StatusCode::PRECONDITION_FAILED)
    } else if asked
        .header(header::IF_NONE_MATCH)
        .map_or_else(|| asked.header(header::IF_MODIFIED_SINCE).is_some_and(|since| since == modified), names)
    {
        bare(StatusCode::NOT_MODIFIED)
    } else {
        let is_same = asked.header(header::IF_RANGE).is_none_or(|named| named == tag || named == modified);
        let range = range_of(asked.header(header::RANGE).filter(|_| is_same), open.length());
        content(asked, &open, range, reads).await?
    };
    set(&mut answer, header::ETAG, &tag);
    set(&mut answer, header::LAST_MODIFIED, &modified);
    set(&mut answer, header::ACCEPT_RANGES, "bytes");
    Ok(answer)
}

async fn content(asked: &Asked, open: &Arc<OpenFile>, range: Range, reads: Arc<Semaphore>) -> Result<Answer> {
    let (status, start, length) = match range {
        Range::Whole => (StatusCode::OK, 0, open.length()),
        Range::Part { start, length } => (StatusCode::PARTIAL_CONTENT, start, length),
        Range::Outside => {
            let mut answer = bare(StatusCode::RANGE_NOT_SATISFIABLE);
            set(&mut answer, header::CONTENT_RANGE, &format!("bytes */{}", open.length()));
            return Ok(answer);
        }
    };
    let body = match asked.is_head() {
        true => AnswerBody::empty(),
        false => of_file(Part { file: open.clone(), start, length }, reads).await?,
    };
    let mut answer = Response::new(body);
    *answer.status_mut() = status;
    set(&mut answer, header::CONTENT_TYPE, "application/octet-stream");
    set(&mut answer, header::CONTENT_LENGTH, &length.to_string());
    if status == StatusCode::PARTIAL_CONTENT {
        let last = start.saturating_add(length).saturating_sub(1);
        set(&mut answer, header::CONTENT_RANGE, &format!("bytes {start}-{last}/{}", open.length()));
    }
    Ok(answer)
}

/// What every answer says: that browsers take it for nothing else, and show it within nothing else.
pub(super) fn finish(headers: &mut HeaderMap) {
    let mut put = |name: &'static str, value: &'static str| {
        headers.insert(name, HeaderValue::from_static(value));
    };
    put("server", "snap");
    put("x-content-type-options", "nosniff");
    put("referrer-policy", "no-referrer");
    put(
        "content-security-policy",
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'",
    );
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_are_those_of_the_standard() {
        let part = |start, length| Range::Part { start, length };
        for (value, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=2-4", part(2, 3)),
            ("bytes=5-", part(5, 5)),
            ("bytes=-3", part(7, 3)),
            ("bytes=-30", part(0, 10)),
            ("bytes=8-99999999999999999999999", part(8, 2)),
            ("bytes=10-", Range::Outside),
            ("bytes=10-12", Range::Outside),
            ("bytes=-0", Range::Outside),
            ("bytes=99999999999999999999999-", Range::Outside),
            ("bytes=4-2", Range::Whole),
            ("bytes=0-1,4-5", Range::Whole),
            ("rows=0-1", Range::Whole),
            ("bytes=", Range::Whole),
            ("bytes=-", Range::Whole),
            ("bytes=a-b", Range::Whole),
            ("bytes=+1-2", Range::Whole),
        ] {
            assert_eq!(range_of(Some(value), 10), expected, "{value}");
        }
        assert_eq!(range_of(None, 10), Range::Whole);
        assert_eq!(range_of(Some("bytes=0-0"), 0), Range::Outside);
        assert_eq!(range_of(Some("bytes=-5"), 0), Range::Outside);
    }

    proptest! {
        #[test]
        fn a_range_is_never_beyond_the_file(value in "bytes=[0-9]{0,21}-[0-9]{0,21}", length: u64) {
            if let Range::Part { start, length: part } = range_of(Some(&value), length) {
                prop_assert!(part > 0 && start.checked_add(part).is_some_and(|end| end <= length));
            }
        }
    }
}
