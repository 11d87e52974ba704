//! Repositories that nobody can delete: object lock, writers without the right to delete, and getting back what was
//! overwritten or hidden.

use std::collections::BTreeMap;

use crate::cli::{Ran, Snap, finish};
use crate::lab::assert_same;
use crate::noise::noise;
use crate::proxy::{Fault, Proxy};
use crate::servers::{Kind, Server, python};

/// A user of a repository, with these variables.
struct User {
    snap: Snap,
    place: String,
    variables: Vec<(String, String)>,
}

impl User {
    fn run(&self, arguments: &[&str]) -> Ran {
        let mut command = self.snap.command(arguments);
        finish(command.env("SNAP_REPOSITORY", &self.place).envs(self.variables.clone()))
    }

    fn ok(&self, arguments: &[&str]) -> Ran {
        let ran = self.run(arguments);
        assert_eq!((ran.code, said(&ran)), (0, String::new()), "{arguments:?}: {}", ran.stdout);
        ran
    }

    fn night(&self, number: u64) {
        let rows: Vec<u8> = (number * 100..number * 100 + 500).flat_map(|n| noise(n, 40)).collect();
        self.snap.write("data/rows", rows);
        self.snap.write("data/night", number.to_string());
    }
}

/// What was said on standard error, but that moto gives a name to several writers where a bucket has versions: it does now and
/// then on a busy machine, and the probe of `init` finds it out.
fn said(ran: &Ran) -> String {
    let is_of_moto =
        |line: &str| line.contains("one and the same name") || line.contains("one name to several writers");
    ran.stderr.lines().filter(|line| !is_of_moto(line)).collect()
}

/// Makes a bucket with object lock.
const LOCKED_BUCKET: &str = r#"
import sys, boto3
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1")
s3.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
"#;

/// Prints of each version of an object until when it is locked.
const LOCKS: &str = r#"
import sys, boto3, datetime
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1")
for version in s3.list_object_versions(Bucket="locked").get("Versions", []):
    found = s3.head_object(Bucket="locked", Key=version["Key"], VersionId=version["VersionId"])
    until = found.get("ObjectLockRetainUntilDate")
    hours = (until - datetime.datetime.now(datetime.timezone.utc)).total_seconds() / 3600 if until else 0
    print(version["Key"], round(hours, 2), found.get("ObjectLockMode"))
"#;

/// Tries to destroy everything, with all rights.
const ATTACK: &str = r#"
import sys, boto3, botocore
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1")
refused = 0
for version in s3.list_object_versions(Bucket="locked")["Versions"]:
    try:
        s3.delete_object(Bucket="locked", Key=version["Key"], VersionId=version["VersionId"])
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == "AccessDenied", error
        refused += 1
for number, found in enumerate(s3.list_objects_v2(Bucket="locked")["Contents"]):
    if number % 2 == 0:
        s3.put_object(Bucket="locked", Key=found["Key"], Body=b"paid in bitcoin")
    s3.delete_object(Bucket="locked", Key=found["Key"])
assert "Contents" not in s3.list_objects_v2(Bucket="locked")
print(refused)
"#;

fn locks(address: &str) -> BTreeMap<String, f64> {
    let printed = python(LOCKS, &[address]);
    let lock = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let hours: f64 = words[1].parse().unwrap();
        assert!(hours == 0.0 || words[2] == "COMPLIANCE", "{line}");
        (words[0].to_string(), hours)
    };
    printed.lines().map(lock).collect()
}

fn is_needed(key: &str) -> bool {
    ["/packs/", "/index/", "/log/", "/keys/", "/config"].iter().any(|part| key.contains(part))
}

#[test]
fn what_is_locked_cannot_be_destroyed_and_is_read_again_from_its_oldest_version() {
    let Some(server) = Server::of_its_own(Kind::Moto) else { return };
    let address = format!("http://127.0.0.1:{}", server.port);
    python(LOCKED_BUCKET, &[&address]);
    let user = User { snap: Snap::quick(), place: "s3://locked/a/repo".into(), variables: server.variables() };
    user.ok(&["init", "--kdf-memory", "8", "--retain", "1d"]);
    for number in 1..4 {
        user.night(number * 10);
        user.ok(&["create", "data", "--retain", "1d"]);
    }
    for (key, hours) in locks(&address) {
        let is_right = if is_needed(&key) { (23.9..=24.0).contains(&hours) } else { hours == 0.0 };
        assert!(is_right, "{key}: {hours}");
    }
    let report = user.ok(&["retain", "3d", "--json"]).summary();
    assert_eq!(report["retain_secs"], 3 * 86_400);
    assert!(report["packs"]["packs"].as_u64() >= Some(1) && report["entries"].as_u64() >= Some(2), "{report}");
    for (key, hours) in locks(&address).into_iter().filter(|(key, _)| is_needed(key)) {
        assert!((71.9..=72.0).contains(&hours), "{key}: {hours}");
    }
    // A prune hides what it deletes, and what is hidden is still there.
    user.ok(&["forget", "--keep-last", "1", "--retain", "1d"]);
    user.ok(&["prune", "--grace", "0s", "--max-unused", "0", "--retain", "1d"]);
    user.ok(&["check", "--read-data"]);
    let packs = locks(&address).into_iter().filter(|(key, hours)| key.contains("/packs/") && *hours > 71.0).count();
    assert!(packs >= 3, "{packs}");
    // By its environment.
    let mut later = user.snap.command(&["create", "data"]);
    user.night(2);
    let later = finish(later.envs(server.variables()).env("SNAP_REPOSITORY", &user.place).env("SNAP_RETAIN", "2d"));
    assert_eq!((later.code, said(&later)), (0, String::new()));
    let refused: u64 = python(ATTACK, &[&address]).trim().parse().unwrap();
    assert!(refused >= 8, "{refused}");
    let gone = user.run(&["snapshots"]);
    assert!(gone.code != 0, "{}", gone.stdout);
    // As it was, from another machine and from the same.
    let data = user.snap.work("data");
    let other = User { snap: Snap::quick(), place: user.place.clone(), variables: server.variables() };
    for (user, name) in [(&other, "elsewhere"), (&user, "here")] {
        let target = user.snap.path(name);
        user.ok(&["restore", "latest:data", "--target", &target.display().to_string(), "--oldest-versions"]);
        assert_same(&data, &target);
    }
    user.ok(&["check", "--read-data", "--oldest-versions"]);
    let written = user.run(&["create", "data", "--oldest-versions"]);
    assert!(written.code == 1 && written.stderr.contains("older versions"), "{}", written.stderr);
    // Into a new place, where one goes on.
    let moved = User { place: user.snap.path("moved").display().to_string(), ..user };
    let made_from = ["init", "--kdf-memory", "8", "--from-repo", "s3://locked/a/repo", "--oldest-versions"];
    for arguments in [&made_from[..], &["copy", "--from-repo", "s3://locked/a/repo", "--oldest-versions"]] {
        let mut command = moved.snap.command(arguments);
        command.env("SNAP_REPOSITORY", &moved.place).env("SNAP_FROM_PASSWORD", crate::cli::PASSWORD);
        let done = finish(command.envs(server.variables()));
        assert_eq!((done.code, said(&done)), (0, String::new()), "{arguments:?}");
    }
    moved.ok(&["check", "--read-data"]);
    assert_eq!(moved.ok(&["snapshots", "--json"]).objects("snapshot").len(), 2);
}

/// In S3's words and in Google's, on a store of our own: moto lets locks be shortened.
fn locks_are_set_and_extended(kind: Kind) {
    let Some(server) = Server::of_its_own(kind) else { return };
    let bucket = server.in_process.as_ref().unwrap();
    let user = User { snap: Snap::quick(), place: server.place(), variables: server.variables() };
    user.ok(&["init", "--kdf-memory", "8", "--retain", "1d"]);
    for number in 1..4 {
        user.night(number * 10);
        user.ok(&["create", "data", "--retain", "1d"]);
    }
    let first = bucket.locks("");
    assert!(first.iter().all(|(key, lock)| is_needed(key) == lock.is_some()), "{first:?}");
    user.ok(&["retain", "3d"]);
    let longer = bucket.locks("");
    let needed = || longer.iter().filter(|(key, _)| is_needed(key));
    assert!(needed().all(|(key, lock)| *lock > first[key]), "{longer:?}");
    // Never shorter.
    user.ok(&["retain", "2d"]);
    assert_eq!(bucket.locks(""), longer);
    // What is not needed any more is let go when its time is over, and not before.
    user.ok(&["forget", "--keep-last", "1"]);
    let pruned = user.ok(&["prune", "--grace", "0s", "--max-unused", "0", "--json"]).summary();
    assert!(pruned["retained"]["packs"].as_u64() >= Some(1) && pruned["swept"]["packs"] == 0, "{pruned}");
    user.ok(&["check", "--read-data"]);
    assert!(needed().all(|(key, lock)| bucket.locks("").get(key) == Some(lock)));
}

#[test]
fn locks_are_set_and_extended_on_s3() {
    locks_are_set_and_extended(Kind::InProcess);
}

#[test]
fn locks_are_set_and_extended_on_a_fake_of_googles_store() {
    locks_are_set_and_extended(Kind::Google);
}

/// Where nothing can be locked, that is said before anything is written.
#[test]
fn a_place_without_locks_is_refused_where_they_are_asked_for() {
    let snap = Snap::bare();
    let refused = snap.ends(1, &["init", "--kdf-memory", "8", "--retain", "1d"]);
    assert!(refused.stderr.contains("cannot be locked here"), "{}", refused.stderr);
    assert!(!snap.path("repository").exists());
    for (time, words) in [("0", "not at all"), ("11y", "ten years"), ("soon", "")] {
        let refused = snap.ends(2, &["init", "--kdf-memory", "8", "--retain", time]);
        assert!(refused.stderr.contains(words), "{}", refused.stderr);
    }
    let snap = Snap::new();
    assert!(snap.ends(1, &["retain", "1d"]).stderr.contains("object lock"));
}

/// Stores without versions refuse to delete what is locked: that is no failure of the prune, and the next one tries again.
#[test]
fn what_a_store_does_not_let_go_yet_waits_for_the_next_prune() {
    let Some(server) = Kind::InProcess.get() else { return };
    let proxy = Proxy::before(server.port);
    let user = User { snap: Snap::quick(), place: server.place(), variables: server.variables_at(proxy.port) };
    user.ok(&["init", "--kdf-memory", "8"]);
    for number in 1..4 {
        user.night(number * 10);
        user.ok(&["create", "data"]);
    }
    user.ok(&["forget", "--keep-last", "1"]);
    let refuse = |code: &'static str| {
        move |method: &str, target: &str| {
            let is_data = ["/packs/", "/index/", "?delete"].iter().any(|part| target.contains(part));
            (is_data && (method == "DELETE" || method == "POST")).then_some(Fault::AnswerBefore(403, code))
        }
    };
    proxy.plan(refuse("ObjectLocked"));
    let prune = ["prune", "--grace", "0s", "--max-unused", "0", "--json"];
    let first = user.ok(&prune).summary();
    assert!(first["retained"]["packs"].as_u64() >= Some(1) && first["swept"]["packs"] == 0, "{first}");
    let said = user.ok(&["prune", "--grace", "0s"]);
    assert!(said.stdout.contains("cannot be deleted yet"), "{}", said.stdout);
    user.ok(&["check", "--read-data"]);
    // That there is no right to delete is another matter.
    proxy.plan(refuse("AccessDenied"));
    let denied = user.run(&prune);
    assert!(denied.code == 1 && denied.stderr.contains("AccessDenied"), "{}", denied.stderr);
    proxy.be_sound();
    let last = user.ok(&prune).summary();
    assert_eq!((&last["swept"]["packs"], &last["retained"]["packs"]), (&first["retained"]["packs"], &0.into()));
    user.ok(&["check", "--read-data"]);
}

/// Makes a user who may list, get and put, and has everybody's rights looked at from then on.
const WRITER: &str = r#"
import sys, json, boto3, urllib.request
address = sys.argv[1]
common = dict(endpoint_url=address, aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1")
boto3.client("s3", **common).create_bucket(Bucket="guarded")
iam = boto3.client("iam", **common)
policy = json.loads(sys.argv[2])
iam.create_user(UserName="writer")
iam.put_user_policy(UserName="writer", PolicyName="writer", PolicyDocument=json.dumps(policy))
key = iam.create_access_key(UserName="writer")["AccessKey"]
urllib.request.urlopen(urllib.request.Request(address + "/moto-api/reset-auth", data=b"0", method="POST", headers={"Content-Type": "text/plain"}))
print(key["AccessKeyId"], key["SecretAccessKey"])
"#;

/// The policy that `docs/remote.md` gives writers, word for word.
fn policy_of_writers() -> String {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/remote.md")).unwrap();
    let after = page.split_once("A writer on S3").expect("the page has a policy for writers").1;
    let policy = after.split_once("```json\n").unwrap().1.split_once("```").unwrap().0;
    policy.replace("BUCKET", "guarded").replace("PREFIX", "c")
}

#[test]
fn a_writer_needs_no_right_to_delete() {
    let Some(server) = Server::of_its_own(Kind::Moto) else { return };
    let address = format!("http://127.0.0.1:{}", server.port);
    let printed = python(WRITER, &[&address, &policy_of_writers()]);
    let (id, secret) = printed.trim().split_once(' ').unwrap();
    let mut variables = server.variables();
    for (name, value) in &mut variables {
        match name.as_str() {
            "AWS_ACCESS_KEY_ID" => *value = id.into(),
            "AWS_SECRET_ACCESS_KEY" => *value = secret.into(),
            _ => {}
        }
    }
    let user = User { snap: Snap::quick(), place: "s3://guarded/c/repo".into(), variables };
    user.ok(&["init", "--kdf-memory", "8"]);
    for number in 1..4 {
        user.night(number);
        user.ok(&["create", "data"]);
    }
    user.ok(&["forget", "latest~2"]);
    user.ok(&["tag", "latest", "--add", "x"]);
    user.ok(&["check", "--read-data"]);
    let pruned = user.run(&["prune", "--grace", "0s", "--max-unused", "0"]);
    assert!(pruned.code == 1 && pruned.stderr.contains("AccessDenied"), "{} {}", pruned.code, pruned.stderr);
    user.ok(&["check", "--read-data"]);
    // Nor may it write elsewhere.
    let elsewhere = User { place: "s3://guarded/d/repo".into(), ..user };
    assert_eq!(elsewhere.run(&["init", "--kdf-memory", "8"]).code, 1);
}

/// What is asked for to read writes nothing, also where this machine would try the store out first; and what is asked for to write
/// is no obstacle to reading.
#[test]
fn reading_older_versions_writes_nothing_and_a_directory_has_none() {
    let Some(server) = Server::of_its_own(Kind::InProcess) else { return };
    let bucket = server.in_process.as_ref().unwrap();
    let user = User { snap: Snap::quick(), place: server.place(), variables: server.variables() };
    user.night(1);
    for arguments in [&["create", "data", "--oldest-versions"][..], &["init", "--oldest-versions"]] {
        let ran = user.run(arguments);
        assert!(ran.code != 0, "{arguments:?}: {}", ran.stdout);
        assert_eq!(bucket.size("").0, 0, "{arguments:?}");
    }
    let local = User { place: user.snap.path("local").display().to_string(), variables: Vec::new(), ..user };
    local.ok(&["init", "--kdf-memory", "8"]);
    local.ok(&["create", "data"]);
    for arguments in [&["snapshots", "--oldest-versions"][..], &["forget", "--keep-last", "1", "--oldest-versions"]] {
        let ran = local.run(arguments);
        assert!(ran.code == 2 && ran.stderr.contains("keeps no versions"), "{}", ran.stderr);
    }
    let retaining = |arguments: &[&str]| {
        let mut command = local.snap.command(arguments);
        finish(command.env("SNAP_REPOSITORY", &local.place).env("SNAP_RETAIN", "30d"))
    };
    assert_eq!(retaining(&["ls", "latest"]).code, 0);
    let refused = retaining(&["create", "data"]);
    assert!(refused.code == 1 && refused.stderr.contains("cannot be locked"), "{}", refused.stderr);
}
