//! Which platforms an image in the registry is for.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::ecr::ImageFacts;
use crate::aws::{Aws, explain, http};
use xtask_core::config::{Environment, is_on_this_machine};
use xtask_core::registry::manifest::{Descriptor, Manifest, Platform};

/// How long the registry may take to give a few kilobytes.
const PATIENCE: Duration = Duration::from_secs(10);

/// The platforms of an image: an index lists them; that of a single image stands in its
/// configuration.
///
/// # Errors
/// It is no image, or the registry can not be asked.
pub async fn platforms(
    aws: &Aws,
    environment: &Environment,
    image: &ImageFacts,
) -> Result<Vec<Platform>> {
    match Manifest::parse(image.manifest.as_bytes())? {
        Manifest::Index(index) => Ok(of_index(&index.children)),
        Manifest::Image(single) => {
            let config = single.config.context("the image has no configuration")?;
            let text = blob(aws, environment, config.digest.as_str()).await?;
            let platform: Platform =
                serde_json::from_str(&text).context("the image's configuration")?;
            anyhow::ensure!(!platform.architecture.is_empty(), "the image names no architecture");
            Ok(vec![platform])
        }
    }
}

fn of_index(children: &[Descriptor]) -> Vec<Platform> {
    let images = children.iter().filter(|child| !child.is_attestation());
    images
        .filter_map(|child| child.platform.clone())
        .filter(|platform| platform.os != "unknown")
        .collect()
}

/// A blob of the repository, over the registry's own protocol: ECR's API gives a link that only
/// ECR has, and this works everywhere.
///
/// Source: OCI distribution specification, "Pulling blobs"; Amazon ECR user guide, "Using an
/// authorization token" (the token is what basic authentication takes). ECR sends on to Amazon
/// S3, which takes no other authorization than what stands in the link.
async fn blob(aws: &Aws, environment: &Environment, digest: &str) -> Result<String> {
    let answer = aws.ecr.get_authorization_token().send().await;
    let answer = answer.map_err(|error| explain("ecr:GetAuthorizationToken", &error))?;
    let token = answer.authorization_data().first().and_then(|data| data.authorization_token());
    let token = token.context("ecr:GetAuthorizationToken answered without a token")?;
    let scheme = if is_on_this_machine(&environment.registry) { "http" } else { "https" };
    let (registry, repository) = (&environment.registry, &environment.repository);
    let url = format!("{scheme}://{registry}/v2/{repository}/blobs/{digest}");
    let headers = BTreeMap::from([("authorization".to_owned(), format!("Basic {token}"))]);
    let mut answer = http::get(&aws.http, &url, &headers, PATIENCE).await?;
    if let Some(link) = answer.location.take() {
        answer = http::get(&aws.http, &link, &BTreeMap::new(), PATIENCE).await?;
    }
    anyhow::ensure!(answer.status == 200, "the registry answered {} for {digest}", answer.status);
    Ok(answer.body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_lists_its_platforms_and_attestations_are_none() {
        let digest = format!("sha256:{:064x}", 1);
        let manifest = |platform: &str| {
            let (os, architecture) = platform.split_once('/').unwrap();
            serde_json::json!({ "digest": digest,
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "platform": { "os": os, "architecture": architecture } })
        };
        let index = serde_json::json!({ "manifests":
            [manifest("linux/amd64"), manifest("linux/arm64"), manifest("unknown/unknown")] });
        let index = Manifest::parse(index.to_string().as_bytes()).unwrap();
        let found: Vec<_> = of_index(index.children()).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["linux/amd64", "linux/arm64"]);
    }
}
