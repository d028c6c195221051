//! The Docker Engine, buildx and the builder.

use anyhow::Result;
use serde::{Deserialize, Serialize};

use crate::config::{Builder, Driver};
use crate::exit::{Exit, Failure};
use crate::plan::argv::Argv;
use crate::plan::version::Version;
use crate::proc::{Env, captured};

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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
}

/// Looks for the builder. The `docker` driver's builder is there when the engine is.
///
/// # Errors
/// buildx can not be started.
pub async fn builder(config: &Builder, engine: &Engine) -> Result<BuilderFacts> {
    if config.driver == Driver::Docker {
        return Ok(BuilderFacts {
            name: config.name.clone().unwrap_or_else(|| engine.context.clone()),
            exists: true,
            exports_cache: engine.containerd_store,
            buildkit: None,
        });
    }
    let name = config.name.clone().unwrap_or_default();
    let argv = Argv::docker(["buildx", "inspect", &name]);
    let output = captured(argv, Env::default()).await?;
    if output.ok() {
        check_driver(&name, config.driver, &output.stdout)?;
    }
    let buildkit = if output.ok() { oldest_buildkit(&output.stdout) } else { None };
    Ok(BuilderFacts { name, exists: output.ok(), exports_cache: true, buildkit })
}

/// The oldest BuildKit among a builder's nodes; a node that does not run names none.
fn oldest_buildkit(inspected: &str) -> Option<String> {
    let versions = inspected.lines().filter_map(|line| {
        let (name, version) = line.split_once(':')?;
        // Older ones of buildx write `Buildkit:`.
        let name = name.trim();
        let of_buildkit = name == "BuildKit version" || name == "BuildKit" || name == "Buildkit";
        of_buildkit.then(|| version.trim().to_owned())
    });
    versions.filter(|version| !version.is_empty()).min_by_key(|version| Version::read(version))
}

fn check_driver(name: &str, wanted: Driver, inspected: &str) -> Result<()> {
    let found = inspected
        .lines()
        .find_map(|line| line.strip_prefix("Driver:"))
        .map(str::trim)
        .unwrap_or_default();
    if found == wanted.as_str() {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Prerequisite,
        format!("the builder `{name}` has the driver `{found}`, and xtask.toml asks for `{}`", wanted.as_str()),
    )
    .hint(format!(
        "name another builder in xtask.toml, or remove this one and its cache: `docker buildx rm {name}`"
    ))
    .into())
}

/// Which of these images the local image store has: the first, or `None`.
///
/// # Errors
/// `docker` can not be started.
pub async fn first_local_image(names: &[String]) -> Result<Option<String>> {
    for name in names {
        let argv = Argv::docker(["image", "inspect", "--format", "{{.Id}}", name]);
        if captured(argv, Env::default()).await?.ok() {
            return Ok(Some(name.clone()));
        }
    }
    Ok(None)
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
    fn a_builder_with_another_driver_is_not_touched() {
        let inspected = "Name:   b\nDriver: docker-container\n";
        check_driver("b", Driver::DockerContainer, inspected).unwrap();
        let error = check_driver("b", Driver::Kubernetes, inspected).unwrap_err();
        assert!(error.to_string().contains("`docker-container`"), "{error}");
    }

    #[test]
    fn the_oldest_node_s_buildkit_counts() {
        let node = |line: &str| format!("Name: b\nDriver: docker-container\n\nNodes:\n{line}\n");
        let of = |text: &str| oldest_buildkit(text);
        let two = node("BuildKit version: v0.29.0\nName: c\nBuildKit version: v0.9.1");
        assert_eq!(of(&two).as_deref(), Some("v0.9.1"));
        assert_eq!(of(&node("Buildkit:  v0.12.5")).as_deref(), Some("v0.12.5"));
        assert_eq!(of(&node("Status: inactive")), None);
    }
}
