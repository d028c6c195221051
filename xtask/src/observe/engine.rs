//! The Docker Engine, buildx and the builder.

use std::collections::BTreeMap;

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::proc::{Env, captured};
use xtask_core::config::{Builder, Driver};
use xtask_core::exit::{Exit, Failure};
use xtask_core::fingerprint::base::Base;
use xtask_core::plan::argv::Argv;
use xtask_core::plan::builder::{Difference, Inspected, differences, parse_inspect, parse_ls};
use xtask_core::registry::digest::Digest;

/// What builds, and what it can do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Engine {
    /// The Docker Engine's version.
    pub version: String,
    /// The Docker context that is in use.
    pub context: String,
    /// The version of the buildx plug-in.
    pub buildx: String,
    /// Where the plug-in is, if `docker` says.
    #[serde(skip)]
    pub buildx_path: Option<String>,
    /// Whether images are kept in the containerd image store.
    pub containerd_store: bool,
}

/// The part of `docker info` that is of interest.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default)]
    server_version: String,
    #[serde(default)]
    driver_status: Option<Vec<(String, String)>>,
    #[serde(default)]
    server_errors: Vec<String>,
    client_info: ClientInfo,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ClientInfo {
    #[serde(default)]
    context: String,
    #[serde(default)]
    plugins: Option<Vec<Plugin>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Plugin {
    name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    path: Option<String>,
}

/// Asks for the engine and for buildx: one call, which answers for both.
///
/// # Errors
/// [`Exit::Prerequisite`]: no `docker`, no buildx, or no engine that answers.
pub async fn engine() -> Result<Engine> {
    let argv = Argv::docker(["info", "--format", "{{json .}}"]);
    let output = captured(argv, Env::default()).await?;
    read_info(&output.stdout, output.reason())
}

fn read_info(stdout: &str, reason: &str) -> Result<Engine> {
    let info: Info = serde_json::from_str(stdout).map_err(|_| no_engine(reason))?;
    let context = info.client_info.context;
    if info.server_version.is_empty() {
        return Err(no_engine(info.server_errors.first().map_or(reason, |error| error)).into());
    }
    let plugins = info.client_info.plugins.unwrap_or_default();
    let buildx = plugins.into_iter().find(|plugin| plugin.name == "buildx").ok_or_else(|| {
        Failure::new(Exit::Prerequisite, "docker has no buildx plug-in").hint(
            "install it: `scripts/onboard` on Debian and Ubuntu; on macOS, update Docker Desktop",
        )
    })?;
    let containerd_store =
        info.driver_status.unwrap_or_default().iter().any(|(key, value)| {
            key == "driver-type" && value.starts_with("io.containerd.snapshotter")
        });
    Ok(Engine {
        version: info.server_version,
        context,
        buildx: buildx.version.unwrap_or_default(),
        buildx_path: buildx.path.filter(|path| !path.is_empty()),
        containerd_store,
    })
}

fn no_engine(reason: &str) -> Failure {
    Failure::new(Exit::Prerequisite, format!("the Docker Engine does not answer: {reason}")).hint(
        "start it: `scripts/onboard` does on Debian and Ubuntu; `sudo systemctl start docker` where \
         systemd runs; on macOS, open Docker Desktop",
    )
}

/// The builder that the configuration asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct BuilderFacts {
    /// The name to pass with `--builder`.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
    /// Whether it can export a cache to a registry.
    pub exports_cache: bool,
    /// The version of its BuildKit, the oldest of its nodes'; `None` where that is not known:
    /// the engine's own goes by the engine's version.
    pub buildkit: Option<String>,
    /// In what it differs from what is configured.
    pub differences: Vec<Difference>,
}

/// Looks for the builder. The `docker` driver's builder is there when the engine is.
///
/// # Errors
/// buildx can not be started, or the builder is of another driver.
pub async fn builder(config: &Builder, engine: &Engine) -> Result<BuilderFacts> {
    let docker = config.driver == Driver::Docker;
    let name = config.name.clone().unwrap_or_else(|| engine.context.clone());
    let mut facts = BuilderFacts {
        name,
        exists: docker,
        exports_cache: !docker || engine.containerd_store,
        ..BuilderFacts::default()
    };
    if docker && facts.name == engine.context {
        return Ok(facts);
    }
    let Some(found) = inspect(&facts.name).await? else {
        if docker {
            return Err(no_context(&facts.name).into());
        }
        return Ok(facts);
    };
    facts.exists = true;
    facts.differences = differences(config, &found);
    if found.driver != config.driver.as_str() {
        return Err(other_driver(config, &found).into());
    }
    facts.buildkit = found.oldest_buildkit().map(str::to_owned);
    Ok(facts)
}

/// What buildx says of a builder; `None` when there is none of that name.
///
/// # Errors
/// buildx can not be started.
pub async fn inspect(name: &str) -> Result<Option<Inspected>> {
    let output = captured(Argv::docker(["buildx", "inspect", name]), Env::default()).await?;
    Ok(output.ok().then(|| parse_inspect(&output.stdout)))
}

/// What buildx says of all builders of the user.
///
/// # Errors
/// [`Exit::Prerequisite`]: buildx can not be started, or does not answer.
pub async fn builders() -> Result<Vec<Inspected>> {
    let argv = Argv::docker(["buildx", "ls", "--format", "json"]);
    let output = captured(argv, Env::default()).await?;
    if output.ok() {
        return parse_ls(&output.stdout);
    }
    let text = format!("the builders can not be listed: {}", output.reason());
    Err(Failure::new(Exit::Prerequisite, text).hint("try it by hand: `docker buildx ls`").into())
}

fn no_context(name: &str) -> Failure {
    Failure::new(
        Exit::Prerequisite,
        format!("there is no builder `{name}`, and the `docker` driver creates none"),
    )
    .hint("name a Docker context in [builder] of xtask.toml, or remove `name`")
}

fn other_driver(config: &Builder, found: &Inspected) -> Failure {
    let (name, wanted) = (&found.name, config.driver.as_str());
    Failure::new(
        Exit::Prerequisite,
        format!(
            "the builder `{name}` has the driver `{}`, and xtask.toml asks for `{wanted}`",
            found.driver
        ),
    )
    .hint(format!(
        "name another builder in xtask.toml, or remove this one and its cache: `docker buildx rm {name}`"
    ))
}

/// Which of these images the local image store has: the first, or `None`.
///
/// # Errors
/// `docker` can not be started.
pub async fn first_local_image(names: &[String]) -> Result<Option<String>> {
    let there = local_images(names).await?;
    let mut names = names.iter();
    Ok(names.find(|name| Base::parse(name).is_some_and(|base| there.contains_key(&base))).cloned())
}

/// Those of these images that the local image store has, with their ids: one call for all.
///
/// # Errors
/// `docker` can not be started.
pub async fn local_images(names: &[String]) -> Result<BTreeMap<Base, Digest>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let argv = Argv::docker(["image", "inspect", "--format", "{{.Id}} {{json .RepoTags}}"]);
    // What is not there is an error, beside the answers for what is.
    let output = captured(argv.args(names), Env::default()).await?;
    Ok(output.stdout.lines().flat_map(read_image).collect())
}

/// An image's id, once for each of its names.
fn read_image(line: &str) -> Vec<(Base, Digest)> {
    let Some((id, names)) = line.split_once(' ') else { return Vec::new() };
    let Ok(id) = id.parse::<Digest>() else { return Vec::new() };
    let names: Option<Vec<String>> = serde_json::from_str(names).unwrap_or_default();
    let names = names.unwrap_or_default();
    names.iter().filter_map(|name| Some((Base::parse(name)?, id.clone()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: &str =
        r#""ClientInfo":{"Context":"default","Plugins":[{"Name":"buildx","Version":"0.29.1"}]}"#;

    #[test]
    fn one_call_answers_for_engine_and_buildx() {
        let json = format!(
            r#"{{"ServerVersion":"28.5.2","DriverStatus":[["driver-type","io.containerd.snapshotter.v1"]],{CLIENT}}}"#
        );
        let engine = read_info(&json, "").unwrap();
        assert_eq!((engine.version.as_str(), engine.buildx.as_str()), ("28.5.2", "0.29.1"));
        assert!(engine.containerd_store && engine.context == "default");
    }

    #[test]
    fn a_missing_engine_and_a_missing_buildx_are_told_apart() {
        let json = format!(r#"{{"ServerErrors":["Cannot connect"],{CLIENT}}}"#);
        let error = read_info(&json, "").unwrap_err();
        assert_eq!(error.to_string(), "the Docker Engine does not answer: Cannot connect");
        let json = r#"{"ServerVersion":"28","ClientInfo":{"Plugins":null}}"#;
        assert_eq!(read_info(json, "").unwrap_err().to_string(), "docker has no buildx plug-in");
    }

    #[test]
    fn an_image_is_found_by_each_of_its_names() {
        let id = format!("sha256:{}", "a".repeat(64));
        let found = read_image(&format!(r#"{id} ["python:3","r.example/base:1"]"#));
        let names: Vec<_> = found.iter().map(|(base, _)| base.to_string()).collect();
        assert_eq!(names, ["docker.io/library/python:3", "r.example/base:1"]);
        assert!(found.iter().all(|(_, found)| found.as_str() == id));
        for other in ["", "1234567", &format!("{id} null"), &format!("{id} []")] {
            assert_eq!(read_image(other), []);
        }
    }

    #[test]
    fn a_builder_with_another_driver_is_not_touched() {
        let found = parse_inspect("Name:   b\nDriver: docker-container\n");
        let config = Builder { driver: Driver::Kubernetes, ..Builder::default() };
        let error = other_driver(&config, &found);
        assert!(error.to_string().contains("`docker-container`"), "{error}");
    }
}
