//! Where the roots stand in a manifest: as with restic, an absolute root keeps its path without the leading `/`, a
//! relative one its relative form; one that leads upwards becomes absolute. A URL in an object store stands there with one slash in
//! the place of two: `s3:/bucket/prefix`.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Component, Path, PathBuf};

use crate::error::{Error, Result};

/// A directory on the way to roots, or a root.
#[derive(Debug)]
pub(super) struct Node {
    /// Where it lies, absolute.
    pub(super) fs_path: PathBuf,
    /// Whether it is a root itself, so that all of it is saved.
    pub(super) is_root: bool,
    /// Whether, as a root, it was written with a slash at its end: then a link stands for what it points to.
    pub(super) follow: bool,
    /// What lies below it and is, or leads to, a root.
    pub(super) below: BTreeMap<Vec<u8>, Node>,
}

impl Node {
    fn new(fs_path: PathBuf) -> Self {
        Self { fs_path, is_root: false, follow: false, below: BTreeMap::new() }
    }
}

/// Merges the roots into one tree whose top is the top of the manifest. Fails if two of them, at different places of
/// the file system, come to stand at the same place of the manifest.
pub(super) fn merged(roots: &[PathBuf], working_directory: &Path) -> Result<Node> {
    let working_directory = &*cleaned(working_directory);
    let mut top: Option<Node> = None;
    for root in roots {
        if root.as_os_str().is_empty() {
            return Err(Error::argument("paths", "an empty path cannot be saved"));
        }
        let base = if is_absolute(root) { Path::new("/") } else { working_directory };
        let absolute = absolute(root, working_directory);
        let below_base = absolute.strip_prefix(base).unwrap_or(&absolute);

        let mut node = top.get_or_insert_with(|| Node::new(base.to_path_buf()));
        let mut fs_path = base.to_path_buf();
        for component in below_base.components() {
            fs_path.push(component);
            let name = component.as_os_str().as_bytes().to_vec();
            node = node.below.entry(name).or_insert_with(|| Node::new(fs_path.clone()));
            if node.fs_path != fs_path {
                return Err(clash(&node.fs_path, &fs_path));
            }
        }
        if below_base == Path::new("") {
            if node.is_root && node.fs_path != base {
                return Err(clash(&node.fs_path, base));
            }
            node.fs_path = base.to_path_buf();
        }
        node.is_root = true;
        node.follow |= ends_in_slash(root);
    }
    top.ok_or_else(|| Error::argument("paths", "there is nothing to save: no path was given"))
}

/// Where the roots lie, by their paths in the manifest.
pub(super) fn by_tree_path(top: &Node) -> BTreeMap<Vec<u8>, PathBuf> {
    let (mut found, mut open) = (BTreeMap::new(), vec![(Vec::new(), top)]);
    while let Some((tree_path, node)) = open.pop() {
        open.extend(node.below.iter().map(|(name, node)| (joined(&tree_path, name), node)));
        if node.is_root {
            found.insert(tree_path, node.fs_path.clone());
        }
    }
    found
}

/// Whether a path means what is in a directory, and not the directory's name.
fn ends_in_slash(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.")
}

/// Whether a path is the URL of a place in an object store.
pub fn is_in_store(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    [&b"s3://"[..], b"gs://", b"az://"].iter().any(|scheme| bytes.starts_with(scheme))
}

/// What a snapshot calls a root: its absolute path, or its URL without a slash at its end.
pub fn saved_path(root: &Path, working_directory: &Path) -> Vec<u8> {
    let bytes = root.as_os_str().as_bytes();
    match is_in_store(root) {
        true => bytes.strip_suffix(b"/").filter(|rest| !rest.ends_with(b"/")).unwrap_or(bytes).to_vec(),
        false => cleaned(&working_directory.join(root)).into_os_string().into_vec(),
    }
}

/// The path of a root as it counts for manifests.
fn absolute(root: &Path, working_directory: &Path) -> PathBuf {
    let base = if is_in_store(root) { Path::new("/") } else { working_directory };
    cleaned(&base.join(root))
}

/// Whether a root has its absolute path in the manifest: it was given so, leads upwards, or lies in an object store.
pub(super) fn is_absolute(root: &Path) -> bool {
    root.is_absolute() || is_in_store(root) || root.components().any(|component| component == Component::ParentDir)
}

/// Says that two places would be one in the manifest.
pub(super) fn clash(one: &Path, other: &Path) -> Error {
    Error::argument(
        "paths",
        format!("{} and {} would have the same path in the snapshot", one.display(), other.display()),
    )
}

/// Takes `.` and `..` out of an absolute path, by its text alone.
pub(super) fn cleaned(path: &Path) -> PathBuf {
    let mut cleaned = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::ParentDir => {
                cleaned.pop();
            }
            Component::Normal(name) => cleaned.push(name),
            _ => {}
        }
    }
    cleaned
}

/// A path in the manifest, one component longer.
pub(super) fn joined(tree_path: &[u8], name: &[u8]) -> Vec<u8> {
    match tree_path.is_empty() {
        true => name.to_vec(),
        false => [tree_path, b"/", name].concat(),
    }
}

/// A path on the file system, one component longer.
pub(super) fn below(fs_path: &Path, name: &[u8]) -> PathBuf {
    fs_path.join(OsStr::from_bytes(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(roots: &[&str]) -> Result<Vec<(String, String)>> {
        fn roots_of(node: &Node, tree_path: &[u8], found: &mut Vec<(String, String)>) {
            if node.is_root {
                found.push((String::from_utf8_lossy(tree_path).into(), node.fs_path.display().to_string()));
            }
            node.below.iter().for_each(|(name, node)| roots_of(node, &joined(tree_path, name), found));
        }
        let roots: Vec<PathBuf> = roots.iter().map(PathBuf::from).collect();
        let mut found = Vec::new();
        roots_of(&merged(&roots, Path::new("/home/me"))?, b"", &mut found);
        Ok(found)
    }

    #[test]
    fn roots_stand_where_restic_puts_them() {
        for (root, tree_path, fs_path) in [
            ("/data/avro", "data/avro", "/data/avro"),
            ("/data/../x/", "x", "/x"),
            ("data", "data", "/home/me/data"),
            ("./data//deep/.", "data/deep", "/home/me/data/deep"),
            ("../you", "home/you", "/home/you"),
            ("a/../../b", "home/b", "/home/b"),
            (".", "", "/home/me"),
            ("/", "", "/"),
            ("..", "home", "/home"),
            ("s3://lake/orders/", "s3:/lake/orders", "/s3:/lake/orders"),
            ("gs://lake", "gs:/lake", "/gs:/lake"),
            ("./s3://lake", "s3:/lake", "/home/me/s3:/lake"),
        ] {
            assert_eq!(tree(&[root]).unwrap(), [(tree_path.to_owned(), fs_path.to_owned())], "{root}");
        }
    }

    #[test]
    fn roots_merge_unless_they_clash() {
        let found = tree(&["b", "/x", "a/c", "b", "a"]).unwrap();
        assert_eq!(found.iter().map(|(path, _)| path.as_str()).collect::<Vec<_>>(), ["a", "a/c", "b", "x"]);
        assert_eq!(tree(&["/home", "."]).unwrap().len(), 2);
        for clashing in
            [&["data", "/data"][..], &["s3://lake/x", "./s3:/lake/x"], &["a/b", "/a/c"], &[".", "/"], &["/", "."]]
        {
            assert!(tree(clashing).is_err(), "{clashing:?}");
        }
        assert!(tree(&[]).is_err() && tree(&[""]).is_err());
    }

    #[test]
    fn a_snapshot_calls_what_was_saved_by_absolute_paths_and_urls() {
        for (root, path) in [
            ("/data/x/", "/data/x"),
            ("../you/./x", "/home/you/x"),
            ("s3://lake/orders/", "s3://lake/orders"),
            ("s3://lake", "s3://lake"),
            ("az://", "az://"),
        ] {
            assert_eq!(saved_path(Path::new(root), Path::new("/home/me")), path.as_bytes(), "{root}");
        }
        assert!(
            is_in_store(Path::new("gs://x")) && !is_in_store(Path::new("./gs://x")) && !is_in_store(Path::new("s3:/x"))
        );
    }

    #[test]
    fn how_the_working_directory_is_written_does_not_matter() {
        let top = merged(&[PathBuf::from("data")], Path::new("/home/you/../me/.")).unwrap();
        assert_eq!(top.fs_path, Path::new("/home/me"));
        assert_eq!(top.below.keys().next().map(Vec::as_slice), Some(&b"data"[..]));
    }
}
