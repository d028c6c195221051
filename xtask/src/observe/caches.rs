//! What the caches depend on besides the builder and the registry.

use std::path::PathBuf;

use anyhow::Result;

use super::git::branch;
use xtask_core::config::Config;
use xtask_core::config::cache::Place;
use xtask_core::plan::branch::Branch;

/// What was found of the caches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheFacts {
    /// What is built, as far as it matters.
    pub branch: Branch,
    /// Whether this runs in GitHub Actions.
    pub actions: bool,
    /// Whether the cache of GitHub Actions can be reached.
    pub gha: bool,
    /// Folders that hold a cache.
    pub local: Vec<PathBuf>,
}

/// Looks at the environment, the branch and the folders.
///
/// # Errors
/// `git` can not be started.
pub async fn caches(config: &Config) -> Result<CacheFacts> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let checked_out = match config.cache.main_branch {
        Some(_) => branch(&config.root).await?,
        None => None,
    };
    let folders = config.cache.backends.iter().filter_map(|backend| match &backend.place {
        Place::Local { path } => Some(path.clone()),
        _ => None,
    });
    Ok(CacheFacts {
        branch: Branch::of(variable, checked_out),
        actions: variable("GITHUB_ACTIONS").is_some(),
        gha: reaches_gha(variable),
        local: folders.filter(|path| path.join("index.json").is_file()).collect(),
    })
}

/// Whether buildx has what it needs for the cache of GitHub Actions; else it leaves that out
/// without a word. Source: build/opt.go of buildx.
fn reaches_gha(variable: impl Fn(&str) -> Option<String>) -> bool {
    let url = variable("ACTIONS_CACHE_URL").or_else(|| variable("ACTIONS_RESULTS_URL"));
    url.is_some() && variable("ACTIONS_RUNTIME_TOKEN").is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_of_actions_needs_a_url_of_either_version_and_a_token() {
        let reaches =
            |names: &[&str]| reaches_gha(|name| names.contains(&name).then(|| "x".to_owned()));
        assert!(reaches(&["ACTIONS_RESULTS_URL", "ACTIONS_RUNTIME_TOKEN"]));
        assert!(reaches(&["ACTIONS_CACHE_URL", "ACTIONS_RUNTIME_TOKEN"]));
        assert!(!reaches(&["ACTIONS_RESULTS_URL"]) && !reaches(&["ACTIONS_RUNTIME_TOKEN"]));
    }
}
