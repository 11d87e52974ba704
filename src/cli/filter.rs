//! Which files of a snapshot are meant, by patterns.

use std::ffi::OsString;
use std::path::PathBuf;

use avro_snap::ops::restore::RestoreOptions;

use super::failure::Result;
use super::pick::patterns;

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

impl PatternArgs {
    /// A restore of what these say.
    pub(crate) fn options(&self) -> Result<RestoreOptions> {
        let mut options = RestoreOptions::default();
        options.include = patterns(&self.include, false)?;
        options.iinclude = patterns(&self.iinclude, true)?;
        options.include_file.clone_from(&self.include_file);
        options.iinclude_file.clone_from(&self.iinclude_file);
        options.exclude = patterns(&self.exclude, false)?;
        options.iexclude = patterns(&self.iexclude, true)?;
        options.exclude_file.clone_from(&self.exclude_file);
        options.iexclude_file.clone_from(&self.iexclude_file);
        Ok(options)
    }

    /// How a pattern to include was given, once all were read: its flag, and itself.
    pub(crate) fn given(&self, options: &RestoreOptions, number: usize) -> String {
        let Some(pattern) = options.include.get(number) else { return String::new() };
        let is_listed = number >= self.include.len() + self.iinclude.len();
        let flag = match (is_listed, pattern.is_insensitive()) {
            (false, false) => "--include",
            (false, true) => "--iinclude",
            (true, false) => "--include-file",
            (true, true) => "--iinclude-file",
        };
        format!("{flag} {:?}", String::from_utf8_lossy(pattern.text()))
    }
}
