//! Batches do what their parts do.

use super::{ByteRange, Kind, Name, Open, Outcome, StorageErrorKind, all_of, damaged, holds, missing, name, same};

pub(super) fn a_batch_reads_what_its_parts_do(open: &Open<'_>) -> Outcome {
    let storage = open();
    for n in 0..40 {
        storage.create(&name([Kind::Log, Kind::Pack][n as usize % 2], n), &[n as u8; 100])?;
    }
    let mut wants: Vec<(Name, ByteRange)> = Vec::new();
    for n in (0..44).rev() {
        let object = name([Kind::Log, Kind::Pack][n as usize % 2], n);
        let (offset, length) = (n, n as usize);
        // The last of these go beyond the end, and the first are not there.
        wants.extend([all_of(object.clone()), (object.clone(), ByteRange::UpTo(99))]);
        wants.extend([
            (object.clone(), ByteRange::Exactly { offset, length }),
            (object, ByteRange::Exactly { offset: 99, length }),
        ]);
    }
    let read = storage.read_many(&wants);
    same(&read.len(), &wants.len(), "how many results a batch has")?;
    for ((object, range), read) in wants.iter().zip(read) {
        let what = format!("{range:?} of {object} in a batch");
        match (storage.read_one(object, *range), read) {
            (Ok(alone), read) => same(&read?, &alone, &what)?,
            (Err(error), read) if error.kind() == StorageErrorKind::NotFound => missing(read, &what)?,
            (Err(_), read) => damaged(read, &what)?,
        }
    }
    holds(storage.read_many(&[]).is_empty(), || "an empty batch has results".into())
}

pub(super) fn a_batch_deletes_what_it_names(open: &Open<'_>) -> Outcome {
    let storage = open();
    let names: Vec<Name> = (0..30).map(|n| name(Kind::Pack, n)).collect();
    for name in &names {
        storage.create(name, b"x")?;
    }
    // Among them some that are gone already, and one twice.
    storage.delete(&names[3])?;
    let mut gone: Vec<Name> = names[..20].to_vec();
    gone.push(names[5].clone());
    let done = storage.delete_many(&gone);
    same(&done.len(), &gone.len(), "how many results a batch has")?;
    for deleted in done {
        deleted?;
    }
    let left: Vec<Name> = storage.list_all(Kind::Pack)?.into_iter().map(|meta| meta.name).collect();
    let mut expected = names[20..].to_vec();
    expected.sort();
    same(&left, &expected, "what is left")?;
    holds(storage.delete_many(&[]).is_empty(), || "an empty batch has results".into())
}
