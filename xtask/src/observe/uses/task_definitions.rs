//! Task definitions: the revisions of a family, the images that one names, and what served
//! before it.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result};
use aws_sdk_ecs::operation::describe_task_definition::DescribeTaskDefinitionError;
use aws_sdk_ecs::types::{SortOrder, TaskDefinitionField, TaskDefinitionStatus};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use super::cluster::{Current, Named};
use crate::aws::{Aws, explain};
use crate::observe::beside::{beside, patiently};
use crate::observe::ecs::revision;
use crate::observe::revisions;
use xtask_core::config::Prune;
use xtask_core::plan::changes::{IMAGE_TAG, PREVIOUS_TAG};
use xtask_core::registry::in_use::{Use, User, UserKind};

/// What a revision says.
pub struct Described {
    /// Its ARN.
    pub arn: String,
    /// The images of its containers.
    images: Vec<String>,
    /// What served when it was registered, as `family:revision`, if its tag says so.
    pub previous: Option<String>,
    /// Whether another tool copied that tag, as the one beside it is about another image.
    copied: bool,
}

/// Asks for a revision by its ARN or as `family:revision`. `None` where there is none, or not
/// any more.
///
/// # Errors
/// ECS can not be asked.
pub async fn describe(aws: &Aws, name: &str) -> Result<Option<Described>> {
    patiently(|| ask(aws, name)).await
}

async fn ask(aws: &Aws, name: &str) -> Result<Option<Described>> {
    let request = aws.ecs.describe_task_definition().task_definition(name);
    let answer = match request.include(TaskDefinitionField::Tags).send().await {
        Err(error) if error.as_service_error().is_some_and(is_unknown) => return Ok(None),
        answer => answer.map_err(|error| explain("ecs:DescribeTaskDefinition", &error))?,
    };
    let value = |key: &str| answer.tags().iter().find(|tag| tag.key() == Some(key))?.value();
    let previous = value(PREVIOUS_TAG).map(|value| revision(value).to_owned());
    let digest = value(IMAGE_TAG).map(str::to_owned);
    let definition = answer
        .task_definition
        .context("ecs:DescribeTaskDefinition answered without a task definition")?;
    let images = definition.container_definitions().iter().filter_map(|c| c.image());
    let images: Vec<String> = images.map(str::to_owned).collect();
    let arn = definition.task_definition_arn().unwrap_or(name).to_owned();
    Ok(Some(Described {
        copied: digest.is_some_and(|digest| !images.iter().any(|of| of.ends_with(&digest))),
        images,
        // Other tools copy tags, also onto a revision that they name.
        previous: previous.filter(|previous| !previous.is_empty() && previous != revision(&arn)),
        arn,
    }))
}

/// ECS has only a general error for what is not there, which stands for others as well.
fn is_unknown(error: &DescribeTaskDefinitionError) -> bool {
    error.is_client_exception()
        && error.message().is_some_and(|text| text.contains("nable to describe task definition"))
}

/// The active revisions of a family by their ARNs, the newest first and at most so many.
///
/// # Errors
/// ECS can not be asked.
pub async fn active(aws: Aws, family: String, at_most: usize) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let request = aws.ecs.list_task_definitions().family_prefix(&family);
    let request = request.status(TaskDefinitionStatus::Active).sort(SortOrder::Desc);
    let mut pages = request.max_results(100).into_paginator().items().send();
    while found.len() < at_most
        && let Some(arn) = pages.next().await
    {
        let arn = arn.map_err(|error| explain("ecs:ListTaskDefinitions", &error))?;
        // The prefix also finds other families.
        if family_of(&arn) == Some(family.as_str()) {
            found.push(arn);
        }
    }
    Ok(found)
}

/// The family of a revision.
pub fn family_of(arn: &str) -> Option<&str> {
    revision(arn).rsplit_once(':').map(|(family, _)| family)
}

/// The images that task definitions name: of those that are named, of those that served before
/// them, and of the last revisions of their families and of the configured ones.
///
/// # Errors
/// ECS can not be asked, or does not know one that is named.
pub(super) async fn images(
    aws: &Aws,
    cluster: &str,
    mut named: Named,
    services: Vec<Current>,
    keep: &Prune,
) -> Result<Vec<Use>> {
    let used: BTreeSet<String> = named.keys().cloned().collect();
    add_families(aws, keep, &mut named).await?;
    let calls = named.into_iter().map(|(arn, users)| described(aws.clone(), arn, users));
    let described = beside(calls.collect::<Vec<_>>()).await?;
    // What a service goes back to is older than the last revisions where many failed since.
    let known: BTreeSet<&str> = described.iter().map(|(found, _)| revision(&found.arn)).collect();
    let before = described.iter().filter(|(found, _)| used.contains(&found.arn));
    let tagged: BTreeMap<&str, &str> = before
        .filter_map(|(found, _)| Some((found.arn.as_str(), found.previous.as_deref()?)))
        .collect();
    let copied: BTreeSet<&str> =
        described.iter().filter(|(of, _)| of.copied).map(|(of, _)| of.arn.as_str()).collect();
    let said = |arn: &str| tagged.contains_key(arn) && !copied.contains(arn);
    let calls = services.into_iter().filter(|of| !said(&of.arn)).map(|of| {
        let (aws, cluster) = (aws.clone(), cluster.to_owned());
        async move { revisions::without_tag(&aws, &cluster, &of.service, &of.arn).await }
    });
    let untagged = beside(calls.collect::<Vec<_>>()).await?.into_iter().flatten();
    let before: BTreeSet<String> = tagged
        .values()
        .map(|previous| (*previous).to_owned())
        .chain(untagged)
        .filter(|previous| !known.contains(previous.as_str()))
        .collect();
    let calls = before.into_iter().map(|name| {
        let aws = aws.clone();
        async move { describe(&aws, &name).await }
    });
    let before = beside(calls.collect::<Vec<_>>()).await?.into_iter().flatten().map(|found| {
        let users = BTreeSet::from([kept(&found.arn)]);
        (found, users)
    });
    let uses = described.into_iter().chain(before).flat_map(|(found, users)| {
        let of = |image: &String| {
            let image = image.clone();
            users.iter().map(move |user| Use {
                image: image.clone(),
                digest: None,
                user: user.clone(),
            })
        };
        found.images.iter().flat_map(of).collect::<Vec<_>>()
    });
    Ok(uses.collect())
}

async fn described(
    aws: Aws,
    arn: String,
    users: BTreeSet<User>,
) -> Result<(Described, BTreeSet<User>)> {
    let found = describe(&aws, &arn).await?.with_context(|| {
        let by = users.first().map_or_else(String::new, |user| format!(", which {user} uses"));
        format!("ecs:DescribeTaskDefinition knows no {}{by}", revision(&arn))
    })?;
    Ok((found, users))
}

/// That a revision is kept for its own sake.
fn kept(arn: &str) -> User {
    User { kind: UserKind::TaskDefinitionRevision, name: revision(arn).to_owned() }
}

/// Adds the last revisions of every family that is named, and of those that are configured.
async fn add_families(aws: &Aws, keep: &Prune, named: &mut Named) -> Result<()> {
    let families: BTreeSet<String> = named
        .keys()
        .filter_map(|arn| family_of(arn).map(str::to_owned))
        .chain(keep.keep_families.iter().cloned())
        .collect();
    let calls = families.into_iter().map(|of| active(aws.clone(), of, keep.keep_revisions));
    for arn in beside(calls.collect::<Vec<_>>()).await?.into_iter().flatten() {
        let user = kept(&arn);
        named.entry(arn).or_default().insert(user);
    }
    Ok(())
}
