//! What is to be saved: lists of paths, and what is excluded. `create` and `plan` share it.

use std::collections::HashSet;
use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use avro_snap::error::IoContext;
use avro_snap::files::{Marker, list_text};
use avro_snap::ops::create::CreateOptions;
use avro_snap::values::parse_size;

use super::Context;
use super::failure::{Failure, Result};
use super::password::is_standard_input;
use super::pick::patterns;

/// Lists of paths.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Save the paths listed in FILE, one per line; - is standard input
    ///
    /// Empty lines and lines that begin with # are ignored. They are paths, not patterns. The list is UTF-8, or UTF-16 with a
    /// byte order mark.
    #[arg(long, value_name = "FILE")]
    files_from: Vec<PathBuf>,

    /// Save the paths listed in FILE, each ended by a NUL character as by `find -print0`; - is standard input
    #[arg(long, value_name = "FILE")]
    files_from_raw: Vec<PathBuf>,
}

/// Flags that exclude files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Excluding")]
pub(crate) struct ExcludeArgs {
    /// Exclude paths matching PATTERN
    ///
    /// `*`, `?` and `[a-z]` match within a name, `**` any directories; a leading `/` anchors the pattern at the root, a leading
    /// `!` includes again what earlier patterns excluded.
    #[arg(short, long, value_name = "PATTERN")]
    exclude: Vec<OsString>,

    /// Same as --exclude, but ignores the case of letters
    #[arg(long, value_name = "PATTERN")]
    iexclude: Vec<OsString>,

    /// Exclude paths matching the patterns in FILE, one per line
    #[arg(long, value_name = "FILE")]
    exclude_file: Vec<PathBuf>,

    /// Exclude directories that contain a file NAME (starting with HEADER)
    #[arg(long, value_name = "NAME[:HEADER]")]
    exclude_if_present: Vec<OsString>,

    /// Exclude directories that contain a CACHEDIR.TAG
    #[arg(long)]
    exclude_caches: bool,

    /// Exclude files larger than SIZE: bytes, or a number with k, M, G or T
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    exclude_larger_than: Option<u64>,

    /// Do not enter other file systems
    #[arg(short = 'x', long)]
    one_file_system: bool,
}

impl ListArgs {
    /// The lists.
    pub(crate) fn files(&self) -> impl Iterator<Item = &PathBuf> {
        self.files_from.iter().chain(&self.files_from_raw)
    }

    /// These paths and those of the lists, each once; refused if there are none.
    pub(crate) fn some_roots(&self, context: &Context, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let roots = self.roots(context, paths)?;
        if roots.is_empty() {
            return Err(Failure::Usage("the lists of files are empty: there is nothing to save".into()));
        }
        Ok(roots)
    }

    /// These paths and those of the lists, each once.
    pub(crate) fn roots(&self, context: &Context, paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
        let mut roots: Vec<PathBuf> = paths.iter().map(|path| followed(context, path)).collect();
        for file in &self.files_from {
            let text = list_text(read_list(file)?)
                .map_err(|why| Failure::Usage(format!("the list {}: {why}", file.display())))?;
            let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            roots.extend(lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).map(to_path));
        }
        for file in &self.files_from_raw {
            roots.extend(read_list(file)?.split(|byte| *byte == 0).filter(|path| !path.is_empty()).map(to_path));
        }
        Ok(distinct(roots))
    }
}

impl ExcludeArgs {
    /// Puts what the flags say into options.
    pub(crate) fn put(&self, options: &mut CreateOptions) -> Result<()> {
        options.exclude = patterns(&self.exclude, false)?;
        options.iexclude = patterns(&self.iexclude, true)?;
        options.exclude_file.clone_from(&self.exclude_file);
        let markers = self.exclude_if_present.iter().map(|text| Marker::new(text.as_bytes()));
        options.exclude_if_present = markers.collect::<std::result::Result<_, _>>().map_err(Failure::of_arguments)?;
        options.exclude_caches = self.exclude_caches;
        options.exclude_larger_than = self.exclude_larger_than;
        options.one_file_system = self.one_file_system;
        Ok(())
    }
}

/// A path that was given. What is meant by a directory is what is in it, also where it has become a link.
fn followed(context: &Context, path: &Path) -> PathBuf {
    let is_link = path.symlink_metadata().is_ok_and(|found| found.is_symlink());
    let bytes = path.as_os_str().as_bytes();
    if !is_link || bytes.ends_with(b"/") || bytes.ends_with(b"/.") || !path.is_dir() {
        return path.to_path_buf();
    }
    let target = path.read_link().unwrap_or_default();
    let (path, target) = (path.display(), target.display());
    context.output.warn(&format!(
        "{path} is a symbolic link: what is in {target} is saved as {path}, and not the link; write {path}/ if that is meant"
    ));
    to_path(&[bytes, b"/"].concat())
}

fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}

fn read_list(file: &Path) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    match is_standard_input(file) {
        true => std::io::stdin().read_to_end(&mut text).map(|_| text).when("read", "standard input"),
        false => std::fs::read(file).when("read", file),
    }
    .map_err(Failure::from)
}

/// Each once, in order.
pub(crate) fn distinct<T: Clone + std::hash::Hash + Eq>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut seen = HashSet::new();
    items.into_iter().filter(|item| seen.insert(item.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_kept_once_and_in_order() {
        assert_eq!(distinct(["b", "a", "b"]), ["b", "a"]);
        assert_eq!(to_path(b"a\xff").as_os_str(), std::ffi::OsStr::from_bytes(b"a\xff"));
    }
}
