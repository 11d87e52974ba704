//! The oldest version of each object, in a bucket that keeps versions.
//!
//! A repository gives each name once. So of several versions of an object the oldest is the right one: whatever came later
//! was put there by somebody else, or hides it. This is for getting a repository back that somebody has overwritten or
//! deleted, and reads only.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use super::direct::{Direct, Version};
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
            let page = self.remote.run(work).map_err(|failed| self.remote.error(failed, "list versions", None))?;
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
                    return Err(StorageError::new(StorageErrorKind::Other, "list versions")
                        .at(self.location())
                        .because("the store returns the same part of the listing again and again"));
                }
                next => from = next,
            }
        }
        if let Some(last) = oldest {
            let _ = each(last);
        }
        Ok(())
    }

    fn find(&self, name: &Name) -> Result<Option<Version>> {
        let key = self.remote.key(name).to_string();
        let mut found = None;
        self.walk(&key, None, &mut |version| match version.key == key {
            true => {
                found = Some(version);
                ControlFlow::Break(())
            }
            // Others that begin like it.
            false => ControlFlow::Continue(()),
        })?;
        Ok(found)
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
        named(name, "read")?;
        let version = self.find(name)?.ok_or_else(|| StorageError::not_found(name))?;
        range.check(name, version.size)?;
        if super::is_nothing(range) {
            return Ok(Vec::new());
        }
        let (store, key) = (self.remote.store.clone(), self.remote.key(name));
        let done = self.remote.run(tasks::read_version(store, key, range, Some(version.id), self.remote.patience));
        self.remote.received(done, name, range)
    }

    fn head(&self, name: &Name) -> Result<Option<ObjectMeta>> {
        named(name, "stat")?;
        Ok(self.find(name)?.map(|version| Self::meta(name.clone(), &version)))
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
