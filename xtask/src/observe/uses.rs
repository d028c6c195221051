//! What uses images: services, their deployments, running and stopped tasks, and the last
//! revisions of their task definitions' families, in every cluster that is configured.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use aws_sdk_ecs::types::{DesiredStatus, Service, SortOrder, Task, TaskDefinitionStatus};

use super::beside::beside;
use super::ecs::revision;
use crate::aws::{self, Aws, explain};
use crate::config::{Cluster, Environment, Prune};
use crate::exit::{Exit, Failure, hint_of};
use crate::registry::in_use::{Use, User, UserKind};

/// Services that one `DescribeServices` call takes at most.
const SERVICES: usize = 10;

/// Tasks that one `DescribeTasks` call takes at most.
const TASKS: usize = 100;

/// Who names a task definition, by its ARN.
type Named = BTreeMap<String, BTreeSet<User>>;

/// Asks every cluster what it uses. Names of the environment's registry are written as
/// `registry` writes them, whichever of its hosts a task definition names.
///
/// # Errors
/// [`Exit::Prerequisite`] when anything of it can not be read: what uses an image is known
/// wholly or not at all.
pub async fn uses(
    clusters: &[Cluster],
    environment: &Environment,
    keep: &Prune,
) -> Result<Vec<Use>> {
    let all = clusters.iter().map(|cluster| of_cluster(cluster.clone(), keep.clone()));
    let mut uses: Vec<Use> = beside(all).await?.into_iter().flatten().collect();
    for used in &mut uses {
        used.image = canonical(&used.image, &environment.account, &environment.registry);
    }
    Ok(uses)
}

async fn of_cluster(cluster: Cluster, keep: Prune) -> Result<Vec<Use>> {
    let aws = aws::connect_cluster(&cluster).await;
    let found = async {
        check_account(&aws, &cluster).await?;
        check_cluster(&aws, &cluster).await?;
        let (services, tasks) =
            tokio::try_join!(services(&aws, &cluster.name), tasks(&aws, &cluster.name))?;
        let mut named = Named::new();
        let mut uses = Vec::new();
        for service in &services {
            of_service(&cluster.name, service, &mut named);
        }
        for task in &tasks {
            of_task(&cluster.name, task, &mut named, &mut uses);
        }
        add_families(&aws, &keep, &mut named).await?;
        uses.extend(of_task_definitions(&aws, named).await?);
        Ok(uses)
    };
    found.await.map_err(|error: anyhow::Error| {
        let text = format!(
            "what the cluster `{}` of [env.{}] runs could not be read: {error:#}",
            cluster.name, cluster.environment
        );
        let hint = hint_of(&error).unwrap_or("run it again in a minute").to_owned();
        let hint = format!(
            "{hint}; a cluster that is gone for good is taken out with [env.{}]",
            cluster.environment
        );
        Failure::new(Exit::Prerequisite, text).hint(hint).into()
    })
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
    let mut arns = BTreeSet::new();
    for status in [DesiredStatus::Running, DesiredStatus::Stopped] {
        let request = aws.ecs.list_tasks().cluster(cluster).desired_status(status);
        let mut pages = request.into_paginator().items().send();
        while let Some(arn) = pages.next().await {
            arns.insert(arn.map_err(|error| explain("ecs:ListTasks", &error))?);
        }
    }
    let arns: Vec<String> = arns.into_iter().collect();
    let calls = arns.chunks(TASKS).map(|arns| {
        let request = aws.ecs.describe_tasks().cluster(cluster).set_tasks(Some(arns.to_vec()));
        async move {
            let answer = request.send().await;
            let answer = answer.map_err(|error| explain("ecs:DescribeTasks", &error))?;
            // What is MISSING stopped an hour ago or more, between the two calls.
            let others = answer.failures().iter().find(|f| f.reason() != Some("MISSING"));
            anyhow::ensure!(others.is_none(), "ecs:DescribeTasks did not answer for all tasks");
            Ok(answer.tasks.unwrap_or_default())
        }
    });
    let calls: Vec<_> = calls.collect();
    Ok(beside(calls).await?.into_iter().flatten().collect())
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

/// Adds the last revisions of every family that is named, and of those that are configured.
async fn add_families(aws: &Aws, keep: &Prune, named: &mut Named) -> Result<()> {
    let families: BTreeSet<String> = named
        .keys()
        .filter_map(|arn| revision(arn).rsplit_once(':').map(|(family, _)| family.to_owned()))
        .chain(keep.keep_families.iter().cloned())
        .collect();
    let calls = families.into_iter().map(|family| {
        let request = aws
            .ecs
            .list_task_definitions()
            .family_prefix(&family)
            .status(TaskDefinitionStatus::Active)
            .sort(SortOrder::Desc)
            .max_results(100);
        let wanted = keep.keep_revisions;
        async move {
            let mut last = Vec::new();
            let mut pages = request.into_paginator().items().send();
            while last.len() < wanted
                && let Some(arn) = pages.next().await
            {
                let arn = arn.map_err(|error| explain("ecs:ListTaskDefinitions", &error))?;
                // The prefix also finds other families.
                if revision(&arn).rsplit_once(':').is_some_and(|(name, _)| name == family) {
                    last.push(arn);
                }
            }
            Ok(last)
        }
    });
    let calls: Vec<_> = calls.collect();
    for arn in beside(calls).await?.into_iter().flatten() {
        let name = revision(&arn).to_owned();
        let user = User { kind: UserKind::TaskDefinitionRevision, name };
        named.entry(arn).or_default().insert(user);
    }
    Ok(())
}

async fn of_task_definitions(aws: &Aws, named: Named) -> Result<Vec<Use>> {
    let calls = named.into_iter().map(|(arn, users)| {
        let request = aws.ecs.describe_task_definition().task_definition(&arn);
        async move {
            let answer = request.send().await;
            let answer = answer.map_err(|error| explain("ecs:DescribeTaskDefinition", &error))?;
            let definition = answer.task_definition.ok_or_else(|| {
                anyhow::anyhow!("ecs:DescribeTaskDefinition answered without a task definition")
            })?;
            let images = definition.container_definitions().iter().filter_map(|c| c.image());
            let uses = images.flat_map(|image| {
                let of =
                    |user: &User| Use { image: image.to_owned(), digest: None, user: user.clone() };
                users.iter().map(of)
            });
            Ok(uses.collect::<Vec<_>>())
        }
    });
    let calls: Vec<_> = calls.collect();
    Ok(beside(calls).await?.into_iter().flatten().collect())
}

/// The name with the registry's host as it is configured. ECR answers on several hosts
/// (FIPS, dual-stack, other regions by replication), and all of an account's count: an
/// image too many is kept, an image too few would be lost.
///
/// Source: Amazon ECR user guide, "Private registry" and "Making requests over IPv6".
fn canonical(image: &str, account: &str, registry: &str) -> String {
    let Some((host, rest)) = image.split_once('/') else { return image.to_owned() };
    let of_account = host.strip_prefix(account).is_some_and(|host| {
        [".dkr.ecr.", ".dkr.ecr-fips.", ".dkr-ecr.", ".dkr-ecr-fips."]
            .iter()
            .any(|label| host.starts_with(label))
    });
    if of_account { format!("{registry}/{rest}") } else { image.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::aws::stand_in::StandIn;

    fn keep(revisions: usize) -> Prune {
        Prune {
            keep_revisions: revisions,
            keep_families: vec!["nightly".into()],
            tagged: None,
            keep_untagged: Duration::ZERO,
        }
    }

    fn arn(name: &str) -> String {
        format!("arn:aws:ecs:eu-central-1:123456789012:{name}")
    }

    /// A cluster with 12 services, of which the first is in the middle of a deployment, one
    /// stopped task, and revisions of which two families start alike.
    fn ecs(operation: &str, request: &Value, _: usize) -> (u16, Value) {
        let definition = |name: &str| arn(&format!("task-definition/{name}"));
        let answer = match operation {
            "DescribeClusters" => json!({ "clusters": [{ "status": "ACTIVE" }] }),
            "ListServices" => match request["nextToken"].as_str() {
                None => json!({ "nextToken": "2", "serviceArns":
                    (0..7).map(|n| arn(&format!("service/app/s{n}"))).collect::<Vec<_>>() }),
                Some(_) => json!({ "serviceArns":
                    (7..12).map(|n| arn(&format!("service/app/s{n}"))).collect::<Vec<_>>() }),
            },
            "DescribeServices" => {
                let names = request["services"].as_array().unwrap();
                assert!(names.len() <= 10);
                let service = |arn: &Value| {
                    let name = revision(arn.as_str().unwrap()).to_owned();
                    let old = if name == "s0" { "app:3" } else { "app:9" };
                    json!({ "serviceName": name, "taskDefinition": definition("app:9"),
                        "deployments": [{ "taskDefinition": definition("app:9") },
                            { "taskDefinition": definition(old) }] })
                };
                json!({ "services": names.iter().map(service).collect::<Vec<_>>() })
            }
            "ListTasks" if request["desiredStatus"] == "STOPPED" => {
                json!({ "taskArns": [arn("task/app/t1")] })
            }
            "ListTasks" => json!({ "taskArns": [] }),
            "DescribeTasks" => json!({ "tasks": [{
                "taskArn": arn("task/app/t1"), "lastStatus": "STOPPED",
                "taskDefinitionArn": definition("job:1"),
                "containers": [{ "image": "r/app:moved", "imageDigest": "sha256:aa" }] }] }),
            "ListTaskDefinitions" => match request["familyPrefix"].as_str().unwrap() {
                "app" => json!({ "taskDefinitionArns":
                    [definition("app-2:7"), definition("app:9"), definition("app:8"), definition("app:7")] }),
                family => json!({ "taskDefinitionArns": [definition(&format!("{family}:1"))] }),
            },
            "DescribeTaskDefinition" => {
                let name = revision(request["taskDefinition"].as_str().unwrap()).to_owned();
                json!({ "taskDefinition": { "containerDefinitions":
                    [{ "name": "a", "image": format!("r/{name}") }, { "name": "b", "image": "r/sidecar" }] } })
            }
            other => panic!("{other} was not expected"),
        };
        (200, answer)
    }

    fn run(stand_in: &StandIn, revisions: usize) -> Result<Vec<Use>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(of_cluster(stand_in.cluster("app"), keep(revisions)))
    }

    #[test]
    fn services_deployments_tasks_and_the_last_revisions_count() {
        let stand_in = StandIn::start(ecs);
        let uses = run(&stand_in, 2).unwrap();
        let of = |image: &str| -> BTreeSet<String> {
            uses.iter().filter(|u| u.image == image).map(|u| u.user.to_string()).collect()
        };
        let images: BTreeSet<&str> = uses.iter().map(|used| used.image.as_str()).collect();
        assert_eq!(
            images.into_iter().collect::<Vec<_>>(),
            ["r/app:3", "r/app:8", "r/app:9", "r/app:moved", "r/job:1", "r/nightly:1", "r/sidecar"]
        );
        assert_eq!(of("r/app:3"), ["deployment app/s0".to_owned()].into());
        assert_eq!(of("r/app:8"), ["task definition app:8".to_owned()].into());
        assert_eq!(of("r/app:9").len(), 12 + 12 + 1);
        assert_eq!(of("r/app:moved"), ["stopped task app/t1".to_owned()].into());
        let task = uses.iter().find(|used| used.image == "r/app:moved").unwrap();
        assert_eq!(task.digest.as_deref(), Some("sha256:aa"));
        assert_eq!(stand_in.calls("DescribeServices").len(), 2);
    }

    #[test]
    fn what_can_not_be_read_stops_it_and_is_named() {
        for broken in [
            "DescribeClusters",
            "ListServices",
            "DescribeServices",
            "ListTasks",
            "DescribeTasks",
            "ListTaskDefinitions",
            "DescribeTaskDefinition",
        ] {
            let stand_in = StandIn::start(move |operation: &str, request: &Value, n| {
                if operation != broken {
                    return ecs(operation, request, n);
                }
                let error = json!({ "__type": "AccessDeniedException", "message": "not allowed" });
                (400, error)
            });
            let error = run(&stand_in, 2).unwrap_err();
            assert_eq!(crate::exit::exit_of(&error), Exit::Prerequisite, "{broken}");
            let text = error.to_string();
            assert!(
                text.contains(&format!("ecs:{broken}")) && text.contains("[env.test]"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_cluster_that_is_not_there_is_not_one_that_uses_nothing() {
        let stand_in = StandIn::start(|operation: &str, request: &Value, n| match operation {
            "DescribeClusters" => (200, json!({ "clusters": [], "failures": [] })),
            _ => ecs(operation, request, n),
        });
        let error = run(&stand_in, 2).unwrap_err().to_string();
        assert!(error.contains("no ECS cluster `app`"), "{error}");
    }

    #[test]
    fn all_hosts_of_an_account_s_registry_are_one() {
        let ours = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
        for host in [
            ours,
            "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
            "123456789012.dkr-ecr.eu-central-1.on.aws",
            "123456789012.dkr-ecr-fips.us-east-1.on.aws",
        ] {
            let image = format!("{host}/team/app:1@sha256:12");
            assert_eq!(
                canonical(&image, "123456789012", ours),
                format!("{ours}/team/app:1@sha256:12")
            );
        }
        for image in [
            "app",
            "public.ecr.aws/x/app:1",
            "123456789012.example/app",
            "210987654321.dkr.ecr.eu-central-1.amazonaws.com/app",
        ] {
            assert_eq!(canonical(image, "123456789012", ours), image);
        }
        assert_eq!(
            canonical("000000000000.dkr.ecr.x.amazonaws.com/a", "000000000000", "127.0.0.1:4566"),
            "127.0.0.1:4566/a"
        );
    }
}
