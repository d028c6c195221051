//! `cargo xtask deploy`

use anyhow::{Context as _, Result};

use super::prepare::{self, Wanted};
use crate::apply::{self, Context, Done};
use crate::aws::Session;
use crate::cli::service::DeployArgs;
use crate::observe::ecs::ServiceFacts;
use crate::observe::inputs;
use crate::observe::preflight::{ImageSource, RolloutFacts, for_deploy, well};
use crate::report::DeployReport;
use crate::ui::Ui;
use xtask_core::config::{Config, Environment};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::build::Output;
use xtask_core::plan::changes::changes;
use xtask_core::plan::deploy::{self, ImageRef, Plan, Rollout, ServiceChange, Step, TaskChange};
use xtask_core::plan::reuse::{Leave, Service, leave};

/// Builds, pushes, updates, watches, verifies.
///
/// # Errors
/// Something is missing, or a step fails; what was done is reported all the same.
pub async fn run(ui: &Ui, config: &Config, args: &DeployArgs) -> Result<Exit> {
    ui.progress(args.how.progress);
    let environment = config.environment()?;
    let session = Session::connect(environment).await;
    let aws = session.aws();
    let inputs = inputs::Wanted { target: None, refresh: args.how.refresh };
    let (checks, facts) =
        for_deploy(&aws, config, environment, args.image.as_deref(), Some(inputs)).await;
    well(ui, checks)?;
    let facts = facts.context("all checks are well, and there are no facts")?;

    let scratch = crate::proc::Scratch::new()?;
    let metadata_file = scratch.path().join("metadata.json");
    let mut steps = Vec::new();
    let mut mark = None;
    let image = match &facts.image {
        ImageSource::Pushed(image) => {
            ImageRef::Known(format!("{}@{}", environment.image(), image.digest))
        }
        ImageSource::Build(build) => {
            let wanted = Wanted {
                registry: Some((environment, &facts.registry)),
                ..Wanted::plain(Output::Push, &args.how, &metadata_file)
            };
            let found = prepare::look(ui, Some(&aws), build, &wanted).await;
            let prepared = prepare::prepare(config, build, &found, &wanted);
            (steps, mark) = (prepared.steps, prepared.mark);
            match prepared.there {
                Some(there) => ImageRef::Known(format!("{}@{}", environment.image(), there.digest)),
                None => {
                    steps.extend(facts.storage.map(|storage| Step::CheckSize { storage }));
                    ImageRef::Pushed(environment.image())
                }
            }
        }
    };
    let known = match &image {
        ImageRef::Known(image) => Some(image.clone()),
        ImageRef::Pushed(_) => None,
    };
    let change = TaskChange::Next {
        image,
        environment: environment.environment.clone(),
        secrets: environment.secrets.clone(),
    };
    let RolloutFacts { services, health } = &facts.rollout;
    match left(environment, &change, services).filter(|_| !args.force) {
        Some(left) => {
            steps.extend(left.into_iter().map(Step::Leave));
            steps.extend(health.clone().map(Step::VerifyHealth));
        }
        None => {
            let services = services.iter().map(|service| ServiceChange {
                service: service.name.clone(),
                desired: service.desired,
                change: change.clone(),
            });
            steps.extend(deploy::rollout(&Rollout {
                cluster: &environment.cluster,
                container: &environment.container,
                lock: environment.lock.then_some("deploy"),
                services: &services.collect::<Vec<_>>(),
                desired_count: environment.desired_count,
                if_busy: args.if_busy.into(),
                force: args.force,
                deadline: environment.deadline,
                health: health.clone(),
                mark,
            }));
        }
    }
    let plan = Plan { steps };
    if args.dry.dry_run {
        let running = facts.rollout.services.iter().map(ServiceFacts::compared);
        let changes = changes(&plan, &running.collect::<Vec<_>>())
            .map_err(|error| Failure::new(Exit::Prerequisite, error.to_string()))?;
        return ui.dry_run_of(&plan, changes);
    }
    let context = Context { ui, config, aws: Some((&session, environment)) };
    if let ImageSource::Build(build) = &facts.image {
        prepare::keep(&context, build);
    }
    let mut done = Done::with(known);
    let result = apply::roll_out(&context, &plan, &mut done, args.puts_back()).await;
    // How it ended comes before whether that could be shown.
    let shown = DeployReport::new(environment, &done, result.as_ref().err()).show(ui);
    result?;
    shown?;
    Ok(Exit::Success)
}

/// The services as they are, if nothing is to be done.
fn left(
    environment: &Environment,
    change: &TaskChange,
    services: &[ServiceFacts],
) -> Option<Vec<Leave>> {
    let services = services.iter().map(|service| Service {
        name: &service.name,
        task_definition: &service.task_definition_arn,
        described: &service.described,
        serves: service.serves(),
    });
    leave(&environment.cluster, &environment.container, change, &services.collect::<Vec<_>>())
}
