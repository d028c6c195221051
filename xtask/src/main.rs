//! `cargo xtask`.
mod plan;
mod registry;
mod rollout;
mod units;

fn main() {}
