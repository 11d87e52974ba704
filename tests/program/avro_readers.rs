//! Other readers of Avro and snap agree: what a reader accepts is sound, with as many records, and what all refuse is
//! damaged or torn.
//!
//! `fixtures/differential.py` makes the containers and asks the readers. A small set with its verdicts is in
//! `tests/golden/readers.jsonl`. `SNAP_READERS=n` makes n new ones from the seed `SNAP_READERS_SEED`; it needs a Python
//! (`SNAP_PYTHON`, else `python3`) with what `fixtures/requirements.txt` names.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "all of this is a test")]

use crate::cli;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cli::Snap;
use serde_json::Value;

/// A repository without encryption.
struct Store {
    snap: Snap,
}

impl Store {
    fn new() -> Self {
        let store = Self { snap: Snap::quick() };
        assert_eq!(store.snap(&["init", "--encryption", "none"]).0, 0);
        store
    }

    fn files(&self) -> PathBuf {
        self.snap.work("files")
    }

    /// The exit code, and what was printed.
    fn snap(&self, arguments: &[&str]) -> (i32, String) {
        let ran = self.snap.run(arguments);
        (ran.code, ran.stdout + &ran.stderr)
    }

    /// What is known of each file of the latest snapshot.
    fn facts(&self) -> BTreeMap<String, Value> {
        let (exit, listed) = self.snap(&["--json", "ls", "latest"]);
        assert_eq!(exit, 0, "{listed}");
        let rows = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.filter_map(|row| {
            let name = Path::new(row["path"].as_str()?).file_name()?.to_str()?.to_owned();
            Some((name, row["avro"].clone()))
        })
        .collect()
    }
}

/// A refusal for these proves nothing: the file is sound Avro, or no reader's business. Acceptance in spite of the others
/// proves nothing: the reader did not look.
const NO_REFUSAL: [&str; 4] =
    ["a block of no bytes", "metadata that are not UTF-8", "a name that breaks the rules", "a type without a name"];

/// What proves nothing either way.
fn is_both(spot: &str) -> bool {
    matches!(spot, "unknown codec" | "endless") || spot.starts_with("filler ")
}

/// What came of a comparison.
#[derive(Debug, Default)]
struct Tally {
    files: u64,
    accepted: u64,
    refused: u64,
    /// The readers' verdict proves nothing there.
    passed_over: BTreeMap<String, u64>,
    states: BTreeMap<String, u64>,
    disagreements: Vec<String>,
}

impl Tally {
    fn compare(&mut self, told: &Value, facts: &Value) {
        let state = facts["state"].as_str().unwrap_or("none");
        self.files += 1;
        *self.states.entry(state.to_owned()).or_default() += 1;
        let readers: Vec<&Value> = told["readers"].as_object().unwrap().values().collect();
        let counts: Vec<u64> = readers.iter().filter_map(|said| said["records"].as_u64()).collect();
        // Of what proves nothing, only that which speaks for or against the verdict that there is.
        let all = told["blind"].as_array().unwrap().iter().filter_map(Value::as_str);
        let blind: Vec<&str> =
            all.filter(|spot| counts.is_empty() == NO_REFUSAL.contains(spot) || is_both(spot)).collect();
        for spot in &blind {
            let kind = spot.trim_end_matches(|c: char| c.is_ascii_digit() || c == ' ');
            *self.passed_over.entry(kind.to_owned()).or_default() += 1;
        }
        let number = |name: &str| facts[name].as_u64().unwrap_or(u64::MAX);
        // Without a magic, and a header after it, it may be any file, whatever else is odd about it.
        let may_be_any = counts.is_empty() && told["blind"].as_array().unwrap().contains(&"magic".into());
        let agrees = match blind[..] {
            [] | [_] if may_be_any && matches!(state, "none" | "damaged" | "torn" | "foreign" | "empty") => {
                self.refused += u64::from(blind.is_empty());
                true
            }
            [] if counts.is_empty() => {
                self.refused += 1;
                matches!(state, "damaged" | "torn" | "foreign" | "empty")
            }
            [] => {
                self.accepted += 1;
                let same = counts.contains(&number("declared_records")) && counts.contains(&number("verified_records"));
                let is_bomb = told["name"].as_str().unwrap().starts_with("bomb");
                matches!(state, "ok" | "header_only") && same || is_bomb && state == "beyond_limits"
            }
            ["unknown codec"] => matches!(state, "undecoded" | "damaged" | "torn"),
            [
                "bytes behind the last record"
                | "checksum"
                | "a negative branch or symbol"
                | "cut within a marker"
                | "a record without fields",
            ] => {
                matches!(state, "damaged" | "torn")
            }
            [filler] if filler.starts_with("filler ") => {
                filler["filler ".len()..].parse().is_ok_and(|length: u64| number("stray_bytes") == length)
            }
            _ => true,
        };
        if !agrees {
            self.disagreements.push(format!("{told}\n    snap: {facts}"));
        }
    }
}

/// Saves the files, compares what is known of them with the verdicts, and brings them back.
fn compare(store: &Store, verdicts: &[Value]) -> Tally {
    let (exit, said) = store.snap(&["create", "files"]);
    assert_eq!(exit, 0, "{said}");
    let facts = store.facts();
    let mut tally = Tally::default();
    for told in verdicts {
        let name = told["name"].as_str().unwrap();
        tally.compare(told, facts.get(name).unwrap_or(&Value::Null));
    }
    let alarms = tally.states.iter().any(|(state, _)| matches!(&**state, "damaged" | "torn" | "foreign"));
    // Nothing is wrong with the repository, whatever is wrong with the files.
    let (exit, said) = store.snap(&["check", "--avro"]);
    assert_eq!(
        exit,
        if alarms { 3 } else { 0 },
        "{}",
        said.lines().filter(|line| line.contains("damaged")).take(9).collect::<String>()
    );
    let (exit, said) = store.snap(&["restore", "latest", "-t", "back"]);
    assert_eq!(exit, 0, "{said}");
    for told in verdicts {
        let name = told["name"].as_str().unwrap();
        let back = fs::read(store.snap.work("back/files").join(name)).unwrap();
        assert!(back == fs::read(store.files().join(name)).unwrap(), "{name} came back differently");
    }
    tally
}

fn tell(tally: &Tally) {
    println!(
        "{} containers: {} accepted by a reader, {} refused by all; passed over {:?}; states {:?}",
        tally.files, tally.accepted, tally.refused, tally.passed_over, tally.states
    );
    for disagreement in tally.disagreements.iter().take(20) {
        println!("  {disagreement}");
    }
    assert!(tally.disagreements.is_empty(), "{} disagreements", tally.disagreements.len());
}

fn from_hex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Spots of different kinds may meet in one file.
#[test]
fn a_file_without_a_magic_and_with_line_ends_behind_it_may_be_any_file() {
    let told = |blind: &[&str]| serde_json::json!({"name": "x", "readers": {"avro": {"refused": "not an Avro file"}}, "blind": blind});
    for (blind, state, agrees) in [
        (&["filler 12", "magic"][..], Value::Null, true),
        (&["magic"], Value::Null, true),
        (&["filler 12"], Value::Null, false),
        (&["filler 12"], serde_json::json!({"state": "ok", "stray_bytes": 12}), true),
        (&["filler 12", "magic"], serde_json::json!({"state": "damaged", "stray_bytes": 0}), true),
        (&["filler 12", "magic"], serde_json::json!({"state": "ok", "stray_bytes": 0}), false),
        (&[], Value::Null, false),
    ] {
        let mut tally = Tally::default();
        tally.compare(&told(blind), &state);
        assert_eq!(tally.disagreements.is_empty(), agrees, "{blind:?} {state}");
    }
}

#[test]
fn a_small_set_is_judged_as_other_readers_judge_it() {
    let store = Store::new();
    fs::create_dir(store.files()).unwrap();
    let lines = include_str!("../golden/readers.jsonl").lines();
    let verdicts: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    for told in &verdicts {
        fs::write(store.files().join(told["name"].as_str().unwrap()), from_hex(told["bytes"].as_str().unwrap()))
            .unwrap();
    }
    let tally = compare(&store, &verdicts);
    assert!(tally.accepted > 20 && tally.refused > 20, "{tally:?}");
    tell(&tally);
}

#[test]
fn generated_containers_are_judged_as_other_readers_judge_them() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let count = number("SNAP_READERS").unwrap_or(150);
    let seed = number("SNAP_READERS_SEED").unwrap_or(1);
    let python = std::env::var("SNAP_PYTHON").unwrap_or_else(|_| "python3".into());
    let there = Command::new(&python)
        .args(["-c", "import fastavro, avro.datafile, cramjam, backports.zstd"])
        .stderr(Stdio::null())
        .status();
    if !there.is_ok_and(|status| status.success()) {
        println!("PASSED OVER: {python} with fastavro, avro, cramjam and backports.zstd is not here");
        assert!(number("SNAP_READERS").is_none(), "SNAP_READERS is set, and the readers are not here");
        return;
    }
    let store = Store::new();
    let generator = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/differential.py");
    let files = store.files();
    let made = Command::new(&python)
        .args([generator, "generate", files.to_str().unwrap(), &count.to_string(), &seed.to_string()])
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(made.success());
    let verdicts = fs::read_to_string(store.snap.work("verdicts.jsonl")).unwrap();
    let verdicts: Vec<Value> = verdicts.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    println!("seed {seed}");
    tell(&compare(&store, &verdicts));
}
