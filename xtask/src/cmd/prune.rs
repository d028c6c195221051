//! `cargo xtask prune`

use std::collections::HashSet;
use std::fmt;
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::storage::{self, look_at_builder, look_at_registry, plan_for};
use crate::apply::prune::{self as apply, Deleted};
use crate::aws::Aws;
use crate::cli::PruneArgs;
use crate::config::{Config, Environment};
use crate::event::Event;
use crate::exit::{Exit, Failure, hint_of};
use crate::observe::engine::BuilderFacts;
use crate::observe::preflight::{Check, well};
use crate::plan::prune::{Expected, PruneBuilder, Step, builder as plan_builder};
use crate::registry::builder_cache::BuilderCache;
use crate::registry::builder_prune::BuilderPrune;
use crate::registry::digest::Digest;
use crate::registry::in_use::{InUse, Use};
use crate::registry::plan::PrunePlan;
use crate::registry::recheck::{Change, recheck};
use crate::registry::repository::Repository;
use crate::ui::Ui;
use crate::units::{format_size, parse_duration, parse_size};

/// What a dry run reports.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Planned<'a> {
    dry_run: bool,
    steps: Vec<String>,
    builder: Option<&'a Expected>,
    registry: Vec<&'a PrunePlan>,
}

/// What a prune reports.
#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    builder: Option<BuilderReport>,
    registry: Vec<RegistryReport>,
}

/// What became of the builder's cache.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct BuilderReport {
    command: String,
    records: usize,
    freed_bytes: u64,
    /// Whether the bytes are exact, or rounded by what reported them.
    exact: bool,
}

/// What became of a repository.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RegistryReport {
    repository: String,
    #[serde(flatten)]
    outcome: Deleted,
    /// What was to go, and changed before it was deleted.
    changed: Vec<(Digest, Change)>,
    kept: usize,
}

/// Reclaims space: shows what goes, asks, looks again, deletes.
///
/// # Errors
/// Something can not be read, nobody confirms, or not everything could be deleted.
pub async fn run(ui: &Ui, config: &Config, args: &PruneArgs) -> Result<Exit> {
    let options = options(args)?;
    let connected = if args.registry || args.registry_only {
        Some(storage::connect(config).await?)
    } else {
        None
    };
    let builder = async {
        match args.registry_only {
            false => look_at_builder(config).await.map(Some),
            true => Ok(None),
        }
    };
    let registry = async {
        match &connected {
            Some((aws, environment)) => look(ui, config, environment, aws).await,
            None => Ok(Vec::new()),
        }
    };
    let (builder, registry) = tokio::join!(builder, registry);
    let (builder, registry) = both(ui, builder, registry)?;

    let (before, mut steps) = (builder.as_ref().map(|(_, cache)| cache), Vec::new());
    steps.extend(builder.as_ref().map(|found| step_for(found, &options)));
    let (known, plans): (Vec<_>, Vec<_>) = registry.into_iter().unzip();
    steps.extend(plans.into_iter().map(Step::Registry));
    for step in &steps {
        if let Step::Registry(plan) = step {
            for kept in &plan.keep {
                ui.emit(&Event::Detail { text: format!("stays  {kept}") });
            }
        }
    }
    if args.dry.dry_run {
        return dry_run(ui, &steps);
    }
    steps.retain(|step| !step.is_empty());
    let mut report = Report::default();
    if !steps.is_empty() {
        show(ui, &steps);
        if !args.yes {
            ui.confirm("Prune that?").await?;
        }
    }
    let run = Run { ui, config, registry: connected.as_ref() };
    let done = run.take(steps, before, known, &mut report).await;
    if done.is_ok() || !report.is_empty() {
        ui.result(&report, || text(&report))?;
    }
    done.map(|()| Exit::Success)
}

fn options(args: &PruneArgs) -> Result<BuilderPrune> {
    let wrong = |flag: &str, error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("{flag}: {error}"))
            .hint("`cargo xtask prune --help` has examples")
    };
    let size = |flag: &str, text: &Option<String>| {
        text.as_deref().map(parse_size).transpose().map_err(|error| wrong(flag, &error))
    };
    let older_than = args.older_than.as_deref().map(parse_duration).transpose();
    Ok(BuilderPrune {
        builder: String::new(),
        all: args.all,
        older_than: older_than.map_err(|error| wrong("--older-than", &error))?,
        max_used_space: size("--keep-storage", &args.keep_storage)?,
        reserved_space: size("--reserved-space", &args.reserved_space)?,
        min_free_space: size("--min-free-space", &args.min_free_space)?,
        keep_mounts: args.keep_mounts,
    })
}

/// Both looks, or all that is wrong with them.
fn both<A, B>(ui: &Ui, builder: Result<A>, registry: Result<B>) -> Result<(A, B)> {
    match (builder, registry) {
        (Ok(builder), Ok(registry)) => Ok((builder, registry)),
        (builder, registry) => {
            let checks = [("builder", builder.err()), ("registry", registry.err())];
            let check = |(what, error): (_, Option<_>)| {
                error.map(|error| Check { what, found: Err(error) })
            };
            well(ui, checks.into_iter().filter_map(check).collect())?;
            anyhow::bail!("a look failed without an error")
        }
    }
}

fn step_for((facts, cache): &(BuilderFacts, BuilderCache), options: &BuilderPrune) -> Step {
    let prune = BuilderPrune { builder: facts.name.clone(), ..options.clone() };
    plan_builder(&prune, cache, storage::now())
}

/// Every repository with its plan.
async fn look(
    ui: &Ui,
    config: &Config,
    environment: &Environment,
    aws: &Aws,
) -> Result<Vec<(Repository, PrunePlan)>> {
    let found = look_at_registry(ui, config, environment, aws, Vec::new()).await?;
    let uses = found.uses.map_err(nothing_deleted)?;
    let now = storage::now();
    let planned = |repository: Repository| {
        let (_, plan) =
            plan_for(config, environment, &repository, &uses, now).map_err(nothing_deleted)?;
        Ok((repository, plan))
    };
    found.repositories.into_iter().map(planned).collect()
}

/// What is not known wholly is no ground to delete anything on.
fn nothing_deleted(error: anyhow::Error) -> anyhow::Error {
    let hint = hint_of(&error)
        .unwrap_or("`-v` shows more; without `--registry` only the builder is pruned");
    let failure = Failure::new(
        Exit::Prerequisite,
        format!("nothing is deleted from the registry: {error:#}"),
    );
    failure.hint(hint).into()
}

fn dry_run(ui: &Ui, steps: &[Step]) -> Result<Exit> {
    let planned = Planned {
        dry_run: true,
        steps: steps.iter().filter(|s| !s.is_empty()).map(ToString::to_string).collect(),
        builder: steps.iter().find_map(|step| match step {
            Step::Builder(prune) => Some(&prune.expected),
            Step::Registry(_) => None,
        }),
        registry: steps
            .iter()
            .filter_map(|step| match step {
                Step::Registry(plan) => Some(plan),
                Step::Builder(_) => None,
            })
            .collect(),
    };
    ui.result(&planned, || match lines(steps) {
        lines if lines.is_empty() => "nothing to prune".to_owned(),
        lines => lines.join("\n"),
    })?;
    Ok(Exit::Success)
}

fn show(ui: &Ui, steps: &[Step]) {
    for text in lines(steps) {
        ui.emit(&Event::Note { text });
    }
}

fn lines(steps: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, step) in steps.iter().filter(|step| !step.is_empty()).enumerate() {
        lines.push(format!("{}. {step}", index + 1));
        lines.extend(step.details().into_iter().map(|detail| format!("   {detail}")));
    }
    lines
}

/// What the steps need.
struct Run<'a> {
    ui: &'a Ui,
    config: &'a Config,
    /// `None` when only the builder is pruned.
    registry: Option<&'a (Aws, &'a Environment)>,
}

impl Run<'_> {
    /// Takes the steps, and adds what came of each to the report as soon as it is known. An
    /// image that can not be deleted does not stop the rest; the error is the first of those.
    async fn take(
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

impl Report {
    /// Whether nothing was pruned.
    fn is_empty(&self) -> bool {
        self.builder.is_none() && self.registry.is_empty()
    }
}

impl fmt::Display for BuilderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.exact { "" } else { "about " };
        write!(f, "{about}{} freed, {} records", format_size(self.freed_bytes), self.records)
    }
}

impl fmt::Display for RegistryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, outcome, kept, .. } = self;
        write!(
            f,
            "{} freed, {} images deleted from {repository}, {kept} kept",
            format_size(outcome.freed_bytes),
            outcome.deleted.len()
        )?;
        match outcome.failed.len() {
            0 => Ok(()),
            failed => write!(f, ", {failed} could not be deleted"),
        }
    }
}

fn text(report: &Report) -> String {
    if report.is_empty() {
        return "nothing to prune".to_owned();
    }
    let builder = report.builder.iter().map(|builder| format!("builder   {builder}"));
    let registry = report.registry.iter().map(|registry| format!("registry  {registry}"));
    builder.chain(registry).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_part_freed_is_told_also_when_the_other_has_nothing() {
        let mut report = Report::default();
        assert!(report.is_empty());
        assert_eq!(text(&report), "nothing to prune");
        report.builder = Some(BuilderReport {
            command: "docker buildx prune".into(),
            records: 2,
            freed_bytes: 3_000_000,
            exact: false,
        });
        assert!(!report.is_empty());
        assert_eq!(text(&report), "builder   about 3.00 MB freed, 2 records");
        report.registry.push(RegistryReport {
            repository: "r/app".into(),
            outcome: Deleted::default(),
            changed: Vec::new(),
            kept: 4,
        });
        let registry = "registry  0 B freed, 0 images deleted from r/app, 4 kept";
        assert_eq!(text(&report).lines().nth(1), Some(registry));
    }
}
