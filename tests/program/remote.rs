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
    // The first one reads what the last create added.
    user.ok(&["snapshots"]);
    proxy.take();
    user.ok(&["snapshots"]);
    let snapshots = costs("snapshots", &proxy.take());
    user.ok(&["create", "data"]);
    let unchanged = costs("unchanged create", &proxy.take());
    night(&user, 4);
    user.ok(&["create", "data"]);
    let later = costs("one more night", &proxy.take());
    assert!(snapshots.1 <= 4, "snapshots: {} requests in a row", snapshots.1);
    // Of these, five are reads of the log whose end is looked for twice, and two are the same listing of it.
    assert!(unchanged.0 <= 16, "an unchanged create: {} requests", unchanged.0);
    assert!(later.0 <= 22 && later.2 <= 20_000, "one more night: {} requests, {} bytes", later.0, later.2);
}
