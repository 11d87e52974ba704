//! The objects that a repository is made of, and how they are called.

use std::fmt;

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

    /// The number that objects of this kind begin with, after the magic; a part of the format. Nothing begins with 0:
    /// packs have a header of their own.
    pub fn number(self) -> u8 {
        match self {
            Kind::Pack => 0,
            Kind::Config => 1,
            Kind::Key => 2,
            Kind::Log => 3,
            Kind::Index => 4,
            Kind::Gc => 5,
            Kind::Checkpoint => 6,
            Kind::Session => 7,
            Kind::Parity => 8,
        }
    }

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

impl serde::Serialize for Name {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_kinds_share_a_number_or_a_folder() {
        for (i, one) in Kind::ALL.iter().enumerate() {
            for other in &Kind::ALL[i + 1..] {
                assert!(one.number() != other.number() && one.folder() != other.folder(), "{one:?} and {other:?}");
            }
        }
    }

    #[test]
    fn a_name_never_leaves_its_folder() {
        for hostile in ["../../etc/passwd", "a/b", "", "..", "A\u{0}b", "log/0001"] {
            let name = Name::new(Kind::Index, hostile);
            assert!(name.file().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()), "{name}");
            assert_eq!(name.to_string(), format!("index/{}", name.file()));
        }
    }

    #[test]
    fn only_an_entry_of_the_log_and_its_checkpoint_have_a_number_in_them() {
        assert_eq!(Name::checkpoint(63).sequence(), Some(63));
        assert_eq!(Name::log(7).sequence(), Some(7));
        assert_eq!(Name::log(u64::MAX).sequence(), Some(u64::MAX));
        for other in
            [Name::new(Kind::Log, "7"), Name::new(Kind::Log, "9".repeat(20)), Name::new(Kind::Gc, "0".repeat(20))]
        {
            assert_eq!(other.sequence(), None, "{other}");
        }
    }
}
