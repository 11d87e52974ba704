//! `snap mount`

use std::path::PathBuf;
use std::sync::Arc;

use avro_snap::error::{Error, IoContext};
use avro_snap::live::Live;
use avro_snap::mount::{MountOptions, mount};
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::{Failure, Result};
use super::interrupt;
use super::pick::Filters;

/// Mount snapshots as a read-only file system
///
/// Below DIR stand snapshots/TIME_ID/ and series/NAME/latest/ or series/NAME/TIME/, each with exact/ (bit for bit as it was saved) and
/// plain/ (Avro files without compression, which every reader seeks in). New snapshots appear by themselves. The command runs
/// until Ctrl-C, or until DIR is unmounted.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// An empty directory
    #[arg(value_name = "DIR")]
    place: PathBuf,

    /// Let other users read, too, as far as the modes of the files let them (/etc/fuse.conf must say user_allow_other)
    #[arg(long)]
    allow_other: bool,

    /// Stay in the foreground, which is what it does anyway
    #[arg(long, hide = true)]
    foreground: bool,

    #[command(flatten)]
    filters: Filters,
}

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let (output, place) = (&context.output, &self.place);
        let filter = self.filters.filter()?;
        if std::fs::read_dir(place).when("read", place)?.next().is_some() {
            return Err(Failure::plain(
                format!("{} is not empty", place.display()),
                "what is in it could not be seen while snapshots are mounted there: name an empty directory",
            ));
        }
        let live = Live::new(Arc::new(context.open()?), filter);
        let mut options = MountOptions::default();
        options.allow_other = self.allow_other;
        let mut mounted = || {
            if output.json {
                output.object("mounted", json!({"path": place.to_string_lossy()}))?;
            } else {
                output.note(format_args!("mounted at {}; Ctrl-C unmounts it", place.display()))?;
            }
            output.flush()
        };
        interrupt::listens(true);
        let done = mount(live, place, &options, interrupt::token(), &mut mounted);
        interrupt::listens(false);
        done.map_err(failure)?;
        Ok(Exit::Done)
    }
}

fn failure(error: Error) -> Failure {
    let message = error.message();
    match error {
        Error::Io { action: "mount", .. } => Failure::plain(
            message,
            "mounting needs /dev/fuse, and fusermount3 (package fuse3) unless you are root; in a container: --device /dev/fuse --cap-add \
             SYS_ADMIN",
        ),
        Error::Io { action: "unmount", .. } => {
            Failure::plain(message, "something uses it still: `fusermount3 -u DIR` once that has ended")
        }
        error => Failure::Library(error),
    }
}
