//! The shape of `src/` (`docs/architecture.md`), held by a test.
//!
//! Three things are kept true. A room of the library names only the rooms that stand in its row of `ROOMS`, each for the
//! reason given there, and there is no circle. A package, and a part of the standard library that touches the world, is
//! used only where it is at home. Every room, and every package that `Cargo.toml` names, has a place in the tables below.
//!
//! What is read is the code alone: comments, texts and unit tests are dropped first. The last tests of this file show
//! on made-up code that the checker sees what it should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "all of this is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

#[path = "rooms/errors.rs"]
mod errors;

/// A top-level module of the library, and which other ones it may name: each with what for.
struct Room {
    name: &'static str,
    uses: &'static [(&'static str, &'static str)],
}

/// Rooms that every room above them may name: values of options, reports, errors, progress, ids, and how numbers are written.
const COMMON: &[&str] = &["values", "report", "progress", "error", "id", "wire"];

/// The rooms, highest first.
const ROOMS: &[Room] = &[
    Room {
        name: "serve", // snapshots over HTTP: a read-only S3, plain files, pages
        uses: &[
            ("live", "names are resolved, and files stay open"),
            ("ops", "pages show what stats, diff and overview found"),
            ("runtime", "it ends when its token says so"),
            ("read", "folders are listed"),
            ("snapshot", "rows say what a file is"),
            ("recipe", "files are served in two views"),
            ("avro", "pages show the first records"),
            ("chunk", "growth is shown by the kinds of chunks"),
            ("crypto", "requests are signed, and keys are random"),
        ],
    },
    Room {
        name: "mount", // snapshots as a file system
        uses: &[
            ("live", "names are resolved, and files stay open"),
            ("runtime", "it ends when its token says so"),
            ("read", "folders are listed"),
            ("snapshot", "rows say what the attributes are"),
            ("recipe", "files are served in two views"),
        ],
    },
    Room {
        name: "live", // the snapshots as they are now, and files of them that are open
        uses: &[
            ("ops", "snapshots are listed and picked as on the command line"),
            ("read", "files are opened and read in ranges"),
            ("store", "the log is read again for what is new"),
            ("snapshot", "rows name the content of a file"),
            ("recipe", "files are read in two views"),
        ],
    },
    Room {
        name: "ops", // what each verb does: options in, report out
        uses: &[
            ("ingest", "create, copy, optimize and `repair payloads` put content into the repository"),
            ("tables", "cat, count, schema, check and diff look at folders of Avro files as tables"),
            ("read", "restore, dump, cat, schema and copy read files"),
            ("gc", "prune is its verb"),
            ("integrity", "check, recover and the repairs are its verbs"),
            ("graph", "stats, forget and find ask what snapshots need and what they have lost"),
            ("runtime", "verbs own the pools and the threads of a run"),
            ("store", "verbs open snapshots and append what was decided"),
            ("bucket", "create saves what lies in object stores as well"),
            ("iceberg", "create follows tables to their files, restore rewrites their paths"),
            ("files", "create walks source trees, restore writes beneath a target"),
            ("snapshot", "rows, manifests, roots, retention"),
            ("recipe", "restore and copy follow how a file is put together"),
            ("avro", "cat, schema and `--recode` decode containers"),
            ("chunk", "the traits of sources and sinks, and the kinds of chunks"),
        ],
    },
    Room {
        name: "gc", // which packs go, what is moved first, and what is deleted when
        uses: &[
            ("ingest", "chunks that are moved are gathered into frames like new ones"),
            ("store", "the catalog, the inventory, and what snapshots reach"),
            ("log", "the rules of the entries that condemn and sweep ask it what is needed"),
            ("storage", "ages and lengths of objects; what is due is deleted"),
            ("pack", "packs are read frame by frame, and new ones written"),
            ("chunk", "kinds of chunks decide which of them share a frame"),
        ],
    },
    Room {
        name: "integrity", // is everything there and sound; what can be repaired
        uses: &[
            ("graph", "what of each snapshot is lost"),
            ("store", "the catalog that findings are judged by, and the parts that repairs go through"),
            ("log", "what it has as condemned or damaged already"),
            ("storage", "which objects there are, and their bytes"),
            ("pack", "packs are verified frame by frame"),
            ("files", "the rule under which a rewritten snapshot names what is missing of it"),
            ("snapshot", "damaged snapshots are written again without what is lost"),
            ("recipe", "references of a manifest that is written again"),
            ("chunk", "chunks are proven by their ids"),
        ],
    },
    Room {
        name: "ingest", // content becomes chunks, frames and packs
        uses: &[
            ("read", "a file is rebuilt in order to be taken apart again"),
            ("runtime", "frames are compressed on a pool"),
            ("store", "reserving, storing and committing"),
            ("files", "the opened file, its clock and its state"),
            ("hints", "bases for deltas, and payloads that were proven before"),
            ("pack", "frames and their encoding"),
            ("snapshot", "rows of what was stored"),
            ("recipe", "files are taken apart into streams"),
            ("avro", "finding the encoder of a payload"),
            ("chunk", "anchors, kinds and the sink that chunks go into"),
        ],
    },
    Room {
        name: "tables", // folders and patterns of Avro files as one table each
        uses: &[
            ("read", "parts are files of snapshots, read block by block"),
            ("files", "patterns choose parts"),
            ("store", "parts are read from the repository of their snapshot"),
            ("snapshot", "rows say which files are Avro files, and how many records they have"),
            ("recipe", "headers of one writer are the same bytes, so few of them are read"),
            ("avro", "schemas are compared, blocks decoded and records resolved"),
        ],
    },
    Room {
        name: "read", // files are rebuilt, records decoded
        uses: &[
            ("store", "chunks by their ids, announced ahead"),
            ("snapshot", "the row that says what a file must come to"),
            ("recipe", "the parts of a file in order"),
            ("avro", "payloads are encoded again, blocks decoded"),
            ("chunk", "the source that chunks come from"),
        ],
    },
    Room {
        name: "graph", // what hangs on snapshots
        uses: &[
            ("store", "nodes and rows are read from it, and the inventory says what can be rebuilt"),
            ("log", "what does not count any more"),
            ("index", "figures go pack by pack, by the numbers of the local index"),
            ("pack", "the share that a chunk has in its frame"),
            ("snapshot", "roots and rows"),
            ("recipe", "streams and their trees"),
            ("chunk", "kinds of chunks, and their source"),
        ],
    },
    Room {
        name: "store", // the repository: config, keys, packs, catalog, reading and writing chunks
        uses: &[
            ("log", "its log, and the facts that the rules of entries ask for"),
            ("storage", "objects by name"),
            ("runtime", "a repository owns what its work runs on"),
            ("index", "which pack holds a chunk"),
            ("hints", "what this machine remembers of the repository lies beside its index"),
            ("pack", "packs are opened, sealed and mended"),
            ("snapshot", "roots, which name what must be there before a snapshot exists"),
            ("recipe", "reachability follows trees"),
            ("chunk", "it is a source of chunks"),
            ("crypto", "the keyring and the envelope of objects"),
        ],
    },
    Room {
        name: "index", // which pack holds a chunk; a cache
        uses: &[
            ("log", "what is condemned or damaged does not count as stored"),
            ("cache", "its tables lie in a file that can be made again"),
            ("pack", "directories of packs are its rows"),
            ("crypto", "an index object says how each pack is sealed"),
        ],
    },
    Room {
        name: "log", // entries, their fold, and the rules under which each kind may be appended
        uses: &[
            ("runtime", "nothing is appended once the work is to end"),
            ("storage", "an entry is an object that is created only if its name is free"),
            ("crypto", "entries and checkpoints are sealed, and rotations prove their keys"),
        ],
    },
    Room {
        name: "hints", // what this machine remembers of earlier runs
        uses: &[
            ("cache", "its tables lie in a file that can be made again"),
            ("chunk", "how anchors are chosen decides what resembles what"),
        ],
    },
    Room {
        name: "cache", // SQLite files that several processes share
        uses: &[("crypto", "checksums of rows are keyed")],
    },
    Room {
        name: "pack", // many chunks in one object
        uses: &[
            ("storage", "the names of packs and of their parity"),
            ("avro", "records are kept as columns"),
            ("chunk", "compression, deltas, and the kinds of chunks"),
            ("crypto", "frames and directories are sealed"),
        ],
    },
    Room { name: "runtime", uses: &[] }, // pools, threads, and what ends the work
    Room {
        name: "bucket", // objects of a store as files: saved from there, restored to there
        uses: &[
            ("storage", "connections, credentials, retries and failures are those of repositories"),
            ("files", "it implements the traits of trees and targets, under the same rules"),
            ("snapshot", "objects become rows, in the order of a manifest"),
        ],
    },
    Room {
        name: "iceberg", // Iceberg tables: which files they are made of, and how these name each other
        uses: &[("avro", "manifest lists and manifests are containers, of which some fields are rewritten")],
    },
    Room { name: "storage", uses: &[] }, // named bytes that last
    Room {
        name: "files", // the edge to the user's file system
        uses: &[("snapshot", "walking makes rows, restoring takes them")],
    },
    Room {
        name: "snapshot", // rows, manifests, roots; retention
        uses: &[
            ("recipe", "a manifest is a stream with a tree"),
            ("avro", "rows are Avro records"),
            ("chunk", "manifests are chunks in a source or a sink"),
        ],
    },
    Room {
        name: "recipe", // how to rebuild one file
        uses: &[
            ("avro", "containers are taken apart into header, marker and blocks"),
            ("chunk", "streams are cut into chunks"),
        ],
    },
    Room { name: "avro", uses: &[] },     // the parts of a container
    Room { name: "chunk", uses: &[] },    // pieces of a stream, cut by content
    Room { name: "crypto", uses: &[] },   // ciphers, keys, passwords
    Room { name: "values", uses: &[] },   // how values of options are read
    Room { name: "report", uses: &[] },   // how reports are written for programs
    Room { name: "progress", uses: &[] }, // what the library reports while it works
    Room { name: "error", uses: &[] },    // what can go wrong
    Room { name: "id", uses: &[] },       // names
    Room { name: "wire", uses: &[] },     // numbers and byte strings
];

/// In these rooms code is a function of the bytes that it is given: no files, no threads, no clock.
const PURE: &[&str] = &[
    "iceberg", "snapshot", "recipe", "avro", "chunk", "crypto", "values", "report", "progress", "error", "id", "wire",
];

/// What belongs to the binary: it stands above the library, and reaches it as `avro_snap`.
const BINARY: &[&str] = &["cli", "main"];

/// Where each package is at home. `cli` may use what it likes of the library, but packages have homes there, too.
const HOMES: &[(&str, &[&str])] = &[
    // Judges in tests what our own code makes of schemas, and what our own writers made. `drill` reads with it what was restored.
    ("apache_avro", &["avro", "snapshot", "ops"]),
    ("argon2", &["crypto"]),
    // The traits of the client of object stores are asynchronous.
    ("async_trait", &["storage"]),
    ("aws_lc_rs", &["crypto"]),
    // Names are hashes (id); keys, tags and checksums are derived with the same hash (crypto).
    ("blake3", &["id", "crypto"]),
    ("chacha20poly1305", &["crypto"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("crossbeam_channel", &["ops"]),
    ("fastcdc", &["chunk"]),
    // The kernel's protocol for file systems.
    ("fuser", &["mount"]),
    ("futures_util", &["storage"]),
    ("getrandom", &["crypto"]),
    // The server, and what joins it to its runtime.
    ("hyper", &["serve"]),
    ("hyper_util", &["serve"]),
    ("indicatif", &["cli"]),
    // storage reads when credentials end; live and serve read and write the times of names and protocols.
    ("jiff", &["serve", "live", "storage", "cli"]),
    // The client of object stores, and the runtime that it needs, stay inside the backend.
    ("object_store", &["storage"]),
    // Names and keys in addresses.
    ("percent_encoding", &["serve", "live", "storage"]),
    ("rayon", &["ops", "gc", "integrity", "ingest", "read", "runtime"]),
    ("rpassword", &["cli"]),
    ("rusqlite", &["cache", "index", "hints"]),
    // The system's calls. log asks for the name of the host only, which it writes into entries.
    ("rustix", &["mount", "storage", "files", "log", "cli"]),
    // The JSON of schemas, and that of the metadata of tables; what `--json` prints; what is written beside a file that was restored in part; what a command
    // prints that knows credentials.
    ("serde_json", &["avro", "ops", "storage", "iceberg", "cli"]),
    // Ctrl-C, without unsafe code.
    ("signal_hook", &["cli"]),
    ("tokio", &["serve", "storage"]),
    // The names of users and groups.
    ("uzers", &["files", "cli"]),
    ("zeroize", &["crypto"]),
    // Frames and directories are compressed here. avro has zstd_safe alone, whose settings make the bytes of encoders.
    ("zstd", &["chunk"]),
    // Redundancy of packs.
    ("reed_solomon_simd", &["pack"]),
    // The encoders, and the decoders beside them.
    ("bzip2", &["avro"]),
    ("crc32fast", &["avro"]),
    // Our own, in crates/.
    ("exact_deflate", &["avro"]),
    ("libflate", &["avro"]),
    ("libz_sys", &["avro"]),
    ("liblzma", &["avro"]),
    ("miniz_oxide", &["avro"]),
    ("preflate_rs", &["avro"]),
    ("snap", &["avro"]),
    ("zlib_rs", &["avro"]),
    ("zlib_rs_02", &["avro"]),
    ("zstd_safe", &["chunk", "avro"]),
    // Named in Cargo.toml to pin their versions; no code names them.
    ("bitcode", &[]),
    ("cabac", &[]),
    ("dary_heap", &[]),
    ("libbz2_rs_sys", &[]),
    ("libflate_lz77", &[]),
    ("liblzma_sys", &[]),
    ("zstd_sys", &[]),
];

/// Packages that every module may use. thiserror only writes `Display` and `Error` for types of errors. serde is how a
/// report says what its parts are called: each is described where it is defined, and what it becomes is decided above.
const EVERYWHERE: &[&str] = &["thiserror", "serde"];

/// Where the parts of the standard library that touch the world are used.
const WORLD: &[(&str, &[&str])] = &[
    // storage keeps objects in files, files is the user's file system, cache has its database files, log remembers its head
    // in a file, store which packs were verified. ops holds files that `files` opened, and opens none.
    ("std::fs", &["ops", "files", "store", "log", "cache", "storage", "cli"]),
    // cli asks how many cores there are, and which thread panicked. storage waits before it asks a storage again, and its
    // conformance suite lets several threads create one name.
    // serve and mount ask how many cores there are, and wait for the end.
    ("std::thread", &["serve", "mount", "ops", "runtime", "storage", "cli"]),
    // Engines measure how long a run took; files and log have clocks that callers can replace; store publishes an index
    // object every few minutes.
    // live looks for new snapshots once a second; requests are signed for a time; attributes of mounted files are times.
    ("std::time", &["serve", "mount", "live", "ops", "gc", "files", "store", "log", "storage", "cli"]),
    ("std::env", &["files", "cli"]),
    // The number of the process stands in entries, for people. storage runs the command that a profile names for
    // credentials.
    ("std::process", &["log", "storage", "cli", "main"]),
    ("std::net", &["serve", "cli"]),
];

/// A length of time is a number like any other: whoever waits on a lock names it, and reads no clock by it.
const LENGTH_OF_TIME: &str = "std::time::Duration";

/// All that `ops` may name of `std::fs`: files that somebody else opened. Whatever is done to files goes through
/// `files`.
const HELD: &str = "std::fs::File";

#[test]
fn rooms_name_only_what_they_may() {
    let wrong: Vec<String> = ROOMS.iter().flat_map(|room| not_allowed(room.name, &code_of(room.name))).collect();
    assert!(wrong.is_empty(), "edges that are not in ROOMS: {wrong:#?}");
}

#[test]
fn every_edge_has_a_reason_and_is_used() {
    let mut wrong = Vec::new();
    for room in ROOMS {
        let code = code_of(room.name);
        let named: BTreeSet<&str> = code
            .iter()
            .flat_map(|source| &source.paths)
            .filter(|path| path[0] == "crate")
            .filter_map(|path| path.get(1).map(String::as_str))
            .collect();
        for (used, why) in room.uses {
            if why.split_whitespace().count() < 3 {
                wrong.push(format!("{} -> {used} has no reason", room.name));
            }
            if !named.contains(used) {
                wrong.push(format!("{} -> {used} is not used any more", room.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_room_is_above_itself() {
    for (at, room) in ROOMS.iter().enumerate() {
        for (used, _) in room.uses {
            assert!(place(used) > at, "{} names {used}, which stands above it", room.name);
            assert!(!COMMON.contains(used), "{} need not list {used}", room.name);
        }
    }
}

/// Entries are made and appended in one room, where the rule of each kind stands beside those of all others. The compiler
/// sees to it that nobody else can call what appends; this sees to it that nobody makes an entry by hand.
#[test]
fn only_the_log_appends() {
    let rooms = ROOMS.iter().map(|room| room.name).filter(|name| *name != "log");
    let wrong: Vec<String> = rooms.flat_map(|room| entries_made(&code_of(room))).collect();
    assert!(wrong.is_empty(), "entries of the log are made outside of it: {wrong:#?}");
    let append = fs::read_to_string(src().join("log/append.rs")).unwrap();
    let open: Vec<&str> = append.lines().filter(|line| line.contains("fn ") && line.contains("pub")).collect();
    assert!(!open.is_empty() && open.iter().all(|line| line.contains("pub(super) fn")), "{open:#?}");
}

/// Where code names what entries are made of.
fn entries_made(code: &[Source]) -> Vec<String> {
    let makes = |path: &&Vec<String>| {
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        path.contains(&"LogEntry") || path.windows(2).any(|pair| pair == ["log", "Body"] || pair == ["log", "*"])
    };
    let named = code.iter().flat_map(|source| source.paths.iter().filter(makes).map(|path| (&source.name, path)));
    named.map(|(name, path)| format!("{name}: {}", path.join("::"))).collect()
}

#[test]
fn packages_stay_at_home() {
    let modules = ROOMS.iter().map(|room| room.name).chain(BINARY.iter().copied());
    let wrong: Vec<String> = modules.flat_map(|module| away_from_home(module, &code_of(module))).collect();
    assert!(wrong.is_empty(), "away from home: {wrong:#?}");
}

#[test]
fn pure_rooms_have_no_files_no_threads_and_no_clock() {
    for (part, homes) in WORLD {
        for home in *homes {
            assert!(!PURE.contains(home), "{part} must not be at home in {home}");
        }
    }
    for room in ROOMS.iter().filter(|room| PURE.contains(&room.name)) {
        for (used, _) in room.uses {
            assert!(PURE.contains(used), "{} is pure and names {used}, which is not", room.name);
        }
    }
}

/// Which room may name which, as `docs/architecture.md` shows it.
#[test]
fn the_page_on_the_architecture_shows_these_edges() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/architecture.md")).unwrap();
    let mut wrong = Vec::new();
    for room in ROOMS.iter().filter(|room| !room.uses.is_empty()) {
        let names: Vec<String> = room.uses.iter().map(|(used, _)| format!("`{used}`")).collect();
        let row = format!("| `{}` | {} |", room.name, names.join(", "));
        if !page.contains(&row) {
            wrong.push(row);
        }
    }
    assert!(wrong.is_empty(), "the table of rooms lacks these rows:\n{}", wrong.join("\n"));
}

/// `unsafe` is denied by the lints of the package; two files say why they have some.
#[test]
fn unsafe_code_is_in_two_files() {
    let mut folders = vec![src().to_path_buf()];
    let mut allowing = Vec::new();
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if fs::read_to_string(&path).unwrap().contains("(unsafe_code") {
                allowing.push(path.strip_prefix(src()).unwrap().to_owned());
            }
        }
    }
    allowing.sort();
    assert_eq!(allowing, ["avro/encoder/zlib_ng21.rs", "avro/encoder/zstd_context.rs"].map(Path::new));
}

/// `docs/decisions.md`: entries are numbered, dated, have a status, and stand in the index at its top.
#[test]
fn decisions_have_numbers_dates_and_a_status() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/decisions.md")).unwrap();
    let entries: Vec<&str> = page.split("\n## ").skip(1).collect();
    assert!(entries.len() > 50, "the entries were not found");
    let mut index = Vec::new();
    for (at, entry) in entries.iter().enumerate() {
        let (heading, rest) = entry.split_once('\n').unwrap();
        let title = heading.strip_prefix(&format!("{}. ", at + 1));
        let title = title.unwrap_or_else(|| panic!("{heading} should be entry {}", at + 1));
        let line = rest.trim_start().lines().next().unwrap().trim_matches('*');
        let (date, status) = line.split_once(" · ").unwrap_or_else(|| panic!("{heading} has no date and status"));
        assert!(date.len() == 7 && date.as_bytes()[4] == b'-', "{heading}: {date}");
        let later = status.strip_prefix("replaced by ").map(|number| number.parse::<usize>().unwrap());
        let stands = status == "stands" || later.is_some_and(|later| later > at + 1 && later <= entries.len());
        assert!(stands, "{heading}: {status}");
        index.push(format!("| {} | {title} | {status} |", at + 1));
    }
    for row in &index {
        assert!(page.contains(row.as_str()), "the index lacks: {row}");
    }
}

#[test]
fn every_module_has_a_place() {
    let entries = fs::read_dir(src()).unwrap().map(|entry| entry.unwrap().path());
    let found: BTreeSet<String> = entries.map(|path| path.file_stem().unwrap().to_str().unwrap().into()).collect();
    let rooms = ROOMS.iter().map(|room| room.name);
    let known: BTreeSet<String> = rooms.chain(BINARY.iter().copied()).chain(["lib"]).map(Into::into).collect();
    let strangers: Vec<_> = found.difference(&known).collect();
    assert!(strangers.is_empty(), "without a place in ROOMS: {strangers:?}");
    let mut seen = BTreeMap::new();
    for room in ROOMS {
        assert!(seen.insert(room.name, ()).is_none(), "{} is there twice", room.name);
        assert!(found.contains(room.name), "{} is in ROOMS and not in src/", room.name);
        assert!(!code_of(room.name).is_empty(), "nothing was read of {}", room.name);
    }
}

/// What others may rest on is exported by name; the rooms are public for this package alone.
#[test]
fn rooms_are_hidden_in_the_documentation() {
    let lib = fs::read_to_string(src().join("lib.rs")).unwrap();
    let lines: Vec<&str> = lib.lines().collect();
    let modules = lines.windows(2).filter(|pair| pair[1].starts_with("pub mod "));
    let shown: Vec<&str> = modules.filter(|pair| pair[0] != "#[doc(hidden)]").map(|pair| pair[1]).collect();
    assert_eq!(shown, ["pub mod storage;", "pub mod options {"]);
}

#[test]
fn every_package_has_a_home() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let packages = packages_of(&manifest);
    assert!(packages.len() > 10, "the dependencies were not found: {packages:?}");
    for package in packages {
        let known = HOMES.iter().any(|(name, _)| *name == package) || EVERYWHERE.contains(&&*package);
        assert!(known, "{package} has no place in HOMES");
    }
}

/// Crates of the workspace can be published and used by others, so they rest on nothing of snap, and on no package.
#[test]
fn crates_of_the_workspace_stand_alone() {
    let crates = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/crates"));
    let mut seen = 0;
    for folder in fs::read_dir(crates).unwrap().map(|entry| entry.unwrap().path()) {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        assert_eq!(packages_of(&manifest), [""; 0], "{} depends on packages", folder.display());
        for part in ["README.md", "LICENSE-APACHE", "LICENSE-MIT", "src/lib.rs"] {
            assert!(folder.join(part).is_file(), "{} has no {part}", folder.display());
        }
        for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
            let ours = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(license)).unwrap();
            assert!(fs::read(folder.join(license)).unwrap() == ours, "{}/{license} is another", folder.display());
        }
        seen += 1;
    }
    assert!(seen > 0, "no crates were found");
}

// What is wrong with a module.

/// Rooms that this one names and must not.
fn not_allowed(name: &str, code: &[Source]) -> Vec<String> {
    let room = &ROOMS[place(name)];
    let may = |named: &str| {
        named == name
            || room.uses.iter().any(|(used, _)| *used == named)
            || (COMMON.contains(&named) && place(named) > place(name))
    };
    let mut wrong = Vec::new();
    for source in code {
        for path in &source.paths {
            match path.first().map(String::as_str) {
                Some("crate") => match path.get(1) {
                    Some(named) if may(named) => {}
                    named => wrong.push(format!("{} names crate::{}", source.name, named.map_or("", |name| name))),
                },
                // What climbs to the top by `super` could name any room: that is written `crate`.
                Some("super") if path.iter().take_while(|part| *part == "super").count() >= source.depth => {
                    wrong.push(format!("{} climbs out by {}", source.name, path.join("::")));
                }
                _ => {}
            }
        }
    }
    wrong
}

/// Packages, and parts of the standard library, that this module uses and must not.
fn away_from_home(module: &str, code: &[Source]) -> Vec<String> {
    let mut wrong = Vec::new();
    for source in code {
        for path in &source.paths {
            let whole = path.join("::");
            let of_package = HOMES.iter().filter(|(name, _)| path[0] == *name);
            let of_world = WORLD.iter().filter(|(part, _)| whole == *part || whole.starts_with(&format!("{part}::")));
            let of_world = of_world.filter(|_| !whole.starts_with(LENGTH_OF_TIME));
            for (what, homes) in of_package.chain(of_world) {
                if !homes.contains(&module) {
                    wrong.push(format!("{} uses {whole}; {what} is at home in {homes:?}", source.name));
                }
            }
            // Names that would hide what is used.
            if path[0] == "std" && path.get(1).is_none_or(|part| ["*", "self"].contains(&&**part)) {
                wrong.push(format!("{} takes in all of std", source.name));
            }
            let opens = path[0] == "File" || (whole.starts_with("std::fs") && whole != HELD);
            if module == "ops" && opens {
                wrong.push(format!("{} uses {whole}: only `files` opens and changes files", source.name));
            }
        }
    }
    wrong
}

fn place(name: &str) -> usize {
    ROOMS.iter().position(|room| room.name == name).unwrap_or_else(|| panic!("{name} is not in ROOMS"))
}

/// The names of the packages under `[dependencies]`, as code writes them.
fn packages_of(manifest: &str) -> Vec<String> {
    let lines = manifest.lines().map(str::trim);
    let section = lines.skip_while(|line| *line != "[dependencies]").skip(1).take_while(|line| !line.starts_with('['));
    section
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| Some(line.split_once('=')?.0.trim().replace('-', "_")))
        .collect()
}

// Reading code.

/// The paths that one file names.
struct Source {
    /// The file, as it is told.
    name: String,
    /// How many `super` lead from here to the top: 1 in `src/pack.rs` and `src/pack/mod.rs`, 2 in `src/pack/frame.rs`.
    depth: usize,
    /// Every path of two and more parts, and every path of a `use`, with groups taken apart.
    paths: Vec<Vec<String>>,
    /// The words and signs of the code.
    tokens: Vec<String>,
}

fn src() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
}

/// All files of one top-level module but those of unit tests.
fn code_of(module: &str) -> Vec<Source> {
    let (mut files, mut todo) = (Vec::new(), vec![src().join(format!("{module}.rs")), src().join(module)]);
    while let Some(path) = todo.pop() {
        if path.is_dir() {
            todo.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") && path.exists() {
            files.push(path);
        }
    }
    let mut read: Vec<(PathBuf, Vec<String>)> = Vec::new();
    let mut tests = BTreeSet::new();
    for file in files {
        let (tokens, test_files) = without_tests(tokens(&fs::read_to_string(&file).unwrap()));
        let folder = match file.file_stem().unwrap().to_str().unwrap() {
            "mod" => file.parent().unwrap().to_path_buf(),
            _ => file.with_extension(""),
        };
        for test in test_files {
            // With a `#[path]` it lies beside the file, else in the file's folder.
            match test.strip_suffix(".rs") {
                Some(_) => tests.insert(file.parent().unwrap().join(&test)),
                None => tests.insert(folder.join(format!("{test}.rs"))),
            };
        }
        read.push((file, tokens));
    }
    let sources = read.into_iter().filter(|(file, _)| !tests.contains(file)).map(|(file, tokens)| {
        let below = file.strip_prefix(src()).unwrap();
        let parts = below.components().count();
        let depth = if below.ends_with("mod.rs") { parts - 1 } else { parts };
        Source { name: below.display().to_string(), depth, paths: paths(&tokens), tokens }
    });
    sources.collect()
}

/// The words and signs of a text: no comments, no characters, no lifetimes; texts stay as `"..."` for `#[path]`.
fn tokens(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let (mut tokens, mut i) = (Vec::new(), 0);
    while i < chars.len() {
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0;
                loop {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => (depth, i) = (depth + 1, i + 2),
                        ('*', '/') => (depth, i) = (depth - 1, i + 2),
                        _ => i += 1,
                    }
                    if depth == 0 || i >= chars.len() {
                        break;
                    }
                }
            }
            '"' => {
                let start = i;
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
                tokens.push(chars[start..i.min(chars.len())].iter().collect());
            }
            '\'' => {
                // A character if a quote follows one (perhaps escaped) sign, else a lifetime.
                if at(i + 1) == '\\' {
                    i += 3;
                    while i < chars.len() && at(i) != '\'' {
                        i += 1;
                    }
                    i += 1;
                } else if at(i + 2) == '\'' {
                    i += 3;
                } else {
                    i += 1;
                    while is_word(at(i)) {
                        i += 1;
                    }
                }
            }
            c if is_word(c) => {
                let start = i;
                while is_word(at(i)) {
                    i += 1;
                }
                let word: String = chars[start..i].iter().collect();
                let hashes = (i..).take_while(|i| at(*i) == '#').count();
                match (&*word, at(i + hashes)) {
                    ("r" | "br" | "cr", '"') => {
                        let end: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
                        let rest: String = chars[i + hashes + 1..].iter().collect();
                        let length = rest.find(&end).map_or(rest.len(), |at| at + end.len());
                        i += hashes + 1 + rest[..length].chars().count();
                    }
                    // A raw word: the word itself is what comes next.
                    ("r", next) if hashes == 1 && is_word(next) => i += 1,
                    _ => tokens.push(word),
                }
            }
            ':' if at(i + 1) == ':' => {
                tokens.push("::".into());
                i += 2;
            }
            c => {
                if !c.is_whitespace() {
                    tokens.push(c.into());
                }
                i += 1;
            }
        }
    }
    tokens
}

/// The tokens without items under `#[cfg(test)]`, and the files that are such items: `name`, or `name.rs` as `#[path]`
/// gives it.
fn without_tests(tokens: Vec<String>) -> (Vec<String>, Vec<String>) {
    let starts = |i: usize, signs: &[&str]| {
        signs.iter().enumerate().all(|(n, sign)| tokens.get(i + n).is_some_and(|t| t == sign))
    };
    let (mut kept, mut files, mut i) = (Vec::new(), Vec::new(), 0);
    while i < tokens.len() {
        if !starts(i, &["#", "[", "cfg", "(", "test", ")", "]"]) {
            kept.push(tokens[i].clone());
            i += 1;
            continue;
        }
        i += 7;
        let mut path = None;
        while starts(i, &["#", "["]) {
            if starts(i + 2, &["path", "="]) {
                path = tokens.get(i + 4).map(|text| text.trim_matches('"').to_owned());
            }
            i = behind(&tokens, i + 1);
        }
        // Behind `pub` or `pub(super)`, say.
        let item = i + tokens[i..].iter().take_while(|token| *token != ";" && *token != "{").count();
        if let Some(at) = (i..item).find(|at| starts(*at, &["mod"]) && at + 2 == item && starts(item, &[";"])) {
            files.push(path.unwrap_or_else(|| tokens[at + 1].clone()));
        }
        // To the end of the item: a `;`, or what its braces hold.
        while i < tokens.len() && tokens[i] != ";" && tokens[i] != "{" {
            i = behind(&tokens, i);
        }
        i = behind(&tokens, i);
    }
    (kept, files)
}

/// The place behind the token at `i`, and behind all that it opens.
fn behind(tokens: &[String], mut i: usize) -> usize {
    let mut depth = 0;
    while i < tokens.len() {
        match &*tokens[i] {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        i += 1;
        if depth <= 0 {
            break;
        }
    }
    i
}

/// Every path that the tokens name: those of `use` with their groups taken apart, and `a::b` anywhere else.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let (mut paths, mut i) = (Vec::new(), 0);
    while i < tokens.len() {
        let before = i.checked_sub(1).map(|before| &*tokens[before]);
        if tokens[i] == "use" && tokens.get(i + 1).is_some_and(|next| next != "<") {
            i += 1 + usize::from(tokens.get(i + 1).is_some_and(|next| next == "::"));
            i = tree(tokens, i, &[], &mut paths);
        } else if is_name(&tokens[i]) && before != Some("::") && tokens.get(i + 1).is_some_and(|next| next == "::") {
            let mut path = vec![tokens[i].clone()];
            i += 1;
            while tokens.get(i).is_some_and(|sign| sign == "::") && tokens.get(i + 1).is_some_and(|word| is_name(word))
            {
                path.push(tokens[i + 1].clone());
                i += 2;
            }
            paths.push(path);
        } else {
            i += 1;
        }
    }
    paths
}

/// Reads one tree of a `use`; gives the place behind it.
fn tree(tokens: &[String], mut i: usize, above: &[String], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = above.to_vec();
    while let Some(token) = tokens.get(i) {
        match &**token {
            "{" => {
                i += 1;
                while tokens.get(i).is_some_and(|token| token != "}") {
                    i = tree(tokens, i, &path, paths);
                    i += usize::from(tokens.get(i).is_some_and(|token| token == ","));
                }
                return i + 1;
            }
            "::" => i += 1,
            // Under which name does not matter.
            "as" => i += 2,
            // `self` in a group stands for what is before the group.
            "self" if !above.is_empty() => i += 1,
            "*" => {
                path.push("*".into());
                i += 1;
            }
            word if is_name(word) => {
                path.push(word.into());
                i += 1;
            }
            _ => break,
        }
    }
    if !path.is_empty() {
        paths.push(path);
    }
    i
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

// The checker itself, on made-up code.

/// A file of a module, `depth` below the top.
fn made_up(depth: usize, text: &str) -> Vec<Source> {
    let (tokens, _) = without_tests(tokens(text));
    vec![Source { name: "made_up.rs".into(), depth, paths: paths(&tokens), tokens }]
}

#[test]
fn the_checker_sees_an_edge_that_is_not_there() {
    for text in [
        "use crate::store::Repository;",
        "use crate::{id::ChunkId, index::{self, Index}};",
        "pub(crate) use crate::{\n    error::Error,\n    ops,\n};",
        "fn f() { let x = crate::snapshot::SnapshotRoot::default(); }",
        "fn f(x: &crate::index::Index) -> crate::error::Result<()> { todo!() }",
        "use crate::*;",
        "use crate as all;",
        "use r#crate::index;",
        "use super::super::index::Index;",
        "macro_rules! m { () => { $crate::files::now() } }",
        "#[cfg(test)] mod tests { use crate::chunk::X; } use crate::index::Index;",
        "#[cfg(test)]\nconst N: [u8; 2] = [1, 2];\nuse crate::index::Index;",
        "/* a /* nested */ comment */ use crate::index::Index;",
        "const C: char = '\"'; use crate::index::Index; const D: char = '\"';",
        "const C: &str = \"\\\"\"; use crate::index::Index;",
        "fn f<'a>(x: &'a str) { crate::index::open(x) }",
        "const C: &str = r#\"a \" b\"#; use crate::index::Index;",
    ] {
        assert!(!not_allowed("pack", &made_up(2, text)).is_empty(), "not seen: {text}");
    }
}

#[test]
fn the_checker_lets_pass_what_is_in_order() {
    for text in [
        "use crate::{storage::{Kind, Name}, crypto::Suite, id::{self, PackId}, wire};",
        "use super::{directory::Frame, header}; pub(crate) struct X; pub(in crate::pack) struct Y;",
        "//! Used by [`crate::index`].\n/// See crate::store::Writer.\nfn f() {}",
        "const C: &str = \"crate::index::Index\"; const D: &str = r#\"use crate::index::\"Index\"; \"#;",
        "#[cfg(test)]\nmod tests { use crate::store::Repository; fn f() { crate::index::open() } }",
        "#[cfg(test)] #[allow(unused)] use crate::index::Index;",
        "#[cfg(test)] fn f() -> [u8; 2] { crate::index::two() }",
        "mod index { } use self::index::X; fn f() { index::f() }",
    ] {
        let wrong = not_allowed("pack", &made_up(2, text));
        assert!(wrong.is_empty(), "{text}: {wrong:?}");
    }
    assert!(!not_allowed("pack", &made_up(1, "use super::index::Index;")).is_empty(), "src/pack/mod.rs");
}

#[test]
fn the_checker_sees_what_is_away_from_home() {
    for (module, text) in [
        ("store", "use rusqlite::Connection;"),
        ("store", "use {crate::id::PackId, rusqlite as sql};"),
        ("pack", "fn f() { zstd::bulk::compress(&[], 3) }"),
        ("index", "use blake3;"),
        ("pack", "use ::rayon::prelude::*;"),
        ("recipe", "use std::{collections::BTreeMap, fs::{self, File}, io};"),
        ("chunk", "fn f() { std::thread::spawn(|| ()); }"),
        ("avro", "use std::time;"),
        ("pack", "use std::time::Instant;"),
        ("crypto", "use std as s;"),
        ("avro", "use std::*;"),
        ("ops", "fn f() { std::fs::remove_file(path) }"),
        ("ops", "use std::fs::{File, OpenOptions};"),
        ("ops", "fn f() { std::fs::File::open(path) }"),
        ("ops", "use std::fs;"),
        ("ops", "use std::fs::File; fn f() { File::open(path) }"),
    ] {
        assert!(!away_from_home(module, &made_up(2, text)).is_empty(), "not seen in {module}: {text}");
    }
}

#[test]
fn the_checker_lets_pass_what_is_at_home() {
    for (module, text) in [
        ("index", "use rusqlite::{Connection, params};"),
        ("crypto", "fn f() { blake3::Hasher::new(); getrandom::fill(b) }"),
        ("ops", "use std::fs::File; use rayon::prelude::*; use std::time::Instant;"),
        ("recipe", "use std::io::Read; use std::collections::{BTreeMap, HashMap}; // std::fs::read"),
        ("pack", "fn f() { self.zstd.compress() } use crate::chunk::zstd; struct S { rayon: u8 }"),
        ("chunk", "#[cfg(test)] mod tests { use std::fs; }"),
        ("index", "const WAIT: std::time::Duration = std::time::Duration::from_millis(1);"),
    ] {
        let wrong = away_from_home(module, &made_up(2, text));
        assert!(wrong.is_empty(), "{module}: {text}: {wrong:?}");
    }
}

#[test]
fn the_checker_sees_entries_that_are_made_by_hand() {
    for text in [
        "use crate::log::Body;",
        "use crate::log::{Log, LogEntry as Entry};",
        "use crate::log; fn f() { log::Body::Swept { packs, indexes } }",
        "use crate::log::*;",
    ] {
        assert!(!entries_made(&made_up(2, text)).is_empty(), "not seen: {text}");
    }
    let harmless = "use crate::log::{Log, State}; fn f() { log.swept(&packs, &[]) } struct Body;";
    assert!(entries_made(&made_up(2, harmless)).is_empty());
}

#[test]
fn the_checker_knows_the_files_of_unit_tests() {
    let (kept, files) = without_tests(tokens(
        "mod a; #[cfg(test)] mod tests; mod b; #[cfg(test)] #[path = \"c_tests.rs\"] pub(super) mod tests; mod d;",
    ));
    assert_eq!(files, ["tests", "c_tests.rs"]);
    assert_eq!(kept.join(" "), "mod a ; mod b ; mod d ;");
}
