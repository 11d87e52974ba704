//! Stories of the verbs that know what is in an Avro file: `cat`, `schema`, `check --avro`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use crate::avro_gen;
use crate::cli;

use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::types::Value as Datum;
use assert_cmd::assert::Assert;
use avro_gen::{Generated, Random};
use avro_snap::avro::changes::changes;
use avro_snap::avro::compat::{Comparison, Verdict, obstacles};
use avro_snap::avro::container::{MAGIC, put_block_header};
use avro_snap::avro::records::{Encoding, Fields, RecordError, RecordWriter};
use avro_snap::avro::schema::Schema;
use avro_snap::avro::varint;
use cli::Snap;
use proptest::prelude::*;
use serde_json::Value;

/// A repository without encryption, and a directory to save.
struct Story {
    snap: Snap,
}

impl Story {
    fn new() -> Self {
        let story = Self { snap: Snap::quick() };
        fs::create_dir(story.data()).unwrap();
        story.snap(&["init", "--encryption", "none"]).success();
        story
    }

    fn data(&self) -> PathBuf {
        self.snap.work("data")
    }

    fn repository(&self) -> PathBuf {
        self.snap.path("repository")
    }

    fn snap(&self, arguments: &[&str]) -> Assert {
        self.snap.command(arguments).current_dir(self.data()).assert()
    }

    fn save(&self, time: &str, more: &[&str]) {
        let arguments = [&["create", "-q", "--series", "tables", "--time", time], more, &["."]].concat();
        self.snap(&arguments).success();
    }

    fn put(&self, name: &str, bytes: &[u8]) {
        let path = self.data().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// What a command prints that succeeds.
    fn says(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.snap(arguments).success().get_output().stdout.clone()).unwrap()
    }

    /// What a command prints and complains of that ends with this code.
    fn fails(&self, code: i32, arguments: &[&str]) -> (String, String) {
        let assert = self.snap(arguments).code(code);
        let output = assert.get_output();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        (text(&output.stdout), text(&output.stderr))
    }

    fn objects(&self, arguments: &[&str]) -> Vec<Value> {
        lines(&self.says(arguments))
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn fixture(path: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(path)).unwrap()
}

/// A container of the null codec, each block with its number of records.
fn container(schema: &str, blocks: &[(u64, &[u8])]) -> Vec<u8> {
    let mut out = MAGIC.to_vec();
    varint::encode(&mut out, 1);
    for text in [b"avro.schema", schema.as_bytes()] {
        varint::encode(&mut out, text.len() as i64);
        out.extend_from_slice(text);
    }
    varint::encode(&mut out, 0);
    out.extend_from_slice(b"sixteen markers!");
    for (count, payload) in blocks {
        put_block_header(&mut out, *count, payload.len());
        out.extend_from_slice(payload);
        out.extend_from_slice(b"sixteen markers!");
    }
    out
}

fn apache(bytes: &[u8]) -> Vec<Datum> {
    apache_avro::Reader::new(bytes).unwrap().map(|record| record.unwrap()).collect()
}

#[test]
fn the_records_of_every_codec_are_printed_alike() {
    let story = Story::new();
    let codecs = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/codecs");
    let names: Vec<String> = fs::read_dir(codecs)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".avro"))
        .collect();
    assert!(names.len() >= 18);
    for name in &names {
        story.put(name, &fixture(&format!("codecs/{name}")));
    }
    story.save("2026-03-01 03:00", &[]);
    let expected = story.says(&["cat", "latest:fastavro-null.avro"]);
    assert_eq!(expected.lines().count(), 380);
    for name in &names {
        assert_eq!(story.says(&["cat", &format!("latest:{name}")]), expected, "{name}");
    }
    // Field by field what the other reader reads.
    let records = apache(&fixture("codecs/fastavro-null.avro"));
    for (line, datum) in lines(&expected).iter().zip(&records) {
        let Datum::Record(fields) = datum else { panic!("{datum:?}") };
        assert_eq!(line.as_object().unwrap().len(), fields.len());
        for (name, value) in fields {
            let told = &line[name.as_str()];
            match value {
                Datum::Long(number) => assert_eq!(told.as_i64(), Some(*number)),
                Datum::Int(number) => assert_eq!(told.as_i64(), Some(i64::from(*number))),
                Datum::String(text) => assert_eq!(told.as_str(), Some(text.as_str())),
                Datum::Boolean(truth) => assert_eq!(told.as_bool(), Some(*truth)),
                Datum::Double(number) => assert_eq!(told.as_f64(), Some(*number)),
                Datum::Enum(_, symbol) => assert_eq!(told.as_str(), Some(symbol.as_str())),
                Datum::Array(items) => assert_eq!(told.as_array().map(Vec::len), Some(items.len())),
                _ => {}
            }
        }
    }
    // Saved without looking into it, it is read all the same.
    let other = Story::new();
    other.put("a.avro", &fixture("codecs/avro-deflate.avro"));
    for (time, depth) in [("2026-03-01 03:00", "bytes"), ("2026-03-02 03:00", "frame")] {
        other.save(time, &["--avro", depth, "--force"]);
        assert_eq!(other.says(&["cat", "latest:a.avro"]), expected, "{depth}");
    }
}

#[test]
fn a_part_of_the_records_and_of_their_fields() {
    let story = Story::new();
    story.put("orders.avro", &fixture("nights/2026-03-01/orders.avro"));
    story.put("readings.avro", &fixture("nights/2026-03-01/readings.avro"));
    story.save("2026-03-01 03:00", &[]);
    for file in ["orders.avro", "readings.avro"] {
        let what = format!("latest:{file}");
        let all: Vec<String> = story.says(&["cat", &what]).lines().map(str::to_owned).collect();
        for (skip, limit) in [(0, 3), (1, 1), (77, 500), (all.len() - 2, 10), (all.len(), 5), (999_999, 1)] {
            let (skipped, limited) = (skip.to_string(), limit.to_string());
            let part = story.says(&["cat", &what, "--skip", &skipped, "-n", &limited]);
            let expected: Vec<&str> = all.iter().skip(skip).take(limit).map(String::as_str).collect();
            assert_eq!(part.lines().collect::<Vec<_>>(), expected, "{file} {skip} {limit}");
        }
        assert_eq!(story.says(&["cat", &what, "-n", "0"]), "");
    }
    let line = story.says(&[
        "cat",
        "latest:orders.avro",
        "-n1",
        "--fields",
        "customer.town, order_id",
        "--fields",
        "items.price",
    ]);
    assert_eq!(
        line,
        "{\"order_id\":100001,\"customer\":{\"town\":\"Furhaven South\"},\"items\":[{\"price\":26.87}]}\n"
    );
    let (_, error) = story.fails(2, &["cat", "latest:orders.avro", "--fields", "customer.street"]);
    assert!(error.contains("no field customer.street; there are id, town, email"), "{error}");
    assert!(error.contains("hint: `snap schema show"), "{error}");
    let objects = story.objects(&["--json", "cat", "latest:orders.avro", "--skip", "5", "-n", "2"]);
    assert_eq!(objects.len(), 3);
    assert_eq!((&objects[0]["message_type"], &objects[0]["ordinal"]), (&"record".into(), &5.into()));
    assert!(objects[1]["record"]["order_id"].is_number());
    assert_eq!((&objects[2]["message_type"], &objects[2]["records"]), (&"summary".into(), &2.into()));
}

#[test]
fn a_part_of_the_records_as_an_avro_file() {
    let story = Story::new();
    let bytes = fixture("nights/2026-03-01/stations.avro");
    story.put("stations.avro", &bytes);
    story.save("2026-03-01 03:00", &[]);
    let all = apache(&bytes);
    for (skip, limit) in [(0, 9999), (3, 1), (500, 200), (9999, 1)] {
        let (skipped, limited) = (skip.to_string(), limit.to_string());
        let part = story.snap(&["cat", "latest:stations.avro", "--format", "avro", "--skip", &skipped, "-n", &limited]);
        let part = part.success().get_output().stdout.clone();
        let expected: Vec<Datum> = all.iter().skip(skip).take(limit).cloned().collect();
        assert_eq!(apache(&part), expected);
    }
    let (_, error) = story.fails(2, &["cat", "latest:stations.avro", "--format", "avro", "--fields", "id"]);
    assert!(error.contains("do not go together"), "{error}");
}

#[test]
fn of_a_damaged_file_what_is_sound() {
    let story = Story::new();
    let files = [
        ("truncated-in-block.avro", 120, "363 bytes that are no sound block"),
        ("wrong-marker.avro", 80, "block 1: 1449 bytes"),
        ("bad-union-index.avro", 140, "block 1, record 20: a branch that the union does not have"),
        ("count-too-high.avro", 160, "block 2, record 40: it is missing"),
        ("bad-deflate.avro", 120, "block 1: the deflate payload is damaged"),
        ("bad-snappy-crc.avro", 2, "checksum"),
        ("recursive-list.avro", 4, "nests deeper"),
    ];
    for (name, ..) in files {
        story.put(name, &fixture(&format!("odd/{name}")));
    }
    story.put("folder/file", b"");
    for name in ["not-avro.avro", "old-obj0.avro", "invalid-schema.avro", "unknown-codec.avro", "no-schema.avro"] {
        story.put(name, &fixture(&format!("odd/{name}")));
    }
    story.save("2026-03-01 03:00", &[]);
    for (name, records, reason) in files {
        let (printed, error) = story.fails(3, &["cat", &format!("latest:{name}")]);
        assert_eq!(lines(&printed).len(), records, "{name}");
        assert!(error.contains(reason), "{name}: {error}");
        let avro = story.snap(&["cat", "--format", "avro", &format!("latest:{name}")]).code(3);
        assert_eq!(apache(&avro.get_output().stdout).len(), records, "{name}");
    }
    // Who asks for less than where the damage is need not hear of it.
    story.snap(&["cat", "latest:truncated-in-block.avro", "-n", "120"]).success();
    for (name, reason) in [
        ("not-avro.avro", "not an Avro file"),
        ("old-obj0.avro", "before 1.3"),
        ("invalid-schema.avro", "\"org.example.wide\" is not defined"),
        ("unknown-codec.avro", "codec \"squeeze\" is not known"),
        ("no-schema.avro", "its header holds no schema"),
    ] {
        let (printed, error) = story.fails(1, &["cat", &format!("latest:{name}")]);
        assert_eq!(printed, "");
        assert!(error.contains(reason) && error.contains("hint: ") && error.contains("snap dump"), "{error}");
    }
    let (_, error) = story.fails(1, &["--json", "cat", "latest:not-avro.avro"]);
    assert_eq!(lines(&error)[0]["code"], "not_avro");
    let (_, error) = story.fails(1, &["cat", "latest:nowhere.avro"]);
    assert!(error.contains("nowhere.avro is not in snapshot"), "{error}");
    let (_, error) = story.fails(1, &["cat", "latest:folder"]);
    assert!(error.contains("there is no Avro file at folder (1 other files)") && error.contains("hint: "), "{error}");
    story.fails(2, &["cat", "latest"]);
}

#[test]
fn records_that_nest_or_repeat_without_measure_cost_nothing_else() {
    let story = Story::new();
    // Nothing, as often as a number can say.
    let nothing = r#"{"type":"record","name":"N","fields":[]}"#;
    story.put("nothing.avro", &container(nothing, &[(i64::MAX as u64, b"")]));
    // Records within records, as deep as schemas go, and that as often as data may lead back to itself.
    let mut chain = r#"["null","R"]"#.to_owned();
    for depth in 0..18 {
        chain = format!(r#"{{"type":"record","name":"D{depth}","fields":[{{"name":"d","type":{chain}}}]}}"#);
    }
    let deep = format!(r#"{{"type":"record","name":"R","fields":[{{"name":"d","type":{chain}}}]}}"#);
    let mut datum = vec![2; 200];
    datum.push(0);
    story.put("deep.avro", &container(&deep, &[(1, &datum)]));
    story.save("2026-03-01 03:00", &[]);
    let all = i64::MAX.to_string();
    let few = (i64::MAX - 2).to_string();
    assert_eq!(story.says(&["cat", "latest:nothing.avro", "--skip", &few]), "{}\n{}\n");
    assert_eq!(story.says(&["cat", "latest:nothing.avro", "--skip", &all]), "");
    let avro = story.snap(&["cat", "latest:nothing.avro", "--format", "avro", "--skip", "7"]).success();
    assert!(avro.get_output().stdout.len() < 200);
    let line = story.says(&["cat", "latest:deep.avro"]);
    assert_eq!(line.matches("\"d\":").count(), 201 * 19);
    story.snap(&["check", "--avro"]).success();
}

const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[{"name":"id","type":"int"}]}"#;

fn order(more: &str) -> String {
    ORDER.replace(r#""type":"int"}"#, &format!(r#""type":"long"}}{more}"#))
}

#[test]
fn the_schema_of_a_path_through_the_nights() {
    let story = Story::new();
    let night = |day: u32, schema: &str, datum: &[u8]| {
        story.put("t/orders.avro", &container(schema, &[(1, datum)]));
        story.save(&format!("2026-03-{day:02} 03:00"), &[]);
    };
    night(1, ORDER, &[2]);
    night(2, ORDER, &[4]);
    night(3, &order(""), &[2]);
    night(4, &order(r#",{"name":"note","type":["null","string"],"default":null}"#), &[2, 0]);
    night(
        5,
        &order(r#",{"name":"note","type":["null","string"],"default":null},{"name":"total","type":"double"}"#),
        &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    );
    night(6, r#""string""#, b"\x02x");
    story.put("t/orders.avro", b"no more Avro");
    story.save("2026-03-07 03:00", &[]);
    fs::remove_file(story.data().join("t/orders.avro")).unwrap();
    story.save("2026-03-08 03:00", &[]);
    story.save("2026-03-09 03:00", &[]);

    let events = story.objects(&["--json", "schema", "log", "t/orders.avro"]);
    let said: Vec<(&str, &str)> = events
        .iter()
        .map(|event| (event["event"].as_str().unwrap(), event["verdict"].as_str().unwrap_or("")))
        .collect();
    assert_eq!(
        said,
        [
            ("appeared", ""),
            ("changed", "backward"),
            ("changed", "full"),
            ("changed", "forward"),
            ("changed", "none"),
            ("not_avro", ""),
            ("removed", ""),
        ]
    );
    assert_eq!(events[1]["time"], "2026-03-03T03:00:00Z");
    assert_eq!(events[1]["against_forward"][0], "id: long cannot be read as int");
    assert_eq!(events[3]["against_backward"][0], "total: the field is not written and has no default");

    let text = story.says(&["schema", "log", "/t/orders.avro", "--at", "2026-03-04"]);
    let log: Vec<&str> = text.lines().collect();
    assert_eq!(log.len(), 3, "{text}");
    assert!(log[0].starts_with("2026-03-01 03:00:00  ") && log[0].ends_with("shop.Order"), "{text}");
    assert!(log[1].contains("backward") && log[1].contains("(old does not read new: id: long"), "{text}");
    assert!(log[2].contains("  full "), "{text}");
    let (_, error) = story.fails(1, &["schema", "log", "orders.avro"]);
    assert!(error.contains("in none of the snapshots") && error.contains("hint: "), "{error}");
    story.fails(1, &["schema", "log", "t/orders.avro", "--series", "other"]);

    let id = |back: &str| format!("latest~{back}:t/orders.avro");
    let text = story.says(&["schema", "diff", &id("8"), &id("4")]);
    assert_eq!(
        text,
        "M  id: int -> long\n+  note: [null, string], with a default\n+  total: double\n\
         !  the new does not read the old: total: the field is not written and has no default\n\
         !  the old does not read the new: id: long cannot be read as int\ncompatibility: none\n"
    );
    let text = story.says(&["schema", "diff", &id("8"), &id("7")]);
    assert_eq!(text, "compatibility: full; the schemas are the same\n");
    let objects = story.objects(&["--json", "schema", "diff", &id("6"), &id("5")]);
    assert_eq!((&objects[0]["modifier"], &objects[0]["field"]), (&"+".into(), &"note".into()));
    assert_eq!((&objects[1]["verdict"], &objects[1]["message_type"]), (&"full".into(), &"summary".into()));
    let (_, error) = story.fails(1, &["schema", "diff", &id("8"), &id("2")]);
    assert!(error.contains("not an Avro file") && error.contains("hint: "), "{error}");
}

#[test]
fn the_schemas_of_a_snapshot() {
    let story = Story::new();
    for night in ["2026-03-01", "2026-03-02"] {
        for table in ["orders", "readings"] {
            story.put(&format!("{night}/{table}.avro"), &fixture(&format!("nights/{night}/{table}.avro")));
        }
    }
    // The same fingerprint and another text.
    story.put("x/a.avro", &container(ORDER, &[(1, &[2])]));
    story.put("x/b.avro", &container(&ORDER.replace("Order\"", "Order\",\"doc\":\"orders\""), &[(1, &[2])]));
    story.put("x/c.avro", &fixture("odd/invalid-json.avro"));
    story.save("2026-03-02 03:00", &[]);
    let listed = story.objects(&["--json", "schema", "ls", "latest"]);
    let told: Vec<_> = listed.iter().map(|l| (l["name"].as_str(), l["files"].as_u64().unwrap())).collect();
    assert_eq!(
        told,
        [
            (Some("org.example.shop.Order"), 2),
            (Some("org.example.weather.Reading"), 2),
            (Some("shop.Order"), 1),
            (Some("shop.Order"), 1),
            (None, 1),
        ]
    );
    assert_eq!(listed[0]["records"], 1500 + 1512);
    assert_eq!(listed[0]["path"], "2026-03-01/orders.avro");
    assert_eq!(listed[2]["fingerprint"], listed[3]["fingerprint"]);
    assert!(listed[4]["error"].as_str().unwrap().contains("not JSON"));
    // It is the one that `ls` shows.
    let node = &story.objects(&["--json", "ls", "latest:x/a.avro"])[0];
    assert_eq!(node["avro"]["fingerprint"], listed[2]["fingerprint"]);
    let text = story.says(&["schema", "ls", "latest:2026-03-01"]);
    assert!(text.starts_with("FINGERPRINT") && text.contains("2 schemas in snapshot"), "{text}");
    story.fails(1, &["schema", "ls", "latest:nowhere"]);

    let shown = story.says(&["schema", "show", "latest:x/a.avro"]);
    assert!(
        shown.starts_with("{\n  \"type\": \"record\",\n  \"name\": \"Order\",\n  \"namespace\": \"shop\",\n"),
        "{shown}"
    );
    assert_eq!(shown.parse::<Value>().unwrap(), ORDER.parse::<Value>().unwrap());
    let canonical = r#"{"name":"shop.Order","type":"record","fields":[{"name":"id","type":"int"}]}"#;
    assert_eq!(story.says(&["schema", "show", "--canonical", "latest:x/b.avro"]).trim_end(), canonical);
    let (_, error) = story.fails(1, &["schema", "show", "latest:x/c.avro"]);
    assert!(error.contains("its schema is not sound: not JSON"), "{error}");
    story.fails(2, &["schema", "show", "latest"]);
}

#[test]
fn all_records_are_decoded_and_damage_is_told_from_what_was_there() {
    let story = Story::new();
    for table in ["orders", "readings", "stations"] {
        story.put(&format!("{table}.avro"), &fixture(&format!("nights/2026-03-01/{table}.avro")));
    }
    story.put("copy.avro", &fixture("nights/2026-03-01/orders.avro"));
    story.put("no.txt", b"no Avro file");
    story.put("nothing.avro", b"");
    story.save("2026-03-01 03:00", &[]);
    let summary =
        |objects: Vec<Value>| objects.into_iter().find(|object| object["message_type"] == "avro_summary").unwrap();
    let checked = summary(story.objects(&["--json", "check", "--avro"]));
    assert_eq!((&checked["distinct_files"], &checked["records"]), (&3.into(), &(1500 + 3600 + 750).into()));
    let text = story.says(&["check", "--avro"]);
    assert!(text.contains("decoded 5850 records of 4 Avro files (3 different)"), "{text}");

    // What was torn when it was saved is no damage.
    story.put("torn.avro", &fixture("odd/truncated-in-block-deflate.avro"));
    story.put("bad.avro", &fixture("odd/bad-union-index.avro"));
    story.save("2026-03-02 03:00", &[]);
    let (text, error) = story.fails(3, &["check", "--avro"]);
    assert!(error.contains("bad.avro in snapshot") && error.contains("block 1, record 20: a branch"), "{error}");
    assert!(error.contains("torn.avro in snapshot") && error.contains("block 3: 637 bytes"), "{error}");
    assert!(text.contains("2 faults that the files had when they were saved"), "{text}");
    let (text, _) = story.fails(3, &["--json", "check", "--avro"]);
    let finding = lines(&text).into_iter().find(|object| object["path"] == "bad.avro").unwrap();
    assert_eq!((&finding["finding"], &finding["state"]), (&"unsound".into(), &"damaged".into()));
    assert_eq!((&finding["block"], &finding["record"]), (&1.into(), &20.into()));
    story.snap(&["check", "--avro", "--snapshot", "latest~1"]).success();
    story.fails(1, &["check", "--avro", "--snapshot", "latest~9"]);
    story.fails(2, &["check", "--snapshot", "latest"]);

    // A bit that flipped in the repository is.
    let mut packs = vec![story.repository().join("packs")];
    let mut largest = (0, PathBuf::new());
    while let Some(folder) = packs.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let (path, meta) = entry.map(|entry| (entry.path(), entry.metadata().unwrap())).unwrap();
            if meta.is_dir() {
                packs.push(path);
            } else if meta.len() > largest.0 {
                largest = (meta.len(), path);
            }
        }
    }
    let mut bytes = fs::read(&largest.1).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    let mut permissions = fs::metadata(&largest.1).unwrap().permissions();
    #[allow(clippy::permissions_set_readonly_false, reason = "a copy for this test alone")]
    permissions.set_readonly(false);
    fs::set_permissions(&largest.1, permissions).unwrap();
    fs::write(&largest.1, bytes).unwrap();
    let (_, error) = story.fails(22, &["check", "--avro"]);
    assert!(error.contains("Avro problem"), "{error}");
}

proptest! {
    /// Whatever can be walked is printed as JSON.
    #[test]
    fn any_record_is_json(seed: u64, depth in 0usize..6) {
        let mut random = Random::new(seed);
        let generated = Generated::any(&mut random, depth);
        let schema = Schema::parse(&generated.text).unwrap();
        let datum = generated.datum(&mut random);
        for encoding in [Encoding::Plain, Encoding::Avro] {
            let mut out = String::new();
            let give = &mut |part: &str| {
                out.push_str(part);
                Ok(())
            };
            match RecordWriter::new(&schema, &Fields::ALL, encoding).write(&datum, give).unwrap() {
                Ok(()) => prop_assert!(serde_json::from_str::<Value>(&out).is_ok(), "{}: {}", generated.text, out),
                // The generator likes arrays of nothing.
                Err(error) => prop_assert!(matches!(error, RecordError::TooManyEmpty), "{}", error),
            }
        }
    }

    /// A schema reads itself, and any two can be compared, either way round.
    #[test]
    fn any_two_schemas_can_be_compared(seed: u64, depth in 0usize..5) {
        let mut random = Random::new(seed);
        let (one, other) = (Generated::any(&mut random, depth), Generated::any(&mut random, depth));
        let (a, b) = (Schema::parse(&one.text).unwrap(), Schema::parse(&other.text).unwrap());
        for schema in [&a, &b] {
            prop_assert_eq!(Comparison::new(schema, schema).verdict(), Verdict::Full);
            prop_assert!(changes(schema, schema).is_empty());
        }
        let _ = changes(&a, &b);
        let there = Comparison::new(&a, &b);
        let back = Comparison::new(&b, &a);
        prop_assert_eq!((&there.backward, &there.forward), (&back.forward, &back.backward));
        prop_assert_eq!(obstacles(&a, &b).is_empty(), there.backward.is_empty());
    }
}
