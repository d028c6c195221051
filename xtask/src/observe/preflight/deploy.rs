//! What a deploy needs: everything.

use super::build::{BuildFacts, for_build};
use super::check::Check;
use super::lock::for_lock;
use super::registry::{AwsFacts, for_push, for_registry};
use super::rollout::{RolloutFacts, for_rollout};
use crate::aws::Aws;
use crate::config::{Config, Environment};
use crate::observe::ecr::{ImageFacts, existing_image};

/// What a deploy depends on.
#[derive(Clone, Debug)]
pub struct DeployFacts {
    /// Where the image comes from.
    pub image: ImageSource,
    /// What there is in AWS.
    pub registry: AwsFacts,
    /// What it is rolled out on.
    pub rollout: RolloutFacts,
}

/// Where the image comes from.
#[derive(Clone, Debug)]
pub enum ImageSource {
    /// It is built.
    Build(BuildFacts),
    /// It was pushed before.
    Pushed(ImageFacts),
}

/// Asks for everything that a deploy needs. `image` is the digest or the tag of what was pushed
/// before; without it, the image is built.
pub async fn for_deploy(
    aws: &Aws,
    config: &Config,
    environment: &Environment,
    image: Option<&str>,
) -> (Vec<Check>, Option<DeployFacts>) {
    let pushed = async {
        match image {
            None => {
                let ((mut checks, build), (more, registry)) =
                    tokio::join!(for_build(config), for_push(aws, config, environment));
                checks.extend(more);
                (checks, build.map(ImageSource::Build), registry)
            }
            Some(reference) => {
                let (found, (mut checks, registry)) = tokio::join!(
                    existing_image(aws, environment, reference),
                    for_registry(aws, environment)
                );
                let (check, image) = Check::of("image", found, |image| image.digest.clone());
                checks.push(check);
                (checks, image.map(ImageSource::Pushed), registry)
            }
        }
    };
    let ((mut checks, image, registry), (more, rollout), lock) =
        tokio::join!(pushed, for_rollout(aws, environment), for_lock(aws, environment));
    checks.extend(more.into_iter().chain([lock]));
    let facts = match (image, registry, rollout) {
        (Some(image), Some(registry), Some(rollout)) => {
            Some(DeployFacts { image, registry, rollout })
        }
        _ => None,
    };
    (checks, facts)
}
