//! What Go's `compress/flate` (Go 1.19 to 1.26) does in a way of its own: how codes are built (`codes.rs`), which sort of
//! block is written (`plan.rs`), and its two quickest levels (`speed.rs`). Levels 2 to 9 are zlib's searches with other
//! rules (`rules.rs`).

pub(crate) mod codes;
mod plan;
pub(crate) mod speed;

pub(crate) use plan::Policy;
