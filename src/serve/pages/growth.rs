//! How the repository grows: what all files come to, what is stored for them, and what each snapshot added.

use std::collections::HashSet;

use super::super::text::escaped;
use super::draw::{Point, bars};
use super::words::{minute, size};
use super::{framed, link, table};
use crate::chunk::ChunkKind;
use crate::error::Result;
use crate::live::Live;
use crate::ops::stats::{Stats, stats};

/// How many snapshots the table shows, the latest.
const SHOWN: usize = 200;

pub(super) fn page(live: &Live) -> Result<String> {
    Ok(framed("Growth", &content(live)?))
}

pub(super) fn content(live: &Live) -> Result<String> {
    let listing = live.listing();
    let all: HashSet<_> = listing.snapshots.iter().map(|root| root.id).collect();
    let found = stats(live.repository(), &listing, &all)?;
    let mut content = summary(&found);
    let points: Vec<Point> = found
        .snapshots
        .iter()
        .map(|night| Point {
            value: night.added.stored,
            label: minute(night.snapshot.time),
            words: size(night.added.stored),
        })
        .collect();
    content.push_str("<h2>What each snapshot added</h2>\n");
    content.push_str(&bars("Bytes that each snapshot added, from the first to the last", &points));
    let rows = found.snapshots.iter().rev().take(SHOWN).map(|night| {
        let root = &night.snapshot;
        let address = link("series", &[("name", root.series.as_bytes())]);
        vec![
            minute(root.time),
            format!("<a href=\"{address}\">{}</a>", escaped(&root.series)),
            format!("<code>{}</code>", root.id.short()),
            size(night.held.bytes),
            size(night.added.plain),
            size(night.added.stored),
            size(night.only.stored),
        ]
    });
    let headings = ["Time (UTC)", "Series", "Snapshot", "Files", "New, decoded", "New, stored", "Freed without it"];
    content.push_str(&table("Snapshots, the latest first", &headings, rows));
    Ok(content)
}

fn summary(found: &Stats) -> String {
    let kinds = found.by_kind.iter().map(|(kind, amount)| {
        vec![words(*kind).into(), amount.chunks.to_string(), size(amount.plain), size(amount.stored)]
    });
    let saving = found.saving().map_or_else(String::new, |saving| format!(": {saving:.1} times less"));
    let mut text = format!(
        "<p>All snapshots together show {} of files. {} are stored for them{saving}. The repository takes {} in all.</p>\n",
        size(found.held.bytes),
        size(found.unique.stored),
        size(
            found.objects.pack_bytes + found.objects.parity_bytes + found.objects.index_bytes + found.objects.log_bytes
        )
    );
    if found.unreadable > 0 {
        text.push_str("<p class=\"bad\">Something could not be read: these figures are too small.</p>\n");
    }
    text.push_str(&table("What is stored, by what it is", &["Kind", "Chunks", "Decoded", "Stored"], kinds));
    text
}

fn words(kind: ChunkKind) -> &'static str {
    match kind {
        ChunkKind::Records => "Records",
        ChunkKind::Bytes => "Files that are not Avro",
        ChunkKind::Payload => "Blocks kept as they were",
        ChunkKind::Header => "Headers of Avro files",
        ChunkKind::Layout => "How blocks lie",
        ChunkKind::Node => "References",
        ChunkKind::Rows => "Rows of manifests",
        ChunkKind::Root => "Roots of snapshots",
        ChunkKind::Corrections => "Corrections of blocks",
    }
}
