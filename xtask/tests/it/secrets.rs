//! Secrets that a user gives, and what is said of them.

use std::collections::BTreeSet;

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::support::{MINIMAL, NOWHERE, Project, Run};

const SECRETS: &str = r#"
[[image.secrets]]
id = "variable"
env = "ASKED_FOR"
[[image.secrets]]
id = "file"
file = "netrc"
"#;

/// A `docker` that notes the names and values of what each call gets in its environment, and
/// whose build prints its secrets and fails with them.
fn docker_that_tells(project: &mut Project) {
    project.fake_docker("cold_load.jsonl", 0);
    let plain = std::fs::read_to_string(project.path("bin/docker")).unwrap();
    let log = |text: &str| BASE64_STANDARD.encode(text);
    let events = [
        r#"{"vertexes":[{"digest":"sha256:a","name":"[app 1/1] RUN set -x; login","started":"2026-01-01T00:00:00Z"}]}"#.to_owned(),
        format!(r#"{{"logs":[{{"vertex":"sha256:a","stream":2,"data":"{}"}}]}}"#, log("+ login from-dot")),
        format!(r#"{{"logs":[{{"vertex":"sha256:a","stream":2,"data":"{}"}}]}}"#, log("env and in-a-file\nat http://u:hunter2@h\n")),
        r#"{"vertexes":[{"digest":"sha256:a","name":"[app 1/1] RUN set -x; login","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z","error":"login from-dotenv: exit code: 1"}]}"#.to_owned(),
        "ERROR: login from-dotenv".to_owned(),
    ];
    std::fs::write(project.path("home/events"), events.join("\n") + "\n").unwrap();
    let script = format!(
        "env > '{0}/environment.'$$\necho \"$*\" >> '{0}/environment.'$$\n\
         case \"$*\" in 'buildx build'*--metadata-file*) cat '{0}/events' >&2; exit 1;; esac\n",
        project.path("home").display()
    );
    let rest = plain.split_once('\n').unwrap().1;
    project.program("docker", &(script + rest));
}

fn says_nothing(run: &Run, planted: &[&str]) {
    for planted in planted {
        assert!(!run.stdout().contains(planted) && !run.stderr().contains(planted), "{run}");
    }
}

#[test]
fn what_a_step_says_of_its_secrets_is_hidden() {
    let mut project = Project::new(&format!("{MINIMAL}{SECRETS}"));
    docker_that_tells(&mut project);
    std::fs::write(project.path(".env"), "ASKED_FOR=from-dotenv\nANOTHER=never-asked\n").unwrap();
    std::fs::write(project.path("netrc"), "machine h\npassword: in-a-file\n").unwrap();
    let planted = ["from-dotenv", "in-a-file", "hunter2", "never-asked"];
    for args in [&["build", "-vv"][..], &["build", "-vv", "--format", "json"]] {
        let all = [args, &["--timeline", "timeline.html"]].concat();
        let run = project.run(&all).code(4).says("+ login *** and ***").says("http://u:***@h");
        says_nothing(&run, &planted);
    }
    for file in ["target/xtask/build.log", "target/xtask/history.jsonl", "timeline.html"] {
        let text = std::fs::read_to_string(project.path(file)).unwrap();
        assert!(planted.iter().all(|planted| !text.contains(planted)), "{file}: {text}");
    }

    // Also where buildx says it by itself, and no progress at all.
    std::fs::write(project.path("home/events"), "ERROR: no from-dotenv\n").unwrap();
    says_nothing(&project.run(&["build"]).code(4).says("error: no ***"), &planted);

    // `.env` is no environment: what was asked for goes where it is needed.
    let mut with = BTreeSet::new();
    for entry in std::fs::read_dir(project.path("home")).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().starts_with("environment.") {
            continue;
        }
        let text = std::fs::read_to_string(entry.path()).unwrap();
        assert!(!text.contains("never-asked"), "{text}");
        if text.contains("from-dotenv") {
            let call = text.lines().last().unwrap();
            with.insert(call.split(' ').take(2).collect::<Vec<_>>().join(" "));
        }
    }
    assert_eq!(with.into_iter().collect::<Vec<_>>(), ["buildx build"]);
}

#[test]
fn a_password_in_a_url_is_hidden_in_errors_events_and_json() {
    let mut project = Project::new(NOWHERE);
    let error = "Cannot connect: proxyconnect http://maria:hunter2@proxy.example:3128 refused";
    project.program("docker", &format!("echo '{error}' >&2; exit 1"));
    for args in [&["build", "-vv"][..], &["doctor", "-vv"], &["doctor", "--format", "json"]] {
        let run = project.run(args);
        let all = run.stdout() + &run.stderr();
        assert!(all.contains("http://maria:***@proxy.example:3128"), "{run}");
        says_nothing(&run, &["hunter2"]);
    }
    project.set("GITHUB_ACTIONS", "true");
    project.set("GITHUB_STEP_SUMMARY", project.path("summary"));
    let run = project.run(&["build", "--format", "json"]).says("::error title=");
    says_nothing(&run, &["hunter2"]);
    assert!(run.json()["error"].as_str().unwrap().contains("maria:***@"), "{run}");
    let summary = std::fs::read_to_string(project.path("summary")).unwrap();
    assert!(summary.contains("maria:***@") && !summary.contains("hunter2"), "{summary}");
}

#[test]
fn a_build_argument_that_is_a_secret_is_refused_before_anything_is_started() {
    let config = format!("{MINIMAL}[image.args]\nINDEX = {{ env = \"INDEX\" }}\n");
    let mut project = Project::new(&config);
    project.fake_docker("cold_load.jsonl", 0);
    project.set("INDEX", "https://maria:hunter2@pypi.example/simple");
    for args in [&["build"][..], &["build", "--dry-run", "--format", "json"], &["doctor"]] {
        let run = project.run(args).code(2).says("args.INDEX").says("[[image.secrets]]");
        says_nothing(&run, &["hunter2"]);
    }
    assert_eq!(project.calls(), Vec::<String>::new());
    project.set("INDEX", "https://pypi.example/simple");
    project.run(&["build"]).code(0);
}
