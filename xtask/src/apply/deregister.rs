//! Deregisters task definition revisions, a few at a time and as slowly as ECS asks for.

use std::time::Duration;

use anyhow::Result;
use aws_sdk_ecs::types::TaskDefinitionStatus;
use serde::Serialize;

use super::watch::jittered;
use crate::aws::{Aws, explain};
use crate::interrupt::remember;
use crate::observe::beside::all_beside;
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Again, Exit, Failure, again, exit_of, hint_of};
use xtask_core::registry::revisions::{Revision, RevisionPlan};

/// Calls that are under way at the same time. ECS takes few of this kind in a second.
const AT_ONCE: usize = 4;

/// Pauses without any success in between, after which the rest is given up.
const PAUSES: u32 = 5;

/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(2);

/// What became of the revisions that were to go.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Deregistered {
    /// Deregistered.
    pub deregistered: Vec<Revision>,
    /// Still active, with the reason.
    pub failed: Vec<FailedRevision>,
    /// The exit code and the advice of the first failure.
    #[serde(skip)]
    first: Option<(Exit, String)>,
}

/// A revision that could not be deregistered.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct FailedRevision {
    /// Which.
    #[serde(flatten)]
    pub revision: Revision,
    /// Why, in the words of ECS.
    pub reason: String,
}

/// Deregisters what a plan says. One that fails does not stop the others; when ECS throttles or is
/// unwell, it is tried again after a pause.
pub async fn task_definitions(ui: &Ui, aws: &Aws, plan: &RevisionPlan) -> Deregistered {
    deregister(ui, aws, plan, PAUSE).await
}

async fn deregister(ui: &Ui, aws: &Aws, plan: &RevisionPlan, first: Duration) -> Deregistered {
    let mut done = Deregistered::default();
    let of = plan.deregister.len();
    let mut queue: Vec<&Revision> = plan.deregister.iter().rev().collect();
    let mut pauses = 0;
    while !queue.is_empty() {
        let batch = queue.split_off(queue.len().saturating_sub(AT_ONCE));
        remember(
            "task definitions",
            format!(
                "at least {} of {of} task definitions are deregistered: \
                 run `cargo xtask prune --task-definitions` again",
                done.deregistered.len()
            ),
        );
        let calls = batch.iter().rev().map(|revision| one(aws.clone(), (*revision).clone()));
        let results = all_beside(calls.collect::<Vec<_>>()).await;
        let (mut refused, before) = (Vec::new(), done.deregistered.len());
        for (revision, result) in batch.into_iter().rev().zip(results) {
            match result {
                Ok(()) => done.deregistered.push(revision.clone()),
                Err(error) if matches!(again(&error), Again::Soon | Again::Slower) => {
                    refused.push((revision, error));
                }
                Err(error) => done.fail(ui, revision, &error),
            }
        }
        pauses = if done.deregistered.len() > before { 0 } else { pauses };
        let Some((_, error)) = refused.first() else { continue };
        if pauses == PAUSES {
            for revision in
                refused.iter().map(|(revision, _)| *revision).chain(queue.into_iter().rev())
            {
                done.fail(ui, revision, error);
            }
            break;
        }
        let pause = first * 2_u32.pow(pauses);
        let text = format!("waiting {} s: {error:#}", pause.as_secs());
        ui.emit(&Event::Detail { text });
        queue.extend(refused.into_iter().rev().map(|(revision, _)| revision));
        pauses += 1;
        tokio::time::sleep(jittered(pause)).await;
    }
    remember(
        "task definitions",
        format!("{} of {of} task definitions were deregistered", done.deregistered.len()),
    );
    done
}

/// Deregisters one. The SDK repeats it a few times when it is throttled.
async fn one(aws: Aws, revision: Revision) -> Result<()> {
    let request = aws.ecs.deregister_task_definition().task_definition(&revision.arn);
    let Err(error) = request.send().await else { return Ok(()) };
    // Somebody else may have been faster, which is just as well. ECS has only a general error.
    if error.as_service_error().is_some_and(|error| error.is_client_exception()) {
        let request = aws.ecs.describe_task_definition().task_definition(&revision.arn);
        let found = request.send().await.ok().and_then(|answer| answer.task_definition);
        let status = found.as_ref().and_then(|found| found.status());
        if status.is_some_and(|status| *status != TaskDefinitionStatus::Active) {
            return Ok(());
        }
    }
    Err(explain("ecs:DeregisterTaskDefinition", &error))
}

impl Deregistered {
    fn fail(&mut self, ui: &Ui, revision: &Revision, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        let text = format!("{revision} was not deregistered: {reason}");
        ui.emit(&Event::Warning { text, hint: None });
        self.first.get_or_insert_with(|| {
            (exit_of(error), hint_of(error).unwrap_or("run it again").to_owned())
        });
        self.failed.push(FailedRevision { revision: revision.clone(), reason });
    }

    /// What went wrong, if anything did.
    ///
    /// # Errors
    /// When a revision could not be deregistered.
    pub fn check(&self) -> Result<()> {
        let Some(failed) = self.failed.first() else { return Ok(()) };
        let of = self.failed.len() + self.deregistered.len();
        let text = format!(
            "{} of {of} task definitions could not be deregistered; {}: {}",
            self.failed.len(),
            failed.revision,
            failed.reason
        );
        let (exit, hint) = self.first.clone().unwrap_or((Exit::Unexpected, String::new()));
        Err(Failure::new(exit, text).hint(hint).into())
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::retry::RetryConfig;
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::stand_in::StandIn;

    fn plan(numbers: std::ops::RangeInclusive<u64>) -> RevisionPlan {
        let arn = |n| format!("arn:aws:ecs:eu-central-1:123456789012:task-definition/app:{n}");
        let deregister = numbers.map(|n| Revision::parse(&arn(n)).unwrap()).collect();
        RevisionPlan { deregister, keep: Vec::new() }
    }

    async fn run<F>(numbers: std::ops::RangeInclusive<u64>, answer: F) -> (StandIn, Deregistered)
    where
        F: Fn(&str, u64, usize) -> Option<(u16, Value)> + Send + Sync + 'static,
    {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, before| {
            let arn = request["taskDefinition"].as_str().unwrap();
            let number = arn.rsplit(':').next().unwrap().parse().unwrap();
            answer(operation, number, before).unwrap_or((200, json!({ "taskDefinition": {} })))
        });
        let mut aws = stand_in.aws().await;
        let config = aws_sdk_ecs::config::Builder::from(&aws.config);
        // Its repetitions take seconds.
        let config = config.retry_config(RetryConfig::disabled()).build();
        aws.ecs = aws_sdk_ecs::Client::from_conf(config);
        let pause = Duration::from_millis(1);
        let done = deregister(&Ui::silent(), &aws, &plan(numbers), pause).await;
        (stand_in, done)
    }

    fn numbers(revisions: &[Revision]) -> Vec<u64> {
        revisions.iter().map(|revision| revision.revision).collect()
    }

    fn error(code: &str) -> Option<(u16, Value)> {
        Some((400, json!({ "__type": code, "message": "why" })))
    }

    #[tokio::test]
    async fn all_go_oldest_first_and_throttling_is_waited_out() {
        // Some come through each time, so it is not given up.
        let (stand_in, done) =
            run(
                1..=30,
                |_, _, before| {
                    if before % 3 == 0 { None } else { error("ThrottlingException") }
                },
            )
            .await;
        let mut all = numbers(&done.deregistered);
        all.sort_unstable();
        assert_eq!(all, (1..=30).collect::<Vec<_>>());
        assert!(done.failed.is_empty());
        done.check().unwrap();
        let calls = stand_in.calls("DeregisterTaskDefinition");
        assert!(
            calls.iter().all(|call| call["taskDefinition"]
                .as_str()
                .unwrap()
                .contains("task-definition/app:"))
        );
    }

    #[tokio::test]
    async fn every_failure_is_told_and_stops_no_other() {
        let (_, done) = run(1..=6, |operation, number, _| match (operation, number) {
            ("DeregisterTaskDefinition", 2) => error("AccessDeniedException"),
            ("DeregisterTaskDefinition", 3 | 4) => error("ClientException"),
            // Somebody else was faster with 3.
            ("DescribeTaskDefinition", number) => {
                let status = if number == 3 { "INACTIVE" } else { "ACTIVE" };
                Some((200, json!({ "taskDefinition": { "status": status } })))
            }
            _ => None,
        })
        .await;
        assert_eq!(numbers(&done.deregistered), [1, 3, 5, 6]);
        let failed: Vec<_> = done.failed.iter().map(|of| of.revision.to_string()).collect();
        assert_eq!(failed, ["app:2", "app:4"]);
        assert!(done.failed[1].reason.contains("ClientException: why"), "{:?}", done.failed);
        let error = done.check().unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert!(error.to_string().starts_with("2 of 6 task definitions could not be"), "{error}");
    }

    #[tokio::test]
    async fn what_is_always_throttled_is_given_up_and_told_of_each() {
        let (stand_in, done) = run(1..=7, |_, _, _| error("ThrottlingException")).await;
        assert_eq!((done.deregistered.len(), done.failed.len()), (0, 7));
        assert_eq!(exit_of(&done.check().unwrap_err()), Exit::Unexpected);
        let asked = stand_in.calls("DeregisterTaskDefinition");
        assert!(asked.iter().all(|call| !call["taskDefinition"].as_str().unwrap().ends_with(":7")));
    }
}
