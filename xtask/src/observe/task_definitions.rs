//! The task definition revisions of the environment's services, and who needs them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;

use super::beside::beside;
use super::ecs::{self, revision};
use super::{revisions, uses};
use crate::aws::{Aws, cfn};
use xtask_core::config::{Cluster, Environment};
use xtask_core::registry::revisions::{Revision, Revisions};

/// Every active revision of the families of the environment's services; what uses them in all
/// these clusters of the account, what a rollback would go back to, and what the stack made.
///
/// # Errors
/// When anything of it can not be read: what uses a revision is known wholly or not at all.
pub async fn task_definitions(
    aws: &Aws,
    clusters: &[Cluster],
    environment: &Environment,
) -> Result<Revisions> {
    // Other accounts have task definitions of their own.
    let clusters: Vec<Cluster> = clusters
        .iter()
        .filter(|of| {
            of.account == environment.account && of.endpoint_url == environment.endpoint_url
        })
        .cloned()
        .collect();
    let (services, in_use, of_stack) = tokio::try_join!(
        ecs::services(aws, environment),
        uses::named(&clusters),
        of_stack(aws, environment)
    )?;
    let families: BTreeSet<&str> =
        services.iter().filter_map(|of| uses::family_of(&of.task_definition_arn)).collect();
    // Of the same account and region, whose ARNs begin alike.
    let places: BTreeSet<&str> = services.iter().map(|of| place(&of.task_definition_arn)).collect();
    let used = in_use.keys().filter(|arn| {
        places.contains(place(arn))
            && uses::family_of(arn).is_some_and(|family| families.contains(family))
    });
    let before = used.map(|arn| before(aws.clone(), arn.clone())).collect::<Vec<_>>();
    let (active, tagged, targets) = tokio::try_join!(
        beside(
            families
                .iter()
                .map(|of| uses::active(aws.clone(), (*of).to_owned(), usize::MAX))
                .collect::<Vec<_>>()
        ),
        beside(before),
        beside(
            services
                .iter()
                .map(|service| {
                    let (aws, environment, service) =
                        (aws.clone(), environment.clone(), service.clone());
                    async move {
                        let targets = revisions::goes_back_to(&aws, &environment, &service).await?;
                        Ok((service.revision().to_owned(), targets))
                    }
                })
                .collect::<Vec<_>>()
        )
    )?;
    let mut previous: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (from, to) in tagged.into_iter().chain(targets) {
        for to in to {
            previous.entry(to).or_default().insert(from.clone());
        }
    }
    let active = active.into_iter().flatten().filter_map(|arn| Revision::parse(&arn)).collect();
    Ok(Revisions { active, in_use, previous, of_stack })
}

/// What of an ARN is the account and the region.
fn place(arn: &str) -> &str {
    arn.rsplit_once('/').map_or("", |(place, _)| place)
}

/// What served before a revision by its tag, as `family:revision`.
async fn before(aws: Aws, arn: String) -> Result<(String, Vec<String>)> {
    let found = uses::describe(&aws, &arn).await?;
    let previous = found.and_then(|found| found.previous);
    Ok((revision(&arn).to_owned(), previous.into_iter().collect()))
}

/// The task definitions of the environment's stack, and of the stacks in it, which its next update
/// may go back to.
async fn of_stack(aws: &Aws, environment: &Environment) -> Result<BTreeSet<String>> {
    let mut stacks: Vec<String> =
        environment.infra.iter().map(|stack| stack.file.stack.clone()).collect();
    let mut found = BTreeSet::new();
    while let Some(stack) = stacks.pop() {
        for resource in cfn::resources(aws, &stack).await? {
            match resource.kind.as_str() {
                "AWS::ECS::TaskDefinition" => drop(found.insert(resource.id)),
                "AWS::CloudFormation::Stack" => stacks.push(resource.id),
                _ => {}
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
