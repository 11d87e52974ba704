//! Taking files apart and putting them together again; recipes and trees that anybody may have written.

use std::cell::RefCell;
use std::sync::Arc;

use avro_snap::avro::codec::{Codec, Decoder};
use avro_snap::avro::container::{Header, put_block_header};
use avro_snap::avro::encoder::{
    EncoderId, Encoders, Prober, Sample, WriterHint, all, candidates, preflate_join, preflate_split,
};
use avro_snap::chunk::{ChunkMap, ChunkSource, CutParams};
use avro_snap::error::{Error, Result};
use avro_snap::id::ChunkId;
use avro_snap::recipe::{
    Framer, PREFLATE, Part, RangeReader, RawBlock, RecipeReader, Recipe, Reference, Segment, Splitter, StreamReader, ToEncode,
    PayloadDecision, Tree, View, tail_after_corrections,
};
use avro_snap::snapshot::ManifestReader;

use crate::Input;
use crate::avro::is_cheap;

const SMALL: CutParams = CutParams { min: 64, average: 256, max: 1024, align: 512 };

/// A block decodes to no more than this, in bytes.
const LIMIT: usize = 1 << 20;

/// What may be spent on a file, in the nominal nanoseconds of encoders.
const EFFORT: u64 = 4_000_000;

thread_local! {
    /// Contexts, kept from run to run: to make them takes longer than most runs, and what was done with one must change
    /// nothing.
    static BENCH: RefCell<(Decoder, Encoders)> = RefCell::new((Decoder::new(), Encoders::new()));
    /// The encoders that take little time.
    static CHEAP: Vec<EncoderId> = all().into_iter().filter(|id| is_cheap(*id)).collect();
}

fn with_encoders<T>(work: impl FnOnce(&mut Encoders) -> T) -> T {
    BENCH.with_borrow_mut(|(_, encoders)| work(encoders))
}

/// Any file comes back bit for bit. The first byte says how its bytes arrive and how deep to look; with its highest bit
/// the rest is not the file but says what container to build.
pub fn split_rebuild(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let file = match how & 0x80 {
        0 => input.0.to_vec(),
        _ => built(&mut input),
    };
    let part = 1 + usize::from(how & 0x1f).pow(3);
    let (mut framer, mut splitter, mut map) = (Framer::new(true), Splitter::new(SMALL), ChunkMap::default());
    let mut treater = Treater::new(how);
    for (bytes, end) in file.chunks(part).map(|bytes| (bytes, false)).chain([(&[][..], true)]) {
        framer.push(bytes);
        while let Some(segment) = framer.next_segment(end) {
            let done = match segment {
                Segment::Block(block) => {
                    let decision = treater.treat(&block);
                    splitter.block(block, decision, &mut map)
                }
                segment => {
                    if let Segment::Header(header) = &segment {
                        treater.header(header);
                    }
                    splitter.segment(segment, &mut map)
                }
            };
            done.expect("a map takes every chunk");
        }
    }
    let split = splitter.finish(&mut map).expect("a map takes every chunk");
    let _ = split.state(framer.finding());
    let recipe = Recipe::decode(&split.recipe.encode()).expect("a recipe is read back");
    assert_eq!(recipe, split.recipe);
    assert!(rebuilt(&recipe, &map, file.len()).expect("the file comes back") == file, "the file differs");
    // From somewhere in the middle on, and the rest of the plain view, for which nothing is encoded.
    let start = usize::from(how) * 37 % (file.len() + 1);
    let mut reader = RangeReader::new(recipe.clone(), View::Exact, &map).expect("the header is there");
    let mut range = Vec::new();
    reader.read(start as u64, 3000, &mut encoded, &mut range).expect("a range comes back");
    assert!(range == file[start..file.len().min(start + 3000)], "the range from {start} on differs");
    let mut reader = RangeReader::new(recipe, View::Plain, &map).expect("the header is there");
    let length = reader.length().expect("the layout is there");
    if reader.view() == View::Plain {
        let mut refuse = |_: ToEncode<'_>| -> Result<Vec<u8>> { panic!("encoded for the plain view") };
        let mut plain = Vec::new();
        reader.read(0, LIMIT, &mut refuse, &mut plain).expect("the plain view is there");
        assert!(plain.len() as u64 == length.min(LIMIT as u64), "the plain view has another length");
    }
}

/// Decides about blocks as `create` does, within less effort.
struct Treater {
    deep: bool,
    corrections: bool,
    codec: Option<Codec>,
    hint: WriterHint,
    prober: Option<Prober>,
    effort: u64,
}

impl Treater {
    fn new(how: u8) -> Self {
        Self {
            deep: how & 0x40 == 0,
            corrections: how & 0x20 != 0,
            codec: None,
            hint: WriterHint::default(),
            prober: None,
            effort: EFFORT,
        }
    }

    fn header(&mut self, header: &Header) {
        self.codec = Codec::from_name(header.codec_name()).filter(|_| self.deep);
        self.hint = WriterHint::from_keys(header.entries().map(|(key, _)| key));
    }

    fn treat(&mut self, block: &RawBlock) -> PayloadDecision {
        BENCH.with_borrow_mut(|(decoder, encoders)| self.treat_with(block, decoder, encoders))
    }

    fn treat_with(&mut self, block: &RawBlock, decoder: &mut Decoder, encoders: &mut Encoders) -> PayloadDecision {
        let Some(codec) = self.codec else { return PayloadDecision::Keep(None) };
        if codec == Codec::Null {
            return PayloadDecision::Decode { plain: None, encoder: "null".into(), corrections: None };
        }
        let mut plain = Vec::new();
        let Ok(consumed) = decoder.decode(codec, &block.payload, LIMIT, &mut plain) else { return PayloadDecision::Keep(None) };
        let sample = Sample { plain: &plain, payload: &block.payload, consumed };
        let prober = self.prober.get_or_insert_with(|| {
            let mut ids = candidates(codec, &self.hint, &sample);
            ids.retain(|id| is_cheap(*id));
            let mut prober = Prober::new(ids);
            prober.probe(encoders, &[sample], &mut self.effort);
            prober
        });
        if let Some(id) = prober.find(encoders, &sample, &mut self.effort) {
            let encoder = id.to_string();
            return PayloadDecision::Decode { plain: Some(plain), encoder, corrections: None };
        }
        if self.corrections
            && codec == Codec::Deflate
            && let Some(tail) = sample.tail(codec)
            && let Some((split, corrections)) = preflate_split(&block.payload[..consumed], LIMIT)
            && split == plain
        {
            let encoder = format!("{PREFLATE}{}", tail.suffix());
            return PayloadDecision::Decode { plain: Some(plain), encoder, corrections: Some(corrections) };
        }
        PayloadDecision::Keep(None)
    }
}

/// A container whose payloads encoders made: codec, blocks (encoder, repeats, bytes), and then changes to the file.
fn built(input: &mut Input<'_>) -> Vec<u8> {
    let codec = Codec::ALL[usize::from(input.byte()) % Codec::ALL.len()];
    let ids: Vec<EncoderId> = CHEAP.with(|all| all.iter().copied().filter(|id| id.codec() == codec).collect());
    let schema = ["\"long\"", "\"bytes\"", r#"{"type":"array","items":"int"}"#][usize::from(input.byte()) % 3];
    let marker = [input.byte(); 16];
    let mut file = b"Obj\x01\x04\x16avro.schema".to_vec();
    file.push(schema.len() as u8 * 2);
    file.extend(schema.as_bytes());
    file.extend(b"\x14avro.codec");
    file.push(codec.name().len() as u8 * 2);
    file.extend(codec.name().as_bytes());
    file.push(0);
    file.extend(marker);
    for _ in 0..input.byte() % 8 {
        let id = ids[usize::from(input.byte()) % ids.len()];
        let (repeat, length) = (1 + usize::from(input.byte() % 64), usize::from(input.byte()));
        let plain = input.take(length).repeat(repeat);
        let mut payload = Vec::new();
        if with_encoders(|encoders| encoders.encode(&id, &plain, &mut payload)).is_ok() {
            put_block_header(&mut file, plain.len() as u64, payload.len());
            file.extend(payload);
            file.extend(marker);
        }
    }
    while !input.0.is_empty() {
        let (at, to) = (input.short() % file.len(), input.byte());
        match input.byte() % 8 {
            0 => file.truncate(at.max(1)),
            1 => file.insert(at, to),
            _ => file[at] ^= to,
        }
    }
    file
}

/// How many bytes a recipe may be rebuilt to before it is given up.
const MOST: usize = 4 << 20;

/// The file, put together again.
fn rebuilt<S: ChunkSource + ?Sized>(recipe: &Recipe, source: &S, limit: usize) -> Result<Vec<u8>> {
    let (mut rebuild, mut file) = (RecipeReader::new(recipe, source), Vec::new());
    let mut parts = 0;
    while let Some(part) = rebuild.next_part()? {
        match part {
            Part::Header(bytes) => file.extend(bytes),
            Part::Bytes(bytes) => {
                rebuild.check(&bytes)?;
                file.extend(bytes);
            }
            Part::Payload { payload, frame } => {
                rebuild.check(&payload)?;
                frame.put(&payload, &mut file);
            }
            Part::Encode { plain, encoder, corrections, frame } => {
                let wanted = ToEncode { plain: &plain, encoder: &encoder, corrections: corrections.as_deref() };
                let payload = encoded(wanted)?;
                rebuild.check(&payload)?;
                frame.put(&payload, &mut file);
            }
        }
        parts += 1;
        if file.len() > limit.max(MOST) || parts > 100_000 {
            return Err(Error::damaged("the recipe", "it goes on and on"));
        }
    }
    Ok(file)
}

/// A payload, of encoders that take little time.
fn encoded(wanted: ToEncode<'_>) -> Result<Vec<u8>> {
    let damaged = |reason| Error::damaged("the recipe", reason);
    if let Some(corrections) = wanted.corrections {
        let tail = tail_after_corrections(wanted.encoder).ok_or_else(|| damaged("no corrections for this encoder"))?;
        let mut payload = preflate_join(wanted.plain, corrections).ok_or_else(|| damaged("no corrections"))?;
        let (tail, length) = tail.bytes(wanted.plain);
        payload.extend_from_slice(&tail[..length]);
        return Ok(payload);
    }
    let id: EncoderId = wanted.encoder.parse().map_err(|_| damaged("no encoder"))?;
    let mut payload = Vec::new();
    match is_cheap(id) && with_encoders(|encoders| encoders.encode(&id, wanted.plain, &mut payload)).is_ok() {
        true => Ok(payload),
        false => Err(damaged("no encoder")),
    }
}

/// Chunks that were not written by this program: the first byte of an id says which of them it is.
struct Forged {
    chunks: Vec<Arc<[u8]>>,
}

impl Forged {
    /// Up to eight chunks, each with its length before it.
    fn new(input: &mut Input<'_>) -> Self {
        let count = usize::from(input.byte() % 9);
        Self { chunks: (0..count).map(|_| Arc::from(input.part())).collect() }
    }
}

impl ChunkSource for Forged {
    fn get(&self, id: &ChunkId) -> Result<Arc<[u8]>> {
        let chunk = self.chunks.get(usize::from(id.as_bytes()[0]));
        chunk.cloned().ok_or(Error::ChunkMissing { id: *id })
    }
}

/// Chunks, then a recipe over them: it is rebuilt, or refused, or goes on until nobody wants more. What is a recipe is
/// read back as it is written.
pub fn recipe(bytes: &[u8]) {
    let mut input = Input(bytes);
    let source = Forged::new(&mut input);
    let skip = input.short();
    let Ok(recipe) = Recipe::decode(input.0) else { return };
    assert_eq!(Recipe::decode(&recipe.encode()).as_ref(), Ok(&recipe));
    if let Recipe::Container(container) = &recipe
        && container.corrections.length() > 0
    {
        // Those of preflate are trusted by whoever applies them, which must not be done with forged ones.
        return;
    }
    let _ = rebuilt(&recipe, &source, MOST);
    for view in [View::Exact, View::Plain] {
        if let Ok(mut reader) = RangeReader::new(recipe.clone(), view, &source) {
            let mut out = Vec::new();
            let _ = reader.read(skip as u64, 5000, &mut encoded, &mut out);
            assert!(out.len() <= 5000);
        }
    }
    for stream in recipe.streams() {
        let mut reader = StreamReader::new(stream, &source);
        let mut out = Vec::new();
        if reader.skip(skip as u64).is_ok() && reader.left() > 0 && reader.read(1, &mut out).is_ok() {
            assert_eq!(out.len(), 1);
            let _ = reader.some();
        }
        let mut steps = 0;
        let _ = stream.each_chunk(&source, |id, _| {
            steps += 1;
            match steps > 10_000 {
                true => Err(Error::ChunkMissing { id: *id }),
                false => Ok(()),
            }
        });
    }
}

/// Chunks, then the height of a tree over the first of them: the rows of a manifest are read, or refused, from its start
/// and from a path.
pub fn manifest(bytes: &[u8]) {
    let mut input = Input(bytes);
    let source = Forged::new(&mut input);
    let (height, length, records) = (input.byte(), input.short() as u64, input.short() as u64);
    let root = Reference { id: ChunkId::new([0; 32]), length, records, last: input.part().to_vec() };
    let tree = Tree { root, height };
    let path = input.part();
    let mut reader = ManifestReader::new(Some(&tree), &source);
    for _ in 0..10_000 {
        if !matches!(reader.next_row(), Ok(Some(_))) {
            break;
        }
    }
    let mut reader = ManifestReader::new(Some(&tree), &source);
    if let Ok(Some(row)) = reader.find(path) {
        assert_eq!(row.path, path);
    }
}
