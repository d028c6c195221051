//! A stand-in for AWS with something to prune.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::stand_in::server::{ACCOUNT, Asked, Server};
use crate::support::Project;

const PREVIOUS: &str = "xtask:previous";

pub fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:{kind}/{name}")
}

pub fn digest(number: usize) -> String {
    format!("sha256:{number:064x}")
}

/// The service `api` on `app:6`, which came after `app:4`, of `app:1` to `app:6`; and a repository
/// with the untagged images 1 to 3.
pub struct Aws {
    pub server: Server,
    active: Arc<Mutex<BTreeSet<u64>>>,
}

pub type Twist = dyn Fn(&Asked) -> Option<(u16, Value)> + Send + Sync;

impl Aws {
    pub fn new(twist: Box<Twist>) -> Self {
        let active = Arc::new(Mutex::new((1..=6).collect::<BTreeSet<u64>>()));
        let state = Arc::clone(&active);
        let server = Server::start(move |asked| {
            twist(asked).unwrap_or_else(|| (200, answer(&mut state.lock().unwrap(), asked)))
        });
        Self { server, active }
    }

    pub fn project(&self, prune: &str) -> Project {
        let url = self.server.url();
        Project::new(&format!(
            r#"
[image]
name = "app"
[prune]
{prune}
[env.test]
account = "{ACCOUNT}"
region = "eu-central-1"
endpoint-url = "{url}"
made-up-credentials = true
registry = "r.example"
repository = "app"
cluster = "app"
services = ["api"]
container = "app"
"#
        ))
    }

    pub fn active(&self) -> Vec<u64> {
        self.active.lock().unwrap().iter().copied().collect()
    }
}

pub fn plain() -> Box<Twist> {
    Box::new(|_| None)
}

pub fn denied() -> (u16, Value) {
    (400, json!({ "__type": "AccessDeniedException", "message": "not allowed" }))
}

pub fn service(on: &str) -> Value {
    let on = arn("task-definition", on);
    json!({ "serviceName": "api", "status": "ACTIVE", "desiredCount": 1, "runningCount": 1,
        "taskDefinition": on, "deployments": [{ "id": "d", "status": "PRIMARY",
        "rolloutState": "COMPLETED", "taskDefinition": on }] })
}

fn answer(active: &mut BTreeSet<u64>, asked: &Asked) -> Value {
    let request = &asked.request;
    let number = || {
        let name = request["taskDefinition"].as_str().unwrap();
        name.rsplit(':').next().unwrap().parse::<u64>().unwrap()
    };
    match asked.operation.as_str() {
        "ListClusters" => json!({ "clusterArns": [arn("cluster", "app")] }),
        "DescribeClusters" => json!({ "clusters": [{ "status": "ACTIVE" }] }),
        "ListServices" => json!({ "serviceArns": [arn("service", "app/api")] }),
        "DescribeServices" => json!({ "services": [service("app:6")] }),
        "ListTasks" => json!({ "taskArns": [] }),
        "ListTaskDefinitions" => {
            let name = |n: &u64| arn("task-definition", &format!("app:{n}"));
            json!({ "taskDefinitionArns": active.iter().rev().map(name).collect::<Vec<_>>() })
        }
        "DescribeTaskDefinition" => {
            let number = number();
            let name = arn("task-definition", &format!("app:{number}"));
            let previous = if number == 6 { "app:4" } else { "" };
            json!({ "taskDefinition": { "taskDefinitionArn": name, "containerDefinitions":
                [{ "name": "app", "image": "r.example/app:none" }] },
                "tags": [{ "key": PREVIOUS, "value": previous }] })
        }
        "ListServiceDeployments" => json!({ "serviceDeployments": [] }),
        "DeregisterTaskDefinition" => {
            assert!(active.remove(&number()), "{request} is active");
            json!({ "taskDefinition": {} })
        }
        "DescribeRepositories" => {
            json!({ "repositories": [{ "repositoryName": "app", "imageTagMutability": "MUTABLE" }] })
        }
        "DescribeImages" => {
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            let image = |n| {
                json!({ "imageDigest": digest(n), "imagePushedAt": 1,
                "imageSizeInBytes": 5, "imageManifestMediaType": media_type })
            };
            json!({ "imageDetails": (1..=3).map(image).collect::<Vec<_>>() })
        }
        "BatchGetImage" => {
            let ids = request["imageIds"].as_array().unwrap().iter();
            let image = |id| json!({ "imageId": id, "imageManifest": "{\"layers\":[]}" });
            json!({ "images": ids.map(image).collect::<Vec<_>>(), "failures": [] })
        }
        "BatchDeleteImage" => json!({ "imageIds": request["imageIds"], "failures": [] }),
        other => panic!("{other} was not expected"),
    }
}
