//! `cargo xtask rollback`

use anyhow::{Context as _, Result};

use crate::apply::{self, Context, Done};
use crate::aws::Session;
use crate::cli::RollbackArgs;
use crate::config::Config;
use crate::exit::Exit;
use crate::observe::preflight::{for_lock, for_registry, for_rollout, well};
use crate::observe::revisions;
use crate::plan::deploy::{self, Plan, Rollout, ServiceChange, TaskChange};
use crate::report::DeployReport;
use crate::ui::Ui;

/// Puts each service back on an earlier revision.
///
/// # Errors
/// There is none to go back to, its image is gone, or a step fails.
pub async fn run(ui: &Ui, config: &Config, args: &RollbackArgs) -> Result<Exit> {
    let environment = config.environment()?;
    let session = Session::connect(environment).await;
    let aws = session.aws();
    let ((mut checks, _), (more, rollout), lock) = tokio::join!(
        for_registry(&aws, environment),
        for_rollout(&aws, environment),
        for_lock(&aws, environment),
    );
    checks.extend(more.into_iter().chain([lock]));
    well(ui, checks)?;
    let rollout = rollout.context("all checks are well, and there are no facts")?;
    let mut services = Vec::new();
    for service in &rollout.services {
        let target = revisions::target(&aws, environment, service, args.to).await?;
        services.push(ServiceChange {
            service: service.name.clone(),
            desired: service.desired,
            change: TaskChange::Existing(target),
        });
    }
    let steps = deploy::rollout(&Rollout {
        cluster: &environment.cluster,
        container: &environment.container,
        lock: environment.lock.then_some("rollback"),
        services: &services,
        desired_count: environment.desired_count,
        if_busy: args.if_busy,
        force: false,
        deadline: environment.deadline,
        health: rollout.health,
        mark: None,
    });
    let plan = Plan { steps };
    if args.dry.dry_run {
        return ui.dry_run(&plan);
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
