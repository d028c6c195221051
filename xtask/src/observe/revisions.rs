//! Which revision ran before, and whether its image is still there.

use anyhow::Result;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionStatus};

use super::ecr;
use super::ecs::{ServiceFacts, container_of, describe_task_definition, revision};
use crate::aws::{Aws, explain};
use crate::config::Environment;
use crate::exit::{Exit, Failure, exit_of};

/// The tag that a revision carries: which revision served when it was registered. That is
/// what `rollback` goes back to, and not merely the next lower number, which may never have
/// run. (Tags of a task definition cost nothing and are seen by everybody who deploys.)
pub const PREVIOUS_TAG: &str = "xtask:previous";

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
    let (family, current) = service.revision().rsplit_once(':').unwrap_or((service.revision(), ""));
    let arn = match (to, tagged(service)) {
        (Some(number), _) => format!("{family}:{number}"),
        (None, Some(previous)) => previous,
        (None, None) => next_lower(aws, service, family, current.parse().unwrap_or(0)).await?,
    };
    let described = describe_task_definition(aws, &arn).await.map_err(|error| match to {
        // ECS says only "Unable to describe task definition".
        Some(_) if exit_of(&error) == Exit::Unexpected => {
            Failure::new(Exit::Prerequisite, format!("there is no revision {arn}: {error:#}"))
                .hint(format!(
                    "`aws ecs list-task-definitions --family-prefix {family}` lists them"
                ))
                .into()
        }
        _ => error,
    })?;
    let definition = &described["taskDefinition"];
    let image = container_of(definition, &environment.container)
        .and_then(|container| container["image"].as_str())
        .unwrap_or_default();
    if let Some(reference) = reference_in(image, &environment.repository)
        && ecr::image(aws, environment, reference).await?.is_none()
    {
        return Err(Failure::new(
            Exit::Prerequisite,
            format!("the image of {} is not in the repository: {reference}", revision(&arn)),
        )
        .hint("choose another revision with `--to`, or deploy that commit again")
        .into());
    }
    Ok(definition["taskDefinitionArn"].as_str().unwrap_or(&arn).to_owned())
}

/// The digest or tag of an image, when it is of this repository, whatever the registry's host.
pub fn reference_in<'a>(image: &'a str, repository: &str) -> Option<&'a str> {
    let (_, path) = image.split_once('/')?;
    let rest = path.strip_prefix(repository)?;
    rest.strip_prefix('@').or_else(|| rest.strip_prefix(':'))
}

/// What the revision that the service is on says of the one before it.
fn tagged(service: &ServiceFacts) -> Option<String> {
    let tags = service.described["tags"].as_array()?;
    let tag = tags.iter().find(|tag| tag["key"] == PREVIOUS_TAG)?;
    tag["value"].as_str().filter(|value| !value.is_empty()).map(str::to_owned)
}

/// For revisions that somebody else registered: the newest active one with a lower number.
async fn next_lower(
    aws: &Aws,
    service: &ServiceFacts,
    family: &str,
    current: u64,
) -> Result<String> {
    let number = |arn: &str| revision(arn).rsplit(':').next().and_then(|n| n.parse::<u64>().ok());
    let mut pages = aws
        .ecs
        .list_task_definitions()
        .family_prefix(family)
        .status(TaskDefinitionStatus::Active)
        .sort(SortOrder::Desc)
        .into_paginator()
        .items()
        .send();
    while let Some(arn) = pages.next().await {
        let arn = arn.map_err(|error| explain("ecs:ListTaskDefinitions", &error))?;
        // The prefix also finds other families.
        let of_family = revision(&arn).rsplit_once(':').is_some_and(|(name, _)| name == family);
        if of_family && number(&arn).is_some_and(|number| number < current) {
            return Ok(arn);
        }
    }
    Err(Failure::new(
        Exit::Prerequisite,
        format!("{} is on {}, and there is no earlier revision", service.name, service.revision()),
    )
    .hint("deploy what should run instead")
    .into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_looked_up_in_its_own_repository_only() {
        assert_eq!(reference_in("h:1/app@sha256:a", "app"), Some("sha256:a"));
        assert_eq!(reference_in("h/team/app:v1", "team/app"), Some("v1"));
        assert_eq!(reference_in("h/app-cache:v1", "app"), None);
        assert_eq!(reference_in("nginx:1", "nginx"), None);
    }
}
