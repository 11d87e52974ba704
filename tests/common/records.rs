//! The records of container files, for what deals with records alone.

#![allow(dead_code, reason = "each test crate that includes this uses a part of it")]
#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, reason = "this is part of tests")]

use std::fs;
use std::path::{Path, PathBuf};

use avro_snap::avro::codec::{Codec, Decoder, MAX_DECODED};
use avro_snap::avro::columns::TypeTree;
use avro_snap::avro::container::{Parsed, parse_block, parse_header};
use avro_snap::avro::schema::Schema;
use avro_snap::chunk::RecordShape;
use avro_snap::id::ChunkHasher;
use avro_snap::pack::PlainChunk;

/// A file's records, end to end.
pub struct Table {
    pub name: String,
    pub shape: RecordShape,
    pub records: Vec<u8>,
    /// Where each record ends.
    pub ends: Vec<usize>,
}

impl Table {
    /// `None` for a file that is no sound container of records that can be taken apart.
    pub fn read(path: &Path) -> Option<Self> {
        let file = fs::read(path).unwrap();
        let Parsed::Done(header) = parse_header(&file) else { return None };
        let schema = Schema::parse(header.schema_text()?).ok()?;
        let codec = Codec::from_name(header.codec_name())?;
        let (mut decoder, mut at) = (Decoder::new(), header.length);
        let (mut records, mut ends) = (Vec::new(), Vec::new());
        while at < file.len() {
            let Parsed::Done(block) = parse_block(&file[at..], &header.marker) else { return None };
            let mut plain = Vec::new();
            decoder.decode(codec, &file[at..][block.payload()], MAX_DECODED, &mut plain).ok()?;
            let walk = schema.walk_block(&plain, block.count, &mut |end| ends.push(records.len() + end));
            if walk.fault.is_some() {
                return None;
            }
            records.extend(plain);
            at += block.length();
        }
        let tree = TypeTree::of_schema(&schema)?.bytes().to_vec();
        let shape = RecordShape { fingerprint: schema.fingerprint(), tree };
        Some(Self { name: path.file_stem().unwrap().to_string_lossy().into_owned(), shape, records, ends })
    }

    /// Whole records in chunks of about 64 KiB, and these in frames of about so many bytes.
    pub fn frames(&self, target: usize) -> Vec<Vec<PlainChunk>> {
        let hasher = ChunkHasher::open();
        let (mut frames, mut frame, mut in_frame, mut start) = (Vec::new(), Vec::new(), 0, 0);
        for (number, end) in self.ends.iter().enumerate() {
            let last = number + 1 == self.ends.len();
            if end - start >= 64 << 10 || last {
                let bytes = self.records[start..*end].to_vec();
                in_frame += bytes.len();
                frame.push(PlainChunk { id: hasher.id(&bytes), bytes });
                start = *end;
            }
            if in_frame >= target || last {
                frames.push(std::mem::take(&mut frame));
                in_frame = 0;
            }
        }
        frames.retain(|frame| !frame.is_empty());
        frames
    }
}

/// All files below a folder, sorted.
pub fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files_below(&path)),
            false => found.push(path),
        }
    }
    found.sort();
    found
}
