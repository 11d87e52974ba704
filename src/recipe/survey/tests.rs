//! Containers and other files of which any chunk may be lost.

use super::*;
use crate::avro::container::put_block_header;
use crate::chunk::{ChunkKind, ChunkMap, CutParams};
use crate::recipe::{Framer, PayloadDecision, Recipe, Segment, Splitter, StreamBuilder};
use proptest::prelude::*;

const SMALL: CutParams = CutParams { min: 64, average: 256, max: 1024, align: 512 };

/// A container of this many blocks of this many longs each, taken apart; some blocks are kept as their payloads.
fn container(blocks: &[u64], map: &mut ChunkMap) -> (Recipe, Vec<Vec<u8>>) {
    let mut file = b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00".to_vec();
    file.extend([7; 16]);
    let mut payloads = Vec::new();
    for (number, count) in blocks.iter().enumerate() {
        let mut payload = Vec::new();
        for long in 0..*count {
            crate::avro::varint::encode(&mut payload, (long * long * 7919 + number as u64).cast_signed());
        }
        put_block_header(&mut file, *count, payload.len());
        file.extend(&payload);
        file.extend([7; 16]);
        payloads.push(payload);
    }
    let (mut framer, mut splitter) = (Framer::new(true), Splitter::new(SMALL));
    framer.push(&file);
    let mut number = 0;
    while let Some(segment) = framer.next_segment(true) {
        match segment {
            Segment::Block(block) if number % 3 != 2 => {
                number += 1;
                let decision = PayloadDecision::Decode { plain: None, encoder: "null".into(), corrections: None };
                splitter.block(block, decision, map).unwrap();
            }
            segment => {
                number += u64::from(matches!(segment, Segment::Block(_)));
                splitter.segment(segment, map).unwrap();
            }
        }
    }
    (splitter.finish(map).unwrap().recipe, payloads)
}

proptest! {
    #[test]
    fn what_is_sound_is_read_and_what_is_lost_is_reported(
        blocks in prop::collection::vec(0u64..400, 0..60), lost in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let mut map = ChunkMap::default();
        let (recipe, payloads) = container(&blocks, &mut map);
        let mut ids: Vec<_> = map.chunks.keys().copied().collect();
        ids.sort();
        for index in lost.iter().filter(|_| !ids.is_empty()) {
            map.chunks.remove(index.get(&ids));
        }
        let Recipe::Container(container) = &recipe else { panic!("a container") };
        let mut is_lost = |id: &ChunkId| Ok(!map.chunks.contains_key(id));
        let totals = Some((blocks.len() as u64, blocks.iter().sum()));
        let mut survey = ContainerSurvey::new(container, totals, &map, &mut is_lost).unwrap();
        let (mut met, mut found) = (vec![false; blocks.len()], Loss::default());
        while let Some(stretch) = survey.next_stretch(&mut is_lost).unwrap() {
            found.add(&stretch);
            match stretch {
                Stretch::Block(block) => {
                    let number = block.number as usize;
                    prop_assert!(!std::mem::replace(&mut met[number], true));
                    prop_assert_eq!(block.first_record, blocks[..number].iter().sum::<u64>());
                    if block.sound {
                        let Part::Payload { payload, .. } = survey.read_block(&block).unwrap() else { panic!("kept") };
                        prop_assert_eq!(&payload, &payloads[number]);
                    }
                }
                Stretch::Unknown { blocks: unknown, .. } => {
                    unknown.for_each(|number| met[number as usize] = true);
                }
                _ => {}
            }
        }
        prop_assert!(met.iter().all(|met| *met));
        let whole = loss(&recipe, totals, &map, &mut is_lost).unwrap();
        prop_assert_eq!(whole.unwrap_or_default(), found.clone());
        prop_assert_eq!(found.is_any(), lost.iter().any(|index| !ids.is_empty() && is_lost(index.get(&ids)).unwrap()));
    }

    #[test]
    fn ranges_that_touch_are_one(numbers in prop::collection::btree_set(0u64..5000, 0..3000)) {
        let mut ranges = Ranges::default();
        numbers.iter().for_each(|number| ranges.push(*number..number + 1));
        prop_assert_eq!(ranges.total, numbers.len() as u64);
        let starts = numbers.iter().filter(|number| **number == 0 || !numbers.contains(&(**number - 1))).count();
        prop_assert_eq!(ranges.ranges.len() + ranges.unlisted as usize, starts);
        prop_assert!(ranges.ranges.len() <= 1000);
    }
}

#[test]
fn the_lost_bytes_of_a_plain_file_are_reported() {
    let mut map = ChunkMap::default();
    let mut builder = StreamBuilder::new();
    for piece in 0..300u32 {
        builder.push(ChunkKind::Bytes, piece.to_le_bytes().repeat(200), 0, &mut map).unwrap();
    }
    let recipe = Recipe::Plain(builder.finish(&mut map).unwrap());
    assert_eq!(loss(&recipe, None, &map, &mut |id| Ok(!map.chunks.contains_key(id))).unwrap(), None);
    let gone = crate::id::ChunkHasher::open().id(&5u32.to_le_bytes().repeat(200));
    map.chunks.remove(&gone).unwrap();
    let lost = loss(&recipe, None, &map, &mut |id| Ok(!map.chunks.contains_key(id))).unwrap().unwrap();
    assert_eq!(lost.bytes.ranges, vec![4000..4800]);
    // Without a node all that hung on it is lost; without the root all.
    map.chunks.retain(|_, (kind, _)| *kind != ChunkKind::Node);
    let lost = loss(&recipe, None, &map, &mut |id| Ok(!map.chunks.contains_key(id))).unwrap().unwrap();
    assert_eq!(lost.bytes.ranges, vec![0..240_000]);
}
