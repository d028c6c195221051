//! `cargo xtask builder`

use anyhow::Result;
use serde::Serialize;

use crate::apply;
use crate::cli::storage::{BuilderCommand, BuilderRmArgs};
use crate::observe::engine::{BuilderFacts, builder, builders, engine, inspect};
use crate::ui::{Ui, table};
use xtask_core::config::{Config, Driver};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::builder::{self as plan, Difference, Inspected};
use xtask_core::plan::deploy::{Plan, Step};

/// What `builder ls` reports.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct List {
    /// The name of the builder that xtask.toml asks for.
    configured: String,
    /// Every builder that buildx knows.
    builders: Vec<Inspected>,
}

/// What `builder inspect` reports, and `create` and `rm` when they are done.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report {
    /// The name of the builder that xtask.toml asks for.
    name: String,
    /// The driver that xtask.toml asks for.
    driver: &'static str,
    /// Whether it is there.
    exists: bool,
    /// Whether it can write a registry cache.
    exports_cache: bool,
    /// In what it differs from xtask.toml.
    differences: Vec<Difference>,
    /// What to do about that.
    fix: Option<String>,
    /// What buildx says of it.
    found: Option<Inspected>,
}

/// Runs one of the commands.
///
/// # Errors
/// The engine or buildx does not answer, or a step fails.
pub async fn run(ui: &Ui, config: &Config, command: &BuilderCommand) -> Result<Exit> {
    match command {
        BuilderCommand::Ls => ls(ui, config).await,
        BuilderCommand::Inspect => show(ui, config).await,
        BuilderCommand::Create { dry } => create(ui, config, dry.dry_run).await,
        BuilderCommand::Rm(args) => rm(ui, config, args).await,
    }
}

async fn ls(ui: &Ui, config: &Config) -> Result<Exit> {
    let (engine, builders) = tokio::try_join!(engine(), builders())?;
    let configured = config.builder.name.clone().unwrap_or(engine.context);
    let list = List { configured, builders };
    ui.result(&list, || table(&rows(&list)))?;
    Ok(Exit::Success)
}

/// A row a node; the builder stands in the first of its nodes.
fn rows(list: &List) -> Vec<Vec<String>> {
    let mut rows = vec![
        ["builder", "driver", "node", "status", "buildkit", "platforms"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for builder in &list.builders {
        let mark = if builder.name == list.configured { " (xtask.toml)" } else { "" };
        let mut first = [format!("{}{mark}", builder.name), builder.driver.clone()];
        if builder.nodes.is_empty() {
            let [name, driver] = first;
            let error = builder.error.clone().unwrap_or_default();
            rows.push(vec![name, driver, String::new(), error, String::new(), String::new()]);
            continue;
        }
        for node in &builder.nodes {
            let [name, driver] = std::mem::take(&mut first);
            rows.push(vec![
                name,
                driver,
                node.name.clone(),
                node.error.clone().or_else(|| node.status.clone()).unwrap_or_default(),
                node.version.clone().unwrap_or_default(),
                node.platforms.join(", "),
            ]);
        }
    }
    rows
}

async fn report(config: &Config) -> Result<Report> {
    let engine = engine().await?;
    let name = config.builder.name.clone().unwrap_or_else(|| engine.context.clone());
    let found = inspect(&name).await?;
    let differences =
        found.as_ref().map_or_else(Vec::new, |found| plan::differences(&config.builder, found));
    let driver = config.builder.driver;
    Ok(Report {
        driver: driver.as_str(),
        exists: found.is_some(),
        exports_cache: driver != Driver::Docker || engine.containerd_store,
        fix: (!differences.is_empty()).then(|| plan::fix(&name, driver)),
        differences,
        found,
        name,
    })
}

async fn show(ui: &Ui, config: &Config) -> Result<Exit> {
    let report = report(config).await?;
    ui.result(&report, || text(&report))?;
    Ok(if report.exists { Exit::Success } else { Exit::Prerequisite })
}

fn text(report: &Report) -> String {
    let yes = |yes: bool| if yes { "yes" } else { "no" }.to_owned();
    let mut rows = vec![
        vec!["builder".to_owned(), report.name.clone()],
        vec!["driver".to_owned(), report.driver.to_owned()],
        vec!["there".to_owned(), yes(report.exists)],
        vec!["exports cache".to_owned(), yes(report.exports_cache)],
    ];
    for node in report.found.iter().flat_map(|found| &found.nodes) {
        let state = node.error.clone().or_else(|| node.status.clone()).unwrap_or_default();
        let version = node.version.as_deref().unwrap_or_default();
        rows.push(vec![
            format!("node {}", node.name),
            format!("{} {state} {version}", node.endpoint),
        ]);
        rows.push(vec!["  platforms".to_owned(), node.platforms.join(", ")]);
        rows.extend(
            node.options
                .iter()
                .map(|(name, value)| vec!["  option".to_owned(), format!("{name}={value}")]),
        );
    }
    rows.extend(report.differences.iter().map(|d| vec!["differs".to_owned(), d.to_string()]));
    rows.extend(report.fix.iter().map(|fix| vec!["fix".to_owned(), fix.clone()]));
    table(&rows)
}

async fn create(ui: &Ui, config: &Config, dry_run: bool) -> Result<Exit> {
    let facts = facts(config).await?;
    let scratch = crate::proc::Scratch::new()?;
    let creation = plan::create(&config.builder, scratch.path())
        .filter(|_| !facts.exists)
        .map(Step::CreateBuilder);
    let plan = Plan { steps: creation.into_iter().collect() };
    if dry_run {
        return ui.dry_run(&plan);
    }
    let mut done = apply::Done::default();
    apply::apply(&apply::Context { ui, config, aws: None }, &plan, &mut done).await?;
    let report = report(config).await?;
    ui.result(&report, || text(&report))?;
    if report.differences.is_empty() {
        return Ok(Exit::Success);
    }
    let text = format!("the builder `{}` was there already, and is not as configured", report.name);
    Err(Failure::new(Exit::Prerequisite, text).hint(report.fix.unwrap_or_default()).into())
}

async fn facts(config: &Config) -> Result<BuilderFacts> {
    builder(&config.builder, &engine().await?).await
}

async fn rm(ui: &Ui, config: &Config, args: &BuilderRmArgs) -> Result<Exit> {
    let Some(name) =
        config.builder.name.as_deref().filter(|_| config.builder.driver != Driver::Docker)
    else {
        let text = "the `docker` driver has no builder to remove: it is the Docker Engine";
        return Err(Failure::new(Exit::Usage, text)
            .hint("`cargo xtask prune` takes cache away; `docker context rm` a context")
            .into());
    };
    let found = inspect(name).await?;
    let steps = found.map(|_| Step::RemoveBuilder(plan::remove(name, args.keep_state)));
    let plan = Plan { steps: steps.into_iter().collect() };
    if args.dry.dry_run {
        return ui.dry_run(&plan);
    }
    if !args.yes && !plan.steps.is_empty() {
        let cache = if args.keep_state { "" } else { " with its cache" };
        ui.confirm(&format!("Remove the builder `{name}`{cache}?")).await?;
    }
    let mut done = apply::Done::default();
    apply::apply(&apply::Context { ui, config, aws: None }, &plan, &mut done).await?;
    let report = report(config).await?;
    ui.result(&report, || text(&report))?;
    Ok(Exit::Success)
}
