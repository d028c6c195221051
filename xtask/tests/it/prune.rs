//! `cargo xtask prune` against a stand-in for AWS.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::stand_in::server::{ACCOUNT, Asked, Server};
use crate::support::Project;

const PREVIOUS: &str = "xtask:previous";

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:{kind}/{name}")
}

fn digest(number: usize) -> String {
    format!("sha256:{number:064x}")
}

/// The service `api` on `app:6`, which came after `app:4`, of `app:1` to `app:6`; and a repository
/// with the untagged images 1 to 3.
struct Aws {
    server: Server,
    active: Arc<Mutex<BTreeSet<u64>>>,
}

type Twist = dyn Fn(&Asked) -> Option<(u16, Value)> + Send + Sync;

impl Aws {
    fn new(twist: Box<Twist>) -> Self {
        let active = Arc::new(Mutex::new((1..=6).collect::<BTreeSet<u64>>()));
        let state = Arc::clone(&active);
        let server = Server::start(move |asked| {
            twist(asked).unwrap_or_else(|| (200, answer(&mut state.lock().unwrap(), asked)))
        });
        Self { server, active }
    }

    fn project(&self, prune: &str) -> Project {
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

    fn active(&self) -> Vec<u64> {
        self.active.lock().unwrap().iter().copied().collect()
    }
}

fn plain() -> Box<Twist> {
    Box::new(|_| None)
}

fn denied() -> (u16, Value) {
    (400, json!({ "__type": "AccessDeniedException", "message": "not allowed" }))
}

fn service(on: &str) -> Value {
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

const ONLY: [&str; 6] = ["prune", "--env", "test", "--task-definitions-only", "--format", "json"];

#[test]
fn old_task_definitions_are_shown_and_then_deregistered() {
    let aws = Aws::new(plain());
    let project = aws.project("keep-task-definitions = 2");
    let shown = project.run(&["prune", "--env", "test", "--task-definitions-only", "--dry-run"]);
    shown.code(0).prints("1. deregister 3 of 6 revisions of app\n   app:1\n   app:2\n   app:3\n");
    let plan = project.run(&[&ONLY[..], &["--dry-run"]].concat()).code(0).json();
    assert_eq!(plan["task-definitions"]["deregister"][0]["revision"], 1);
    let kept = &plan["task-definitions"]["keep"][2];
    assert_eq!(kept["reasons"], json!([{ "reason": "previous-of", "of": "app:6" }]), "{plan}");
    project.run(&ONLY).code(2).says("--yes");
    assert_eq!(aws.active(), [1, 2, 3, 4, 5, 6], "nothing was done yet");

    let report = project.run(&[&ONLY[..], &["--yes"]].concat()).code(0).json();
    let done = &report["task-definitions"];
    assert_eq!((done["deregistered"].as_array().unwrap().len(), &done["kept"]), (3, &json!(3)));
    assert_eq!((&report["exit-code"], &report["error"]), (&json!(0), &Value::Null));
    assert_eq!(aws.active(), [4, 5, 6]);
    project
        .run(&["prune", "--env", "test", "--task-definitions-only", "--yes"])
        .code(0)
        .prints("nothing to prune");
}

#[test]
fn a_task_definition_that_comes_into_use_meanwhile_stays() {
    // Each look describes the services twice: as ours, and as those of the cluster.
    let aws = Aws::new(Box::new(|asked| {
        let moved = asked.operation == "DescribeServices" && asked.before >= 2;
        moved.then(|| (200, json!({ "services": [service("app:2")] })))
    }));
    let project = aws.project("keep-task-definitions = 2");
    let run = project.run(&[&ONLY[..], &["--yes"]].concat()).code(0);
    let run = run.says("app:2 stays: used by service app/api");
    let report = run.says("app:1 stays: a rollback of app:2 goes back to it").json();
    let changed = report["task-definitions"]["changed"].as_array().unwrap();
    let changed: Vec<_> =
        changed.iter().map(|of| (&of["revision"], &of["reasons"][0]["reason"])).collect();
    assert_eq!(changed, [(&json!(1), &json!("previous-of")), (&json!(2), &json!("in-use"))]);
    assert_eq!(aws.active(), [1, 2, 4, 5, 6]);
}

#[test]
fn no_task_definition_goes_when_what_uses_them_can_not_be_read() {
    // Before the plan, and at the second look.
    for (from, code) in [(0, 3), (2, 3)] {
        let aws = Aws::new(Box::new(move |asked| {
            (asked.operation == "ListTasks" && asked.before >= from).then(denied)
        }));
        let project = aws.project("keep-task-definitions = 2");
        let run = project.run(&[&ONLY[..], &["--yes"]].concat()).code(code);
        let report = run.says("ecs:ListTasks").json();
        let error = report["error"].as_str().unwrap();
        assert!(error.starts_with("no task definition is deregistered: "), "{error}");
        assert_eq!(report["exit-code"], 3);
        assert_eq!(aws.active().len(), 6);
        assert!(aws.server.calls("DeregisterTaskDefinition").is_empty());
    }
}

#[test]
fn how_many_task_definitions_stay_has_to_be_said() {
    let aws = Aws::new(plain());
    let run = aws.project("").run(&["prune", "--env", "test", "--task-definitions", "--yes"]);
    run.code(2).says("`keep-task-definitions` in [prune]");
    assert!(aws.server.operations().is_empty());
    let combined = ["prune", "--task-definitions-only", "--all"];
    aws.project("").run(&combined).code(2).says("cannot be used with");
}

#[test]
fn what_fails_half_way_is_reported_with_what_was_done() {
    let aws = Aws::new(Box::new(|asked| match asked.operation.as_str() {
        "BatchDeleteImage" => {
            let failure = json!({ "imageId": { "imageDigest": digest(2) },
                "failureCode": "KmsError", "failureReason": "the key is disabled" });
            Some((200, json!({ "imageIds": [], "failures": [failure] })))
        }
        "DeregisterTaskDefinition"
            if asked.request["taskDefinition"].as_str().unwrap().ends_with(":3") =>
        {
            Some(denied())
        }
        _ => None,
    }));
    let project = aws.project("keep-task-definitions = 2\nkeep-untagged = \"0\"");
    let args = ["prune", "--env", "test", "--registry-only", "--task-definitions", "--yes"];
    let run = project.run(&[&args[..], &["--format", "json"]].concat()).code(1);
    let report = run.json();
    assert_eq!(report["registry"][0]["deleted"], json!([digest(1), digest(3)]));
    let failed = json!([{ "digest": digest(2), "reason": "KmsError: the key is disabled" }]);
    assert_eq!(report["registry"][0]["failed"], failed);
    let revisions = &report["task-definitions"];
    assert_eq!(revisions["deregistered"].as_array().unwrap().len(), 2, "{report}");
    assert_eq!(revisions["failed"][0]["revision"], 3);
    assert_eq!(report["exit-code"], 1);
    let error = report["error"].as_str().unwrap();
    assert!(error.starts_with("2 things went wrong"), "{error}");
    assert!(
        error.contains("1 of 3 images") && error.contains("1 of 3 task definitions"),
        "{error}"
    );
    assert!(report["hint"].as_str().is_some());

    let text = aws.project("keep-task-definitions = 2\nkeep-untagged = \"0\"").run(&args).code(1);
    text.prints("1 could not be deleted").says("error: 2 things went wrong");
}

#[test]
fn a_builder_that_fails_stops_neither_registry_nor_report() {
    let aws = Aws::new(plain());
    let mut project = aws.project("keep-untagged = \"0\"");
    project.program(
        "docker",
        r#"case "$1 $2" in
"info --format") echo '{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"ClientInfo":{"Context":"default","Plugins":[{"Name":"buildx","Version":"0.29.1"}]}}' ;;
"system dial-stdio") printf 'HTTP/1.0 200 OK\r\n\r\n'; echo '{"BuildCache":[{"ID":"a","Type":"regular","Size":5,"Description":"x"}]}' ;;
"buildx inspect") printf 'Name: default\nDriver: docker\n\nNodes:\nName: default\nEndpoint: default\nStatus: running\n' ;;
"buildx prune") echo 'ERROR: the disk is gone' >&2; exit 1 ;;
esac"#,
    );
    let args = ["prune", "--env", "test", "--registry", "--yes", "--format", "json"];
    let report = project.run(&args).code(1).json();
    assert_eq!(report["registry"][0]["deleted"].as_array().unwrap().len(), 3);
    let failed = report["builder"]["failed"].as_str().unwrap();
    assert!(failed.contains("the disk is gone"), "{failed}");
    assert_eq!(report["builder"]["records"], 0);
    assert!(report["error"].as_str().unwrap().contains("the disk is gone"));
}
