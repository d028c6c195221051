//! Integration tests: one binary, so that it is linked once.
//!
//! `e2e` needs the Docker Engine and fails without it; everything else needs neither engine
//! nor network.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed, as it should")]

mod bad_input;
mod builder;
mod builds;
mod caches;
mod deployed;
mod e2e;
mod github;
mod infra;
mod interrupt;
mod prune;
mod revisions;
mod rollouts;
mod schema;
mod secrets;
mod stand_in;
mod storage;
mod support;
mod tidy;
