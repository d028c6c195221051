//! `cargo xtask prune`

pub(super) mod report;
pub(super) mod simulate;
mod take;

use anyhow::Result;

use super::storage::{self, look_at_builder, look_at_registry, plan_for};
use crate::aws::Aws;
use crate::cli::PruneArgs;
use crate::config::{Config, Environment};
use crate::event::Event;
use crate::exit::{Exit, Failure, hint_of};
use crate::observe::engine::BuilderFacts;
use crate::observe::preflight::{Check, well};
use crate::plan::prune::{Step, builder as plan_builder};
use crate::registry::builder_cache::BuilderCache;
use crate::registry::builder_prune::BuilderPrune;
use crate::registry::plan::PrunePlan;
use crate::registry::repository::Repository;
use crate::ui::Ui;
use crate::units::{parse_duration, parse_size};
use report::{Report, dry_run, show};
use take::Run;

/// Reclaims space: shows what goes, asks, looks again, deletes.
///
/// # Errors
/// Something can not be read, nobody confirms, or not everything could be deleted.
pub async fn run(ui: &Ui, config: &Config, args: &PruneArgs) -> Result<Exit> {
    if let Some(file) = &args.simulate_lifecycle {
        return simulate::run(ui, config, file.as_deref()).await;
    }
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
        ui.result(&report, || report.text())?;
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
            let check =
                |(what, error): (_, Option<_>)| error.map(|error| Check::wrong(what, error));
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
