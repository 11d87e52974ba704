//! `snap find`

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

use avro_snap::commands::find::{Wanted, find};
use avro_snap::error::Error;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::{local_time, long};
use super::pick::{Filters, selector};
use super::rows;

/// Find files in all snapshots
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to look for: a pattern without / is compared with names, any other with paths
    ///
    /// `*`, `?` and `[a-z]` stand within a name, `**` for any directories.
    #[arg(required = true, value_name = "PATTERN")]
    patterns: Vec<OsString>,

    /// Look only into this snapshot; may be given several times
    #[arg(short, long, value_name = "SNAPSHOT[:PATH]")]
    snapshot: Vec<OsString>,

    /// Take upper and lower case letters for the same
    #[arg(short, long)]
    ignore_case: bool,

    /// Say mode, owner, size, time, and of Avro files codec and records
    #[arg(short, long)]
    long: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        let wanted = |pattern: &OsString| Wanted::new(pattern.as_bytes(), self.ignore_case);
        let wanted = self.patterns.iter().map(wanted).collect::<std::result::Result<Vec<_>, Error>>();
        let wanted = wanted.map_err(|error| Failure::Usage(error.to_string()))?;
        let selectors = self.snapshot.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        let filter = self.filters.filter()?;
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let mut searched = Vec::new();
        for selector in selectors {
            searched.push(context.choose(&mut listing, selector, &filter)?);
        }
        if self.snapshot.is_empty() {
            searched.extend(listing.fitting(&filter).map(|root| (root.clone(), Vec::new())));
        }
        for (snapshot, path) in &searched {
            let mut first = true;
            find(&repository, snapshot, path, &wanted, &mut |entry| {
                if output.json {
                    let mut object = rows::node(entry);
                    if let serde_json::Value::Object(fields) = &mut object {
                        fields.insert("snapshot_id".into(), snapshot.id.to_string().into());
                    }
                    return output.object("match", object);
                }
                if std::mem::take(&mut first) {
                    output.note(format_args!("snapshot {} ({}):", snapshot.id.short(), local_time(snapshot.time)))?;
                }
                let path = output.path(&entry.path);
                if self.long { output.line(long(entry, &path)) } else { output.line(path) }
            })?;
        }
        Ok(Exit::Done)
    }
}
