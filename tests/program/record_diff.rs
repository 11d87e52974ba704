//! `diff --records` and `log`: what users see of the changes of a table.

use apache_avro::types::Value as Avro;

use crate::cli::Snap;
use crate::containers::container;

const SCHEMA: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]}},
    {"name":"note","type":["null","string"]}]}"#;

/// The same with a field that older files do not have.
const LATER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
    {"name":"id","type":"long"},
    {"name":"state","type":{"type":"enum","name":"State","symbols":["NEW","PAID"]}},
    {"name":"note","type":["null","string"]},
    {"name":"lines","type":"int","default":1}]}"#;

/// An order of few bytes.
fn order(id: u8, state: u8, note: &str) -> Vec<u8> {
    let mut bytes = vec![2 * id, 2 * state];
    match note {
        "" => bytes.push(0),
        note => {
            bytes.extend([2, 2 * note.len() as u8]);
            bytes.extend(note.as_bytes());
        }
    }
    bytes
}

fn table(schema: &str, orders: &[Vec<u8>]) -> Vec<u8> {
    container(schema, "null", [(orders.len() as u64, &orders.concat()[..])])
}

/// Three nights: one order updated, one deleted, one inserted; then a new schema, and the parts called otherwise.
fn nights() -> Snap {
    let snap = Snap::new();
    let write =
        |name: &str, schema: &str, orders: &[Vec<u8>]| snap.write(&format!("db/orders/{name}"), table(schema, orders));
    let clear = || std::fs::remove_dir_all(snap.work("db/orders")).unwrap();
    let save = || snap.ok(&["create", "--series", "db", "db"]);
    write("a.avro", SCHEMA, &[order(1, 0, ""), order(2, 0, "late")]);
    write("b.avro", SCHEMA, &[order(3, 0, ""), order(4, 1, "")]);
    save();
    clear();
    write("c.avro", SCHEMA, &[order(4, 1, ""), order(3, 0, ""), order(1, 1, "")]);
    write("d.avro", SCHEMA, &[order(5, 0, "")]);
    save();
    clear();
    let with_lines = |order: Vec<u8>| [&order[..], &[2]].concat();
    write("e.avro", LATER, &[order(4, 1, ""), order(5, 0, "")].map(with_lines));
    write("f.avro", LATER, &[with_lines(order(3, 0, "")), [&order(1, 1, "")[..], &[6]].concat()]);
    save();
    snap
}

#[test]
fn changes_of_records_are_matched_by_key_whatever_the_parts_are_called() {
    let snap = nights();
    let sides = ["diff", "--records", "latest~2", "latest~1", "db/orders"];
    let ran = snap.ok(&[&sides[..], &["--key", "id", "--json"]].concat());
    let changes = ran.objects("record_change");
    let of = |op: &str| changes.iter().find(|change| change["op"] == op).unwrap();
    assert_eq!(changes.len(), 3, "{}", ran.stdout);
    assert_eq!(of("update")["changed"], serde_json::json!(["state"]));
    assert_eq!(of("update")["before"], serde_json::json!({"id": 1, "state": "NEW", "note": null}));
    assert_eq!(of("update")["after"]["state"], "PAID");
    assert_eq!(of("delete")["key"], serde_json::json!({"id": 2}));
    assert_eq!((&of("insert")["after"]["id"], &of("insert")["before"]), (&5.into(), &serde_json::Value::Null));
    let summary = ran.summary();
    for (key, count) in [
        ("inserted", 1),
        ("updated", 1),
        ("deleted", 1),
        ("records_before", 4),
        ("records_after", 4),
        ("files_after", 2),
    ] {
        assert_eq!(summary[key], count, "{key}: {summary}");
    }
    // Without a key nothing is an update.
    let ran = snap.ok(&[&sides[..], &["--json"]].concat());
    assert_eq!((&ran.summary()["inserted"], &ran.summary()["updated"]), (&2.into(), &0.into()));
    // As lines for people, with the path after a colon.
    let ran = snap.ok(&["diff", "--records", "latest~2:db/orders", "latest~1:db/orders/", "--key", "id"]);
    let mut lines = ran.lines();
    lines.sort_unstable();
    assert!(lines.contains(&r#"~  {"id":1}  state: "NEW" -> "PAID""#), "{}", ran.stdout);
    assert!(lines.contains(&r#"-  {"id":2,"state":"NEW","note":"late"}"#), "{}", ran.stdout);
    assert!(lines.contains(&"records: 1 inserted, 1 updated, 1 deleted (4 -> 4)"), "{}", ran.stdout);
    // A pattern, and a file against another one.
    let ran = snap.ok(&["diff", "--records", "latest~2:db/orders/[ab].avro", "latest~1:db/orders/c.avro", "--json"]);
    assert_eq!(ran.summary()["deleted"], 2, "{}", ran.stdout);
    // A condition is asked of both sides.
    let ran = snap.ok(&[&sides[..], &["--key", "id", "--where", "state = 'NEW'", "--json"]].concat());
    assert_eq!((&ran.summary()["deleted"], &ran.summary()["updated"]), (&2.into(), &0.into()), "{}", ran.stdout);
    // An evolution: what only has a default now is no change.
    let ran = snap.ok(&["diff", "--records", "latest~1", "latest", "db/orders", "--key", "id", "--json"]);
    let changes = ran.objects("record_change");
    assert_eq!(changes.len(), 1, "{}", ran.stdout);
    assert_eq!(changes[0]["changed"], serde_json::json!(["lines"]));
    assert_eq!((&changes[0]["before"]["lines"], &changes[0]["after"]["lines"]), (&1.into(), &3.into()));
}

#[test]
fn a_key_that_several_records_have_is_reported_and_not_updated() {
    let snap = Snap::new();
    snap.write("t.avro", table(SCHEMA, &[order(1, 0, ""), order(1, 0, "a"), order(2, 0, ""), order(2, 0, "")]));
    snap.ok(&["create", "t.avro"]);
    snap.write("t.avro", table(SCHEMA, &[order(1, 1, ""), order(1, 1, "a"), order(2, 0, ""), order(2, 1, "")]));
    snap.ok(&["create", "t.avro"]);
    let ran = snap.ok(&["diff", "--records", "latest~1", "latest", "t.avro", "--key", "id", "--json"]);
    let summary = ran.summary();
    // One of both records 2 stayed as it was, so that the other was updated.
    assert_eq!((&summary["inserted"], &summary["deleted"], &summary["updated"]), (&2.into(), &2.into(), &1.into()));
    assert_eq!((&summary["duplicate_keys_before"], &summary["duplicate_keys_after"]), (&1.into(), &1.into()));
    let duplicates = ran.objects("record_change").iter().filter(|change| change["duplicate"] == true).count();
    assert_eq!(duplicates, 4);
}

#[test]
fn a_feed_over_several_snapshots_is_an_avro_file_that_others_read() {
    let snap = nights();
    for codec in ["null", "deflate", "zstandard"] {
        let ran = snap.ok(&[
            "diff",
            "--records",
            "--from",
            "latest~2",
            "--to",
            "latest",
            "db/orders",
            "--key",
            "id,state",
            "--format",
            "avro",
            "--codec",
            codec,
            "-o",
            "changes.avro",
            "--json",
        ]);
        assert_eq!(ran.objects("summary").len(), 2, "{}", ran.stdout);
        if codec == "zstandard" {
            // Which the other library reads only if it is built so.
            snap.ok(&["create", "--series", "feed", "changes.avro"]);
            assert_eq!(snap.ok(&["cat", "feed:latest:changes.avro"]).lines().len(), 5);
            continue;
        }
        let file = std::fs::read(snap.work("changes.avro")).unwrap();
        let changes: Vec<Avro> = apache_avro::Reader::new(&file[..]).unwrap().map(Result::unwrap).collect();
        let field = |change: &Avro, name: &str| match change {
            Avro::Record(fields) => fields.iter().find(|(field, _)| field == name).unwrap().1.clone(),
            other => panic!("{other:?}"),
        };
        let ids = snap.snapshot_ids();
        let operation = |change: &Avro| match field(change, "_op") {
            Avro::Enum(_, name) => name,
            other => panic!("{other:?}"),
        };
        // State is part of the key: what changes it is another record.
        let of: Vec<(String, Avro)> =
            changes.iter().map(|change| (operation(change), field(change, "_snapshot"))).collect();
        let mut first: Vec<&str> =
            of.iter().filter(|(_, id)| *id == Avro::String(ids[1].clone())).map(|(op, _)| &**op).collect();
        first.sort_unstable();
        assert_eq!(first, ["delete", "delete", "insert", "insert"]);
        assert_eq!(
            of.last().unwrap(),
            &("update".into(), Avro::String(ids[2].clone())),
            "in the order of the snapshots"
        );
        let last = changes.last().unwrap();
        assert_eq!(field(last, "_changed"), Avro::Array(vec![Avro::String("lines".into())]));
        let Avro::Record(key) = field(last, "_key") else { panic!("{last:?}") };
        assert_eq!(key, [("id".into(), Avro::Long(1)), ("state".into(), Avro::Enum(1, "PAID".into()))]);
        let Avro::Union(1, image) = field(last, "before") else { panic!("{last:?}") };
        assert_eq!(field(&image, "lines"), Avro::Int(1));
    }
    // To standard output go the bytes of the file and nothing else.
    let ran = snap.ok(&["diff", "--records", "db:latest~1", "db:latest", "db/orders", "--format", "avro"]);
    assert_eq!(apache_avro::Reader::new(&ran.bytes[..]).unwrap().count(), 2);
}

#[test]
fn the_log_of_a_table_has_a_line_for_each_snapshot_in_which_it_changed() {
    let snap = nights();
    snap.ok(&["create", "--series", "db", "db"]);
    let ran = snap.ok(&["log", "db/orders", "--json"]);
    let changes = ran.objects("table_change");
    let counts: Vec<_> =
        changes.iter().map(|c| (c["event"].as_str().unwrap(), &c["records"], &c["inserted"], &c["deleted"])).collect();
    let [four, two, one, zero] = [4, 2, 1, 0].map(serde_json::Value::from);
    assert_eq!(
        counts,
        [("appeared", &four, &four, &zero), ("changed", &four, &two, &two), ("changed", &four, &one, &one)]
    );
    assert_eq!(changes[2]["verdict"], "full", "{}", ran.stdout);
    assert_ne!(changes[2]["fingerprint"], changes[1]["fingerprint"]);
    assert_eq!((&changes[0]["counted"], &changes[1]["counted"]), (&"files".into(), &"records".into()));
    let quick = snap.ok(&["log", "db/orders", "--quick", "--json"]);
    assert_eq!(
        (&quick.objects("table_change")[1]["inserted"], &quick.objects("table_change")[1]["counted"]),
        (&four, &"files".into())
    );
    let said = snap.ok(&["log", "db/orders"]);
    assert!(said.lines()[1].contains("changed   2 files") && said.lines()[1].contains("(+2 -2)"), "{}", said.stdout);
    // Any other file has a log as well, and what is gone was removed.
    snap.write("db/note.txt", "one");
    snap.ok(&["create", "--series", "db", "db"]);
    std::fs::remove_file(snap.work("db/note.txt")).unwrap();
    snap.ok(&["create", "--series", "db", "db"]);
    let ran = snap.ok(&["log", "db/note.txt", "--json"]);
    let events: Vec<_> =
        ran.objects("table_change").iter().map(|c| (c["event"].clone(), c["records"].clone())).collect();
    assert_eq!(events, [("appeared".into(), serde_json::Value::Null), ("removed".into(), zero.clone())]);
}

#[test]
fn a_record_is_followed_through_all_snapshots() {
    let snap = nights();
    snap.ok(&["create", "--series", "db", "db"]);
    let ids = snap.snapshot_ids();
    let periods = |key: &str| snap.ok(&["log", "db/orders", "--key", key, "--json"]).objects("record_period");
    let first = periods("id=1");
    let states: Vec<_> = first
        .iter()
        .map(|p| {
            (
                p["record"][0]["state"].as_str().unwrap(),
                p["record"][0]["lines"].as_i64().unwrap(),
                p["snapshots"].as_i64().unwrap(),
            )
        })
        .collect();
    assert_eq!(states, [("NEW", 1, 1), ("PAID", 1, 1), ("PAID", 3, 2)], "read with the newest schema");
    assert_eq!((first[2]["since_id"].as_str(), first[2]["until_id"].as_str()), (Some(&*ids[2]), Some(&*ids[3])));
    let gone = periods("id=2,note=late");
    let present: Vec<_> =
        gone.iter().map(|p| (p["present"].as_bool().unwrap(), p["snapshots"].as_i64().unwrap())).collect();
    assert_eq!(present, [(true, 1), (false, 3)]);
    let stays = periods("state=PAID,id=4");
    assert_eq!((stays.len(), stays[0]["snapshots"].as_i64()), (1, Some(4)));
    let said = snap.ok(&["log", "db/orders", "--key", "id=5"]);
    assert!(said.lines()[0].ends_with("missing") && said.lines()[1].contains("(3 snapshots)"), "{}", said.stdout);
    let none = snap.ok(&["log", "db/orders", "--key", "id=99"]);
    assert!(none.stdout.contains("no snapshot has a record with id=99"), "{}", none.stdout);
}

#[test]
fn what_cannot_be_compared_is_refused_with_the_reason() {
    let snap = nights();
    snap.write("db/text.txt", "no records");
    snap.write(
        "db/other.avro",
        table(r#"{"type":"record","name":"Other","fields":[{"name":"x","type":"string"}]}"#, &[vec![2, b'x']]),
    );
    snap.ok(&["create", "--series", "db", "db"]);
    for (code, arguments, said) in [
        (2, &["diff", "latest~1", "latest", "--key", "id"][..], "--records"),
        (2, &["diff", "latest~1", "latest", "db/orders"], "--records"),
        (2, &["diff", "--records", "latest~1", "latest", "db/orders", "--key", "idd"], "the schema has no field idd"),
        (2, &["diff", "--records", "latest~1", "latest", "db/orders", "--key", ""], "--key is empty"),
        (2, &["diff", "--records", "latest~1", "latest", "db/orders", "--key", "id,id"], "named twice"),
        (2, &["diff", "--records", "latest~1", "latest", "db/orders", "--where", "id >"], "--where"),
        (2, &["diff", "--records", "latest~1", "latest", "db/orders", "--where", "x = 1"], "no field x"),
        (2, &["diff", "--records", "latest~1:db", "latest", "db/orders"], "not both"),
        (2, &["diff", "--records", "latest~1", "latest", "db/orders", "-o", "x"], "--format avro"),
        (2, &["diff", "--records", "--from", "latest", "--to", "latest~1", "db/orders"], "is not before"),
        (2, &["diff", "--records", "--from", "latest~1", "--to", "latest", "db", "x"], "only a path follows"),
        (1, &["diff", "--records", "latest~1", "latest", "db/none"], "is not in snapshot"),
        (1, &["diff", "--records", "latest", "latest", "db/text.txt"], "not an Avro file"),
        (1, &["diff", "--records", "latest", "latest", "db"], "no schema reads all files"),
        (2, &["log", "db/orders", "--key", "id"], "FIELD=VALUE"),
        (2, &["log", "db/orders", "--key", "id=x"], "id is"),
        (2, &["log", "db/orders", "--key", "nothing=1"], "no field nothing"),
        (2, &["log", ""], "say which file"),
        (1, &["log", "db/none"], "is in none of the snapshots"),
        (1, &["log", "db/none", "--key", "id=1"], "is in none of the snapshots"),
    ] {
        let ran = snap.ends(code, arguments);
        assert!(ran.stderr.contains(said), "{arguments:?}: {}", ran.stderr);
    }
}

#[test]
fn the_sound_records_of_a_damaged_file_are_compared_and_the_rest_is_reported() {
    let snap = Snap::new();
    let mut file = table(SCHEMA, &[order(1, 0, ""), order(2, 0, "")]);
    snap.write("t.avro", &file);
    snap.ok(&["create", "t.avro"]);
    // A second block that declares a record that is not there.
    let second = container(SCHEMA, "null", [(2, &order(3, 0, "")[..])]);
    file.extend_from_slice(&second[second.len() - 3 - 2 - 16..]);
    snap.write("t.avro", &file);
    snap.run(&["create", "t.avro"]);
    let ran = snap.ends(3, &["diff", "--records", "latest~1", "latest", "t.avro", "--key", "id", "--json"]);
    assert_eq!((&ran.summary()["inserted"], &ran.summary()["faults"]), (&1.into(), &1.into()), "{}", ran.stdout);
    assert!(ran.stderr.contains("block 1"), "{}", ran.stderr);
}
