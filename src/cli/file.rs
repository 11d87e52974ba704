//! Writing a file that somebody asked for by name.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use avro_snap::error::{IoContext, Result};

use super::interrupt;
use super::output::Output;

/// Hands what is written to a file (`-` is standard output). A file appears under its name only once it is whole.
pub(crate) fn write(
    path: Option<&Path>,
    output: &Output,
    work: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<()>) -> Result<()>,
) -> Result<()> {
    let Some(path) = path.filter(|path| *path != Path::new("-")) else {
        return work(&mut |bytes| output.bytes(bytes));
    };
    let is_special = std::fs::metadata(path).is_ok_and(|stat| !stat.is_file());
    if is_special {
        // A pipe or device is not replaced, it is written to. A directory says so here.
        let mut file = OpenOptions::new().write(true).open(path).when("open", path)?;
        return work(&mut |bytes| file.write_all(bytes).when("write", path));
    }
    let unfinished = Unfinished::beside(path);
    let file = create_new(&unfinished.0, 0o666)?;
    let mut file = BufWriter::with_capacity(1 << 20, file);
    work(&mut |bytes| file.write_all(bytes).when("write", path))?;
    let file = file.into_inner().map_err(std::io::IntoInnerError::into_error).when("write", path)?;
    file.sync_all().when("write", path)?;
    std::fs::rename(&unfinished.0, path).when("create", path)
}

/// Creates a file that is not there yet. `mode` is narrowed by the user's mask.
pub(crate) fn create_new(path: &Path, mode: u32) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(mode).open(path).when("create", path)
}

/// A file that goes away unless it was renamed.
struct Unfinished(PathBuf);

impl Unfinished {
    fn beside(path: &Path) -> Self {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(format!(".snap-{}.tmp", std::process::id()));
        let path = path.with_file_name(name);
        interrupt::set_unfinished(Some(path.clone()));
        Self(path)
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // It is not there any more if all went well.
        let _ = std::fs::remove_file(&self.0);
        interrupt::set_unfinished(None);
    }
}
