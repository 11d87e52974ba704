//! All printing: results on standard output, what is wrong on standard error, either as text for people or as one JSON
//! object a line.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt::{self, Arguments, Write as _};
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::ops::Add;
use std::sync::{Mutex, MutexGuard, PoisonError};

use avro_snap::error::{Error, IoContext, Result};
use avro_snap::storage::Traffic;
use serde::Serialize;
use serde_json::{Value, json};

use super::failure::Failure;
use super::globals::Globals;
use super::table::cut;

/// What stands for the path in errors about standard output.
pub(crate) const STANDARD_OUTPUT: &str = "standard output";

/// How wide listings are where there is no terminal.
const WIDTH: usize = 80;

/// How many characters of the name of a series stand in a sentence.
const LONGEST_SERIES: usize = 40;

/// Returns what went over the network so far.
struct Counter(Box<dyn Fn() -> Option<Traffic> + Send + Sync>);

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Counter(..)")
    }
}

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
    /// Warnings that are said once, however often there is reason for them.
    warned: Mutex<HashSet<String>>,
    stdout: Mutex<BufWriter<Stdout>>,
    /// What counts requests over the network.
    counters: Mutex<Vec<Counter>>,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, verbose: bool) -> Self {
        let to_terminal = io::stdout().is_terminal();
        let stdout = Mutex::new(BufWriter::with_capacity(64 << 10, io::stdout()));
        let (warned, counters) = (Mutex::default(), Mutex::default());
        Self { json, quiet, verbose, to_terminal, warned, stdout, counters }
    }

    /// From now on this is asked as well what went over the network.
    #[cfg(feature = "object-store")]
    pub(crate) fn count(&self, counter: impl Fn() -> Option<Traffic> + Send + Sync + 'static) {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).push(Counter(Box::new(counter)));
    }

    /// What went over the network so far; none if nothing lies beyond one.
    pub(crate) fn traffic(&self) -> Option<Traffic> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        counters.iter().filter_map(|counter| counter.0()).reduce(Traffic::add)
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
        let text = match self.to_terminal {
            true => harmless(text.as_ref(), self.json),
            false => Cow::Borrowed(text.as_ref()),
        };
        let mut stdout = self.stdout();
        let written = stdout.write_all(&text).and_then(|()| stdout.write_all(b"\n"));
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

    /// A result that ends with a NUL character, so that it may hold line breaks.
    pub(crate) fn ended_by_nul(&self, bytes: &[u8]) -> Result<()> {
        let mut stdout = self.stdout();
        stdout.write_all(bytes).and_then(|()| stdout.write_all(b"\0")).when("write", STANDARD_OUTPUT)
    }

    /// How many characters a line of a listing may have.
    pub(crate) fn width(&self) -> usize {
        let size = if self.to_terminal { rustix::termios::tcgetwinsize(io::stdout()).ok() } else { None };
        // A terminal that does not know its width says 0.
        size.map(|size| usize::from(size.ws_col))
            .filter(|columns| *columns > 0)
            .map_or(WIDTH, |columns| columns.max(40))
    }

    /// An object of the result: a report as it is serialised. A summary has what went over the network besides.
    pub(crate) fn object(&self, message_type: &str, report: impl Serialize) -> Result<()> {
        #[derive(Serialize)]
        struct Message<'a, R> {
            message_type: &'a str,
            #[serde(flatten)]
            report: R,
            #[serde(skip_serializing_if = "Option::is_none")]
            storage: Option<Traffic>,
        }
        let storage = if message_type == "summary" { self.traffic() } else { None };
        let text = serde_json::to_string(&Message { message_type, report, storage });
        // Reports are objects with names that are texts, so that it cannot fail.
        self.line(text.map_err(|error| Error::Internal(format!("this is no JSON: {error}")))?)
    }

    /// The same, beside what the command line knows alone: what was asked for, such as `dry_run`.
    pub(crate) fn object_with(&self, message_type: &str, asked: Value, report: impl Serialize) -> Result<()> {
        #[derive(Serialize)]
        struct Both<R> {
            #[serde(flatten)]
            asked: Value,
            #[serde(flatten)]
            report: R,
        }
        self.object(message_type, Both { asked, report })
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

    /// The same, unless it was said before.
    pub(crate) fn warn_once(&self, message: &str) {
        if self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(message.to_owned()) {
            self.warn(message);
        }
    }

    /// The name of a series in a sentence: cut in the middle where it is long, in full in JSON.
    pub(crate) fn series<'s>(&self, name: &'s str) -> Cow<'s, str> {
        match self.json || name.chars().count() <= LONGEST_SERIES {
            true => Cow::Borrowed(name),
            false => Cow::Owned(cut(name, LONGEST_SERIES)),
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

    /// A line on standard error. That it cannot be written is no reason to stop.
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

/// A path in which what a terminal would obey and bytes that are no UTF-8 are written as `\xNN`.
fn printable_path(path: &[u8]) -> Cow<'_, [u8]> {
    if path.utf8_chunks().all(|chunk| chunk.invalid().is_empty() && !chunk.valid().contains(is_obeyed)) {
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

/// Whether a terminal would do something else than show this: control characters, and marks that change the order in
/// which text is shown.
fn is_obeyed(c: char) -> bool {
    let turns_text =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || turns_text
}

/// A text in which what a terminal would obey is written as `\xNN` or `\u{NNNN}`: file names find their way into messages.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.contains(is_obeyed) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::new();
    for c in text.chars() {
        let _ = match (is_obeyed(c), u32::from(c)) {
            (false, _) => write!(printable, "{c}"),
            (true, code @ 0..=0xff) => write!(printable, "\\x{code:02x}"),
            (true, code) => write!(printable, "\\u{{{code:x}}}"),
        };
    }
    Cow::Owned(printable)
}

/// Lines of a result for a terminal. JSON stays JSON.
fn harmless(lines: &[u8], json: bool) -> Cow<'_, [u8]> {
    let is_harmful = |c: char| is_obeyed(c) && c != '\n';
    if lines.utf8_chunks().all(|chunk| chunk.invalid().is_empty() && !chunk.valid().contains(is_harmful)) {
        return Cow::Borrowed(lines);
    }
    let text = String::from_utf8_lossy(lines);
    let mut harmless = String::new();
    for c in text.chars() {
        let _ = match (is_harmful(c), json) {
            (false, _) => write!(harmless, "{c}"),
            (true, true) => write!(harmless, "\\u{:04x}", u32::from(c)),
            (true, false) => write!(harmless, "{}", printable(c.encode_utf8(&mut [0; 4]))),
        };
    }
    Cow::Owned(harmless.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_would_obey_is_printed() {
        assert_eq!(printable_path("a/ö".as_bytes()).as_ref(), "a/ö".as_bytes());
        assert_eq!(printable_path(b"a\x1b[2J\xff").as_ref(), b"a\\x1b[2J\\xff");
        assert_eq!(printable_path(b"a\nb").as_ref(), b"a\\x0ab");
        assert_eq!(printable("a\tb\nc"), "a\\x09b\\x0ac");
        assert_eq!(printable("a\u{9b}b\u{202e}c"), "a\\x9bb\\u{202e}c");
        assert_eq!(harmless("a\n\u{1b}[2J".as_bytes(), false).as_ref(), b"a\n\\x1b[2J");
        assert_eq!(harmless("{\"a\":\"\u{9b}\u{7f}\"}".as_bytes(), true).as_ref(), br#"{"a":"\u009b\u007f"}"#);
    }
}
