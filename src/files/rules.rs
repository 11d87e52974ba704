//! What of the roots is not to be saved.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::OFlags;
use serde::Deserializer;

use super::list::list_text;
use super::open::open_quietly;
use super::pattern::Pattern;
use crate::error::{Error, IoContext, Result};
use crate::snapshot::{Rule, rules};
use crate::values;

/// The file that marks a directory as a cache (<https://bford.info/cachedir/>), and how it begins.
const CACHE_TAG: &[u8] = b"CACHEDIR.TAG";
const CACHE_SIGNATURE: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// What of the roots is not to be saved. By default everything is.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    patterns: Vec<Pattern>,
    markers: Vec<Marker>,
    larger_than: Option<u64>,
    one_file_system: bool,
    passed_over: BTreeSet<(u64, u64)>,
    recorded: Vec<Rule>,
}

/// A file whose presence says that nothing else in its directory is to be saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    name: Vec<u8>,
    header: Vec<u8>,
}

impl Marker {
    /// Understands `NAME`, or `NAME:HEADER` for a file that begins so.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if that names no file.
    pub fn new(text: &[u8]) -> Result<Self> {
        let mut halves = text.splitn(2, |byte| *byte == b':');
        let (name, header) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
        if name.is_empty() || name.contains(&b'/') {
            return Err(Error::argument(
                "exclude_if_present",
                format!("{:?} names no file", String::from_utf8_lossy(text)),
            ));
        }
        Ok(Self { name: name.to_vec(), header: header.to_vec() })
    }

    /// As it is written.
    fn text(&self) -> Vec<u8> {
        match self.header.is_empty() {
            true => self.name.clone(),
            false => [&self.name[..], b":", &self.header].concat(),
        }
    }

    /// Markers from an option.
    pub(crate) fn all<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Vec<Self>, D::Error> {
        values::from_texts(deserializer, |text| Self::new(text.as_bytes()).map_err(|error| error.to_string()))
    }
}

impl Rules {
    /// No rules: everything is saved.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out what matches the pattern. It is matched with absolute paths; see [`pattern`](super::pattern).
    pub fn exclude(&mut self, pattern: &[u8], insensitive: bool) -> Result<()> {
        self.exclude_pattern(Pattern::new(pattern, insensitive)?);
        Ok(())
    }

    /// Leaves out what matches the pattern.
    pub fn exclude_pattern(&mut self, pattern: Pattern) {
        let name = if pattern.is_insensitive() { rules::EXCLUDE_INSENSITIVE } else { rules::EXCLUDE };
        self.record(name, pattern.text());
        self.patterns.push(pattern);
    }

    /// Leaves out what matches the patterns in a file, one in a line. White space around a pattern, empty lines and
    /// lines that begin with `#` mean nothing; `$NAME` and `${NAME}` stand for variables of the environment, `$$` for
    /// a dollar.
    pub fn exclude_file(&mut self, file: &Path, insensitive: bool) -> Result<()> {
        patterns_in(file)?.iter().try_for_each(|pattern| self.exclude(pattern, insensitive))
    }

    /// Leaves out all else in directories that hold a file `NAME`, or, for `NAME:HEADER`, one that begins with the
    /// header.
    pub fn exclude_if_present(&mut self, marker: &[u8]) -> Result<()> {
        self.exclude_if_marked(Marker::new(marker)?);
        Ok(())
    }

    /// Leaves out all else in directories that hold this file.
    pub fn exclude_if_marked(&mut self, marker: Marker) {
        self.record(rules::EXCLUDE_IF_PRESENT, &marker.text());
        self.markers.push(marker);
    }

    /// Leaves out all else in directories that hold a sound `CACHEDIR.TAG`.
    pub fn exclude_caches(&mut self) {
        self.markers.push(Marker { name: CACHE_TAG.to_vec(), header: CACHE_SIGNATURE.to_vec() });
        self.record(rules::EXCLUDE_CACHES, b"");
    }

    /// Leaves out regular files of more bytes than this.
    pub fn exclude_larger_than(&mut self, bytes: u64) {
        self.larger_than = Some(bytes);
        self.record(rules::EXCLUDE_LARGER_THAN, bytes.to_string().as_bytes());
    }

    /// Stays on the file system of each root. Where another is mounted, its root directory is saved without what is
    /// in it.
    pub fn one_file_system(&mut self) {
        self.one_file_system = true;
        self.record(rules::ONE_FILE_SYSTEM, b"");
    }

    /// Leaves out one directory or file, wherever it is met: the repository itself.
    pub fn pass_over(&mut self, path: &Path) -> Result<()> {
        let stat = rustix::fs::stat(path).map_err(std::io::Error::from).when("stat", path)?;
        let seen = super::stat::Seen::from(stat).stat;
        self.passed_over.insert((seen.dev, seen.inode));
        Ok(())
    }

    fn record(&mut self, name: &str, value: &[u8]) {
        self.recorded.push(Rule { name: name.into(), value: value.to_vec() });
    }

    /// The same as a snapshot keeps it. What is skipped is not among it: that is known only when it is met.
    pub fn recorded(&self) -> &[Rule] {
        &self.recorded
    }

    /// Parses what a snapshot keeps.
    ///
    /// # Errors
    /// If there is a rule that this version does not know, or cannot understand.
    pub fn from_recorded(recorded: &[Rule]) -> Result<Self> {
        let mut rules = Self::new();
        for Rule { name, value } in recorded {
            match name.as_str() {
                rules::EXCLUDE => rules.exclude(value, false)?,
                rules::EXCLUDE_INSENSITIVE => rules.exclude(value, true)?,
                rules::EXCLUDE_IF_PRESENT => rules.exclude_if_present(value)?,
                rules::EXCLUDE_CACHES => rules.exclude_caches(),
                rules::EXCLUDE_LARGER_THAN => {
                    let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                    rules.exclude_larger_than(number.ok_or_else(|| unknown(name, "its value is no number"))?);
                }
                rules::ONE_FILE_SYSTEM => rules.one_file_system(),
                name if rules::OF_PLACES.contains(&name) || rules::REMEMBERED.contains(&name) => {}
                _ => return Err(unknown(name, "it is not known what that left out")),
            }
        }
        Ok(rules)
    }

    /// The names of files that say that all beside them is left out, and how they begin.
    pub(super) fn markers(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.markers.iter().map(|marker| (marker.name.as_slice(), marker.header.as_slice()))
    }

    /// Whether the path itself says that it is left out.
    pub(super) fn excludes_path(&self, path: &Path) -> bool {
        Pattern::any(&self.patterns, path.as_os_str().as_bytes())
    }

    /// Whether something that lies in no file system is left out, by what it is called and its size.
    pub fn leaves_out(&self, path: &Path, size: u64) -> bool {
        self.excludes_path(path) || self.excludes_size(size)
    }

    /// Whether files in a directory say that what is beside them is left out.
    pub fn has_markers(&self) -> bool {
        !self.markers.is_empty()
    }

    pub(super) fn excludes_size(&self, size: u64) -> bool {
        self.larger_than.is_some_and(|most| size > most)
    }

    pub(super) fn excludes_inode(&self, dev: u64, inode: u64) -> bool {
        self.passed_over.contains(&(dev, inode))
    }

    pub(super) fn stays_on_one_file_system(&self) -> bool {
        self.one_file_system
    }

    /// Of the names in a directory (sorted), the one that says that the others are left out.
    pub(super) fn marker<'r>(&'r self, folder: &Path, names: &[Vec<u8>]) -> Option<&'r [u8]> {
        let present = |marker: &&Marker| {
            names.binary_search(&marker.name).is_ok()
                && begins_with(&folder.join(std::ffi::OsStr::from_bytes(&marker.name)), &marker.header)
        };
        self.markers.iter().find(present).map(|marker| marker.name.as_slice())
    }
}

/// The patterns in a file, as [`Rules::exclude_file`] understands it.
///
/// # Errors
/// If the file cannot be read.
pub fn patterns_in(file: &Path) -> Result<Vec<Vec<u8>>> {
    let bytes = std::fs::read(file).when("read", file)?;
    let lines =
        list_text(bytes).map_err(|why| Error::argument("exclude_file", format!("{}: {why}", file.display())))?;
    let lines = lines.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let variable = |name: &str| std::env::var_os(name).map(OsStringExt::into_vec);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(|line| expanded(line, variable)).collect())
}

fn unknown(rule: &str, reason: &str) -> Error {
    Error::Unsupported { name: format!("the rule {rule:?} of the snapshot"), reason: reason.into() }
}

/// Whether a file begins so. One that cannot be read does not.
fn begins_with(path: &Path, header: &[u8]) -> bool {
    if header.is_empty() {
        return true;
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let mut start = Vec::new();
    let read = open_quietly(path, flags).and_then(|file| file.take(header.len() as u64).read_to_end(&mut start));
    read.is_ok() && start == header
}

/// Puts values in place of variables; one that is not set leaves nothing, as in a shell.
fn expanded(line: &[u8], variable: impl Fn(&str) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(line.len());
    let mut rest = line;
    while let Some(dollar) = rest.iter().position(|byte| *byte == b'$') {
        out.extend_from_slice(&rest[..dollar]);
        rest = &rest[dollar + 1..];
        let word = |text: &[u8]| text.iter().take_while(|c| c.is_ascii_alphanumeric() || **c == b'_').count();
        let (name, used) = match rest.first() {
            Some(b'$') => {
                out.push(b'$');
                (&[][..], 1)
            }
            Some(b'{') if rest.get(1 + word(&rest[1..])) == Some(&b'}') => {
                let length = word(&rest[1..]);
                (&rest[1..=length], length + 2)
            }
            _ => (&rest[..word(rest)], word(rest)),
        };
        if used == 0 {
            out.push(b'$');
        }
        out.extend(
            std::str::from_utf8(name).ok().filter(|name| !name.is_empty()).and_then(&variable).unwrap_or_default(),
        );
        rest = &rest[used..];
    }
    out.extend_from_slice(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_expanded() {
        let variable = |name: &str| (name == "HOME").then(|| b"/home/me".to_vec());
        for (line, expected) in [
            ("$HOME/x", "/home/me/x"),
            ("a${HOME}b", "a/home/meb"),
            ("$NONE/x", "/x"),
            ("$$HOME", "$HOME"),
            ("100$", "100$"),
            ("a$.b", "a$.b"),
            ("${HOME", "${HOME"),
            ("plain", "plain"),
        ] {
            assert_eq!(String::from_utf8(expanded(line.as_bytes(), variable)).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn rules_come_back_from_a_snapshot() {
        let mut rules = Rules::new();
        rules.exclude(b"*.log", false).unwrap();
        rules.exclude(b"!KEEP.log", true).unwrap();
        rules.exclude_if_present(b".nobackup:yes").unwrap();
        rules.exclude_caches();
        rules.exclude_larger_than(5);
        rules.one_file_system();
        let again = Rules::from_recorded(rules.recorded()).unwrap();
        assert_eq!(again.recorded(), rules.recorded());
        assert!(again.excludes_path(Path::new("/x/a.log")) && !again.excludes_path(Path::new("/x/keep.log")));
        assert!(again.excludes_size(6) && !again.excludes_size(5) && again.stays_on_one_file_system());
        assert_eq!(again.markers().count(), 2);
        let mut others = rules::OF_PLACES.iter().chain(&rules::REMEMBERED);
        assert!(others.all(|name| Rules::from_recorded(&[Rule { name: (*name).into(), value: vec![1] }]).is_ok()));
        for unknown in [("exclude-larger-than", "x"), ("of-tomorrow", "")] {
            let rule = Rule { name: unknown.0.into(), value: unknown.1.into() };
            assert!(matches!(Rules::from_recorded(&[rule]), Err(Error::Unsupported { .. })), "{unknown:?}");
        }
    }

    #[test]
    fn a_marker_needs_a_name() {
        let mut rules = Rules::new();
        assert!(rules.exclude_if_present(b":header").is_err());
        assert!(rules.exclude_if_present(b"a/b").is_err());
        assert!(rules.exclude_if_present(b".nobackup:a:b").is_ok());
    }
}
