//! Named bytes that last. A backend keeps whole objects under names that are used once and never again.
//!
//! Nothing above this module knows where a repository lies. Each promise below is held by the conformance suite
//! (`tests/repository/backend_conformance.rs`), which every backend and every wrapper around one has to pass.

mod local;
mod memory;

use std::fmt;

pub use local::{DiskStep, Local, Witness};
pub use memory::Memory;

use crate::error::Result;

/// The kinds of objects. Each has a folder of its own (`docs/format.md`, "Names").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `config`: what never changes about a repository, and `config2`, which has the same bytes.
    Config,
    /// `keys/<id>`: a key slot.
    Key,
    /// `log/<20 digits>`: an entry of the commit log.
    Log,
    /// `packs/<2 hex digits>/<id>`: a pack.
    Pack,
    /// `index/<id>`: an index object.
    Index,
    /// `ckpt/<20 digits>`: the folded state at an entry of the log.
    Checkpoint,
    /// `gc/<id>`: what a prune condemned, and why.
    Gc,
    /// `session/<id>`: a hint that somebody is writing.
    Session,
    /// `parity/<id>`: redundancy for packs.
    Parity,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 9] = [
        Kind::Config,
        Kind::Key,
        Kind::Log,
        Kind::Pack,
        Kind::Index,
        Kind::Checkpoint,
        Kind::Gc,
        Kind::Session,
        Kind::Parity,
    ];

    /// The folder that holds the objects of this kind; empty for the one that lies at the top.
    pub fn folder(self) -> &'static str {
        match self {
            Kind::Config => "",
            Kind::Key => "keys",
            Kind::Log => "log",
            Kind::Pack => "packs",
            Kind::Index => "index",
            Kind::Checkpoint => "ckpt",
            Kind::Gc => "gc",
            Kind::Session => "session",
            Kind::Parity => "parity",
        }
    }
}

/// The name of an object: its kind, and what it is called among its kind (lower-case letters and digits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    kind: Kind,
    file: String,
}

impl Name {
    /// The object `file` of this kind. Characters other than lower-case letters and digits are dropped, so a name can
    /// never leave its folder.
    pub fn new(kind: Kind, file: impl fmt::Display) -> Self {
        let mut file = file.to_string();
        file.retain(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        Self { kind, file }
    }

    /// What never changes about a repository.
    pub fn config() -> Self {
        Self::new(Kind::Config, "config")
    }

    /// The second copy of the config, read where the first is damaged or missing.
    pub fn config_copy() -> Self {
        Self::new(Kind::Config, "config2")
    }

    /// The entry number `sequence` of the commit log.
    pub fn log(sequence: u64) -> Self {
        Self::new(Kind::Log, format_args!("{sequence:020}"))
    }

    /// The checkpoint at the entry number `sequence` of the commit log.
    pub fn checkpoint(sequence: u64) -> Self {
        Self::new(Kind::Checkpoint, format_args!("{sequence:020}"))
    }

    /// The number of the log entry that has this name, or that a checkpoint of this name stands for; none for any other name,
    /// also one that a foreign file in the folder of the log has.
    pub fn sequence(&self) -> Option<u64> {
        let is_numbered = matches!(self.kind, Kind::Log | Kind::Checkpoint) && self.file.len() == 20;
        let digits = is_numbered.then_some(&self.file)?;
        // 20 digits may be more than fits.
        digits.parse().ok()
    }

    /// What kind of object this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What it is called among its kind.
    pub fn file(&self) -> &str {
        &self.file
    }
}

/// The path inside the repository, with `/` between folders.
impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Config => f.write_str(&self.file),
            Kind::Pack => write!(f, "packs/{}/{}", self.file.get(..2).unwrap_or("00"), self.file),
            kind => write!(f, "{}/{}", kind.folder(), self.file),
        }
    }
}

/// What came of an attempt to create an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// The object is there now, whole and durable.
    New,
    /// The name was taken before; what is there was left as it was.
    Exists,
}

/// Where a repository's objects lie.
pub trait Backend: Send + Sync + fmt::Debug {
    /// Where this is, for people.
    fn location(&self) -> String;

    /// Makes the empty folders of a new repository. Harmless where they are there already.
    fn prepare(&self) -> Result<()>;

    /// Creates the object if no object has the name, else changes nothing.
    ///
    /// Promise: of any number of attempts at one name, from any number of processes, exactly one gives
    /// [`Created::New`]. After it returned, the object survives power loss; a reader sees all of its bytes or no
    /// object. Before an entry of the log is created, all index objects and earlier entries are durable, whoever wrote
    /// them. After an error the object may or may not be there: read it back to learn.
    fn create(&self, name: &Name, bytes: &[u8]) -> Result<Created>;

    /// All bytes of the object, at most `limit` of them.
    ///
    /// Promise: fails with [`ObjectMissing`](crate::error::Error::ObjectMissing) exactly if there is no such object,
    /// and with [`Damaged`](crate::error::Error::Damaged) if it is larger than `limit`.
    fn read(&self, name: &Name, limit: u64) -> Result<Vec<u8>>;

    /// Exactly `length` bytes of the object from `offset` on.
    ///
    /// Promise: as for [`read`](Backend::read); a range that is not wholly inside the object is
    /// [`Damaged`](crate::error::Error::Damaged).
    fn read_range(&self, name: &Name, offset: u64, length: usize) -> Result<Vec<u8>>;

    /// The object's length in bytes, or `None` if there is no such object.
    fn size(&self, name: &Name) -> Result<Option<u64>>;

    /// Calls `each` with the name and length of every object of this kind, in no particular order.
    ///
    /// Promise: objects that were there before the call and are there after it are all listed; those that come or go
    /// meanwhile may be. Files that no object could be called are passed over. Safety never rests on a listing.
    fn list(&self, kind: Kind, each: &mut dyn FnMut(Name, u64) -> Result<()>) -> Result<()>;

    /// Removes the object; it is no error if there is none.
    fn delete(&self, name: &Name) -> Result<()>;

    /// Makes sure that the object survives power loss, if it is there: somebody else may have created it a moment ago, and
    /// not have come to the end. Where a name is seen only once it lasts, there is nothing to do.
    fn settle(&self, name: &Name) -> Result<()> {
        let _ = name;
        Ok(())
    }

    /// When the object was made, in nanoseconds by the storage's own clock; `None` if there is no such object, or if the
    /// storage does not say.
    ///
    /// Only the time between two objects of one storage means anything. Safety never rests on it: it tells what
    /// somebody may be at work on from what was left behind.
    fn modified(&self, name: &Name) -> Result<Option<i64>> {
        let _ = name;
        Ok(None)
    }

    /// Removes what interrupted writes left without a name before this moment, by the clock of
    /// [`modified`](Backend::modified). Gives the number of bytes that this freed.
    fn tidy(&self, before: i64) -> Result<u64> {
        let _ = before;
        Ok(0)
    }

    /// Keeps a little room back, if the storage can be full and there is room now: so that an entry that frees room can
    /// be appended when there is none left. Nothing rests on it.
    fn keep_reserve(&self) -> Result<()> {
        Ok(())
    }

    /// Gives up part of the room that was kept back, for small objects that could not be created. False if there is no
    /// more of it.
    fn use_reserve(&self) -> Result<bool> {
        Ok(false)
    }
}
