//! Which tasks are ours, how far they are, and whether they died by themselves.

use serde::Serialize;

use super::machine::Target;
use super::memory::said;
use super::snapshot::{Health, StopCode, Task, TaskStatus};

/// How far a task is. Ordered: a task only ever moves to a later stage, so an
/// earlier one in a later snapshot is a stale answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    Provisioning,
    Pending,
    /// The images are being pulled.
    Pulling,
    /// The images are there, the containers are not up yet.
    Starting,
    Running,
    /// Running, and its container health check passed.
    Healthy,
    Stopping,
    Stopped,
}

/// How a task of ours came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaskEnd {
    /// By itself: it could not start, exited, failed its health checks, or
    /// lost the machine under it.
    Failed,
    /// ECS needed it no longer.
    Retired,
    /// Somebody stopped it.
    StoppedByUser,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Provisioning => "provisioning",
            Self::Pending => "pending",
            Self::Pulling => "pulling",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Healthy => "healthy",
            Self::Stopping => "stopping",
            Self::Stopped => "stopped",
        })
    }
}

impl std::fmt::Display for TaskEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Failed => "failed",
            Self::Retired => "stopped",
            Self::StoppedByUser => "was stopped",
        })
    }
}

/// The last part of a task's ARN, which people and log streams know it by.
pub fn task_id(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// `family:revision` of a task definition ARN.
pub(super) fn revision(task_definition: &str) -> &str {
    task_definition.rsplit('/').next().unwrap_or(task_definition)
}

/// Whether our deployment started the task.
///
/// The deployment id in `startedBy` decides where there is one. Without it, it
/// takes our task definition and a birth after our start: the definition alone
/// would also match the tasks that a forced redeploy replaces.
pub(super) fn is_ours(target: &Target, task: &Task) -> bool {
    match task.started_by.as_deref() {
        Some(id) if id == target.deployment_id => true,
        Some(id) if id.starts_with("ecs-svc/") => false,
        _ => {
            task.task_definition == target.task_definition
                && match task.created_at {
                    Some(created) => created >= floor_to_second(target.started_at),
                    None => {
                        target.previous_task_definition.as_deref() != Some(&target.task_definition)
                    }
                }
        }
    }
}

/// Whether a task that is not ours still holds on, or let go only after our
/// rollout began. Stopped tasks are listed for about an hour.
pub(super) fn concerns_draining(target: &Target, task: &Task) -> bool {
    !is_ours(target, task)
        && task
            .stopped_at
            .or(task.stopping_at)
            .is_none_or(|end| end >= floor_to_second(target.started_at))
}

/// Whether the task runs and is meant to go on running.
pub(super) fn is_running(task: &Task) -> bool {
    task.last_status == TaskStatus::Running && task.desired_status != TaskStatus::Stopped
}

/// Whether nothing of the task is left.
pub(super) fn is_gone(task: &Task) -> bool {
    matches!(task.last_status, TaskStatus::Stopped | TaskStatus::Deleted)
}

/// How far the task is; `None` for a status this version does not know.
pub(super) fn stage(task: &Task) -> Option<Stage> {
    let pulling = task.pull_started_at.is_some();
    let pulled = task.pull_stopped_at.is_some();
    Some(match &task.last_status {
        TaskStatus::Provisioning => Stage::Provisioning,
        TaskStatus::Pending if !pulling => Stage::Pending,
        TaskStatus::Pending | TaskStatus::Activating if pulled => Stage::Starting,
        TaskStatus::Pending | TaskStatus::Activating => Stage::Pulling,
        TaskStatus::Running if task.desired_status == TaskStatus::Stopped => Stage::Stopping,
        TaskStatus::Running if task.health == Health::Healthy => Stage::Healthy,
        TaskStatus::Running => Stage::Running,
        TaskStatus::Deactivating | TaskStatus::Stopping | TaskStatus::Deprovisioning => {
            Stage::Stopping
        }
        TaskStatus::Stopped | TaskStatus::Deleted => Stage::Stopped,
        TaskStatus::Unknown(_) => return None,
    })
}

/// Whether a stopped task died by itself.
///
/// The scheduler is also the one that kills a task whose health checks fail,
/// so its stop code alone does not mean that the task was well.
pub(super) fn end(task: &Task) -> TaskEnd {
    let reason = task.stopped_reason.as_deref().unwrap_or_default().to_ascii_lowercase();
    match &task.stop_code {
        Some(StopCode::UserInitiated) => TaskEnd::StoppedByUser,
        Some(StopCode::ServiceSchedulerInitiated) => {
            if reason.contains("fail") || reason.contains("unhealthy") {
                TaskEnd::Failed
            } else {
                TaskEnd::Retired
            }
        }
        Some(StopCode::Unknown(code)) if code.is_empty() => end_without_code(task, &reason),
        Some(_) => TaskEnd::Failed,
        None => end_without_code(task, &reason),
    }
}

fn end_without_code(task: &Task, reason: &str) -> TaskEnd {
    let crashed = task.containers.iter().any(|container| {
        said(&container.reason).is_some() || container.exit_code.unwrap_or(0) != 0
    });
    if reason.starts_with("scaling activity") {
        TaskEnd::Retired
    } else if crashed || reason.contains("exited") || reason.contains("fail") {
        TaskEnd::Failed
    } else {
        TaskEnd::Retired
    }
}

/// Some implementations keep whole seconds only; a task born in the second of
/// our start must not look older than the start.
pub(super) fn floor_to_second(at: i64) -> i64 {
    at - at.rem_euclid(1000)
}
