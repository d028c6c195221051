//! Feeds the state machine of [`xtask_core::rollout`] with snapshots until each service has its
//! verdict.

mod pace;
mod task_log;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::ecs::Updated;
use crate::aws::Session;
use crate::observe::beside::beside;
use crate::observe::rollout::{Look, Wanted, look};
use crate::ui::Ui;
use pace::Pace;
pub use pace::{Tempo, jittered};
use task_log::TaskLogs;
use xtask_core::config::Environment;
use xtask_core::event::Event;
use xtask_core::exit::{Again, Exit, Failure, again};
use xtask_core::rollout::{self, Draining, Millis, PhaseTimes, State, Target, Task, Verdict};
use xtask_core::units::format_duration;

/// How long one look may take: the SDK alone would try for minutes, past any deadline.
const LOOK: Duration = Duration::from_secs(45);

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
/// nobody is looking. When the credentials end in the middle, new ones are looked for.
///
/// # Errors
/// None but a bug's: a failed rollout is a verdict.
pub async fn watch(
    ui: &Ui,
    session: &Session,
    cluster: &str,
    updated: &[Updated],
    tempo: Tempo,
    deadline: Duration,
) -> Result<BTreeMap<String, Outcome>> {
    let start = Instant::now();
    let mut open: Vec<Open> =
        updated.iter().filter_map(|u| u.target.clone()).map(Open::new).collect();
    let mut outcomes = BTreeMap::new();
    let mut pace = Pace::new(tempo);
    let mut told = Told::default();
    let mut logs = TaskLogs::default();
    while !open.is_empty() {
        let passed = start.elapsed() >= deadline;
        let at = Millis::try_from(start.elapsed().as_millis()).unwrap_or(Millis::MAX);
        let aws = session.aws();
        let looks = open.iter().map(|open| {
            let (aws, wanted) = (aws.clone(), open.wanted(cluster));
            async move {
                // That one can not be looked at is no reason to drop the looks at the others.
                let look = tokio::time::timeout(LOOK, look(&aws, &wanted, at)).await;
                Ok((wanted.service, look.unwrap_or_else(|_| Err(no_answer()))))
            }
        });
        let mut looks: BTreeMap<_, _> = beside(looks).await?.into_iter().collect();
        let mut worst = None;
        let mut still_open = Vec::new();
        for open in open {
            let service = open.state.target().service.clone();
            let Some(look) = looks.remove(&service) else {
                still_open.push(open);
                continue;
            };
            worst = worst.max(told.of(ui, &service, &look));
            let (mut open, mut verdict) = open.take(ui, &mut logs, look, at);
            if verdict.is_none() && passed {
                let (state, late) = rollout::deadline(open.state, at, open.blind_since);
                open.state = state;
                verdict = Some(late);
            }
            match verdict {
                Some(verdict) => {
                    outcomes.insert(service, outcome(&open.state, verdict));
                }
                None => still_open.push(open),
            }
        }
        open = still_open;
        logs.show(ui, &aws).await;
        if !open.is_empty() {
            if worst == Some(Again::WithNewCredentials) {
                session.renew().await;
            }
            let left = deadline.saturating_sub(start.elapsed());
            let pause = jittered(pace.after(worst));
            tokio::time::sleep(pause.min(left + tempo.soon)).await;
        }
    }
    let failed = outcomes.values().any(|o| !matches!(o.verdict, Verdict::Succeeded { .. }));
    if failed && logs.is_waiting() {
        // Why it failed is worth a moment more.
        tokio::time::sleep(tempo.later).await;
        logs.show(ui, &session.aws()).await;
    }
    Ok(outcomes)
}

fn no_answer() -> anyhow::Error {
    let text = format!("ECS does not answer within {}", format_duration(LOOK));
    Failure::new(Exit::Prerequisite, text).again(Again::Soon).into()
}

/// A rollout that has no verdict yet.
struct Open {
    state: State,
    /// Since when nothing could be read of it.
    blind_since: Option<Millis>,
    /// The ARN of its service deployment, once that was read.
    service_deployment: Option<String>,
}

impl Open {
    fn new(target: Target) -> Self {
        Self { state: State::new(target), blind_since: None, service_deployment: None }
    }

    fn wanted(&self, cluster: &str) -> Wanted {
        let target = self.state.target();
        Wanted {
            cluster: cluster.to_owned(),
            service: target.service.clone(),
            created_at: (target.started_at > 0).then_some(target.started_at),
            service_deployment: self.service_deployment.clone(),
        }
    }

    /// Takes in what was seen, and tells what is new.
    fn take(
        mut self,
        ui: &Ui,
        logs: &mut TaskLogs,
        look: Result<Look>,
        at: Millis,
    ) -> (Self, Option<Verdict>) {
        let Ok(look) = look else {
            self.blind_since.get_or_insert(at);
            return (self, None);
        };
        if let Some(found) = &look.snapshot.service_deployment {
            self.service_deployment = Some(found.arn.clone());
        }
        let (state, events, verdict) = rollout::step(self.state, &look.snapshot);
        for event in events {
            logs.want(state.target(), &event);
            ui.emit(&Event::Rollout { service: state.target().service.clone(), event });
        }
        (Self { state, blind_since: None, ..self }, verdict)
    }
}

/// What was told of what could not be read: each thing once.
#[derive(Default)]
struct Told {
    texts: BTreeSet<String>,
    /// Whether the credentials were told to have ended, and nothing was read since.
    without_credentials: bool,
}

impl Told {
    /// Tells what came of a look besides what was seen; the worst of it.
    fn of(&mut self, ui: &Ui, service: &str, look: &Result<Look>) -> Option<Again> {
        let errors = match look {
            Ok(look) => &look.troubles[..],
            Err(error) => std::slice::from_ref(error),
        };
        for error in errors {
            self.one(ui, service, error);
        }
        if errors.is_empty() && std::mem::take(&mut self.without_credentials) {
            ui.emit(&Event::Note {
                text: "there are credentials again, and AWS takes them".into(),
            });
        }
        errors.iter().map(again).max()
    }

    fn one(&mut self, ui: &Ui, service: &str, error: &anyhow::Error) {
        if again(error) == Again::WithNewCredentials {
            if !std::mem::replace(&mut self.without_credentials, true) {
                ui.emit(&Event::Warning {
                    text: format!("the credentials are not taken any more: {error:#}"),
                    hint: Some(
                        "sign in again, in another terminal: new ones are looked for until the \
                         deadline"
                            .into(),
                    ),
                });
            }
            return;
        }
        let text = format!("{service} can not be looked at: {error:#}");
        if self.texts.insert(text.clone()) {
            ui.emit(&Event::Warning { text, hint: Some("trying again until the deadline".into()) });
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
        Verdict::DeadlinePassed { unseen: Some(_), .. } => format!(
            "ECS goes on with it by itself: `cargo xtask status --env {env}` shows what it did, once \
             AWS can be asked again"
        ),
        Verdict::DeadlinePassed { unseen: None, .. } => format!(
            "ECS goes on with it: `cargo xtask status --env {env}`; a longer `deadline` is set in \
             xtask.toml"
        ),
    };
    Failure::new(verdict.exit(), verdict.to_string()).hint(hint)
}
