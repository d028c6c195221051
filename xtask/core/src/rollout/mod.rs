//! Watching a rollout, as a pure function over what ECS says.
//!
//! A service that is stable is not a rollout that succeeded: after the
//! circuit breaker rolled back, the service is stable again on the old
//! version. So everything here hangs on one thing, the id of the deployment
//! that our own `UpdateService` call created, and the only way to
//! [`Verdict::Succeeded`] is a snapshot that shows that deployment complete
//! while its tasks run.
//!
//! `DescribeServices` is eventually consistent. Findings that could come from
//! a stale reply have to be seen several times in a row before they become a
//! verdict; see [`decide`](self::decide) for each of them.
//!
//! ```text
//! state = State::new(target)
//! loop:  (state, events, verdict) = step(state, &snapshot)
//! when the deadline passes:  (state, verdict) = deadline(state, now, blind_since)
//! ```
//!
//! Nothing here reads a clock, a network, a process or a terminal: time comes
//! in with the snapshots, and events go out as values.

mod decide;
mod event;
mod machine;
mod memory;
mod messages;
mod open_enum;
mod phases;
mod snapshot;
mod task_memory;
mod tasks;
mod verdict;

#[cfg(test)]
mod tests;

pub use event::RolloutEvent;
pub use machine::{State, Target, deadline, step};
pub use phases::{Draining, PhaseTimes};
pub use snapshot::*;
pub use tasks::task_id;
pub use verdict::{RollbackOutcome, Verdict, worst};
