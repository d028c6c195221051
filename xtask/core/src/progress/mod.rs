//! What BuildKit is doing, from `docker buildx build --progress=rawjson`.
//!
//! buildx writes one JSON object a line to standard error. The way of a line through this module:
//!
//! 1. [`stream::parse`] reads one of these lines.
//! 2. [`BuildState::apply`] merges it into what is known of the build, and says what is new as
//!    [`ProgressEvent`]s, each of them once however often BuildKit repeats itself.
//! 3. [`BuildState::finish`] is told how the process ended, and [`BuildState::report`] sums up.
//! 4. [`render`], [`frame`], [`log`], [`timeline`] and [`waterfall`] turn these into text. All of it has gone
//!    through [`text::sanitise`]: what a build prints can not move the cursor, nor give commands to
//!    a CI runner.
//!
//! *Architecture Invariant:* everything here is a pure function of its arguments. There is no
//! clock, process, terminal, network or async runtime.

pub mod build;
mod cause;
mod changed;
mod classify;
mod critical;
mod event;
mod excerpt;
mod failure;
pub mod frame;
pub mod html;
mod lineage;
pub mod log;
mod name;
mod output;
mod phases;
pub mod render;
mod report;
mod seen;
mod stages;
pub mod stream;
mod summary;
pub mod text;
mod time;
pub mod timeline;
mod vertex;
pub mod waterfall;

#[cfg(test)]
mod tests;

pub use self::{
    build::{BuildState, Ended},
    event::ProgressEvent,
    failure::FailedPhase,
    name::VertexKind,
    report::{BuildReport, BuildTimes, Outcome, StepState},
    text::sanitise,
    time::Timestamp,
};
