// What the examples of the crate's documentation begin with: a repository in memory, and files to save. Each of them includes
// this file.

#[allow(dead_code)]
fn new_repository() -> avro_snap::Result<std::sync::Arc<avro_snap::Repository>> {
    use avro_snap::options::{Suite, SystemClock, SystemEntropy};
    use avro_snap::{InitOptions, OpenOptions, Repository, Unlock};

    let storage: std::sync::Arc<dyn avro_snap::storage::Backend> = std::sync::Arc::new(avro_snap::storage::Memory::new());
    let init = InitOptions::default().encryption(Suite::None);
    Repository::init(&storage, &init, &SystemClock, &SystemEntropy)?;
    let unlock = Unlock::Password(&mut || Ok(Vec::new()));
    Ok(std::sync::Arc::new(Repository::open(storage, unlock, &OpenOptions::default())?))
}

#[allow(dead_code)]
fn nights() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nights")
}

/// Saves what is in a folder.
#[allow(dead_code)]
fn save(repository: &avro_snap::Repository, folder: &std::path::Path) -> avro_snap::Result<avro_snap::SnapshotId> {
    let options = avro_snap::CreateOptions::new(["."]).working_directory(folder).series("tour");
    let report = avro_snap::create(repository, options, &avro_snap::Silent)?;
    report.snapshot.ok_or_else(|| avro_snap::Error::NothingSaved)
}
