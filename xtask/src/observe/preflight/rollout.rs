//! What a rollout needs: the services, their task definitions, the health URL.

use anyhow::Result;

use super::check::Check;
use crate::aws::Aws;
use crate::observe::beside::beside;
use crate::observe::ecs::{InFlight, ServiceFacts, services};
use crate::observe::{rollout, stack};
use xtask_core::config::{Environment, HealthUrl, is_http};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::deploy::HealthCheck;

/// What a rollout depends on.
#[derive(Clone, Debug)]
pub struct RolloutFacts {
    /// The services.
    pub services: Vec<ServiceFacts>,
    /// What has to answer afterwards.
    pub health: Option<HealthCheck>,
}

/// Asks for the services, their task definitions and the health URL.
pub async fn for_rollout(
    aws: &Aws,
    environment: &Environment,
) -> (Vec<Check>, Option<RolloutFacts>) {
    let (found, health, tasks) = tokio::join!(
        services(aws, environment),
        health(aws, environment),
        tasks(aws, environment),
    );
    let (services_check, services) = Check::of("services", found, |services| {
        let each = services.iter().map(|service| {
            format!(
                "{} on {}, {}/{} running",
                service.name,
                service.revision(),
                service.running,
                service.desired
            )
        });
        each.collect::<Vec<_>>().join("; ")
    });
    let (health_check, health) = Check::of("health URL", health, |health| match health {
        Some(health) => health.url.clone(),
        None => "none is configured, so a deploy does not check it".to_owned(),
    });
    let mut checks = vec![services_check];
    if let Some(services) = &services {
        checks.extend([deployments(services), tasks]);
    }
    checks.push(health_check);
    let facts = match (services, health) {
        (Some(services), Some(health)) => Some(RolloutFacts { services, health }),
        _ => None,
    };
    (checks, facts)
}

/// Whether the services' tasks can be looked at, as the watch of a rollout does: a role that may
/// not would find out when everything is changed.
async fn tasks(aws: &Aws, environment: &Environment) -> Check {
    let each = environment.services.iter().map(|service| {
        let (aws, cluster, service) = (aws.clone(), environment.cluster.clone(), service.clone());
        async move { rollout::tasks(&aws, &cluster, &service).await }
    });
    let found = beside(each).await.map(|found| {
        let tasks: Vec<_> = found.into_iter().flatten().collect();
        let stopped = tasks.iter().filter(|task| task.stopped_at.is_some()).count();
        format!("{} now, {stopped} that stopped lately", tasks.len() - stopped)
    });
    Check::new("tasks", found)
}

/// Whether another deployment is under way, which `--if-busy` decides about later.
fn deployments(services: &[ServiceFacts]) -> Check {
    let busy: Vec<_> = services
        .iter()
        .filter_map(|service| {
            let InFlight { id, revision } = service.in_flight.as_ref()?;
            Some(format!("deployment {id} of {} to {revision} is under way", service.name))
        })
        .collect();
    if busy.is_empty() {
        return Check::ok("deployments", "none is under way");
    }
    Check::note(
        "deployments",
        busy.join("; "),
        "a deploy waits for it to end; `--if-busy supersede` takes its place, `--if-busy abort` stops",
    )
}

/// What has to answer after a rollout.
///
/// # Errors
/// The stack has no such output.
pub async fn health(aws: &Aws, environment: &Environment) -> Result<Option<HealthCheck>> {
    let Some(health) = &environment.health else { return Ok(None) };
    let url = match &health.url {
        HealthUrl::Fixed(url) => url.clone(),
        HealthUrl::StackOutput(output) => {
            let url = stack::output(aws, environment, output).await?;
            if !is_http(&url) {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("the stack's output `{output}` is no http:// or https:// URL: {url}"),
                )
                .hint("name another output in [env.NAME.health], or write `url`")
                .into());
            }
            url
        }
    };
    Ok(Some(HealthCheck { url, headers: health.headers.clone(), timeout: health.timeout }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_under_way_is_worth_knowing_and_not_wrong() {
        let mut service = ServiceFacts {
            name: "web".into(),
            desired: 1,
            running: 1,
            task_definition_arn: "a/web:7".into(),
            described: serde_json::Value::Null,
            in_flight: None,
            primary: "d-1".into(),
            settled: true,
            served: None,
        };
        assert_eq!(deployments(std::slice::from_ref(&service)).found.word(), "ok");
        service.in_flight = Some(InFlight { id: "d-2".into(), revision: "web:8".into() });
        let check = deployments(&[service]);
        assert_eq!(check.found.word(), "note");
        assert_eq!(check.found.text(), "deployment d-2 of web to web:8 is under way");
    }
}
