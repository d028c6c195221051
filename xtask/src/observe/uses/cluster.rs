//! What one cluster says: its services and tasks, and the task definitions that they name.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use aws_sdk_ecs::types::{self, DesiredStatus, Service, Task};

use crate::aws::{self, Aws, explain};
use crate::observe::beside::beside;
use crate::observe::ecs::revision;
use xtask_core::config::Cluster;
use xtask_core::exit::{Exit, Failure, hint_of};
use xtask_core::registry::in_use::{Use, User, UserKind};

/// Services that one `DescribeServices` call takes at most.
const SERVICES: usize = 10;

/// Tasks that one `DescribeTasks` call takes at most.
const TASKS: usize = 100;

/// Who names a task definition, by its ARN.
pub type Named = BTreeMap<String, BTreeSet<User>>;

/// A service, and the ARN of the task definition that it is set to.
pub(super) struct Current {
    pub(super) service: String,
    pub(super) arn: String,
}

/// What one cluster says.
pub(super) struct Looked {
    /// The task definitions that services, deployments and tasks name.
    pub(super) named: Named,
    /// The images that tasks run.
    pub(super) uses: Vec<Use>,
    /// Its services, as far as ECS knows what they are set to.
    pub(super) services: Vec<Current>,
}

/// Asks a cluster.
///
/// # Errors
/// The account is another one, there is no such cluster, or it can not be asked.
pub(super) async fn look(aws: &Aws, cluster: &Cluster) -> Result<Looked> {
    check_account(aws, cluster).await?;
    check_cluster(aws, cluster).await?;
    let (services, tasks) =
        tokio::try_join!(services(aws, &cluster.name), tasks(aws, &cluster.name))?;
    let mut named = Named::new();
    let mut uses = Vec::new();
    for service in &services {
        of_service(&cluster.name, service, &mut named);
    }
    for task in &tasks {
        of_task(&cluster.name, task, &mut named, &mut uses);
    }
    let current =
        |of: Service| Some(Current { service: of.service_name?, arn: of.task_definition? });
    let services = services.into_iter().filter_map(current).filter(|of| !of.arn.is_empty());
    Ok(Looked { named, uses, services: services.collect() })
}

/// Says of an error which cluster it is about.
pub(super) fn unread(cluster: &Cluster, error: &anyhow::Error) -> anyhow::Error {
    let text = format!(
        "what the cluster `{}` of [env.{}] runs could not be read: {error:#}",
        cluster.name, cluster.environment
    );
    let hint = hint_of(error).unwrap_or("run it again in a minute").to_owned();
    let hint = format!(
        "{hint}; a cluster that is gone for good is taken out with [env.{}]",
        cluster.environment
    );
    Failure::new(Exit::Prerequisite, text).hint(hint).into()
}

/// A cluster of the same name in another account would say that nothing is in use.
async fn check_account(aws: &Aws, cluster: &Cluster) -> Result<()> {
    let found = aws::account(aws).await?;
    if found == cluster.account {
        return Ok(());
    }
    let text = format!("the credentials are of account {found}, not of {}", cluster.account);
    Err(Failure::new(Exit::Prerequisite, text)
        .hint(format!("sign in to it, or set `profile` in [env.{}]", cluster.environment))
        .into())
}

/// A cluster that is not there would say that nothing is in use, where it is not an error.
async fn check_cluster(aws: &Aws, cluster: &Cluster) -> Result<()> {
    let answer = aws.ecs.describe_clusters().clusters(&cluster.name).send().await;
    let answer = answer.map_err(|error| explain("ecs:DescribeClusters", &error))?;
    if answer.clusters().iter().any(|found| found.status() == Some("ACTIVE")) {
        return Ok(());
    }
    let text = format!("no ECS cluster `{}` in {}", cluster.name, cluster.region);
    Err(Failure::new(Exit::Prerequisite, text)
        .hint(format!("set `cluster` in [env.{}] of xtask.toml", cluster.environment))
        .into())
}

async fn services(aws: &Aws, cluster: &str) -> Result<Vec<Service>> {
    let mut arns = Vec::new();
    let request = aws.ecs.list_services().cluster(cluster).max_results(100);
    let mut pages = request.into_paginator().items().send();
    while let Some(arn) = pages.next().await {
        arns.push(arn.map_err(|error| explain("ecs:ListServices", &error))?);
    }
    let calls = arns.chunks(SERVICES).map(|names| {
        let request = aws.ecs.describe_services().cluster(cluster);
        let request = request.set_services(Some(names.to_vec()));
        let asked = names.len();
        async move {
            let answer = request.send().await;
            let answer = answer.map_err(|error| explain("ecs:DescribeServices", &error))?;
            let services = answer.services.unwrap_or_default();
            // A service that was deleted meanwhile is listed as INACTIVE, or is a failure.
            let gone = answer.failures.unwrap_or_default();
            anyhow::ensure!(
                gone.iter().all(|failure| failure.reason() == Some("MISSING"))
                    && services.len() + gone.len() >= asked,
                "ecs:DescribeServices did not answer for all services"
            );
            Ok(services)
        }
    });
    let calls: Vec<_> = calls.collect();
    Ok(beside(calls).await?.into_iter().flatten().collect())
}

async fn tasks(aws: &Aws, cluster: &str) -> Result<Vec<Task>> {
    let (mut arns, mut stopped) = (BTreeSet::new(), BTreeSet::new());
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let request = aws.ecs.list_tasks().cluster(cluster).desired_status(status.clone());
        let mut pages = request.into_paginator().items().send();
        while let Some(arn) = pages.next().await {
            let arn = arn.map_err(|error| explain("ecs:ListTasks", &error))?;
            if status == DesiredStatus::Stopped {
                stopped.insert(arn.clone());
            }
            arns.insert(arn);
        }
    }
    let arns: Vec<String> = arns.into_iter().collect();
    let calls = arns.chunks(TASKS).map(|arns| {
        let request = aws.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
        async move {
            let answer = request.send().await;
            let answer = answer.map_err(|error| explain("ecs:DescribeTasks", &error))?;
            Ok((answer.tasks.unwrap_or_default(), answer.failures.unwrap_or_default()))
        }
    });
    let answers = beside(calls.collect::<Vec<_>>()).await?;
    let (tasks, failures): (Vec<_>, Vec<_>) = answers.into_iter().unzip();
    let (tasks, failures): (Vec<Task>, Vec<types::Failure>) = (tasks.concat(), failures.concat());
    let mut told: BTreeSet<&str> = tasks.iter().filter_map(|task| task.task_arn()).collect();
    // ECS forgets a task an hour after it stopped. One that is new can be MISSING as well, until
    // all of ECS knows it.
    let gone = failures.iter().filter(|failure| failure.reason() == Some("MISSING"));
    told.extend(gone.filter_map(|of| of.arn()).filter(|arn| stopped.contains(*arn)));
    if let Some(arn) = arns.iter().find(|arn| !told.contains(arn.as_str())) {
        anyhow::bail!("ecs:DescribeTasks does not tell of the task {}", revision(arn));
    }
    Ok(tasks)
}

fn of_service(cluster: &str, service: &Service, named: &mut Named) {
    let name = format!("{cluster}/{}", service.service_name().unwrap_or_default());
    let mut add = |arn: Option<&str>, kind: UserKind| {
        if let Some(arn) = arn.filter(|arn| !arn.is_empty()) {
            let user = User { kind, name: name.clone() };
            named.entry(arn.to_owned()).or_default().insert(user);
        }
    };
    add(service.task_definition(), UserKind::Service);
    for deployment in service.deployments() {
        add(deployment.task_definition(), UserKind::Deployment);
    }
    // Deployments of CodeDeploy and of external controllers.
    for task_set in service.task_sets() {
        add(task_set.task_definition(), UserKind::Deployment);
    }
}

fn of_task(cluster: &str, task: &Task, named: &mut Named, uses: &mut Vec<Use>) {
    let stopped = task.last_status() == Some("STOPPED");
    let kind = if stopped { UserKind::StoppedTask } else { UserKind::RunningTask };
    let id = revision(task.task_arn().unwrap_or_default());
    let user = User { kind, name: format!("{cluster}/{id}") };
    for container in task.containers() {
        if let Some(image) = container.image().filter(|image| !image.is_empty()) {
            let digest = container.image_digest().filter(|digest| !digest.is_empty());
            uses.push(Use {
                image: image.to_owned(),
                digest: digest.map(str::to_owned),
                user: user.clone(),
            });
        }
    }
    if let Some(arn) = task.task_definition_arn() {
        named.entry(arn.to_owned()).or_default().insert(user);
    }
}
