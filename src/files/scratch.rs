//! A file without a name, for what does not fit into memory: whatever happens, nothing is left of it.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::temporary::new_name;
use crate::error::{IoContext, Result};

/// Bytes that are appended and read again, in a file that only this process can see.
///
/// It lies in the folder that `TMPDIR` names, else in `/var/tmp`, which is on a disk where `/tmp` may be in memory, else in `/tmp`.
#[derive(Debug)]
pub struct Scratch {
    file: File,
    folder: PathBuf,
    length: u64,
}

impl Scratch {
    /// An empty one.
    ///
    /// # Errors
    /// If no file can be made.
    pub fn new() -> Result<Self> {
        let named = std::env::var_os("TMPDIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let folders = match named {
            Some(folder) => vec![folder],
            None => vec![PathBuf::from("/var/tmp"), PathBuf::from("/tmp")],
        };
        let mut failure = None;
        for folder in folders {
            match unnamed(&folder) {
                Ok(file) => return Ok(Self { file, folder, length: 0 }),
                Err(error) => failure = Some(Err(error).when("create a temporary file in", &folder)),
            }
        }
        failure.unwrap_or_else(|| Err(std::io::ErrorKind::NotFound.into()).when("create a temporary file in", "/tmp"))
    }

    /// Appends bytes. Returns where they begin.
    ///
    /// # Errors
    /// If there is no room, say.
    pub fn append(&mut self, bytes: &[u8]) -> Result<u64> {
        let start = self.length;
        self.file.write_all_at(bytes, start).when("write a temporary file in", &self.folder)?;
        self.length += bytes.len() as u64;
        Ok(start)
    }

    /// Reads what was appended.
    ///
    /// # Errors
    /// If the system refuses.
    pub fn read(&self, start: u64, buffer: &mut [u8]) -> Result<()> {
        self.file.read_exact_at(buffer, start).when("read a temporary file in", &self.folder)
    }
}

/// A file without a name, where the file system can; else one whose name goes at once.
fn unnamed(folder: &Path) -> std::io::Result<File> {
    let mode = Mode::from_raw_mode(0o600);
    if let Ok(file) = rustix::fs::open(folder, OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, mode) {
        return Ok(file.into());
    }
    let path = folder.join(new_name());
    let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_is_read_again() {
        let mut scratch = Scratch::new().unwrap();
        assert_eq!(scratch.append(b"abc").unwrap(), 0);
        assert_eq!(scratch.append(b"defg").unwrap(), 3);
        let mut read = [0; 4];
        scratch.read(2, &mut read).unwrap();
        assert_eq!(&read, b"cdef");
        assert!(scratch.read(5, &mut read).is_err());
    }
}
