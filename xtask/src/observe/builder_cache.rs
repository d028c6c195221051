//! What the builder's cache holds, in bytes where its driver lets us ask for them.

use anyhow::Result;

use super::engine::{BuilderFacts, Engine};
use crate::proc::{Env, Input, Output, captured, stream};
use xtask_core::config::{Builder, Driver};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::argv::Argv;
use xtask_core::registry::builder_cache::{
    BuilderCache, engine_request, parse_buildctl, parse_buildx, parse_engine_response,
};

/// Reads the builder's cache. One that is not there yet holds nothing. `now` is in seconds
/// since 1970.
///
/// # Errors
/// [`Exit::Prerequisite`]: the builder can not be asked.
pub async fn builder_cache(
    config: &Builder,
    engine: &Engine,
    builder: &BuilderFacts,
    now: i64,
) -> Result<BuilderCache> {
    if !builder.exists {
        return Ok(BuilderCache { records: Vec::new(), exact: true });
    }
    match config.driver {
        Driver::Docker => of_engine(engine, builder).await,
        Driver::DockerContainer => match of_containers(builder).await? {
            Some(cache) => Ok(cache),
            None => of_buildx(builder, now).await,
        },
        Driver::Remote | Driver::Kubernetes => of_buildx(builder, now).await,
    }
}

/// The command that connects its standard input and output with the Engine: the way that
/// serves every kind of context (socket, TCP with TLS, SSH).
fn engine_argv(engine: &Engine, builder: &BuilderFacts) -> Argv {
    let mut argv = Argv::new("docker");
    // The builder of another context is named as that context.
    if builder.name != engine.context {
        argv = argv.flag("--context", &builder.name);
    }
    argv.args(["system", "dial-stdio"])
}

async fn of_engine(engine: &Engine, builder: &BuilderFacts) -> Result<BuilderCache> {
    let argv = engine_argv(engine, builder);
    // With the end of file the Engine would stop measuring, and answer 0 for what it had not
    // measured before.
    let request = Input::Open(engine_request().as_bytes());
    let output =
        tokio::task::spawn_blocking(move || stream(&argv, &Env::default(), None, request, |_| {}))
            .await??;
    if !output.ok() && output.stdout.is_empty() {
        return Err(unknown(builder, output.reason()));
    }
    parse_engine_response(output.stdout.as_bytes())
        .map_err(|error| unknown(builder, &error.to_string()))
}

/// Asks `buildctl` in the container of every node; `None` when one of them does not answer,
/// because its container is elsewhere, is stopped or has an older `buildctl`.
async fn of_containers(builder: &BuilderFacts) -> Result<Option<BuilderCache>> {
    let inspected = captured(Argv::docker(["buildx", "inspect", &builder.name]), Env::default());
    let mut whole = BuilderCache { records: Vec::new(), exact: true };
    for node in nodes(&inspected.await?.stdout) {
        let output = captured(buildctl_argv(&node), Env::default()).await?;
        match parse_buildctl(output.stdout.as_bytes()) {
            Ok(cache) if output.ok() => whole.records.extend(cache.records),
            _ => return Ok(None),
        }
    }
    whole.records.sort_by(|a, b| (b.bytes, &a.id).cmp(&(a.bytes, &b.id)));
    Ok(Some(whole))
}

fn buildctl_argv(node: &str) -> Argv {
    let container = format!("buildx_buildkit_{node}");
    Argv::docker(["exec", &container, "buildctl", "du", "--format", "{{json .}}"])
}

/// The names of a builder's nodes, as `docker buildx inspect` shows them.
fn nodes(inspected: &str) -> Vec<String> {
    let name = |line: &str| line.strip_prefix("Name:").map(|name| name.trim().to_owned());
    inspected.lines().skip_while(|line| !line.starts_with("Nodes:")).filter_map(name).collect()
}

async fn of_buildx(builder: &BuilderFacts, now: i64) -> Result<BuilderCache> {
    let output: Output = captured(buildx_argv(builder), Env::default()).await?;
    if !output.ok() {
        return Err(unknown(builder, output.reason()));
    }
    parse_buildx(&output.stdout, now).map_err(|error| unknown(builder, &error.to_string()))
}

fn buildx_argv(builder: &BuilderFacts) -> Argv {
    Argv::docker(["buildx", "du", "--builder", &builder.name, "--format", "json"])
}

fn unknown(builder: &BuilderFacts, why: &str) -> anyhow::Error {
    Failure::new(
        Exit::Prerequisite,
        format!("the cache of the builder `{}` can not be read: {why}", builder.name),
    )
    .hint(format!(
        "try `docker buildx du --builder {}`; drivers other than `docker` need buildx 0.28 or newer",
        builder.name
    ))
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(name: &str) -> BuilderFacts {
        BuilderFacts { name: name.to_owned(), exists: true, ..BuilderFacts::default() }
    }

    #[test]
    fn every_driver_is_asked_by_name() {
        let engine = Engine {
            version: String::new(),
            context: "default".into(),
            buildx: String::new(),
            buildx_path: None,
            containerd_store: true,
        };
        let line = |name: &str| engine_argv(&engine, &facts(name)).to_string();
        assert_eq!(line("default"), "docker system dial-stdio");
        assert_eq!(line("remote"), "docker --context remote system dial-stdio");
        assert_eq!(
            buildctl_argv("b0").to_string(),
            "docker exec buildx_buildkit_b0 buildctl du --format '{{json .}}'"
        );
        assert_eq!(
            buildx_argv(&facts("b")).to_string(),
            "docker buildx du --builder b --format json"
        );
    }

    #[test]
    fn nodes_are_told_from_their_builder() {
        let inspected = "Name:          b\nDriver:        docker-container\n\nNodes:\nName:     b0\n\
                         Endpoint: unix:///var/run/docker.sock\n\nName:     b1\nEndpoint: ssh://x\n";
        assert_eq!(nodes(inspected), ["b0", "b1"]);
    }
}
