//! All printing: results on standard output, what is wrong on standard error, either as text for people or as one JSON
//! object a line.

use std::borrow::Cow;
use std::fmt::{Arguments, Write as _};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use avro_snap::error::{Error, IoContext, Result};
use avro_snap::id::hex;
use serde_json::{Value, json};

use super::failure::{Failure, chain, code};
use super::globals::Globals;

/// What stands for the path in errors about standard output.
pub(crate) const STANDARD_OUTPUT: &str = "standard output";

/// Where everything goes that is said.
#[derive(Debug)]
pub(crate) struct Output {
    /// One JSON object a line, no text.
    pub(crate) json: bool,
    /// Results and errors only.
    pub(crate) quiet: bool,
    /// Every path that is worked on is said.
    pub(crate) verbose: bool,
    to_terminal: bool,
    stdout: Mutex<BufWriter<Stdout>>,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let to_terminal = io::stdout().is_terminal();
        let stdout = Mutex::new(BufWriter::with_capacity(64 << 10, io::stdout()));
        Self { json, quiet, verbose, to_terminal, stdout }
    }

    fn stdout(&self) -> MutexGuard<'_, BufWriter<Stdout>> {
        self.stdout.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes as they are: the content of a file.
    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<()> {
        self.stdout().write_all(bytes).when("write", STANDARD_OUTPUT)
    }

    /// A line of the result.
    pub(crate) fn line(&self, text: impl AsRef<[u8]>) -> Result<()> {
        let mut stdout = self.stdout();
        let written = stdout.write_all(text.as_ref()).and_then(|()| stdout.write_all(b"\n"));
        let written = if self.to_terminal { written.and_then(|()| stdout.flush()) } else { written };
        written.when("write", STANDARD_OUTPUT)
    }

    /// A line that says what was done; not said if quiet, or where JSON says it.
    pub(crate) fn note(&self, text: Arguments<'_>) -> Result<()> {
        match self.quiet || self.json {
            true => Ok(()),
            false => self.line(text.to_string()),
        }
    }

    /// An object of the result.
    pub(crate) fn object(&self, message_type: &str, mut object: Value) -> Result<()> {
        if let Value::Object(fields) = &mut object {
            fields.insert("message_type".into(), message_type.into());
        }
        self.line(object.to_string())
    }

    /// An object that is of use at once.
    pub(crate) fn status(&self, object: Value) -> Result<()> {
        self.object("status", object)?;
        self.flush()
    }

    /// What was written so far is handed on.
    pub(crate) fn flush(&self) -> Result<()> {
        self.stdout().flush().when("write", STANDARD_OUTPUT)
    }

    /// Something that is worth knowing and stops nothing.
    pub(crate) fn warn(&self, message: &str) {
        match self.json {
            true => self.to_stderr(&json!({"message_type": "warning", "message": message}).to_string()),
            false => self.to_stderr(&format!("snap: warning: {}", printable(message))),
        }
    }

    /// Something that is wrong.
    pub(crate) fn error(&self, code: &str, message: &str, hint: Option<&str>) {
        if self.json {
            let object = json!({"message_type": "error", "code": code, "message": message, "hint": hint});
            return self.to_stderr(&object.to_string());
        }
        let mut text = format!("snap: {}", printable(message));
        if let Some(hint) = hint {
            let _ = write!(text, "\nhint: {}", printable(hint));
        }
        self.to_stderr(&text);
    }

    /// Why the command ends.
    pub(crate) fn failure(&self, failure: &Failure, globals: &Globals) {
        self.error(failure.code(), &failure.message(), failure.hint(globals).as_deref());
    }

    /// A line on standard error. That nobody hears it is no reason to stop.
    pub(crate) fn to_stderr(&self, line: &str) {
        let _ = writeln!(io::stderr().lock(), "{line}");
    }

    /// A path as it is printed: its own bytes, but on a terminal without anything that a terminal would obey.
    pub(crate) fn path<'p>(&self, path: &'p [u8]) -> Cow<'p, [u8]> {
        match self.to_terminal {
            true => printable_path(path),
            false => Cow::Borrowed(path),
        }
    }
}

/// A path in which control characters and bytes that are no UTF-8 are written as `\xNN`.
fn printable_path(path: &[u8]) -> Cow<'_, [u8]> {
    if path.utf8_chunks().all(|chunk| chunk.invalid().is_empty() && !chunk.valid().contains(char::is_control)) {
        return Cow::Borrowed(path);
    }
    let mut text = String::new();
    for chunk in path.utf8_chunks() {
        text.push_str(&printable(chunk.valid()));
        for byte in chunk.invalid() {
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    Cow::Owned(text.into_bytes())
}

/// A text in which control characters but line breaks are written as `\xNN`: file names find their way into messages.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| c.is_control() && c != '\n';
    if !text.contains(obeyed) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::new();
    for c in text.chars() {
        match obeyed(c) {
            true => drop(write!(printable, "\\x{:02x}", u32::from(c))),
            false => printable.push(c),
        }
    }
    Cow::Owned(printable)
}

/// Puts a path into an object: `path`, and `path_hex` where that is not the whole truth.
pub(crate) fn put_path(object: &mut Value, path: &[u8]) {
    if let Value::Object(fields) = object {
        fields.insert("path".into(), String::from_utf8_lossy(path).into());
        if std::str::from_utf8(path).is_err() {
            fields.insert("path_hex".into(), hex(path).into());
        }
    }
}

/// What failed, path by path, as JSON.
pub(crate) fn failed_paths(failed: &[(Vec<u8>, Error)]) -> Vec<Value> {
    let told = failed.iter().map(|(path, error)| {
        let mut object = json!({"code": code(error), "message": chain(error)});
        put_path(&mut object, path);
        object
    });
    told.collect()
}

/// Rows whose columns stand below each other.
#[derive(Debug, Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of numbers, which end below each other.
    right: &'static [usize],
}

impl Table {
    pub(crate) fn new(head: &[&str], right: &'static [usize]) -> Self {
        Self { rows: vec![head.iter().map(|title| (*title).to_owned()).collect()], right }
    }

    pub(crate) fn row(&mut self, cells: Vec<String>) {
        self.rows.push(cells.iter().map(|cell| cut(&printable(&cell.replace('\n', " ")))).collect());
    }

    pub(crate) fn print(&self, output: &Output) -> Result<()> {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let space = " ".repeat(width.saturating_sub(cell.chars().count()));
                let (before, after) = if self.right.contains(&column) { (&*space, "") } else { ("", &*space) };
                let _ = write!(line, "{before}{cell}{after}  ");
            }
            output.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// The widest cell of a table: what stands in it may come from anywhere.
const WIDEST: usize = 200;

/// A cell that is too wide, without its middle.
fn cut(cell: &str) -> String {
    let count = cell.chars().count();
    if count <= WIDEST {
        return cell.to_owned();
    }
    let half = WIDEST / 2 - 2;
    let (start, end): (String, String) = (cell.chars().take(half).collect(), cell.chars().skip(count - half).collect());
    format!("{start}...{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_are_told_nothing_that_they_would_obey() {
        assert_eq!(printable_path("a/ö".as_bytes()).as_ref(), "a/ö".as_bytes());
        assert_eq!(printable_path(b"a\x1b[2J\xff").as_ref(), b"a\\x1b[2J\\xff");
        assert_eq!(printable("a\tb\nc"), "a\\x09b\nc");
    }

    #[test]
    fn a_cell_is_never_wider_than_a_table_can_be() {
        assert_eq!(cut("short"), "short");
        let long = cut(&format!("begin{}end", "x".repeat(300_000)));
        assert!(long.chars().count() < WIDEST && long.starts_with("begin") && long.ends_with("end"));
    }
}
