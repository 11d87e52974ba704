//! What a night costs when rows change at random places, however the files are called and cut.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout, reason = "these are tests")]

use crate::avro_gen;
use crate::lab;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use avro_gen::Random;
use avro_snap::avro::codec::{Codec, Decoder, MAX_DECODED};
use avro_snap::avro::container::{Parsed, parse_block, parse_header, put_block_header};
use avro_snap::avro::varint;
use avro_snap::crypto::Suite;
use avro_snap::ops::check::DataSubset;
use avro_snap::ops::create::create;
use avro_snap::ops::restore::restore;
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::recipe::Recipe;
use avro_snap::storage::{
    self, Abilities, Backend, ByteRange, Cache, CacheTerms, Created, Each, Kind, Memory, Meter, Name, ObjectMeta,
    PutTerms, Traffic,
};
use avro_snap::store::CachePlace;
use lab::{Lab, assert_same, corpus, restoring, saving};

/// The files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn bytes_of(folder: &Path) -> u64 {
    files(folder).iter().map(|file| fs::metadata(file).unwrap().len()).sum()
}

/// Saves a folder, makes sure that it comes back, and gives what it added to the repository.
fn night(lab: &Lab, folder: &Path) -> u64 {
    let before = lab.size();
    let report = create(&lab.open(), saving(folder), &Silent).unwrap();
    assert_eq!(report.unreadable, 0);
    lab.size() - before
}

/// The last snapshot is the folder; gives how many bytes were decoded for each byte of its streams.
fn comes_back(lab: &Lab, folder: &Path) -> f64 {
    let target = tempfile::tempdir().unwrap();
    let repository = lab.open();
    let snapshot = lab.last(&repository);
    let before = repository.reader().bytes_decoded();
    let restored = restore(&repository, &snapshot, &restoring(target.path()), &Silent).unwrap();
    assert!(restored.failed.is_empty(), "{:?}", restored.failed.first());
    assert_same(folder, target.path());
    let decoded = repository.reader().bytes_decoded() - before;
    let mut rows = snapshot.rows(&repository);
    let mut streams = 0;
    while let Some(row) = rows.next_row().unwrap() {
        if let Ok(recipe) = Recipe::decode(&row.recipe) {
            streams += recipe.streams().iter().map(|stream| stream.length()).sum::<u64>();
        }
    }
    let times = decoded as f64 / streams as f64;
    println!("{streams} bytes of streams were restored by decoding {decoded}, {times:.2} times");
    times
}

/// The longest chain of deltas.
fn deepest(lab: &Lab) -> u8 {
    let (repository, mut deepest) = (lab.open(), 0);
    for number in repository.catalog().index().pack_numbers() {
        let info = repository.catalog().index().pack(number).unwrap();
        deepest = info.directory.frames.iter().map(|frame| frame.place.depth).max().unwrap_or(0).max(deepest);
    }
    deepest
}

/// A laboratory whose index outlives each run, or does not.
fn labs() -> [(Lab, Option<tempfile::TempDir>, &'static str); 2] {
    let cache = tempfile::tempdir().unwrap();
    let mut kept = Lab::new(Suite::Aes256Gcm);
    kept.cache = CachePlace::Folder(cache.path().to_path_buf());
    [(kept, Some(cache), "with a cache"), (Lab::new(Suite::Aes256Gcm), None, "without")]
}

/// The first three days of a table of which one row in a hundred changes a day.
fn days() -> Option<Vec<PathBuf>> {
    let folder = corpus("orders")?;
    let days: Vec<PathBuf> = (0..3).map(|day| folder.join(format!("day{day}"))).collect();
    days.iter().all(|day| day.is_dir()).then_some(days)
}

fn days_cost_little(days: &[PathBuf], what: &str) {
    for (lab, _cache, cached) in labs() {
        let first = night(&lab, &days[0]);
        println!("orders {what}, {cached}: {first} bytes for a first day of {}", bytes_of(&days[0]));
        for day in &days[1..] {
            let (cost, bytes) = (night(&lab, day), bytes_of(day));
            println!(
                "orders {what}, {cached}: {cost} bytes for a later day of {bytes}, {} per mille",
                cost * 1000 / bytes
            );
            assert!(cost * 40 <= bytes, "{cost} of {bytes}");
        }
        let times = comes_back(&lab, days.last().unwrap());
        assert!(times <= f64::from(deepest(&lab)) + 1.0, "{times}");
    }
}

#[test]
fn later_days_of_orders_cost_a_fortieth() {
    let Some(days) = days() else { return };
    days_cost_little(&days, "as they are");
}

#[test]
fn days_whose_parts_have_new_names_cost_no_more() {
    let Some(days) = days() else { return };
    let folder = tempfile::tempdir().unwrap();
    let renamed: Vec<PathBuf> = (0..)
        .zip(&days)
        .map(|(number, day)| {
            let own = folder.path().join(number.to_string());
            fs::create_dir(&own).unwrap();
            for file in files(day) {
                let name = format!("dt=2026-07-{:02}-{}", number + 14, file.file_name().unwrap().to_str().unwrap());
                fs::copy(&file, own.join(name)).unwrap();
            }
            own
        })
        .collect();
    days_cost_little(&renamed, "renamed");
}

/// A container, its records decoded: the header's metadata and each block's count and records.
struct Decoded {
    schema: String,
    blocks: Vec<(u64, Vec<u8>)>,
}

fn decode(file: &[u8]) -> Decoded {
    let Parsed::Done(header) = parse_header(file) else { unreachable!("the corpus is sound") };
    let codec = Codec::from_name(header.codec_name()).unwrap();
    let (mut decoder, mut blocks) = (Decoder::new(), Vec::new());
    let start = header.bytes().len();
    let marker: [u8; 16] = file[start..start + 16].try_into().unwrap();
    let mut rest = &file[start + 16..];
    while let Parsed::Done(block) = parse_block(rest, &marker) {
        let count = varint::decode(rest).unwrap().value as u64;
        let mut plain = Vec::new();
        decoder.decode(codec, &rest[block.payload()], MAX_DECODED, &mut plain).unwrap();
        blocks.push((count, plain));
        rest = &rest[block.length()..];
    }
    assert!(rest.is_empty());
    Decoded { schema: header.schema_text().unwrap().into(), blocks }
}

/// A container of these blocks, not compressed.
fn container(schema: &str, marker: u8, blocks: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut file = b"Obj\x01".to_vec();
    varint::encode(&mut file, 2);
    for (key, value) in [("avro.schema", schema), ("avro.codec", "null")] {
        for text in [key, value] {
            varint::encode(&mut file, text.len() as i64);
            file.extend(text.as_bytes());
        }
    }
    file.push(0);
    file.extend([marker; 16]);
    for (count, plain) in blocks {
        put_block_header(&mut file, *count, plain.len());
        file.extend(plain);
        file.extend([marker; 16]);
    }
    file
}

#[test]
fn days_whose_parts_are_joined_and_cut_elsewhere_cost_no_more() {
    let Some(days) = days() else { return };
    let folder = tempfile::tempdir().unwrap();
    for (lab, _cache, cached) in labs() {
        for (number, day) in days.iter().enumerate() {
            let parts: Vec<Decoded> = files(day).iter().map(|file| decode(&fs::read(file).unwrap())).collect();
            let blocks: Vec<_> = parts.iter().flat_map(|part| part.blocks.clone()).collect();
            let own = folder.path().join(format!("{number} {cached}"));
            fs::create_dir(&own).unwrap();
            // Another number of parts each day, and other names.
            for (part, blocks) in blocks.chunks(blocks.len() / (2 * number + 3) + 1).enumerate() {
                let file = container(&parts[0].schema, (16 * number + part) as u8, blocks);
                fs::write(own.join(format!("day-{number}-part-{part}.avro")), file).unwrap();
            }
            let (cost, deflated) = (night(&lab, &own), bytes_of(day));
            println!("orders cut elsewhere, {cached}: {cost} bytes for day {number} of {deflated} deflated");
            assert!(number == 0 || cost * 40 <= deflated, "{cost} of {deflated}");
            comes_back(&lab, &own);
        }
    }
}

#[test]
fn eight_nights_of_deflate_cost_a_few_kilobytes_each() {
    for set in ["java-deflate", "fastavro-deflate", "java-snappy"] {
        let Some(folder) = corpus("nightly") else { return };
        let mut nights = files(&folder.join(set));
        nights.truncate(8);
        for (lab, _cache, cached) in labs() {
            let costs: Vec<u64> = nights.iter().map(|folder| night(&lab, folder)).collect();
            let later = costs[1..].iter().sum::<u64>() / (costs.len() as u64 - 1);
            println!("{set}, {cached}: {costs:?}, {} in all, {later} bytes a later night", costs.iter().sum::<u64>());
            assert!(later <= 12_000, "{later}");
            let times = comes_back(&lab, nights.last().unwrap());
            assert!(times <= 3.0, "{times}");
        }
    }
}

const SCHEMA: &str = r#"{"type":"record","name":"Row","fields":[{"name":"id","type":"long"},{"name":"name","type":"string"},
{"name":"city","type":"string"},{"name":"amount","type":"double"},{"name":"note","type":["null","string"]}]}"#;

fn row(id: u64, random: &mut Random) -> Vec<u8> {
    let mut row = Vec::new();
    let text = |row: &mut Vec<u8>, text: &str| {
        varint::encode(row, text.len() as i64);
        row.extend(text.as_bytes());
    };
    varint::encode(&mut row, id as i64);
    text(&mut row, &format!("{:x} {:x}", random.next() >> 40, random.next() >> 50));
    text(&mut row, ["Berlin", "Lisboa", "Wien", "Oslo", "Praha"][random.below(5)]);
    row.extend((random.below(100_000) as f64 / 100.0).to_le_bytes());
    varint::encode(&mut row, i64::from(random.one_in(3)));
    if row.last() == Some(&2) {
        text(&mut row, &format!("{:x}", random.next()));
    }
    row
}

/// A metered storage that seems to lie beyond a network. What is read of packs comes wrong as long as it is said to.
#[derive(Debug)]
struct Far(Meter, AtomicBool);

impl Far {
    fn new() -> Self {
        Self(Meter::new(Arc::new(Memory::new())), AtomicBool::new(false))
    }
}

impl Backend for Far {
    fn location(&self) -> String {
        "far away".into()
    }

    fn abilities(&self) -> Abilities {
        self.0.abilities()
    }

    fn traffic(&self) -> Option<Traffic> {
        Some(Traffic::default())
    }

    fn prepare(&self) -> storage::Result<()> {
        self.0.prepare()
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> storage::Result<Created> {
        self.0.put(name, bytes, terms)
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> storage::Result<Vec<u8>> {
        let mut bytes = self.0.read_one(name, range)?;
        if self.1.load(Ordering::Relaxed) && name.kind() == Kind::Pack {
            bytes.iter_mut().for_each(|byte| *byte ^= 1);
        }
        Ok(bytes)
    }

    fn head(&self, name: &Name) -> storage::Result<Option<ObjectMeta>> {
        self.0.head(name)
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> storage::Result<()> {
        self.0.list(kind, after, each)
    }

    fn delete(&self, name: &Name) -> storage::Result<()> {
        self.0.delete(name)
    }
}

/// A night whose changes are scattered rests on thousands of frames. Beyond a network they are read in pieces of a megabyte, and
/// the next night finds them on this machine.
#[test]
fn the_bases_of_a_night_are_read_together_and_kept_for_the_next() {
    let (near, cache, folder) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let far = Arc::new(Far::new());
    let mut terms = CacheTerms::default();
    // Packs of real nights are larger than what is kept as a whole; these are smaller.
    terms.largest = 64 << 10;
    let mut lab = Lab::on(Arc::new(Cache::in_folder(far.clone(), terms, near.path())), Suite::Aes256Gcm);
    lab.cache = CachePlace::Folder(cache.path().to_path_buf());
    let mut random = Random::new(7);
    let mut rows: Vec<Vec<u8>> = (0..100_000).map(|id| row(id, &mut random)).collect();
    let mut reads = Vec::new();
    for day in 0..4u8 {
        for _ in 0..rows.len() / 100 {
            let at = random.below(rows.len());
            rows[at] = row(at as u64, &mut random);
        }
        let blocks: Vec<_> = rows.chunks(500).map(|rows| (rows.len() as u64, rows.concat())).collect();
        fs::write(folder.path().join("table.avro"), container(SCHEMA, day, &blocks)).unwrap();
        let before = far.0.counts();
        lab.save(folder.path());
        reads.push(far.0.counts().since(&before).read);
    }
    println!("{reads:?}");
    let trips: Vec<u64> = reads.iter().map(|read| read.trips).collect();
    assert!(trips[1] <= 25 && trips[2] <= 25 && trips[3] <= 25, "{trips:?}");
    assert!(reads[3].bytes < 1 << 20, "bytes that this machine has are read again: {reads:?}");
    comes_back(&lab, folder.path());
}

/// What came wrong from far away once is not taken for damage from then on.
#[test]
fn wrong_answers_are_not_kept() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let (near, cache, folder) =
            (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let far = Arc::new(Far::new());
        let mut terms = CacheTerms::default();
        terms.largest = 1 << 10;
        let mut lab = Lab::on(Arc::new(Cache::in_folder(far.clone(), terms, near.path())), suite);
        lab.cache = CachePlace::Folder(cache.path().to_path_buf());
        let mut random = Random::new(8);
        let blocks: Vec<_> = (0..20).map(|_| (500, (0..500).flat_map(|id| row(id, &mut random)).collect())).collect();
        fs::write(folder.path().join("table.avro"), container(SCHEMA, 1, &blocks)).unwrap();
        lab.save(folder.path());
        far.1.store(true, Ordering::Relaxed);
        let repository = lab.open();
        let target = tempfile::tempdir().unwrap();
        let tried = Listing::read(&repository).snapshots.pop();
        let failed = tried.is_none_or(|snapshot| {
            restore(&repository, &snapshot, &restoring(target.path()), &Silent)
                .map_or(true, |done| !done.failed.is_empty())
        });
        assert!(failed, "all that came was wrong");
        far.1.store(false, Ordering::Relaxed);
        // The same process, and the next one.
        comes_back(&lab, folder.path());
        let snapshot = lab.last(&repository);
        let again = tempfile::tempdir().unwrap();
        assert!(restore(&repository, &snapshot, &restoring(again.path()), &Silent).unwrap().failed.is_empty());
        assert_same(folder.path(), again.path());
    }
}

#[test]
fn sixty_nights_of_random_changes_stay_flat_and_come_back() {
    let cache = tempfile::tempdir().unwrap();
    let mut lab = Lab::new(Suite::Aes256Gcm);
    lab.cache = CachePlace::Folder(cache.path().to_path_buf());
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(60);
    let mut next = 0..;
    let mut rows: Vec<Vec<u8>> = (0..30_000).map(|_| row(next.next().unwrap(), &mut random)).collect();
    let (mut costs, mut kept) = (Vec::new(), Vec::new());
    for day in 0..60u8 {
        if day > 0 {
            for _ in 0..rows.len() / 200 {
                let at = random.below(rows.len());
                match random.below(4) {
                    0 => drop(rows.remove(at)),
                    1 => rows.insert(at, row(next.next().unwrap(), &mut random)),
                    _ => rows[at] = row(next.next().unwrap(), &mut random),
                }
            }
        }
        let blocks: Vec<_> = rows.chunks(500).map(|rows| (rows.len() as u64, rows.concat())).collect();
        let file = container(SCHEMA, day, &blocks);
        fs::write(folder.path().join("table.avro"), &file).unwrap();
        costs.push(night(&lab, folder.path()));
        if day % 10 == 9 {
            kept.push((usize::from(day), file));
        }
    }
    let whole: u64 = rows.iter().map(|row| row.len() as u64).sum();
    println!("sixty nights of {whole} bytes: {costs:?}");
    // As little as the changed rows; rungs are taken against eight nights before, so nights differ.
    let eights: Vec<u64> = costs[1..57].chunks(8).map(|nights| nights.iter().sum()).collect();
    println!("eight nights each: {eights:?}");
    assert!(eights.iter().all(|cost| *cost <= 8 * whole / 64), "{eights:?} of {whole}");
    assert!(*eights.last().unwrap() <= eights[0] * 3 / 2, "growth is not flat: {eights:?}");
    let repository = lab.open();
    let listing = Listing::read(&repository);
    assert_eq!(listing.snapshots.len(), 60);
    for (day, file) in kept {
        let target = tempfile::tempdir().unwrap();
        let report = restore(&repository, &listing.snapshots[day], &restoring(target.path()), &Silent).unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        assert!(fs::read(target.path().join("table.avro")).unwrap() == file, "night {day}");
    }
    let deepest = deepest(&lab);
    println!("the longest chain has {deepest} links");
    assert!((8..=15).contains(&deepest));
    let times = comes_back(&lab, folder.path());
    assert!(times <= f64::from(deepest) + 1.0, "{times}");
    let report = lab.check(DataSubset::All);
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}

#[test]
fn an_unchanged_night_of_five_files_adds_four_kilobytes_at_most() {
    let Some(folder) = corpus("nightly") else { return };
    let night_folder = files(&folder.join("java-null")).swap_remove(0);
    let lab = Lab::new(Suite::Aes256Gcm);
    lab.save(&night_folder);
    let added = night(&lab, &night_folder);
    println!("an unchanged night of five files adds {added} bytes");
    assert!(added <= 4_000, "{added}");
    // The same bytes in other files: their times change.
    let copies = tempfile::tempdir().unwrap();
    for file in files(&night_folder) {
        fs::copy(&file, copies.path().join(file.file_name().unwrap())).unwrap();
    }
    let added = night(&lab, copies.path());
    println!("the same in new files adds {added} bytes");
    assert!(added <= 4_000, "{added}");
}

#[test]
fn what_rests_on_a_lost_pack_is_stored_again() {
    let lab = Lab::new(Suite::Aes256Gcm);
    let folder = tempfile::tempdir().unwrap();
    let mut random = Random::new(7);
    let mut rows: Vec<Vec<u8>> = (0..5_000).map(|id| row(id, &mut random)).collect();
    let mut packs = Vec::new();
    for day in 0..3u8 {
        for _ in 0..5 {
            let at = random.below(rows.len());
            rows[at] = row(90_000, &mut random);
        }
        let blocks: Vec<_> = rows.chunks(500).map(|rows| (rows.len() as u64, rows.concat())).collect();
        fs::write(folder.path().join("table.avro"), container(SCHEMA, day, &blocks)).unwrap();
        night(&lab, folder.path());
        let there = lab.backend.list_all(Kind::Pack).unwrap().into_iter().map(|meta| meta.name);
        packs.extend(there.filter(|name| !packs.contains(name)).collect::<Vec<_>>());
    }
    assert_eq!((packs.len(), deepest(&lab)), (3, 2));
    // All that is stored whole is lost; what rests on it is there.
    lab.backend.delete(&packs[0]).unwrap();
    assert!(!lab.check(DataSubset::None).problems.is_empty(), "deltas without bases look whole");
    assert!(!lab.check(DataSubset::All).problems.is_empty());
    night(&lab, folder.path());
    comes_back(&lab, folder.path());
}
