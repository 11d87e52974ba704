//! Putting content into a repository: files are taken apart, their chunks looked up, gathered into frames, compressed and
//! stored in packs.

mod bases;
mod encoder_finder;
mod feeder;
mod file;
mod gather;
mod payload;
mod pipeline;
mod primer;
mod report;
mod room;
mod settle;

pub use report::{AvroReport, Depth, UnknownWriter};

pub(crate) use encoder_finder::{Effort, Workbench};
pub(crate) use feeder::{Feeder, Unfilled};
pub(crate) use file::{Content, FileContext, SchemaCache, Stored, store_content, store_file};
pub(crate) use gather::{Common, Gathering};
pub(crate) use payload::take_apart_again;
pub(crate) use pipeline::Pipeline;
pub(crate) use primer::AnchorPrimer;
pub(crate) use settle::{finds_encoder, may_settle, settle};
