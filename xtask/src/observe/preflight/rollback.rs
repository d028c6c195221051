//! What a rollback needs: an earlier revision to go back to, which can start.

use super::check::Check;
use super::lock::for_lock;
use super::registry::for_registry;
use super::rollout::for_rollout;
use super::{fit, start};
use crate::aws::Aws;
use crate::observe::beside::all_beside;
use crate::observe::ecs::{ServiceFacts, revision};
use crate::observe::platforms::platforms;
use crate::observe::revisions::{self, Target};
use xtask_core::config::Environment;
use xtask_core::plan::deploy::HealthCheck;
use xtask_core::plan::needs::Needs;

/// What a rollback depends on.
#[derive(Clone, Debug)]
pub struct RollbackFacts {
    /// The services, each with the revision that it goes back to.
    pub services: Vec<(ServiceFacts, Target)>,
    /// What has to answer afterwards.
    pub health: Option<HealthCheck>,
}

/// Asks for everything that a rollback needs. `to` is the number of the revision to go back to;
/// without it, the one that served before.
pub async fn for_rollback(
    aws: &Aws,
    environment: &Environment,
    to: Option<u64>,
) -> (Vec<Check>, Option<RollbackFacts>) {
    let ((mut checks, _), (more, rollout), lock) = tokio::join!(
        for_registry(aws, environment),
        for_rollout(aws, environment),
        for_lock(aws, environment),
    );
    checks.extend(more.into_iter().chain([lock]));
    let Some(rollout) = rollout else { return (checks, None) };
    let calls = rollout.services.into_iter().map(|service| {
        let (aws, environment) = (aws.clone(), environment.clone());
        async move {
            let target = revisions::target(&aws, &environment, &service, to).await;
            let (check, target) = Check::of("target", target, |target| {
                format!(
                    "{} goes back to {}: {}",
                    service.name,
                    revision(&target.arn),
                    target.source
                )
            });
            let Some(target) = target else { return (vec![check], None) };
            let mut checks = vec![check];
            checks.extend(can_start(&aws, &environment, &target).await);
            (checks, Some((service, target)))
        }
    });
    let mut services = Some(Vec::new());
    for (more, service) in all_beside(calls.collect::<Vec<_>>()).await {
        checks.extend(more);
        services = services.zip(service).map(|(mut services, service)| {
            services.push(service);
            services
        });
    }
    (checks, services.map(|services| RollbackFacts { services, health: rollout.health }))
}

/// Whether tasks of an earlier revision can start: what it names may be gone by now.
async fn can_start(aws: &Aws, environment: &Environment, target: &Target) -> Vec<Check> {
    let definition = &target.described["taskDefinition"];
    let needs = [Needs::of(revision(&target.arn), definition)];
    let architecture = async {
        match &target.image {
            Some(image) => fit::architecture(&needs, &platforms(aws, environment, image).await),
            None => Vec::new(),
        }
    };
    let (mut checks, more) = tokio::join!(start::checks(aws, environment, &needs), architecture);
    checks.extend(more);
    checks
}
