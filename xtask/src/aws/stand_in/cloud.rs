//! An ECS that does at once what an image's name says: `bad` fails, `worse` fails and ECS goes
//! back by itself, `slow` never gets ready, every other one runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::server::{ACCOUNT, Parameters};

/// The container that is deployed.
const CONTAINER: &str = "app";

/// What ECS adds to a task definition and takes from nobody: by its API reference, and not by the
/// list of what is to be tested.
pub const READ_ONLY: [&str; 9] = [
    "taskDefinitionArn",
    "revision",
    "status",
    "requiresAttributes",
    "compatibilities",
    "registeredAt",
    "registeredBy",
    "deregisteredAt",
    "deleteRequestedAt",
];

/// The cloud: services on task definitions.
#[derive(Clone)]
pub struct Cloud {
    state: Arc<Mutex<State>>,
    /// The deploy locks.
    pub parameters: Parameters,
}

#[derive(Default)]
struct State {
    /// By number, from 1: what was registered, as it was sent.
    revisions: Vec<Value>,
    /// Digests of images that were deleted.
    gone: BTreeSet<String>,
    services: BTreeMap<String, Vec<Deployment>>,
    deployments: usize,
}

#[derive(Clone)]
struct Deployment {
    id: String,
    number: usize,
    status: &'static str,
    rollout: &'static str,
    /// In seconds since 1970.
    created: f64,
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

/// What a revision with nothing but an image is registered with.
fn plain(image: &str) -> Value {
    json!({ "family": "app", "containerDefinitions": [{ "name": CONTAINER, "image": image }] })
}

fn error(code: &str, message: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": message }))
}

impl State {
    fn image(&self, number: usize) -> &str {
        let containers = self.revisions[number - 1]["containerDefinitions"].as_array().unwrap();
        let container = containers.iter().find(|of| of["name"] == CONTAINER).unwrap();
        container["image"].as_str().unwrap()
    }

    /// A revision as ECS describes it: as it was registered, and what ECS knows besides.
    fn described(&self, number: usize) -> Value {
        let mut definition = self.revisions[number - 1].clone();
        let members = definition.as_object_mut().unwrap();
        let tags = members.shift_remove("tags").unwrap_or_else(|| json!([]));
        let added = json!({
            "taskDefinitionArn": arn(number), "revision": number, "status": "ACTIVE",
            "requiresAttributes": [{ "name": "com.amazonaws.ecs.capability.docker-remote-api.1.18" }],
            "compatibilities": ["EC2", "FARGATE"], "registeredAt": 1_750_000_000.123,
            "registeredBy": format!("arn:aws:iam::{ACCOUNT}:user/somebody"),
        });
        members.extend(added.as_object().unwrap().clone());
        json!({ "taskDefinition": definition, "tags": tags })
    }

    fn register(&mut self, request: &Value) -> (u16, Value) {
        if let Some(member) = READ_ONLY.iter().find(|member| request.get(member).is_some()) {
            return error("ClientException", &format!("{member} is no parameter"));
        }
        self.revisions.push(request.clone());
        (200, self.described(self.revisions.len()))
    }

    fn deploy(&mut self, service: &str, number: usize) {
        self.deployments += 1;
        let image = self.image(number);
        let (status, rollout) = match () {
            () if image.contains("worse") => ("ACTIVE", "FAILED"),
            () if image.contains("bad") => ("PRIMARY", "FAILED"),
            () if image.contains("slow") => ("PRIMARY", "IN_PROGRESS"),
            () => ("PRIMARY", "COMPLETED"),
        };
        let id = format!("ecs-svc/{}", self.deployments);
        let ours = Deployment { id, number, status, rollout, created: now() };
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
                    "rolloutStateReason": "said so", "createdAt": of.created, "desiredCount": runs,
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
                if number > self.revisions.len() {
                    return error("ClientException", "Unable to describe task definition.");
                }
                let mut answer = self.described(number);
                let include = request["include"].as_array();
                if !include.is_some_and(|include| include.contains(&json!("TAGS"))) {
                    answer.as_object_mut().unwrap().shift_remove("tags");
                }
                answer
            }
            "RegisterTaskDefinition" => return self.register(request),
            "ListTaskDefinitions" => {
                json!({ "taskDefinitionArns": (1..=self.revisions.len()).rev().map(arn).collect::<Vec<_>>() })
            }
            "UpdateService" => {
                let wanted = number(&request["taskDefinition"]);
                let primary = self.services[service].iter().find(|of| of.status == "PRIMARY");
                // ECS begins no deployment where nothing changes.
                if request["forceNewDeployment"] != true
                    && primary.is_some_and(|primary| primary.number == wanted)
                {
                    return (200, json!({ "service": self.service(service) }));
                }
                self.deploy(service, wanted);
                // A deployment that fails at once is not what UpdateService answers with.
                let mut answer = self.service(service);
                let ours = self.services[service][0].clone();
                answer["deployments"] = json!([{ "id": ours.id, "status": "PRIMARY",
                    "rolloutState": "IN_PROGRESS", "createdAt": ours.created,
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
                    let digest = self.image(of.number).split_once('@').map(|(_, d)| d);
                    json!({ "taskArn": wanted, "taskDefinitionArn": arn(of.number),
                        "startedBy": of.id, "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
                        "createdAt": of.created, "pullStartedAt": of.created + 2.0,
                        "pullStoppedAt": of.created + 5.0, "startedAt": of.created + 6.0,
                        "containers": [{ "name": CONTAINER, "imageDigest": digest }] })
                };
                let tasks: Vec<_> = request["tasks"].as_array().unwrap().iter().map(task).collect();
                json!({ "tasks": tasks })
            }
            "DescribeRepositories" => {
                json!({ "repositories": [{ "repositoryName": "app", "imageTagMutability": "MUTABLE" }] })
            }
            "BatchGetImage" => {
                let ids = request["imageIds"].as_array().unwrap().iter();
                let there = ids.filter(|id| {
                    !id["imageDigest"].as_str().is_some_and(|digest| self.gone.contains(digest))
                });
                let image = |id| json!({ "imageId": id, "imageManifest": "{}" });
                json!({ "images": there.map(image).collect::<Vec<_>>(), "failures": [] })
            }
            "DescribeImages" => return error("ImageNotFoundException", "no such image"),
            // `AWS:token`.
            "GetAuthorizationToken" => {
                json!({ "authorizationData": [{ "authorizationToken": "QVdTOnRva2Vu" }] })
            }
            "PutImage" => json!({ "image": { "imageId": request["imageTag"] } }),
            other => return error("AccessDeniedException", other),
        };
        (200, answer)
    }
}

impl Cloud {
    /// Services `api` and `web`, both on `app@sha256:1`.
    pub fn new() -> Self {
        Self::on(plain("r.example/app@sha256:1"))
    }

    /// Services `api` and `web`, both on a revision that this registered.
    pub fn on(registered: Value) -> Self {
        let mut state = State { revisions: vec![registered], ..State::default() };
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
        state.revisions.push(plain(image));
        let number = state.revisions.len();
        state.deploy(service, number);
    }

    /// Somebody deploys who copies what runs, with its tags.
    pub fn deploy_copy(&self, service: &str, image: &str) {
        let mut copy = {
            let state = self.state.lock().unwrap();
            state.revisions[state.services[service][0].number - 1].clone()
        };
        copy["containerDefinitions"][0]["image"] = image.into();
        let mut state = self.state.lock().unwrap();
        state.revisions.push(copy);
        let number = state.revisions.len();
        state.deploy(service, number);
    }

    /// Somebody deletes an image.
    pub fn delete_image(&self, digest: &str) {
        self.state.lock().unwrap().gone.insert(digest.into());
    }

    /// A revision as ECS describes it, with its tags.
    pub fn described(&self, number: usize) -> Value {
        self.state.lock().unwrap().described(number)
    }

    /// The number of the revision that a service runs.
    pub fn revision(&self, service: &str) -> usize {
        let state = self.state.lock().unwrap();
        let running = state.services[service].iter().find(|of| of.rollout == "COMPLETED");
        running.unwrap().number
    }

    /// The image that a service runs.
    pub fn runs(&self, service: &str) -> String {
        let number = self.revision(service);
        self.state.lock().unwrap().image(number).to_owned()
    }
}
