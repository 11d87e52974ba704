//! Bytes of a repository that anybody may have written.

use avro_snap::avro::columns::TypeTree;
use avro_snap::chunk::{ChunkKind, Compressor, MAX_CHUNK, RecordShape};
use avro_snap::crypto::{Envelope, FrameContext, Keyring, PackCipher, SeededEntropy, Suite, slot};
use avro_snap::id::{ChunkHasher, Kind, PackId, RepositoryId, digest};
use avro_snap::index::{decode_object, encode_object};
use avro_snap::pack::{
    Chain, Directory, Encoding, FrameCodec, Header, MAX_SHARE, Parity, Place, PlainChunk, TRAILER_LEN, Trailer,
    make_parity, read_pack,
};
use avro_snap::store::Config;
use avro_snap::log::LogEntry;
use avro_snap::snapshot::{SnapshotRoot, decode_row, encode_row};
use avro_snap::wire::Write as _;

use crate::Input;

const REPOSITORY: RepositoryId = RepositoryId::new([0x5a; 16]);

/// A directory is read back as it is written, and its frames lie end to end.
pub fn pack_directory(bytes: &[u8]) {
    for bytes in [bytes, &[&[0, 1], bytes].concat()] {
        let Ok(directory) = Directory::decode(bytes) else { continue };
        assert_eq!(Directory::decode(&directory.encode()).as_ref(), Ok(&directory));
        let mut at = avro_snap::pack::HEADER_LEN as u32;
        for (frame, chunks) in directory.iter() {
            assert_eq!(frame.offset, at);
            at += frame.stored;
            assert_eq!(chunks.len(), frame.count as usize);
            assert_eq!(frame.plain, chunks.iter().map(|chunk| chunk.length).sum::<u32>());
            let _ = frame.bound(chunks);
        }
    }
}

/// Header and trailer of any bytes; then a whole pack whose checksums fit, made of what the fuzzer likes: a directory,
/// then frames. Every frame opens to as many bytes as it says, or is refused.
pub fn pack(bytes: &[u8]) {
    if let Ok(header) = Header::read(bytes) {
        assert_eq!(header.encode(), bytes);
    }
    let split = bytes.len().saturating_sub(TRAILER_LEN);
    if let Ok(trailer) = Trailer::read(&bytes[split..], bytes.len() as u64) {
        assert!(trailer.directory_range(split).end <= bytes.len());
    }
    let _ = read_pack(&PackId::new(digest(bytes)), bytes, REPOSITORY, None);

    let mut input = Input(bytes);
    let salt = [input.byte(); 32];
    let mut directory = input.part().to_vec();
    let Ok(cipher) = PackCipher::new(Suite::None, REPOSITORY, None, &salt) else { return };
    let header =
        Header { suite: Suite::None, epoch: 0, repository: REPOSITORY, salt, commitment: *cipher.commitment() };
    let mut pack = header.encode();
    // Where the directory can be read, the frames get the tags that they need.
    let decoded = Directory::decode(&directory).unwrap_or_default();
    for (number, (frame, chunks)) in decoded.iter().enumerate() {
        let length = (frame.stored as usize).saturating_sub(avro_snap::crypto::TAG_LEN);
        let mut body = input.take(length).to_vec();
        let bound = frame.bound(chunks);
        if cipher.seal(FrameContext { number: number as u32, bound: &bound }, &mut body).is_err() {
            return;
        }
        pack.extend(body);
    }
    pack.extend(input.0);
    let directory_offset = pack.len() as u64;
    if cipher.seal(FrameContext { number: FrameContext::DIRECTORY, bound: b"directory" }, &mut directory).is_err() {
        return;
    }
    let pack_length = directory_offset + (directory.len() + TRAILER_LEN) as u64;
    let trailer = Trailer { directory_offset, directory_length: directory.len() as u32, pack_length };
    pack.extend(directory);
    pack.extend(trailer.encode());
    let Ok(info) = read_pack(&PackId::new(digest(&pack)), &pack, REPOSITORY, None) else { return };
    let Ok(mut codec) = FrameCodec::new(None) else { return };
    for (number, frame) in info.directory.frames.iter().enumerate() {
        let sealed = pack.get(frame.offset as usize..).and_then(|rest| rest.get(..frame.stored as usize));
        let Some(sealed) = sealed else { continue };
        if let Ok(plain) = info.open_frame(&cipher, &mut codec, number, sealed.to_vec()) {
            assert_eq!(plain.len(), frame.plain as usize);
        }
    }
}

/// A parity object of any bytes gives the pack that it names, or nothing; then one with sound checks, made of a pack, with
/// damage to both: within its reach it gives back the pack. Share, number of changes, changes, the pack.
pub fn parity(bytes: &[u8]) {
    if let Ok(parity) = Parity::read(bytes, REPOSITORY) {
        for left in [bytes, &bytes[..bytes.len() / 2]] {
            if let Some(pack) = parity.mend(left) {
                assert_eq!(PackId::new(digest(&pack)), parity.pack());
            }
            let _ = parity.is_made_of(left);
        }
    }
    let mut input = Input(bytes);
    let share = 1 + input.short() as u32 % MAX_SHARE;
    let changes: Vec<(usize, u8)> = (0..input.byte() % 16).map(|_| (input.short(), input.byte())).collect();
    let pack = input.0;
    let id = PackId::new(digest(pack));
    let Some(mut object) = make_parity(REPOSITORY, &id, pack, share) else { return };
    assert!(Parity::read(&object, REPOSITORY).is_ok_and(|parity| parity.is_made_of(pack)));
    let mut left = pack.to_vec();
    for (number, (at, change)) in changes.into_iter().enumerate() {
        let harmed = if number % 4 == 3 { &mut object } else { &mut left };
        let at = at % harmed.len();
        if let Some(byte) = harmed.get_mut(at) {
            *byte ^= change;
        }
    }
    if let Ok(parity) = Parity::read(&object, REPOSITORY)
        && let Some(mended) = parity.mend(&left)
    {
        assert_eq!(mended, pack);
    }
}

/// The body of a frame decodes to exactly the length that is asked for, or is refused. Encoding, length (two forms),
/// body.
pub fn frame(bytes: &[u8]) {
    let mut input = Input(bytes);
    let how = input.byte();
    let encoding = Encoding::ALL[usize::from(how % 4)];
    let length = match how & 4 {
        0 => input.short(),
        _ => (input.short() | input.short() << 16) % (2 * MAX_CHUNK + 1),
    };
    let Ok(mut codec) = FrameCodec::new(None) else { return };
    let decoded = codec.decode(encoding, input.0, length).ok();
    if let Some(plain) = &decoded {
        assert_eq!(plain.len(), length);
    }
    // What the codec did before changes nothing.
    assert_eq!(codec.decode(encoding, input.0, length).ok(), decoded);
}

/// The body of a delta decodes to exactly the length that is asked for, or is refused; and whatever the chunk and its
/// base, what is encoded decodes to the same, or is too long to be worth it. Length, base, body (or chunk).
pub fn delta(bytes: &[u8]) {
    let mut input = Input(bytes);
    let length = (input.short() | input.short() << 16) % (MAX_CHUNK + 1);
    let base = input.part();
    let Ok(mut codec) = FrameCodec::new(None) else { return };
    if let Ok(plain) = codec.decode_delta(input.0, base, length) {
        assert_eq!(plain.len(), length);
    }
    for limit in [usize::MAX, input.0.len() / 2] {
        let chunk = PlainChunk { id: ChunkHasher::open().id(input.0), bytes: input.0.to_vec() };
        let chain = Chain { place: Place { depth: 1, step: 1 }, bases: vec![ChunkHasher::open().id(base)] };
        match codec.encode_delta(ChunkKind::Bytes, &chunk, base, chain, limit) {
            Some(frame) => {
                assert!(frame.body.len() <= limit);
                let back = codec.decode_delta(&frame.body, base, chunk.bytes.len());
                assert_eq!(back.ok().as_ref(), Some(&chunk.bytes));
            }
            None => assert!(limit < usize::MAX, "a chunk has no delta at all"),
        }
    }
}

/// A type tree, then what the next byte says: records to take apart and put together, or the inside of a columnar frame,
/// which is decoded to exactly the length that is asked for or refused.
pub fn columns(bytes: &[u8]) {
    let mut input = Input(bytes);
    let tree = input.part();
    let how = input.byte();
    if let (Ok(tree), true) = (TypeTree::read(tree), how & 1 == 0) {
        assert_eq!(TypeTree::read(tree.bytes()).map(|again| again.columns().to_vec()), Ok(tree.columns().to_vec()));
        let mut columns = Vec::new();
        if tree.split(input.0, &mut columns).is_some() {
            assert_eq!(columns.iter().map(Vec::len).sum::<usize>(), input.0.len());
            let columns: Vec<&[u8]> = columns.iter().map(|column| &column[..]).collect();
            assert_eq!(tree.join(&columns).as_deref(), Some(input.0));
        }
        let shape = RecordShape { fingerprint: 0, tree: tree.bytes().to_vec() };
        let chunk = PlainChunk { id: ChunkHasher::open().id(input.0), bytes: input.0.to_vec() };
        let Ok(mut codec) = FrameCodec::new(Some(1)) else { return };
        let frame = codec.encode_records(&[chunk], &shape);
        assert_eq!(codec.decode(frame.encoding, &frame.body, input.0.len()).ok().as_deref(), Some(input.0));
        return;
    }
    let length = input.short();
    let mut inside = Vec::new();
    inside.put_string(tree);
    inside.put(input.0);
    let (Ok(mut compressor), Ok(mut codec)) = (Compressor::new(1), FrameCodec::new(None)) else { return };
    let mut body = Vec::new();
    body.put_varint(inside.len() as u64);
    body.extend(compressor.compress(&inside).expect("short bytes are compressed"));
    if let Ok(records) = codec.decode(Encoding::Columnar, &body, length) {
        assert_eq!(records.len(), length);
    }
}

/// An index object is read back as it is written.
pub fn index_object(bytes: &[u8]) {
    if let Ok(packs) = decode_object(bytes) {
        assert_eq!(decode_object(&encode_object(&packs)).as_ref(), Ok(&packs));
    }
}

/// An entry has one form in bytes.
pub fn log_entry(bytes: &[u8]) {
    if let Ok(entry) = LogEntry::decode(bytes) {
        assert_eq!(entry.encode(), bytes);
    }
}

/// The clear part of a key slot, and a keyring, which has one form in bytes. Deriving keys is left out: it is slow, and
/// what a slot may ask for is bounded.
pub fn key_slot(bytes: &[u8]) {
    let _ = slot::info(bytes);
    if let Ok(keyring) = Keyring::decode(bytes) {
        assert_eq!(keyring.encode(), bytes);
        let _ = keyring.master(keyring.current_epoch());
    }
}

/// The config, and objects in envelopes: any bytes as those of an open and of an encrypted repository, then any body
/// sealed and opened.
pub fn envelope(bytes: &[u8]) {
    if let Ok(config) = Config::decode(bytes) {
        assert_eq!(config.encode(), bytes);
    }
    let entropy = SeededEntropy::new(1);
    for keyring in [None, Keyring::random(&entropy).ok()] {
        let envelope = Envelope::new(REPOSITORY, keyring);
        let _ = envelope.open(Kind::Index, "", bytes);
        let _ = envelope.open(Kind::Log, "log/00000001", bytes);
        let sealed = envelope.seal(&entropy, Kind::Index, "name", bytes).expect("short bodies are sealed");
        assert_eq!(envelope.open(Kind::Index, "name", &sealed).as_deref(), Ok(bytes));
        assert!(envelope.open(Kind::Index, "other", &sealed).is_err());
    }
}

/// A row is read back as it is written, and so is a snapshot's root.
pub fn manifest_rows(bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let before = rest.len();
        let Ok(row) = decode_row(&mut rest) else { break };
        assert!(rest.len() < before);
        let mut encoded = Vec::new();
        encode_row(&row, &mut encoded);
        assert_eq!(decode_row(&mut &encoded[..]).as_ref(), Ok(&row));
    }
    if let Ok(root) = SnapshotRoot::decode(bytes) {
        assert_eq!(SnapshotRoot::decode(&root.encode()).as_ref(), Ok(&root));
    }
}
