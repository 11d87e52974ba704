//! Pieces cut by content, and the compression of their frames.
