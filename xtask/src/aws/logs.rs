//! The end of a stopped task's log, from CloudWatch Logs.

use anyhow::Result;
use aws_types::SdkConfig;
use aws_types::region::Region;
use serde_json::{Value, json};

use super::wire::{self, Service};
use super::{Aws, explain};
use crate::observe::ecs::describe_task_definition;
use xtask_core::rollout::task_id;

/// How many lines are worth showing.
const LINES: usize = 20;

/// The end of one container's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The container.
    pub container: String,
    /// The last lines, oldest first; or where it logs to, where that can not be read.
    pub lines: Result<Vec<String>, String>,
}

/// The last lines of some containers of a task, or of all when none is named.
///
/// # Errors
/// The log can not be read. A log that does not exist is empty: the container never ran, or
/// its lines are still on their way.
pub async fn tail(
    aws: &Aws,
    task_definition: &str,
    task: &str,
    containers: &[String],
) -> Result<Vec<Tail>> {
    let described = describe_task_definition(aws, task_definition).await?;
    let all = described["taskDefinition"]["containerDefinitions"].as_array();
    let mut tails = Vec::new();
    for definition in all.into_iter().flatten() {
        let container = definition["name"].as_str().unwrap_or_default().to_owned();
        if !containers.is_empty() && !containers.contains(&container) {
            continue;
        }
        let lines = match Place::of(definition) {
            Some(place) => Ok(last_lines(aws, &place, task).await?),
            None => Err(match definition["logConfiguration"]["logDriver"].as_str() {
                Some("awslogs") => "`awslogs` without `awslogs-stream-prefix`".to_owned(),
                Some(driver) => format!("`{driver}`"),
                None => "no log driver".to_owned(),
            }),
        };
        tails.push(Tail { container, lines });
    }
    Ok(tails)
}

async fn last_lines(aws: &Aws, place: &Place, task: &str) -> Result<Vec<String>> {
    let stream = format!("{}{}", place.streams, task_id(task));
    let body = json!({
        "logGroupName": place.group, "logStreamName": stream, "limit": LINES,
        "startFromHead": false,
    });
    let config = place.config(aws);
    let answer = match wire::json(&config, Service::Logs, "GetLogEvents", &body).await {
        Ok(answer) => answer,
        Err(error) if wire::code(&error) == Some("ResourceNotFoundException") => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(explain("logs:GetLogEvents", &error)),
    };
    let events = answer["events"].as_array().into_iter().flatten();
    let messages = events.filter_map(|event| event["message"].as_str());
    let mut lines: Vec<String> = messages.flat_map(str::lines).map(str::to_owned).collect();
    // An event may have several lines.
    Ok(lines.split_off(lines.len().saturating_sub(LINES)))
}

/// Where a container logs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The log group.
    pub group: String,
    /// What the names of its streams begin with; the task's id follows.
    pub streams: String,
    /// The region, where the container's log driver names one.
    pub region: Option<String>,
}

impl Place {
    /// Where the `awslogs` driver writes to: `prefix/container/task`. `None` for a container
    /// that logs elsewhere, or without a prefix, where nothing tells its streams.
    ///
    /// Source: the Amazon ECS developer guide, "Send Amazon ECS logs to CloudWatch".
    pub fn of(container: &Value) -> Option<Self> {
        let log = &container["logConfiguration"];
        if log["logDriver"] != "awslogs" {
            return None;
        }
        let group = log["options"]["awslogs-group"].as_str()?.to_owned();
        let prefix = log["options"]["awslogs-stream-prefix"].as_str()?;
        let name = container["name"].as_str()?;
        let region = log["options"]["awslogs-region"].as_str().map(str::to_owned);
        Some(Self { group, streams: format!("{prefix}/{name}/"), region })
    }

    /// What calls are made with: a container may log to another region than it runs in.
    pub fn config(&self, aws: &Aws) -> SdkConfig {
        match &self.region {
            Some(region) => aws.config.to_builder().region(Region::new(region.clone())).build(),
            None => aws.config.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::stand_in::StandIn;

    #[test]
    fn the_stream_is_named_as_the_driver_names_it() {
        let container = json!({ "name": "api", "logConfiguration": { "logDriver": "awslogs",
            "options": { "awslogs-group": "/ecs/app", "awslogs-stream-prefix": "ecs" } } });
        let place = Place::of(&container).unwrap();
        assert_eq!((place.group.as_str(), place.streams.as_str()), ("/ecs/app", "ecs/api/"));
        assert_eq!(Place::of(&json!({ "name": "api" })), None);
    }

    #[tokio::test]
    async fn each_container_has_a_log_of_its_own() {
        let stand_in = StandIn::start(|operation: &str, request: &Value, _| {
            let log = |group: &str| {
                json!({ "logDriver": "awslogs", "options": {
                "awslogs-group": group, "awslogs-stream-prefix": "ecs" } })
            };
            match (operation, request["logStreamName"].as_str()) {
                ("DescribeTaskDefinition", _) => (
                    200,
                    json!({ "taskDefinition": { "containerDefinitions": [
                        { "name": "api", "logConfiguration": log("/ecs/api") },
                        { "name": "proxy", "logConfiguration": log("/ecs/proxy") },
                        { "name": "router", "logConfiguration": { "logDriver": "awsfirelens" } },
                    ] } }),
                ),
                (_, Some("ecs/api/abc")) => {
                    assert_eq!(request["logGroupName"], "/ecs/api");
                    let message = (0..30).map(|n| n.to_string()).collect::<Vec<_>>().join("\n");
                    (200, json!({ "events": [{ "message": message }] }))
                }
                _ => (400, json!({ "__type": "ResourceNotFoundException", "message": "none" })),
            }
        });
        let aws = stand_in.aws().await;
        let task = "arn:aws:ecs:eu-central-1:1:task/cluster/abc";
        let tails = tail(&aws, "app:7", task, &[]).await.unwrap();
        let lines: Vec<_> = (10..30).map(|number| number.to_string()).collect();
        let of = |container: &str, lines| Tail { container: container.into(), lines };
        let router = of("router", Err("`awsfirelens`".into()));
        assert_eq!(tails, [of("api", Ok(lines.clone())), of("proxy", Ok(Vec::new())), router]);
        let tails = tail(&aws, "app:7", task, &["api".into()]).await.unwrap();
        assert_eq!(tails, [of("api", Ok(lines))]);
    }

    #[tokio::test]
    async fn a_container_may_log_to_another_region() {
        let container = json!({ "name": "api", "logConfiguration": { "logDriver": "awslogs",
            "options": { "awslogs-group": "g", "awslogs-stream-prefix": "p",
                "awslogs-region": "us-east-1" } } });
        let stand_in = StandIn::start(|_, _, _| (200, json!({})));
        let aws = stand_in.aws().await;
        let config = Place::of(&container).unwrap().config(&aws);
        assert_eq!(config.region().map(Region::as_ref), Some("us-east-1"));
        assert!(config.credentials_provider().is_some());
    }
}
