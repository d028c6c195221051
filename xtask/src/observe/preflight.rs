//! Everything that a command needs, asked for at once and reported together.
//!
//! `deploy` goes on only when every check is well; `doctor` shows them all.

use std::collections::BTreeMap;

use anyhow::Result;

use super::ecr::{RepositoryFacts, repository};
use super::ecs::{ServiceFacts, services};
use super::engine::{BuilderFacts, builder, engine, first_local_image};
use super::git::{Git, git};
use super::stack;
use crate::aws::{self, Aws};
use crate::config::{Arg, Config, Environment, HealthUrl, is_http};
use crate::event::Event;
use crate::exit::{Exit, Failure};
use crate::plan::deploy::HealthCheck;
use crate::ui::Ui;

/// One thing that was looked at.
#[derive(Debug)]
pub struct Check {
    /// What.
    pub what: &'static str,
    /// What was found, or what is wrong with its fix.
    pub found: Result<String>,
}

impl Check {
    fn of<T>(
        what: &'static str,
        found: Result<T>,
        text: impl Fn(&T) -> String,
    ) -> (Self, Option<T>) {
        match found {
            Ok(value) => (Self { what, found: Ok(text(&value)) }, Some(value)),
            Err(error) => (Self { what, found: Err(error) }, None),
        }
    }
}

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

/// What there is in AWS.
#[derive(Clone, Debug)]
pub struct AwsFacts {
    /// The repository.
    pub repository: RepositoryFacts,
}

/// What a rollout depends on.
#[derive(Clone, Debug)]
pub struct RolloutFacts {
    /// The services.
    pub services: Vec<ServiceFacts>,
    /// What has to answer afterwards.
    pub health: Option<HealthCheck>,
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
        let cache = if builder.exports_cache { "" } else { ", can not export its cache" };
        let there = if builder.exists { "" } else { ", will be created" };
        format!("{}{cache}{there}", builder.name)
    });
    let (args_check, args) =
        Check::of("build arguments", args, |args| format!("{} resolved", args.len()));
    checks.extend([builder_check, args_check]);
    let facts = match (git, builder, args) {
        (Some(git), Some(builder), Some(args)) => Some(BuildFacts { git, builder, args }),
        _ => None,
    };
    (checks, facts)
}

/// Asks for the account and the repository.
pub async fn for_registry(aws: &Aws, environment: &Environment) -> (Vec<Check>, Option<AwsFacts>) {
    let (account, found) = tokio::join!(account(aws, environment), repository(aws, environment));
    let (account_check, account) = Check::of("account", account, Clone::clone);
    let (repository_check, repository) = Check::of("repository", found, |repository| {
        let there = if repository.exists { "" } else { ", will be created" };
        format!("{}{there}", repository.name)
    });
    let facts = account.and(repository).map(|repository| AwsFacts { repository });
    (vec![account_check, repository_check], facts)
}

/// Asks for the services, their task definitions and the health URL.
pub async fn for_rollout(
    aws: &Aws,
    environment: &Environment,
) -> (Vec<Check>, Option<RolloutFacts>) {
    let (found, health) = tokio::join!(services(aws, environment), health(aws, environment));
    let (services_check, services) = Check::of("services", found, |services| {
        let each = services.iter().map(|service| {
            format!(
                "{} on {}, {}/{} running",
                service.name,
                service.revision(),
                service.running,
                service.desired
            )
        });
        each.collect::<Vec<_>>().join("; ")
    });
    let (health_check, health) = Check::of("health URL", health, |health| match health {
        Some(health) => health.url.clone(),
        None => "none is configured, so a deploy does not check it".to_owned(),
    });
    let facts = match (services, health) {
        (Some(services), Some(health)) => Some(RolloutFacts { services, health }),
        _ => None,
    };
    (vec![services_check, health_check], facts)
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

/// What has to answer after a rollout.
///
/// # Errors
/// The stack has no such output.
pub async fn health(aws: &Aws, environment: &Environment) -> Result<Option<HealthCheck>> {
    let Some(health) = &environment.health else { return Ok(None) };
    let url = match &health.url {
        HealthUrl::Fixed(url) => url.clone(),
        HealthUrl::StackOutput(output) => {
            let url = stack::output(aws, environment, output).await?;
            if !is_http(&url) {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("the stack's output `{output}` is no http:// or https:// URL: {url}"),
                )
                .hint("name another output in [env.NAME.health], or write `url`")
                .into());
            }
            url
        }
    };
    Ok(Some(HealthCheck { url, headers: health.headers.clone(), timeout: health.timeout }))
}

/// Everything that is wrong before anything is changed, as one failure; what is well is told
/// with `-v`.
///
/// # Errors
/// When anything is wrong: with the exit code of the first finding.
pub fn well(ui: &Ui, checks: Vec<Check>) -> Result<()> {
    for (what, found) in
        checks.iter().filter_map(|check| Some((check.what, check.found.as_ref().ok()?)))
    {
        ui.emit(&Event::Detail { text: format!("{what}: {found}") });
    }
    let mut wrong: Vec<anyhow::Error> =
        checks.into_iter().filter_map(|check| check.found.err()).collect();
    if wrong.len() <= 1 {
        return wrong.pop().map_or(Ok(()), Err);
    }
    let heading = format!("{} things are missing, and nothing was changed", wrong.len());
    let failure = Failure::several(&heading, &wrong);
    Err(failure.hint("`cargo xtask doctor` shows every check").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::exit_of;

    #[test]
    fn everything_wrong_is_told_at_once() {
        let bad = |text: &str, hint: &str| Check {
            what: "x",
            found: Err(Failure::new(Exit::Prerequisite, text).hint(hint).into()),
        };
        let good = Check { what: "y", found: Ok(String::new()) };
        let ui = Ui::silent();
        let error = well(&ui, vec![bad("no engine", "start it"), good, bad("no role", "make one")]);
        let error = error.unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
        assert_eq!(
            error.to_string(),
            "2 things are missing, and nothing was changed\n  - no engine\n    start it\n  - no role\n    make one"
        );
        assert_eq!(well(&ui, vec![bad("one", "h")]).unwrap_err().to_string(), "one");
        assert!(well(&ui, vec![]).is_ok());
    }
}
