//! What `deploy` and `rollback` report: one object for people, JSON and GitHub Actions.

mod summary;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::apply::{self, Done, HealthAnswer};
use crate::observe::ecs::revision;
use crate::ui::{Ui, human_seconds};
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, exit_of, hint_of};
use xtask_core::plan::diff::Difference;
use xtask_core::rollout::{Draining, PhaseTimes, Verdict};

/// The whole report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct DeployReport {
    /// The environment.
    pub environment: String,
    /// `succeeded`, `unchanged`, `rolled-back`, …
    pub verdict: &'static str,
    /// The exit code.
    pub exit_code: u8,
    /// `repository@digest` of what was rolled out.
    pub image: Option<String>,
    /// Its digest.
    pub digest: Option<String>,
    /// How long the build took, without the two that follow, in seconds.
    pub build_seconds: Option<f64>,
    /// How long the push took, in seconds.
    pub push_seconds: Option<f64>,
    /// How long the export of the cache took beyond the push, in seconds.
    pub cache_export_seconds: Option<f64>,
    /// Each service.
    pub services: Vec<ServiceReport>,
    /// What the health URL said.
    pub health: Option<HealthAnswer>,
    /// What went wrong.
    pub error: Option<String>,
    /// What to do about it.
    pub hint: Option<String>,
}

/// One service of the report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// The task definition that it was on.
    pub previous: String,
    /// The task definition that it was sent to.
    pub task_definition: String,
    /// The id of the deployment.
    pub deployment: Option<String>,
    /// What the revision differs in.
    pub differences: Vec<Difference>,
    /// How the rollout ended.
    pub verdict: Option<Verdict>,
    /// Where the time went.
    pub phases: Option<PhaseTimes>,
    /// How long the old tasks took to go.
    pub draining: Option<Draining>,
}

impl DeployReport {
    /// The report of what was done, and of how the command ends.
    pub fn new(environment: &Environment, done: &Done, error: Option<&anyhow::Error>) -> Self {
        let exit = error.map_or(Exit::Success, exit_of);
        let services = done.updated.values().map(|updated| {
            let outcome = done.outcomes.get(&updated.service);
            ServiceReport {
                name: updated.service.clone(),
                previous: updated.previous.clone(),
                task_definition: updated.task_definition.clone(),
                deployment: updated.target.as_ref().map(|target| target.deployment_id.clone()),
                differences: updated.differences.clone(),
                verdict: outcome.map(|outcome| outcome.verdict.clone()),
                phases: outcome.map(|outcome| outcome.phases),
                draining: outcome.and_then(|outcome| outcome.draining),
            }
        });
        let times = done.built.as_ref().map(apply::Built::times);
        let digest = done.image.as_ref().and_then(|image| image.split_once('@'));
        Self {
            environment: environment.name.clone(),
            verdict: if exit == Exit::Success && done.unchanged() {
                "unchanged"
            } else {
                exit.word()
            },
            exit_code: exit.code(),
            digest: digest.map(|(_, digest)| digest.to_owned()),
            image: done.image.clone(),
            build_seconds: times.map(|times| times.build),
            push_seconds: times.and_then(|times| times.push),
            cache_export_seconds: times.and_then(|times| times.cache_export),
            services: services.collect(),
            health: done.health.clone(),
            error: error.map(|error| format!("{error:#}")),
            hint: error.and_then(hint_of).map(str::to_owned),
        }
    }

    /// Shows it.
    ///
    /// # Errors
    /// Standard output or the files of GitHub Actions can not be written.
    pub fn show(&self, ui: &Ui) -> Result<()> {
        let revisions: Vec<_> = self.services.iter().map(|s| s.task_definition.as_str()).collect();
        // The result first: it is lost if the other can not be written.
        ui.result(self, || self.text())?;
        ui.github(
            &[
                ("image", self.image.as_deref().unwrap_or_default()),
                ("digest", self.digest.as_deref().unwrap_or_default()),
                ("task-definition", &revisions.join(" ")),
                ("verdict", self.verdict),
            ],
            &self.markdown(),
        )
        .with_context(|| format!("the verdict is `{}`, and Actions was not told", self.verdict))
    }

    fn rows(&self) -> Vec<(String, String)> {
        let mut rows = vec![("verdict".to_owned(), self.verdict.to_owned())];
        rows.extend(self.image.iter().map(|image| ("image".to_owned(), image.clone())));
        for (name, seconds) in [
            ("build", self.build_seconds),
            ("push", self.push_seconds),
            ("cache export", self.cache_export_seconds),
        ] {
            rows.extend(seconds.map(|seconds| (name.to_owned(), human_seconds(seconds))));
        }
        for service in &self.services {
            let (before, now) = (revision(&service.previous), revision(&service.task_definition));
            let change = if before == now { now.to_owned() } else { format!("{before} -> {now}") };
            rows.push((service.name.clone(), change));
            if let Some(phases) = &service.phases {
                rows.extend(phase_rows(phases));
            }
            if let Some(draining) = &service.draining {
                let took = human_millis(draining.took);
                let left = match draining.left {
                    0 => String::new(),
                    left => format!(", {left} left"),
                };
                rows.push(("  drain (apart)".to_owned(), format!("{took}{left}")));
            }
        }
        rows.extend(
            self.health
                .iter()
                .map(|health| ("health".to_owned(), format!("{} {}", health.url, health.status))),
        );
        rows
    }

    fn text(&self) -> String {
        let rows = self.rows();
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

/// Where the time of a rollout went, a row a phase that ECS told of.
fn phase_rows(phases: &PhaseTimes) -> Vec<(String, String)> {
    [
        ("  provision", phases.provision),
        ("  pull", phases.pull),
        ("  start", phases.start),
        ("  health", phases.health),
    ]
    .into_iter()
    .filter_map(|(name, spread)| {
        let spread = spread?;
        let median = human_millis(spread.median);
        let slowest = human_millis(spread.slowest);
        let both = if median == slowest { median } else { format!("{median}, slowest {slowest}") };
        Some((name.to_owned(), both))
    })
    .collect()
}

fn human_millis(millis: u64) -> String {
    human_seconds(std::time::Duration::from_millis(millis).as_secs_f64())
}
