//! After a failed rollout or check: the earlier revision is put back where ECS did not.

use super::ecs::{Guard, Updated, update};
use super::lock::Lock;
use super::watch::{Tempo, watch};
use super::{Context, Done, verify};
use crate::aws::Aws;
use crate::interrupt::remember;
use crate::observe::ecs::revision;
use xtask_core::config::Environment;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure, exit_of};
use xtask_core::plan::deploy::{Plan, Step, TaskChange, Update};
use xtask_core::rollout::{RollbackOutcome, Verdict};

/// Puts services back whose rollout failed without ECS rolling it back, or whose check
/// failed; and returns the error that the command ends with.
pub async fn put_back(
    context: &Context<'_>,
    plan: &Plan,
    done: &Done,
    error: anyhow::Error,
) -> anyhow::Error {
    // When ECS rolled one of several services back, the others go back, too; and those that were
    // moved before the update of another one failed.
    let failed = match exit_of(&error) {
        Exit::RolloutFailed | Exit::VerificationFailed | Exit::RolledBack => true,
        Exit::Superseded | Exit::DeadlinePassed | Exit::Interrupted => false,
        _ => !done.watched,
    };
    let Some((session, environment)) = context.aws.filter(|_| failed) else { return error };
    let wanted =
        done.updated.values().filter_map(|updated| Some((updated, goes_to(done, updated)?)));
    let lock = done.lock.as_deref();
    let (mut going, mut back, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
    let mut exit = Exit::RolloutFailed;
    for (updated, arn) in wanted {
        let (service, to) = (&updated.service, revision(arn));
        context
            .ui
            .emit(&Event::Note { text: format!("putting {service} back on {to}: {error:#}") });
        match go_back(context, &session.aws(), environment, lock, updated, arn).await {
            Ok(back) => going.push((to, back)),
            Err(problem) => {
                if exit_of(&problem) == Exit::Superseded {
                    exit = Exit::Superseded;
                }
                stuck.push(format!("{service} could not be put back on {to}: {problem:#}"));
            }
        }
    }
    if going.is_empty() && stuck.is_empty() {
        return error;
    }
    // All of them first, and then they are watched side by side.
    let watched: Vec<_> = going.iter().map(|(_, back)| back.clone()).collect();
    let (ui, cluster, tempo) = (context.ui, &environment.cluster, Tempo::default());
    let deadline = environment.deadline;
    let outcomes = match watch(ui, session, cluster, &watched, tempo, deadline).await {
        Ok(outcomes) => outcomes,
        Err(problem) => return error.context(format!("{problem:#}")),
    };
    for (to, updated) in &going {
        let service = &updated.service;
        match outcomes.get(service).map(|outcome| &outcome.verdict) {
            Some(Verdict::Succeeded { .. }) | None => {
                remember(format!("service {service}"), format!("{service} is back on {to}"));
                back.push(format!("{service} is back on {to}"));
            }
            Some(verdict @ Verdict::DeadlinePassed { .. }) => {
                stuck.push(format!("{service} is on its way back to {to}: {verdict}"));
            }
            Some(verdict) => {
                stuck.push(format!("{service} could not be put back on {to}: {verdict}"));
            }
        }
    }
    if !stuck.is_empty() {
        back.extend(stuck);
        return Failure::new(exit, format!("{error:#}; {}", back.join("; ")))
            .hint("look at it with `cargo xtask status`; `cargo xtask rollback` tries again")
            .into();
    }
    if let Err(problem) = answers(&session.aws(), plan).await {
        let text = format!("{}, and that does not answer either: {problem:#}", back.join(", "));
        let hint = Some("the trouble may be elsewhere: `cargo xtask doctor`".into());
        context.ui.emit(&Event::Warning { text, hint });
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

/// The ARN of what is put back, if something is: after a change, an earlier revision that served,
/// unless ECS rolled back, or tried.
fn goes_to<'a>(done: &Done, updated: &'a Updated) -> Option<&'a str> {
    updated.target.as_ref()?.previous_task_definition.as_ref()?;
    let outcome = done.outcomes.get(&updated.service);
    let stays = match outcome.map(|outcome| &outcome.verdict) {
        Some(Verdict::Succeeded { .. }) => true,
        Some(Verdict::Failed { rollback, .. }) => {
            matches!(rollback, RollbackOutcome::NotStarted | RollbackOutcome::Unknown)
        }
        Some(_) => false,
        None => !done.watched,
    };
    updated.goes_back_to().filter(|_| stays)
}

/// Tells ECS to go back, unless the service is not on our deployment any more.
async fn go_back(
    context: &Context<'_>,
    aws: &Aws,
    environment: &Environment,
    lock: Option<&Lock>,
    updated: &Updated,
    arn: &str,
) -> anyhow::Result<Updated> {
    let (service, to) = (&updated.service, revision(arn));
    let from = revision(&updated.task_definition);
    remember(
        format!("service {service}"),
        format!(
            "{service} is on {from}, and was not put back on {to} yet: \
             `cargo xtask rollback` does it"
        ),
    );
    let wanted = Update {
        cluster: environment.cluster.clone(),
        service: service.clone(),
        container: environment.container.clone(),
        change: TaskChange::Existing(arn.to_owned()),
        desired_count: None,
        force: false,
    };
    let replaces = updated.target.as_ref().map(|target| target.deployment_id.as_str());
    let guard = Guard { lock, replaces, environment: Some(environment) };
    update(context.ui, aws, &wanted, None, guard).await
}
