//! Generated inputs, encoded here and by the programs whose output an id names: every byte is the same.
//!
//! `SNAP_PEERS` says which: `ID=COMMAND` for each, parted by newlines or `;`. A command reads inputs from its standard input, each after
//! its length as four bytes (little-endian), and writes what it makes of each in the same form, flushed after each. Snappy's is
//! compared without the CRC-32, which is Avro's. `fixtures/writers/` has the sources of such programs and says how they are built.
//! `SNAP_PEER_CASES=n` inputs from seed `SNAP_PEER_SEED` on; each input names its seed if it differs, and goes to the folder
//! `SNAP_PEER_KEEP` with what was made of it here and there.

use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use avro_snap::avro::codec::Codec;
use avro_snap::avro::encoder::selftest::{Kind, sample};
use avro_snap::avro::encoder::{EncoderId, Encoders};

struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 20) as usize) % end.max(1)
    }
}

/// What inputs are cut from.
struct Inputs {
    sources: Vec<Vec<u8>>,
}

impl Inputs {
    fn new() -> Self {
        Self { sources: Kind::ALL.map(|kind| sample(kind, 1_500_000)).to_vec() }
    }

    /// The input of a seed: pieces of records, runs and noise, few letters, and what came before.
    fn of(&self, seed: u64) -> Vec<u8> {
        let mut random = Random::new(seed);
        let length = match random.below(20) {
            0..8 => random.below(300),
            8..15 => random.below(5_000),
            15..18 => random.below(40_000),
            18 => random.below(140_000),
            _ => 16_000 + random.below(70_000),
        };
        let mut plain = Vec::with_capacity(length);
        while plain.len() < length {
            let piece = 1 + random.below(length);
            match random.below(8) {
                0..4 => {
                    let source = &self.sources[[0, 0, 1, 2][random.below(4)]];
                    let from = random.below(source.len() - piece);
                    plain.extend_from_slice(&source[from..from + piece]);
                }
                4 => {
                    let letters = 1 + random.below(6);
                    plain.extend((0..piece).map(|_| random.below(letters) as u8));
                }
                5 => plain.extend(std::iter::repeat_n(random.below(256) as u8, piece.min(3_000))),
                _ if plain.is_empty() => {}
                _ => {
                    let from = random.below(plain.len());
                    let piece = piece.min(plain.len() - from);
                    plain.extend_from_within(from..from + piece);
                }
            }
        }
        plain.truncate(length);
        plain
    }
}

struct Peer {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Peer {
    fn new(command: &str) -> Self {
        let spawned = Command::new("sh").arg("-c").arg(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output: BufReader::new(output) }
    }

    fn encode(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut message = (plain.len() as u32).to_le_bytes().to_vec();
        message.extend_from_slice(plain);
        self.input.write_all(&message).unwrap();
        self.input.flush().unwrap();
        let mut length = [0; 4];
        self.output.read_exact(&mut length).unwrap();
        let mut made = vec![0; u32::from_le_bytes(length) as usize];
        self.output.read_exact(&mut made).unwrap();
        made
    }

    fn end(self) {
        let Self { mut child, input, .. } = self;
        drop(input);
        child.wait().unwrap();
    }
}

/// Whether it is some bytes, and nothing but the same again.
fn is_repetition(plain: &[u8]) -> bool {
    (1..=plain.len() / 2)
        .filter(|period| plain.len().is_multiple_of(*period))
        .any(|period| plain[period..] == plain[..plain.len() - period])
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[test]
fn programs_write_what_their_ids_do() {
    let Ok(peers) = std::env::var("SNAP_PEERS") else {
        eprintln!("SKIPPED: SNAP_PEERS names no programs");
        return;
    };
    let (cases, first) = (number("SNAP_PEER_CASES", 1_000), number("SNAP_PEER_SEED", 0));
    let inputs = Inputs::new();
    for peer in peers.split([';', '\n']).map(str::trim).filter(|peer| !peer.is_empty()) {
        let (id, command) = peer.split_once('=').unwrap();
        let id: EncoderId = id.parse().unwrap();
        let (mut peer, mut encoders, mut payload) = (Peer::new(command), Encoders::new(), Vec::new());
        let (mut bytes, mut passed_over, mut differ) = (0, 0, Vec::new());
        for seed in first..first + cases {
            let plain = inputs.of(seed);
            // Java sorts equal rotations of a block another way: see `bzip2_java.rs`.
            if id.codec() == Codec::Bzip2 && is_repetition(&plain) {
                passed_over += 1;
                continue;
            }
            bytes += plain.len();
            payload.clear();
            encoders.encode(&id, &plain, &mut payload).unwrap();
            if id.codec() == Codec::Snappy {
                payload.truncate(payload.len() - 4);
            }
            let made = peer.encode(&plain);
            if made != payload {
                differ.push(seed);
                if let Some(folder) = std::env::var_os("SNAP_PEER_KEEP").map(PathBuf::from) {
                    for (what, bytes) in [("plain", &plain), ("here", &payload), ("there", &made)] {
                        std::fs::write(folder.join(format!("{seed}.{what}")), bytes).unwrap();
                    }
                }
            }
        }
        peer.end();
        eprintln!("{id}: {cases} inputs, {bytes} bytes, {} differ, {passed_over} were passed over", differ.len());
        differ.truncate(20);
        assert!(differ.is_empty(), "{id} and `{command}` differ at seeds {differ:?}");
    }
}
