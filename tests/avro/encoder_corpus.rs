//! Which share of the blocks of real files is reproduced exactly, by writer and codec.
//!
//! Reads `../shared/corpus` beside the project, which is not part of it: without it the test says so and passes.
//! `SNAP_CORPUS=full` takes every block of every file, else a few MB of each set; `--nocapture` shows the table.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use avro_snap::avro::codec::{Codec, Decoder, MAX_DECODED};
use avro_snap::avro::encoder::{
    BLOCK_EFFORT, EncodeError, Encoders, Method, PROBE_EFFORT, Prober, Sample, WriterHint, candidates, preflate_split,
};

/// A minimal walk through a container, for files that are sound.
struct Container<'a> {
    keys: Vec<&'a [u8]>,
    codec: Option<Codec>,
    payloads: Vec<&'a [u8]>,
}

fn varint(rest: &mut &[u8]) -> Option<usize> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return usize::try_from((value >> 1) as i64 ^ -((value & 1) as i64)).ok();
        }
    }
    None
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (bytes, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(bytes)
}

fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = varint(rest)?;
    take(rest, length)
}

fn read(bytes: &[u8]) -> Option<Container<'_>> {
    let mut rest = bytes.strip_prefix(b"Obj\x01")?;
    let (mut keys, mut codec, mut payloads) = (Vec::new(), Some(Codec::Null), Vec::new());
    loop {
        let count = varint(&mut rest)?;
        if count == 0 {
            break;
        }
        for _ in 0..count {
            let (key, value) = (string(&mut rest)?, string(&mut rest)?);
            keys.push(key);
            if key == b"avro.codec" {
                codec = Codec::from_name(std::str::from_utf8(value).ok()?);
            }
        }
    }
    let marker = take(&mut rest, 16)?;
    while !rest.is_empty() {
        let mut block = || {
            varint(&mut rest)?;
            let payload = string(&mut rest)?;
            (take(&mut rest, 16)? == marker).then_some(payload)
        };
        // What is torn or stray is the container walker's to test.
        match block() {
            Some(payload) => payloads.push(payload),
            None => break,
        }
    }
    Some(Container { keys, codec, payloads })
}

#[derive(Default)]
struct Row {
    files: usize,
    blocks: usize,
    exact: usize,
    corrected: usize,
    raw: usize,
    undecoded: usize,
    decoded: usize,
    stored: usize,
    corrections: usize,
    winners: BTreeMap<String, usize>,
}

fn measure(file: &Path, row: &mut Row, chromium: bool, limit: usize) {
    let bytes = std::fs::read(file).unwrap();
    let Some(Container { keys, codec: Some(codec), payloads }) = read(&bytes) else { return };
    let (mut encoders, mut decoder) = (Encoders::new(), Decoder::new());
    let mut decode = |payload: &[u8]| {
        let mut plain = Vec::new();
        let consumed = decoder.decode(codec, payload, MAX_DECODED, &mut plain);
        consumed.ok().map(|consumed| (plain, consumed))
    };
    // The first, middle and last block, the shortest first.
    let mut chosen = vec![0, payloads.len() / 2, payloads.len().saturating_sub(1)];
    chosen.dedup();
    let mut first: Vec<_> = chosen.iter().filter_map(|n| payloads.get(*n)).collect();
    first.sort_by_key(|payload| payload.len());
    let first: Vec<_> = first.into_iter().filter_map(|payload| decode(payload).map(|d| (payload, d))).collect();
    let samples: Vec<Sample<'_>> =
        first.iter().map(|(payload, (plain, consumed))| Sample { plain, payload, consumed: *consumed }).collect();
    let hint = WriterHint::from_keys(keys);
    let longest = samples.iter().max_by_key(|sample| sample.plain.len());
    let mut tried = longest.map(|longest| candidates(codec, &hint, longest)).unwrap_or_default();
    if !chromium {
        tried.retain(|id| !matches!(id.method, Method::ChromiumZlib { .. }));
    }
    let mut prober = Prober::new(tried);
    prober.probe(&mut encoders, &samples, &mut PROBE_EFFORT.clone());
    row.files += 1;
    for payload in payloads {
        if row.decoded > limit {
            break;
        }
        row.blocks += 1;
        row.stored += payload.len();
        let Some((plain, consumed)) = decode(payload) else {
            row.undecoded += 1;
            continue;
        };
        row.decoded += plain.len();
        let sample = Sample { plain: &plain, payload, consumed };
        match prober.find(&mut encoders, &sample, &mut BLOCK_EFFORT.clone()) {
            Some(id) => {
                row.exact += 1;
                let mut again = Vec::new();
                encoders.encode(&id, &plain, &mut again).unwrap();
                assert!(again == payload, "{id} verifies what it does not encode");
                *row.winners.entry(id.to_string()).or_default() += 1;
            }
            None if codec == Codec::Deflate => match preflate_split(&payload[..consumed], MAX_DECODED) {
                Some((split, corrections)) => {
                    assert_eq!(split, plain);
                    row.corrected += 1;
                    row.corrections += corrections.len();
                }
                None => row.raw += 1,
            },
            None => row.raw += 1,
        }
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        match path.is_dir() {
            true => files(&path, found),
            false if path.extension().is_some_and(|extension| extension == "avro") => found.push(path),
            false => {}
        }
    }
}

#[test]
fn blocks_of_real_writers_are_reproduced() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/corpus");
    if !corpus.is_dir() {
        eprintln!("SKIPPED: there is no corpus at {}", corpus.display());
        return;
    }
    let full = std::env::var("SNAP_CORPUS").is_ok_and(|value| value == "full");
    let chromium = !matches!(
        Encoders::new().encode(&Method::ChromiumZlib { level: 6, mem_level: 8 }.plain(), b"", &mut Vec::new()),
        Err(EncodeError::Unsupported(_))
    );
    let mut sets: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    let mut all = Vec::new();
    files(&corpus, &mut all);
    for file in all {
        let parts: Vec<_> = file.strip_prefix(&corpus).unwrap().iter().map(|part| part.to_string_lossy()).collect();
        let set = match &parts[..] {
            [top, set, ..] if top == "nightly" => set.to_string(),
            [top, ..] if top == "orders" => "java-deflate (orders)".into(),
            _ => {
                let bytes = std::fs::read(&file).unwrap();
                match read(&bytes) {
                    Some(Container { codec: Some(codec), .. }) => format!("interop-{codec}"),
                    _ => continue,
                }
            }
        };
        sets.entry(set).or_default().push(file);
    }
    let mut rows: BTreeMap<String, Row> = BTreeMap::new();
    for (set, files) in &mut sets {
        let row = rows.entry(set.clone()).or_default();
        let limit = match (full, set.as_str()) {
            (true, _) => usize::MAX,
            (_, set) if set.ends_with("xz") || set.ends_with("bzip2") => 500_000,
            _ => 4_000_000,
        };
        // A few files of each night rather than the first night whole.
        let step = if full { 1 } else { (files.len() / 6).max(1) };
        for file in files.iter().step_by(step) {
            measure(file, row, chromium, limit);
        }
    }
    eprintln!("| set | files | blocks | exact | corrected | raw | decoded MB | corrections | encoders |");
    eprintln!("|---|---|---|---|---|---|---|---|---|");
    for (set, row) in &rows {
        let percent = |part: usize| format!("{:.1} %", 100.0 * part as f64 / row.blocks.max(1) as f64);
        let (files, blocks, megabytes) = (row.files, row.blocks, row.decoded as f64 / 1e6);
        let (exact, corrected, raw) = (percent(row.exact), percent(row.corrected), percent(row.raw + row.undecoded));
        let corrections = format!("{:.1} %", 100.0 * row.corrections as f64 / row.stored.max(1) as f64);
        let winners: Vec<String> = row.winners.iter().map(|(id, count)| format!("{id} {count}")).collect();
        let winners = winners.join(", ");
        eprintln!(
            "| {set} | {files} | {blocks} | {exact} | {corrected} | {raw} | {megabytes:.1} | {corrections} | {winners} |"
        );
    }
    // Java's xz (another compressor) is not reproduced.
    let whole = ["deflate", "deflate9", "null", "snappy", "(orders)", "bzip2", "zstandard"];
    for (set, row) in &rows {
        assert!(row.blocks > 0, "{set}");
        let must = set.starts_with("interop")
            || whole.iter().any(|end| set.ends_with(end))
            || (!set.starts_with("java") && set.ends_with("xz"));
        if must {
            assert_eq!(row.exact, row.blocks, "{set}");
        }
    }
    assert!(rows.contains_key("java-deflate") && rows.contains_key("fastavro-deflate"));
}
