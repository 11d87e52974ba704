//! One drill: files are restored, read again and removed, several at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::certificate::{Certificate, Damaged, put_not_opened};
use super::sample::Drawn;
use super::second_reader::{self, Hashing, Read2, why_not};
use super::{DrillOptions, second_reader::NAME};
use crate::chunk::ChunkSource;
use crate::error::{Error, IoContext, Result};
use crate::files::{RestoreTarget, ScratchFolder, host, resolved, user};
use crate::progress::{Phase, Progress, Warning};
use crate::read::avro_file::AvroFile;
use crate::read::{EncoderBench, FileAssembler, Prefetching};
use crate::report::utc;
use crate::snapshot::SnapshotRoot;
use crate::snapshot::entry::{AvroFacts, FileEntry};
use crate::store::Repository;

/// Does all of it.
pub(super) fn carried_out(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    options: &DrillOptions,
    progress: &dyn Progress,
) -> Result<Certificate> {
    let (began, time) = (Instant::now(), repository.log().clock().now());
    let seed = match options.seed {
        Some(seed) => seed,
        None => u64::from_le_bytes(repository.log().entropy().array()?),
    };
    let drawn = Drawn::new(repository, snapshot, &options.subfolder, options.sample, seed)?;
    if drawn.files_of == 0 {
        let path = String::from_utf8_lossy(&options.subfolder).into_owned();
        return Err(Error::NoPath { path, snapshot: snapshot.id.short() });
    }
    let scratch = ScratchFolder::new(options.scratch.as_deref())?;
    refuse_in_use(&scratch, options)?;
    let threads = repository.runtime().threads();
    let (files, bytes) = check_room(repository, snapshot, &drawn, &scratch, threads)?;
    progress.begin(Phase::Restore, Some(files), Some(bytes));
    let certificate = Certificate {
        version: 1,
        repository_id: repository.id().to_string(),
        snapshot_id: snapshot.id.to_string(),
        snapshot_time: utc(i128::from(snapshot.time)),
        series: snapshot.series.clone(),
        path: String::from_utf8_lossy(&options.subfolder).into_owned(),
        time: utc(i128::from(time)),
        host: host(),
        user: user(),
        program: crate::ops::create::PROGRAM.into(),
        second_reader: NAME.into(),
        sample: options.sample.to_string(),
        seed: seed.to_string(),
        files_of: drawn.files_of,
        bytes_of: drawn.bytes_of,
        ..Certificate::default()
    };
    let run = Run {
        repository,
        progress,
        scratch: &scratch,
        encoders: EncoderBench::default(),
        certificate: Mutex::new(certificate),
        fatal: Mutex::default(),
    };
    let restoring = Instant::now();
    let pool = repository.runtime().compute()?;
    let done = pool.in_place_scope(|scope| {
        let source = Prefetching::new(repository, scope);
        let (send, jobs) = crossbeam_channel::bounded::<FileEntry>(64);
        std::thread::scope(|threads_scope| {
            let worker = || {
                let (jobs, run, source) = (jobs.clone(), &run, &source);
                move || {
                    let assembler = FileAssembler { source, pool, encoders: &run.encoders };
                    jobs.into_iter().for_each(|row| run.file(&assembler, &row));
                }
            };
            crate::runtime::spawn_many(threads_scope, threads, worker)?;
            drop(jobs);
            let sent = drawn.each(repository, snapshot, &mut |row| {
                run.check()?;
                send.send(row).map_err(|_| Error::WorkerStopped)
            });
            // The workers end when nothing more can come.
            drop(send);
            sent
        })
    });
    done?;
    run.check()?;
    repository.runtime().go_on()?;
    let mut certificate = run.certificate.into_inner().unwrap_or_else(PoisonError::into_inner);
    certificate.failed.sort_by(|one, other| one.path.cmp(&other.path));
    certificate.end(began.elapsed(), restoring.elapsed());
    certificate.sign(repository)?;
    Ok(certificate)
}

fn refuse_in_use(scratch: &ScratchFolder, options: &DrillOptions) -> Result<()> {
    let path = resolved(scratch.path());
    match options.in_use.iter().find(|place| path.starts_with(resolved(place))) {
        None => Ok(()),
        Some(place) => {
            Err(Error::argument("scratch", format!("it lies in {}, which snap needs for itself", place.display())))
        }
    }
}

/// How many files and bytes are drawn; refused if those that are there at one time may not fit.
fn check_room(
    repository: &Repository,
    snapshot: &SnapshotRoot,
    drawn: &Drawn<'_>,
    scratch: &ScratchFolder,
    threads: usize,
) -> Result<(u64, u64)> {
    let (mut files, mut bytes, mut largest) = (0, 0_u64, Vec::new());
    drawn.each(repository, snapshot, &mut |row| {
        files += 1;
        bytes = bytes.saturating_add(row.size);
        largest.push(row.size);
        largest.sort_unstable_by(|one: &u64, other| other.cmp(one));
        largest.truncate(threads);
        Ok(())
    })?;
    let (needed, free) = (largest.iter().fold(0, |sum: u64, size| sum.saturating_add(*size)), scratch.free_bytes()?);
    match needed <= free {
        true => Ok((files, bytes)),
        false => Err(Error::argument(
            "scratch",
            format!(
                "{} has {free} bytes free, and the largest files of the sample need {needed} at one time",
                scratch.path().display()
            ),
        )),
    }
}

struct Run<'r> {
    repository: &'r Repository,
    progress: &'r dyn Progress,
    scratch: &'r ScratchFolder,
    encoders: EncoderBench,
    certificate: Mutex<Certificate>,
    /// What ends the whole drill.
    fatal: Mutex<Option<Error>>,
}

impl Run<'_> {
    /// One file of the sample.
    fn file<S: ChunkSource + ?Sized>(&self, assembler: &FileAssembler<'_, S>, row: &FileEntry) {
        if self.fatal().is_some() {
            return;
        }
        let path = String::from_utf8_lossy(&row.path).into_owned();
        self.progress.at(std::path::Path::new(&path));
        match self.proven(assembler, row) {
            Ok(read) => {
                let mut certificate = self.certificate();
                certificate.files += 1;
                certificate.bytes = certificate.bytes.saturating_add(row.size);
                match read {
                    Some(Read2::Records(records)) => {
                        certificate.avro_files += 1;
                        certificate.records = certificate.records.saturating_add(records);
                    }
                    Some(Read2::NotOpened(reason)) => put_not_opened(&mut certificate.not_opened, reason, &path),
                    None => {}
                }
            }
            // The scratch folder is full, or the work is to end: that says nothing about the file.
            Err(error) if error.is_full() || self.repository.runtime().cancel_token().is_cancelled() => {
                self.fatal().get_or_insert(error);
            }
            Err(error) => {
                let message = format!("not restored as it was saved: {error}");
                self.progress.warning(&Warning { path: path.clone(), message, incomplete: true });
                let (code, is_damage, message) = (error.code().to_owned(), error.is_damage(), error.message());
                self.certificate().failed.push(Damaged { path, code, message, is_damage });
            }
        }
        self.progress.files(1);
    }

    /// Restores a file and reads it again.
    fn proven<S: ChunkSource + ?Sized>(
        &self,
        assembler: &FileAssembler<'_, S>,
        row: &FileEntry,
    ) -> Result<Option<Read2>> {
        let name = crate::id::hex(&crate::id::digest(&row.path));
        // Its owner, mode and attributes are not what is tried out.
        let written = FileEntry { mode: 0o600, xattrs: Vec::new(), path: name.clone().into_bytes(), ..row.clone() };
        let target: &dyn RestoreTarget = self.scratch.target();
        let mut writer = target.begin(name.as_bytes(), &written, row.sparse)?;
        assembler.rebuild(row, &mut |bytes| {
            self.repository.runtime().go_on()?;
            self.progress.bytes(bytes.len() as u64);
            writer.write(bytes)
        })?;
        writer.finish(&written, self.progress)?;
        let read = self.read_again(&name, row);
        let removed = self.scratch.remove(&name);
        let read = read?;
        removed.map(|()| read)
    }

    fn read_again(&self, name: &str, row: &FileEntry) -> Result<Option<Read2>> {
        let shown = String::from_utf8_lossy(&row.path).into_owned();
        let mut file = Hashing::new(self.scratch.open_again(name)?);
        let facts = row.avro.as_ref().filter(|_| row.size > 0);
        let read = match facts {
            Some(facts) => Some(match self.why_not_opened(facts, row)? {
                Some(reason) => Read2::NotOpened(reason),
                None => second_reader::decode(&mut file),
            }),
            None => None,
        };
        let (hash, length) = file.finish().when("read", &shown)?;
        if length != row.size || row.content.is_none_or(|content| *content.as_bytes() != hash) {
            return Err(Error::not_restored(shown, "what was read back is not what was saved"));
        }
        match (&read, facts) {
            (Some(Read2::Records(records)), Some(facts)) if *records != facts.declared_records => {
                let expected = facts.declared_records;
                let reason = format!("the second reader decoded {records} records, and {expected} were saved");
                Err(Error::not_restored(shown, reason))
            }
            _ => Ok(read),
        }
    }

    /// Why the second reader is not asked about a file.
    fn why_not_opened(&self, facts: &AvroFacts, row: &FileEntry) -> Result<Option<String>> {
        let schema = AvroFile::open(self.repository, row)?.and_then(|file| file.schema());
        Ok(match schema {
            Ok(schema) => why_not(facts, &schema),
            Err(reason) => Some(reason.to_string()),
        })
    }

    fn certificate(&self) -> MutexGuard<'_, Certificate> {
        self.certificate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fatal(&self) -> MutexGuard<'_, Option<Error>> {
        self.fatal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self) -> Result<()> {
        self.fatal().take().map_or(Ok(()), Err)
    }
}
