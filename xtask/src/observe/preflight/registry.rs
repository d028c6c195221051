//! What a push needs: the account and the repository.

use anyhow::Result;

use super::check::Check;
use super::tags;
use crate::aws::{self, Aws};
use crate::observe::ecr::{RepositoryFacts, repository};
use xtask_core::config::{Config, Environment};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::cache;

/// What there is in AWS.
#[derive(Clone, Debug)]
pub struct AwsFacts {
    /// The repository.
    pub repository: RepositoryFacts,
    /// The repository of the registry cache: the same, or one of its own.
    pub cache: CacheRepository,
}

/// Where the registry cache is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheRepository {
    /// The repository's name.
    pub name: String,
    /// Whether it is not there. One that can not be looked at may be there.
    pub missing: bool,
}

/// Asks for the account and the repository.
pub async fn for_registry(aws: &Aws, environment: &Environment) -> (Vec<Check>, Option<AwsFacts>) {
    let (account, found) =
        tokio::join!(account(aws, environment), repository(aws, &environment.repository));
    let (account_check, account) = Check::of("account", account, Clone::clone);
    let (repository_check, repository) = Check::of("repository", found, |repository| {
        let there = if repository.exists { "" } else { ", will be created" };
        format!("{}{there}", repository.name)
    });
    let facts = account.and(repository).map(|repository| AwsFacts {
        cache: CacheRepository { name: repository.name.clone(), missing: !repository.exists },
        repository,
    });
    (vec![account_check, repository_check], facts)
}

/// Asks for the account, the repository and that of the cache.
pub async fn for_cache(
    aws: &Aws,
    config: &Config,
    environment: &Environment,
) -> (Vec<Check>, Option<AwsFacts>) {
    let named = async {
        match named(config, environment) {
            Some(name) => Some((name, repository(aws, name).await)),
            None => None,
        }
    };
    let ((mut checks, facts), named) = tokio::join!(for_registry(aws, environment), named);
    let Some(AwsFacts { repository: images, mut cache }) = facts else { return (checks, None) };
    let own = match (named, cache::own_repository(&config.cache, &images.name, &images.tags)) {
        (Some((name, found)), _) => Some((name.to_owned(), found)),
        (None, Some(name)) => {
            let found = repository(aws, &name).await;
            Some((name, found))
        }
        (None, None) => None,
    };
    checks.extend(tags::of_cache(&config.cache, &images, own.as_ref().map(|(_, found)| found)));
    if let Some((name, found)) = own {
        cache = CacheRepository { name, missing: found.is_ok_and(|found| !found.exists) };
    }
    (checks, Some(AwsFacts { repository: images, cache }))
}

/// Asks for the account, the repository and that of the cache, and whether a push can move its
/// tags.
pub async fn for_push(
    aws: &Aws,
    config: &Config,
    environment: &Environment,
) -> (Vec<Check>, Option<AwsFacts>) {
    let (mut checks, facts) = for_cache(aws, config, environment).await;
    if let Some(facts) = &facts {
        checks.extend(tags::of_image(&config.image.tags, &facts.repository));
    }
    (checks, facts)
}

/// The cache's repository, where xtask.toml names another one than the image's.
fn named<'a>(config: &'a Config, environment: &Environment) -> Option<&'a str> {
    let name = config.cache.repository.as_deref()?;
    (name != environment.repository && !config.cache.tag.is_empty()).then_some(name)
}

/// The account, which has to be the configured one.
async fn account(aws: &Aws, environment: &Environment) -> Result<String> {
    let found = aws::account(aws).await?;
    if found == environment.account {
        return Ok(format!("{found}, {}", environment.region));
    }
    Err(Failure::new(
        Exit::Prerequisite,
        format!(
            "the credentials are of account {found}, and [env.{}] is for {}",
            environment.name, environment.account
        ),
    )
    .hint("sign in to the right account, or set `profile` or `account` in xtask.toml")
    .into())
}
