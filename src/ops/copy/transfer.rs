//! Sending chunks from one repository to another, and writing the trees above them again.
//!
//! Each repository names chunks by its own key, and a node ends where an id says so: under another key the same pieces
//! make other nodes. So nodes are read, and written again from the pieces that they lead to. A piece itself is read only
//! if the target does not have it, which is known from its id where both repositories have one key, and else from what
//! was remembered when it was sent before.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::run::{Sending, Stop};
use crate::avro::container::{Parsed, parse_header};
use crate::chunk::{ChunkKind, ChunkSink, ChunkSource, RecordShape};
use crate::error::Error;
use crate::id::ChunkId;
use crate::ingest::Feeder;
use crate::ingest::SchemaCache;
use crate::progress::Progress;
use crate::read::Prefetching;
use crate::recipe::{ContainerRecipe, Recipe, Reference, Stream, StreamReader, TreeBuilder, TreeReader};
use crate::store::Repository;

/// How many bytes of pieces that have to be read are announced ahead, ...
const AHEAD: u64 = 8 << 20;
/// ... and how many pieces wait, whether they have to be read or not.
const AHEAD_PIECES: usize = 1024;

/// The header of a container, which its pieces are read for, is not longer than this, in bytes.
const LONGEST_HEADER: u64 = 16 << 20;

/// What the chunks of the source are called in the target.
pub(super) struct Names<'r> {
    target: &'r Repository,
    /// How the source names chunks; none if it does so as the target does.
    naming: Option<ChunkId>,
    /// What was learned and is not in the index yet.
    fresh: Mutex<HashMap<ChunkId, ChunkId>>,
}

/// How many names are remembered at once.
const BATCH: usize = 1024;

impl<'r> Names<'r> {
    pub(super) fn new(source: &Repository, target: &'r Repository) -> Self {
        let naming = source.hasher().id(b"");
        let differs = naming != target.hasher().id(b"");
        Self { target, naming: differs.then_some(naming), fresh: Mutex::default() }
    }

    fn find(&self, source: &ChunkId) -> Option<ChunkId> {
        match &self.naming {
            None => Some(*source),
            Some(naming) => {
                let fresh = self.fresh().get(source).copied();
                fresh.or_else(|| self.target.hints().copied(naming, source))
            }
        }
    }

    fn learn(&self, source: ChunkId, target: ChunkId) {
        if self.naming.is_none() {
            return;
        }
        let mut fresh = self.fresh();
        fresh.insert(source, target);
        let full = fresh.len() >= BATCH;
        drop(fresh);
        if full {
            self.remember();
        }
    }

    /// Puts what was learned into the index.
    pub(super) fn remember(&self) {
        if let Some(naming) = &self.naming {
            let fresh: Vec<_> = self.fresh().drain().collect();
            self.target.hints().remember_copied(naming, &fresh);
        }
    }

    fn fresh(&self) -> MutexGuard<'_, HashMap<ChunkId, ChunkId>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much was sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) chunks: u64,
    pub(super) bytes: u64,
}

/// Sends the chunks of one snapshot.
pub(super) struct Transfer<'a, 'p, 'r, 's> {
    pub(super) from: &'a Repository,
    /// The same with frames decoded ahead.
    pub(super) source: &'a Prefetching<'p, 's>,
    pub(super) feeder: &'a mut Feeder<'p, 'r, 's>,
    pub(super) names: &'a Names<'a>,
    pub(super) schemas: &'a SchemaCache,
    pub(super) progress: &'a dyn Progress,
    pub(super) sent: &'a mut Sent,
    /// How many bytes of the file at hand were not reported to `progress` yet.
    pub(super) unreported: u64,
}

/// What the pieces of a stream are.
#[derive(Clone, Copy)]
enum Role<'c> {
    Kind(ChunkKind),
    /// Records of this container.
    Records(&'c ContainerRecipe),
}

impl Transfer<'_, '_, '_, '_> {
    /// The recipe of the same file in the target, after all that it names was sent.
    pub(super) fn recipe(&mut self, recipe: &Recipe) -> Sending<Recipe> {
        Ok(match recipe {
            Recipe::Plain(stream) => Recipe::Plain(self.stream(stream, Role::Kind(ChunkKind::Bytes))?),
            Recipe::Container(container) => Recipe::Container(Box::new(ContainerRecipe {
                marker: container.marker,
                encoders: container.encoders.clone(),
                header: self.stream(&container.header, Role::Kind(ChunkKind::Header))?,
                layout: self.stream(&container.layout, Role::Kind(ChunkKind::Layout))?,
                records: self.stream(&container.records, Role::Records(container))?,
                payloads: self.stream(&container.payloads, Role::Kind(ChunkKind::Payload))?,
                strays: self.stream(&container.strays, Role::Kind(ChunkKind::Bytes))?,
                corrections: self.stream(&container.corrections, Role::Kind(ChunkKind::Corrections))?,
            })),
        })
    }

    fn stream(&mut self, stream: &Stream, role: Role<'_>) -> Sending<Stream> {
        let Stream::Tree(tree) = stream else { return Ok(stream.clone()) };
        let (source, mut shape) = (self.source, None);
        let (mut pieces, mut builder) = (TreeReader::new(tree, source), TreeBuilder::new());
        let mut waiting: VecDeque<(Reference, Option<ChunkId>)> = VecDeque::new();
        let (mut announced, mut ended) = (0, false);
        loop {
            while !ended && announced < AHEAD && waiting.len() < AHEAD_PIECES {
                let Some(piece) = pieces.next_piece().map_err(Stop::source)? else {
                    ended = true;
                    continue;
                };
                let known = self.held(&piece.id)?;
                if known.is_none() {
                    announced = piece.length.saturating_add(announced);
                    // What is read at once need not be announced.
                    if !waiting.is_empty() {
                        source.will_need(&piece.id);
                    }
                }
                waiting.push_back((piece, known));
            }
            let Some((piece, known)) = waiting.pop_front() else { break };
            let id = match known {
                Some(id) => {
                    self.feeder.passed(role.kind(), piece.length);
                    id
                }
                None => {
                    announced = announced.saturating_sub(piece.length);
                    self.send(&piece, role, &mut shape)?
                }
            };
            let reported = piece.length.min(self.unreported);
            self.unreported -= reported;
            self.progress.bytes(reported);
            builder.push(Reference { id, ..piece }, self.feeder)?;
        }
        Ok(builder.finish(self.feeder)?.map_or(Stream::Empty, Stream::Tree))
    }

    /// What the target calls a chunk of the source, if it has it.
    fn held(&mut self, id: &ChunkId) -> Sending<Option<ChunkId>> {
        Ok(match self.names.find(id) {
            Some(id) if self.feeder.holds(&id)? => Some(id),
            _ => None,
        })
    }

    /// Reads a piece and puts it in. `shape` is what the records are like, once somebody asked.
    fn send(
        &mut self,
        piece: &Reference,
        role: Role<'_>,
        shape: &mut Option<Option<Arc<RecordShape>>>,
    ) -> Sending<ChunkId> {
        let bytes = self.source.get(&piece.id).map_err(Stop::source)?;
        if bytes.len() as u64 != piece.length || bytes.is_empty() {
            let name = format_args!("chunk {}", piece.id).to_string();
            return Err(Stop::source(Error::damaged(name, "it is not as long as its reference says")));
        }
        self.sent.chunks += 1;
        self.sent.bytes += piece.length;
        let bytes = bytes.to_vec();
        let id = match role {
            Role::Kind(kind) => self.feeder.put(kind, bytes)?,
            // Only whole records may be coded as columns. That they are is known where they were cut, which said so with
            // the kind; where that says nothing, rows are good enough.
            Role::Records(container) => match self.kind_of(&piece.id) {
                Some(ChunkKind::Records) => {
                    let shape = match shape {
                        Some(known) => known,
                        none => none.insert(self.shape(container)?),
                    };
                    match shape {
                        Some(shape) => self.feeder.put_records(bytes, shape)?,
                        None => self.feeder.put(ChunkKind::Records, bytes)?,
                    }
                }
                _ => self.feeder.put(ChunkKind::Bytes, bytes)?,
            },
        };
        self.names.learn(piece.id, id);
        Ok(id)
    }

    /// What a chunk was put into the source as.
    fn kind_of(&self, id: &ChunkId) -> Option<ChunkKind> {
        let (pack, frame) = self.from.catalog().frame_of(id).ok()??;
        let info = self.from.catalog().index().pack(pack).ok()?;
        info.frame(frame as usize).ok().map(|frame| frame.kind)
    }

    /// What the records of a container are like.
    fn shape(&self, container: &ContainerRecipe) -> Sending<Option<Arc<RecordShape>>> {
        let length = container.header.length();
        if length > LONGEST_HEADER {
            return Err(Stop::source(Error::damaged("the recipe", "it names a header that is longer than any")));
        }
        let mut header = Vec::new();
        let mut stream = StreamReader::new(&container.header, self.source);
        stream.read(length as usize, &mut header).map_err(Stop::source)?;
        header.extend_from_slice(&container.marker);
        Ok(match parse_header(&header) {
            Parsed::Done(header) => self.schemas.of(&header).shape().cloned(),
            _ => None,
        })
    }
}

impl Role<'_> {
    fn kind(self) -> ChunkKind {
        match self {
            Self::Kind(kind) => kind,
            Self::Records(_) => ChunkKind::Records,
        }
    }
}
