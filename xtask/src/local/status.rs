//! What of the local stand-in runs.

use anyhow::Result;
use serde::Serialize;

use super::{Place, companion, example, ministack, process};
use crate::aws::{self, cfn};
use crate::observe::engine::first_local_image;
use crate::observe::preflight::health;
use xtask_core::plan::infra::{Ended, ended};

/// What runs.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Status {
    /// Whether everything does.
    pub up: bool,
    /// The emulator.
    pub emulator: Emulator,
    /// The companions.
    pub companions: Vec<Companion>,
    /// The base image in the local image store; empty when there is none.
    pub base_image: String,
    /// The stack's status; empty when there is no stack.
    pub stack: String,
    /// The service's health URL; empty when none is known.
    pub health_url: String,
    /// A command line to try; empty when none is configured.
    #[serde(rename = "try")]
    pub example: String,
}

/// The emulator.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Emulator {
    /// Whether it answers.
    pub running: bool,
    /// Where.
    pub url: String,
    /// The version that answers; empty when none does.
    pub version: String,
    /// Its process.
    pub pid: Option<i32>,
}

/// A companion.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Companion {
    /// Its name.
    pub name: String,
    /// Whether it answers.
    pub running: bool,
    /// Its process.
    pub pid: Option<i32>,
}

/// Looks at everything.
///
/// # Errors
/// `xtask.toml` is wrong, or a record can not be read.
pub async fn status(place: &Place<'_>) -> Result<Status> {
    let aws = aws::connect(place.environment).await;
    let record = process::running(&ministack::files(place))?;
    let answers = ministack::ready(place, &aws).await;
    let running = record.is_some() && answers;
    let version = if running { ministack::version(place, &aws).await } else { None };
    let base_image = match &place.emulator.base_image {
        Some(base) => {
            let names = [base.official.clone(), base.made.clone()];
            // Without an engine there is no image either.
            first_local_image(&names).await.ok().flatten()
        }
        None => None,
    };
    let mut companions = Vec::new();
    // Where they listen is known only to an engine that answers.
    let concrete = companion::concrete(place).await.unwrap_or_default();
    for configured in &place.emulator.companions {
        let found = concrete.iter().find(|concrete| concrete.name == configured.name);
        let pid = match found {
            Some(found) => companion::running(place, found)?,
            None => None,
        };
        companions.push(Companion { name: configured.name.clone(), running: pid.is_some(), pid });
    }
    let stack = match &place.environment.infra {
        Some(infra) if running => {
            cfn::stack(&aws, &infra.file.stack).await?.map(|stack| stack.status)
        }
        _ => None,
    };
    let stack_up = place.environment.infra.is_none() || stack.as_deref().is_some_and(usable);
    // The URL can be an output of the stack, which is not there yet.
    let health = health(&aws, place.environment).await.ok().flatten();
    Ok(Status {
        up: running
            && companions.iter().all(|companion| companion.running)
            && (place.emulator.base_image.is_none() || base_image.is_some())
            && stack_up,
        emulator: Emulator {
            running,
            url: place.url(),
            version: version.unwrap_or_default(),
            pid: record.map(|record| record.pid),
        },
        companions,
        base_image: base_image.unwrap_or_default(),
        stack: stack.unwrap_or_default(),
        health_url: health.map(|health| health.url).unwrap_or_default(),
        example: place.emulator.example.as_ref().map(example::command).unwrap_or_default(),
    })
}

/// A stack that is as it was before a failed update is one that works.
fn usable(status: &str) -> bool {
    ended(status) == Some(Ended::Well) || status == "UPDATE_ROLLBACK_COMPLETE"
}

impl Status {
    /// For people.
    pub fn text(&self) -> String {
        let or_not =
            |text: &str| if text.is_empty() { "missing".to_owned() } else { text.to_owned() };
        let process =
            |pid: Option<i32>| pid.map_or(String::new(), |pid| format!(", process {pid}"));
        let mut rows = Vec::new();
        let emulator = &self.emulator;
        rows.push((
            "emulator".to_owned(),
            match emulator.running {
                true => format!(
                    "MiniStack {} at {}{}",
                    emulator.version,
                    emulator.url,
                    process(emulator.pid)
                ),
                false => format!("down{}", process(emulator.pid)),
            },
        ));
        for companion in &self.companions {
            let state = if companion.running { "up" } else { "down" };
            rows.push((companion.name.clone(), format!("{state}{}", process(companion.pid))));
        }
        rows.push(("base image".into(), or_not(&self.base_image)));
        rows.push(("stack".into(), or_not(&self.stack)));
        for (name, value) in [("health", &self.health_url), ("try", &self.example)] {
            if !value.is_empty() {
                rows.push((name.into(), value.clone()));
            }
        }
        let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        rows.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_down_is_said_to_be() {
        let status = Status {
            up: false,
            emulator: Emulator {
                running: false,
                url: "http://127.0.0.1:1".into(),
                version: String::new(),
                pid: None,
            },
            companions: vec![Companion { name: "storage".into(), running: true, pid: Some(7) }],
            base_image: String::new(),
            stack: String::new(),
            health_url: "http://h".into(),
            example: String::new(),
        };
        assert_eq!(
            status.text(),
            "emulator    down\nstorage     up, process 7\nbase image  missing\nstack       missing\nhealth      http://h\n"
        );
        let json = serde_json::to_value(&status).unwrap();
        assert!(json["health-url"].is_string() && json["try"].is_string(), "{json}");
    }

    #[test]
    fn a_stack_that_was_never_made_is_not_usable() {
        assert!(usable("CREATE_COMPLETE") && usable("UPDATE_ROLLBACK_COMPLETE"));
        assert!(!usable("ROLLBACK_COMPLETE") && !usable("CREATE_IN_PROGRESS"));
    }
}
