//! Which of the configured caches a build can read and write. It goes on without the others.

use super::check::Check;
use crate::observe::caches::CacheFacts;
use crate::observe::engine::BuilderFacts;
use xtask_core::config::cache::Place;
use xtask_core::config::file::BackendKind;
use xtask_core::config::{Config, Driver};
use xtask_core::plan::branch::Branch;
use xtask_core::plan::cache::knows;

/// What is to be said of the caches; nothing where there are none.
pub(super) fn checks(config: &Config, builder: &BuilderFacts, caches: &CacheFacts) -> Vec<Check> {
    let has = |kind| config.cache.backends.iter().any(|backend| backend.place.kind() == kind);
    // Without an environment there is no registry to keep a cache in.
    let registry = config.env.is_some() && !config.cache.tag.is_empty();
    let mut checks = Vec::new();
    if registry || !config.cache.backends.is_empty() {
        checks.push(exports(builder));
    }
    if has(BackendKind::S3) && !knows(config.builder.driver, BackendKind::S3) {
        checks.push(no_s3());
    }
    if has(BackendKind::Gha) && !caches.gha {
        checks.push(no_gha(caches.actions));
    }
    if config.cache.main_branch.is_some() && caches.branch == Branch::Unknown {
        checks.push(Check::note(
            "cache",
            "what is built is of no branch that is known, so the main branch's cache is read, and \
             none is written",
            "check a branch out, or set `branches = false` in [cache] of xtask.toml",
        ));
    }
    if let Some(check) = folder_in_context(config) {
        checks.push(check);
    }
    checks
}

/// Whether the builder can write caches.
fn exports(builder: &BuilderFacts) -> Check {
    if builder.exports_cache {
        return Check::ok("cache", "the builder can write its cache to a registry");
    }
    Check::warning(
        "cache",
        format!(
            "the builder `{}` can not write a cache: the `docker` driver can do it only with the \
             containerd image store, which this engine does not use",
            builder.name
        ),
        "on Debian and Ubuntu, `scripts/onboard` switches it on; elsewhere set \
         \"features\": {\"containerd-snapshotter\": true} in the engine's daemon.json and restart it, \
         or set `driver = \"docker-container\"` and a `name` in [builder] of xtask.toml",
    )
}

fn no_s3() -> Check {
    let driver = Driver::Docker.as_str();
    Check::warning(
        "cache",
        format!("the `{driver}` driver knows no S3 cache, so none is read or written"),
        "set `driver = \"docker-container\"` and a `name` in [builder] of xtask.toml",
    )
}

/// buildx would leave it out without a word.
fn no_gha(in_actions: bool) -> Check {
    let text = "the cache of GitHub Actions can not be reached, so it is not used";
    if in_actions {
        let fix = "a step that runs a command does not get ACTIONS_RUNTIME_TOKEN and \
                   ACTIONS_RESULTS_URL by itself: put a step before it that hands them on, such as \
                   crazy-max/ghaction-github-runtime";
        return Check::warning("cache", text, fix);
    }
    Check::note("cache", text, "nothing: it is there only in GitHub Actions")
}

/// A folder that the Dockerfile could copy would change with every build.
fn folder_in_context(config: &Config) -> Option<Check> {
    let context = config.root.join(&config.image.context);
    let context: std::path::PathBuf = context.components().collect();
    let ignored = config.root.join("target");
    let found = config.cache.backends.iter().find_map(|backend| match &backend.place {
        Place::Local { path } if path.starts_with(&context) && !path.starts_with(&ignored) => {
            Some(path)
        }
        _ => None,
    })?;
    Some(Check::note(
        "cache",
        format!("the cache's folder {} is in the build context", found.display()),
        "name it in .dockerignore, or put it elsewhere, such as below target/",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_builder_without_cache_export_is_a_warning() {
        let builder = |exports_cache| BuilderFacts { exports_cache, ..BuilderFacts::default() };
        assert_eq!(exports(&builder(true)).found.word(), "ok");
        let check = exports(&builder(false));
        assert_eq!(check.found.word(), "warning");
        assert!(check.found.fix().unwrap().contains("containerd-snapshotter"));
    }

    #[test]
    fn the_cache_of_actions_is_missed_only_there() {
        assert_eq!(no_gha(true).found.word(), "warning");
        assert_eq!(no_gha(false).found.word(), "note");
    }
}
