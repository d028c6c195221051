//! What is known of earlier builds.
//!
//! Every build that ends leaves one line in `target/xtask/history.jsonl`: a [`Record`], as JSON.
//! `apply` writes it, `observe` reads it; what the lines tell together is worked out here.
//!
//! *Architecture Invariant:* everything here is a pure function of its arguments.

pub mod buildkit;
mod median;
pub mod page;
mod record;
pub mod summary;
mod worth;

pub use buildkit::BuildkitBuild;
pub use median::Medians;
use median::median;
pub use record::{Output, Record, Verdict, parse, with};
pub use summary::Summary;
pub use worth::Worth;

/// The file, relative to the project's root.
pub const FILE: &str = "target/xtask/history.jsonl";
