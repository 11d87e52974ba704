//! Verification against streams that differ from zlib's in one decision, or in how far it looks.

use crate::settings::Limits;
use crate::*;

/// An encoder of the lazy levels that searches otherwise than zlib does.
fn other(settings: Settings, limits: Limits) -> Encoder {
    let searcher = Searcher::new(settings, limits);
    Encoder { searcher, ..Encoder::new(settings) }
}

/// Data with many matches of many lengths, most of them short.
fn generate(mut state: u32) -> Vec<u8> {
    let mut next = |below: u32| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) % below
    };
    let (letters, reach, longest, length) = (2 + next(30), 20 + next(3000), 4 + next(12), 200 + next(6000));
    let mut data: Vec<u8> = Vec::new();
    while data.len() < length as usize {
        match next(4) {
            0 => data.push(next(letters) as u8),
            _ if data.is_empty() => {}
            _ => {
                let back = 1 + next(reach.min(data.len() as u32)) as usize;
                for _ in 0..2 + next(longest) {
                    data.push(data[data.len() - back]);
                }
            }
        }
    }
    data
}

/// Streams that differ from zlib's in few decisions, or in none, are told apart from it.
#[test]
fn what_searches_a_little_otherwise_is_confirmed_only_where_it_makes_the_same() {
    let (mut same, mut different) = (0, 0);
    for level in 4..=9 {
        for variant in [Variant::Zlib, Variant::Chromium, Variant::Go] {
            let settings = Settings { variant, level, mem_level: 8 };
            let limits = settings.limits();
            let mut encoder = Encoder::new(settings);
            let mut others: Vec<Encoder> = [
                Limits { chain: limits.chain - 1, ..limits },
                Limits { chain: limits.chain + 1, ..limits },
                Limits { chain: limits.chain / 2, ..limits },
                Limits { chain: 4, ..limits },
                Limits { nice: limits.nice - 1, ..limits },
                Limits { nice: limits.nice + 1, ..limits },
                Limits { nice: 5, ..limits },
                Limits { nice: 6, ..limits },
                Limits { nice: 8, ..limits },
                Limits { lazy: limits.lazy - 1, ..limits },
                Limits { lazy: limits.lazy + 1, ..limits },
                Limits { good: limits.good - 1, ..limits },
                Limits { good: limits.good.saturating_add(1), ..limits },
            ]
            .map(|limits| other(settings, limits))
            .into();
            for seed in 1..=150 {
                let plain = generate(seed * 0x9e37 + u32::from(level));
                let mut expected = Vec::new();
                encoder.encode(&plain, &mut expected);
                for (number, other) in others.iter_mut().enumerate() {
                    let mut stream = Vec::new();
                    other.encode(&plain, &mut stream);
                    match stream == expected {
                        true => same += 1,
                        false => different += 1,
                    }
                    let confirmed = encoder.verify(&plain, &stream);
                    assert_eq!(confirmed, stream == expected, "{settings:?}, other {number}, seed {seed}");
                }
            }
        }
    }
    assert!(same > 1000 && different > 1000, "{same} {different}");
}

/// The symbols of an input that fits into one block: for each its length (1 for a literal) and distance.
fn symbols(encoder: &Encoder, plain: &[u8]) -> Option<Vec<(usize, usize)>> {
    let (mut at, mut symbols) = (0, Vec::new());
    for symbol in encoder.blocks.symbols.iter().take(encoder.blocks.limit - 1) {
        if at >= plain.len() {
            break;
        }
        let symbol = match symbol >> 8 {
            0 => (1, 0),
            distance => ((symbol & 255) as usize + tables::MIN_MATCH, distance as usize),
        };
        at += symbol.0;
        symbols.push(symbol);
    }
    (at == plain.len()).then_some(symbols)
}

/// How long the string at `at` and the one so far back agree.
fn common(plain: &[u8], at: usize, distance: usize) -> usize {
    (at..plain.len()).take(258).take_while(|n| plain[*n] == plain[n - distance]).count()
}

/// The same bytes said in another way: one decision changed.
fn changed(
    plain: &[u8],
    symbols: &[(usize, usize)],
    next: &mut impl FnMut(usize) -> usize,
) -> Option<Vec<(usize, usize)>> {
    let which = next(symbols.len());
    let at: usize = symbols[..which].iter().map(|symbol| symbol.0).sum();
    let (length, distance) = symbols[which];
    let mut with = symbols[..which].to_vec();
    let mut replaced = 1;
    match next(6) {
        // From elsewhere.
        0 | 1 if distance > 0 => {
            let others: Vec<usize> = (1..=at.min(32_768))
                .filter(|other| *other != distance && common(plain, at, *other) >= length)
                .collect();
            with.push((length, *others.get(next(others.len().max(1)))?));
        }
        // A literal first.
        2 if length > 3 => with.extend([(1, 0), (length - 1, distance)]),
        // In two parts.
        3 if length >= 6 => {
            let first = 3 + next(length - 5);
            with.extend([(first, distance), (length - first, distance)]);
        }
        // As literals.
        4 if distance > 0 => with.extend((0..length).map(|_| (1, 0))),
        // A match in the place of several symbols.
        _ => {
            let found: Vec<(usize, usize)> = (1..=at.min(32_768))
                .map(|other| (common(plain, at, other), other))
                .filter(|(found, _)| *found >= 3)
                .collect();
            let (found, other) = *found.get(next(found.len().max(1)))?;
            let mut covered = 0;
            replaced = 0;
            while which + replaced < symbols.len() && covered + symbols[which + replaced].0 <= found {
                covered += symbols[which + replaced].0;
                replaced += 1;
            }
            if covered < 3 {
                return None;
            }
            with.push((covered, other));
        }
    }
    with.extend(&symbols[which + replaced..]);
    Some(with)
}

/// Whatever single decision is changed in what zlib makes, it is not confirmed any more.
#[test]
fn one_decision_changed_is_never_confirmed() {
    let mut state = 88_172_645_u32;
    let mut next = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 7) as usize % below
    };
    let mut encoders: Vec<Encoder> = (4..=9)
        .flat_map(|level| {
            [Variant::Zlib, Variant::Chromium, Variant::Go].map(|variant| Settings { variant, level, mem_level: 8 })
        })
        .map(Encoder::new)
        .collect();
    let mut changes = 0;
    for case in 0..CASES {
        let plain = match case % 4 {
            0 => generate(case * 0x9e37 + 1),
            // Short periods from the first byte on.
            1 | 2 => {
                let (letters, length) = (2 + next(6), 2 + next(30));
                let period: Vec<u8> = (0..length).map(|_| next(letters) as u8).collect();
                let mut plain = period.repeat(2 + next(20));
                for _ in 0..next(8) {
                    let at = next(plain.len());
                    plain[at] = next(letters) as u8;
                }
                plain
            }
            // Strings about as far back as zlib looks.
            _ => {
                let start: Vec<u8> = (0..10 + next(300)).map(|_| b'a' + next(3) as u8).collect();
                let mut plain = start.clone();
                plain.resize(32_400 + next(420), b'z');
                plain.extend_from_slice(&start);
                plain.extend((0..next(20)).map(|_| next(256) as u8));
                plain.extend_from_slice(&start[next(start.len())..]);
                plain
            }
        };
        for encoder in &mut encoders {
            let mut expected = Vec::new();
            encoder.encode(&plain, &mut expected);
            let Some(symbols) = symbols(encoder, &plain) else { continue };
            for _ in 0..12 {
                let Some(other) = changed(&plain, &symbols, &mut next) else { continue };
                let (mut stream, mut at) = (Vec::new(), 0);
                let mut blocks = output::Blocks::new(encoder.settings);
                let mut output = Output::new(&mut blocks, &plain, &mut stream, None);
                for (length, distance) in &other {
                    match distance {
                        0 => drop(output.literal(plain[at])),
                        _ => drop(output.matched(*length, *distance)),
                    }
                    at += length;
                }
                let _ = output.flush(plain.len(), plain.len(), true);
                output.finish();
                assert_eq!(at, plain.len());
                changes += usize::from(stream != expected);
                let confirmed = encoder.verify(&plain, &stream);
                assert_eq!(confirmed, stream == expected, "{:?}, case {case}: {symbols:?} {other:?}", encoder.settings);
            }
        }
    }
    assert!(changes > 5000, "{changes}");
}

const CASES: u32 = 240;
