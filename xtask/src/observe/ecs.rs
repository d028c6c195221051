//! The ECS cluster, its services and their task definitions.

use anyhow::Result;
use aws_sdk_ecs::types::{Deployment, DeploymentRolloutState, Service};
use serde::Serialize;
use serde_json::{Value, json};

use crate::aws::{Aws, explain, wire};
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::changes::Running;

/// A service as it is now.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ServiceFacts {
    /// Its name.
    pub name: String,
    /// Tasks that are wanted.
    pub desired: u32,
    /// Tasks that run.
    pub running: u32,
    /// The ARN of the task definition that is wanted.
    pub task_definition_arn: String,
    /// `DescribeTaskDefinition`'s answer, raw: `taskDefinition` and `tags`.
    #[serde(skip)]
    pub described: Value,
    /// The deployment that is under way, if one is.
    pub in_flight: Option<InFlight>,
    /// The deployment that is wanted: its id.
    pub primary: String,
    /// Whether that deployment came to its end well.
    pub settled: bool,
    /// The ARN of the task definition that serves, as far as that is known: while another one is
    /// rolled out, the one before it.
    pub served: Option<String>,
}

impl ServiceFacts {
    /// The raw task definition.
    pub fn task_definition(&self) -> &Value {
        &self.described["taskDefinition"]
    }

    /// `family:revision`.
    pub fn revision(&self) -> &str {
        revision(&self.task_definition_arn)
    }

    /// Whether what is wanted runs: the last deployment came to its end well, and no task is
    /// missing.
    pub fn serves(&self) -> bool {
        self.settled && self.running >= self.desired && self.desired > 0
    }

    /// As it is compared with what is planned.
    pub fn compared(&self) -> Running<'_> {
        Running {
            name: &self.name,
            task_definition: self.revision(),
            described: &self.described,
            target: None,
        }
    }

    /// The image of a container.
    pub fn image(&self, container: &str) -> Option<&str> {
        container_of(self.task_definition(), container)?["image"].as_str()
    }
}

/// `family:revision` of a task definition's ARN.
pub fn revision(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or(arn)
}

/// A container of a raw task definition.
pub fn container_of<'a>(task_definition: &'a Value, name: &str) -> Option<&'a Value> {
    task_definition["containerDefinitions"].as_array()?.iter().find(|c| c["name"] == name)
}

/// A deployment that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct InFlight {
    /// Its id.
    pub id: String,
    /// `family:revision` of what it rolls out.
    pub revision: String,
}

/// Asks for one service and for its task definition.
///
/// # Errors
/// It is not there, or ECS can not be asked.
pub async fn describe_service(aws: &Aws, cluster: &str, name: &str) -> Result<ServiceFacts> {
    let answer = aws.ecs.describe_services().cluster(cluster).services(name).send().await;
    let answer = answer.map_err(|error| explain("ecs:DescribeServices", &error))?;
    let found = answer.services().first().ok_or_else(|| {
        Failure::new(Exit::Prerequisite, format!("the service `{name}` is gone"))
            .hint("somebody deleted it meanwhile: look at the stack's events")
    })?;
    service(aws, found).await
}

/// Asks for every service of the environment and for its task definition.
///
/// # Errors
/// [`Exit::Prerequisite`]: no such cluster, service or container; or ECS can not be asked.
pub async fn services(aws: &Aws, environment: &Environment) -> Result<Vec<ServiceFacts>> {
    let mut facts = Vec::new();
    // DescribeServices takes ten at a time.
    for names in environment.services.chunks(10) {
        let answer = aws
            .ecs
            .describe_services()
            .cluster(&environment.cluster)
            .set_services(Some(names.to_vec()))
            .send()
            .await;
        let answer = match answer {
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_cluster_not_found_exception()) =>
            {
                return Err(no_cluster(aws, environment).await.into());
            }
            other => other.map_err(|error| explain("ecs:DescribeServices", &error))?,
        };
        for name in names {
            let found = answer.services().iter().find(|service| {
                service.service_name() == Some(name) && service.status() != Some("INACTIVE")
            });
            let Some(found) = found else {
                return Err(no_service(aws, environment, name).await.into());
            };
            let service = service(aws, found).await?;
            check_container(&service, environment)?;
            facts.push(service);
        }
    }
    Ok(facts)
}

async fn service(aws: &Aws, found: &Service) -> Result<ServiceFacts> {
    let name = found.service_name().unwrap_or_default().to_owned();
    let arn = found.task_definition().unwrap_or_default().to_owned();
    let described = describe_task_definition(aws, &arn).await?;
    let primary = found.deployments().iter().find(|d| d.status() == Some("PRIMARY"));
    let state = primary.and_then(|deployment| deployment.rollout_state());
    let in_flight =
        primary.filter(|_| state == Some(&DeploymentRolloutState::InProgress)).map(|deployment| {
            InFlight {
                id: deployment.id().unwrap_or_default().to_owned(),
                revision: revision(deployment.task_definition().unwrap_or_default()).to_owned(),
            }
        });
    let count = |count: i32| u32::try_from(count).unwrap_or_default();
    Ok(ServiceFacts {
        name,
        desired: count(found.desired_count()),
        running: count(found.running_count()),
        task_definition_arn: arn,
        described,
        in_flight,
        primary: primary.and_then(|d| d.id()).unwrap_or_default().to_owned(),
        settled: state.is_none_or(|state| *state == DeploymentRolloutState::Completed),
        served: served(found),
    })
}

/// What serves: the revision of the deployment that came to its end well. While ECS goes back to
/// an earlier revision, that one, which served before.
///
/// Source: Amazon ECS developer guide, "How the Amazon ECS deployment circuit breaker detects
/// failures" (the reason of the deployment that goes back says so).
fn served(service: &Service) -> Option<String> {
    let serves = |deployment: &&Deployment| {
        let completed = DeploymentRolloutState::Completed;
        let back =
            deployment.rollout_state_reason().is_some_and(|why| why.contains("rolling back"));
        deployment.rollout_state().is_none_or(|state| *state == completed) || back
    };
    if service.desired_count() == 0 {
        return None;
    }
    let mut deployments = service.deployments().iter().filter(serves);
    let first = deployments.next()?;
    let primary = std::iter::once(first).chain(deployments).find(|d| d.status() == Some("PRIMARY"));
    primary.unwrap_or(first).task_definition().map(str::to_owned)
}

fn check_container(service: &ServiceFacts, environment: &Environment) -> Result<()> {
    let containers = service.task_definition()["containerDefinitions"].as_array();
    let names: Vec<_> =
        containers.into_iter().flatten().filter_map(|c| c["name"].as_str()).collect();
    if names.contains(&environment.container.as_str()) {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Prerequisite,
        format!("{} has no container `{}`", service.revision(), environment.container),
    )
    .hint(format!(
        "set `container` in [env.{}] of xtask.toml to one that it has: {}",
        environment.name,
        names.join(", ")
    ))
    .into())
}

/// A task definition and its tags, raw, so that no field is lost.
///
/// # Errors
/// ECS can not be asked, or does not know it.
pub async fn describe_task_definition(aws: &Aws, arn: &str) -> Result<Value> {
    let body = json!({ "taskDefinition": arn, "include": ["TAGS"] });
    wire::json(&aws.config, wire::Service::Ecs, "DescribeTaskDefinition", &body)
        .await
        .map_err(|error| explain("ecs:DescribeTaskDefinition", &error))
}

async fn no_cluster(aws: &Aws, environment: &Environment) -> Failure {
    let known = aws.ecs.list_clusters().send().await;
    let known: Vec<_> = known
        .map(|answer| answer.cluster_arns().iter().map(|arn| revision(arn).to_owned()).collect())
        .unwrap_or_default();
    let place = format!("{} of account {}", environment.region, environment.account);
    Failure::new(Exit::Prerequisite, format!("no ECS cluster `{}` in {place}", environment.cluster))
        .hint(other_names("cluster", environment, &known))
}

async fn no_service(aws: &Aws, environment: &Environment, name: &str) -> Failure {
    let known = aws.ecs.list_services().cluster(&environment.cluster).send().await;
    let known: Vec<_> = known
        .map(|answer| answer.service_arns().iter().map(|arn| revision(arn).to_owned()).collect())
        .unwrap_or_default();
    Failure::new(
        Exit::Prerequisite,
        format!("no ECS service `{name}` in the cluster `{}`", environment.cluster),
    )
    .hint(other_names("services", environment, &known))
}

fn other_names(key: &str, environment: &Environment, known: &[String]) -> String {
    let section = format!("[env.{}] of xtask.toml", environment.name);
    let create = format!("`cargo xtask infra deploy --env {}` creates it", environment.name);
    if known.is_empty() {
        return format!("{create}, or set `{key}` in {section}");
    }
    format!("set `{key}` in {section} to one of: {}; or {create}", known.join(", "))
}
