//! Chunks that rest on others: read back whatever the chain, and refused where a chain leads nowhere.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use crate::lab;
use crate::noise::noise;

use avro_snap::chunk::{ChunkKind, ChunkSource};
use avro_snap::crypto::Suite;
use avro_snap::id::ChunkId;
use avro_snap::ops::check::DataSubset;
use avro_snap::pack::{Chain, EncodedFrame, FrameCodec, Place, PlainChunk};
use avro_snap::store::{Repository, Writer};
use lab::Lab;
use proptest::prelude::*;

fn chunk(repository: &Repository, bytes: Vec<u8>) -> PlainChunk {
    PlainChunk { id: repository.hasher().id(&bytes), bytes }
}

/// A delta that says of itself whatever the test likes.
fn delta(chunk: &PlainChunk, base: &[u8], depth: u8, bases: Vec<ChunkId>) -> EncodedFrame {
    let mut codec = FrameCodec::new(Some(3)).unwrap();
    let chain = Chain { place: Place { depth, step: depth.min(7) }, bases };
    codec.encode_delta(ChunkKind::Records, chunk, base, chain, usize::MAX / 2).unwrap()
}

fn full(chunk: &PlainChunk) -> EncodedFrame {
    FrameCodec::new(Some(3)).unwrap().encode(ChunkKind::Records, std::slice::from_ref(chunk))
}

/// Stores each of these in a pack of its own, and names them by an index object.
fn store(repository: &Repository, frames: Vec<EncodedFrame>) {
    let writer = Writer::new(repository).unwrap();
    for frame in frames {
        assert!(writer.add(frame).is_none());
        writer.store(writer.take_open().unwrap()).unwrap();
    }
    writer.flush().unwrap();
}

#[test]
fn sixteen_deltas_in_a_row_are_undone() {
    for suite in [Suite::Aes256Gcm, Suite::None] {
        let lab = Lab::new(suite);
        let repository = lab.open();
        let mut chunks = vec![chunk(&repository, noise(1, 70_000))];
        let mut frames = vec![full(&chunks[0])];
        for depth in 1..=16u8 {
            let before = chunks.last().unwrap().clone();
            let mut bytes = before.bytes.clone();
            bytes.splice(1000 * usize::from(depth)..1000 * usize::from(depth) + 3, noise(u64::from(depth), 20));
            let next = chunk(&repository, bytes);
            frames.push(delta(&next, &before.bytes, depth, vec![before.id]));
            chunks.push(next);
        }
        assert!(frames[1..].iter().all(|frame| frame.body.len() < 100));
        store(&repository, frames);
        // In a process that has seen none of them, by several threads that begin at both ends.
        let repository = lab.open();
        std::thread::scope(|threads| {
            for thread in 0..8usize {
                let (repository, chunks) = (&repository, &chunks);
                threads.spawn(move || {
                    for at in 0..chunks.len() {
                        let at = if thread % 2 == 0 { at } else { chunks.len() - 1 - at };
                        assert!(*repository.get(&chunks[at].id).unwrap() == chunks[at].bytes[..], "chunk {at}");
                    }
                });
            }
        });
        let report = lab.check(DataSubset::All);
        assert!(report.problems.is_empty(), "{:?}", report.problems);
    }
}

#[test]
fn chunks_that_rest_on_each_other_are_refused_whatever_their_depths() {
    for (depth_a, depth_b) in [(1, 1), (1, 2), (2, 1), (16, 16)] {
        let lab = Lab::new(Suite::None);
        let repository = lab.open();
        let (a, b) = (chunk(&repository, noise(1, 5000)), chunk(&repository, noise(2, 5000)));
        let own = delta(
            &chunk(&repository, noise(3, 5000)),
            &noise(3, 5000),
            1,
            vec![repository.hasher().id(&noise(3, 5000))],
        );
        let (to_b, to_a) = (delta(&a, &b.bytes, depth_a, vec![b.id]), delta(&b, &a.bytes, depth_b, vec![a.id]));
        let own_id = own.chunks[0].id;
        store(&repository, vec![to_b, to_a, own]);
        let repository = lab.open();
        std::thread::scope(|threads| {
            for id in [a.id, b.id, own_id, a.id, b.id] {
                let repository = &repository;
                threads.spawn(move || assert!(repository.get(&id).is_err()));
            }
        });
        // No snapshot needs them, so nothing is lost.
        assert!(lab.check(DataSubset::All).problems.is_empty());
        // A full copy of one of them heals both, as far as their depths allow.
        store(&repository, vec![full(&a)]);
        let repository = lab.open();
        assert!(*repository.get(&a.id).unwrap() == a.bytes[..]);
        assert!(*repository.get(&b.id).unwrap() == b.bytes[..]);
    }
}

#[test]
fn a_base_that_is_lost_takes_with_it_what_rests_on_it() {
    let lab = Lab::new(Suite::Aes256Gcm);
    let repository = lab.open();
    let base = chunk(&repository, noise(1, 5000));
    let next = chunk(&repository, noise(1, 5001));
    store(&repository, vec![delta(&next, &base.bytes, 1, vec![base.id])]);
    assert!(lab.open().get(&next.id).is_err());
    store(&repository, vec![full(&base)]);
    assert!(*lab.open().get(&next.id).unwrap() == next.bytes[..]);
}

#[test]
fn a_chunk_of_several_places_is_read_from_the_one_with_the_least_deltas() {
    let lab = Lab::new(Suite::None);
    let repository = lab.open();
    let (base, next) = (chunk(&repository, noise(1, 5000)), chunk(&repository, noise(1, 5001)));
    // The base of the delta is nowhere: it must not even be asked for.
    store(&repository, vec![delta(&next, &base.bytes, 3, vec![base.id]), full(&next)]);
    let repository = lab.open();
    assert_eq!(repository.catalog().locate(&next.id).unwrap().len(), 2);
    assert!(*repository.get(&next.id).unwrap() == next.bytes[..]);
}

#[test]
fn bases_longer_than_a_mebibyte_and_deltas_that_branch_without_end_are_refused() {
    let lab = Lab::new(Suite::None);
    let repository = lab.open();
    let base = chunk(&repository, noise(1, (1 << 20) + 1));
    let next = chunk(&repository, noise(2, 100));
    store(&repository, vec![full(&base), delta(&next, &base.bytes, 1, vec![base.id])]);
    assert!(lab.open().get(&next.id).is_err());
    // Each rests on the same four of the level before: four to the sixteenth ways down, and no more than 64 frames.
    let mut level: Vec<PlainChunk> = (10..14).map(|seed| chunk(&repository, noise(seed, 100))).collect();
    let mut frames: Vec<_> = level.iter().map(full).collect();
    for depth in 1..=16u8 {
        let base: Vec<u8> = level.iter().flat_map(|chunk| chunk.bytes.clone()).collect();
        let ids: Vec<_> = level.iter().map(|chunk| chunk.id).collect();
        level = (0..4).map(|seed| chunk(&repository, noise(1000 * u64::from(depth) + seed * 2, 100))).collect();
        frames.extend(level.iter().map(|chunk| delta(chunk, &base, depth, ids.clone())));
    }
    store(&repository, frames);
    let repository = lab.open();
    assert!(*repository.get(&level[3].id).unwrap() == level[3].bytes[..]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Any directory that anybody could forge: reading ends, and gives what was put in or an error.
    #[test]
    fn any_web_of_deltas_is_read_or_refused(
        links in prop::collection::vec((1u8..=16, prop::collection::vec(0usize..12, 1..=4), any::<bool>()), 12),
    ) {
        let lab = Lab::new(Suite::None);
        let repository = lab.open();
        let chunks: Vec<_> = (0..12).map(|seed| chunk(&repository, noise(2 * seed + 1, 300))).collect();
        let mut frames = Vec::new();
        for (chunk, (depth, bases, also_full)) in chunks.iter().zip(&links) {
            let base: Vec<u8> = bases.iter().flat_map(|base| chunks[*base].bytes.clone()).collect();
            frames.push(delta(chunk, &base, *depth, bases.iter().map(|base| chunks[*base].id).collect()));
            if *also_full {
                frames.push(full(chunk));
            }
        }
        store(&repository, frames);
        let repository = lab.open();
        // What can be rebuilt by links of falling depth, and nothing else, is there.
        let mut sound: Vec<bool> = links.iter().map(|link| link.2).collect();
        let depth_of = |at: usize| if links[at].2 { 0 } else { links[at].0 };
        for _ in 0..links.len() {
            for (at, (depth, bases, _)) in links.iter().enumerate() {
                sound[at] |= bases.iter().all(|base| sound[*base] && depth_of(*base) < *depth);
            }
        }
        for (chunk, sound) in chunks.iter().zip(sound) {
            match repository.get(&chunk.id) {
                Ok(bytes) => prop_assert!(sound && *bytes == chunk.bytes[..]),
                Err(error) => prop_assert!(!sound, "{}", error),
            }
        }
    }
}
