//! `cargo xtask builder` with a `docker` that knows a builder or none.

use crate::support::{MINIMAL, Project};

const CONFIGURED: &str = r#"
[builder]
name = "b"
driver = "docker-container"
driver-options = ["network=host"]
[builder.gc]
max-used-space = "20GB"
"#;

/// A `docker` whose buildx knows the builder of this `inspect`, once it is created or from the
/// beginning, until it is removed; it fails to create what is in `fails`.
fn project(config: &str, there: bool) -> Project {
    let mut project = Project::new(&format!("{MINIMAL}{config}"));
    let state = project.path("builder");
    if there {
        std::fs::write(&state, "").unwrap();
    }
    let script = format!(
        r#"echo "$*" >> '{calls}'
case "$1 $2" in
"info --format") echo '{{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],"ClientInfo":{{"Context":"default","Plugins":[{{"Name":"buildx","Version":"0.29.1"}}]}}}}' ;;
"buildx inspect")
  [ -e '{state}' ] || {{ echo "ERROR: no builder" >&2; exit 1; }}
  printf 'Name:   b\nDriver: docker-container\n\nNodes:\nName:     b0\nEndpoint: unix:///x\nDriver Options: network="host" \nStatus: running\nFile#buildkitd.toml:\n > [worker]\n > [worker.oci]\n > gc = true\n > maxUsedSpace = 20000000000\n' ;;
"buildx ls") echo '{{"Current":true,"Driver":"docker","Name":"default","Nodes":[{{"Name":"default","Endpoint":"default","Status":"running","Version":"v0.25.1","Platforms":["linux/amd64"]}}]}}' ;;
"buildx create")
  case "$*" in *fails*) echo "ERROR: it does not start" >&2; exit 1 ;; esac
  while [ $# -gt 0 ]; do
    if [ "$1" = --buildkitd-config ]; then cat "$2" > '{config}'; ls -l "$2" >> '{config}'; fi
    shift
  done
  touch '{state}' ;;
"buildx rm") rm '{state}' ;;
esac"#,
        calls = project.path("calls").display(),
        state = state.display(),
        config = project.path("buildkitd").display(),
    );
    project.program("docker", &script);
    project
}

/// The calls that change something.
fn changes(project: &Project) -> Vec<String> {
    let changes =
        |call: &String| call.starts_with("buildx create") || call.starts_with("buildx rm");
    project.calls().into_iter().filter(changes).collect()
}

#[test]
fn a_builder_is_created_shown_and_removed() {
    let project = project(CONFIGURED, false);
    project.run(&["builder", "inspect"]).code(3).prints("there          no");
    project
        .run(&["builder", "create", "--dry-run"])
        .code(0)
        .prints(
            "1. docker buildx create --name b --driver docker-container --driver-opt network=host",
        )
        .prints("maxUsedSpace = 20000000000");
    assert_eq!(changes(&project), Vec::<String>::new());

    let report = project.run(&["builder", "create", "--format", "json"]).code(0).json();
    assert_eq!(
        (report["exists"].as_bool(), &report["differences"]),
        (Some(true), &serde_json::json!([]))
    );
    assert_eq!(report["found"]["nodes"][0]["options"]["network"], "host");
    let file = std::fs::read_to_string(project.path("buildkitd")).unwrap();
    assert!(file.starts_with("[worker.oci]\ngc = true\nmaxUsedSpace = 20000000000\n"), "{file}");
    assert!(file.contains("-rw-------"), "only we can read it: {file}");
    project.run(&["builder", "create"]).code(0);
    assert_eq!(changes(&project).len(), 1, "it is there already");

    project.run(&["builder", "rm"]).code(2).says("--yes");
    project.run(&["builder", "rm", "--dry-run"]).code(0).prints("1. docker buildx rm b");
    project.run(&["builder", "rm", "--keep-state", "--yes"]).code(0);
    assert_eq!(changes(&project)[1..], ["buildx rm --keep-state b"]);
    project.run(&["builder", "rm", "--yes"]).code(0);
    assert_eq!(changes(&project).len(), 2, "there is nothing left to remove");
}

#[test]
fn a_builder_that_is_not_as_configured_is_used_and_told() {
    let config = CONFIGURED.replace("20GB", "30GB");
    let project = project(&config, true);
    let differs =
        "buildkitd worker.oci.maxUsedSpace of b0: 20000000000, and xtask.toml says 30000000000";
    project.run(&["builder", "inspect"]).code(0).prints(differs).prints("builder rm --keep-state");
    project.run(&["builder", "create"]).code(3).says("is not as configured").prints(differs);
    project
        .run(&["build", "--dry-run"])
        .code(0)
        .says("warning:")
        .says(differs)
        .says("--keep-state");
    assert_eq!(changes(&project), Vec::<String>::new(), "its cache is the user's");
}

#[test]
fn what_can_not_be_started_is_not_left_behind() {
    let config = format!(
        "{CONFIGURED}[[builder.nodes]]\nname = \"one\"\n[[builder.nodes]]\nname = \"fails\"\n"
    );
    let project = project(&config, false);
    project.run(&["builder", "create"]).code(3).says("it does not start");
    let calls = changes(&project);
    let [first, second, third] = &calls[..] else { panic!("{calls:?}") };
    assert!(
        first.contains("--node one") && second.starts_with("buildx create --append"),
        "{calls:?}"
    );
    assert_eq!(third, "buildx rm b");
    assert!(!project.path("builder").exists());
}

#[test]
fn the_engine_itself_can_not_be_removed() {
    let project = project("", true);
    project.run(&["builder", "rm", "--yes"]).code(2).says("it is the Docker Engine");
    let list = project.run(&["builder", "ls", "--format", "json"]).code(0).json();
    assert_eq!(
        (list["configured"].as_str(), list["builders"][0]["current"].as_bool()),
        (Some("default"), Some(true))
    );
    project.run(&["builder", "ls"]).code(0).prints("default (xtask.toml)  docker");
}
