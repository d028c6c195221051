//! One look at a service while it rolls out, in the words of [`xtask_core::rollout`].

use anyhow::Result;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types as sdk;

use crate::aws::{Aws, explain};
use xtask_core::exit::{Again, Exit, Failure, again};
use xtask_core::rollout::{
    CircuitBreaker, Container, Deployment, EpochMillis, Health, Millis, Rollback, RolloutState,
    Service, ServiceDeployment, ServiceEvent, Snapshot, Task,
};

/// How far apart a deployment and its service deployment are created at most, in milliseconds.
const NEAR: EpochMillis = 5_000;

/// One look at a service.
#[derive(Debug)]
pub struct Look {
    /// What was seen.
    pub snapshot: Snapshot,
    /// What of it could not be read this time.
    pub troubles: Vec<anyhow::Error>,
}

/// Which deployment is looked at.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The ECS cluster.
    pub cluster: String,
    /// The ECS service.
    pub service: String,
    /// When the deployment was created, on AWS's clock.
    pub created_at: Option<EpochMillis>,
    /// The ARN of its service deployment, once that was read. From then on it has the say: a look
    /// without it would take for the end what is not.
    pub service_deployment: Option<String>,
}

/// Asks for a service, its tasks and, where the account allows it, its service deployment.
///
/// `at` is the time since the watch began.
///
/// # Errors
/// ECS can not be asked.
pub async fn look(aws: &Aws, wanted: &Wanted, at: Millis) -> Result<Look> {
    let Wanted { cluster, service, .. } = wanted;
    let (answer, tasks, service_deployment) = tokio::join!(
        async { aws.ecs.describe_services().cluster(cluster).services(service).send().await },
        tasks(aws, cluster, service),
        service_deployment(aws, wanted),
    );
    let answer = answer.map_err(|error| explain("ecs:DescribeServices", &error))?;
    let mut troubles = Vec::new();
    // A list of tasks that can not be read this time delays the verdict, and no more.
    let tasks = tasks.map_err(|error| troubles.push(error)).ok();
    let service_deployment = match service_deployment {
        Err(error) if wanted.service_deployment.is_some() => return Err(error),
        // Not every role may ask for it, and not every implementation has it.
        Err(error) if again(&error) == Again::Useless => None,
        Err(error) => {
            troubles.push(error);
            None
        }
        Ok(found) => found,
    };
    let found = answer.services().first();
    let snapshot = Snapshot {
        at,
        service: Service {
            status: found.and_then(|of| of.status()).unwrap_or("MISSING").into(),
            running: count(found.map_or(0, sdk::Service::running_count)),
            pending: count(found.map_or(0, sdk::Service::pending_count)),
            desired: count(found.map_or(0, sdk::Service::desired_count)),
        },
        deployments: found.iter().flat_map(|of| of.deployments()).map(deployment).collect(),
        tasks,
        events: found.iter().flat_map(|of| of.events()).map(event).collect(),
        service_deployment,
    };
    Ok(Look { snapshot, troubles })
}

fn deployment(d: &sdk::Deployment) -> Deployment {
    Deployment {
        id: d.id().unwrap_or_default().to_owned(),
        status: d.status().unwrap_or_default().into(),
        task_definition: d.task_definition().unwrap_or_default().to_owned(),
        rollout_state: d.rollout_state().map(|state| RolloutState::from(state.as_str())),
        rollout_state_reason: d.rollout_state_reason().map(str::to_owned),
        desired: count(d.desired_count()),
        pending: count(d.pending_count()),
        running: count(d.running_count()),
        failed_tasks: count(d.failed_tasks()),
        created_at: d.created_at().and_then(millis),
    }
}

fn event(event: &sdk::ServiceEvent) -> ServiceEvent {
    ServiceEvent {
        id: event.id().unwrap_or_default().to_owned(),
        at: event.created_at().and_then(millis).unwrap_or_default(),
        message: event.message().unwrap_or_default().to_owned(),
    }
}

/// Every task of a service that ECS still knows: those that run, and those that stopped
/// within the last hour.
///
/// # Errors
/// ECS can not be asked.
pub async fn tasks(aws: &Aws, cluster: &str, service: &str) -> Result<Vec<Task>> {
    let list = async |status: sdk::DesiredStatus| {
        let pages = aws.ecs.list_tasks().cluster(cluster).service_name(service);
        pages
            .desired_status(status)
            .into_paginator()
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| explain("ecs:ListTasks", &error))
    };
    let (running, stopped) =
        tokio::try_join!(list(sdk::DesiredStatus::Running), list(sdk::DesiredStatus::Stopped))?;
    let mut arns = running;
    arns.extend(stopped);
    arns.sort();
    arns.dedup();
    described(aws, cluster, &arns).await
}

/// Some tasks; those that ECS does not know any more are left out.
///
/// # Errors
/// ECS can not be asked.
pub async fn described(aws: &Aws, cluster: &str, arns: &[String]) -> Result<Vec<Task>> {
    let mut found = Vec::new();
    // DescribeTasks takes a hundred at a time.
    for arns in arns.chunks(100) {
        let answer = aws.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
        let answer = answer.send().await.map_err(|error| explain("ecs:DescribeTasks", &error))?;
        found.extend(answer.tasks().iter().map(task));
    }
    Ok(found)
}

fn task(task: &sdk::Task) -> Task {
    Task {
        arn: task.task_arn().unwrap_or_default().to_owned(),
        task_definition: task.task_definition_arn().unwrap_or_default().to_owned(),
        started_by: task.started_by().map(str::to_owned),
        last_status: task.last_status().unwrap_or_default().into(),
        desired_status: task.desired_status().unwrap_or_default().into(),
        health: health(task.health_status()),
        created_at: task.created_at().and_then(millis),
        pull_started_at: task.pull_started_at().and_then(millis),
        pull_stopped_at: task.pull_stopped_at().and_then(millis),
        started_at: task.started_at().and_then(millis),
        stopping_at: task.stopping_at().and_then(millis),
        stopped_at: task.stopped_at().and_then(millis),
        stop_code: task.stop_code().map(|code| code.as_str().into()),
        stopped_reason: task.stopped_reason().map(str::to_owned),
        containers: task.containers().iter().map(container).collect(),
    }
}

fn container(container: &sdk::Container) -> Container {
    Container {
        name: container.name().unwrap_or_default().to_owned(),
        exit_code: container.exit_code(),
        reason: container.reason().map(str::to_owned),
        image_digest: container.image_digest().map(str::to_owned),
        health: health(container.health_status()),
    }
}

/// The service deployment of the deployment that is watched, where it can be told.
async fn service_deployment(aws: &Aws, wanted: &Wanted) -> Result<Option<ServiceDeployment>> {
    if let Some(arn) = &wanted.service_deployment {
        let found = describe(aws, arn).await?;
        return found.map(Some).ok_or_else(|| gone(arn).into());
    }
    let Some(created_at) = wanted.created_at else { return Ok(None) };
    // A service that is deployed often has more of them than a page holds.
    let since = DateTime::from_millis(created_at - NEAR);
    let list = aws.ecs.list_service_deployments().cluster(&wanted.cluster);
    let list = list.created_at(sdk::CreatedAt::builder().after(since).build());
    let listed = list.service(&wanted.service).send().await;
    let listed = listed.map_err(|error| explain("ecs:ListServiceDeployments", &error))?;
    // ECS does not say which service deployment belongs to which deployment id. Both are
    // created by the same call: the one that is closest in time, within seconds.
    let distance = |d: &&sdk::ServiceDeploymentBrief| {
        d.created_at().and_then(millis).map_or(u64::MAX, |at| at.abs_diff(created_at))
    };
    let ours = listed.service_deployments().iter().min_by_key(distance);
    let ours = ours.filter(|ours| distance(ours) <= NEAR.unsigned_abs());
    match ours.and_then(|ours| ours.service_deployment_arn()) {
        Some(arn) => describe(aws, arn).await,
        None => Ok(None),
    }
}

async fn describe(aws: &Aws, arn: &str) -> Result<Option<ServiceDeployment>> {
    let described =
        aws.ecs.describe_service_deployments().service_deployment_arns(arn).send().await;
    let described = described.map_err(|error| explain("ecs:DescribeServiceDeployments", &error))?;
    Ok(described.service_deployments().first().and_then(|found| of_service(arn, found)))
}

/// What was there is not in the answer. It has not gone away: ECS keeps it.
fn gone(arn: &str) -> Failure {
    let text = format!("ecs:DescribeServiceDeployments does not know {arn} any more");
    Failure::new(Exit::Unexpected, text).again(Again::Soon)
}

fn of_service(arn: &str, found: &sdk::ServiceDeployment) -> Option<ServiceDeployment> {
    Some(ServiceDeployment {
        arn: arn.to_owned(),
        status: found.status()?.as_str().into(),
        status_reason: found.status_reason().map(str::to_owned),
        target_revision: found.target_service_revision().and_then(|r| r.arn()).map(str::to_owned),
        rollback: found.rollback().map(|rollback| Rollback {
            reason: rollback.reason().map(str::to_owned),
            started_at: rollback.started_at().and_then(millis),
            revision: rollback.service_revision_arn().map(str::to_owned),
        }),
        circuit_breaker: found.deployment_circuit_breaker().and_then(|breaker| {
            Some(CircuitBreaker {
                status: breaker.status()?.as_str().into(),
                failure_count: count(breaker.failure_count()),
                threshold: count(breaker.threshold()),
            })
        }),
    })
}

fn health(status: Option<&sdk::HealthStatus>) -> Health {
    status.map_or(Health::NotJudged, |status| status.as_str().into())
}

fn count(count: i32) -> u32 {
    u32::try_from(count).unwrap_or_default()
}

fn millis(at: &DateTime) -> Option<EpochMillis> {
    at.to_millis().ok()
}
