//! Sources and targets in object stores, as users meet them: on real servers, behind a proxy that counts and interferes.
#![cfg(feature = "object-store")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use avro_snap::storage::remote::{Got, Location, Notes, Objects};

use crate::cli::{Ran, Snap, finish, text};
use crate::lab::fixtures;
use crate::noise::noise;
use crate::proxy::{Dice, Fault, Proxy, Request};
use crate::servers::{Kind, Server};

/// Content by key, below the place.
type Table = BTreeMap<String, Vec<u8>>;

/// A user with a repository in a directory, and a place in a bucket.
struct Lake<'s> {
    snap: Snap,
    server: &'s Server,
    port: u16,
    objects: Objects,
    /// Its URL, and what keys in it begin with.
    url: String,
    prefix: String,
}

impl<'s> Lake<'s> {
    fn of(server: &'s Server, port: u16) -> Self {
        let snap = Snap::quick();
        snap.ok(&["init", "--kdf-memory", "8"]);
        let url = server.place();
        let location = Location::parse(&url).unwrap();
        let prefix = format!("{}/", location.prefix());
        Self { snap, server, port, objects: Objects::open(&location, server.variables()).unwrap(), url, prefix }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        finish(self.snap.command(arguments).envs(self.server.variables_at(self.port)))
    }

    fn ends(&self, code: i32, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {} {}", ran.stdout, ran.stderr);
        ran
    }

    /// It ends well, and says nothing on standard error.
    fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.ends(0, arguments);
        assert_eq!(ran.stderr, "", "{arguments:?}");
        ran
    }

    fn at(&self, below: &str) -> String {
        format!("{}/{below}", self.url)
    }

    fn put(&self, below: &str, bytes: &[u8]) {
        self.objects.put(&format!("{}{below}", self.prefix), bytes.to_vec(), &Notes::new()).unwrap();
    }

    fn put_all(&self, table: &Table) {
        table.iter().for_each(|(key, bytes)| self.put(key, bytes));
    }

    /// Puts an object by a plain request: with whatever key.
    fn put_raw(&self, below: &str, bytes: &[u8]) {
        self.raw("PUT", below, bytes);
    }

    fn delete(&self, below: &str) {
        self.raw("DELETE", below, b"");
    }

    fn raw(&self, method: &str, below: &str, bytes: &[u8]) {
        let bucket = Location::parse(&self.url).unwrap().bucket().to_string();
        let key = format!("{}{below}", self.prefix);
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
        let quoted: String = key
            .bytes()
            .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
            .collect();
        let head = format!(
            "{method} /{bucket}/{quoted} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nContent-Length: {}\r\nConnection: close\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, \
             Signature=0\r\n\r\n",
            self.server.port,
            bytes.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.server.port)).unwrap();
        stream.write_all(&[head.as_bytes(), bytes].concat()).unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer);
        assert!(answer.starts_with("HTTP/1.1 20"), "{method} {below}: {answer}");
    }

    /// All objects at a place, read as plainly as possible.
    fn table(&self, below: &str) -> Table {
        let prefix = format!("{}{below}", self.prefix);
        let (mut table, mut next) = (Table::new(), None);
        loop {
            let page = self.objects.page(&prefix, next.as_deref(), None).unwrap();
            for object in page.objects {
                let whole = 0..object.size.max(1);
                let Got::Bytes(bytes, _) = self.objects.read(&object.key, whole, None).unwrap() else { panic!() };
                table.insert(object.key.strip_prefix(&prefix).unwrap().to_string(), bytes);
            }
            next = page.next;
            if next.is_none() {
                return table;
            }
        }
    }

    fn saves(&self, sources: &[&str]) -> serde_json::Value {
        self.ok(&[&["create", "--json"], sources].concat()).summary()
    }
}

/// What lies in a directory, by path.
fn files(folder: &Path) -> Table {
    let name = |path: std::path::PathBuf| text(&path);
    crate::lab::files_of(folder).into_iter().map(|(path, bytes)| (name(path), bytes)).collect()
}

/// Objects as tables have them, one larger than a part, and keys that sort otherwise as paths than as text.
fn table() -> Table {
    let mut codecs: Vec<_> =
        std::fs::read_dir(fixtures("codecs")).unwrap().map(|entry| entry.unwrap().path()).collect();
    codecs.sort();
    codecs.retain(|path| path.extension().is_some_and(|end| end == "avro"));
    let avro = |number: usize| std::fs::read(&codecs[number]).unwrap();
    let objects = [
        ("dt=2026-07-01/part-0.avro", avro(0)),
        ("dt=2026-07-01/part-1.avro", avro(1)),
        ("dt=2026-07-02/part-0.avro", noise(1, 100_000)),
        ("dt=2026-07-02/_SUCCESS", Vec::new()),
        ("large.bin", noise(2, 9_500_000)),
        ("a-1/x", b"before a/x as text".to_vec()),
        ("a/x", b"before a-1/x as a path".to_vec()),
        ("a.b", b"before a/x, too".to_vec()),
        ("odd ~[1] é%20&<#+?/{x}", b"a key that has to be written otherwise in URLs and XML".to_vec()),
    ];
    objects.into_iter().map(|(key, bytes)| (key.to_string(), bytes)).collect()
}

/// Requests for objects, and not for listings.
fn reads(requests: &[Request]) -> Vec<String> {
    let is_read = |request: &&Request| {
        request.method == "GET" && !request.target.contains("list-type") && !request.target.contains("comp=list")
    };
    requests.iter().filter(is_read).map(|request| request.target.clone()).collect()
}

/// From the first night to the last.
fn nights(server: &Server) {
    let proxy = Proxy::before(server.port);
    let lake = Lake::of(server, proxy.port);
    let mut orders = table();
    let at = |key: &str| format!("orders/{key}");
    let whole = |table: &Table| table.iter().map(|(key, bytes)| (at(key), bytes.clone())).collect::<Table>();
    lake.put_all(&whole(&orders));
    lake.put("orders-old/x", b"not asked for");
    let source = lake.at("orders/");
    let first = lake.saves(&[&source]);
    assert_eq!((first["files_new"].as_u64(), first["directories"].as_u64()), (Some(9), Some(0)), "{first}");
    assert_eq!(first["bytes_read"], orders.values().map(|bytes| bytes.len() as u64).sum::<u64>());
    assert!(reads(&proxy.take()).len() >= 9);

    // Nothing has changed: nothing is read.
    let same = lake.saves(&[&source]);
    assert_eq!((same["files_unmodified"].as_u64(), same["bytes_read"].as_u64()), (Some(9), Some(0)), "{same}");
    let requests = proxy.take();
    assert_eq!(reads(&requests), [""; 0]);
    // The repository lies in a directory: what is counted went to the source.
    assert_eq!(same["storage"]["requests"].as_u64(), Some(requests.len() as u64), "{same}");
    assert!(requests.len() <= 3, "{requests:?}");

    // One other, one gone, one more.
    orders.insert("dt=2026-07-02/part-0.avro".into(), noise(3, 100_000));
    orders.remove("a.b");
    orders.insert("dt=2026-07-03/part-0.avro".into(), b"new".to_vec());
    lake.put_all(&whole(&orders).into_iter().filter(|(key, _)| key.contains("part-0")).collect());
    match server.kind {
        Kind::Azurite => {
            orders = [("a.b".to_string(), b"before a/x, too".to_vec())].into_iter().chain(orders).collect()
        }
        _ => lake.delete("orders/a.b"),
    }
    proxy.take();
    let third = lake.saves(&[&source]);
    let counts = |key: &str| third[key].as_u64().unwrap();
    // The first part-0 was put again as it was: its tag or its time is another on some stores.
    assert!(counts("files_new") == 1 && (1..=2).contains(&counts("files_changed")), "{third}");
    assert!(reads(&proxy.take()).iter().all(|target| target.contains("part-0")));

    // To a directory, as a whole and in part.
    let inside = format!("latest:{source}");
    lake.ok(&["restore", &inside, "--target", "out", "--verify"]);
    assert_eq!(files(&lake.snap.work("out")), orders);
    lake.ok(&["restore", "latest", "--target", "whole", "--include", "dt=2026-07-03"]);
    let below = format!("{}/orders/dt=2026-07-03/part-0.avro", lake.url.replacen("://", ":/", 1));
    assert_eq!(files(&lake.snap.work("whole")).into_keys().collect::<Vec<_>>(), [below]);

    // To another prefix.
    lake.ok(&["restore", &inside, "--target", &lake.at("copy"), "--verify"]);
    assert_eq!(lake.table("copy/"), orders);

    // What is saved is found by the names under which it was given.
    let listed = lake.ok(&["ls", "latest", &lake.at("orders/dt=2026-07-01")]).stdout;
    assert!(listed.contains("part-1.avro") && !listed.contains("large"), "{listed}");
    assert!(lake.ok(&["find", "large.bin"]).stdout.contains("orders/large.bin"));
    let changes = lake.ok(&["diff", "latest~1", "latest"]).stdout;
    assert!(changes.contains("dt=2026-07-03/part-0.avro") && !changes.contains("large"), "{changes}");
    let filtered = lake.ok(&["snapshots", "--json", "--path", &source]).stdout;
    assert_eq!(filtered.matches(&format!("\"{}/orders\"", lake.url)).count(), 3, "{filtered}");
    let dumped = lake.ok(&["dump", "latest", &lake.at("orders/a/x")]);
    assert_eq!(dumped.bytes, orders["a/x"]);

    // What is excluded is not read, and a whole place above is another series.
    let fewer = lake.saves(&[
        &lake.at(""),
        "--exclude",
        "orders/large.bin",
        "--exclude",
        "copy/**",
        "--exclude-larger-than",
        "90k",
    ]);
    let small = |bytes: &&Vec<u8>| bytes.len() <= 90 << 10;
    assert_eq!(fewer["files_new"].as_u64().unwrap(), orders.values().filter(small).count() as u64 + 1, "{fewer}");
    lake.snap.ok(&["check", "--read-data"]);
}

#[test]
fn a_table_on_s3_is_saved_night_after_night_and_restored_anywhere() {
    let Some(server) = Kind::Ministack.get() else { return };
    nights(server);
}

#[test]
fn a_table_on_azure_is_saved_night_after_night_and_restored_anywhere() {
    let Some(server) = Kind::Azurite.get() else { return };
    nights(server);
}

#[test]
fn local_and_remote_sources_are_one_snapshot() {
    let Some(server) = Kind::Ministack.get() else { return };
    let lake = Lake::of(server, server.port);
    lake.put("a/one", b"1");
    lake.put("b/two", b"22");
    lake.put("b/three", b"333");
    lake.snap.write("local/four", "4444");
    let object = lake.at("b/two");
    let sources = ["local", &lake.at("a/"), &lake.at("a/one"), &object];
    let saved = lake.saves(&sources);
    assert_eq!((saved["files_new"].as_u64(), saved["directories"].as_u64()), (Some(3), Some(1)), "{saved}");
    let again = lake.saves(&sources);
    // The local one may have been written too shortly before.
    assert!(again["bytes_read"] == 0 || (again["files_unmodified"] == 2 && again["bytes_read"] == 4), "{again}");
    let plan = lake.ok(&[&["plan", "--json", "--shards", "2"], &sources[..]].concat()).summary();
    assert_eq!((plan["files"].as_u64(), plan["bytes"].as_u64()), (Some(3), Some(7)), "{plan}");
    lake.ok(&["restore", "latest", "--target", "out"]);
    let top = lake.url.replacen("://", ":/", 1);
    let expected = [
        ("local/four".into(), b"4444".to_vec()),
        (format!("{top}/a/one"), b"1".to_vec()),
        (format!("{top}/b/two"), b"22".to_vec()),
    ];
    assert_eq!(files(&lake.snap.work("out")), Table::from(expected));
    // What is restored with --delete goes by what was saved, remote or not.
    std::fs::write(lake.snap.work("out").join(&top).join("a/other"), "x").unwrap();
    std::fs::write(lake.snap.work("out").join(&top).join("other"), "x").unwrap();
    lake.ok(&["restore", "latest", "--target", "out", "--delete"]);
    let left = files(&lake.snap.work("out"));
    assert!(left.len() == 4 && left.contains_key(&format!("{top}/other")), "{:?}", left.keys());
    // A directory that would stand at the same place is not mixed with it.
    lake.snap.write("s3:/x", "x");
    let clash = lake.ends(3, &["create", ".", &lake.at("a")]);
    assert!(clash.stderr.contains("s3:") && clash.stderr.contains("object stores"), "{}", clash.stderr);
}

#[test]
fn keys_that_cannot_be_paths_are_reported_and_all_others_are_saved() {
    let Some(server) = Kind::Moto.get() else { return };
    let lake = Lake::of(server, server.port);
    let sound = ["t/a/b", "t/c", "t/empty dir/x", "t/marked/x"];
    sound.iter().for_each(|key| lake.put(key, key.as_bytes()));
    // Marks of directories are directories.
    lake.put_raw("t/", b"");
    lake.put_raw("t/marked/", b"");
    lake.put_raw("t/bare/", b"");
    let saved = lake.saves(&[&lake.at("t")]);
    assert_eq!((saved["files_new"].as_u64(), saved["directories"].as_u64()), (Some(4), Some(3)), "{saved}");
    lake.ok(&["restore", &format!("latest:{}", lake.at("t")), "--target", "out"]);
    assert!(lake.snap.work("out/bare").is_dir());
    assert_eq!(files(&lake.snap.work("out")).len(), 4);

    let lost = ["t/x//y", "t//z", "t/content/", "t/a", "t/tab\tb"];
    lost.iter().for_each(|key| lake.put_raw(key, b"lost"));
    // As some programs mark directories without a slash.
    lake.put("t/old/x", b"x");
    lake.put_raw("t/old", b"");
    let ran = lake.ends(3, &["create", "--json", &lake.at("t")]);
    let summary = ran.summary();
    assert_eq!(summary["unreadable"].as_u64(), Some(lost.len() as u64), "{} {}", ran.stderr, summary);
    assert_eq!((summary["files_unmodified"].as_u64(), summary["files_new"].as_u64()), (Some(4), Some(1)), "{summary}");
    assert!(ran.stderr.contains("saved as a directory") && summary["directories"] == 4, "{summary} {}", ran.stderr);
    for words in ["part of its key is empty", "ends with a slash", "others lie below it", "control characters"] {
        assert!(ran.stderr.contains(words), "{words}: {}", ran.stderr);
    }
    // Where something is missing, nothing is removed for not being there.
    let refused = lake.ends(1, &["restore", "latest", "--target", "out", "--delete"]);
    assert!(refused.stderr.contains("could not be read"), "{}", refused.stderr);
    // What is excluded is not missing.
    let excluded =
        ["create", &lake.at("t"), "--exclude", "t/x", "--exclude", "z", "--exclude", "content", "--exclude", "t/tab*"];
    let ran = lake.ends(3, &excluded);
    assert!(
        ran.stderr.matches("could not").count() <= 1 && ran.stderr.contains("others lie below it"),
        "{}",
        ran.stderr
    );
    // The object itself, and what lies below it.
    let ran = lake.ends(3, &["create", &lake.at("t/a")]);
    assert!(ran.stderr.contains("a slash after the URL"), "{}", ran.stderr);
    lake.ok(&["create", &lake.at("t/a/")]);
}

#[test]
fn what_is_not_there_is_an_error_and_no_empty_snapshot() {
    let Some(server) = Kind::Ministack.get() else { return };
    let lake = Lake::of(server, server.port);
    lake.put("there/x", b"x");
    lake.snap.write("data/x", "x");
    let bucket = Location::parse(&lake.url).unwrap().bucket().to_string();
    for (source, words) in [
        (lake.at("none/"), "was a variable not set"),
        (lake.at("ther"), "was a variable not set"),
        (lake.at("there/x/"), "leave out the slash"),
        ("s3://nowhere-to-be-found/x".into(), "NoSuchBucket"),
    ] {
        let ran = lake.ends(1, &["create", &source]);
        assert!(ran.stderr.contains(words) && ran.stderr.contains("credentials"), "{source}: {}", ran.stderr);
        assert!(ran.stderr.contains(source.trim_end_matches('/')), "{}", ran.stderr);
        // With others, they are saved, and it is said that something is missing.
        let ran = lake.ends(3, &["create", "data", &source]);
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
        lake.ends(1, &["restore", "latest", "--target", "out", "--delete"]);
    }
    for source in [format!("s3://{bucket}//"), lake.at("/"), lake.at("/x"), "s3://".into(), "s3://a b/x".into()] {
        let ran = lake.ends(2, &["create", &source]);
        assert!(ran.stderr.contains(&source), "{}", ran.stderr);
    }
    let ran = lake.ends(2, &["create", &lake.at("there"), "--exclude-caches"]);
    assert!(ran.stderr.contains("are not looked for"), "{}", ran.stderr);
    let mut command = lake.snap.command(&["create", &lake.at("there/")]);
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_EC2_METADATA_DISABLED", "true")];
    let ran = finish(command.envs(server.variables()).envs(nobody));
    assert!(ran.code == 1 && ran.stderr.contains("AWS_PROFILE") && ran.stderr.contains(&lake.url), "{}", ran.stderr);
    assert_eq!(lake.snap.ok(&["snapshots", "--json"]).stdout.matches("\"paths\"").count(), 4, "those of mixed sources");
}

#[test]
fn an_object_that_is_replaced_while_it_is_read_is_read_again_or_reported() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let lake = Lake::of(server, proxy.port);
    lake.put("t/small", b"small");
    lake.put("t/large", &noise(1, 9 << 20));
    // Before the second request for it, another one of the same length takes its place; `most` times.
    let meddle = |first: u64, most: u64| {
        let objects = Objects::open(&Location::parse(&lake.url).unwrap(), server.variables()).unwrap();
        let (key, asked, replaced) = (format!("{}t/large", lake.prefix), AtomicU64::new(0), AtomicU64::new(0));
        proxy.plan(move |method, target| {
            let is_read = method == "GET" && target.contains("t/large");
            if is_read && asked.fetch_add(1, Ordering::Relaxed) % 3 == 1 && replaced.load(Ordering::Relaxed) < most {
                let number = replaced.fetch_add(1, Ordering::Relaxed);
                objects.put(&key, noise(first + number, 9 << 20), &Notes::new()).unwrap();
            }
            None
        });
    };
    meddle(100, 1);
    let source = lake.at("t/");
    let saved = lake.ok(&["create", "--json", &source]).summary();
    assert_eq!(saved["files_new"].as_u64(), Some(2), "{saved}");
    proxy.be_sound();
    lake.ok(&["restore", &format!("latest:{source}"), "--target", "out"]);
    assert!(
        std::fs::read(lake.snap.work("out/large")).unwrap() == noise(100, 9 << 20),
        "it is one of its states, and no mixture"
    );
    meddle(200, u64::MAX);
    let ran = lake.ends(3, &["create", "--force", &source]);
    assert!(ran.stderr.contains("t/large") && ran.stderr.contains("replaced"), "{}", ran.stderr);
    assert!(!lake.ok(&["ls", "latest"]).stdout.contains("large"));
}

#[test]
fn what_comes_from_sources_and_goes_to_targets_keeps_to_the_limits() {
    let Some(server) = Kind::Ministack.get() else { return };
    let lake = Lake::of(server, server.port);
    (0..3).for_each(|number| lake.put(&format!("in/{number}"), &noise(number, 1 << 20)));
    let takes = |arguments: &[&str]| {
        let began = std::time::Instant::now();
        lake.ok(arguments);
        began.elapsed().as_secs_f64()
    };
    // The last object of three need not be waited for.
    let time = takes(&["create", &lake.at("in/"), "--limit-download", "2M"]);
    assert!(time > 0.95, "{time} s");
    let time = takes(&["restore", "latest", "--target", &lake.at("out/"), "--limit-upload", "2M"]);
    assert!(time > 0.95, "{time} s");
}

#[test]
fn what_lies_in_the_target_is_replaced_as_asked() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let lake = Lake::of(server, proxy.port);
    let write = |name: &str, bytes: &[u8]| lake.snap.write(&format!("data/{name}"), bytes);
    write("a/large", &noise(5, 20 << 20));
    write("a/small", b"small");
    write("b", b"b");
    write("empty", b"");
    std::fs::create_dir(lake.snap.work("data/hollow")).unwrap();
    std::os::unix::fs::symlink("b", lake.snap.work("data/link")).unwrap();
    std::fs::hard_link(lake.snap.work("data/b"), lake.snap.work("data/second")).unwrap();
    // Older than what is put into the target below: stores know whole seconds.
    let before = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    for name in ["a/large", "a/small", "b", "empty"] {
        let file = std::fs::File::options().write(true).open(lake.snap.work(&format!("data/{name}"))).unwrap();
        file.set_modified(before).unwrap();
    }
    lake.ok(&["create", "data"]);
    let (target, mut expected) = (lake.at("out"), files(&lake.snap.work("data")));
    expected.remove("link");
    let restore = |flags: &[&str]| {
        let ran = lake.ends(0, &[&["restore", "latest:data", "--json", "--target", &target], flags].concat());
        let summary = ran.summary();
        (ran, move |key: &str| summary[key].as_u64().unwrap())
    };
    // A dry run writes nothing.
    let (_, counts) = restore(&["--dry-run"]);
    assert_eq!((counts("files_new"), lake.table("out").len()), (5, 0));
    let (ran, counts) = restore(&["--verify"]);
    assert_eq!((counts("files_restored"), counts("verified"), counts("directories_skipped")), (5, 5, 2));
    assert!(ran.stderr.contains("no symlink here"), "{}", ran.stderr);
    assert_eq!(lake.table("out/"), expected);
    let notes = lake.objects.head(&format!("{}out/a/large", lake.prefix)).unwrap().unwrap().1;
    assert!(notes.contains_key("mtime") && notes.contains_key("mode") && notes.contains_key("blake3"), "{notes:?}");

    // The same is known by what was kept beside it, and not read.
    proxy.take();
    let (_, counts) = restore(&["--overwrite", "if-changed"]);
    assert_eq!((counts("files_restored"), counts("files_skipped")), (0, 5));
    assert_eq!(reads(&proxy.take()), [""; 0]);
    let (_, counts) = restore(&["--dry-run"]);
    assert_eq!((counts("files_same"), counts("files_differing")), (5, 0));
    // What others put there is read, unless its length says enough.
    lake.put("out/a/small", b"small");
    lake.put("out/b", b"B");
    lake.put("out/second", b"longer");
    let (_, counts) = restore(&["--overwrite", "if-changed"]);
    assert_eq!((counts("files_restored"), counts("files_skipped")), (2, 3));
    assert_eq!(lake.table("out/"), expected);
    // What was put there after the files were written is newer.
    lake.put("out/b", b"B");
    let (ran, counts) = restore(&["--overwrite", "if-newer"]);
    assert_eq!(counts("files_restored"), 0, "{}{}", ran.stdout, ran.stderr);
    lake.put("out/second", b"S");
    lake.raw("DELETE", "out/empty", b"");
    let (_, counts) = restore(&["--overwrite", "never"]);
    assert_eq!(counts("files_restored"), 1);
    assert_eq!((&lake.table("out/")["b"], &lake.table("out/")["second"]), (&b"B".to_vec(), &b"S".to_vec()));
    let (_, counts) = restore(&[]);
    assert_eq!((counts("files_restored"), lake.table("out/")), (5, expected.clone()));
    // Back again.
    lake.ok(&["create", &target]);
    lake.ends(0, &["restore", &format!("latest:{target}"), "--target", "back"]);
    assert_eq!(files(&lake.snap.work("back")), expected);
    for flag in ["--delete", "--sparse", "--restore-suid"] {
        let ran = lake.ends(2, &["restore", "latest", "--target", &target, flag]);
        assert!(ran.stderr.contains("is for directories"), "{}", ran.stderr);
    }
    let ran = lake.ends(1, &["restore", "latest", "--target", "s3://nowhere-to-be-found/x"]);
    assert!(ran.stderr.contains("NoSuchBucket"), "{}", ran.stderr);
    lake.ends(2, &["restore", "latest", "--target", &format!("{target}//")]);
}

#[test]
fn names_that_no_key_can_be_are_reported() {
    let Some(server) = Kind::Ministack.get() else { return };
    let lake = Lake::of(server, server.port);
    lake.snap.write("data/tab\tb", "x");
    lake.snap.write("data/fine", "x");
    std::fs::write(
        lake.snap.work("data").join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"\xff")),
        "x",
    )
    .unwrap();
    lake.ok(&["create", "data"]);
    let ran = lake.ends(1, &["restore", "latest:data", "--target", &lake.at("out")]);
    assert!(ran.stderr.contains("control characters") && ran.stderr.contains("not UTF-8"), "{}", ran.stderr);
    assert_eq!(lake.table("out/").into_keys().collect::<Vec<_>>(), ["fine"]);
}

#[test]
fn faults_on_the_way_neither_mix_nor_lose_anything() {
    let Some(server) = Kind::Moto.get() else { return };
    let proxy = Proxy::before(server.port);
    let lake = Lake::of(server, proxy.port);
    let faults = [Fault::CutBefore, Fault::CutAfter, Fault::AnswerAfter(500, "InternalError"), Fault::Truncated];
    let orders = table();
    lake.put_all(&orders.iter().map(|(key, bytes)| (format!("t/{key}"), bytes.clone())).collect());
    let storm = |seed: u64| {
        let mut dice = Dice(seed);
        proxy.plan(move |_, _| (dice.below(5) == 0).then(|| faults[dice.below(4) as usize]));
    };
    storm(1);
    lake.ok(&["create", &lake.at("t")]);
    storm(2);
    lake.ok(&["restore", &format!("latest:{}", lake.at("t")), "--target", &lake.at("out"), "--verify"]);
    proxy.be_sound();
    assert_eq!(lake.table("out/"), orders);
    // The answer to the completion of a large object is lost, and the store knows nothing of it any more.
    let mut lost = false;
    proxy.plan(move |method, target| {
        let completes = method == "POST" && target.contains("uploadId");
        (completes && !std::mem::replace(&mut lost, completes)).then_some(Fault::CutAfter)
    });
    lake.ok(&["restore", &format!("latest:{}", lake.at("t")), "--target", &lake.at("again"), "--include", "large.bin"]);
    assert_eq!(lake.table("again/")["large.bin"], orders["large.bin"]);
}

#[test]
fn the_repository_is_neither_saved_nor_written_to() {
    let Some(server) = Kind::Ministack.get() else { return };
    let lake = Lake::of(server, server.port);
    let repository = lake.at("backups");
    let run = |code: i32, arguments: &[&str]| {
        let mut command = lake.snap.command(arguments);
        let ran = finish(command.env("SNAP_REPOSITORY", &repository).envs(server.variables()));
        assert_eq!(ran.code, code, "{arguments:?}: {} {}", ran.stdout, ran.stderr);
        ran
    };
    run(0, &["init", "--kdf-memory", "8"]);
    lake.put("orders/x", b"x");
    let saved = run(0, &["create", "--json", &lake.at("")]).summary();
    assert_eq!(saved["files_new"].as_u64(), Some(1), "{saved}");
    let ran = run(1, &["restore", "latest", "--target", &format!("{repository}/out")]);
    assert!(ran.stderr.contains("needs for itself"), "{}", ran.stderr);
    lake.snap.write("backups/config", "no");
    run(0, &["create", "backups"]);
    let ran = run(1, &["restore", "latest", "--target", &lake.url]);
    assert!(ran.stderr.contains("the repository in use"), "{}", ran.stderr);
    run(0, &["check"]);
}
