//! Repositories in an object store: how fast, how much memory, and what a month of nights costs in requests and bytes,
//! beside restic. The store is a small server inside the bench, so that its own speed is not what is measured. `README.md` says
//! how to run it.

#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "this is a bench")]

#[path = "../tests/common/bucket.rs"]
mod bucket;
#[path = "../tests/common/listen.rs"]
mod listen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use bucket::{BUCKET, Bucket, Tally};

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let asked = |name: &str| words.is_empty() || words.iter().any(|word| word == name);
    let work = std::env::var_os("SNAP_BENCH_WORK").map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::tempdir_in(work).unwrap();
    if asked("throughput") {
        throughput(folder.path());
    }
    if asked("costs") {
        costs(folder.path());
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().into()
}

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text}")))
}

/// A program with a home of its own, and the bucket's variables.
struct User<'u> {
    program: &'u Path,
    home: PathBuf,
    repository: String,
    port: u16,
}

/// What a run took.
#[derive(Clone, Copy)]
struct Took {
    time: Duration,
    peak_kib: u64,
}

impl<'u> User<'u> {
    fn new(program: &'u Path, folder: &Path, name: &str, repository: String, port: u16) -> Self {
        let home = folder.join(format!("home-{name}"));
        let _ = fs::remove_dir_all(&home);
        fs::create_dir_all(&home).unwrap();
        Self { program, home, repository, port }
    }

    fn run(&self, arguments: &[&str]) -> Took {
        let begun = Instant::now();
        let mut child = Command::new(self.program)
            .args(arguments)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .envs([("SNAP_REPOSITORY", &self.repository), ("RESTIC_REPOSITORY", &self.repository)])
            .envs([("SNAP_PASSWORD", "bench"), ("RESTIC_PASSWORD", "bench"), ("AWS_REGION", "us-east-1")])
            .envs([("AWS_ACCESS_KEY_ID", "key"), ("AWS_SECRET_ACCESS_KEY", "secret"), ("AWS_ALLOW_HTTP", "true")])
            .env("AWS_ENDPOINT_URL", format!("http://127.0.0.1:{}", self.port))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let mut peak_kib = 0;
        let status = loop {
            peak_kib = peak(child.id()).max(peak_kib);
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None => std::thread::sleep(Duration::from_millis(2)),
            }
        };
        assert!(status.success(), "{} {arguments:?}: {status}", self.program.display());
        Took { time: begun.elapsed(), peak_kib }
    }
}

/// The most memory that a process had so far.
fn peak(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn snap() -> PathBuf {
    std::env::var_os("SNAP_PROGRAM").map_or_else(|| env!("CARGO_BIN_EXE_snap").into(), PathBuf::from)
}

fn bytes_below(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .map(|entry| if entry.path().is_dir() { bytes_below(&entry.path()) } else { entry.metadata().unwrap().len() })
        .sum()
}

/// Creates and restores the same data in a directory and in the bucket, in turn; the best of each counts.
fn throughput(folder: &Path) {
    let (size, runs) = (std::env::var("SNAP_BENCH_SIZE").unwrap_or_else(|_| "1G".into()), number("SNAP_BENCH_RUNS", 3));
    let data = folder.join("data");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/generate_data.py");
    let made =
        Command::new("python3").args([script, "--size", &size, "--out"]).arg(&data).stdout(Stdio::null()).status();
    assert!(made.unwrap().success());
    let night = data.join("night1");
    let megabytes = bytes_below(&night) as f64 / 1e6;
    let (bucket, program) = (Bucket::start(), snap());
    let (local, target) = (folder.join("local"), folder.join("target"));
    let places = [("directory", text(&local)), ("bucket", format!("s3://{BUCKET}/speed"))];
    let none = Took { time: Duration::MAX, peak_kib: 0 };
    let mut best = [[none; 2]; 2];
    for _ in 0..runs {
        for (at, (name, place)) in places.iter().enumerate() {
            let user = User::new(&program, folder, name, place.clone(), bucket.port);
            user.run(&["init", "--kdf-memory", "8"]);
            let create = user.run(&["create", "--quiet", &text(&night)]);
            let restore = user.run(&["restore", "--quiet", "latest", "--target", &text(&target)]);
            for (best, took) in best[at].iter_mut().zip([create, restore]) {
                *best = Took { time: best.time.min(took.time), peak_kib: best.peak_kib.max(took.peak_kib) };
            }
            fs::remove_dir_all(&target).unwrap();
            let _ = fs::remove_dir_all(&local);
            bucket.clear("");
        }
    }
    println!("\n{megabytes:.0} MB, the best of {runs}: MB/s, and the most memory of any run in MiB\n");
    println!("| step | directory | bucket | share | memory, directory | memory, bucket |\n|---|---|---|---|---|---|");
    for (step, name) in ["create", "restore"].iter().enumerate() {
        let [local, remote] = [best[0][step], best[1][step]];
        let speed = |took: Took| megabytes / took.time.as_secs_f64();
        println!(
            "| {name} | {:.0} | {:.0} | {:.0} % | {} | {} |",
            speed(local),
            speed(remote),
            100.0 * speed(remote) / speed(local),
            local.peak_kib >> 10,
            remote.peak_kib >> 10
        );
    }
}

/// The same for the same seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// An exported table: each night 1 % of the rows have changed, 0.1 % are gone and 1 % are new, and it is written afresh, with
/// another marker.
struct Table {
    rows: Vec<(u64, u64)>,
    random: Random,
}

const SCHEMA: &str = r#"{"type": "record", "name": "Order", "fields": [{"name": "id", "type": "long"},
 {"name": "version", "type": "long"}, {"name": "reference", "type": "string"}, {"name": "status", "type": "string"},
 {"name": "amount", "type": "long"}, {"name": "note", "type": "string"}]}"#;

fn long(number: u64, to: &mut Vec<u8>) {
    let mut left = number << 1;
    while left > 127 {
        to.push(left as u8 | 128);
        left >>= 7;
    }
    to.push(left as u8);
}

fn string(text: &str, to: &mut Vec<u8>) {
    long(text.len() as u64, to);
    to.extend_from_slice(text.as_bytes());
}

impl Table {
    fn new(rows: u64) -> Self {
        Self { rows: (0..rows).map(|id| (id, 0)).collect(), random: Random(1) }
    }

    fn pass_a_day(&mut self) {
        let count = self.rows.len();
        for _ in 0..count / 100 {
            let at = self.random.next() as usize % count;
            self.rows[at].1 += 1;
        }
        for _ in 0..count / 1000 {
            let at = self.random.next() as usize % self.rows.len();
            self.rows.remove(at);
        }
        let next = self.rows.last().map_or(0, |row| row.0) + 1;
        self.rows.extend((next..next + count as u64 / 100).map(|id| (id, 0)));
    }

    /// Writes it as one Avro file without compression.
    fn write(&mut self, file: &Path) {
        let marker: Vec<u8> = [self.random.next(), self.random.next()].iter().flat_map(|n| n.to_le_bytes()).collect();
        let mut bytes = b"Obj\x01".to_vec();
        long(2, &mut bytes);
        for (key, value) in [("avro.schema", SCHEMA), ("avro.codec", "null")] {
            string(key, &mut bytes);
            string(value, &mut bytes);
        }
        bytes.push(0);
        bytes.extend_from_slice(&marker);
        for block in self.rows.chunks(500) {
            let mut records = Vec::new();
            for (id, version) in block {
                let mut random = Random(id << 20 ^ version);
                long(*id, &mut records);
                long(*version, &mut records);
                string(&format!("{:016x}", Random(*id).next()), &mut records);
                string(["NEW", "PAID", "SHIPPED", "DELIVERED"][random.next() as usize % 4], &mut records);
                long(random.next() % 100_000, &mut records);
                string(&format!("{:x}{:x}", random.next(), random.next()), &mut records);
            }
            long(block.len() as u64, &mut bytes);
            long(records.len() as u64, &mut bytes);
            bytes.extend_from_slice(&records);
            bytes.extend_from_slice(&marker);
        }
        fs::write(file, bytes).unwrap();
    }
}

/// What a program did in the month: after the first night, and that alone.
#[derive(Default)]
struct Month {
    first: Tally,
    nights: Tally,
    prunes: Tally,
    stored: u64,
}

fn add(sum: &mut Tally, tally: Tally) {
    tally.requests.into_iter().for_each(|(kind, count)| *sum.requests.entry(kind).or_default() += count);
    sum.sent += tally.sent;
    sum.received += tally.received;
}

/// Thirty nights, with a week's snapshots kept and a prune each Sunday.
fn month(user: &User<'_>, bucket: &Bucket, folder: &Path, verbs: &Verbs, rows: u64) -> Month {
    let data = folder.join("table");
    let _ = fs::remove_dir_all(&data);
    fs::create_dir_all(&data).unwrap();
    let (mut table, mut month) = (Table::new(rows), Month::default());
    user.run(verbs.init);
    bucket.take();
    for night in 0..30 {
        if night > 0 {
            table.pass_a_day();
        }
        table.write(&data.join("orders.avro"));
        user.run(&[verbs.save, &[&text(&data)]].concat());
        add(if night == 0 { &mut month.first } else { &mut month.nights }, bucket.take());
        if night % 7 == 6 {
            for verb in verbs.prune {
                user.run(verb);
            }
            add(&mut month.prunes, bucket.take());
        }
    }
    month.stored = bucket.size("").1;
    month
}

/// How a program is told what to do.
struct Verbs {
    init: &'static [&'static str],
    save: &'static [&'static str],
    prune: &'static [&'static [&'static str]],
}

const SNAP: Verbs = Verbs {
    init: &["init", "--kdf-memory", "8"],
    save: &["create", "--quiet"],
    prune: &[&["forget", "--keep-last", "7"], &["prune", "--grace", "0s"]],
};

const RESTIC: Verbs =
    Verbs { init: &["init"], save: &["backup", "--quiet"], prune: &[&["forget", "--keep-last", "7", "--prune"]] };

fn costs(folder: &Path) {
    let rows = number("SNAP_BENCH_ROWS", 500_000);
    let fetched = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/restic/restic");
    let restic = std::env::var_os("SNAP_BENCH_RESTIC").map_or(fetched, PathBuf::from);
    let (bucket, own) = (Bucket::start(), snap());
    let mut months = Vec::new();
    let user = User::new(&own, folder, "snap", format!("s3://{BUCKET}/month"), bucket.port);
    months.push(("snap", month(&user, &bucket, folder, &SNAP, rows)));
    bucket.clear("");
    if restic.exists() {
        let place = format!("s3:http://127.0.0.1:{}/{BUCKET}/month", bucket.port);
        let user = User::new(&restic, folder, "restic", place, bucket.port);
        months.push(("restic", month(&user, &bucket, folder, &RESTIC, rows)));
    } else {
        println!("{} is not there (benches/fetch_restic.sh fetches it): only snap is measured", restic.display());
    }
    println!("\n30 nights of a table of {rows} rows, seven snapshots kept, a prune each week; bytes in MB\n");
    println!("| | part | PUT | GET | HEAD | LIST | DELETE, POST | requests | sent | received |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for (program, month) in &months {
        for (part, tally) in [("first night", &month.first), ("29 nights", &month.nights), ("4 prunes", &month.prunes)]
        {
            let count = |kind: &str| tally.requests.get(kind).copied().unwrap_or(0);
            println!(
                "| {program} | {part} | {} | {} | {} | {} | {} | {} | {:.2} | {:.2} |",
                count("PUT"),
                count("GET"),
                count("HEAD"),
                count("LIST"),
                count("DELETE") + count("POST"),
                tally.count(),
                tally.sent as f64 / 1e6,
                tally.received as f64 / 1e6
            );
        }
        println!("| {program} | stored in the end | | | | | | | {:.2} | |", month.stored as f64 / 1e6);
    }
}
