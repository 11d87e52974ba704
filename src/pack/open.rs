//! Packs that are being filled.

use super::{EncodedFrame, PACK_FRAMES, PackBuilder};

/// Packs that are being filled: one, or two where what snapshots list is kept apart from what files consist of.
#[derive(Debug, Default)]
pub struct OpenPacks {
    /// What files consist of; all, unless it is kept apart.
    data: PackBuilder,
    /// What is read by each later run.
    hot: PackBuilder,
    apart: bool,
}

impl OpenPacks {
    /// Nothing is open yet. `apart` if packs hold either what snapshots list or what files consist of.
    pub fn new(apart: bool) -> Self {
        Self { apart, ..Self::default() }
    }

    /// Adds a frame. Returns its pack once it has this many bytes, or as many frames as a pack has.
    pub fn push(&mut self, frame: EncodedFrame, target: usize) -> Option<PackBuilder> {
        let open = if self.apart && frame.kind.is_hot() { &mut self.hot } else { &mut self.data };
        open.push(frame);
        let is_full = open.bytes() >= target || open.frames().len() >= PACK_FRAMES;
        is_full.then(|| std::mem::take(open))
    }

    /// A pack in which something is; none once all were taken. Data comes first: what rests on it is stored after it.
    pub fn take(&mut self) -> Option<PackBuilder> {
        [&mut self.data, &mut self.hot].into_iter().find(|open| !open.is_empty()).map(std::mem::take)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chunk::ChunkKind;
    use crate::id::ChunkHasher;
    use crate::pack::{FrameCodec, PlainChunk};

    fn frame(kind: ChunkKind, number: u8) -> EncodedFrame {
        let bytes = vec![number; 100];
        let chunk = PlainChunk { id: ChunkHasher::open().id(&bytes), bytes };
        FrameCodec::new(None).unwrap().encode(kind, &[chunk])
    }

    /// The kinds of the frames of each pack that comes out.
    fn packs(apart: bool) -> Vec<Vec<ChunkKind>> {
        let mut open = OpenPacks::new(apart);
        let kinds = [ChunkKind::Rows, ChunkKind::Bytes, ChunkKind::Root, ChunkKind::Records, ChunkKind::Node];
        for (number, kind) in (0..).zip(kinds) {
            assert!(open.push(frame(kind, number), 1 << 20).is_none());
        }
        let taken = std::iter::from_fn(|| open.take());
        taken.map(|pack| pack.frames().iter().map(|frame| frame.kind).collect()).collect()
    }

    #[test]
    fn what_is_kept_apart_does_not_meet_in_a_pack() {
        assert_eq!(packs(false).len(), 1);
        assert_eq!(
            packs(true),
            [vec![ChunkKind::Bytes, ChunkKind::Records], vec![ChunkKind::Rows, ChunkKind::Root, ChunkKind::Node]]
        );
        let mut open = OpenPacks::new(true);
        assert!(open.push(frame(ChunkKind::Bytes, 1), 10).is_some());
        assert!(open.push(frame(ChunkKind::Root, 2), 10).is_some() && open.take().is_none());
    }
}
