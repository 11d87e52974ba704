//! The command line without a snapshot in sight: repositories, passwords, keys, errors.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

use crate::cli;

use std::fs;
use std::os::unix::fs::PermissionsExt;

use cli::{PASSWORD, Snap, finish, text};

#[test]
fn a_repository_is_made_and_is_empty() {
    let snap = Snap::bare();
    let made = snap.ok(&["init"]);
    assert!(made.stdout.starts_with("created repository "), "{}", made.stdout);
    assert!(made.stdout.contains("aes-256-gcm"));
    assert_eq!(snap.ok(&["snapshots"]).lines(), ["0 snapshots"]);
    assert_eq!(snap.ok(&["snapshots", "--json"]).stdout, "");
    assert_eq!(snap.ok(&["check", "--read-data"]).code, 0);
    // Nothing is left in the home but cache and state.
    let home = snap.path("home");
    let mut left: Vec<_> = fs::read_dir(home).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, [".cache", ".local"]);
}

#[test]
fn a_repository_is_made_once() {
    let snap = Snap::new();
    let again = snap.ends(1, &["init"]);
    assert!(again.stderr.contains("there is a repository already"), "{}", again.stderr);
    assert!(again.stderr.contains("hint: "));
    snap.ok(&["snapshots"]);
}

#[test]
fn every_suite_can_be_chosen() {
    for (suite, encrypted) in [("aes-256-gcm", true), ("xchacha20-poly1305", true), ("none", false)] {
        let snap = Snap::bare();
        let made = snap.ok(&["init", "--json", "--kdf-memory", "8", "--encryption", suite]).summary();
        assert_eq!(made["encryption"], suite);
        assert_eq!(made["repository_id"].as_str().unwrap().len(), 32);
        let without = finish(snap.command(&["snapshots"]).env_remove("SNAP_PASSWORD"));
        assert_eq!(without.code, if encrypted { 12 } else { 0 }, "{suite}");
    }
    assert_eq!(Snap::bare().run(&["init", "--encryption", "rot13"]).code, 2);
}

#[test]
fn a_missing_repository_is_said_to_be_missing() {
    let snap = Snap::bare();
    for verb in [&["snapshots"][..], &["ls", "latest"], &["check"], &["create", "."], &["key", "list"]] {
        let ran = snap.ends(10, verb);
        assert!(ran.stderr.contains("there is no repository at") && ran.stderr.contains("snap init"), "{}", ran.stderr);
    }
    let error = snap.ends(10, &["snapshots", "--json"]);
    assert_eq!(error.error()["code"], "no_repository");
    assert_eq!(error.stdout, "");
    assert!(!snap.path("repository").exists(), "nothing was made on the way");
}

#[test]
fn no_repository_given_is_a_usage_error() {
    let ran = finish(Snap::bare().command(&["snapshots"]).env_remove("SNAP_REPOSITORY"));
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("SNAP_REPOSITORY"), "{}", ran.stderr);
}

#[test]
fn places_of_other_tools_are_answered_with_what_to_use() {
    for (location, instead) in [
        ("s3:bucket", "s3://BUCKET/PREFIX"),
        ("sftp:user@host:/x", "sshfs"),
        ("https://example.org/x", "a directory"),
        ("rest:http://x", "an object store"),
    ] {
        let ran = Snap::bare().ends(1, &["-r", location, "snapshots"]);
        assert!(ran.stderr.contains("cannot reach repositories at"), "{location}: {}", ran.stderr);
        assert!(ran.stderr.contains(instead), "{location}: {}", ran.stderr);
    }
    let snap = Snap::new();
    snap.ok(&["-r", &format!("local:{}", text(&snap.path("repository"))), "snapshots"]);
}

#[test]
fn the_wrong_password_has_its_own_code() {
    let snap = Snap::new();
    let ran = finish(snap.command(&["snapshots"]).env("SNAP_PASSWORD", "wrong"));
    assert_eq!(ran.code, 12);
    assert!(ran.stderr.starts_with("snap: wrong password for repository"), "{}", ran.stderr);
    let ran = finish(snap.command(&["--json", "snapshots"]).env("SNAP_PASSWORD", "wrong"));
    assert_eq!(ran.error()["code"], "wrong_password");
    let ran = finish(snap.command(&["snapshots", "--json"]).env_remove("SNAP_PASSWORD"));
    assert_eq!((ran.code, ran.error()["code"].as_str()), (12, Some("no_password")));
    let ran = finish(snap.command(&["init", "-r", &text(&snap.path("other"))]).env("SNAP_PASSWORD", ""));
    assert_eq!(ran.code, 12, "an empty one counts as none: {}", ran.stderr);
}

#[test]
fn passwords_come_from_files_commands_and_the_environment() {
    let snap = Snap::new();
    let file = snap.password_file("password", PASSWORD);
    let wrong = snap.password_file("wrong", "wrong");
    let empty = snap.password_file("empty", "");
    let with = |arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = snap.command(&[arguments, &["snapshots"]].concat());
        command.env_remove("SNAP_PASSWORD");
        for (name, value) in variables {
            command.env(name, value);
        }
        finish(&mut command)
    };
    let print = format!("printf '%s' '{PASSWORD}'");
    for (arguments, variables, code) in [
        (&["-p", &file][..], &[][..], 0),
        (&["--password-file", &file], &[("SNAP_PASSWORD", "wrong")], 0),
        (&["-p", &wrong], &[("SNAP_PASSWORD", PASSWORD)], 12),
        (&["-p", &empty], &[], 12),
        (&["-p", "/does/not/exist"], &[], 12),
        (&["--password-command", &print], &[], 0),
        (&["--password-command", &format!("echo '{PASSWORD}'")], &[("SNAP_PASSWORD_FILE", &wrong)], 0),
        (&["--password-command", "false"], &[], 12),
        (&["--password-command", "/does/not/exist"], &[], 12),
        (&["--password-command", "echo 'open"], &[], 12),
        (&["-p", &file, "--password-command", &print], &[], 2),
        (&[], &[("SNAP_PASSWORD_FILE", &file), ("SNAP_PASSWORD", "wrong")], 0),
        (&[], &[("SNAP_PASSWORD_COMMAND", &print)], 0),
        (&[], &[("SNAP_PASSWORD_COMMAND", &print), ("SNAP_PASSWORD_FILE", &file)], 2),
        (&[], &[("SNAP_PASSWORD", PASSWORD)], 0),
        (&[], &[], 12),
    ] {
        let ran = with(arguments, variables);
        assert_eq!(ran.code, code, "{arguments:?} {variables:?}: {}", ran.stderr);
    }
    // No shell looks at the command.
    let ran = with(&["--password-command", &format!("echo '{PASSWORD}' ; touch trap")], &[]);
    assert!(ran.code == 12 && !snap.work("trap").exists());
    // Standard input may be the file.
    let mut piped = snap.command(&["-p", "/dev/stdin", "snapshots"]);
    assert_eq!(finish(piped.env_remove("SNAP_PASSWORD").write_stdin(format!("{PASSWORD}\n"))).code, 0);
}

#[test]
fn a_password_file_for_everybody_is_warned_about() {
    let snap = Snap::new();
    let file = snap.password_file("password", PASSWORD);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    let ran = snap.ends(0, &["-p", &file, "snapshots"]);
    assert!(ran.stderr.contains("can be read by others"), "{}", ran.stderr);
}

#[test]
fn standard_input_is_read_once_only() {
    let snap = Snap::new();
    for arguments in [
        &["create", "--stdin", "-p", "/dev/stdin"][..],
        &["create", "--files-from", "-", "-p", "-"],
        &["create", "--files-from", "-", "--files-from-raw", "/dev/stdin"],
    ] {
        let ran = snap.ends(2, arguments);
        assert!(ran.stderr.contains("both read standard input"), "{}", ran.stderr);
    }
}

#[test]
fn keys_are_added_changed_listed_and_removed() {
    let snap = Snap::new();
    let second = snap.password_file("second", "second");
    let third = snap.password_file("third", "third");
    let cheap = ["--kdf-memory", "8"];
    let opens = |password: &str| finish(snap.command(&["snapshots"]).env("SNAP_PASSWORD", password)).code;
    let ids = || -> Vec<String> {
        let list = snap.ok(&["key", "list", "--json"]);
        list.objects("key").iter().map(|key| key["id"].as_str().unwrap().to_owned()).collect()
    };
    let only = ids();
    assert_eq!(only.len(), 1);
    // The last one stays.
    let ran = snap.ends(1, &["key", "remove", &only[0]]);
    assert!(ran.stderr.contains("is the last one"), "{}", ran.stderr);

    let added =
        snap.ok(&[&["key", "add", "--new-password-file", &second, "--label", "the vault"][..], &cheap].concat());
    assert!(added.stdout.starts_with("added key "));
    assert_eq!((opens(PASSWORD), opens("second")), (0, 0));
    assert!(snap.ok(&["key", "list"]).stdout.contains("the vault"));

    // Not the one that was just used.
    let ran = snap.ends(1, &["key", "remove", &only[0]]);
    assert!(ran.stderr.contains("was just opened with"), "{}", ran.stderr);

    let mut change = snap.command(&[&["key", "passwd", "--new-password-file", &third][..], &cheap].concat());
    assert_eq!(finish(change.env("SNAP_PASSWORD", "second")).code, 0);
    assert_eq!((opens(PASSWORD), opens("second"), opens("third")), (0, 12, 0));

    let other = ids().into_iter().find(|id| *id != only[0]).unwrap();
    snap.ok(&["key", "remove", &other[..6]]);
    assert_eq!((opens(PASSWORD), opens("third"), ids()), (0, 12, only));
    assert_eq!(snap.run(&["key", "remove", "ffffffffffffffff"]).code, 1);
}

#[test]
fn a_key_export_is_a_second_way_in() {
    let snap = Snap::new();
    let file = text(&snap.path("export"));
    snap.ok(&["key", "export", "-o", &file]);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let content = fs::read(&file).unwrap();
    let ran = snap.ends(1, &["key", "export", "-o", &file]);
    assert!(ran.stderr.contains("is there already"), "{}", ran.stderr);
    assert_eq!(fs::read(&file).unwrap(), content);
    assert_eq!(snap.ok(&["key", "export", "-o", "-"]).bytes, content);

    // All keys are lost.
    fs::remove_dir_all(snap.path("repository/keys")).unwrap();
    fs::create_dir(snap.path("repository/keys")).unwrap();
    assert_ne!(snap.run(&["snapshots"]).code, 0);
    let without = |arguments: &[&str]| finish(snap.command(arguments).env_remove("SNAP_PASSWORD"));
    assert_eq!(without(&["snapshots", "--key-export", &file]).code, 0);
    let new = snap.password_file("new", "new");
    let ran = without(&["key", "import", &file, "--new-password-file", &new, "--kdf-memory", "8"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(without(&["snapshots", "-p", &new]).code, 0);

    // Not that of another repository, and not a changed one.
    let other = Snap::new();
    let ran = other.ends(1, &["snapshots", "--key-export", &file]);
    assert!(ran.stderr.contains("belongs to repository"), "{}", ran.stderr);
    fs::write(&file, String::from_utf8(content).unwrap().replace("keyring 0", "keyring f")).unwrap();
    assert_eq!(snap.run(&["snapshots", "--key-export", &file]).code, 1);
}

#[test]
fn a_repository_without_encryption_has_no_keys() {
    let snap = Snap::bare();
    snap.ok(&["init", "--encryption", "none"]);
    for verb in [
        &["key", "add"][..],
        &["key", "passwd"],
        &["key", "export", "-o", "x"],
        &["key", "remove", "a"],
        &["key", "rotate"],
    ] {
        let ran = snap.ends(1, verb);
        assert!(ran.stderr.contains("not encrypted"), "{verb:?}: {}", ran.stderr);
    }
    assert!(!snap.work("x").exists());
}

#[test]
fn a_repository_takes_over_what_names_chunks() {
    let snap = Snap::new();
    let first = text(&snap.path("repository"));
    let file = snap.password_file("password", PASSWORD);
    let second = text(&snap.path("second"));
    let init = ["init", "-r", &second, "--kdf-memory", "8", "--from-repo", &first];
    // The password of the other one is asked for apart.
    let ran = snap.ends(12, &init);
    assert!(ran.stderr.contains(&format!("password of {first}")), "{}", ran.stderr);
    let ran = finish(snap.command(&init).env("SNAP_FROM_PASSWORD", "wrong"));
    assert_eq!(ran.code, 12);
    assert!(!snap.path("second").exists());
    snap.ok(&[&init[..], &["--from-password-file", &file]].concat());
    // The keyring begins with the key that names chunks.
    let key = |repository: &str| {
        let export = snap.ok(&["-r", repository, "key", "export", "-o", "-"]).stdout;
        let keyring = export.lines().find_map(|line| line.strip_prefix("keyring ")).unwrap().to_owned();
        keyring[2..66].to_owned()
    };
    assert_eq!(key(&first), key(&second));
    let third = text(&snap.path("third"));
    snap.ok(&["init", "-r", &third, "--kdf-memory", "8"]);
    assert_ne!(key(&first), key(&third));
    // Ids under a key cannot be had without it.
    let plain = text(&snap.path("plain"));
    let from = ["--from-repo", &first, "--from-password-file", &file];
    assert_eq!(snap.run(&[&["init", "-r", &plain, "--encryption", "none"], &from[..]].concat()).code, 2);
}

#[test]
fn wrong_arguments_are_usage_errors() {
    let snap = Snap::new();
    for arguments in [
        &[][..],
        &["no-such-verb"],
        &["snapshots", "--no-such-flag"],
        &["create"],
        &["create", "--stdin", "x"],
        &["create", "x", "--time", "some day"],
        &["create", "x", "--exclude", "[a"],
        &["create", "x", "--exclude-larger-than", "big"],
        &["create", "x", "--exclude-if-present", "a/b"],
        &["create", "--stdin", "--stdin-filename", "../x"],
        &["create", "x", "--avro", "deeper"],
        &["restore", "latest"],
        &["restore", "-t", "x"],
        &["restore", "latest", "-t", "x", "--overwrite", "perhaps"],
        &["restore", "latest:../x", "-t", "x"],
        &["ls", "not-an-id"],
        &["ls", "--at", "some day"],
        &["find"],
        &["diff", "latest"],
        &["dump", "latest"],
        &["manifest", "latest"],
        &["tag", "latest"],
        &["tag", "--add", "x"],
        &["tag", "latest", "--set", "x", "--add", "y"],
        &["check", "--read-data", "--read-data-subset", "1/2"],
        &["check", "--read-data-subset", "3/2"],
        &["init", "--kdf-memory", "1"],
        &["-q", "-v", "snapshots"],
    ] {
        let ran = snap.ends(2, arguments);
        assert!(!ran.stderr.is_empty() && ran.stdout.is_empty(), "{arguments:?}");
        let json = snap.ends(2, &[arguments, &["--json"]].concat());
        if arguments != &["-q", "-v", "snapshots"][..] && !arguments.is_empty() {
            assert_eq!(json.error()["code"], "usage", "{arguments:?}");
            assert!(json.error()["message"].as_str().unwrap().len() > 10, "{arguments:?}: {}", json.stderr);
        }
    }
}

#[test]
fn a_snapshot_that_is_not_there_is_an_error_with_a_hint() {
    let snap = Snap::new();
    for wanted in ["latest", "latest~3", "abcd"] {
        let ran = snap.ends(1, &["ls", wanted]);
        assert!(ran.stderr.contains(&format!("no snapshot {wanted}")), "{}", ran.stderr);
        assert!(ran.stderr.contains("hint: `snap snapshots`"));
    }
    assert_eq!(snap.ends(1, &["ls", "latest", "--json"]).error()["code"], "no_snapshot");
}

#[test]
fn a_place_that_cannot_be_written_is_an_error_with_the_path() {
    let snap = Snap::bare();
    // Holds for root as well, unlike a read-only directory.
    let file = snap.write("file", "");
    let ran = snap.ends(1, &["init", "-r", &text(&file.join("repository"))]);
    assert!(ran.stderr.contains("file"), "{}", ran.stderr);
    let ran = snap.ends(1, &["init", "--json", "-r", "/proc/repository"]);
    assert!(ran.error()["message"].as_str().unwrap().contains("/proc/repository"));
}

#[test]
fn a_repository_that_goes_back_is_noticed() {
    let snap = Snap::new();
    let second = snap.password_file("second", "second");
    snap.ok(&["snapshots"]);
    let copy = snap.path("copy");
    copy_all(&snap.path("repository"), &copy);
    snap.ok(&["key", "add", "--new-password-file", &second, "--kdf-memory", "8"]);
    fs::remove_dir_all(snap.path("repository")).unwrap();
    copy_all(&copy, &snap.path("repository"));
    let ran = snap.ends(1, &["snapshots"]);
    assert!(ran.stderr.contains("was rolled back"), "{}", ran.stderr);
    let head = ran.stderr.split("remove ").last().unwrap().trim().to_owned();
    assert!(head.starts_with(&text(&snap.path("home/.local/state/snap"))), "{head}");
    fs::remove_file(head).unwrap();
    snap.ok(&["snapshots"]);
}

fn copy_all(from: &std::path::Path, to: &std::path::Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap().is_dir() {
            true => copy_all(&entry.path(), &to.join(entry.file_name())),
            false => drop(fs::copy(entry.path(), to.join(entry.file_name())).unwrap()),
        }
    }
}

#[test]
fn the_cache_lies_where_it_is_asked_to() {
    let snap = Snap::new();
    snap.ok(&["snapshots", "--no-cache"]);
    assert!(!snap.path("home/.cache").exists());
    snap.ok(&["snapshots", "--cache-dir", &text(&snap.path("elsewhere"))]);
    assert!(!snap.path("home/.cache").exists() && snap.path("elsewhere").exists());
    snap.ok(&["snapshots"]);
    assert!(snap.path("home/.cache/snap").exists());
}

#[test]
fn shells_get_completions_without_any_repository() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ran = finish(Snap::bare().command(&["completions", shell]).env_remove("SNAP_REPOSITORY"));
        assert!(ran.code == 0 && ran.stdout.contains("snapshots"), "{shell}");
    }
}

#[test]
fn help_and_version_are_no_errors() {
    let snap = Snap::bare();
    let version = snap.ok(&["--version"]).stdout;
    assert_eq!(version, format!("snap {}\n", env!("CARGO_PKG_VERSION")));
    assert!(snap.ok(&["--help"]).stdout.contains("Exit codes"));
    for verb in [
        "init",
        "create",
        "backup",
        "restore",
        "snapshots",
        "ls",
        "find",
        "diff",
        "log",
        "tag",
        "dump",
        "manifest",
        "check",
        "repair",
        "key",
    ] {
        assert!(snap.ok(&[verb, "--help"]).stdout.contains("Usage: snap"), "{verb}");
    }
}

#[test]
fn a_reader_who_leaves_is_no_error() {
    let snap = Snap::new();
    for arguments in ["completions bash", "snapshots", "key list", "--help"] {
        // `true` reads nothing; the shell tells what snap ended with.
        let script = format!("{{ \"$0\" {arguments}; echo $? >&2; }} | true");
        let ran = finish(&mut snap.in_shell(&script, &[]));
        assert_eq!(ran.stderr, "0\n", "{arguments}");
    }
}

#[test]
fn what_a_password_command_writes_to_standard_error_gives_no_password_away() {
    let snap = Snap::new();
    // As a traced shell does it.
    let traced = format!("sh -c 'echo \"{PASSWORD}\"; printf \"+ echo {PASSWORD}\\n\\033[2J\\n\" >&2; exit $0'");
    for (exit, code) in [("0", 0), ("7", 12)] {
        // Nor does the command itself, where it fails.
        let command = format!("{traced} {exit}");
        let ran = snap.ends(code, &["snapshots", "--password-command", &command]);
        let said: Vec<&str> = ran.stderr.lines().filter(|line| line.contains("the password command says:")).collect();
        assert_eq!(said.len(), 2, "{}", ran.stderr);
        assert!(said[0].ends_with("+ echo ***") && said[1].ends_with("\\x1b[2J"), "{}", ran.stderr);
        assert!(!ran.stderr.contains(PASSWORD), "{}", ran.stderr);
        let ran = snap.ends(code, &["snapshots", "--json", "--password-command", &command]);
        assert!(!ran.stderr.contains("[2J") && ran.stderr.contains("not shown with --json"), "{}", ran.stderr);
    }
    // Only the beginning is shown of one that writes on and on, and it is not cut within the password.
    let long = format!("sh -c 'echo \"{PASSWORD}\"; yes \"{PASSWORD}\" | head -c 300000 | tr -d \"\\n\" >&2'");
    let ran = snap.ends(0, &["snapshots", "--password-command", &long]);
    assert!(ran.stderr.len() < 5000 && ran.stderr.contains("***"), "{} bytes", ran.stderr.len());
    assert!(!ran.stderr.contains("corr") && !ran.stderr.contains("horse"), "{}", ran.stderr);
    // What it leaves running is not waited for.
    let leaves = format!("sh -c 'echo \"{PASSWORD}\"; sleep 120 >/dev/null & echo done >&2'");
    let began = std::time::Instant::now();
    let ran = snap.ends(0, &["snapshots", "--password-command", &leaves]);
    assert!(ran.stderr.contains("says: done") && began.elapsed().as_secs() < 100, "{}", ran.stderr);
}

#[test]
fn numbers_that_make_no_sense_are_refused() {
    let snap = Snap::new();
    snap.write("data/file", "x");
    let cases: [(&[&str], &str, &[&str]); 13] = [
        (
            &["create", "data"],
            "--min-encode-speed",
            &["nan", "NaN", "inf", "-inf", "-1", "-0.1", "", " ", "x", "1e999"],
        ),
        (&["create", "data"], "--exclude-larger-than", &["nan", "inf", "-1", "", "1.5G", "1e9", "k", "99999999999T"]),
        (&["create", "data"], "--threads", &["0", "-1", "", "nan", "1.5", "99999999999999999999"]),
        (&["prune"], "--max-unused", &["nan", "nan%", "inf%", "-1%", "101%", "", "%", "-1", "1e400%"]),
        (&["prune"], "--max-repack-size", &["nan", "inf", "-1", "", "1.5"]),
        (&["prune"], "--grace", &["nan", "inf", "-1d", "", "d", "5", "1.5d", "99999999999999999999d"]),
        (
            &["check"],
            "--read-data-subset",
            &["nan%", "inf%", "-1%", "0%", "101%", "", "%", "0/3", "4/3", "1/0", "5", "0M"],
        ),
        (&["check"], "--max-age", &["nan", "inf", "-1d", "", "d", "5", "1.5d", "99999999999999999999d"]),
        (&["repair", "packs"], "--parity", &["nan", "inf", "-1%", "", "%", "101%", "0.05%"]),
        (&["forget"], "--keep-last", &["nan", "inf", "-2", "", "1.5", "99999999999999999999"]),
        (&["forget"], "--keep-within", &["nan", "inf", "-1d", "", "d", "5", "1.5d", "99999999999d"]),
        (&["cat", "latest:data/file"], "--limit", &["nan", "inf", "-1", "", "1.5"]),
        (&["snapshots"], "--latest", &["nan", "inf", "-1", "", "1.5"]),
    ];
    for (verb, flag, values) in cases {
        for value in values {
            let ran = snap.run(&[verb, &[&format!("{flag}={value}")]].concat());
            assert_eq!(ran.code, 2, "{verb:?} {flag}={value}: {} {}", ran.stdout, ran.stderr);
        }
    }
    // The largest that can be written do no harm.
    for arguments in [
        &["create", "data", "--min-encode-speed", "1e300"][..],
        &["create", "data", "--force", "--min-encode-speed", "0"],
        &["prune", "--dry-run", "--grace", "18446744073709551615s"],
        &["prune", "--dry-run", "--max-unused", "16777215T"],
        &["check", "--max-age", "200y"],
        &["check", "--max-age", "99999999999d"],
        &["forget", "--dry-run", "--keep-within", "4294967295y4294967295m4294967295d4294967295h"],
        &["forget", "--dry-run", "--keep-last", "4294967295"],
        &["snapshots", "--latest", "18446744073709551615"],
    ] {
        let ran = snap.run(arguments);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{arguments:?}");
    }
}
