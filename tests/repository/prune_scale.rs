//! `prune` on a repository of very many chunks.
//!
//! `SNAP_PRUNE_CHUNKS=1000000 SNAP_PRUNE_FOLDER=... cargo test --release --test repository prune_scale:: -- --ignored --nocapture`
//! makes a repository of about so many chunks of 8 KiB, of which a tenth is not needed any more, in that folder (or uses
//! the one that is there), and prunes a copy of it. The peak of memory is the process's own: run it a second time to see
//! that of the prune without that of the making.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::avro_gen;
use crate::faults;
use crate::lab;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use avro_snap::chunk::CutParams;
use avro_snap::crypto::{Suite, SystemEntropy};
use avro_snap::ops::create::{CreateOptions, StreamSource, create};
use avro_snap::ops::prune::{Fate, PruneOptions, prune};
use avro_snap::progress::Silent;
use avro_snap::storage::{Backend, Local};
use avro_snap::store::{CachePlace, InitOptions, Repository, SystemClock};
use lab::{CHEAP, Lab, saving};

/// Bytes of which no stretch of 8 KiB comes twice, and that compress well all the same: a repository of 8 GB takes little
/// room. In `changed` the parts that the second night has anew differ.
struct Data {
    at: u64,
    end: u64,
    changed: bool,
    block: Vec<u8>,
}

/// Runs of this many bytes change as one, one run in ten.
const RUN: u64 = 1 << 20;
const BLOCK: u64 = 4096;

impl Read for Data {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.block.is_empty() {
            if self.at >= self.end {
                return Ok(0);
            }
            let night = u64::from(self.changed && (self.at / RUN).is_multiple_of(10));
            let mut random = avro_gen::Random::new(self.at << 1 | night);
            // Enough noise that cuts fall everywhere, and no more.
            let noise: Vec<u8> = (0..96).flat_map(|_| random.next().to_le_bytes()).collect();
            self.block = noise.iter().copied().cycle().take(BLOCK as usize).collect();
            for at in (0..self.block.len()).step_by(64) {
                self.block[at] = random.next() as u8;
            }
            self.at += BLOCK;
        }
        let count = buffer.len().min(self.block.len());
        buffer[..count].copy_from_slice(&self.block[..count]);
        self.block.drain(..count);
        Ok(count)
    }
}

fn options(bytes: u64, changed: bool) -> CreateOptions {
    let reader = Box::new(Data { at: 0, end: bytes, changed, block: Vec::new() });
    let stream = StreamSource { reader, path: b"table".to_vec(), shown: "the table".into() };
    saving(Path::new("/")).stream(stream).compression(avro_snap::options::Compression::Fast)
}

fn make(place: &Path, chunks: u64) {
    let backend: Arc<dyn Backend> = Arc::new(Local::new(place));
    let init = InitOptions::default().encryption(Suite::None).kdf(CHEAP).cut(CutParams {
        min: 4096,
        average: 8192,
        max: 16_384,
        align: 0,
    });
    Repository::init(&backend, &init, &SystemClock, &SystemEntropy).unwrap();
    let lab = Lab { backend, cache: CachePlace::Temporary };
    let bytes = chunks * 9_000;
    let began = Instant::now();
    let first = create(&lab.open(), options(bytes, false), &Silent).unwrap();
    println!("first night: {} chunks in {:?}", first.chunks_new, began.elapsed());
    let second = create(&lab.open(), options(bytes, true), &Silent).unwrap();
    println!("second night: {} chunks in {:?}", second.chunks_new, began.elapsed());
    lab.open().log().remove_snapshots(&[first.snapshot.unwrap()], &[]).unwrap();
}

/// Seconds of processor time of this process, and the most memory that it had, in MiB.
fn costs() -> (f64, u64) {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    (ticks / 100.0, peak.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10)
}

#[test]
#[ignore = "takes minutes and gigabytes"]
fn a_prune_of_very_many_chunks() {
    let chunks = faults::size("SNAP_PRUNE_CHUNKS", 20_000) as u64;
    let folder =
        std::env::var_os("SNAP_PRUNE_FOLDER").map_or_else(|| std::env::temp_dir().join("snap-prune"), PathBuf::from);
    let repository = folder.join(format!("chunks-{chunks}"));
    if !repository.exists() {
        std::fs::create_dir_all(&folder).unwrap();
        make(&repository, chunks);
        println!("made {}; run it again", repository.display());
        return;
    }
    let copy = folder.join("copy");
    let _ = std::fs::remove_dir_all(&copy);
    let copied = std::process::Command::new("cp").arg("-a").arg(&repository).arg(&copy).status().unwrap();
    assert!(copied.success());
    let backend: Arc<dyn Backend> = Arc::new(Local::new(&copy));
    let lab = Lab { backend, cache: CachePlace::Folder(folder.join("cache")) };
    // The local index of a machine that wrote here before.
    drop(lab.open());
    let opened = costs();
    let began = Instant::now();
    let options = PruneOptions::default().grace(Duration::ZERO);
    let open = lab.open();
    let report = prune(&open, &options, &Silent).unwrap();
    let after = costs();
    println!(
        "{} packs of {} MB; removed {:?}, repacked {:?}, swept {:?}, left unused {} MB",
        report.packs.len(),
        report.bytes_before >> 20,
        report.tally(|fate| fate == Fate::Unused),
        report.tally(Fate::is_copied),
        report.swept,
        report.unused_bytes_left >> 20,
    );
    println!(
        "{:?}, {:.1} s of processor time (opening before: {:.1} s, {} MiB), peak {} MiB",
        began.elapsed(),
        after.0 - opened.0,
        opened.0,
        opened.1,
        after.1
    );
    let again = prune(&open, &options.dry_run(true), &Silent).unwrap();
    assert_eq!(again.tally(Fate::goes).packs, 0, "{:?}", again.tally(Fate::goes));
}
