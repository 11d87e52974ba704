//! `serve`: what lies in snapshots is read over HTTP and as S3, byte for byte, and nothing else is.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use crate::cli::Snap;
use crate::http::{Answered, Keys, ask, exchange, get};

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// A server that runs.
pub(crate) struct Server {
    child: Child,
    pub(crate) port: u16,
    pub(crate) keys: Keys,
    pub(crate) bucket: String,
}

impl Server {
    pub(crate) fn start(snap: &Snap, more: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--bucket", "lake", "--json"], more].concat();
        let mut child = snap.process(&arguments).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let serving: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(serving["message_type"], "serving", "{line}");
        let text = |name: &str| serving[name].as_str().unwrap_or_default().to_owned();
        let port = text("address").rsplit(':').next().unwrap().parse().unwrap();
        let keys = Keys { access_key: text("access_key"), secret_key: text("secret_key") };
        Self { child, port, keys, bucket: text("bucket") }
    }

    fn get(&self, address: &str) -> Answered {
        get(self.port, address)
    }

    /// Ends it as a service is ended; its exit code.
    pub(crate) fn end(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        status.code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const SCHEMA: &str =
    r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},{"name":"text","type":"string"}]}"#;

/// A container of these numbers.
fn table(codec: &str, numbers: std::ops::Range<i64>) -> Vec<u8> {
    let schema = apache_avro::Schema::parse_str(SCHEMA).unwrap();
    let codec =
        if codec == "deflate" { apache_avro::Codec::Deflate(Default::default()) } else { apache_avro::Codec::Null };
    let mut writer = apache_avro::Writer::builder().schema(&schema).writer(Vec::new()).codec(codec).build().unwrap();
    for number in numbers {
        let mut record = apache_avro::types::Record::new(&schema).unwrap();
        record.put("id", number);
        record.put("text", format!("row number {number}"));
        writer.append_value(record).unwrap();
    }
    writer.into_inner().unwrap()
}

fn count_of(container: &[u8]) -> usize {
    apache_avro::Reader::new(container).unwrap().collect::<Result<Vec<_>, _>>().unwrap().len()
}

/// Two nights of a table and some files with names that sort oddly.
fn saved() -> (Snap, BTreeMap<String, Vec<u8>>) {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    let mut files = BTreeMap::new();
    let mut put = |name: &str, content: Vec<u8>| {
        snap.write(name, &content);
        files.insert(name.to_owned(), content);
    };
    put("lake/orders/part-0.avro", table("deflate", 0..5000));
    put("lake/orders/part-1.avro", table("null", 5000..5100));
    put("lake/a", b"a file".to_vec());
    put("lake/a-b/x", vec![]);
    put("lake/a.b", vec![7; 100_000]);
    put("lake/b!", vec![1]);
    put("lake/b/1", vec![2]);
    put("lake/b/c d/ü+%&<>.txt", b"odd".to_vec());
    put("lake/b-", vec![3]);
    put("lake/b0", vec![4]);
    snap.ok(&["create", "--quiet", "--series", "lake", "lake"]);
    (snap, files)
}

/// As clients encode keys.
fn encoded(key: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    key.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[test]
fn files_come_as_they_were_saved_in_whole_and_in_ranges() {
    let (snap, files) = saved();
    let server = Server::start(&snap, &[]);
    for (name, content) in &files {
        let address = encoded(&format!("/exact/latest/{name}"));
        let whole = server.get(&address);
        assert_eq!((whole.status, whole.body == *content), (200, true), "{name}");
        assert_eq!(whole.header("content-length"), Some(content.len().to_string().as_str()));
        let tag = whole.header("etag").unwrap().to_owned();
        assert_eq!(ask(server.port, "GET", &address, &[("if-none-match", &tag)]).status, 304);
        assert_eq!(ask(server.port, "GET", &address, &[("if-match", "\"other\"")]).status, 412);
        let head = ask(server.port, "HEAD", &address, &[]);
        assert_eq!((head.status, head.body.len(), head.header("etag")), (200, 0, Some(tag.as_str())));
        for (start, end) in [(0, 0), (1, 70_000), (content.len() / 2, content.len() * 2)] {
            let range = format!("bytes={start}-{end}");
            let part = ask(server.port, "GET", &address, &[("range", &range)]);
            if start >= content.len() {
                assert_eq!((part.status, part.body.len()), (416, 0), "{name} {range}");
                continue;
            }
            let end = (end + 1).min(content.len());
            assert_eq!((part.status, part.body == content[start..end]), (206, true), "{name} {range}");
            let said = format!("bytes {start}-{}/{}", end - 1, content.len());
            assert_eq!(part.header("content-range"), Some(said.as_str()));
        }
    }
    // The plain view is another container with the same records.
    let plain = server.get("/plain/latest/lake/orders/part-0.avro");
    let saved = &files["lake/orders/part-0.avro"];
    assert!(plain.body.len() > saved.len() && count_of(&plain.body) == 5000 && count_of(saved) == 5000);
    assert_eq!(server.end(), Some(0));
}

#[test]
fn names_mean_the_snapshot_that_they_mean_when_they_are_asked_for() {
    let (snap, files) = saved();
    let server = Server::start(&snap, &[]);
    let path = "lake/orders/part-1.avro";
    let read = |name: &str| server.get(&format!("{name}/{path}"));
    let first = read("/exact/latest").body;
    assert_eq!(first, files["lake/orders/part-1.avro"]);
    snap.write("lake/orders/part-1.avro", table("null", 0..7));
    snap.ok(&["create", "--quiet", "--series", "lake", "--accept-losses", "lake"]);
    let until = Instant::now() + Duration::from_secs(30);
    while count_of(&read("/exact/latest").body) != 7 {
        assert!(Instant::now() < until, "the new snapshot does not appear");
        std::thread::sleep(Duration::from_millis(100));
    }
    for older in ["/exact/latest~1", "/series/lake/latest~1/exact"] {
        assert_eq!(read(older).body, first, "{older}");
    }
    assert_eq!(count_of(&read("/series/lake/latest/plain").body), 7);
    let ids = snap.snapshot_ids();
    assert_eq!(read(&format!("/exact/{}", &ids[0][..8])).body, first);
    assert_eq!(read("/exact/@2000-01-01").status, 404);
    assert_eq!(count_of(&read("/exact/@2999-01-01").body), 7);
    for nothing in ["/exact/latest~2", "/exact/0000", "/series/other/latest/exact", "/exact/never", "/other/latest"] {
        assert_eq!(read(nothing).status, 404, "{nothing}");
    }
    // What is forgotten and pruned is not there any more, and the rest is.
    snap.ok(&["forget", &ids[0], "--quiet"]);
    snap.ok(&["prune", "--grace", "0", "--max-unused", "0", "--quiet"]);
    let until = Instant::now() + Duration::from_secs(30);
    while read("/exact/latest~1").status != 404 {
        assert!(Instant::now() < until, "the removed snapshot stays");
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(count_of(&read("/exact/latest").body), 7);
}

/// The elements of this name.
fn elements(text: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap().to_owned()).collect()
}

/// All that a listing says, page by page.
fn listed(server: &Server, query: &str, page: usize) -> Vec<String> {
    let mut found = Vec::new();
    let mut token = String::new();
    loop {
        let address = format!("/{}?{token}{query}&list-type=2&max-keys={page}", server.bucket);
        let (path, parameters) = address.split_once('?').unwrap();
        let mut parameters: Vec<&str> = parameters.split('&').filter(|part| !part.is_empty()).collect();
        parameters.sort_unstable();
        let answer = server.keys.get(server.port, &format!("{path}?{}", parameters.join("&")));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let text = answer.text();
        let mut keys = elements(&text, "Key");
        keys.extend(text.split("<CommonPrefixes>").skip(1).flat_map(|rest| elements(rest, "Prefix")));
        keys.sort_unstable();
        assert!(keys.len() <= page);
        found.extend(keys);
        match elements(&text, "NextContinuationToken").pop() {
            Some(next) => token = format!("continuation-token={next}&"),
            None => return found,
        }
    }
}

#[test]
fn listings_are_in_the_order_of_keys_whatever_the_page() {
    let (snap, files) = saved();
    let server = Server::start(&snap, &[]);
    let prefix = "exact/latest/".to_owned();
    let mut expected: Vec<String> = files.keys().map(|name| encoded(&format!("{prefix}{name}"))).collect();
    let raw = |key: &String| percent(key);
    expected.sort_by_key(raw);
    for page in [1, 2, 3, 1000] {
        let query = format!("prefix={}&encoding-type=url", encoded(&prefix).replace('/', "%2F"));
        assert_eq!(listed(&server, &query, page), expected, "pages of {page}");
        let query = format!("delimiter=%2F&prefix={}lake%2F&encoding-type=url", encoded(&prefix).replace('/', "%2F"));
        let below = format!("{prefix}lake/");
        let mut groups: Vec<String> = files
            .keys()
            .map(|name| {
                let rest = name.strip_prefix("lake/").unwrap();
                encoded(&format!("{below}{}", rest.find('/').map_or(rest, |slash| &rest[..=slash])))
            })
            .collect();
        groups.sort_by_key(raw);
        groups.dedup();
        let mut seen = listed(&server, &query, page);
        seen.sort_by_key(raw);
        assert_eq!(seen, groups, "groups in pages of {page}");
    }
    // From the middle of a name on.
    let query = format!("encoding-type=url&prefix={}", encoded(&format!("{prefix}lake/b")).replace('/', "%2F"));
    assert_eq!(listed(&server, &query, 2).len(), 5);
    assert_eq!(listed(&server, "delimiter=%2F&encoding-type=url", 1), ["exact/", "plain/", "series/"]);
    assert_eq!(listed(&server, "prefix=nothing%2Fhere&encoding-type=url", 5), [""; 0]);
}

/// Decodes percent signs.
fn percent(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = [rest.next().unwrap(), rest.next().unwrap()];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap());
    }
    bytes
}

#[test]
fn only_those_who_hold_the_keys_read_the_bucket() {
    let (snap, _) = saved();
    let server = Server::start(&snap, &[]);
    let key = "/lake/exact/latest/lake/a".to_owned();
    assert_eq!(server.keys.get(server.port, &key).body, b"a file");
    assert_eq!(server.get(&key).status, 403);
    assert_eq!(server.get("/lake?list-type=2").status, 403);
    let wrong = Keys { secret_key: "wrong".into(), ..server.keys.clone() };
    assert!(wrong.get(server.port, &key).text().contains("SignatureDoesNotMatch"));
    let wrong = Keys { access_key: "wrong".into(), ..server.keys.clone() };
    assert!(wrong.get(server.port, &key).text().contains("InvalidAccessKeyId"));
    let signed = |time: &str, method: &str, address: &str| {
        let headers = server.keys.headers(server.port, "GET", &key, time);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        ask(server.port, method, address, &headers)
    };
    let now = jiff::Timestamp::now();
    let time = |minutes: i64| {
        now.checked_sub(jiff::Span::new().minutes(minutes)).unwrap().strftime("%Y%m%dT%H%M%SZ").to_string()
    };
    assert_eq!(signed(&time(1), "GET", &key).status, 200);
    for late in [20, -20] {
        assert!(signed(&time(late), "GET", &key).text().contains("RequestTimeTooSkewed"));
    }
    // A signature is good for what was signed alone.
    assert_eq!(signed(&time(0), "GET", &format!("{key}.b")).status, 403);
    assert_eq!(signed(&time(0), "HEAD", &key).status, 403);
    assert_eq!(signed(&time(0), "GET", &format!("{key}?x=y")).status, 403);
    // With --anonymous no keys are needed, on this machine only.
    let open = Server::start(&snap, &["--anonymous"]);
    assert_eq!(open.get(&key).body, b"a file");
    let refused = snap.ends(2, &["serve", "--anonymous", "--listen", "0.0.0.0:0"]);
    assert!(refused.stderr.contains("--anonymous"), "{}", refused.stderr);
}

#[test]
fn nothing_outside_the_snapshots_is_read_and_nothing_is_written() {
    let (snap, _) = saved();
    snap.write("secret/key", b"do not show");
    std::os::unix::fs::symlink(snap.work("secret/key"), snap.work("lake/link")).unwrap();
    snap.ok(&["create", "--quiet", "--series", "lake", "lake"]);
    snap.ok(&["create", "--quiet", "--series", "other", "secret"]);
    let server = Server::start(&snap, &["--anonymous", "--series", "lake"]);
    for address in [
        "/exact/latest/../../../../etc/passwd".to_owned(),
        "/exact/latest/%2e%2e/%2e%2e/etc/passwd".into(),
        "/exact/latest/..%2f..%2fetc%2fpasswd".into(),
        "/exact/latest/lake%2Fa".into(),
        "/exact/latest//lake/a".into(),
        "/exact/latest/lake/a/".into(),
        "/exact/latest/lake/a/b".into(),
        "/exact/latest/lake/link".into(),
        "/exact/latest/secret/key".into(),
        "/series/other/latest/exact/secret/key".into(),
        "/exact/latest/%00".into(),
        "/lake/exact/latest/../x".into(),
    ] {
        let answer = server.get(&address);
        assert!(matches!(answer.status, 400 | 404), "{address}: {}", answer.status);
        assert!(!answer.text().contains("do not show") && !answer.text().contains("root:"), "{address}");
    }
    for method in ["PUT", "POST", "DELETE", "PATCH", "OPTIONS"] {
        assert_eq!(ask(server.port, method, "/lake/exact/latest/x", &[]).status, 405, "{method}");
    }
    // A page of somebody else's in a browser reaches this port under its own name.
    for host in ["evil.example", "127.0.0.1.evil.example", ""] {
        assert_eq!(ask(server.port, "GET", "/", &[("host", host)]).status, 421, "{host}");
    }
    assert_eq!(ask(server.port, "GET", "/", &[("host", "localhost:1")]).status, 200);
}

#[test]
fn clients_that_ask_for_too_much_or_stall_harm_nobody() {
    let (snap, files) = saved();
    let server = Server::start(&snap, &["--max-connections", "50"]);
    let huge = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "y".repeat(200_000));
    assert!(exchange(server.port, huge.as_bytes()).is_none_or(|answer| matches!(answer.status, 400 | 431)));
    let many: String = (0..5000).map(|number| format!("x-{number}: y\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n");
    assert!(exchange(server.port, many.as_bytes()).is_none_or(|answer| matches!(answer.status, 400 | 431)));
    for noise in [&b"\x16\x03\x01\x02\x00"[..], b"GET\r\n\r\n", b"\0\0\0\0\r\n\r\n"] {
        assert!(exchange(server.port, noise).is_none_or(|answer| answer.status == 400));
    }
    // Connections that send nothing, and one that reads nothing of a long answer.
    let idle: Vec<TcpStream> = (0..40).map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap()).collect();
    let mut slow = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    let address = "/exact/latest/lake/a.b";
    write!(slow, "GET {address} HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    assert_eq!(server.get(address).body, files["lake/a.b"]);
    drop(idle);
    let mut answer = vec![0; 1000];
    slow.read_exact(&mut answer).unwrap();
}

#[test]
fn pages_say_how_things_are_and_every_link_leads_somewhere() {
    let (snap, _) = saved();
    snap.write("lake/orders/part-1.avro", table("null", 0..7));
    snap.ok(&["create", "--quiet", "--series", "lake", "--accept-losses", "lake"]);
    let server = Server::start(&snap, &[]);
    let home = server.get("/").text();
    assert!(
        home.contains("lake") && home.contains("2 snapshots in all") && home.contains("Nothing is known to be damaged"),
        "{home}"
    );
    let (mut waiting, mut seen) = (vec!["/".to_owned()], std::collections::BTreeSet::new());
    while let Some(address) = waiting.pop() {
        if !seen.insert(address.clone()) {
            continue;
        }
        assert!(seen.len() < 400, "links without end");
        let answer = server.get(&address);
        assert_eq!(answer.status, 200, "{address}: {}", answer.text());
        if answer.header("content-type").is_none_or(|kind| !kind.starts_with("text/html")) {
            continue;
        }
        let page = answer.text();
        well_formed(&page, &address);
        for link in page.split("href=\"").skip(1).map(|rest| rest.split('"').next().unwrap()) {
            waiting.push(followed(&address, &link.replace("&amp;", "&")));
        }
    }
    // Numbers that no page has.
    for odd in ["18446744073709551615", "-1", "x", "99999999999999999999999"] {
        assert_eq!(server.get(&format!("/-/series?name=lake&skip={odd}")).status, 200, "{odd}");
    }
    assert!(seen.iter().any(|address| address.starts_with("/-/diff")), "{seen:?}");
    assert!(seen.iter().any(|address| address.starts_with("/-/table") && address.contains("part-0.avro")), "{seen:?}");
}

/// Where a link of a page leads.
fn followed(page: &str, link: &str) -> String {
    let path = page.split('?').next().unwrap();
    if link.starts_with('/') {
        return link.into();
    }
    if link.starts_with('?') {
        return format!("{path}{link}");
    }
    let mut components: Vec<&str> = path.trim_matches('/').split('/').filter(|part| !part.is_empty()).collect();
    if !path.ends_with('/') {
        components.pop();
    }
    for part in link.split('/').filter(|part| !part.is_empty()) {
        match part {
            "." => {}
            ".." => drop(components.pop()),
            part => components.push(part),
        }
    }
    let slash = if link.ends_with('/') && !components.is_empty() { "/" } else { "" };
    format!("/{}{slash}", components.join("/"))
}

/// Each element is closed where it must be, and none is within another that it does not belong to.
fn well_formed(page: &str, address: &str) {
    const EMPTY: [&str; 2] = ["meta", "!DOCTYPE"];
    let mut open: Vec<&str> = Vec::new();
    for tag in page.split('<').skip(1) {
        let (tag, _) = tag.split_once('>').unwrap_or_else(|| panic!("{address}: a < that is no tag: {tag}"));
        let name = tag.split([' ', '/']).find(|part| !part.is_empty()).unwrap();
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "{address}");
        } else if !EMPTY.contains(&name) && !tag.ends_with('/') {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "{address}: {open:?}");
    assert!(page.contains("lang=\"en\"") && page.contains("<title>") && page.matches("<h1>").count() == 1, "{address}");
}

#[test]
fn a_token_is_asked_for_where_one_is_set() {
    let (snap, _) = saved();
    std::fs::write(snap.path("token"), "swordfish\n").unwrap();
    let file = snap.path("token").to_str().unwrap().to_owned();
    let server = Server::start(&snap, &["--token-file", &file]);
    for address in ["/", "/plain/", "/-/health"] {
        assert_eq!(server.get(address).status, 401, "{address}");
        assert_eq!(ask(server.port, "GET", address, &[("authorization", "Bearer wrong")]).status, 401);
        assert_eq!(ask(server.port, "GET", address, &[("authorization", "Bearer swordfish")]).status, 200);
        assert_eq!(ask(server.port, "GET", address, &[("cookie", "a=b; snap_token=swordfish")]).status, 200);
    }
    let kept = server.get("/-/health?token=swordfish");
    assert_eq!((kept.status, kept.header("location")), (303, Some("/-/health")));
    assert!(kept.header("set-cookie").unwrap().contains("HttpOnly; SameSite=Strict"));
    assert_eq!(server.get("/?token=wrong").status, 401);
    std::fs::write(snap.path("token"), "\n").unwrap();
    assert!(snap.ends(2, &["serve", "--token-file", &file]).stderr.contains("is empty"));
}

#[test]
fn a_report_is_one_file_that_says_the_same() {
    let (snap, _) = saved();
    let file = snap.path("report.html");
    let ran = snap.ok(&["report", "--html", file.to_str().unwrap(), "--json"]);
    let report = ran.objects("report").pop().unwrap();
    assert_eq!(
        (&report["series"][0]["series"], &report["series"][0]["due"]),
        (&Value::from("lake"), &Value::from("unknown"))
    );
    assert_eq!(report["health"]["packs_damaged"], 0);
    let page = std::fs::read_to_string(&file).unwrap();
    well_formed(&page, "report");
    assert!(page.contains("lake") && !page.contains("href"), "{page}");
    let to_stdout = snap.ok(&["report", "--html", "-"]);
    assert!(to_stdout.stdout.starts_with("<!DOCTYPE html>"));
    assert!(snap.ends(2, &["report"]).stderr.contains("--html"));
}
