// What the examples of the crate's documentation begin with: a repository in memory, and options of which nothing is special.
// Each of them includes this file.

#[allow(dead_code)]
fn new_repository() -> avro_snap::Result<std::sync::Arc<avro_snap::Repository>> {
    use avro_snap::options::{CachePlace, CutParams, KdfCost, Settings, Suite, SystemClock, SystemEntropy};

    let storage: std::sync::Arc<dyn avro_snap::storage::Backend> = std::sync::Arc::new(avro_snap::storage::Memory::new());
    let init = avro_snap::InitOptions {
        suite: Suite::None,
        password: None,
        kdf: KdfCost::default(),
        label: String::new(),
        cut: CutParams::default(),
        chunk_id_key: None,
        settings: Settings::default(),
    };
    avro_snap::Repository::init(&storage, &init, &SystemClock, &SystemEntropy)?;
    let open = avro_snap::OpenOptions {
        cache: CachePlace::Temporary,
        state_folder: None,
        clock: std::sync::Arc::new(SystemClock),
        entropy: std::sync::Arc::new(SystemEntropy),
        runtime: avro_snap::Runtime::default(),
    };
    let unlock = avro_snap::Unlock::Password(&mut || Ok(Vec::new()));
    Ok(std::sync::Arc::new(avro_snap::Repository::open(storage, unlock, &open)?))
}

#[allow(dead_code)]
fn nights() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nights")
}

/// Saves what is in a folder.
#[allow(dead_code)]
fn saving(folder: &std::path::Path) -> avro_snap::CreateOptions {
    avro_snap::CreateOptions {
        roots: vec![".".into()],
        working_directory: folder.to_path_buf(),
        rules: avro_snap::options::Rules::new(),
        parent: None,
        stream: None,
        series: Some("tour".into()),
        host: "localhost".into(),
        user: String::new(),
        tags: Vec::new(),
        time: None,
        force: false,
        ignore_ctime: false,
        ignore_inode: false,
        depth: avro_snap::options::Depth::Deep,
        min_encode_speed: 6.0,
        compression: Some(3),
        skip_if_unchanged: false,
        accept_losses: false,
        dry_run: false,
    }
}

#[allow(dead_code)]
fn save(repository: &avro_snap::Repository, folder: &std::path::Path) -> avro_snap::Result<avro_snap::SnapshotId> {
    let report = avro_snap::create(repository, saving(folder), &avro_snap::Silent)?;
    report.snapshot.ok_or_else(|| avro_snap::Error::NothingSaved)
}

/// Restores all into a folder.
#[allow(dead_code)]
fn restoring(target: &std::path::Path) -> avro_snap::RestoreOptions {
    avro_snap::RestoreOptions {
        target: target.to_path_buf(),
        subfolder: Vec::new(),
        include: Vec::new(),
        exclude: Vec::new(),
        overwrite: avro_snap::options::Overwrite::Always,
        delete: false,
        delete_despite_unreadable: false,
        in_use: Vec::new(),
        home: None,
        dry_run: false,
        verify: false,
        restore_suid: false,
        sparse: false,
        salvage: false,
        recode: None,
    }
}

/// Deletes all that no snapshot needs, at once.
#[allow(dead_code)]
fn pruning() -> avro_snap::PruneOptions {
    avro_snap::PruneOptions {
        max_unused: avro_snap::options::MaxUnused::Bytes(0),
        max_repack: None,
        repack_small: false,
        reencrypt: false,
        grace: std::time::Duration::ZERO,
        compression: Some(3),
        dry_run: false,
    }
}
