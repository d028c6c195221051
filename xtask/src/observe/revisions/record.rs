//! What served before, by ECS's own record of a service's deployments, which it keeps for 90
//! days. Not every account and every deployment controller has one.
//!
//! Source: Amazon ECS API reference, `ListServiceDeployments` and `DescribeServiceRevisions`.

use std::collections::BTreeMap;

use crate::aws::Aws;
use crate::config::Environment;
use crate::observe::beside::all_beside;
use crate::observe::ecs::ServiceFacts;
use aws_sdk_ecs::types::{ServiceDeploymentBrief, ServiceDeploymentStatus};

/// Service revisions that one `DescribeServiceRevisions` call takes at most.
const REVISIONS: usize = 20;

/// The ARN of the task definition that served before the one that the service is on; `None`
/// where the record is empty, too short, or may not be read.
pub(super) async fn before(
    aws: &Aws,
    environment: &Environment,
    service: &ServiceFacts,
) -> Option<String> {
    let answer = aws
        .ecs
        .list_service_deployments()
        .cluster(&environment.cluster)
        .service(&service.name)
        // What failed, or was rolled back or stopped, did not serve.
        .status(ServiceDeploymentStatus::Successful)
        .max_results(100)
        .send()
        .await
        .ok()?;
    let mut deployments = answer.service_deployments.unwrap_or_default();
    let at = |deployment: &ServiceDeploymentBrief| deployment.created_at().map(|at| at.as_nanos());
    deployments.sort_by_key(|deployment| std::cmp::Reverse(at(deployment)));
    let newest_first: Vec<String> =
        deployments.into_iter().filter_map(|of| of.target_service_revision_arn).collect();
    let task_definitions = task_definitions(aws, &newest_first).await;
    let served: Vec<&str> = newest_first
        .iter()
        .filter_map(|arn| task_definitions.get(arn))
        .map(String::as_str)
        .collect();
    earlier(&served, &service.task_definition_arn).map(str::to_owned)
}

/// The task definitions of service revisions, as far as they can be had.
async fn task_definitions(aws: &Aws, revisions: &[String]) -> BTreeMap<String, String> {
    let calls = revisions.chunks(REVISIONS).map(|arns| {
        let request = aws.ecs.describe_service_revisions();
        let request = request.set_service_revision_arns(Some(arns.to_vec()));
        async move { request.send().await.ok() }
    });
    let answers = all_beside(calls.collect::<Vec<_>>()).await;
    let found = answers.into_iter().flatten().flat_map(|a| a.service_revisions.unwrap_or_default());
    found.filter_map(|of| Some((of.service_revision_arn?, of.task_definition?))).collect()
}

/// What served before `current` did for the first time: after a rollback, going back once more
/// goes further back, and not forth to what was rolled back.
fn earlier<'a>(newest_first: &[&'a str], current: &str) -> Option<&'a str> {
    let first = newest_first.iter().rposition(|served| *served == current)?;
    newest_first[first + 1..].first().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_goes_further_back_each_time() {
        assert_eq!(earlier(&["9", "8", "7"], "9"), Some("8"));
        // A redeploy of the same, and a rollback from 9 to 8.
        assert_eq!(earlier(&["9", "9", "7"], "9"), Some("7"));
        assert_eq!(earlier(&["8", "9", "8", "7"], "8"), Some("7"));
        // The record does not reach far enough.
        assert_eq!(earlier(&["9"], "9"), None);
        assert_eq!(earlier(&["8", "7"], "9"), None);
        assert_eq!(earlier(&[], "9"), None);
    }
}
