//! From what stands in the file to what is meant: defaults, overrides, references, checks.

mod builder;
mod cache;
mod prune;
mod secrets;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::file::{self, File, Value};
use super::{Cache, Cluster, Config, Environment, Health, HealthUrl, Hidden, Run, Stack};
use crate::exit::{Exit, Failure};
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
    // A variable that is set to nothing is as good as not set.
    let env = env.filter(|name| !name.is_empty());
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
    let tags =
        cache::tags(file.env.values().filter_map(|env| env.cache.as_ref()).chain([&file.cache]));
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
    let cache = Cache { tags, ..cache::cache(cache, root, &place)? };
    Ok(Config {
        root: root.to_owned(),
        path: path.to_owned(),
        args: secrets::args(raw_args, &place)?,
        build_secrets: secrets::build_secrets(raw_secrets, root, &place)?,
        image: file.image,
        builder: builder::builder(builder, root, &place)?,
        prune: prune::prune(raw_prune, &cache, &place)?,
        cache,
        run: file.run.map(|raw| run(raw, &place)).transpose()?,
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

    /// A time in which something has to be done.
    fn limit(&self, key: &str, text: &str) -> Result<Duration> {
        let limit = self.duration(key, text)?;
        if limit.is_zero() {
            return Err(self.wrong(key, "nothing can be done in no time", "write such as `15m`"));
        }
        Ok(limit)
    }
}

fn run(raw: file::Run, place: &Place<'_>) -> Result<Run> {
    if raw.health.as_ref().is_some_and(|path| !path.starts_with('/')) {
        return Err(place.wrong("run.health", "not a path", "write it such as \"/health\""));
    }
    let mut run = Run {
        port: raw.port,
        health: raw.health,
        timeout: place.limit("run.timeout", &raw.timeout)?,
        environment: BTreeMap::new(),
        unset: None,
    };
    for (name, value) in raw.environment {
        match (&value, place.text(&format!("run.environment.{name}"), &value)) {
            (_, Ok(text)) => {
                run.environment.insert(name, Hidden(text));
            }
            (Value::Env(_), Err(error)) => run.unset = Some(error.to_string()),
            (_, Err(error)) => return Err(error),
        }
    }
    Ok(run)
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
    let distinct: std::collections::BTreeSet<_> = raw.services.iter().collect();
    if distinct.len() < raw.services.len() {
        return Err(place.wrong(&key("services"), "a service is named twice", "name it once"));
    }
    // What ECS takes is a signed number, and no service has more tasks than this (AWS General
    // Reference, "Amazon ECS service quotas").
    if raw.desired_count > 5_000 {
        return Err(place.wrong(&key("desired-count"), "ECS runs at most 5000", "write fewer"));
    }
    if raw.storage_price.is_some_and(|price| !(0.0..1e6).contains(&price)) {
        return Err(place.wrong(
            &key("storage-price"),
            "not a price",
            "write what a gigabyte costs a month, in US dollars, such as 0.10",
        ));
    }
    if raw.made_up_credentials && !raw.endpoint_url.as_deref().is_some_and(is_on_this_machine) {
        return Err(place.wrong(
            &key("made-up-credentials"),
            "they are only for an endpoint on this machine",
            "set `endpoint-url` to the emulator's, or remove it to use your own credentials",
        ));
    }
    let environment = secrets::variables(&raw, &key("environment"), place)?;
    secrets::references(&raw, &key("secrets"), place)?;
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
        deadline: place.limit(&key("deadline"), &raw.deadline)?,
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
        storage_price: raw.storage_price,
        cluster: raw.cluster,
        services: raw.services,
        container: raw.container,
        desired_count: raw.desired_count,
        lock: raw.lock,
        secrets: raw.secrets,
        emulator: raw.emulator,
        name,
    })
}

fn health(raw: &file::Health, key: &str, place: &Place<'_>) -> Result<Health> {
    let url = match (&raw.url, &raw.stack_output) {
        (Some(url), None) if !is_http(url) => {
            return Err(place.wrong(
                &format!("{key}.url"),
                "not an http:// or https:// URL",
                "write it such as \"https://example.com/health\"",
            ));
        }
        (Some(url), None) => {
            let hint = "write `headers = { Authorization = { env = \"NAME\" } }`, and set NAME to \
                        such as `Basic …` in the environment or in .env";
            place.shown(
                &format!("{key}.url"),
                url,
                "the URL is shown, and its user not sent",
                hint,
            )?;
            HealthUrl::Fixed(url.clone())
        }
        (None, Some(output)) => HealthUrl::StackOutput(output.clone()),
        _ => {
            return Err(place.wrong(
                key,
                "it needs `url` or `stack-output`",
                "write one of the two",
            ));
        }
    };
    let header = |(name, value): (&String, &Value)| {
        let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let key = format!("{key}.headers.{name}");
        let value = place.text(&key, value)?;
        if name.is_empty() || !name.chars().all(token) || value.chars().any(char::is_control) {
            return Err(place.wrong(&key, "not an HTTP header", "write its name and one line"));
        }
        Ok((name.clone(), value))
    };
    let headers = raw.headers.iter().map(header).collect::<Result<_>>()?;
    let timeout = place.limit(&format!("{key}.timeout"), &raw.timeout)?;
    Ok(Health { url, headers, timeout })
}

/// The host of an account's private registry.
///
/// Source: the Amazon ECR user guide, "Private registry"; China's regions have a suffix.
fn ecr_registry(account: &str, region: &str) -> String {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("{account}.dkr.ecr.{region}.{suffix}")
}

/// Whether it is a URL that a health check can ask.
pub fn is_http(url: &str) -> bool {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !url.chars().any(|c| c.is_control() || c.is_whitespace())
    })
}

/// Whether a URL, or a host with or without its port, is this machine.
pub fn is_on_this_machine(url: &str) -> bool {
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
mod tests;
