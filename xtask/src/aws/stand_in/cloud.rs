//! An ECS that does at once what an image's name says: `bad` fails, `worse` fails and ECS goes
//! back by itself, `slow` never gets ready, every other one runs.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::server::{ACCOUNT, Parameters};

/// The cloud: services on task definitions, each of them an image.
#[derive(Clone)]
pub struct Cloud {
    state: Arc<Mutex<State>>,
    /// The deploy locks.
    pub parameters: Parameters,
}

#[derive(Default)]
struct State {
    /// By number, from 1.
    images: Vec<String>,
    services: BTreeMap<String, Vec<Deployment>>,
    deployments: usize,
}

#[derive(Clone)]
struct Deployment {
    id: String,
    number: usize,
    status: &'static str,
    rollout: &'static str,
}

fn arn(number: usize) -> String {
    format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:task-definition/app:{number}")
}

fn number(arn: &Value) -> usize {
    arn.as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap()
}

/// Seconds since 1970, as the JSON protocol sends them.
fn now() -> f64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64()
}

impl State {
    fn deploy(&mut self, service: &str, number: usize) {
        self.deployments += 1;
        let image = &self.images[number - 1];
        let (status, rollout) = match () {
            () if image.contains("worse") => ("ACTIVE", "FAILED"),
            () if image.contains("bad") => ("PRIMARY", "FAILED"),
            () if image.contains("slow") => ("PRIMARY", "IN_PROGRESS"),
            () => ("PRIMARY", "COMPLETED"),
        };
        let id = format!("ecs-svc/{}", self.deployments);
        let ours = Deployment { id, number, status, rollout };
        let before = self.services.entry(service.to_owned()).or_default();
        let last = before.iter().rfind(|deployment| deployment.rollout == "COMPLETED").cloned();
        let last = last.map(|last| Deployment {
            status: if status == "PRIMARY" { "ACTIVE" } else { "PRIMARY" },
            ..last
        });
        let last = last.filter(|_| rollout != "COMPLETED");
        *before = std::iter::once(ours).chain(last).collect();
    }

    fn service(&self, name: &str) -> Value {
        let deployments: Vec<_> = self.services[name]
            .iter()
            .map(|of| {
                let runs = u32::from(of.rollout == "COMPLETED");
                json!({ "id": of.id, "status": of.status, "rolloutState": of.rollout,
                    "rolloutStateReason": "said so", "createdAt": now(), "desiredCount": runs,
                    "runningCount": runs, "taskDefinition": arn(of.number) })
            })
            .collect();
        let primary = self.services[name].iter().find(|of| of.status == "PRIMARY").unwrap();
        json!({ "serviceName": name, "status": "ACTIVE", "desiredCount": 1, "runningCount": 1,
            "taskDefinition": arn(primary.number), "deployments": deployments, "events": [] })
    }

    fn answer(&mut self, operation: &str, request: &Value) -> (u16, Value) {
        let service = request["service"].as_str().or(request["serviceName"].as_str());
        let service = service.unwrap_or_default();
        let answer = match operation {
            "DescribeServices" => {
                let names = request["services"].as_array().unwrap().iter();
                let found: Vec<_> =
                    names.map(|name| self.service(name.as_str().unwrap())).collect();
                json!({ "services": found, "failures": [] })
            }
            "DescribeTaskDefinition" => {
                let number = number(&request["taskDefinition"]);
                let image = &self.images[number - 1];
                json!({ "taskDefinition": { "family": "app", "taskDefinitionArn": arn(number),
                    "containerDefinitions": [{ "name": "app", "image": image }] } })
            }
            "RegisterTaskDefinition" => {
                let image = request["containerDefinitions"][0]["image"].as_str().unwrap();
                self.images.push(image.to_owned());
                json!({ "taskDefinition": { "taskDefinitionArn": arn(self.images.len()) } })
            }
            "UpdateService" => {
                self.deploy(service, number(&request["taskDefinition"]));
                // A deployment that fails at once is not what UpdateService answers with.
                let mut answer = self.service(service);
                let ours = self.services[service][0].clone();
                answer["deployments"] = json!([{ "id": ours.id, "status": "PRIMARY",
                    "rolloutState": "IN_PROGRESS", "createdAt": now(),
                    "taskDefinition": arn(ours.number) }]);
                json!({ "service": answer })
            }
            "ListTasks" if request["desiredStatus"] == "RUNNING" => {
                let running = self.services[service].iter().filter(|of| of.rollout == "COMPLETED");
                let arns: Vec<_> = running
                    .map(|of| {
                        format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:task/app/{}", &of.id[8..])
                    })
                    .collect();
                json!({ "taskArns": arns })
            }
            "ListTasks" => json!({ "taskArns": [] }),
            "DescribeTasks" => {
                let task = |wanted: &Value| {
                    let id = wanted.as_str().unwrap().rsplit('/').next().unwrap();
                    let mut all = self.services.values().flatten();
                    let of = all.find(|of| of.id == format!("ecs-svc/{id}")).unwrap();
                    let digest = self.images[of.number - 1].split_once('@').map(|(_, d)| d);
                    json!({ "taskArn": wanted, "taskDefinitionArn": arn(of.number),
                        "startedBy": of.id, "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
                        "containers": [{ "name": "app", "imageDigest": digest }] })
                };
                let tasks: Vec<_> = request["tasks"].as_array().unwrap().iter().map(task).collect();
                json!({ "tasks": tasks })
            }
            "DescribeRepositories" => {
                json!({ "repositories": [{ "repositoryName": "app", "imageTagMutability": "MUTABLE" }] })
            }
            "BatchGetImage" => {
                let id = &request["imageIds"][0];
                json!({ "images": [{ "imageId": id, "imageManifest": "{}" }], "failures": [] })
            }
            other => {
                let denied = json!({ "__type": "AccessDeniedException", "message": other });
                return (400, denied);
            }
        };
        (200, answer)
    }
}

impl Cloud {
    /// Services `api` and `web`, both on `app@sha256:1`.
    pub fn new() -> Self {
        let mut state = State { images: vec!["r.example/app@sha256:1".into()], ..State::default() };
        state.deploy("api", 1);
        state.deploy("web", 1);
        Self { state: Arc::new(Mutex::new(state)), parameters: Parameters::default() }
    }

    /// Answers an operation.
    pub fn answer(&self, operation: &str, request: &Value) -> (u16, Value) {
        let parameter = self.parameters.answer(operation, request);
        parameter.unwrap_or_else(|| self.state.lock().unwrap().answer(operation, request))
    }

    /// Somebody else deploys.
    pub fn deploy(&self, service: &str, image: &str) {
        let mut state = self.state.lock().unwrap();
        state.images.push(image.to_owned());
        let number = state.images.len();
        state.deploy(service, number);
    }

    /// The image that a service runs.
    pub fn runs(&self, service: &str) -> String {
        let state = self.state.lock().unwrap();
        let running = state.services[service].iter().find(|of| of.rollout == "COMPLETED");
        state.images[running.unwrap().number - 1].clone()
    }
}
