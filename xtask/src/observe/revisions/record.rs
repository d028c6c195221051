//! What served before, by ECS's own record of a service's deployments, which it keeps for 90
//! days. Not every account and every deployment controller has one.
//!
//! Source: Amazon ECS API reference, `ListServiceDeployments` and `DescribeServiceRevisions`.

use std::collections::BTreeMap;

use anyhow::Result;
use aws_sdk_ecs::operation::list_service_deployments::ListServiceDeploymentsError;
use aws_sdk_ecs::types::{ServiceDeploymentBrief, ServiceDeploymentStatus};

use crate::aws::{Aws, explain};
use crate::observe::beside::beside;

/// Service revisions that one `DescribeServiceRevisions` call takes at most.
const REVISIONS: usize = 20;

/// The ARN of the task definition that served before `current`, that of the one that the service
/// is on; `None` where there is no record, or it is too short.
///
/// # Errors
/// The record can not be read.
pub(super) async fn before(
    aws: &Aws,
    cluster: &str,
    service: &str,
    current: &str,
) -> Result<Option<String>> {
    let answer = aws
        .ecs
        .list_service_deployments()
        .cluster(cluster)
        .service(service)
        // What failed, or was rolled back or stopped, did not serve.
        .status(ServiceDeploymentStatus::Successful)
        .max_results(100)
        .send()
        .await;
    let answer = match answer {
        Err(error) if error.as_service_error().is_some_and(has_none) => return Ok(None),
        answer => answer.map_err(|error| explain("ecs:ListServiceDeployments", &error))?,
    };
    let mut deployments = answer.service_deployments.unwrap_or_default();
    let at = |deployment: &ServiceDeploymentBrief| deployment.created_at().map(|at| at.as_nanos());
    deployments.sort_by_key(|deployment| std::cmp::Reverse(at(deployment)));
    let newest_first: Vec<String> =
        deployments.into_iter().filter_map(|of| of.target_service_revision_arn).collect();
    let task_definitions = task_definitions(aws, &newest_first).await?;
    let served: Vec<&str> = newest_first
        .iter()
        .filter_map(|arn| task_definitions.get(arn))
        .map(String::as_str)
        .collect();
    Ok(earlier(&served, current).map(str::to_owned))
}

/// Whether there is no record: of a service that another controller deploys.
fn has_none(error: &ListServiceDeploymentsError) -> bool {
    error.is_unsupported_feature_exception() || error.is_invalid_parameter_exception()
}

/// The task definitions of service revisions.
async fn task_definitions(aws: &Aws, revisions: &[String]) -> Result<BTreeMap<String, String>> {
    let calls = revisions.chunks(REVISIONS).map(|arns| {
        let request = aws.ecs.describe_service_revisions();
        let request = request.set_service_revision_arns(Some(arns.to_vec()));
        async move {
            let answer = request.send().await;
            answer.map_err(|error| explain("ecs:DescribeServiceRevisions", &error))
        }
    });
    let answers = beside(calls.collect::<Vec<_>>()).await?;
    let found = answers.into_iter().flat_map(|a| a.service_revisions.unwrap_or_default());
    Ok(found.filter_map(|of| Some((of.service_revision_arn?, of.task_definition?))).collect())
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
