//! Everything that a command needs, asked for at once and reported together.
//!
//! `deploy` goes on only when nothing is wrong; `doctor` shows every check.

mod build;
mod caches;
mod check;
mod deploy;
mod fit;
mod lock;
mod logs;
mod registry;
mod roles;
mod rollback;
mod rollout;
mod secrets;
mod start;
mod tags;
#[cfg(test)]
mod tests;

pub use build::{BuildFacts, for_build};
pub use check::{Check, Found, well};
pub use deploy::{ImageSource, for_deploy};
pub use registry::{AwsFacts, for_cache, for_push, for_registry};
pub use rollback::{RollbackFacts, for_rollback};
pub use rollout::{RolloutFacts, for_rollout, health};
