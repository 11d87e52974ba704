//! What S3 answers with.

use std::fmt::Write as _;

use hyper::StatusCode;

use super::super::answer::{Answer, answer};
use super::super::listing::Listed;
use super::super::text::{encoded, escaped, iso_date};
use super::auth::Denied;
use crate::error::Result;
use crate::id::{hex, unhex};
use crate::live::{Live, tag};
use crate::recipe::View;

const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
const NAMESPACE: &str = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

pub(super) fn location() -> String {
    format!("{DECLARATION}<LocationConstraint {NAMESPACE}>us-east-1</LocationConstraint>")
}

pub(super) fn versioning() -> String {
    format!("{DECLARATION}<VersioningConfiguration {NAMESPACE}/>")
}

pub(super) fn buckets(name: &str) -> String {
    format!(
        "{DECLARATION}<ListAllMyBucketsResult {NAMESPACE}><Owner><ID>snap</ID></Owner><Buckets><Bucket><Name>{}</Name>\
         <CreationDate>2026-01-01T00:00:00.000Z</CreationDate></Bucket></Buckets></ListAllMyBucketsResult>",
        escaped(name)
    )
}

/// An error as clients of S3 read it.
pub(in super::super) fn failure(status: StatusCode, code: &str, message: &str) -> Answer {
    let text =
        format!("{DECLARATION}<Error><Code>{}</Code><Message>{}</Message></Error>", escaped(code), escaped(message));
    answer(status, super::XML, text)
}

/// The answer to a request that is not let in.
pub(in super::super) fn denied(denied: Denied) -> Answer {
    let (code, message) = match denied {
        Denied::Missing => ("AccessDenied", "the request is not signed"),
        Denied::Malformed => ("AuthorizationHeaderMalformed", "the signature cannot be read"),
        Denied::UnknownKey => ("InvalidAccessKeyId", "the access key is not the one that this server was started with"),
        Denied::Skewed => ("RequestTimeTooSkewed", "the clocks of client and server differ by more than 15 minutes"),
        Denied::Expired => ("AccessDenied", "the request has expired"),
        Denied::Wrong => ("SignatureDoesNotMatch", "the signature is not that of this request and the secret key"),
    };
    let status = if denied == Denied::Malformed { StatusCode::BAD_REQUEST } else { StatusCode::FORBIDDEN };
    failure(status, code, message)
}

/// The key that a listing goes on after.
pub(super) fn key_of_token(token: &[u8]) -> Option<Vec<u8>> {
    let digits = std::str::from_utf8(token.strip_prefix(b"k")?).ok()?;
    let mut key = vec![0; digits.len() / 2];
    unhex(digits, &mut key).then_some(key)
}

/// A page of a listing.
pub(super) struct Page {
    text: String,
    as_url: bool,
    is_second: bool,
    most: usize,
    count: usize,
    /// The last key or group that it holds.
    last: Vec<u8>,
    groups: String,
}

impl Page {
    pub(super) fn new(
        bucket: &str,
        prefix: &[u8],
        delimiter: &[u8],
        as_url: bool,
        is_second: bool,
        most: usize,
    ) -> Self {
        let text = format!("{DECLARATION}<ListBucketResult {NAMESPACE}><Name>{}</Name>", escaped(bucket));
        let (last, groups) = (Vec::new(), String::new());
        let mut page = Self { text, as_url, is_second, most, count: 0, last, groups };
        page.element("Prefix", prefix);
        page.say("Delimiter", delimiter);
        if as_url {
            page.text.push_str("<EncodingType>url</EncodingType>");
        }
        let _ = write!(page.text, "<MaxKeys>{most}</MaxKeys>");
        page
    }

    pub(super) fn is_full(&self) -> bool {
        self.count >= self.most
    }

    /// An element, if it has a value.
    pub(super) fn say(&mut self, name: &str, value: &[u8]) {
        if !value.is_empty() {
            self.element(name, value);
        }
    }

    fn element(&mut self, name: &str, value: &[u8]) {
        let value = self.shown(value);
        let _ = write!(self.text, "<{name}>{value}</{name}>");
    }

    fn shown(&self, key: &[u8]) -> String {
        if self.as_url { encoded(key, true) } else { escaped(&String::from_utf8_lossy(key)) }
    }

    pub(super) fn add(&mut self, live: &Live, listed: Listed) -> Result<()> {
        self.count += 1;
        match listed {
            Listed::Common(group) => {
                let shown = self.shown(&group);
                let _ = write!(self.groups, "<CommonPrefixes><Prefix>{shown}</Prefix></CommonPrefixes>");
                self.last = group;
            }
            Listed::Key { key, snapshot, view, entry } => {
                let (size, tag) = match view {
                    View::Exact => (entry.size, tag(&entry, view)),
                    View::Plain => live.plain(&snapshot, &entry)?,
                };
                let (shown, time) = (self.shown(&key), iso_date(entry.mtime.seconds));
                let _ = write!(
                    self.text,
                    "<Contents><Key>{shown}</Key><LastModified>{time}</LastModified><ETag>&quot;{tag}&quot;</ETag>\
                     <Size>{size}</Size><StorageClass>STANDARD</StorageClass></Contents>"
                );
                self.last = key;
            }
        }
        Ok(())
    }

    pub(super) fn finish(mut self, goes_on: bool) -> String {
        let groups = std::mem::take(&mut self.groups);
        self.text.push_str(&groups);
        let _ = write!(self.text, "<IsTruncated>{goes_on}</IsTruncated>");
        if self.is_second {
            let _ = write!(self.text, "<KeyCount>{}</KeyCount>", self.count);
        }
        // Where not even one key was wanted, there is nothing to go on after.
        if goes_on && self.is_second {
            let _ = write!(self.text, "<NextContinuationToken>k{}</NextContinuationToken>", hex(&self.last));
        } else if goes_on {
            let last = self.last.clone();
            self.element("NextMarker", &last);
        }
        self.text.push_str("</ListBucketResult>");
        self.text
    }
}
