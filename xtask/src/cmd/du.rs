//! `cargo xtask du`

use anyhow::Result;
use serde::Serialize;

use super::storage::{
    self, Registry, look_at_builder, look_at_dockerfile, look_at_registry, plan_for,
};
use crate::cli::storage::DuArgs;
use crate::observe::ecr::lifecycle_policy;
use crate::observe::preflight::{Check, well};
use crate::ui::Ui;
use xtask_core::config::{Config, Environment};
use xtask_core::event::Event;
use xtask_core::exit::{Exit, hint_of};
use xtask_core::registry::cost::{MonthlyCost, format_usd, price};
use xtask_core::registry::in_use::InUse;
use xtask_core::registry::lifecycle::{Expiry, LifecyclePolicy};
use xtask_core::registry::repository::Repository;
use xtask_core::registry::usage::{Row, builder_rows, registry_rows, table};
use xtask_core::registry::users::{missed, users_table};

/// What `du` reports. What could not be read is missing, and `warnings` says why.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report {
    /// The table, in bytes.
    rows: Vec<Row>,
    /// The builder, when its cache could be read.
    builder: Option<Builder>,
    /// Each repository that could be read.
    registry: Vec<RepositoryReport>,
    /// What could not be read, and what should be looked at.
    warnings: Vec<String>,
}

/// The builder that the rows are of.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct Builder {
    /// Its name.
    name: String,
    /// Whether bytes and times are exact, or rounded by what reported them.
    exact: bool,
}

/// A repository that the rows are of.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct RepositoryReport {
    /// Its URI.
    repository: String,
    /// What it costs a month; missing where no price is known, such as for an emulator.
    monthly_cost: Option<MonthlyCost>,
    /// Who uses what; missing when that could not be read.
    in_use: Option<InUse>,
    /// What the repository's lifecycle policy is about to take although it is in use.
    lifecycle_takes: Vec<Expiry>,
}

/// Shows what the builder's cache and the registry take. A part that can not be read is a
/// warning as long as the other one can.
///
/// # Errors
/// Neither part can be read.
pub async fn run(ui: &Ui, config: &Config, args: &DuArgs) -> Result<Exit> {
    let registry = async {
        if args.builder_only || config.env.is_none() {
            return None;
        }
        Some(look(ui, config).await)
    };
    let (builder, stages, registry) =
        tokio::join!(look_at_builder(config), look_at_dockerfile(config), registry);
    let now = storage::now();
    let mut report = Report::default();
    let mut users = Vec::new();
    match (builder, registry) {
        (Err(builder), Some(Err(registry))) => {
            let checks = [("builder", builder), ("registry", registry)];
            let checks = checks.map(|(what, error)| Check::wrong(what, error));
            well(ui, checks.into())?;
        }
        (Err(builder), None) => return Err(builder),
        (builder, registry) => {
            match builder {
                Ok((facts, cache)) => {
                    report.rows.extend(builder_rows(&cache, stages.as_ref()));
                    report.builder = Some(Builder { name: facts.name, exact: cache.exact });
                }
                Err(error) => warn(ui, &mut report, "the builder is left out", &error),
            }
            match registry {
                Some(Ok(looked)) => users = of_registry(ui, &mut report, config, &looked, now),
                Some(Err(error)) => warn(ui, &mut report, "the registry is left out", &error),
                None => {}
            }
        }
    }
    ui.result(&report, || text(&report, &users, now))?;
    Ok(Exit::Success)
}

/// What was found of the registry.
struct Looked<'c> {
    environment: &'c Environment,
    found: Registry,
    /// For each repository, its lifecycle policy.
    policies: Vec<Result<Option<String>>>,
}

async fn look<'c>(ui: &Ui, config: &'c Config) -> Result<Looked<'c>> {
    let (aws, environment) = storage::connect(config).await?;
    let (found, others) = tokio::join!(
        look_at_registry(ui, config, environment, &aws, Vec::new()),
        storage::warn_of_others(ui, config, environment, &aws)
    );
    let mut found = found?;
    found.warnings.extend(others);
    let mut policies = Vec::new();
    for repository in &found.repositories {
        let name = environment.repository_name(repository.uri());
        policies.push(lifecycle_policy(&aws, name).await);
    }
    Ok(Looked { environment, found, policies })
}

/// Adds what the repositories take, and returns the tables of who uses what.
fn of_registry(
    ui: &Ui,
    report: &mut Report,
    config: &Config,
    looked: &Looked<'_>,
    now: i64,
) -> Vec<Vec<String>> {
    let Looked { environment, found, policies } = looked;
    if let Err(error) = &found.uses {
        let what = "what is in use and what could be reclaimed is not known";
        warn(ui, report, what, error);
    }
    report.warnings.extend(found.warnings.iter().cloned());
    let several = found.repositories.len() > 1;
    let mut users = Vec::new();
    for (repository, policy) in found.repositories.iter().zip(policies) {
        let uses = found.uses.as_ref().ok();
        let planned = uses
            .map(|uses| plan_for(config, environment, repository, uses, &found.caches, now))
            .transpose()
            .unwrap_or_else(|error| {
                warn(ui, report, "what could be reclaimed is not known", &error);
                None
            });
        let mut rows = match &planned {
            Some((in_use, plan)) => registry_rows(repository, in_use, Some(plan)),
            None => registry_rows(repository, &InUse::default(), None),
        };
        let name = environment.repository_name(repository.uri());
        rows.iter_mut().filter(|_| several).for_each(|row| row.repository = Some(name.to_owned()));
        let monthly_cost = monthly_cost(environment, &rows);
        report.rows.extend(rows);
        let in_use = planned.map(|(in_use, _)| in_use);
        if let Some(in_use) = &in_use {
            users.push(users_table(repository, in_use));
            for text in missed(in_use) {
                report.warnings.push(text.clone());
                let hint = "deploy again: its next task can not start".to_owned();
                ui.emit(&Event::Warning { text, hint: Some(hint) });
            }
        }
        let lifecycle_takes = lifecycle(ui, report, repository, in_use.as_ref(), policy, now);
        let repository = repository.uri().to_owned();
        report.registry.push(RepositoryReport {
            repository,
            monthly_cost,
            in_use,
            lifecycle_takes,
        });
    }
    if found.repositories.is_empty() {
        let text = format!("the repository {} is not there yet", environment.image());
        ui.emit(&Event::Note { text });
    }
    users
}

/// What a repository costs, by the total of its rows. An emulator costs nothing.
fn monthly_cost(environment: &Environment, rows: &[Row]) -> Option<MonthlyCost> {
    let listed = match environment.endpoint_url {
        None => price(&environment.region),
        Some(_) => None,
    };
    let total = rows.last()?;
    let of = |price| MonthlyCost::of(total.bytes, total.reclaimable, price);
    environment.storage_price.or(listed).map(of)
}

/// What a repository's lifecycle policy is about to take although it is in use.
fn lifecycle(
    ui: &Ui,
    report: &mut Report,
    repository: &Repository,
    in_use: Option<&InUse>,
    policy: &Result<Option<String>>,
    now: i64,
) -> Vec<Expiry> {
    let takes = match (in_use, policy) {
        (Some(in_use), Ok(Some(policy))) => LifecyclePolicy::parse(policy)
            .map(|policy| policy.takes_in_use(repository, in_use, now))
            .map_err(anyhow::Error::from),
        (_, Err(error)) => Err(anyhow::anyhow!("{error:#}")),
        _ => Ok(Vec::new()),
    };
    let takes = takes.unwrap_or_else(|error| {
        warn(ui, report, "what the lifecycle policy takes is not known", &error);
        Vec::new()
    });
    for expiry in &takes {
        let text = format!("the lifecycle policy takes what is in use: {expiry}");
        let hint = "change the policy: aws/README.md has one that can not; \
                    `cargo xtask prune --simulate-lifecycle FILE` tries another";
        report.warnings.push(text.clone());
        ui.emit(&Event::Warning { text, hint: Some(hint.to_owned()) });
    }
    takes
}

fn warn(ui: &Ui, report: &mut Report, what: &str, error: &anyhow::Error) {
    let text = format!("{what}: {error:#}");
    report.warnings.push(text.clone());
    ui.emit(&Event::Warning { text, hint: hint_of(error).map(str::to_owned) });
}

fn text(report: &Report, users: &[Vec<String>], now: i64) -> String {
    if report.rows.is_empty() && report.warnings.is_empty() {
        return "nothing is there yet".to_owned();
    }
    let mut blocks = vec![table(&report.rows, now)];
    if report.builder.as_ref().is_some_and(|builder| !builder.exact) {
        blocks
            .push(vec!["sizes of the builder are rounded: its driver tells no others".to_owned()]);
    }
    blocks.extend_from_slice(users);
    let costs = report.registry.iter().filter_map(|of| {
        let MonthlyCost { usd, reclaimable_usd, usd_per_gb } = of.monthly_cost?;
        Some(format!(
            "{} costs about {} a month, {} of it for what a prune would free (${usd_per_gb:.2} a GB and month)",
            of.repository,
            format_usd(usd),
            format_usd(reclaimable_usd),
        ))
    });
    blocks.push(costs.collect());
    blocks.retain(|block| !block.is_empty());
    blocks.iter().map(|block| block.join("\n")).collect::<Vec<_>>().join("\n\n")
}
