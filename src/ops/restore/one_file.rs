//! One regular file of a restore: written, read back where that is asked for, or salvaged.

use std::io::Read;
use std::path::Path;

use super::SalvagedFile;
use super::recode::{can_recode, recode};
use super::run::RestoreRun;
use super::salvage::salvage;
use crate::error::{Context, Error, IoContext, Result};
use crate::files::{RestoreTarget, TargetFile};
use crate::id::Digester;
use crate::progress::Warning;
use crate::read::FileAssembler;
use crate::recipe::Recipe;
use crate::snapshot::entry::FileEntry;

impl RestoreRun<'_> {
    /// Restores a regular file. Returns whether all of it was written now: not where it was left as it is, or could be
    /// salvaged in part only.
    pub(super) fn write<S: crate::chunk::ChunkSource + ?Sized>(
        &self,
        assembler: &FileAssembler<'_, S>,
        entry: &FileEntry,
        path: &[u8],
    ) -> Result<bool> {
        let moves = self.options.moves.as_deref();
        if moves.is_some_and(|moves| moves.leaves_out(&entry.path)) {
            return Ok(false);
        }
        let wanted = self.target.map_or(Ok(true), |target| target.wants(path, entry, self.options.overwrite))?;
        let recoded = self.options.recode.filter(|_| can_recode(entry));
        let target = match self.target {
            Some(target) if !wanted => {
                self.progress.bytes(entry.size);
                self.leave(target, entry, path)?;
                None
            }
            Some(target) if !self.options.dry_run => Some(target),
            _ => {
                self.make_way(&entry.path, path)?;
                self.compare(entry, path);
                let mut report = self.report();
                report.files_restored += 1;
                report.bytes_restored += entry.size;
                None
            }
        };
        let Some(target) = target else { return Ok(false) };
        refuse_impossible_size(entry)?;
        let moved = match moves {
            Some(moves) => moves.content(self.repository, self.snapshot, &self.encoders, &entry.path)?,
            None => None,
        };
        let mut written = entry.clone();
        if recoded.is_some() || moved.is_some() {
            (written.size, written.content) = (0, None);
        }
        let mut writer = target.begin(path, &written, self.sparse(entry))?;
        let mut write = |bytes: &[u8]| {
            self.progress.bytes(bytes.len() as u64);
            self.write_bytes(&mut *writer, bytes)
        };
        let done = match (&moved, recoded) {
            (Some(bytes), _) => write(bytes),
            (None, Some(codec)) => recode(assembler.source, assembler.encoders, entry, codec, &mut write),
            (None, None) => assembler.rebuild(entry, &mut write),
        };
        match done {
            Err(error) if self.options.salvage && error.is_damage() => {
                drop(writer);
                return self.salvage(assembler, entry, path, target, error).map(|()| false);
            }
            done => done?,
        }
        if recoded.is_some() || moved.is_some() {
            written.size = writer.written();
        }
        // Only now: whatever stands there stays until its successor is complete.
        self.make_way(&entry.path, path)?;
        let file = writer.finish(&written, self.progress)?;
        {
            let mut report = self.report();
            report.files_restored += 1;
            report.bytes_restored += written.size;
            report.recoded += u64::from(recoded.is_some());
            let was_meant = self.options.recode.is_some() && entry.avro.is_some();
            report.not_recoded += u64::from(was_meant && recoded.is_none());
        }
        if self.options.verify && recoded.is_none() && moved.is_none() {
            self.verify(file, entry, &target.shown(path))?;
            self.report().verified += 1;
        }
        Ok(true)
    }

    /// Leaves the content of a file that is there already.
    pub(super) fn leave(&self, target: &dyn RestoreTarget, entry: &FileEntry, path: &[u8]) -> Result<()> {
        let renewed = target.renew(path, entry, self.options.dry_run, self.progress)?;
        let mut report = self.report();
        report.files_skipped += 1;
        report.metadata_restored += u64::from(renewed);
        Ok(())
    }

    /// Whether blocks of zeros become holes.
    fn sparse(&self, entry: &FileEntry) -> bool {
        entry.sparse || self.options.sparse
    }

    fn write_bytes(&self, writer: &mut dyn TargetFile, bytes: &[u8]) -> Result<()> {
        self.runtime.go_on()?;
        writer.write(bytes)
    }

    /// Reads a restored file again, from its beginning, and compares its hash.
    fn verify(&self, mut file: Box<dyn Read>, entry: &FileEntry, shown: &Path) -> Result<()> {
        let (mut digester, mut buffer) = (Digester::new(), vec![0; 1 << 20]);
        loop {
            self.runtime.go_on()?;
            let count = file.read(&mut buffer).when("read", shown)?;
            if count == 0 {
                break;
            }
            digester.update(buffer.get(..count).unwrap_or(&[]));
        }
        match entry.content {
            Some(hash) if *hash.as_bytes() == digester.finish() => Ok(()),
            _ => Err(Error::not_restored(shown.display(), "what was read back is not what was written")),
        }
    }

    /// Writes what is left of a file, and a report of what it lacks beside it. `error` is why it is not whole.
    fn salvage<S: crate::chunk::ChunkSource + ?Sized>(
        &self,
        assembler: &FileAssembler<'_, S>,
        entry: &FileEntry,
        path: &[u8],
        target: &dyn RestoreTarget,
        error: Error,
    ) -> Result<()> {
        // Other bytes than those that were saved.
        let known = FileEntry { size: 0, content: None, ..entry.clone() };
        let mut writer = target.begin(path, &known, self.sparse(entry))?;
        let saved = salvage(assembler, entry, &mut |bytes| self.write_bytes(&mut *writer, bytes))?;
        if !saved.loss.is_any() {
            // All of its chunks are there, and yet it is not what it was.
            return Err(error);
        }
        let mut report_path = [path, b".salvage.json"].concat();
        let mut names = 0;
        // A file of the snapshot may be called so.
        while self.snapshot.rows(assembler.source).find(&beside(entry, path, &report_path))?.is_some() {
            names += 1;
            report_path = [path, format!(".salvage.{names}.json").as_bytes()].concat();
        }
        let text = saved.report(entry, self.snapshot.id)?;
        let mut report_writer = target.begin(&report_path, &FileEntry { mode: entry.mode & 0o666, ..known }, false)?;
        report_writer.write(text.as_bytes())?;
        let size = text.len() as u64;
        let xattrs = Vec::new();
        report_writer.finish(&FileEntry { size, mode: entry.mode & 0o666, xattrs, ..entry.clone() }, self.progress)?;
        self.make_way(&entry.path, path)?;
        writer.finish(&FileEntry { size: saved.bytes, ..entry.clone() }, self.progress)?;
        let message = match saved.container {
            true => {
                format!("only a part of it was written, without {} of its records: {error}", saved.loss.records.total)
            }
            false => format!("zeros stand for {} of its bytes: {error}", saved.loss.bytes.total),
        };
        let shown = String::from_utf8_lossy(&entry.path).into_owned();
        self.progress.warning(&Warning { path: shown, message, incomplete: true });
        let mut report = self.report();
        report.bytes_restored += saved.bytes;
        report.salvaged.push(SalvagedFile { path: entry.path.clone(), report: report_path, salvage: saved });
        Ok(())
    }
}

/// A size that the recipe cannot come to is that of a damaged or forged row: no room must be set aside for it.
fn refuse_impossible_size(entry: &FileEntry) -> Result<()> {
    let shown = String::from_utf8_lossy(&entry.path);
    let name = format_args!("the row of {shown}").to_string();
    let most = Recipe::decode(&entry.recipe).in_object(&name)?.longest_file();
    match entry.size <= most {
        true => Ok(()),
        false => Err(Error::damaged(
            name,
            format!("it says {} bytes, and what it names can come to {most} at most", entry.size),
        )),
    }
}

/// The path in the snapshot of what lies at `other` in the target, where `path` there is that of `entry`.
fn beside(entry: &FileEntry, path: &[u8], other: &[u8]) -> Vec<u8> {
    [&entry.path[..], other.get(path.len()..).unwrap_or(&[])].concat()
}
