//! `cargo xtask prune` and `du` against a stand-in for AWS.

mod caches;
mod failures;
mod task_definitions;
mod world;
