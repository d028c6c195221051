//! What the snapshots so far taught about our deployment and its rivals.
//!
//! Every `learn` also tells what is new, so that each event comes once.

use std::collections::BTreeSet;

use super::event::RolloutEvent;
use super::machine::{Progress, Target};
use super::messages;
use super::snapshot::{
    Deployment, DeploymentStatus, EpochMillis, RolloutState, ServiceDeployment,
    ServiceDeploymentStatus, Snapshot,
};
use super::task_memory::TaskMemory;
use super::tasks::floor_to_second;

/// What earlier snapshots taught.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Memory {
    /// Ours was in the list at least once.
    pub(super) seen: bool,
    /// Why ours failed. Set for good: ECS never takes `FAILED` back. The service's
    /// events say it also when nobody looked in between.
    pub(super) failed: Option<String>,
    /// Deployments that said they roll ours back.
    rollbacks: BTreeSet<String>,
    /// Deployments that were not primary while ours was.
    older: BTreeSet<String>,
    /// ECS is on its way back from ours.
    pub(super) rolling_back: bool,
    pub(super) progress: Progress,
    /// When ours was first seen complete.
    pub(super) completed_at: Option<EpochMillis>,
    pub(super) tasks: TaskMemory,
    said_deployment: BTreeSet<(DeploymentStatus, Option<RolloutState>)>,
    said_service_deployment: BTreeSet<ServiceDeploymentStatus>,
    said_messages: BTreeSet<String>,
    said_rollback: BTreeSet<String>,
}

impl Memory {
    /// Whether the primary deployment is ECS going back: an earlier deployment
    /// made primary again, one whose reason says so, or the previous task
    /// definition after ours failed.
    pub(super) fn is_rollback(&self, target: &Target, primary: &Deployment) -> bool {
        self.rollbacks.contains(&primary.id)
            || self.is_older(target, primary)
            || (self.failed.is_some() && target.is_previous(primary))
    }

    /// Whether the deployment was there before ours.
    fn is_older(&self, target: &Target, deployment: &Deployment) -> bool {
        self.older.contains(&deployment.id)
            || deployment
                .created_at
                .is_some_and(|created| created < floor_to_second(target.started_at))
    }

    /// Why ours failed: what ECS says, and the last task that died of it.
    pub(super) fn failure(&self, said: Option<&str>) -> String {
        let said = said.filter(|said| !said.is_empty()).or(self.failed.as_deref());
        let reason = said.unwrap_or("ECS gave no reason").trim_end_matches('.');
        match &self.tasks.last_failure {
            Some(task) => format!("{reason}; {task}"),
            None => reason.to_owned(),
        }
    }

    /// Takes a snapshot in, and tells what is new in it.
    pub(super) fn learn(&mut self, target: &Target, snapshot: &Snapshot) -> Vec<RolloutEvent> {
        let mut events = Vec::new();
        let now = target.started_at.saturating_add_unsigned(snapshot.at);
        // Tasks first: the reason of a failure is theirs.
        self.tasks.learn(target, snapshot, now, &mut events);
        self.learn_ours(target, snapshot, now, &mut events);
        if let Some(message) = snapshot.events.iter().find(|e| messages::says_failed(target, e)) {
            self.failed.get_or_insert_with(|| message.message.clone());
        }
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
        // A primary from before ours may also be a stale answer; it is not
        // once ours failed or stands beside it.
        let beside = snapshot.deployments.iter().any(|d| d.id == target.deployment_id);
        if (self.failed.is_some() || beside) && self.is_rollback(target, rival) {
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
        // ECS sends the newest first, and several in the same instant.
        let mut messages: Vec<_> = snapshot.events.iter().rev().collect();
        messages.sort_by_key(|event| event.at);
        for message in messages {
            if self.said_messages.insert(message.id.clone()) {
                events.extend(messages::worth_telling(target, message));
            }
        }
    }
}

/// An empty text says nothing; some implementations send it for "none".
pub(super) fn said(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}
