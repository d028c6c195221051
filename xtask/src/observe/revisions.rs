//! Which revision ran before, and whether its image is still there.

use anyhow::Result;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionStatus};

use super::ecr;
use super::ecs::{ServiceFacts, container_of, describe_task_definition, revision};
use crate::aws::{Aws, explain};
use crate::config::Environment;
use crate::exit::{Exit, Failure};

/// The tag that a revision gets when a rollout of it succeeded: `rollback` goes back to such
/// a revision, and not merely to the next lower number, which may never have run.
pub const SUCCEEDED_TAG: &str = "xtask:rolled-out";

/// The ARN of the revision that a service goes back to.
///
/// # Errors
/// [`Exit::Prerequisite`]: there is none, or its image is gone from the repository.
pub async fn target(
    aws: &Aws,
    environment: &Environment,
    service: &ServiceFacts,
    to: Option<u64>,
) -> Result<String> {
    let (family, current) =
        service.revision().rsplit_once(':').unwrap_or((service.revision(), ""));
    let arn = match to {
        Some(number) => format!("{family}:{number}"),
        None => previous(aws, service, family, current.parse().unwrap_or(u64::MAX)).await?,
    };
    let described = describe_task_definition(aws, &arn).await?;
    let definition = &described["taskDefinition"];
    let image = container_of(definition, &environment.container)
        .and_then(|container| container["image"].as_str())
        .unwrap_or_default();
    let Some((repository, reference)) = image.split_once('@') else {
        let arn = definition["taskDefinitionArn"].as_str();
        return Ok(arn.unwrap_or(&arn_or(&arn)).to_owned());
    };
    if repository == environment.image()
        && ecr::image(aws, environment, reference).await?.is_none()
    {
        return Err(Failure::new(
            Exit::Prerequisite,
            format!("the image of {arn} is gone from the repository: {reference}"),
        )
        .hint("choose another revision with `--to`, or deploy that commit again")
        .into());
    }
    Ok(definition["taskDefinitionArn"].as_str().unwrap_or(&arn).to_owned())
}

fn arn_or(arn: &str) -> String {
    arn.to_owned()
}

/// The newest earlier revision that was rolled out well, else the newest earlier one.
async fn previous(
    aws: &Aws,
    service: &ServiceFacts,
    family: &str,
    current: u64,
) -> Result<String> {
    let listed = aws
        .ecs
        .list_task_definitions()
        .family_prefix(family)
        .status(TaskDefinitionStatus::Active)
        .sort(SortOrder::Desc)
        .send()
        .await
        .map_err(|error| explain("ecs:ListTaskDefinitions", &error))?;
    let number = |arn: &str| revision(arn).rsplit(':').next().and_then(|n| n.parse::<u64>().ok());
    let earlier: Vec<_> = listed
        .task_definition_arns()
        .iter()
        .filter(|arn| number(arn).is_some_and(|number| number < current))
        .cloned()
        .collect();
    for arn in earlier.iter().take(20) {
        let described = describe_task_definition(aws, arn).await?;
        let tags = described["tags"].as_array();
        if tags.into_iter().flatten().any(|tag| tag["key"] == SUCCEEDED_TAG) {
            return Ok(arn.clone());
        }
    }
    earlier.first().cloned().ok_or_else(|| {
        Failure::new(
            Exit::Prerequisite,
            format!("{} is on {}, and there is no earlier revision", service.name, service.revision()),
        )
        .hint("deploy what should run instead")
        .into()
    })
}
