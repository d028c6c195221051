//! The state machine: `(state, snapshot) -> (state, events, verdict?)`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::decide::propose;
use super::event::{ContainerEnd, RolloutEvent};
use super::messages;
use super::phases::{Draining, PhaseTimes, TaskTimes, between};
use super::snapshot::{
    Deployment, DeploymentStatus, EpochMillis, Health, Millis, RolloutState, ServiceDeployment,
    ServiceDeploymentStatus, Snapshot, Task,
};
use super::tasks::{
    Stage, TaskEnd, concerns_draining, end, floor_to_second, is_gone, is_ours, is_running, stage,
};
use super::verdict::{RollbackOutcome, Verdict};

/// What is being rolled out, from the reply to our own `UpdateService` call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Service name, for display.
    pub(crate) service: String,
    /// Id of the deployment our call created: the primary one of its reply.
    pub(crate) deployment_id: String,
    /// ARN of the task definition it deploys.
    pub(crate) task_definition: String,
    /// ARN of the task definition that ran before; `None` for a first deploy.
    pub(crate) previous_task_definition: Option<String>,
    /// Desired count of the service at that moment. Later snapshots decide.
    pub(crate) desired: u32,
    /// `createdAt` of that deployment.
    pub(crate) started_at: EpochMillis,
}

/// Where a rollout stands after the snapshots so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    target: Target,
    memory: Memory,
    /// Verdict of the last proposal, without what varies, and how often it
    /// came in a row.
    streak: (Option<String>, u32),
    verdict: Option<Verdict>,
}

/// How many tasks of our deployment are where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Progress {
    pub(crate) running: u32,
    pub(crate) pending: u32,
    pub(crate) desired: u32,
    /// The most consecutive failures ECS reported.
    pub(crate) failed: u32,
}

/// What earlier snapshots taught.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Ours was in the list at least once.
    pub(super) seen: bool,
    /// Why ours failed. Set for good: ECS never takes `FAILED` back.
    pub(super) failed: Option<String>,
    /// The last task of ours that died by itself.
    pub(super) last_failure: Option<String>,
    /// Deployments that said they roll ours back.
    pub(super) rollbacks: BTreeSet<String>,
    /// Deployments that were not primary while ours was.
    older: BTreeSet<String>,
    rolling_back: bool,
    progress: Progress,
    tasks: BTreeMap<String, OurTask>,
    /// Tasks of other deployments by ARN.
    old_tasks: BTreeMap<String, OldTask>,
    least_old_left: Option<u32>,
    completed_at: Option<EpochMillis>,
    said_deployment: BTreeSet<(DeploymentStatus, Option<RolloutState>)>,
    said_service_deployment: BTreeSet<ServiceDeploymentStatus>,
    said_messages: BTreeSet<String>,
    said_rollback: BTreeSet<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct OurTask {
    latest: Task,
    /// In the last list of tasks that could be read.
    listed: bool,
    stage: Option<Stage>,
    unhealthy: bool,
    healthy_at: Option<EpochMillis>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OldTask {
    gone: bool,
    stopping_at: Option<EpochMillis>,
    stopped_at: Option<EpochMillis>,
}

impl State {
    /// A rollout of which nothing was seen yet.
    pub(crate) fn new(target: Target) -> Self {
        let progress = Progress { desired: target.desired, ..Progress::default() };
        Self {
            target,
            memory: Memory { progress, ..Memory::default() },
            streak: (None, 0),
            verdict: None,
        }
    }

    /// What is being rolled out.
    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// The verdict, once there is one.
    pub(crate) fn verdict(&self) -> Option<&Verdict> {
        self.verdict.as_ref()
    }

    /// The counts of our deployment.
    pub(crate) fn progress(&self) -> Progress {
        self.memory.progress
    }

    /// Our tasks that run, as last seen: their image digests are what the
    /// check after the rollout compares.
    pub(crate) fn running_tasks(&self) -> impl Iterator<Item = &Task> {
        self.memory.running().map(|task| &task.latest)
    }

    /// Where the time went, over the tasks that run now.
    pub(crate) fn phase_times(&self) -> PhaseTimes {
        let drain_began = self.memory.old_tasks.values().filter_map(|task| task.stopping_at).min();
        let last_start =
            self.running_tasks().filter_map(|task| task.started_at).max().unwrap_or(i64::MIN);
        // Old tasks are told to stop only when the new ones count as healthy.
        let accepted = drain_began.filter(|began| *began >= last_start);
        let accepted = accepted.or(self.memory.completed_at);
        let times: Vec<TaskTimes> = self
            .memory
            .running()
            .map(|task| TaskTimes {
                created: task.latest.created_at,
                pull_started: task.latest.pull_started_at,
                pull_stopped: task.latest.pull_stopped_at,
                started: task.latest.started_at,
                healthy: task.healthy_at.or(accepted),
            })
            .collect();
        PhaseTimes::of(&times)
    }

    /// The stopping of old tasks; `None` when none was told to stop.
    pub(crate) fn draining(&self) -> Option<Draining> {
        let old = || self.memory.old_tasks.values();
        let began = old().filter_map(|task| task.stopping_at).min()?;
        let ended = old().filter_map(|task| task.stopped_at).max().unwrap_or(began);
        Some(Draining { took: between(began, ended)?, left: self.memory.old_left() })
    }
}

/// Takes one snapshot in. Events come once over the life of a state; after the
/// verdict nothing more comes.
pub(crate) fn step(
    mut state: State,
    snapshot: &Snapshot,
) -> (State, Vec<RolloutEvent>, Option<Verdict>) {
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

/// The deadline passed `now`. A deployment that is known to have failed is
/// called failed, not slow. A verdict that was already given stays.
pub(crate) fn deadline(mut state: State, now: Millis) -> (State, Verdict) {
    let memory = &state.memory;
    let verdict = match (&state.verdict, &memory.failed) {
        (Some(verdict), _) => verdict.clone(),
        (None, Some(_)) => Verdict::Failed {
            reason: memory.failure(None),
            rollback: if memory.rolling_back {
                RollbackOutcome::InProgress
            } else {
                RollbackOutcome::NotStarted
            },
        },
        (None, None) => Verdict::DeadlinePassed {
            after: now,
            progress: memory.progress,
            last_failure: memory.last_failure.clone(),
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

impl Memory {
    /// Whether the deployment was there before ours.
    pub(super) fn is_older(&self, target: &Target, deployment: &Deployment) -> bool {
        self.older.contains(&deployment.id)
            || deployment
                .created_at
                .is_some_and(|created| created < floor_to_second(target.started_at))
    }

    /// Why ours failed: what ECS says, and the last task that died of it.
    pub(super) fn failure(&self, said: Option<&str>) -> String {
        let said = said.filter(|said| !said.is_empty()).or(self.failed.as_deref());
        let reason = said.unwrap_or("ECS gave no reason").trim_end_matches('.');
        match &self.last_failure {
            Some(task) => format!("{reason}; {task}"),
            None => reason.to_owned(),
        }
    }

    fn learn(&mut self, target: &Target, snapshot: &Snapshot) -> Vec<RolloutEvent> {
        let mut events = Vec::new();
        let now = target.started_at.saturating_add_unsigned(snapshot.at);
        // Tasks first: the reason of a failure is theirs.
        self.learn_tasks(target, snapshot, now, &mut events);
        self.learn_ours(target, snapshot, now, &mut events);
        self.learn_rival(target, snapshot, &mut events);
        if let Some(deployment) = &snapshot.service_deployment {
            self.learn_service_deployment(deployment, &mut events);
        }
        self.learn_messages(target, snapshot, &mut events);
        events
    }

    fn learn_ours(
        &mut self,
        target: &Target,
        snapshot: &Snapshot,
        now: EpochMillis,
        events: &mut Vec<RolloutEvent>,
    ) {
        let Some(ours) = snapshot.deployments.iter().find(|d| d.id == target.deployment_id) else {
            return;
        };
        self.seen = true;
        let reason = said(&ours.rollout_state_reason);
        if self.said_deployment.insert((ours.status.clone(), ours.rollout_state.clone())) {
            events.push(RolloutEvent::Deployment {
                status: ours.status.clone(),
                rollout_state: ours.rollout_state.clone(),
                reason: reason.clone(),
            });
        }
        if ours.status == DeploymentStatus::Primary {
            self.older.extend(
                snapshot
                    .deployments
                    .iter()
                    .filter(|d| d.id != ours.id && d.status != DeploymentStatus::Primary)
                    .map(|d| d.id.clone()),
            );
        }
        match &ours.rollout_state {
            Some(RolloutState::Failed) => {
                self.failed.get_or_insert_with(|| {
                    reason.unwrap_or_else(|| "ECS marked the deployment as failed".to_owned())
                });
            }
            Some(RolloutState::Completed) => {
                self.completed_at.get_or_insert(now);
            }
            _ => {}
        }
        self.learn_counts(ours, snapshot.service_deployment.as_ref(), events);
    }

    fn learn_counts(
        &mut self,
        ours: &Deployment,
        service_deployment: Option<&ServiceDeployment>,
        events: &mut Vec<RolloutEvent>,
    ) {
        let breaker = service_deployment.and_then(|deployment| deployment.circuit_breaker.as_ref());
        let failed = ours.failed_tasks.max(breaker.map_or(0, |breaker| breaker.failure_count));
        if failed > self.progress.failed {
            let threshold = breaker.map(|breaker| breaker.threshold).filter(|limit| *limit > 0);
            events.push(RolloutEvent::FailedTasks { failed, threshold });
        }
        self.progress = Progress {
            running: ours.running,
            pending: ours.pending,
            desired: ours.desired,
            failed: failed.max(self.progress.failed),
        };
    }

    fn learn_rival(
        &mut self,
        target: &Target,
        snapshot: &Snapshot,
        events: &mut Vec<RolloutEvent>,
    ) {
        let rival = snapshot
            .deployments
            .iter()
            .find(|d| d.id != target.deployment_id && d.status == DeploymentStatus::Primary);
        let Some(rival) = rival else { return };
        let reason = rival.rollout_state_reason.as_deref().unwrap_or_default().to_ascii_lowercase();
        if reason.contains("rolling back") || reason.contains("rollback") {
            self.rollbacks.insert(rival.id.clone());
        }
        let is_previous =
            target.previous_task_definition.as_deref() == Some(&rival.task_definition);
        let is_rollback = self.seen
            && (self.rollbacks.contains(&rival.id)
                || (self.failed.is_some() && (is_previous || self.is_older(target, rival))));
        if is_rollback {
            self.rolling_back = true;
            if self.said_rollback.insert(rival.id.clone()) {
                events.push(RolloutEvent::RollingBack {
                    deployment: rival.id.clone(),
                    task_definition: rival.task_definition.clone(),
                });
            }
        }
    }

    fn learn_service_deployment(
        &mut self,
        deployment: &ServiceDeployment,
        events: &mut Vec<RolloutEvent>,
    ) {
        use ServiceDeploymentStatus as Status;
        let reason = said(&deployment.status_reason);
        if self.said_service_deployment.insert(deployment.status.clone()) {
            events.push(RolloutEvent::ServiceDeployment {
                status: deployment.status.clone(),
                reason: reason.clone(),
            });
        }
        if matches!(
            deployment.status,
            Status::RollbackRequested | Status::RollbackInProgress | Status::RollbackFailed
        ) {
            self.rolling_back = true;
            let rollback = deployment.rollback.as_ref().and_then(|rollback| said(&rollback.reason));
            self.failed.get_or_insert_with(|| {
                rollback.or(reason).unwrap_or_else(|| "ECS rolls the deployment back".to_owned())
            });
        }
    }

    fn learn_messages(
        &mut self,
        target: &Target,
        snapshot: &Snapshot,
        events: &mut Vec<RolloutEvent>,
    ) {
        let mut messages: Vec<_> = snapshot.events.iter().collect();
        messages.sort_by_key(|event| event.at);
        for message in messages {
            if self.said_messages.insert(message.id.clone()) {
                events.extend(messages::worth_telling(target, message));
            }
        }
    }

    fn learn_tasks(
        &mut self,
        target: &Target,
        snapshot: &Snapshot,
        now: EpochMillis,
        events: &mut Vec<RolloutEvent>,
    ) {
        let Some(tasks) = &snapshot.tasks else { return };
        let listed: BTreeSet<&str> = tasks.iter().map(|task| task.arn.as_str()).collect();
        for task in tasks {
            if is_ours(target, task) {
                self.learn_our_task(task, now, events);
            } else if concerns_draining(target, task) {
                let old = self.old_tasks.entry(task.arn.clone()).or_default();
                old.gone |= is_gone(task);
                old.stopping_at = old.stopping_at.or(task.stopping_at);
                old.stopped_at = old.stopped_at.or(task.stopped_at);
            }
        }
        for (arn, old) in &mut self.old_tasks {
            old.gone |= !listed.contains(arn.as_str());
        }
        for (arn, ours) in &mut self.tasks {
            ours.listed = listed.contains(arn.as_str());
        }
        let left = self.old_left();
        if self.least_old_left.is_some_and(|least| left < least) {
            events.push(RolloutEvent::Draining { left });
        }
        if !self.old_tasks.is_empty() {
            self.least_old_left = Some(self.least_old_left.map_or(left, |least| least.min(left)));
        }
    }

    fn learn_our_task(&mut self, task: &Task, now: EpochMillis, events: &mut Vec<RolloutEvent>) {
        let ours = self.tasks.entry(task.arn.clone()).or_insert_with(|| OurTask {
            latest: task.clone(),
            listed: true,
            stage: None,
            unhealthy: false,
            healthy_at: None,
        });
        let Some(stage) = stage(task) else { return };
        if ours.stage.is_some_and(|known| stage < known) {
            return;
        }
        ours.latest = task.clone();
        if task.health == Health::Unhealthy && stage < Stage::Stopping && !ours.unhealthy {
            ours.unhealthy = true;
            events.push(RolloutEvent::TaskUnhealthy { arn: task.arn.clone() });
        }
        if ours.stage == Some(stage) {
            return;
        }
        ours.stage = Some(stage);
        if stage == Stage::Healthy {
            ours.healthy_at = Some(now);
        }
        if stage == Stage::Stopped {
            let stopped = stopped(task);
            if stopped.wants_log_of().is_some() {
                self.last_failure = Some(stopped.to_string());
            }
            events.push(stopped);
        } else {
            events.push(RolloutEvent::Task { arn: task.arn.clone(), stage });
        }
    }

    /// Our tasks that run.
    fn running(&self) -> impl Iterator<Item = &OurTask> {
        self.tasks.values().filter(|task| task.listed && is_running(&task.latest))
    }

    fn old_left(&self) -> u32 {
        let left = self.old_tasks.values().filter(|task| !task.gone).count();
        u32::try_from(left).unwrap_or(u32::MAX)
    }
}

fn stopped(task: &Task) -> RolloutEvent {
    let end: TaskEnd = end(task);
    RolloutEvent::TaskStopped {
        arn: task.arn.clone(),
        end,
        code: task.stop_code.clone(),
        reason: said(&task.stopped_reason),
        containers: task
            .containers
            .iter()
            .map(|container| ContainerEnd {
                name: container.name.clone(),
                exit_code: container.exit_code,
                reason: said(&container.reason),
            })
            .filter(|end| end.exit_code.is_some() || end.reason.is_some())
            .collect(),
    }
}

/// An empty text says nothing; some implementations send it for "none".
fn said(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
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
