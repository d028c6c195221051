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
    for (group, stream) in containers.into_iter().flatten().filter_map(|c| stream(c, task)) {
        let body = json!({
            "logGroupName": group, "logStreamName": stream, "limit": LINES, "startFromHead": false,
        });
        match wire::json(&aws.config, Service::Logs, "GetLogEvents", &body).await {
            Ok(answer) => {
                let events = answer["events"].as_array().cloned().unwrap_or_default();
                let messages = events.iter().filter_map(|event| event["message"].as_str());
                lines.extend(messages.flat_map(str::lines).map(str::to_owned));
            }
            Err(error) => {
                let gone = error.as_service_error().is_some_and(|error| {
                    use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
                    error.code() == Some("ResourceNotFoundException")
                });
                if !gone {
                    return Err(explain("logs:GetLogEvents", &error));
                }
            }
        }
    }
    let first = lines.len().saturating_sub(LINES);
    Ok(lines.split_off(first))
}

/// The group and stream that the `awslogs` driver writes to: `prefix/container/task`.
///
/// Source: the Amazon ECS developer guide, "Send Amazon ECS logs to CloudWatch".
fn stream(container: &Value, task: &str) -> Option<(String, String)> {
    let log = &container["logConfiguration"];
    if log["logDriver"] != "awslogs" {
        return None;
    }
    let group = log["options"]["awslogs-group"].as_str()?;
    let prefix = log["options"]["awslogs-stream-prefix"].as_str()?;
    let name = container["name"].as_str()?;
    Some((group.to_owned(), format!("{prefix}/{name}/{}", task_id(task))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_named_as_the_driver_names_it() {
        let container = json!({ "name": "api", "logConfiguration": { "logDriver": "awslogs",
            "options": { "awslogs-group": "/ecs/app", "awslogs-stream-prefix": "ecs" } } });
        let task = "arn:aws:ecs:eu-central-1:1:task/cluster/abc";
        let found = stream(&container, task).unwrap();
        assert_eq!(found, ("/ecs/app".to_owned(), "ecs/api/abc".to_owned()));
        assert_eq!(stream(&json!({ "name": "api" }), task), None);
    }
}
