//! What the user is told while a rollout goes on. Each event comes once.

use serde::Serialize;

use super::snapshot::{
    DeploymentStatus, EpochMillis, RolloutState, ServiceDeploymentStatus, StopCode,
};
use super::tasks::{Stage, TaskEnd, revision, task_id};

/// Something that happened, told once.
#[expect(missing_docs, reason = "the names of fields say what they are")]
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum RolloutEvent {
    /// Our deployment's status or rollout state is new.
    Deployment {
        status: DeploymentStatus,
        rollout_state: Option<RolloutState>,
        reason: Option<String>,
    },
    /// The status of our service deployment is new.
    ServiceDeployment { status: ServiceDeploymentStatus, reason: Option<String> },
    /// One of our tasks came further.
    Task { arn: String, stage: Stage },
    /// The health check of one of our tasks fails.
    TaskUnhealthy { arn: String },
    /// One of our tasks stopped. When it stopped by itself
    /// ([`TaskEnd::Failed`]) its log is worth showing.
    TaskStopped {
        arn: String,
        end: TaskEnd,
        code: Option<StopCode>,
        reason: Option<String>,
        containers: Vec<ContainerEnd>,
    },
    /// ECS counts more consecutive failures of our deployment than before.
    FailedTasks {
        failed: u32,
        /// Failures at which the circuit breaker trips, where ECS tells.
        threshold: Option<u32>,
    },
    /// Tasks of earlier deployments that have not stopped yet.
    Draining { left: u32 },
    /// ECS goes back to an earlier deployment.
    RollingBack { deployment: String, task_definition: String },
    /// A service event that says more than the events above.
    Message {
        id: String,
        at: EpochMillis,
        text: String,
        /// Whether it tells of trouble.
        problem: bool,
    },
}

/// How a container of a stopped task ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ContainerEnd {
    /// Its name in the task definition.
    pub name: String,
    /// Whether its health check failed.
    pub unhealthy: bool,
    /// What its process exited with, if it came so far.
    pub exit_code: Option<i32>,
    /// What ECS says about it, such as why it did not start.
    pub reason: Option<String>,
}

impl RolloutEvent {
    /// The task whose last log lines belong to this event, and which containers' lines: none
    /// named means all of them.
    pub fn wants_log_of(&self) -> Option<(&str, Vec<&str>)> {
        match self {
            Self::TaskStopped { arn, end: TaskEnd::Failed, code, containers, .. } => {
                Some((arn, culprits(code.as_ref(), containers)))
            }
            _ => None,
        }
    }
}

/// The containers that a task died of. ECS stops the others with it, by SIGTERM and SIGKILL
/// (exit codes 143 and 137), and many end with 0 then.
fn culprits<'a>(code: Option<&StopCode>, containers: &'a [ContainerEnd]) -> Vec<&'a str> {
    let those = |died: fn(&ContainerEnd) -> bool| -> Vec<&'a str> {
        containers.iter().filter(|of| died(of)).map(|of| of.name.as_str()).collect()
    };
    let died = those(|of| {
        of.unhealthy || of.reason.is_some() || of.exit_code.is_some_and(|code| !by_ecs(code))
    });
    if died.is_empty() && code == Some(&StopCode::EssentialContainerExited) {
        // One that is needed for good ended well.
        return those(|of| of.exit_code == Some(0));
    }
    died
}

/// Whether a container that ECS stops may end so.
fn by_ecs(exit_code: i32) -> bool {
    matches!(exit_code, 0 | 137 | 143)
}

impl std::fmt::Display for RolloutEvent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Deployment { status, rollout_state, reason } => {
                write!(f, "deployment {status}")?;
                if let Some(state) = rollout_state {
                    write!(f, " {state}")?;
                }
                because(f, reason.as_deref())
            }
            Self::ServiceDeployment { status, reason } => {
                write!(f, "service deployment {status}")?;
                because(f, reason.as_deref())
            }
            Self::Task { arn, stage } => write!(f, "task {} {stage}", task_id(arn)),
            Self::TaskUnhealthy { arn } => write!(f, "task {} unhealthy", task_id(arn)),
            Self::TaskStopped { arn, end, reason, containers, .. } => {
                write!(f, "task {} {end}", task_id(arn))?;
                because(f, reason.as_deref())?;
                for container in containers {
                    write!(f, "; {container}")?;
                }
                Ok(())
            }
            Self::FailedTasks { failed, threshold: Some(threshold) } => {
                write!(f, "{failed} failed in a row, the circuit breaker trips at {threshold}")
            }
            Self::FailedTasks { failed, threshold: None } => write!(f, "{failed} failed in a row"),
            Self::Draining { left: 0 } => f.write_str("old tasks are gone"),
            Self::Draining { left } => write!(f, "old tasks draining, {left} left"),
            Self::RollingBack { deployment, task_definition } => {
                write!(f, "rolling back to {} (deployment {deployment})", revision(task_definition))
            }
            Self::Message { text, .. } => f.write_str(text),
        }
    }
}

impl std::fmt::Display for ContainerEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        if self.unhealthy {
            f.write_str(" was unhealthy")?;
        }
        if let Some(code) = self.exit_code {
            let and = if self.unhealthy { " and" } else { "" };
            write!(f, "{and} exited with {code}")?;
        }
        because(f, self.reason.as_deref())
    }
}

fn because(f: &mut std::fmt::Formatter<'_>, reason: Option<&str>) -> std::fmt::Result {
    match reason {
        Some(reason) => write!(f, ": {}", reason.trim_end_matches('.')),
        None => Ok(()),
    }
}
