//! The images that a build starts from or copies from, and the digests that their names stand
//! for at the moment.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::memory::Memory;
use super::{Wanted, now};
use crate::observe::beside::beside;
use crate::observe::engine::local_images;
use crate::proc::{Env, captured};
use xtask_core::config::{Config, Driver};
use xtask_core::fingerprint::base::Base;
use xtask_core::fingerprint::{Bases, Hash, recipe};
use xtask_core::plan::probe::{self, Buildx};
use xtask_core::progress::stream::{self, Line};
use xtask_core::registry::digest::Digest;

/// What was found.
pub(super) struct Found {
    /// The images.
    pub bases: Bases,
    /// Those that a registry was asked for and did not have.
    pub local_only: Vec<Base>,
    /// What is worth remembering, when something is new.
    pub learnt: Option<Memory>,
}

/// Looks up the base images: which ones, and what each name stands for.
///
/// The `docker` driver takes what the local image store has, and asks a registry only for what
/// it lacks; the others ask the registry. What a registry said within a day is not asked again
/// without `refresh`.
///
/// # Errors
/// A Dockerfile that BuildKit can not tell the images of, or an image that is nowhere.
pub(super) async fn bases(
    config: &Config,
    args: &BTreeMap<String, String>,
    dockerfile: Hash,
    wanted: Wanted<'_>,
    buildx: &Buildx,
) -> Result<Found> {
    let target = wanted.target.or(config.image.target.as_deref());
    let recipe = recipe(dockerfile, args, target, &config.image.platforms);
    let mut memory = Memory::read(&config.root);
    let mut learnt = false;
    let names = match memory.bases(recipe) {
        Some(names) => names.to_vec(),
        None => {
            let names = names(config, args, target, buildx).await?;
            memory.learn_bases(recipe, names.clone());
            learnt = true;
            names
        }
    };
    let floating: Vec<&Base> = names.iter().filter(|base| base.pinned().is_none()).collect();
    let mut local = BTreeMap::new();
    if config.builder.driver == Driver::Docker {
        let floating: Vec<String> = floating.iter().map(ToString::to_string).collect();
        local = local_images(&floating).await?;
    }
    let now = now();
    let ask: Vec<Base> = floating
        .into_iter()
        .filter(|base| {
            wanted.refresh || !(local.contains_key(base) || memory.digest(base, now).is_some())
        })
        .cloned()
        .collect();
    let mut asked = BTreeMap::new();
    for (base, digest) in in_registry(ask.clone(), buildx).await? {
        match digest {
            Ok(digest) => {
                memory.learn_digest(&base, &digest, now);
                learnt = true;
                asked.insert(base, digest);
            }
            // What is in no registry may well be here.
            Err(_) if local.contains_key(&base) => {}
            Err(error) => return Err(error),
        }
    }
    let local_only = ask.into_iter().filter(|base| !asked.contains_key(base)).collect();
    let bases = names.into_iter().map(|base| {
        let found = base
            .pinned()
            .or_else(|| asked.get(&base).cloned())
            .or_else(|| local.get(&base).cloned())
            .or_else(|| memory.digest(&base, now).cloned());
        let digest = found.with_context(|| format!("{base} was not found"))?;
        Ok((base, digest))
    });
    let bases = bases.collect::<Result<_>>()?;
    Ok(Found { bases, local_only, learnt: learnt.then_some(memory) })
}

/// The names of the images, as BuildKit reads the Dockerfile.
async fn names(
    config: &Config,
    args: &BTreeMap<String, String>,
    target: Option<&str>,
    buildx: &Buildx,
) -> Result<Vec<Base>> {
    let calls = config.image.platforms.iter().map(|platform| {
        let argv = probe::outline(config, args, target, platform, buildx);
        async move {
            let output = captured(argv, Env::default()).await?;
            if !output.ok() {
                bail!("{}", output.reason());
            }
            Ok(named(&output.stderr))
        }
    });
    let calls: Vec<_> = calls.collect();
    let found: BTreeSet<Base> = beside(calls).await?.into_iter().flatten().collect();
    Ok(found.into_iter().collect())
}

/// The images that BuildKit's progress names.
fn named(progress: &str) -> Vec<Base> {
    let vertices = progress.lines().flat_map(|line| match stream::parse(line) {
        Ok(Line::Status(status)) => status.vertexes,
        _ => Vec::new(),
    });
    vertices.filter_map(|vertex| Base::from_vertex(&vertex.name)).collect()
}

/// What each of these names stands for in its registry.
async fn in_registry(names: Vec<Base>, buildx: &Buildx) -> Result<Vec<(Base, Result<Digest>)>> {
    let calls = names.into_iter().map(|base| {
        let argv = probe::digest(&base.to_string(), buildx);
        async move {
            let output = captured(argv, Env::default()).await?;
            let digest = match output.ok() {
                true => read_digest(&output.stdout).with_context(|| format!("no digest of {base}")),
                false => Err(anyhow::anyhow!("{base}: {}", output.reason())),
            };
            Ok((base, digest))
        }
    });
    let calls: Vec<_> = calls.collect();
    beside(calls).await
}

fn read_digest(manifest: &str) -> Option<Digest> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    manifest["digest"].as_str()?.parse().ok()
}
