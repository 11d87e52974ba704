//! Repositories in object stores: how one is opened, what this machine found the store to do, and what is said of places
//! that cannot be reached.

use std::path::Path;
use std::sync::Arc;

use avro_snap::ops::create::{CreateOptions, CreateReport};
use avro_snap::ops::plan::PlanReport;
use avro_snap::ops::restore::{RestoreOptions, RestoreReport};
use avro_snap::progress::Progress;
use avro_snap::snapshot::SnapshotRoot;
use avro_snap::storage::Backend;
use avro_snap::store::Repository;

use super::Context;
use super::failure::{Failure, Result};

/// The places that other tools know and snap does not, by the beginning of their names; and what to use in their stead.
const ELSEWHERE: [(&str, &str); 14] = [
    ("s3:", "write s3://BUCKET/PREFIX; the address of a server that is not Amazon's stands in AWS_ENDPOINT_URL"),
    ("s3a:", "write s3://BUCKET/PREFIX"),
    ("gs:", "write gs://BUCKET/PREFIX"),
    ("gcs:", "write gs://BUCKET/PREFIX"),
    ("az:", "write az://CONTAINER/PREFIX"),
    ("azure:", "write az://CONTAINER/PREFIX"),
    ("abfs:", "write az://CONTAINER/PREFIX"),
    ("abfss:", "write az://CONTAINER/PREFIX"),
    ("b2:", "Backblaze B2 speaks S3: write s3://BUCKET/PREFIX, with its address in AWS_ENDPOINT_URL"),
    ("swift:", "OpenStack speaks S3 as well: write s3://BUCKET/PREFIX, with its address in AWS_ENDPOINT_URL"),
    ("sftp:", "mount it (sshfs, NFS) and give the directory, or use an object store: s3://, gs://, az://"),
    ("ssh:", "mount it (sshfs, NFS) and give the directory, or use an object store: s3://, gs://, az://"),
    (
        "rest:",
        "there is no server of snap's own: use an object store (s3://, gs://, az://), such as one behind MinIO or Garage",
    ),
    (
        "rclone:",
        "mount it (`rclone mount --vfs-cache-mode writes`) and give the directory, or use an object store: s3://",
    ),
];

/// Whether a place is in an object store, and no directory.
pub(crate) fn is_store(place: &Path) -> bool {
    avro_snap::files::is_in_store(place)
}

/// What is said of a place that cannot be reached, if it is one.
pub(crate) fn out_of_reach(location: &Path) -> Option<Failure> {
    let text = location.to_string_lossy();
    let known = ELSEWHERE.iter().find(|(scheme, _)| text.starts_with(scheme));
    match (known, text.split_once("://")) {
        _ if is_store(location) => None,
        (Some((scheme, instead)), url) if url.is_some() || !location.exists() => Some(Failure::plain(
            format!("{text}: snap cannot reach repositories at {}", scheme.trim_end_matches(':')),
            *instead,
        )),
        (None, Some((scheme, _))) => Some(Failure::plain(
            format!("{text}: snap cannot reach repositories at {scheme}"),
            "give a directory, which may be a mounted file system, or an object store: s3://, gs:// or az://BUCKET/PREFIX",
        )),
        _ => None,
    }
}

/// The storage in an object store.
#[cfg(not(feature = "object-store"))]
pub(crate) fn open(_: &Context, place: &Path) -> Result<Arc<dyn Backend>> {
    Err(not_built_in(place))
}

/// Nothing is known of a store that cannot be opened.
#[cfg(not(feature = "object-store"))]
pub(crate) fn look_into(_: &Context, _: &Path) -> Result<()> {
    Ok(())
}

/// No store, no strangers.
#[cfg(not(feature = "object-store"))]
pub(crate) fn stranger(_: &Context, _: &Path) -> Result<Option<String>> {
    Ok(None)
}

/// Makes a snapshot; sources in object stores are refused.
#[cfg(not(feature = "object-store"))]
pub(crate) fn create(
    _: &Context,
    repository: &Repository,
    options: CreateOptions,
    progress: &dyn Progress,
) -> Result<CreateReport> {
    match options.sources.iter().find(|source| is_store(source)) {
        Some(source) => Err(not_built_in(source)),
        None => avro_snap::ops::create::create(repository, options, progress).map_err(Failure::of_arguments),
    }
}

/// Divides sources; those in object stores are refused.
#[cfg(not(feature = "object-store"))]
pub(crate) fn plan(_: &Context, options: CreateOptions, shards: u32, progress: &dyn Progress) -> Result<PlanReport> {
    match options.sources.iter().find(|source| is_store(source)) {
        Some(source) => Err(not_built_in(source)),
        None => avro_snap::ops::plan::plan(options, shards, progress).map_err(Failure::of_arguments),
    }
}

/// Restores a snapshot; targets in object stores are refused.
#[cfg(not(feature = "object-store"))]
pub(crate) fn restore(
    _: &Context,
    repository: &Repository,
    snapshot: &SnapshotRoot,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport> {
    match is_store(&options.target) {
        true => Err(not_built_in(&options.target)),
        false => Ok(avro_snap::ops::restore::restore(repository, snapshot, options, progress)?),
    }
}

#[cfg(not(feature = "object-store"))]
fn not_built_in(place: &Path) -> Failure {
    Failure::plain(
        format!("{}: this snap was built without object stores", place.display()),
        "build it with its default features (`cargo install avro-snap`)",
    )
}

#[cfg(feature = "object-store")]
pub(crate) use reached::{create, look_into, open, plan, restore, stranger};

#[cfg(feature = "object-store")]
mod reached {
    use std::os::unix::fs::DirBuilderExt;
    use std::path::PathBuf;

    use avro_snap::bucket::{Stores, Target};
    use avro_snap::error::Error;
    use avro_snap::id::{digest, hex};
    use avro_snap::ops::create::create_with;
    use avro_snap::ops::plan::plan_with;
    use avro_snap::ops::restore::restore_to;
    use avro_snap::storage::remote::{Location, Remote};
    use avro_snap::storage::{Cache, CacheTerms, Findings, Limit, Retry, RetryPolicy, StorageErrorKind, probe};

    use super::*;

    fn remote(context: &Context, place: &Path) -> Result<Remote> {
        let location = Location::parse(&place.to_string_lossy()).map_err(|error| Failure::Usage(error.to_string()))?;
        let remote = Remote::open(&location, variables()).map_err(Error::from)?;
        let remote = match context.globals.connections {
            Some(connections) => remote.connections(connections.get()),
            None => remote,
        };
        Ok(match &context.globals.storage_class {
            Some(class) => remote.storage_class(class).map_err(|error| Failure::Usage(error.to_string()))?,
            None => remote,
        })
    }

    /// The settings of stores. What is no Unicode is none of them.
    fn variables() -> impl Iterator<Item = (String, String)> {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        std::env::vars_os().filter_map(text)
    }

    /// What is put around the client of any store: limits, and repetitions around them, since what is sent again counts again.
    fn counted(context: &Context, mut store: Arc<dyn Backend>) -> Arc<dyn Backend> {
        if let Some(rates) = context.rates.clone() {
            store = Arc::new(Limit::new(store, rates));
        }
        store = Arc::new(Retry::new(store, RetryPolicy::default()));
        let counted = store.clone();
        context.output.count(move || counted.traffic());
        store
    }

    /// The same with what is kept of it on this machine.
    fn wrapped(context: &Context, remote: Remote) -> Arc<dyn Backend> {
        let globals = &context.globals;
        let store = counted(context, Arc::new(remote));
        match globals.objects_folder() {
            // What is to be looked at is what lies there.
            Some(folder) if !context.looks_at_storage && globals.cache_size() > 0 => {
                Arc::new(Cache::in_folder(store, CacheTerms::default().total(globals.cache_size()), &folder))
            }
            _ => store,
        }
    }

    /// The stores in which sources and targets lie.
    fn stores(context: &Context) -> Arc<Stores> {
        let connections = context.globals.connections.map(|connections| connections.get());
        let stores = Arc::new(Stores::new(variables()).connections(connections).within(context.rates.clone()));
        let counted = stores.clone();
        context.output.count(move || counted.traffic());
        stores
    }

    /// Makes a snapshot of local and remote sources.
    pub(crate) fn create(
        context: &Context,
        repository: &Repository,
        options: CreateOptions,
        progress: &dyn Progress,
    ) -> Result<CreateReport> {
        let remote = options.sources.iter().filter(|source| is_store(source)).count();
        let are_remote = remote > 0 && remote == options.sources.len();
        let is_checked = options.run.is_some() || !options.iceberg.is_empty();
        match create_with(repository, &stores(context), options, progress) {
            Err(error @ Error::NothingSaved) if are_remote => Err(Failure::Own {
                exit: super::super::exit::Exit::of(&error),
                code: error.code(),
                message: error.message(),
                hint: Some(
                    "check the URL, the credentials and AWS_ENDPOINT_URL (or those of your store): listing and reading must \
                     be allowed there (docs/remote.md)"
                        .into(),
                ),
            }),
            Err(error) if remote > 0 || is_checked => Err(Failure::of_arguments(error)),
            created => Ok(created?),
        }
    }

    /// Divides local and remote sources.
    pub(crate) fn plan(
        context: &Context,
        options: CreateOptions,
        shards: u32,
        progress: &dyn Progress,
    ) -> Result<PlanReport> {
        plan_with(&stores(context), options, shards, progress).map_err(Failure::of_arguments)
    }

    /// Restores a snapshot into a directory or a bucket.
    pub(crate) fn restore(
        context: &Context,
        repository: &Repository,
        snapshot: &SnapshotRoot,
        options: &RestoreOptions,
        progress: &dyn Progress,
    ) -> Result<RestoreReport> {
        if !is_store(&options.target) {
            return Ok(avro_snap::ops::restore::restore(repository, snapshot, options, progress)?);
        }
        let target = Target::open(&stores(context), &options.target).map_err(Failure::of_arguments)?;
        Ok(restore_to(repository, snapshot, &target, options, progress)?)
    }

    /// The storage in an object store, for one writer at a time where this machine knows that it takes no more.
    pub(crate) fn open(context: &Context, place: &Path) -> Result<Arc<dyn Backend>> {
        let remote = remote(context, place)?;
        if context.reads_oldest_versions(place) {
            let oldest = remote.oldest_versions().map_err(Error::from)?;
            return Ok(counted(context, Arc::new(oldest)));
        }
        let remote = match known(context, &remote) {
            Some(Verdict::SingleWriter) => {
                context.output.warn_once(&format!(
                    "{} gives one name to several writers at once (found by a probe): only one snap may write to it at a \
                     time, also from other machines, or snapshots are lost",
                    place.display()
                ));
                remote.single_writer()
            }
            Some(Verdict::CreatesOnce) | None => remote,
        };
        Ok(wrapped(context, remote))
    }

    /// What a probe found.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Verdict {
        CreatesOnce,
        SingleWriter,
    }

    impl Verdict {
        const ALL: [(Self, &'static str); 2] =
            [(Self::CreatesOnce, "creates-once"), (Self::SingleWriter, "single-writer")];

        fn of(findings: Findings) -> Self {
            if findings.creates_once() { Self::CreatesOnce } else { Self::SingleWriter }
        }

        fn name(self) -> &'static str {
            Self::ALL.iter().find(|(verdict, _)| *verdict == self).map_or("", |(_, name)| name)
        }
    }

    /// Where this machine keeps what it found: of the bucket at this address, and not of the prefix.
    fn file(context: &Context, remote: &Remote) -> Option<PathBuf> {
        let (location, endpoint) = (remote.place(), remote.endpoint().unwrap_or_default());
        let store = format!("{}://{} {endpoint}", location.scheme().name(), location.bucket());
        let hash = digest(store.as_bytes());
        Some(context.globals.state_folder()?.join("stores").join(hex(hash.get(..16).unwrap_or(&hash))))
    }

    fn known(context: &Context, remote: &Remote) -> Option<Verdict> {
        let text = std::fs::read_to_string(file(context, remote)?).ok()?;
        Verdict::ALL.iter().find(|(_, name)| text.trim() == *name).map(|(verdict, _)| *verdict)
    }

    /// Remembers it. That it cannot be is no reason to stop: it is found out again the next time.
    fn remember(context: &Context, remote: &Remote, verdict: Verdict) {
        let Some(file) = file(context, remote) else { return };
        let folder = file.parent().unwrap_or(&file).to_path_buf();
        let new = file.with_extension(format!("{}.new", std::process::id()));
        let _ = std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .and_then(|()| std::fs::write(&new, format!("{}\n", verdict.name())))
            .and_then(|()| std::fs::rename(&new, file));
    }

    /// Finds out what the store does, before this machine writes to it for the first time.
    pub(crate) fn look_into(context: &Context, place: &Path) -> Result<()> {
        let remote = Arc::new(remote(context, place)?);
        // Of what is only read nothing is tried out: that would write.
        if known(context, &remote).is_some() || context.reads_oldest_versions(place) {
            return Ok(());
        }
        let findings = match probe(&counted(context, remote.clone())) {
            Ok(findings) => findings,
            // Without the right to write or delete, the next step fails with that error.
            Err(error) if error.kind() == StorageErrorKind::Denied => return Ok(()),
            Err(error) => return Err(Error::from(error).into()),
        };
        if let Some(obstacle) = findings.obstacle() {
            return Err(Failure::plain(
                format!("{}: {obstacle}", place.display()),
                "no snapshot would be safe there: use another store",
            ));
        }
        remember(context, &remote, Verdict::of(findings));
        if !findings.creates_once() {
            context.output.warn(&format!(
                "{}: a probe found that {findings}. It can be used all the same, by one writer at a time",
                place.display()
            ));
        }
        Ok(())
    }

    /// A key in the way of a new repository.
    pub(crate) fn stranger(context: &Context, place: &Path) -> Result<Option<String>> {
        let remote = Arc::new(remote(context, place)?);
        let counted = remote.clone();
        context.output.count(move || Backend::traffic(&*counted));
        Ok(remote.stranger().map_err(Error::from)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_other_tools_are_answered_with_what_to_use() {
        for (place, instead) in [
            ("s3:s3.amazonaws.com/bucket", "s3://BUCKET"),
            ("b2:bucket:path", "AWS_ENDPOINT_URL"),
            ("sftp:user@host:/x", "sshfs"),
            ("rest:http://host:8000/", "object store"),
            ("rclone:remote:path", "rclone mount"),
            ("gcs://bucket", "gs://"),
            ("https://example.org/x", "directory"),
        ] {
            let failure =
                out_of_reach(Path::new(place)).unwrap_or_else(|| panic!("{place} is said to be within reach"));
            let Failure::Own { message, hint, .. } = failure else { panic!("{place}") };
            assert!(message.starts_with(place) && hint.as_ref().is_some_and(|hint| hint.contains(instead)), "{hint:?}");
        }
        for place in ["/backup", "backup", "a:b", "s3://bucket/x", "az://box"] {
            assert!(out_of_reach(Path::new(place)).is_none(), "{place}");
        }
    }
}
