//! What is damaged, torn or unread, and how old the last check is.

use super::super::text::escaped;
use super::home;
use super::words::{count, grouped, minute, size};
use super::{framed, link, table};
use crate::live::Live;
use crate::ops::overview::overview;
use crate::read::Snapshot;

/// How many files of a series are named.
const SHOWN: usize = 100;
/// How many rows of the newest snapshot of a series are looked at.
const LOOKED: usize = 200_000;

pub(super) fn page(live: &Live) -> String {
    framed("Health", &content(live))
}

pub(super) fn content(live: &Live) -> String {
    let found = overview(live.repository(), &live.listing());
    let mut content = format!("<p>{}</p>\n", home::health(&found.health, found.time));
    let verified = live.repository().packs().verified();
    let packs = live.repository().catalog().index().packs_known();
    let mut times: Vec<(Option<i64>, String, u64)> =
        packs.iter().map(|(pack, bytes)| (verified.verified(pack), pack.short(), *bytes)).collect();
    times.sort();
    let rows = times.into_iter().take(SHOWN).map(|(time, pack, bytes)| {
        vec![format!("<code>{pack}</code>"), size(bytes), time.map_or_else(|| "never on this machine".into(), minute)]
    });
    content.push_str("<h2>Packs that were not verified for longest</h2>\n");
    content.push_str(&table("Packs", &["Pack", "Size", "Verified (UTC)"], rows));
    content.push_str("<h2>Files that are not sound</h2>\n");
    for series in &found.series {
        content.push_str(&of_snapshot(&live.of_root(series.last.clone()), &series.series));
    }
    content
}

/// The Avro files of a snapshot that were not sound when they were saved.
fn of_snapshot(snapshot: &Snapshot, series: &str) -> String {
    let (mut rows, mut more, mut looked) = (Vec::new(), 0u64, 0);
    let mut manifest = snapshot.root().rows(&**snapshot.repository());
    let trouble = loop {
        let row = match manifest.next_row() {
            Ok(Some(row)) => row,
            Ok(None) => break None,
            Err(error) => break Some(error.message()),
        };
        looked += 1;
        if looked > LOOKED {
            break Some(format!("only the first {} were looked at", grouped(LOOKED as u64)));
        }
        let Some(facts) = row.avro.as_ref().filter(|facts| facts.state.is_alarm()) else { continue };
        if rows.len() >= SHOWN {
            more += 1;
            continue;
        }
        let id = snapshot.id().to_string();
        let address = link("table", &[("snapshot", id.as_bytes()), ("path", &row.path)]);
        rows.push(vec![
            format!("<a href=\"{address}\">{}</a>", escaped(&String::from_utf8_lossy(&row.path))),
            facts.state.name().to_owned(),
            grouped(facts.declared_records),
        ]);
    };
    let name = escaped(series);
    let mut text = match rows.is_empty() {
        true => {
            format!("<p>{name}: <span class=\"good\">all Avro files of the newest snapshot are sound</span>.</p>\n")
        }
        false => format!("<h3>{name}</h3>\n{}", table("Files", &["Path", "State", "Records"], rows)),
    };
    if more > 0 {
        text.push_str(&format!("<p>And {}.</p>\n", count(more, "file")));
    }
    if let Some(trouble) = trouble {
        text.push_str(&format!("<p class=\"bad\">{name}: {}</p>\n", escaped(&trouble)));
    }
    text
}
