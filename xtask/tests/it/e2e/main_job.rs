//! The whole way: from nothing to a photo that went through the deployed container, and back to
//! nothing.
//!
//! One test, because each step stands on the one before it. It prunes the builder's whole cache,
//! which is shared with whatever else this engine builds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::http;
use super::project::{Copy, PORT, unique_comment};

#[test]
fn the_main_job_from_nothing_and_back() {
    let copy = Copy::of_this_repository();

    // Nothing is up: each command says what is missing, and changes nothing.
    copy.run(&["deploy"]).code(3).says("cargo xtask local up");
    copy.run(&["local", "status"]).code(3);

    copy.run(&["local", "up"]).code(0);
    let again = Instant::now();
    copy.run(&["local", "up"]).code(0);
    assert!(again.elapsed() < Duration::from_secs(20), "the second time there is nothing to do");

    first_deployment(&copy);
    unchanged(&copy);
    change_of_code(&copy);
    run_here(&copy);
    photo(&copy);
    logs(&copy);
    failing_container(&copy);
    container_that_never_answers(&copy);
    rollback(&copy);
    interruption(&copy);
    wrong_names(&copy);
    disk_usage_and_prune(&copy);
    old_task_definitions(&copy);
    rebuild_from_the_registry_cache(&copy);

    copy.run(&["local", "down"]).code(0);
    copy.run(&["local", "down"]).code(0);
    copy.run(&["local", "status"]).code(3);
    assert_eq!(copy.containers(), Vec::<String>::new(), "nothing is left running");
}

fn first_deployment(copy: &Copy) {
    let shown = copy.run(&["deploy", "--dry-run"]).code(0).prints("docker buildx build");
    assert!(shown.stdout().contains("update loppestars/loppestars"), "{shown}");
    assert_eq!(copy.services_running(), 0, "a dry run starts nothing");

    let report = copy.run(&["deploy", "--format", "json"]).code(0).json();
    assert_eq!(report["verdict"], "succeeded");
    assert!(report["digest"].as_str().unwrap().starts_with("sha256:"), "{report}");
    let health = http::get(&copy.url("/health"));
    assert_eq!((health.status, health.json()["status"].as_str()), (200, Some("healthy")));
    assert_eq!(copy.leftovers(), Vec::<String>::new(), "no credentials are left");
}

fn unchanged(copy: &Copy) {
    let before = copy.task_definition();
    let digest = copy.digest();
    let idle = |args: &[&str]| {
        let run = copy.run(&[args, &["--format", "json"]].concat()).code(0);
        for word in ["docker buildx build", "log in", "deploy lock"] {
            assert!(!run.stderr().contains(word), "{word}\n{run}");
        }
        run.json()
    };
    assert_eq!(idle(&["deploy"])["verdict"], "unchanged");
    assert_eq!(copy.task_definition(), before, "nothing was registered");
    let plan = copy.run(&["deploy", "--dry-run"]).code(0).prints("leave loppestars/loppestars on ");
    assert!(!plan.stdout().contains("docker buildx build"), "{plan}");

    // Another commit with the same inputs: the image gets its tag, and nothing is built.
    copy.append("README.md", "\nMore.\n");
    copy.commit();
    let run = copy.run(&["deploy"]).code(0).prints("unchanged").says(", which has the same inputs");
    assert!(!run.stderr().contains("docker buildx build"), "{run}");
    let report = idle(&["build", "--push"]);
    assert_eq!((&report["built"], &report["digest"]), (&false.into(), &digest.into()));
    assert_eq!(copy.task_definition(), before, "nothing was registered");

    // Who asks for it gets a rollout without a build, or a build.
    let plan = copy.run(&["deploy", "--force", "--dry-run"]).code(0).prints("update loppestars/");
    assert!(!plan.stdout().contains("docker buildx build"), "{plan}");
    for option in ["--no-cache", "--pull"] {
        copy.run(&["deploy", option, "--dry-run"]).code(0).prints("docker buildx build");
    }
    // The base image is in no registry, so there is nothing newer.
    let plan = copy.run(&["deploy", "--refresh", "--dry-run"]).code(0);
    assert!(!plan.stdout().contains("docker buildx build"), "{plan}");
}

fn change_of_code(copy: &Copy) {
    copy.append("api/loppestars/main.py", &unique_comment());
    let before = copy.digest();
    let run = copy.run(&["build", "--format", "json"]).code(0);
    let stages = run.json()["build"]["stages"].clone();
    let run_stages: Vec<_> = stages
        .as_array()
        .unwrap()
        .iter()
        .filter(|stage| stage["run"].as_u64() > Some(0))
        .map(|stage| stage["name"].as_str().unwrap().to_owned())
        .collect();
    for stage in &run_stages {
        let expected = ["application", "runtime"].contains(&stage.as_str());
        assert!(expected, "only what holds the code is built again: {run_stages:?}");
    }
    assert!(!run_stages.is_empty(), "the change was built");

    let (run, outputs, summary) = copy.run_as_job(&["deploy", "--format", "json"]);
    let report = run.code(0).json();
    assert_eq!(report["verdict"], "succeeded");
    let now = report["digest"].as_str().unwrap();
    assert_ne!(now, before);
    assert_eq!(copy.digest(), now, "the new digest runs");
    let (image, revision) = (report["image"].as_str().unwrap(), copy.task_definition());
    assert_eq!(
        outputs,
        format!("image={image}\ndigest={now}\ntask-definition={revision}\nverdict=succeeded\n")
    );
    assert!(summary.starts_with("### local: succeeded\n\nImage `"), "{summary}");
    assert!(summary.contains("| succeeded, 1 running |"), "{summary}");
    assert!(summary.contains("\nbuild ") && summary.contains(" s, push "), "{summary}");
}

/// A change that no earlier run of this test left in the builder's cache.
fn photo(copy: &Copy) {
    let status = copy.run(&["local", "status", "--format", "json"]).code(0).json();
    assert!(status["try"].as_str().unwrap().starts_with("curl "), "{status}");
    let (url, body) = copy.example();
    let answer = http::post(&url, &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["success"], true, "{answer}");
    assert!(answer["facesDetected"].as_u64() >= Some(1), "{answer}");
    let stored = copy.stored_photo(answer["processedImageUrl"].as_str().unwrap());
    assert!(stored.starts_with(&[0xff, 0xd8, 0xff]), "a JPEG was stored");
}

/// The built image on this machine, without AWS.
fn run_here(copy: &Copy) {
    let args = ["run", "--port", "8093", "--until-healthy", "--format", "json"];
    let ran = copy.run(&args).code(0).says("Uvicorn running").json();
    assert_eq!(ran["url"], "http://127.0.0.1:8093", "{ran}");
    let run = copy.interrupt(&["run", "--port", "8093"], "healthy after", Duration::ZERO);
    run.code(130).says("the container loppestars-run is being removed");
    assert!(!copy.has_container("loppestars-run"), "it is removed on every way out");
    // The emulator listens there.
    copy.run(&["run", "--port", "4577"]).code(3).says("the container can not be started");
}

/// What the service logged of the photo, read from CloudWatch Logs.
fn logs(copy: &Copy) {
    let text = copy.run(&["logs"]).code(0);
    text.prints("loppestars/");
    let lines = copy.run(&["logs", "--format", "json", "--since", "1h"]).code(0).records();
    assert_eq!(lines[0]["service"], "loppestars", "{lines:?}");
    copy.run(&["logs", "--container", "none"]).code(3).says("the containers loppestars");
}

/// A container that exits at once: the circuit breaker rolls back, and we say why.
fn failing_container(copy: &Copy) {
    let before = copy.digest();
    let dockerfile = copy.read("Dockerfile");
    copy.append(
        "Dockerfile",
        "\nCMD [\"python3\", \"-c\", \"raise SystemExit('planted failure')\"]\n",
    );
    let (run, outputs, summary) = copy.run_as_job(&["deploy", "--format", "json"]);
    let run = run.code(6).says("planted failure").says("::error title=the rollout failed");
    let report = run.json();
    let digest = report["digest"].as_str().unwrap();
    assert!(outputs.contains(&format!("\ndigest={digest}\n")), "{outputs}");
    assert!(outputs.ends_with("\nverdict=rolled-back\n"), "{outputs}");
    assert!(summary.starts_with("### local: rolled-back\n\n```text\n"), "{summary}");
    assert!(
        summary.contains("Tasks that failed:") && summary.contains("planted failure"),
        "{summary}"
    );
    assert_eq!(
        (report["verdict"].as_str(), report["exit-code"].as_u64()),
        (Some("rolled-back"), Some(6))
    );
    assert!(report["error"].as_str().is_some(), "{report}");
    assert_eq!(copy.digest(), before, "the earlier revision serves");
    assert_eq!(http::get(&copy.url("/health")).status, 200);
    copy.write("Dockerfile", &dockerfile);
}

/// A container that ECS takes for good and that never answers: the check finds it, and we put
/// the earlier revision back.
fn container_that_never_answers(copy: &Copy) {
    let before = copy.digest();
    let dockerfile = copy.read("Dockerfile");
    copy.append("Dockerfile", "\nCMD [\"sleep\", \"300\"]\n");
    let config = copy.variant(&[("timeout = \"30s\"", "timeout = \"5s\"")]);
    let run = copy.run(&["deploy", "--config", &config]).code(10);
    run.says("does not answer 200").says("is back on").prints("verification-failed");
    assert_eq!(copy.digest(), before, "the earlier revision serves");
    assert_eq!(http::get(&copy.url("/health")).status, 200);
    copy.write("Dockerfile", &dockerfile);
}

fn rollback(copy: &Copy) {
    let before = copy.digest();
    copy.append("api/loppestars/main.py", &unique_comment());
    copy.run(&["deploy"]).code(0);
    assert_ne!(copy.digest(), before);
    copy.run(&["rollback"]).code(0).prints("succeeded");
    assert_eq!(copy.digest(), before, "the one before is back, not the one that failed");
    copy.run(&["deploy"]).code(0);
}

fn interruption(copy: &Copy) {
    let before = copy.task_definition();
    let run =
        copy.interrupt(&["deploy", "--no-cache"], "docker buildx build", Duration::from_secs(2));
    run.code(130).says("interrupted; ").says("its build had not ended");
    assert_eq!(copy.task_definition(), before);
    assert_eq!(copy.leftovers(), Vec::<String>::new(), "no credentials are left");
}

fn wrong_names(copy: &Copy) {
    let run = |key: &str, was: &str, is: &str| {
        let config = copy.variant(&[(&format!("{key} = {was}"), &format!("{key} = {is}"))]);
        copy.run(&["deploy", "--config", &config]).code(3)
    };
    run("cluster", "\"loppestars\"", "\"nowhere\"").says("no ECS cluster `nowhere`");
    run("services", "[\"loppestars\"]", "[\"nobody\"]").says("no ECS service `nobody`");
    run("container", "\"loppestars\"", "\"none\"").says("no container `none`");
    copy.run(&["deploy", "--image", "git-none"]).code(3).says("no image `git-none`");
    // The emulator takes a key of twelve digits for the account, and any other for its own.
    let config = copy.variant(&[
        ("account = \"000000000000\"", "account = \"111111111111\""),
        ("made-up-credentials = true", ""),
    ]);
    let keys = [("AWS_ACCESS_KEY_ID", "somebody"), ("AWS_SECRET_ACCESS_KEY", "somebody")];
    copy.run_with(&keys, &["deploy", "--config", &config])
        .code(3)
        .says("the credentials are of account 000000000000");
}

fn disk_usage_and_prune(copy: &Copy) {
    let rows = copy.usage();
    assert!(rows("builder", "total") > 0 && rows("registry", "total") > 0, "there is something");
    let digest = copy.digest();
    copy.run(&["prune", "--registry"]).code(2).says("--yes");
    copy.run(&["prune", "--registry", "--dry-run"]).code(0);
    copy.run(&["prune", "--all", "--registry", "--yes"]).code(0);
    let after = copy.usage();
    assert!(after("builder", "total") < rows("builder", "total"), "the builder's cache is smaller");
    assert!(after("registry", "total") <= rows("registry", "total"));
    assert_eq!(copy.digest(), digest);
    copy.run(&["deploy", "--image", &digest]).code(0).prints("unchanged");
}

/// Old revisions go, and a rollback still finds the one before.
fn old_task_definitions(copy: &Copy) {
    let ask = |operation: &str, request: &Value| {
        let target = format!("AmazonEC2ContainerServiceV20141113.{operation}");
        http::aws(&format!("http://127.0.0.1:{PORT}/"), &target, request).json()
    };
    // The emulator lists every task that ever stopped, so these are the only ones of no use.
    let unused: Vec<String> = (0..3)
        .map(|_| {
            let request = json!({ "family": "loppestars",
                "containerDefinitions": [{ "name": "loppestars", "image": "none" }] });
            let definition = ask("RegisterTaskDefinition", &request);
            definition["taskDefinition"]["taskDefinitionArn"].as_str().unwrap().to_owned()
        })
        .collect();
    let status = |arn: &String| {
        let found = ask("DescribeTaskDefinition", &json!({ "taskDefinition": arn }));
        found["taskDefinition"]["status"].as_str().unwrap().to_owned()
    };
    let config = copy.variant(&[("keep-task-definitions = 3", "keep-task-definitions = 1")]);
    let run = |more: &[&str]| {
        let args = ["prune", "--task-definitions-only", "--config", &config, "--format", "json"];
        copy.run(&[&args[..], more].concat()).code(0).json()["task-definitions"].clone()
    };
    let planned = run(&["--dry-run"]);
    let kept = planned["keep"].as_array().unwrap();
    let reasons: Vec<&str> = kept
        .iter()
        .flat_map(|kept| kept["reasons"].as_array().unwrap())
        .map(|reason| reason["reason"].as_str().unwrap())
        .collect();
    for reason in ["in-use", "previous-of", "stack", "newest"] {
        assert!(reasons.contains(&reason), "{reason}: {planned}");
    }
    let done = run(&["--yes"]);
    let gone: Vec<_> =
        done["deregistered"].as_array().unwrap().iter().map(|of| &of["arn"]).collect();
    assert_eq!(gone, [&unused[0], &unused[1]], "the newest stays: {done}");
    assert_eq!([0, 1, 2].map(|at| status(&unused[at])), ["INACTIVE", "INACTIVE", "ACTIVE"]);
    copy.run(&["rollback"]).code(0).prints("succeeded");
    copy.run(&["deploy"]).code(0);
}

fn rebuild_from_the_registry_cache(copy: &Copy) {
    // The cache tag went with the prune; this writes it again, and then the builder forgets.
    copy.run(&["build", "--push", "--force"]).code(0);
    copy.run(&["prune", "--all", "--yes"]).code(0);
    let json = copy.run(&["build", "--push", "--force", "--format", "json"]).code(0).json();
    assert_eq!(json["build"]["run-steps"], 0, "every step comes from the registry cache: {json}");
}
