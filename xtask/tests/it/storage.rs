//! `cargo xtask history` and `du`, with a `docker` that answers as the engine does.

use crate::support::{MINIMAL, Project};

/// A record of one build; the rest of its keys have their defaults.
fn line(at: &str, environment: &str, seconds: u32, verdict: &str) -> String {
    format!(
        r#"{{"version":1,"at":"{at}","verdict":"{verdict}","environment":"{environment}","seconds":{seconds},"cached-steps":3,"run-steps":1,"output":"load","stages":[{{"name":"base","run":1}}]}}"#
    )
}

fn with_record(project: &Project) {
    std::fs::create_dir_all(project.path("target/xtask")).unwrap();
    let lines = [
        line("2026-11-20T06:00:00Z", "test", 60, "succeeded"),
        line("2026-11-21T06:00:00Z", "other", 7, "succeeded"),
        "cut sho".to_owned(),
        line("2026-11-22T06:00:00Z", "test", 9, "build-failed"),
        line("2026-11-23T06:00:00Z", "test", 2, "succeeded"),
    ];
    std::fs::write(project.path("target/xtask/history.jsonl"), lines.join("\n")).unwrap();
}

const HISTORY: &str = r#"case "$1 $2" in
"info --format") echo '{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"ClientInfo":{"Context":"default","Plugins":[{"Name":"buildx","Version":"0.29.1"}]}}' ;;
"buildx history")
  echo '{"ref":"a","name":"ours","status":"Completed","created_at":"2026-11-23T06:00:01Z","completed_at":"2026-11-23T06:00:02Z","total_steps":4,"cached_steps":3}'
  echo '{"ref":"b","name":"theirs","status":"Error","created_at":"2026-11-22T06:00:30Z","completed_at":"2026-11-22T06:00:31Z","total_steps":4,"cached_steps":0}' ;;
esac"#;

#[test]
fn history_shows_what_was_recorded_and_what_buildkit_remembers_besides() {
    let mut project = Project::new(MINIMAL);
    project.program("docker", HISTORY);
    with_record(&project);
    let run = project.run(&["history"]).code(0);
    run.prints("took    █▁▁  median 7.0s")
        .prints("75 % of all steps")
        .prints("build failed")
        .prints("the builder `default` remembers")
        .prints("theirs");

    let json = project.run(&["history", "--limit", "2", "--format", "json"]).code(0).json();
    let seconds: Vec<_> =
        json["builds"].as_array().unwrap().iter().map(|b| &b["seconds"]).collect();
    assert_eq!(seconds, [9.0, 2.0], "the latest two, the oldest first");
    assert_eq!(json["summary"]["succeeded"], 1);
    assert_eq!(json["other-builds"].as_array().unwrap().len(), 1, "ours is in the record: {json}");
}

#[test]
fn history_of_an_environment_and_as_a_page() {
    let mut project = Project::new(&format!(
        "{MINIMAL}{}",
        r#"[env.test]
account = "000000000000"
region = "eu-central-1"
repository = "app"
cluster = "app"
services = ["app"]
container = "app"
"#
    ));
    // Without an engine there is the record all the same.
    project.program("docker", "exit 1");
    with_record(&project);
    let args = ["history", "--env", "test", "--format", "json", "--html", "builds.html"];
    let json = project.run(&args).code(0).says("builds.html").json();
    assert_eq!((json["builds"].as_array().unwrap().len(), &json["builder"]), (3, &().into()));
    let page = std::fs::read_to_string(project.path("builds.html")).unwrap();
    assert!(page.contains("Builds of app") && page.contains("</svg>"));

    project.run(&["history", "--html", "nowhere/builds.html"]).code(2).says("--html");
}

#[test]
fn history_without_builds_says_how_they_get_there() {
    let mut project = Project::new(MINIMAL);
    project.program("docker", "exit 1");
    project.run(&["history"]).code(0).prints("cargo xtask build");
}

#[test]
fn du_tells_layers_by_stage_and_cache_mounts_by_id() {
    let mut project = Project::new(MINIMAL);
    let dockerfile = "FROM x AS base\nRUN --mount=type=cache,target=/c make\n";
    std::fs::write(project.path("Dockerfile"), dockerfile).unwrap();
    project.program(
        "docker",
        r#"case "$1 $2" in
"info --format") echo '{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"ClientInfo":{"Context":"default","Plugins":[{"Name":"buildx","Version":"0.29.1"}]}}' ;;
"system dial-stdio") printf 'HTTP/1.0 200 OK\r\n\r\n'
  echo '{"BuildCache":[{"ID":"a","Type":"regular","Size":5,"Description":"mount / from exec /bin/sh -c make"},'
  echo '{"ID":"b","Type":"exec.cachemount","Size":7,"Description":"cached mount /c from exec /bin/sh -c make with id \"//c\""},'
  echo '{"ID":"c","Type":"regular","Size":1,"Description":"[other 1/2] COPY a /b"}]}' ;;
"buildx inspect") printf 'Name: default\nDriver: docker\n\nNodes:\nName: default\nEndpoint: default\nStatus: running\n' ;;
esac"#,
    );
    let json = project.run(&["du", "--builder-only", "--format", "json"]).code(0).json();
    let rows: Vec<_> = json["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["kind"].as_str().unwrap(), row["name"].as_str(), row["bytes"].as_u64()))
        .collect();
    assert_eq!(
        rows,
        [
            ("layer", Some("base"), Some(5)),
            ("layer", None, Some(1)),
            ("cache-mount", Some("/c"), Some(7)),
            ("total", None, Some(13)),
        ]
    );
    project
        .run(&["du", "--builder-only"])
        .code(0)
        .prints("layers of stage base")
        .prints("other layers");
}

#[test]
fn a_lifecycle_policy_that_is_none_is_named_before_anybody_is_asked() {
    let mut project = Project::new(crate::support::NOWHERE);
    project.program("docker", "exit 1");
    std::fs::write(project.path("policy.json"), "{}").unwrap();
    let args = ["prune", "--env", "test", "--simulate-lifecycle", "policy.json"];
    project.run(&args).code(2).says("policy.json");
    project.run(&["prune", "--simulate-lifecycle", "--all"]).code(2).says("cannot be used with");
}
