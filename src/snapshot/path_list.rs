//! The list of what a snapshot saved, where it is too long for the root: a stream of its own.

use super::SnapshotRoot;
use crate::chunk::{ChunkKind, ChunkSink, ChunkSource};
use crate::error::{Context, Error, Result};
use crate::recipe::{Stream, StreamBuilder, StreamReader};
use crate::wire::{Reader, Write};

/// How many bytes of paths stand in the root itself.
const IN_ROOT: usize = 64 << 10;
/// How long the pieces of the list are, in bytes.
const PIECE: usize = 64 << 10;
/// The longest list that is read, in bytes.
const MAX_LIST: u64 = 256 << 20;

/// Splits a list of paths into what stands in the root, and the stream of all of them where that is not all.
///
/// # Errors
/// Errors of the sink.
pub fn put_paths(paths: &[Vec<u8>], sink: &mut (impl ChunkSink + ?Sized)) -> Result<(Vec<Vec<u8>>, Stream)> {
    let mut bytes = 0_usize;
    let fits = |path: &&Vec<u8>| {
        bytes = bytes.saturating_add(path.len()).saturating_add(1);
        bytes <= IN_ROOT
    };
    let first: Vec<_> = paths.iter().take_while(fits).cloned().collect();
    if first.len() == paths.len() {
        return Ok((first, Stream::Empty));
    }
    let (mut stream, mut piece) = (StreamBuilder::new(), Vec::new());
    for path in paths {
        piece.put_string(path);
        if piece.len() >= PIECE {
            stream.push(ChunkKind::Bytes, std::mem::take(&mut piece), 0, sink)?;
        }
    }
    stream.push(ChunkKind::Bytes, piece, 0, sink)?;
    Ok((first, stream.finish(sink)?))
}

impl SnapshotRoot {
    /// What was saved, as absolute paths: all of them, also where the root holds only the first.
    ///
    /// # Errors
    /// Where the list cannot be read.
    pub fn all_paths<S: ChunkSource + ?Sized>(&self, source: &S) -> Result<Vec<Vec<u8>>> {
        if self.path_list == Stream::Empty {
            return Ok(self.paths.clone());
        }
        if self.path_list.length() > MAX_LIST {
            return Err(Error::damaged("the list of paths of a snapshot", "it is longer than any list"));
        }
        let (mut stream, mut bytes) = (StreamReader::new(&self.path_list, source), Vec::new());
        while let Some(piece) = stream.some()? {
            bytes.extend_from_slice(&piece);
        }
        let (mut reader, mut paths) = (Reader::new(&bytes), Vec::new());
        while reader.remaining() > 0 {
            paths.push(reader.string().in_object("the list of paths of a snapshot")?.to_vec());
        }
        Ok(paths)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkMap;
    use crate::id::SnapshotId;

    fn root(paths: &[Vec<u8>], map: &mut ChunkMap) -> SnapshotRoot {
        let (paths, path_list) = put_paths(paths, map).unwrap();
        SnapshotRoot { paths, path_list, ..SnapshotRoot::nothing(SnapshotId::new([1; 16])) }
    }

    #[test]
    fn short_and_long_lists_come_back_and_the_root_stays_small() {
        for count in [0, 1, 100, 3_000, 150_000] {
            let paths: Vec<_> =
                (0..count).map(|n| format!("/export/tables/orders/part-{n:09}.avro").into_bytes()).collect();
            let mut map = ChunkMap::default();
            let root = root(&paths, &mut map);
            assert_eq!(root.all_paths(&map).unwrap(), paths);
            assert!(root.encode().len() < 80 << 10, "{count}");
            assert_eq!(root.path_list == Stream::Empty, count <= 100);
            assert_eq!(SnapshotRoot::decode(&root.encode()).unwrap(), root);
        }
    }

    #[test]
    fn a_list_that_is_lost_is_an_error() {
        let paths: Vec<_> = (0..9_000).map(|n| format!("/export/part-{n:09}").into_bytes()).collect();
        let root = root(&paths, &mut ChunkMap::default());
        assert!(root.all_paths(&ChunkMap::default()).is_err());
    }
}
