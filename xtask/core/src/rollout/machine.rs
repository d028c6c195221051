//! The state machine: `(state, snapshot) -> (state, events, verdict?)`.

use serde::Serialize;

use super::decide::propose;
use super::event::RolloutEvent;
use super::memory::Memory;
use super::phases::{Draining, PhaseTimes};
use super::snapshot::{Deployment, EpochMillis, Millis, Snapshot, Task};
use super::verdict::{RollbackOutcome, Verdict};

/// What is being rolled out, from the reply to our own `UpdateService` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Service name, for display.
    pub service: String,
    /// Id of the deployment our call created: the primary one of its reply.
    pub deployment_id: String,
    /// ARN of the task definition it deploys.
    pub task_definition: String,
    /// ARN of the task definition that ran before; `None` for a first deploy.
    pub previous_task_definition: Option<String>,
    /// ARN of the task definition that served then: another one, when ours took
    /// the place of one that failed or had not come to its end.
    pub served_task_definition: Option<String>,
    /// Desired count of the service at that moment. Later snapshots decide.
    pub desired: u32,
    /// `createdAt` of that deployment.
    pub started_at: EpochMillis,
}

/// Where a rollout stands after the snapshots so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    target: Target,
    pub(super) memory: Memory,
    /// Verdict of the last proposal, without what varies, and how often it
    /// came in a row.
    streak: (Option<String>, u32),
    pub(super) verdict: Option<Verdict>,
}

/// How many tasks of our deployment are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Progress {
    /// Tasks that run.
    pub running: u32,
    /// Tasks that are starting.
    pub pending: u32,
    /// Tasks that should run.
    pub desired: u32,
    /// The most consecutive failures ECS reported.
    pub failed: u32,
}

impl Target {
    /// Whether a deployment deploys what ran before ours.
    pub(super) fn is_previous(&self, deployment: &Deployment) -> bool {
        let before = [&self.previous_task_definition, &self.served_task_definition];
        before.into_iter().flatten().any(|before| *before == deployment.task_definition)
    }
}

impl State {
    /// A rollout of which nothing was seen yet.
    pub fn new(target: Target) -> Self {
        let mut memory = Memory::default();
        memory.progress.desired = target.desired;
        Self { target, memory, streak: (None, 0), verdict: None }
    }

    /// What is being rolled out.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Our tasks that run, as last seen: their image digests are what the
    /// check after the rollout compares.
    pub fn running_tasks(&self) -> impl Iterator<Item = &Task> {
        self.memory.tasks.running()
    }

    /// Where the time went, over the tasks that run now.
    pub fn phase_times(&self) -> PhaseTimes {
        self.memory.tasks.phase_times(self.memory.completed_at)
    }

    /// The stopping of old tasks; `None` when none was told to stop.
    pub fn draining(&self) -> Option<Draining> {
        self.memory.tasks.draining()
    }
}

/// Takes one snapshot in. Events come once over the life of a state; after the
/// verdict nothing more comes.
pub fn step(mut state: State, snapshot: &Snapshot) -> (State, Vec<RolloutEvent>, Option<Verdict>) {
    if state.verdict.is_some() {
        return (state, Vec::new(), None);
    }
    let events = state.memory.learn(&state.target, snapshot);
    let proposal = propose(&state.target, &state.memory, snapshot);
    let subject = proposal.as_ref().map(|proposal| subject(&proposal.verdict));
    state.streak = match state.streak {
        (last, count) if last == subject => (subject, count + 1),
        _ => (subject, 1),
    };
    state.verdict = proposal
        .filter(|proposal| state.streak.1 >= proposal.confirmations)
        .map(|proposal| proposal.verdict);
    let verdict = state.verdict.clone();
    (state, events, verdict)
}

/// The deadline passed `now`, and nothing could be read since `blind_since`,
/// if that is so. A deployment that is known to have failed is called failed,
/// not slow. A verdict that was already given stays.
pub fn deadline(mut state: State, now: Millis, blind_since: Option<Millis>) -> (State, Verdict) {
    let memory = &state.memory;
    let verdict = match (&state.verdict, &memory.failed) {
        (Some(verdict), _) => verdict.clone(),
        (None, Some(_)) => Verdict::Failed {
            reason: memory.failure(None),
            rollback: match blind_since {
                Some(_) => RollbackOutcome::Unknown,
                None if memory.rolling_back => RollbackOutcome::InProgress,
                None => RollbackOutcome::NotStarted,
            },
        },
        (None, None) => Verdict::DeadlinePassed {
            after: now,
            progress: memory.progress,
            last_failure: memory.tasks.last_failure.clone(),
            unseen: blind_since.map(|since| now.saturating_sub(since)),
        },
    };
    state.verdict = Some(verdict.clone());
    (state, verdict)
}

/// What makes two proposals the same one. Reasons and counts may change from
/// snapshot to snapshot.
fn subject(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Superseded { by, .. } => format!("superseded by {by}"),
        Verdict::Succeeded { .. } => "succeeded".to_owned(),
        Verdict::RolledBack { .. } => "rolled back".to_owned(),
        Verdict::Failed { .. } => "failed".to_owned(),
        Verdict::Stopped { .. } => "stopped".to_owned(),
        Verdict::DeadlinePassed { .. } => "deadline".to_owned(),
    }
}

impl std::fmt::Display for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { running, pending, desired, failed } = self;
        write!(f, "{running} of {desired} running, {pending} pending")?;
        match failed {
            0 => Ok(()),
            failed => write!(f, ", {failed} failed in a row"),
        }
    }
}
