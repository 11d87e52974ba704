//! Ways out: a config that is damaged or gone, a repository that is older than what was seen of it, foreign things in the
//! folders of a repository and a repository among foreign things.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use crate::cli;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use cli::{PASSWORD, Snap, text};

const CONFIGS: [&str; 2] = ["config", "config2"];

/// An unencrypted repository.
fn plain() -> Snap {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    snap
}

/// An encrypted one in memory.
fn encrypted() -> Snap {
    let snap = Snap::quick();
    snap.ok(&["init", "--kdf-memory", "8"]);
    snap
}

fn save(snap: &Snap, content: &str) {
    snap.write("data/file", content);
    snap.ok(&["create", "-q", "data"]);
}

fn repository(snap: &Snap, name: &str) -> PathBuf {
    snap.path("repository").join(name)
}

/// The newest snapshot comes back, and all is well.
fn is_sound(snap: &Snap, content: &str) {
    snap.ok(&["check", "-q", "--read-data"]);
    let target = snap.path("restored");
    let _ = fs::remove_dir_all(&target);
    snap.ok(&["restore", "-q", "latest", "--target", &text(&target)]);
    assert_eq!(find(&target, "file"), content);
}

/// The text of the file of this name, wherever it lies below.
fn find(folder: &Path, name: &str) -> String {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            return find(&path, name);
        }
        if path.file_name().is_some_and(|file| file == name) {
            return fs::read_to_string(path).unwrap();
        }
    }
    panic!("there is no {name} in {}", folder.display())
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).unwrap()),
        }
    }
}

#[test]
fn a_config_with_a_changed_byte_or_none_at_all_locks_nothing() {
    let snap = encrypted();
    save(&snap, "one");
    let sound = fs::read(repository(&snap, "config")).unwrap();
    assert_eq!(fs::read(repository(&snap, "config2")).unwrap(), sound);
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 0x10;
        Some(bytes)
    };
    type Copy = Option<Vec<u8>>;
    let harm: [(&str, Copy, Copy); 6] = [
        ("a byte of the first", flipped(40), Some(sound.clone())),
        ("the first", None, Some(sound.clone())),
        ("the first, which is empty", Some(Vec::new()), Some(sound.clone())),
        ("a byte of the first, which has no copy", flipped(5), None),
        ("a byte of each", flipped(90), flipped(20)),
        ("a byte of the copy, which is alone", None, flipped(33)),
    ];
    for (what, first, second) in harm {
        for (name, bytes) in CONFIGS.iter().zip([&first, &second]) {
            fs::remove_file(repository(&snap, name)).unwrap();
            bytes.iter().for_each(|bytes| fs::write(repository(&snap, name), bytes).unwrap());
        }
        for verb in [vec!["snapshots"], vec!["create", "-q", "data"]] {
            let ran = snap.ends(0, &verb);
            assert!(
                ran.stderr.contains("config is damaged") && ran.stderr.contains("repair config"),
                "{what}: {}",
                ran.stderr
            );
        }
        let ran = snap.ends(22, &["check"]);
        assert!(ran.stderr.contains("hint: run `snap repair config` first"), "{what}: {}", ran.stderr);
        let ran = snap.ends(0, &["repair", "config", "--dry-run"]);
        assert!(ran.stdout.contains("would be rebuilt"), "{what}: {}", ran.stdout);
        assert_eq!(fs::read(repository(&snap, "config")).ok(), first, "{what}");
        let ran = snap.ends(0, &["repair", "config"]);
        assert!(ran.stdout.contains("config") && ran.stdout.contains("rebuilt"), "{what}: {}", ran.stdout);
        for name in CONFIGS {
            assert_eq!(fs::read(repository(&snap, name)).unwrap(), sound, "{what}");
        }
        is_sound(&snap, "one");
    }
    let ran = snap.ok(&["repair", "config"]);
    assert!(ran.stdout.contains("nothing to do"), "{}", ran.stdout);
    // The verb that people look for does it as well.
    fs::write(repository(&snap, "config"), flipped(40).unwrap()).unwrap();
    let ran = snap.ends(0, &["recover"]);
    assert!(ran.stderr.contains("config is damaged") && ran.stdout.contains("config was written again"), "{ran:?}");
    assert_eq!(fs::read(repository(&snap, "config")).unwrap(), sound);
}

#[test]
fn a_repository_without_a_second_config_gets_one_from_any_repair_and_from_prune() {
    let snap = plain();
    save(&snap, "one");
    for verb in [vec!["repair", "config"], vec!["repair", "index"], vec!["prune"], vec!["recover", "--all"]] {
        fs::remove_file(repository(&snap, "config2")).unwrap();
        snap.ok(&["check"]);
        snap.ok(&["snapshots"]);
        snap.ok(&verb);
        let both = CONFIGS.map(|name| fs::read(repository(&snap, name)).unwrap());
        assert_eq!(both[0], both[1], "{verb:?}");
    }
    // One that is damaged is told by a check, and made anew.
    fs::write(repository(&snap, "config2"), b"garbage").unwrap();
    snap.ok(&["snapshots"]);
    assert!(snap.ends(22, &["check"]).stderr.contains("config2 is damaged"));
    snap.ok(&["prune"]);
    is_sound(&snap, "one");
}

#[test]
fn the_config_of_another_repository_in_the_place_of_the_own_is_not_taken() {
    for make in [plain, encrypted] {
        let (snap, other) = (make(), make());
        save(&snap, "one");
        let sound = fs::read(repository(&snap, "config")).unwrap();
        fs::copy(repository(&other, "config"), repository(&snap, "config")).unwrap();
        assert!(snap.ends(0, &["snapshots"]).stderr.contains("config2"));
        snap.ends(0, &["repair", "config"]);
        assert_eq!(fs::read(repository(&snap, "config")).unwrap(), sound);
        is_sound(&snap, "one");
    }
}

#[test]
fn a_config_of_which_no_copy_is_left_is_found_again_and_no_hint_goes_in_circles() {
    for make in [plain, encrypted] {
        for by_export in [false, true] {
            let snap = make();
            save(&snap, "one");
            let sound = fs::read(repository(&snap, "config")).unwrap();
            let export = text(&snap.path("export"));
            let is_encrypted = snap.run(&["key", "export", "-o", &export]).code == 0;
            if by_export && !is_encrypted {
                continue;
            }
            for harm in ["missing", "garbage"] {
                for name in CONFIGS {
                    fs::remove_file(repository(&snap, name)).unwrap();
                    if harm == "garbage" {
                        fs::write(repository(&snap, name), b"garbage").unwrap();
                    }
                }
                for verb in [vec!["snapshots"], vec!["recover"], vec!["check"], vec!["create", "data"]] {
                    let ran = snap.ends(22, &verb);
                    assert!(ran.stderr.contains("`snap repair config`"), "{verb:?}: {}", ran.stderr);
                }
                let ran = snap.ends(1, &["init"]);
                assert!(ran.stderr.contains("repository"), "{}", ran.stderr);
                match by_export {
                    true => snap.ends(0, &["--key-export", &export, "repair", "config"]),
                    false => snap.ends(0, &["repair", "config"]),
                };
                for name in CONFIGS {
                    assert_eq!(fs::read(repository(&snap, name)).unwrap(), sound, "{harm}");
                }
                is_sound(&snap, "one");
            }
            if is_encrypted {
                fs::remove_file(repository(&snap, "config")).unwrap();
                fs::remove_file(repository(&snap, "config2")).unwrap();
                let mut wrong = snap.command(&["repair", "config"]);
                assert_eq!(cli::finish(wrong.env("SNAP_PASSWORD", "wrong")).code, 12);
                assert!(!repository(&snap, "config").exists());
            }
        }
    }
}

#[test]
fn where_the_log_is_lost_as_well_the_packs_are_enough() {
    for make in [plain, encrypted] {
        let snap = make();
        save(&snap, "one");
        save(&snap, "two");
        for name in CONFIGS {
            fs::remove_file(repository(&snap, name)).unwrap();
        }
        fs::remove_dir_all(repository(&snap, "log")).unwrap();
        assert!(snap.ends(22, &["snapshots"]).stderr.contains("`snap repair config`"));
        assert!(snap.ends(0, &["repair", "config"]).stderr.contains("`snap recover --all`"));
        snap.ends(0, &["recover", "--all"]);
        is_sound(&snap, "two");
        assert_eq!(snap.ok(&["snapshots", "--json"]).objects("snapshot").len(), 2);
    }
}

#[test]
fn repositories_of_before_the_second_config_find_the_first_again() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/golden");
    let mut found = 0;
    for entry in fs::read_dir(golden).unwrap().map(Result::unwrap) {
        let Ok(sound) = fs::read(entry.path().join("config")) else { continue };
        let snap = Snap::quick();
        copy(&entry.path(), &snap.path("repository"));
        let _ = fs::remove_file(repository(&snap, "config2"));
        let mut bytes = sound.clone();
        bytes[60] ^= 1;
        fs::write(repository(&snap, "config"), bytes).unwrap();
        let ran = snap.run(&["repair", "config"]);
        if ran.code == 12 {
            // Its password is another one.
            continue;
        }
        assert_eq!(ran.code, 0, "{}: {}", entry.path().display(), ran.stderr);
        assert_eq!(fs::read(repository(&snap, "config2")).unwrap(), sound);
        found += 1;
    }
    println!("{found} old repositories");
}

#[test]
fn an_older_copy_is_read_where_that_is_asked_for_and_never_written() {
    for make in [plain, encrypted] {
        let snap = make();
        save(&snap, "one");
        copy(&snap.path("repository"), &snap.path("old"));
        save(&snap, "two");
        snap.ok(&["snapshots"]);
        let old = text(&snap.path("old"));
        let before = files(&snap.path("old"));
        let ran = snap.ends(1, &["-r", &old, "snapshots"]);
        assert!(ran.stderr.contains("was rolled back") && ran.stderr.contains("--allow-rollback"), "{}", ran.stderr);
        let ran = snap.ends(0, &["-r", &old, "--allow-rollback", "snapshots", "--json"]);
        assert_eq!(ran.objects("snapshot").len(), 1);
        assert!(ran.stderr.contains("OLDER"), "{}", ran.stderr);
        let target = snap.path("restored");
        snap.ends(0, &["-r", &old, "--allow-rollback", "restore", "latest", "--target", &text(&target)]);
        assert_eq!(find(&target, "file"), "one");
        for verb in
            [vec!["create", "data"], vec!["forget", "latest"], vec!["prune"], vec!["tag", "--add", "x", "latest"]]
        {
            let ran = snap.run(&[vec!["-r", &old, "--allow-rollback"], verb.clone()].concat());
            assert_eq!(ran.code, 1, "{verb:?}: {} {}", ran.stdout, ran.stderr);
            assert!(ran.stderr.contains("nothing is written"), "{verb:?}: {}", ran.stderr);
        }
        assert_eq!(before, files(&snap.path("old")));
        let ran = snap.ends(1, &["-r", &old, "check", "--read-data"]);
        assert!(ran.stderr.contains("newest snapshot in this state"), "{}", ran.stderr);
        // The words and the exit code say the same.
        assert!(ran.stderr.contains("has seen 3 entries, the log now has 2"), "{}", ran.stderr);
        assert!(
            !ran.stdout.contains("no problems") && ran.stdout.contains("is not what this machine"),
            "{}",
            ran.stdout
        );
        let ran = snap.ends(1, &["-r", &old, "check", "--json"]);
        assert!(ran.summary()["rolled_back"].as_str().unwrap().contains("has seen"), "{}", ran.stdout);
        let ran = snap.ends(0, &["-r", &old, "--allow-rollback", "check", "--read-data"]);
        assert!(ran.stderr.contains("OLDER") && !ran.stderr.contains("error"), "{}", ran.stderr);
        assert!(ran.stdout.contains("no problems found in this older state"), "{}", ran.stdout);
        assert!(snap.ok(&["check", "--json"]).summary()["rolled_back"].is_null());
        // What was seen of the repository itself is remembered as ever.
        is_sound(&snap, "two");
        snap.ends(1, &["-r", &old, "snapshots"]);
    }
}

fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(entry.path()),
                false => found.push((entry.path(), fs::read(entry.path()).unwrap())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn foreign_files_among_the_objects_are_in_nobodys_way() {
    let snap = plain();
    save(&snap, "one");
    for foreign in
        ["log/lock", "log/x", "log/0000000000000000000a", "log/99", "index/x", "keys/x", "packs/x", "parity/x", "y"]
    {
        fs::write(repository(&snap, foreign), b"foreign").unwrap();
    }
    fs::create_dir(repository(&snap, "log/folder")).unwrap();
    is_sound(&snap, "one");
    save(&snap, "two");
    snap.ok(&["forget", "latest~1"]);
    snap.ok(&["prune", "--grace", "0"]);
    snap.ok(&["repair", "index", "--all"]);
    snap.ok(&["recover"]);
    is_sound(&snap, "two");
    assert_eq!(fs::read(repository(&snap, "log/lock")).unwrap(), b"foreign");
}

#[test]
fn what_lies_in_the_place_of_a_pack_is_a_missing_pack() {
    type Put = fn(&Path);
    let put: [(&str, Put); 3] = [
        ("folder", |path| fs::create_dir(path).unwrap()),
        ("link", |path| symlink("/dev/zero", path).unwrap()),
        ("pipe", |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())),
    ];
    for (what, put) in put {
        let snap = plain();
        snap.write("data/file", "one");
        let lost = snap.ok(&["create", "data", "--json"]).summary()["snapshot_id"].as_str().unwrap().to_owned();
        let pack = files(&repository(&snap, "packs")).remove(0).0;
        fs::remove_file(&pack).unwrap();
        put(&pack);
        let ran = snap.ends(22, &["check", "--read-data"]);
        assert!(ran.stderr.contains("is missing"), "{what}: {}", ran.stderr);
        snap.ends(22, &["repair", "snapshots", "--accept-missing-packs"]);
        // What was lost is stored anew, and prune copes with what lies there.
        snap.write("data/other", "other");
        snap.ends(0, &["create", "-q", "data"]);
        snap.ends(0, &["forget", &lost, "--allow-losing-sound-files"]);
        snap.ends(0, &["prune", "--grace", "0"]);
        snap.ok(&["check", "--read-data"]);
    }
}

#[test]
fn a_link_in_the_place_of_tmp_makes_nobody_delete_what_it_leads_to() {
    let snap = plain();
    save(&snap, "one");
    let foreign = snap.path("foreign");
    fs::create_dir(&foreign).unwrap();
    for name in ["photo.jpg", "0123456789abcdef0123456789abcdef"] {
        let file = fs::File::create(foreign.join(name)).unwrap();
        file.set_modified(std::time::UNIX_EPOCH).unwrap();
    }
    fs::remove_dir(repository(&snap, "tmp")).unwrap();
    symlink(&foreign, repository(&snap, "tmp")).unwrap();
    let ran = snap.ends(1, &["prune"]);
    assert!(ran.stderr.contains("tmp: it is a symbolic link"), "{}", ran.stderr);
    snap.ends(1, &["prune", "--unsafe-recover-no-free-space"]);
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 2);
    // Reading needs no tmp.
    snap.ok(&["check", "--read-data"]);
    fs::remove_file(repository(&snap, "tmp")).unwrap();
    snap.ok(&["prune"]);
}

#[test]
fn a_repository_is_made_among_other_files_only_if_that_is_meant() {
    for verb in [vec!["init", "--encryption", "none"], vec!["create", "--init", "data"]] {
        let snap = Snap::quick();
        snap.write("data/file", "one");
        let place = snap.path("repository");
        fs::create_dir(&place).unwrap();
        fs::write(place.join("holiday.jpg"), b"foreign").unwrap();
        let ran = snap.ends(1, &verb);
        assert!(ran.stderr.contains("holiday.jpg") && ran.stderr.contains("--force"), "{}", ran.stderr);
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
        snap.ok(&["init", "--encryption", "none", "--force"]);
        snap.ok(&["create", "-q", "data"]);
        is_sound(&snap, "one");
        assert!(place.join("holiday.jpg").exists());
    }
    // A new file system has this, and an interrupted `init` leaves folders.
    let snap = Snap::quick();
    fs::create_dir_all(repository(&snap, "lost+found")).unwrap();
    fs::create_dir_all(repository(&snap, "packs/00")).unwrap();
    snap.ok(&["init", "--encryption", "none"]);
}

#[test]
fn nobody_else_can_read_what_is_remembered_whatever_the_umask() {
    for umask in ["0000", "0022", "0077"] {
        let snap = plain();
        snap.write("data/file", "one");
        for verb in ["create -q data", "check --read-data --max-age 1d", "check --max-age 1d"] {
            let script = format!("umask {umask}; exec \"$SNAP\" {verb}");
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &script]).current_dir(snap.path("work")).env("SNAP", env!("CARGO_BIN_EXE_snap"));
            shell.env("HOME", snap.path("home")).env("SNAP_REPOSITORY", snap.path("repository"));
            let _ = shell.output().unwrap();
        }
        let kept = files(&snap.path("home"));
        assert!(kept.iter().any(|(path, _)| path.ends_with("head")), "{kept:?}");
        for (path, _) in kept.iter().chain(&files(&snap.path("repository"))) {
            let mode = fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "umask {umask}: {}", path.display());
        }
        for folder in [".cache/snap", ".local/state/snap"] {
            for entry in fs::read_dir(snap.path("home").join(folder)).unwrap().map(Result::unwrap) {
                let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
                assert_eq!(mode, 0o700, "umask {umask}: {}", entry.path().display());
            }
        }
    }
}

#[test]
fn what_lies_in_the_place_of_the_config_is_named_with_the_way_out() {
    type Put = fn(&Path);
    let put: [(&str, Put); 3] = [
        ("a folder", |path| fs::create_dir(path).unwrap()),
        ("a symbolic link", |path| symlink("config2", path).unwrap()),
        ("no file", |path| assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success())),
    ];
    for (what, put) in put {
        for lost in [&["config"][..], &CONFIGS] {
            let snap = plain();
            save(&snap, "one");
            lost.iter().for_each(|name| fs::remove_file(repository(&snap, name)).unwrap());
            let config = repository(&snap, "config");
            put(&config);
            let way_out = format!("{} is {what}, where a file of the repository belongs", config.display());
            // With the second copy all goes on, with a warning.
            let code = if lost.len() == 1 { 0 } else { 22 };
            for (code, arguments) in [(code, &["snapshots"][..]), (22, &["repair", "config"])] {
                let ran = snap.ends(code, arguments);
                assert!(ran.stderr.contains(&way_out), "{what} {lost:?} {arguments:?}: {}", ran.stderr);
            }
            assert!(config.symlink_metadata().is_ok(), "nothing foreign is removed");
            fs::rename(&config, snap.path("moved-away")).unwrap();
            snap.ends(0, &["repair", "config"]);
            is_sound(&snap, "one");
        }
    }
}

/// A repository with five packs, and its newest snapshot.
fn five_packs(snap: &Snap) {
    for number in 0..5 {
        save(snap, &format!("night {number}"));
    }
    assert_eq!(files(&repository(snap, "packs")).len(), 5);
}

#[test]
fn packs_that_are_away_are_not_stored_again() {
    for gone in ["empty", "missing"] {
        let snap = plain();
        five_packs(&snap);
        let (packs, aside) = (repository(&snap, "packs"), snap.path("aside"));
        fs::rename(&packs, &aside).unwrap();
        if gone == "empty" {
            fs::create_dir(&packs).unwrap();
        }
        let other = text(&snap.path("other"));
        let from = text(&snap.path("repository"));
        snap.ok(&["-r", &other, "init", "--encryption", "none"]);
        snap.ok(&["-r", &other, "create", "-q", "--series", "other", "data"]);
        let refusals: [&[&str]; 6] = [
            &["create", "data"],
            &["create", "--no-cache", "data"],
            &["create", "--dry-run", "data"],
            &["copy", "--from-repo", &other],
            &["prune", "--grace", "0"],
            &["prune", "--dry-run"],
        ];
        for arguments in refusals {
            let ran = snap.ends(1, &[arguments, &["--json"]].concat());
            let error = ran.error();
            assert_eq!(error["code"], "storage_away", "{gone} {arguments:?}: {error}");
            assert!(error["hint"].as_str().unwrap().contains("snap repair snapshots --accept-missing-packs"));
        }
        assert!(!packs.exists() || files(&packs).is_empty(), "nothing was stored");
        let _ = fs::remove_dir(&packs);
        fs::rename(&aside, &packs).unwrap();
        snap.ok(&["create", "-q", "data"]);
        is_sound(&snap, "night 4");
        assert_eq!(files(&packs).len(), 6, "a root was stored, and nothing else");
        drop(from);
    }
}

#[test]
fn what_is_truly_lost_does_not_keep_anybody_from_writing() {
    // A pack or two of five.
    let snap = plain();
    five_packs(&snap);
    files(&repository(&snap, "packs")).into_iter().take(2).for_each(|(pack, _)| fs::remove_file(pack).unwrap());
    snap.ends(0, &["create", "-q", "--force", "data"]);
    // All of them, once that is recorded.
    let snap = plain();
    five_packs(&snap);
    fs::remove_dir_all(repository(&snap, "packs")).unwrap();
    snap.ends(1, &["create", "data"]);
    snap.ends(22, &["repair", "snapshots", "--accept-missing-packs", "--forget"]);
    snap.ends(0, &["create", "-q", "data"]);
    is_sound(&snap, "night 4");
    snap.ok(&["prune", "-q", "--grace", "0"]);
    snap.ok(&["check", "-q", "--read-data"]);
}

#[test]
fn a_folder_in_the_place_of_an_entry_of_the_log_costs_nothing_that_comes_after_it() {
    let snap = plain();
    (0..4).for_each(|number| save(&snap, &format!("night {number}")));
    snap.ok(&["tag", "latest", "--add", "kept"]);
    snap.ok(&["forget", "-q", "latest~3"]);
    let (entry, log) = (repository(&snap, "log/00000000000000000002"), repository(&snap, "log"));
    fs::remove_file(&entry).unwrap();
    fs::create_dir(&entry).unwrap();
    let before = files(&log);
    // What this machine remembers of the log would do as well.
    [".local/state/snap", ".cache/snap"].iter().for_each(|folder| {
        let _ = fs::remove_dir_all(snap.path("home").join(folder));
    });
    for arguments in [&["snapshots"][..], &["recover", "--all"]] {
        let ran = snap.ends(22, arguments);
        assert!(ran.stderr.contains("is a folder, where a file of the repository belongs"), "{}", ran.stderr);
        assert_eq!(files(&log), before, "{arguments:?}: nothing is taken out of the log");
    }
    fs::remove_dir(&entry).unwrap();
    snap.ends(0, &["recover", "--all"]);
    let listed = snap.ok(&["snapshots", "--json"]);
    let tagged = listed.objects("snapshot").iter().filter(|object| object["tags"][0] == "kept").count();
    assert_eq!((listed.objects("snapshot").len(), tagged), (3, 1), "{}", listed.stdout);
    is_sound(&snap, "night 3");
}

#[test]
fn the_way_out_of_a_lost_key_slot_leads_on() {
    for damaged in [true, false] {
        let snap = encrypted();
        save(&snap, "one");
        let export = text(&snap.path("export"));
        snap.ok(&["key", "export", "-o", &export]);
        let slots = files(&repository(&snap, "keys"));
        let lost = slots[0].0.file_name().unwrap().to_str().unwrap().to_owned();
        for (slot, mut bytes) in slots {
            bytes[30] ^= 0xff;
            bytes[31] ^= 0xff;
            fs::remove_file(&slot).unwrap();
            if damaged {
                fs::write(&slot, bytes).unwrap();
            }
        }
        let ran = snap.ends(22, &["snapshots"]);
        assert!(ran.stderr.contains("hint: ") && ran.stderr.contains("snap key import"), "{}", ran.stderr);
        snap.ok(&["snapshots", "--key-export", &export]);
        let password = snap.password_file("new", PASSWORD);
        snap.ends(0, &["key", "import", &export, "--new-password-file", &password, "--kdf-memory", "8"]);
        let ran = snap.ends(22, &["check"]);
        assert!(ran.stderr.contains("`snap key remove ID`"), "{}", ran.stderr);
        snap.ends(0, &["key", "remove", &lost]);
        is_sound(&snap, "one");
    }
}
