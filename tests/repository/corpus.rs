//! Real files by real writers: all of them come back bit for bit, and a night costs what changed.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "these are tests")]

use crate::lab;

use std::path::{Path, PathBuf};

use avro_snap::crypto::Suite;
use avro_snap::ops::check::DataSubset;
use avro_snap::ops::create::{Depth, create};
use avro_snap::progress::Silent;
use lab::{Lab, assert_same, corpus, fixtures, saving};

/// Every file below a folder comes back as it was, whatever the suite and however far snap looks.
fn comes_back(folder: &Path) {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        for depth in [Depth::Deep, Depth::Frame, Depth::Bytes] {
            let lab = Lab::new(suite);
            let report = create(&lab.open(), saving(folder).avro(depth), &Silent).unwrap();
            assert_eq!(report.unreadable, 0);
            let target = tempfile::tempdir().unwrap();
            let restored = lab.restore_last(target.path()).unwrap();
            assert!(restored.failed.is_empty(), "{:?}", restored.failed);
            assert_same(folder, target.path());
            let check = lab.check(DataSubset::All);
            assert!(check.problems.is_empty(), "{:?}", check.problems);
        }
    }
}

#[test]
fn all_interop_files_come_back() {
    let Some(folder) = corpus("interop") else { return };
    comes_back(&folder);
}

#[test]
fn all_nightly_files_come_back() {
    let Some(folder) = corpus("nightly") else { return };
    let lab = Lab::new(Suite::Aes256Gcm);
    lab.save(&folder);
    let target = tempfile::tempdir().unwrap();
    let failed = lab.restore_last(target.path()).unwrap().failed;
    assert!(failed.is_empty(), "{:?}", failed.first());
    assert_same(&folder, target.path());
}

#[test]
fn all_orders_come_back() {
    let Some(folder) = corpus("orders") else { return };
    let lab = Lab::new(Suite::None);
    lab.save(&folder);
    let target = tempfile::tempdir().unwrap();
    let failed = lab.restore_last(target.path()).unwrap().failed;
    assert!(failed.is_empty(), "{:?}", failed.first());
    assert_same(&folder, target.path());
}

#[test]
fn all_fixtures_come_back() {
    comes_back(&fixtures("odd"));
    comes_back(&fixtures("codecs"));
}

/// The nights of a set, in order.
fn nights(set: &str, count: usize) -> Option<Vec<PathBuf>> {
    let mut nights: Vec<PathBuf> =
        std::fs::read_dir(corpus("nightly")?.join(set)).unwrap().map(|entry| entry.unwrap().path()).collect();
    nights.sort();
    nights.truncate(count);
    assert_eq!(nights.len(), count);
    Some(nights)
}

/// What each night adds to one repository, all objects counted. The first figure includes the empty repository.
fn costs(nights: &[PathBuf], suite: Suite, depth: Depth) -> (Vec<u64>, Lab) {
    let lab = Lab::new(suite);
    let mut before = 0;
    let cost = |night: &PathBuf| {
        create(&lab.open(), saving(night).avro(depth), &Silent).unwrap();
        let after = lab.size();
        after - std::mem::replace(&mut before, after)
    };
    let costs = nights.iter().map(cost).collect();
    (costs, lab)
}

#[test]
fn five_nights_of_null_cost_what_changed() {
    let Some(nights) = nights("java-null", 5) else { return };
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let (costs, _) = costs(&nights, suite, Depth::Deep);
        println!("java-null, {}: {costs:?} bytes a night", suite.name());
        assert!(costs[0] <= 2_300_000, "first night: {}", costs[0]);
        assert!(costs[1..].iter().all(|cost| *cost <= 400_000), "later nights: {:?}", &costs[1..]);
        assert!(costs[1..].iter().sum::<u64>() <= 600_000, "later nights: {:?}", &costs[1..]);
    }
}

#[test]
fn eight_nights_of_deflate_cost_little_even_with_payloads_kept_whole() {
    let Some(nights) = nights("java-deflate", 8) else { return };
    let (costs, _) = costs(&nights, Suite::Aes256Gcm, Depth::Frame);
    println!("java-deflate, payloads whole: {costs:?} bytes a night, {} in all", costs.iter().sum::<u64>());
    assert!(costs.iter().sum::<u64>() <= 6_000_000);
}

#[test]
fn eight_nights_of_deflate_cost_no_more_than_the_decoded_records() {
    let (Some(deflate), Some(null)) = (nights("java-deflate", 8), nights("java-null", 5)) else { return };
    let (costs_deflate, lab) = costs(&deflate, Suite::Aes256Gcm, Depth::Deep);
    println!("java-deflate, deep: {costs_deflate:?} bytes a night, {} in all", costs_deflate.iter().sum::<u64>());
    assert!(costs_deflate.iter().sum::<u64>() <= 3_300_000);
    let (costs_null, _) = costs(&null, Suite::Aes256Gcm, Depth::Deep);
    let (five, like) = (costs_deflate[..5].iter().sum::<u64>(), costs_null.iter().sum::<u64>());
    assert!(five.abs_diff(like) * 20 <= like, "five nights cost {five} as deflate and {like} as null");
    // The same nights by other writers are the same records.
    let (Some(snappy), Some(fastavro)) = (nights("java-snappy", 5), nights("fastavro-deflate", 5)) else { return };
    let before = lab.size();
    for night in snappy.iter().chain(&fastavro) {
        lab.save(night);
    }
    let added = lab.size() - before;
    println!("the same five nights as snappy and by another writer: {} bytes a night", added / 5);
    assert!(added <= 5 * 60_000, "{added}");
}

#[test]
fn an_unchanged_night_adds_next_to_nothing() {
    let Some(nights) = nights("java-null", 1) else { return };
    let lab = Lab::new(Suite::Aes256Gcm);
    let first = lab.save(&nights[0]);
    let before = lab.size();
    let second = lab.save(&nights[0]);
    assert_eq!((second.files_unmodified, second.bytes_read), (first.files_new, 0));
    let added = lab.size() - before;
    println!("an unchanged night of {} files adds {added} bytes", first.files_new);
    assert_eq!(second.bytes_added, added);
    assert!(added < 8_000, "{added}");
}
