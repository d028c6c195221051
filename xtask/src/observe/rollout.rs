//! One look at a service while it rolls out, in the words of [`crate::rollout`].

use anyhow::Result;
use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types as sdk;

use crate::aws::{Aws, explain};
use crate::rollout::{
    CircuitBreaker, Container, Deployment, EpochMillis, Health, Millis, Rollback, RolloutState,
    Service, ServiceDeployment, ServiceEvent, Snapshot, Task,
};

/// Asks for a service, its tasks and, where the account allows it, its service deployment.
///
/// `at` is the time since the watch began; `created_at` when the deployment that is watched
/// was created, on AWS's clock.
///
/// # Errors
/// ECS can not be asked, or does not know the service.
pub async fn snapshot(
    aws: &Aws,
    cluster: &str,
    service: &str,
    at: Millis,
    created_at: Option<EpochMillis>,
) -> Result<Option<Snapshot>> {
    let (answer, tasks, service_deployment) = tokio::join!(
        async { aws.ecs.describe_services().cluster(cluster).services(service).send().await },
        tasks(aws, cluster, service),
        service_deployment(aws, cluster, service, created_at),
    );
    let answer = answer.map_err(|error| explain("ecs:DescribeServices", &error))?;
    let Some(found) = answer.services().first() else { return Ok(None) };
    Ok(Some(Snapshot {
        at,
        service: Service {
            status: found.status().unwrap_or_default().into(),
            running: count(found.running_count()),
            pending: count(found.pending_count()),
            desired: count(found.desired_count()),
        },
        deployments: found.deployments().iter().map(deployment).collect(),
        // A list of tasks that can not be read this time delays the verdict, and no more.
        tasks: tasks.ok(),
        events: found.events().iter().map(event).collect(),
        service_deployment,
    }))
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
///
/// Not every role may ask for it and not every implementation has it, so an error means
/// that the verdict comes from `deployments[]` alone.
async fn service_deployment(
    aws: &Aws,
    cluster: &str,
    service: &str,
    created_at: Option<EpochMillis>,
) -> Option<ServiceDeployment> {
    let created_at = created_at?;
    let listed =
        aws.ecs.list_service_deployments().cluster(cluster).service(service).send().await.ok()?;
    // ECS does not say which service deployment belongs to which deployment id. Both are
    // created by the same call: the one that is closest in time, within seconds.
    let distance = |d: &&sdk::ServiceDeploymentBrief| {
        d.created_at().and_then(millis).map_or(u64::MAX, |at| at.abs_diff(created_at))
    };
    let ours = listed.service_deployments().iter().min_by_key(distance)?;
    if distance(&ours) > 5_000 {
        return None;
    }
    let arn = ours.service_deployment_arn()?;
    let described =
        aws.ecs.describe_service_deployments().service_deployment_arns(arn).send().await.ok()?;
    let found = described.service_deployments().first()?;
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
