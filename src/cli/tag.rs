//! `snap tag`

use std::ffi::OsString;

use avro_snap::ops::select::Selector;
use avro_snap::ops::tag::{TagChange, tag};
use avro_snap::values::comma_list;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::format::count;
use super::pick::{Filters, selector};

/// Change the tags of snapshots
#[derive(Debug, clap::Args)]
#[command(group = clap::ArgGroup::new("change").required(true).multiple(true))]
pub(crate) struct Args {
    /// Snapshots to change [default: all that match the filters]
    #[arg(value_name = "SNAPSHOT")]
    snapshots: Vec<OsString>,

    /// Replace all tags with these; an empty list removes all
    #[arg(long, value_name = "TAG,...", group = "change", conflicts_with_all = ["add", "remove"])]
    set: Option<Vec<String>>,

    /// Add these tags
    #[arg(long, value_name = "TAG,...", group = "change")]
    add: Vec<String>,

    /// Remove these tags
    #[arg(long, value_name = "TAG,...", group = "change")]
    remove: Vec<String>,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        // An empty `--set` removes all tags. An empty list of changes changes nothing: a variable is not set.
        for (flag, values) in [("--add", &self.add), ("--remove", &self.remove)] {
            if values.iter().any(|list| comma_list(list).is_empty()) {
                return Err(Failure::Usage(format!("{flag} names no tag")));
            }
        }
        let lists = |lists: &[String]| lists.iter().flat_map(|list| comma_list(list)).collect::<Vec<_>>();
        let change =
            TagChange { set: self.set.as_deref().map(lists), add: lists(&self.add), remove: lists(&self.remove) };
        let selectors = self.snapshots.iter().map(|text| selector(Some(text))).collect::<Result<Vec<_>>>()?;
        if !selectors.iter().all(Selector::may_be_whole) {
            return Err(Failure::Usage("tags are those of whole snapshots: no path goes here".into()));
        }
        let filter = self.filters.filter()?;
        if selectors.is_empty() && filter == Default::default() {
            return Err(Failure::Usage("say which snapshots: by their ids, `latest`, or filters like --host".into()));
        }
        let repository = context.open()?;
        let mut listing = context.listing(&repository);
        let chosen = context.choose_all(&mut listing, selectors, &filter)?;
        let mut changed = 0;
        for snapshot in &chosen {
            let report = tag(&repository, snapshot, &change)?;
            changed += u64::from(report.changed);
            if context.output.json {
                context.output.object("snapshot", &report)?;
            }
        }
        context.output.note(format_args!("changed the tags of {}", count(changed, "snapshot")))?;
        Ok(Exit::Done)
    }
}
