//! The caches of `cargo xtask build`, with a `docker` that does what BuildKit's exporters do.

use crate::support::{MINIMAL, Project};

/// A fake `docker` that first runs these lines of shell, with the arguments in `$@`.
fn project(config: &str, lines: &str) -> Project {
    let mut project = Project::new(&format!("{MINIMAL}{config}"));
    project.fake_docker("cold_load.jsonl", 0);
    let path = project.path("bin/docker");
    let script = std::fs::read_to_string(&path).unwrap();
    let (shebang, rest) = script.split_once('\n').unwrap();
    std::fs::write(&path, format!("{shebang}\n{lines}\n{rest}")).unwrap();
    project
}

fn build_call(project: &Project) -> String {
    let calls = project.calls();
    calls.iter().rfind(|call| call.starts_with("buildx build")).unwrap().clone()
}

#[test]
fn the_token_of_github_s_cache_reaches_buildx_and_is_seen_nowhere() {
    const TOKEN: &str = "planted-runtime-token";
    const URL: &str = "https://results-receiver.example/planted-url";
    let config = "[[cache.backends]]\ntype = \"gha\"\nscope = \"shop\"\ntimeout = \"5m\"\n";
    let lines = "env | grep -E '^ACTIONS_' | sort > \"$HOME/seen\"";
    let mut project = project(config, lines);
    project.run(&["build", "-v"]).code(0).says("there only in GitHub Actions");
    assert!(!build_call(&project).contains("gha"), "{}", build_call(&project));

    project.set("GITHUB_ACTIONS", "true");
    project.run(&["build"]).code(0).says("ghaction-github-runtime");
    for (name, value) in [
        ("ACTIONS_RUNTIME_TOKEN", TOKEN),
        ("ACTIONS_RESULTS_URL", URL),
        ("ACTIONS_CACHE_SERVICE_V2", "True"),
    ] {
        project.set(name, value);
    }
    let run = project.run(&["build", "-vv", "--format", "json"]).code(0);
    let seen = std::fs::read_to_string(project.path("home/seen")).unwrap();
    let expected = format!(
        "ACTIONS_CACHE_SERVICE_V2=True\nACTIONS_RESULTS_URL={URL}\nACTIONS_RUNTIME_TOKEN={TOKEN}\n"
    );
    assert_eq!(seen, expected, "buildx takes them from its environment");
    let call = build_call(&project);
    assert!(call.contains("--cache-from type=gha,scope=shop,timeout=0h5m0s"), "{call}");
    assert!(
        call.contains("--cache-to type=gha,scope=shop,mode=max,timeout=0h5m0s,ignore-error=true")
    );
    let log = std::fs::read_to_string(project.path("target/xtask/build.log")).unwrap();
    let record = std::fs::read_to_string(project.path("target/xtask/history.jsonl")).unwrap();
    for text in [&call, &run.stdout(), &run.stderr(), &log, &record] {
        assert!(!text.contains(TOKEN) && !text.contains("planted-url"), "{text}");
    }
}

#[test]
fn a_bucket_is_for_builders_that_know_it_and_its_credentials_are_not_in_the_command() {
    let backend = "[[cache.backends]]\ntype = \"s3\"\nregion = \"eu-central-1\"\nbucket = \"b\"\n";
    let docker = project(backend, "");
    docker.run(&["build"]).code(0).says("knows no S3 cache").says("docker-container");
    assert!(!build_call(&docker).contains("type=s3"));

    let builder = "[builder]\nname = \"b\"\ndriver = \"docker-container\"\n";
    let mut container = project(&format!("{backend}{builder}"), "");
    container.set("AWS_ACCESS_KEY_ID", "planted-key");
    container.set("AWS_SECRET_ACCESS_KEY", "planted-secret");
    let run = container.run(&["build", "-vv"]).code(0);
    let call = build_call(&container);
    let fields = "type=s3,region=eu-central-1,bucket=b,name=buildcache";
    assert!(call.contains(&format!("--cache-from {fields} ")), "{call}");
    assert!(!call.contains("planted") && !run.stderr().contains("planted"), "{run}");
}

#[test]
fn a_folder_is_written_beside_the_old_one_and_takes_its_place() {
    let config = "[[cache.backends]]\ntype = \"local\"\npath = \"target/cache\"\n";
    // Writes what the exporter writes, unless it is told to fail.
    let lines = r#"case "$*" in *type=local,dest=*)
  dest=${*#*type=local,dest=}; dest=${dest%%,*}
  mkdir -p "$dest/blobs"
  [ -e "$HOME/fails" ] || echo "$dest" > "$dest/index.json" ;;
esac"#;
    let project = project(config, lines);
    let cache = || std::fs::read_to_string(project.path("target/cache/index.json")).unwrap();
    project.run(&["build"]).code(0);
    let first = cache();
    assert!(!build_call(&project).contains("--cache-from"), "there was none");
    project.run(&["build"]).code(0);
    let second = cache();
    assert_ne!(first, second);
    assert!(build_call(&project).contains("--cache-from type=local,src="));
    std::fs::write(project.path("home/fails"), "").unwrap();
    project.run(&["build"]).code(0);
    assert_eq!(cache(), second, "an export that failed leaves the cache as it was");
    let mut left: Vec<_> = std::fs::read_dir(project.path("target"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    assert_eq!(left, ["cache", "cache.old", "xtask"]);
}

#[test]
fn keys_of_another_kind_of_cache_are_refused() {
    for (backend, says) in [
        ("type = \"gha\"\nbucket = \"b\"", "cache.backends.bucket: it is for `type = \"s3\"`"),
        ("type = \"s3\"", "cache.backends.bucket: `type = \"s3\"` needs it"),
        ("type = \"local\"\npath = \".\"", "the project is in it"),
        ("type = \"registry\"", "cache.backends.ref"),
        ("type = \"gha\"\nread = false\nwrite = false", "neither read nor written"),
        ("type = \"ftp\"", "unknown variant `ftp`"),
    ] {
        let project = project(&format!("[[cache.backends]]\n{backend}\n"), "");
        project.run(&["build"]).code(2).says(says);
    }
    project("[cache]\ntag = \"a/b\"\n", "").run(&["build"]).code(2).says("cache.tag: it is no tag");
}
