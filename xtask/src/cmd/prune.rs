//! `cargo xtask prune`

pub(super) mod report;
pub(super) mod simulate;
mod take;

use anyhow::Result;

use super::storage::{self, look_at_builder, look_at_registry, plan_for};
use crate::aws::Aws;
use crate::cli::storage::PruneArgs;
use crate::observe::engine::BuilderFacts;
use crate::observe::preflight::{Check, well};
use crate::observe::task_definitions::task_definitions;
use crate::ui::Ui;
use report::{Report, dry_run, show};
use take::Run;
use xtask_core::config::{Config, Environment};
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure, hint_of};
use xtask_core::plan::prune::{Step, builder as plan_builder};
use xtask_core::registry::builder_cache::BuilderCache;
use xtask_core::registry::builder_prune::BuilderPrune;
use xtask_core::registry::plan::PrunePlan;
use xtask_core::registry::repository::Repository;
use xtask_core::registry::revisions::{self, RevisionPlan};
use xtask_core::units::{parse_duration, parse_size};

/// Reclaims space: shows what goes, asks, looks again, deletes.
///
/// # Errors
/// Something can not be read, nobody confirms, or not everything could be deleted.
pub async fn run(ui: &Ui, config: &Config, args: &PruneArgs) -> Result<Exit> {
    if let Some(file) = &args.simulate_lifecycle {
        return simulate::run(ui, config, file.as_deref()).await;
    }
    let options = options(args)?;
    let wanted = Wanted::of(config, args)?;
    let connected = match wanted {
        Wanted { registry: false, revisions: None, .. } => None,
        _ => {
            let (aws, environment) = storage::connect(config).await?;
            Some(Connected { aws, environment })
        }
    };
    let (builder, registry, revisions) =
        look_at_all(ui, config, &wanted, connected.as_ref()).await?;
    let (before, mut steps) = (builder.as_ref().map(|(_, cache)| cache), Vec::new());
    steps.extend(builder.as_ref().map(|found| step_for(found, &options)));
    let Looked { repositories, warnings } = registry;
    let (known, plans): (Vec<_>, Vec<_>) = repositories.into_iter().unzip();
    steps.extend(plans.into_iter().map(Step::Registry));
    steps.extend(revisions.map(Step::TaskDefinitions));
    for kept in steps.iter().flat_map(Step::kept) {
        ui.emit(&Event::Detail { text: format!("stays  {kept}") });
    }
    if args.dry.dry_run {
        return dry_run(ui, &steps, warnings);
    }
    steps.retain(|step| !step.is_empty());
    let mut report = Report { warnings, ..Report::default() };
    if !steps.is_empty() {
        show(ui, &steps);
        if !args.yes {
            ui.confirm("Prune that?").await?;
        }
    }
    let run = Run { ui, config, aws: connected.as_ref() };
    let done = run.take(steps, before, known, &mut report).await;
    report.ended(done.as_ref().err());
    // How it ended comes before whether that could be shown.
    let shown = ui.result(&report, || report.text());
    done?;
    shown?;
    Ok(Exit::Success)
}

/// What is pruned.
struct Wanted {
    builder: bool,
    registry: bool,
    /// So many revisions of a family stay, the newest.
    revisions: Option<usize>,
}

impl Wanted {
    fn of(config: &Config, args: &PruneArgs) -> Result<Self> {
        let revisions = match args.task_definitions || args.task_definitions_only {
            false => None,
            true => Some(config.prune.keep_task_definitions.ok_or_else(|| {
                let text = "no number says how many revisions of a task definition stay";
                Failure::new(Exit::Usage, text)
                    .hint("set `keep-task-definitions` in [prune] of xtask.toml, such as 20")
            })?),
        };
        Ok(Self {
            builder: !args.registry_only && !args.task_definitions_only,
            registry: args.registry || args.registry_only,
            revisions,
        })
    }
}

/// The environment, and clients for it.
struct Connected<'c> {
    aws: Aws,
    environment: &'c Environment,
}

/// The builder and its cache, the registry, and the task definitions.
type Looks = (Option<(BuilderFacts, BuilderCache)>, Looked, Option<RevisionPlan>);

/// Looks at everything that is wanted, side by side.
async fn look_at_all(
    ui: &Ui,
    config: &Config,
    wanted: &Wanted,
    connected: Option<&Connected<'_>>,
) -> Result<Looks> {
    let builder = async {
        match wanted.builder {
            true => look_at_builder(config).await.map(Some),
            false => Ok(None),
        }
    };
    let registry = async {
        match connected.filter(|_| wanted.registry) {
            Some(connected) => look(ui, config, connected).await,
            None => Ok(Looked::default()),
        }
    };
    let revisions = async {
        match connected.zip(wanted.revisions) {
            Some((connected, newest)) => {
                look_at_revisions(config, connected, newest).await.map(Some)
            }
            None => Ok(None),
        }
    };
    let (builder, registry, revisions) = tokio::join!(builder, registry, revisions);
    together(ui, builder, registry, revisions)
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
        max_used_space: size("--max-used-space", &args.max_used_space)?,
        reserved_space: size("--reserved-space", &args.reserved_space)?,
        min_free_space: size("--min-free-space", &args.min_free_space)?,
        keep_mounts: args.keep_mounts,
    })
}

/// All looks, or everything that is wrong with them.
fn together<A, B, C>(
    ui: &Ui,
    builder: Result<A>,
    registry: Result<B>,
    revisions: Result<C>,
) -> Result<(A, B, C)> {
    match (builder, registry, revisions) {
        (Ok(builder), Ok(registry), Ok(revisions)) => Ok((builder, registry, revisions)),
        (builder, registry, revisions) => {
            let checks = [
                ("builder", builder.err()),
                ("registry", registry.err()),
                ("task definitions", revisions.err()),
            ];
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

/// What was found in the registry.
#[derive(Default)]
struct Looked {
    /// Every repository with its plan.
    repositories: Vec<(Repository, PrunePlan)>,
    /// What is not known and makes something stay.
    warnings: Vec<String>,
}

/// Every repository with its plan.
async fn look(
    ui: &Ui,
    config: &Config,
    Connected { aws, environment }: &Connected<'_>,
) -> Result<Looked> {
    let (found, others) = tokio::join!(
        look_at_registry(ui, config, environment, aws, Vec::new()),
        storage::warn_of_others(ui, config, environment, aws)
    );
    let found = found?;
    let uses = found.uses.map_err(nothing_deleted)?;
    let now = storage::now();
    let planned = |repository: Repository| {
        let (_, plan) = plan_for(config, environment, &repository, &uses, &found.caches, now)
            .map_err(nothing_deleted)?;
        Ok((repository, plan))
    };
    let repositories = found.repositories.into_iter().map(planned).collect::<Result<_>>()?;
    let warnings = found.warnings.into_iter().chain(others).collect();
    Ok(Looked { repositories, warnings })
}

/// What becomes of the revisions of the services' families.
async fn look_at_revisions(
    config: &Config,
    Connected { aws, environment }: &Connected<'_>,
    newest: usize,
) -> Result<RevisionPlan> {
    let found = task_definitions(aws, &config.clusters, environment).await;
    Ok(revisions::plan(&found.map_err(nothing_deregistered)?, newest))
}

/// What is not known wholly is no ground to delete anything on.
fn nothing_deleted(error: anyhow::Error) -> anyhow::Error {
    let hint = "`-v` shows more; without `--registry` only the builder is pruned";
    nothing("nothing is deleted from the registry", &error, hint)
}

/// As little to deregister anything on.
fn nothing_deregistered(error: anyhow::Error) -> anyhow::Error {
    let hint = "`-v` shows more; without `--task-definitions` none are looked at";
    nothing("no task definition is deregistered", &error, hint)
}

fn nothing(what: &str, error: &anyhow::Error, otherwise: &str) -> anyhow::Error {
    let hint = hint_of(error).unwrap_or(otherwise);
    Failure::new(Exit::Prerequisite, format!("{what}: {error:#}")).hint(hint).into()
}
