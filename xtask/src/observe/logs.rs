//! What the containers of a service logged, from CloudWatch Logs.

use anyhow::Result;
use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde::Serialize;
use serde_json::{Value, json};

use super::ecs::ServiceFacts;
use crate::aws::logs::Place;
use crate::aws::wire::{self, Service};
use crate::aws::{Aws, explain};
use xtask_core::exit::{Exit, Failure};

/// How many events one call answers with at most.
///
/// Source: the CloudWatch Logs API reference, `FilterLogEvents`.
const PAGE: u32 = 10_000;

/// One line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Line {
    /// When it was logged, as RFC 3339.
    pub time: String,
    /// The service.
    pub service: String,
    /// The task's id.
    pub task: String,
    /// The container.
    pub container: String,
    /// What was logged.
    pub message: String,
    /// In milliseconds since 1970: what lines are sorted by.
    #[serde(skip)]
    pub at: i64,
    /// CloudWatch's id of the event: no line is shown twice.
    #[serde(skip)]
    pub id: String,
}

/// The log of one container of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    service: String,
    container: String,
    place: Place,
}

/// The logs that a service's containers write, of one container where it is named.
///
/// # Errors
/// [`Exit::Prerequisite`]: none of them logs to CloudWatch Logs.
pub fn sources(service: &ServiceFacts, container: Option<&str>) -> Result<Vec<Source>> {
    let containers = service.task_definition()["containerDefinitions"].as_array();
    let name = |definition: &Value| definition["name"].as_str().unwrap_or_default().to_owned();
    let all: Vec<&Value> = containers.into_iter().flatten().collect();
    let found: Vec<Source> = all
        .iter()
        .filter(|definition| container.is_none_or(|wanted| name(definition) == wanted))
        .filter_map(|definition| {
            let place = Place::of(definition)?;
            Some(Source { service: service.name.clone(), container: name(definition), place })
        })
        .collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let names: Vec<String> = all.iter().map(|definition| name(definition)).collect();
    let what = container.map_or_else(
        || "no container of it".to_owned(),
        |container| format!("its container `{container}` does not exist or"),
    );
    Err(Failure::new(
        Exit::Prerequisite,
        format!("{} has no log that can be read: {what} logs to CloudWatch Logs", service.name),
    )
    .hint(format!(
        "{} has the containers {}; only the log driver `awslogs` with `awslogs-stream-prefix` can \
         be read",
        service.revision(),
        names.join(", ")
    ))
    .into())
}

/// The lines of a log from `since` on (milliseconds since 1970), of one task where it is named.
///
/// # Errors
/// CloudWatch Logs can not be asked. A log group that does not exist is empty.
pub async fn read(aws: &Aws, source: &Source, since: i64, task: Option<&str>) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let mut next = Value::Null;
    loop {
        let mut body = json!({
            "logGroupName": source.place.group,
            "logStreamNamePrefix": format!("{}{}", source.place.streams, task.unwrap_or_default()),
            "startTime": since,
            "limit": PAGE,
        });
        if !next.is_null() {
            body["nextToken"] = next;
        }
        let config = source.place.config(aws);
        let answer = match wire::json(&config, Service::Logs, "FilterLogEvents", &body).await {
            Ok(answer) => answer,
            Err(error) if wire::code(&error) == Some("ResourceNotFoundException") => break,
            Err(error) => return Err(explain("logs:FilterLogEvents", &error)),
        };
        let events = answer["events"].as_array().into_iter().flatten();
        lines.extend(events.flat_map(|event| of_event(source, event)));
        next = answer["nextToken"].clone();
        if next.is_null() {
            break;
        }
    }
    Ok(lines)
}

fn of_event(source: &Source, event: &Value) -> Vec<Line> {
    let at = event["timestamp"].as_i64().unwrap_or_default();
    let time = DateTime::from_millis(at).fmt(Format::DateTime).unwrap_or_default();
    let stream = event["logStreamName"].as_str().unwrap_or_default();
    let task = stream.strip_prefix(&source.place.streams).unwrap_or(stream);
    let id = event["eventId"].as_str().unwrap_or_default();
    let message = event["message"].as_str().unwrap_or_default();
    let line = |(index, text): (usize, &str)| Line {
        time: time.clone(),
        service: source.service.clone(),
        task: task.to_owned(),
        container: source.container.clone(),
        message: text.to_owned(),
        at,
        id: format!("{task} {id} {index}"),
    };
    message.lines().enumerate().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::stand_in::StandIn;
    use xtask_core::exit::exit_of;

    fn service() -> ServiceFacts {
        let log = json!({ "logDriver": "awslogs",
            "options": { "awslogs-group": "/ecs/app", "awslogs-stream-prefix": "ecs" } });
        let containers = json!([{ "name": "api", "logConfiguration": log }, { "name": "side" }]);
        ServiceFacts {
            name: "app".into(),
            desired: 1,
            running: 1,
            task_definition_arn: "arn:aws:ecs:eu-central-1:1:task-definition/app:7".into(),
            described: json!({ "taskDefinition": { "containerDefinitions": containers } }),
            in_flight: None,
            primary: "d-1".into(),
            settled: true,
            served: None,
        }
    }

    #[tokio::test]
    async fn every_page_is_read_and_a_message_may_have_several_lines() {
        let stand_in = StandIn::start(|operation, request, _| {
            assert_eq!(operation, "FilterLogEvents");
            assert_eq!(request["logStreamNamePrefix"], "ecs/api/t1");
            assert_eq!(request["startTime"], 5);
            let event = |id: &str, message: &str| {
                json!({ "eventId": id, "timestamp": 1_700_000_000_000_i64, "message": message,
                    "logStreamName": "ecs/api/t1" })
            };
            let answer = match request["nextToken"].as_str() {
                None => json!({ "events": [event("1", "one\ntwo")], "nextToken": "n" }),
                Some(_) => json!({ "events": [event("2", "three")] }),
            };
            (200, answer)
        });
        let source = &sources(&service(), None).unwrap()[0];
        let lines = read(&stand_in.aws().await, source, 5, Some("t1")).await.unwrap();
        let said: Vec<_> = lines.iter().map(|line| line.message.as_str()).collect();
        assert_eq!(said, ["one", "two", "three"]);
        assert_eq!((lines[0].task.as_str(), lines[0].container.as_str()), ("t1", "api"));
        assert_eq!(lines[0].time, "2023-11-14T22:13:20Z");
        assert_ne!(lines[0].id, lines[1].id);
    }

    #[tokio::test]
    async fn a_log_group_that_does_not_exist_is_empty() {
        let stand_in = StandIn::start(|_, _, _| {
            (400, json!({ "__type": "ResourceNotFoundException", "message": "no such group" }))
        });
        let source = &sources(&service(), Some("api")).unwrap()[0];
        assert_eq!(read(&stand_in.aws().await, source, 0, None).await.unwrap(), []);
    }

    #[test]
    fn a_container_that_logs_elsewhere_is_told_with_those_that_there_are() {
        let error = sources(&service(), Some("side")).unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert!(xtask_core::exit::hint_of(&error).unwrap().contains("api, side"));
    }
}
