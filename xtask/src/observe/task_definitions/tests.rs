use serde_json::{Value, json};

use super::*;
use crate::aws::stand_in::{ACCOUNT, StandIn};
use xtask_core::config::{Infra, Stack};
use xtask_core::plan::changes::PREVIOUS_TAG;
use xtask_core::registry::revisions::plan;

fn arn(name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:{name}")
}

fn definition(name: &str) -> String {
    arn(&format!("task-definition/{name}"))
}

/// Revisions `app:1` to `app:9` and `app-2:1`. Our service `app` is on 9, which came after 7;
/// `worker`, which is not ours, on 4 after 3; a task that stopped was on 2; the stack made 1.
fn aws(operation: &str, request: &Value, _: usize) -> (u16, Value) {
    let answer = match operation {
        "DescribeClusters" => json!({ "clusters": [{ "status": "ACTIVE" }] }),
        "ListServices" => {
            json!({ "serviceArns": [arn("service/app/app"), arn("service/app/worker")] })
        }
        "DescribeServices" => {
            let service = |name: &Value| {
                let name = revision(name.as_str().unwrap());
                let on = definition(if name == "worker" { "app:4" } else { "app:9" });
                json!({ "serviceName": name, "status": "ACTIVE", "taskDefinition": on,
                    "deployments": [{ "status": "PRIMARY", "taskDefinition": on }] })
            };
            let names = request["services"].as_array().unwrap();
            json!({ "services": names.iter().map(service).collect::<Vec<_>>() })
        }
        "ListTasks" if request["desiredStatus"] == "STOPPED" => {
            json!({ "taskArns": [arn("task/app/t1")] })
        }
        "ListTasks" => json!({ "taskArns": [] }),
        "DescribeTasks" => json!({ "tasks": [{ "taskArn": arn("task/app/t1"),
            "lastStatus": "STOPPED", "taskDefinitionArn": definition("app:2") }] }),
        "DescribeTaskDefinition" => {
            let name = revision(request["taskDefinition"].as_str().unwrap()).to_owned();
            let previous = match name.as_str() {
                "app:9" => "app:7",
                "app:4" => "app:3",
                _ => "",
            };
            json!({ "taskDefinition": { "taskDefinitionArn": definition(&name), "containerDefinitions": [{ "name": "app" }] },
                "tags": [{ "key": PREVIOUS_TAG, "value": previous }] })
        }
        "ListTaskDefinitions" => match request["nextToken"].as_str() {
            None => {
                let page = ["app-2:1", "app:9", "app:8", "app:7", "app:6"].map(definition);
                json!({ "nextToken": "2", "taskDefinitionArns": page })
            }
            Some(_) => {
                let page = ["app:5", "app:4", "app:3", "app:2", "app:1"].map(definition);
                json!({ "taskDefinitionArns": page })
            }
        },
        "ListServiceDeployments" => json!({ "serviceDeployments": [
            { "targetServiceRevisionArn": "r9", "createdAt": 20 },
            { "targetServiceRevisionArn": "r5", "createdAt": 10 }] }),
        "DescribeServiceRevisions" => {
            let of = |n| json!({ "serviceRevisionArn": format!("r{n}"), "taskDefinition": definition(&format!("app:{n}")) });
            json!({ "serviceRevisions": [of(9), of(5)] })
        }
        "ListStackResources" => {
            let asked = request.as_str().unwrap();
            let (kind, id, next) = match () {
                () if asked.contains("StackName=nested") => {
                    ("AWS::ECS::TaskDefinition", definition("app:1"), "")
                }
                () if asked.contains("NextToken=2") => {
                    ("AWS::CloudFormation::Stack", "nested".to_owned(), "")
                }
                () => ("AWS::ECS::Service", arn("service/app/app"), "<NextToken>2</NextToken>"),
            };
            let member = format!(
                "<member><ResourceType>{kind}</ResourceType><PhysicalResourceId>{id}</PhysicalResourceId></member>"
            );
            Value::String(format!(
                "<R><ListStackResourcesResult><StackResourceSummaries>{member}</StackResourceSummaries>{next}</ListStackResourcesResult></R>"
            ))
        }
        other => panic!("{other} was not expected"),
    };
    (200, answer)
}

async fn look(stand_in: &StandIn) -> Result<Revisions> {
    let mut environment = stand_in.environment();
    let file = Infra {
        stack: "app".into(),
        template: String::new(),
        parameters: BTreeMap::new(),
        image_parameter: None,
    };
    environment.infra = Some(Stack { file, parameters: BTreeMap::new(), unset: None });
    // Another account's cluster is not asked.
    let other = Cluster { account: "210987654321".into(), ..stand_in.cluster("other") };
    let clusters = [stand_in.cluster("app"), other];
    task_definitions(&stand_in.aws().await, &clusters, &environment).await
}

fn goes(revisions: &Revisions) -> Vec<u64> {
    plan(revisions, 1).deregister.iter().map(|revision| revision.revision).collect()
}

#[tokio::test]
async fn what_services_tasks_rollbacks_and_the_stack_need_is_found() {
    let stand_in = StandIn::start(aws);
    let found = look(&stand_in).await.unwrap();
    assert_eq!(found.active.len(), 9, "the prefix also finds another family");
    let users: Vec<_> =
        found.in_use[&definition("app:2")].iter().map(ToString::to_string).collect();
    assert_eq!(users, ["stopped task app/t1"]);
    assert_eq!(goes(&found), [5, 6, 8]);
    assert!(stand_in.calls("ListServiceDeployments").is_empty(), "the tag says it");
    for tags in stand_in.calls("DescribeTaskDefinition") {
        assert_eq!(tags["include"], json!(["TAGS"]));
    }
}

#[tokio::test]
async fn without_a_tag_what_a_rollback_may_go_back_to_stays() {
    let untagged = |operation: &str, request: &Value, before| {
        let (status, mut answer) = aws(operation, request, before);
        if operation == "DescribeTaskDefinition" {
            answer["tags"] = json!([]);
        }
        (status, answer)
    };
    let found = look(&StandIn::start(untagged)).await.unwrap();
    assert_eq!(goes(&found), [3, 6, 7], "5 by the record, 8 is the next lower one");
    // Another deployment controller has no record.
    let no_record = move |operation: &str, request: &Value, before| match operation {
        "ListServiceDeployments" => {
            (400, json!({ "__type": "UnsupportedFeatureException", "message": "no" }))
        }
        _ => untagged(operation, request, before),
    };
    assert_eq!(goes(&look(&StandIn::start(no_record)).await.unwrap()), [3, 5, 6, 7]);
}

#[tokio::test]
async fn what_can_not_be_read_stops_it_and_is_named() {
    for broken in [
        "DescribeClusters",
        "ListServices",
        "DescribeServices",
        "ListTasks",
        "DescribeTasks",
        "DescribeTaskDefinition",
        "ListTaskDefinitions",
        "ListServiceDeployments",
        "DescribeServiceRevisions",
        "ListStackResources",
    ] {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, before| {
            let (status, mut answer) = aws(operation, request, before);
            if operation == broken {
                let error = "<E><Error><Code>AccessDenied</Code><Message>no</Message></Error></E>";
                let xml = operation == "ListStackResources";
                let json = json!({ "__type": "AccessDeniedException", "message": "no" });
                return (400, if xml { error.into() } else { json });
            }
            if operation == "DescribeTaskDefinition" {
                answer["tags"] = json!([]);
            }
            (status, answer)
        });
        let error = look(&stand_in).await.map(|found| goes(&found)).unwrap_err().to_string();
        assert!(error.contains(broken), "{broken}: {error}");
    }
}
