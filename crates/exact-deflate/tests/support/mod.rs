//! Shared by the tests and the bench: libz as the judge, generated data, pieces of real files.
#![allow(
    unsafe_code,
    dead_code,
    unreachable_pub,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::ffi::c_int;
use std::path::{Path, PathBuf};

use libz_sys as z;

/// One `deflate(Z_FINISH)` of libz over the whole input, raw.
pub fn libz_deflate(plain: &[u8], level: u8, mem_level: u8) -> Vec<u8> {
    // SAFETY: a zeroed z_stream is what deflateInit2 wants; the pointers are valid for the lengths given.
    unsafe {
        let mut stream = std::mem::MaybeUninit::<z::z_stream>::zeroed();
        let s = stream.as_mut_ptr();
        // The bindings type these as non-null functions; libz wants null for its defaults.
        let rc = z::deflateInit2_(
            s,
            c_int::from(level),
            z::Z_DEFLATED,
            -15,
            c_int::from(mem_level),
            z::Z_DEFAULT_STRATEGY,
            z::zlibVersion(),
            size_of::<z::z_stream>() as c_int,
        );
        assert_eq!(rc, z::Z_OK);
        let mut out = Vec::with_capacity(plain.len() + plain.len() / 8 + 1024);
        (*s).next_in = plain.as_ptr().cast_mut();
        (*s).avail_in = plain.len().try_into().unwrap();
        (*s).next_out = out.as_mut_ptr();
        (*s).avail_out = out.capacity().try_into().unwrap();
        let rc = z::deflate(s, z::Z_FINISH);
        assert_eq!(rc, z::Z_STREAM_END);
        let written = usize::try_from((*s).total_out).unwrap();
        z::deflateEnd(s);
        assert!(written <= out.capacity());
        out.set_len(written);
        out
    }
}

/// Raw inflate with libz, to at most `limit` bytes; gives the bytes and how much of the input they took.
pub fn libz_inflate(data: &[u8], limit: usize) -> Option<(Vec<u8>, usize)> {
    // SAFETY: as above.
    unsafe {
        let mut stream = std::mem::MaybeUninit::<z::z_stream>::zeroed();
        let s = stream.as_mut_ptr();
        let rc = z::inflateInit2_(s, -15, z::zlibVersion(), size_of::<z::z_stream>() as c_int);
        assert_eq!(rc, z::Z_OK);
        let mut out = Vec::with_capacity(limit + 1);
        (*s).next_in = data.as_ptr().cast_mut();
        (*s).avail_in = data.len().try_into().unwrap();
        (*s).next_out = out.as_mut_ptr();
        (*s).avail_out = out.capacity().try_into().unwrap();
        let rc = z::inflate(s, z::Z_FINISH);
        let (written, read) = ((*s).total_out as usize, (*s).total_in as usize);
        z::inflateEnd(s);
        out.set_len(written);
        (rc == z::Z_STREAM_END).then_some((out, read))
    }
}

/// Marsaglia's xorshift64*, small enough to be written again in JavaScript.
#[derive(Clone)]
pub struct Rng(pub u64);

impl Rng {
    pub fn new(seed: u64) -> Self {
        let mut rng = Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        for _ in 0..4 {
            rng.next();
        }
        rng
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
    /// One of the numbers.
    pub fn pick(&mut self, from: &[usize]) -> usize {
        from[self.below(from.len())]
    }
    /// Below `n`; `n` at most 2^31.
    pub fn below(&mut self, n: usize) -> usize {
        ((self.next() >> 32).wrapping_mul(n as u64) >> 32) as usize
    }
}

/// Data of `len` bytes with structure of one of [`KINDS`] sorts.
pub fn generate(rng: &mut Rng, kind: usize, len: usize) -> Vec<u8> {
    let mut data = Vec::with_capacity(len + 600);
    match kind {
        // Noise over alphabets of 1 to 256 symbols.
        0 => {
            let alphabet = 1 + rng.pick(&[1, 2, 3, 5, 16, 64, 255]);
            while data.len() < len {
                data.push(rng.below(alphabet) as u8);
            }
        }
        // Copies from anywhere before, between bursts of noise: matches of all lengths and distances.
        1 => {
            let alphabet = rng.pick(&[2, 8, 256]);
            let reach = rng.pick(&[100, 4096, 4200, 32768, 70000]);
            let longest = rng.pick(&[4, 8, 20, 300, 1000]);
            while data.len() < len {
                for _ in 0..rng.below(6) {
                    data.push(rng.below(alphabet) as u8);
                }
                if !data.is_empty() {
                    let back = 1 + rng.below(reach.min(data.len()));
                    for _ in 0..1 + rng.below(longest) {
                        data.push(data[data.len() - back]);
                    }
                }
            }
        }
        // Records from a vocabulary, with counters: like rows of a table.
        2 => {
            let words: Vec<Vec<u8>> = (0..1 + rng.below(60))
                .map(|_| (0..1 + rng.below(14)).map(|_| b'a' + rng.below(20) as u8).collect())
                .collect();
            let mut row = rng.below(100_000);
            while data.len() < len {
                row += 1 + rng.below(3);
                data.extend_from_slice(row.to_string().as_bytes());
                for _ in 0..1 + rng.below(5) {
                    data.push(words.len() as u8);
                    data.extend_from_slice(&words[rng.below(words.len())]);
                }
                data.extend_from_slice(&(rng.next() as u32).to_le_bytes()[..rng.below(5)]);
            }
        }
        // Long runs, broken now and then.
        3 => {
            while data.len() < len {
                let byte = rng.below(3) as u8;
                let most = rng.pick(&[3, 300, 5000, 70000]);
                let run = 1 + rng.below(most);
                data.resize(data.len() + run, byte);
                if data.len() > 2 * len {
                    break;
                }
            }
        }
        // A short period with rare changes: chains as long as can be.
        4 => {
            let period: Vec<u8> = (0..1 + rng.below(40)).map(|_| rng.below(4) as u8).collect();
            let rare = 1 + rng.below(2000);
            while data.len() < len {
                let byte = period[data.len() % period.len()];
                data.push(if rng.below(rare) == 0 { rng.below(256) as u8 } else { byte });
            }
        }
        // Skewed frequencies, so that codes get as long as they may.
        5 => {
            while data.len() < len {
                let r = rng.next();
                data.push((r.leading_zeros() as u8).wrapping_mul(7) ^ (r as u8 & 1));
            }
        }
        // Pieces of the above, in a row.
        _ => {
            while data.len() < len {
                let kind = rng.below(KINDS - 1);
                let piece = 1 + rng.below(len - data.len());
                let piece = generate(rng, kind, piece);
                data.extend_from_slice(&piece);
            }
        }
    }
    data.truncate(len);
    data
}

/// Number of sorts that [`generate`] knows.
pub const KINDS: usize = 7;

/// The inputs of golden vectors, as the scripts that made these generate them.
pub fn vector_input(seed: u32, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b1) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize
    };
    let seed = seed as usize;
    let alphabet = [2, 20, 256][seed % 3];
    let reach = [500, 5000, 40_000, 100_000][(seed >> 1) % 4];
    let longest = [5, 30, 400][(seed >> 2) % 3];
    let mut data = Vec::with_capacity(length + 400);
    while data.len() < length {
        let r = next();
        if data.is_empty() || r & 3 == 0 {
            for _ in 0..((r >> 2 & 3) + 1).min(length - data.len()) {
                data.push(((next() >> 8) % alphabet) as u8);
            }
        } else {
            let back = 1 + next() % data.len().min(reach);
            for _ in 0..(1 + next() % longest).min(length - data.len()) {
                data.push(data[data.len() - back]);
            }
        }
    }
    data
}

/// FNV-1a of 32 bits.
pub fn fnv(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, &byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// All files below a folder, sorted.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found.sort();
    found
}

/// Pieces of 64 000 bytes of the files below the folder that `EXACT_DEFLATE_FILES` names; `limit` bytes at most, spread
/// over the files. None if it names none.
pub fn pieces(limit: usize) -> Option<Vec<Vec<u8>>> {
    let folder = std::env::var_os("EXACT_DEFLATE_FILES")?;
    let files = files(Path::new(&folder));
    assert!(!files.is_empty(), "no files below {}", folder.display());
    let share = (limit / files.len()).max(64_000);
    let (mut pieces, mut bytes) = (Vec::new(), 0);
    for file in files {
        let data = std::fs::read(&file).unwrap();
        for piece in data[..data.len().min(share)].chunks(64_000) {
            if bytes >= limit {
                return Some(pieces);
            }
            bytes += piece.len();
            pieces.push(piece.to_vec());
        }
    }
    Some(pieces)
}

/// A number from the environment.
pub fn env(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}
