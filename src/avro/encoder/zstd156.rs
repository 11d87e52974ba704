//! The bytes of libzstd 1.5.6, made with the 1.5.7 that is linked.
//!
//! 1.5.7 changed two things: it splits blocks of 128 KiB where their content changes, and its search of levels 3 and 4
//! chooses otherwise. The first is turned off by a parameter; in the place of the second stands [`Dfast`].

use super::dfast::Dfast;
use super::id::ZstdMode;
use super::zstd_context::{Context, FrameParameters};

/// Why nothing was encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// A stream that is longer than its window: libzstd's buffer then goes round, and its search another way.
    BeyondWindow,
    /// What libzstd reported.
    Failed(&'static str),
}

/// Keeps working memory from frame to frame.
pub(super) struct Zstd156 {
    context: Context,
    /// Made when it is first needed.
    search: Option<Dfast>,
}

impl Zstd156 {
    /// None where memory is short.
    pub(super) fn try_create() -> Option<Self> {
        Some(Self { context: Context::try_create()?, search: None })
    }

    /// Appends a frame to `out`. After a refusal there may be more in `out` than before.
    pub(super) fn encode(
        &mut self,
        mode: ZstdMode,
        level: i32,
        checksum: bool,
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), Refused> {
        let known_length = match mode {
            ZstdMode::Once => plain.len(),
            ZstdMode::Stream => 0,
        };
        let parameters = FrameParameters::of(level, known_length);
        let search = if parameters.is_dfast {
            if mode == ZstdMode::Stream && plain.len() > parameters.window as usize {
                return Err(Refused::BeyondWindow);
            }
            let search = match &mut self.search {
                Some(search) => search,
                none => none.insert(Dfast::new().ok_or(Refused::Failed("no tables"))?),
            };
            if !search.begin(parameters, plain.len()) {
                return Err(Refused::Failed("unknown parameters"));
            }
            Some(search)
        } else {
            None
        };
        self.context.encode(mode, level, checksum, search, plain, out).map_err(Refused::Failed)
    }
}
