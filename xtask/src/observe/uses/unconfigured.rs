//! Clusters that no environment names: what they use is not seen.

use std::collections::BTreeSet;

use anyhow::Result;

use crate::aws::{Aws, explain};
use crate::observe::ecs::revision;
use xtask_core::config::{Cluster, Environment};

/// The names of the clusters of the environment's account and region that are none of `known`.
///
/// # Errors
/// ECS can not be asked.
pub async fn unconfigured(
    aws: &Aws,
    known: &[Cluster],
    environment: &Environment,
) -> Result<BTreeSet<String>> {
    let known: BTreeSet<&str> = known
        .iter()
        .filter(|of| {
            of.account == environment.account
                && of.region == environment.region
                && of.endpoint_url == environment.endpoint_url
        })
        .map(|of| revision(&of.name))
        .collect();
    let mut found = BTreeSet::new();
    let mut pages = aws.ecs.list_clusters().into_paginator().items().send();
    while let Some(arn) = pages.next().await {
        let arn = arn.map_err(|error| explain("ecs:ListClusters", &error))?;
        let name = revision(&arn);
        if !known.contains(name) {
            found.insert(name.to_owned());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::stand_in::StandIn;

    #[tokio::test]
    async fn all_pages_count_and_a_cluster_of_another_region_is_another_one() {
        let arn = |name: &str| format!("arn:aws:ecs:eu-central-1:123456789012:cluster/{name}");
        let stand_in = StandIn::start(move |_, request, _| match request["nextToken"].as_str() {
            None => (200, json!({ "clusterArns": [arn("app"), arn("b")], "nextToken": "2" })),
            Some(_) => (200, json!({ "clusterArns": [arn("staging"), arn("a")] })),
        });
        let aws = stand_in.aws().await;
        let staging = stand_in.cluster("staging");
        let elsewhere = Cluster { region: "us-east-1".into(), ..stand_in.cluster("a") };
        let known = [stand_in.cluster("app"), staging, elsewhere];
        let found = unconfigured(&aws, &known, &stand_in.environment()).await.unwrap();
        assert_eq!(found.into_iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
