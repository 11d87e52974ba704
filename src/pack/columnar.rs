//! Columnar frames: records of one shape, taken apart into columns (drawn in `docs/format.md`, "Columnar frames").
//!
//! How a column is coded is found by trying it out on a part of it, once in a while; it is the same for all frames of
//! a shape until then. What the coder made is always decoded and compared before it is used.

use std::collections::HashMap;

use super::frame::DecodeError;
use crate::avro::columns::{Coded, Coding, ColumnKind, MAX_COLUMNS, MAX_TREE, Trial, TypeTree};
use crate::chunk::{Compressor, Decompressor, RecordShape};
use crate::wire::{Reader, Write};

/// The most bytes of what stands before the columns: the tree, and what is said of each column.
const MAX_HEAD: usize = MAX_TREE + 16 * MAX_COLUMNS + 16;

/// Below this many bytes records are not taken apart.
const MIN_COLUMNAR: usize = 1 << 10;

/// Frames below this many bytes are compressed both ways: it takes no time to speak of.
const SMALL: usize = 128 << 10;

/// After this many frames of a shape it is found out again how to code it, and whether that pays.
const REVIEW: u32 = 63;

/// How many shapes are remembered. When there are more, all are forgotten.
const SHAPES: usize = 64;

/// How many bytes of a column are coded to find out what is best.
const SAMPLE: usize = 32 << 10;

/// Columns of fewer coded bytes share a Zstandard block with the next: tables of their own cost more than they save.
const MIN_PART: usize = 1 << 10;

/// Codes frames of records as columns, and remembers for each shape what was best.
#[derive(Debug, Default)]
pub(super) struct Columnar {
    shapes: HashMap<RecordShape, Shape>,
    /// What tries codings out.
    sampler: Option<Compressor>,
    /// Buffers that are used again.
    columns: Vec<Vec<u8>>,
}

#[derive(Debug)]
struct Shape {
    /// The tree as the schema describes it; none where it cannot be read, which cannot be.
    base: Option<TypeTree>,
    plan: Option<Plan>,
    /// Frames since the last review.
    frames: u32,
    /// Whether columns were shorter than rows at the last review.
    pays: bool,
}

/// How the frames of a shape are coded.
#[derive(Debug)]
struct Plan {
    tree: TypeTree,
    /// What is done with each column.
    trials: Vec<Trial>,
}

impl Columnar {
    /// The body of a columnar frame that holds `plain`. `None` where records cannot be taken apart, or where plain
    /// compression is at least as good as far as is known.
    pub(super) fn encode(
        &mut self,
        shape: &RecordShape,
        plain: &[u8],
        compressor: &mut Compressor,
        decompressor: &mut Decompressor,
    ) -> Option<Vec<u8>> {
        if plain.len() < MIN_COLUMNAR {
            return None;
        }
        let mut known = match self.shapes.remove(shape) {
            Some(known) => known,
            None => Shape { base: TypeTree::read(&shape.tree).ok(), plan: None, frames: 0, pays: true },
        };
        let body = self.encode_known(&mut known, plain, compressor, decompressor);
        if self.shapes.len() >= SHAPES {
            self.shapes.clear();
        }
        self.shapes.insert(shape.clone(), known);
        body
    }

    fn encode_known(
        &mut self,
        shape: &mut Shape,
        plain: &[u8],
        compressor: &mut Compressor,
        decompressor: &mut Decompressor,
    ) -> Option<Vec<u8>> {
        let base = shape.base.as_ref()?;
        let review = shape.plan.is_none() || shape.frames >= REVIEW;
        shape.frames = if review { 0 } else { shape.frames + 1 };
        let compared = review || plain.len() < SMALL;
        if !shape.pays && !compared {
            return None;
        }
        let plan = match shape.plan.take().filter(|_| !review) {
            Some(plan) => plan,
            None => self.plan(base, plain)?,
        };
        let body = self.encode_planned(&plan, plain, compressor);
        shape.plan = Some(plan);
        let body = body?;
        if compared {
            let pays = compressor.compress(plain).is_ok_and(|rows| body.len() < rows.len());
            if plain.len() >= SMALL {
                shape.pays = pays;
            }
            if !pays {
                return None;
            }
        }
        (decode(&body, plain.len(), decompressor).ok()? == plain).then_some(body)
    }

    fn encode_planned(&mut self, plan: &Plan, plain: &[u8], compressor: &mut Compressor) -> Option<Vec<u8>> {
        let Self { columns, .. } = self;
        plan.tree.split(plain, columns)?;
        let coded: Vec<Coded<'_>> = columns
            .iter()
            .zip(plan.tree.columns())
            .zip(&plan.trials)
            .map(|((column, kind), trial)| trial.code(*kind, column))
            .collect();
        let mut head = Vec::new();
        head.put_string(plan.tree.bytes());
        for ((coding, coded), column) in coded.iter().zip(columns.iter()) {
            head.put_u8(coding.number());
            head.put_varint(column.len() as u64);
            if !coding.keeps_length() {
                head.put_varint(coded.len() as u64);
            }
        }
        let total = head.len() + coded.iter().map(|(_, coded)| coded.len()).sum::<usize>();
        let mut whole = Vec::with_capacity(total);
        whole.extend_from_slice(&head);
        let mut ends = Vec::new();
        for (coding, coded) in &coded {
            for part in coded.chunks((coded.len() / coding.parts()).max(1)) {
                whole.extend_from_slice(part);
                if whole.len() - ends.last().copied().unwrap_or(0) >= MIN_PART {
                    ends.push(whole.len());
                }
            }
        }
        let mut body = Vec::new();
        body.put_varint(total as u64);
        body.extend(compressor.compress_parts(&cut(&whole, &ends)).ok()?);
        Some(body)
    }

    /// Finds out how records like these are best coded.
    fn plan(&mut self, base: &TypeTree, plain: &[u8]) -> Option<Plan> {
        let mut columns = std::mem::take(&mut self.columns);
        let plan = self.plan_with(base, plain, &mut columns);
        self.columns = columns;
        plan
    }

    fn plan_with(&mut self, base: &TypeTree, plain: &[u8], columns: &mut Vec<Vec<u8>>) -> Option<Plan> {
        base.split(plain, columns)?;
        let mut together = Vec::new();
        for (at, kind) in base.columns().iter().enumerate() {
            if *kind == ColumnKind::Length {
                together.push(self.is_better_together(columns.get(at)?, columns.get(at + 1)?));
            }
        }
        let tree = base.with_texts(&together)?;
        tree.split(plain, columns)?;
        let trials = tree.columns().iter().zip(columns).map(|(kind, column)| self.best(*kind, column)).collect();
        Some(Plan { tree, trials })
    }

    /// What of all that may be tried makes a column shortest.
    fn best(&mut self, kind: ColumnKind, column: &[u8]) -> Trial {
        let trials = Trial::of(kind);
        let sample = sample(kind, column);
        if trials.is_empty() || sample.is_empty() {
            return Trial::Plain;
        }
        let cost = |trial: Trial| (self.cost(&[trial.code(kind, sample)]), trial);
        let all = [Trial::Plain].into_iter().chain(trials.iter().copied()).map(cost);
        all.min_by_key(|(cost, _)| *cost).map_or(Trial::Plain, |(_, trial)| trial)
    }

    /// Whether texts compress better with their lengths before them than with the lengths apart.
    fn is_better_together(&mut self, lengths: &[u8], bytes: &[u8]) -> bool {
        let lengths = sample(ColumnKind::Length, lengths);
        let (mut together, mut rest, mut at) = (Vec::new(), lengths, 0);
        while together.len() < SAMPLE
            && let Ok(long) = crate::avro::varint::decode(rest)
            && let Some(text) = usize::try_from(long.value).ok().and_then(|length| bytes.get(at..)?.get(..length))
        {
            together.extend_from_slice(rest.get(..long.used).unwrap_or(&[]));
            together.extend_from_slice(text);
            rest = rest.get(long.used..).unwrap_or(&[]);
            at += text.len();
        }
        let lengths = lengths.get(..lengths.len() - rest.len()).unwrap_or(lengths);
        let bytes = bytes.get(..at).unwrap_or(bytes);
        let trial = self.best(ColumnKind::Length, lengths);
        let parted = self.cost(&[trial.code(ColumnKind::Length, lengths), Trial::Plain.code(ColumnKind::Bytes, bytes)]);
        self.cost(&[Trial::Plain.code(ColumnKind::Text, &together)]) < parted
    }

    /// How many bytes coded columns come to, compressed in haste.
    fn cost(&mut self, columns: &[Coded<'_>]) -> usize {
        if self.sampler.is_none() {
            self.sampler = Compressor::new(1).ok();
        }
        let parts: Vec<&[u8]> = columns
            .iter()
            .flat_map(|(coding, coded)| coded.chunks((coded.len() / coding.parts()).max(MIN_PART)))
            .collect();
        match self.sampler.as_mut().and_then(|sampler| sampler.compress_parts(&parts).ok()) {
            Some(bytes) => bytes.len(),
            None => usize::MAX,
        }
    }
}

/// The first values of a column.
fn sample(kind: ColumnKind, column: &[u8]) -> &[u8] {
    let Some(some) = column.get(..SAMPLE) else { return column };
    let end = match kind {
        ColumnKind::Fixed(width) => some.len() - some.len() % width as usize,
        _ => some.iter().rposition(|byte| *byte < 0x80).map_or(0, |at| at + 1),
    };
    some.get(..end).unwrap_or(&[])
}

/// `whole` in parts that end there, and the rest.
fn cut<'a>(whole: &'a [u8], ends: &[usize]) -> Vec<&'a [u8]> {
    let mut start = 0;
    let mut parts = Vec::with_capacity(ends.len() + 1);
    for end in ends.iter().copied().chain([whole.len()]) {
        parts.push(whole.get(start..end).unwrap_or(&[]));
        start = end;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

/// The shape of the records of a columnar frame of `length` bytes, so that others of that shape can join them. It says
/// nothing of the schema but what the columns show.
pub(super) fn shape(body: &[u8], length: usize, decompressor: &mut Decompressor) -> Option<RecordShape> {
    let mut reader = Reader::new(body);
    let total = reader.varint().ok().filter(|total| *total <= (2 * length + MAX_HEAD) as u64)?;
    let whole = decompressor.decompress(reader.rest(), total as usize).ok()?;
    let tree = Reader::new(&whole).string().ok()?.to_vec();
    Some(RecordShape { fingerprint: 0, tree })
}

/// The records of a columnar frame, of which there must be `length` bytes.
pub(super) fn decode(body: &[u8], length: usize, decompressor: &mut Decompressor) -> Result<Vec<u8>, DecodeError> {
    let unsound = |what: &'static str| DecodeError::Columns(what);
    let mut reader = Reader::new(body);
    let total = reader.varint().map_err(|_| unsound("their length cannot be read"))?;
    // No column is coded as twice its length or more.
    if total > (2 * length + MAX_HEAD) as u64 {
        return Err(unsound("they are too long"));
    }
    let whole = decompressor.decompress(reader.rest(), total as usize)?;
    let mut reader = Reader::new(&whole);
    let malformed = |_| unsound("what stands before them cannot be read");
    let tree =
        TypeTree::read(reader.string().map_err(malformed)?).map_err(|_| unsound("their types cannot be read"))?;
    let mut listed = Vec::with_capacity(tree.columns().len());
    let mut left = length;
    for _ in tree.columns() {
        let coding = reader.u8().map_err(malformed)?;
        let coding = Coding::from_number(coding).ok_or(unsound("a coding is not known"))?;
        let plain = usize::try_from(reader.varint().map_err(malformed)?).unwrap_or(usize::MAX);
        // Every byte of the records is in one column.
        left = left.checked_sub(plain).ok_or(unsound("they hold more than the records"))?;
        let coded = match coding.keeps_length() {
            true => plain,
            false => usize::try_from(reader.varint().map_err(malformed)?).unwrap_or(usize::MAX),
        };
        listed.push((coding, plain, coded));
    }
    if left > 0 {
        return Err(unsound("they hold less than the records"));
    }
    let mut columns = Vec::with_capacity(listed.len());
    for (coding, plain, coded) in listed {
        let coded = reader.bytes(coded).map_err(|_| unsound("one is cut off"))?;
        columns.push(coding.decode(coded, plain).ok_or(unsound("one cannot be decoded"))?);
    }
    reader.finish().map_err(|_| unsound("there are more bytes than columns"))?;
    let columns: Vec<&[u8]> = columns.iter().map(|column| &**column).collect();
    tree.join(&columns).filter(|records| records.len() == length).ok_or(unsound("they do not make up records"))
}
