//! The flags of a verb and the options of the library are one: every flag is a key of the verb's options, or the terminal's
//! own; a key says the same as its flag; and what is not given is the same for both.

use std::fmt::Debug;

use avro_snap::ops::cat::CatOptions;
use avro_snap::ops::check::CheckOptions;
use avro_snap::ops::copy::CopyOptions;
use avro_snap::ops::create::CreateOptions;
use avro_snap::ops::drill::DrillOptions;
use avro_snap::ops::encoders::EncoderOptions;
use avro_snap::ops::erase::EraseOptions;
use avro_snap::ops::forget::ForgetOptions;
use avro_snap::ops::history::TableLogOptions;
use avro_snap::ops::merge::MergeOptions;
use avro_snap::ops::optimize::OptimizeOptions;
use avro_snap::ops::prune::PruneOptions;
use avro_snap::ops::repair::{PackRepairOptions, PayloadOptions, SnapshotRepairOptions};
use avro_snap::ops::restore::RestoreOptions;
use avro_snap::store::InitOptions;
use clap::{CommandFactory, Parser};
use serde::de::DeserializeOwned;

use super::repair::What;
use super::{Cli, Verb};

/// A verb whose options can come from a file.
struct Shared {
    /// Its name on the command line.
    verb: &'static [&'static str],
    /// What cannot be left out there.
    needs: &'static [&'static str],
    /// The same in a file.
    needs_text: &'static str,
    /// Keys: the name, a value as it stands in a file, and how it is given on the command line. The name of a flag is the
    /// key; an argument without a flag is named here as `ARGUMENT/KEY`.
    keys: &'static [(&'static str, &'static str, &'static [&'static str])],
    /// Flags and arguments that are the terminal's own, and why.
    own: &'static [(&'static str, &'static str)],
    /// What a file says.
    read: fn(&str) -> Result<String, String>,
}

/// Which of the snapshots is meant.
const CHOOSING: [&str; 5] = ["at", "host", "series", "tag", "path"];

fn read<O: DeserializeOwned + Debug>(text: &str) -> Result<String, String> {
    toml::from_str::<O>(text).map(|options| format!("{options:?}")).map_err(|error| error.to_string())
}

const SHARED: &[Shared] = &[
    Shared {
        verb: &["create"],
        needs: &["data"],
        needs_text: "sources = ['data']\n",
        keys: &[
            ("paths/sources", "['data', 'more']", &["data", "more"]),
            ("tag", "['a,b', 'c']", &["--tag", "a,b", "--tag", "c"]),
            ("iceberg", "['a', 'b']", &["--iceberg", "a", "--iceberg", "b"]),
            ("iceberg-history", "true\niceberg = 'a'", &["--iceberg", "a", "--iceberg-history"]),
            ("host", "'h'", &["--host", "h"]),
            ("series", "'s'", &["--series", "s"]),
            ("dry-run", "true", &["--dry-run"]),
            ("force", "true", &["--force"]),
            ("ignore-ctime", "true", &["--ignore-ctime"]),
            ("ignore-inode", "true", &["--ignore-inode"]),
            ("avro", "'frame'", &["--avro", "frame"]),
            ("min-encode-speed", "7.5", &["--min-encode-speed", "7.5"]),
            ("compression", "'max'", &["--compression", "max"]),
            ("accept-losses", "true", &["--accept-losses"]),
            ("expect", "['a: sound', 'b: files > 1']", &["--expect", "a: sound", "--expect", "b: files > 1"]),
            ("shard", "'2/8'", &["--shard", "2/8"]),
            ("run", "'r'", &["--run", "r"]),
            ("skip-if-unchanged", "true", &["--skip-if-unchanged"]),
            ("exclude", "['*.tmp', '!a.tmp']", &["--exclude", "*.tmp", "--exclude", "!a.tmp"]),
            ("iexclude", "'*.TMP'", &["--iexclude", "*.TMP"]),
            ("exclude-file", "['list']", &["--exclude-file", "list"]),
            ("exclude-if-present", "['.nobackup:yes']", &["--exclude-if-present", ".nobackup:yes"]),
            ("exclude-caches", "true", &["--exclude-caches"]),
            ("exclude-larger-than", "'10M'", &["--exclude-larger-than", "10M"]),
            ("one-file-system", "true", &["--one-file-system"]),
        ],
        own: &[
            ("time", "that of one snapshot, in forms that count from now"),
            ("parent", "one snapshot of one run"),
            ("stdin", "the program's own stream"),
            ("stdin-from-command", "the program runs the command, and hands over a stream"),
            ("stdin-filename", "comes with the stream"),
            ("files-from", "a list that is read into the sources; it may be standard input"),
            ("files-from-raw", "a list that is read into the sources; it may be standard input"),
            ("init", "comes before there is a repository to save into"),
            ("fail-on-damaged", "says how the program ends"),
        ],
        read: read::<CreateOptions>,
    },
    Shared {
        verb: &["copy"],
        needs: &["--from-repo", "other"],
        needs_text: "",
        keys: &[("compression", "'off'", &["--compression", "off"])],
        own: &[
            ("snapshots", "which snapshots is decided by a plan"),
            ("from-repo", "how the other repository is opened"),
            ("from-password-file", "how the other repository is opened"),
            ("from-password-command", "how the other repository is opened"),
            ("from-key-export", "how the other repository is opened"),
            ("dry-run", "then the plan is not carried out"),
        ],
        read: read::<CopyOptions>,
    },
    Shared {
        verb: &["merge"],
        needs: &["--run", "r"],
        needs_text: "run = 'r'\n",
        keys: &[
            ("run", "'r'", &[]),
            ("discard", "true", &["--discard"]),
            ("accept-losses", "true", &["--accept-losses"]),
            ("compression", "'max'", &["--compression", "max"]),
            ("dry-run", "true", &["--dry-run"]),
        ],
        own: &[("list", "shows what there is, and merges nothing"), ("fail-on-damaged", "how the program ends")],
        read: read::<MergeOptions>,
    },
    Shared {
        verb: &["restore"],
        needs: &["latest", "--target", "there"],
        needs_text: "target = 'there'\n",
        keys: &[
            ("target", "'there'", &[]),
            ("shard", "'2/8'", &["--shard", "2/8"]),
            ("overwrite", "'if-newer'", &["--overwrite", "if-newer"]),
            ("delete", "true", &["--delete"]),
            ("delete-despite-unreadable", "true\ndelete = true", &["--delete", "--delete-despite-unreadable"]),
            ("dry-run", "true", &["--dry-run"]),
            ("verify", "true", &["--verify"]),
            ("restore-suid", "true", &["--restore-suid"]),
            ("sparse", "true", &["--sparse"]),
            ("recode", "'deflate'", &["--recode", "deflate"]),
            ("map", "['a=b']", &["--map", "a=b"]),
            ("salvage", "true", &["--salvage"]),
            ("include", "['*.avro']", &["--include", "*.avro"]),
            ("iinclude", "['*.AVRO']", &["--iinclude", "*.AVRO"]),
            ("include-file", "['list']", &["--include-file", "list"]),
            ("iinclude-file", "['list']", &["--iinclude-file", "list"]),
            ("exclude", "['*.tmp']", &["--exclude", "*.tmp"]),
            ("iexclude", "['*.TMP']", &["--iexclude", "*.TMP"]),
            ("exclude-file", "['list']", &["--exclude-file", "list"]),
            ("iexclude-file", "['list']", &["--iexclude-file", "list"]),
        ],
        own: &[("snapshot", "which snapshot, and what of it"), ("packs", "a list that is printed beside the dry run")],
        read: read::<RestoreOptions>,
    },
    Shared {
        verb: &["forget"],
        needs: &[],
        needs_text: "",
        keys: &[
            ("keep-last", "7", &["--keep-last", "7"]),
            ("keep-hourly", "'unlimited'", &["--keep-hourly", "unlimited"]),
            ("keep-daily", "'-1'", &["--keep-daily", "-1"]),
            ("keep-weekly", "4", &["--keep-weekly", "4"]),
            ("keep-monthly", "12", &["--keep-monthly", "12"]),
            ("keep-yearly", "3", &["--keep-yearly", "3"]),
            ("keep-within", "'2y5m7d3h'", &["--keep-within", "2y5m7d3h"]),
            ("keep-within-hourly", "'1d'", &["--keep-within-hourly", "1d"]),
            ("keep-within-daily", "'2d'", &["--keep-within-daily", "2d"]),
            ("keep-within-weekly", "'3w'", &["--keep-within-weekly", "3w"]),
            ("keep-within-monthly", "'4m'", &["--keep-within-monthly", "4m"]),
            ("keep-within-yearly", "'5y'", &["--keep-within-yearly", "5y"]),
            ("keep-tag", "['a,b', ',']", &["--keep-tag", "a,b", "--keep-tag", ","]),
            ("group-by", "'host,paths'", &["--group-by", "host,paths"]),
            ("allow-losing-sound-files", "true", &["--allow-losing-sound-files"]),
            ("host", "['h']", &["--host", "h"]),
            ("series", "['s', 't']", &["--series", "s", "--series", "t"]),
            ("tag", "['a,b']", &["--tag", "a,b"]),
            ("path", "['/a/b/']", &["--path", "/a/b/"]),
        ],
        own: &[
            ("snapshots", "snapshots by name, without a policy"),
            ("at", "a time in forms that count from now"),
            ("dry-run", "then the plan is not carried out"),
            ("undo", "another verb"),
            ("no-size", "what is said about the plan"),
            ("unsafe-allow-remove-all", "whether such a plan may be carried out"),
            ("prune", "the verb after it"),
            ("max-unused", "an option of prune"),
            ("max-repack-size", "an option of prune"),
            ("repack-small", "an option of prune"),
            ("reencrypt", "an option of prune"),
            ("grace", "an option of prune"),
            ("keep-parts", "an option of prune"),
        ],
        read: read::<ForgetOptions>,
    },
    Shared {
        verb: &["prune"],
        needs: &[],
        needs_text: "",
        keys: &[
            ("dry-run", "true", &["--dry-run"]),
            ("max-unused", "'500M'", &["--max-unused", "500M"]),
            ("max-repack-size", "'1G'", &["--max-repack-size", "1G"]),
            ("repack-small", "true", &["--repack-small"]),
            ("reencrypt", "true", &["--reencrypt"]),
            ("grace", "'90m'", &["--grace", "90m"]),
            ("keep-parts", "'2d'", &["--keep-parts", "2d"]),
        ],
        own: &[("unsafe-recover-no-free-space", "an emergency, and nothing to keep in a file")],
        read: read::<PruneOptions>,
    },
    Shared {
        verb: &["check"],
        needs: &[],
        needs_text: "",
        keys: &[
            ("read-data", "true", &["--read-data"]),
            ("read-data-subset", "'2/7'", &["--read-data-subset", "2/7"]),
            ("max-age", "'2w'", &["--max-age", "2w"]),
        ],
        own: &[
            ("avro", "a second check after it, of files"),
            ("snapshot", "of which snapshots the files are checked"),
            ("erased", "another check in its place"),
        ],
        read: read::<CheckOptions>,
    },
    Shared {
        verb: &["drill"],
        needs: &[],
        needs_text: "",
        keys: &[
            ("sample", "'5%'", &["--sample", "5%"]),
            ("seed", "7", &["--seed", "7"]),
            ("scratch", "'/tmp'", &["--scratch", "/tmp"]),
        ],
        own: &[
            ("snapshot", "which snapshot, and what of it"),
            ("certificate", "where the result is written"),
            ("verify", "another thing to do"),
        ],
        read: read::<DrillOptions>,
    },
    Shared {
        verb: &["cat"],
        needs: &["latest:a.avro"],
        needs_text: "",
        keys: &[
            ("where", "'id = 5'", &["--where", "id = 5"]),
            ("limit", "3", &["--limit", "3"]),
            ("skip", "2", &["--skip", "2"]),
            ("fields", "['id,address.city']", &["--fields", "id,address.city"]),
            ("format", "'avro'", &["--format", "avro"]),
            ("json-encoding", "'avro'", &["--json-encoding", "avro"]),
        ],
        own: &[("what", "which files"), ("reader-schema", "a file that is read into a schema")],
        read: read::<CatOptions>,
    },
    Shared {
        verb: &["init"],
        needs: &[],
        needs_text: "",
        keys: &[
            ("encryption", "'xchacha20-poly1305'", &["--encryption", "xchacha20-poly1305"]),
            ("compression", "'fast'", &["--compression", "fast"]),
            ("parity", "'2.5%'", &["--parity", "2.5%"]),
            ("kdf-memory", "128", &["--kdf-memory", "128"]),
        ],
        own: &[
            ("force", "what else lies in the place is looked at by the program"),
            ("from-repo", "the other repository hands over its keys and parameters"),
            ("from-password-file", "how the other repository is opened"),
            ("from-password-command", "how the other repository is opened"),
            ("from-key-export", "how the other repository is opened"),
        ],
        read: read::<InitOptions>,
    },
    Shared {
        verb: &["repair", "packs"],
        needs: &[],
        needs_text: "",
        keys: &[
            (
                "packs/packs",
                concat!("['", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", "']"),
                &["0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"],
            ),
            ("parity", "'off'", &["--parity", "off"]),
            ("accept-missing-packs", "true", &["--accept-missing-packs"]),
            ("dry-run", "true", &["--dry-run"]),
        ],
        own: &[],
        read: read::<PackRepairOptions>,
    },
    Shared {
        verb: &["repair", "snapshots"],
        needs: &[],
        needs_text: "",
        keys: &[
            ("read-data", "true", &["--read-data"]),
            ("forget", "true", &["--forget"]),
            ("rewrite", "true", &["--rewrite"]),
            ("accept-missing-packs", "true", &["--accept-missing-packs"]),
            ("dry-run", "true", &["--dry-run"]),
        ],
        own: &[],
        read: read::<SnapshotRepairOptions>,
    },
    Shared {
        verb: &["repair", "payloads"],
        needs: &["latest"],
        needs_text: "",
        keys: &[
            ("encoder", "['zlib', 'snappy']", &["--encoder", "zlib", "--encoder", "snappy"]),
            ("include", "['*.avro']", &["--include", "*.avro"]),
            ("compression", "'max'", &["--compression", "max"]),
            ("dry-run", "true", &["--dry-run"]),
        ],
        own: &[("snapshots", "which snapshots")],
        read: read::<PayloadOptions>,
    },
    Shared {
        verb: &["erase"],
        needs: &["a", "--where", "id = 1"],
        needs_text: "path = 'a'\nwhere = 'id = 1'\n",
        keys: &[("exclude", "['*.tmp']", &["--exclude", "*.tmp"]), ("compression", "'max'", &["--compression", "max"])],
        own: &[
            ("what", "the key is called path, as filters have a flag of that name"),
            ("where", "one of the two is needed"),
            ("key", "one of the two is needed"),
            ("snapshot", "which snapshots"),
            ("dry-run", "the plan is made and shown, and that is all"),
            ("yes", "whether to ask"),
            ("report", "where the result is written"),
        ],
        read: read::<EraseOptions>,
    },
    Shared {
        verb: &["log"],
        needs: &["a"],
        needs_text: "",
        keys: &[("quick", "true", &["--quick"])],
        own: &[("table", "which table"), ("key", "which record: another question")],
        read: read::<TableLogOptions>,
    },
    Shared {
        verb: &["optimize"],
        needs: &[],
        needs_text: "",
        keys: &[
            ("include", "['*.avro']", &["--include", "*.avro"]),
            ("min-encode-speed", "0.5", &["--min-encode-speed", "0.5"]),
            ("commit-every", "'2G'", &["--commit-every", "2G"]),
            ("compression", "'max'", &["--compression", "max"]),
            ("dry-run", "true", &["--dry-run"]),
        ],
        own: &[("snapshots", "which snapshots")],
        read: read::<OptimizeOptions>,
    },
    Shared {
        verb: &["debug", "encoders"],
        needs: &["orders.avro"],
        needs_text: "",
        keys: &[("blocks", "7", &["--blocks", "7"])],
        own: &[("files", "which files")],
        read: read::<EncoderOptions>,
    },
];

/// What the command line says.
fn given(shared: &Shared, flags: &[&str]) -> String {
    let needs = match flags.first() {
        // Arguments take the place of those that must be there.
        Some(first) if shared.verb == ["create"] && !first.starts_with('-') => &[],
        _ => shared.needs,
    };
    let words = ["snap"].iter().chain(shared.verb).chain(needs).chain(flags);
    let cli = Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}"));
    match cli.verb {
        Verb::Create(args) => format!("{:?}", args.options().unwrap()),
        Verb::Copy(args) => format!("{:?}", args.options()),
        Verb::Merge(args) => format!("{:?}", args.options()),
        Verb::Restore(args) => format!("{:?}", args.options().unwrap()),
        Verb::Forget(args) => format!("{:?}", args.options().unwrap()),
        Verb::Prune(args) => format!("{:?}", args.options()),
        Verb::Check(args) => format!("{:?}", args.options()),
        Verb::Drill(args) => format!("{:?}", args.options()),
        Verb::Cat(args) => format!("{:?}", args.options()),
        Verb::Init(args) => format!("{:?}", args.options()),
        Verb::Erase(args) => format!("{:?}", args.options().unwrap()),
        Verb::Log(args) => format!("{:?}", args.options()),
        Verb::Optimize(args) => format!("{:?}", args.options().unwrap()),
        Verb::Debug(args) => format!("{:?}", args.options()),
        Verb::Repair(args) => match args.what {
            What::Packs(args) => format!("{:?}", args.options()),
            What::Snapshots(args) => format!("{:?}", args.options()),
            What::Payloads(args) => format!("{:?}", args.options().unwrap()),
            other => panic!("{other:?} has no options"),
        },
        other => panic!("{other:?} has no options"),
    }
}

fn command(shared: &Shared) -> clap::Command {
    shared.verb.iter().fold(Cli::command(), |command, name| command.find_subcommand(name).unwrap().clone())
}

/// The key of an entry of `keys`, and what clap calls it.
fn names(entry: &'static str) -> (&'static str, &'static str) {
    entry.split_once('/').map_or((entry, entry), |(argument, key)| (key, argument))
}

#[test]
fn every_flag_is_a_key_or_the_terminals_own() {
    for shared in SHARED {
        let command = command(shared);
        let flags: Vec<String> = command
            .get_arguments()
            .filter(|flag| !matches!(flag.get_id().as_str(), "help" | "version"))
            .map(|flag| flag.get_long().unwrap_or(flag.get_id().as_str()).to_owned())
            .collect();
        let keys: Vec<&str> = shared.keys.iter().map(|(entry, ..)| names(entry).1).collect();
        for flag in &flags {
            let is_own = shared.own.iter().any(|(own, _)| own == flag);
            let chooses = shared.verb != ["forget"] && shared.verb != ["create"] && CHOOSING.contains(&&**flag);
            let places = [keys.contains(&&**flag), is_own, chooses && !keys.contains(&&**flag)];
            assert_eq!(places.iter().filter(|place| **place).count(), 1, "{:?}: {flag}", shared.verb);
        }
        for name in keys.iter().chain(shared.own.iter().map(|(own, _)| own)) {
            assert!(flags.iter().any(|flag| flag == name), "{:?} has no {name}", shared.verb);
        }
        assert!(shared.own.iter().all(|(_, why)| why.len() > 8));
    }
}

#[test]
fn a_key_says_the_same_as_its_flag() {
    for Shared { verb, needs_text, read, keys, .. } in SHARED {
        let shared = SHARED.iter().find(|shared| shared.verb == *verb).unwrap();
        let nothing = given(shared, &[]);
        assert_eq!(read(needs_text).unwrap(), nothing, "{verb:?}: what is not given differs");
        let mut all = String::new();
        for (entry, value, flags) in *keys {
            let (key, _) = names(entry);
            let line = format!("{key} = {value}\n");
            let alone = match needs_text.starts_with(&format!("{key} = ")) {
                true => line.clone(),
                false => format!("{needs_text}{line}"),
            };
            let said = given(shared, flags);
            assert_eq!(read(&alone).unwrap_or_else(|error| panic!("{verb:?}: {error}")), said, "{verb:?}: {key}");
            assert!(flags.is_empty() || said != nothing, "{verb:?}: {key} does nothing");
            all += &format!("{key} = {}\n", value.lines().next().unwrap());
        }
        assert!(read(&all).is_ok(), "{verb:?}: {:?}", read(&all));
        let unknown = read(&format!("{needs_text}keep-lost = 1\n")).unwrap_err();
        assert!(unknown.contains("unknown field `keep-lost`"), "{verb:?}: {unknown}");
    }
}

#[test]
fn every_word_that_a_flag_takes_is_a_value_of_its_key() {
    let mut words = 0;
    for shared in SHARED {
        for flag in command(shared).get_arguments().filter(|flag| flag.get_action().takes_values()) {
            let Some(long) = flag.get_long().filter(|long| shared.keys.iter().any(|(key, ..)| key == long)) else {
                continue;
            };
            for value in flag.get_possible_values() {
                let said = given(shared, &[&format!("--{long}"), value.get_name()]);
                let text = format!("{}{long} = {:?}\n", shared.needs_text, value.get_name());
                assert_eq!((shared.read)(&text).as_ref(), Ok(&said), "{text}");
                words += 1;
            }
        }
    }
    assert!(words > 25, "{words}");
}

#[test]
fn what_is_wrong_with_a_value_is_said() {
    for (read, text, error) in [
        (read::<CreateOptions> as fn(&str) -> _, "exclude-larger-than = '1x'", "is not a size"),
        (read::<CreateOptions>, "exclude = '['", "not closed"),
        (read::<CreateOptions>, "tag = ''", "is empty"),
        (read::<CreateOptions>, "avro = 'deeper'", "unknown variant"),
        (read::<CreateOptions>, "force = 1", "expected a boolean"),
        (read::<CreateOptions>, "min-encode-speed = -1", "is no speed"),
        (read::<ForgetOptions>, "keep-last = 'x'", "neither a number"),
        (read::<ForgetOptions>, "series = ''", "is empty"),
        (read::<ForgetOptions>, "group-by = 'moon'", "cannot be grouped by"),
        (read::<PruneOptions>, "grace = 5", "is not a duration"),
        (read::<RestoreOptions>, "recode = 'xz'", "no codec to write with"),
        (read::<InitOptions>, "kdf-memory = 4", "is not in 8..=2048"),
        (read::<InitOptions>, "encryption = 'rot13'", "is no encryption"),
        (read::<InitOptions>, "parity = '200%'", "is not a share"),
    ] {
        let said = read(text).unwrap_err();
        assert!(said.contains(error), "{text}: {said}");
    }
}
