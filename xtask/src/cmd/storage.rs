//! What `du` and `prune` look at: the builder's cache, the repositories and what uses them.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;

use crate::aws::{self, Aws};
use crate::observe::branches::branches;
use crate::observe::builder_cache::builder_cache;
use crate::observe::engine::{BuilderFacts, builder, engine};
use crate::observe::preflight::{Check, for_registry, well};
use crate::observe::repository::repository;
use crate::observe::uses::{unconfigured, uses};
use crate::ui::Ui;
use xtask_core::config::{Config, Environment, file};
use xtask_core::event::Event;
use xtask_core::exit::hint_of;
use xtask_core::plan::cache::own_repository;
use xtask_core::plan::prune::{caches, policy};
use xtask_core::registry::builder_cache::BuilderCache;
use xtask_core::registry::in_use::{InUse, Use};
use xtask_core::registry::plan::{PrunePlan, plan};
use xtask_core::registry::policy::Caches;
use xtask_core::registry::repository::Repository;
use xtask_core::registry::stages::Stages;

/// The clock, in seconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The builder and what its cache holds.
///
/// # Errors
/// There is no engine, or the builder can not be asked.
pub async fn look_at_builder(config: &Config) -> Result<(BuilderFacts, BuilderCache)> {
    let engine = engine().await?;
    let builder = builder(&config.builder, &engine).await?;
    let cache = builder_cache(&config.builder, &engine, &builder, now()).await?;
    Ok((builder, cache))
}

/// The stages of the Dockerfile. `None` where it can not be read: a build will say why.
pub async fn look_at_dockerfile(config: &Config) -> Option<Stages> {
    let path = config.root.join(&config.image.context).join(&config.image.dockerfile);
    let text = tokio::task::spawn_blocking(|| std::fs::read_to_string(path)).await;
    text.ok()?.ok().map(|text| Stages::parse(&text))
}

/// The repositories, and what uses them.
pub struct Registry {
    /// That of the images, and that of the cache where it is another one.
    pub repositories: Vec<Repository>,
    /// What the configured clusters use.
    pub uses: Result<Vec<Use>>,
    /// Which of the caches go that have a tag.
    pub caches: Caches,
    /// What is not known and makes something stay.
    pub warnings: Vec<String>,
}

/// Reads the environment's repositories and what uses them, side by side. `known` is what an
/// earlier look had.
///
/// # Errors
/// The account is not the configured one, or ECR can not be asked.
pub async fn look_at_registry(
    ui: &Ui,
    config: &Config,
    environment: &Environment,
    aws: &Aws,
    known: Vec<Repository>,
) -> Result<Registry> {
    let (images, others): (Vec<_>, Vec<_>) =
        known.into_iter().partition(|known| known.uri() == environment.image());
    let name = &environment.repository;
    let ((checks, cache), images, uses, branches) = tokio::join!(
        look_at_cache(config, environment, aws, others.into_iter().next()),
        repository(aws, environment, name, images.into_iter().next()),
        uses(&config.clusters, environment, &config.prune),
        look_at_branches(config)
    );
    // Without the account the rest fails as well: one reason is enough.
    let (wrong, right): (Vec<_>, _) = checks.into_iter().partition(Check::is_wrong);
    well(ui, wrong.into_iter().take(1).chain(right).collect())?;
    let repositories = images?.into_iter().chain(cache?).collect();
    let mut warnings = Vec::new();
    let branches = branches.transpose().unwrap_or_else(|error| {
        let text = format!("caches of branches stay, as it is not known which are gone: {error:#}");
        warnings.push(text.clone());
        ui.emit(&Event::Warning { text, hint: hint_of(&error).map(str::to_owned) });
        None
    });
    let caches = caches(&config.prune, &config.cache, branches.as_ref());
    Ok(Registry { repositories, uses, caches, warnings })
}

/// Says which clusters of the account are in no environment, as their uses are not seen.
pub async fn warn_of_others(
    ui: &Ui,
    config: &Config,
    environment: &Environment,
    aws: &Aws,
) -> Option<String> {
    let others = match unconfigured(aws, &config.clusters, environment).await {
        Ok(others) => others,
        Err(error) => {
            let text = format!("whether there are clusters that no environment names: {error:#}");
            ui.emit(&Event::Note { text });
            return None;
        }
    };
    if others.is_empty() {
        return None;
    }
    let names = others.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let text = format!(
        "no environment names these clusters of {}, and what they use does not count: {names}",
        environment.region
    );
    let hint = "if they run images of the repository, name each in an [env.NAME], or what it \
                runs in `keep-families` or `keep-tags` of [prune]";
    ui.emit(&Event::Warning { text: text.clone(), hint: Some(hint.to_owned()) });
    Some(text)
}

/// The branches that there are, where their caches are told apart by them.
async fn look_at_branches(config: &Config) -> Option<Result<BTreeSet<String>>> {
    let main = config.cache.main_branch.as_deref()?;
    let asked = config.prune.caches == file::Caches::GoneBranches && !config.cache.tag.is_empty();
    if asked { Some(branches(&config.root, main).await) } else { None }
}

/// Looks at the account and the repository, and reads that of the cache where it is another one.
async fn look_at_cache(
    config: &Config,
    environment: &Environment,
    aws: &Aws,
    known: Option<Repository>,
) -> (Vec<Check>, Result<Option<Repository>>) {
    let (checks, facts) = for_registry(aws, environment).await;
    let named = config.cache.repository.clone();
    let own = facts.and_then(|facts| {
        let images = &facts.repository;
        own_repository(&config.cache, &images.name, &images.tags)
    });
    let cache = match named.or(own).filter(|name| *name != environment.repository) {
        Some(name) => repository(aws, environment, &name, known).await,
        None => Ok(None),
    };
    (checks, cache)
}

/// The clients of the environment.
pub async fn connect(config: &Config) -> Result<(Aws, &Environment)> {
    let environment = config.environment()?;
    Ok((aws::connect(environment).await, environment))
}

/// What of a repository goes and what stays.
///
/// # Errors
/// A use can not be understood, or an index can not be read: then nothing goes.
pub fn plan_for(
    config: &Config,
    environment: &Environment,
    repository: &Repository,
    uses: &[Use],
    caches: &Caches,
    now: i64,
) -> Result<(InUse, PrunePlan)> {
    let in_use = InUse::resolve(repository, uses)?;
    let of_images = repository.uri() == environment.image();
    let policy = policy(&config.prune, caches.clone(), of_images);
    let plan = plan(repository, &in_use, &policy, now)?;
    Ok((in_use, plan))
}
