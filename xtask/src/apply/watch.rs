//! Feeds the state machine of [`crate::rollout`] with snapshots until each service has its
//! verdict.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ecs::Updated;
use crate::aws::{Aws, logs};
use crate::config::Environment;
use crate::event::Event;
use crate::exit::Failure;
use crate::observe::beside::beside;
use crate::observe::rollout::snapshot;
use crate::rollout::{
    self, Draining, Millis, PhaseTimes, RolloutEvent, State, Task, Verdict, task_id,
};
use crate::ui::Ui;
use crate::units::format_duration;

/// How long between two looks at first, and later. ECS changes slowly, but an emulator or a
/// small service may be done within a second.
const SOON: Duration = Duration::from_millis(250);
const LATER: Duration = Duration::from_secs(2);

/// How a rollout went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// How it ended.
    pub verdict: Verdict,
    /// The tasks that run at its end.
    pub tasks: Vec<Task>,
    /// Where the time went.
    pub phases: PhaseTimes,
    /// How long the old tasks took to go.
    pub draining: Option<Draining>,
}

/// Watches rollouts side by side.
///
/// What can not be read is tried again until the deadline: a rollout does not stop because
/// nobody is looking.
///
/// # Errors
/// None but a bug's: a failed rollout is a verdict.
pub async fn watch(
    ui: &Ui,
    aws: &Aws,
    cluster: &str,
    updated: &[Updated],
    deadline: Duration,
) -> Result<BTreeMap<String, Outcome>> {
    let start = Instant::now();
    let mut open: Vec<State> =
        updated.iter().filter_map(|u| u.target.clone()).map(State::new).collect();
    let mut outcomes = BTreeMap::new();
    let mut pause = SOON;
    let mut unreadable = BTreeMap::new();
    while !open.is_empty() {
        let passed = start.elapsed() >= deadline;
        let at = Millis::try_from(start.elapsed().as_millis()).unwrap_or(Millis::MAX);
        let looks = open.iter().map(|state| look(aws.clone(), cluster.to_owned(), state, at));
        let mut looks: BTreeMap<_, _> = beside(looks).await?.into_iter().collect();
        let mut still_open = Vec::new();
        for state in open {
            let service = state.target().service.clone();
            let (state, verdict) = match looks.remove(&service).unwrap_or(Ok(None)) {
                Ok(Some(snapshot)) => {
                    unreadable.remove(&service);
                    let (state, events, verdict) = rollout::step(state, &snapshot);
                    for event in events {
                        show(ui, aws, &state, event).await;
                    }
                    (state, verdict)
                }
                Ok(None) => (state, None),
                Err(error) => {
                    pause = LATER;
                    if !unreadable.contains_key(&service) {
                        unreadable.insert(service.clone(), start.elapsed());
                        ui.emit(&Event::Warning {
                            text: format!("{service} can not be looked at: {error:#}"),
                            hint: Some("trying again until the deadline".into()),
                        });
                    }
                    (state, None)
                }
            };
            let (state, verdict) = match verdict {
                None if passed => {
                    if let Some(since) = unreadable.get(&service) {
                        let blind = format_duration(start.elapsed().saturating_sub(*since));
                        ui.emit(&Event::Warning {
                            text: format!(
                                "{service} could not be looked at for the last {blind}: what is \
                                 said of it is as old, and whether ECS goes on is not known"
                            ),
                            hint: None,
                        });
                    }
                    let (state, verdict) = rollout::deadline(state, at);
                    (state, Some(verdict))
                }
                verdict => (state, verdict),
            };
            match verdict {
                Some(verdict) => {
                    outcomes.insert(service, outcome(&state, verdict));
                }
                None => still_open.push(state),
            }
        }
        open = still_open;
        if !open.is_empty() {
            let left = deadline.saturating_sub(start.elapsed());
            tokio::time::sleep(jittered(pause).min(left + SOON)).await;
            pause = (pause * 3 / 2).min(LATER);
        }
    }
    Ok(outcomes)
}

/// What a service looks like, with its name. That it can not be looked at is no reason to drop
/// the looks at the others.
fn look(
    aws: Aws,
    cluster: String,
    state: &State,
    at: Millis,
) -> impl Future<Output = Result<(String, Result<Option<rollout::Snapshot>>)>> + use<> {
    let target = state.target();
    let created_at = (target.started_at > 0).then_some(target.started_at);
    let service = target.service.clone();
    async move {
        let found = snapshot(&aws, &cluster, &service, at, created_at).await;
        Ok((service, found))
    }
}

/// Up to a fifth more, so that many deploys at once do not ask in step.
fn jittered(pause: Duration) -> Duration {
    let nanos = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |now| now.subsec_nanos());
    pause + pause * (nanos % 1000) / 5000
}

async fn show(ui: &Ui, aws: &Aws, state: &State, event: RolloutEvent) {
    let task = event.wants_log_of().map(str::to_owned);
    ui.emit(&Event::Rollout { service: state.target().service.clone(), event });
    let Some(arn) = task else { return };
    match logs::tail(aws, &state.target().task_definition, &arn).await {
        Ok(lines) if lines.is_empty() => {}
        Ok(lines) => ui.emit(&Event::TaskLog { task: task_id(&arn).to_owned(), lines }),
        Err(error) => {
            ui.emit(&Event::Note { text: format!("its log can not be read: {error:#}") });
        }
    }
}

fn outcome(state: &State, verdict: Verdict) -> Outcome {
    Outcome {
        verdict,
        tasks: state.running_tasks().cloned().collect(),
        phases: state.phase_times(),
        draining: state.draining(),
    }
}

/// The failure that a verdict ends the command with.
pub fn failure(verdict: &Verdict, environment: &Environment) -> Failure {
    let env = &environment.name;
    let hint = match verdict {
        Verdict::Succeeded { .. } => String::new(),
        Verdict::RolledBack { .. } => {
            "the earlier revision serves; mend what the tasks' log shows, and deploy again".into()
        }
        Verdict::Failed { .. } | Verdict::Stopped { .. } => {
            format!("`cargo xtask rollback --env {env}` puts the earlier revision back")
        }
        Verdict::Superseded { .. } => {
            format!("somebody else deployed meanwhile: `cargo xtask status --env {env}`")
        }
        Verdict::DeadlinePassed { .. } => format!(
            "ECS goes on with it: `cargo xtask status --env {env}`; a longer `deadline` is set in \
             xtask.toml"
        ),
    };
    Failure::new(verdict.exit(), verdict.to_string()).hint(hint)
}
