//! The body of a checkpoint (drawn in `docs/format.md`, "Checkpoint"): all of the folded state, byte by byte. Lists that have
//! no order of their own are sorted, so one state has one encoding.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::id::{ChunkId, EntryHash, IndexId, KeyId, PackId, SnapshotId};
use crate::log::{Damage, Features, RemovedSnapshot, Retired, Settings, SnapshotRecord, Standing, State};
use crate::wire::{Malformed, Reader, Result, Write};

const VERSION: u8 = 1;

/// The body of the checkpoint at the last entry that the state has taken in; none before the first.
pub(super) fn encode(state: &State) -> Option<Vec<u8>> {
    let (number, hash) = state.head_entry()?;
    let mut bytes = vec![VERSION];
    bytes.put_u64(number);
    bytes.put(&hash);
    bytes.put(&state.config?);
    bytes.put_u32(state.epoch);
    bytes.put_u64(state.features.read);
    bytes.put_u64(state.features.write);
    bytes.put_u64(state.features.gc);
    state.settings.write(&mut bytes);
    put_all(&mut bytes, &state.keys, |bytes, (key, hash)| {
        bytes.put(key.as_bytes());
        bytes.put(hash);
    });
    put_all(&mut bytes, &state.former_keys, |bytes, key| bytes.put(key.as_bytes()));
    put_all(&mut bytes, &state.snapshots, put_record);
    put_all(&mut bytes, &state.removed, |bytes, removed| {
        put_record(bytes, &removed.record);
        bytes.put_varint(removed.entry);
        bytes.put_i64(removed.time);
    });
    put_all(&mut bytes, &state.indexes, |bytes, index| bytes.put(index.as_bytes()));
    let Standing { condemned, superseded, damaged, changed } = &*state.standing;
    put_all(&mut bytes, condemned, |bytes, (pack, retired)| put_retired(bytes, pack.as_bytes(), retired));
    put_all(&mut bytes, superseded, |bytes, (index, retired)| put_retired(bytes, index.as_bytes(), retired));
    put_all(&mut bytes, damaged, |bytes, (pack, damage)| {
        bytes.put(pack.as_bytes());
        match damage {
            Damage::Whole => bytes.put_u8(1),
            Damage::Frames(frames) => {
                bytes.put_u8(0);
                put_all(bytes, frames, |bytes, frame| bytes.put_varint(u64::from(*frame)));
            }
        }
    });
    bytes.put_varint(*changed);
    Some(bytes)
}

/// Reads what [`encode`] wrote. Anything that it could not have written is refused.
pub(super) fn decode(bytes: &[u8]) -> Result<State> {
    let mut reader = Reader::new(bytes);
    match reader.u8()? {
        VERSION => {}
        other => return Err(Malformed(format!("it is of checkpoint version {other}, this is version {VERSION}"))),
    }
    let next = reader.u64()?.checked_add(1).ok_or_else(|| Malformed::new("an impossible number of an entry"))?;
    let head = EntryHash::new(reader.array()?);
    let config = Some(reader.array()?);
    let epoch = reader.u32()?;
    let features = Features { read: reader.u64()?, write: reader.u64()?, gc: reader.u64()? };
    let settings = Settings::read(&mut reader)?;
    let keys = read_map(&mut reader, KeyId::LEN + 32, |reader| Ok((KeyId::new(reader.array()?), reader.array()?)))?;
    let former_keys = read_set(&mut reader, KeyId::LEN, |reader| Ok(KeyId::new(reader.array()?)))?;
    let snapshots = read_list(&mut reader, RECORD, read_record)?;
    let removed = read_list(&mut reader, RECORD + 9, |reader| {
        let record = read_record(reader)?;
        Ok(RemovedSnapshot { record, entry: reader.varint()?, time: reader.i64()? })
    })?;
    let indexes = read_set(&mut reader, IndexId::LEN, |reader| Ok(IndexId::new(reader.array()?)))?;
    let condemned = read_map(&mut reader, RETIRED, |reader| Ok((PackId::new(reader.array()?), read_retired(reader)?)))?;
    let superseded =
        read_map(&mut reader, RETIRED, |reader| Ok((IndexId::new(reader.array()?), read_retired(reader)?)))?;
    let damaged =
        read_map(&mut reader, PackId::LEN + 1, |reader| Ok((PackId::new(reader.array()?), read_damage(reader)?)))?;
    let changed = reader.varint()?;
    reader.finish()?;
    let standing = Arc::new(Standing { condemned, superseded, damaged, changed });
    Ok(State {
        next,
        head,
        config,
        snapshots,
        indexes,
        keys,
        former_keys,
        epoch,
        standing,
        removed,
        features,
        settings,
    })
}

/// The least length of a snapshot's record: id, root, entry, no tags.
const RECORD: usize = SnapshotId::LEN + ChunkId::LEN + 2;
/// The least length of a retired pack or index object: id, entry, time, whether it was swept.
const RETIRED: usize = 32 + 1 + 8 + 1;

fn put_record(bytes: &mut Vec<u8>, record: &SnapshotRecord) {
    bytes.put(record.id.as_bytes());
    bytes.put(record.root.as_bytes());
    bytes.put_varint(record.added);
    bytes.put_u8(u8::from(record.tags.is_some()));
    if let Some(tags) = &record.tags {
        put_all(bytes, tags, |bytes, tag| bytes.put_string(tag.as_bytes()));
    }
}

fn read_record(reader: &mut Reader<'_>) -> Result<SnapshotRecord> {
    Ok(SnapshotRecord {
        id: SnapshotId::new(reader.array()?),
        root: ChunkId::new(reader.array()?),
        added: reader.varint()?,
        tags: match read_flag(reader)? {
            true => Some(read_list(reader, 1, |reader| reader.text().map(str::to_owned))?),
            false => None,
        },
    })
}

fn put_retired(bytes: &mut Vec<u8>, id: &[u8], retired: &Retired) {
    bytes.put(id);
    bytes.put_varint(retired.entry);
    bytes.put_i64(retired.time);
    bytes.put_u8(u8::from(retired.swept));
}

fn read_retired(reader: &mut Reader<'_>) -> Result<Retired> {
    Ok(Retired { entry: reader.varint()?, time: reader.i64()?, swept: read_flag(reader)? })
}

fn read_damage(reader: &mut Reader<'_>) -> Result<Damage> {
    if read_flag(reader)? {
        return Ok(Damage::Whole);
    }
    let number = |reader: &mut Reader<'_>| {
        u32::try_from(reader.varint()?).map_err(|_| Malformed::new("an impossible number of a frame"))
    };
    Ok(Damage::Frames(read_set(reader, 1, number)?))
}

fn read_flag(reader: &mut Reader<'_>) -> Result<bool> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Malformed::new("a flag that is neither 0 nor 1")),
    }
}

fn put_all<I: IntoIterator<IntoIter: ExactSizeIterator>>(
    bytes: &mut Vec<u8>,
    all: I,
    put: impl Fn(&mut Vec<u8>, I::Item),
) {
    let all = all.into_iter();
    bytes.put_varint(all.len() as u64);
    all.for_each(|one| put(bytes, one));
}

fn read_list<T>(reader: &mut Reader<'_>, each: usize, read: impl Fn(&mut Reader<'_>) -> Result<T>) -> Result<Vec<T>> {
    let count = reader.count(each)?;
    (0..count).map(|_| read(reader)).collect()
}

fn read_set<T: Ord>(
    reader: &mut Reader<'_>,
    each: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<T>,
) -> Result<BTreeSet<T>> {
    let list = read_list(reader, each, read)?;
    in_order(&list, |one| one)?;
    Ok(list.into_iter().collect())
}

fn read_map<K: Ord, V>(
    reader: &mut Reader<'_>,
    each: usize,
    read: impl Fn(&mut Reader<'_>) -> Result<(K, V)>,
) -> Result<BTreeMap<K, V>> {
    let list = read_list(reader, each, read)?;
    in_order(&list, |(key, _)| key)?;
    Ok(list.into_iter().collect())
}

fn in_order<T, K: Ord>(list: &[T], key: impl Fn(&T) -> &K) -> Result<()> {
    match list.windows(2).all(|pair| matches!(pair, [one, other] if key(one) < key(other))) {
        true => Ok(()),
        false => Err(Malformed::new("a list that is not in order")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn records() -> impl Strategy<Value = SnapshotRecord> {
        (any::<[u8; 16]>(), any::<[u8; 32]>(), any::<u64>(), any::<Option<Vec<String>>>()).prop_map(
            |(id, root, added, tags)| SnapshotRecord { id: SnapshotId::new(id), root: ChunkId::new(root), added, tags },
        )
    }

    fn retired() -> impl Strategy<Value = Retired> {
        (any::<u64>(), any::<i64>(), any::<bool>()).prop_map(|(entry, time, swept)| Retired { entry, time, swept })
    }

    fn standings() -> impl Strategy<Value = Standing> {
        let packs = || any::<[u8; 32]>().prop_map(PackId::new);
        let damage =
            prop_oneof![Just(Damage::Whole), prop::collection::btree_set(any::<u32>(), 0..4).prop_map(Damage::Frames)];
        (
            prop::collection::btree_map(packs(), retired(), 0..4),
            prop::collection::btree_map(any::<[u8; 32]>().prop_map(IndexId::new), retired(), 0..4),
            prop::collection::btree_map(packs(), damage, 0..4),
            any::<u64>(),
        )
            .prop_map(|(condemned, superseded, damaged, changed)| Standing {
                condemned,
                superseded,
                damaged,
                changed,
            })
    }

    prop_compose! {
        fn states()(
            numbers in (0..u64::MAX, any::<[u8; 32]>(), any::<[u8; 32]>(), any::<u32>(), any::<[u64; 3]>()),
            snapshots in prop::collection::vec(records(), 0..4),
            removed in prop::collection::vec((records(), any::<u64>(), any::<i64>()), 0..4),
            indexes in prop::collection::btree_set(any::<[u8; 32]>().prop_map(IndexId::new), 0..4),
            keys in prop::collection::btree_map(any::<[u8; 8]>().prop_map(KeyId::new), any::<[u8; 32]>(), 0..4),
            former_keys in prop::collection::btree_set(any::<[u8; 8]>().prop_map(KeyId::new), 0..4),
            standing in standings(),
            setting in any::<Option<(u8, String)>>(),
        ) -> State {
            let (next, head, config, epoch, [read, write, gc]) = numbers;
            let mut settings = Settings::default();
            setting.into_iter().for_each(|(number, value)| settings.set(number, value));
            let removed = removed.into_iter();
            let removed = removed.map(|(record, entry, time)| RemovedSnapshot { record, entry, time }).collect();
            State {
                next: next + 1, head: EntryHash::new(head), config: Some(config), snapshots, indexes, keys, former_keys,
                epoch, standing: Arc::new(standing), removed, features: Features { read, write, gc }, settings,
            }
        }
    }

    proptest! {
        #[test]
        fn a_state_is_read_back(state in states()) {
            let bytes = encode(&state).unwrap();
            prop_assert_eq!(decode(&bytes)?, state);
        }

        #[test]
        fn what_is_read_is_what_was_written_and_nothing_more(state in states(), at: prop::sample::Index, with: u8) {
            let bytes = encode(&state).unwrap();
            let more = [&bytes[..], &[0]].concat();
            prop_assert!(decode(&more).is_err(), "what follows the last field is refused");
            prop_assert!(decode(&bytes[..at.index(bytes.len())]).is_err());
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] = with;
            if let Ok(other) = decode(&changed) {
                prop_assert_eq!(encode(&other), Some(changed), "one state has one encoding");
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn there_is_no_checkpoint_of_nothing() {
        assert_eq!(encode(&State::default()), None);
    }
}
