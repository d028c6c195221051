//! The end of the log of every task that died by itself, as soon as there is one.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::aws::{Aws, logs};
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Again, again};
use xtask_core::rollout::{RolloutEvent, Target, task_id};

/// How often a log that is empty is looked at: lines are on their way to CloudWatch Logs for a
/// few seconds, also after their container has ended.
const TRIES: u32 = 6;

/// How long one log is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Logs that are to be shown, and what was said once.
#[derive(Default)]
pub(super) struct TaskLogs {
    wanted: Vec<TaskLog>,
    /// Containers whose logs are told to be elsewhere.
    elsewhere: BTreeSet<String>,
}

struct TaskLog {
    task_definition: String,
    /// The task's ARN.
    task: String,
    /// None named: all.
    containers: Vec<String>,
    tries: u32,
}

impl TaskLogs {
    /// Notes whose log belongs to an event.
    pub(super) fn want(&mut self, target: &Target, event: &RolloutEvent) {
        let Some((task, containers)) = event.wants_log_of() else { return };
        // What never ran has logged nothing, and never will.
        let RolloutEvent::TaskStopped { containers: ends, .. } = event else { return };
        let ran = ends.is_empty() || ends.iter().any(|end| end.exit_code.is_some());
        self.wanted.push(TaskLog {
            task_definition: target.task_definition.clone(),
            task: task.to_owned(),
            containers: containers.into_iter().map(str::to_owned).collect(),
            tries: if ran { TRIES } else { 1 },
        });
    }

    /// Whether something is still to be shown.
    pub(super) fn is_waiting(&self) -> bool {
        !self.wanted.is_empty()
    }

    /// Shows what there is by now.
    pub(super) async fn show(&mut self, ui: &Ui, aws: &Aws) {
        for mut log in std::mem::take(&mut self.wanted) {
            log.tries -= 1;
            let TaskLog { task_definition, task, containers, .. } = &log;
            let tail = logs::tail(aws, task_definition, task, containers);
            // The rollout goes on meanwhile, and is what is watched.
            let tails = match tokio::time::timeout(PATIENCE, tail).await {
                Ok(Ok(tails)) => tails,
                Err(_) if log.tries > 0 => {
                    self.wanted.push(log);
                    continue;
                }
                Ok(Err(error)) if log.tries > 0 && again(&error) != Again::Useless => {
                    self.wanted.push(log);
                    continue;
                }
                Err(_) => {
                    let text = format!("the log of {} does not come", task_id(task));
                    ui.emit(&Event::Note { text });
                    continue;
                }
                Ok(Err(error)) => {
                    let text = format!("the log of {} can not be read: {error:#}", task_id(task));
                    ui.emit(&Event::Note { text });
                    continue;
                }
            };
            let mut empty = Vec::new();
            for logs::Tail { container, lines } in tails {
                match lines {
                    Ok(lines) if lines.is_empty() => empty.push(container),
                    Ok(lines) => {
                        let task = task_id(task).to_owned();
                        ui.emit(&Event::TaskLog { task, container, lines });
                    }
                    Err(place) if self.elsewhere.insert(container.clone()) => {
                        ui.emit(&Event::Note {
                            text: format!(
                                "{container} logs to {place}, which can not be read here"
                            ),
                        });
                    }
                    Err(_) => {}
                }
            }
            if log.tries > 0 && !empty.is_empty() {
                log.containers = empty;
                self.wanted.push(log);
            }
        }
    }
}
