//! The end of a stopped task's log, from CloudWatch Logs.

use anyhow::Result;
use serde_json::{Value, json};

use super::wire::{self, Service};
use super::{Aws, explain};
use crate::observe::ecs::describe_task_definition;
use crate::rollout::task_id;

/// How many lines are worth showing.
const LINES: usize = 20;

/// The last lines of every container of a task that logs to CloudWatch Logs, oldest first.
///
/// # Errors
/// The log can not be read. A log that does not exist is empty: the task never ran.
pub async fn tail(aws: &Aws, task_definition: &str, task: &str) -> Result<Vec<String>> {
    let described = describe_task_definition(aws, task_definition).await?;
    let containers = described["taskDefinition"]["containerDefinitions"].as_array();
    let mut lines = Vec::new();
    for place in containers.into_iter().flatten().filter_map(Place::of) {
        let stream = format!("{}{}", place.streams, task_id(task));
        let body = json!({
            "logGroupName": place.group, "logStreamName": stream, "limit": LINES,
            "startFromHead": false,
        });
        match wire::json(&aws.config, Service::Logs, "GetLogEvents", &body).await {
            Ok(answer) => {
                let events = answer["events"].as_array().cloned().unwrap_or_default();
                let messages = events.iter().filter_map(|event| event["message"].as_str());
                lines.extend(messages.flat_map(str::lines).map(str::to_owned));
            }
            Err(error) if wire::code(&error) == Some("ResourceNotFoundException") => {}
            Err(error) => return Err(explain("logs:GetLogEvents", &error)),
        }
    }
    let first = lines.len().saturating_sub(LINES);
    Ok(lines.split_off(first))
}

/// Where a container logs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The log group.
    pub group: String,
    /// What the names of its streams begin with; the task's id follows.
    pub streams: String,
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
        Some(Self { group, streams: format!("{prefix}/{name}/") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_named_as_the_driver_names_it() {
        let container = json!({ "name": "api", "logConfiguration": { "logDriver": "awslogs",
            "options": { "awslogs-group": "/ecs/app", "awslogs-stream-prefix": "ecs" } } });
        let place = Place::of(&container).unwrap();
        assert_eq!((place.group.as_str(), place.streams.as_str()), ("/ecs/app", "ecs/api/"));
        assert_eq!(Place::of(&json!({ "name": "api" })), None);
    }
}
