//! The shape of `xtask.toml`, key by key. Unknown keys are errors.
//!
//! What the values mean, and which of them apply to one environment, is the business of
//! the parent module; here they are only read.

use std::collections::BTreeMap;

use serde::Deserialize;

mod builder;
mod cache;
mod prune;

pub use builder::{Builder, Driver, Gc, Node, Policy, Registry, Resources};
pub use cache::{Backend, BackendKind, Cache, CacheMode};
pub use prune::{Caches, Prune};

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct File {
    /// The environment that is meant when none is named.
    pub default_env: Option<String>,
    /// What to build.
    pub image: Image,
    /// What builds it.
    #[serde(default)]
    pub builder: Builder,
    /// Where the build cache is kept between machines.
    #[serde(default)]
    pub cache: Cache,
    /// What to keep when pruning.
    #[serde(default)]
    pub prune: Prune,
    /// How the image is run on this machine.
    pub run: Option<Run>,
    /// Where to deploy it: one section an environment.
    #[serde(default)]
    pub env: BTreeMap<String, Env>,
}

/// `[image]`: what to build.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Image {
    /// The name in the local image store.
    pub name: String,
    /// The build context, relative to this file.
    #[serde(default = "here")]
    pub context: String,
    /// The Dockerfile, relative to the context.
    #[serde(default = "dockerfile")]
    pub dockerfile: String,
    /// The stage to build; without it, the last.
    pub target: Option<String>,
    /// Platforms such as `linux/amd64`.
    #[serde(default = "platforms")]
    pub platforms: Vec<String>,
    /// Tags that move with every push, besides `git-<commit>`.
    #[serde(default)]
    pub tags: Vec<String>,
    /// The build argument that receives the commit.
    pub commit_arg: Option<String>,
    /// Seconds since 1970 that BuildKit clamps timestamps to. A constant, so that
    /// an unchanged layer keeps its digest.
    pub source_date_epoch: Option<u64>,
    /// Give every file that time when the image is pushed, for Dockerfiles that do not
    /// see to it themselves. BuildKit compresses every layer again for that, each time.
    #[serde(default)]
    pub rewrite_timestamps: bool,
    /// Compression of pushed layers.
    #[serde(default)]
    pub compression: Compression,
    /// Build arguments.
    #[serde(default)]
    pub args: BTreeMap<String, Value>,
    /// Build secrets: mounted while a step runs, and in no layer.
    #[serde(default)]
    pub secrets: Vec<BuildSecret>,
}

fn here() -> String {
    ".".into()
}
fn dockerfile() -> String {
    "Dockerfile".into()
}
fn platforms() -> Vec<String> {
    vec!["linux/amd64".into()]
}

/// Compression of pushed layers.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// What every registry and engine reads.
    #[default]
    Gzip,
    /// Faster to unpack; Fargate reads it since platform version 1.4.
    Zstd,
}

impl Compression {
    /// The name that BuildKit uses.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}

/// A value that stands in the file, or is found when it is needed.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Value {
    /// As it stands.
    Literal(String),
    /// From the environment or `.env`.
    Env(FromEnv),
    /// The first of these images that the local image store has.
    LocalImage(FromLocalImage),
}

/// `{ env = "NAME", default = "…" }`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct FromEnv {
    /// The variable.
    pub env: String,
    /// Its value where it is not set.
    pub default: Option<String>,
}

/// `{ local-image = ["…", "…"] }`
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FromLocalImage {
    /// Image names, the preferred one first.
    pub local_image: Vec<String>,
}

/// A build secret, by reference.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildSecret {
    /// The id that the Dockerfile mounts.
    pub id: String,
    /// The file that holds it.
    pub file: Option<Value>,
    /// The environment variable that holds it.
    pub env: Option<String>,
    /// Whether the build goes on without it.
    #[serde(default)]
    pub optional: bool,
}

/// `[run]`: how `cargo xtask run` runs the image on this machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// The port that the service listens on in its container.
    pub port: u16,
    /// The path that has to answer 200, where the image has no `HEALTHCHECK`.
    pub health: Option<String>,
    /// How long it may take to become healthy, such as `30s`.
    #[serde(default = "run_timeout")]
    pub timeout: String,
    /// Environment variables of the container.
    #[serde(default)]
    pub environment: BTreeMap<String, Value>,
}

fn run_timeout() -> String {
    "30s".into()
}

/// `[env.NAME]`: where to deploy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Env {
    /// The AWS account, twelve digits. Another one is refused.
    pub account: String,
    /// The AWS region.
    pub region: String,
    /// A profile of the AWS configuration.
    pub profile: Option<String>,
    /// An endpoint for every AWS service, such as an emulator's.
    pub endpoint_url: Option<String>,
    /// Sign with made-up credentials; only for an endpoint on this machine.
    #[serde(default)]
    pub made_up_credentials: bool,
    /// The ECR repository.
    pub repository: String,
    /// The registry's host, where it is not ECR's own.
    pub registry: Option<String>,
    /// What a gigabyte costs a month in its repository, in US dollars, where that is not what
    /// AWS lists.
    pub storage_price: Option<f64>,
    /// The ECS cluster.
    pub cluster: String,
    /// The ECS services that run the image.
    pub services: Vec<String>,
    /// The container of the task definition whose image is replaced.
    pub container: String,
    /// Tasks to start on a first deployment, when the service has none.
    #[serde(default = "one")]
    pub desired_count: u32,
    /// How long a rollout may take, such as `15m`.
    #[serde(default = "deadline")]
    pub deadline: String,
    /// Whether a deploy takes a lock in SSM's Parameter Store, so that two never interleave.
    #[serde(default = "yes")]
    pub lock: bool,
    /// The URL that has to answer afterwards.
    pub health: Option<Health>,
    /// Environment variables that the task definition has to have.
    #[serde(default)]
    pub environment: BTreeMap<String, Value>,
    /// Secrets that the task definition has to have, by reference (ARN).
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Build arguments, over those of `[image.args]`.
    #[serde(default)]
    pub args: BTreeMap<String, Value>,
    /// Build secrets, besides those of `[image]`.
    #[serde(default)]
    pub build_secrets: Vec<BuildSecret>,
    /// Overrides `[builder]`.
    pub builder: Option<Builder>,
    /// Overrides `[cache]`.
    pub cache: Option<Cache>,
    /// Overrides `[prune]`.
    pub prune: Option<Prune>,
    /// The CloudFormation stack.
    pub infra: Option<Infra>,
    /// The emulator that stands in for AWS.
    pub emulator: Option<Emulator>,
}

fn one() -> u32 {
    1
}
fn yes() -> bool {
    true
}
fn deadline() -> String {
    "15m".into()
}

/// `[env.NAME.health]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Health {
    /// The URL.
    pub url: Option<String>,
    /// The output of the stack that holds the URL.
    pub stack_output: Option<String>,
    /// Request headers.
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    /// How long it may take to answer 200, such as `60s`.
    #[serde(default = "health_timeout")]
    pub timeout: String,
}

fn health_timeout() -> String {
    "60s".into()
}

/// `[env.NAME.infra]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Infra {
    /// The stack's name.
    pub stack: String,
    /// The template, relative to this file.
    pub template: String,
    /// Parameters of the template.
    #[serde(default)]
    pub parameters: BTreeMap<String, Value>,
    /// The parameter that takes the image that runs now.
    pub image_parameter: Option<String>,
}

/// `[env.NAME.emulator]`: the local stand-in for AWS.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Emulator {
    /// The version of MiniStack.
    pub version: String,
    /// The official base image, pulled where a registry can be reached.
    pub base_image: Option<BaseImage>,
    /// Processes that run beside the emulator, such as stand-ins of other services.
    #[serde(default)]
    pub companions: Vec<Companion>,
    /// The output of the stack that holds the ARN of a secret.
    pub secret_output: Option<String>,
    /// Keys of that secret whose values are made up where they are empty. Companions get
    /// them as environment variables.
    #[serde(default)]
    pub made_up_secrets: Vec<String>,
    /// Something to try afterwards: a request to the service.
    pub example: Option<Example>,
}

/// A base image for machines that reach no registry.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct BaseImage {
    /// The official image.
    pub official: String,
    /// The name of the one that is made here.
    pub made: String,
    /// The script that makes it; it gets the name as its argument.
    pub script: String,
}

/// A process beside the emulator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Companion {
    /// Its name.
    pub name: String,
    /// The command, run in the project's root. `{gateway}` in it is the address under which
    /// containers reach this machine, and which nobody else reaches.
    pub command: Vec<String>,
    /// The address that it listens on when it is ready, such as `{gateway}:5080`.
    pub listens: String,
    /// Files that are there before it starts.
    #[serde(default)]
    pub seed: Vec<Seed>,
}

/// A file that is copied; both paths are relative to this file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Seed {
    /// Where it lies.
    pub from: String,
    /// Where it has to be: below `target/`.
    pub to: String,
}

/// A request to try.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Example {
    /// Where it is posted to.
    pub url: String,
    /// The JSON that is posted.
    pub json: String,
}
