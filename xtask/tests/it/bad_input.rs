//! What is wrong is named, with its place and its fix, and nothing was changed.

use crate::support::{MINIMAL, NOWHERE, Project};

#[test]
fn a_wrong_key_is_shown_with_line_and_column() {
    let project = Project::new("[image]\nname = \"app\"\nplatform = \"linux/amd64\"\n");
    project
        .run(&["build"])
        .code(2)
        .says("xtask.toml:3:1: unknown field `platform`")
        .says("`platforms`")
        .says("hint:");
}

#[test]
fn a_missing_file_and_an_unknown_environment_say_what_there_is() {
    let project = Project::new(NOWHERE);
    project.run(&["status", "--config", "other.toml"]).code(2).says("other.toml").says("hint:");
    project.run(&["status", "--env", "prod"]).code(2).says("no environment `prod`").says("test");
    project.run(&["status"]).code(2).says("no environment is named").says("--env NAME");
}

#[test]
fn the_file_is_found_from_a_folder_below() {
    let project = Project::new(MINIMAL);
    let below = project.path("a/b");
    std::fs::create_dir_all(&below).unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["status"])
        .current_dir(below)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(said.contains("no environment is named"), "{said}");
}

#[test]
fn a_wrong_command_line_is_usage() {
    let project = Project::new(MINIMAL);
    project.run(&["biuld"]).code(2).says("build");
    project.run(&["build", "--load", "--push"]).code(2);
    project.run(&["deploy", "--if-busy", "never"]).code(2).says("wait");
}

#[test]
fn no_docker_is_a_missing_prerequisite() {
    let mut project = Project::new(MINIMAL);
    project.only(&["git"]);
    project.run(&["build"]).code(3).says("`docker` can not be started").says("scripts/onboard");
}

#[test]
fn no_engine_and_no_buildx_are_told_apart() {
    let mut project = Project::new(MINIMAL);
    project.program(
        "docker",
        r#"echo '{"ServerErrors":["Cannot connect to the Docker daemon"],"ClientInfo":{}}'; exit 1"#,
    );
    project.run(&["build"]).code(3).says("the Docker Engine does not answer").says("hint:");
    project
        .program("docker", r#"echo '{"ServerVersion":"28","ClientInfo":{"Context":"default"}}'"#);
    project.run(&["build"]).code(3).says("no buildx plug-in").says("hint:");
}

#[test]
fn an_endpoint_that_does_not_answer_is_named_with_its_fix() {
    let project = Project::new(NOWHERE);
    project
        .run(&["status", "--env", "test"])
        .code(3)
        .says("ecs:DescribeServices")
        .says("cargo xtask local up");
}

#[test]
fn missing_credentials_are_named_with_their_fix() {
    let config = NOWHERE.replace("made-up-credentials = true\n", "");
    let mut project = Project::new(&config);
    project.fake_docker("cold_load.jsonl", 0);
    project.run(&["deploy", "--env", "test"]).code(3).says("credentials").says("aws sso login");
    let built = |call: &String| call.contains("--metadata-file");
    assert!(!project.calls().iter().any(built), "nothing was built");
}

#[test]
fn a_failure_is_json_where_json_was_asked_for() {
    let project = Project::new(NOWHERE);
    let run = project.run(&["status", "--env", "prod", "--format", "json"]).code(2);
    let json = run.json();
    assert_eq!(json["exit-code"], 2);
    assert_eq!(json["hint"], "it has: test");
    let broken = Project::new("[image]\n");
    let json = broken.run(&["build", "--format", "json"]).code(2).says("missing field").json();
    assert!(json["error"].as_str().unwrap().contains("xtask.toml:1:1"), "{json}");
}

#[test]
fn a_wrong_command_line_is_json_where_it_asks_for_that() {
    let project = Project::new(MINIMAL);
    let run = project.run(&["build", "--format", "json", "--lod"]).code(2).says("'--lod'");
    let json = run.json();
    assert_eq!(json["error"], "unexpected argument '--lod' found");
    assert!(json["hint"].as_str().unwrap().contains("'--load'"), "{json}");
    assert_eq!(project.run(&["build", "--lod"]).code(2).stdout(), "");
    assert_eq!(project.run(&["build", "--help", "--format", "json"]).code(0).stderr(), "");
}

#[test]
fn a_reader_that_went_away_changes_no_exit_code() {
    let mut project = Project::new(NOWHERE);
    project.fake_docker("cold_load.jsonl", 0);
    project.run_unread(&["build", "--dry-run"]).code(0);
    project.run_unread(&["completions", "bash"]).code(0);
    project.run_unread(&["doctor", "--env", "test"]).code(3);
}

#[test]
fn secrets_do_not_become_build_arguments_and_env_files_do_not_leak() {
    let config = format!("{MINIMAL}args = {{ API_TOKEN = \"hunter2\" }}\n");
    let run = Project::new(&config).run(&["build"]).code(2).says("args.API_TOKEN");
    assert!(!run.to_string().contains("hunter2"), "{run}");

    let project = Project::new(MINIMAL);
    std::fs::write(project.path(".env"), "GOOD=1\nhunter2\n").unwrap();
    let run = project.run(&["build"]).code(2).says(".env: line 2");
    assert!(!run.to_string().contains("hunter2"), "{run}");
}
