//! What fails half way is told with what was done.

use serde_json::json;

use super::world::{Aws, arn, denied, digest, plain};

#[test]
fn what_fails_half_way_is_reported_with_what_was_done() {
    let aws = Aws::new(Box::new(|asked| match asked.operation.as_str() {
        "BatchDeleteImage" => {
            let failure = json!({ "imageId": { "imageDigest": digest(2) },
                "failureCode": "KmsError", "failureReason": "the key is disabled" });
            let gone = [1, 3].map(|n| json!({ "imageDigest": digest(n) }));
            Some((200, json!({ "imageIds": gone, "failures": [failure] })))
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
fn clusters_that_no_environment_names_are_told_and_need_not_be_seen() {
    let args = ["prune", "--env", "test", "--registry-only", "--yes"];
    for command in [&args[..], &["du", "--env", "test"]] {
        let aws = Aws::new(Box::new(|asked| match asked.operation.as_str() {
            "ListClusters" => Some((
                200,
                json!({ "clusterArns": [arn("cluster", "app"), arn("cluster", "two")] }),
            )),
            "GetLifecyclePolicy" => {
                Some((400, json!({ "__type": "LifecyclePolicyNotFoundException" })))
            }
            _ => None,
        }));
        let run =
            aws.project("keep-untagged = \"0\"").run(&[command, &["--format", "json"]].concat());
        let run = run.code(0);
        let report = run.json();
        let warnings = report["warnings"].as_array().unwrap().iter();
        let told =
            warnings.filter(|text| text.as_str().unwrap().ends_with("does not count: `two`"));
        assert_eq!(told.count(), 1, "{report}");
        run.says("`keep-families`");
    }
    let aws = Aws::new(Box::new(|asked| (asked.operation == "ListClusters").then(denied)));
    let run = aws.project("keep-untagged = \"0\"").run(&args).code(0);
    run.says("ecs:ListClusters").prints("3 images");
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
