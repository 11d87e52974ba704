//! `diff --records` against a comparison that holds everything, over tables of any parts, codecs, schemas and keys; and what it
//! says of real exports.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use apache_avro::writer::datum::GenericDatumWriter;
use avro_snap::avro::encoder::Encoders;
use avro_snap::avro::filter::Expression;
use avro_snap::avro::records::Encoding;
use avro_snap::avro::varint;
use avro_snap::chunk::CutParams;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::ops::history::{RecordHistory, TableLogOptions, table_log};
use avro_snap::ops::record_diff::{Operation, RecordDiffOptions, RecordDiffReport, RecordFeed, Side};
use avro_snap::ops::select::Listing;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::storage::Memory;
use avro_snap::store::{CachePlace, InitOptions, Repository, SystemClock};

use crate::avro_gen::Random;
use crate::containers::container;
use crate::lab::{CHEAP, Lab, corpus};

/// A row of the tables of these tests.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    id: i32,
    name: String,
    note: Option<String>,
}

/// The schemas that a table had, oldest first. The last one reads all of them.
const SCHEMAS: [&str; 4] = [
    r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"int"},{"name":"name","type":"string"},
        {"name":"note","type":["null","string"]}]}"#,
    // Another text that means the same.
    r#"{"type":"record","name":"Row","doc":"rows","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"},
        {"name":"note","type":["null","string"]}]}"#,
    // The same bytes may be another record of this one.
    r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"},
        {"name":"note","type":["string","null"]}]}"#,
    r#"{"type":"record","name":"Row","fields":[{"name":"name","type":"string"},{"name":"id","type":"long"},
        {"name":"extra","type":"int","default":7},{"name":"note","type":["null","string"]}]}"#,
];

impl Row {
    fn any(random: &mut Random) -> Self {
        let long = |random: &mut Random| match random.below(40) {
            0 => 3000 + random.below(3000),
            _ => random.below(30),
        };
        let text = |random: &mut Random, length: usize| -> String {
            (0..length).map(|_| char::from(b'a' + random.below(26) as u8)).collect()
        };
        let (length, id) = (long(random), random.below(400) as i32);
        let note = if random.one_in(2) { Some(text(random, 3)) } else { None };
        Self { id, name: text(random, length), note }
    }

    fn encode(&self, schema: usize, out: &mut Vec<u8>) {
        let text = |out: &mut Vec<u8>, text: &str| {
            varint::encode(out, text.len() as i64);
            out.extend_from_slice(text.as_bytes());
        };
        let null = if schema == 2 { 1 } else { 0 };
        if schema == 3 {
            text(out, &self.name);
            varint::encode(out, i64::from(self.id));
            varint::encode(out, 7);
        } else {
            varint::encode(out, i64::from(self.id));
            text(out, &self.name);
        }
        varint::encode(out, if self.note.is_some() { 1 - null } else { null });
        if let Some(note) = &self.note {
            text(out, note);
        }
    }

    /// As the newest schema of these has it.
    fn json(&self, newest: usize) -> String {
        let (id, name, note) = (self.id, &self.name, serde_json::json!(self.note));
        match newest {
            3 => format!(r#"{{"name":"{name}","id":{id},"extra":7,"note":{note}}}"#),
            _ => format!(r#"{{"id":{id},"name":"{name}","note":{note}}}"#),
        }
    }
}

/// A payload that no encoder makes: deflate's stored blocks of odd lengths.
fn stored(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let parts: Vec<&[u8]> = plain.chunks(777).collect();
    for (number, part) in parts.iter().enumerate() {
        out.push(u8::from(number + 1 == parts.len()));
        out.extend_from_slice(&(part.len() as u16).to_le_bytes());
        out.extend_from_slice(&(!(part.len() as u16)).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Writes a table in some parts, of some codecs, the last of them with the newest schema.
fn write(folder: &Path, rows: &[Row], newest: usize, random: &mut Random) {
    let _ = std::fs::remove_dir_all(folder);
    std::fs::create_dir_all(folder).unwrap();
    let mut encoders = Encoders::new();
    let (mut rest, mut number) = (rows, 0);
    loop {
        let (part, after) = rest.split_at(if random.one_in(3) { rest.len() } else { random.below(rest.len() + 1) });
        rest = after;
        let last = rest.is_empty();
        let schema = if last { newest } else { random.below(newest + 1) };
        let codec = random.below(3);
        let mut blocks = Vec::new();
        for rows in part.chunks(1 + random.below(300)) {
            let mut plain = Vec::new();
            rows.iter().for_each(|row| row.encode(schema, &mut plain));
            let payload = match codec {
                0 => plain,
                1 => stored(&plain),
                _ => {
                    let mut payload = Vec::new();
                    encoders.encode(&"zlib:L6:M8".parse().unwrap(), &plain, &mut payload).unwrap();
                    payload
                }
            };
            blocks.push((rows.len() as u64, payload));
        }
        let codec = if codec == 0 { "null" } else { "deflate" };
        let file = container(SCHEMAS[schema], codec, blocks.iter().map(|(count, payload)| (*count, &payload[..])));
        let path = folder.join(format!("part-{}-{number}.avro", random.below(10)));
        std::fs::write(&path, file).unwrap();
        // The last one is the newest.
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000 + number);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        number += 1;
        if last {
            return;
        }
    }
}

/// A change: what it is, both images, and whether its key is a duplicate.
type Found = (&'static str, Option<String>, Option<String>, bool);

/// What changed, in the plainest way.
fn expected(before: &[Row], after: &[Row], keyed: bool, newest: usize) -> Vec<Found> {
    let mut counts: BTreeMap<&Row, i64> = BTreeMap::new();
    before.iter().for_each(|row| *counts.entry(row).or_default() -= 1);
    after.iter().for_each(|row| *counts.entry(row).or_default() += 1);
    let mut by_key: BTreeMap<i32, [Vec<String>; 2]> = BTreeMap::new();
    for (row, count) in counts.into_iter().filter(|(_, count)| *count != 0) {
        let list = &mut by_key.entry(row.id).or_default()[usize::from(count > 0)];
        list.extend(std::iter::repeat_n(row.json(newest), count.unsigned_abs() as usize));
    }
    let mut found = Vec::new();
    for [gone, come] in by_key.into_values() {
        let twice = keyed && (gone.len() > 1 || come.len() > 1);
        match (&gone[..], &come[..]) {
            ([was], [is]) if keyed => found.push(("update", Some(was.clone()), Some(is.clone()), false)),
            _ => {
                found.extend(gone.into_iter().map(|was| ("delete", Some(was), None, twice)));
                found.extend(come.into_iter().map(|is| ("insert", None, Some(is), twice)));
            }
        }
    }
    found.sort();
    found
}

fn compared(
    repository: &Arc<Repository>,
    roots: &[SnapshotRoot],
    options: &RecordDiffOptions,
) -> (Vec<Found>, RecordDiffReport) {
    let sides = roots.iter().map(|root| Side::of_path(repository, root.clone(), b"table").unwrap()).collect();
    let (feed, mut found) = (RecordFeed::new(repository, sides, options).unwrap(), Vec::new());
    let reports = feed
        .run(&mut |change| {
            let (before, after) = (change.before_json(Encoding::Plain)?, change.after_json(Encoding::Plain)?);
            assert_eq!(change.changed.is_empty(), change.operation != Operation::Update);
            found.push((change.operation.name(), before, after, change.duplicate));
            Ok(())
        })
        .unwrap();
    found.sort();
    (found, reports[0].clone())
}

/// A repository whose chunks are small, so that a table of some thousand rows has many of them.
fn lab(cut: CutParams) -> Lab {
    let backend: Arc<dyn avro_snap::storage::Backend> = Arc::new(Memory::new());
    let options = InitOptions::default().encryption(Suite::None).kdf(CHEAP).cut(cut);
    Repository::init(&backend, &options, &SystemClock, &SystemEntropy).unwrap();
    Lab { backend, cache: CachePlace::Temporary }
}

/// The changes of a night: some rows updated, some gone, some new, some twice.
fn next_night(rows: &[Row], random: &mut Random) -> Vec<Row> {
    let (every, mut next) = ([5, 40, 400][random.below(3)], Vec::new());
    for row in rows {
        match random.below(every) {
            0 => next.push(Row { name: format!("{}x", row.name), ..row.clone() }),
            1 => {}
            2 => next.extend([row.clone(), row.clone()]),
            3 => next.push(Row::any(random)),
            _ => next.push(row.clone()),
        }
    }
    if random.one_in(4) {
        next.sort();
    }
    next
}

#[test]
fn what_changed_is_what_a_plain_comparison_finds() {
    let cases = std::env::var("SNAP_RECORD_DIFF_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(8);
    let (mut skipped, mut spilled) = (0, 0);
    for seed in 0..cases {
        let mut random = Random::new(seed);
        let align = [0, 64, 512, 4096][random.below(4)];
        let lab = lab(CutParams { min: 128, average: 256, max: 1024, align });
        let folder = tempfile::tempdir().unwrap();
        let table = folder.path().join("table");
        let newest = random.below(SCHEMAS.len());
        let before: Vec<Row> = (0..random.below(2500)).map(|_| Row::any(&mut random)).collect();
        let after = next_night(&before, &mut random);
        let older = random.below(newest + 1);
        write(&table, &before, older, &mut random);
        lab.save(folder.path());
        write(&table, &after, newest, &mut random);
        lab.save(folder.path());
        let repository = Arc::new(lab.open());
        let roots = Listing::read(&repository).snapshots;
        for (keyed, memory) in [(true, 64usize << 20), (false, 64 << 20), (true, 4000)] {
            let options = RecordDiffOptions::default().key(if keyed { vec!["id"] } else { vec![] }).memory(memory);
            let (found, report) = compared(&repository, &roots, &options);
            assert_eq!(found, expected(&before, &after, keyed, newest), "seed {seed}, keyed {keyed}, memory {memory}");
            assert_eq!((report.records_before, report.records_after), (before.len() as u64, after.len() as u64));
            let changes = report.inserted + report.updated + report.deleted;
            assert_eq!((changes, report.faults.len()), (found.len() as u64, 0));
            assert_eq!(
                report.records_decoded + 2 * report.records_skipped,
                report.records_before + report.records_after,
                "seed {seed}: each record is skipped on both sides, or read"
            );
            skipped += report.chunks_skipped;
            spilled += report.records_spilled;
        }
        // Each record is followed to where it is.
        if let Some(row) = before.get(random.below(before.len().max(1))) {
            let key = Expression::of_keys([&*format!("id={}", row.id)]).unwrap();
            let history = RecordHistory::find(&repository, roots.iter(), b"table", &key).unwrap();
            let here = |rows: &[Row]| {
                let mut here: Vec<_> = rows.iter().filter(|r| r.id == row.id).map(|r| r.json(newest)).collect();
                here.sort();
                here
            };
            let mut periods = Vec::new();
            for period in &history.periods {
                let mut records = history.json(period).unwrap();
                records.sort();
                periods.extend(std::iter::repeat_n(records, period.snapshots as usize));
            }
            assert_eq!(periods, [here(&before), here(&after)], "seed {seed}: {key:?}");
        }
        let mut counted = Vec::new();
        table_log(&repository, roots.iter(), b"table", &TableLogOptions::default(), &mut |change| {
            counted.push((change.records, change.inserted, change.deleted));
            Ok(())
        })
        .unwrap();
        let changes = expected(&before, &after, false, newest);
        let count = |what: &str| Some(changes.iter().filter(|(operation, ..)| *operation == what).count() as u64);
        assert_eq!(counted[0], (Some(before.len() as u64), Some(before.len() as u64), Some(0)));
        if let Some(last) = counted.get(1) {
            assert_eq!(*last, (Some(after.len() as u64), count("insert"), count("delete")), "seed {seed}");
        }
    }
    assert!(skipped > 0 && spilled > 0, "{skipped} chunks skipped, {spilled} records spilled");
}

/// Which nights of the corpus are gone through: those of one writer, and the first of each other; `SNAP_NIGHTS=all` for all.
fn corpus_nights(nightly: &Path) -> Vec<std::path::PathBuf> {
    let folders = |folder: &Path| {
        let mut folders: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        folders.sort();
        folders
    };
    let all = std::env::var_os("SNAP_NIGHTS").is_some_and(|nights| nights == "all");
    let mut nights = Vec::new();
    for set in folders(nightly).into_iter().filter(|set| !set.ends_with("java-deflate")) {
        let of_set = folders(&set);
        // Some sets are slow to decode, and have three tables only.
        let few = if of_set.len() > 2 { 1 } else { 0 };
        nights.extend(of_set.into_iter().take(if all { usize::MAX } else { few }));
    }
    nights.extend(folders(&nightly.join("java-deflate")));
    nights
}

/// How often each record stands in a file, as another library reads and encodes it.
fn counted(file: &[u8], schema: &apache_avro::Schema) -> BTreeMap<Vec<u8>, i64> {
    let mut counts = BTreeMap::new();
    let writer = GenericDatumWriter::builder(schema).build().unwrap();
    for record in apache_avro::Reader::builder(file).reader_schema(schema).build().unwrap() {
        *counts.entry(writer.write_value_to_vec(record.unwrap()).unwrap()).or_default() += 1;
    }
    counts
}

#[test]
fn the_feeds_of_nightly_exports_lead_from_the_first_night_to_the_last() {
    let Some(nightly) = corpus("nightly") else { return };
    let nights = corpus_nights(&nightly);
    for table in ["airport-frequencies", "countries", "navaids", "regions", "runways"] {
        let lab = Lab::new(Suite::None);
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("table");
        std::fs::create_dir(&place).unwrap();
        let files: Vec<_> =
            nights.iter().map(|night| night.join(format!("{table}.avro"))).filter(|file| file.exists()).collect();
        for (number, file) in files.iter().enumerate() {
            let _ = std::fs::remove_file(place.join(format!("part-{}.avro", number.wrapping_sub(1))));
            std::fs::copy(file, place.join(format!("part-{number}.avro"))).unwrap();
            lab.save(folder.path());
        }
        let repository = Arc::new(lab.open());
        let roots = Listing::read(&repository).snapshots;
        let sides = roots.iter().map(|root| Side::of_path(&repository, root.clone(), b"table").unwrap()).collect();
        let feed = RecordFeed::new(&repository, sides, &RecordDiffOptions::default().key(["id"])).unwrap();
        let schema = apache_avro::Schema::parse_str(&feed.schema().text).unwrap();
        let [first, last] = [&files[0], &files[files.len() - 1]].map(|file| std::fs::read(file).unwrap());
        let mut state = counted(&first, &schema);
        let (mut bytes, mut writer) = (Vec::new(), feed.writer(Default::default()).unwrap());
        bytes.extend(writer.header());
        let reports = feed
            .run(&mut |change| {
                bytes.extend(writer.push(change)?.unwrap_or_default());
                Ok(())
            })
            .unwrap();
        bytes.extend(writer.finish().unwrap());
        let mut changes = 0;
        let datum = GenericDatumWriter::builder(&schema).build().unwrap();
        for change in apache_avro::Reader::new(&bytes[..]).unwrap() {
            let apache_avro::types::Value::Record(fields) = change.unwrap() else { panic!("a change is a record") };
            for (name, value) in fields {
                let sign = match &*name {
                    "before" => -1,
                    "after" => 1,
                    _ => continue,
                };
                let apache_avro::types::Value::Union(1, image) = value else { continue };
                *state.entry(datum.write_value_to_vec(*image).unwrap()).or_default() += sign;
            }
            changes += 1;
        }
        state.retain(|_, count| *count != 0);
        assert!(state == counted(&last, &schema), "{table}");
        let of_reports: u64 = reports.iter().map(|report| report.inserted + report.updated + report.deleted).sum();
        assert_eq!(changes, of_reports);
        println!("{table}: {} nights, {changes} changes", files.len());
    }
}
