//! The metadata file of a table: JSON. What is not understood is kept as it is.

use serde_json::{Value, json};

use super::location::LocationMap;
use super::{Flaw, Result};

/// The longest metadata file that is read, in bytes.
pub const MAX_METADATA: u64 = 256 << 20;

/// The only kind of statistics of which it is known that no paths stand in them.
const WITHOUT_PATHS: &str = "apache-datasketches-theta-v1";

/// Settings that say where new files go.
const PLACES: [&str; 4] =
    ["write.data.path", "write.metadata.path", "write.folder-storage.path", "write.object-storage.path"];

/// The metadata of a table.
#[derive(Debug, Clone)]
pub struct TableMetadata {
    json: Value,
}

/// A snapshot of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOfTable {
    /// Its id.
    pub id: i64,
    /// Where its manifest list is; none where it names its manifests itself, as the first tables did.
    pub list: Option<String>,
    /// The manifests that it names itself.
    pub manifests: Vec<String>,
    /// Records in it, if it says so.
    pub records: Option<u64>,
    /// Data files in it, if it says so.
    pub data_files: Option<u64>,
}

/// Statistics of a snapshot, in a file of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// The snapshot that they are about.
    pub snapshot: i64,
    /// Where they are.
    pub location: String,
    /// How long the file is, in bytes.
    pub length: Option<u64>,
}

impl TableMetadata {
    /// Reads a metadata file.
    ///
    /// # Errors
    /// If it is none, or of a version that is not known.
    pub fn parse(text: &[u8]) -> Result<Self> {
        let json: Value = serde_json::from_slice(text).map_err(|error| Flaw::new(format!("it is no JSON: {error}")))?;
        let metadata = Self { json };
        match metadata.format_version() {
            _ if metadata.location().is_empty() => {
                Err(Flaw::new("it is no metadata of an Iceberg table: it has no location"))
            }
            1..=3 => Ok(metadata),
            other => Err(Flaw::new(format!("it is of format version {other}, and 1 to 3 are known"))),
        }
    }

    /// The version of the format.
    pub fn format_version(&self) -> i64 {
        self.json.get("format-version").and_then(Value::as_i64).unwrap_or(0)
    }

    /// Where the table is.
    pub fn location(&self) -> &str {
        self.json.get("location").and_then(Value::as_str).unwrap_or_default()
    }

    /// When it was written, milliseconds since 1970.
    pub fn updated(&self) -> i64 {
        self.json.get("last-updated-ms").and_then(Value::as_i64).unwrap_or(0)
    }

    /// The current snapshot; none of a table without any.
    pub fn current(&self) -> Option<i64> {
        // Old writers have -1 for none.
        self.json.get("current-snapshot-id").and_then(Value::as_i64).filter(|id| *id != -1)
    }

    /// All snapshots.
    ///
    /// # Errors
    /// If one of them has no id.
    pub fn snapshots(&self) -> Result<Vec<SnapshotOfTable>> {
        self.list("snapshots").iter().map(snapshot).collect()
    }

    /// The current snapshot, or all.
    ///
    /// # Errors
    /// As of [`snapshots`](Self::snapshots), and if the current one is not among them.
    pub fn chosen(&self, all: bool) -> Result<Vec<SnapshotOfTable>> {
        let snapshots = self.snapshots()?;
        match (all, self.current()) {
            (false, None) => Ok(Vec::new()),
            (false, Some(current)) => {
                let found = snapshots.into_iter().find(|snapshot| snapshot.id == current);
                found.map(|snapshot| vec![snapshot]).ok_or_else(|| Flaw::new("its current snapshot is not listed"))
            }
            (true, _) => Ok(snapshots),
        }
    }

    /// The metadata files before this one, oldest first.
    pub fn log(&self) -> Vec<String> {
        let file = |entry: &Value| entry.get("metadata-file").and_then(Value::as_str).map(str::to_owned);
        self.list("metadata-log").iter().filter_map(file).collect()
    }

    /// Files with statistics.
    pub fn statistics(&self) -> Vec<Statistics> {
        let both = self.list("statistics").iter().chain(self.list("partition-statistics"));
        both.filter_map(|entry| {
            let location = entry.get("statistics-path").and_then(Value::as_str)?.to_owned();
            let length = entry.get("file-size-in-bytes").and_then(Value::as_u64);
            Some(Statistics { snapshot: entry.get("snapshot-id").and_then(Value::as_i64)?, location, length })
        })
        .collect()
    }

    fn list(&self, name: &str) -> &[Value] {
        self.json.get(name).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// The metadata of a table that moved, which has only these snapshots: their ids. The log of earlier metadata files is empty then,
    /// and branches and tags that lead to other snapshots are gone.
    ///
    /// # Errors
    /// If a location is covered by none of the mappings, or there are statistics in which paths may stand.
    pub fn moved(&self, maps: &[LocationMap], kept: &[i64]) -> Result<Vec<u8>> {
        let mut json = self.json.clone();
        let is_kept =
            |entry: &Value| entry.get("snapshot-id").and_then(Value::as_i64).is_some_and(|id| kept.contains(&id));
        for entry in self.list("statistics").iter().filter(|entry| is_kept(entry)) {
            let blobs = entry.get("blob-metadata").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            let kinds = blobs.iter().filter_map(|blob| blob.get("type").and_then(Value::as_str));
            if let Some(kind) = kinds.into_iter().find(|kind| *kind != WITHOUT_PATHS) {
                return Err(Flaw::new(format!("it has statistics of kind {kind}, in which paths may stand")));
            }
        }
        for name in ["snapshots", "snapshot-log", "statistics", "partition-statistics"] {
            if let Some(list) = json.get_mut(name).and_then(Value::as_array_mut) {
                list.retain(is_kept);
            }
        }
        if let Some(log) = json.get_mut("metadata-log") {
            *log = json!([]);
        }
        if let Some(refs) = json.get_mut("refs").and_then(Value::as_object_mut) {
            refs.retain(|_, target| is_kept(target));
        }
        let move_at = |entry: &mut Value, name: &str| -> Result<()> {
            if let Some(place) = entry.get_mut(name).filter(|place| place.is_string()) {
                *place = LocationMap::of(maps, place.as_str().unwrap_or_default())?.into();
            }
            Ok(())
        };
        move_at(&mut json, "location")?;
        for (list, name) in [
            ("snapshots", "manifest-list"),
            ("statistics", "statistics-path"),
            ("partition-statistics", "statistics-path"),
        ] {
            for entry in json.get_mut(list).and_then(Value::as_array_mut).into_iter().flatten() {
                move_at(entry, name)?;
                for manifest in entry.get_mut("manifests").and_then(Value::as_array_mut).into_iter().flatten() {
                    *manifest = LocationMap::of(maps, manifest.as_str().unwrap_or_default())?.into();
                }
            }
        }
        if let Some(settings) = json.get_mut("properties") {
            PLACES.iter().try_for_each(|name| move_at(settings, name))?;
        }
        serde_json::to_vec(&json).map_err(|error| Flaw::new(error.to_string()))
    }
}

fn snapshot(entry: &Value) -> Result<SnapshotOfTable> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str).map(str::to_owned);
    let counted = |name: &str| {
        let value = entry.get("summary").and_then(|summary| summary.get(name))?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    };
    let manifests = entry.get("manifests").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let snapshot = SnapshotOfTable {
        id: entry.get("snapshot-id").and_then(Value::as_i64).ok_or_else(|| Flaw::new("a snapshot has no id"))?,
        list: text("manifest-list"),
        manifests: manifests.iter().filter_map(|manifest| manifest.as_str().map(str::to_owned)).collect(),
        records: counted("total-records"),
        data_files: counted("total-data-files"),
    };
    match snapshot.list.is_none() && snapshot.manifests.is_empty() {
        true => Err(Flaw::new(format!("snapshot {} names no manifests", snapshot.id))),
        false => Ok(snapshot),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"format-version":2,"location":"file:///wh/t","last-updated-ms":5,"current-snapshot-id":2,
        "properties":{"write.data.path":"file:///wh/t/d","other":"file:///wh"},
        "snapshots":[{"snapshot-id":1,"manifest-list":"file:///wh/t/metadata/1.avro"},
            {"snapshot-id":2,"manifest-list":"file:///wh/t/metadata/2.avro","summary":{"total-records":"7","total-data-files":"2"}}],
        "snapshot-log":[{"snapshot-id":1,"timestamp-ms":1},{"snapshot-id":2,"timestamp-ms":2}],
        "metadata-log":[{"metadata-file":"file:///wh/t/metadata/v1.metadata.json","timestamp-ms":1}],
        "refs":{"main":{"snapshot-id":2,"type":"branch"},"old":{"snapshot-id":1,"type":"tag"}},
        "statistics":[{"snapshot-id":2,"statistics-path":"file:///wh/t/metadata/s.puffin","file-size-in-bytes":9,
            "blob-metadata":[{"type":"apache-datasketches-theta-v1"}]}],"last-sequence-number":9007199254740993}"#;

    #[test]
    fn metadata_is_read() {
        let table = TableMetadata::parse(TEXT.as_bytes()).unwrap();
        assert_eq!(
            (table.format_version(), table.location(), table.current(), table.updated()),
            (2, "file:///wh/t", Some(2), 5)
        );
        let current = &table.chosen(false).unwrap()[0];
        assert_eq!((current.id, current.records, current.data_files), (2, Some(7), Some(2)));
        assert_eq!(table.chosen(true).unwrap().len(), 2);
        assert_eq!(table.log(), ["file:///wh/t/metadata/v1.metadata.json"]);
        assert_eq!(table.statistics()[0].length, Some(9));
        for wrong in ["", "{}", "[]", r#"{"format-version":4,"location":"x"}"#, r#"{"location":"x"}"#] {
            assert!(TableMetadata::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_table_that_moved_names_only_what_was_kept() {
        let table = TableMetadata::parse(TEXT.as_bytes()).unwrap();
        let maps = ["file:///wh/t=s3://new/t".parse().unwrap()];
        let moved = String::from_utf8(table.moved(&maps, &[2]).unwrap()).unwrap();
        for there in [
            "s3://new/t/metadata/2.avro",
            "s3://new/t/d",
            "s3://new/t/metadata/s.puffin",
            "\"other\":\"file:///wh\"",
            "9007199254740993",
        ] {
            assert!(moved.contains(there), "{there} in {moved}");
        }
        for gone in ["1.avro", "v1.metadata.json", "\"old\""] {
            assert!(!moved.contains(gone), "{gone} in {moved}");
        }
        let elsewhere = ["file:///wh/t/metadata=s3://new/t".parse().unwrap()];
        assert!(table.moved(&elsewhere, &[2]).unwrap_err().0.contains("covers the location file:///wh/t"));
        let vectors =
            TableMetadata::parse(TEXT.replace("apache-datasketches-theta-v1", "other-v1").as_bytes()).unwrap();
        assert!(vectors.moved(&maps, &[2]).is_err() && vectors.moved(&maps, &[1]).is_ok());
    }
}
