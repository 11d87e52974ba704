//! The part of S3 that readers use: GET and HEAD of objects with ranges, listings of both versions, and what clients ask about a
//! bucket before that.

mod auth;
mod xml;

use std::sync::Arc;

use hyper::StatusCode;

use super::answer::{Answer, answer, bare, file};
use super::keys::{Place, find};
use super::listing::{Lister, Wanted};
use super::request::Asked;
use super::server::Context;
use crate::error::Result;

pub(super) use auth::{is_signed, verify};
pub(super) use xml::{denied, failure};

const XML: &str = "application/xml";

/// The most keys that a listing holds.
const MAX_KEYS: usize = 1000;

/// Answers a request for the bucket, whose name was taken off the path; `key` is what follows it.
pub(super) async fn in_bucket(context: &Arc<Context>, asked: &Asked, key: &[u8]) -> Result<Answer> {
    if !key.is_empty() {
        return object(context, asked, key).await;
    }
    if asked.is_head() {
        return Ok(bare(StatusCode::OK));
    }
    let is_asked = |name: &str| asked.value(name).is_some();
    if is_asked("location") {
        return Ok(answer(StatusCode::OK, XML, xml::location()));
    }
    if is_asked("versioning") {
        return Ok(answer(StatusCode::OK, XML, xml::versioning()));
    }
    const OTHERS: [&str; 8] =
        ["acl", "policy", "tagging", "lifecycle", "uploads", "versions", "object-lock", "encryption"];
    if OTHERS.iter().any(|name| is_asked(name)) {
        return Ok(failure(StatusCode::NOT_IMPLEMENTED, "NotImplemented", "this is not served here"));
    }
    list(context, asked).await
}

/// The buckets that there are: one.
pub(super) fn buckets(context: &Context) -> Answer {
    answer(StatusCode::OK, XML, xml::buckets(&context.bucket))
}

async fn object(context: &Arc<Context>, asked: &Asked, key: &[u8]) -> Result<Answer> {
    let key = key.to_vec();
    let open = context.read(move |live| match find(live, &key)? {
        Some(Place::File(snapshot, view, entry)) => live.open(&snapshot, view, &entry.path).map(Some),
        _ => Ok(None),
    });
    match open.await? {
        Some(open) => file(asked, open, context.reads()).await,
        None => {
            Ok(failure(StatusCode::NOT_FOUND, "NoSuchKey", "there is no such file in the snapshots that are served"))
        }
    }
}

async fn list(context: &Arc<Context>, asked: &Asked) -> Result<Answer> {
    let refused = |code, why: &str| Ok(failure(StatusCode::BAD_REQUEST, code, why));
    let text = |name| asked.value(name).unwrap_or_default().to_vec();
    let (prefix, delimiter) = (text("prefix"), text("delimiter"));
    if !matches!(delimiter.as_slice(), b"" | b"/") {
        return refused("InvalidArgument", "the delimiter can be / only");
    }
    let is_second = asked.value("list-type") == Some(b"2");
    let after = match (is_second, asked.value("continuation-token")) {
        (true, Some(token)) => match xml::key_of_token(token) {
            Some(key) => key,
            None => return refused("InvalidArgument", "the continuation token is none of this server"),
        },
        (true, None) => text("start-after"),
        (false, _) => text("marker"),
    };
    let most =
        match asked.value("max-keys").map(|text| std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())) {
            None => MAX_KEYS,
            Some(Some(number)) => MAX_KEYS.min(number),
            Some(None) => return refused("InvalidArgument", "max-keys is no number"),
        };
    let as_url = asked.value("encoding-type") == Some(b"url");
    let (bucket, start) = (context.bucket.clone(), text("start-after"));
    let written = context.read(move |live| {
        let wanted = Wanted { prefix: &prefix, grouped: !delimiter.is_empty(), after: &after };
        let mut lister = Lister::new(live, wanted)?;
        let mut page = xml::Page::new(&bucket, &prefix, &delimiter, as_url, is_second, most);
        if is_second {
            page.say("StartAfter", &start);
        } else {
            page.say("Marker", &after);
        }
        while let Some(listed) = lister.next()? {
            if page.is_full() {
                return Ok(page.finish(true));
            }
            page.add(live, listed)?;
        }
        Ok(page.finish(false))
    });
    Ok(answer(StatusCode::OK, XML, written.await?))
}
