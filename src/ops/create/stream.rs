//! Saving what comes from a stream as one file.

use std::path::PathBuf;

use super::StreamSource;
use super::rows::{Outcome, RowWriter};
use crate::error::{Error, Result};
use crate::files::Held;
use crate::ingest::{Content, FileContext, Stored, store_content};
use crate::progress::Warning;
use crate::snapshot::entry::{FileEntry, Time};

/// Stores a file that comes from a stream; `before` is what the parent has.
pub(super) fn store_stream<'p, 'r>(
    context: &FileContext<'_>,
    mut stream: StreamSource,
    time: i64,
    before: Option<FileEntry>,
    rows: &mut RowWriter<'_, '_, 'p, 'r>,
) -> Result<()> {
    let shown = PathBuf::from(stream.shown);
    let time = Time::from_nanoseconds(time);
    let mut entry =
        FileEntry { path: stream.path, mode: 0o600, mtime: time, ctime: time, racy: true, ..FileEntry::nothing() };
    let before = before.filter(|before| before.path == entry.path).map(Box::new);
    let mut read = |buffer: &mut [u8]| loop {
        match stream.reader.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.map_err(|error| Error::io("read", &shown, error)),
        }
    };
    let Content { length: bytes_read, schema } = store_content(context, rows.feeder(), &mut read, &mut entry, None)?;
    if bytes_read == 0 {
        let message = "it gave nothing: the file that is saved is empty".into();
        context.progress.warning(&Warning { path: shown.display().to_string(), message, incomplete: false });
    }
    let same = before.as_ref().filter(|before| before.content == entry.content);
    let is_same = same.is_some();
    if let Some(before) = same {
        // A stream has no times of its own: what is the same as before is the file of before.
        (entry.mtime, entry.ctime) = (before.mtime, before.ctime);
    }
    let stored =
        Stored { entry, shared: None, schema, bytes_read, held: Held::Still, unread: Vec::new(), incomplete: 0 };
    rows.outcome(Outcome::Stored(Box::new(stored), before), &|_, _, _| Outcome::Unread(Vec::new()))?;
    if is_same {
        rows.count_as_unmodified();
    }
    Ok(())
}
