//! What of `cargo xtask` decides and knows nothing of AWS's SDK, of an async runtime or of the
//! command line: the crate's list of dependencies keeps it so. It compiles beside the SDK.
//!
//! ARCHITECTURE.md has the map.

pub mod config;
pub mod event;
pub mod exit;
pub mod fingerprint;
pub mod history;
pub mod lines;
pub mod plan;
pub mod progress;
pub mod registry;
pub mod rollout;
pub mod units;
