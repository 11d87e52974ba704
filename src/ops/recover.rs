//! `recover`: finds snapshots in the packs that the log does not name. The engine is [`crate::integrity`].

pub use crate::integrity::{Candidate, Found, bring_back, bring_back_and_mend, find_snapshots};
