//! What is sound, what is damaged, and what is neither: seen from the command line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use crate::cli;

use std::fs;
use std::path::PathBuf;

use avro_snap::avro::container::{MAGIC, put_block_header};
use avro_snap::avro::encoder::{EncoderId, Encoders};
use avro_snap::avro::varint;
use cli::Snap;
use serde_json::Value;

const MARKER: [u8; 16] = *b"ABCDEFGHIJKLMNOP";

fn text(out: &mut Vec<u8>, text: &[u8]) {
    varint::encode(out, text.len() as i64);
    out.extend_from_slice(text);
}

fn header(schema: &str, codec: &str) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    varint::encode(&mut out, 2);
    for (key, value) in [("avro.schema", schema), ("avro.codec", codec)] {
        text(&mut out, key.as_bytes());
        text(&mut out, value.as_bytes());
    }
    out.push(0);
    out.extend(MARKER);
    out
}

fn block(file: &mut Vec<u8>, count: u64, payload: &[u8]) {
    put_block_header(file, count, payload.len());
    file.extend(payload);
    file.extend(MARKER);
}

fn encoded(id: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoders::new().encode(&id.parse::<EncoderId>().unwrap(), plain, &mut out).unwrap();
    out
}

/// Longs of one byte each.
fn longs(count: u8) -> Vec<u8> {
    (0..count).map(|n| n % 64).collect()
}

struct Story {
    snap: Snap,
}

impl Story {
    fn new() -> Self {
        let story = Self { snap: Snap::quick() };
        fs::create_dir(story.data()).unwrap();
        story.snap(&["init", "--encryption", "none"], 0);
        story
    }

    fn data(&self) -> PathBuf {
        self.snap.work("data")
    }

    fn snap(&self, arguments: &[&str], exit: i32) -> String {
        let ran = self.snap.ends(exit, arguments);
        ran.stdout + &ran.stderr
    }

    fn save(&self, content: &[u8], time: &str, more: &[&str], exit: i32) -> String {
        fs::write(self.data().join("t.avro"), content).unwrap();
        self.snap(&[&["create", "--series", "s", "--time", time], more, &["data"]].concat(), exit)
    }

    fn facts(&self) -> Value {
        let listed = self.snap(&["--json", "ls", "latest"], 0);
        let rows = listed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        rows.map(|row| row["avro"].clone()).find(|facts| facts.is_object()).unwrap()
    }

    fn snapshots(&self) -> usize {
        self.snap(&["--json", "snapshots"], 0).lines().filter(|line| line.contains("\"time\"")).count()
    }
}

/// Readers refuse these schemas, so they are damaged. Their records can be taken apart all the same.
#[test]
fn a_schema_that_readers_refuse_is_damaged_and_its_records_are_stored_and_printed() {
    for (schema, reason) in [
        (r#"{"type":"enum","name":"E","symbols":["A","A"]}"#, "names the symbol \"A\" twice"),
        (r#"{"type":"enum","name":"E","symbols":["A","B"],"default":"Z"}"#, "is not one of its symbols"),
        ("\u{feff}{\"type\":\"enum\",\"name\":\"E\",\"symbols\":[\"A\",\"B\"]}", "a byte order mark"),
    ] {
        let story = Story::new();
        let mut file = header(schema, "zstandard");
        let plain: Vec<u8> = (0..200).map(|n| if n % 3 == 0 { 2 } else { 0 }).collect();
        block(&mut file, 200, &encoded("zstd-1.5.7:once:L3", &plain));
        let said = story.save(&file, NIGHTS[0], &["--fail-on-damaged"], 3);
        assert!(said.contains(reason), "{said}");
        let facts = story.facts();
        assert_eq!(
            (&facts["state"], &facts["verified_records"], &facts["blocks_exact"]),
            (&"damaged".into(), &200.into(), &1.into()),
            "{facts}"
        );
        assert!(facts["raw_reason"].as_str().unwrap().contains(reason), "{facts}");
        let said = story.snap(&["check", "--avro"], 3);
        assert!(said.contains(reason) && said.contains("1 fault that the files had when they were saved"), "{said}");
        assert_eq!(story.snap(&["cat", "latest:data/t.avro"], 0).lines().filter(|line| line.len() == 3).count(), 200);
        let said = story.snap(&["schema", "ls", "latest"], 0);
        assert!(said.contains(reason) && said.contains("damaged schema"), "{said}");
        assert!(story.snap(&["schema", "show", "latest:data/t.avro"], 0).contains(reason));
        story.snap(&["restore", "latest", "-t", "back"], 0);
        assert!(fs::read(story.snap.work("back/data/t.avro")).unwrap() == file, "{reason}");
    }
}

const NIGHTS: [&str; 3] = ["2026-01-01 03:00", "2026-01-02 03:00", "2026-01-03 03:00"];

#[test]
fn streams_end_to_end_hold_all_their_records_however_they_are_read() {
    let skippable = [&[0x53, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
    for (codec, id) in [("zstandard", "zstd-1.5.7:once:L3"), ("bzip2", "bzip2:L9"), ("xz", "xz:P6:crc64")] {
        let story = Story::new();
        let one = encoded(id, &longs(50));
        let mut payload = [one.clone(), one].concat();
        if codec == "zstandard" {
            payload = [&skippable[..], &payload, &skippable].concat();
        }
        let mut file = header("\"long\"", codec);
        block(&mut file, 100, &payload);
        story.save(&file, NIGHTS[0], &["--fail-on-damaged"], 0);
        let facts = story.facts();
        assert_eq!((&facts["state"], &facts["verified_records"]), (&"ok".into(), &100.into()), "{codec}");
        assert_eq!(story.snap(&["cat", "latest:data/t.avro"], 0).lines().filter(|line| line.len() < 4).count(), 100);
        story.snap(&["check", "--avro"], 0);
        story.snap(&["restore", "latest", "-t", "recoded", "--recode", "null"], 0);
        let back = fs::read(story.snap.work("recoded/data/t.avro")).unwrap();
        let mut expected = Vec::new();
        put_block_header(&mut expected, 100, 100);
        expected.extend([longs(50), longs(50)].concat());
        assert_eq!(back[back.len() - expected.len() - 16..back.len() - 16], expected, "{codec}");
    }
}

#[test]
fn what_does_not_decode_is_damaged_and_the_last_sound_copy_stays() {
    let ids = [
        ("deflate", "zlib:L6:M8"),
        ("snappy", "snappy:shift14"),
        ("zstandard", "zstd-1.5.7:once:L3:C"),
        ("bzip2", "bzip2:L9"),
        ("xz", "xz:P6:crc64"),
    ];
    for (codec, id) in ids {
        let good = encoded(id, &longs(200));
        // A second form of the same records, which no encoder makes: it is kept as it is, and seen all the same.
        for blocks in [3, 40] {
            let file = |bad: Option<usize>, schema: &str| {
                let mut file = header(schema, codec);
                for number in 0..blocks {
                    let mut payload = good.clone();
                    if blocks == 40 && codec == "deflate" {
                        payload = [&[0, 200, 0, !200, !0][..], &longs(200)].concat();
                    }
                    if bad == Some(number) {
                        let at = payload.len() / 2;
                        payload.truncate(at);
                        payload.extend([0xa5; 7]);
                    }
                    block(&mut file, 200, &payload);
                }
                file
            };
            let story = Story::new();
            story.save(&file(None, "\"long\""), NIGHTS[0], &["--fail-on-damaged"], 0);
            assert_eq!(story.facts()["state"], "ok", "{codec} {blocks}");
            let said = story.save(&file(Some(blocks - 1), "\"long\""), NIGHTS[1], &["--fail-on-damaged"], 3);
            let reason = format!("block {}", blocks - 1);
            assert!(said.contains(&reason), "{said}");
            assert_eq!(story.facts()["state"], "damaged", "{codec} {blocks}");
            story.snap(&["forget", "--keep-last", "1"], 0);
            assert_eq!(story.snapshots(), 2, "{codec}: the sound copy must stay");
            story.snap(&["check", "--avro"], 3);
            story.save(&file(None, "\"lonf\""), NIGHTS[2], &["--fail-on-damaged"], 3);
            assert_eq!(story.facts()["state"], "damaged");
            story.snap(&["forget", "--keep-last", "1"], 0);
            assert_eq!(story.snapshots(), 2, "{codec}: the sound copy must stay");
        }
    }
}

#[test]
fn what_was_not_decoded_says_so_and_does_not_stand_in_for_a_sound_copy() {
    let story = Story::new();
    let mut file = header("\"long\"", "deflate");
    block(&mut file, 100, &encoded("zlib:L6:M8", &longs(100)));
    story.save(&file, NIGHTS[0], &[], 0);
    let mut other = header("\"long\"", "deflate");
    block(&mut other, 100, &encoded("zlib:L6:M8", &longs(99)));
    story.save(&other, NIGHTS[1], &["--avro", "frame", "--fail-on-damaged"], 0);
    assert_eq!(story.facts()["state"], "undecoded");
    story.snap(&["forget", "--keep-last", "1"], 0);
    assert_eq!(story.snapshots(), 2);
    // Looked into, it is found to be unsound; it was so when it was saved, so the repository is not damaged.
    story.snap(&["check", "--avro"], 3);
    story.snap(&["restore", "latest", "-t", "recoded", "--recode", "null"], 1);
    assert!(!story.snap.work("recoded/data/t.avro").exists());
}

#[test]
fn sound_files_are_no_cause_for_alarm() {
    let deflate = |plain: &[u8]| encoded("zlib:L6:M8", plain);
    let mut empty_block = header("\"long\"", "deflate");
    block(&mut empty_block, 100, &deflate(&longs(100)));
    block(&mut empty_block, 0, &[]);
    let mut only_empty = header("\"long\"", "snappy");
    block(&mut only_empty, 0, &[]);
    let mut unknown = header("\"long\"", "lz5");
    block(&mut unknown, 100, &longs(100));
    let mut booleans = header("\"boolean\"", "null");
    block(&mut booleans, 3, &[0, 2, 255]);
    // A run of one item that says it has 40 bytes, and one that says it has fewer than none.
    let mut runs = header(r#"{"type":"array","items":"long"}"#, "null");
    block(&mut runs, 2, &[1, 80, 2, 0, 1, 3, 2, 0]);
    let list = r#"{"type":"record","name":"N","fields":[{"name":"n","type":["null","N"]},{"name":"v","type":"long"}]}"#;
    let mut deep = header(list, "null");
    block(&mut deep, 1, &[vec![2; 900], vec![0], vec![4; 901]].concat());
    let mut nested_schema = "\"long\"".to_owned();
    for _ in 0..200 {
        nested_schema = format!(r#"{{"type":"array","items":{nested_schema}}}"#);
    }
    let mut deep_schema = header(&nested_schema, "null");
    block(&mut deep_schema, 1, &[0]);
    let mut metadata = MAGIC.to_vec();
    metadata.extend([1, 99]);
    text(&mut metadata, b"avro.schema");
    text(&mut metadata, b"\"long\"");
    metadata.push(0);
    metadata.extend(MARKER);
    block(&mut metadata, 2, &[2, 4]);
    let mut flushed = header("\"long\"", "deflate");
    block(&mut flushed, 3, &[0, 3, 0, !3, !0, 2, 4, 6]);
    for (name, file, states) in [
        ("a block of nothing", empty_block.clone(), &["ok"][..]),
        ("a block of nothing alone", only_empty, &["ok"]),
        ("an unknown codec", unknown, &["undecoded"]),
        ("booleans", booleans, &["ok"]),
        ("runs", runs, &["ok"]),
        ("a record of 1800 levels", deep, &["ok"]),
        // Which of them is a matter of how deep schemas may nest.
        ("a schema of 200 levels", deep_schema, &["ok", "beyond_limits"]),
        ("the size of a header's map", metadata, &["ok"]),
        ("a stream without an end", flushed, &["ok"]),
    ] {
        let story = Story::new();
        story.save(&file, NIGHTS[0], &["--fail-on-damaged"], 0);
        let facts = story.facts();
        assert!(states.contains(&facts["state"].as_str().unwrap()), "{name}: {facts}");
        story.snap(&["check", "--avro"], 0);
        story.snap(&["check", "--read-data"], 0);
        story.snap(&["restore", "latest", "-t", "back"], 0);
        assert!(fs::read(story.snap.work("back/data/t.avro")).unwrap() == file, "{name}");
        story.snap(&["restore", "latest", "-t", "recoded", "--recode", "null"], 0);
    }
}

#[test]
fn stray_line_ends_and_nuls_at_the_end_are_counted_and_the_file_is_sound() {
    let mut file = header("\"long\"", "deflate");
    let alone = file.clone();
    block(&mut file, 100, &encoded("zlib:L6:M8", &longs(100)));
    for (base, state) in [(&file, "ok"), (&alone, "header_only")] {
        for tail in [&b"\n"[..], b"\r\n", b"\0", &[0; 5000], b"\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
            let story = Story::new();
            let stray = [&base[..], tail].concat();
            let said = story.save(&stray, NIGHTS[0], &["--fail-on-damaged"], 0);
            assert!(said.contains(&format!("{} stray byte", tail.len())), "{said}");
            let facts = story.facts();
            assert_eq!((&facts["state"], &facts["stray_bytes"]), (&state.into(), &tail.len().into()));
            story.snap(&["check", "--avro"], 0);
            story.snap(&["restore", "latest", "-t", "recoded", "--recode", "null"], 0);
            story.snap(&["restore", "latest", "-t", "back"], 0);
            assert!(fs::read(story.snap.work("back/data/t.avro")).unwrap() == stray);
        }
    }
    for (tail, state) in [(&b"x"[..], "torn"), (&[2, 2, 2], "torn"), (&[b'x'; 500], "damaged")] {
        let story = Story::new();
        story.save(&[&file[..], tail].concat(), NIGHTS[0], &["--fail-on-damaged"], 3);
        let facts = story.facts();
        assert_eq!((&facts["state"], &facts["stray_bytes"]), (&state.into(), &tail.len().into()));
    }
}

#[test]
fn a_damaged_beginning_is_seen() {
    let mut file = header("\"long\"", "null");
    block(&mut file, 100, &longs(100));
    let changed = |at: usize, byte: u8| {
        let mut changed = file.clone();
        changed[at] = byte;
        changed
    };
    let mut zeroed = file.clone();
    zeroed[..64].fill(0);
    for (name, bad) in [
        ("the magic", changed(0, 0)),
        ("the version", changed(3, 0)),
        ("a number of the map", changed(4, 3)),
        ("the first length", changed(5, 0xff)),
        ("the name of the schema", changed(8, b'X')),
        ("NULs", zeroed),
    ] {
        let story = Story::new();
        story.save(&file, NIGHTS[0], &["--fail-on-damaged"], 0);
        story.save(&bad, NIGHTS[1], &["--fail-on-damaged"], 3);
        let state = story.facts()["state"].as_str().unwrap().to_owned();
        assert!(matches!(&*state, "damaged" | "torn"), "{name}: {state}");
        story.snap(&["forget", "--keep-last", "1"], 0);
        assert_eq!(story.snapshots(), 2, "{name}: the sound copy must stay");
    }
}
