//! What is refused, what is meant, and what every error names.

use super::*;
use crate::config::KeepTagged;
use crate::config::builder::Space;

const BASE: &str = r#"
    [image]
    name = "app"
    [env.test]
    account = "123456789012"
    region = "eu-central-1"
    repository = "app"
    cluster = "app"
    services = ["app"]
    container = "app"
"#;

fn with(extra: &str) -> Result<Config> {
    let file = toml::from_str(&format!("{BASE}{extra}")).expect("a test's TOML is valid");
    let lookup = |name: &str| (name == "SET").then(|| "value".to_owned());
    resolve(file, Path::new("/p"), Path::new("/p/xtask.toml"), Some("test"), &lookup)
}

fn refused(extra: &str) -> String {
    let error = with(extra).map(|_| ()).unwrap_err();
    assert_eq!(crate::exit::exit_of(&error), Exit::Usage);
    assert!(crate::exit::hint_of(&error).is_some(), "{error}");
    error.to_string()
}

#[test]
fn defaults_are_those_of_the_guide() {
    let config = with("").unwrap();
    let env = config.env.unwrap();
    assert_eq!(env.image(), "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app");
    assert_eq!((env.desired_count, env.deadline), (1, Duration::from_secs(900)));
    assert_eq!(config.cache.tag, "buildcache");
    assert_eq!(config.image.platforms, ["linux/amd64"]);
}

#[test]
fn references_to_variables_are_resolved_or_named() {
    let env = with("environment = { A = { env = \"SET\" } }").unwrap().env.unwrap();
    assert_eq!(env.environment["A"], "value");
    let error = refused("environment = { A = { env = \"UNSET\" } }");
    assert_eq!(
        error,
        "/p/xtask.toml: env.test.environment.A: the environment variable UNSET is not set"
    );
    let env = with("environment = { A = { env = \"UNSET\", default = \"d\" } }").unwrap().env;
    assert_eq!(env.unwrap().environment["A"], "d");
}

#[test]
fn secrets_are_refused_where_they_would_be_seen() {
    assert!(refused("args = { API_TOKEN = \"x\" }").contains("args.API_TOKEN"));
    assert!(refused("environment = { DB_PASSWORD = \"x\" }").contains("DB_PASSWORD"));
    let both = "environment = { A = \"x\" }\nsecrets = { A = \"arn:x\" }";
    assert!(refused(both).contains("also in `secrets`"));
}

#[test]
fn values_that_give_themselves_away_are_refused_and_not_shown() {
    let token = format!("ghp_{}", "a1B2c3".repeat(6));
    let url = "https://app:hunter2@db.example/x";
    for (value, what) in [(url, "a URL with credentials"), (token.as_str(), "a GitHub token")] {
        let lookup = |name: &str| (name == "SET").then(|| value.to_owned());
        let literal = format!("\"{value}\"");
        for value in [literal.as_str(), "{ env = \"SET\" }", "{ env = \"X\", default = LITERAL }"] {
            let value = value.replace("LITERAL", &literal);
            for (place, way_out) in [
                (format!("args = {{ BASE = {value} }}"), "[[image.secrets]]"),
                (format!("environment = {{ BASE = {value} }}"), "[env.NAME.secrets]"),
                (format!("[image.args]\nBASE = {value}"), "[[image.secrets]]"),
            ] {
                let place = match place.strip_prefix("[image.args]") {
                    Some(args) => {
                        BASE.replace("[env.test]", &format!("[image.args]{args}\n[env.test]"))
                    }
                    None => format!("{BASE}{place}"),
                };
                let file: File = toml::from_str(&place).unwrap();
                let path = Path::new("/p/xtask.toml");
                let error = resolve(file, Path::new("/p"), path, Some("test"), &lookup);
                let error = error.map(|_| ()).unwrap_err();
                let shown = format!("{error:#} {error:?}");
                assert!(shown.contains(what) && shown.contains("BASE: "), "{shown}");
                assert!(!shown.contains("hunter2") && !shown.contains(&token), "{shown}");
                assert!(crate::exit::hint_of(&error).unwrap().contains(way_out), "{shown}");
            }
        }
    }
}

#[test]
fn nothing_else_that_is_shown_may_hold_a_secret() {
    let url = "https://app:hunter2@h.example/x";
    for (extra, key) in [
        (format!("health = {{ url = \"{url}\" }}"), "health.url"),
        (format!("secrets = {{ A = \"{url}\" }}"), "secrets.A"),
        (
            format!(
                "builder = {{ name = \"b\", driver = \"docker-container\", \
                 driver-options = [\"env.HTTPS_PROXY={url}\"] }}"
            ),
            "builder.driver-options",
        ),
        (
            format!(
                "cache = {{ backends = [{{ type = \"s3\", bucket = \"b\", endpoint-url = \"{url}\" }}] }}"
            ),
            "cache.backends.endpoint-url",
        ),
    ] {
        let error = refused(&extra);
        assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
    }
}

#[test]
fn harmless_values_are_taken() {
    for value in [
        "3.13-slim-trixie",
        "5891b5b522d5df086d0ff0b110fbd9d21bb4fc71",
        "https://pypi.example.org/simple",
        "https://github.com/loppestars/api",
        "app@sha256:2a56a11a57a4a295956b0660b4a3d76bbdca2206c4961cea8efe7d95c7cb2f2d",
    ] {
        for name in ["TOKENIZER_VERSION", "SOURCE_URL", "BASE_IMAGE"] {
            with(&format!("args = {{ {name} = \"{value}\" }}")).unwrap();
        }
    }
}

#[test]
fn a_header_of_the_health_check_may_come_from_the_environment() {
    let health = "health = { url = \"http://h\", headers = { Authorization = { env = \"SET\" } } }";
    let health = with(health).unwrap().env.unwrap().health.unwrap();
    assert_eq!(health.headers["Authorization"], "value");
}

#[test]
fn made_up_credentials_never_leave_this_machine() {
    for url in ["http://127.0.0.1:4566", "http://localhost", "http://[::1]:1/x"] {
        assert!(is_on_this_machine(url), "{url}");
    }
    for url in [
        "https://ecs.eu-central-1.amazonaws.com",
        "http://localhost@evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
    ] {
        assert!(!is_on_this_machine(url), "{url}");
    }
    assert!(refused("made-up-credentials = true").contains("only for an endpoint"));
}

#[test]
fn impossible_values_are_refused_with_their_key() {
    assert!(refused("deadline = \"soon\"").contains("env.test.deadline"));
    assert!(refused("deadline = \"0s\"").contains("env.test.deadline"));
    assert!(refused("desired-count = 4294967295").contains("env.test.desired-count"));
    assert!(refused("health = { }").contains("env.test.health"));
    for url in ["htp:/bad", "file:///etc/passwd", "http://", "http://h/a b"] {
        let error = refused(&format!("health = {{ url = \"{url}\" }}"));
        assert!(error.contains("env.test.health.url"), "{error}");
    }
    let header = "health = { url = \"http://h\", headers = { A = \"b\\r\\nC: d\" } }";
    assert!(refused(header).contains("env.test.health.headers.A"));
    assert!(refused("builder = { driver = \"docker-container\" }").contains("builder.name"));
    assert!(
        refused("builder = { driver = \"remote\", name = \"r\" }").contains("builder.endpoint")
    );
}

fn builder(toml: &str) -> crate::config::Builder {
    with(&format!("[env.test.builder]\nname = \"b\"\n{toml}")).unwrap().builder
}

#[test]
fn a_builder_has_its_nodes_with_the_common_options_and_their_own() {
    let found = builder("driver = \"docker-container\"\ndriver-options = [\"network=host\"]");
    assert_eq!(found.nodes.len(), 1);
    assert_eq!(found.nodes[0].options["network"], "host");
    let found = builder(
        "driver = \"remote\"\ndriver-options = [\"cacert=certs/ca.pem\", \"servername=x\"]\n\
         [[env.test.builder.nodes]]\nendpoint = \"tcp://amd:1\"\nplatforms = [\"linux/amd64\"]\n\
         [[env.test.builder.nodes]]\nname = \"arm\"\nendpoint = \"tcp://arm:1\"\n\
         driver-options = [\"servername=arm\"]",
    );
    let names: Vec<_> = found.nodes.iter().map(|node| &*node.options["servername"]).collect();
    assert_eq!(names, ["x", "arm"]);
    assert_eq!(found.nodes[0].options["cacert"], "/p/certs/ca.pem", "buildx wants it absolute");
    assert_eq!(found.nodes[1].name.as_deref(), Some("arm"));
}

#[test]
fn limits_of_a_builder_are_options_of_its_driver_and_a_file_for_buildkit() {
    let limits = "[env.test.builder.resources]\ncpus = 1.5\nmemory = \"4GiB\"\n\
        [env.test.builder.gc]\nmax-used-space = \"20GB\"\nmin-free-space = \"10%\"\n\
        [[env.test.builder.gc.policies]]\nfilters = [\"type==exec.cachemount\"]\nkeep-duration = \"7d\"";
    let found = builder(&format!("driver = \"docker-container\"\n{limits}"));
    let options: Vec<_> = found.nodes[0].options.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(options, ["cpu-period=100000", "cpu-quota=150000", "memory=4294967296"]);
    assert_eq!(found.buildkitd.limits.max_used, Some(Space::Bytes(20_000_000_000)));
    assert_eq!(found.buildkitd.limits.min_free, Some(Space::Percent(10)));
    assert_eq!(found.buildkitd.policies[0].keep_duration, Some(Duration::from_secs(604_800)));
    let found = builder(&format!("driver = \"kubernetes\"\n{limits}"));
    let options: Vec<_> = found.nodes[0].options.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(options, ["limits.cpu=1500m", "limits.memory=4294967296"]);
}

#[test]
fn keys_of_a_builder_that_its_driver_would_not_heed_are_refused() {
    let refused = |rest: &str| refused(&format!("[env.test.builder]\n{rest}"));
    for (builder, key) in [
        ("platforms = [\"linux/arm64\"]", "builder.platforms"),
        ("max-parallelism = 2", "builder.max-parallelism"),
        ("driver = \"docker\"\ngc = { max-used-space = \"1GB\" }", "builder.gc"),
        ("driver = \"remote\"\nname = \"b\"\nresources = { cpus = 1 }", "builder.resources"),
        ("driver = \"kubernetes\"\nname = \"b\"\nendpoint = \"x\"", "builder.endpoint"),
        ("driver = \"docker-container\"\nname = \"default\"", "builder.name"),
        (
            "driver = \"docker-container\"\nname = \"b\"\nendpoint = \"x\"\nnodes = [{}]",
            "builder.nodes",
        ),
        ("driver = \"remote\"\nname = \"b\"\nnodes = [{}]", "builder.nodes.endpoint"),
    ] {
        let error = refused(builder);
        assert!(error.contains(&format!("{key}: ")), "{builder}: {error}");
    }
    let container =
        |rest: &str| refused(&format!("name = \"b\"\ndriver = \"docker-container\"\n{rest}"));
    assert!(container("driver-options = [\"x\"]").contains("name=value"));
    assert!(container("driver-options = [\"env.API_TOKEN=x\"]").contains("looks like a secret"));
    assert!(container("resources = { memory = \"2G\" }").contains("builder.resources.memory"));
    assert!(container("resources = { cpus = 0.0 }").contains("builder.resources.cpus"));
    let twice = "driver-options = [\"memory=1g\"]\nresources = { memory = \"1GB\" }";
    assert!(container(twice).contains("says the same"));
    assert!(container("gc = { min-free-space = \"101%\" }").contains("builder.gc.min-free-space"));
    let more = "gc = { max-used-space = \"1GB\", reserved-space = \"2GB\" }";
    assert!(container(more).contains("more is reserved"));
    let both = "registries = { \"r\" = { http = true, insecure = true } }";
    assert!(container(both).contains("exclude each other"));
    let missing = "registries = { \"r\" = { ca = [\"none.pem\"] } }";
    assert!(container(missing).contains("no file /p/none.pem"));
}

#[test]
fn which_caches_go_hangs_on_whether_each_branch_has_its_own() {
    use crate::config::file::Caches;
    let caches = |text: &str| with(text).unwrap().prune.caches;
    assert_eq!(caches(""), Caches::Delete);
    assert_eq!(caches("[cache]\nbranches = true"), Caches::GoneBranches);
    assert_eq!(caches("[cache]\nbranches = true\n[prune]\ncaches = \"keep\""), Caches::Keep);
    let error = refused("[prune]\ncaches = \"gone-branches\"");
    assert!(error.contains("prune.caches"), "{error}");
}

#[test]
fn every_tag_of_a_cache_in_the_file_is_known() {
    let text = "[env.test.cache]\ntag = \"ours\"\n[[env.test.cache.backends]]\n\
        type = \"registry\"\nref = \"r:1/x/base:third\"\n[cache]\ntag = \"other\"";
    let cache = with(text).unwrap().cache;
    assert_eq!(
        (cache.tag.as_str(), cache.tags),
        ("ours", vec!["other".into(), "ours".into(), "third".into()])
    );
}

#[test]
fn what_a_prune_keeps_is_everything_that_has_a_tag_unless_a_limit_is_set() {
    let prune = with("").unwrap().prune;
    assert_eq!((prune.keep_revisions, prune.tagged), (10, None));
    assert_eq!(prune.keep_task_definitions, None);
    assert_eq!(prune.keep_untagged, Duration::from_secs(3600));
    let prune = with("[prune]\nkeep-last = 5\nkeep-tags = [\"v*\"]").unwrap().prune;
    let tagged = KeepTagged { last: 5, younger_than: None, tags: vec!["v*".into()] };
    assert_eq!(prune.tagged, Some(tagged));
    let text = "[prune]\nkeep-younger-than = \"30d\"\n[env.test.prune]\nkeep-untagged = \"0\"";
    let prune = with(text).unwrap().prune;
    assert_eq!((prune.tagged, prune.keep_untagged), (None, Duration::ZERO));
    assert!(refused("[prune]\nkeep-tags = [\"v*\"]").contains("prune.keep-tags"));
    assert!(refused("[prune]\nkeep-untagged = \"1\"").contains("prune.keep-untagged"));
    let text = "[prune]\nkeep-task-definitions = 9\n[env.test.prune]\nkeep-task-definitions = 20";
    assert_eq!(with(text).unwrap().prune.keep_task_definitions, Some(20));
    let error = refused("[prune]\nkeep-task-definitions = 0");
    assert!(error.contains("prune.keep-task-definitions"), "{error}");
}

#[test]
fn clusters_are_those_of_the_account_and_of_the_repository() {
    let env = |name: &str, account: &str, cluster: &str, more: &str| {
        format!(
            "[env.{name}]\naccount = \"{account}\"\nregion = \"eu-central-1\"\n\
             repository = \"app\"\ncluster = \"{cluster}\"\nservices = [\"s\"]\n\
             container = \"c\"\n{more}\n"
        )
    };
    let ours = "123456789012";
    let theirs = "210987654321";
    let shared = "registry = \"123456789012.dkr.ecr.eu-central-1.amazonaws.com\"";
    let text = [
        env("same", ours, "app", ""),
        env("staging", ours, "staging", ""),
        env("other", theirs, "other", ""),
        env("pulls", theirs, "pulls", shared),
        env(
            "emulated",
            ours,
            "emulated",
            "endpoint-url = \"http://127.0.0.1:1\"\nregistry = \"127.0.0.1:1\"",
        ),
    ];
    let clusters = with(&text.concat()).unwrap().clusters;
    let names: Vec<_> =
        clusters.iter().map(|c| (c.environment.as_str(), c.name.as_str())).collect();
    assert_eq!(names, [("pulls", "pulls"), ("same", "app"), ("staging", "staging")]);
}

#[test]
fn a_parameter_that_is_not_set_stops_only_who_needs_it() {
    let infra = "infra = { stack = \"s\", template = \"t\", parameters = { \
                 A = { env = \"SET\" }, B = { env = \"UNSET\" } } }";
    let stack = with(infra).unwrap().env.unwrap().infra.unwrap();
    let error = stack.values().map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("infra.parameters.B: the environment variable UNSET"));
    assert_eq!(stack.parameters["A"], "value");
}

#[test]
fn an_unknown_environment_lists_the_known_ones() {
    let file = toml::from_str(BASE).expect("a test's TOML is valid");
    let error = resolve(file, Path::new("/p"), Path::new("/p/x"), Some("prod"), &|_| None)
        .map(|_| ())
        .unwrap_err();
    assert_eq!(crate::exit::hint_of(&error), Some("it has: test"));
}
