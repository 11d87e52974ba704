//! The oldest version of each object, in a bucket that keeps versions.
//!
//! A repository gives each name once. So of several versions of an object the oldest is the right one: whatever came later
//! was put there by somebody else, or hides it. This is for getting a repository back that somebody has overwritten or
//! deleted, and reads only.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::direct::{Direct, Version};
use super::tasks::{Done, Failed};
use super::timing::Patience;
use super::{Remote, tasks};
use crate::storage::{
    Abilities, Backend, ByteRange, Created, Each, Kind, Name, ObjectMeta, PutTerms, Result, StorageError,
    StorageErrorKind, Traffic, named,
};

/// A prefix of a bucket, as it was before anything in it was overwritten or deleted.
#[derive(Debug)]
pub struct OldestVersions {
    remote: Remote,
    direct: Arc<Direct>,
}

impl Remote {
    /// Reads the oldest version of each object, and writes nothing.
    ///
    /// # Errors
    /// [`StorageErrorKind::Unsupported`] where older versions cannot be asked for: so far in S3 only, and with credentials.
    pub fn oldest_versions(self) -> Result<OldestVersions> {
        match self.direct.clone().filter(|direct| direct.has_versions()) {
            Some(direct) => Ok(OldestVersions { remote: self, direct }),
            None => Err(StorageError::new(StorageErrorKind::Unsupported, "read versions")
                .at(&self.location)
                .because("older versions of objects can be read in S3 only, and with credentials")),
        }
    }
}

/// Which versions an object has.
const LIST: &str = "list versions";

/// What is wrong with a listing that comes to no end.
const REPEATED: &str = "the store returns the same part of the listing again and again";

/// What was found of objects.
type Finds<'n> = BTreeMap<&'n Name, Done<Option<Version>>>;

/// The oldest version of an object; none if there is no such object.
async fn oldest(direct: Arc<Direct>, key: String, patience: Patience) -> Done<Option<Version>> {
    let (mut from, mut oldest) = (None, None);
    loop {
        let page = direct.clone().versions(key.clone(), from.clone(), patience).await?;
        for version in page.versions {
            // Other keys that begin like it come after it.
            if version.key != key {
                return Ok(oldest);
            }
            // The newest comes first.
            oldest = Some(version);
        }
        match page.next {
            None => return Ok(oldest),
            next if next == from => return Err(Failed::Together(StorageErrorKind::Other, REPEATED.into())),
            next => from = next,
        }
    }
}

fn refused(operation: &'static str) -> StorageError {
    StorageError::new(StorageErrorKind::ReadOnly, operation).because("older versions of objects are read")
}

impl OldestVersions {
    /// Calls `each` with the oldest version of each key that begins with this, after a key if one is given.
    fn walk(
        &self,
        prefix: &str,
        after: Option<String>,
        each: &mut dyn FnMut(Version) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut from = after.map(|key| (key, None));
        // The newest comes first, so the last one before another key is the oldest. Versions of a key may go on on the next page.
        let mut oldest: Option<Version> = None;
        loop {
            let work = self.direct.clone().versions(prefix.into(), from.clone(), self.remote.patience);
            let page = self.remote.run(work).map_err(|failed| self.remote.error(failed, LIST, None))?;
            for version in page.versions {
                if let Some(done) = oldest.take_if(|oldest| oldest.key != version.key)
                    && each(done).is_break()
                {
                    return Ok(());
                }
                oldest = Some(version);
            }
            match page.next {
                None => break,
                next if next == from => {
                    return Err(StorageError::new(StorageErrorKind::Other, LIST).at(self.location()).because(REPEATED));
                }
                next => from = next,
            }
        }
        if let Some(last) = oldest {
            let _ = each(last);
        }
        Ok(())
    }

    /// The oldest version of each of these objects, found side by side.
    fn find<'n>(&self, names: impl Iterator<Item = &'n Name>) -> Finds<'n> {
        let names: BTreeSet<&Name> = names.collect();
        let work = names.iter().map(|name| {
            let key = self.remote.key(name).to_string();
            oldest(self.direct.clone(), key, self.remote.patience)
        });
        let done = self.remote.tasks.run_all(work.collect());
        names.into_iter().zip(done).collect()
    }

    /// What was found of this object; none if there is no such object.
    fn found<'f>(&self, finds: &'f Finds<'_>, name: &Name) -> Result<Option<&'f Version>> {
        match finds.get(name) {
            Some(Ok(version)) => Ok(version.as_ref()),
            Some(Err(failed)) => Err(self.remote.error(failed.again(), LIST, Some(name))),
            None => Ok(None),
        }
    }

    /// The version of which these bytes are to be read; none if no bytes are.
    fn wanted<'f>(&self, finds: &'f Finds<'_>, (name, range): &(Name, ByteRange)) -> Result<Option<&'f Version>> {
        named(name, "read")?;
        let version = self.found(finds, name)?.ok_or_else(|| StorageError::not_found(name))?;
        range.check(name, version.size)?;
        Ok((!super::is_nothing(*range)).then_some(version))
    }

    fn meta(name: Name, version: &Version) -> ObjectMeta {
        let modified = version.modified.and_then(|seconds| seconds.checked_mul(1_000_000_000));
        ObjectMeta { modified, tag: Some(version.id.clone()), ..ObjectMeta::new(name, version.size) }
    }
}

impl Backend for OldestVersions {
    fn location(&self) -> String {
        format!("{} (oldest versions)", self.remote.location())
    }

    fn abilities(&self) -> Abilities {
        Abilities { retains: false, ..self.remote.abilities() }
    }

    fn traffic(&self) -> Option<Traffic> {
        Backend::traffic(&self.remote)
    }

    fn prepare(&self) -> Result<()> {
        Err(refused("prepare").at(self.location()))
    }

    fn put(&self, name: &Name, _: &[u8], _: &PutTerms) -> Result<Created> {
        Err(refused("write").of(name))
    }

    fn read_one(&self, name: &Name, range: ByteRange) -> Result<Vec<u8>> {
        let mut read = self.read_many(&[(name.clone(), range)]);
        read.pop().unwrap_or_else(|| Err(StorageError::not_found(name)))
    }

    fn read_many(&self, wants: &[(Name, ByteRange)]) -> Vec<Result<Vec<u8>>> {
        let finds = self.find(wants.iter().map(|(name, _)| name).filter(|name| !name.file().is_empty()));
        let wanted: Vec<Result<Option<&Version>>> = wants.iter().map(|want| self.wanted(&finds, want)).collect();
        let task = |name: &Name, range| {
            let id = finds.get(name).and_then(|found| found.as_ref().ok()?.as_ref()).map(|version| version.id.clone());
            tasks::read_version(self.remote.store.clone(), self.remote.key(name), range, id, self.remote.patience)
        };
        let usable = wants.iter().zip(&wanted).filter(|(_, wanted)| matches!(wanted, Ok(Some(_))));
        let asked: Vec<(Name, ByteRange)> = usable.map(|(want, _)| want.clone()).collect();
        let mut read = self.remote.read_together(&asked, task).into_iter();
        let result = |(want, wanted): (&(Name, ByteRange), Result<Option<&Version>>)| match wanted? {
            None => Ok(Vec::new()),
            Some(_) => match read.next().flatten() {
                Some(result) => result,
                // One of several that were asked for together in vain.
                None => self.remote.received(self.remote.run(task(&want.0, want.1)), &want.0, want.1),
            },
        };
        wants.iter().zip(wanted).map(result).collect()
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        named(name, "stat")?;
        let finds = self.find(std::iter::once(name));
        Ok(self.found(&finds, name)?.map(|version| Self::meta(name.clone(), version)))
    }

    fn list(&self, kind: Kind, after: Option<&Name>, each: &mut Each<'_>) -> Result<()> {
        if kind == Kind::Config {
            for name in [Name::config(), Name::config_copy()] {
                if after.is_none_or(|after| name > *after)
                    && let Some(meta) = self.head(&name)?
                    && each(meta).is_break()
                {
                    break;
                }
            }
            return Ok(());
        }
        let prefix = format!("{}/", self.remote.location.key(kind.folder()));
        let first = after.map(|name| self.remote.key(name).to_string());
        self.walk(&prefix, first, &mut |version| match self
            .remote
            .location
            .object(kind, &version.key)
            .filter(|name| after.is_none_or(|after| name > after))
        {
            Some(name) => each(Self::meta(name, &version)),
            None => ControlFlow::Continue(()),
        })
    }

    fn delete(&self, name: &Name) -> Result<()> {
        Err(refused("delete").of(name))
    }

    fn retain(&self, names: &[Name], _: Duration) -> Vec<Result<()>> {
        names.iter().map(|name| Err(refused("retain").of(name))).collect()
    }
}
