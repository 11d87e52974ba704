//! A property of restores: nothing outside of what the roots of a snapshot cover is changed, and with `--delete` exactly
//! what `create` would have saved, and the filters select, goes.
//!
//! Each run makes a random tree with links, sockets, mounts and things that cannot be read, saves some roots of it with
//! random rules, changes the place or takes another one, and restores with random flags: first as a dry run, which must
//! change nothing and name all that the real one removes. A model written without the sweep's own code says what may
//! change. `SNAP_RESTORE_RUNS` sets how many runs there are, `SNAP_RESTORE_SEED` where they begin.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "all of this is a test")]

use crate::common;
use crate::lab;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use avro_snap::crypto::Suite;
use avro_snap::error::{Error, Refusal};
use avro_snap::files::{Marker, Overwrite, Pattern};
use avro_snap::ops::create::create;
use avro_snap::ops::restore::restore;
use avro_snap::progress::{Change, Progress, Silent};
use avro_snap::snapshot::entry::EntryKind;
use avro_snap::store::Repository;
use lab::{Lab, restoring, saving};

const NAMES: [&str; 12] =
    ["a", "b", "c", "d", "x.log", "y.log", "cache", "big", "t.avro", "u.avro", ".nobackup", "repo"];

/// Numbers that follow from a seed (splitmix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.next() % 100 < percent
    }

    fn one<'t, T>(&mut self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }
}

/// What is seen of something on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Thing {
    kind: char,
    inode: u64,
    mode: u32,
    size: u64,
    mtime: (i64, i64),
    content: Vec<u8>,
}

type Picture = BTreeMap<String, Thing>;

fn picture(folder: &Path) -> Picture {
    fn look(folder: &Path, prefix: &str, seen: &mut Picture) {
        let Ok(entries) = fs::read_dir(folder) else { return };
        for entry in entries {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let (path, shown) = (folder.join(&name), join(prefix, &name));
            let stat = fs::symlink_metadata(&path).unwrap();
            let kind = match stat.file_type() {
                kind if kind.is_dir() => 'd',
                kind if kind.is_file() => 'f',
                kind if kind.is_symlink() => 'l',
                kind if kind.is_socket() => 's',
                _ => '?',
            };
            let content = match kind {
                'f' => fs::read(&path).unwrap_or_default(),
                'l' => fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes(),
                _ => Vec::new(),
            };
            let mtime = (stat.mtime(), stat.mtime_nsec());
            let (inode, mode, size) = (stat.ino(), stat.mode(), if kind == 'd' { 0 } else { stat.size() });
            seen.insert(shown.clone(), Thing { kind, inode, mode, size, mtime, content });
            if kind == 'd' {
                look(&path, &shown, seen);
            }
        }
    }
    let mut seen = Picture::new();
    look(folder, "", &mut seen);
    seen
}

fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}/{name}") }
}

fn is_at_or_below(path: &str, folder: &str) -> bool {
    folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Makes things in a folder, and in some of those.
fn grow(random: &mut Random, folder: &Path, depth: usize) {
    for _ in 0..random.below(5) {
        let path = folder.join(random.one(&NAMES));
        if fs::symlink_metadata(&path).is_err() {
            make(random, &path, depth);
        }
    }
}

fn make(random: &mut Random, path: &Path, depth: usize) {
    match random.below(20) {
        0..7 if depth < 3 => {
            fs::create_dir(path).unwrap();
            grow(random, path, depth + 1);
        }
        7..9 => symlink(random.one(&["a", "../b", "/nowhere"]), path).unwrap(),
        9..10 => drop(UnixListener::bind(path).unwrap()),
        _ => {
            let size = if path.ends_with("big") { 100 } else { random.below(20) };
            let text: String = std::iter::repeat_with(|| (b'a' + random.below(26) as u8) as char).take(size).collect();
            fs::write(path, text).unwrap();
        }
    }
}

/// Changes a tree: some things go, some become others, some come.
fn shake(random: &mut Random, folder: &Path, depth: usize) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stat = fs::symlink_metadata(&path).unwrap();
        let is_locked = |path: &Path| path.file_name().unwrap().to_str().unwrap().starts_with("locked");
        if is_locked(&path) {
            continue;
        }
        let holds_locked = stat.is_dir() && picture(&path).keys().any(|path| path.contains("locked"));
        match random.below(10) {
            0 | 1 if !holds_locked => {
                if stat.is_dir() {
                    drop(fs::remove_dir_all(&path))
                } else {
                    fs::remove_file(&path).unwrap()
                }
                if random.percent(50) && fs::symlink_metadata(&path).is_err() {
                    make(random, &path, depth);
                }
            }
            2 | 3 if stat.is_file() => fs::write(&path, format!("changed {}", random.next())).unwrap(),
            _ if stat.is_dir() => shake(random, &path, depth + 1),
            _ => {}
        }
    }
    if random.percent(60) {
        grow(random, folder, depth);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name()));
        let stat = fs::symlink_metadata(&path).unwrap();
        if stat.is_dir() {
            if fs::read_dir(&path).is_ok() { copy(&path, &to) } else { fs::create_dir(&to).unwrap() }
        } else if stat.is_symlink() {
            symlink(fs::read_link(&path).unwrap(), &to).unwrap();
        } else if stat.is_file() {
            fs::write(&to, fs::read(&path).unwrap_or_default()).unwrap();
        }
    }
}

/// Remembers what was said to be removed.
#[derive(Default)]
struct Removed(Mutex<BTreeSet<String>>);

impl Progress for Removed {
    fn change(&self, change: Change, path: &Path) {
        if change == Change::Deleted {
            assert!(self.0.lock().unwrap().insert(path.to_str().unwrap().into()), "{path:?} was removed twice");
        }
    }
}

/// What the model knows.
#[derive(Debug, Default)]
struct Model {
    /// Paths of the snapshot; true for directories.
    rows: BTreeMap<String, bool>,
    /// Paths of the manifest that are roots.
    roots: Vec<String>,
    /// What the target holds.
    before: Picture,
    sub: String,
    delete: bool,
    always: bool,
    include: Vec<String>,
    exclude: Vec<String>,
    left_out: Vec<String>,
    larger_than: Option<u64>,
    markers: bool,
    unreadable: BTreeSet<String>,
    passed_over: Option<String>,
    in_use: Option<String>,
    mounts: BTreeSet<String>,
}

/// The few forms of patterns that the test uses.
fn fits(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| match (pattern.strip_prefix('/'), pattern.strip_prefix('*')) {
        (Some(place), _) => is_at_or_below(path, place),
        (_, Some(end)) => path.split('/').any(|name| name.ends_with(end)),
        _ => path.split('/').any(|name| name == pattern),
    })
}

impl Model {
    fn selected(&self, tree: &str) -> bool {
        (self.include.is_empty() || fits(&self.include, tree)) && !fits(&self.exclude, tree)
    }

    fn covered(&self, tree: &str) -> bool {
        self.roots.iter().any(|root| is_at_or_below(tree, root))
    }

    fn leads(&self, tree: &str) -> bool {
        self.roots.iter().any(|root| is_at_or_below(root, tree))
    }

    fn has_row(&self, tree: &str) -> bool {
        self.rows.keys().any(|row| is_at_or_below(row, tree))
    }

    fn is_folder_row(&self, tree: &str) -> bool {
        self.rows.get(tree).copied().unwrap_or_else(|| self.has_row(tree))
    }

    fn is_spared(&self, path: &str, tree: &str, known: bool) -> bool {
        let thing = &self.before[path];
        let is_root = known && self.roots.iter().any(|root| root == tree);
        self.in_use.as_deref() == Some(path)
            || self.passed_over.as_deref() == Some(tree)
            || self.unreadable.contains(tree)
            || fits(&self.left_out, tree)
            || (self.mounts.contains(path) && !is_root)
            || (thing.kind == 'f' && self.larger_than.is_some_and(|most| thing.size > most))
            || thing.kind == 's'
    }

    /// What goes of a directory. Tells whether something stays in it.
    fn sweep(&self, folder: &str, tree: &str, known: bool, gone: &mut BTreeSet<String>) -> bool {
        let covered = self.covered(tree);
        let marker = join(folder, ".nobackup");
        let marked = self.markers
            && covered
            && (self.before.contains_key(&marker) || (known && self.rows.contains_key(&join(tree, ".nobackup"))));
        let mut holds = false;
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let names = self.before.keys().filter_map(|path| path.strip_prefix(&prefix)).filter(|name| !name.contains('/'));
        for name in names {
            let (path, tree) = (join(folder, name), join(tree, name));
            let leads = self.leads(&tree);
            let is_folder = self.before[&path].kind == 'd';
            if (!covered || marked) && !leads {
                holds = true;
            } else if known && self.has_row(&tree) {
                holds = true;
                let is_spared = match self.covered(&tree) {
                    true => self.is_spared(&path, &tree, true),
                    false => self.in_use.as_ref() == Some(&path),
                };
                if is_folder && self.is_folder_row(&tree) && !fits(&self.exclude, &tree) && !is_spared {
                    self.sweep(&path, &tree, true, gone);
                }
            } else if leads {
                holds = true;
            } else {
                holds |= !self.goes(&path, &tree, gone);
            }
        }
        holds
    }

    /// Something that is not in the snapshot, and all in it.
    fn goes(&self, path: &str, tree: &str, gone: &mut BTreeSet<String>) -> bool {
        if fits(&self.exclude, tree) || self.is_spared(path, tree, false) {
            return false;
        }
        let holds = self.before[path].kind == 'd' && self.sweep(path, tree, false, gone);
        let goes = self.selected(tree) && !holds;
        if goes {
            gone.insert(path.to_owned());
        }
        goes
    }

    /// All that is to be removed.
    fn gone(&self) -> BTreeSet<String> {
        let mut gone = BTreeSet::new();
        if !self.delete {
            return gone;
        }
        if self.always {
            for (path, thing) in &self.before {
                let tree = join(&self.sub, path);
                let in_use = self.in_use.as_ref().is_some_and(|place| is_at_or_below(path, place));
                let gives_way = match thing.kind {
                    'd' => self.rows.get(&tree) == Some(&false),
                    // Not above a root, nor in the place of one: many mean the folder that such a link leads to.
                    'l' => {
                        self.is_folder_row(&tree)
                            && !self.roots.contains(&tree)
                            && self.roots.iter().any(|root| is_strictly_below(&tree, root))
                    }
                    _ => false,
                };
                if gives_way && self.selected(&tree) && !in_use {
                    let mut here = BTreeSet::new();
                    if self.goes(path, &tree, &mut here) {
                        gone.extend(here);
                    }
                }
            }
        }
        let is_below_unreadable = self.unreadable.iter().any(|path| is_at_or_below(&self.sub, path));
        if !is_below_unreadable && (self.sub.is_empty() || self.is_folder_row(&self.sub)) {
            self.sweep("", &self.sub, true, &mut gone);
        }
        gone
    }

    /// Whether restoring may change what stands at this place, apart from removing it.
    fn may_change(&self, path: &str) -> bool {
        let tree = join(&self.sub, path);
        if self.in_use.as_ref().is_some_and(|place| is_at_or_below(path, place)) {
            return false;
        }
        let thing = &self.before[path];
        match self.rows.get(&tree) {
            Some(false) if self.selected(&tree) => true,
            // A file gives way to a directory that is restored, or that leads to what is.
            _ if thing.kind != 'd' && thing.kind != 'l' && self.is_folder_row(&tree) => {
                self.rows.keys().any(|row| is_at_or_below(row, &tree) && self.selected(row))
            }
            _ => false,
        }
    }

    fn check(&self, after: &Picture, gone: &BTreeSet<String>) {
        for (path, thing) in &self.before {
            let now = after.get(path);
            let tree = join(&self.sub, path);
            if gone.contains(path) {
                let replaced = self.rows.get(&tree) == Some(&false) && now.is_some_and(|now| now.kind != 'd');
                let made_way = thing.kind == 'l' && self.is_folder_row(&tree) && now.is_some_and(|now| now.kind == 'd');
                assert!(now.is_none() || replaced || made_way, "{path} is still there: {now:?}");
                continue;
            }
            let now = now.unwrap_or_else(|| panic!("{path} was removed: {thing:?}"));
            if self.may_change(path) {
                continue;
            }
            match thing.kind {
                // Times change with what is in it, and a row may say another mode.
                'd' => {
                    assert_eq!((now.kind, now.inode), ('d', thing.inode), "{path}");
                    assert!(now.mode == thing.mode || self.is_folder_row(&tree), "{path}: {thing:?} {now:?}");
                }
                _ => assert_eq!(now, thing, "{path}"),
            }
        }
        for path in after.keys().filter(|path| !self.before.contains_key(*path)) {
            let tree = join(&self.sub, path);
            let wanted = self.rows.keys().any(|row| is_at_or_below(row, &tree) && self.selected(row));
            assert!(wanted, "{path} came from nowhere");
        }
    }
}

fn is_strictly_below(path: &str, folder: &str) -> bool {
    path != folder && is_at_or_below(path, folder)
}

/// What one run did, for the summary.
#[derive(Debug, Default)]
struct Counts {
    runs: u64,
    restores: u64,
    refused: u64,
    removing: u64,
    removed: u64,
    locked: u64,
    mounted: u64,
    without_roots: u64,
}

/// One random case in an empty folder.
fn run(seed: u64, base: &Path, repository: &Repository, counts: &mut Counts) {
    let mut random = Random(seed);
    let random = &mut random;
    counts.runs += 1;
    let (place, outside) = (base.join("place"), base.join("outside"));
    for folder in [&place, &outside] {
        fs::create_dir(folder).unwrap();
        grow(random, folder, 0);
    }
    grow(random, &place, 0);
    let mut model = Model::default();

    // Something that cannot be read.
    let pool = base.parent().unwrap().join("locked");
    let mut locked = None;
    if random.percent(15) && pool.exists() {
        let name = *random.one(&["locked-file", "locked-folder"]);
        let folders: Vec<_> = picture(&place).into_iter().filter(|(_, thing)| thing.kind == 'd').collect();
        let above = folders.get(random.below(folders.len() + 1)).map(|(path, _)| path.clone()).unwrap_or_default();
        let path = join(&above, name);
        if fs::rename(pool.join(name), place.join(&path)).is_ok() {
            locked = Some((name, path));
            counts.locked += 1;
        }
    }

    // What is saved.
    let seen = picture(&place);
    let absolute = random.percent(30);
    let prefix = if absolute { place.to_str().unwrap()[1..].to_owned() } else { String::new() };
    let paths: Vec<&String> =
        seen.iter().filter(|(_, thing)| "df".contains(thing.kind)).map(|(path, _)| path).collect();
    let mut roots: Vec<String> = vec![String::new()];
    if random.percent(60) && !paths.is_empty() {
        roots = (0..=random.below(3)).map(|_| (*random.one(&paths)).clone()).collect();
    }
    let given = roots.iter().map(|root| match (absolute, root.as_str()) {
        (true, root) => place.join(root),
        (false, "") => PathBuf::from("."),
        (false, root) => PathBuf::from(root),
    });
    let given: Vec<PathBuf> = given.collect();
    model.roots = roots.iter().map(|root| join(&prefix, root).trim_end_matches('/').to_owned()).collect();
    let mut options = saving(&place).sources(given).working_directory(place.clone()).series(seed.to_string());
    for pattern in ["*.log", "cache"] {
        if random.percent(30) {
            options.exclude.push(Pattern::new(pattern.as_bytes(), false).unwrap());
            model.left_out.push(pattern.into());
        }
    }
    if random.percent(30) {
        options.exclude_larger_than = Some(50);
        model.larger_than = Some(50);
    }
    if random.percent(30) {
        options.exclude_if_present.push(Marker::new(b".nobackup").unwrap());
        model.markers = true;
    }
    if random.percent(20) {
        options.one_file_system = true;
    }
    let repo = place.join("repo");
    if random.percent(30) && fs::symlink_metadata(&repo).is_ok_and(|stat| stat.is_dir()) {
        options.pass_over.push(repo);
        model.passed_over = Some(join(&prefix, "repo"));
    }
    let Ok(report) = create(repository, options, &Silent) else {
        counts.without_roots += 1;
        return tidy(&place, locked, &pool);
    };
    let snapshots = avro_snap::ops::select::Listing::read(repository).snapshots;
    let snapshot = snapshots.into_iter().find(|root| Some(root.id) == report.snapshot).unwrap();
    let mut rows = snapshot.rows(repository);
    while let Some(row) = rows.next_row().unwrap() {
        model.rows.insert(String::from_utf8(row.path).unwrap(), row.kind == EntryKind::Directory);
    }
    if let (Some((_, path)), 1..) = (&locked, report.unreadable) {
        model.unreadable.insert(join(&prefix, path));
    }

    // Where to: the same place, a copy of it, or another one, and all of the snapshot or a part.
    let mut target = place.clone();
    if random.percent(50) {
        target = base.join("target");
        match random.percent(70) {
            true => copy(&place, &target),
            false => {
                fs::create_dir(&target).unwrap();
                grow(random, &target, 0);
            }
        }
    }
    model.sub.clone_from(&prefix);
    let folders: Vec<_> = model
        .rows
        .iter()
        .filter(|(path, is_folder)| **is_folder && is_at_or_below(path, &prefix) && !path.contains("locked"))
        .collect();
    if random.percent(20) && !folders.is_empty() {
        let sub = random.one(&folders).0.clone();
        let below = sub[prefix.len()..].trim_start_matches('/').to_owned();
        if target == place && place.join(&below).is_dir() {
            target = place.join(&below);
        }
        model.sub = sub;
    }
    shake(random, &target, 0);
    let with_mounts = std::env::var_os("SNAP_TEST_MOUNTS").is_some();
    if with_mounts && random.percent(12) {
        let seen = picture(&target);
        let folders: Vec<_> =
            seen.iter().filter(|(path, thing)| thing.kind == 'd' && !path.contains("locked")).collect();
        if !folders.is_empty() {
            let path = random.one(&folders).0.clone();
            let at = target.join(&path);
            let source = base.join("bound");
            fs::create_dir(&source).unwrap();
            grow(random, &source, 1);
            let mut mount = Command::new("mount");
            match random.percent(50) {
                true => mount.args(["-t", "tmpfs", "none"]),
                false => mount.arg("--bind").arg(&source),
            };
            if mount.arg(&at).output().unwrap().status.success() {
                grow(random, &at, 1);
                model.mounts.insert(path);
                counts.mounted += 1;
            }
        }
    }

    // How.
    let tree_paths: Vec<String> = model.rows.keys().cloned().collect();
    let filter = |random: &mut Random| match random.below(4) {
        0 => "*.avro".to_owned(),
        1 => "a".to_owned(),
        2 if !tree_paths.is_empty() => format!("/{}", random.one(&tree_paths)),
        _ => "*.log".to_owned(),
    };
    if random.percent(25) {
        model.include = (0..=random.below(2)).map(|_| filter(random)).collect();
    }
    if random.percent(25) {
        model.exclude = (0..=random.below(2)).map(|_| filter(random)).collect();
    }
    model.delete = random.percent(85);
    let overwrite = *random.one(&[
        Overwrite::Always,
        Overwrite::Always,
        Overwrite::IfChanged,
        Overwrite::IfNewer,
        Overwrite::Never,
    ]);
    model.always = overwrite == Overwrite::Always;
    let mut in_use = Vec::new();
    if random.percent(30) && target.join("repo").is_dir() && !target.join("repo").is_symlink() {
        in_use.push(target.join("repo"));
        model.in_use = Some("repo".into());
    }
    let patterns =
        |texts: &[String]| texts.iter().map(|text| Pattern::new(text.as_bytes(), false).unwrap()).collect::<Vec<_>>();
    let mut options = restoring(&target)
        .subfolder(model.sub.clone().into_bytes())
        .include(patterns(&model.include))
        .exclude(patterns(&model.exclude))
        .overwrite(overwrite)
        .delete(model.delete)
        .in_use(in_use);
    if !model.sub.is_empty() && !model.has_row(&model.sub) {
        counts.without_roots += 1;
        return tidy(&place, locked, &pool);
    }

    let outside_before = picture(&outside);
    let place_before = picture(&place);
    model.before = picture(&target);
    let is_missed = model.unreadable.iter().any(|path| is_at_or_below(path, &model.sub) && model.selected(path));
    if model.delete && is_missed {
        let refused = restore(repository, &snapshot, &options, &Silent).unwrap_err();
        assert!(matches!(refused, Error::DeleteRefused(Refusal::Unreadable { .. })), "{refused}");
        assert_eq!(picture(&target), model.before, "a refused restore changes nothing");
        counts.refused += 1;
    }
    options.delete_despite_unreadable = true;
    let gone = model.gone();
    let dry = Removed::default();
    restore(repository, &snapshot, &options.clone().dry_run(true), &dry).unwrap();
    assert_eq!(picture(&target), model.before, "a dry run changes nothing");
    assert_eq!(dry.0.into_inner().unwrap(), gone, "what a dry run names\n{model:#?}");
    let real = Removed::default();
    let report = restore(repository, &snapshot, &options, &real).unwrap();
    let after = picture(&target);
    assert!(report.not_deleted.is_empty(), "{:?}", report.not_deleted);
    assert_eq!(real.0.into_inner().unwrap(), gone, "what is removed\n{model:#?}");
    assert_eq!(report.deleted, gone.len() as u64);
    model.check(&after, &gone);
    assert_eq!(picture(&outside), outside_before);
    if !target.starts_with(&place) {
        assert_eq!(picture(&place), place_before);
    }
    counts.restores += 1;
    counts.removing += u64::from(!gone.is_empty());
    counts.removed += gone.len() as u64;
    for mount in &model.mounts {
        assert!(Command::new("umount").arg(target.join(mount)).status().unwrap().success());
    }
    tidy(&place, locked, &pool);
}

/// Puts what cannot be read back where it came from: it must be there, whatever was done.
fn tidy(place: &Path, locked: Option<(&str, String)>, pool: &Path) {
    if let Some((name, path)) = locked {
        fs::rename(place.join(path), pool.join(name)).unwrap();
    }
}

fn runs() {
    let number = |variable: &str, default| std::env::var(variable).map_or(default, |text| text.parse().unwrap());
    let (count, first) = (number("SNAP_RESTORE_RUNS", 60), number("SNAP_RESTORE_SEED", 1));
    let folder = std::env::var_os("FOLDER").map(PathBuf::from).unwrap();
    let mut counts = Counts::default();
    let (mut lab, mut repository) = (None, None);
    for seed in first..first + count {
        if seed % 100 == first % 100 || repository.is_none() {
            // A list of snapshots that grows would take most of the time.
            let new = Lab::new(Suite::None);
            repository = Some(new.open());
            lab = Some(new);
        }
        let base = folder.join("run");
        let _ = fs::remove_dir_all(&base);
        fs::create_dir(&base).unwrap();
        let repository = repository.as_ref().unwrap();
        let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(seed, &base, repository, &mut counts)));
        if let Err(panic) = ran {
            eprintln!("failed with SNAP_RESTORE_SEED={seed} SNAP_RESTORE_RUNS=1");
            std::panic::resume_unwind(panic);
        }
    }
    drop(lab);
    fs::write(folder.join("counts"), format!("{counts:?}")).unwrap();
}

#[test]
fn a_restore_touches_nothing_that_it_was_not_asked_to_touch() {
    let quick = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let folder = quick.path();
    // What the test cannot read, even as root of a namespace of its own, belongs to somebody unknown there.
    let pool = folder.join("locked");
    fs::create_dir_all(pool.join("locked-folder")).unwrap();
    fs::write(pool.join("locked-file"), "keep").unwrap();
    fs::write(pool.join("locked-folder/only copy"), "keep").unwrap();
    fs::set_permissions(pool.join("locked-file"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(pool.join("locked-folder"), fs::Permissions::from_mode(0o003)).unwrap();
    let owned = Command::new("chown").args(["65534:65534", "locked-file", "locked-folder"]).current_dir(&pool).output();
    if !owned.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: what cannot be read (this is not root)");
        fs::rename(&pool, folder.join("unused")).unwrap();
    }
    if !common::with_mounts(folder, "export SNAP_TEST_MOUNTS=1", "restore_property::runs_with_mounts") {
        eprintln!("SKIPPED: mounts, and what cannot be read");
        let _ = fs::rename(&pool, folder.join("unused"));
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "restore_property::runs_with_mounts", "--ignored", "--nocapture"])
            .env("FOLDER", folder)
            .status();
        assert!(status.unwrap().success());
    }
    eprintln!("{}", fs::read_to_string(folder.join("counts")).unwrap());
}

#[test]
#[ignore = "run by the other test"]
fn runs_with_mounts() {
    if std::env::var_os("FOLDER").is_some() {
        runs();
    }
}
