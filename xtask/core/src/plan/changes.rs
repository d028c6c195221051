//! What an update makes of the task definition that runs: shown before it is done, and by the
//! same functions as when it is done.

use serde::Serialize;
use serde_json::Value;

use super::deploy::{Plan, Step, TaskChange, Update};
use super::diff::{Difference, diff};
use super::taskdef::{self, TaskDefError};

/// The tag that a revision carries: which revision served when it was registered. That is
/// what `rollback` goes back to, and not merely the next lower number, which may never have
/// run. (Tags of a task definition cost nothing and are seen by everybody who deploys.)
pub const PREVIOUS_TAG: &str = "xtask:previous";

/// The tag that says for which image the other one was written. Some tools copy the tags of the
/// revision that runs onto the one that they register: there it does not hold.
pub const IMAGE_TAG: &str = "xtask:image";

/// What a plan would change in one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ServiceChanges {
    /// Its name.
    pub name: String,
    /// The task definition that it is on, as `family:revision`.
    pub task_definition: String,
    /// The one that it goes back to; `null` for one that is still to be registered.
    pub to: Option<String>,
    /// Why to that one.
    pub reason: Option<String>,
    /// What differs, sorted; secrets are not shown. An image that is still to be built has no
    /// digest yet.
    pub differences: Vec<Difference>,
}

impl ServiceChanges {
    /// For people: why to an earlier revision, then each difference.
    pub fn lines(&self) -> Vec<String> {
        let reason = self.reason.iter().map(|reason| format!("because {reason}"));
        let mut lines: Vec<String> = reason.collect();
        lines.extend(self.differences.iter().map(ToString::to_string));
        if self.differences.is_empty() {
            lines.push(format!("no difference to {}", self.task_definition));
        }
        lines
    }
}

/// A service as it is, for comparing.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Its name.
    pub name: &'a str,
    /// The task definition that it is on, as `family:revision`.
    pub task_definition: &'a str,
    /// That one, raw, as `DescribeTaskDefinition` answers.
    pub described: &'a Value,
    /// The one that it goes back to, if it does.
    pub target: Option<Target<'a>>,
}

/// An earlier revision that a service goes back to.
#[derive(Clone, Copy, Debug)]
pub struct Target<'a> {
    /// As `family:revision`.
    pub task_definition: &'a str,
    /// Raw, as `DescribeTaskDefinition` answers.
    pub described: &'a Value,
    /// Why to that one.
    pub reason: &'a str,
}

/// What the updates of a plan would change.
///
/// # Errors
/// A task definition is not what the API documents.
pub fn changes(plan: &Plan, services: &[Running<'_>]) -> Result<Vec<ServiceChanges>, TaskDefError> {
    let updates = plan.steps.iter().filter_map(|step| match step {
        Step::Update(update) => Some(update),
        _ => None,
    });
    updates
        .filter_map(|update| {
            let running = services.iter().find(|running| running.name == update.service)?;
            Some(of_service(update, running))
        })
        .collect()
}

fn of_service(update: &Update, running: &Running<'_>) -> Result<ServiceChanges, TaskDefError> {
    let differences = match (&update.change, running.target) {
        (TaskChange::Next { image, environment, secrets }, _) => {
            let change = taskdef::Change {
                container: update.container.clone(),
                // What is known only later reads as what it will be.
                image: image.to_string(),
                environment: environment.clone(),
                secrets: secrets.clone(),
            };
            differences(running.described, &taskdef::next(running.described, &change)?)
        }
        (TaskChange::Existing(_), Some(target)) => differences(running.described, target.described),
        (TaskChange::Existing(_), None) => Vec::new(),
    };
    Ok(ServiceChanges {
        name: update.service.clone(),
        task_definition: running.task_definition.to_owned(),
        to: running.target.map(|target| target.task_definition.to_owned()),
        reason: running.target.map(|target| target.reason.to_owned()),
        differences,
    })
}

/// What differs between the task definition that runs and another, sorted. Our own note on a
/// revision is nothing that a user has changed.
pub fn differences(running: &Value, other: &Value) -> Vec<Difference> {
    let mut differences = diff(running, other);
    let ours = [PREVIOUS_TAG, IMAGE_TAG];
    differences.retain(|difference| !ours.iter().any(|tag| difference.path.ends_with(tag)));
    differences
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::deploy::ImageRef;
    use super::*;

    fn described(image: &str, previous: &str) -> Value {
        json!({ "taskDefinition": { "family": "app", "containerDefinitions": [
                { "name": "api", "image": image, "environment": [
                    { "name": "LEVEL", "value": "info" }, { "name": "API_TOKEN", "value": "s3cret" }] }] },
            "tags": [{ "key": PREVIOUS_TAG, "value": previous }] })
    }

    fn plan(change: TaskChange) -> Plan {
        let update = |service: &str, change| {
            Step::Update(Update {
                cluster: "c".into(),
                service: service.into(),
                container: "api".into(),
                change,
                desired_count: None,
                force: false,
            })
        };
        Plan { steps: vec![update("web", change.clone()), update("elsewhere", change)] }
    }

    fn of(change: TaskChange, target: Option<&Value>) -> Vec<String> {
        let described = described("r/app@sha256:1", "app:1");
        let target = target.map(|described| Target {
            task_definition: "app:1",
            described,
            reason: "it was asked for",
        });
        let running =
            Running { name: "web", task_definition: "app:2", described: &described, target };
        let changes = changes(&plan(change), &[running]).unwrap();
        assert_eq!(changes.len(), 1, "what is not there is not compared");
        assert_eq!(changes[0].to.is_some(), target.is_some());
        changes[0].differences.iter().map(ToString::to_string).collect()
    }

    fn next(image: ImageRef, environment: &[(&str, &str)]) -> TaskChange {
        let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
        TaskChange::Next { image, environment: environment.collect(), secrets: BTreeMap::new() }
    }

    #[test]
    fn an_image_that_is_to_be_built_is_a_placeholder_and_secrets_are_hidden() {
        let change = next(
            ImageRef::Pushed("r/app".into()),
            &[("LEVEL", "debug"), ("API_TOKEN", "other"), ("NEW", "1")],
        );
        assert_eq!(
            of(change, None),
            [
                "~ containers.api.environment.API_TOKEN  (redacted) → (redacted, changed)",
                "~ containers.api.environment.LEVEL  info → debug",
                "+ containers.api.environment.NEW  1",
                "~ containers.api.image  r/app@sha256:1 → r/app@(digest of the build)",
            ]
        );
    }

    #[test]
    fn the_image_that_runs_is_no_difference() {
        let change = next(ImageRef::Known("r/app@sha256:1".into()), &[]);
        assert_eq!(of(change, None), Vec::<String>::new());
    }

    #[test]
    fn going_back_shows_what_the_earlier_revision_has() {
        let target = described("r/app@sha256:0", "app:0");
        let shown = of(TaskChange::Existing("app:1".into()), Some(&target));
        assert_eq!(shown, ["~ containers.api.image  r/app@sha256:1 → r/app@sha256:0"]);
    }
}
