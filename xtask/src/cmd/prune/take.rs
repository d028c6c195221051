//! Takes the steps of a prune: looks again as late as can be, and hands what may still go
//! to [`apply`].

use std::collections::HashSet;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::nothing_deleted;
use super::report::{BuilderReport, RegistryReport, Report};
use crate::apply::prune as apply;
use crate::aws::Aws;
use crate::cmd::storage::{look_at_builder, look_at_registry};
use crate::config::{Config, Environment};
use crate::event::Event;
use crate::plan::prune::{PruneBuilder, Step};
use crate::registry::builder_cache::BuilderCache;
use crate::registry::in_use::{InUse, Use};
use crate::registry::plan::PrunePlan;
use crate::registry::recheck::recheck;
use crate::registry::repository::Repository;
use crate::ui::Ui;

/// What the steps need.
pub(super) struct Run<'a> {
    pub(super) ui: &'a Ui,
    pub(super) config: &'a Config,
    /// `None` when only the builder is pruned.
    pub(super) registry: Option<&'a (Aws, &'a Environment)>,
}

impl Run<'_> {
    /// Takes the steps, and adds what came of each to the report as soon as it is known. An
    /// image that can not be deleted does not stop the rest; the error is the first of those.
    ///
    /// # Errors
    /// The builder refuses, the second look fails, or not everything could be deleted.
    pub(super) async fn take(
        &self,
        steps: Vec<Step>,
        before: Option<&BuilderCache>,
        mut known: Vec<Repository>,
        report: &mut Report,
    ) -> Result<()> {
        let of = steps.len();
        let (mut again, mut failed) = (None, Ok(()));
        for (index, step) in steps.into_iter().enumerate() {
            let number = index + 1;
            self.ui.emit(&Event::StepStarted { number, of, step: step.to_string() });
            let start = Instant::now();
            let detail = match step {
                Step::Builder(prune) => {
                    let builder = self.builder(&prune, before).await?;
                    let detail = builder.to_string();
                    report.builder = Some(builder);
                    detail
                }
                Step::Registry(plan) => {
                    let (aws, environment) = self.registry.context("no registry was read")?;
                    // As late as can be, and once for all repositories.
                    let (repositories, uses) = match &again {
                        Some(again) => again,
                        None => again.insert(self.look_again(std::mem::take(&mut known)).await?),
                    };
                    let name = environment.repository_name(&plan.repository);
                    let deleted = delete(self.ui, aws, name, &plan, repositories, uses).await?;
                    failed = failed.and(deleted.outcome.check(&plan.repository));
                    let detail = deleted.to_string();
                    report.registry.push(deleted);
                    detail
                }
            };
            let seconds = start.elapsed().as_secs_f64();
            self.ui.emit(&Event::StepFinished { number, seconds, detail: Some(detail) });
        }
        failed
    }

    /// Runs the command, and compares the cache before and after it.
    async fn builder(
        &self,
        prune: &PruneBuilder,
        before: Option<&BuilderCache>,
    ) -> Result<BuilderReport> {
        apply::builder(&prune.argv).await?;
        let (_, after) = look_at_builder(self.config).await?;
        let left: HashSet<&str> = after.records.iter().map(|record| record.id.as_str()).collect();
        let gone: Vec<u64> = before
            .iter()
            .flat_map(|cache| &cache.records)
            .filter(|record| !left.contains(record.id.as_str()))
            .map(|record| record.bytes)
            .collect();
        Ok(BuilderReport {
            command: prune.argv.to_string(),
            records: gone.len(),
            freed_bytes: gone.iter().sum(),
            exact: prune.expected.exact && after.exact,
        })
    }

    /// What is in the repositories and in use now.
    async fn look_again(&self, known: Vec<Repository>) -> Result<(Vec<Repository>, Vec<Use>)> {
        let (aws, environment) = self.registry.context("no registry was read")?;
        let found = look_at_registry(self.ui, self.config, environment, aws, known).await?;
        Ok((found.repositories, found.uses.map_err(nothing_deleted)?))
    }
}

/// Deletes what of a plan may still go.
async fn delete(
    ui: &Ui,
    aws: &Aws,
    name: &str,
    plan: &PrunePlan,
    repositories: &[Repository],
    uses: &[Use],
) -> Result<RegistryReport> {
    let found = repositories.iter().find(|found| found.uri() == plan.repository);
    let repository = found.with_context(|| format!("{} is gone", plan.repository))?;
    let in_use = InUse::resolve(repository, uses).map_err(|e| nothing_deleted(e.into()))?;
    let checked = recheck(plan, repository, &in_use).map_err(|e| nothing_deleted(e.into()))?;
    for (digest, change) in &checked.changes {
        ui.emit(&Event::Note { text: format!("{} stays: it {change}", digest.short()) });
    }
    let outcome = apply::registry(ui, aws, name, &checked.plan, repository).await?;
    Ok(RegistryReport {
        repository: plan.repository.clone(),
        outcome,
        changed: checked.changes,
        kept: checked.plan.keep.len(),
    })
}
