//! Lists the places that are saved, and returns what lies there in the order of a manifest.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::errors;
use super::ordered::{Listed, Ordered};
use super::place::{Meaning, Place, meaning, sound_part, tree_path};
use super::reader::{Opener, row};
use crate::error::{Error, Result};
use crate::files::{Fate, Fates, Problem, Rules, SourceFile, SourceOpener, SourceTree, Trouble};
use crate::snapshot::entry::{EntryKind, FileEntry};
use crate::storage::remote::{Object, Objects};

type Found = std::result::Result<SourceFile, Problem>;

/// The walk over all places, one after the other.
pub(super) struct Walk {
    rules: Rules,
    /// URLs of what must not be saved: the repository.
    in_use: Vec<PathBuf>,
    places: VecDeque<(Place, Arc<Objects>)>,
    opener: Arc<Opener>,
    seen: Arc<Seen>,
    current: Option<Current>,
    ready: VecDeque<Found>,
    passed_over: Vec<PathBuf>,
}

/// A place that is being listed.
struct Current {
    place: Place,
    objects: Arc<Objects>,
    listing: Ordered<Arc<Objects>>,
    /// What comes next.
    next: Option<Candidate>,
    /// Whether anything was listed.
    is_there: bool,
}

/// An object that can have a row: a file, or the mark of a directory.
struct Candidate {
    object: Object,
    path: Vec<u8>,
    is_directory: bool,
}

/// What is known of the places, for what an earlier snapshot has and the walk did not meet.
pub(super) struct Seen {
    rules: Rules,
    places: Vec<(Place, Arc<Objects>)>,
    /// Paths of what could not be looked at.
    troubled: Mutex<Vec<Vec<u8>>>,
}

impl Walk {
    pub(super) fn new(places: Vec<(Place, Arc<Objects>)>, rules: Rules, in_use: Vec<PathBuf>) -> Self {
        let buckets = places.iter().map(|(_, objects)| (objects.url(""), objects.clone())).collect();
        let seen = Arc::new(Seen { rules: rules.clone(), places: places.clone(), troubled: Mutex::default() });
        Self {
            rules,
            in_use,
            places: places.into(),
            opener: Arc::new(Opener::new(buckets)),
            seen,
            current: None,
            ready: VecDeque::new(),
            passed_over: Vec::new(),
        }
    }

    /// The names under which these places stand at the top of a manifest.
    pub(super) fn tops(&self) -> Vec<Vec<u8>> {
        let top = |(place, _): &(Place, Arc<Objects>)| format!("{}:", place.location.scheme().name()).into_bytes();
        self.places.iter().map(top).collect()
    }

    fn problem(&mut self, tree_path: Vec<u8>, path: PathBuf, error: Error) {
        self.seen.troubled().push(tree_path.clone());
        self.ready.push_back(Err(Problem { tree_path, path, trouble: Trouble::Unread(error) }));
    }

    /// Goes on with the next place; false if there is none.
    fn begin(&mut self) -> bool {
        let Some((place, objects)) = self.places.pop_front() else { return false };
        let listing = Ordered::new(objects.clone(), place.prefix());
        let mut current = Current { place, objects, listing, next: None, is_there: false };
        current.next = self.next_candidate(&mut current);
        match (current.is_there, current.place.location.prefix()) {
            // What could not be listed was reported.
            (false, _) if current.listing.has_failed() => {}
            (true, "") => {}
            (true, _) if current.place.is_prefix => {}
            (_, key) => self.object_itself(&current, key),
        }
        self.current = Some(current);
        true
    }

    /// The place may be an object; where it is neither that nor a prefix of others, nothing is there.
    fn object_itself(&mut self, current: &Current, key: &str) {
        let url = current.place.location.to_string();
        let tree_path = tree_path(&url);
        if key.is_empty() {
            let error =
                errors::object_problem("list", &url, io::ErrorKind::NotFound, "there is no object in this bucket");
            return self.problem(tree_path, url.into(), error);
        }
        match (current.objects.head(key), current.is_there, current.place.is_prefix) {
            (Ok(Some(_)), true, _) => {
                let reason = "it is an object, and others lie below it: no path can be a file and a directory. Only these are \
                              saved; a slash after the URL says that this is meant";
                let error = errors::object_problem("save", &url, io::ErrorKind::Other, reason);
                self.problem(tree_path, url.into(), error);
            }
            (Ok(Some(_)), false, true) => {
                let reason = "it is an object, and nothing lies below it: leave out the slash";
                let error = errors::object_problem("list", &url, io::ErrorKind::NotADirectory, reason);
                self.problem(tree_path, url.into(), error);
            }
            (Ok(Some((object, _))), false, false) => {
                if !self.leaves_out(&object, &current.objects) {
                    let candidate = Candidate { object, path: tree_path, is_directory: false };
                    self.push(&current.objects, candidate);
                }
            }
            (Ok(None), true, _) => {}
            (Ok(None), false, _) => {
                let reason = "there is no such object, and none whose key begins so: was a variable not set, or is the \
                              prefix written wrong?";
                let error = errors::object_problem("list", &url, io::ErrorKind::NotFound, reason);
                self.problem(tree_path, url.into(), error);
            }
            // Who may list and not look at single objects, saves what is listed.
            (Err(_), true, _) => {}
            (Err(error), false, _) => self.problem(tree_path, PathBuf::from(&url), errors::store_failure(&url, &error)),
        }
    }

    /// Whether the rules leave it out, or it belongs to the repository.
    fn leaves_out(&mut self, object: &Object, objects: &Objects) -> bool {
        let url = PathBuf::from(objects.url(&object.key));
        if let Some(place) = self.in_use.iter().find(|place| url.starts_with(place)) {
            if !self.passed_over.contains(place) {
                self.passed_over.push(place.clone());
            }
            return true;
        }
        self.rules.leaves_out(&url, object.size)
    }

    /// The next object that is to be saved and can be, or marks a directory.
    fn next_candidate(&mut self, current: &mut Current) -> Option<Candidate> {
        loop {
            let object = match current.listing.next() {
                Ok(object) => object?,
                Err(error) => {
                    let url = current.place.location.to_string();
                    self.problem(tree_path(&url), PathBuf::from(&url), errors::store_failure(&url, &error));
                    current.listing.fail();
                    return None;
                }
            };
            current.is_there = true;
            if self.leaves_out(&object, &current.objects) {
                continue;
            }
            let below = object.key.strip_prefix(&current.place.prefix()).unwrap_or_default();
            let path = |below: &str| match below {
                "" => current.place.tree_path(),
                below => [&current.place.tree_path()[..], b"/", below.as_bytes()].concat(),
            };
            match meaning(below, object.size) {
                Meaning::File(below) => {
                    let path = path(below);
                    return Some(Candidate { object, path, is_directory: false });
                }
                Meaning::Directory(below) => {
                    let path = path(below);
                    return Some(Candidate { object, path, is_directory: true });
                }
                Meaning::Nothing(reason) => {
                    let (tree_path, url) = (path(sound_part(below)), current.objects.url(&object.key));
                    let error = errors::object_problem("save", &url, io::ErrorKind::InvalidInput, reason);
                    self.problem(tree_path, url.into(), error);
                }
            }
        }
    }

    /// Looks at the next object; false if there is none left anywhere.
    fn step(&mut self) -> bool {
        let Some(mut current) = self.current.take() else { return self.begin() };
        let Some(candidate) = current.next.take() else { return true };
        current.next = self.next_candidate(&mut current);
        let candidate =
            if candidate.is_directory { Some(candidate) } else { self.without_conflict(candidate, &mut current) };
        if let Some(candidate) = candidate {
            self.push(&current.objects, candidate);
        }
        self.current = Some(current);
        true
    }

    /// What becomes of a file, by what comes after it: no path can be a file and a directory.
    fn without_conflict(&mut self, candidate: Candidate, current: &mut Current) -> Option<Candidate> {
        // The mark of a directory of the same name, with nothing else in it.
        let mark = current.next.take_if(|next| next.is_directory && next.path == candidate.path);
        if mark.is_some() {
            current.next = self.next_candidate(current);
        }
        let next = current.next.as_ref().and_then(|next| next.path.strip_prefix(&candidate.path[..]));
        let is_above = next.is_some_and(|rest| rest.starts_with(b"/"));
        let url = current.objects.url(&candidate.object.key);
        match (is_above, candidate.object.size) {
            (true, 0) => {
                self.note(&candidate, url, "it is empty, and others lie below it: it is saved as a directory");
                Some(Candidate { is_directory: true, ..candidate })
            }
            (true, _) => {
                let reason = "others lie below it, and no path can be a file and a directory: only these are saved";
                let error = errors::object_problem("save", &url, io::ErrorKind::Other, reason);
                self.problem(candidate.path, url.into(), error);
                None
            }
            (false, _) => {
                if mark.is_some() {
                    let note = "the empty object of the same name with a slash after it is not saved: it marks a directory, and \
                                this is a file";
                    self.note(&candidate, url, note);
                }
                Some(candidate)
            }
        }
    }

    fn note(&mut self, candidate: &Candidate, url: String, note: &str) {
        let trouble = Trouble::Note(note.into());
        self.ready.push_back(Err(Problem { tree_path: candidate.path.clone(), path: url.into(), trouble }));
    }

    fn push(&mut self, objects: &Objects, candidate: Candidate) {
        let Candidate { object, path, is_directory } = candidate;
        let mut entry = row(path.clone(), &object);
        if is_directory {
            entry = FileEntry { kind: EntryKind::Directory, mode: 0o755, origin: None, racy: false, ..entry };
        }
        let fs_path = PathBuf::from(objects.url(&object.key));
        let file = SourceFile { tree_path: path, fs_path, entry, nlink: 1, dev: 0, is_ancestor_of_root: false };
        self.ready.push_back(Ok(file));
    }
}

impl SourceTree for Walk {
    fn next_found(&mut self) -> Option<Found> {
        while self.ready.is_empty() && self.step() {}
        self.ready.pop_front()
    }

    fn opener(&self) -> Arc<dyn SourceOpener> {
        self.opener.clone()
    }

    fn covered(&self) -> Box<dyn Fates> {
        Box::new(self.seen.clone())
    }

    fn passed_over(&self) -> &[PathBuf] {
        &self.passed_over
    }
}

impl Seen {
    fn troubled(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.troubled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place in which this path of a manifest lies, and the way from there.
    fn place_of<'p>(&self, path: &'p [u8]) -> Option<(&Place, &Arc<Objects>, &'p str)> {
        self.places.iter().find_map(|(place, objects)| {
            let rest = path.strip_prefix(&place.tree_path()[..])?;
            let below = if rest.is_empty() { rest } else { rest.strip_prefix(b"/")? };
            Some((place, objects, std::str::from_utf8(below).ok()?))
        })
    }
}

impl Fates for Arc<Seen> {
    /// A listing that went through is believed: stores list what is there.
    fn fate(&self, tree_path: &[u8]) -> Fate {
        let Some((place, objects, below)) = self.place_of(tree_path) else { return Fate::LeftOut };
        let is_below =
            |above: &Vec<u8>| tree_path.strip_prefix(&above[..]).is_some_and(|rest| matches!(rest, [] | [b'/', ..]));
        if self.rules.leaves_out(Path::new(&objects.url(&format!("{}{below}", place.prefix()))), 0) {
            Fate::LeftOut
        } else if self.troubled().iter().any(is_below) {
            Fate::Unknown
        } else {
            Fate::Gone
        }
    }

    fn is_folder(&self, tree_path: &[u8]) -> bool {
        let Some((place, objects, below)) = self.place_of(tree_path) else { return false };
        let prefix = match below {
            "" => place.prefix(),
            below => format!("{}{below}/", place.prefix()),
        };
        Listed::has_any(objects, &prefix).unwrap_or(false)
    }
}

/// Whether a place can be listed, so that what is written there does not fail file by file.
///
/// # Errors
/// If it cannot be. That listing is not allowed is none.
pub(super) fn look(objects: &Objects, prefix: &str) -> Result<()> {
    match objects.page(prefix, None, Some(1)) {
        Err(error) if error.kind() != crate::storage::StorageErrorKind::Denied => Err(error.into()),
        _ => Ok(()),
    }
}
