//! Whether tasks can start: what their task definitions name has to be there.

use std::future::Future;
use std::time::Duration;

use super::check::Check;
use super::{logs, roles, secrets};
use crate::aws::Aws;
use xtask_core::config::Environment;
use xtask_core::plan::needs::Needs;

/// How long a question may take that a deploy can do without: an endpoint of IAM, say, that a
/// private network does not let through.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Looks for roles, secrets and log groups, side by side.
pub(super) async fn checks(aws: &Aws, environment: &Environment, needs: &[Needs]) -> Vec<Check> {
    let (roles, secrets, logs) = tokio::join!(
        roles::checks(aws, environment, needs),
        secrets::checks(aws, environment, needs),
        logs::checks(aws, needs)
    );
    roles.into_iter().chain(secrets).chain(logs).collect()
}

/// What became of one question.
pub(super) enum Answer {
    /// What was asked for is there.
    There,
    /// Something else, worth telling.
    Told(Check),
}

/// The answers to some questions of a kind: those that are worth telling, or that all is there.
pub(super) fn summary(
    what: &'static str,
    there: impl Fn(usize) -> String,
    answers: Vec<Answer>,
) -> Vec<Check> {
    let asked = answers.len();
    let told: Vec<Check> = answers
        .into_iter()
        .filter_map(|answer| match answer {
            Answer::Told(check) => Some(check),
            Answer::There => None,
        })
        .collect();
    if told.is_empty() && asked > 0 {
        return vec![Check::ok(what, there(asked))];
    }
    told
}

/// What can not be looked at is no reason to stop: whether it matters, the rollout will tell.
pub(super) fn not_known(what: &'static str, thing: &str, error: &anyhow::Error) -> Answer {
    let fix = xtask_core::exit::hint_of(error).unwrap_or("run it again in a minute");
    Answer::Told(Check::note(what, format!("{thing} was not looked at: {error:#}"), fix))
}

/// The answer, or that it did not come in time.
pub(super) async fn in_time(
    what: &'static str,
    thing: &str,
    answer: impl Future<Output = Answer>,
) -> Answer {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer,
        Err(_) => not_known(what, thing, &anyhow::anyhow!("AWS did not answer in time")),
    }
}
