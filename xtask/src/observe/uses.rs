//! What uses images: services, their deployments, running and stopped tasks, what served before
//! them, and the last revisions of their task definitions' families, in every cluster that is
//! configured.

mod cluster;
mod task_definitions;
mod unconfigured;

use std::collections::BTreeSet;

use anyhow::Result;

use super::beside::beside;
use crate::aws;
use cluster::Looked;
pub use cluster::Named;
pub use task_definitions::{active, describe, family_of};
pub use unconfigured::unconfigured;
use xtask_core::config::{Cluster, Environment, Prune};
use xtask_core::registry::in_use::Use;

/// Asks every cluster what it uses. Names of the environment's registry are written as
/// `registry` writes them, whichever of its hosts a task definition names.
///
/// # Errors
/// [`xtask_core::exit::Exit::Prerequisite`] when anything of it can not be read: what uses an image is known
/// wholly or not at all.
pub async fn uses(
    clusters: &[Cluster],
    environment: &Environment,
    keep: &Prune,
) -> Result<Vec<Use>> {
    let all = clusters.iter().map(|cluster| of_cluster(cluster.clone(), keep.clone()));
    let mut uses: Vec<Use> = beside(all).await?.into_iter().flatten().collect();
    for used in &mut uses {
        used.image = canonical(&used.image, &environment.account, &environment.registry);
    }
    Ok(uses)
}

async fn of_cluster(cluster: Cluster, keep: Prune) -> Result<Vec<Use>> {
    let aws = aws::connect_cluster(&cluster).await;
    let found = async {
        let Looked { named, mut uses, services } = cluster::look(&aws, &cluster).await?;
        uses.extend(task_definitions::images(&aws, &cluster.name, named, services, &keep).await?);
        Ok(uses)
    };
    found.await.map_err(|error| cluster::unread(&cluster, &error))
}

/// Who names which task definition, over all these clusters.
///
/// # Errors
/// [`xtask_core::exit::Exit::Prerequisite`] when anything of it can not be read.
pub async fn named(clusters: &[Cluster]) -> Result<Named> {
    let all = clusters.iter().cloned().map(|cluster| async move {
        let aws = aws::connect_cluster(&cluster).await;
        let looked = cluster::look(&aws, &cluster).await;
        looked.map(|looked| looked.named).map_err(|error| cluster::unread(&cluster, &error))
    });
    let mut named = Named::new();
    for (arn, users) in beside(all.collect::<Vec<_>>()).await?.into_iter().flatten() {
        named.entry(arn).or_default().extend::<BTreeSet<_>>(users);
    }
    Ok(named)
}

/// The name with the registry's host as it is configured. ECR answers on several hosts
/// (FIPS, dual-stack, other regions by replication), and all of an account's count: an
/// image too many is kept, an image too few would be lost.
///
/// Source: Amazon ECR user guide, "Private registry" and "Making requests over IPv6".
fn canonical(image: &str, account: &str, registry: &str) -> String {
    let Some((host, rest)) = image.split_once('/') else { return image.to_owned() };
    let of_account = host.strip_prefix(account).is_some_and(|host| {
        [".dkr.ecr.", ".dkr.ecr-fips.", ".dkr-ecr.", ".dkr-ecr-fips."]
            .iter()
            .any(|label| host.starts_with(label))
    });
    if of_account { format!("{registry}/{rest}") } else { image.to_owned() }
}

#[cfg(test)]
mod tests;
