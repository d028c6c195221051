//! What the snapshots so far taught about tasks, ours and those before.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{ContainerEnd, RolloutEvent};
use super::machine::Target;
use super::memory::said;
use super::phases::{Draining, PhaseTimes, TaskTimes, between};
use super::snapshot::{EpochMillis, Health, Snapshot, Task};
use super::tasks::{Stage, concerns_draining, end, is_gone, is_ours, is_running, stage};

/// The tasks of a rollout by ARN.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct TaskMemory {
    /// The last task of ours that died by itself, and how.
    pub(super) last_failure: Option<String>,
    ours: BTreeMap<String, OurTask>,
    /// Tasks of other deployments.
    old: BTreeMap<String, OldTask>,
    least_old_left: Option<u32>,
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

impl TaskMemory {
    /// Takes a snapshot's tasks in, `now` on AWS's clock, and tells what is new.
    pub(super) fn learn(
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
                self.learn_ours(task, now, events);
            } else if concerns_draining(target, task) {
                let old = self.old.entry(task.arn.clone()).or_default();
                old.gone |= is_gone(task);
                old.stopping_at = old.stopping_at.or(task.stopping_at);
                old.stopped_at = old.stopped_at.or(task.stopped_at);
            }
        }
        for (arn, old) in &mut self.old {
            old.gone |= !listed.contains(arn.as_str());
        }
        for (arn, ours) in &mut self.ours {
            ours.listed = listed.contains(arn.as_str());
        }
        let left = self.old_left();
        if self.least_old_left.is_some_and(|least| left < least) {
            events.push(RolloutEvent::Draining { left });
        }
        if !self.old.is_empty() {
            self.least_old_left = Some(self.least_old_left.map_or(left, |least| least.min(left)));
        }
    }

    fn learn_ours(&mut self, task: &Task, now: EpochMillis, events: &mut Vec<RolloutEvent>) {
        let ours = self.ours.entry(task.arn.clone()).or_insert_with(|| OurTask {
            latest: task.clone(),
            listed: true,
            stage: None,
            unhealthy: false,
            healthy_at: None,
        });
        let Some(stage) = stage(task) else { return };
        if task.health == Health::Unhealthy && stage < Stage::Stopping && !ours.unhealthy {
            ours.unhealthy = true;
            events.push(RolloutEvent::TaskUnhealthy { arn: task.arn.clone() });
        }
        if ours.stage.is_some_and(|known| stage < known) {
            return;
        }
        ours.latest = task.clone();
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
    pub(super) fn running(&self) -> impl Iterator<Item = &Task> {
        self.ours_running().map(|task| &task.latest)
    }

    fn ours_running(&self) -> impl Iterator<Item = &OurTask> {
        self.ours.values().filter(|task| task.listed && is_running(&task.latest))
    }

    fn old_left(&self) -> u32 {
        let left = self.old.values().filter(|task| !task.gone).count();
        u32::try_from(left).unwrap_or(u32::MAX)
    }

    /// Where the time went, over the tasks that run now.
    pub(super) fn phase_times(&self, completed_at: Option<EpochMillis>) -> PhaseTimes {
        let drain_began = self.old.values().filter_map(|task| task.stopping_at).min();
        let last_start =
            self.running().filter_map(|task| task.started_at).max().unwrap_or(i64::MIN);
        // Old tasks are told to stop only when the new ones count as healthy.
        let accepted = drain_began.filter(|began| *began >= last_start);
        let accepted = accepted.or(completed_at);
        let times: Vec<TaskTimes> = self
            .ours_running()
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
    pub(super) fn draining(&self) -> Option<Draining> {
        let old = || self.old.values();
        let began = old().filter_map(|task| task.stopping_at).min()?;
        let ended = old().filter_map(|task| task.stopped_at).max().unwrap_or(began);
        Some(Draining { took: between(began, ended)?, left: self.old_left() })
    }
}

fn stopped(task: &Task) -> RolloutEvent {
    RolloutEvent::TaskStopped {
        arn: task.arn.clone(),
        end: end(task),
        code: task.stop_code.clone(),
        reason: said(&task.stopped_reason),
        containers: task
            .containers
            .iter()
            .map(|container| ContainerEnd {
                name: container.name.clone(),
                unhealthy: container.health == Health::Unhealthy,
                exit_code: container.exit_code,
                reason: said(&container.reason),
            })
            .filter(|end| end.exit_code.is_some() || end.reason.is_some() || end.unhealthy)
            .collect(),
    }
}
