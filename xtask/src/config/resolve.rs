//! From what stands in the file to what is meant: defaults, overrides, references, checks.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::file::{self, File, Value};
use super::{
    Arg, Builder, Cluster, Config, Driver, Environment, Health, HealthUrl, Hidden, KeepTagged,
    Prune, Secret, SecretSource, Stack,
};
use crate::exit::{Exit, Failure};
use crate::plan::secret::secret_looking;
use crate::units;

/// Where values of variables come from: the process's environment, then `.env`.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Picks the environment and resolves every reference in what applies to it.
pub(super) fn resolve(
    file: File,
    root: &Path,
    path: &Path,
    env: Option<&str>,
    lookup: Lookup<'_>,
) -> Result<Config> {
    let place = Place { path, lookup };
    let name = env.map(str::to_owned).or(file.default_env);
    let section = match &name {
        None => None,
        Some(name) => Some(file.env.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = file.env.keys().map(String::as_str).collect();
            Failure::new(Exit::Usage, format!("{}: no environment `{name}`", path.display()))
                .hint(format!("it has: {}", known.join(", ")))
        })?),
    };
    let mut raw_args = file.image.args.clone();
    let mut raw_secrets = file.image.secrets.clone();
    let mut builder = file.builder;
    let mut cache = file.cache;
    let mut raw_prune = file.prune;
    if let Some(section) = &section {
        raw_args.extend(section.args.clone());
        raw_secrets.extend(section.build_secrets.clone());
        builder = section.builder.clone().unwrap_or(builder);
        cache = section.cache.clone().unwrap_or(cache);
        raw_prune = section.prune.clone().unwrap_or(raw_prune);
    }
    if file.image.platforms.is_empty() {
        return Err(place.wrong("image.platforms", "it is empty", "write [\"linux/amd64\"]"));
    }
    check_builder(&builder, &place)?;
    Ok(Config {
        root: root.to_owned(),
        path: path.to_owned(),
        args: args(raw_args, &place)?,
        build_secrets: build_secrets(raw_secrets, root, &place)?,
        image: file.image,
        builder,
        cache,
        prune: prune(raw_prune, &place)?,
        clusters: section.as_ref().map(|of| clusters(of, &file.env)).unwrap_or_default(),
        env: match (name, section) {
            (Some(name), Some(section)) => Some(environment(name, section, &place)?),
            _ => None,
        },
    })
}

/// For messages: the file; for references: the variables.
struct Place<'a> {
    path: &'a Path,
    lookup: Lookup<'a>,
}

impl Place<'_> {
    fn wrong(&self, key: &str, what: &str, hint: &str) -> anyhow::Error {
        Failure::new(Exit::Usage, format!("{}: {key}: {what}", self.path.display()))
            .hint(hint)
            .into()
    }

    fn variable(&self, key: &str, from: &file::FromEnv) -> Result<String> {
        (self.lookup)(&from.env).or_else(|| from.default.clone()).ok_or_else(|| {
            self.wrong(
                key,
                &format!("the environment variable {} is not set", from.env),
                &format!("set it, or write {}=… into .env, or give it a `default`", from.env),
            )
        })
    }

    fn text(&self, key: &str, value: &Value) -> Result<String> {
        match value {
            Value::Literal(text) => Ok(text.clone()),
            Value::Env(from) => self.variable(key, from),
            Value::LocalImage(_) => Err(self.wrong(
                key,
                "`local-image` has no meaning here",
                "it is for build arguments",
            )),
        }
    }

    fn duration(&self, key: &str, text: &str) -> Result<Duration> {
        units::parse_duration(text)
            .map_err(|error| self.wrong(key, &error.to_string(), "write it such as `15m`"))
    }
}

fn check_builder(builder: &Builder, place: &Place<'_>) -> Result<()> {
    match (builder.driver, &builder.name, &builder.endpoint) {
        (Driver::DockerContainer | Driver::Kubernetes | Driver::Remote, None, _) => {
            Err(place.wrong("builder.name", "it is missing", "give the builder a name of its own"))
        }
        (Driver::Remote, _, None) => Err(place.wrong(
            "builder.endpoint",
            "it is missing",
            "write where BuildKit listens, such as \"tcp://buildkit.internal:1234\"",
        )),
        _ => Ok(()),
    }
}

fn prune(raw: file::Prune, place: &Place<'_>) -> Result<Prune> {
    let younger_than = raw
        .keep_younger_than
        .map(|text| place.duration("prune.keep-younger-than", &text))
        .transpose()?;
    let expires = raw.keep_last.is_some() || younger_than.is_some();
    if !expires && !raw.keep_tags.is_empty() {
        return Err(place.wrong(
            "prune.keep-tags",
            "all tagged images stay anyway",
            "set `keep-last` or `keep-younger-than` too, to let the others go; or remove it",
        ));
    }
    Ok(Prune {
        keep_revisions: raw.keep_revisions,
        keep_families: raw.keep_families,
        tagged: expires.then(|| KeepTagged {
            last: raw.keep_last.unwrap_or(0),
            younger_than,
            tags: raw.keep_tags,
        }),
        keep_untagged: place.duration("prune.keep-untagged", &raw.keep_untagged)?,
    })
}

/// The clusters of every environment that shares the account with this one, or its repository.
fn clusters(of: &file::Env, all: &BTreeMap<String, file::Env>) -> Vec<Cluster> {
    let image = |env: &file::Env| {
        let registry =
            env.registry.clone().unwrap_or_else(|| ecr_registry(&env.account, &env.region));
        (registry, env.repository.clone())
    };
    let mut clusters: Vec<Cluster> = Vec::new();
    for (name, env) in all {
        let same_account = env.account == of.account && env.endpoint_url == of.endpoint_url;
        if !same_account && image(env) != image(of) {
            continue;
        }
        let cluster = Cluster {
            environment: name.clone(),
            account: env.account.clone(),
            region: env.region.clone(),
            profile: env.profile.clone(),
            endpoint_url: env.endpoint_url.clone(),
            made_up_credentials: env.made_up_credentials,
            name: env.cluster.clone(),
        };
        let again = |known: &Cluster| {
            Cluster { environment: known.environment.clone(), ..cluster.clone() } == *known
        };
        if !clusters.iter().any(again) {
            clusters.push(cluster);
        }
    }
    clusters
}

fn args(raw: BTreeMap<String, Value>, place: &Place<'_>) -> Result<BTreeMap<String, Arg>> {
    raw.into_iter()
        .map(|(name, value)| {
            let key = format!("args.{name}");
            if secret_looking(&name) {
                return Err(place.wrong(
                    &key,
                    "a build argument ends up in the image's history and provenance, \
                     and this one looks like a secret",
                    "for the build, use [[image.secrets]] and `RUN --mount=type=secret`; \
                     for the running service, [env.NAME.secrets]",
                ));
            }
            let arg = match &value {
                Value::LocalImage(from) if from.local_image.is_empty() => {
                    return Err(place.wrong(&key, "`local-image` is empty", "name an image"));
                }
                Value::LocalImage(from) => Arg::LocalImage(from.local_image.clone()),
                other => Arg::Text(place.text(&key, other)?),
            };
            Ok((name, arg))
        })
        .collect()
}

fn build_secrets(
    raw: Vec<file::BuildSecret>,
    root: &Path,
    place: &Place<'_>,
) -> Result<Vec<Secret>> {
    let mut secrets = Vec::new();
    for secret in raw {
        let key = format!("secrets `{}`", secret.id);
        let source = match (&secret.file, &secret.env) {
            (Some(value), None) => match place.text(&key, value) {
                Ok(text) => {
                    let path = root.join(text);
                    path.is_file().then(|| SecretSource::File(path.display().to_string()))
                }
                Err(_) if secret.optional => None,
                Err(error) => return Err(error),
            },
            (None, Some(name)) => {
                (place.lookup)(name).map(|value| SecretSource::Env(name.clone(), Hidden(value)))
            }
            _ => return Err(place.wrong(&key, "it needs `file` or `env`", "write one of the two")),
        };
        match source {
            Some(source) => secrets.push(Secret { id: secret.id, source }),
            None if secret.optional => {}
            None => {
                return Err(place.wrong(
                    &key,
                    "what it refers to is not there",
                    "create the file or set the variable, or write `optional = true`",
                ));
            }
        }
    }
    Ok(secrets)
}

fn environment(name: String, raw: file::Env, place: &Place<'_>) -> Result<Environment> {
    let key = |rest: &str| format!("env.{name}.{rest}");
    if raw.account.len() != 12 || !raw.account.bytes().all(|b| b.is_ascii_digit()) {
        return Err(place.wrong(
            &key("account"),
            "not twelve digits",
            "quote the account's number",
        ));
    }
    if raw.services.is_empty() {
        return Err(place.wrong(&key("services"), "it is empty", "name the ECS service"));
    }
    if raw.made_up_credentials && !raw.endpoint_url.as_deref().is_some_and(on_this_machine) {
        return Err(place.wrong(
            &key("made-up-credentials"),
            "they are only for an endpoint on this machine",
            "set `endpoint-url` to the emulator's, or remove it to use your own credentials",
        ));
    }
    for secret in raw.secrets.keys() {
        if raw.environment.contains_key(secret) {
            return Err(place.wrong(
                &key(&format!("environment.{secret}")),
                "it is also in `secrets`",
                "keep one of the two",
            ));
        }
    }
    let environment = raw
        .environment
        .iter()
        .map(|(variable, value)| {
            let key = key(&format!("environment.{variable}"));
            if secret_looking(variable) {
                return Err(place.wrong(
                    &key,
                    "a plain value can be read by everybody who may read the task definition, \
                     and this one looks like a secret",
                    "put it into Secrets Manager and refer to it in [env.NAME.secrets]",
                ));
            }
            Ok((variable.clone(), place.text(&key, value)?))
        })
        .collect::<Result<_>>()?;
    let infra = match raw.infra.clone() {
        None => None,
        Some(file) => {
            let mut stack = Stack { file, parameters: BTreeMap::new(), unset: None };
            for (parameter, value) in &stack.file.parameters {
                let key = key(&format!("infra.parameters.{parameter}"));
                match (value, place.text(&key, value)) {
                    (_, Ok(text)) => {
                        stack.parameters.insert(parameter.clone(), text);
                    }
                    // Only `infra` needs it: who deploys does not have to know it.
                    (Value::Env(_), Err(error)) => stack.unset = Some(error.to_string()),
                    (_, Err(error)) => return Err(error),
                }
            }
            Some(stack)
        }
    };
    let health = raw.health.as_ref().map(|health| self::health(health, &key("health"), place));
    let registry = raw.registry.clone().unwrap_or_else(|| ecr_registry(&raw.account, &raw.region));
    Ok(Environment {
        deadline: place.duration(&key("deadline"), &raw.deadline)?,
        health: health.transpose()?,
        registry,
        environment,
        infra,
        account: raw.account,
        region: raw.region,
        profile: raw.profile,
        endpoint_url: raw.endpoint_url,
        made_up_credentials: raw.made_up_credentials,
        repository: raw.repository,
        cluster: raw.cluster,
        services: raw.services,
        container: raw.container,
        desired_count: raw.desired_count,
        secrets: raw.secrets,
        emulator: raw.emulator,
        name,
    })
}

fn health(raw: &file::Health, key: &str, place: &Place<'_>) -> Result<Health> {
    let url = match (&raw.url, &raw.stack_output) {
        (Some(url), None) => HealthUrl::Fixed(url.clone()),
        (None, Some(output)) => HealthUrl::StackOutput(output.clone()),
        _ => {
            return Err(place.wrong(
                key,
                "it needs `url` or `stack-output`",
                "write one of the two",
            ));
        }
    };
    let timeout = place.duration(&format!("{key}.timeout"), &raw.timeout)?;
    Ok(Health { url, headers: raw.headers.clone(), timeout })
}

/// The host of an account's private registry.
///
/// Source: the Amazon ECR user guide, "Private registry"; China's regions have a suffix.
fn ecr_registry(account: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("{account}.dkr.ecr.{region}.{suffix}")
}

fn on_this_machine(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if authority.contains('@') {
        return false;
    }
    let host = match authority.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => authority.split(':').next().unwrap_or_default(),
    };
    host == "localhost"
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
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
        assert!(refused("health = { }").contains("env.test.health"));
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
}
