//! The edge to the user's file system: reading what is to be saved, writing what is restored.
//!
//! [`source`] walks directories and returns what lies there, in the order of a manifest; [`open`] opens files to read
//! them. [`target`] writes beneath one directory and never outside of it, whatever the manifest says and whatever
//! links lie there. This module does not know repositories.

pub mod attributes;
pub mod beneath;
pub mod clocks;
pub mod coverage;
pub mod folder;
pub mod gone;
pub mod open;
pub mod pattern;
pub mod policy;
pub mod reading;
pub mod rules;
pub mod scratch_folder;
pub mod source;
pub mod spared;
pub mod stat;
pub mod target;
pub mod temporary;
pub mod whereabouts;
pub mod whole;
pub mod writer;

mod found;
mod list;
mod logs;
mod look;
mod names;
mod pinned;
mod place;
mod renew;
mod restore_target;
mod roots;
mod scratch;
mod sharded;
mod tree;
mod xattrs;

pub use clocks::Clocks;
pub use coverage::{Coverage, Ground};
pub use folder::{Folder, Found, FoundKind};
pub use found::{Problem, SourceFile, Trouble};
pub use gone::{Covered, Fate};
pub use list::list_text;
pub use open::{open_for_reading, stat_of};
pub use pattern::{Matchable, Pattern};
pub use pinned::Pinned;
pub use policy::{Existing, Overwrite};
pub use reading::{Held, Reading};
pub use restore_target::{RestoreTarget, TargetAbilities, TargetFile};
pub use roots::{is_in_store, saved_path};
pub use rules::{Marker, Rules};
pub use scratch::Scratch;
pub use scratch_folder::ScratchFolder;
pub use sharded::Sharded;
pub use source::Source;
pub use spared::{Spare, Spared, left_out, with_unreadable};
pub use stat::{FileStat, now};
pub use target::{Target, TargetOptions};
pub use temporary::remove_temporaries;
pub use tree::{Fates, SourceOpener, SourceReader, SourceTree};
pub use whereabouts::{host, is_same, resolved, user, working_directory};
pub use whole::{is_directory, is_file, is_gone, names_in, read_whole};
pub use writer::FileWriter;
