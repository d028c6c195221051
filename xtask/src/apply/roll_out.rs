//! A whole deployment: its steps under the locks, putting back, giving the locks back.

use std::collections::BTreeMap;

use anyhow::Result;

use super::{Context, Done, Updated, apply, ecs, lock, recover, take};
use crate::observe::ecs::revision;
use xtask_core::exit::{Exit, Failure, exit_of, hint_of};
use xtask_core::plan::deploy::{Plan, Step};

/// Takes the steps of a deployment. After a failure services are put back where that is wanted,
/// and the deploy locks are given back on every way out. What was done is in `done`, also after
/// an error.
///
/// # Errors
/// The first step that fails; or somebody else took over in the middle.
pub async fn roll_out(
    context: &Context<'_>,
    plan: &Plan,
    done: &mut Done,
    put_back: bool,
) -> Result<()> {
    let mut result = apply(context, plan, done).await;
    if let Err(error) = result {
        let error = match put_back && exit_of(&error) != Exit::Superseded {
            true => recover::put_back(context, plan, done, error).await,
            false if done.watched => error,
            false => with_moved(done, error),
        };
        result = Err(error);
    }
    let Some(lock) = done.lock.take() else { return result };
    match lock.end(context.ui).await {
        None => result,
        // Whose lock was taken over can not say what runs now, however well it went until then.
        Some(lost) => result.and(Err(superseded(done, &lost).into())),
    }
}

/// An update that failed, with what was moved before it and stays as it is.
fn with_moved(done: &Done, error: anyhow::Error) -> anyhow::Error {
    let moved = moved(done);
    if moved.is_empty() {
        return error;
    }
    let mut failure =
        Failure::new(exit_of(&error), format!("{error:#}; {}, and stays", moved.join(", ")));
    failure.hint = hint_of(&error).map(str::to_owned);
    failure.into()
}

/// What was moved, for people.
fn moved(done: &Done) -> Vec<String> {
    let moved = done.updated.values().filter_map(|updated| {
        let target = updated.target.as_ref()?;
        let to = revision(&updated.task_definition);
        Some(format!(
            "{} had been moved to {to} (deployment {})",
            updated.service, target.deployment_id
        ))
    });
    moved.collect()
}

/// Somebody else took a lock over: what was done until then is left to them.
fn superseded(done: &Done, lost: &lock::Lost) -> Failure {
    let moved = moved(done);
    let mut failure = lost.failure();
    failure.message.push_str(&match moved.as_slice() {
        [] => "; no service had been changed".to_owned(),
        moved => format!("; {}, and is left to them", moved.join(", ")),
    });
    failure
}

/// What becomes of the services when none of them is to be changed; else empty. Whoever changes
/// nothing has to wait for nobody.
pub(super) async fn unchanged(
    context: &Context<'_>,
    plan: &Plan,
    done: &Done,
) -> Result<BTreeMap<String, Updated>> {
    let (aws, _) = context.aws()?;
    let mut found = BTreeMap::new();
    for step in &plan.steps {
        if let Step::Update(update) = step {
            match ecs::unchanged(&aws, update, done.image.as_deref()).await? {
                Some(updated) => found.insert(update.service.clone(), updated),
                None => return Ok(BTreeMap::new()),
            };
        }
    }
    Ok(found)
}

/// Whether a step has nothing to do any more. What is on the service already needs no lock and
/// no watching; whether it answers is still asked.
pub(super) fn is_needless(step: &Step, done: &Done) -> bool {
    match step {
        Step::Lock { services, .. } | Step::Settle { services, .. } => {
            services.iter().all(|service| done.updated.contains_key(service))
        }
        Step::Watch { services, .. } | Step::VerifyDigest { services } => {
            done.changed(services).next().is_none()
        }
        _ => false,
    }
}

/// Takes a step; one that only waits and looks ends when somebody else takes the lock over.
pub(super) async fn holding(
    context: &Context<'_>,
    step: &Step,
    done: &mut Done,
) -> Result<Option<String>> {
    let only_looks = matches!(
        step,
        Step::Settle { .. }
            | Step::Watch { .. }
            | Step::VerifyDigest { .. }
            | Step::VerifyHealth(_)
    );
    let Some(lock) = done.lock.clone().filter(|_| only_looks) else {
        return take(context, step, done).await;
    };
    tokio::select! {
        biased;
        lost = lock.lost() => Err(superseded(done, &lost).into()),
        taken = take(context, step, done) => taken,
    }
}
