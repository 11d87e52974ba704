//! A repository in a local directory.
