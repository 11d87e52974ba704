//! A table, or a folder of tables: what is in it, its schema, its records over time, its first rows.

use super::super::text::{encoded, escaped};
use super::draw::{Point, Stretch, lanes, line};
use super::words::{grouped, minute, size};
use super::{Query, framed, link, table};
use crate::avro::records::Encoding;
use crate::error::{Error, Result};
use crate::live::{Live, SnapshotName};
use crate::read::Snapshot;
use crate::recipe::View;
use crate::snapshot::entry::{EntryKind, FileEntry};

/// How many things in a folder, ...
const CHILDREN: usize = 500;
/// ... snapshots of the series, ...
const HISTORY: usize = 120;
/// ... and records are shown.
const ROWS: usize = 10;
/// The longest text of a record that is shown.
const LONGEST: usize = 2000;

pub(super) fn page(live: &Live, query: &Query) -> Result<String> {
    let (text, path) = (query.bytes("snapshot"), query.bytes("path"));
    let none = || Error::NoSnapshot { wanted: String::from_utf8_lossy(&text).into_owned() };
    let snapshot = live.snapshot(&SnapshotName::parse(&text).ok_or_else(none)?, None)?;
    let root = snapshot.root();
    let shown = if path.is_empty() { "Tables".into() } else { String::from_utf8_lossy(&path).into_owned() };
    let about = format!(
        "<p>Snapshot <code>{}</code> of {} UTC, series <a href=\"{}\">{}</a>.{}</p>\n",
        root.id.short(),
        minute(root.time),
        link("series", &[("name", root.series.as_bytes())]),
        escaped(&root.series),
        upward(&snapshot, &path)
    );
    let entry = snapshot.entry(&path)?;
    let content = match entry.filter(|entry| entry.kind == EntryKind::File) {
        Some(entry) => file(live, &snapshot, &entry)?,
        None => folder(&snapshot, &path)?,
    };
    Ok(framed(&shown, &format!("{about}{content}")))
}

/// The way to the folder above.
fn upward(snapshot: &Snapshot, path: &[u8]) -> String {
    if path.is_empty() {
        return String::new();
    }
    let above = path.iter().rposition(|byte| *byte == b'/').map_or(&b""[..], |slash| &path[..slash]);
    let id = snapshot.id().to_string();
    format!(" <a href=\"{}\">Folder above</a>", link("table", &[("snapshot", id.as_bytes()), ("path", above)]))
}

fn folder(snapshot: &Snapshot, path: &[u8]) -> Result<String> {
    let children = snapshot.dir(path)?.children_after(None, CHILDREN + 1)?;
    let id = snapshot.id().to_string();
    let rows = children.iter().take(CHILDREN).map(|child| {
        let slash = if child.kind == EntryKind::Directory { "/" } else { "" };
        let name = escaped(&String::from_utf8_lossy(child.name()));
        let address = link("table", &[("snapshot", id.as_bytes()), ("path", &child.path)]);
        let facts = child.avro.as_ref();
        vec![
            format!("<a href=\"{address}\">{name}{slash}</a>"),
            if child.kind == EntryKind::File { size(child.size) } else { String::new() },
            facts.map_or_else(String::new, |facts| grouped(facts.declared_records)),
            facts.map_or_else(String::new, |facts| escaped(&facts.codec)),
            facts.map_or_else(String::new, |facts| facts.state.name().into()),
        ]
    });
    let mut text = table("What is in it", &["Name", "Bytes", "Records", "Codec", "State"], rows);
    if children.len() > CHILDREN {
        text.push_str("<p>And more: <code>snap ls --long</code> shows all.</p>\n");
    }
    Ok(text)
}

fn file(live: &Live, snapshot: &Snapshot, entry: &FileEntry) -> Result<String> {
    let id = snapshot.id().to_string();
    let address = |view: View| escaped(&format!("/{}/{id}/{}", view.name(), encoded(&entry.path, true)));
    let mut text = format!(
        "<p>{} as saved. <a href=\"{}\">Download as saved</a>, <a href=\"{}\">without compression</a>.</p>\n",
        size(entry.size),
        address(View::Exact),
        address(View::Plain)
    );
    if entry.altered.is_some() {
        text.push_str("<p class=\"bad\">Records were taken out of it on purpose after it was saved.</p>\n");
    }
    let Some(facts) = &entry.avro else { return Ok(text) };
    text.push_str(&format!(
        "<p>{} records in {} blocks, codec {}, {}.</p>\n",
        grouped(facts.declared_records),
        grouped(facts.blocks),
        escaped(&facts.codec),
        facts.state.name()
    ));
    text.push_str(&history(live, snapshot, &entry.path)?);
    if let Ok(records) = snapshot.file(&entry.path)?.records() {
        text.push_str("<h2>First records</h2>\n");
        let schema = records.schema_text().to_owned();
        let rows = records.take(ROWS).map(|record| {
            let json = record.and_then(|record| record.to_json(Encoding::Plain));
            vec![match json {
                Ok(json) => format!("<code>{}</code>", escaped(&shortened(&json))),
                Err(error) => format!("<span class=\"bad\">{}</span>", escaped(&error.message())),
            }]
        });
        text.push_str(&table("Records", &["Record"], rows));
        text.push_str(&format!("<h2>Schema</h2>\n<pre>{}</pre>\n", escaped(&schema)));
    }
    Ok(text)
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}

/// The same path in the snapshots of the series.
fn history(live: &Live, snapshot: &Snapshot, path: &[u8]) -> Result<String> {
    let series = snapshot.root().series.clone();
    let listing = live.listing();
    let all: Vec<_> = listing.snapshots.iter().filter(|root| root.series == series).collect();
    let latest = &all[all.len().saturating_sub(HISTORY)..];
    let (mut points, mut rows, mut schemas, mut stretches) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::<Stretch>::new());
    for (at, root) in latest.iter().enumerate() {
        let Some(row) = live.of_root((*root).clone()).entry(path)? else { continue };
        let Some(facts) = &row.avro else { continue };
        let schema = format!("{:016x}", facts.fingerprint.swap_bytes());
        points.push(Point {
            value: facts.declared_records,
            label: minute(root.time),
            words: grouped(facts.declared_records),
        });
        let lane = schemas.iter().position(|known| *known == schema).unwrap_or_else(|| {
            schemas.push(schema.clone());
            schemas.len() - 1
        });
        match stretches.last_mut().filter(|last| last.lane == lane && last.to == at) {
            Some(last) => last.to = at + 1,
            None => stretches.push(Stretch {
                lane,
                from: at,
                to: at + 1,
                words: format!("{schema} from {}", minute(root.time)),
            }),
        }
        rows.push(vec![
            minute(root.time),
            grouped(facts.declared_records),
            size(row.size),
            format!("<code>{schema}</code>"),
        ]);
    }
    rows.reverse();
    let mut text =
        format!("<h2>Records over time</h2>\n{}", line("Records, from the first snapshot to the last", &points));
    text.push_str("<h2>Schemas over time</h2>\n");
    text.push_str(&lanes(
        "Which schema each snapshot has, from the first to the last",
        &schemas,
        &stretches,
        latest.len(),
    ));
    text.push_str(&table("Snapshots, the latest first", &["Time (UTC)", "Records", "Bytes", "Schema"], rows));
    Ok(text)
}
