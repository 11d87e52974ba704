//! One series: its snapshots, each with the way to its files and to what changed.

use super::super::text::{encoded, escaped};
use super::words::{ago, count, grouped, minute, size};
use super::{Query, framed, link, table};
use crate::error::{Error, Result};
use crate::live::{Live, escaped as component};
use crate::ops::overview::overview;
use crate::recipe::View;
use crate::snapshot::SnapshotRoot;

/// How many snapshots a page shows.
const SHOWN: usize = 200;

pub(super) fn page(live: &Live, query: &Query) -> Result<String> {
    let name = query.text("name");
    let listing = live.listing();
    let snapshots: Vec<&SnapshotRoot> = listing.snapshots.iter().filter(|root| root.series == name).collect();
    if snapshots.is_empty() {
        return Err(Error::NoSnapshot { wanted: format!("{name}:latest") });
    }
    let skip: usize = query.text("skip").parse().unwrap_or(0);
    let found = overview(live.repository(), &listing);
    let mut content = String::new();
    if let Some(series) = found.series.iter().find(|series| series.series == name) {
        content.push_str(&format!(
            "<p>{} since {} UTC, the last one {}. Files of the newest: <a href=\"{}\">as saved</a>, <a href=\"{}\">without \
             compression</a>.</p>\n",
            count(series.snapshots as u64, "snapshot"),
            minute(series.first),
            ago(series.last.time, found.time),
            files(&name, View::Exact),
            files(&name, View::Plain),
        ));
    }
    let newest: Vec<&SnapshotRoot> = snapshots.iter().rev().copied().collect();
    let shown = newest.iter().enumerate().skip(skip).take(SHOWN);
    let rows = shown.map(|(at, root)| row(root, newest.get(at + 1).copied()));
    let headings = ["Time (UTC)", "Snapshot", "Files", "Bytes", "Tags", "Look at"];
    content.push_str(&table("Snapshots, the latest first", &headings, rows));
    let next = skip.saturating_add(SHOWN);
    if next < newest.len() {
        let next = next.to_string();
        let address = link("series", &[("name", name.as_bytes()), ("skip", next.as_bytes())]);
        content.push_str(&format!("<p><a href=\"{address}\">Earlier snapshots</a></p>\n"));
    }
    Ok(framed(&format!("Series {name}"), &content))
}

fn files(series: &str, view: View) -> String {
    escaped(&format!("/series/{}/latest/{}/", encoded(component(series).as_bytes(), false), view.name()))
}

fn row(root: &SnapshotRoot, before: Option<&SnapshotRoot>) -> Vec<String> {
    let id = root.id.to_string();
    let changed = before.map_or_else(String::new, |before| {
        let address = link("diff", &[("a", before.id.to_string().as_bytes()), ("b", id.as_bytes())]);
        format!("<a href=\"{address}\">changes</a> · ")
    });
    let table = link("table", &[("snapshot", id.as_bytes()), ("path", b"")]);
    let unread = match root.totals.unreadable {
        0 => String::new(),
        number => format!(" <span class=\"bad\">{} not read</span>", grouped(number)),
    };
    vec![
        minute(root.time),
        format!("<code>{}</code>", root.id.short()),
        format!("{}{unread}", grouped(root.totals.files)),
        size(root.totals.bytes),
        escaped(&root.tags.join(", ")),
        format!("{changed}<a href=\"{table}\">tables</a> · <a href=\"/plain/{id}/\">files</a>"),
    ]
}
