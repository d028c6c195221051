//! `cargo xtask build` with a `docker` that plays recordings of real builds.

use crate::support::{MINIMAL, NOWHERE, Project};

#[test]
fn a_build_prints_image_digest_size_and_steps() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cold_load.jsonl", 0);
    let run = project.run(&["build"]).code(0);
    let digest = format!("digest  sha256:{}", "ab".repeat(32));
    run.prints("image   app:latest")
        .prints(&digest)
        .prints("1.2")
        .says("[1/1] docker buildx build");
    assert!(project.path("target/xtask/build.log").is_file());
}

#[test]
fn the_same_as_json_is_one_object() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cached_load.jsonl", 0);
    let json = project.run(&["build", "--format", "json"]).code(0).json();
    assert_eq!(json["image"][0], "app:latest");
    assert_eq!(json["pushed"], false);
    assert_eq!(json["size"], 1_234_567);
    assert!(json["build"]["stages"].as_array().is_some_and(|stages| !stages.is_empty()), "{json}");
}

#[test]
fn every_build_leaves_a_line_in_the_record() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cold_load.jsonl", 0);
    project.run(&["build", "--no-cache"]).code(0);
    project.fake_docker("failing_run.jsonl", 1);
    project.run(&["build", "--target", "x"]).code(4);
    let text = std::fs::read_to_string(project.path("target/xtask/history.jsonl")).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let verdicts: Vec<_> = lines.iter().map(|line| line["verdict"].as_str().unwrap()).collect();
    assert_eq!(verdicts, ["succeeded", "build-failed"]);
    let (good, failed) = (&lines[0], &lines[1]);
    assert_eq!((good["image"].as_str(), good["output"].as_str()), (Some("app"), Some("load")));
    assert_eq!(
        (good["no-cache"].as_bool(), good["image-bytes"].as_u64()),
        (Some(true), Some(1_234_567))
    );
    assert_eq!(good["digest"], format!("sha256:{}", "ab".repeat(32)));
    assert!(good["stages"][0]["steps"][0]["instruction"].is_string(), "{good}");
    assert_eq!((failed["target"].as_str(), failed["digest"].as_str()), (Some("x"), None));
}

#[test]
fn the_command_that_is_shown_is_the_command_that_is_run() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cold_load.jsonl", 0);
    let args = ["build", "--no-cache", "--pull", "--target", "base", "--tag", "x", "-t", "y/z:1"];
    let run = project.run(&args).code(0);
    let shown = run.stderr();
    let shown = shown.lines().find(|line| line.contains("docker buildx build")).unwrap();
    let calls = project.calls();
    let run = calls.iter().find(|call| call.starts_with("buildx build")).unwrap();
    assert_eq!(shown, format!("[1/1] docker {run}"));
    for part in ["--builder default", "--no-cache", "--pull", "--target base", "--load"] {
        assert!(run.contains(part), "{part}: {run}");
    }
    assert!(run.contains("--tag app:x") && run.contains("--tag y/z:1"), "{run}");
}

#[test]
fn a_dry_run_shows_the_command_and_does_not_run_it() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cold_load.jsonl", 0);
    project.run(&["build", "--dry-run"]).code(0).prints("1. docker buildx build --builder default");
    assert!(!project.calls().iter().any(|call| call.starts_with("buildx build")));
}

#[test]
fn a_failed_step_is_exit_code_4_with_its_log() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("failing_run.jsonl", 1);
    project.run(&["build"]).code(4).says("exit code").says("the whole log is in");
}

#[test]
fn a_log_that_can_not_be_written_is_one_warning() {
    let mut project = Project::new(MINIMAL);
    std::fs::create_dir_all(project.path("target/xtask/build.log")).unwrap();
    project.fake_docker("cold_load.jsonl", 0);
    let run = project.run(&["build"]).code(0).says("build.log can not be written");
    assert_eq!(run.stderr().matches("warning:").count(), 1, "{run}");
    project.fake_docker("failing_run.jsonl", 1);
    let run = project.run(&["build"]).code(4).says("exit code");
    assert!(!run.stderr().contains("the whole log is in"), "{run}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_does_not_end_a_build() {
    let mut project = Project::new(MINIMAL);
    std::fs::create_dir_all(project.path("target/xtask")).unwrap();
    std::os::unix::fs::symlink("/dev/full", project.path("target/xtask/build.log")).unwrap();
    project.fake_docker("cold_load.jsonl", 0);
    let run = project.run(&["build"]).code(0).says("build.log can not be written");
    assert_eq!(run.stderr().matches("warning:").count(), 1, "{run}");
}

#[test]
fn a_refused_push_is_exit_code_5() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("push_refused.jsonl", 1);
    project.run(&["build"]).code(5).says("error:").says("ecr:PutImage");
}

#[test]
fn a_builder_that_is_missing_is_created_and_never_used() {
    let config = format!("{MINIMAL}[builder]\nname = \"b\"\ndriver = \"docker-container\"\n");
    let mut project = Project::new(&config);
    project.fake_docker("cold_load.jsonl", 0);
    project.run(&["build"]).code(0);
    let calls = project.calls();
    let created = "buildx create --name b --driver docker-container --bootstrap";
    assert!(calls.iter().any(|call| call == created), "{calls:?}");
    assert!(calls.iter().any(|call| call.starts_with("buildx build --builder b ")), "{calls:?}");
    assert!(!calls.iter().any(|call| call.contains("--use") || call.starts_with("buildx use")));
}

#[test]
fn a_local_build_goes_on_without_a_registry() {
    let mut project = Project::new(NOWHERE);
    project.fake_docker("cold_load.jsonl", 0);
    project.run(&["build", "--env", "test"]).code(0).says("without the registry cache");
    project.run(&["build", "--env", "test", "--push"]).code(3);
}

#[test]
fn a_timeline_is_a_page_or_a_trace() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cold_load.jsonl", 0);
    project.run(&["build", "--timeline", "t.html"]).code(0);
    project.run(&["build", "--timeline", "t.json"]).code(0);
    let page = std::fs::read_to_string(project.path("t.html")).unwrap();
    assert!(page.starts_with("<!DOCTYPE html>") || page.starts_with("<!doctype html>"), "{page}");
    let trace = std::fs::read(project.path("t.json")).unwrap();
    let trace: serde_json::Value = serde_json::from_slice(&trace).unwrap();
    assert!(trace["traceEvents"].is_array(), "{trace}");
}

#[test]
fn a_timeline_that_can_not_be_written_is_told_before_the_build() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cold_load.jsonl", 0);
    for file in ["none/t.html", "home"] {
        project.run(&["build", "--timeline", file]).code(2).says("nothing was built");
    }
    assert_eq!(project.calls(), Vec::<String>::new());
}

#[test]
fn a_failed_build_has_a_timeline_too() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("failing_run.jsonl", 1);
    project.run(&["build", "--timeline", "t.html"]).code(4);
    let page = std::fs::read_to_string(project.path("t.html")).unwrap();
    assert!(page.contains("failed after") && page.contains("runtime 2/2 failed"), "{page}");
}

/// A Dockerfile with the steps of `cold_load.jsonl`.
const DOCKERFILE: &str = "\
FROM example/busybox:1 AS base
RUN echo base
FROM example/busybox:1 AS models
RUN model
FROM base AS dependencies
COPY req/ /req/
RUN install
FROM base AS runtime
COPY --from=dependencies /deps /opt/deps
COPY --from=models /model /opt/model
COPY app/ /srv/app/
RUN ls
";

#[test]
fn a_step_that_was_run_names_the_input_that_changed() {
    let mut project = Project::new(MINIMAL);
    project.fake_docker("cold_load.jsonl", 0);
    let path = project.path("Dockerfile");
    let write = |text: &str| std::fs::write(&path, text).unwrap();
    write(DOCKERFILE);
    project.run(&["build"]).code(0).prints("; no earlier build to compare with");
    project.run(&["build"]).code(0).prints("nothing changed, but no cache has its result");
    write(&DOCKERFILE.replace("RUN echo base", "# why\nRUN echo base again"));
    let json = project.run(&["build", "--format", "json"]).code(0).json();
    let first = &json["build"]["stages"][0]["first-run"];
    let line = serde_json::json!([{ "input": "dockerfile", "file": "Dockerfile", "line": 3 }]);
    assert_eq!((&first["changed"], &first["changes"]), (&line, &1.into()), "{first}");
    project.run(&["build", "--no-cache"]).code(0).prints(": --no-cache");
    let last = project.run(&["build"]).code(0).prints("base 2/2 was run");
    assert!(!last.stdout().contains("Dockerfile:3"), "it is compared with the latest\n{last}");
    // A build that failed is not compared with.
    project.fake_docker("failing_run.jsonl", 1);
    write(DOCKERFILE);
    project.run(&["build"]).code(4);
    project.fake_docker("cold_load.jsonl", 0);
    project.run(&["build"]).code(0).prints("Dockerfile:2 changed");
}
