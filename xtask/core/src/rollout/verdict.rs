//! How a rollout ended.

use serde::Serialize;

use super::Millis;
use super::machine::Progress;
use super::phases::{as_seconds, as_seconds_if_any};
use super::tasks::revision;
use crate::exit::Exit;

/// How a rollout ended. Each verdict has its own exit code, so that a script
/// or a CI job can tell them apart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "verdict", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Verdict {
    /// Our deployment completed and its tasks run.
    Succeeded {
        /// Running tasks of our deployment. Zero when the service's desired
        /// count is zero: then nothing was proved, and the user is told so.
        running: u32,
    },
    /// Our deployment failed and ECS put the earlier one back; that one runs.
    RolledBack {
        /// Task definition that serves again, where it is known.
        to: Option<String>,
        /// Why, in the words of ECS.
        reason: String,
    },
    /// Our deployment failed and was not rolled back.
    Failed {
        /// Why, in the words of ECS.
        reason: String,
        /// What became of putting the earlier one back.
        rollback: RollbackOutcome,
    },
    /// A later deployment took our deployment's place.
    Superseded {
        /// Id of that deployment.
        by: String,
        /// Its task definition.
        task_definition: String,
        /// Why ours had failed before, if it had.
        failure: Option<String>,
    },
    /// Somebody stopped the deployment or deleted the service.
    Stopped {
        /// What was seen of it.
        reason: String,
    },
    /// The deadline passed; ECS goes on with the rollout, as far as it could be seen.
    DeadlinePassed {
        /// How long was waited.
        #[serde(rename = "after-seconds", serialize_with = "as_seconds")]
        #[cfg_attr(feature = "schema", schemars(with = "f64"))]
        after: Millis,
        /// How far the rollout was.
        progress: Progress,
        /// The last failure that was seen.
        last_failure: Option<String>,
        /// For how long before the deadline nothing could be read: what ECS did meanwhile is not
        /// known. `null` when it was seen to the end.
        #[serde(rename = "unseen-seconds", serialize_with = "as_seconds_if_any")]
        #[cfg_attr(feature = "schema", schemars(with = "Option<f64>"))]
        unseen: Option<Millis>,
    },
}

/// What became of the rollback of a failed deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RollbackOutcome {
    /// ECS did not begin one: there is nothing to go back to, or it is not
    /// configured. Putting the previous revision back is up to us.
    NotStarted,
    /// ECS was still at it when the deadline passed.
    InProgress,
    /// The rollback failed as well.
    Failed,
    /// Nothing could be read any more when it would have begun.
    Unknown,
}

impl Verdict {
    /// The exit code that it ends a command with.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Succeeded { .. } => Exit::Success,
            Self::RolledBack { .. } => Exit::RolledBack,
            Self::Failed { .. } | Self::Stopped { .. } => Exit::RolloutFailed,
            Self::Superseded { .. } => Exit::Superseded,
            Self::DeadlinePassed { .. } => Exit::DeadlinePassed,
        }
    }

    /// Orders verdicts by how much they ask of the user, worst highest.
    fn severity(&self) -> u8 {
        match self {
            Self::Succeeded { .. } => 0,
            Self::Superseded { .. } => 1,
            Self::DeadlinePassed { .. } => 2,
            Self::RolledBack { .. } => 3,
            Self::Stopped { .. } => 4,
            Self::Failed { .. } => 5,
        }
    }
}

/// The verdict that stands for several services rolled out side by side: the
/// worst one, the first of equals. `None` only for no verdicts at all.
pub fn worst(verdicts: impl IntoIterator<Item = Verdict>) -> Option<Verdict> {
    verdicts.into_iter().reduce(
        |worst, next| {
            if next.severity() > worst.severity() { next } else { worst }
        },
    )
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Succeeded { running: 0 } => {
                f.write_str("succeeded, but the desired count is 0: nothing runs")
            }
            Self::Succeeded { running } => write!(f, "succeeded, {running} running"),
            Self::RolledBack { to: Some(to), reason } => {
                write!(f, "rolled back to {}: {reason}", revision(to))
            }
            Self::RolledBack { to: None, reason } => write!(f, "rolled back: {reason}"),
            Self::Failed { reason, rollback } => {
                let rollback = match rollback {
                    RollbackOutcome::NotStarted => "not rolled back",
                    RollbackOutcome::InProgress => "the rollback is still under way",
                    RollbackOutcome::Failed => "the rollback failed too",
                    RollbackOutcome::Unknown => "whether it was rolled back is not known",
                };
                write!(f, "failed, {rollback}: {reason}")
            }
            Self::Superseded { by, task_definition, failure } => {
                write!(f, "superseded by deployment {by} of {}", revision(task_definition))?;
                match failure {
                    Some(failure) => write!(f, "; ours had failed: {failure}"),
                    None => Ok(()),
                }
            }
            Self::Stopped { reason } => write!(f, "stopped: {reason}"),
            Self::DeadlinePassed { after, progress, last_failure, unseen } => {
                let seconds = after / 1000;
                match unseen {
                    None => write!(f, "still rolling out after {seconds} s: {progress}")?,
                    Some(unseen) => write!(
                        f,
                        "not known to have ended after {seconds} s: nothing could be read in the \
                         last {} s, and before that it was {progress}",
                        unseen / 1000
                    )?,
                }
                match last_failure {
                    Some(failure) => write!(f, "; last failure: {failure}"),
                    None => Ok(()),
                }
            }
        }
    }
}
