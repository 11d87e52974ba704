//! Buckets of object stores as trees of files: what is saved from there, and what is restored to there.
//!
//! `s3://lake/warehouse/orders` stands in a manifest as `s3:/lake/warehouse/orders`, and what lies below it under its key. Objects are
//! regular files; a prefix is a directory without a row, as long as something is in it. [`sources`] makes a tree of local and
//! remote sources, [`Target`] is what a snapshot is restored to. The requests are those of `storage::remote`.

mod errors;
mod notes;
mod ordered;
mod place;
mod reader;
mod target;
mod together;
mod walk;
mod writer;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Add;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Error, Result};
use crate::files::{Rules, Source, SourceTree, is_in_store, now};
use crate::storage::remote::{Location, Objects};
use crate::storage::{Rates, RetryPolicy, Traffic};

use place::Place;
pub use target::Target;
use together::Together;
use walk::Walk;

/// Object stores, and how they are reached. Connections are made when they are needed, one for each bucket.
pub struct Stores {
    variables: Vec<(String, String)>,
    patience: Option<(Duration, RetryPolicy)>,
    connections: Option<usize>,
    rates: Option<Arc<Rates>>,
    open: Mutex<BTreeMap<String, Arc<Objects>>>,
}

impl Stores {
    /// Credentials, endpoints and settings come from these variables of the environment.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let variables = variables.into_iter().collect();
        Self { variables, patience: None, connections: None, rates: None, open: Mutex::default() }
    }

    /// The same, with this time to wait for an answer and these attempts.
    pub fn patient(self, time: Duration, policy: RetryPolicy) -> Self {
        Self { patience: Some((time, policy)), ..self }
    }

    /// The same, with at most this many requests to a bucket on their way at once.
    pub fn connections(self, most: Option<usize>) -> Self {
        Self { connections: most, ..self }
    }

    /// The same, within these rates, all buckets together.
    pub fn within(self, rates: Option<Arc<Rates>>) -> Self {
        Self { rates, ..self }
    }

    /// What went over the network so far; none where no bucket was needed.
    pub fn traffic(&self) -> Option<Traffic> {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().map(|objects| objects.traffic()).reduce(Traffic::add)
    }

    /// The objects of a bucket.
    fn objects(&self, location: &Location) -> Result<Arc<Objects>> {
        let bucket = format!("{}://{}", location.scheme().name(), location.bucket());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = open.get(&bucket) {
            return Ok(objects.clone());
        }
        let mut objects = Objects::open(location, self.variables.iter().cloned())?;
        if let Some((time, policy)) = self.patience {
            objects = objects.patient(time, policy);
        }
        if let Some(most) = self.connections {
            objects = objects.connections(most);
        }
        if let Some(rates) = &self.rates {
            objects = objects.within(rates.clone());
        }
        let objects = Arc::new(objects);
        open.insert(bucket, objects.clone());
        Ok(objects)
    }
}

impl fmt::Debug for Stores {
    /// Without the variables: passwords are among them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stores").finish_non_exhaustive()
    }
}

/// The tree of these sources, some or all of which lie in object stores. `rules` say what is left out; what is in one of the places
/// `in_use` that lie in an object store is passed over.
///
/// # Errors
/// If a source names no place, its store cannot be reached without credentials, two sources would stand at the same place of a
/// manifest, or the rules cannot be kept: files that mark directories are not looked for in buckets.
pub fn sources(
    stores: &Stores,
    sources: &[PathBuf],
    working_directory: &Path,
    rules: Rules,
    in_use: &[PathBuf],
) -> Result<Box<dyn SourceTree>> {
    let (remote, local): (Vec<_>, Vec<_>) = sources.iter().cloned().partition(|source| is_in_store(source));
    let local = match local.is_empty() && !remote.is_empty() {
        true => None,
        false => Some(Source::new(&local, working_directory, rules.clone(), now)?),
    };
    if remote.is_empty()
        && let Some(local) = local
    {
        return Ok(Box::new(local));
    }
    if rules.has_markers() {
        return Err(Error::argument(
            "exclude_if_present",
            "files that mark directories are not looked for in object stores: exclude by patterns there, or save what is \
             local and what is in an object store as snapshots of their own",
        ));
    }
    let places = Place::outermost(&remote)?;
    let places = places.into_iter().map(|place| {
        let objects = stores.objects(&place.location)?;
        Ok((place, objects))
    });
    let in_use = in_use.iter().filter(|place| is_in_store(place)).cloned().collect();
    let walk = Walk::new(places.collect::<Result<_>>()?, rules, in_use);
    Ok(match local {
        Some(local) => Box::new(Together::new(local, walk)),
        None => Box::new(walk),
    })
}
