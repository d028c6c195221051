//! `xtask.toml`, `.env` and the environment, turned once into what is meant.
//!
//! [`load`] finds the file, reads it, picks the environment and checks every value that
//! can be checked without asking anybody. Every error names the file and the key.

pub mod builder;
pub mod cache;
pub mod dotenv;
pub mod file;
mod resolve;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;

use crate::exit::{Exit, Failure};
pub use resolve::{is_http, is_on_this_machine};

pub use builder::Builder;
pub use cache::Cache;
pub use file::{Companion, Driver, Emulator, Example, Image, Infra};

/// What is meant: the project, and one environment of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// The folder of `xtask.toml`; paths in it are relative to this.
    pub root: PathBuf,
    /// The file itself, for messages.
    pub path: PathBuf,
    /// What to build.
    pub image: Image,
    /// What builds it.
    pub builder: Builder,
    /// Where the build cache is kept.
    pub cache: Cache,
    /// What stays when pruning.
    pub prune: Prune,
    /// Every configured cluster that may run images of the environment's repository.
    pub clusters: Vec<Cluster>,
    /// Build arguments.
    pub args: BTreeMap<String, Arg>,
    /// Build secrets that are there.
    pub build_secrets: Vec<Secret>,
    /// How the image is run on this machine.
    pub run: Option<Run>,
    /// Where to deploy; `None` when no environment was named and none is the default.
    pub env: Option<Environment>,
}

/// A build argument's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arg {
    /// Known.
    Text(String),
    /// The first of these images that the local image store has.
    LocalImage(Vec<String>),
}

/// A build secret, by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// The id that the Dockerfile mounts.
    pub id: String,
    /// Where BuildKit finds it.
    pub source: SecretSource,
}

/// Where BuildKit finds a build secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// In a file.
    File(String),
    /// In an environment variable of the `docker` process; the value may come from `.env`.
    Env(String, Hidden),
}

/// Text that no `Debug` shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden")
    }
}

/// One `[env.NAME]`.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Its name.
    pub name: String,
    /// The AWS account.
    pub account: String,
    /// The AWS region.
    pub region: String,
    /// A profile of the AWS configuration.
    pub profile: Option<String>,
    /// An endpoint for every AWS service.
    pub endpoint_url: Option<String>,
    /// Sign with made-up credentials.
    pub made_up_credentials: bool,
    /// The ECR repository.
    pub repository: String,
    /// The registry's host.
    pub registry: String,
    /// What a gigabyte costs a month in the repository, in US dollars, if it was said.
    pub storage_price: Option<f64>,
    /// The ECS cluster.
    pub cluster: String,
    /// The ECS services.
    pub services: Vec<String>,
    /// The container whose image is replaced.
    pub container: String,
    /// Tasks to start on a first deployment.
    pub desired_count: u32,
    /// How long a rollout may take.
    pub deadline: Duration,
    /// Whether a deploy takes a lock.
    pub lock: bool,
    /// What has to answer afterwards.
    pub health: Option<Health>,
    /// Environment variables of the container.
    pub environment: BTreeMap<String, String>,
    /// Secrets of the container, by reference.
    pub secrets: BTreeMap<String, String>,
    /// The stack.
    pub infra: Option<Stack>,
    /// The emulator.
    pub emulator: Option<Emulator>,
}

/// What `prune` leaves in a repository, besides what is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prune {
    /// Task definition revisions of a family whose images stay.
    pub keep_revisions: usize,
    /// Families that count, also when nothing of the moment names them.
    pub keep_families: Vec<String>,
    /// What becomes of tagged images; `None` when all stay.
    pub tagged: Option<KeepTagged>,
    /// How long after its push an untagged image is left alone.
    pub keep_untagged: Duration,
    /// Task definition revisions of a service's family that stay registered, if it was said.
    pub keep_task_definitions: Option<usize>,
    /// Which of the registry's caches go.
    pub caches: file::Caches,
}

/// How the image is run on this machine.
#[derive(Clone, Debug)]
pub struct Run {
    /// The port that the service listens on in its container.
    pub port: u16,
    /// The path that has to answer 200, where the image has no `HEALTHCHECK`.
    pub health: Option<String>,
    /// How long it may take to become healthy.
    pub timeout: Duration,
    /// Environment variables of the container; some of them may be secrets.
    pub environment: BTreeMap<String, Hidden>,
    /// What keeps it from being run: a variable that is not set. Other commands go on.
    pub unset: Option<String>,
}

/// Which tagged images stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeepTagged {
    /// So many, the newest.
    pub last: usize,
    /// Those pushed within this time.
    pub younger_than: Option<Duration>,
    /// Those with a tag of one of these patterns.
    pub tags: Vec<String>,
}

/// An ECS cluster of the configuration, and how to reach it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The environment that names it, for messages.
    pub environment: String,
    /// The AWS account.
    pub account: String,
    /// The AWS region.
    pub region: String,
    /// A profile of the AWS configuration.
    pub profile: Option<String>,
    /// An endpoint for every AWS service.
    pub endpoint_url: Option<String>,
    /// Sign with made-up credentials.
    pub made_up_credentials: bool,
    /// The cluster's name.
    pub name: String,
}

impl Environment {
    /// The image's name in the registry, without tag or digest.
    pub fn image(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The name in ECR of a repository of this registry.
    pub fn repository_name<'a>(&self, uri: &'a str) -> &'a str {
        let rest = uri.strip_prefix(self.registry.as_str());
        rest.and_then(|rest| rest.strip_prefix('/')).unwrap_or(uri)
    }
}

/// What has to answer after a deployment.
#[derive(Clone, Debug)]
pub struct Health {
    /// Where.
    pub url: HealthUrl,
    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// How long it may take to answer 200.
    pub timeout: Duration,
}

/// Where the health URL comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HealthUrl {
    /// The configuration.
    Fixed(String),
    /// An output of the stack.
    StackOutput(String),
}

/// The CloudFormation stack of an environment.
#[derive(Clone, Debug)]
pub struct Stack {
    /// As it stands in the file.
    pub file: Infra,
    /// The parameters' values, as far as they are set.
    pub parameters: BTreeMap<String, String>,
    /// What is wrong with the others.
    pub unset: Option<String>,
}

impl Stack {
    /// The value of every parameter.
    ///
    /// # Errors
    /// [`Exit::Usage`]: a variable that one of them refers to is not set.
    pub fn values(&self) -> Result<&BTreeMap<String, String>> {
        match &self.unset {
            None => Ok(&self.parameters),
            Some(wrong) => Err(Failure::new(Exit::Usage, wrong)
                .hint("set the variable, write it into .env, or give the parameter a `default`")
                .into()),
        }
    }
}

impl Config {
    /// The build context.
    pub fn context(&self) -> PathBuf {
        // `components` leaves out what says nothing, such as the dot of `./`.
        self.root.join(&self.image.context).components().collect()
    }

    /// The Dockerfile.
    pub fn dockerfile(&self) -> PathBuf {
        self.context().join(&self.image.dockerfile)
    }

    /// The environment that the command is for.
    ///
    /// # Errors
    /// None was named, and there is no default.
    pub fn environment(&self) -> Result<&Environment> {
        self.env.as_ref().ok_or_else(|| {
            Failure::new(Exit::Usage, "no environment is named")
                .hint("add `--env NAME`, or `default-env = \"NAME\"` at the top of xtask.toml")
                .into()
        })
    }
}

/// Finds and reads the configuration for an environment.
///
/// `explicit` is what `--config` says; `env` what `--env` says.
///
/// # Errors
/// [`Exit::Usage`]: no file, a wrong key or value, an unknown environment.
pub fn load(explicit: Option<&Path>, env: Option<&str>) -> Result<Config> {
    let path = match explicit {
        Some(path) => std::path::absolute(path)?,
        None => find(&std::env::current_dir()?)?,
    };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(Exit::Usage, format!("{}: {error}", path.display()))
            .hint("name another file with `--config FILE`")
    })?;
    let file = parse(&text, &path)?;
    let root = path.parent().unwrap_or(Path::new("/")).to_owned();
    let dotenv_path = root.join(".env");
    let dotenv = match std::fs::read_to_string(&dotenv_path) {
        Ok(text) => dotenv::parse(&text).map_err(|error| {
            Failure::new(Exit::Usage, format!("{}: {error}", dotenv_path.display()))
                .hint("write one NAME=value a line")
        })?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
        Err(error) => {
            return Err(
                Failure::new(Exit::Usage, format!("{}: {error}", dotenv_path.display())).into()
            );
        }
    };
    let lookup = |name: &str| std::env::var(name).ok().or_else(|| dotenv.get(name).cloned());
    resolve::resolve(file, &root, &path, env, &lookup)
}

fn find(from: &Path) -> Result<PathBuf> {
    let found = from.ancestors().map(|dir| dir.join("xtask.toml")).find(|path| path.is_file());
    Ok(found.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("no xtask.toml in {} or a folder above", from.display()))
            .hint("go to the project's folder, or name the file with `--config FILE`")
    })?)
}

/// Reads the text of an `xtask.toml`.
fn parse(text: &str, path: &Path) -> Result<file::File> {
    Ok(toml::from_str(text).map_err(|error| {
        let place = error.span().map_or(String::new(), |span| {
            let before = &text[..span.start.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
            format!(":{line}:{column}")
        });
        Failure::new(Exit::Usage, format!("{}{place}: {}", path.display(), error.message()))
            .hint("docs/guide.md lists every key of xtask.toml")
    })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error_of(text: &str) -> String {
        let error = parse(text, Path::new("xtask.toml")).map(|_| ()).unwrap_err();
        assert_eq!(crate::exit::exit_of(&error), Exit::Usage);
        error.to_string()
    }

    #[test]
    fn a_wrong_key_is_named_with_line_and_column() {
        let error = error_of("[image]\nname = \"x\"\nplatfrom = \"y\"\n");
        assert!(error.starts_with("xtask.toml:3:1: unknown field `platfrom`"), "{error}");
        assert!(error.contains("`platforms`"), "{error}");
    }

    #[test]
    fn a_wrong_type_and_a_syntax_error_are_named_with_line_and_column() {
        assert!(error_of("[image]\nname = 3\n").starts_with("xtask.toml:2:8: "));
        assert!(error_of("[image]\nname = \n").starts_with("xtask.toml:2:8: "));
    }

    #[test]
    fn the_file_of_this_repository_is_read_for_every_environment() {
        let text = include_str!("../../../../xtask.toml");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let path = root.join("xtask.toml");
        let names: Vec<_> = parse(text, &path).unwrap().env.into_keys().collect();
        assert!(names.iter().any(|name| name == "local"), "{names:?}");
        for name in names {
            let file = parse(text, &path).unwrap();
            let config = resolve::resolve(file, root, &path, Some(&name), &|_| Some("x".into()));
            assert_eq!(config.unwrap().env.unwrap().name, name);
        }
    }
}
