//! `cargo xtask deploy`

use anyhow::{Context as _, Result};

use super::prepare::{self, Wanted};
use crate::apply::{self, Context, Done};
use crate::aws::Session;
use crate::cli::DeployArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::observe::preflight::{ImageSource, for_deploy, well};
use crate::plan::build::Output;
use crate::plan::deploy::{self, ImageRef, Plan, Rollout, ServiceChange, Step, TaskChange};
use crate::report::DeployReport;
use crate::ui::Ui;

/// Builds, pushes, updates, watches, verifies.
///
/// # Errors
/// Something is missing, or a step fails; what was done is reported all the same.
pub async fn run(ui: &Ui, config: &Config, args: &DeployArgs) -> Result<Exit> {
    ui.progress(args.how.progress);
    let environment = config.environment()?;
    let session = Session::connect(environment).await;
    let aws = session.aws();
    let (checks, facts) = for_deploy(&aws, config, environment, args.image.as_deref()).await;
    well(ui, checks)?;
    let facts = facts.context("all checks are well, and there are no facts")?;

    let scratch = tempfile::tempdir()?;
    let metadata_file = scratch.path().join("metadata.json");
    let mut steps = Vec::new();
    let image = match &facts.image {
        ImageSource::Pushed(image) => {
            ImageRef::Known(format!("{}@{}", environment.image(), image.digest))
        }
        ImageSource::Build(build) => {
            let wanted = Wanted {
                output: Output::Push,
                registry: Some((environment, &facts.registry)),
                target: None,
                tags: &[],
                how: &args.how,
                metadata_file: &metadata_file,
            };
            steps = prepare::steps(config, build, &wanted);
            steps.extend(facts.storage.map(|storage| Step::CheckSize { storage }));
            ImageRef::Pushed(environment.image())
        }
    };
    let change = TaskChange::Next {
        image,
        environment: environment.environment.clone(),
        secrets: environment.secrets.clone(),
    };
    let services: Vec<_> = facts
        .rollout
        .services
        .iter()
        .map(|service| ServiceChange {
            service: service.name.clone(),
            desired: service.desired,
            change: change.clone(),
        })
        .collect();
    steps.extend(deploy::rollout(&Rollout {
        cluster: &environment.cluster,
        container: &environment.container,
        lock: environment.lock.then_some("deploy"),
        services: &services,
        desired_count: environment.desired_count,
        if_busy: args.if_busy,
        force: args.force,
        deadline: environment.deadline,
        health: facts.rollout.health,
    }));
    let plan = Plan { steps };
    if args.dry.dry_run {
        return ui.dry_run(&plan);
    }
    let context = Context { ui, config, aws: Some((&session, environment)) };
    let mut done = Done::default();
    let result = apply::roll_out(&context, &plan, &mut done, args.puts_back()).await;
    // How it ended comes before whether that could be shown.
    let shown = DeployReport::new(environment, &done, result.as_ref().err()).show(ui);
    result?;
    shown?;
    Ok(Exit::Success)
}
