//! What a repository asks for, as requests to a store.

use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::time::Duration;

use object_store::{Attribute, ObjectStoreExt, PutMode, PutOptions, PutPayload};

use super::errors::Refused;
use super::{BATCH, Remote, direct, is_nothing, tasks};
use crate::storage::{
    Abilities, Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result, StorageError,
    StorageErrorKind, Traffic, named,
};

impl Backend for Remote {
    fn location(&self) -> String {
        self.location.to_string()
    }

    fn abilities(&self) -> Abilities {
        let retains = self.direct.as_ref().is_some_and(|direct| direct.locks());
        Abilities {
            has_clock: true,
            retains,
            has_cold: self.class.is_some(),
            concurrency: self.connections,
            ..Abilities::default()
        }
    }

    fn traffic(&self) -> Option<Traffic> {
        Some(self.counter.traffic())
    }

    /// Prefixes need not be made.
    fn prepare(&self) -> Result<()> {
        Ok(())
    }

    fn put(&self, name: &Name, bytes: &[u8], terms: &PutTerms) -> Result<Created> {
        named(name, "write")?;
        terms.only_if(self.abilities(), name)?;
        if self.single_writer && self.head(name)?.is_some() {
            return Ok(Created::Exists);
        }
        let (store, key) = (self.store.clone(), self.key(name));
        let payload = PutPayload::from(bytes.to_vec());
        let patience = self.patience.for_bytes(bytes.len() as u64);
        let mut options = PutOptions::from(PutMode::Create);
        if let (Some(time), Some(direct)) = (terms.retain, &self.direct) {
            options.extensions.insert(direct::Lock::new(direct, time));
        }
        if let (true, Some(class)) = (terms.cold, &self.class) {
            options.attributes.insert(Attribute::StorageClass, class.clone().into());
        }
        let put = self.run(tasks::within(patience, async move { store.put_opts(&key, payload, options).await }));
        let Err(failed) = put else { return Ok(Created::New) };
        match failed.refused() {
            Refused::Taken => self.taken(name),
            Refused::Unknown => {
                Err(self.error(failed, "write", Some(name)).turned_into(StorageErrorKind::UnknownOutcome))
            }
            Refused::Failed(kind) => Err(self.error(failed, "write", Some(name)).turned_into(kind)),
        }
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        named(name, "read")?;
        if is_nothing(range) {
            return self.read_nothing(name, range);
        }
        let done = self.run(tasks::read(self.store.clone(), self.key(name), range, self.patience));
        self.received(done, name, range)
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        named(name, "stat")?;
        let (store, key) = (self.store.clone(), self.key(name));
        match self.run(tasks::within(self.patience.least(), async move { store.head(&key).await })) {
            Ok(meta) => Ok(Some(self.meta(name.clone(), &meta))),
            Err(failed) if failed.kind() == StorageErrorKind::NotFound => Ok(None),
            Err(failed) => Err(self.error(failed, "stat", Some(name))),
        }
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        if kind == Kind::Config {
            let names = [Name::config(), Name::config_copy()];
            for name in names.iter().filter(|name| after.is_none_or(|after| *name > after)) {
                if let Some(meta) = self.head(name)?
                    && each(meta).is_break()
                {
                    break;
                }
            }
            return Ok(());
        }
        let prefix = self.location.key(kind.folder());
        let mut pages = tasks::Pages::new(&self.store, &prefix, after.map(|name| self.key(name)), self.patience);
        // Of a store that lists in no order, all names are needed before the first one is known.
        let mut unordered = self.is_unordered.load(Ordering::Relaxed).then(Vec::new);
        let mut last: Option<Name> = None;
        loop {
            let (back, page) = self.tasks.page(pages);
            pages = back;
            let page = page.map_err(|failed| self.error(failed, "list", None))?;
            let is_over = page.is_none();
            let mut page = self.objects(kind, after, page.unwrap_or_default());
            if unordered.is_none() && last.is_none() && !page.is_sorted_by(|one, next| one.name < next.name) {
                self.is_unordered.store(true, Ordering::Relaxed);
                unordered = Some(Vec::new());
            }
            match &mut unordered {
                Some(all) if !is_over => {
                    all.append(&mut page);
                    continue;
                }
                Some(all) => {
                    page = std::mem::take(all);
                    page.sort_by(|one, other| one.name.cmp(&other.name));
                    page.dedup_by(|one, other| one.name == other.name);
                }
                None => {}
            }
            for meta in page {
                if last.as_ref().is_some_and(|last| meta.name <= *last) {
                    return Err(StorageError::new(StorageErrorKind::Other, "list")
                        .at(&self.location)
                        .because("the storage listed some names in order, and then one that should have come before"));
                }
                last = Some(meta.name.clone());
                if let ControlFlow::Break(()) = each(meta) {
                    return Ok(());
                }
            }
            if is_over {
                return Ok(());
            }
        }
    }

    fn delete(&self, name: &Name) -> Result<()> {
        named(name, "delete")?;
        self.run(tasks::delete(self.store.clone(), self.key(name), self.patience))
            .map_err(|failed| self.error(failed, "delete", Some(name)))
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        let task = |name: &Name, range| tasks::read(self.store.clone(), self.key(name), range, self.patience);
        let apart = |(result, (name, range)): (Option<_>, &(Name, ByteRange))| match result {
            Some(result) => result,
            None => self.read_one(name, *range),
        };
        self.read_together(wants, task).into_iter().zip(wants).map(apart).collect()
    }

    fn retain(&self, names: &[Name], time: Duration) -> Vec<Result<()>> {
        let Some(direct) = self.direct.as_ref().filter(|direct| direct.locks()) else {
            let unsupported = |name| Err(StorageError::new(StorageErrorKind::Unsupported, "retain").of(name));
            return names.iter().map(unsupported).collect();
        };
        let work = names.iter().map(|name| direct.clone().retain(self.key(name), time, self.patience));
        let done = self.tasks.run_all(work.collect());
        done.into_iter()
            .zip(names)
            .map(|(done, name)| done.map_err(|failed| self.error(failed, "retain", Some(name))))
            .collect()
    }

    fn delete_many(&self, names: &[Name]) -> Vec<Result<()>> {
        let mut once: Vec<&Name> = names.iter().collect();
        once.sort_unstable();
        once.dedup();
        let mut failed = std::collections::BTreeMap::new();
        for batch in once.chunks(BATCH) {
            let done = match batch {
                [name] => vec![self.delete(name)],
                batch => self.delete_batch(batch),
            };
            for (name, done) in batch.iter().zip(done) {
                if let Err(error) = done {
                    failed.insert((*name).clone(), error);
                }
            }
        }
        // Of a name that is there twice, the first one has the failure.
        names.iter().map(|name| failed.remove(name).map_or(Ok(()), Err)).collect()
    }
}
