//! `cargo xtask`.
mod plan;
mod rollout;

fn main() {}
