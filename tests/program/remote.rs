//! Repositories in object stores, as users meet them: stories on real servers, and what a night costs in requests.
#![cfg(feature = "object-store")]

use std::path::Path;
use std::time::Duration;

use crate::cli::{Ran, Snap, finish};
use crate::lab::assert_same;
use crate::noise::noise;
use crate::proxy::{Dice, Fault, Proxy, Request, bytes_sent, in_a_row};
use crate::servers::{Kind, Server};

/// A user of a store, reached at this port.
struct User<'s> {
    snap: Snap,
    place: String,
    server: &'s Server,
    port: u16,
}

impl<'s> User<'s> {
    fn of(server: &'s Server, port: u16) -> Self {
        Self { snap: Snap::quick(), place: server.place(), server, port }
    }

    /// Another machine, at the same repository.
    fn elsewhere(&self) -> Self {
        Self { snap: Snap::quick(), place: self.place.clone(), ..*self }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.snap.command(arguments);
        finish(command.env("SNAP_REPOSITORY", &self.place).envs(self.server.variables_at(self.port)))
    }

    fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}: {}", ran.stdout);
        ran
    }

    fn restores(&self, data: &Path, target: &str) {
        let target = self.snap.path(target);
        self.ok(&["restore", "latest:data", "--target", &target.display().to_string()]);
        assert_same(data, &target);
    }
}

/// A table that grows every night.
fn night(user: &User<'_>, number: u64) {
    let rows = |from: u64, to: u64| -> Vec<u8> { (from..to).flat_map(|n| noise(n, 40)).collect() };
    user.snap.write("data/old.bin", rows(0, 20_000));
    user.snap.write("data/growing.bin", rows(100_000, 100_000 + 5_000 + number * 10));
    user.snap.write(&format!("data/part-{number}.txt"), format!("part {number}\n"));
}

/// From the first day to the last.
fn lives(user: &User<'_>) {
    let data = user.snap.work("data");
    user.ok(&["init", "--kdf-memory", "8"]);
    let again = user.run(&["init", "--kdf-memory", "8"]);
    assert!(again.code == 1 && again.stderr.contains("there is a repository already"), "{}", again.stderr);
    night(user, 1);
    user.ok(&["create", "data"]);
    user.ok(&["create", "data"]);
    night(user, 2);
    user.ok(&["create", "data"]);
    user.restores(&data, "restored");
    user.ok(&["forget", "--keep-last", "1"]);
    user.ok(&["prune", "--grace", "0s"]);
    user.ok(&["check", "--read-data"]);
    user.restores(&data, "restored again");
    let other = user.elsewhere();
    other.restores(&data, "restored elsewhere");
    other.snap.write("data/more.txt", "from another machine");
    other.ok(&["create", "data"]);
    let listed = user.ok(&["snapshots", "--json"]);
    assert_eq!(
        listed.stdout.matches("\"snapshot_id\"").count().max(listed.stdout.matches("\"id\"").count()),
        2,
        "{}",
        listed.stdout
    );
}

#[test]
fn a_repository_lives_on_s3() {
    let Some(server) = Kind::Ministack.get() else { return };
    lives(&User::of(server, server.port));
}

#[test]
fn a_repository_lives_on_azure() {
    let Some(server) = Kind::Azurite.get() else { return };
    lives(&User::of(server, server.port));
}

#[test]
fn a_repository_lives_on_a_fake_of_googles_store() {
    let Some(server) = Kind::Google.get() else { return };
    lives(&User::of(server, server.port));
}

#[test]
fn a_repository_lives_through_faults() {
    let Some(server) = Kind::Moto.get() else { return };
    let proxy = Proxy::before(server.port);
    let mut dice = Dice(3);
    proxy.plan(move |_, _| {
        let faults = [Fault::CutBefore, Fault::CutAfter, Fault::AnswerAfter(503, "SlowDown"), Fault::Truncated];
        (dice.below(20) == 0).then(|| faults[dice.below(4) as usize])
    });
    lives(&User::of(server, proxy.port));
}

#[test]
fn a_store_that_lies_is_used_by_one_writer_and_that_is_said_each_time() {
    let Some(server) = Kind::Rclone.get() else { return };
    let user = User::of(server, server.port);
    let made = user.run(&["init", "--kdf-memory", "8"]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    assert!(made.stderr.contains("one writer at a time"), "{}", made.stderr);
    night(&user, 1);
    for arguments in [&["create", "data"][..], &["snapshots"], &["check"]] {
        let ran = user.run(arguments);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(ran.stderr.matches("only one snap may write to it at a time").count(), 1, "{}", ran.stderr);
    }
    // Another machine finds out before it writes for the first time.
    let other = user.elsewhere();
    other.snap.write("data/file", "x");
    let ran = other.run(&["create", "data"]);
    assert!(ran.code == 0 && ran.stderr.contains("one writer at a time"), "{}", ran.stderr);
}

#[test]
fn what_is_wrong_with_a_place_is_said_with_a_way_out() {
    let Some(server) = Kind::Ministack.get() else { return };
    let user = User::of(server, server.port);
    let says = |place: &str, change: &[(&str, &str)], words: &[&str]| {
        let mut command = user.snap.command(&["init", "--kdf-memory", "8", "-r", place]);
        command.envs(server.variables()).envs(change.iter().copied());
        let ran = finish(&mut command);
        assert_eq!(ran.code, if words[0] == "usage" { 2 } else { 1 }, "{}", ran.stderr);
        for word in &words[1..] {
            assert!(ran.stderr.contains(word), "{place}: {}", ran.stderr);
        }
    };
    says("s3://nowhere-to-be-found/x", &[], &["", "NoSuchBucket"]);
    says("s3://", &[], &["usage", "s3://BUCKET/PREFIX"]);
    says(&user.place, &[("AWS_ALLOW_HTTP", "")], &["", "AWS_ALLOW_HTTP=true"]);
    says(&user.place, &[("AWS_CHECKSUM_ALGORITHM", "md4")], &["", "sha256, crc64nvme or none"]);
    let nobody = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", ""), ("AWS_EC2_METADATA_DISABLED", "true")];
    says(&user.place, &nobody, &["", "AWS_PROFILE"]);
    says(&user.place, &[nobody[0], nobody[1], ("AWS_PROFILE", "gone")], &["", "no profile gone"]);
    // What lies there already is left alone.
    let below = user.place.rsplit_once('/').unwrap().0.to_string();
    user.ok(&["init", "--kdf-memory", "8"]);
    says(&below, &[], &["", "there are other files"]);
    // Nothing was remembered or made on the way.
    assert!(!user.snap.work("s3:").exists());
}

#[test]
fn a_profile_says_who_one_is_and_where() {
    let Some(server) = Kind::Ministack.get() else { return };
    let user = User::of(server, server.port);
    let home = user.snap.path("home").join(".aws");
    std::fs::create_dir(&home).unwrap();
    let config = format!(
        "[profile lake]\nregion = us-east-1\nendpoint_url = http://127.0.0.1:{}\ncredential_process = echo \
         '{{\"Version\": 1, \"AccessKeyId\": \"key\", \"SecretAccessKey\": \"secret\"}}'\n",
        server.port
    );
    std::fs::write(home.join("config"), config).unwrap();
    let mut command = user.snap.command(&["init", "--kdf-memory", "8", "-r", &user.place]);
    let ran = finish(command.env("AWS_PROFILE", "lake").env("AWS_ALLOW_HTTP", "true"));
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
}

/// The size that the limits of the next test are about: how long a request takes.
const LATENCY: Duration = Duration::from_millis(100);

fn costs(what: &str, requests: &[Request]) -> (usize, usize, u64) {
    let bodies: Vec<String> = requests
        .iter()
        .map(|request| {
            format!("{} {} {}", request.method, request.target.rsplit("repo").next().unwrap_or(""), request.sent)
        })
        .collect();
    let costs = (requests.len(), in_a_row(requests), bytes_sent(requests));
    println!("{what}: {} requests, {} in a row, {} bytes sent\n  {}", costs.0, costs.1, costs.2, bodies.join("\n  "));
    costs
}

#[test]
fn a_night_costs_few_requests_and_few_bytes() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let user = User::of(server, proxy.port);
    user.ok(&["init", "--kdf-memory", "8"]);
    for number in 1..4 {
        night(&user, number);
        user.ok(&["create", "data"]);
    }
    proxy.latency(LATENCY);
    proxy.take();
    // Also the first one after a create of this machine: it has what it wrote.
    user.ok(&["snapshots"]);
    let snapshots = costs("snapshots", &proxy.take());
    user.ok(&["create", "data"]);
    let unchanged = costs("unchanged create", &proxy.take());
    night(&user, 4);
    user.ok(&["create", "data"]);
    let later = costs("one more night", &proxy.take());
    assert!(snapshots.1 <= 4, "snapshots: {} requests in a row", snapshots.1);
    // The config; the key slot, the last entry and two looks beyond it; what lies after that; the packs that there are. Then a
    // pack, its index object and the entry.
    assert!(unchanged.0 <= 10, "an unchanged create: {} requests", unchanged.0);
    assert!(later.0 <= 12 && later.2 <= 20_000, "one more night: {} requests, {} bytes", later.0, later.2);
}

#[test]
fn what_goes_over_the_network_is_counted_with_what_was_sent_again() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let user = User::of(server, proxy.port);
    user.ok(&["init", "--kdf-memory", "8"]);
    night(&user, 1);
    let storage = |ran: &Ran| {
        let summary = ran.summary();
        let count = |key: &str| summary["storage"][key].as_u64().unwrap_or_else(|| panic!("{key}: {summary}"));
        [count("requests"), count("retries"), count("bytes_sent"), count("bytes_received")]
    };
    proxy.take();
    let [requests, retries, sent, received] = storage(&user.ok(&["create", "data", "--json"]));
    let seen = proxy.take();
    assert_eq!((requests, retries), (seen.len() as u64, 0));
    // Heads are not counted.
    assert!(sent > 1_000_000 && sent < bytes_sent(&seen) && received > 0, "{sent} {received}");
    let mut refused = 3;
    proxy.plan(move |method, _| {
        let is_refused = method == "GET" && refused > 0;
        refused -= u32::from(is_refused);
        is_refused.then_some(Fault::AnswerBefore(503, "SlowDown"))
    });
    let [requests, retries, ..] = storage(&user.ok(&["create", "data", "--json"]));
    assert!((1..=3).contains(&retries), "{retries}");
    assert_eq!(requests, proxy.take().len() as u64);
    let told = user.run(&["snapshots", "-v"]);
    assert!(
        told.code == 0 && told.stderr.contains("storage: ") && told.stderr.contains(" received"),
        "{}",
        told.stderr
    );
    // A directory has no network.
    let local = user.snap.ok(&["init", "--kdf-memory", "8", "--json"]);
    assert!(local.summary().get("storage").is_none(), "{}", local.stdout);
}

#[test]
fn small_objects_are_kept_near_within_a_size_and_a_check_looks_at_the_store() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let user = User::of(server, proxy.port);
    let data = user.snap.work("data");
    user.ok(&["init", "--kdf-memory", "8"]);
    night(&user, 1);
    user.ok(&["create", "data"]);
    let packs = |requests: &[Request]| requests.iter().filter(|request| request.target.contains("/packs/")).count();
    proxy.take();
    user.restores(&data, "restored");
    assert_eq!(packs(&proxy.take()), 0, "it is this machine that wrote it");
    let kept = |user: &User<'_>| {
        let shown: serde_json::Value = serde_json::from_str(&user.ok(&["cache", "show", "--json"]).stdout).unwrap();
        (
            shown["objects"].as_u64().unwrap(),
            shown["objects_bytes"].as_u64().unwrap(),
            shown["limit_bytes"].as_u64().unwrap(),
        )
    };
    let (objects, bytes, limit) = kept(&user);
    assert!(objects >= 2 && bytes > 1_000_000 && limit == 512 << 20, "{objects} {bytes} {limit}");
    // What is kept and is not what it was is asked for again.
    let folder = user.snap.path("home").join(".cache/snap/objects");
    for file in std::fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()) {
        let mut bytes = std::fs::read(&file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&file, bytes).unwrap();
    }
    user.restores(&data, "restored again");
    assert!(packs(&proxy.take()) > 0);
    // Nothing is kept where that is not wanted.
    user.ok(&["cache", "clear"]);
    assert_eq!(kept(&user).0, 0);
    user.ok(&["restore", "latest:data", "--target", "elsewhere", "--cache-size", "0"]);
    assert_eq!(kept(&user).0, 0);
    // A pack that is gone from the store is missed, whatever is kept of it.
    night(&user, 2);
    user.ok(&["create", "data"]);
    proxy.plan(|method, target| {
        let is_pack = target.contains("/packs/") && !target.contains("list-type");
        (is_pack && matches!(method, "GET" | "HEAD")).then_some(Fault::AnswerBefore(404, "NoSuchKey"))
    });
    let checked = user.run(&["check", "--read-data"]);
    assert!(checked.code != 0, "{}", checked.stdout);
}

#[test]
fn neighbours_in_a_pack_are_read_together() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let user = User::of(server, proxy.port);
    user.ok(&["init", "--kdf-memory", "8"]);
    user.snap.write("data/large.bin", noise(5, 9 << 20));
    user.ok(&["create", "data"]);
    let other = user.elsewhere();
    proxy.take();
    other.restores(&user.snap.work("data"), "out");
    let seen = proxy.take();
    let reads = seen.iter().filter(|request| request.method == "GET" && request.target.contains("/packs/"));
    let lengths: Vec<u64> = reads.map(|request| request.received).collect();
    println!("reads of packs, in bytes: {lengths:?}");
    let of_data = lengths.iter().filter(|length| **length > 500_000).count();
    // There are nine frames of data; one or two are asked for before it is known what comes next.
    assert!(of_data <= 8, "{lengths:?}");
}

#[test]
fn connections_are_limited_and_flags_that_make_no_sense_are_refused() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let user = User::of(server, proxy.port);
    user.ok(&["init", "--kdf-memory", "8"]);
    night(&user, 1);
    user.snap.write("data/more.bin", noise(7, 3 << 20));
    proxy.latency(Duration::from_millis(20));
    proxy.take();
    user.ok(&["create", "data", "--connections", "1", "--pack-size", "1M", "--limit-upload", "100M"]);
    let seen = proxy.take();
    let packs = seen.iter().filter(|request| request.method == "PUT" && request.target.contains("/packs/")).count();
    assert!(packs >= 2, "packs of 1 MiB: {packs}");
    assert_eq!(in_a_row(&seen), seen.len(), "no two at once");
    for arguments in [
        &["--connections", "0"][..],
        &["--limit-upload", "0"],
        &["--limit-download", "fast"],
        &["--pack-size", "1k"],
        &["--pack-size", "100M"],
        &["--cache-size", "much"],
        &["--storage-class", "a b"],
    ] {
        assert_eq!(user.run(&[&["snapshots"], arguments].concat()).code, 2, "{arguments:?}");
    }
    let local = user.snap.run(&["init", "--kdf-memory", "8", "--storage-class", "GLACIER"]);
    assert!(local.code == 2 && local.stderr.contains("object stores"), "{}", local.stderr);
}

#[test]
fn only_packs_of_data_get_a_storage_class_and_what_has_to_be_thawed_is_listed() {
    for (kind, class) in [(Kind::Ministack, "STANDARD_IA"), (Kind::Azurite, "Cool")] {
        let Some(server) = kind.get() else { continue };
        let proxy = Proxy::before(server.port);
        let user = User::of(server, proxy.port);
        user.ok(&["init", "--kdf-memory", "8"]);
        night(&user, 1);
        proxy.take();
        user.ok(&["create", "data", "--storage-class", class]);
        let seen = proxy.take();
        let made = |request: &&Request| request.method == "PUT";
        let cold: Vec<&Request> = seen.iter().filter(made).filter(|request| request.class.is_some()).collect();
        assert!(
            cold.iter().all(|request| request.target.contains("/packs/") && request.class.as_deref() == Some(class))
        );
        let packs = seen.iter().filter(made).filter(|request| request.target.contains("/packs/"));
        let hot = packs.filter(|request| request.class.is_none()).count();
        assert_eq!((cold.len(), hot), (1, 1), "one pack of data, and one of what the snapshot lists");
        let pack = cold[0].target.split_once("packs/").unwrap().1.split('?').next().unwrap().to_string();
        // It is archived.
        let archived = pack.clone();
        proxy.plan(move |method, target| {
            let is_read = method == "GET" && target.contains(&archived);
            is_read.then_some(Fault::AnswerBefore(403, "InvalidObjectState"))
        });
        let other = user.elsewhere();
        for arguments in [&["snapshots"][..], &["ls", "latest"], &["find", "*.bin"]] {
            other.ok(arguments);
        }
        user.ok(&["create", "data", "--storage-class", class]);
        let listed = other.ok(&["restore", "latest:data", "--target", "out", "--dry-run", "--packs", "--quiet"]);
        let lines: Vec<&str> = listed.stdout.lines().collect();
        assert_eq!(lines.len(), 1, "{}", listed.stdout);
        let (object, bytes) = lines[0].split_once(' ').unwrap();
        assert!(object.ends_with(&pack) && bytes.parse::<u64>().unwrap() > 1_000_000, "{}", listed.stdout);
        let refused = other.run(&["restore", "latest:data", "--target", "out"]);
        assert!(refused.code != 0, "{}", refused.stdout);
        for word in [pack.as_str(), "archived", "--dry-run --packs"] {
            assert!(refused.stderr.contains(word), "{word}: {}", refused.stderr);
        }
        // Thawed.
        proxy.be_sound();
        other.restores(&user.snap.work("data"), "out");
        if kind == Kind::Ministack {
            // This one has archives itself.
            user.snap.write("data/archived.bin", noise(9, 100_000));
            user.ok(&["create", "data", "--storage-class", "GLACIER"]);
            let refused = other.run(&["restore", "latest:data/archived.bin", "--target", "archived"]);
            assert!(refused.code != 0 && refused.stderr.contains("archived"), "{}", refused.stderr);
        }
    }
}
