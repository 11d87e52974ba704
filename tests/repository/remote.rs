//! Object stores: real servers keep the promises of a backend, or are found not to.
#![cfg(feature = "object-store")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use avro_snap::crypto::Suite;
use avro_snap::ops::check::DataSubset;
use avro_snap::storage::conformance::{CHECKS, name};
use avro_snap::storage::remote::{Location, Remote};
use avro_snap::storage::{
    Backend, ByteRange, Kind as ObjectKind, Meter, Name, Retry, RetryPolicy, StorageError, StorageErrorKind, probe,
};

use crate::lab::{Lab, assert_same, corpus, files_of};
use crate::proxy::{Fault, Proxy, in_a_row};
use crate::servers::{Kind, python};

/// Puts a server through all checks, and through the probe.
fn keeps_every_promise(kind: Kind) {
    let Some(server) = kind.get() else { return };
    for check in CHECKS {
        let place = server.place();
        check.run(&|| Arc::new(server.open(&place)) as Arc<dyn Backend>).unwrap_or_else(|failure| panic!("{failure}"));
    }
    let backend: Arc<dyn Backend> = Arc::new(server.open(&server.place()));
    let found = probe(&backend).unwrap();
    assert!(found.creates_once() && found.obstacle().is_none(), "{found:?}");
}

#[test]
fn ministack_keeps_every_promise() {
    keeps_every_promise(Kind::Ministack);
}

#[test]
fn moto_keeps_every_promise() {
    keeps_every_promise(Kind::Moto);
}

#[test]
fn azurite_keeps_every_promise() {
    keeps_every_promise(Kind::Azurite);
}

/// The fake of our own stands in for Google's store: what is tested is how its client is used.
#[test]
fn a_fake_of_googles_store_keeps_every_promise() {
    keeps_every_promise(Kind::Google);
}

#[test]
fn the_bucket_in_this_process_keeps_every_promise() {
    keeps_every_promise(Kind::InProcess);
}

/// A store that gives one name to several writers is found out, and keeps all other promises for one writer.
#[test]
fn a_store_that_lies_is_found_out_and_serves_one_writer() {
    let Some(server) = Kind::Rclone.get() else { return };
    let backend: Arc<dyn Backend> = Arc::new(server.open(&server.place()));
    let found = probe(&backend).unwrap();
    assert!(!found.creates_once() && found.obstacle().is_none(), "{found:?}");
    for check in CHECKS.iter().filter(|check| check.name != "of_many_creators_of_a_name_one_wins") {
        let place = server.place();
        let open = || Arc::new(server.open(&place).single_writer()) as Arc<dyn Backend>;
        check.run(&open).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

/// Real files by real writers come back bit for bit: all of them with `SNAP_REMOTE_CORPUS=whole`, else the small ones.
fn the_corpus_comes_back(kind: Kind) {
    let is_whole = std::env::var("SNAP_REMOTE_CORPUS").is_ok_and(|text| text == "whole");
    for part in if is_whole { &["interop", "orders", "nightly"][..] } else { &["interop"] } {
        comes_back(kind, part);
    }
}

fn comes_back(kind: Kind, part: &str) {
    let (Some(server), Some(folder)) = (kind.get(), corpus(part)) else { return };
    let begun = Instant::now();
    let lab = Lab::on(Arc::new(server.open(&server.place())), Suite::Aes256Gcm);
    lab.save(&folder);
    let target = tempfile::tempdir().unwrap();
    let failed = lab.restore_last(target.path()).unwrap().failed;
    assert!(failed.is_empty(), "{:?}", failed.first());
    assert_same(&folder, target.path());
    let check = lab.check(DataSubset::All);
    assert!(check.problems.is_empty(), "{:?}", check.problems);
    println!("{part} through {kind:?}: {} files, {:.1?}", files_of(&folder).len(), begun.elapsed());
}

#[test]
fn the_corpus_comes_back_from_s3() {
    the_corpus_comes_back(Kind::Ministack);
}

#[test]
fn the_corpus_comes_back_from_azure() {
    the_corpus_comes_back(Kind::Azurite);
}

/// What is counted is what goes over the line, tries that failed included.
#[test]
fn requests_and_bytes_are_counted_as_they_leave() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let location = Location::parse(&server.place()).unwrap();
    let remote = Arc::new(Remote::open(&location, server.variables_at(proxy.port)).unwrap());
    let meter = Arc::new(Meter::new(remote.clone()));
    let mut cut = 2;
    proxy.plan(move |_, _| {
        cut -= i32::from(cut > 0);
        (cut > 0).then_some(Fault::CutBefore)
    });
    let policy = RetryPolicy { first_wait: Duration::from_millis(1), ..RetryPolicy::default() };
    let storage = Retry::new(meter.clone(), policy);
    storage.create(&name(ObjectKind::Pack, 1), &[7; 10_000]).unwrap();
    storage.read(&name(ObjectKind::Pack, 1), 10_000).unwrap();
    let (seen, traffic) = (proxy.take(), remote.traffic().unwrap());
    assert_eq!(traffic.requests, seen.len() as u64);
    assert!(seen.len() >= 3, "{seen:?}");
    assert!(traffic.bytes_sent >= 20_000 && traffic.bytes_received >= 10_000, "{traffic:?}");
    assert!(meter.counts().put.trips >= 2 && meter.counts().put.errors >= 1, "{:?}", meter.counts());
}

/// Neighbours are asked for together, and many objects side by side.
#[test]
fn a_batch_takes_few_requests() {
    let Some(server) = Kind::Ministack.get() else { return };
    let proxy = Proxy::before(server.port);
    let location = Location::parse(&server.place()).unwrap();
    let remote = Remote::open(&location, server.variables_at(proxy.port)).unwrap();
    let names: Vec<Name> = (0..40).map(|n| name(ObjectKind::Pack, n)).collect();
    for name in &names {
        remote.create(name, &[1; 1000]).unwrap();
    }
    proxy.latency(Duration::from_millis(50));
    proxy.take();
    let parts: Vec<_> =
        (0..50).map(|n| (names[0].clone(), ByteRange::Exactly { offset: n * 20, length: 10 })).collect();
    assert!(remote.read_many(&parts).into_iter().all(|read| read.unwrap() == [1; 10]));
    assert_eq!(proxy.take().len(), 1, "ranges of one object that lie side by side");
    let whole: Vec<_> = names.iter().map(|name| (name.clone(), ByteRange::UpTo(1000))).collect();
    assert!(remote.read_many(&whole).into_iter().all(|read| read.unwrap() == [1; 1000]));
    let seen = proxy.take();
    assert!(seen.len() == 40 && in_a_row(&seen) <= 20, "{} in a row", in_a_row(&seen));
    assert!(remote.delete_many(&names).into_iter().all(|deleted| deleted.is_ok()));
    assert_eq!(proxy.take().len(), 1, "a batch of deletions");
}

/// Makes a bucket that keeps versions.
const VERSIONED_BUCKET: &str = r#"
import sys, boto3
s3 = boto3.client("s3", endpoint_url=sys.argv[1], aws_access_key_id="key", aws_secret_access_key="secret", region_name="us-east-1")
s3.create_bucket(Bucket="versioned")
s3.put_bucket_versioning(Bucket="versioned", VersioningConfiguration={"Status": "Enabled"})
"#;

/// Several objects are looked up and read side by side: two requests in a row, however many they are.
#[test]
fn oldest_versions_of_many_objects_are_read_at_once() {
    let Some(server) = Kind::Moto.get() else { return };
    python(VERSIONED_BUCKET, &[&format!("http://127.0.0.1:{}", server.port)]);
    let place = "s3://versioned/a/repo";
    let sound = server.open(place);
    let names: Vec<Name> = (0..8).map(Name::log).collect();
    for name in &names {
        sound.create(name, format!("the first {name}").as_bytes()).unwrap();
        sound.delete(name).unwrap();
        sound.create(name, b"what came later").unwrap();
        sound.delete(name).unwrap();
    }
    let proxy = Proxy::before(server.port);
    proxy.latency(Duration::from_millis(100));
    let remote = Remote::open(&Location::parse(place).unwrap(), server.variables_at(proxy.port)).unwrap();
    let oldest = remote.connections(16).oldest_versions().unwrap();
    let first = |name: &Name| format!("the first {name}").into_bytes();
    let all: Vec<_> = names.iter().map(|name| (name.clone(), ByteRange::UpTo(100))).collect();
    let read = oldest.read_many(&all);
    assert!(
        read.iter().zip(&names).all(|(read, name)| read.as_ref().is_ok_and(|read| *read == first(name))),
        "{read:?}"
    );
    let requests = proxy.take();
    assert_eq!(requests.len(), 2 * names.len());
    assert!(in_a_row(&requests) <= 8, "{} in a row", in_a_row(&requests));

    // Of one object, in any order; what it does not have; none of its bytes; and what is not there.
    let of_one = |offset, length| (names[0].clone(), ByteRange::Exactly { offset, length });
    let wants = [of_one(4, 5), of_one(0, 3), of_one(1000, 1), of_one(2, 0), (Name::log(99), ByteRange::UpTo(9))];
    let read = oldest.read_many(&wants);
    assert_eq!((read[0].as_ref().unwrap(), read[1].as_ref().unwrap()), (&b"first".to_vec(), &b"the".to_vec()));
    assert!(read[3].as_ref().is_ok_and(Vec::is_empty));
    for (number, (name, range)) in wants.iter().enumerate() {
        let alone = oldest.read_one(name, *range);
        let kind = |read: &Result<_, StorageError>| read.as_ref().err().map(StorageError::kind);
        assert_eq!(kind(&read[number]), kind(&alone), "{number}");
        assert_eq!(read[number].as_ref().ok(), alone.as_ref().ok(), "{number}");
    }
    assert!(read[2].is_err() && read[4].as_ref().is_err_and(|error| error.kind() == StorageErrorKind::NotFound));
    assert_eq!(oldest.head(&names[1]).unwrap().map(|meta| meta.size), Some(first(&names[1]).len() as u64));
    assert!(oldest.head(&Name::log(99)).unwrap().is_none());
}
