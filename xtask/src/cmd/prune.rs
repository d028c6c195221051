//! `cargo xtask prune`

use std::collections::HashSet;

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
use crate::registry::in_use::InUse;
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
    let mut plans = Vec::new();
    let of = steps.len();
    for (index, step) in steps.into_iter().enumerate() {
        match step {
            Step::Builder(prune) => {
                let step = prune.argv.to_string();
                ui.emit(&Event::StepStarted { number: index + 1, of, step });
                report.builder = Some(prune_builder(config, &prune, before).await?);
            }
            Step::Registry(plan) => plans.push(plan),
        }
    }
    let mut failed = None;
    if let (false, Some((aws, environment))) = (plans.is_empty(), &connected) {
        let (reports, error) = prune_registry(ui, config, environment, aws, plans, known).await?;
        report.registry = reports;
        failed = error;
    }
    ui.result(&report, || text(&report))?;
    failed.map_or(Ok(Exit::Success), Err)
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

/// Runs the command, and compares the cache before and after it.
async fn prune_builder(
    config: &Config,
    prune: &PruneBuilder,
    before: Option<&BuilderCache>,
) -> Result<BuilderReport> {
    apply::builder(&prune.argv).await?;
    let (_, after) = look_at_builder(config).await?;
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

/// Looks again and deletes. The error is the first failure to delete.
async fn prune_registry(
    ui: &Ui,
    config: &Config,
    environment: &Environment,
    aws: &Aws,
    plans: Vec<PrunePlan>,
    known: Vec<Repository>,
) -> Result<(Vec<RegistryReport>, Option<anyhow::Error>)> {
    let again = look_at_registry(ui, config, environment, aws, known).await?;
    let uses = again.uses.map_err(nothing_deleted)?;
    let (mut reports, mut failed) = (Vec::new(), None);
    for plan in plans {
        let found = again.repositories.iter().find(|found| found.uri() == plan.repository);
        let repository = found.with_context(|| format!("{} is gone", plan.repository))?;
        let in_use = InUse::resolve(repository, &uses).map_err(|e| nothing_deleted(e.into()))?;
        let checked = recheck(&plan, repository, &in_use).map_err(|e| nothing_deleted(e.into()))?;
        for (digest, change) in &checked.changes {
            ui.emit(&Event::Note { text: format!("{} stays: it {change}", digest.short()) });
        }
        let name = environment.repository_name(&plan.repository);
        ui.emit(&Event::Note { text: Step::Registry(checked.plan.clone()).to_string() });
        let outcome = apply::registry(ui, aws, name, &checked.plan, repository).await?;
        if let Err(error) = outcome.check(&plan.repository) {
            failed.get_or_insert(error);
        }
        reports.push(RegistryReport {
            repository: plan.repository,
            outcome,
            changed: checked.changes,
            kept: checked.plan.keep.len(),
        });
    }
    Ok((reports, failed))
}

fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    if let Some(builder) = &report.builder {
        let about = if builder.exact { "" } else { "about " };
        lines.push(format!(
            "builder   {about}{} freed, {} records",
            format_size(builder.freed_bytes),
            builder.records
        ));
    }
    for repository in &report.registry {
        lines.push(format!(
            "registry  {} freed, {} images deleted from {}, {} kept",
            format_size(repository.outcome.freed_bytes),
            repository.outcome.deleted.len(),
            repository.repository,
            repository.kept
        ));
    }
    if lines.is_empty() {
        lines.push("nothing to prune".to_owned());
    }
    lines.join("\n")
}
