//! Sizes and speeds of columnar frames beside rows, over files: `columnar_speed FOLDER [LEVEL] [ROUNDS] [FRAME_KIB]`.
//! One thread, decoded MB/s, the best of all rounds for each frame; encoding includes decoding and comparing.
#![allow(clippy::unwrap_used, missing_docs, clippy::print_stdout)]

#[path = "../tests/common/records.rs"]
mod records;

use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use avro_snap::chunk::ChunkKind;
use avro_snap::pack::{Encoding, FrameCodec};
use records::{Table, files_below};

/// What `run` gives, and the seconds that it takes.
fn time<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let done = black_box(run());
    (done, start.elapsed().as_secs_f64())
}

/// Bytes and seconds.
#[derive(Default, Clone, Copy)]
struct Sum {
    plain: usize,
    rows: usize,
    columns: usize,
    columnar_frames: usize,
    frames: usize,
    /// Rows encoded, decoded, columns encoded, decoded.
    seconds: [f64; 4],
}

impl Sum {
    fn add(&mut self, other: &Self) {
        self.plain += other.plain;
        self.rows += other.rows;
        self.columns += other.columns;
        self.columnar_frames += other.columnar_frames;
        self.frames += other.frames;
        self.seconds.iter_mut().zip(other.seconds).for_each(|(sum, more)| *sum += more);
    }

    fn print(&self, name: &str) {
        let [a, b, c, d] = self.seconds.map(|seconds| self.plain as f64 / seconds / 1e6);
        println!(
            "{name:24} {:9} plain  rows {:8} ({a:4.0} / {b:4.0} MB/s)  columns {:8} ({c:4.0} / {d:4.0} MB/s)  {}/{} columnar",
            self.plain, self.rows, self.columns, self.columnar_frames, self.frames
        );
    }
}

fn main() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: usize| args.get(at).map_or(default, |arg| arg.parse().unwrap());
    let (level, rounds, target) = (number(1, 3) as i32, number(2, 3), number(3, 1024) << 10);
    let mut all = Sum::default();
    for path in files_below(Path::new(&args[0])) {
        let Some(table) = Table::read(&path) else { continue };
        let mut codec = FrameCodec::new(Some(level)).unwrap();
        let mut sum = Sum::default();
        for frame in table.frames(target) {
            let mut best = Sum { seconds: [f64::MAX; 4], ..Sum::default() };
            for _ in 0..rounds {
                let (rows, a) = time(|| codec.encode(ChunkKind::Records, &frame));
                let plain: usize = frame.iter().map(|chunk| chunk.bytes.len()).sum();
                let (_, b) = time(|| codec.decode(rows.encoding, &rows.body, plain).unwrap());
                let (columns, c) = time(|| codec.encode_records(&frame, &table.shape));
                let (_, d) = time(|| codec.decode(columns.encoding, &columns.body, plain).unwrap());
                let columnar = usize::from(columns.encoding == Encoding::Columnar);
                best = Sum {
                    plain,
                    rows: rows.body.len(),
                    columns: columns.body.len(),
                    columnar_frames: columnar,
                    frames: 1,
                    seconds: [a, b, c, d].iter().zip(best.seconds).map(|(a, b)| a.min(b)).collect::<Vec<_>>().try_into().unwrap(),
                };
            }
            sum.add(&best);
        }
        sum.print(&table.name);
        all.add(&sum);
    }
    all.print("all");
}
