//! Putting the parts of one file into streams.

use std::sync::Arc;

use super::compiled::CompiledSchema;
use super::framer::{Finding, RawBlock, Segment};
use super::layout::{Class, Entry, LayoutWriter};
use super::stream::StreamBuilder;
use super::track::{Payloads, Track};
use super::{AvroState, ContainerRecipe, Recipe, Stream};
use crate::avro::block::{Looked, Trouble};
use crate::avro::codec::Codec;
use crate::avro::container::{Flaw, Header};
use crate::chunk::{ChunkKind, ChunkSink, CutParams};
use crate::error::Result;

/// What is done with the payload of a block.
#[derive(Debug)]
pub enum PayloadDecision {
    /// It is kept as it is; what looking into it gave, where that was done.
    Keep(Option<Looked>),
    /// It decodes to these bytes, from which this encoder makes exactly the payload again. `None` for the decoded bytes
    /// means that they are the payload itself.
    Decode {
        /// The decoded payload.
        plain: Option<Vec<u8>>,
        /// The encoder's frozen id.
        encoder: String,
        /// What its output has to be corrected by.
        corrections: Option<Vec<u8>>,
    },
}

/// A file that was taken apart.
#[derive(Debug)]
pub struct Split {
    /// How to rebuild it.
    pub recipe: Recipe,
    /// Sound blocks.
    pub blocks: u64,
    /// Records that these blocks declare.
    pub declared_records: u64,
    /// Records that were found in them.
    pub verified_records: u64,
    /// Blocks that an encoder reproduces exactly, with corrections, and those kept as they are.
    pub exact: u64,
    /// See `exact`.
    pub corrected: u64,
    /// See `exact`.
    pub raw: u64,
    /// The first thing that is damaged: the schema, or a block that does not hold the records that it declares.
    pub damage: Option<String>,
    /// The first thing that goes beyond this program's limits.
    pub beyond_limits: Option<String>,
    /// Why payloads were not decoded, where any was not.
    pub undecoded: Option<String>,
    /// The encoder that reproduces most blocks; empty if none does.
    pub encoder: String,
    /// The schema's fingerprint (CRC-64-AVRO); 0 if it cannot be understood.
    pub fingerprint: u64,
}

/// Puts the parts of one file into streams. Nothing is held back but what the cutters need.
#[derive(Debug)]
pub struct Splitter {
    params: CutParams,
    plain: Track,
    container: Option<Box<Container>>,
}

#[derive(Debug)]
struct Container {
    marker: [u8; 16],
    header: Stream,
    schema: Arc<CompiledSchema>,
    encoders: Vec<(String, u64)>,
    layout: LayoutWriter,
    records: Track,
    /// Records after a place where the walk failed have no borders.
    walking: bool,
    payloads: Payloads,
    strays: Track,
    corrections: Track,
    blocks: u64,
    declared_records: u64,
    verified_records: u64,
    exact: u64,
    corrected: u64,
    raw: u64,
    damage: Option<String>,
    beyond_limits: Option<String>,
    undecoded: Option<String>,
}

impl Splitter {
    /// At the start of a file.
    pub fn new(params: CutParams) -> Self {
        Self { params, plain: Track::new(params, ChunkKind::Bytes, false), container: None }
    }

    /// The next part. A block goes to [`block`](Splitter::block) instead, once it is known what to do with it; here its
    /// payload is kept as it is.
    pub fn segment(&mut self, segment: Segment, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        match segment {
            Segment::Header(header) => {
                let schema = Arc::new(CompiledSchema::of(&header));
                self.header(&header, schema, sink)
            }
            Segment::Plain(bytes) => self.plain.push(&bytes, sink),
            Segment::Block(block) => self.block(block, PayloadDecision::Keep(None), sink),
            Segment::Stray(bytes) => match &mut self.container {
                Some(container) => container.stray(&bytes, sink),
                None => self.plain.push(&bytes, sink),
            },
        }
    }

    /// The header, with its schema compiled before: files of one table share it.
    pub fn header(
        &mut self,
        header: &Header,
        schema: Arc<CompiledSchema>,
        sink: &mut (impl ChunkSink + ?Sized),
    ) -> Result<()> {
        self.container = Some(Box::new(Container::new(header, schema, self.params, sink)?));
        Ok(())
    }

    /// The next block.
    pub fn block(
        &mut self,
        block: RawBlock,
        decision: PayloadDecision,
        sink: &mut (impl ChunkSink + ?Sized),
    ) -> Result<()> {
        match &mut self.container {
            Some(container) => container.block(block, decision, sink),
            // The framer returns no block before a header.
            None => self.plain.push(&block.payload, sink),
        }
    }

    /// The recipe, when all parts were given.
    pub fn finish(self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<Split> {
        match self.container {
            Some(container) => container.finish(sink),
            None => Ok(Split {
                recipe: Recipe::Plain(self.plain.finish(sink)?),
                blocks: 0,
                declared_records: 0,
                verified_records: 0,
                exact: 0,
                corrected: 0,
                raw: 0,
                damage: None,
                beyond_limits: None,
                undecoded: None,
                encoder: String::new(),
                fingerprint: 0,
            }),
        }
    }
}

impl Container {
    fn new(
        header: &Header,
        schema: Arc<CompiledSchema>,
        params: CutParams,
        sink: &mut (impl ChunkSink + ?Sized),
    ) -> Result<Self> {
        let walking = schema.schema().is_some_and(|schema| !schema.always_empty());
        let mut stream = StreamBuilder::new();
        stream.push(ChunkKind::Header, header.bytes().to_vec(), 0, sink)?;
        let records = Track::of_records(params, schema.shape().cloned(), walking);
        let unknown_codec = || format!("its codec {:?} is not known", header.codec_name());
        let mut container = Self {
            marker: header.marker,
            header: stream.finish(sink)?,
            schema: schema.clone(),
            encoders: Vec::new(),
            layout: LayoutWriter::new(),
            records,
            walking,
            payloads: Payloads::new(params),
            strays: Track::new(params, ChunkKind::Bytes, false),
            corrections: Track::new(params, ChunkKind::Corrections, false),
            blocks: 0,
            declared_records: 0,
            verified_records: 0,
            exact: 0,
            corrected: 0,
            raw: 0,
            damage: None,
            beyond_limits: None,
            undecoded: Codec::from_name(header.codec_name()).is_none().then(unknown_codec),
        };
        if let Some(trouble) = schema.trouble() {
            container.trouble(trouble, None);
        }
        Ok(container)
    }

    /// Takes down the first trouble of each kind.
    fn trouble(&mut self, trouble: Trouble, block: Option<u64>) {
        let reason = match block {
            Some(block) => format!("block {block}: {}", trouble.reason()),
            None => trouble.reason().to_owned(),
        };
        match trouble {
            Trouble::Damaged(_) => self.damage.get_or_insert(reason),
            Trouble::BeyondLimits(_) => self.beyond_limits.get_or_insert(reason),
        };
    }

    fn block(
        &mut self,
        block: RawBlock,
        decision: PayloadDecision,
        sink: &mut (impl ChunkSink + ?Sized),
    ) -> Result<()> {
        self.blocks += 1;
        self.declared_records = self.declared_records.saturating_add(block.count);
        let mut entry = Entry {
            class: Class::Payload,
            count: block.count,
            length: block.payload.len() as u64,
            encoder: 0,
            corrections: 0,
            odd_head: block.odd_head,
        };
        match decision {
            PayloadDecision::Keep(looked) => {
                self.raw += 1;
                match looked {
                    Some(looked) => {
                        self.verified_records = self.verified_records.saturating_add(looked.verified);
                        if let Some(trouble) = looked.trouble {
                            self.trouble(trouble, Some(self.blocks - 1));
                        }
                    }
                    None => {
                        self.undecoded.get_or_insert_with(|| "its payloads were not decoded".into());
                    }
                }
                self.payloads.push(&block.payload, sink)?;
            }
            PayloadDecision::Decode { plain, encoder, corrections } => {
                let plain = plain.as_deref().unwrap_or(&block.payload);
                entry.class = if corrections.is_some() { Class::Corrected } else { Class::Records };
                entry.length = plain.len() as u64;
                entry.encoder = self.encoder(encoder);
                match corrections {
                    Some(corrections) => {
                        self.corrected += 1;
                        entry.corrections = corrections.len() as u64;
                        self.corrections.push(&corrections, sink)?;
                    }
                    None => self.exact += 1,
                }
                self.records(plain, block.count, sink)?;
            }
        }
        self.layout.push(entry, &block.payload, sink)
    }

    /// Adds decoded records to their stream, with the borders that a walk finds.
    fn records(&mut self, plain: &[u8], declared: u64, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        self.records.cutter.push(plain);
        if let Some(schema) = self.schema.schema() {
            let (walking, cutter) = (self.walking, &mut self.records.cutter);
            let walked = schema.walk_block(plain, declared, &mut |end| {
                if walking {
                    cutter.border(plain.len() - end);
                }
            });
            self.verified_records = self.verified_records.saturating_add(walked.verified);
            if let Some(trouble) = Trouble::of_walk(&walked, plain.len()) {
                self.trouble(trouble, Some(self.blocks - 1));
                self.walking = false;
            }
        }
        self.records.drain(false, sink)
    }

    fn encoder(&mut self, id: String) -> u64 {
        let number = match self.encoders.iter().position(|(known, _)| *known == id) {
            Some(number) => number,
            None => {
                self.encoders.push((id, 0));
                self.encoders.len() - 1
            }
        };
        if let Some((_, uses)) = self.encoders.get_mut(number) {
            *uses += 1;
        }
        number as u64
    }

    fn stray(&mut self, bytes: &[u8], sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        let entry = Entry {
            class: Class::Stray,
            count: 0,
            length: bytes.len() as u64,
            encoder: 0,
            corrections: 0,
            odd_head: None,
        };
        self.strays.push(bytes, sink)?;
        self.layout.push(entry, bytes, sink)
    }

    fn finish(self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<Split> {
        let most = self.encoders.iter().max_by_key(|(_, uses)| *uses);
        let encoder = most.map(|(id, _)| id.clone()).unwrap_or_default();
        let recipe = ContainerRecipe {
            marker: self.marker,
            header: self.header,
            encoders: self.encoders.into_iter().map(|(id, _)| id).collect(),
            layout: self.layout.finish(sink)?,
            records: self.records.finish(sink)?,
            payloads: self.payloads.finish(sink)?,
            strays: self.strays.finish(sink)?,
            corrections: self.corrections.finish(sink)?,
        };
        Ok(Split {
            recipe: Recipe::Container(Box::new(recipe)),
            blocks: self.blocks,
            declared_records: self.declared_records,
            verified_records: self.verified_records,
            exact: self.exact,
            corrected: self.corrected,
            raw: self.raw,
            damage: self.damage,
            beyond_limits: self.beyond_limits,
            undecoded: self.undecoded,
            encoder,
            fingerprint: self.schema.fingerprint(),
        })
    }
}

impl Split {
    /// How sound the file is, from what the framer and the walk found; `None` for a file that is no container.
    pub fn state(&self, finding: Finding) -> Option<AvroState> {
        Some(match finding {
            Finding::NotAContainer => return None,
            Finding::BadHeader(None) => AvroState::Torn,
            Finding::BadHeader(Some(Flaw::OldFormat)) => AvroState::Foreign,
            Finding::BadHeader(Some(_)) | Finding::Damaged(_) => AvroState::Damaged,
            _ if self.damage.is_some() => AvroState::Damaged,
            Finding::Torn => AvroState::Torn,
            Finding::BeyondLimits(_) => AvroState::BeyondLimits,
            Finding::Sound if self.beyond_limits.is_some() => AvroState::BeyondLimits,
            Finding::Sound if self.undecoded.is_some() => AvroState::Undecoded,
            Finding::Sound if self.blocks == 0 => AvroState::HeaderOnly,
            Finding::Sound => AvroState::Ok,
        })
    }

    /// Why the file is in this state, or why payloads of a sound file are kept as they are, which is `why_raw` if that is known;
    /// empty where nothing is to be said.
    pub fn reason(&self, finding: Finding, why_raw: Option<String>) -> String {
        let flaw = match finding {
            Finding::BadHeader(Some(flaw)) | Finding::Damaged(flaw) | Finding::BeyondLimits(flaw) => Some(flaw),
            _ => None,
        };
        let said = match finding {
            Finding::NotAContainer | Finding::BadHeader(None) => None,
            Finding::Torn => self.damage.clone(),
            _ => flaw
                .map(|flaw| flaw.to_string())
                .or_else(|| self.damage.clone())
                .or_else(|| self.beyond_limits.clone())
                .or_else(|| self.undecoded.clone())
                .or_else(|| (self.raw > 0).then(|| why_raw.unwrap_or_else(|| "no known encoder".into()))),
        };
        said.unwrap_or_default()
    }
}
