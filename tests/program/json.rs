//! `docs/json.md` against the program: every verb runs with `--json` over a small repository. Each key that is printed must
//! be on the page, and each key of the page must be printed by one of the runs unless it is marked optional.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use serde_json::Value;

use crate::cli::{Ran, Snap, text};
use crate::containers::{container, one_record};
use crate::iceberg::Ice;
use crate::noise::noise;

/// Where the page has what any verb may print, and the objects that tables name.
const EVERY: &str = "Every verb";
const OBJECTS: &str = "Objects";

/// The keys of one type of message of one verb, and of those the optional ones.
#[derive(Default, Clone)]
struct Keys {
    all: BTreeSet<String>,
    optional: BTreeSet<String>,
}

impl Keys {
    /// Below this key stand names that are none of ours.
    fn is_map(&self, key: &str) -> bool {
        self.all.contains(&format!("{key}.*"))
    }
}

type Page = BTreeMap<(String, String), Keys>;

/// A row of a table: key and type.
type Row = (String, String);

/// Reads the page: headings of the second level are verbs, of the third types.
fn page() -> Page {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/json.md")).unwrap();
    let (mut verb, mut tables) = (String::new(), BTreeMap::<(String, String), Vec<Row>>::new());
    let mut at = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("## ") {
            (verb, at) = (name.to_owned(), None);
        } else if let Some(name) = line.strip_prefix("### ") {
            at = Some((verb.clone(), name.to_owned()));
        } else if let (Some(at), Some(row)) = (&at, line.strip_prefix("| ")) {
            let cells: Vec<&str> = row.split(" | ").collect();
            if cells[0] != "key" {
                assert!(!cells[3].trim_end_matches([' ', '|']).is_empty(), "{at:?}: {} has no meaning", cells[0]);
                tables.entry(at.clone()).or_default().push((cells[0].replace('`', ""), cells[1].to_owned()));
            }
        }
    }
    let table = |at: &(String, String)| -> Keys {
        let mut keys = Keys::default();
        put(&mut keys, "", &tables[at], &tables, false);
        keys
    };
    tables.keys().filter(|(verb, _)| verb != OBJECTS).map(|at| (at.clone(), table(at))).collect()
}

/// Puts the keys of a table below `above`, with those of the objects that it names.
fn put(keys: &mut Keys, above: &str, rows: &[Row], tables: &BTreeMap<(String, String), Vec<Row>>, optional: bool) {
    let join = |key: &str| if above.is_empty() { key.to_owned() } else { format!("{above}.{key}") };
    for (key, kind) in rows {
        let named = kind.split_once("](#").and_then(|(_, rest)| rest.split_once(')')).map(|(name, _)| name);
        // What a list holds may not be there.
        let optional = optional || kind.contains("optional");
        let mut add = |key: &str, optional: bool| {
            keys.all.insert(key.to_owned());
            if optional {
                keys.optional.insert(key.to_owned());
            }
        };
        let mut place = join(key);
        if key == "…" {
            place = above.to_owned();
        } else {
            add(&place, optional);
        }
        if kind.starts_with("map of") {
            place = format!("{place}.*");
            add(&place, true);
        }
        if let Some(named) = named {
            let object = &tables[&(OBJECTS.to_owned(), named.to_owned())];
            put(keys, &place, object, tables, optional || kind.starts_with("[["));
        }
    }
}

/// The keys of an object, those of objects in it with a dot.
fn keys_of(value: &Value, above: &str, page: &Keys, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| *name != "message_type") {
                let name = if page.is_map(above) { "*" } else { name };
                let key = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
                found.insert(key.clone());
                // Records are data.
                if key != "record" || page.all.contains("record.") {
                    keys_of(value, &key, page, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| keys_of(item, above, page, found)),
        _ => {}
    }
}

/// What was printed, and what of it is not on the page.
struct Met {
    page: Page,
    found: Page,
    wrong: BTreeSet<String>,
}

impl Met {
    fn add(&mut self, verb: &str, ran: &Ran) {
        for line in ran.stdout.lines().chain(ran.stderr.lines()) {
            let object: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{verb}: {error}: {line}"));
            let kind = object["message_type"].as_str().unwrap().to_owned();
            let places = [verb, EVERY].map(|verb| (verb.to_owned(), kind.clone()));
            let Some(place) = places.into_iter().find(|place| self.page.contains_key(place)) else {
                self.wrong.insert(format!("{verb}: {kind} is not on the page"));
                continue;
            };
            let keys = &self.page[&place];
            let mut found = BTreeSet::new();
            keys_of(&object, "", keys, &mut found);
            for key in found.difference(&keys.all) {
                self.wrong.insert(format!("{verb}: {kind}: {key} is not on the page"));
            }
            for key in keys.all.difference(&found).filter(|key| !key.contains('.') && !keys.optional.contains(*key)) {
                self.wrong.insert(format!("{verb}: {kind}: {key} is missing in {line}"));
            }
            self.found.entry(place).or_default().all.append(&mut found);
        }
    }

    fn finish(mut self) {
        for (place, keys) in &self.page {
            let found = self.found.entry(place.clone()).or_default();
            if found.all.is_empty() {
                self.wrong.insert(format!("{}: {} was never printed", place.0, place.1));
                continue;
            }
            for key in keys.all.difference(&found.all).filter(|key| !keys.optional.contains(*key)) {
                self.wrong.insert(format!("{}: {}: {key} was never printed", place.0, place.1));
            }
        }
        assert!(self.wrong.is_empty(), "{:#?}", self.wrong);
    }
}

const LONG: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"long"}]}"#;
const TEXT: &str = r#"{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}"#;

/// Runs a verb, whose name is made of the first words, and adds what it prints.
fn run(met: &mut Met, snap: &Snap, verb: &str, arguments: &[&str]) -> Ran {
    let words: Vec<&str> = verb.split(' ').chain(arguments.iter().copied()).chain(["--json"]).collect();
    let ran = snap.run(&words);
    met.add(verb, &ran);
    ran
}

fn some_pack(snap: &Snap) -> PathBuf {
    let mut packs = Vec::new();
    let mut folders = vec![snap.path("repository")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => packs.push(path),
            }
        }
    }
    packs.into_iter().max_by_key(|path| path.metadata().unwrap().len()).unwrap()
}

/// Snapshots are made, looked at, and removed.
fn sound(met: &mut Met) {
    let snap = Snap::bare();
    run(met, &snap, "init", &["--kdf-memory", "8"]);
    snap.write("a/x.avro", one_record(LONG, &[2]));
    snap.write("a/torn.avro", &one_record(LONG, &[2])[..70]);
    snap.write("a/note.txt", "one");
    snap.write("a/gone.txt", "gone");
    let row = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"int"},{"name":"n","type":"int"}]}"#;
    snap.write("a/rows/rows.avro", container(row, "null", [(2, &[2, 2, 4, 4][..])]));
    run(met, &snap, "create", &["a", "--dry-run", "--expect", "a: files > 9, schema same"]);
    run(met, &snap, "create", &["a"]);
    snap.write("a/x.avro", one_record(TEXT, &[2, b'x']));
    snap.write("a/rows/rows.avro", container(row, "null", [(2, &[2, 4, 6, 6][..])]));
    snap.write("a/note.txt", "another");
    snap.write("a/new.bin", noise(1, 100_000));
    fs::remove_file(snap.work("a/gone.txt")).unwrap();
    run(met, &snap, "create", &["a"]);
    run(met, &snap, "snapshots", &["--group-by", "host"]);
    run(met, &snap, "ls", &["latest"]);
    run(met, &snap, "debug encoders", &["a/x.avro"]);
    run(met, &snap, "find", &["*.avro"]);
    run(met, &snap, "cat", &["latest:a/x.avro"]);
    run(met, &snap, "count", &["latest:a"]);
    run(met, &snap, "schema ls", &["latest"]);
    run(met, &snap, "schema show", &["latest:a/x.avro"]);
    run(met, &snap, "schema log", &["a/x.avro"]);
    run(met, &snap, "schema diff", &["latest~1:a/x.avro", "latest:a/x.avro"]);
    run(met, &snap, "diff", &["latest~1", "latest"]);
    run(met, &snap, "diff --records", &["latest~1", "latest", "a/rows/rows.avro", "--key", "id"]);
    run(met, &snap, "log", &["a/rows/rows.avro"]);
    run(met, &snap, "log --key", &["id=1", "a/rows/rows.avro"]);
    run(met, &snap, "tag", &["latest", "--add", "kept"]);
    run(met, &snap, "stats", &[]);
    run(met, &snap, "manifest", &["latest", "--output", "list.avro"]);
    run(met, &snap, "restore", &["latest", "--target", "out", "--dry-run"]);
    run(met, &snap, "restore", &["latest", "--target", "out", "--dry-run", "--packs"]);
    run(met, &snap, "cache show", &[]);
    run(met, &snap, "cache clear", &[]);
    run(met, &snap, "restore", &["latest", "--target", "out"]);
    run(met, &snap, "check", &["--read-data"]);
    run(met, &snap, "check", &["--avro"]);
    run(met, &snap, "drill", &["--certificate", "drill.json"]);
    run(met, &snap, "drill", &["--verify", "drill.json"]);
    run(met, &snap, "repair config", &[]);
    run(met, &snap, "repair index", &["--all"]);
    run(met, &snap, "repair payloads", &["latest"]);
    run(met, &snap, "optimize", &[]);
    run(met, &snap, "erase", &["a", "--key", "a=1", "--dry-run"]);
    run(met, &snap, "erase", &["a", "--key", "a=77", "--yes", "-e", "*.txt", "--report", "erased.json"]);
    run(met, &snap, "check", &["--erased", "erased.json"]);
    run(met, &snap, "restore", &["nothing", "--target", "out"]);
    copied(met, &snap);
    keys(met, &snap);
    run(met, &snap, "forget", &["--keep-last", "1", "--dry-run"]);
    run(met, &snap, "forget", &["latest~1", "--allow-losing-sound-files"]);
    run(met, &snap, "recover", &[]);
    run(met, &snap, "forget --undo", &[]);
    run(met, &snap, "prune", &["--dry-run"]);
    run(met, &snap, "prune", &[]);
    parts(met, &snap);
    let mut table = Ice::new(&snap.work("t"));
    table.add("a.parquet", "data");
    table.commit();
    run(met, &snap, "create", &["--iceberg", "t"]);
    let map = format!("{}=/new", text(&snap.path("work")));
    let series = format!("host:{}:latest", text(&snap.work("t")));
    run(met, &snap, "ls", &[&series, "--iceberg"]);
    run(met, &snap, "restore", &[&series, "--target", "moved", "--map", &map]);
}

/// A snapshot is made of two parts.
fn parts(met: &mut Met, snap: &Snap) {
    run(met, snap, "plan", &["a", "--shards", "2"]);
    for shard in ["1/2", "2/2"] {
        run(met, snap, "create", &["a", "--shard", shard, "--run", "night"]);
    }
    run(met, snap, "merge", &["--list"]);
    run(met, snap, "merge", &["--run", "night"]);
}

fn copied(met: &mut Met, snap: &Snap) {
    let target = text(&snap.path("target"));
    snap.ok(&["-r", &target, "init", "--kdf-memory", "8"]);
    let source = text(&snap.path("repository"));
    let more =
        ["--from-repo", &source, "-r", &target, "--from-password-file", &snap.password_file("pass", "correct horse")];
    run(met, snap, "copy", &[&more[..], &["--dry-run"]].concat());
    run(met, snap, "copy", &more);
}

fn keys(met: &mut Met, snap: &Snap) {
    let new = snap.password_file("new", "battery staple");
    let new = ["--new-password-file", new.as_str(), "--kdf-memory", "8"];
    run(met, snap, "key list", &[]);
    let added = run(met, snap, "key add", &new).summary()["key_id"].as_str().unwrap().to_owned();
    run(met, snap, "key remove", &[&added]);
    run(met, snap, "key export", &["--output", "keys.txt"]);
    run(met, snap, "key import", &[&["keys.txt"], &new[..]].concat());
    let same = snap.password_file("same", "correct horse");
    let same = ["--new-password-file", same.as_str(), "--kdf-memory", "8"];
    run(met, snap, "key passwd", &same);
    run(met, snap, "key rotate", &[&same[..], &["--remove-other-keys"]].concat());
}

/// Something is lost.
fn damaged(met: &mut Met) {
    let snap = Snap::new();
    snap.write("a/x.avro", one_record(LONG, &[2]));
    snap.write("a/x.bin", noise(2, 2_000_000));
    snap.ok(&["create", "a"]);
    let pack = some_pack(&snap);
    let mut bytes = fs::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let _ = fs::remove_file(&pack);
    fs::write(&pack, bytes).unwrap();
    run(met, &snap, "check", &["--read-data"]);
    run(met, &snap, "restore", &["latest", "--target", "out"]);
    run(met, &snap, "restore", &["latest", "--target", "salvaged", "--salvage"]);
    run(met, &snap, "repair packs", &["--dry-run"]);
    run(met, &snap, "repair snapshots", &["--read-data"]);
}

/// In an object store.
#[cfg(feature = "object-store")]
fn remote(met: &mut Met) {
    let Some(server) = crate::servers::Kind::InProcess.get() else { return };
    let (snap, place) = (Snap::bare(), server.place());
    let run = |arguments: &[&str]| {
        let mut command = snap.command(arguments);
        crate::cli::finish(command.env("SNAP_REPOSITORY", &place).envs(server.variables()))
    };
    assert_eq!(run(&["init", "--kdf-memory", "8"]).code, 0);
    met.add("retain", &run(&["retain", "1h", "--json"]));
}

/// What runs until it is ended: it is given a moment, and ended as services are.
#[cfg(feature = "serve")]
fn running(met: &mut Met) {
    let snap = Snap::new();
    snap.write("a/x.avro", one_record(LONG, &[2]));
    snap.ok(&["create", "--quiet", "a"]);
    run(met, &snap, "report", &[]);
    let briefly = |arguments: &[&str]| {
        // It says something as soon as it runs.
        let script = "rm -f out; \"$0\" \"$@\" > out & pid=$!; until test -s out || ! kill -0 $pid; do sleep 0.05; done; kill $pid; wait $pid; cat out";
        crate::cli::finish(&mut snap.in_shell(script, arguments))
    };
    met.add("serve", &briefly(&["serve", "--listen", "127.0.0.1:0", "--json"]));
    let place = text(&snap.path("mounted"));
    fs::create_dir(&place).unwrap();
    let mounted = cfg!(feature = "mount").then(|| briefly(&["mount", &place, "--json"]));
    match mounted.filter(|ran| ran.stdout.contains("mounted")) {
        Some(ran) => met.add("mount", &ran),
        None => {
            eprintln!("PASSED OVER: nothing can be mounted here, so what `snap mount --json` prints was not compared");
            met.page.retain(|(verb, _), _| verb != "mount");
        }
    }
}

#[test]
#[cfg_attr(not(feature = "serve"), ignore = "some of the page is about the server")]
#[cfg_attr(not(feature = "object-store"), ignore = "some of the page is about object stores")]
fn the_page_on_json_is_what_is_printed() {
    let mut met = Met { page: page(), found: Page::new(), wrong: BTreeSet::new() };
    sound(&mut met);
    damaged(&mut met);
    #[cfg(feature = "object-store")]
    remote(&mut met);
    #[cfg(feature = "serve")]
    running(&mut met);
    met.finish();
}
