//! A repository in memory, for tests.
