//! `snap cache`

use std::fs;
use std::path::{Path, PathBuf};

use avro_snap::id::RepositoryId;
use avro_snap::storage::Cache;
use serde::Serialize;
use serde_json::json;

use super::Context;
use super::exit::Exit;
use super::failure::Result;
use super::format::{count, size};
use super::table::Table;

/// Show or clear what this machine keeps of repositories
///
/// The cache directory holds a local index of each repository that was used here, and objects of those in object stores, so
/// that they need not be asked for again. All of it may be deleted at any time, also while snap runs: it costs time, no data.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Show where the cache is, what it takes, and its limit
    Show,
    /// Delete what is in it
    Clear {
        /// Delete the objects of remote repositories only, and keep the local indexes
        #[arg(long)]
        objects: bool,

        /// Delete nothing; show what would be deleted
        #[arg(short = 'n', long)]
        dry_run: bool,
    },
}

/// What is kept.
#[derive(Debug, Serialize)]
struct Kept {
    /// The cache directory.
    path: Option<String>,
    /// What is kept of each repository.
    repositories: Vec<OfRepository>,
    /// Objects of remote repositories.
    objects: u64,
    /// Their length, in bytes.
    objects_bytes: u64,
    /// How many bytes of objects are kept at most.
    limit_bytes: u64,
    /// All that is kept, in bytes.
    bytes: u64,
}

#[derive(Debug, Serialize)]
struct OfRepository {
    repository_id: String,
    files: u64,
    bytes: u64,
    #[serde(skip)]
    folder: PathBuf,
}

/// The beginnings of the names of files that the cache of one repository has. What is called otherwise is not ours.
const FILES: [&str; 4] = ["index.db", "hints.db", "log", "roots"];

impl Args {
    pub(crate) fn run(self, context: &Context) -> Result<Exit> {
        let kept = Kept::look(context);
        match self.what.unwrap_or(What::Show) {
            What::Show => kept.print(context),
            What::Clear { objects, dry_run } => kept.clear(context, objects, dry_run),
        }
    }
}

impl Kept {
    fn look(context: &Context) -> Self {
        let globals = &context.globals;
        let path = globals.cache_folder();
        let (objects, objects_bytes) = globals.objects_folder().map_or((0, 0), |folder| Cache::measure(&folder));
        let repositories = path.as_deref().map(repositories).unwrap_or_default();
        let bytes = objects_bytes + repositories.iter().map(|one| one.bytes).sum::<u64>();
        let path = path.map(|path| path.to_string_lossy().into_owned());
        Self { path, repositories, objects, objects_bytes, limit_bytes: globals.cache_size(), bytes }
    }

    fn print(&self, context: &Context) -> Result<Exit> {
        let output = &context.output;
        if output.json {
            output.object("cache", self)?;
            return Ok(Exit::Done);
        }
        let Some(path) = &self.path else {
            output.line("there is no cache directory (--no-cache, or neither HOME nor XDG_CACHE_HOME is set)")?;
            return Ok(Exit::Done);
        };
        output.line(format!("Path:  {path}"))?;
        output.line(format!("Size:  {}", size(self.bytes)))?;
        output.line(format!("Limit: {} of objects of remote repositories", size(self.limit_bytes)))?;
        output.line("")?;
        let mut table = Table::new(&["Kept of", "Files", "Size"], &[1, 2]);
        for one in &self.repositories {
            table.row(vec![one.repository_id.clone(), one.files.to_string(), size(one.bytes)]);
        }
        table.row(vec!["remote objects".into(), self.objects.to_string(), size(self.objects_bytes)]);
        table.print(output)?;
        Ok(Exit::Done)
    }

    fn clear(self, context: &Context, only_objects: bool, dry_run: bool) -> Result<Exit> {
        let (mut files, mut bytes) = (self.objects, self.objects_bytes);
        if let (Some(folder), false) = (context.globals.objects_folder(), dry_run) {
            (files, bytes) = Cache::clear(&folder);
        }
        for one in self.repositories.iter().filter(|_| !only_objects) {
            let of_it = match dry_run {
                true => (one.files, one.bytes),
                false => remove(&one.folder),
            };
            files += of_it.0;
            bytes += of_it.1;
        }
        let output = &context.output;
        if output.json {
            output.object_with("summary", json!({"dry_run": dry_run}), json!({"files": files, "bytes": bytes}))?;
        }
        let done = if dry_run { "would delete" } else { "deleted" };
        output.note(format_args!("{done} {} ({})", count(files, "file"), size(bytes)))?;
        Ok(Exit::Done)
    }
}

/// The folders of repositories in the cache directory: those that are called as an id is.
fn repositories(cache: &Path) -> Vec<OfRepository> {
    let Ok(entries) = fs::read_dir(cache) else { return Vec::new() };
    let of = |entry: fs::DirEntry| {
        let id: RepositoryId = entry.file_name().to_str()?.parse().ok()?;
        let folder = entry.path();
        let found = files(&folder);
        let bytes = found.iter().map(|(_, length)| length).sum();
        Some(OfRepository { repository_id: id.to_string(), files: found.len() as u64, bytes, folder })
    };
    let mut found: Vec<_> = entries.flatten().filter_map(of).collect();
    found.sort_by(|one, other| one.repository_id.cmp(&other.repository_id));
    found
}

/// What of a folder is the cache of a repository, and how long that is.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let ours = |entry: fs::DirEntry| {
        let metadata = entry.metadata().ok().filter(fs::Metadata::is_file)?;
        let name = entry.file_name();
        let is_ours = FILES.iter().any(|file| name.to_str().is_some_and(|name| name.starts_with(file)));
        is_ours.then(|| (entry.path(), metadata.len()))
    };
    entries.flatten().filter_map(ours).collect()
}

/// Removes the cache of a repository. Returns how many files and bytes that was.
fn remove(folder: &Path) -> (u64, u64) {
    let removed = files(folder).into_iter().filter(|(path, _)| fs::remove_file(path).is_ok());
    let done = removed.fold((0, 0), |(files, bytes), (_, length)| (files + 1, bytes + length));
    // It stays if there is anything else in it.
    let _ = fs::remove_dir(folder);
    done
}
