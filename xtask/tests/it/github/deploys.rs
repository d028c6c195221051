//! Whole deploys in a job, against a stand-in for AWS.

use base64::Engine as _;
use serde_json::{Value, json};

use super::{assert_groups, join, read, redacted};
use crate::deployed::{Deployed, MADE_UP, Twist};
use crate::support::Run;

const ARGS: [&str; 3] = ["deploy", "--env", "test"];

const REVISION: &str = "arn:aws:ecs:eu-central-1:123456789012:task-definition/app:2";

/// A job whose builds play this recording and end with this code.
fn job(recording: &str, code: i32, twist: Box<Twist>) -> Deployed {
    let more = format!("{MADE_UP}deadline = \"60s\"\n");
    let mut deployed = Deployed::new(&more, twist);
    join(&mut deployed.project);
    deployed.project.fake_docker(recording, code);
    deployed
}

fn as_it_is() -> Box<Twist> {
    Box::new(|_, _| None)
}

/// Replaces something in the script of the fake `docker`.
#[track_caller]
fn edit_docker(deployed: &Deployed, old: &str, new: &str) {
    let path = deployed.project.path("bin/docker");
    let script = std::fs::read_to_string(&path).unwrap();
    assert!(script.contains(old), "{old} in {script}");
    std::fs::write(&path, script.replace(old, new)).unwrap();
}

/// Lets the fake `docker` push an image of this digest.
fn push(deployed: &Deployed, digest: &str) {
    edit_docker(deployed, &format!("sha256:{}", "ab".repeat(32)), digest);
}

/// Asserts the outputs. What is empty is not known.
#[track_caller]
fn outputs(deployed: &Deployed, expected: [(&str, &str); 4], run: &Run) {
    let text = read(&deployed.project, "output");
    let mut lines: Vec<_> = text.lines().filter(|line| !line.ends_with('=')).collect();
    lines.sort_unstable();
    let expected = expected.iter().filter(|(_, value)| !value.is_empty());
    let mut expected: Vec<_> = expected.map(|(name, value)| format!("{name}={value}")).collect();
    expected.sort_unstable();
    assert_eq!(lines, expected, "{run}");
}

/// The annotations that are errors.
fn errors(run: &Run) -> Vec<String> {
    let stderr = run.stderr();
    stderr.lines().filter(|line| line.starts_with("::error ")).map(str::to_owned).collect()
}

#[test]
fn a_deploy_that_goes_well() {
    let deployed = job("push_cache_hit.jsonl", 0, as_it_is());
    let run = deployed.project.run(&ARGS).code(0);
    assert_groups(&run);
    assert_eq!(errors(&run), Vec::<String>::new());
    // The token is as young as can be when it is used.
    let calls = deployed.project.calls();
    let [.., login, build] = calls.as_slice() else { panic!("{calls:?}") };
    assert!(login.starts_with("login --username AWS --password-stdin r.example"), "{calls:?}");
    assert!(build.starts_with("buildx build --builder default"), "{calls:?}");
    // One manifest and no attestations; a cache that ECR takes, and whose export fails no build.
    for option in
        ["--provenance=false", "image-manifest=true,oci-mediatypes=true", "ignore-error=true"]
    {
        assert!(build.contains(option), "{option}: {build}");
    }
    let groups = run.stderr().matches("::group::[").count();
    assert!(run.stderr().contains(&format!("::group::[{groups}/{groups}] check that ")), "{run}");
    let digest = format!("sha256:{}", "ab".repeat(32));
    let image = format!("r.example/app@{digest}");
    outputs(
        &deployed,
        [
            ("image", &image),
            ("digest", &digest),
            ("task-definition", REVISION),
            ("verdict", "succeeded"),
        ],
        &run,
    );
    let summary = redacted(&deployed.project, &read(&deployed.project, "summary"));
    let begin = "### test: succeeded\n\nImage `r.example/app@sha256:DIGEST`\n\n| service |";
    assert!(summary.starts_with(begin), "{summary}");
    let row = "| api | app:1 → app:2 | succeeded, 1 running | N s | N s | N s | N s |  |\n";
    assert!(summary.contains(row), "{summary}");
    for phase in ["\nbuild ", " s, push ", " s, cache export "] {
        assert!(summary.contains(phase), "{summary}");
    }
    assert!(summary.contains("~ containers.app.image  r.example/app@sha256:1 → "), "{summary}");
}

#[test]
fn a_build_that_fails_is_shown_at_its_line() {
    let deployed = job("failing_run.jsonl", 1, as_it_is());
    let run = deployed.project.run(&ARGS).code(4);
    assert_groups(&run);
    let errors = errors(&run);
    let begin =
        "::error title=the build failed,file=Dockerfile,line=6::runtime 2/2 failed: exit code 3%0A";
    assert!(errors.len() == 1 && errors[0].starts_with(begin), "{errors:?}\n{run}");
    let none = [("image", ""), ("digest", ""), ("task-definition", "")];
    outputs(&deployed, [none[0], none[1], none[2], ("verdict", "build-failed")], &run);
    let summary = read(&deployed.project, "summary");
    assert!(
        summary.starts_with("### test: build-failed\n\n```text\nruntime 2/2 failed"),
        "{summary}"
    );
    assert!(deployed.server.calls("UpdateService").is_empty());
}

#[test]
fn a_rollout_that_fails_says_why_and_what_was_pushed() {
    let deployed = job("push_cache_hit.jsonl", 0, as_it_is());
    push(&deployed, "sha256:bad");
    let run = deployed.project.run(&ARGS).code(6);
    assert_groups(&run);
    let errors = errors(&run);
    assert_eq!(errors.len(), 1, "{run}");
    assert!(errors[0].starts_with("::error title=the rollout failed"), "{run}");
    assert!(errors[0].contains("said so; api is back on app:1"), "{run}");
    outputs(
        &deployed,
        [
            ("image", "r.example/app@sha256:bad"),
            ("digest", "sha256:bad"),
            ("task-definition", REVISION),
            ("verdict", "rolled-back"),
        ],
        &run,
    );
    let summary = read(&deployed.project, "summary");
    assert!(summary.starts_with("### test: rolled-back\n\n```text\n"), "{summary}");
    assert!(
        summary.contains("| api | app:1 → app:2 | failed, not rolled back: said so |"),
        "{summary}"
    );
}

#[test]
fn what_was_pushed_is_told_also_when_the_lock_is_held() {
    let deployed = job("push_cache_hit.jsonl", 0, as_it_is());
    let other = json!({ "id": "f00", "who": "maria@desk\n::error::x", "what": "##[error]y",
        "since": "now", "lease-seconds": 90 });
    deployed.cloud.parameters.set("/xtask/lock/app/api", &other.to_string());
    push(&deployed, "sha256:2");
    let run = deployed.project.run(&[&ARGS[..], &["--if-busy", "abort"]].concat()).code(8);
    assert_groups(&run);
    outputs(
        &deployed,
        [
            ("image", "r.example/app@sha256:2"),
            ("digest", "sha256:2"),
            ("task-definition", ""),
            ("verdict", "superseded"),
        ],
        &run,
    );
}

#[test]
fn an_interruption_tells_what_was_pushed_and_registered() {
    let deployed = job("push_cache_hit.jsonl", 0, as_it_is());
    push(&deployed, "sha256:slow");
    let child = deployed.start(&ARGS);
    deployed.await_calls("ListTasks", 6);
    let sent =
        std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status();
    assert!(sent.unwrap().success());
    let run = Run::new(&ARGS, child.wait_with_output().unwrap()).code(130);
    assert_groups(&run);
    assert!(errors(&run)[0].starts_with("::error title=interrupted::interrupted; "), "{run}");
    outputs(
        &deployed,
        [
            ("image", "r.example/app@sha256:slow"),
            ("digest", "sha256:slow"),
            ("task-definition", REVISION),
            ("verdict", "interrupted"),
        ],
        &run,
    );
    let summary = read(&deployed.project, "summary");
    assert!(summary.starts_with("### interrupted\n\n```text\ninterrupted; "), "{summary}");
    assert!(summary.contains("\nimage `r.example/app@sha256:slow`\n"), "{summary}");
}

/// What commands Actions, in every form that a runner takes.
const COMMANDS: &str = "::set-output name=image::evil\n  ::error::forged\n::stop-commands::x\r\n\
    progress\r::add-path::/evil\r##[error]forged\n%0A::error::forged\n\u{1b}[1m::endgroup::\n";

/// A build whose step, log and error command Actions; it fails.
fn evil_recording() -> String {
    let digest = format!("sha256:{}", "1".repeat(64));
    let name = format!("[runtime 1/1] RUN echo\n{COMMANDS}");
    let at = |second: u32| format!("2026-01-01T00:00:0{second}Z");
    let data = base64::engine::general_purpose::STANDARD.encode(COMMANDS);
    let started = json!({ "digest": digest, "name": name, "started": at(1) });
    let error = format!("{COMMANDS}did not complete successfully: exit code: 3");
    let ended = json!({ "digest": digest, "name": name, "started": at(1), "completed": at(2),
        "error": error });
    let lines: Vec<Value> = vec![
        json!({ "vertexes": [started] }),
        json!({ "logs": [{ "vertex": digest, "stream": 1, "data": data, "timestamp": at(1) }] }),
        json!({ "vertexes": [ended] }),
    ];
    let mut text: String = lines.iter().map(|line| format!("{line}\n")).collect();
    text.push_str(&format!(
        "Dockerfile:1\n----\n   1 | >>> RUN echo {COMMANDS}----\nERROR: {error}\n"
    ));
    text
}

#[test]
fn what_a_build_says_commands_nothing() {
    for (verbosity, format) in [("-v", "text"), ("-vv", "json")] {
        let deployed = job("failing_run.jsonl", 1, as_it_is());
        let recording = deployed.project.path("evil.jsonl");
        std::fs::write(&recording, evil_recording()).unwrap();
        edit_docker(&deployed, "  cat '", &format!("  cat '{}' >&2; true '", recording.display()));
        let args = [&ARGS[..], &[verbosity, "--format", format]].concat();
        let run = deployed.project.run(&args).code(4);
        assert_groups(&run);
        assert_eq!(errors(&run).len(), 1, "{run}");
        // It was shown, and not left out.
        assert!(run.stderr().contains(": :set-output name=image::evil"), "{run}");
        let none = [("image", ""), ("digest", ""), ("task-definition", "")];
        outputs(&deployed, [none[0], none[1], none[2], ("verdict", "build-failed")], &run);
    }
}

#[test]
fn what_ecs_and_a_tasks_log_say_commands_nothing() {
    let stopped = |arn: &Value| {
        json!({ "taskArn": arn, "taskDefinitionArn": REVISION, "startedBy": "ecs-svc/3",
            "lastStatus": "STOPPED", "desiredStatus": "STOPPED",
            "stopCode": "EssentialContainerExited", "stoppedReason": COMMANDS,
            "containers": [{ "name": "app", "exitCode": 1, "reason": COMMANDS }] })
    };
    let twist: Box<Twist> = Box::new(move |cloud, asked| match asked.operation.as_str() {
        "ListTasks" if asked.request["desiredStatus"] == "STOPPED" && asked.before > 2 => {
            let arn = "arn:aws:ecs:eu-central-1:123456789012:task/app/dead";
            Some((200, json!({ "taskArns": [arn] })))
        }
        "DescribeTasks" => {
            let mut tasks = asked.request["tasks"].as_array()?.clone();
            let of = |arn: &Value| arn.as_str().is_some_and(|arn| arn.ends_with("dead"));
            let dead = tasks.remove(tasks.iter().position(of)?);
            let (status, mut answer) = cloud.answer("DescribeTasks", &json!({ "tasks": tasks }));
            answer["tasks"].as_array_mut()?.push(stopped(&dead));
            Some((status, answer))
        }
        _ => None,
    });
    let deployed = job("push_cache_hit.jsonl", 0, twist);
    push(&deployed, "sha256:bad");
    let run = deployed.project.run(&ARGS).code(6);
    assert_groups(&run);
    let errors = errors(&run);
    assert_eq!(errors.len(), 1, "{run}");
    assert!(run.stderr().contains("task dead failed"), "{run}");
    let summary = read(&deployed.project, "summary");
    assert!(summary.contains("Tasks that failed:\n\n```text\napi: task dead failed"), "{summary}");
    assert_eq!(read(&deployed.project, "output").lines().count(), 4, "{run}");
}
