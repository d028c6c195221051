//! `cargo xtask`.

mod registry;
mod units;

fn main() {}
