//! What a build needs: the commit, the engine, the builder, build arguments.

use std::collections::BTreeMap;

use anyhow::Result;

use super::check::Check;
use crate::config::{Arg, Config};
use crate::exit::{Exit, Failure};
use crate::observe::engine::{BuilderFacts, builder, engine, first_local_image};
use crate::observe::git::{Git, git};

/// What a build depends on.
#[derive(Clone, Debug)]
pub struct BuildFacts {
    /// The commit.
    pub git: Option<Git>,
    /// The builder.
    pub builder: BuilderFacts,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
}

/// Asks what a build depends on.
pub async fn for_build(config: &Config) -> (Vec<Check>, Option<BuildFacts>) {
    let (git, found) = tokio::join!(git(&config.root), engine());
    let (git_check, git) = Check::of("commit", git, |git| match git {
        Some(git) => git.tag(),
        None => "not a git repository, so the image gets no commit".to_owned(),
    });
    let (engine_check, engine) = Check::of("engine", found, |engine| {
        format!("Docker Engine {}, buildx {}", engine.version, engine.buildx)
    });
    let mut checks = vec![git_check, engine_check];
    let Some(engine) = engine else { return (checks, None) };
    let (found, args) = tokio::join!(builder(&config.builder, &engine), args(config));
    let (builder_check, builder) = Check::of("builder", found, |builder| {
        let there = if builder.exists { "" } else { ", will be created" };
        format!("{}{there}", builder.name)
    });
    let (args_check, args) =
        Check::of("build arguments", args, |args| format!("{} resolved", args.len()));
    checks.push(builder_check);
    // Without an environment there is no registry to keep a cache in.
    let keeps_cache = config.env.is_some() && !config.cache.tag.is_empty();
    checks.extend(builder.as_ref().filter(|_| keeps_cache).map(cache));
    checks.push(args_check);
    let facts = match (git, builder, args) {
        (Some(git), Some(builder), Some(args)) => Some(BuildFacts { git, builder, args }),
        _ => None,
    };
    (checks, facts)
}

/// Whether the builder can write the registry cache. A build goes on without.
fn cache(builder: &BuilderFacts) -> Check {
    if builder.exports_cache {
        return Check::ok("cache", "the builder can write the registry cache");
    }
    Check::warning(
        "cache",
        format!(
            "the builder `{}` can not write the registry cache: the `docker` driver can do it only \
             with the containerd image store, which this engine does not use",
            builder.name
        ),
        "on Debian and Ubuntu, `scripts/onboard` switches it on; elsewhere set \
         \"features\": {\"containerd-snapshotter\": true} in the engine's daemon.json and restart it, \
         or set `driver = \"docker-container\"` and a `name` in [builder] of xtask.toml",
    )
}

async fn args(config: &Config) -> Result<BTreeMap<String, String>> {
    let mut resolved = BTreeMap::new();
    for (name, arg) in &config.args {
        let value = match arg {
            Arg::Text(text) => text.clone(),
            Arg::LocalImage(names) => first_local_image(names).await?.ok_or_else(|| {
                Failure::new(
                    Exit::Prerequisite,
                    format!("the local image store has none of: {}", names.join(", ")),
                )
                .hint(format!(
                    "`docker pull {}`; for the local environment, `cargo xtask local up`",
                    names.first().map_or("", String::as_str)
                ))
            })?,
        };
        resolved.insert(name.clone(), value);
    }
    Ok(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_without_cache_export_is_a_warning() {
        let mut facts = BuilderFacts { name: "default".into(), exists: true, exports_cache: true };
        assert_eq!(cache(&facts).found.word(), "ok");
        facts.exports_cache = false;
        let check = cache(&facts);
        assert_eq!(check.found.word(), "warning");
        assert!(check.found.fix().unwrap().contains("containerd-snapshotter"));
    }
}
