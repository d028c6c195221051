//! After a failed rollout or check: the earlier revision is put back where ECS did not.

use std::time::Duration;

use super::ecs::{Updated, update};
use super::watch::watch;
use super::{Context, Done, verify};
use crate::aws::Aws;
use crate::config::Environment;
use crate::event::Event;
use crate::exit::{Exit, Failure, exit_of};
use crate::observe::ecs::{describe_service, revision};
use crate::plan::deploy::{Plan, Step, TaskChange, Update};
use crate::rollout::Verdict;

/// Puts services back whose rollout failed without ECS rolling it back, or whose check
/// failed; and returns the error that the command ends with.
pub async fn put_back(
    context: &Context<'_>,
    plan: &Plan,
    done: &Done,
    error: anyhow::Error,
) -> anyhow::Error {
    // When ECS rolled one of several services back, the others go back, too.
    let (
        Some((aws, environment)),
        Exit::RolloutFailed | Exit::VerificationFailed | Exit::RolledBack,
    ) = (context.aws, exit_of(&error))
    else {
        return error;
    };
    let mut back = Vec::new();
    let mut stuck = false;
    for updated in done.updated.values().filter(|updated| wants_back(done, updated)) {
        let to = revision(&updated.previous);
        context.ui.emit(&Event::Note {
            text: format!("putting {} back on {to}: {error:#}", updated.service),
        });
        match one_back(context, aws, environment, updated).await {
            Ok(()) => back.push(format!("{} is back on {to}", updated.service)),
            Err(problem) => {
                let text =
                    format!("{} could not be put back on {to}: {problem:#}", updated.service);
                context.ui.emit(&Event::Warning {
                    text,
                    hint: Some("look at it with `cargo xtask status`".into()),
                });
                stuck = true;
            }
        }
    }
    if back.is_empty() || stuck {
        return error;
    }
    if let Err(problem) = answers(aws, plan).await {
        let text = format!("{}, and that does not answer either: {problem:#}", back.join(", "));
        let hint = Some("the trouble may be elsewhere: `cargo xtask doctor`".into());
        context.ui.emit(&Event::Warning { text, hint });
        return error;
    }
    // A failed check stays a failed check; a failed rollout that was put back is a rollback.
    let exit = match exit_of(&error) {
        Exit::RolloutFailed => Exit::RolledBack,
        other => other,
    };
    Failure::new(exit, format!("{error:#}; {}", back.join(", ")))
        .hint(
            "mend what the tasks' log shows, and deploy again; `--no-rollback` leaves it in place",
        )
        .into()
}

/// Whether what was put back answers, where the plan has a health check.
async fn answers(aws: &Aws, plan: &Plan) -> anyhow::Result<()> {
    for step in &plan.steps {
        if let Step::VerifyHealth(check) = step {
            verify::health(aws, check).await?;
        }
    }
    Ok(())
}

/// Whether there is something to put back: a change, an earlier revision that ran, and no
/// rollback by ECS.
fn wants_back(done: &Done, updated: &Updated) -> bool {
    let Some(target) = &updated.target else { return false };
    let failed = match done.outcomes.get(&updated.service).map(|outcome| &outcome.verdict) {
        Some(Verdict::Succeeded { .. } | Verdict::Failed { .. }) => true,
        Some(_) | None => false,
    };
    failed
        && updated.previous_served
        && target.previous_task_definition.is_some()
        && updated.previous != updated.task_definition
}

async fn one_back(
    context: &Context<'_>,
    aws: &Aws,
    environment: &Environment,
    updated: &Updated,
) -> anyhow::Result<()> {
    let service = updated.service.clone();
    let now = describe_service(aws, &environment.cluster, &service).await?;
    if now.task_definition_arn != updated.task_definition {
        anyhow::bail!("{service} is on {} by now, which somebody else deployed", now.revision());
    }
    let wanted = Update {
        cluster: environment.cluster.clone(),
        service: service.clone(),
        container: environment.container.clone(),
        change: TaskChange::Existing(updated.previous.clone()),
        desired_count: None,
        force: false,
    };
    let back = update(context.ui, aws, &wanted, None).await?;
    let deadline = environment.deadline.min(Duration::from_secs(600));
    let outcomes = watch(context.ui, aws, &environment.cluster, &[back], deadline).await?;
    match outcomes.get(&service).map(|outcome| &outcome.verdict) {
        Some(Verdict::Succeeded { .. }) | None => Ok(()),
        Some(verdict) => Err(anyhow::anyhow!("{verdict}")),
    }
}
