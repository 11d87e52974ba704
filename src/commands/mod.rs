//! What each verb does: a plan where there is something to decide, then a report. The threads are here.

pub mod check;
pub mod create;
mod gate;
pub mod restore;
pub mod select;
