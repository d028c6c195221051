//! What the image is made from: the context as BuildKit sees it, the Dockerfile, the digests of
//! the images it starts from, and everything that the command says.

mod bases;
mod context;
mod memory;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::proc::Scratch;
pub use memory::Memory;
use xtask_core::config::Config;
use xtask_core::fingerprint::base::Base;
use xtask_core::fingerprint::context::Context;
use xtask_core::fingerprint::{self, Bases, Fingerprint, Inputs};
use xtask_core::plan::build::push_output;
use xtask_core::plan::probe::Buildx;

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The stage.
    pub target: Option<&'a str>,
    /// Whether to look for newer base images: else what was looked up within a day counts.
    pub refresh: bool,
}

/// What the image is made from.
#[derive(Clone, Debug)]
pub struct InputFacts {
    /// Everything but the base images.
    pub inputs: Inputs,
    /// The base images.
    pub bases: Bases,
    /// The fingerprint of both.
    pub fingerprint: Fingerprint,
    /// Base images that are in no registry where a newer one could be had from.
    pub local_only: Vec<Base>,
    /// What was learnt of base images and is worth remembering.
    pub learnt: Option<Memory>,
    context: Context,
}

impl InputFacts {
    /// The files of the context, with hashes.
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.context.files
    }

    /// For `-v`.
    pub fn summary(&self) -> String {
        let Context { entries, bytes, .. } = &self.context;
        let bases =
            self.bases.iter().map(|(base, digest)| format!(", {base} is {}", digest.short()));
        let bases: String = bases.collect();
        let size = xtask_core::units::format_size(*bytes);
        format!("{}: {entries} files and folders, {size}{bases}", self.fingerprint)
    }

    /// Files of the context that hold what looks like a secret.
    pub fn secrets(&self) -> &[String] {
        &self.context.secrets
    }

    /// Remembers where buildx is: the next time it need not be asked first.
    pub fn learn_buildx(&mut self, root: &Path, path: Option<&str>) {
        let mut memory = self.learnt.clone().unwrap_or_else(|| Memory::read(root));
        if memory.learn_buildx(path) {
            self.learnt = Some(memory);
        }
    }
}

/// Asks what the image is made from, everything side by side.
///
/// # Errors
/// Something of it can not be told. That is no reason to stop: the image is built then.
pub async fn inputs(
    config: &Config,
    args: impl Future<Output = Result<BTreeMap<String, String>>>,
    wanted: Wanted<'_>,
) -> (Result<BTreeMap<String, String>>, Result<InputFacts>) {
    let scratch = match Scratch::new() {
        Ok(scratch) => scratch,
        Err(error) => return (args.await, Err(error)),
    };
    let buildx = buildx(config, &scratch);
    let dockerfile = dockerfile(config);
    let bases = async {
        let args = args.await;
        let found = match (&args, &dockerfile) {
            (Ok(args), Ok(dockerfile)) => {
                bases::bases(config, args, *dockerfile, wanted, &buildx).await
            }
            // Both are told elsewhere.
            _ => Err(anyhow::anyhow!("not looked up")),
        };
        (args, found)
    };
    let (context, (args, found)) =
        tokio::join!(context::context(config, scratch.path(), &buildx), bases);
    let all = async {
        let (dockerfile, context) = (dockerfile?, context?);
        let args =
            args.as_ref().map_err(|_| anyhow::anyhow!("the build arguments are not known"))?;
        let found = found.context("the base images")?;
        let inputs = as_inputs(config, args, wanted.target, dockerfile, &context);
        Ok(InputFacts {
            fingerprint: inputs.fingerprint(&found.bases),
            inputs,
            bases: found.bases,
            local_only: found.local_only,
            learnt: found.learnt,
            context,
        })
    };
    let all = all.await;
    (args, all)
}

/// The inputs as they are now, with these base images' names resolved already.
///
/// # Errors
/// The context or the Dockerfile can not be read.
pub async fn again(config: &Config, before: &Inputs) -> Result<Inputs> {
    let scratch = Scratch::new()?;
    let buildx = buildx(config, &scratch);
    let context = context::context(config, scratch.path(), &buildx).await?;
    Ok(Inputs { dockerfile: dockerfile(config)?, context: context.hash, ..before.clone() })
}

fn buildx(config: &Config, scratch: &Scratch) -> Buildx {
    let program = Memory::read(&config.root).buildx().map(str::to_owned);
    Buildx { program, config: scratch.path().join("buildx") }
}

fn as_inputs(
    config: &Config,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
    dockerfile: fingerprint::Hash,
    context: &Context,
) -> Inputs {
    Inputs {
        context: context.hash,
        dockerfile,
        args: args.clone(),
        target: target.or(config.image.target.as_deref()).map(str::to_owned),
        platforms: config.image.platforms.clone(),
        output: push_output(config),
        source_date_epoch: config.image.source_date_epoch,
        secrets: config.build_secrets.iter().map(|secret| secret.id.clone()).collect(),
    }
}

fn dockerfile(config: &Config) -> Result<fingerprint::Hash> {
    let path = config.dockerfile();
    let text =
        std::fs::read(&path).with_context(|| format!("{} can not be read", path.display()))?;
    Ok(fingerprint::dockerfile(&text))
}

/// Seconds since 1970, by this machine's clock.
pub fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}
