//! From one snapshot, and what earlier ones taught, to a proposed verdict.
//!
//! A proposal says how many snapshots in a row have to agree before it is
//! believed. What only truth can show needs one; what a stale or half-updated
//! reply can show as well needs more:
//!
//! | seen | snapshots | because |
//! |---|---|---|
//! | ours `COMPLETED`, its tasks running | 1 | nothing else looks like it |
//! | ours without a rollout state, steady | 3 | steadiness is all there is |
//! | ours `FAILED` and still primary | 3 | a rollback may be about to begin |
//! | ours replaced by an unknown task definition | 1 | a primary is never invented |
//! | ours replaced by the previous one, not failed | 3 | it may still turn out failed |
//! | ours absent, after it was seen | 3 | stale reply |
//! | ours absent, never seen | 15 | stale replies come just after an update |
//! | service deleted, or unknown | 3 | stale reply |
//!
//! What `DescribeServiceDeployments` says goes before all of it.

use super::machine::Target;
use super::memory::Memory;
use super::snapshot::{
    Deployment, DeploymentStatus, MonitorStatus, RolloutState, ServiceDeployment,
    ServiceDeploymentStatus, ServiceStatus, Snapshot,
};
use super::tasks::{is_ours, is_running};
use super::verdict::{RollbackOutcome, Verdict};

const AT_ONCE: u32 = 1;
const SETTLED: u32 = 3;
const NEVER_SEEN: u32 = 15;

/// A verdict, and how many snapshots in a row have to propose it.
pub(super) struct Proposal {
    pub(super) verdict: Verdict,
    pub(super) confirmations: u32,
}

/// What this snapshot speaks for; `None` to go on watching.
pub(super) fn propose(target: &Target, memory: &Memory, snapshot: &Snapshot) -> Option<Proposal> {
    let view = View::new(target, memory, snapshot);
    let status = &snapshot.service.status;
    use ServiceStatus::{Draining, Inactive, Missing};
    if matches!(status, Draining | Inactive | Missing) {
        return settled(Verdict::Stopped {
            reason: format!("the service was deleted, its status is {status}"),
        });
    }
    match &snapshot.service_deployment {
        Some(deployment) => view.by_service_deployment(deployment),
        None => view.by_deployments(),
    }
}

/// One snapshot, with our deployment and its rival picked out.
struct View<'a> {
    target: &'a Target,
    memory: &'a Memory,
    snapshot: &'a Snapshot,
    /// Ours, unless it is gone or completely replaced.
    ours: Option<&'a Deployment>,
    /// The primary deployment when it is not ours.
    rival: Option<&'a Deployment>,
}

impl<'a> View<'a> {
    fn new(target: &'a Target, memory: &'a Memory, snapshot: &'a Snapshot) -> Self {
        let ours = snapshot.deployments.iter().find(|deployment| {
            deployment.id == target.deployment_id && deployment.status != DeploymentStatus::Inactive
        });
        let rival = snapshot.deployments.iter().find(|deployment| {
            deployment.id != target.deployment_id && deployment.status == DeploymentStatus::Primary
        });
        Self { target, memory, snapshot, ours, rival }
    }

    fn by_service_deployment(&self, deployment: &ServiceDeployment) -> Option<Proposal> {
        use ServiceDeploymentStatus as Status;
        match &deployment.status {
            Status::Successful if self.is_superseded() => self.superseded(self.patience()),
            Status::Successful => self.succeeded_if_running(AT_ONCE),
            Status::RollbackSuccessful => at_once(Verdict::RolledBack {
                to: self.rival.map(|rival| rival.task_definition.clone()),
                reason: self.memory.failure(rollback_reason(deployment)),
            }),
            Status::RollbackFailed => at_once(Verdict::Failed {
                reason: self.memory.failure(rollback_reason(deployment)),
                rollback: RollbackOutcome::Failed,
            }),
            Status::Stopped => self.stopped(deployment),
            Status::RollbackRequested | Status::RollbackInProgress => None,
            // Stopping a superseded deployment takes ECS a while, in which
            // DescribeServices already knows better.
            Status::Pending | Status::InProgress | Status::StopRequested => {
                if self.is_superseded() { self.superseded(self.patience()) } else { None }
            }
            Status::Unknown(_) => self.by_deployments(),
        }
    }

    /// ECS stops a deployment because a newer one came, because it failed and
    /// must not be rolled back, or because somebody asked for it.
    fn stopped(&self, deployment: &ServiceDeployment) -> Option<Proposal> {
        let tripped = deployment
            .circuit_breaker
            .as_ref()
            .is_some_and(|breaker| breaker.status == MonitorStatus::Triggered);
        if self.is_superseded() {
            self.superseded(self.patience())
        } else if tripped || self.memory.failed.is_some() {
            settled(Verdict::Failed {
                reason: self.memory.failure(deployment.status_reason.as_deref()),
                rollback: RollbackOutcome::NotStarted,
            })
        } else {
            let reason = match deployment.status_reason.as_deref() {
                Some(reason) if !reason.is_empty() => reason,
                _ => "the service deployment was stopped",
            };
            settled(Verdict::Stopped { reason: reason.to_owned() })
        }
    }

    fn by_deployments(&self) -> Option<Proposal> {
        match (self.ours, self.rival) {
            (Some(ours), None) => self.alone(ours),
            (Some(_), Some(rival)) if self.is_rollback(rival) => {
                self.rolled_back_if_done(rival, AT_ONCE)
            }
            (Some(_), Some(rival)) if self.target.is_previous(rival) => self.superseded(SETTLED),
            (Some(_), Some(_)) => self.superseded(AT_ONCE),
            (None, Some(rival)) => {
                let patience = self.patience();
                // Nothing told of a failure, but a failed deployment's traces
                // may be gone by the time we look.
                let put_back = self.target.is_previous(rival)
                    && rival.task_definition != self.target.task_definition;
                if self.is_rollback(rival) || put_back {
                    self.rolled_back_if_done(rival, patience)
                } else {
                    self.superseded(patience)
                }
            }
            // No primary at all is half an answer.
            (None, None) => None,
        }
    }

    /// Ours is the deployment the service is moving to.
    fn alone(&self, ours: &Deployment) -> Option<Proposal> {
        if ours.status != DeploymentStatus::Primary {
            return None;
        }
        match &ours.rollout_state {
            Some(RolloutState::Completed) => self.succeeded_if_running(AT_ONCE),
            Some(RolloutState::Failed) => settled(Verdict::Failed {
                reason: self.memory.failure(None),
                rollback: RollbackOutcome::NotStarted,
            }),
            Some(RolloutState::InProgress | RolloutState::Unknown(_)) => None,
            None => {
                let others_gone = self
                    .snapshot
                    .deployments
                    .iter()
                    .filter(|other| other.id != ours.id)
                    .all(|other| other.running + other.pending == 0);
                if ours.pending == 0 && others_gone {
                    self.succeeded_if_running(SETTLED)
                } else {
                    None
                }
            }
        }
    }

    /// Success needs as many running tasks as are wanted, in the counts of our
    /// deployment and in the tasks themselves: a new service's deployment may
    /// be called complete before anything runs.
    fn succeeded_if_running(&self, confirmations: u32) -> Option<Proposal> {
        let ours = self.ours?;
        let wanted = ours.desired.max(self.snapshot.service.desired);
        let tasks_run = self
            .snapshot
            .tasks
            .iter()
            .flatten()
            .any(|task| is_ours(self.target, task) && is_running(task));
        let enough = ours.running >= wanted && (wanted == 0 || tasks_run);
        enough.then_some(Proposal {
            verdict: Verdict::Succeeded { running: ours.running },
            confirmations,
        })
    }

    /// The rollback counts once the earlier version is up again; until then
    /// the service may still end with nothing.
    fn rolled_back_if_done(&self, rival: &Deployment, confirmations: u32) -> Option<Proposal> {
        let wanted = rival.desired.max(self.snapshot.service.desired);
        match &rival.rollout_state {
            Some(RolloutState::Failed) => settled(Verdict::Failed {
                reason: self.memory.failure(None),
                rollback: RollbackOutcome::Failed,
            }),
            Some(RolloutState::Completed) | None if rival.running >= wanted => Some(Proposal {
                verdict: Verdict::RolledBack {
                    to: Some(rival.task_definition.clone()),
                    reason: self.memory.failure(None),
                },
                confirmations,
            }),
            _ => None,
        }
    }

    fn superseded(&self, confirmations: u32) -> Option<Proposal> {
        let rival = self.rival?;
        Some(Proposal {
            verdict: Verdict::Superseded {
                by: rival.id.clone(),
                task_definition: rival.task_definition.clone(),
                failure: self.memory.failed.clone(),
            },
            confirmations,
        })
    }

    fn is_superseded(&self) -> bool {
        self.rival.is_some_and(|rival| !self.is_rollback(rival))
    }

    fn is_rollback(&self, rival: &Deployment) -> bool {
        self.memory.is_rollback(self.target, rival)
    }

    /// How often the absence of ours has to be seen.
    fn patience(&self) -> u32 {
        if self.memory.seen { SETTLED } else { NEVER_SEEN }
    }
}

fn at_once(verdict: Verdict) -> Option<Proposal> {
    Some(Proposal { verdict, confirmations: AT_ONCE })
}

fn settled(verdict: Verdict) -> Option<Proposal> {
    Some(Proposal { verdict, confirmations: SETTLED })
}

fn rollback_reason(deployment: &ServiceDeployment) -> Option<&str> {
    let rollback = deployment.rollback.as_ref().and_then(|rollback| rollback.reason.as_deref());
    rollback.or(deployment.status_reason.as_deref())
}
