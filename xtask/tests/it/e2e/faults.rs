//! Faults, injected between `xtask` and the world: for each one the exit code, what is said,
//! that the old version serves, and that nothing is left.
//!
//! AWS and the registry are reached through a proxy that makes their calls fail, the Docker
//! Engine through a socket that can be cut. What is behind them is real: engine, BuildKit,
//! registry, containers, and the emulator's ECS. The tests take turns on one stage; it is built
//! by the first and taken down by the last.

mod api;
mod emulator;
mod engine;
mod engine_socket;
mod interruption;
mod machine;
mod others;
mod proxy;
mod registry;
mod rollout;
mod rule;
mod stage;
mod started;

pub use rule::{Fault, Rule};
pub use stage::{Stage, Turn};
