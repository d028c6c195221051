//! `cargo xtask rollback`

use anyhow::{Context as _, Result};

use crate::apply::{self, Context, Done};
use crate::aws::Session;
use crate::cli::service::RollbackArgs;
use crate::observe::ecs::{ServiceFacts, revision};
use crate::observe::preflight::{RollbackFacts, for_rollback, well};
use crate::observe::revisions::{Source, Target};
use crate::report::DeployReport;
use crate::ui::Ui;
use xtask_core::config::Config;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::changes::{self, Running, ServiceChanges};
use xtask_core::plan::deploy::{self, Plan, Rollout, ServiceChange, TaskChange};

/// Puts each service back on an earlier revision.
///
/// # Errors
/// There is none to go back to, its image is gone, or a step fails.
pub async fn run(ui: &Ui, config: &Config, args: &RollbackArgs) -> Result<Exit> {
    let environment = config.environment()?;
    let session = Session::connect(environment).await;
    let aws = session.aws();
    let (checks, facts) = for_rollback(&aws, environment, args.to).await;
    well(ui, checks)?;
    let RollbackFacts { services: found, health } =
        facts.context("all checks are well, and there are no facts")?;
    let services: Vec<_> = found
        .iter()
        .map(|(service, target)| ServiceChange {
            service: service.name.clone(),
            desired: service.desired,
            change: TaskChange::Existing(target.arn.clone()),
        })
        .collect();
    let steps = deploy::rollout(&Rollout {
        cluster: &environment.cluster,
        container: &environment.container,
        lock: environment.lock.then_some("rollback"),
        services: &services,
        desired_count: environment.desired_count,
        if_busy: args.if_busy.into(),
        force: false,
        deadline: environment.deadline,
        health,
        mark: None,
    });
    let plan = Plan { steps };
    if args.dry.dry_run {
        return ui.dry_run_of(&plan, changes(&plan, &found)?);
    }
    for (service, target) in &found {
        ui.emit(&said(service, target));
    }
    let context = Context { ui, config, aws: Some((&session, environment)) };
    let mut done = Done::default();
    let result = apply::roll_out(&context, &plan, &mut done, false).await;
    // How it ended comes before whether that could be shown.
    let shown = DeployReport::new(environment, &done, result.as_ref().err()).show(ui);
    result?;
    shown?;
    Ok(Exit::Success)
}

/// What the plan would change, with the reasons for the targets.
fn changes(plan: &Plan, found: &[(ServiceFacts, Target)]) -> Result<Vec<ServiceChanges>> {
    let reasons: Vec<String> = found.iter().map(|(_, target)| target.source.to_string()).collect();
    let running = found.iter().zip(&reasons).map(|((service, target), reason)| {
        let described = &target.described;
        let task_definition = revision(&target.arn);
        let target = changes::Target { task_definition, described, reason };
        Running { target: Some(target), ..service.compared() }
    });
    Ok(changes::changes(plan, &running.collect::<Vec<_>>())
        .map_err(|error| Failure::new(Exit::Prerequisite, error.to_string()))?)
}

/// What a service goes back to, and why: a guess is a warning.
fn said(service: &ServiceFacts, target: &Target) -> Event {
    let (name, to, why) = (&service.name, revision(&target.arn), &target.source);
    let text = format!("{name} goes back from {} to {to}: {why}", service.revision());
    match target.source {
        Source::NextLower => {
            Event::Warning { text, hint: Some("`--to REVISION` chooses another one".into()) }
        }
        _ => Event::Note { text },
    }
}
