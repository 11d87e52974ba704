//! How to rebuild one file from chunks.
