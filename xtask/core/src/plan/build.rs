//! The build: one `docker buildx build` command.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use super::argv::{Argv, csv};
use super::cache::{Caches, Swap};
use crate::config::{Config, Driver, SecretSource};
use crate::fingerprint::{self, sources::Sources};

/// Where the image goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Into the local image store.
    Load,
    /// To the registry.
    Push,
}

/// What the command depends on besides the configuration.
pub struct Inputs<'a> {
    /// The builder's name.
    pub builder: &'a str,
    /// Build arguments with every reference resolved.
    pub args: &'a BTreeMap<String, String>,
    /// The commit, for the build argument that receives it.
    pub version: Option<&'a str>,
    /// Full names of the image, with tags.
    pub names: &'a [String],
    /// Where the image goes.
    pub output: Output,
    /// The caches.
    pub caches: Caches,
    /// A stage, over the configured one.
    pub target: Option<&'a str>,
    /// Build every step again.
    pub no_cache: bool,
    /// Look for a newer base image.
    pub pull: bool,
    /// Where BuildKit writes the digest.
    pub metadata_file: &'a Path,
    /// Where the build is drawn on a time axis afterwards.
    pub timeline: Option<&'a Path>,
    /// What the image is made from, if it is to be found by that later.
    pub made_from: Option<&'a fingerprint::Inputs>,
    /// The files of the context with hashes, where they are known.
    pub files: Option<&'a BTreeMap<String, String>>,
}

/// A build, ready to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Build {
    /// The command.
    pub argv: Argv,
    /// Where the image goes.
    pub output: Output,
    /// Its full names.
    pub names: Vec<String>,
    /// Variables that hold build secrets, to be set for the command and never shown.
    pub secret_variables: Vec<(String, crate::config::Hidden)>,
    /// Where BuildKit writes the digest.
    pub metadata_file: PathBuf,
    /// Where the build is drawn on a time axis afterwards, also one that failed.
    pub timeline: Option<PathBuf>,
    /// What the image is made from, if it is to be found by that later: the files are looked at
    /// again once BuildKit has read them.
    pub made_from: Option<fingerprint::Inputs>,
    /// Caches in folders, to be put in their places afterwards.
    pub swaps: Vec<Swap>,
    /// What the record of builds says of it, besides how it went.
    pub about: About,
    /// What it is made from, as far as that is known before it: without the Dockerfile's text and
    /// the base images.
    pub sources: Sources,
}

/// What is being built, for the record of builds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// The builder's name.
    pub builder: String,
    /// The stage that was asked for.
    pub target: Option<String>,
    /// The platforms.
    pub platforms: Vec<String>,
    /// The commit.
    pub commit: Option<String>,
    /// Whether the caches are left out.
    pub no_cache: bool,
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.argv.fmt(f)
    }
}

/// The command that builds.
pub fn build(config: &Config, inputs: Inputs<'_>) -> Build {
    let image = &config.image;
    let sources = sources(config, &inputs);
    let mut argv = Argv::docker(["buildx", "build"])
        .flag("--builder", inputs.builder)
        .flag("--progress", "rawjson")
        .flag("--platform", image.platforms.join(","))
        .flag("--file", config.dockerfile().display().to_string())
        .flag("--metadata-file", inputs.metadata_file.display().to_string())
        // The attestation would make the image an index whose digest is new with every build.
        .arg("--provenance=false");
    if let Some(target) = inputs.target.or(image.target.as_deref()) {
        argv = argv.flag("--target", target);
    }
    for (name, value) in inputs.args {
        argv = argv.flag("--build-arg", format!("{name}={value}"));
    }
    if let (Some(name), Some(version)) = (&image.commit_arg, inputs.version) {
        argv = argv.flag("--build-arg", format!("{name}={version}"));
    }
    let mut secret_variables = Vec::new();
    for secret in &config.build_secrets {
        argv = match &secret.source {
            SecretSource::File(path) => {
                argv.flag("--secret", csv(&[("id", &secret.id), ("src", path)]))
            }
            SecretSource::Env(name, value) => {
                secret_variables.push((name.clone(), value.clone()));
                argv.flag("--secret", csv(&[("id", &secret.id), ("env", name)]))
            }
        };
    }
    for from in inputs.caches.from {
        argv = argv.flag("--cache-from", from);
    }
    for to in inputs.caches.to {
        argv = argv.flag("--cache-to", to);
    }
    for (flag, on) in [("--no-cache", inputs.no_cache), ("--pull", inputs.pull)] {
        if on {
            argv = argv.arg(flag);
        }
    }
    for name in inputs.names {
        argv = argv.flag("--tag", name);
    }
    argv = match inputs.output {
        Output::Load => argv.arg("--load"),
        Output::Push => {
            let kept = if config.builder.driver == Driver::Docker { NOT_STORED } else { "" };
            argv.flag("--output", push_output(config) + kept)
        }
    };
    if let Some(epoch) = image.source_date_epoch {
        argv = argv.env("SOURCE_DATE_EPOCH", epoch.to_string());
    }
    // buildx reads AWS's credentials by itself, and knows nothing of xtask.toml.
    let profile = config.env.as_ref().and_then(|environment| environment.profile.as_ref());
    if let Some(profile) = profile.filter(|_| inputs.caches.uses_s3) {
        argv = argv.env("AWS_PROFILE", profile);
    }
    argv = argv.arg(config.context().display().to_string());
    Build {
        argv,
        output: inputs.output,
        names: inputs.names.to_vec(),
        secret_variables,
        metadata_file: inputs.metadata_file.to_owned(),
        timeline: inputs.timeline.map(Path::to_owned),
        made_from: inputs.made_from.cloned(),
        swaps: inputs.caches.swaps,
        about: About {
            builder: inputs.builder.to_owned(),
            target: inputs.target.or(image.target.as_deref()).map(str::to_owned),
            platforms: image.platforms.clone(),
            commit: inputs.version.map(str::to_owned),
            no_cache: inputs.no_cache,
        },
        sources,
    }
}

fn sources(config: &Config, inputs: &Inputs<'_>) -> Sources {
    let image = &config.image;
    let commit = image.commit_arg.as_deref().zip(inputs.version);
    let args = inputs.args.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let sources = Sources {
        builder: inputs.builder.to_owned(),
        pushed: inputs.output == Output::Push,
        target: inputs.target.or(image.target.as_deref()).map(str::to_owned),
        platforms: image.platforms.clone(),
        dockerfile: image.dockerfile.clone(),
        files: inputs.files.cloned(),
        ..Sources::default()
    };
    sources.with_args(args.chain(commit))
}

/// How a pushed image is written: what decides its bytes, and is the same for all drivers.
pub fn push_output(config: &Config) -> String {
    let compression = config.image.compression.as_str();
    // Forced, because BuildKit else takes each layer in whatever compression it happens to have
    // (from an earlier build into the local image store, from a cache): the same image would get
    // another digest, and a deploy that changes nothing would restart everything.
    let mut output = format!(
        "type=image,push=true,oci-mediatypes=true,compression={compression},force-compression=true"
    );
    if config.image.rewrite_timestamps {
        output.push_str(",rewrite-timestamp=true");
    }
    output
}

/// Keeps a pushed image out of the engine's own store. Its driver would put it there and unpack
/// it, for which a machine that builds from a registry cache would first have to pull every layer;
/// and BuildKit does not unpack what it rewrites ("rewrite-timestamp conflicts with unpack").
/// Newer versions of buildx do not unpack what they push either:
/// <https://github.com/docker/buildx/pull/3519>.
const NOT_STORED: &str = ",store=false";
