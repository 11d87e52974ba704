//! Trees of references: how a long stream, or a manifest, names its chunks.
//!
//! A list of references is cut into nodes where an id's low bits are zero, each node is a chunk, the references to the
//! nodes are the next list, until one is left. Since only content says where a node ends, a change in one place leaves
//! all nodes but those above it as they were (Noms and Dolt call this a prolly tree).

use crate::chunk::{ChunkKind, ChunkSink, ChunkSource, MAX_CHUNK};
use crate::error::{Context, Error, Result};
use crate::id::ChunkId;
use crate::wire::{self, Malformed, Reader, Write};

/// A reference to a chunk and, if that is a node, to all that hangs on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// Id of the chunk: a piece of the stream, or a node.
    pub id: ChunkId,
    /// Bytes of the stream below it.
    pub length: u64,
    /// Records (or rows) below it.
    pub records: u64,
    /// The last key below it: a path in a manifest, nothing in a stream.
    pub last: Vec<u8>,
}

impl Reference {
    /// What the node that this leads to refers to, in order.
    ///
    /// # Errors
    /// If the node cannot be read, is not a node, or does not hold what this says.
    pub fn children<S: ChunkSource + ?Sized>(&self, source: &S) -> Result<Vec<Reference>> {
        let name = format_args!("chunk {}", self.id).to_string();
        let node = decode_node(&source.get(&self.id)?).in_object(&name)?;
        let length: u64 = node.iter().fold(0, |sum, child| sum.saturating_add(child.length));
        match length == self.length {
            true => Ok(node),
            false => Err(Error::damaged(name, "the node does not hold what the reference to it says")),
        }
    }
}

/// A finished tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tree {
    /// Reference to the topmost node.
    pub root: Reference,
    /// How many levels of nodes there are; 0 if the root is itself a piece of the stream.
    pub height: u8,
}

/// A node ends after a reference whose id has this many low bits zero, which is one in 64, ...
const NODE_BITS: u32 = 6;
/// ... if it has this many references then, ...
const MIN_NODE: usize = 8;
/// ... and after this many in any case.
const MAX_NODE: usize = 1024;

/// The keys of a node are at most this many bytes in all: they are stored without what they share, so a forged chunk of a few MB could
/// otherwise make gigabytes of them.
const MAX_KEYS: usize = 16 << 20;

/// No tree that could be written is higher.
const MAX_HEIGHT: u8 = 16;

const VERSION: u8 = 1;

impl Tree {
    /// How many bytes a tree of this height can hold at most.
    pub(super) fn capacity(&self) -> u64 {
        (0..self.height).fold(MAX_CHUNK as u64, |bytes, _| bytes.saturating_mul(MAX_NODE as u64))
    }

    /// How many levels of nodes are followed: no more than any tree that could be written has.
    pub fn levels(&self) -> u8 {
        self.height.min(MAX_HEIGHT)
    }
}

/// Builds a tree from the references of a stream, in order.
#[derive(Debug, Default)]
pub struct TreeBuilder {
    levels: Vec<Vec<Reference>>,
}

impl TreeBuilder {
    /// An empty tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// The next reference of the stream.
    pub fn push(&mut self, reference: Reference, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        self.push_at(0, reference, sink)
    }

    fn push_at(&mut self, level: usize, reference: Reference, sink: &mut (impl ChunkSink + ?Sized)) -> Result<()> {
        if self.levels.len() == level {
            self.levels.push(Vec::new());
        }
        let Some(open) = self.levels.get_mut(level) else { return Ok(()) };
        let ends = ends_node(&reference.id);
        open.push(reference);
        if open.len() >= MAX_NODE || (ends && open.len() >= MIN_NODE) {
            let node = std::mem::take(open);
            let reference = put_node(&node, sink)?;
            self.push_at(level + 1, reference, sink)?;
        }
        Ok(())
    }

    /// The tree; none if nothing was pushed.
    pub fn finish(mut self, sink: &mut (impl ChunkSink + ?Sized)) -> Result<Option<Tree>> {
        let mut level = 0;
        loop {
            let top = level + 1 >= self.levels.len();
            let Some(open) = self.levels.get_mut(level) else { return Ok(None) };
            match (open.len(), top) {
                (0, true) => return Ok(None),
                (1, true) => return Ok(open.pop().map(|root| Tree { root, height: level as u8 })),
                (0, false) => {}
                _ => {
                    let node = std::mem::take(open);
                    let reference = put_node(&node, sink)?;
                    // What is pushed here may close nodes above, too; the loop takes care of the rest.
                    self.push_at(level + 1, reference, sink)?;
                }
            }
            level += 1;
        }
    }
}

fn ends_node(id: &ChunkId) -> bool {
    u32::from(id.as_bytes()[31]) & ((1 << NODE_BITS) - 1) == 0
}

fn put_node(node: &[Reference], sink: &mut (impl ChunkSink + ?Sized)) -> Result<Reference> {
    let id = sink.put(ChunkKind::Node, encode_node(node))?;
    Ok(Reference {
        id,
        length: node.iter().map(|reference| reference.length).sum(),
        records: node.iter().map(|reference| reference.records).sum(),
        last: node.last().map(|reference| reference.last.clone()).unwrap_or_default(),
    })
}

/// The bytes of a node, column by column; keys without what they share with the one before.
fn encode_node(node: &[Reference]) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.put_varint(node.len() as u64);
    for reference in node {
        bytes.put(reference.id.as_bytes());
    }
    for reference in node {
        bytes.put_varint(reference.length);
    }
    for reference in node {
        bytes.put_varint(reference.records);
    }
    let keyed = node.iter().any(|reference| !reference.last.is_empty());
    bytes.put_u8(u8::from(keyed));
    if keyed {
        let mut before: &[u8] = &[];
        for reference in node {
            let shared = before.iter().zip(&reference.last).take_while(|(a, b)| a == b).count();
            bytes.put_varint(shared as u64);
            bytes.put_string(&reference.last[shared..]);
            before = &reference.last;
        }
    }
    bytes
}

fn decode_node(bytes: &[u8]) -> wire::Result<Vec<Reference>> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        VERSION => {}
        other => return Err(Malformed(format!("a node of version {other}, this is version {VERSION}"))),
    }
    let count = reader.count(34)?;
    if count == 0 || count > MAX_NODE {
        return Err(Malformed(format!("a node of {count} references")));
    }
    let ids = (0..count).map(|_| reader.array().map(ChunkId::new)).collect::<wire::Result<Vec<_>>>()?;
    let lengths = (0..count).map(|_| reader.varint()).collect::<wire::Result<Vec<_>>>()?;
    let records = (0..count).map(|_| reader.varint()).collect::<wire::Result<Vec<_>>>()?;
    let keyed = reader.u8()? != 0;
    let mut node: Vec<Reference> = Vec::with_capacity(count);
    let mut key_bytes = 0usize;
    for ((id, length), records) in ids.into_iter().zip(lengths).zip(records) {
        let mut last = Vec::new();
        if keyed {
            let shared = reader.varint()?;
            let before = node.last().map_or(&[][..], |reference| &reference.last);
            let shared = usize::try_from(shared).ok().and_then(|shared| before.get(..shared));
            last.extend_from_slice(shared.ok_or_else(|| Malformed::new("a key shares more than there is"))?);
            last.extend_from_slice(reader.string()?);
            key_bytes = key_bytes.saturating_add(last.len());
            if key_bytes > MAX_KEYS {
                return Err(Malformed::new("a node whose keys are too long"));
            }
        }
        node.push(Reference { id, length, records, last });
    }
    reader.finish()?;
    Ok(node)
}

/// Goes through the pieces of a tree, in order, with one node a level in memory.
pub struct TreeReader<S> {
    source: S,
    /// What is still to be visited, by level: the references of each open node, last one first.
    open: Vec<(u8, Vec<Reference>)>,
}

impl<S: ChunkSource> TreeReader<S> {
    /// At the first piece.
    pub fn new(tree: &Tree, source: S) -> Self {
        Self { source, open: vec![(tree.levels(), vec![tree.root.clone()])] }
    }

    /// A reader of nothing.
    pub fn empty(source: S) -> Self {
        Self { source, open: Vec::new() }
    }

    /// A reader of these pieces.
    pub fn of_pieces(mut pieces: Vec<Reference>, source: S) -> Self {
        pieces.reverse();
        Self { source, open: vec![(0, pieces)] }
    }

    /// Where its chunks come from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Skips everything that `before` says lies before what is wanted. `before` is asked about nodes and pieces, in
    /// order, and must be true for a prefix of them.
    pub fn skip_while(&mut self, mut before: impl FnMut(&Reference) -> bool) -> Result<()> {
        loop {
            let Some((level, references)) = self.open.last_mut() else { return Ok(()) };
            let level = *level;
            match references.last() {
                None => {
                    self.open.pop();
                }
                Some(reference) if before(reference) => {
                    references.pop();
                }
                Some(_) if level == 0 => return Ok(()),
                Some(_) => self.descend()?,
            }
        }
    }

    /// The next piece.
    pub fn next_piece(&mut self) -> Result<Option<Reference>> {
        loop {
            let Some((level, references)) = self.open.last_mut() else { return Ok(None) };
            match *level {
                _ if references.is_empty() => {
                    self.open.pop();
                }
                0 => return Ok(references.pop()),
                _ => self.descend()?,
            }
        }
    }

    /// The pieces that come next, as far as they are known without reading another node.
    pub fn upcoming(&self) -> impl Iterator<Item = &Reference> {
        let pieces = self.open.last().filter(|(level, _)| *level == 0);
        pieces.into_iter().flat_map(|(_, pieces)| pieces.iter().rev())
    }

    /// The next piece; in place of the pieces below a node that is lost, the reference to that node and what is wrong
    /// with it.
    pub fn next_or_lost(&mut self) -> Result<Option<(Reference, Option<Error>)>> {
        loop {
            let Some((level, references)) = self.open.last_mut() else { return Ok(None) };
            match *level {
                _ if references.is_empty() => {
                    self.open.pop();
                }
                0 => return Ok(references.pop().map(|piece| (piece, None))),
                _ => {
                    let Some(node) = references.last().cloned() else { continue };
                    match self.descend() {
                        Ok(()) => {}
                        Err(error) if error.is_damage() => return Ok(Some((node, Some(error)))),
                        Err(error) => return Err(error),
                    }
                }
            }
        }
    }

    /// Opens the node that comes next.
    fn descend(&mut self) -> Result<()> {
        let Some((level, references)) = self.open.last_mut() else { return Ok(()) };
        let level = *level;
        let Some(reference) = references.pop() else { return Ok(()) };
        let mut node = reference.children(&self.source)?;
        node.reverse();
        self.open.push((level - 1, node));
        Ok(())
    }

    /// Calls `each` with the id of every node of the tree, without reading the pieces.
    pub fn each_node(mut self, mut each: impl FnMut(&ChunkId) -> Result<()>) -> Result<()> {
        while let Some((level, references)) = self.open.last() {
            match (*level, references.last()) {
                (0, _) | (_, None) => {
                    self.open.pop();
                }
                (_, Some(reference)) => {
                    each(&reference.id)?;
                    self.descend()?;
                }
            }
        }
        Ok(())
    }
}

/// What the node in this chunk refers to, in order. Whether that is what something says that refers to the node is not asked.
///
/// # Errors
/// If the node cannot be had, or is none.
pub fn node_in<S: ChunkSource + ?Sized>(source: &S, id: &ChunkId) -> Result<Vec<Reference>> {
    let name = format_args!("chunk {id}").to_string();
    source.get(id).and_then(|bytes| decode_node(&bytes).in_object(name))
}

impl<S> std::fmt::Debug for TreeReader<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TreeReader({} levels open)", self.open.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkMap;
    use proptest::prelude::*;

    fn reference(number: u64) -> Reference {
        Reference {
            id: ChunkId::new(crate::id::digest(&number.to_le_bytes())),
            length: number % 1000,
            records: number % 7,
            last: format!("dir/file-{number:08}").into_bytes(),
        }
    }

    fn build(references: &[Reference]) -> (Option<Tree>, ChunkMap) {
        let (mut map, mut builder) = (ChunkMap::default(), TreeBuilder::new());
        for reference in references {
            builder.push(reference.clone(), &mut map).unwrap();
        }
        (builder.finish(&mut map).unwrap(), map)
    }

    fn read(tree: &Tree, map: &ChunkMap) -> Vec<Reference> {
        let mut reader = TreeReader::new(tree, map);
        std::iter::from_fn(|| reader.next_piece().unwrap()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn a_tree_gives_back_what_was_pushed(count in 0u64..5000, from: u32) {
            let references: Vec<_> = (0..count).map(|n| reference(n + u64::from(from))).collect();
            let (tree, map) = build(&references);
            match tree {
                None => prop_assert_eq!(count, 0),
                Some(tree) => {
                    prop_assert_eq!(tree.root.length, references.iter().map(|r| r.length).sum::<u64>());
                    prop_assert_eq!(read(&tree, &map), references);
                }
            }
        }

        #[test]
        fn any_bytes_are_a_node_or_refused(count in 1u64..60, at: prop::sample::Index, to: u8) {
            let node: Vec<_> = (0..count).map(reference).collect();
            let mut bytes = encode_node(&node);
            prop_assert_eq!(decode_node(&bytes)?, node);
            let at = at.index(bytes.len());
            bytes[at] = to;
            let _ = decode_node(&bytes);
        }
    }

    #[test]
    fn keys_that_share_megabytes_are_refused() {
        let node =
            |length| -> Vec<_> { (0..1000).map(|n| Reference { last: vec![b'k'; length], ..reference(n) }).collect() };
        assert_eq!(decode_node(&encode_node(&node(4096))), Ok(node(4096)));
        assert!(decode_node(&encode_node(&node(20_000))).is_err());
    }

    #[test]
    fn one_insertion_changes_one_node_a_level() {
        let mut references: Vec<_> = (0..20_000).map(reference).collect();
        let (_, before) = build(&references);
        references.insert(7_777, reference(1 << 40));
        let (tree, after) = build(&references);
        let new = after.chunks.keys().filter(|id| !before.chunks.contains_key(id)).count();
        assert!(new <= 2 * usize::from(tree.unwrap().height), "{new} of {} nodes are new", after.chunks.len());
    }

    #[test]
    fn one_key_is_found_without_reading_the_rest() {
        let references: Vec<_> = (0..20_000).map(reference).collect();
        let (tree, map) = build(&references);
        let wanted = &references[12_345];
        let mut reader = TreeReader::new(tree.as_ref().unwrap(), &map);
        reader.skip_while(|reference| reference.last < wanted.last).unwrap();
        assert_eq!(reader.next_piece().unwrap().as_ref(), Some(wanted));
        assert_eq!(reader.next_piece().unwrap().as_ref(), Some(&references[12_346]));
    }
}
