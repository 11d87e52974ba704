//! Sizes and speeds of columnar frames beside rows, over files: `columnar_speed FOLDER [LEVEL] [ROUNDS] [FRAME_KIB]`.
//! One thread, decoded MB/s of its own time. Encoding includes finding out how to code (new for each file, and once in a
//! while), decoding and comparing. Sizes are those of all rounds together.
#![allow(clippy::unwrap_used, missing_docs, clippy::print_stdout)]

#[path = "../tests/common/records.rs"]
mod records;

use std::hint::black_box;
use std::path::Path;

use avro_snap::chunk::ChunkKind;
use avro_snap::pack::{EncodedFrame, Encoding, FrameCodec};
use records::{Table, files_below};

/// The seconds that this thread had a core (Linux): what other processes take away is not in it.
fn now() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse::<f64>().unwrap() / 1e9
}

/// What `run` gives, and the seconds that it takes.
fn time<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let start = now();
    let done = black_box(run());
    (done, now() - start)
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
        let frames = table.frames(target);
        let mut sum = Sum { plain: rounds * table.records.len(), ..Sum::default() };
        let mut codec = FrameCodec::new(Some(level)).unwrap();
        for _ in 0..rounds {
            let encode = |codec: &mut FrameCodec, frame: &Vec<_>| codec.encode(ChunkKind::Records, frame);
            let (rows, a) = time(|| frames.iter().map(|frame| encode(&mut codec, frame)).collect::<Vec<_>>());
            let encode = |codec: &mut FrameCodec, frame: &Vec<_>| codec.encode_records(frame, &table.shape);
            let (columns, c) = time(|| frames.iter().map(|frame| encode(&mut codec, frame)).collect::<Vec<_>>());
            let mut decode = |frames: &[EncodedFrame]| {
                for frame in frames {
                    let plain = frame.chunks.iter().map(|chunk| chunk.length as usize).sum();
                    black_box(codec.decode(frame.encoding, &frame.body, plain).unwrap());
                }
            };
            let ((), b) = time(|| decode(&rows));
            let ((), d) = time(|| decode(&columns));
            let bytes = |frames: &[EncodedFrame]| frames.iter().map(|frame| frame.body.len()).sum::<usize>();
            sum.rows += bytes(&rows);
            sum.columns += bytes(&columns);
            sum.columnar_frames += columns.iter().filter(|frame| frame.encoding == Encoding::Columnar).count();
            sum.frames += frames.len();
            sum.seconds.iter_mut().zip([a, b, c, d]).for_each(|(sum, seconds)| *sum += seconds);
        }
        sum.print(&table.name);
        all.add(&sum);
    }
    all.print("all");
}
