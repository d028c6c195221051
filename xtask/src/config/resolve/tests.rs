//! What is refused, what is meant, and what every error names.

use super::*;

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
fn made_up_credentials_never_leave_this_machine() {
    for url in ["http://127.0.0.1:4566", "http://localhost", "http://[::1]:1/x"] {
        assert!(on_this_machine(url), "{url}");
    }
    for url in [
        "https://ecs.eu-central-1.amazonaws.com",
        "http://localhost@evil.example",
        "http://localhost.evil.example",
        "http://127.0.0.1.evil.example",
    ] {
        assert!(!on_this_machine(url), "{url}");
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

#[test]
fn what_a_prune_keeps_is_everything_that_has_a_tag_unless_a_limit_is_set() {
    let prune = with("").unwrap().prune;
    assert_eq!((prune.keep_revisions, prune.tagged), (10, None));
    assert_eq!(prune.keep_untagged, Duration::from_secs(3600));
    let prune = with("[prune]\nkeep-last = 5\nkeep-tags = [\"v*\"]").unwrap().prune;
    let tagged = KeepTagged { last: 5, younger_than: None, tags: vec!["v*".into()] };
    assert_eq!(prune.tagged, Some(tagged));
    let text = "[prune]\nkeep-younger-than = \"30d\"\n[env.test.prune]\nkeep-untagged = \"0\"";
    let prune = with(text).unwrap().prune;
    assert_eq!((prune.tagged, prune.keep_untagged), (None, Duration::ZERO));
    assert!(refused("[prune]\nkeep-tags = [\"v*\"]").contains("prune.keep-tags"));
    assert!(refused("[prune]\nkeep-untagged = \"1\"").contains("prune.keep-untagged"));
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
