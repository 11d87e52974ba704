//! Which files of a snapshot are meant, by patterns.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use avro_snap::files::Pattern;
use avro_snap::files::rules::patterns_in;

use super::failure::{Failure, Result};

/// The flags that take patterns.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Which files")]
pub(crate) struct PatternArgs {
    /// Restore only paths matching PATTERN, and what is below them; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    include: Vec<OsString>,

    /// Same as --include, but ignores the case of letters
    #[arg(long, value_name = "PATTERN")]
    iinclude: Vec<OsString>,

    /// Restore only paths matching the patterns in FILE, one per line; may be repeated
    ///
    /// White space around a pattern, empty lines and lines that begin with # mean nothing; $NAME and ${NAME} stand for
    /// environment variables, $$ for a dollar.
    #[arg(long, value_name = "FILE")]
    include_file: Vec<PathBuf>,

    /// Same as --include-file, but ignores the case of letters
    #[arg(long, value_name = "FILE")]
    iinclude_file: Vec<PathBuf>,

    /// Do not restore paths matching PATTERN; may be repeated
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,

    /// Same as --exclude, but ignores the case of letters
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<OsString>,

    /// Do not restore paths matching the patterns in FILE, one per line; may be repeated
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// Same as --exclude-file, but ignores the case of letters
    #[arg(long, value_name = "FILE")]
    iexclude_file: Vec<PathBuf>,
}

/// Patterns, and how they were given.
#[derive(Debug, Default)]
pub(crate) struct Patterns {
    pub(crate) patterns: Vec<Pattern>,
    /// The flag and its value, in the order of the patterns.
    given: Vec<String>,
}

impl Patterns {
    /// How a pattern was given, for people.
    pub(crate) fn given(&self, number: usize) -> &str {
        self.given.get(number).map_or("", String::as_str)
    }

    fn add(&mut self, flag: &str, text: &[u8], insensitive: bool) -> Result<()> {
        let pattern = Pattern::new(text, insensitive);
        self.patterns.push(pattern.map_err(|error| Failure::Usage(error.to_string()))?);
        self.given.push(format!("{flag} {:?}", String::from_utf8_lossy(text)));
        Ok(())
    }

    fn add_all(&mut self, flag: &str, texts: &[OsString], insensitive: bool) -> Result<()> {
        texts.iter().try_for_each(|text| self.add(flag, text.as_bytes(), insensitive))
    }

    fn add_files(&mut self, flag: &str, files: &[PathBuf], insensitive: bool) -> Result<()> {
        for file in files {
            let texts = listed(file)?;
            if texts.is_empty() {
                // None at all would let everything through.
                return Err(Failure::Usage(format!("{flag} {}: there is no pattern in it", file.display())));
            }
            texts.iter().try_for_each(|text| self.add(flag, text, insensitive))?;
        }
        Ok(())
    }
}

/// The patterns in a file. A file that is no list is a mistake of the arguments, as for `create`.
fn listed(file: &Path) -> Result<Vec<Vec<u8>>> {
    patterns_in(file).map_err(Failure::of_arguments)
}

impl PatternArgs {
    /// What to restore; everything if there are none.
    pub(crate) fn includes(&self) -> Result<Patterns> {
        let mut patterns = Patterns::default();
        patterns.add_all("--include", &self.include, false)?;
        patterns.add_all("--iinclude", &self.iinclude, true)?;
        patterns.add_files("--include-file", &self.include_file, false)?;
        patterns.add_files("--iinclude-file", &self.iinclude_file, true)?;
        Ok(patterns)
    }

    /// What not to restore.
    pub(crate) fn excludes(&self) -> Result<Patterns> {
        let mut patterns = Patterns::default();
        patterns.add_all("--exclude", &self.exclude, false)?;
        patterns.add_all("--iexclude", &self.iexclude, true)?;
        for (flag, files, insensitive) in
            [("--exclude-file", &self.exclude_file, false), ("--iexclude-file", &self.iexclude_file, true)]
        {
            for file in files {
                listed(file)?.iter().try_for_each(|text| patterns.add(flag, text, insensitive))?;
            }
        }
        Ok(patterns)
    }
}
