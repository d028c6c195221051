//! `cargo xtask run`

use anyhow::{Context as _, Result};

use super::prepare::{self, Found, Wanted};
use crate::apply::{self, Context, Done};
use crate::cli::build::RunArgs;
use crate::observe::preflight::{for_build, well};
use crate::ui::Ui;
use xtask_core::config::Config;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::build::Output;
use xtask_core::plan::deploy::{Plan, Step};
use xtask_core::plan::run::{self, Inputs};

/// Builds the image for this machine and runs it.
///
/// # Errors
/// Something is missing, the build fails, or the container does not become healthy.
pub async fn run(ui: &Ui, config: &Config, args: &RunArgs) -> Result<Exit> {
    ui.progress(args.how.progress);
    let settings = config.run.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, format!("{} has no [run]", config.path.display()))
            .hint("write at least the port that the service listens on: `[run]`, `port = 8080`")
    })?;
    if let Some(unset) = &settings.unset {
        return Err(Failure::new(Exit::Usage, unset.clone())
            .hint("set it, or write it into .env, or give it a `default`")
            .into());
    }
    let (checks, facts) = for_build(config, None).await;
    well(ui, checks)?;
    let facts = facts.context("all checks are well, and there are no facts")?;
    let scratch = crate::proc::Scratch::new()?;
    let metadata_file = scratch.path().join("metadata.json");
    let wanted = Wanted::plain(Output::Load, &args.how, &metadata_file);
    let mut steps = prepare::prepare(config, &facts, &Found::default(), &wanted).steps;
    let names = steps.iter().find_map(|step| match step {
        Step::Build(build) => build.names.first().cloned(),
        _ => None,
    });
    steps.push(Step::Run(Box::new(run::run(&Inputs {
        image: &names.context("a plan without a build")?,
        container: &format!("{}-run", config.image.name.replace('/', "-")),
        port: settings.port,
        host_port: args.port.unwrap_or(settings.port),
        health: settings.health.as_deref(),
        environment: &settings.environment,
        timeout: settings.timeout,
        until_healthy: args.until_healthy,
    }))));
    let plan = Plan { steps };
    if args.dry.dry_run {
        return ui.dry_run(&plan);
    }
    let context = Context { ui, config, aws: None };
    let mut done = Done::default();
    apply::apply(&context, &plan, &mut done).await?;
    let ran = done.ran.context("a plan that runs ended without a run")?;
    ui.result(&ran, || ran.to_string())?;
    Ok(Exit::Success)
}
