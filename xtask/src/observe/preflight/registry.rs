//! What a push needs: the account and the repository.

use anyhow::Result;

use super::check::Check;
use super::tags;
use crate::aws::{self, Aws};
use crate::config::{Config, Environment};
use crate::exit::{Exit, Failure};
use crate::observe::ecr::{RepositoryFacts, repository};

/// What there is in AWS.
#[derive(Clone, Debug)]
pub struct AwsFacts {
    /// The repository.
    pub repository: RepositoryFacts,
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
    let facts = account.and(repository).map(|repository| AwsFacts { repository });
    (vec![account_check, repository_check], facts)
}

/// Asks for the account, the repository and that of the cache, and whether a push can move its
/// tags.
pub async fn for_push(
    aws: &Aws,
    config: &Config,
    environment: &Environment,
) -> (Vec<Check>, Option<AwsFacts>) {
    let ((mut checks, facts), cache) =
        tokio::join!(for_registry(aws, environment), cache(aws, config, environment));
    if let Some(facts) = &facts {
        checks.extend(tags::of_image(&config.image.tags, &facts.repository));
        checks.extend(tags::of_cache(&config.cache, &facts.repository, cache));
    }
    (checks, facts)
}

/// The cache's repository, where it is another one than the image's.
async fn cache(
    aws: &Aws,
    config: &Config,
    environment: &Environment,
) -> Option<Result<RepositoryFacts>> {
    let name = config.cache.repository.as_ref()?;
    let other = *name != environment.repository && !config.cache.tag.is_empty();
    if other { Some(repository(aws, name).await) } else { None }
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
