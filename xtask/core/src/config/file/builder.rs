//! `[builder]`: what runs BuildKit.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `[builder]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Builder {
    /// The builder's name. The `docker` driver has one builder a context, named as that.
    pub name: Option<String>,
    /// What runs BuildKit.
    pub driver: Driver,
    /// Options of the driver, such as `network=host`, for every node.
    pub driver_options: Vec<String>,
    /// The address of a `remote` builder; of a `docker-container` one, the Docker context.
    pub endpoint: Option<String>,
    /// Platforms that it is to build for, whatever it finds out by itself.
    pub platforms: Vec<String>,
    /// Several nodes, in place of `endpoint` and `platforms`.
    pub nodes: Vec<Node>,
    /// What one node may take of its machine.
    pub resources: Resources,
    /// When BuildKit throws away cache.
    pub gc: Gc,
    /// How many steps run side by side on one node.
    pub max_parallelism: Option<u32>,
    /// Mirrors and certificates, by the registry's host.
    pub registries: BTreeMap<String, Registry>,
}

/// What runs BuildKit.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Driver {
    /// The Docker Engine itself.
    #[default]
    Docker,
    /// A container.
    DockerContainer,
    /// A BuildKit that runs elsewhere.
    Remote,
    /// Pods.
    Kubernetes,
}

impl Driver {
    /// The name that buildx uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::DockerContainer => "docker-container",
            Self::Remote => "remote",
            Self::Kubernetes => "kubernetes",
        }
    }
}

/// `[[builder.nodes]]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Node {
    /// Its name; without one, buildx makes one up.
    pub name: Option<String>,
    /// As in `[builder]`.
    pub endpoint: Option<String>,
    /// As in `[builder]`.
    pub platforms: Vec<String>,
    /// Besides those of `[builder]`.
    pub driver_options: Vec<String>,
}

/// `[builder.resources]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Resources {
    /// Processors, such as `1.5`.
    pub cpus: Option<f64>,
    /// Memory, such as `4GiB`.
    pub memory: Option<String>,
}

/// `[builder.gc]`: limits of the cache. Sizes such as `20GB`, or `10%` of the disk.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Gc {
    /// What is more than this goes.
    pub max_used_space: Option<String>,
    /// This much stays in any case.
    pub reserved_space: Option<String>,
    /// So much of the disk is to stay free.
    pub min_free_space: Option<String>,
    /// Rules of their own, taken in order, in place of BuildKit's.
    pub policies: Vec<Policy>,
}

/// `[[builder.gc.policies]]`
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Policy {
    /// Which records, such as `type==exec.cachemount`; without any, all kinds.
    pub filters: Vec<String>,
    /// Also what is shared with images and frontends.
    pub all: bool,
    /// What was used within this time stays, such as `7d`.
    pub keep_duration: Option<String>,
    /// As in `[builder.gc]`.
    pub max_used_space: Option<String>,
    /// As in `[builder.gc]`.
    pub reserved_space: Option<String>,
    /// As in `[builder.gc]`.
    pub min_free_space: Option<String>,
}

/// `[builder.registries."HOST"]`: how BuildKit reaches a registry.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Registry {
    /// Hosts that are asked first.
    pub mirrors: Vec<String>,
    /// Speak plain HTTP with it.
    pub http: bool,
    /// Take any certificate from it.
    pub insecure: bool,
    /// Files with the authorities to trust, relative to xtask.toml.
    pub ca: Vec<String>,
}
