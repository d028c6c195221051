//! Where the time of a rollout went.

use serde::{Serialize, Serializer};

use super::snapshot::{EpochMillis, Millis};

/// Time by phase over the tasks that run at the end. A phase is `None` when
/// ECS gave no timestamps for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PhaseTimes {
    /// From a task's creation to the start of the image pull: placement,
    /// network interface, machine.
    pub provision: Option<Spread>,
    /// Pulling the images.
    pub pull: Option<Spread>,
    /// From the end of the pull until the containers run.
    pub start: Option<Spread>,
    /// From running until the task counted as healthy: its container health
    /// check passed, or, without one, ECS began to stop the old tasks or
    /// completed the deployment. As fine as the polling, not finer.
    pub health: Option<Spread>,
}

/// A phase over several tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Spread {
    /// Of the task in the middle.
    #[serde(rename = "median-seconds", serialize_with = "as_seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub median: Millis,
    /// Of the slowest task.
    #[serde(rename = "slowest-seconds", serialize_with = "as_seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub slowest: Millis,
}

/// Stopping the old tasks: told apart from the rollout's own time, because a
/// long deregistration delay is no slow deploy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Draining {
    /// From the first old task told to stop until the last one that stopped.
    #[serde(rename = "took-seconds", serialize_with = "as_seconds")]
    #[cfg_attr(feature = "schema", schemars(with = "f64"))]
    pub took: Millis,
    /// Old tasks that were not gone yet when we last looked.
    pub left: u32,
}

/// The timestamps of one task of ours.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TaskTimes {
    pub(super) created: Option<EpochMillis>,
    pub(super) pull_started: Option<EpochMillis>,
    pub(super) pull_stopped: Option<EpochMillis>,
    pub(super) started: Option<EpochMillis>,
    pub(super) healthy: Option<EpochMillis>,
}

/// Reports give times in seconds, all of them.
pub(super) fn as_seconds<S: Serializer>(millis: &Millis, to: S) -> Result<S::Ok, S::Error> {
    std::time::Duration::from_millis(*millis).as_secs_f64().serialize(to)
}

/// As [`as_seconds`], where there is a time.
pub(super) fn as_seconds_if_any<S: Serializer>(
    millis: &Option<Millis>,
    to: S,
) -> Result<S::Ok, S::Error> {
    millis.map(|millis| std::time::Duration::from_millis(millis).as_secs_f64()).serialize(to)
}

impl PhaseTimes {
    pub(super) fn of(tasks: &[TaskTimes]) -> Self {
        let phase = |from: fn(&TaskTimes) -> Option<EpochMillis>,
                     to: fn(&TaskTimes) -> Option<EpochMillis>| {
            Spread::of(tasks.iter().filter_map(|task| between(from(task)?, to(task)?)))
        };
        Self {
            provision: phase(|t| t.created, |t| t.pull_started),
            pull: phase(|t| t.pull_started, |t| t.pull_stopped),
            start: phase(|t| t.pull_stopped, |t| t.started),
            health: phase(|t| t.started, |t| t.healthy),
        }
    }
}

impl Spread {
    /// `None` for no durations. The median of an even number is the lower of
    /// the two in the middle: a time that some task really took.
    fn of(durations: impl Iterator<Item = Millis>) -> Option<Self> {
        let mut sorted: Vec<Millis> = durations.collect();
        sorted.sort_unstable();
        let slowest = *sorted.last()?;
        Some(Self { median: sorted[(sorted.len() - 1) / 2], slowest })
    }
}

/// Zero when the clock of one answer is behind that of another.
pub(super) fn between(from: EpochMillis, to: EpochMillis) -> Option<Millis> {
    Some(Millis::try_from(to.checked_sub(from)?).unwrap_or(0))
}
