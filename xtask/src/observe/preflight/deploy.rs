//! What a deploy needs: everything.

use anyhow::Result;

use super::build::{BuildFacts, for_build};
use super::check::Check;
use super::fit::{self, Size};
use super::lock::for_lock;
use super::registry::{AwsFacts, for_push, for_registry};
use super::rollout::{RolloutFacts, for_rollout};
use super::start;
use crate::aws::Aws;
use crate::observe::ecr::{self, ImageFacts, existing_image};
use crate::observe::ecs::ServiceFacts;
use crate::observe::inputs::Wanted;
use crate::observe::platforms::platforms;
use xtask_core::config::{Config, Environment};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::fit::platform;
use xtask_core::plan::needs::Needs;
use xtask_core::plan::taskdef::{Change, next};
use xtask_core::registry::manifest::Platform;

/// What a deploy depends on.
#[derive(Clone, Debug)]
pub struct DeployFacts {
    /// Where the image comes from.
    pub image: ImageSource,
    /// What there is in AWS.
    pub registry: AwsFacts,
    /// What it is rolled out on.
    pub rollout: RolloutFacts,
    /// The space that a task has, in GiB; the least, and only Fargate's is known.
    pub storage: Option<u64>,
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
/// before; without it, the image is built, and `inputs` says what of its inputs is asked for.
pub async fn for_deploy(
    aws: &Aws,
    config: &Config,
    environment: &Environment,
    image: Option<&str>,
    inputs: Option<Wanted<'_>>,
) -> (Vec<Check>, Option<DeployFacts>) {
    let (pushed, rollout, lock) = tokio::join!(
        async {
            match image {
                None => to_build(aws, config, environment, inputs).await,
                Some(reference) => was_pushed(aws, environment, reference).await,
            }
        },
        on_services(aws, environment),
        for_lock(aws, environment)
    );
    let Pushed { mut checks, image, registry, platforms, size } = pushed;
    let OnServices { checks: more, rollout, needs, running } = rollout;
    checks.extend(more.into_iter().chain([lock]));
    if let Some(platforms) = platforms.filter(|_| !needs.is_empty()) {
        checks.extend(fit::architecture(&needs, &platforms));
    }
    checks.extend(size.or(running).and_then(|size| fit::storage(&needs, size)));
    let facts = match (image, registry, rollout) {
        (Some(image), Some(registry), Some(rollout)) => {
            let storage = needs.iter().filter_map(|needs| needs.storage).min();
            Some(DeployFacts { image, registry, rollout, storage })
        }
        _ => None,
    };
    (checks, facts)
}

/// Where the image comes from and where it lies, as far as that is well.
struct Pushed {
    checks: Vec<Check>,
    image: Option<ImageSource>,
    registry: Option<AwsFacts>,
    /// What it is for; `None` without an image.
    platforms: Option<Result<Vec<Platform>>>,
    /// Of an image that is there already.
    size: Option<Size>,
}

async fn to_build(
    aws: &Aws,
    config: &Config,
    environment: &Environment,
    inputs: Option<Wanted<'_>>,
) -> Pushed {
    let ((mut checks, build), (more, registry)) =
        tokio::join!(for_build(config, inputs), for_push(aws, config, environment));
    checks.extend(more);
    let platforms = config.image.platforms.iter().map(|text| platform(text)).collect();
    let image = build.map(ImageSource::Build);
    Pushed { checks, image, registry, platforms: Some(Ok(platforms)), size: None }
}

async fn was_pushed(aws: &Aws, environment: &Environment, reference: &str) -> Pushed {
    let found = async {
        let found = existing_image(aws, environment, reference).await;
        let (check, image) = Check::of("image", found, |image| image.digest.clone());
        let platforms = match &image {
            Some(image) => Some(platforms(aws, environment, image).await),
            None => None,
        };
        (check, image, platforms)
    };
    let ((check, image, platforms), size, (mut checks, registry)) = tokio::join!(
        found,
        ecr::size(aws, &environment.repository, reference),
        for_registry(aws, environment)
    );
    checks.push(check);
    let image = image.map(ImageSource::Pushed);
    // A size that can not be had is no reason to stop.
    let size = size.ok().flatten().map(Size::Pushed);
    Pushed { checks, image, registry, platforms, size }
}

/// What it is rolled out on.
struct OnServices {
    checks: Vec<Check>,
    rollout: Option<RolloutFacts>,
    /// What the next revisions need.
    needs: Vec<Needs>,
    /// What runs now.
    running: Option<Size>,
}

async fn on_services(aws: &Aws, environment: &Environment) -> OnServices {
    let (mut checks, rollout) = for_rollout(aws, environment).await;
    let services = rollout.as_ref().map(|rollout| rollout.services.as_slice()).unwrap_or_default();
    let mut needs = Vec::new();
    for service in services {
        match needed(service, environment) {
            Ok(found) => needs.push(found),
            Err(error) => checks.push(Check::wrong("task definition", error)),
        }
    }
    let (more, running) = tokio::join!(
        start::checks(aws, environment, &needs),
        fit::running(aws, environment, services)
    );
    checks.extend(more);
    OnServices { checks, rollout, needs, running }
}

/// What the next revision of a service needs: as the running one, with what is declared.
fn needed(service: &ServiceFacts, environment: &Environment) -> Result<Needs> {
    let change = Change {
        container: environment.container.clone(),
        image: service.image(&environment.container).unwrap_or_default().to_owned(),
        environment: environment.environment.clone(),
        secrets: environment.secrets.clone(),
    };
    let next = next(&service.described, &change)
        .map_err(|error| Failure::new(Exit::Prerequisite, error.to_string()))?;
    Ok(Needs::of(service.revision(), &next))
}
