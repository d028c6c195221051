//! Which revision ran before, and whether a service can go back to it.

mod record;

use std::fmt;

use anyhow::Result;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionStatus};
use serde_json::Value;

use super::ecr::{self, ImageFacts};
use super::ecs::{ServiceFacts, container_of, describe_task_definition, revision};
use crate::aws::{Aws, explain};
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, Failure, exit_of};
use xtask_core::plan::changes::{IMAGE_TAG, PREVIOUS_TAG};

/// A revision that a service can go back to.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its ARN.
    pub arn: String,
    /// `DescribeTaskDefinition`'s answer, raw.
    pub described: Value,
    /// Why this one.
    pub source: Source,
    /// Its image, where that is in the environment's repository.
    pub image: Option<ImageFacts>,
}

/// What says that a revision is the one to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// `--to`.
    Asked,
    /// The tag of the revision that the service is on: `family:revision` of that one.
    Tag(String),
    /// ECS's record of the service's deployments.
    Deployments,
    /// Nothing: it is the next lower number, which may never have run.
    NextLower,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("`--to` says so"),
            Self::Tag(of) => write!(f, "it served when {of} was registered (tag {PREVIOUS_TAG})"),
            Self::Deployments => f.write_str("by ECS's record of deployments, it served before"),
            Self::NextLower => {
                f.write_str("it is the next lower number; nothing says whether it ever served")
            }
        }
    }
}

/// The revision that a service goes back to.
///
/// # Errors
/// [`Exit::Prerequisite`]: there is none, it was deregistered, or its image is gone from the
/// repository.
pub async fn target(
    aws: &Aws,
    environment: &Environment,
    service: &ServiceFacts,
    to: Option<u64>,
) -> Result<Target> {
    let (family, current) = service.revision().rsplit_once(':').unwrap_or((service.revision(), ""));
    let (name, source) = match (to, tagged(service, &environment.container)) {
        (Some(number), _) => (format!("{family}:{number}"), Source::Asked),
        (None, Some(previous)) => (previous, Source::Tag(service.revision().to_owned())),
        // Who may not read the record has none.
        (None, None) => {
            let (cluster, arn) = (&environment.cluster, &service.task_definition_arn);
            match record::before(aws, cluster, &service.name, arn).await.unwrap_or_default() {
                Some(arn) => (arn, Source::Deployments),
                None => {
                    let lower = next_lower(aws, family, current.parse().unwrap_or(0)).await?;
                    (lower.ok_or_else(|| none_before(service))?, Source::NextLower)
                }
            }
        }
    };
    let described = describe_task_definition(aws, &name).await.map_err(|error| {
        // ECS says only "Unable to describe task definition".
        if exit_of(&error) != Exit::Unexpected {
            return error;
        }
        Failure::new(Exit::Prerequisite, format!("there is no revision {name}: {error:#}"))
            .hint(format!("`aws ecs list-task-definitions --family-prefix {family}` lists them"))
            .into()
    })?;
    let definition = &described["taskDefinition"];
    let arn = definition["taskDefinitionArn"].as_str().unwrap_or(&name).to_owned();
    let container = container_of(definition, &environment.container);
    let named = container.and_then(|container| container["image"].as_str()).unwrap_or_default();
    let reference = reference_in(named, &environment.repository);
    let image = match reference {
        Some(reference) => ecr::image(aws, environment, reference).await?,
        None => None,
    };
    let gone = reference.filter(|_| image.is_none());
    refuse(environment, definition, revision(&arn), named, gone)?;
    Ok(Target { arn, described, source, image })
}

/// The revisions that a rollback of a service may go back to, as `family:revision`: the one that a
/// tag names, else those of [`without_tag`].
///
/// # Errors
/// ECS can not be asked.
pub async fn goes_back_to(
    aws: &Aws,
    environment: &Environment,
    service: &ServiceFacts,
) -> Result<Vec<String>> {
    if let Some(previous) = tagged(service, &environment.container) {
        return Ok(vec![revision(&previous).to_owned()]);
    }
    without_tag(aws, &environment.cluster, &service.name, &service.task_definition_arn).await
}

/// The revisions that a rollback of a service may go back to where no tag says it, as
/// `family:revision`: the last one by ECS's record and the next lower one, as it hangs on who goes
/// back whether the record can be read. `current` is the ARN of the one that the service is on.
///
/// # Errors
/// ECS can not be asked.
pub async fn without_tag(
    aws: &Aws,
    cluster: &str,
    service: &str,
    current: &str,
) -> Result<Vec<String>> {
    let (family, number) = revision(current).rsplit_once(':').unwrap_or((revision(current), ""));
    let (recorded, lower) = tokio::try_join!(
        record::before(aws, cluster, service, current),
        next_lower(aws, family, number.parse().unwrap_or(0))
    )?;
    Ok(recorded.into_iter().chain(lower).map(|arn| revision(&arn).to_owned()).collect())
}

/// Refuses a revision that no service can be moved to: ECS takes no inactive one, and no task
/// starts without its image.
fn refuse(
    environment: &Environment,
    definition: &Value,
    revision: &str,
    image: &str,
    gone: Option<&str>,
) -> Result<()> {
    let active = definition["status"].as_str().is_none_or(|status| status == "ACTIVE");
    let mut wrong = Vec::new();
    if !active {
        wrong.push("was deregistered, and ECS moves no service to it".to_owned());
    }
    if let Some(reference) = gone {
        let repository = &environment.repository;
        wrong.push(format!("has an image that is gone from `{repository}`: {reference}"));
    }
    if container_of(definition, &environment.container).is_none() {
        wrong.push(format!("has no container `{}`", environment.container));
    }
    if wrong.is_empty() {
        return Ok(());
    }
    let digest = image.split_once('@').map(|(_, digest)| digest);
    let hint = match digest.filter(|_| !active && gone.is_none()) {
        Some(digest) => format!("its image is there: `cargo xtask deploy --image {digest}`"),
        None => "choose another revision with `--to`, or deploy that commit again".to_owned(),
    };
    let text = format!("{revision} {}", wrong.join(", and "));
    Err(Failure::new(Exit::Prerequisite, text).hint(hint).into())
}

/// The digest or tag of an image, when it is of this repository, whatever the registry's host.
pub fn reference_in<'a>(image: &'a str, repository: &str) -> Option<&'a str> {
    let (_, path) = image.split_once('/')?;
    let rest = path.strip_prefix(repository)?;
    rest.strip_prefix('@').or_else(|| rest.strip_prefix(':'))
}

/// What the revision that the service is on says of the one before it. Other tools copy tags,
/// also onto a revision that they name, or onto one with another image.
fn tagged(service: &ServiceFacts, container: &str) -> Option<String> {
    let tags = service.described["tags"].as_array()?;
    let value = |key: &str| tags.iter().find(|tag| tag["key"] == key)?["value"].as_str();
    let previous = value(PREVIOUS_TAG).filter(|value| !value.is_empty())?;
    let image = service.image(container).unwrap_or_default();
    let copied = value(IMAGE_TAG).is_some_and(|digest| !image.ends_with(digest));
    (revision(previous) != service.revision() && !copied).then(|| previous.to_owned())
}

/// For revisions of which nothing is known: the newest active one with a lower number.
async fn next_lower(aws: &Aws, family: &str, current: u64) -> Result<Option<String>> {
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
            return Ok(Some(arn));
        }
    }
    Ok(None)
}

fn none_before(service: &ServiceFacts) -> Failure {
    Failure::new(
        Exit::Prerequisite,
        format!("{} is on {}, and there is no earlier revision", service.name, service.revision()),
    )
    .hint("deploy what should run instead")
}

#[cfg(test)]
mod tests;
