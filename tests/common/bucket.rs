//! A bucket in this process: a small HTTP server that speaks as much of the XML interface of Google Cloud Storage and of S3
//! as their clients use here. Of Google's store no server can be had that runs on one's own machine and keeps its
//! promises, so this one is a fake: it does what the documentation says, and proves nothing about the real one. It is also
//! fast, which the servers that other people make for tests are not.
//!
//! Whose interface is spoken goes by how a request is signed. Signatures are not looked at.
#![allow(dead_code, reason = "each test file uses what it needs")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::listen::listen;

/// What the one bucket is called.
pub const BUCKET: &str = "repositories";

/// Serves as long as the process lives.
pub struct Bucket {
    pub port: u16,
    state: Arc<State>,
}

/// Requests since somebody last asked, and the bytes of their bodies and of those of the answers.
#[derive(Debug, Default, Clone)]
pub struct Tally {
    /// By method, and whether it was about a list or batch of objects: `GET`, `PUT`, `LIST`, `DELETE`, ...
    pub requests: BTreeMap<&'static str, u64>,
    pub sent: u64,
    pub received: u64,
}

impl Tally {
    pub fn count(&self) -> u64 {
        self.requests.values().sum()
    }
}

#[derive(Default)]
struct State {
    objects: Mutex<BTreeMap<String, Object>>,
    uploads: Mutex<BTreeMap<String, BTreeMap<u32, Vec<u8>>>>,
    tally: Mutex<Tally>,
    generations: AtomicU64,
}

#[derive(Clone)]
struct Object {
    bytes: Arc<Vec<u8>>,
    generation: u64,
    modified: u64,
    /// Until then it can be neither deleted nor overwritten. Of this form: `2026-11-30T12:00:00Z`.
    locked: Option<String>,
}

impl Object {
    fn is_locked(&self) -> bool {
        self.locked.as_ref().is_some_and(|until| *until > moment(now()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Bucket {
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let serving = state.clone();
        Self { port: listen(move |client| serving.serve(client)), state }
    }

    /// What went by since this was asked for last.
    pub fn take(&self) -> Tally {
        std::mem::take(&mut lock(&self.state.tally))
    }

    /// How many objects there are below a prefix, and how many bytes they have.
    pub fn size(&self, prefix: &str) -> (u64, u64) {
        let objects = lock(&self.state.objects);
        let below = objects.range(prefix.to_string()..).take_while(|(key, _)| key.starts_with(prefix));
        below.fold((0, 0), |(count, bytes), (_, object)| (count + 1, bytes + object.bytes.len() as u64))
    }

    /// Objects below a prefix, and until when each is locked.
    pub fn locks(&self, prefix: &str) -> BTreeMap<String, Option<String>> {
        let objects = lock(&self.state.objects);
        let below = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        below.map(|(key, object)| (key.clone(), object.locked.clone())).collect()
    }

    /// Deletes all that lies below a prefix, locked or not.
    pub fn clear(&self, prefix: &str) {
        lock(&self.state.objects).retain(|key, _| !key.starts_with(prefix));
    }
}

struct Request {
    method: String,
    /// Without the slash at its beginning, decoded.
    path: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Body,
}

enum Body {
    Text(String),
    /// These bytes of an object.
    Of(Arc<Vec<u8>>, std::ops::Range<usize>),
    /// None, but this many are announced.
    Head(usize),
}

impl Answer {
    fn new(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Body::Text(String::new()) }
    }

    fn xml(text: String) -> Self {
        Self { body: Body::Text(format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?>{text}")), ..Self::new(200) }
    }

    fn error(status: u16, code: &str) -> Self {
        let text = format!("<Error><Code>{code}</Code><Message>{code} by the bucket of the tests</Message></Error>");
        Self { status, ..Self::xml(text) }
    }

    fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.headers.push((name, value.to_string()));
        self
    }
}

impl State {
    fn serve(&self, client: TcpStream) {
        let _ = client.set_nodelay(true);
        let Ok(mut writer) = client.try_clone() else { return };
        let mut reader = BufReader::with_capacity(256 << 10, client);
        while let Some(request) = Request::read(&mut reader, &mut writer) {
            let answer = self.answer(&request);
            self.count(&request, &answer);
            if answer.write(&mut writer).is_err() {
                return;
            }
        }
    }

    fn count(&self, request: &Request, answer: &Answer) {
        let kind = match (request.method.as_str(), request.key().is_some()) {
            ("GET", false) => "LIST",
            ("GET", true) => "GET",
            ("PUT", _) => "PUT",
            ("HEAD", _) => "HEAD",
            ("DELETE", _) => "DELETE",
            _ => "POST",
        };
        let mut tally = lock(&self.tally);
        *tally.requests.entry(kind).or_default() += 1;
        tally.sent += request.body.len() as u64;
        tally.received += match &answer.body {
            Body::Text(text) => text.len() as u64,
            Body::Of(_, range) => range.len() as u64,
            Body::Head(_) => 0,
        };
    }

    fn answer(&self, request: &Request) -> Answer {
        let bucket = request.path.split('/').next().unwrap_or("");
        if bucket != BUCKET {
            return Answer::error(404, "NoSuchBucket");
        }
        let has = |name: &str| request.query.contains_key(name);
        match (request.method.as_str(), request.key()) {
            ("HEAD", None) => Answer::new(200),
            ("GET", None) if has("location") => Answer::xml("<LocationConstraint/>".into()),
            ("GET", None) => self.list(request),
            ("POST", None) if has("delete") && !request.is_google() => self.delete_batch(request),
            ("GET", Some(key)) if has("retention") => {
                match lock(&self.objects).get(key).map(|found| found.locked.clone()) {
                    Some(Some(until)) => Answer::xml(format!(
                        "<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"
                    )),
                    _ => Answer::error(404, "NoSuchObjectLockConfiguration"),
                }
            }
            ("PUT", Some(key)) if has("retention") => self.retain(request, key),
            ("GET" | "HEAD", Some(key)) => self.get(request, key),
            ("PUT", Some(_)) if has("partNumber") => self.put_part(request),
            ("PUT", Some(key)) => self.put(request, key, request.body.clone()),
            ("POST", Some(key)) if has("uploads") => {
                let id = format!("upload-{}", self.generations.fetch_add(1, Ordering::SeqCst));
                lock(&self.uploads).insert(id.clone(), BTreeMap::new());
                let told = format!("<Bucket>{BUCKET}</Bucket><Key>{}</Key><UploadId>{id}</UploadId>", escaped(key));
                Answer::xml(format!("<InitiateMultipartUploadResult>{told}</InitiateMultipartUploadResult>"))
            }
            ("POST", Some(key)) if has("uploadId") => self.complete(request, key),
            ("DELETE", Some(_)) if has("uploadId") => {
                lock(&self.uploads).remove(&request.query["uploadId"]);
                Answer::new(204)
            }
            ("DELETE", Some(key)) => {
                let mut objects = lock(&self.objects);
                match objects.get(key) {
                    Some(object) if object.is_locked() => refused(request, key),
                    None if request.is_google() => Answer::error(404, "NoSuchKey"),
                    _ => {
                        objects.remove(key);
                        Answer::new(204)
                    }
                }
            }
            _ => Answer::error(405, "MethodNotAllowed"),
        }
    }

    fn get(&self, request: &Request, key: &str) -> Answer {
        let Some(object) = lock(&self.objects).get(key).cloned() else { return Answer::error(404, "NoSuchKey") };
        let length = object.bytes.len();
        let asked = request.headers.get("range").map(|text| range(text, length));
        let (status, part) = match asked {
            Some(None) => return Answer::error(416, "InvalidRange").with("Content-Range", format!("bytes */{length}")),
            Some(Some(part)) => (206, part),
            None => (200, 0..length),
        };
        let mut answer = Answer::new(status)
            .with("ETag", format!("\"{}\"", object.generation))
            .with("x-goog-generation", object.generation)
            .with("Accept-Ranges", "bytes")
            .with("Content-Type", "application/octet-stream")
            .with("Last-Modified", internet_date(object.modified));
        if status == 206 {
            let (first, last) = (part.start, part.end - 1);
            answer = answer.with("Content-Range", format!("bytes {first}-{last}/{length}"));
        }
        let is_head = request.method == "HEAD";
        Answer { body: if is_head { Body::Head(part.len()) } else { Body::Of(object.bytes, part) }, ..answer }
    }

    fn put(&self, request: &Request, key: &str, bytes: Vec<u8>) -> Answer {
        let asked = |name: &str| request.headers.get(name).map(String::as_str);
        let only_new = match request.is_google() {
            true => asked("x-goog-if-generation-match") == Some("0"),
            false => asked("if-none-match") == Some("*"),
        };
        let mut objects = lock(&self.objects);
        if only_new && objects.contains_key(key) {
            return Answer::error(412, "PreconditionFailed");
        }
        if objects.get(key).is_some_and(Object::is_locked) {
            return refused(request, key);
        }
        let prefix = if request.is_google() { "x-goog" } else { "x-amz" };
        let locked = asked(&format!("{prefix}-object-lock-retain-until-date")).map(String::from);
        if locked.is_some() && asked(&format!("{prefix}-object-lock-mode")) != Some("COMPLIANCE") {
            return Answer::error(400, "InvalidRequest");
        }
        // What is signed is what counts.
        let signed = asked("authorization").unwrap_or("");
        if locked.is_some() && !request.is_google() && !signed.contains("x-amz-object-lock-retain-until-date") {
            return Answer::error(403, "HeadersNotSigned");
        }
        let generation = self.generations.fetch_add(1, Ordering::SeqCst) + 1;
        objects.insert(key.into(), Object { bytes: Arc::new(bytes), generation, modified: now(), locked });
        Answer::new(200).with("ETag", format!("\"{generation}\"")).with("x-goog-generation", generation)
    }

    /// A lock of this mode can be made longer, and not shorter.
    fn retain(&self, request: &Request, key: &str) -> Answer {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let within = |tag: &str| text.split(&format!("<{tag}>")).nth(1)?.split('<').next().map(String::from);
        let (Some("COMPLIANCE"), Some(until)) = (within("Mode").as_deref(), within("RetainUntilDate")) else {
            return Answer::error(400, "MalformedXML");
        };
        if !request.is_google() && !request.headers.contains_key("x-amz-checksum-sha256") {
            return Answer::error(400, "InvalidRequest");
        }
        match lock(&self.objects).get_mut(key) {
            None => Answer::error(404, "NoSuchKey"),
            Some(object) if object.locked.as_ref().is_some_and(|set| *set > until) => {
                Answer::error(403, "AccessDenied")
            }
            Some(object) => {
                object.locked = Some(until);
                Answer::new(200)
            }
        }
    }

    fn put_part(&self, request: &Request) -> Answer {
        let number = request.query["partNumber"].parse().unwrap_or(0);
        let mut uploads = lock(&self.uploads);
        let upload = request.query.get("uploadId").and_then(|id| uploads.get_mut(id));
        let Some(parts) = upload else { return Answer::error(404, "NoSuchUpload") };
        parts.insert(number, request.body.clone());
        Answer::new(200).with("ETag", format!("\"part-{number}\""))
    }

    fn complete(&self, request: &Request, key: &str) -> Answer {
        let Some(parts) = lock(&self.uploads).remove(&request.query["uploadId"]) else {
            return Answer::error(404, "NoSuchUpload");
        };
        let put = self.put(request, key, parts.into_values().flatten().collect());
        if put.status != 200 {
            return put;
        }
        let tag = put.headers.iter().find(|(name, _)| *name == "ETag").map_or("", |(_, tag)| tag).to_string();
        let told = format!("<Key>{}</Key><ETag>{}</ETag>", escaped(key), escaped(&tag));
        Answer {
            headers: put.headers,
            ..Answer::xml(format!("<CompleteMultipartUploadResult>{told}</CompleteMultipartUploadResult>"))
        }
    }

    fn delete_batch(&self, request: &Request) -> Answer {
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let mut objects = lock(&self.objects);
        let mut told = String::new();
        for key in text.split("<Key>").skip(1).filter_map(|rest| rest.split("</Key>").next()) {
            if objects.get(&plain(key)).is_some_and(Object::is_locked) {
                told.push_str(&format!(
                    "<Error><Key>{key}</Key><Code>AccessDenied</Code><Message>{LOCKED}</Message></Error>"
                ));
                continue;
            }
            objects.remove(&plain(key));
            told.push_str(&format!("<Deleted><Key>{key}</Key></Deleted>"));
        }
        Answer::xml(format!("<DeleteResult>{told}</DeleteResult>"))
    }

    /// Version 2 of the listing, which both speak.
    fn list(&self, request: &Request) -> Answer {
        let asked = |name: &str| request.query.get(name).map_or("", String::as_str);
        let (prefix, delimiter) = (asked("prefix"), asked("delimiter"));
        let most: usize = asked("max-keys").parse().unwrap_or(1000).min(1000);
        let after = asked("start-after").max(asked("continuation-token")).to_string();
        let objects = lock(&self.objects);
        let mut told = format!("<Name>{BUCKET}</Name><Prefix>{}</Prefix><MaxKeys>{most}</MaxKeys>", escaped(prefix));
        let (mut count, mut last, mut folders) = (0, String::new(), std::collections::BTreeSet::new());
        let mut is_cut = false;
        let from = std::cmp::max(prefix, after.as_str()).to_string();
        for (key, object) in objects.range(from..).take_while(|(key, _)| key.starts_with(prefix)) {
            if *key <= after && !after.is_empty() {
                continue;
            }
            if count == most {
                is_cut = true;
                break;
            }
            last.clone_from(key);
            let rest = &key[prefix.len()..];
            if let Some(end) = rest.find(delimiter).filter(|_| !delimiter.is_empty()) {
                count += usize::from(folders.insert(format!("{prefix}{}", &rest[..end + delimiter.len()])));
                continue;
            }
            count += 1;
            told.push_str(&format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>\"{}\"</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                escaped(key),
                iso_date(object.modified),
                object.generation,
                object.bytes.len()
            ));
        }
        for folder in folders {
            told.push_str(&format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", escaped(&folder)));
        }
        told.push_str(&format!("<KeyCount>{count}</KeyCount><IsTruncated>{is_cut}</IsTruncated>"));
        if is_cut {
            told.push_str(&format!("<NextContinuationToken>{}</NextContinuationToken>", escaped(&last)));
        }
        Answer::xml(format!(
            "<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">{told}</ListBucketResult>"
        ))
    }
}

impl Request {
    fn read(reader: &mut BufReader<TcpStream>, writer: &mut TcpStream) -> Option<Self> {
        let mut line = String::new();
        let mut next = || {
            line.clear();
            let read = reader.read_line(&mut line).ok()?;
            (read > 0).then(|| line.trim_end().to_string())
        };
        let first = next()?;
        let mut words = first.split(' ');
        let (method, target) = (words.next()?.to_string(), words.next()?.to_string());
        let mut headers = BTreeMap::new();
        loop {
            let line = next()?;
            match line.split_once(':') {
                _ if line.is_empty() => break,
                Some((name, value)) => drop(headers.insert(name.to_ascii_lowercase(), value.trim().to_string())),
                None => return None,
            }
        }
        if headers.contains_key("expect") {
            writer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
        }
        let length: usize = headers.get("content-length").map_or(Some(0), |text| text.parse().ok())?;
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        if headers.get("x-amz-content-sha256").is_some_and(|kind| kind.starts_with("STREAMING-")) {
            body = unchunked(&body);
        }
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let pairs = query.split('&').filter(|pair| !pair.is_empty());
        let query = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, ""))).map(|(k, v)| (decoded(k), decoded(v)));
        Some(Self { method, path: decoded(path.trim_start_matches('/')), query: query.collect(), headers, body })
    }

    /// The object's key, or none where it is about the bucket.
    fn key(&self) -> Option<&str> {
        self.path.split_once('/').map(|(_, key)| key).filter(|key| !key.is_empty())
    }

    fn is_google(&self) -> bool {
        !self.headers.get("authorization").is_some_and(|text| text.starts_with("AWS4"))
    }
}

impl Answer {
    fn write(&self, writer: &mut TcpStream) -> std::io::Result<()> {
        let length = match &self.body {
            Body::Text(text) => text.len(),
            Body::Of(_, range) => range.len(),
            Body::Head(length) => *length,
        };
        let mut head = format!("HTTP/1.1 {} Status\r\n", self.status);
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        // Of an answer without content, its length is not said.
        if self.status != 204 {
            head.push_str(&format!("Content-Length: {length}\r\n"));
        }
        head.push_str("\r\n");
        match &self.body {
            Body::Text(text) => writer.write_all(&[head.as_bytes(), text.as_bytes()].concat()),
            Body::Head(_) => writer.write_all(head.as_bytes()),
            Body::Of(bytes, range) if range.len() < 64 << 10 => {
                writer.write_all(&[head.as_bytes(), &bytes[range.clone()]].concat())
            }
            Body::Of(bytes, range) => {
                writer.write_all(head.as_bytes())?;
                writer.write_all(&bytes[range.clone()])
            }
        }
    }
}

/// What S3 says of an object that is locked.
const LOCKED: &str = "Access Denied because object protected by object lock.";

/// That an object cannot be deleted or overwritten yet, in the words of each store.
fn refused(request: &Request, key: &str) -> Answer {
    let message = match request.is_google() {
        true => format!(
            "Object '{key}' is subject to object retention and cannot be deleted, overwritten or archived until later."
        ),
        false => LOCKED.into(),
    };
    let text = format!("<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>");
    Answer { status: 403, ..Answer::xml(text) }
}

/// Which bytes a `Range` header asks for, or none where the object has none of them.
fn range(text: &str, length: usize) -> Option<std::ops::Range<usize>> {
    let (from, to) = text.strip_prefix("bytes=")?.split_once('-')?;
    let part = match (from.parse::<usize>().ok(), to.parse::<usize>().ok()) {
        (Some(from), Some(to)) => from..(to + 1).min(length),
        (Some(from), None) => from..length,
        (None, Some(last)) => length.saturating_sub(last)..length,
        (None, None) => return None,
    };
    (part.start < part.end).then_some(part)
}

/// The bytes of a body that was signed chunk by chunk: `LENGTH;chunk-signature=...\r\n`, bytes, `\r\n`.
fn unchunked(body: &[u8]) -> Vec<u8> {
    let (mut plain, mut rest) = (Vec::with_capacity(body.len()), body);
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let head = String::from_utf8_lossy(&rest[..end]).into_owned();
        let length = usize::from_str_radix(head.split(';').next().unwrap_or(""), 16).unwrap_or(0);
        let from = end + 2;
        if length == 0 || from + length > rest.len() {
            break;
        }
        plain.extend_from_slice(&rest[from..from + length]);
        rest = rest.get(from + length + 2..).unwrap_or(&[]);
    }
    plain
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::new(), 0);
    while let Some(byte) = bytes.get(at) {
        let hex = bytes.get(at + 1..at + 3).and_then(|two| std::str::from_utf8(two).ok());
        match (byte, hex.and_then(|two| u8::from_str_radix(two, 16).ok())) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 3;
            }
            (b'+', _) => {
                plain.push(b' ');
                at += 1;
            }
            (byte, _) => {
                plain.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&plain).into_owned()
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn plain(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&")
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// Year, month, day. (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.)
fn civil(seconds: u64) -> (u64, usize, u64) {
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month as usize, day)
}

fn clock(seconds: u64) -> String {
    let day = seconds % 86_400;
    format!("{:02}:{:02}:{:02}", day / 3600, day / 60 % 60, day % 60)
}

fn iso_date(seconds: u64) -> String {
    let (year, month, day) = civil(seconds);
    format!("{year}-{month:02}-{day:02}T{}.000Z", clock(seconds))
}

/// As locks have it.
fn moment(seconds: u64) -> String {
    let (year, month, day) = civil(seconds);
    format!("{year}-{month:02}-{day:02}T{}Z", clock(seconds))
}

fn internet_date(seconds: u64) -> String {
    let days = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (year, month, day) = civil(seconds);
    let weekday = days[(seconds / 86_400 % 7) as usize];
    format!("{weekday}, {day:02} {} {year} {} GMT", months[month - 1], clock(seconds))
}
