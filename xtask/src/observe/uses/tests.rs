use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::aws::stand_in::StandIn;
use crate::observe::ecs::revision;
use xtask_core::exit::Exit;
use xtask_core::plan::changes::{IMAGE_TAG, PREVIOUS_TAG};

fn keep(revisions: usize) -> Prune {
    Prune {
        keep_revisions: revisions,
        keep_families: vec!["nightly".into()],
        tagged: None,
        keep_untagged: Duration::ZERO,
        keep_task_definitions: None,
        caches: xtask_core::config::file::Caches::Delete,
    }
}

fn arn(name: &str) -> String {
    format!("arn:aws:ecs:eu-central-1:123456789012:{name}")
}

/// A cluster with 12 services, of which the first is in the middle of a deployment, one
/// stopped task, and revisions of which two families start alike.
fn ecs(operation: &str, request: &Value, _: usize) -> (u16, Value) {
    let definition = |name: &str| arn(&format!("task-definition/{name}"));
    let answer = match operation {
        "DescribeClusters" => json!({ "clusters": [{ "status": "ACTIVE" }] }),
        "ListServices" => match request["nextToken"].as_str() {
            None => json!({ "nextToken": "2", "serviceArns":
                (0..7).map(|n| arn(&format!("service/app/s{n}"))).collect::<Vec<_>>() }),
            Some(_) => json!({ "serviceArns":
                (7..12).map(|n| arn(&format!("service/app/s{n}"))).collect::<Vec<_>>() }),
        },
        "DescribeServices" => {
            let names = request["services"].as_array().unwrap();
            assert!(names.len() <= 10);
            let service = |arn: &Value| {
                let name = revision(arn.as_str().unwrap()).to_owned();
                let old = if name == "s0" { "app:3" } else { "app:9" };
                json!({ "serviceName": name, "taskDefinition": definition("app:9"),
                    "deployments": [{ "taskDefinition": definition("app:9") },
                        { "taskDefinition": definition(old) }] })
            };
            json!({ "services": names.iter().map(service).collect::<Vec<_>>() })
        }
        "ListTasks" if request["desiredStatus"] == "STOPPED" => {
            json!({ "taskArns": [arn("task/app/t1")] })
        }
        "ListTasks" => json!({ "taskArns": [] }),
        "DescribeTasks" => json!({ "tasks": [{
            "taskArn": arn("task/app/t1"), "lastStatus": "STOPPED",
            "taskDefinitionArn": definition("job:1"),
            "containers": [{ "image": "r/app:moved", "imageDigest": "sha256:aa" }] }] }),
        "ListTaskDefinitions" if request["status"] != "ACTIVE" => {
            panic!("no service can be moved to what was deregistered")
        }
        "ListTaskDefinitions" => match request["familyPrefix"].as_str().unwrap() {
            "app" => json!({ "taskDefinitionArns":
                [definition("app-2:7"), definition("app:9"), definition("app:8"), definition("app:7")] }),
            family => json!({ "taskDefinitionArns": [definition(&format!("{family}:1"))] }),
        },
        "DescribeTaskDefinition" => {
            let name = revision(request["taskDefinition"].as_str().unwrap()).to_owned();
            json!({ "taskDefinition": { "containerDefinitions":
                [{ "name": "a", "image": format!("r/{name}") }, { "name": "b", "image": "r/sidecar" }] } })
        }
        "ListServiceDeployments" => json!({ "serviceDeployments": [] }),
        other => panic!("{other} was not expected"),
    };
    (200, answer)
}

fn run(stand_in: &StandIn, revisions: usize) -> Result<Vec<Use>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(of_cluster(stand_in.cluster("app"), keep(revisions)))
}

#[test]
fn services_deployments_tasks_and_the_last_revisions_count() {
    let stand_in = StandIn::start(ecs);
    let uses = run(&stand_in, 2).unwrap();
    let of = |image: &str| -> BTreeSet<String> {
        uses.iter().filter(|u| u.image == image).map(|u| u.user.to_string()).collect()
    };
    let images: BTreeSet<&str> = uses.iter().map(|used| used.image.as_str()).collect();
    assert_eq!(
        images.into_iter().collect::<Vec<_>>(),
        ["r/app:3", "r/app:8", "r/app:9", "r/app:moved", "r/job:1", "r/nightly:1", "r/sidecar"]
    );
    assert_eq!(of("r/app:3"), ["deployment app/s0".to_owned()].into());
    assert_eq!(of("r/app:8"), ["task definition app:8".to_owned()].into());
    assert_eq!(of("r/app:9").len(), 12 + 12 + 1);
    assert_eq!(of("r/app:moved"), ["stopped task app/t1".to_owned()].into());
    let task = uses.iter().find(|used| used.image == "r/app:moved").unwrap();
    assert_eq!(task.digest.as_deref(), Some("sha256:aa"));
    assert_eq!(stand_in.calls("DescribeServices").len(), 2);
}

/// As [`ecs`], and the revision that the services are on says what served before it.
fn with_previous(previous: &'static str) -> StandIn {
    StandIn::start(move |operation: &str, request: &Value, n| {
        if request["taskDefinition"] == "app:1" && previous == "app:1" {
            return (
                200,
                json!({ "taskDefinition": {
                "taskDefinitionArn": arn("task-definition/app:1"),
                "containerDefinitions": [{ "image": "r/app:1" }] } }),
            );
        }
        if request["taskDefinition"] == previous {
            let text = "Unable to describe task definition.";
            return (400, json!({ "__type": "ClientException", "message": text }));
        }
        let (status, mut answer) = ecs(operation, request, n);
        if request["taskDefinition"] == arn("task-definition/app:9") {
            answer["tags"] = json!([{ "key": PREVIOUS_TAG, "value": previous }]);
        }
        (status, answer)
    })
}

#[test]
fn what_a_rollback_goes_back_to_counts_however_old_it_is() {
    let images = |stand_in: &StandIn| -> BTreeSet<String> {
        run(stand_in, 2).unwrap().into_iter().map(|used| used.image).collect()
    };
    let stand_in = with_previous("app:1");
    assert!(images(&stand_in).contains("r/app:1"));
    let asked = stand_in.calls("DescribeTaskDefinition");
    assert!(asked.iter().all(|request| request["include"] == json!(["TAGS"])));
    // It was deleted, which is no reason to stop.
    assert!(!images(&with_previous("app:2")).contains("r/app:2"));
    // One that is known is not asked for again.
    let stand_in = with_previous("app:8");
    assert!(images(&stand_in).contains("r/app:8"));
}

/// As [`ecs`], and the record says of the service `s5` that `app:1` served, which another tool
/// registered, as it did all that failed since.
fn with_record(operation: &str, request: &Value, n: usize) -> (u16, Value) {
    let of = |name: &str| arn(&format!("service-revision/app/s5/{name}"));
    let answer = match operation {
        "ListServiceDeployments" if request["service"] == "s5" => {
            assert_eq!(
                (&request["cluster"], &request["status"][0]),
                (&json!("app"), &json!("SUCCESSFUL"))
            );
            let deployment = |name: &str, at: u64| json!({ "targetServiceRevisionArn": of(name), "createdAt": at });
            json!({ "serviceDeployments": [deployment("9", 2), deployment("1", 1)] })
        }
        "DescribeServiceRevisions" => {
            let revision = |name: &str| {
                json!({ "serviceRevisionArn": of(name),
                    "taskDefinition": arn(&format!("task-definition/app:{name}")) })
            };
            json!({ "serviceRevisions": [revision("9"), revision("1")] })
        }
        _ => return ecs(operation, request, n),
    };
    (200, answer)
}

#[test]
fn without_a_tag_what_the_record_says_counts_and_the_next_lower_one() {
    let stand_in = StandIn::start(with_record);
    let uses = run(&stand_in, 1).unwrap();
    let of = |image: &str| -> BTreeSet<String> {
        uses.iter().filter(|u| u.image == image).map(|u| u.user.to_string()).collect()
    };
    assert_eq!(of("r/app:1"), ["task definition app:1".to_owned()].into());
    assert_eq!(of("r/app:8"), ["task definition app:8".to_owned()].into());
    assert!(of("r/app:7").is_empty());
    assert_eq!(stand_in.calls("ListServiceDeployments").len(), 12);
    // A tag that was copied from a revision with another image says nothing.
    let stand_in = StandIn::start(|operation: &str, request: &Value, n| {
        let (status, mut answer) = with_record(operation, request, n);
        if request["taskDefinition"] == arn("task-definition/app:9") {
            answer["tags"] = json!([{ "key": PREVIOUS_TAG, "value": "app:8" },
                { "key": IMAGE_TAG, "value": "sha256:aa" }]);
        }
        (status, answer)
    });
    assert!(run(&stand_in, 1).unwrap().iter().any(|used| used.image == "r/app:1"));
    // Where the tag says it, nothing else is asked.
    let stand_in = with_previous("app:1");
    run(&stand_in, 1).unwrap();
    assert!(stand_in.calls("ListServiceDeployments").is_empty());
}

#[test]
fn what_can_not_be_read_stops_it_and_is_named() {
    for broken in [
        "ListServiceDeployments",
        "DescribeClusters",
        "ListServices",
        "DescribeServices",
        "ListTasks",
        "DescribeTasks",
        "ListTaskDefinitions",
        "DescribeTaskDefinition",
    ] {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, n| {
            if operation != broken {
                return ecs(operation, request, n);
            }
            let error = json!({ "__type": "AccessDeniedException", "message": "not allowed" });
            (400, error)
        });
        let error = run(&stand_in, 2).unwrap_err();
        assert_eq!(xtask_core::exit::exit_of(&error), Exit::Prerequisite, "{broken}");
        let text = error.to_string();
        assert!(text.contains(&format!("ecs:{broken}")) && text.contains("[env.test]"), "{text}");
    }
}

#[test]
fn a_task_that_is_not_told_of_may_run() {
    let missing = json!([{ "arn": arn("task/app/t1"), "reason": "MISSING" }]);
    let cases = [
        ("STOPPED", json!([]), false),
        ("STOPPED", missing.clone(), true),
        ("RUNNING", missing, false),
        ("STOPPED", json!([{ "arn": arn("task/app/t1"), "reason": "BUSY" }]), false),
        ("STOPPED", json!([{ "arn": arn("task/app/t2"), "reason": "MISSING" }]), false),
    ];
    for (status, failures, is_gone) in cases {
        let said = failures.clone();
        let stand_in = StandIn::start(move |operation: &str, request: &Value, n| match operation {
            "ListTasks" if request["desiredStatus"] == status => {
                (200, json!({ "taskArns": [arn("task/app/t1")] }))
            }
            "ListTasks" => (200, json!({ "taskArns": [] })),
            "DescribeTasks" => (200, json!({ "tasks": [], "failures": said })),
            _ => ecs(operation, request, n),
        });
        let found = run(&stand_in, 2);
        let of = format!("{status} {failures}");
        if is_gone {
            assert!(found.is_ok(), "{of}");
        } else {
            let error = found.unwrap_err().to_string();
            assert!(error.contains("does not tell of the task t1"), "{of}: {error}");
        }
    }
}

#[test]
fn a_cluster_that_is_not_there_is_not_one_that_uses_nothing() {
    let stand_in = StandIn::start(|operation: &str, request: &Value, n| match operation {
        "DescribeClusters" => (200, json!({ "clusters": [], "failures": [] })),
        _ => ecs(operation, request, n),
    });
    let error = run(&stand_in, 2).unwrap_err().to_string();
    assert!(error.contains("no ECS cluster `app`"), "{error}");
}

#[test]
fn all_hosts_of_an_account_s_registry_are_one() {
    let ours = "123456789012.dkr.ecr.eu-central-1.amazonaws.com";
    for host in [
        ours,
        "123456789012.dkr.ecr-fips.us-east-1.amazonaws.com",
        "123456789012.dkr-ecr.eu-central-1.on.aws",
        "123456789012.dkr-ecr-fips.us-east-1.on.aws",
    ] {
        let image = format!("{host}/team/app:1@sha256:12");
        assert_eq!(canonical(&image, "123456789012", ours), format!("{ours}/team/app:1@sha256:12"));
    }
    for image in [
        "app",
        "public.ecr.aws/x/app:1",
        "123456789012.example/app",
        "210987654321.dkr.ecr.eu-central-1.amazonaws.com/app",
    ] {
        assert_eq!(canonical(image, "123456789012", ours), image);
    }
    assert_eq!(
        canonical("000000000000.dkr.ecr.x.amazonaws.com/a", "000000000000", "127.0.0.1:4566"),
        "127.0.0.1:4566/a"
    );
}
