//! `cargo xtask du`

use anyhow::Result;
use serde::Serialize;

use super::storage::{self, Registry, look_at_builder, look_at_registry, plan_for};
use crate::cli::DuArgs;
use crate::config::{Config, Environment};
use crate::event::Event;
use crate::exit::{Exit, hint_of};
use crate::observe::engine::BuilderFacts;
use crate::observe::preflight::{Check, well};
use crate::registry::builder_cache::BuilderCache;
use crate::registry::in_use::InUse;
use crate::registry::usage::{Row, builder_rows, registry_rows, table};
use crate::ui::Ui;

/// What `du` reports. What could not be read is missing, and `warnings` says why.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    builder: Option<Builder>,
    registry: Vec<RepositoryReport>,
    warnings: Vec<String>,
}

/// The builder's cache.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Builder {
    name: String,
    /// Whether bytes and times are exact, or rounded by what reported them.
    exact: bool,
    rows: Vec<Row>,
}

/// A repository.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct RepositoryReport {
    repository: String,
    rows: Vec<Row>,
    /// Who uses what; missing when that could not be read.
    in_use: Option<InUse>,
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
    let mut report = Report { builder: None, registry: Vec::new(), warnings: Vec::new() };
    match (builder, registry) {
        (Err(builder), Some(Err(registry))) => {
            let checks = [("builder", builder), ("registry", registry)];
            let checks = checks.map(|(what, error)| Check { what, found: Err(error) });
            well(ui, checks.into())?;
        }
        (Err(builder), None) => return Err(builder),
        (builder, registry) => {
            match builder {
                Ok((facts, cache)) => report.builder = Some(of_builder(facts, &cache)),
                Err(error) => warn(ui, &mut report, "the builder is left out", &error),
            }
            match registry {
                Some(Ok((environment, found))) => {
                    of_registry(ui, &mut report, config, environment, &found, now);
                }
                Some(Err(error)) => warn(ui, &mut report, "the registry is left out", &error),
                None => {}
            }
        }
    }
    ui.result(&report, || text(&report, now))?;
    Ok(Exit::Success)
}

async fn look<'c>(ui: &Ui, config: &'c Config) -> Result<(&'c Environment, Registry)> {
    let (aws, environment) = storage::connect(config).await?;
    let found = look_at_registry(ui, config, environment, &aws, Vec::new()).await?;
    Ok((environment, found))
}

fn of_builder(facts: BuilderFacts, cache: &BuilderCache) -> Builder {
    Builder { name: facts.name, exact: cache.exact, rows: builder_rows(cache) }
}

fn of_registry(
    ui: &Ui,
    report: &mut Report,
    config: &Config,
    environment: &Environment,
    found: &Registry,
    now: i64,
) {
    if let Err(error) = &found.uses {
        let what = "what is in use and what could be reclaimed is not known";
        warn(ui, report, what, error);
    }
    for repository in &found.repositories {
        let uses = found.uses.as_ref().ok();
        let planned = uses
            .map(|uses| plan_for(config, environment, repository, uses, now))
            .transpose()
            .unwrap_or_else(|error| {
                warn(ui, report, "what could be reclaimed is not known", &error);
                None
            });
        let rows = match &planned {
            Some((in_use, plan)) => registry_rows(repository, in_use, Some(plan)),
            None => registry_rows(repository, &InUse::default(), None),
        };
        let in_use = planned.map(|(in_use, _)| in_use);
        let repository = repository.uri().to_owned();
        report.registry.push(RepositoryReport { repository, rows, in_use });
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
    let mut rows: Vec<Row> = Vec::new();
    rows.extend(report.builder.iter().flat_map(|builder| builder.rows.clone()));
    let several = report.registry.len() > 1;
    for repository in &report.registry {
        rows.extend(repository.rows.iter().cloned().map(|mut row| {
            if several {
                let name = repository.repository.rsplit('/').next().unwrap_or_default();
                row.what = format!("{} of {name}", row.what);
            }
            row
        }));
    }
    if rows.is_empty() && report.warnings.is_empty() {
        return "nothing is there yet".to_owned();
    }
    let mut lines = table(&rows, now);
    let rounded = report.builder.as_ref().is_some_and(|builder| !builder.exact);
    if rounded {
        lines.push(String::new());
        lines.push("sizes of the builder are rounded: its driver tells no others".to_owned());
    }
    lines.join("\n")
}
