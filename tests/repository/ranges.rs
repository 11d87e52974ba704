//! Any range of a saved file, as a mount or a gateway reads it, is what the whole file has there.
//!
//! `SNAP_RANGES=n` ranges in all, over the corpus where it is at hand. `SNAP_RANGES_LARGE=n` megabytes of a deflate file for the
//! time to the first byte.

use std::fs;
use std::io::{BufWriter, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use avro_snap::avro::codec::{Codec, Decoder, MAX_DECODED};
use avro_snap::avro::container::{MARKER, Parsed, parse_block, parse_header};
use avro_snap::avro::encoder::Encoders;
use avro_snap::avro::varint;
use avro_snap::crypto::Suite;
use avro_snap::ops::create::{CreateOptions, Depth, create};
use avro_snap::progress::Silent;
use avro_snap::read::Ranges as File;
use avro_snap::recipe::View;
use avro_snap::snapshot::entry::{EntryKind, FileEntry};
use avro_snap::storage::Local;
use avro_snap::store::{CachePlace, Repository};

use crate::lab::{Lab, corpus, fixtures, saving};
use crate::sim_store::Dice;

/// The size parameter of a campaign.
fn size(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// The rows of regular files of the last snapshot that have a content of their own.
fn rows(lab: &Lab, repository: &Repository) -> Vec<FileEntry> {
    let (mut rows, mut found) = (lab.last(repository).rows(repository), Vec::new());
    while let Some(row) = rows.next_row().unwrap() {
        if row.kind == EntryKind::File && row.hard_link.is_none() {
            found.push(row);
        }
    }
    found
}

fn path_of(row: &FileEntry, folder: &Path) -> std::path::PathBuf {
    folder.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&row.path))
}

/// What `read_at` gives for a range.
fn range<S: avro_snap::chunk::ChunkSource + Clone>(file: &File<S>, view: View, offset: u64, length: usize) -> Vec<u8> {
    let mut buffer = vec![0; length];
    let read = file.read_at(view, offset, &mut buffer).unwrap();
    buffer.truncate(read);
    buffer
}

/// The records of all blocks, end to end, with their declared numbers.
fn blocks(container: &[u8]) -> (Vec<u8>, Vec<u64>) {
    let Parsed::Done(header) = parse_header(container) else { panic!("no header") };
    let codec = Codec::from_name(header.codec_name()).unwrap();
    let (mut rest, mut records, mut counts) = (&container[header.length..], Vec::new(), Vec::new());
    let (mut decoder, mut plain) = (Decoder::new(), Vec::new());
    while let Parsed::Done(block) = parse_block(rest, &header.marker) {
        decoder.decode_unfinished(codec, &rest[block.payload()], MAX_DECODED, &mut plain).unwrap();
        records.extend_from_slice(&plain);
        counts.push(block.count);
        rest = &rest[block.length()..];
    }
    assert!(rest.is_empty(), "{} bytes are no block", rest.len());
    (records, counts)
}

/// Saves a folder and compares so many ranges of its files in both views. Gives how many files have a plain view.
fn compare(folder: &Path, options: CreateOptions, suite: Suite, ranges: u64) -> usize {
    let lab = Lab::new(suite);
    create(&lab.open(), options, &Silent).unwrap();
    let repository = Arc::new(lab.open());
    let rows = rows(&lab, &repository);
    let (each, mut plain_views) = (ranges.div_ceil(2 * rows.len() as u64), 0);
    let mut rng = Dice::new(7);
    for row in &rows {
        let whole = fs::read(path_of(row, folder)).unwrap();
        let shown = String::from_utf8_lossy(&row.path);
        let file = File::open(repository.clone(), row).unwrap();
        let plain = range(&file, View::Plain, 0, whole.len() * 40 + 100_000);
        assert_eq!(file.view(View::Exact), View::Exact);
        if file.view(View::Plain) == View::Plain {
            plain_views += 1;
            assert_eq!(blocks(&plain), blocks(&whole), "{shown}: the records of the plain view");
        } else {
            assert!(plain == whole, "{shown}: the plain view is not the file");
        }
        for (view, whole) in [(View::Exact, &whole), (View::Plain, &plain)] {
            assert_eq!(file.length(view).unwrap(), whole.len() as u64, "{shown}, {view:?}");
            for _ in 0..each {
                let offset = rng.below(whole.len() + 10) as u64;
                let length = [1, 100, 4096, 65_536, 1_500_000][rng.below(5)];
                let start = whole.len().min(offset as usize);
                let expected = &whole[start..whole.len().min(start + length)];
                assert!(range(&file, view, offset, length) == expected, "{shown}, {view:?}: {length} at {offset}");
            }
        }
    }
    println!("{}: {each} ranges in each view of {} files, {plain_views} plain", folder.display(), rows.len());
    plain_views
}

#[test]
fn ranges_of_all_fixtures() {
    for folder in ["codecs", "odd", "nights"] {
        let folder = fixtures(folder);
        for (suite, depth) in [(Suite::Aes256Gcm, Depth::Deep), (Suite::None, Depth::Deep), (Suite::None, Depth::Frame)]
        {
            let plain = compare(&folder, saving(&folder).avro(depth), suite, 1500);
            assert_eq!(plain > 0, depth == Depth::Deep, "{}", folder.display());
        }
    }
}

#[test]
fn ranges_of_the_corpus() {
    let ranges = size("SNAP_RANGES", 3000);
    for part in ["interop", "nightly", "orders"] {
        let Some(folder) = corpus(part) else { return };
        assert!(compare(&folder, saving(&folder), Suite::Aes256Gcm, ranges / 3) > 0);
    }
}

#[test]
fn files_are_read_by_several_threads_at_once() {
    let folder = fixtures("nights");
    let lab = Lab::new(Suite::Aes256Gcm);
    lab.save(&folder);
    let repository = Arc::new(lab.open());
    let row = rows(&lab, &repository).into_iter().find(|row| row.path.ends_with(b"01/readings.avro")).unwrap();
    let whole = fs::read(path_of(&row, &folder)).unwrap();
    // It owns what it reads from: a handle can be kept, sent, and shared.
    fn is_kept<T: Send + Sync + Clone + 'static>(_: &T) {}
    let file = File::open(repository, &row).unwrap();
    is_kept(&file);
    let threads: Vec<_> = (0..4)
        .map(|seed| {
            let (file, whole) = (file.clone(), whole.clone());
            std::thread::spawn(move || {
                let mut rng = Dice::new(seed);
                for _ in 0..100 {
                    let offset = rng.below(whole.len()) as u64;
                    let expected = &whole[offset as usize..whole.len().min(offset as usize + 3000)];
                    assert!(range(&file, View::Exact, offset, 3000) == expected, "at {offset}");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn what_is_no_regular_file_has_no_ranges_and_an_empty_one_no_bytes() {
    let data = tempfile::tempdir().unwrap();
    fs::write(data.path().join("empty.avro"), b"").unwrap();
    fs::create_dir(data.path().join("folder")).unwrap();
    let lab = Lab::new(Suite::None);
    lab.save(data.path());
    let repository = lab.open();
    let mut rows = lab.last(&repository).rows(&repository);
    while let Some(row) = rows.next_row().unwrap() {
        let file = File::open(&repository, &row);
        if row.kind != EntryKind::File {
            assert_eq!(file.unwrap_err().to_string(), "folder is not a regular file with a content of its own");
            continue;
        }
        let file = file.unwrap();
        for view in [View::Exact, View::Plain] {
            assert_eq!((file.length(view).unwrap(), range(&file, view, 0, 10)), (0, vec![]));
        }
    }
}

/// A deflate file of about so many bytes, block by block; and its plain view.
fn large_file(path: &Path, plain_path: &Path, length: u64) {
    let schema =
        br#"{"type":"record","name":"R","fields":[{"name":"id","type":"long"},{"name":"text","type":"string"}]}"#;
    let (mut file, mut plain) =
        (BufWriter::new(fs::File::create(path).unwrap()), BufWriter::new(fs::File::create(plain_path).unwrap()));
    let marker = [0xa5; MARKER];
    let put = |out: &mut Vec<u8>, bytes: &[u8]| {
        varint::encode(out, bytes.len() as i64);
        out.extend_from_slice(bytes);
    };
    for (out, codec) in [(&mut file, &b"deflate"[..]), (&mut plain, b"null")] {
        let mut header = b"Obj\x01\x04".to_vec();
        for text in [&b"avro.codec"[..], codec, b"avro.schema", schema] {
            put(&mut header, text);
        }
        header.push(0);
        header.extend(marker);
        out.write_all(&header).unwrap();
    }
    let (mut rng, mut encoders, mut written, mut id) = (Dice::new(1), Encoders::new(), 0, 0);
    let encoder = "zlib:L6:M8".parse().unwrap();
    while written < length {
        let (mut records, mut count) = (Vec::new(), 0);
        while records.len() < 64_000 {
            (id, count) = (id + 1 + rng.below(3) as i64, count + 1);
            varint::encode(&mut records, id);
            let words = ["order", "shipped", "pending", "returned", "north", "south", "east", "west"];
            let text = format!(
                "{} {} {:x} {}.{:02}",
                words[rng.below(8)],
                words[rng.below(8)],
                rng.below(1 << 40),
                rng.below(1000),
                rng.below(100)
            );
            put(&mut records, text.as_bytes());
        }
        let mut payload = Vec::new();
        encoders.encode(&encoder, &records, &mut payload).unwrap();
        for (out, payload) in [(&mut file, &payload), (&mut plain, &records)] {
            let mut block = Vec::new();
            varint::encode(&mut block, count);
            put(&mut block, payload);
            block.extend(marker);
            out.write_all(&block).unwrap();
        }
        written += payload.len() as u64 + 20;
    }
    file.flush().unwrap();
    plain.flush().unwrap();
}

/// How long this thread was running, which on a busy machine is what counts; none where the system does not say.
fn on_a_core() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|ns| ns.parse().ok()).map_or(Duration::ZERO, Duration::from_nanos)
}

/// The time from opening a file until the first byte of a range in its middle, with the index of the machine at hand; and
/// random ranges of both views against the file and its plain view.
#[test]
fn the_first_byte_of_a_large_file() {
    let (length, ranges) = (size("SNAP_RANGES_LARGE", 6) * 1_000_000, size("SNAP_RANGES", 300));
    let own = tempfile::tempdir().unwrap();
    let (data, plain_path) = (own.path().join("data"), own.path().join("plain.avro"));
    fs::create_dir(&data).unwrap();
    let path = data.join("large.avro");
    large_file(&path, &plain_path, length);
    let mut lab = Lab::on(Arc::new(Local::new(own.path().join("repository"))), Suite::Aes256Gcm);
    lab.cache = CachePlace::Folder(own.path().join("cache"));
    let begun = Instant::now();
    lab.save(&data);
    println!("saved in {:.1} s", begun.elapsed().as_secs_f64());
    let repository = Arc::new(lab.open());
    let row = rows(&lab, &repository).pop().unwrap();
    let wholes = [(View::Exact, fs::File::open(&path).unwrap()), (View::Plain, fs::File::open(&plain_path).unwrap())];
    let mut rng = Dice::new(2);
    for (view, whole) in wholes {
        let length = whole.metadata().unwrap().len();
        let file = File::open(repository.clone(), &row).unwrap();
        assert_eq!((file.view(view), file.length(view).unwrap()), (view, length));
        let (mut times, mut running) = (Vec::new(), Vec::new());
        for _ in 0..40 {
            // Nothing is at hand but the index: no decoded frames, no places of segments.
            repository.reader().forget_frames();
            let offset = length / 4 + rng.below(length as usize / 2) as u64;
            let (begun, on_core) = (Instant::now(), on_a_core());
            let file = File::open(repository.clone(), &row).unwrap();
            let byte = range(&file, view, offset, 1);
            times.push(begun.elapsed());
            running.push(on_a_core().saturating_sub(on_core));
            let mut expected = [0];
            whole.read_exact_at(&mut expected, offset).unwrap();
            assert_eq!(byte, expected, "{view:?}: byte {offset}");
        }
        for (what, mut times) in [("by the clock", times), ("on a core", running)] {
            times.sort();
            let ms = |number: usize| times[number].as_secs_f64() * 1e3;
            println!(
                "{view:?}, {length} bytes: first byte in the middle of a file that was just opened, {what}: median {:.1} ms, \
                 nine of ten within {:.1} ms, at most {:.1} ms",
                ms(19),
                ms(35),
                ms(39)
            );
        }
        let begun = Instant::now();
        let mut expected = Vec::new();
        for _ in 0..ranges / 2 {
            let (offset, wanted) = (rng.below(length as usize + 10) as u64, [1, 4096, 131_072][rng.below(3)]);
            expected.resize(wanted, 0);
            let there = whole.read_at(&mut expected, offset).unwrap();
            expected.truncate(there.min(wanted));
            let got = range(&file, view, offset, wanted);
            assert!(got == expected, "{view:?}: {wanted} bytes at {offset}");
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{view:?}: {} ranges in {seconds:.1} s, {:.1} ms each", ranges / 2, seconds * 2e3 / ranges as f64);
        // From start to end, as a copy does.
        let (begun, mut at, mut reader) = (Instant::now(), 0, std::io::BufReader::new(&whole));
        while at < length {
            let part = range(&file, view, at, 1 << 20);
            expected.resize(part.len(), 0);
            reader.read_exact(&mut expected).unwrap();
            assert!(part == expected, "{view:?}: at {at}");
            at += part.len() as u64;
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!("{view:?}: from start to end at {:.1} MB/s", length as f64 / seconds / 1e6);
    }
}
