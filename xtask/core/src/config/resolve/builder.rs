//! The builder: which keys go with which driver, and what they mean.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;

use super::{Place, file};
use crate::config::Driver;
use crate::config::builder::{Builder, Buildkitd, Limits, Node, Policy, Registry, Space};
use crate::plan::secret::secret_looking;
use crate::units;

/// The period in which a container's share of the processors is counted, in microseconds: what
/// Docker itself takes for `--cpus`.
const CPU_PERIOD: u32 = 100_000;
/// Options of the `remote` driver that name files; buildx takes only absolute paths.
const FILE_OPTIONS: [&str; 3] = ["cacert", "cert", "key"];

pub(super) fn builder(raw: file::Builder, root: &Path, place: &Place<'_>) -> Result<Builder> {
    fits_driver(&raw, place)?;
    let nodes = nodes(&raw, root, place)?;
    let buildkitd = Buildkitd {
        limits: limits(
            "builder.gc",
            raw.gc.max_used_space.as_deref(),
            raw.gc.reserved_space.as_deref(),
            raw.gc.min_free_space.as_deref(),
            place,
        )?,
        policies: raw
            .gc
            .policies
            .iter()
            .map(|policy| self::policy(policy, place))
            .collect::<Result<_>>()?,
        max_parallelism: raw.max_parallelism,
        registries: raw
            .registries
            .into_iter()
            .map(|(host, raw)| Ok((host.clone(), registry(&host, raw, root, place)?)))
            .collect::<Result<_>>()?,
    };
    Ok(Builder { name: raw.name, driver: raw.driver, nodes, buildkitd })
}

/// Refuses keys that the driver would not heed, each with the place where it belongs.
fn fits_driver(raw: &file::Builder, place: &Place<'_>) -> Result<()> {
    let wrong =
        |key: &str, what: &str, hint: &str| Err(place.wrong(&format!("builder.{key}"), what, hint));
    let several = !raw.nodes.is_empty();
    let daemon = [
        ("gc", raw.gc != file::Gc::default()),
        ("max-parallelism", raw.max_parallelism.is_some()),
        ("registries", !raw.registries.is_empty()),
        ("resources", raw.resources != file::Resources::default()),
    ];
    let instance = [
        ("driver-options", !raw.driver_options.is_empty()),
        ("endpoint", raw.endpoint.is_some()),
        ("platforms", !raw.platforms.is_empty()),
        ("nodes", several),
    ];
    let set =
        |keys: &[(&'static str, bool)]| keys.iter().find(|(_, set)| *set).map(|(key, _)| *key);
    match raw.driver {
        Driver::Docker => {
            if let Some(key) = set(&daemon).or(set(&instance)) {
                return wrong(
                    key,
                    "the `docker` driver builds in the Docker Engine, which has its own settings",
                    "set `driver = \"docker-container\"` and a `name`, or set it in the engine's \
                     daemon.json",
                );
            }
            return Ok(());
        }
        Driver::Remote => {
            if let Some(key) = set(&daemon) {
                return wrong(
                    key,
                    "a `remote` builder is set up where it runs",
                    "set it in that BuildKit's buildkitd.toml, and remove it here",
                );
            }
        }
        Driver::Kubernetes if raw.endpoint.is_some() => {
            return wrong(
                "endpoint",
                "the `kubernetes` driver takes the cluster of the kubeconfig in use",
                "set KUBECONFIG, and `driver-options = [\"namespace=…\"]`",
            );
        }
        Driver::DockerContainer | Driver::Kubernetes => {}
    }
    if raw.name.is_none() {
        return wrong("name", "it is missing", "give the builder a name of its own");
    }
    if raw.name.as_deref() == Some("default") {
        return wrong("name", "`default` is the Docker Engine's", "give the builder another name");
    }
    if several && (raw.endpoint.is_some() || !raw.platforms.is_empty()) {
        return wrong(
            "nodes",
            "`endpoint` and `platforms` stand beside it",
            "write them into one of the [[builder.nodes]]",
        );
    }
    Ok(())
}

fn nodes(raw: &file::Builder, root: &Path, place: &Place<'_>) -> Result<Vec<Node>> {
    if raw.driver == Driver::Docker {
        return Ok(Vec::new());
    }
    let one = file::Node {
        endpoint: raw.endpoint.clone(),
        platforms: raw.platforms.clone(),
        ..file::Node::default()
    };
    let all = if raw.nodes.is_empty() { std::slice::from_ref(&one) } else { &raw.nodes };
    let limits = resources(raw, place)?;
    all.iter()
        .map(|node| {
            let key = if raw.nodes.is_empty() { "builder" } else { "builder.nodes" };
            if raw.driver == Driver::Remote && node.endpoint.is_none() {
                return Err(place.wrong(
                    &format!("{key}.endpoint"),
                    "it is missing",
                    "write where BuildKit listens, such as \"tcp://buildkit.internal:1234\"",
                ));
            }
            if raw.driver == Driver::Kubernetes && node.endpoint.is_some() {
                return Err(place.wrong(
                    &format!("{key}.endpoint"),
                    "the `kubernetes` driver takes the cluster of the kubeconfig in use",
                    "remove it",
                ));
            }
            let mut options = BTreeMap::new();
            for text in raw.driver_options.iter().chain(&node.driver_options) {
                let (name, value) = option(raw.driver, text, root, place)?;
                options.insert(name, value);
            }
            for (name, value) in &limits {
                if options.insert(name.clone(), value.clone()).is_some() {
                    return Err(place.wrong(
                        "builder.resources",
                        &format!("the driver option `{name}` says the same"),
                        "keep one of the two",
                    ));
                }
            }
            Ok(Node {
                name: node.name.clone(),
                endpoint: node.endpoint.clone(),
                platforms: node.platforms.clone(),
                options,
            })
        })
        .collect()
}

/// An option of the driver, `name=value`.
fn option(driver: Driver, text: &str, root: &Path, place: &Place<'_>) -> Result<(String, String)> {
    let wrong = |what: &str, hint: &str| Err(place.wrong("builder.driver-options", what, hint));
    let Some((name, value)) = text.split_once('=') else {
        return wrong(&format!("`{text}` is not name=value"), "write it such as \"network=host\"");
    };
    if let Some(variable) = name.strip_prefix("env.")
        && secret_looking(variable)
    {
        return wrong(
            &format!(
                "`{name}` is kept in the builder and shown by `docker buildx inspect`, and looks like a secret"
            ),
            "give builds their secrets with [[image.secrets]]",
        );
    }
    place.shown(
        "builder.driver-options",
        value,
        &format!("`{name}` is kept in the builder and shown by `docker buildx inspect`"),
        "give builds their secrets with [[image.secrets]]; a proxy that asks for a password is \
         best reached through one on this network that does not",
    )?;
    let value = if driver == Driver::Remote && FILE_OPTIONS.contains(&name) {
        root.join(value).display().to_string()
    } else {
        value.to_owned()
    };
    Ok((name.to_owned(), value))
}

/// Limits of resources, as options of the driver.
fn resources(raw: &file::Builder, place: &Place<'_>) -> Result<Vec<(String, String)>> {
    let kubernetes = raw.driver == Driver::Kubernetes;
    let mut options = Vec::new();
    let mut add = |name: &str, value: String| options.push((name.to_owned(), value));
    if let Some(memory) = &raw.resources.memory {
        let bytes = units::parse_size(memory).map_err(|error| {
            place.wrong("builder.resources.memory", &error.to_string(), "write it such as `4GiB`")
        })?;
        add(if kubernetes { "limits.memory" } else { "memory" }, bytes.to_string());
    }
    if let Some(cpus) = raw.resources.cpus {
        if !(0.01..=1024.0).contains(&cpus) {
            return Err(place.wrong(
                "builder.resources.cpus",
                "no machine has so many",
                "write it such as `1.5`",
            ));
        }
        if kubernetes {
            add("limits.cpu", format!("{:.0}m", cpus * 1000.0));
        } else {
            add("cpu-period", CPU_PERIOD.to_string());
            add("cpu-quota", format!("{:.0}", cpus * f64::from(CPU_PERIOD)));
        }
    }
    Ok(options)
}

fn limits(
    key: &str,
    max_used: Option<&str>,
    reserved: Option<&str>,
    min_free: Option<&str>,
    place: &Place<'_>,
) -> Result<Limits> {
    let space = |name: &str, text: Option<&str>| {
        text.map(|text| self::space(&format!("{key}.{name}"), text, place)).transpose()
    };
    let limits = Limits {
        max_used: space("max-used-space", max_used)?,
        reserved: space("reserved-space", reserved)?,
        min_free: space("min-free-space", min_free)?,
    };
    if let (Some(Space::Bytes(max)), Some(Space::Bytes(reserved))) =
        (limits.max_used, limits.reserved)
        && reserved > max
    {
        return Err(place.wrong(
            &format!("{key}.reserved-space"),
            "more is reserved than may be used",
            "write less than `max-used-space`",
        ));
    }
    Ok(limits)
}

fn space(key: &str, text: &str, place: &Place<'_>) -> Result<Space> {
    let hint = "write it such as `20GB` or `10%`";
    match text.trim().strip_suffix('%') {
        Some(number) => match number.trim().parse() {
            Ok(percent @ 0..=100) => Ok(Space::Percent(percent)),
            _ => Err(place.wrong(key, &format!("{text:?} is no share of a disk"), hint)),
        },
        None => units::parse_size(text)
            .map(Space::Bytes)
            .map_err(|error| place.wrong(key, &error.to_string(), hint)),
    }
}

fn policy(raw: &file::Policy, place: &Place<'_>) -> Result<Policy> {
    let key = "builder.gc.policies";
    Ok(Policy {
        filters: raw.filters.clone(),
        all: raw.all,
        keep_duration: raw
            .keep_duration
            .as_deref()
            .map(|text| place.duration(&format!("{key}.keep-duration"), text))
            .transpose()?,
        limits: limits(
            key,
            raw.max_used_space.as_deref(),
            raw.reserved_space.as_deref(),
            raw.min_free_space.as_deref(),
            place,
        )?,
    })
}

fn registry(host: &str, raw: file::Registry, root: &Path, place: &Place<'_>) -> Result<Registry> {
    let key = format!("builder.registries.{host}");
    if raw.http && raw.insecure {
        // Source: BuildKit's docs/buildkitd.toml.md.
        return Err(place.wrong(&key, "`http` and `insecure` exclude each other", "keep one"));
    }
    let mut ca = Vec::new();
    for file in raw.ca {
        let path = root.join(&file);
        if !path.is_file() {
            return Err(place.wrong(
                &format!("{key}.ca"),
                &format!("there is no file {}", path.display()),
                "name a PEM file with the authorities to trust",
            ));
        }
        ca.push(path.display().to_string());
    }
    Ok(Registry { mirrors: raw.mirrors, http: raw.http, insecure: raw.insecure, ca })
}
