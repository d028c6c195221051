//! `cargo xtask du`

use anyhow::Result;
use serde::Serialize;

use super::storage::{self, Registry, look_at_builder, look_at_registry, plan_for};
use crate::cli::DuArgs;
use crate::config::{Config, Environment};
use crate::event::Event;
use crate::exit::{Exit, hint_of};
use crate::observe::ecr::lifecycle_policy;
use crate::observe::preflight::{Check, well};
use crate::registry::in_use::InUse;
use crate::registry::lifecycle::{Expiry, LifecyclePolicy};
use crate::registry::usage::{Row, builder_rows, registry_rows, table};
use crate::ui::Ui;

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
    let (builder, registry) = tokio::join!(look_at_builder(config), registry);
    let now = storage::now();
    let mut report = Report::default();
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
                    report.rows.extend(builder_rows(&cache));
                    report.builder = Some(Builder { name: facts.name, exact: cache.exact });
                }
                Err(error) => warn(ui, &mut report, "the builder is left out", &error),
            }
            match registry {
                Some(Ok(looked)) => of_registry(ui, &mut report, config, &looked, now),
                Some(Err(error)) => warn(ui, &mut report, "the registry is left out", &error),
                None => {}
            }
        }
    }
    ui.result(&report, || text(&report, now))?;
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
    let found = look_at_registry(ui, config, environment, &aws, Vec::new()).await?;
    let mut policies = Vec::new();
    for repository in &found.repositories {
        let name = environment.repository_name(repository.uri());
        policies.push(lifecycle_policy(&aws, name).await);
    }
    Ok(Looked { environment, found, policies })
}

fn of_registry(ui: &Ui, report: &mut Report, config: &Config, looked: &Looked<'_>, now: i64) {
    let Looked { environment, found, policies } = looked;
    if let Err(error) = &found.uses {
        let what = "what is in use and what could be reclaimed is not known";
        warn(ui, report, what, error);
    }
    let several = found.repositories.len() > 1;
    for (repository, policy) in found.repositories.iter().zip(policies) {
        let uses = found.uses.as_ref().ok();
        let planned = uses
            .map(|uses| plan_for(config, environment, repository, uses, now))
            .transpose()
            .unwrap_or_else(|error| {
                warn(ui, report, "what could be reclaimed is not known", &error);
                None
            });
        let mut rows = match &planned {
            Some((in_use, plan)) => registry_rows(repository, in_use, Some(plan)),
            None => registry_rows(repository, &InUse::default(), None),
        };
        if several {
            let name = environment.repository_name(repository.uri());
            rows.iter_mut().for_each(|row| row.what = format!("{} of {name}", row.what));
        }
        report.rows.extend(rows);
        let in_use = planned.map(|(in_use, _)| in_use);
        let takes = match (&in_use, policy) {
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
            let hint = Some("change the policy: aws/README.md has one that can not".to_owned());
            report.warnings.push(text.clone());
            ui.emit(&Event::Warning { text, hint });
        }
        let repository = repository.uri().to_owned();
        report.registry.push(RepositoryReport { repository, in_use, lifecycle_takes: takes });
    }
    if found.repositories.is_empty() {
        let text = format!("the repository {} is not there yet", environment.image());
        ui.emit(&Event::Note { text });
    }
}

fn warn(ui: &Ui, report: &mut Report, what: &str, error: &anyhow::Error) {
    let text = format!("{what}: {error:#}");
    report.warnings.push(text.clone());
    ui.emit(&Event::Warning { text, hint: hint_of(error).map(str::to_owned) });
}

fn text(report: &Report, now: i64) -> String {
    if report.rows.is_empty() && report.warnings.is_empty() {
        return "nothing is there yet".to_owned();
    }
    let mut lines = table(&report.rows, now);
    if report.builder.as_ref().is_some_and(|builder| !builder.exact) {
        lines.push(String::new());
        lines.push("sizes of the builder are rounded: its driver tells no others".to_owned());
    }
    lines.join("\n")
}
