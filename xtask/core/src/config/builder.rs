//! The builder that is meant, with every value checked.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Driver;

/// What builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Builder {
    /// Its name; of the `docker` driver's, `None` for that of the Docker context in use.
    pub name: Option<String>,
    /// What runs BuildKit.
    pub driver: Driver,
    /// Its nodes, at least one unless the driver is `docker`.
    pub nodes: Vec<Node>,
    /// How BuildKit is set up where we start it.
    pub buildkitd: Buildkitd,
}

/// A machine, container or deployment that builds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its name, if it has one of its own.
    pub name: Option<String>,
    /// Where it is, if that was said.
    pub endpoint: Option<String>,
    /// Platforms that it is to build for; empty for those that it finds out.
    pub platforms: Vec<String>,
    /// Options of the driver, with those that stand for limits of resources.
    pub options: BTreeMap<String, String>,
}

/// What goes into BuildKit's own configuration file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buildkitd {
    /// Limits of the whole cache.
    pub limits: Limits,
    /// Rules for parts of it, in order.
    pub policies: Vec<Policy>,
    /// How many steps run side by side.
    pub max_parallelism: Option<u32>,
    /// By host.
    pub registries: BTreeMap<String, Registry>,
}

impl Buildkitd {
    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Limits of a cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// What is more than this goes.
    pub max_used: Option<Space>,
    /// This much stays in any case.
    pub reserved: Option<Space>,
    /// So much of the disk is to stay free.
    pub min_free: Option<Space>,
}

/// Room on a disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// So many bytes.
    Bytes(u64),
    /// So much of the disk.
    Percent(u8),
}

/// A rule of garbage collection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Which records; empty for all kinds.
    pub filters: Vec<String>,
    /// Also what is shared with images and frontends.
    pub all: bool,
    /// What was used within this time stays.
    pub keep_duration: Option<Duration>,
    /// How much of these may be there.
    pub limits: Limits,
}

/// How a registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registry {
    /// Hosts that are asked first.
    pub mirrors: Vec<String>,
    /// Plain HTTP.
    pub http: bool,
    /// Any certificate.
    pub insecure: bool,
    /// Absolute paths of files with authorities to trust.
    pub ca: Vec<String>,
}
