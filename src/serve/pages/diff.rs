//! What changed from one snapshot to another.

use super::super::text::escaped;
use super::words::{count, grouped, minute, size};
use super::{Query, framed, link, table};
use crate::error::Result;
use crate::live::{Live, SnapshotName};
use crate::ops::diff::{Change, Difference, Side, diff};
use crate::snapshot::entry::{EntryKind, FileEntry};

/// How many changes are shown.
const SHOWN: usize = 1000;

pub(super) fn page(live: &Live, query: &Query) -> Result<String> {
    let snapshot = |name: &str| {
        let text = query.bytes(name);
        let found = SnapshotName::parse(&text).map(|name| live.snapshot(&name, None));
        found.unwrap_or_else(|| {
            Err(crate::error::Error::NoSnapshot { wanted: String::from_utf8_lossy(&text).into_owned() })
        })
    };
    let (before, after) = (snapshot("a")?.root(), snapshot("b")?.root());
    let (mut rows, mut more) = (Vec::new(), 0u64);
    let side = |snapshot| Side { snapshot, path: b"" };
    let summary = diff(live.repository(), side(&before), side(&after), &mut |change| {
        let is_folder =
            [change.before, change.after].into_iter().flatten().all(|entry| entry.kind == EntryKind::Directory);
        if change.difference == Difference::Metadata || is_folder {
            return Ok(());
        }
        if rows.len() < SHOWN {
            rows.push(row(change, after.id.to_string().as_bytes()));
        } else {
            more += 1;
        }
        Ok(())
    })?;
    let mut content = format!(
        "<p>From {} UTC (<code>{}</code>) to {} UTC (<code>{}</code>): {} added, {} removed, {} changed. {} were added, {} removed.</p>\n",
        minute(before.time),
        before.id.short(),
        minute(after.time),
        after.id.short(),
        count(summary.files_added, "file"),
        grouped(summary.files_removed),
        grouped(summary.files_changed),
        size(summary.bytes_added),
        size(summary.bytes_removed),
    );
    let headings =
        ["What", "Path", "Bytes before", "Bytes after", "Records before", "Records after", "Records, difference"];
    content.push_str(&table("Changed files", &headings, rows));
    if more > 0 {
        content.push_str(&format!("<p>And {} more: <code>snap diff</code> shows all.</p>\n", count(more, "file")));
    }
    Ok(framed("Changes", &content))
}

fn row(change: &Change<'_>, after: &[u8]) -> Vec<String> {
    let what = match change.difference {
        Difference::Added => "added",
        Difference::Removed => "removed",
        Difference::Content => "changed",
        Difference::Metadata => "metadata",
        Difference::Type => "another kind",
    };
    let shown = escaped(&String::from_utf8_lossy(change.path));
    let path = match change.after {
        Some(_) => format!("<a href=\"{}\">{shown}</a>", link("table", &[("snapshot", after), ("path", change.path)])),
        None => shown,
    };
    let bytes = |entry: Option<&FileEntry>| entry.map_or_else(String::new, |entry| size(entry.size));
    let records =
        |entry: Option<&FileEntry>| entry.and_then(|entry| entry.avro.as_ref()).map(|facts| facts.declared_records);
    let (was, is) = (records(change.before), records(change.after));
    let shown = |records: Option<u64>| records.map_or_else(String::new, grouped);
    let difference = match (was, is) {
        (Some(was), Some(is)) => format!("{:+}", i128::from(is) - i128::from(was)),
        _ => String::new(),
    };
    vec![what.into(), path, bytes(change.before), bytes(change.after), shown(was), shown(is), difference]
}
