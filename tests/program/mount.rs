//! `mount`: snapshots as a file system. Needs `/dev/fuse`; where that is missing, it says so and passes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stderr, reason = "all of this is a test")]

use crate::cli::Snap;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// A file system that is mounted.
struct Mounted {
    child: Child,
    place: PathBuf,
}

impl Mounted {
    /// None where file systems cannot be mounted here.
    fn at(snap: &Snap) -> Option<Self> {
        let place = snap.path("mounted");
        fs::create_dir_all(&place).unwrap();
        if let Err(error) = fs::File::options().read(true).write(true).open("/dev/fuse") {
            eprintln!(
                "PASSED OVER: /dev/fuse cannot be opened here ({error}), so nothing about `snap mount` was tested"
            );
            return None;
        }
        let arguments = ["mount", place.to_str().unwrap(), "--json"];
        let mut child = snap.process(&arguments).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if line.is_empty() {
            let said = child.wait_with_output().unwrap().stderr;
            let said = String::from_utf8_lossy(&said);
            // A container may have the device and not the right to mount, or no fusermount3 for users that are not root.
            assert!(said.contains("permitted") || said.contains("fusermount") || said.contains("denied"), "{said}");
            eprintln!("PASSED OVER: nothing can be mounted here, so nothing about `snap mount` was tested: {said}");
            return None;
        }
        assert!(line.contains("\"mounted\""), "{line}");
        Some(Self { child, place })
    }

    fn end(mut self) -> Option<i32> {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        self.child.wait().unwrap().code()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = Command::new("umount").arg("--lazy").arg(&self.place).stderr(Stdio::null()).status();
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

/// All regular files below the fixtures.
fn fixtures() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let fixtures = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures"));
    let mut folders: Vec<PathBuf> = ["codecs", "nights", "odd"].iter().map(|name| fixtures.join(name)).collect();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    assert!(found.len() > 10, "the fixtures were not found");
    found
}

#[test]
fn a_snapshot_is_read_like_the_folder_that_was_saved() {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    for (number, file) in fixtures().iter().enumerate() {
        let name = file.file_name().unwrap().to_str().unwrap();
        snap.write(&format!("data/{number}/{name}"), fs::read(file).unwrap());
    }
    snap.write("data/long", (0..3_000_000u32).flat_map(u32::to_le_bytes).collect::<Vec<u8>>());
    snap.write("data/empty", b"");
    fs::set_permissions(snap.work("data/long"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("long", snap.work("data/link")).unwrap();
    fs::hard_link(snap.work("data/long"), snap.work("data/second")).unwrap();
    // Some of the fixtures are damaged on purpose, which is reported.
    snap.ends(0, &["create", "--quiet", "--series", "a/b", "data"]);
    let Some(mounted) = Mounted::at(&snap) else { return };
    assert_eq!(names(&mounted.place), ["series", "snapshots"]);
    assert_eq!(names(&mounted.place.join("series")), ["a%2Fb"]);
    let latest = mounted.place.join("series/a%2Fb/latest");
    assert_eq!(names(&latest), ["exact", "plain"]);
    let inside = |view: &str| latest.join(view).join("data");
    let exact = inside("exact");
    let same =
        Command::new("diff").arg("-r").arg("--no-dereference").arg(snap.work("data")).arg(&exact).output().unwrap();
    assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
    for name in ["long", "empty", "link"] {
        let (was, is) =
            (snap.work("data").join(name).symlink_metadata().unwrap(), exact.join(name).symlink_metadata().unwrap());
        let seen =
            |stat: &fs::Metadata| (stat.mode(), stat.size(), stat.mtime(), stat.mtime_nsec(), stat.uid(), stat.gid());
        assert_eq!(seen(&was), seen(&is), "{name}");
    }
    assert_eq!(fs::read_link(exact.join("link")).unwrap(), Path::new("long"));
    assert_eq!(exact.join("long").metadata().unwrap().ino(), exact.join("second").metadata().unwrap().ino());
    // Ranges at random places, small and large.
    let (was, is) = (fs::File::open(snap.work("data/long")).unwrap(), fs::File::open(exact.join("long")).unwrap());
    let mut seed = 7u64;
    for _ in 0..300 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let (at, length) = ((seed >> 20) % 12_100_000, (seed >> 45) % 300_000);
        let (mut left, mut right) = (vec![0; length as usize], vec![0; length as usize]);
        assert_eq!(was.read_at(&mut left, at).unwrap(), is.read_at(&mut right, at).unwrap());
        assert!(left == right, "{at} {length}");
    }
    // In the plain view Avro files are containers with the same records.
    for (number, file) in fixtures().iter().enumerate() {
        let path = inside("plain").join(number.to_string()).join(file.file_name().unwrap());
        let content = fs::read(&path).unwrap();
        assert_eq!(content.len() as u64, path.metadata().unwrap().len(), "{}", path.display());
        // Another reader need not be up to odd schemas, nor to what is damaged on purpose: the records are compared elsewhere.
        let is_container = |bytes: &[u8]| bytes.starts_with(b"Obj\x01");
        assert_eq!(is_container(&content), is_container(&fs::read(file).unwrap()), "{}", path.display());
    }
    assert!(fs::write(exact.join("new"), b"x").is_err() && fs::remove_file(exact.join("long")).is_err());
    assert!(exact.join("nothing").symlink_metadata().is_err());
    drop((was, is));
    assert_eq!(mounted.end(), Some(0));
    assert!(names(&snap.path("mounted")).is_empty(), "it is still mounted");
}

#[test]
fn new_snapshots_appear_and_removed_ones_go() {
    let snap = Snap::quick();
    snap.ok(&["init", "--encryption", "none"]);
    snap.write("data/file", b"first");
    snap.ok(&["create", "--quiet", "--series", "s", "data"]);
    let Some(mounted) = Mounted::at(&snap) else { return };
    let file = mounted.place.join("series/s/latest/exact/data/file");
    assert_eq!(fs::read(&file).unwrap(), b"first");
    snap.write("data/file", b"the second");
    snap.ok(&["create", "--quiet", "--series", "s", "data"]);
    let wait = |what: &str, done: &dyn Fn() -> bool| {
        let until = Instant::now() + Duration::from_secs(30);
        while !done() {
            assert!(Instant::now() < until, "{what}");
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait("latest is not the new one", &|| fs::read(&file).is_ok_and(|content| content == b"the second"));
    assert_eq!(names(&mounted.place.join("snapshots")).len(), 2);
    snap.ok(&["forget", "latest~1", "--quiet"]);
    wait("the removed one stays", &|| names(&mounted.place.join("snapshots")).len() == 1);
    assert_eq!(mounted.end(), Some(0));
    snap.write("mounted-elsewhere/file", b"x");
    let refused = snap.ends(1, &["mount", "mounted-elsewhere"]);
    assert!(refused.stderr.contains("is not empty"), "{}", refused.stderr);
}
