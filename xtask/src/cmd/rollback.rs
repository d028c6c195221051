//! `cargo xtask rollback`

use anyhow::{Context as _, Result};

use crate::apply::{self, Context, Done};
use crate::aws;
use crate::cli::{IfBusy, RollbackArgs};
use crate::config::Config;
use crate::exit::Exit;
use crate::observe::preflight::{for_registry, for_rollout, well};
use crate::observe::revisions;
use crate::plan::deploy::{self, Plan, Rollout, TaskChange};
use crate::report::DeployReport;
use crate::ui::Ui;

/// Puts each service back on an earlier revision.
///
/// # Errors
/// There is none to go back to, its image is gone, or a step fails.
pub async fn run(ui: &Ui, config: &Config, args: &RollbackArgs) -> Result<Exit> {
    let environment = config.environment()?;
    let aws = aws::connect(environment).await;
    let ((mut checks, _), (more, rollout)) =
        tokio::join!(for_registry(&aws, environment), for_rollout(&aws, environment));
    checks.extend(more);
    well(ui, checks)?;
    let rollout = rollout.context("all checks are well, and there are no facts")?;
    let mut steps = Vec::new();
    for service in &rollout.services {
        let target = revisions::target(&aws, environment, service, args.to).await?;
        steps.extend(deploy::rollout(&Rollout {
            cluster: &environment.cluster,
            container: &environment.container,
            services: &[(service.name.clone(), service.desired)],
            desired_count: environment.desired_count,
            change: &TaskChange::Existing(target),
            // Whoever rolls back is in a hurry: what is under way is what went wrong.
            if_busy: IfBusy::Supersede,
            force: false,
            deadline: environment.deadline,
            health: rollout.health.clone(),
        }));
    }
    let plan = Plan { steps };
    if args.dry.dry_run {
        return ui.dry_run(&plan);
    }
    let context = Context { ui, config, aws: Some((&aws, environment)) };
    let mut done = Done::default();
    let result = apply::apply(&context, &plan, &mut done).await;
    // How it ended comes before whether that could be shown.
    let shown = DeployReport::new(environment, &done, result.as_ref().err()).show(ui);
    result?;
    shown?;
    Ok(Exit::Success)
}
