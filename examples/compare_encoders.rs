//! Compares what encoders make with what their models made: see `fixtures/encoders.py`, which writes the input.
//!
//! Reads, again and again, a line `ID PLAIN_LENGTH PAYLOAD_LENGTH`, the plain bytes and the payload. Prints a line for each
//! pair that differs, and in the end how many of each id were equal. Fails if one differed.
#![allow(clippy::print_stdout, reason = "its output is the result")]

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, stdin};

use avro_snap::avro::encoder::{EncoderId, Encoders};

fn main() -> Result<(), Box<dyn Error>> {
    let (mut input, mut encoders) = (BufReader::with_capacity(1 << 20, stdin().lock()), Encoders::new());
    let (mut line, mut plain, mut payload, mut made) = (String::new(), Vec::new(), Vec::new(), Vec::new());
    let mut counts = BTreeMap::<EncoderId, [u64; 2]>::new();
    let mut number = 0;
    loop {
        line.clear();
        if input.read_line(&mut line)? == 0 {
            break;
        }
        let [id, plain_length, payload_length] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return Err(format!("not a header: {line:?}").into());
        };
        let id: EncoderId = id.parse()?;
        for (bytes, length) in [(&mut plain, plain_length), (&mut payload, payload_length)] {
            bytes.resize(length.parse()?, 0);
            input.read_exact(bytes)?;
        }
        made.clear();
        encoders.encode(&id, &plain, &mut made)?;
        let equal = made == payload;
        if !equal {
            let place = made.iter().zip(&payload).take_while(|(a, b)| a == b).count();
            println!("input {number}: {id} differs at {place} of {} ({} bytes)", payload.len(), plain.len());
        }
        counts.entry(id).or_default()[usize::from(equal)] += 1;
        number += 1;
    }
    let mut different = 0;
    for (id, [other, equal]) in counts {
        println!("{id}: {equal} of {} equal", equal + other);
        different += other;
    }
    println!("{} of {number} equal", number - different);
    if different > 0 { Err("some differ".into()) } else { Ok(()) }
}
