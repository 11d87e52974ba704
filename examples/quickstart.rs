//! The main job on real Avro files: makes a repository in a temporary folder, takes a snapshot of each of three nights of
//! the fixtures, restores the first and the last, compares every byte, and prints what each night cost.
//!
//! `cargo run --release --example quickstart`

#![allow(clippy::print_stdout, reason = "it is there to show something")]

use std::error::Error;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use avro_snap::crypto::SystemEntropy;
use avro_snap::ops::create::{CreateOptions, CreateReport, create};
use avro_snap::ops::restore::{RestoreOptions, restore};
use avro_snap::ops::select::Listing;
use avro_snap::progress::Silent;
use avro_snap::storage::Local;
use avro_snap::store::{InitOptions, OpenOptions, Repository, SystemClock, Unlock};

const PASSWORD: &[u8] = b"correct horse battery staple";

fn main() -> Result<(), Box<dyn Error>> {
    let nights = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nights");
    let work = std::env::temp_dir().join(format!("snap-quickstart-{}", std::process::id()));
    let repository = make_repository(&work.join("repository"))?;
    println!("an encrypted repository in a temporary folder, id {}\n", repository.id());

    let mut names: Vec<_> =
        fs::read_dir(&nights)?.map(|entry| Ok(entry?.file_name())).collect::<std::io::Result<_>>()?;
    names.sort();
    println!("{:<12} {:>14} {:>16} {:>12}", "night", "files, bytes", "added, bytes", "new chunks");
    for name in &names {
        let report = take_snapshot(&repository, &nights.join(name))?;
        println!(
            "{:<12} {:>14} {:>16} {:>12}",
            name.to_string_lossy(),
            report.bytes_total,
            report.bytes_added,
            report.chunks_new
        );
    }

    let snapshots = Listing::read(&repository).snapshots;
    println!();
    for (snapshot, name) in [(snapshots.first(), names.first()), (snapshots.last(), names.last())] {
        let (Some(snapshot), Some(name)) = (snapshot, name) else { return Err("there is nothing to restore".into()) };
        let target = work.join("restored").join(name);
        let options = RestoreOptions::new(target.clone());
        let report = restore(&repository, snapshot, &options, &Silent)?;
        let compared = compare(&nights.join(name), &target)?;
        println!(
            "snapshot {} of {}: {} files restored, {compared} bytes compared, all equal",
            snapshot.id.short(),
            name.to_string_lossy(),
            report.files_restored
        );
    }
    fs::remove_dir_all(&work)?;
    Ok(())
}

fn make_repository(folder: &Path) -> Result<Repository, Box<dyn Error>> {
    let backend: Arc<dyn avro_snap::storage::Backend> = Arc::new(Local::new(folder));
    let options = InitOptions::default().password(PASSWORD.to_vec()).label("quickstart");
    Repository::init(&backend, &options, &SystemClock, &SystemEntropy)?;
    let unlock = Unlock::Password(&mut || Ok(PASSWORD.to_vec()));
    Ok(Repository::open(backend, unlock, &OpenOptions::default())?)
}

fn take_snapshot(repository: &Repository, night: &Path) -> Result<CreateReport, Box<dyn Error>> {
    let options = CreateOptions::new(["."]).working_directory(night).series("quickstart");
    Ok(create(repository, options, &Silent)?)
}

/// How many bytes the files of two folders have; fails at the first difference.
fn compare(original: &Path, restored: &Path) -> Result<u64, Box<dyn Error>> {
    let mut bytes = 0;
    for entry in fs::read_dir(original)? {
        let name = entry?.file_name();
        let (before, after) = (fs::read(original.join(&name))?, fs::read(restored.join(&name))?);
        if before != after {
            return Err(format!("{} was not restored as it was", name.to_string_lossy()).into());
        }
        bytes += before.len() as u64;
    }
    match fs::read_dir(restored)?.count() == fs::read_dir(original)?.count() {
        true => Ok(bytes),
        false => Err("something was restored that was not saved".into()),
    }
}
