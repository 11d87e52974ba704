use super::*;
use proptest::prelude::*;

/// A container with these payloads.
pub(crate) fn container(marker: [u8; 16], payloads: &[Vec<u8>]) -> Vec<u8> {
    let mut file = b"Obj\x01\x02\x16avro.schema\x0c\"long\"\x00".to_vec();
    file.extend(marker);
    for payload in payloads {
        container::put_block_header(&mut file, payload.len() as u64, payload.len());
        file.extend(payload);
        file.extend(marker);
    }
    file
}

/// The file put together again, and how it was taken apart.
fn again(file: &[u8], parts: &[usize]) -> (Vec<u8>, String, Finding) {
    let (mut framer, mut bytes, mut kinds, mut at) = (Framer::new(true), Vec::new(), String::new(), 0);
    let mut marker = [0; 16];
    for part in parts.iter().cycle() {
        let end = at == file.len();
        while let Some(segment) = framer.next_segment(end) {
            match segment {
                Segment::Header(header) => {
                    bytes.extend(header.bytes());
                    bytes.extend(header.marker);
                    marker = header.marker;
                    kinds.push('H');
                }
                Segment::Block(block) => {
                    match &block.odd_head {
                        Some(head) => bytes.extend(head),
                        None => container::put_block_header(&mut bytes, block.count, block.payload.len()),
                    }
                    bytes.extend(block.payload);
                    bytes.extend(marker);
                    kinds.push('B');
                }
                Segment::Stray(stray) => {
                    bytes.extend(stray);
                    kinds.push('s');
                }
                Segment::Plain(plain) => {
                    bytes.extend(plain);
                    kinds.push('p');
                }
            }
        }
        if end {
            return (bytes, kinds, framer.finding());
        }
        let next = file.len().min(at + part);
        framer.push(&file[at..next]);
        at = next;
    }
    unreachable!()
}

proptest! {
    #[test]
    fn the_parts_are_the_file_whatever_was_done_to_it(
        marker: [u8; 16],
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..6),
        parts in prop::collection::vec(1usize..400, 1..4),
        at: prop::sample::Index, to: u8, cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut file = container(marker, &payloads);
        let (bytes, kinds, finding) = again(&file, &parts);
        prop_assert_eq!(&bytes, &file);
        prop_assert_eq!(finding, Finding::Sound);
        prop_assert_eq!(kinds.len(), 1 + payloads.len());
        let place = at.index(file.len());
        file[place] = to;
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        prop_assert_eq!(&again(&file, &parts).0, &file);
    }

    #[test]
    fn any_bytes_come_back(file: Vec<u8>, parts in prop::collection::vec(1usize..40, 1..4)) {
        prop_assert_eq!(&again(&file, &parts).0, &file);
    }
}

#[test]
fn after_a_damaged_block_the_next_one_is_found() {
    let mut file = container([7; 16], &[vec![1; 50], vec![2; 50], vec![3; 50]]);
    let second_marker = file.len() - 52 - 16 - 10;
    file[second_marker] ^= 1;
    let (bytes, kinds, finding) = again(&file, &[1000]);
    assert_eq!(bytes, file);
    assert!(kinds.starts_with("HB") && kinds.contains('s'), "{kinds}");
    assert_eq!(finding, Finding::Damaged(Flaw::Marker));
}

#[test]
fn line_ends_and_nuls_after_the_last_marker_are_counted() {
    let file = container([7; 16], &[vec![1; 50]]);
    for tail in [&b"\n"[..], b"\r\n", &[0; 40], b"\n\n\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"] {
        let stray = [&file[..], tail].concat();
        for part in [1, 7, 1000] {
            let mut framer = Framer::new(true);
            for bytes in stray.chunks(part) {
                framer.push(bytes);
                while framer.next_segment(false).is_some() {}
            }
            while framer.next_segment(true).is_some() {}
            assert_eq!((framer.finding(), framer.stray_bytes()), (Finding::Sound, tail.len() as u64));
        }
    }
    let (_, _, finding) = again(&[&file[..], b"\nx"].concat(), &[1000]);
    assert_eq!(finding, Finding::Torn);
    // NULs in the middle are no tail.
    let (_, _, finding) = again(&[&file[..], &[0; 40], &[7; 16], &file[file.len() - 68..]].concat(), &[1000]);
    assert_eq!(finding, Finding::Damaged(Flaw::Marker));
}

/// What is found in a file whose second block says it has `size` bytes, and has `real` ones.
fn with_large_block(size: usize, real: usize, marker: [u8; 16]) -> Finding {
    let mut framer = Framer::new(true);
    let mut head = container([7; 16], &[vec![1; 50]]);
    container::put_block_header(&mut head, 1, size);
    framer.push(&head);
    let part = vec![3; 1 << 20];
    let mut left = real;
    while left > 0 {
        framer.push(&part[..left.min(part.len())]);
        left -= left.min(part.len());
        while framer.next_segment(false).is_some() {}
    }
    framer.push(&marker);
    framer.push(&container([7; 16], &[vec![1; 50]])[41..]);
    while framer.next_segment(true).is_some() {}
    framer.finding()
}

#[test]
fn a_block_that_is_too_large_is_not_taken_for_a_damaged_size() {
    let size = MAX_BLOCK + (1 << 20);
    assert!(matches!(with_large_block(size, size, [7; 16]), Finding::BeyondLimits(Flaw::TooLarge { .. })));
    assert!(matches!(with_large_block(size, 1000, [7; 16]), Finding::Damaged(Flaw::TooLarge { .. })));
    assert_eq!(
        with_large_block(size, 1000, [8; 16]),
        Finding::Damaged(Flaw::TooLarge { size: size as i64, header_len: 6 })
    );
}

#[test]
fn a_length_that_leads_beyond_the_end_is_no_large_header() {
    let mut file = b"Obj\x01\x02\x16avro.schema".to_vec();
    crate::avro::varint::encode(&mut file, 17 << 20);
    assert_eq!(again(&file, &[1000]).2, Finding::BadHeader(None));
    file.resize(18 << 20, b' ');
    assert!(matches!(again(&file, &[1 << 20]).2, Finding::BeyondLimits(Flaw::HeaderTooLarge { .. })));
    for byte in 0..4 {
        let mut damaged = container([7; 16], &[vec![1; 50]]);
        damaged[byte] ^= 1;
        assert_eq!(again(&damaged, &[1000]).2, Finding::BadHeader(Some(Flaw::Magic)));
    }
}
