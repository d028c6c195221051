//! What happens, as data. Commands emit events; a front in `ui` shows them.

use serde::Serialize;

use crate::progress::ProgressEvent;
use crate::rollout::RolloutEvent;

/// Something that a user wants to see while a command runs.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum Event {
    /// A step of the plan begins.
    StepStarted {
        /// Its place in the plan, from 1.
        number: usize,
        /// How many steps the plan has.
        of: usize,
        /// The step's own text.
        step: String,
    },
    /// The step ended well.
    StepFinished {
        /// Its place in the plan, from 1.
        number: usize,
        /// How long it took.
        seconds: f64,
        /// What came of it.
        detail: Option<String>,
    },
    /// A build goes on.
    Build(#[serde(skip)] ProgressEvent),
    /// A rollout goes on.
    Rollout {
        /// The ECS service.
        service: String,
        /// What is new.
        #[serde(skip)]
        event: RolloutEvent,
    },
    /// The last lines that a container logged before its task stopped.
    TaskLog {
        /// The task's id.
        task: String,
        /// The container.
        container: String,
        /// The lines, oldest first.
        lines: Vec<String>,
    },
    /// A container on this machine logged a line.
    ContainerLog {
        /// The line.
        line: String,
    },
    /// Something worth knowing.
    Note {
        /// The text.
        text: String,
    },
    /// Something that was found; shown with `-v`.
    Detail {
        /// The text.
        text: String,
    },
    /// Something that did not stop the command and should be looked at.
    Warning {
        /// What is wrong.
        text: String,
        /// What to do about it.
        hint: Option<String>,
    },
}
