//! `cargo xtask`.

mod progress;

fn main() {}
