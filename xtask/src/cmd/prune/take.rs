//! Takes the steps of a prune: looks again as late as can be, and hands what may still go
//! to [`apply`].

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::report::{BuilderReport, RegistryReport, Report, TaskDefinitionsReport};
use super::{Connected, nothing_deleted, nothing_deregistered};
use crate::apply::{deregister, prune as apply};
use crate::cmd::storage::{look_at_builder, look_at_registry};
use crate::observe::task_definitions::task_definitions;
use crate::ui::Ui;
use xtask_core::config::Config;
use xtask_core::event::Event;
use xtask_core::exit::{Failure, hint_of};
use xtask_core::plan::prune::{PruneBuilder, Step};
use xtask_core::registry::builder_cache::BuilderCache;
use xtask_core::registry::in_use::{InUse, Use};
use xtask_core::registry::plan::PrunePlan;
use xtask_core::registry::policy::Caches;
use xtask_core::registry::recheck::recheck;
use xtask_core::registry::repository::Repository;
use xtask_core::registry::revisions::{self, RevisionPlan};

/// What the steps need.
pub(super) struct Run<'a> {
    pub(super) ui: &'a Ui,
    pub(super) config: &'a Config,
    /// `None` when only the builder is pruned.
    pub(super) aws: Option<&'a Connected<'a>>,
}

/// What the second look at the registry found.
enum Again {
    NotYet(Vec<Repository>),
    Unread,
    Read(Vec<Repository>, Vec<Use>, Caches),
}

impl Run<'_> {
    /// Takes the steps, and adds what came of each to the report. What fails stops nothing else,
    /// and nothing is deleted that could not be looked at again.
    ///
    /// # Errors
    /// All that went wrong.
    pub(super) async fn take(
        &self,
        steps: Vec<Step>,
        before: Option<&BuilderCache>,
        known: Vec<Repository>,
        report: &mut Report,
    ) -> Result<()> {
        let of = steps.len();
        let (mut again, mut failures) = (Again::NotYet(known), Vec::new());
        for (index, step) in steps.into_iter().enumerate() {
            let number = index + 1;
            self.ui.emit(&Event::StepStarted { number, of, step: step.to_string() });
            let start = Instant::now();
            let detail = match step {
                Step::Builder(prune) => {
                    let (done, result) = self.builder(&prune, before).await;
                    failures.extend(result.err());
                    report.builder = done;
                    report.builder.as_ref().map(ToString::to_string)
                }
                Step::Registry(plan) => match self.registry(&plan, &mut again).await {
                    Ok(done) => {
                        failures.extend(done.iter().filter_map(|done| done.check().err()));
                        report.registry.extend(done);
                        report.registry.last().map(ToString::to_string)
                    }
                    Err(error) => {
                        failures.push(error);
                        None
                    }
                },
                Step::TaskDefinitions(plan) => match self.task_definitions(&plan).await {
                    Ok(done) => {
                        failures.extend(done.outcome.check().err());
                        let detail = done.to_string();
                        report.task_definitions = Some(done);
                        Some(detail)
                    }
                    Err(error) => {
                        failures.push(error);
                        None
                    }
                },
            };
            let seconds = start.elapsed().as_secs_f64();
            let detail = Some(detail.unwrap_or_else(|| "failed".to_owned()));
            self.ui.emit(&Event::StepFinished { number, seconds, detail });
        }
        all(failures)
    }

    /// Runs the command, and compares the cache before and after it, also when it failed.
    async fn builder(
        &self,
        prune: &PruneBuilder,
        before: Option<&BuilderCache>,
    ) -> (Option<BuilderReport>, Result<()>) {
        let pruned = apply::builder(&prune.argv).await;
        let after = match look_at_builder(self.config).await {
            Ok((_, after)) => after,
            Err(error) => {
                let error = error.context("what is left of the builder's cache is not known");
                return (None, pruned.and(Err(error)));
            }
        };
        let left: HashSet<&str> = after.records.iter().map(|record| record.id.as_str()).collect();
        let gone: Vec<u64> = before
            .iter()
            .flat_map(|cache| &cache.records)
            .filter(|record| !left.contains(record.id.as_str()))
            .map(|record| record.bytes)
            .collect();
        let report = BuilderReport {
            command: prune.argv.to_string(),
            records: gone.len(),
            freed_bytes: gone.iter().sum(),
            exact: prune.expected.exact && after.exact,
            failed: pruned.as_ref().err().map(|error| format!("{error:#}")),
        };
        (Some(report), pruned)
    }

    /// Deletes what of a plan may still go. `None` after a second look that failed, which was told.
    async fn registry(
        &self,
        plan: &PrunePlan,
        again: &mut Again,
    ) -> Result<Option<RegistryReport>> {
        // As late as can be, and once for all repositories.
        if let Again::NotYet(known) = again {
            let known = std::mem::take(known);
            *again = Again::Unread;
            *again = self.look_again(known).await?;
        }
        let Again::Read(repositories, uses, caches) = again else { return Ok(None) };
        let Connected { aws, environment } = self.aws.context("no registry was read")?;
        let found = repositories.iter().find(|found| found.uri() == plan.repository);
        let repository = found.with_context(|| format!("{} is gone", plan.repository))?;
        let in_use = InUse::resolve(repository, uses).map_err(|e| nothing_deleted(e.into()))?;
        let checked =
            recheck(plan, repository, &in_use, caches).map_err(|e| nothing_deleted(e.into()))?;
        for (digest, change) in &checked.changes {
            self.ui.emit(&Event::Note { text: format!("{} stays: it {change}", digest.short()) });
        }
        let name = environment.repository_name(&plan.repository);
        let outcome = apply::registry(self.ui, aws, name, &checked.plan, repository).await?;
        Ok(Some(RegistryReport {
            repository: plan.repository.clone(),
            outcome,
            changed: checked.changes,
            kept: checked.plan.keep.len(),
        }))
    }

    /// What is in the repositories and in use now.
    async fn look_again(&self, known: Vec<Repository>) -> Result<Again> {
        let Connected { aws, environment } = self.aws.context("no registry was read")?;
        let found = look_at_registry(self.ui, self.config, environment, aws, known).await;
        let found = found.map_err(nothing_deleted)?;
        let uses = found.uses.map_err(nothing_deleted)?;
        Ok(Again::Read(found.repositories, uses, found.caches))
    }

    /// Deregisters what of a plan may still go.
    async fn task_definitions(&self, plan: &RevisionPlan) -> Result<TaskDefinitionsReport> {
        let Connected { aws, environment } = self.aws.context("no task definition was read")?;
        let newest = self.config.prune.keep_task_definitions.context("no number is configured")?;
        let now = task_definitions(aws, &self.config.clusters, environment).await;
        let now = now.map_err(nothing_deregistered)?;
        let (plan, changed) = revisions::recheck(plan, &now, newest);
        for change in &changed {
            self.ui.emit(&Event::Note { text: change.to_string() });
        }
        let outcome = deregister::task_definitions(self.ui, aws, &plan).await;
        Ok(TaskDefinitionsReport { outcome, changed, kept: plan.keep.len() })
    }
}

/// Everything that went wrong, as one error.
fn all(mut failures: Vec<anyhow::Error>) -> Result<()> {
    match failures.len() {
        0 => Ok(()),
        1 => Err(failures.remove(0)),
        of => {
            let heading = format!("{of} things went wrong");
            let failure = Failure::several(&heading, &failures);
            let hint = failures.first().and_then(hint_of).unwrap_or("run it again");
            Err(failure.hint(hint).into())
        }
    }
}
