//! What is asked of stores that their client here does not know: keeping objects from being deleted (object lock), and
//! older versions of objects. Amazon S3 and what speaks its protocol, and Google's XML interface, which says the same in
//! other headers.
//!
//! Requests that the client makes get the headers of a lock on their way out, and are signed again: S3 takes no header of its
//! own that is not signed. Others are made here.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody};
use object_store::gcp::GcpCredentialProvider;
use object_store::path::Path;
use object_store::{ClientOptions, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::tasks::{Done, Failed, within};
use super::timing::Patience;
use super::traffic::{Counter, Counting};
use super::xml;
use crate::id::unhex;
use crate::storage::StorageErrorKind;

/// No answer that is read here is longer: one page of versions.
const LONGEST_ANSWER: usize = 16 << 20;

/// What S3 knows an empty or unsigned body by.
const HASH_HEADER: &str = "x-amz-content-sha256";

/// Which checksum a request to S3 carries.
const ALGORITHM_HEADER: &str = "x-amz-sdk-checksum-algorithm";

/// Who signs requests.
pub(super) enum Signer {
    S3 { credentials: AwsCredentialProvider, region: String, sign_payload: bool },
    Google { credentials: GcpCredentialProvider },
}

/// A bucket, reached without the client.
pub(super) struct Direct {
    /// The address of the bucket, without a slash at its end.
    pub(super) bucket: String,
    pub(super) signer: Signer,
    /// Whether uploads carry a checksum: S3 takes no lock without one.
    pub(super) has_checksums: bool,
    pub(super) line: Line,
}

/// Connections of our own. They are made when they are first needed, which most processes never come to.
pub(super) struct Line {
    options: ClientOptions,
    counter: Arc<Counter>,
    client: OnceLock<HttpClient>,
}

impl Line {
    pub(super) fn new(options: ClientOptions, counter: &Arc<Counter>) -> Self {
        Self { options, counter: counter.clone(), client: OnceLock::new() }
    }

    fn client(&self) -> object_store::Result<HttpClient> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let made = Counting(self.counter.clone()).connect(&self.options)?;
        Ok(self.client.get_or_init(|| made).clone())
    }
}

impl fmt::Debug for Direct {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Direct").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// That an object is to be locked until then; part of a request that the client makes.
#[derive(Debug, Clone)]
pub(super) struct Lock {
    direct: Arc<Direct>,
    until: String,
}

impl Lock {
    pub(super) fn new(direct: &Arc<Direct>, time: Duration) -> Self {
        Self { direct: direct.clone(), until: in_future(time) }
    }

    /// Adds what says so to a request, and signs it again.
    pub(super) async fn put_on(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let (mode, until) = match self.direct.signer {
            Signer::S3 { .. } => ("x-amz-object-lock-mode", "x-amz-object-lock-retain-until-date"),
            Signer::Google { .. } => ("x-goog-object-lock-mode", "x-goog-object-lock-retain-until-date"),
        };
        let headers = request.headers_mut();
        // S3 wants to hear which checksum it is, where an object is locked.
        for (checksum, algorithm) in [("x-amz-checksum-sha256", "SHA256"), ("x-amz-checksum-crc64nvme", "CRC64NVME")] {
            if headers.contains_key(checksum) {
                headers.insert(ALGORITHM_HEADER, HeaderValue::from_static(algorithm));
            }
        }
        headers.insert(mode, HeaderValue::from_static("COMPLIANCE"));
        headers.insert(until, value(&self.until)?);
        self.direct.sign(request).await
    }
}

/// A moment so far from now, as stores take it.
fn in_future(time: Duration) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = i64::try_from(now.saturating_add(time).as_secs()).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(then).unwrap_or(jiff::Timestamp::MAX).to_string()
}

fn value(text: &str) -> Result<HeaderValue, HttpError> {
    HeaderValue::from_str(text).map_err(|error| HttpError::new(HttpErrorKind::Request, error))
}

impl Direct {
    /// Whether objects can be locked, as far as is known here. Whether the bucket allows it, the store says.
    pub(super) fn locks(&self) -> bool {
        self.has_checksums
    }

    /// Whether older versions of objects can be asked for.
    pub(super) fn has_versions(&self) -> bool {
        matches!(self.signer, Signer::S3 { .. })
    }

    async fn sign(&self, request: &mut HttpRequest) -> Result<(), HttpError> {
        let failed = |error: object_store::Error| HttpError::new(HttpErrorKind::Unknown, error);
        match &self.signer {
            Signer::S3 { credentials, region, sign_payload } => {
                let credential = credentials.get_credential().await.map_err(failed)?;
                let hash = request.headers().get(HASH_HEADER).and_then(hash_of);
                // Where the credentials were replaced since, so is their token.
                request.headers_mut().remove("x-amz-security-token");
                AwsAuthorizer::new(&credential, "s3", region)
                    .with_sign_payload(*sign_payload)
                    .try_authorize(request, hash.as_ref().map(|hash| &hash[..]))
                    .map_err(failed)
            }
            Signer::Google { credentials } => {
                let credential = credentials.get_credential().await.map_err(failed)?;
                let bearer = value(&format!("Bearer {}", credential.bearer))?;
                request.headers_mut().insert("authorization", bearer);
                Ok(())
            }
        }
    }

    /// Makes a request, and returns the text of its answer.
    async fn ask(&self, method: &str, target: &str, body: &str) -> Result<String, object_store::Error> {
        let invalid = || generic(format!("{method} {target} makes no request"));
        let mut request = HttpRequest::new(HttpRequestBody::from(body.as_bytes().to_vec()));
        *request.method_mut() = method.try_into().map_err(|_| invalid())?;
        *request.uri_mut() = format!("{}{target}", self.bucket).parse().map_err(|_| invalid())?;
        self.sign(&mut request).await.map_err(http)?;
        if let (Signer::S3 { .. }, false) = (&self.signer, body.is_empty()) {
            // S3 wants a checksum of what is said of locks: the hash that was just made for the signature.
            let hash = request.headers().get(HASH_HEADER).and_then(hash_of);
            if let Some(hash) = hash {
                request.headers_mut().insert("x-amz-checksum-sha256", value(&base64(&hash)).map_err(http)?);
                request.headers_mut().insert(ALGORITHM_HEADER, HeaderValue::from_static("SHA256"));
                self.sign(&mut request).await.map_err(http)?;
            }
        }
        let answer = self.line.client()?.execute(request).await.map_err(http)?;
        let status = answer.status().as_u16();
        let (mut bytes, mut pieces) = (Vec::new(), answer.into_body().bytes_stream());
        while let Some(piece) = pieces.next().await.transpose().map_err(http)? {
            bytes.extend_from_slice(&piece);
            if bytes.len() > LONGEST_ANSWER {
                return Err(generic(format!("an answer of more than {LONGEST_ANSWER} bytes is too long")));
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let source = || text.clone().into();
        match status {
            200..=299 => Ok(text),
            404 => Err(object_store::Error::NotFound { path: target.into(), source: source() }),
            401 | 403 => Err(object_store::Error::PermissionDenied { path: target.into(), source: source() }),
            _ => Err(object_store::Error::Generic { store: "S3", source: source() }),
        }
    }

    /// Keeps an object from being deleted for this long, if it is not kept longer already.
    pub(super) async fn retain(self: Arc<Self>, key: Path, time: Duration, patience: Patience) -> Done<()> {
        let until = in_future(time);
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>COMPLIANCE</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        let target = format!("/{}?retention", encoded(key.as_ref()));
        let refused = match within(patience.least(), self.ask("PUT", &target, &body)).await {
            Ok(_) => return Ok(()),
            Err(failed) if matches!(failed.kind(), StorageErrorKind::NotFound) || failed.is_passing() => {
                return Err(failed);
            }
            Err(failed) => failed,
        };
        // No store takes an earlier time than the one that is set.
        let set = within(patience.least(), self.ask("GET", &target, "")).await;
        let is_longer = set.is_ok_and(|answer| is_at_or_after(xml::within(&answer, "RetainUntilDate"), &until));
        if is_longer { Ok(()) } else { Err(refused) }
    }

    /// Versions of objects whose keys begin like this, in the order of keys, the newest of each first. `from` is where the
    /// page begins: after this key, or after this version of it.
    pub(super) async fn versions(
        self: Arc<Self>,
        prefix: String,
        from: Option<(String, Option<String>)>,
        patience: Patience,
    ) -> Done<Page> {
        let mut target = format!("?versions&prefix={}", encoded(&prefix).replace('/', "%2F"));
        if let Some((key, version)) = from {
            target.push_str(&format!("&key-marker={}", encoded(&key).replace('/', "%2F")));
            if let Some(version) = version {
                target.push_str(&format!("&version-id-marker={}", encoded(&version).replace('/', "%2F")));
            }
        }
        let answer = within(patience.least(), self.ask("GET", &target, "")).await?;
        Page::parse(&answer).map_err(Failed::Lost)
    }
}

/// One version of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) key: String,
    pub(super) id: String,
    pub(super) size: u64,
    /// Seconds since 1970, where the store says so.
    pub(super) modified: Option<i64>,
}

/// A part of a listing of versions.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Page {
    pub(super) versions: Vec<Version>,
    /// Where the next one begins, if there is one.
    pub(super) next: Option<(String, Option<String>)>,
}

impl Page {
    /// What hides an object (a delete marker) is no version of it.
    fn parse(answer: &str) -> Result<Self, &'static str> {
        let mut versions = Vec::new();
        for part in answer.split("<Version>").skip(1) {
            let part = part.split("</Version>").next().unwrap_or(part);
            let (Some(key), Some(id), Some(size)) =
                (xml::within(part, "Key"), xml::within(part, "VersionId"), xml::within(part, "Size"))
            else {
                return Err("the store listed a version without its key, id or size");
            };
            let size = size.parse().map_err(|_| "the store listed a version with a size that is no number")?;
            let modified = xml::within(part, "LastModified").and_then(|time| time.parse::<jiff::Timestamp>().ok());
            versions.push(Version { key, id, size, modified: modified.map(jiff::Timestamp::as_second) });
        }
        let is_cut = xml::within(answer, "IsTruncated").is_some_and(|word| word == "true");
        let next = match (is_cut, xml::within(answer, "NextKeyMarker")) {
            (true, Some(key)) => Some((key, xml::within(answer, "NextVersionIdMarker"))),
            (true, None) => return Err("the store cut a listing off, and does not say where it goes on"),
            (false, _) => None,
        };
        Ok(Self { versions, next })
    }
}

fn is_at_or_after(time: Option<String>, than: &str) -> bool {
    let parse = |text: &str| text.parse::<jiff::Timestamp>().ok();
    match (time.as_deref().and_then(parse), parse(than)) {
        (Some(time), Some(than)) => time >= than,
        _ => false,
    }
}

fn http(error: HttpError) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: Box::new(error) }
}

fn generic(reason: String) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: reason.into() }
}

/// What is not encoded in a key: the unreserved characters of RFC 3986, as signatures want it, and `/`.
const KEY: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

/// A key as a part of an address.
fn encoded(key: &str) -> String {
    utf8_percent_encode(key, KEY).to_string()
}

/// A SHA-256 in hexadecimal.
fn hash_of(header: &HeaderValue) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    unhex(header.to_str().ok()?, &mut bytes).then_some(bytes)
}

/// As RFC 4648, section 4.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let number = three.iter().chain(&[0, 0]).take(3).fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        for digit in 0..4 {
            let at = (number >> (18 - 6 * digit) & 63) as usize;
            let is_there = digit <= three.len();
            text.push(if is_there { DIGITS.get(at).map_or('=', |digit| char::from(*digit)) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_written_as_base64() {
        let known =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("fooba", "Zm9vYmE=")];
        for (plain, text) in known {
            assert_eq!(base64(plain.as_bytes()), text);
        }
        let hash = |text: &str| hash_of(&HeaderValue::from_str(text).unwrap());
        assert_eq!((hash(&"0f".repeat(32)), hash("UNSIGNED-PAYLOAD")), (Some([15; 32]), None));
    }

    #[test]
    fn moments_are_written_as_stores_take_them() {
        let later = in_future(Duration::from_secs(86_400));
        assert!(later.ends_with('Z') && !later.contains('.') && later.len() == 20, "{later}");
        assert!(is_at_or_after(Some("2124-01-01T00:00:00.000Z".into()), &later));
        assert!(!is_at_or_after(Some("2001-01-01T00:00:00Z".into()), &later) && !is_at_or_after(None, &later));
    }

    #[test]
    fn a_listing_of_versions_is_read_without_what_hides_objects() {
        let answer = "<ListVersionsResult><IsTruncated>true</IsTruncated><NextKeyMarker>a&amp;b</NextKeyMarker>\
            <NextVersionIdMarker>v1</NextVersionIdMarker><DeleteMarker><Key>a&amp;b</Key><VersionId>v3</VersionId></DeleteMarker>\
            <Version><Key>a&amp;b</Key><VersionId>v1</VersionId><Size>7</Size>\
            <LastModified>1970-01-01T00:00:09.000Z</LastModified></Version></ListVersionsResult>";
        let version = Version { key: "a&b".into(), id: "v1".into(), size: 7, modified: Some(9) };
        let next = Some(("a&b".into(), Some("v1".into())));
        assert_eq!(Page::parse(answer), Ok(Page { versions: vec![version], next }));
        for bad in ["<Version><Key>a</Key>", "<IsTruncated>true</IsTruncated>"] {
            assert!(Page::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(Page::parse(""), Ok(Page::default()));
    }
}
