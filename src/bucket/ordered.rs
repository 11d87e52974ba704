//! A listing in the order of a manifest.
//!
//! Stores list keys in the order of their bytes, where `a-1` comes before `a/b`. In a manifest what is in a directory comes right after
//! its name: `a/b`, then `a-1`. So a key waits while something that belongs before it may still come: `a-1` until the listing has
//! got past all that begins with `a/`. Mostly that is the next key. Where many wait, one request asks whether there is anything
//! below `a/` at all; if there is, that is listed first, by itself. So what waits is bounded, whatever the keys are.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::mem::take;
use std::sync::Arc;

use crate::snapshot::entry::path_order;
use crate::storage::remote::{Object, Objects, Page};
use crate::storage::{Result, StorageError, StorageErrorKind};

/// How many objects may wait.
const WAITING: usize = 50_000;

/// What is listed.
pub(super) trait Listed: Clone {
    /// The next objects whose keys begin so.
    fn page(&self, prefix: &str, next: Option<&str>, most: Option<usize>) -> Result<Page>;

    /// How the prefix is called in messages.
    fn shown(&self, prefix: &str) -> String;

    /// Whether there is an object below a prefix. A page may be empty and not be the last one.
    fn has_any(&self, prefix: &str) -> Result<bool> {
        let mut next: Option<String> = None;
        loop {
            let page = self.page(prefix, next.as_deref(), Some(1))?;
            if !page.objects.is_empty() || page.next.is_none() {
                return Ok(!page.objects.is_empty());
            }
            if page.next == next {
                return Err(senseless(self.shown(prefix), SAME_PART));
            }
            next = page.next;
        }
    }
}

/// What a store does that would have no end.
const SAME_PART: &str = "the store lists the same part again and again";

fn senseless(place: String, reason: &str) -> StorageError {
    StorageError::new(StorageErrorKind::Other, "list").at(place).because(reason)
}

impl Listed for Arc<Objects> {
    fn page(&self, prefix: &str, next: Option<&str>, most: Option<usize>) -> Result<Page> {
        Objects::page(self, prefix, next, most)
    }

    fn shown(&self, prefix: &str) -> String {
        self.url(prefix)
    }
}

/// An object, ordered as a manifest is by its key.
#[derive(Debug, PartialEq, Eq)]
struct InOrder(Object);

impl Ord for InOrder {
    fn cmp(&self, other: &Self) -> Ordering {
        let (one, other) = (&self.0.key, &other.0.key);
        // A key may hold a NUL, which counts as a slash there.
        path_order(one.as_bytes(), other.as_bytes()).then_with(|| one.cmp(other))
    }
}

impl PartialOrd for InOrder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The objects whose keys begin with a prefix, in the order of a manifest.
#[derive(Debug)]
pub(super) struct Ordered<L> {
    store: L,
    prefix: String,
    /// What the next page is asked for with.
    next: Option<String>,
    is_over: bool,
    /// The store was seen to list in no order: then all is read before anything is returned.
    is_unordered: bool,
    /// The last key in the order of bytes, once there is one.
    last: Option<String>,
    /// What was read and not returned.
    waiting: BTreeSet<InOrder>,
    most: usize,
    returned: Option<String>,
    /// Names of which it is known that nothing more below them will come: there is nothing, or it was returned already.
    settled: Vec<String>,
    /// Of these, those of which what is below was returned: it is listed once more, and skipped.
    done: Vec<String>,
    /// What is below a name, while that is returned.
    below: Option<Box<Self>>,
    has_failed: bool,
}

impl<L: Listed> Ordered<L> {
    pub(super) fn new(store: L, prefix: String) -> Self {
        Self::bounded(store, prefix, WAITING)
    }

    fn bounded(store: L, prefix: String, most: usize) -> Self {
        Self {
            store,
            prefix,
            next: None,
            is_over: false,
            is_unordered: false,
            last: None,
            waiting: BTreeSet::new(),
            most,
            returned: None,
            settled: Vec::new(),
            done: Vec::new(),
            below: None,
            has_failed: false,
        }
    }

    /// The next object; none at the end. After a failure nothing more is to be asked for.
    pub(super) fn next(&mut self) -> Result<Option<Object>> {
        loop {
            if let Some(below) = &mut self.below {
                if let Some(object) = below.next()? {
                    return Ok(Some(object));
                }
                self.below = None;
            }
            match self.waiting.first().map(|first| self.open_name(&first.0.key)) {
                Some(None) => {
                    let object = self.waiting.pop_first().map(|first| first.0);
                    self.returned = object.as_ref().map(|object| object.key.clone());
                    return Ok(object);
                }
                Some(Some(name)) if self.waiting.len() >= self.most && !self.is_at_hand(&name) => self.settle(name)?,
                None if self.is_over => return Ok(None),
                _ => self.read_on()?,
            }
        }
    }

    /// The name before a key below which something may still come that belongs before that key: the shortest.
    fn open_name(&self, key: &str) -> Option<String> {
        let last = self.last.as_ref().filter(|_| !self.is_over)?;
        if self.is_unordered {
            return Some(String::new());
        }
        let mut bytes = key.bytes().zip(last.bytes().map(Some).chain([None])).enumerate();
        let open = bytes.by_ref().skip(self.prefix.len()).find_map(|(at, (byte, last))| {
            let last = last?;
            let may_come =
                byte < b'/' && last <= b'/' && !self.settled.iter().any(|name| Some(&**name) == key.get(..at));
            match may_come {
                true => Some(Some(at)),
                // From here on the listing is past all that begins as the key does.
                false if byte != last => Some(None),
                false => None,
            }
        });
        open.flatten().and_then(|at| key.get(..at)).map(String::from)
    }

    /// Whether what is below a name is what the listing comes to next: then it only has to go on.
    fn is_at_hand(&self, name: &str) -> bool {
        let rest = self.last.as_ref().and_then(|last| last.strip_prefix(name));
        self.is_unordered || rest.is_some_and(|rest| rest.starts_with('/'))
    }

    /// Finds out whether there is anything below a name, and begins with that.
    fn settle(&mut self, name: String) -> Result<()> {
        let prefix = format!("{name}/");
        if self.store.has_any(&prefix)? {
            self.below = Some(Box::new(Self::bounded(self.store.clone(), prefix.clone(), self.most)));
            self.done.push(prefix);
        }
        self.settled.push(name);
        Ok(())
    }

    fn read_on(&mut self) -> Result<()> {
        let page = self.store.page(&self.prefix, self.next.as_deref(), None)?;
        let is_sorted = page.objects.is_sorted_by(|one, next| one.key < next.key);
        if self.last.is_none() && !is_sorted {
            self.is_unordered = true;
        }
        self.is_over = page.next.is_none();
        if page.next.is_some() && page.next == self.next {
            return Err(self.senseless(SAME_PART));
        }
        self.next = page.next;
        for object in page.objects {
            if !object.key.starts_with(&self.prefix) {
                return Err(self.senseless("the store listed a key that does not begin as was asked for"));
            }
            if self.last.as_ref().is_none_or(|last| *last < object.key) {
                self.last = Some(object.key.clone());
            }
            if self.done.iter().any(|prefix| object.key.starts_with(prefix.as_str())) {
                continue;
            }
            let object = InOrder(object);
            let is_late = self.returned.as_ref().is_some_and(|returned| {
                path_order(object.0.key.as_bytes(), returned.as_bytes())
                    .then_with(|| object.0.key.cmp(returned))
                    .is_le()
            });
            if is_late {
                return Err(
                    self.senseless("the store listed some keys in order, and then one that should have come before")
                );
            }
            self.waiting.insert(object);
        }
        if let Some(last) = &self.last {
            self.settled.retain(|name| last.starts_with(name.as_str()));
            self.done.retain(|prefix| last.as_str() < prefix.as_str() || last.starts_with(prefix.as_str()));
        }
        Ok(())
    }

    /// Ends it: what is still there is unknown.
    pub(super) fn fail(&mut self) {
        (self.is_over, self.has_failed, self.below) = (true, true, None);
        drop(take(&mut self.waiting));
    }

    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    fn senseless(&mut self, reason: &str) -> StorageError {
        self.fail();
        senseless(self.store.shown(&self.prefix), reason)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use proptest::prelude::*;

    use super::*;

    /// Keys that are listed some at a time; how many requests there were, and how many of them for one key.
    #[derive(Debug, Clone)]
    struct Keys {
        keys: Rc<Vec<String>>,
        page: usize,
        asked: Rc<RefCell<(usize, usize)>>,
    }

    impl Keys {
        fn new(mut keys: Vec<String>, page: usize) -> Self {
            keys.sort_unstable();
            keys.dedup();
            Self { keys: Rc::new(keys), page, asked: Rc::default() }
        }

        fn all(&self, prefix: &str, most: usize) -> Vec<String> {
            let mut listing = Ordered::bounded(self.clone(), prefix.into(), most);
            let mut all = Vec::new();
            while let Some(object) = listing.next().unwrap() {
                assert!(listing.waiting.len() <= most + 2 * self.page, "{} wait", listing.waiting.len());
                all.push(object.key);
            }
            all
        }
    }

    impl Listed for Keys {
        fn page(&self, prefix: &str, next: Option<&str>, most: Option<usize>) -> Result<Page> {
            let mut asked = self.asked.borrow_mut();
            asked.0 += 1;
            asked.1 += usize::from(most == Some(1));
            let after = next.unwrap_or_default();
            let mut keys = self.keys.iter().filter(|key| key.starts_with(prefix) && key.as_str() > after).peekable();
            let size = most.unwrap_or(self.page);
            let object = |key: &String| Object { key: key.clone(), size: 1, modified: 0, tag: None, version: None };
            let objects: Vec<Object> = keys.by_ref().take(size).map(object).collect();
            let next = keys.peek().and(objects.last()).map(|last| last.key.clone());
            Ok(Page { objects, next })
        }

        fn shown(&self, prefix: &str) -> String {
            prefix.into()
        }
    }

    proptest! {
        #[test]
        fn any_keys_come_in_the_order_of_a_manifest_and_few_wait(
            keys in prop::collection::vec("p/([ab][-./0]?){1,5}", 0..60), page in 1usize..8, most in 1usize..12,
        ) {
            let keys = Keys::new(keys, page);
            let mut expected = keys.keys.to_vec();
            expected.sort_by(|one, other| path_order(one.as_bytes(), other.as_bytes()).then_with(|| one.cmp(other)));
            prop_assert_eq!(keys.all("p/", most), expected);
        }
    }

    #[test]
    fn many_files_of_one_name_need_one_question_and_not_one_each() {
        let files = (0..3000).map(|n| format!("t/part-{n:05}.avro"));
        let keys = Keys::new(files.chain(["t/part/x".into(), "t/zz".into()]).collect(), 100);
        let all = keys.all("t/", 500);
        assert_eq!((all.len(), all[0].as_str(), all[3001].as_str()), (3002, "t/part/x", "t/zz"));
        let (requests, questions) = *keys.asked.borrow();
        assert!(questions == 1 && requests <= 31 + 2, "{requests} requests, {questions} questions");
        let files = (0..3000).map(|n| format!("t/part-{n:05}.avro"));
        let keys = Keys::new(files.collect(), 100);
        assert_eq!(keys.all("t/", 500).len(), 3000);
        assert_eq!(*keys.asked.borrow(), (31, 1));
    }

    #[test]
    fn empty_pages_say_nothing_and_have_an_end() {
        /// Returns this many empty pages, each with another token, or with the same one.
        #[derive(Clone)]
        struct Empty(usize, bool);
        impl Listed for Empty {
            fn page(&self, _: &str, next: Option<&str>, _: Option<usize>) -> Result<Page> {
                let number: usize = next.map_or(0, |next| next.parse().unwrap());
                let object = Object { key: "a/b".into(), size: 1, modified: 0, tag: None, version: None };
                match number < self.0 {
                    true => Ok(Page { objects: Vec::new(), next: Some((number + usize::from(!self.1)).to_string()) }),
                    false => Ok(Page { objects: vec![object], next: None }),
                }
            }
            fn shown(&self, _: &str) -> String {
                "s3://x".into()
            }
        }
        assert!(Empty(0, false).has_any("a/").unwrap() && Empty(3, false).has_any("a/").unwrap());
        assert!(Empty(3, true).has_any("a/").unwrap_err().to_string().contains("again and again"));
    }

    #[test]
    fn a_store_without_order_is_read_to_the_end_first() {
        #[derive(Clone)]
        struct Jumbled(Vec<Vec<&'static str>>);
        impl Listed for Jumbled {
            fn page(&self, _: &str, next: Option<&str>, _: Option<usize>) -> Result<Page> {
                let number: usize = next.map_or(0, |next| next.parse().unwrap());
                let object = |key: &&str| Object { key: (*key).into(), size: 1, modified: 0, tag: None, version: None };
                let objects = self.0[number].iter().map(object).collect();
                Ok(Page { objects, next: (number + 1 < self.0.len()).then(|| (number + 1).to_string()) })
            }
            fn shown(&self, _: &str) -> String {
                "s3://x".into()
            }
        }
        let keys = |pages: &[&[&'static str]]| -> Result<Vec<String>> {
            let mut listing = Ordered::new(Jumbled(pages.iter().map(|page| page.to_vec()).collect()), String::new());
            let mut all = Vec::new();
            while let Some(object) = listing.next()? {
                all.push(object.key);
            }
            Ok(all)
        };
        assert_eq!(keys(&[&["c", "a"], &["b"], &["a-1", "a/x"]]).unwrap(), ["a", "a/x", "a-1", "b", "c"]);
        // Where it shows too late, nothing is passed over in silence.
        let error = keys(&[&["a", "c"], &["d"], &["b"]]).unwrap_err().to_string();
        assert!(error.contains("should have come before"), "{error}");
    }
}
