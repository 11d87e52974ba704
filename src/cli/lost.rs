//! Printing what snapshots have lost: all of it as JSON, only the beginning for people.

use std::ops::Range;

use super::format::{count, size};
use super::output::Output;
use avro_snap::error::Result;
use avro_snap::ops::check::Lost;
use avro_snap::recipe::{Loss, Ranges};

/// How many losses are printed for people.
const SHOWN: u64 = 50;

/// How many ranges of a file are printed for people.
const RANGES: usize = 8;

/// Prints what snapshots have lost.
#[derive(Debug)]
pub(crate) struct LossPrinter<'a> {
    output: &'a Output,
    shown: u64,
}

impl<'a> LossPrinter<'a> {
    pub(crate) fn new(output: &'a Output) -> Self {
        Self { output, shown: 0 }
    }

    /// Prints one thing that is lost.
    pub(crate) fn print(&mut self, lost: &Lost) -> Result<()> {
        self.shown += 1;
        if self.output.json {
            return self.output.object("lost", lost);
        }
        if self.shown <= SHOWN {
            self.output.error("lost", &text(lost), None);
        }
        Ok(())
    }

    /// Says how many were not printed.
    pub(crate) fn finish(&self) {
        if !self.output.json && self.shown > SHOWN {
            let more = count(self.shown - SHOWN, "more loss").replace("losss", "losses");
            self.output.error("lost", &format!("{more} not listed here: --json lists all"), None);
        }
    }
}

fn text(lost: &Lost) -> String {
    let snapshot = lost.snapshot().short();
    match lost {
        Lost::Snapshot { cause, .. } => format!("snapshot {snapshot} is lost: {}", cause.message()),
        Lost::Rows { after, last, rows, .. } => {
            let (after, last) = (String::from_utf8_lossy(after), String::from_utf8_lossy(last));
            let from = if after.is_empty() { "from the first".into() } else { format!("after {after}") };
            format!("snapshot {snapshot} has lost {} of its manifest: {from} up to {last}", count(*rows, "row"))
        }
        Lost::File { path, size: length, loss, cause, .. } => {
            let path = String::from_utf8_lossy(path);
            match what(loss, *length) {
                Some(what) => format!("snapshot {snapshot} has lost of {path}: {what}"),
                None => format!("snapshot {snapshot} cannot restore {path}: {}", cause.message()),
            }
        }
    }
}

/// What of a file is lost, in words.
fn what(loss: &Loss, length: u64) -> Option<String> {
    let mut parts = Vec::new();
    if loss.header {
        parts.push("the header, and with it the schema".to_owned());
    }
    if !loss.records.is_empty() {
        let blocks = count(loss.blocks.total, "block");
        parts.push(format!("{} ({}) in {blocks}", count(loss.records.total, "record"), listed(&loss.records)));
    } else if !loss.blocks.is_empty() {
        parts.push(format!("{} ({})", count(loss.blocks.total, "block"), listed(&loss.blocks)));
    }
    if loss.layout && loss.blocks.is_empty() {
        parts.push("how its blocks lie".to_owned());
    }
    if loss.strays > 0 {
        parts.push(format!("{} that belong to no block", size(loss.strays)));
    }
    if !loss.bytes.is_empty() {
        let all = if loss.bytes.total >= length { "all of its bytes".into() } else { listed(&loss.bytes) };
        parts.push(format!("{} ({all})", size(loss.bytes.total)));
    }
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The first ranges, with their last numbers.
fn listed(ranges: &Ranges) -> String {
    let one = |range: &Range<u64>| match range.end - range.start {
        1 => range.start.to_string(),
        _ => format!("{}-{}", range.start, range.end - 1),
    };
    let mut text = ranges.ranges.iter().take(RANGES).map(one).collect::<Vec<_>>().join(", ");
    if ranges.ranges.len() > RANGES || ranges.unlisted > 0 {
        text.push_str(", ...");
    }
    text
}
