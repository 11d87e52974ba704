//! Which encoders are found, what is said of writers that none stands for, and `snap debug encoders`.

use std::fs;

use avro_snap::avro::encoder::selftest::{Kind, sample};
use avro_snap::avro::encoder::{EncoderId, Encoders, Tail};
use avro_snap::avro::varint;
use serde_json::Value;
use zlib_rs::{Deflate, DeflateConfig, DeflateFlush};

use crate::cli::Snap;
use crate::containers::container;

const SCHEMA: &str = "\"bytes\"";

/// One record of so many bytes, each block another one.
fn block(number: usize, length: usize) -> Vec<u8> {
    let mut plain = Vec::new();
    varint::encode(&mut plain, length as i64);
    plain.extend_from_slice(&sample(Kind::Records, length + 300 * number)[300 * number..]);
    plain
}

fn encoded(id: &str, plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Encoders::new().encode(&id.parse::<EncoderId>().unwrap(), plain, &mut out).unwrap();
    out
}

/// Deflate that no encoder here makes: a stored block of 100 bytes, then one of the rest.
fn stored(plain: &[u8]) -> Vec<u8> {
    let (first, rest) = plain.split_at(100);
    let mut out = Vec::new();
    for (last, part) in [(0, first), (1, rest)] {
        let length = part.len() as u16;
        out.push(last);
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&(!length).to_le_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// Deflate that no encoder here makes, and corrections describe: a memory level that no id has.
fn odd_deflate(plain: &[u8]) -> Vec<u8> {
    let config = DeflateConfig { level: 6, window_bits: -15, mem_level: 6, ..Default::default() };
    let mut out = vec![0; plain.len() + 1000];
    let mut stream = Deflate::new_with_config(config);
    stream.compress(plain, &mut out, DeflateFlush::Finish).unwrap();
    out.truncate(stream.total_out() as usize);
    out
}

fn save(snap: &Snap, codec: &str, payloads: &[Vec<u8>]) -> Vec<u8> {
    let file = container(SCHEMA, codec, payloads.iter().map(|payload| (1, &payload[..])));
    snap.write("data/t.avro", &file);
    file
}

/// Saves the file, restores it, and returns what is known of it.
fn facts(snap: &Snap, file: &[u8]) -> Value {
    snap.ok(&["create", "data"]);
    snap.ok(&["check", "--read-data"]);
    snap.ok(&["restore", "latest", "--target", "back", "--overwrite", "always"]);
    assert!(fs::read(snap.work("back/data/t.avro")).unwrap() == file);
    let nodes = snap.ok(&["ls", "latest", "--json"]).objects("node");
    nodes.iter().map(|node| node["avro"].clone()).find(|facts| facts.is_object()).unwrap()
}

fn unencrypted() -> Snap {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    snap
}

#[test]
fn later_blocks_find_their_encoder_after_first_ones_that_nobody_made() {
    let snap = unencrypted();
    let payload = |number| {
        let plain = block(number, 5_000);
        if number < 4 { stored(&plain) } else { encoded("zlib:L4:M8", &plain) }
    };
    let file = save(&snap, "deflate", &(0..12).map(payload).collect::<Vec<_>>());
    let facts = facts(&snap, &file);
    let found = (&facts["encoder"], &facts["blocks_exact"], &facts["blocks_raw"]);
    assert_eq!(found, (&"zlib:L4:M8".into(), &8.into(), &4.into()), "{facts}");
}

/// A zstandard frame that no encoder makes: one block, stored.
fn stored_frame(plain: &[u8]) -> Vec<u8> {
    let content_size = (plain.len() - 256) as u16;
    let block_header = 1 | (plain.len() as u32) << 3;
    [&[0x28, 0xb5, 0x2f, 0xfd, 0x60], &content_size.to_le_bytes()[..], &block_header.to_le_bytes()[..3], plain].concat()
}

#[test]
fn trying_slower_encoders_hides_no_faster_one() {
    let snap = unencrypted();
    let payload = |number| {
        let plain = block(number, 16_000);
        if number < 12 { stored_frame(&plain) } else { encoded("zstd-1.5.7:once:L3", &plain) }
    };
    save(&snap, "zstandard", &(0..18).map(payload).collect::<Vec<_>>());
    for speed in ["0", "5"] {
        snap.ok(&["create", "data", "--force", "--min-encode-speed", speed]);
        let nodes = snap.ok(&["ls", "latest", "--json"]).objects("node");
        let facts = nodes.iter().map(|node| node["avro"].clone()).find(|facts| facts.is_object()).unwrap();
        assert_eq!(facts["blocks_exact"], 6, "{speed}: {facts}");
    }
}

#[test]
fn encoders_are_found_by_default_with_what_follows_their_streams() {
    let snap = unencrypted();
    for (codec, id) in [
        ("zstandard", "zstd-1.5.7:stream:L3+emptyframe"),
        ("zstandard", "zstd-1.5.7:once:L1:C+emptyframe"),
        ("bzip2", "bzip2:L9"),
        ("bzip2", "bzip2-java:L9"),
        ("zstandard", "zstd-1.5.7:once:L-50"),
        ("zstandard", "zstd-1.5.7:stream:L-10"),
        ("deflate", "libflate-2"),
        ("deflate", "zlib-ng-2.1:L6:I128"),
        ("snappy", "snappy:snappyjs-0.7"),
        ("snappy", "snappy:crc14"),
        ("snappy", "snappy:shift14:skip1:F32"),
        ("snappy", "snappy:shift14:skip1:F64"),
    ] {
        let payloads: Vec<_> = (0..3).map(|number| encoded(id, &block(number, 200_000 + 50_000 * number))).collect();
        let file = save(&snap, codec, &payloads);
        let facts = facts(&snap, &file);
        assert_eq!((&facts["encoder"], &facts["blocks_exact"]), (&id.into(), &3.into()), "{facts}");
    }
    // A block of no bytes is such a frame itself, and may have one after it.
    let empty = encoded("zstd-1.5.7:once:L3", b"");
    let file = container("\"null\"", "zstandard", [(5, &empty[..]), (5, &[&empty[..], &empty].concat())]);
    snap.write("data/t.avro", &file);
    let facts = facts(&snap, &file);
    assert_eq!((&facts["state"], &facts["blocks_exact"]), (&"ok".into(), &2.into()), "{facts}");
}

#[test]
fn corrections_stand_before_a_tail() {
    let snap = Snap::new();
    let payload = |number| {
        let plain = block(number, 30_000);
        let (tail, length) = Tail::Adler3.bytes(&plain);
        [&odd_deflate(&plain), &tail[..length]].concat()
    };
    let file = save(&snap, "deflate", &[payload(0), payload(1)]);
    let saved = facts(&snap, &file);
    let found = (&saved["encoder"], &saved["blocks_corrected"]);
    assert_eq!(found, (&"preflate-0.7.6+adler3".into(), &2.into()), "{saved}");

    // No repository without encryption gets corrections.
    let plain = crate::cli::text(&snap.path("plain"));
    snap.ok(&["-r", &plain, "init", "--encryption", "none"]);
    let source = crate::cli::text(&snap.path("repository"));
    let password = snap.password_file("pass", crate::cli::PASSWORD);
    snap.ok(&["copy", "--from-repo", &source, "-r", &plain, "--from-password-file", &password]);
    snap.ok(&["-r", &plain, "restore", "latest", "--target", "copied"]);
    assert!(fs::read(snap.work("copied/data/t.avro")).unwrap() == file);
    let nodes = snap.ok(&["-r", &plain, "ls", "latest", "--json"]).objects("node");
    let facts = nodes.iter().map(|node| &node["avro"]).find(|facts| facts.is_object()).unwrap();
    assert_eq!((&facts["blocks_corrected"], &facts["blocks_raw"]), (&0.into(), &2.into()), "{facts}");
}

#[test]
fn writers_that_no_encoder_stands_for_are_named_and_counted() {
    let snap = unencrypted();
    save(&snap, "deflate", &[stored(&block(0, 500)), stored(&block(1, 500))]);
    let reason = "no known encoder: deflate, schema before codec";
    let said = snap.ok(&["create", "data"]).stdout;
    assert!(said.contains(&format!("raw:     2 blocks of 1 file: {reason}")), "{said}");
    let said = snap.ok(&["ls", "--long", "latest"]).stdout;
    assert!(said.contains(&format!("[avro deflate, 2 records, 2 of 2 blocks raw: {reason}]")), "{said}");

    let xz: Vec<_> = (0..3).map(|number| encoded("xz:P9:crc64:extreme", &block(number, 500))).collect();
    fs::write(snap.work("data/u.avro"), container(SCHEMA, "xz", xz.iter().map(|payload| (1, &payload[..])))).unwrap();
    let writers = snap.ok(&["create", "data", "--force", "--json"]).summary()["avro_unknown_writers"].clone();
    let slow = "encoding again is slower than what was asked for: xz, check 4, schema before codec";
    let expected = serde_json::json!([
        {"reason": reason, "files": 1, "blocks": 2},
        {"reason": slow, "files": 1, "blocks": 3},
    ]);
    assert_eq!(writers, expected);
}

#[test]
fn debug_says_what_was_tried_and_where_it_differs() {
    let snap = Snap::quick();
    let (known, unknown) = (block(0, 2_000), block(1, 2_000));
    save(&snap, "deflate", &[encoded("chromium-zlib:L6:M8", &known), stored(&unknown)]);
    let said = snap.ok(&["debug", "encoders", "data/t.avro"]).stdout;
    assert!(
        said.contains("data/t.avro: block 0: 1 record") && said.contains("made again by chromium-zlib:L6"),
        "{said}"
    );
    assert!(said.contains("chromium-zlib:L6:M8              the same"), "{said}");
    assert!(said.contains("no known encoder: deflate, schema before codec"), "{said}");
    // All of them begin with another kind of block.
    assert!(said.contains("zlib:L6:M8                       differs at byte 0"), "{said}");
    assert!(said.contains("an encoder makes 1 of 2 blocks"), "{said}");

    let ran = snap.ok(&["debug", "encoders", "--blocks", "1", "data/t.avro", "--json"]);
    let blocks = ran.objects("block");
    let tried = blocks[0]["tried"].as_array().unwrap();
    assert_eq!((blocks.len(), &blocks[0]["encoder"]), (1, &"chromium-zlib:L6:M8".into()));
    assert!(tried.len() > 1 && tried[0]["differs_at"].is_u64() && tried[tried.len() - 1]["differs_at"].is_null());
    let file = &ran.objects("file")[0];
    assert_eq!((&file["codec"], &file["more"]), (&"deflate".into(), &true.into()), "{file}");

    snap.write("note.txt", "no container");
    let said = snap.ends(1, &["debug", "encoders", "note.txt"]).stderr;
    assert!(said.contains("is no Avro file with a sound header") && said.contains("snap dump"), "{said}");
    let said = snap.ends(1, &["debug", "encoders", "data"]).stderr;
    assert!(said.contains("read data: "), "{said}");
}
