use serde_json::json;

use super::*;
use crate::aws::stand_in::{ACCOUNT, StandIn};
use xtask_core::exit::hint_of;

fn arn(name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:{ACCOUNT}:task-definition/{name}")
}

/// A service on `app:9`, whose revision has this tag.
fn on_nine(previous: Option<&str>) -> ServiceFacts {
    let tags: Vec<_> =
        previous.iter().map(|value| json!({ "key": PREVIOUS_TAG, "value": value })).collect();
    ServiceFacts {
        name: "web".into(),
        desired: 1,
        running: 1,
        task_definition_arn: arn("app:9"),
        described: json!({ "taskDefinition": {}, "tags": tags }),
        in_flight: None,
        primary: "d".into(),
        settled: true,
        served: None,
    }
}

/// Revisions `app:1` to `app:9`, of which 3 was deregistered and the images of 3 and 4 are gone; and no
/// record of deployments.
fn ecs(operation: &str, request: &Value, _: usize) -> (u16, Value) {
    let answer = match operation {
        "DescribeTaskDefinition" => {
            let asked = revision(request["taskDefinition"].as_str().unwrap()).to_owned();
            let number: u64 = asked.rsplit(':').next().unwrap().parse().unwrap();
            if number > 9 {
                let text = "Unable to describe task definition.";
                return (400, json!({ "__type": "ClientException", "message": text }));
            }
            let status = if [2, 3].contains(&number) { "INACTIVE" } else { "ACTIVE" };
            let image = format!("r.example/app@sha256:{number}");
            json!({ "taskDefinition": { "taskDefinitionArn": arn(&asked), "status": status,
                "containerDefinitions": [{ "name": "app", "image": image }] } })
        }
        "BatchGetImage" => {
            let digest = request["imageIds"][0]["imageDigest"].as_str().unwrap();
            let gone = ["sha256:3", "sha256:4"].contains(&digest);
            let image = json!({ "imageId": { "imageDigest": digest }, "imageManifest": "{}" });
            json!({ "images": if gone { vec![] } else { vec![image] } })
        }
        "ListTaskDefinitions" => json!({ "taskDefinitionArns":
            [arn("app:9"), arn("app-2:8"), arn("app:8"), arn("app:7")] }),
        "ListServiceDeployments" => json!({ "serviceDeployments": [] }),
        other => panic!("{other} was not expected"),
    };
    (200, answer)
}

async fn run(stand_in: &StandIn, service: &ServiceFacts, to: Option<u64>) -> Result<Target> {
    target(&stand_in.aws().await, &stand_in.environment(), service, to).await
}

#[test]
fn an_image_is_looked_up_in_its_own_repository_only() {
    assert_eq!(reference_in("h:1/app@sha256:a", "app"), Some("sha256:a"));
    assert_eq!(reference_in("h/team/app:v1", "team/app"), Some("v1"));
    assert_eq!(reference_in("h/app-cache:v1", "app"), None);
    assert_eq!(reference_in("nginx:1", "nginx"), None);
}

#[tokio::test]
async fn the_tag_says_what_served_and_the_number_asked_for_comes_before_it() {
    let stand_in = StandIn::start(ecs);
    let target = run(&stand_in, &on_nine(Some("app:5")), None).await.unwrap();
    assert_eq!((target.arn, target.source), (arn("app:5"), Source::Tag("app:9".into())));
    assert!(target.image.is_some());
    let target = run(&stand_in, &on_nine(Some("app:5")), Some(6)).await.unwrap();
    assert_eq!((target.arn, target.source), (arn("app:6"), Source::Asked));
    assert_eq!(stand_in.calls("ListTaskDefinitions").len(), 0);
}

#[tokio::test]
async fn without_a_tag_the_record_of_deployments_counts() {
    let stand_in = StandIn::start(|operation: &str, request: &Value, before| match operation {
        "ListServiceDeployments" => {
            assert_eq!(request["status"], json!(["SUCCESSFUL"]));
            // Not in order.
            let of = |number: u64, at: u64| json!({ "targetServiceRevisionArn": format!("r{number}"), "createdAt": at });
            (200, json!({ "serviceDeployments": [of(5, 10), of(9, 30), of(7, 20)] }))
        }
        "DescribeServiceRevisions" => {
            let arns = request["serviceRevisionArns"].as_array().unwrap();
            let of = |revision: &Value| {
                let number = revision.as_str().unwrap().trim_start_matches('r');
                json!({ "serviceRevisionArn": revision, "taskDefinition": arn(&format!("app:{number}")) })
            };
            (200, json!({ "serviceRevisions": arns.iter().map(of).collect::<Vec<_>>() }))
        }
        _ => ecs(operation, request, before),
    });
    let target = run(&stand_in, &on_nine(None), None).await.unwrap();
    assert_eq!((target.arn, target.source), (arn("app:7"), Source::Deployments));
    // A tag that another tool copied, and that names the revision itself, says nothing.
    let target = run(&stand_in, &on_nine(Some("app:9")), None).await.unwrap();
    assert_eq!(target.source, Source::Deployments);
}

#[tokio::test]
async fn where_nothing_is_known_it_is_the_next_lower_number() {
    for denied in [false, true] {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, before| {
            if denied && operation == "ListServiceDeployments" {
                let error = json!({ "__type": "AccessDeniedException", "message": "no" });
                return (400, error);
            }
            ecs(operation, request, before)
        });
        let target = run(&stand_in, &on_nine(None), None).await.unwrap();
        assert_eq!((target.arn, target.source), (arn("app:8"), Source::NextLower));
    }
}

#[tokio::test]
async fn what_no_service_can_be_moved_to_is_refused_with_every_reason() {
    let stand_in = StandIn::start(ecs);
    for (to, text, hint) in [
        (2, "app:2 was deregistered, and ECS moves no service to it", "deploy --image sha256:2"),
        (
            3,
            "app:3 was deregistered, and ECS moves no service to it, and has an image that is gone \
             from `app`: sha256:3",
            "`--to`",
        ),
        (4, "app:4 has an image that is gone from `app`: sha256:4", "`--to`"),
        (10, "there is no revision app:10", "list-task-definitions"),
    ] {
        let error = run(&stand_in, &on_nine(None), Some(to)).await.unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert!(error.to_string().starts_with(text), "{error}");
        assert!(hint_of(&error).unwrap().contains(hint), "{:?}", hint_of(&error));
    }
}
