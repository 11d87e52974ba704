//! Iceberg tables, as small as can be, written by the `apache-avro` package: made-up data files, and what names them.
#![allow(dead_code, reason = "each test uses a part")]

use std::fs;
use std::path::{Path, PathBuf};

use apache_avro::types::Value as Avro;
use apache_avro::{Codec, DeflateSettings, Schema, Writer};
use serde_json::{Value, json};

const LIST: &str = r#"{"type":"record","name":"manifest_file","fields":[
    {"name":"manifest_path","type":"string","field-id":500},
    {"name":"manifest_length","type":"long","field-id":501},
    {"name":"partition_spec_id","type":"int","field-id":502},
    {"name":"content","type":"int","field-id":517},
    {"name":"added_snapshot_id","type":"long","field-id":503}]}"#;

const MANIFEST: &str = r#"{"type":"record","name":"manifest_entry","fields":[
    {"name":"status","type":"int","field-id":0},
    {"name":"snapshot_id","type":["null","long"],"default":null,"field-id":1},
    {"name":"data_file","field-id":2,"type":{"type":"record","name":"r2","fields":[
        {"name":"content","type":"int","field-id":134},
        {"name":"file_path","type":"string","field-id":100},
        {"name":"file_format","type":"string","field-id":101},
        {"name":"partition","field-id":102,"type":{"type":"record","name":"r102","fields":[
            {"name":"day","type":["null","int"],"default":null,"field-id":1000}]}},
        {"name":"record_count","type":"long","field-id":103},
        {"name":"file_size_in_bytes","type":"long","field-id":104},
        {"name":"column_sizes","field-id":108,"default":null,"type":["null",{"type":"array","logicalType":"map","items":
            {"type":"record","name":"k117_v118","fields":[
                {"name":"key","type":"int","field-id":117},{"name":"value","type":"long","field-id":118}]}}]},
        {"name":"referenced_data_file","type":["null","string"],"default":null,"field-id":143}]}}]}"#;

/// A file that a manifest is to name: status, content, format, name and length.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) status: i32,
    pub(crate) content: i32,
    pub(crate) format: &'static str,
    pub(crate) name: String,
    pub(crate) length: u64,
}

/// A table in a folder.
pub(crate) struct Ice {
    pub(crate) folder: PathBuf,
    pub(crate) version: u32,
    /// The files of its current state.
    pub(crate) live: Vec<Entry>,
    snapshots: Vec<Value>,
    log: Vec<Value>,
}

impl Ice {
    pub(crate) fn new(folder: &Path) -> Self {
        for name in ["metadata", "data"] {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        Self { folder: folder.to_path_buf(), version: 0, live: Vec::new(), snapshots: Vec::new(), log: Vec::new() }
    }

    /// The location of a file of the table.
    pub(crate) fn location(&self, name: &str) -> String {
        format!("file://{}/{name}", self.folder.display())
    }

    /// Writes a data file, which the next commit adds.
    pub(crate) fn add(&mut self, name: &str, content: impl AsRef<[u8]>) {
        let (name, content) = (format!("data/{name}"), content.as_ref());
        fs::write(self.folder.join(&name), content).unwrap();
        self.live.push(Entry { status: 1, content: 0, format: "PARQUET", name, length: content.len() as u64 });
    }

    /// The next commit takes out a data file, which stays where it is.
    pub(crate) fn take_out(&mut self, name: &str) {
        self.live.retain(|entry| entry.name != format!("data/{name}"));
    }

    /// Drops all snapshots but the current one, and removes the files that only they had.
    pub(crate) fn expire(&mut self) {
        self.snapshots = self.snapshots.split_off(self.snapshots.len() - 1);
        for name in fs::read_dir(self.folder.join("data")).unwrap().map(|entry| entry.unwrap().file_name()) {
            let name = format!("data/{}", name.to_str().unwrap());
            if !self.live.iter().any(|entry| entry.name == name) {
                fs::remove_file(self.folder.join(name)).unwrap();
            }
        }
        for version in 1..self.version {
            for name in [format!("snap-{version}.avro"), format!("m{version}.avro")] {
                let _ = fs::remove_file(self.folder.join("metadata").join(name));
            }
        }
    }

    /// Writes a manifest, a list, and the metadata; returns the metadata file.
    pub(crate) fn commit(&mut self) -> PathBuf {
        self.version += 1;
        let version = self.version;
        let entries: Vec<Avro> = self.live.iter().map(|entry| self.entry(entry)).collect();
        let manifest = self.avro(&format!("metadata/m{version}.avro"), MANIFEST, entries);
        let list = Avro::Record(vec![
            ("manifest_path".into(), Avro::String(self.location(&format!("metadata/m{version}.avro")))),
            ("manifest_length".into(), Avro::Long(manifest as i64)),
            ("partition_spec_id".into(), Avro::Int(0)),
            ("content".into(), Avro::Int(0)),
            ("added_snapshot_id".into(), Avro::Long(i64::from(version))),
        ]);
        self.avro(&format!("metadata/snap-{version}.avro"), LIST, vec![list]);
        self.snapshots.push(json!({
            "snapshot-id": version,
            "timestamp-ms": version,
            "manifest-list": self.location(&format!("metadata/snap-{version}.avro")),
            "summary": {"operation": "append", "total-records": (10 * self.live.len()).to_string()},
        }));
        self.write_metadata()
    }

    /// Writes the metadata alone, as after snapshots were expired.
    pub(crate) fn write_metadata(&mut self) -> PathBuf {
        let name = format!("v{}.metadata.json", self.version);
        let ids =
            self.snapshots.iter().map(|snapshot| json!({"snapshot-id": snapshot["snapshot-id"], "timestamp-ms": 1}));
        let metadata = json!({
            "format-version": 2,
            "table-uuid": "9c12d441-03fe-4693-9a96-a0705ddf69c1",
            "location": format!("file://{}", self.folder.display()),
            "last-updated-ms": self.version,
            "current-snapshot-id": self.snapshots.last().map_or(json!(-1), |last| last["snapshot-id"].clone()),
            "snapshots": self.snapshots,
            "snapshot-log": ids.collect::<Vec<_>>(),
            "metadata-log": self.log,
            "properties": {"owner": "test"},
        });
        let path = self.folder.join("metadata").join(&name);
        fs::write(&path, serde_json::to_vec_pretty(&metadata).unwrap()).unwrap();
        fs::write(self.folder.join("metadata/version-hint.text"), self.version.to_string()).unwrap();
        self.log
            .push(json!({"metadata-file": self.location(&format!("metadata/{name}")), "timestamp-ms": self.version}));
        path
    }

    fn entry(&self, entry: &Entry) -> Avro {
        let nothing = || Avro::Union(0, Box::new(Avro::Null));
        let size = Avro::Record(vec![("key".into(), Avro::Int(1)), ("value".into(), Avro::Long(4000))]);
        Avro::Record(vec![
            ("status".into(), Avro::Int(entry.status)),
            ("snapshot_id".into(), Avro::Union(1, Box::new(Avro::Long(i64::from(self.version))))),
            (
                "data_file".into(),
                Avro::Record(vec![
                    ("content".into(), Avro::Int(entry.content)),
                    ("file_path".into(), Avro::String(self.location(&entry.name))),
                    ("file_format".into(), Avro::String(entry.format.into())),
                    (
                        "partition".into(),
                        Avro::Record(vec![("day".into(), Avro::Union(1, Box::new(Avro::Int(20000))))]),
                    ),
                    ("record_count".into(), Avro::Long(10)),
                    ("file_size_in_bytes".into(), Avro::Long(entry.length as i64)),
                    ("column_sizes".into(), Avro::Union(1, Box::new(Avro::Array(vec![size])))),
                    ("referenced_data_file".into(), nothing()),
                ]),
            ),
        ])
    }

    /// Writes an Avro file; returns its length.
    fn avro(&self, name: &str, schema: &str, records: Vec<Avro>) -> u64 {
        let schema = Schema::parse_str(schema).unwrap();
        let mut writer = Writer::with_codec(&schema, Vec::new(), Codec::Deflate(DeflateSettings::default())).unwrap();
        writer.add_user_metadata("format-version".into(), "2").unwrap();
        for record in records {
            writer.append_value(record).unwrap();
        }
        let bytes = writer.into_inner().unwrap();
        fs::write(self.folder.join(name), &bytes).unwrap();
        bytes.len() as u64
    }
}
