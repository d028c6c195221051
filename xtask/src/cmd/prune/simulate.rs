//! `cargo xtask prune --simulate-lifecycle`: what ECR itself would take, and what of it is in use.

use std::path::Path;

use anyhow::Result;
use serde::Serialize;

use super::nothing_deleted;
use crate::cmd::storage::{self, look_at_registry};
use crate::observe::ecr::lifecycle_policy;
use crate::ui::Ui;
use xtask_core::config::Config;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::registry::in_use::InUse;
use xtask_core::registry::lifecycle::{Expiry, LifecyclePolicy};

/// What the lifecycle policies would do. Nothing was done.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Simulation {
    /// Each repository.
    lifecycle: Vec<Simulated>,
}

/// What a policy would do to a repository.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Simulated {
    /// Its URI.
    repository: String,
    /// Whether there is a policy: the repository's own, or the one of the file.
    has_policy: bool,
    /// Images that are there.
    images: usize,
    /// What it would take, and what of that is in use.
    takes: Vec<Expiry>,
}

/// Simulates the repositories' own policies, or the one of a file.
///
/// # Errors
/// The file or what is in use can not be read, or is no policy.
pub async fn run(ui: &Ui, config: &Config, file: Option<&Path>) -> Result<Exit> {
    let draft = file.map(read).transpose()?;
    let (aws, environment) = storage::connect(config).await?;
    let found = look_at_registry(ui, config, environment, &aws, Vec::new()).await?;
    let uses = found.uses.map_err(nothing_deleted)?;
    let now = storage::now();
    let mut simulation = Simulation { lifecycle: Vec::new() };
    for repository in &found.repositories {
        let own = match &draft {
            Some(_) => None,
            None => {
                let name = environment.repository_name(repository.uri());
                let text = lifecycle_policy(&aws, name).await?;
                text.map(|text| LifecyclePolicy::parse(&text)).transpose()?
            }
        };
        let policy = draft.as_ref().or(own.as_ref());
        let in_use = InUse::resolve(repository, &uses)?;
        let takes = policy.map(|policy| policy.simulate(repository, &in_use, now));
        simulation.lifecycle.push(Simulated {
            repository: repository.uri().to_owned(),
            has_policy: policy.is_some(),
            images: repository.images().len(),
            takes: takes.unwrap_or_default(),
        });
    }
    for expiry in simulation.lifecycle.iter().flat_map(|of| &of.takes).filter(|of| !of.in_use) {
        ui.emit(&Event::Detail { text: expiry.to_string() });
    }
    ui.result(&simulation, || {
        simulation.lifecycle.iter().flat_map(Simulated::lines).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Exit::Success)
}

fn read(path: &Path) -> Result<LifecyclePolicy> {
    let wrong = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Usage, format!("{}: {error}", path.display()))
            .hint("name a file with a lifecycle policy as JSON, or none for the repository's own")
    };
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    Ok(LifecyclePolicy::parse(&text).map_err(|error| wrong(&error))?)
}

impl Simulated {
    fn lines(&self) -> Vec<String> {
        let Self { repository, has_policy, images, takes } = self;
        if !has_policy {
            return vec![format!("{repository} has no lifecycle policy")];
        }
        let used: Vec<&Expiry> = takes.iter().filter(|expiry| expiry.in_use).collect();
        let mut lines = vec![format!(
            "{repository}: the lifecycle policy would take {} of {images} images, {} of them in use",
            takes.len(),
            used.len()
        )];
        lines.extend(used.iter().map(|expiry| format!("  {expiry}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::registry::lifecycle::ActionKind;

    #[test]
    fn what_is_in_use_is_named_and_the_rest_counted() {
        let expiry = |in_use| Expiry {
            digest: format!("sha256:{:064x}", 1).parse().unwrap(),
            tags: vec!["git-1".into()],
            action: ActionKind::Expire,
            rule: 3,
            description: None,
            users: Vec::new(),
            in_use,
        };
        let mut simulated = Simulated {
            repository: "r/app".into(),
            has_policy: true,
            images: 9,
            takes: vec![expiry(false), expiry(true)],
        };
        assert_eq!(
            simulated.lines(),
            [
                "r/app: the lifecycle policy would take 2 of 9 images, 1 of them in use",
                "  rule 3 would delete sha256:000000000000 (git-1), part of an index that is in use",
            ]
        );
        simulated.has_policy = false;
        assert_eq!(simulated.lines(), ["r/app has no lifecycle policy"]);
    }

    #[test]
    fn a_file_that_is_no_policy_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("policy.json");
        for text in ["", "{}", "{\"rules\":[{}]}"] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err();
            assert_eq!(xtask_core::exit::exit_of(&error), Exit::Usage);
            assert!(error.to_string().contains("policy.json"), "{error}");
        }
        assert!(read(Path::new("/nowhere")).is_err());
    }
}
