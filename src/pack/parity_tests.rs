use proptest::prelude::*;

use super::*;
use crate::crypto::{Entropy, SeededEntropy};

const REPOSITORY: RepositoryId = RepositoryId::new([5; 16]);

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    SeededEntropy::new(seed).fill(&mut bytes).unwrap();
    bytes
}

fn id_of(pack: &[u8]) -> PackId {
    PackId::new(digest(pack))
}

fn parity_of(pack: &[u8], share: u32) -> Vec<u8> {
    make_parity(REPOSITORY, &id_of(pack), pack, share).unwrap()
}

fn mend(object: &[u8], left: &[u8]) -> Option<Vec<u8>> {
    Parity::read(object, REPOSITORY).unwrap().mend(left)
}

/// Product of two elements, each written in powers of x.
fn product(mut a: u32, mut b: u32) -> u32 {
    let mut sum = 0;
    while b > 0 {
        if b & 1 == 1 {
            sum ^= a;
        }
        a <<= 1;
        if a & 0x1_0000 != 0 {
            a ^= 0x1_002d;
        }
        b >>= 1;
    }
    sum
}

fn inverse(element: u32) -> u32 {
    // element ^ (2^16 - 2)
    (1..16)
        .fold((1, element), |(sum, power), _| {
            let power = product(power, power);
            (product(sum, power), power)
        })
        .0
}

/// The element that a number stands for.
fn element(number: u16) -> u32 {
    const BASIS: [u32; 16] = [
        0x0001, 0xacca, 0x3c0e, 0x163e, 0xc582, 0xed2e, 0x914c, 0x4012, 0x6c98, 0x10d8, 0x6a72, 0xb900, 0xfdb8, 0xfb34,
        0xff38, 0x991e,
    ];
    BASIS.iter().enumerate().filter(|(bit, _)| number >> bit & 1 == 1).fold(0, |sum, (_, basis)| sum ^ basis)
}

/// The code as `docs/format.md` defines it, without any trick: the value at a point of the polynomial that takes these
/// values at the points from `first` on.
fn value_at(point: u16, first: u16, values: &[u32]) -> u32 {
    let mut sum = 0;
    for (i, value) in values.iter().enumerate().filter(|(_, value)| **value != 0) {
        let own = element(first + i as u16);
        let factors = (0..values.len()).filter(|other| *other != i).map(|other| element(first + other as u16));
        let factor = factors.fold(1, |product_so_far, other| {
            product(product(product_so_far, element(point) ^ other), inverse(own ^ other))
        });
        sum ^= product(*value, factor);
    }
    sum
}

/// Number `at` of a shard.
fn number_of(shard: &[u8], at: usize) -> u16 {
    let start = at / 32 * 64 + at % 32;
    u16::from(shard[start]) | u16::from(shard[start + 32]) << 8
}

#[test]
fn the_code_is_the_one_that_the_format_defines() {
    for (length, share) in [(256, 400), (1000, 50), (1300, 250), (5000, 90)] {
        let pack = noise(length, length as usize);
        let object = parity_of(&pack, share);
        let layout = Parity::read(&object, REPOSITORY).unwrap().layout;
        let first = layout.recoveries.next_power_of_two();
        let points = (first + layout.originals).next_power_of_two();
        let last = filled_up(&layout, &pack);
        for at in [0, 1, 31] {
            let mut values: Vec<u32> = (0..layout.originals)
                .map(|number| element(number_of(shard_of(&layout, &pack, &last, number), at)))
                .collect();
            values.resize(points - first, 0);
            for number in 0..layout.recoveries {
                let recovery = &object[layout.recovery(number)];
                let value = value_at(number as u16, first as u16, &values);
                assert_eq!(element(number_of(recovery, at)), value, "{layout:?}, {number}, {at}");
            }
        }
    }
}

#[test]
fn the_bytes_of_a_parity_object_never_change() {
    let made = GOLDEN.map(|(length, share, _)| {
        let object = parity_of(&noise(7, length), share);
        (length, share, crate::id::hex(&digest(&object)[..8]))
    });
    assert_eq!(made, GOLDEN.map(|(length, share, hash)| (length, share, hash.to_owned())));
}

const GOLDEN: [(usize, u32, &str); 4] = [
    (1, 1, "f8fa538f6a88d245"),
    (1000, 50, "bab22205e6eaab6c"),
    (100_000, 125, "c7ef2bb8df4b5256"),
    (1_500_000, 50, "dd0218cd5aa7c123"),
];

#[test]
fn the_share_is_about_what_it_costs() {
    for (length, most) in [(150, 380), (1000, 460), (16 << 10, 1800), (256 << 10, 17_000), (1 << 20, 59_000)] {
        let object = parity_of(&noise(1, length), 50);
        assert!(object.len() <= most && object.len() >= length / 20, "{length}: {}", object.len());
    }
    let layout = Layout::of(16 << 20, 50).unwrap();
    let whole = 2 * layout.head() + layout.recoveries * layout.shard;
    assert!((838_000..910_000).contains(&whole), "{whole}");
    assert_eq!((Layout::of(0, 50), Layout::of(100, 0), Layout::of(MAX_PACK as usize + 1, 50)), (None, None, None));
}

#[test]
fn any_one_damage_to_the_object_leaves_it_of_use() {
    let pack = noise(3, 9_000);
    let object = parity_of(&pack, 100);
    let mut harmed = pack.clone();
    harmed[4_000] ^= 1;
    for at in 0..object.len() {
        let mut flipped = object.clone();
        flipped[at] ^= 0x20;
        assert_eq!(mend(&flipped, &harmed).as_ref(), Some(&pack), "byte {at}");
        assert!(!Parity::read(&flipped, REPOSITORY).unwrap().is_made_of(&pack), "byte {at}");
    }
    assert!(Parity::read(&object, REPOSITORY).unwrap().is_made_of(&pack));
    assert!(!Parity::read(&object, REPOSITORY).unwrap().is_made_of(&harmed));
    // Of an object that was cut off, the first head is left, and as many shards as are left.
    let layout = Parity::read(&object, REPOSITORY).unwrap().layout;
    for cut in 0..object.len() {
        match Parity::read(&object[..cut], REPOSITORY) {
            Ok(parity) => {
                let mended = parity.mend(&harmed);
                assert_eq!(mended.is_some(), cut >= layout.recovery(0).end, "{cut}");
            }
            Err(_) => assert!(cut < layout.head(), "{cut}"),
        }
    }
}

/// An object that says what the forger likes, with checks that fit.
fn forged(pack: &PackId, length: u32, shard: u32, originals: u16, recoveries: u16, after: &[u8]) -> Vec<u8> {
    let mut fixed = Vec::new();
    fixed.put(&Prelude { kind: Kind::Parity, suite: Suite::None, epoch: 0, repository: REPOSITORY }.encode());
    fixed.put(pack.as_bytes());
    fixed.put_u32(length);
    fixed.put_u32(shard);
    fixed.put_u16(originals);
    fixed.put_u16(recoveries);
    let hashes = vec![7; HASH_LEN * (usize::from(originals) + usize::from(recoveries))];
    let check = check_of(&fixed, &hashes);
    [&fixed[..], &hashes, &check, after].concat()
}

#[test]
fn a_forged_object_gives_nothing() {
    let pack = noise(4, 2_000);
    let id = id_of(&pack);
    let numbers = [0, 1, 2, 63, 64, 128, 2_000, 65_535, 1 << 26, u32::MAX];
    for length in numbers {
        for shard in numbers {
            let originals = (length as usize).div_ceil(shard.max(1) as usize) as u16;
            for recoveries in [0, 1, originals, u16::MAX] {
                let object = forged(&id, length, shard, originals, recoveries, &[7; 500]);
                let Ok(parity) = Parity::read(&object, REPOSITORY) else { continue };
                assert_eq!(parity.mend(&pack), None);
                assert_eq!(parity.mend(&[]), None);
                assert!(!parity.is_made_of(&pack));
            }
        }
    }
    // Of another pack, of another repository, of another kind.
    let other = parity_of(&noise(5, 2_000), 100);
    assert_eq!(mend(&other, &pack), None);
    assert!(Parity::read(&parity_of(&pack, 100), RepositoryId::new([6; 16])).is_err());
    let mut log = parity_of(&pack, 100);
    let end = log.len();
    for fixed in [0, end - CHECK_LEN - FIXED_LEN] {
        log[fixed + 4] = Kind::Index.number();
    }
    assert!(Parity::read(&log, REPOSITORY).is_err());
    // A sound head over shards that were made of something else: the name of the pack shows it.
    let lie = make(Layout::of(2_000, 300).unwrap(), REPOSITORY, &id, &noise(6, 2_000)).unwrap();
    assert_eq!(Parity::read(&lie, REPOSITORY).unwrap().mend(&noise(6, 2_000)), None);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn damage_within_reach_comes_back_bit_for_bit_and_beyond_it_is_refused(
        seed: u64,
        length in prop_oneof![1usize..400, 1usize..40_000, 200_000usize..400_000],
        share in prop_oneof![1u32..200, 900u32..=1000],
        places in prop::collection::vec((any::<u64>(), 1usize..6_000), 0..24),
        cut in prop_oneof![Just(None), any::<u64>().prop_map(Some)],
        lost_recoveries in 0usize..3,
    ) {
        let pack = noise(seed, length);
        let mut object = parity_of(&pack, share);
        let layout = Parity::read(&object, REPOSITORY).unwrap().layout;
        let mut left = pack.clone();
        for (at, burst) in places {
            let at = (at % length as u64) as usize;
            left[at..length.min(at + burst)].iter_mut().for_each(|byte| *byte = !*byte);
        }
        if let Some(cut) = cut {
            let shard = layout.shard as u64;
            left.truncate(length - (cut % (2 * shard)).min(length as u64) as usize);
        }
        for number in 0..lost_recoveries.min(layout.recoveries) {
            let at = layout.recovery(number).start;
            object[at] ^= 1;
        }
        let lost = (0..layout.originals).filter(|number| {
            left.get(layout.original(*number)) != Some(&pack[layout.original(*number)])
        }).count();
        let within = lost + lost_recoveries.min(layout.recoveries) <= layout.recoveries;
        // What was made longer is read as if it were not.
        if left.len() == length && seed.is_multiple_of(3) {
            left.extend([1, 2, 3]);
        }
        let expected = (within || lost == 0).then_some(pack);
        prop_assert_eq!(mend(&object, &left), expected, "{:?}, {} lost", layout, lost);
    }

    #[test]
    fn any_bytes_are_read_or_refused(object: Vec<u8>, left: Vec<u8>) {
        if let Ok(parity) = Parity::read(&object, REPOSITORY) {
            let _ = parity.mend(&left);
        }
    }
}

#[test]
fn shares_are_read() {
    for (text, share) in
        [("5%", 50), ("5", 50), ("2.5%", 25), ("0.1", 1), ("100%", 1000), ("0", 0), ("0%", 0), ("off", 0)]
    {
        assert_eq!(parse_share(text), Ok(share), "{text}");
    }
    for wrong in ["", "%", "5%%", "-1%", "+5", "100.1%", "101", "0.05%", "2.", ".5", "five", "5 %", "4294967295"] {
        assert!(parse_share(wrong).is_err(), "{wrong}");
    }
}
