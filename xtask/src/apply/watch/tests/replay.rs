//! Plays what ECS answered, look by look, through real HTTP.
//!
//! A story is what each look at a service sees. The texts in the stories are those of ECS.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};

use crate::apply::ecs::Updated;
use crate::apply::watch::{Outcome, Tempo, watch};
use crate::aws::stand_in::StandIn;
use crate::ui::Ui;
use xtask_core::rollout::Target;

/// Our deployment and the one before it.
pub(super) const OURS: &str = "ecs-svc/8392534737912615571";
pub(super) const OLD: &str = "ecs-svc/3348108895209946212";
/// What comes after ours: a rollback, or somebody else.
pub(super) const NEXT: &str = "ecs-svc/1675294001379389663";

/// When our deployment was created, in seconds since 1970.
pub(super) const START: f64 = 1_750_000_000.0;

/// A tempo for tests.
pub(super) const FAST: Tempo = Tempo {
    soon: Duration::from_millis(1),
    later: Duration::from_millis(4),
    longest: Duration::from_millis(20),
};

/// What is to be replaced in some JSON.
pub(super) trait With {
    fn with(self, changes: Value) -> Self;
}

impl With for Value {
    fn with(mut self, changes: Value) -> Self {
        for (key, value) in changes.as_object().unwrap() {
            self[key] = value.clone();
        }
        self
    }
}

pub(super) fn revision(number: u32) -> String {
    format!("arn:aws:ecs:eu-central-1:111122223333:task-definition/api:{number}")
}

/// A deployment of one task, as it begins.
pub(super) fn deployment(id: &str, number: u32) -> Value {
    json!({
        "id": id, "status": "PRIMARY", "taskDefinition": revision(number), "desiredCount": 1,
        "pendingCount": 0, "runningCount": 0, "failedTasks": 0, "createdAt": START,
        "launchType": "FARGATE", "platformVersion": "1.4.0", "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": format!("ECS deployment {id} in progress."),
    })
}

/// A deployment whose task runs.
pub(super) fn completed(id: &str, number: u32) -> Value {
    deployment(id, number).with(json!({ "runningCount": 1, "rolloutState": "COMPLETED",
        "rolloutStateReason": format!("ECS deployment {id} completed.") }))
}

/// The deployment before ours, whose task still serves.
pub(super) fn old() -> Value {
    completed(OLD, 7).with(json!({ "status": "ACTIVE", "createdAt": START - 86_400.0 }))
}

/// Our deployment after the circuit breaker tripped.
pub(super) fn tripped(number: u32) -> Value {
    deployment(OURS, number).with(json!({ "status": "ACTIVE", "desiredCount": 0,
        "failedTasks": 3, "rolloutState": "FAILED",
        "rolloutStateReason": "ECS deployment circuit breaker: tasks failed to start." }))
}

/// The deployment with which ECS goes back.
pub(super) fn going_back(number: u32) -> Value {
    let reason = format!("ECS deployment circuit breaker: rolling back to deploymentId {OLD}.");
    deployment(NEXT, number)
        .with(json!({ "rolloutStateReason": reason, "createdAt": START + 60.0 }))
}

/// A task of a deployment that runs.
pub(super) fn task(id: &str, deployment: &str, number: u32) -> Value {
    json!({
        "taskArn": format!("arn:aws:ecs:eu-central-1:111122223333:task/app/{id}"),
        "taskDefinitionArn": revision(number), "startedBy": deployment, "group": "service:api",
        "lastStatus": "RUNNING", "desiredStatus": "RUNNING", "healthStatus": "UNKNOWN",
        "createdAt": START + 1.0, "pullStartedAt": START + 11.0, "pullStoppedAt": START + 15.0,
        "startedAt": START + 17.0,
        "containers": [{ "name": "api", "lastStatus": "RUNNING", "healthStatus": "UNKNOWN",
            "imageDigest": "sha256:8" }],
    })
}

/// A task that has stopped.
pub(super) fn stopped(task: Value, code: &str, reason: &str, container: Value) -> Value {
    task.with(json!({
        "lastStatus": "STOPPED", "desiredStatus": "STOPPED", "stopCode": code,
        "stoppedReason": reason, "stoppingAt": START + 20.0, "stoppedAt": START + 40.0,
        "containers": [json!({ "name": "api", "lastStatus": "STOPPED" }).with(container)],
    }))
}

/// What one look sees.
#[derive(Clone)]
pub(super) struct Look {
    deployments: Vec<Value>,
    tasks: Vec<Value>,
    events: Vec<Value>,
    status: &'static str,
    service_deployment: Option<Value>,
}

/// A look at a service with these deployments and tasks.
pub(super) fn look<const D: usize, const T: usize>(
    deployments: [Value; D],
    tasks: [Value; T],
) -> Look {
    let (deployments, tasks) = (deployments.into(), tasks.into());
    Look { deployments, tasks, events: Vec::new(), status: "ACTIVE", service_deployment: None }
}

impl Look {
    /// With these service events, the newest first, as ECS lists them.
    pub(super) fn saying<const N: usize>(mut self, texts: [&str; N]) -> Self {
        let event = |(age, text): (usize, &&str)| {
            // The id is that of the text: an event is listed again in each look.
            let at = START + 100.0 - f64::from(u32::try_from(age).unwrap());
            json!({ "id": text, "createdAt": at, "message": text })
        };
        self.events = texts.iter().enumerate().map(event).collect();
        self
    }

    /// Where `DescribeServiceDeployments` may be asked, and says this.
    pub(super) fn service_deployment(mut self, found: Value) -> Self {
        self.service_deployment = Some(found);
        self
    }

    /// So many times.
    pub(super) fn times(self, count: usize) -> Vec<Self> {
        vec![self; count]
    }
}

/// Stories by service, and how far each question about them has come.
pub(super) struct Replay {
    stories: BTreeMap<&'static str, Vec<Look>>,
    asked: Mutex<BTreeMap<String, usize>>,
}

impl Replay {
    pub(super) fn new<const N: usize>(stories: [(&'static str, Vec<Look>); N]) -> Self {
        Self { stories: stories.into(), asked: Mutex::default() }
    }

    /// The look that a question belongs to: each look asks each question once. The last one stays.
    fn next(&self, question: &str, service: &str) -> &Look {
        let mut asked = self.asked.lock().unwrap();
        let number = asked.entry(format!("{question} {service}")).or_default();
        *number += 1;
        self.of(service, *number)
    }

    /// The look that the next question of this kind will belong to.
    fn coming(&self, question: &str, service: &str) -> &Look {
        let asked = self.asked.lock().unwrap();
        self.of(service, asked.get(&format!("{question} {service}")).copied().unwrap_or(0) + 1)
    }

    /// The look that the last question of this kind belonged to.
    fn last(&self, question: &str, service: &str) -> &Look {
        let asked = self.asked.lock().unwrap();
        self.of(service, asked.get(&format!("{question} {service}")).copied().unwrap_or(1))
    }

    fn of(&self, service: &str, number: usize) -> &Look {
        let story = &self.stories[service];
        &story[number.min(story.len()) - 1]
    }

    pub(super) fn answer(&self, operation: &str, request: &Value) -> (u16, Value) {
        let denied = || (400, json!({ "__type": "AccessDeniedException", "message": operation }));
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        let answer = match operation {
            "DescribeServices" => {
                let name = request["services"][0].as_str().unwrap();
                let look = self.next("service", name);
                let count = |key: &str| -> u64 {
                    look.deployments.iter().map(|of| of[key].as_u64().unwrap()).sum()
                };
                json!({ "failures": [], "services": [{ "serviceName": name,
                    "status": look.status, "desiredCount": 1,
                    "runningCount": count("runningCount"), "pendingCount": count("pendingCount"),
                    "deployments": look.deployments, "events": look.events }] })
            }
            "ListTasks" => {
                let (status, name) = (text("desiredStatus"), text("serviceName"));
                let tasks = self.next(status, name).tasks.iter();
                let found = tasks.filter(|task| task["desiredStatus"] == status);
                json!({ "taskArns": found.map(|task| &task["taskArn"]).collect::<Vec<_>>() })
            }
            "DescribeTasks" => {
                let wanted = request["tasks"].as_array().unwrap();
                let looks = self.stories.keys().map(|name| self.last("RUNNING", name));
                let tasks: Vec<_> = looks
                    .flat_map(|look| &look.tasks)
                    .filter(|task| wanted.contains(&task["taskArn"]))
                    .collect();
                json!({ "tasks": tasks, "failures": [] })
            }
            "ListServiceDeployments" => {
                // Whoever knows its ARN does not ask for the list.
                if self.coming("service deployment", text("service")).service_deployment.is_none() {
                    self.next("service deployment", text("service"));
                    return denied();
                }
                json!({ "serviceDeployments": [{ "serviceDeploymentArn": text("service"),
                    "createdAt": START + 0.3 }] })
            }
            "DescribeServiceDeployments" => {
                let name = request["serviceDeploymentArns"][0].as_str().unwrap();
                let found = self.next("service deployment", name).service_deployment.clone();
                json!({ "serviceDeployments": [found.unwrap().with(json!({
                    "serviceDeploymentArn": name, "createdAt": START + 0.3 }))] })
            }
            "DescribeTaskDefinition" => {
                let log = json!({ "logDriver": "awslogs", "options": {
                    "awslogs-group": "/ecs/api", "awslogs-stream-prefix": "ecs" } });
                json!({ "taskDefinition": { "containerDefinitions": [
                    { "name": "api", "logConfiguration": log }] } })
            }
            "GetLogEvents" => {
                let said = format!("last words in {}", text("logStreamName"));
                json!({ "events": [{ "message": said }] })
            }
            _ => return denied(),
        };
        (200, answer)
    }
}

/// What came of a watch.
pub(super) struct Watched {
    pub(super) outcomes: BTreeMap<String, Outcome>,
    pub(super) said: Vec<String>,
    pub(super) stand_in: StandIn,
}

impl Watched {
    /// The verdict on the service `api`, in words, with its exit code.
    pub(super) fn verdict(&self) -> (u8, String) {
        let verdict = &self.outcomes["api"].verdict;
        (verdict.exit().code(), verdict.to_string())
    }

    /// How often something was said.
    pub(super) fn times(&self, text: &str) -> usize {
        self.said.iter().filter(|line| line.contains(text)).count()
    }

    /// Asserts that something was said exactly once.
    #[track_caller]
    pub(super) fn once(&self, text: &str) -> &Self {
        assert_eq!(self.times(text), 1, "{text}\n--- said\n{}", self.said.join("\n"));
        self
    }

    /// Asserts that nothing like it was said.
    #[track_caller]
    pub(super) fn never(&self, text: &str) -> &Self {
        assert_eq!(self.times(text), 0, "{text}\n--- said\n{}", self.said.join("\n"));
        self
    }
}

/// A deploy of revision 8 over revision 7.
pub(super) fn target(service: &str) -> Target {
    Target {
        service: service.into(),
        deployment_id: OURS.into(),
        task_definition: revision(8),
        previous_task_definition: Some(revision(7)),
        served_task_definition: Some(revision(7)),
        desired: 1,
        started_at: 1_750_000_000_000,
    }
}

/// Watches what a stand-in answers.
pub(super) async fn watch_answers(
    targets: Vec<Target>,
    deadline: Duration,
    answer: impl Fn(&str, &Value, usize) -> (u16, Value) + Send + Sync + 'static,
) -> Watched {
    let stand_in = StandIn::start(answer);
    let updated: Vec<_> = targets
        .into_iter()
        .map(|target| Updated {
            service: target.service.clone(),
            image: None,
            previous: revision(7),
            served: Some(revision(7)),
            task_definition: target.task_definition.clone(),
            differences: Vec::new(),
            target: Some(target),
            back: false,
        })
        .collect();
    let (ui, session) = (Ui::silent(), stand_in.session().await);
    let outcomes = watch(&ui, &session, "app", &updated, FAST, deadline).await.unwrap();
    Watched { outcomes, said: ui.heard(), stand_in }
}

/// Watches a story of the service `api` to its end.
pub(super) async fn play(target: Target, story: Vec<Look>) -> Watched {
    let replay = Replay::new([("api", story)]);
    watch_answers(vec![target], Duration::from_secs(20), move |operation, request, _| {
        replay.answer(operation, request)
    })
    .await
}
