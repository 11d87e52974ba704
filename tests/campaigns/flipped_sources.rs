//! Any one byte of a source file is changed, in the header, between blocks, in a payload or a marker: the snapshot
//! restores exactly that changed file, however much of it can still be decoded.
//!
//! `SNAP_SOURCE_FLIPS=n` changes n bytes of each file of `fixtures/codecs`, spread evenly; `all` changes every byte.
//! `SNAP_SEED` says where sampling begins and what the bytes become.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use crate::faults;
use crate::lab;

use std::fs;

use avro_snap::crypto::Suite;
use avro_snap::ops::create::AvroReport;
use faults::quick_folder;
use lab::{Lab, assert_same, fixtures};

/// How many changed files go into one snapshot.
const BATCH: usize = 400;

#[test]
fn a_file_with_any_byte_changed_comes_back_as_it_was() {
    let (most, seed) = (faults::size("SNAP_SOURCE_FLIPS", 24), faults::seed() as usize);
    let (mut files, mut sum) = (0, AvroReport::default());
    for fixture in fs::read_dir(fixtures("codecs")).unwrap() {
        let path = fixture.unwrap().path();
        let sound = fs::read(&path).unwrap();
        let step = (sound.len() / most.clamp(1, sound.len())).max(1);
        let positions: Vec<usize> = (seed % step..sound.len()).step_by(step).collect();
        for batch in positions.chunks(BATCH) {
            let (source, target) = (quick_folder(), quick_folder());
            for at in batch {
                let mut changed = sound.clone();
                // Another bit each time; now and then all of them.
                changed[*at] ^= match (seed + at) % 9 {
                    8 => 0xff,
                    bit => 1 << bit,
                };
                fs::write(source.path().join(format!("{at}.avro")), changed).unwrap();
            }
            let lab = Lab::new(Suite::None);
            let saved = lab.save(source.path());
            assert_eq!((saved.files_new, saved.unreadable), (batch.len() as u64, 0), "{}", path.display());
            lab.restore_last(target.path()).unwrap();
            assert_same(source.path(), target.path());
            files += batch.len();
            sum.unsound += saved.avro.unsound;
            sum.blocks_exact += saved.avro.blocks_exact;
            sum.blocks_raw += saved.avro.blocks_raw;
        }
    }
    println!(
        "{files} changed files came back: {} not sound; {} blocks decoded, {} kept as they are",
        sum.unsound, sum.blocks_exact, sum.blocks_raw
    );
    // What is changed in one place is still looked into elsewhere.
    assert!(sum.unsound > 0 && sum.blocks_raw > 0 && sum.blocks_exact > sum.blocks_raw, "{sum:?}");
}
