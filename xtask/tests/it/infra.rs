//! `infra deploy` beside deploys: both change the service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::deployed::{Deployed, MADE_UP};
use crate::stand_in::cloud::Cloud;
use crate::stand_in::server::Asked;
use crate::support::Run;

const STACK: &str = "[env.test.infra]\nstack = \"app\"\ntemplate = \"stack.yaml\"\n\
                     image-parameter = \"Image\"\n";

const LOCK: &str = "/xtask/lock/app/api";

/// A stack whose next change touches the service.
fn cloud_formation(asked: &Asked) -> Option<(u16, Value)> {
    let event = |id: u32, status: &str| {
        format!(
            "<member><EventId>{id}</EventId><LogicalResourceId>app</LogicalResourceId>\
             <ResourceType>AWS::CloudFormation::Stack</ResourceType>\
             <ResourceStatus>{status}</ResourceStatus></member>"
        )
    };
    let answer = match asked.operation.as_str() {
        "DescribeStacks" => "<R><DescribeStacksResult><Stacks><member>\
            <StackStatus>UPDATE_COMPLETE</StackStatus><Parameters><member>\
            <ParameterKey>Image</ParameterKey><ParameterValue>r.example/app@sha256:0</ParameterValue>\
            </member></Parameters></member></Stacks></DescribeStacksResult></R>"
            .to_owned(),
        "DescribeChangeSet" => "<R><DescribeChangeSetResult><Status>CREATE_COMPLETE</Status><Changes>\
            <member><ResourceChange><Action>Modify</Action><LogicalResourceId>Service\
            </LogicalResourceId><ResourceType>AWS::ECS::Service</ResourceType></ResourceChange>\
            </member></Changes></DescribeChangeSetResult></R>"
            .to_owned(),
        "DescribeStackEvents" => {
            let later = if asked.before == 0 { String::new() } else { event(2, "UPDATE_COMPLETE") };
            let events = format!("{later}{}", event(1, "CREATE_COMPLETE"));
            format!("<R><DescribeStackEventsResult><StackEvents>{events}</StackEvents></DescribeStackEventsResult></R>")
        }
        "CreateChangeSet" | "ExecuteChangeSet" | "DeleteChangeSet" => "<R/>".to_owned(),
        _ => return None,
    };
    Some((200, Value::String(answer)))
}

fn deployed(more: &str, twist: impl Fn(&Cloud, &Asked) + Send + Sync + 'static) -> Deployed {
    let deployed = Deployed::new(
        &format!("{MADE_UP}{more}{STACK}"),
        Box::new(move |cloud, asked| {
            twist(cloud, asked);
            cloud_formation(asked)
        }),
    );
    std::fs::write(deployed.project.path("stack.yaml"), "Resources: {}\n").unwrap();
    deployed
}

fn deploy(deployed: &Deployed) -> Run {
    deployed.project.run(&["infra", "deploy", "--env", "test", "--yes"])
}

/// The operations that change something.
fn changes(deployed: &Deployed) -> Vec<String> {
    let all = deployed.server.operations().into_iter();
    all.filter(|name| {
        ["Put", "Delete", "Create", "Execute"].iter().any(|verb| name.starts_with(verb))
    })
    .collect()
}

#[test]
fn a_change_of_the_stack_holds_the_deploy_lock() {
    let free = deployed("", |_, _| {});
    deploy(&free).code(0).prints("updated");
    let expected = [
        "CreateChangeSet",
        "DeleteChangeSet",
        "CreateChangeSet",
        "PutParameter",
        "ExecuteChangeSet",
        "DeleteParameter",
    ];
    // The first change set shows that the service is touched, the second keeps its image.
    assert_eq!(changes(&free), expected);
    let lock = &free.server.calls("PutParameter")[0];
    assert_eq!(lock["Name"], LOCK);
    assert!(lock["Value"].as_str().unwrap().contains("update the stack app"), "{lock}");

    let off = deployed("lock = false\n", |_, _| {});
    deploy(&off).code(0).prints("updated");
    assert!(!changes(&off).iter().any(|name| name.ends_with("Parameter")));
}

fn held_by_maria() -> String {
    json!({ "id": "f00", "who": "maria@desk", "what": "deploy of app:2", "since": "now",
        "lease-seconds": 90 })
    .to_string()
}

#[test]
fn what_was_deployed_while_it_waited_is_not_taken_back() {
    let ended = Arc::new(AtomicBool::new(false));
    let busy = deployed("", move |cloud, asked| {
        // While it is waited for, the other deploy ends.
        let waits = asked.operation == "PutParameter" && asked.before == 1;
        if waits && !ended.swap(true, Ordering::SeqCst) {
            cloud.deploy("api", "r.example/app@sha256:2");
            cloud.parameters.remove(LOCK);
        }
    });
    busy.cloud.parameters.set(LOCK, &held_by_maria());
    deploy(&busy)
        .code(0)
        .says("api is being deployed by maria@desk (deploy of app:2, since now); waiting")
        .says("somebody deployed meanwhile: working the change out anew")
        .prints("updated");
    let made = busy.server.calls("CreateChangeSet");
    let image = |made: &Value, digest: &str| made.as_str().unwrap().contains(digest);
    assert!(image(made.last().unwrap(), "sha256%3A2"), "{made:?}");
    assert_eq!(busy.server.calls("ExecuteChangeSet").len(), 1);
    assert!(busy.cloud.parameters.names().is_empty(), "the lock was given back");
}

#[test]
fn a_deployment_that_began_meanwhile_is_not_superseded() {
    let busy = deployed("", |cloud, asked| {
        // Somebody deploys who takes no locks.
        if asked.operation == "PutParameter" {
            cloud.deploy("api", "r.example/app@sha256:slow");
        }
    });
    deploy(&busy).code(8).says("deployment ecs-svc/3 of api to app:2 is under way");
    assert!(busy.server.calls("ExecuteChangeSet").is_empty());
    assert_eq!(changes(&busy).last().unwrap(), "DeleteParameter");
    let (made, deleted) = ("CreateChangeSet", "DeleteChangeSet");
    assert_eq!(busy.server.calls(made).len(), busy.server.calls(deleted).len());
}

#[test]
fn status_says_who_holds_the_deploy_lock() {
    let held = deployed("", |_, _| {});
    held.cloud.parameters.set(LOCK, &held_by_maria());
    let args = ["status", "--env", "test"];
    held.project
        .run(&args)
        .code(0)
        .prints("  deploy lock held by maria@desk (deploy of app:2, since now)\n");
    let json = held.project.run(&[&args[..], &["--format", "json"]].concat()).code(0).json();
    let expected = json!({ "who": "maria@desk", "what": "deploy of app:2", "since": "now" });
    assert_eq!(json["services"][0]["deploy-lock"], expected);
    held.cloud.parameters.remove(LOCK);
    let json = held.project.run(&[&args[..], &["--format", "json"]].concat()).code(0).json();
    assert_eq!(json["services"][0]["deploy-lock"], Value::Null);
    // What can not be looked at hides nothing else.
    let denied = Deployed::new(
        MADE_UP,
        Box::new(|_, asked| {
            let text = "not authorized";
            (asked.operation == "GetParameter")
                .then(|| (400, json!({ "__type": "AccessDeniedException", "message": text })))
        }),
    );
    let run = denied.project.run(&args).code(0).prints("api  app:1  1/1 running\n");
    run.says("the deploy lock was not looked at: ssm:GetParameter: AccessDeniedException");
}
