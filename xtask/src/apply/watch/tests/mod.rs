//! The whole watch against what ECS answers.

mod replay;
mod stories;
mod troubles;
