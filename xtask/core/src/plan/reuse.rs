//! What is there already: an image of the same inputs, a service that runs it.

use std::fmt;

use serde_json::Value;

use super::deploy::{ImageRef, TaskChange};
use super::diff::is_unchanged;
use super::taskdef::{self, Change};
use crate::fingerprint::{Fingerprint, Inputs};

/// Further tags for an image of the repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// The ECR repository.
    pub repository: String,
    /// The image's digest.
    pub digest: String,
    /// The tags.
    pub tags: Vec<String>,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, digest, tags, .. } = self;
        write!(f, "tag {repository}@{digest}, which has the same inputs, {}", tags.join(", "))
    }
}

/// The tag by which later deploys find an image of the same inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The ECR repository.
    pub repository: String,
    /// What the image is made from.
    pub inputs: Inputs,
    /// The fingerprint, as long as the base images are what they were when it was planned.
    pub expected: Fingerprint,
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag the image {}, the fingerprint of its inputs", self.expected)
    }
}

/// A service that runs what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leave {
    /// The ECS cluster.
    pub cluster: String,
    /// The ECS service.
    pub service: String,
    /// The ARN of the task definition that it is on.
    pub task_definition: String,
    /// The image that it runs.
    pub image: String,
}

impl fmt::Display for Leave {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, service, task_definition, image } = self;
        let revision = task_definition.rsplit('/').next().unwrap_or(task_definition);
        write!(f, "leave {cluster}/{service} on {revision}, which runs {image}")
    }
}

/// A service as it is.
pub struct Service<'a> {
    /// Its name.
    pub name: &'a str,
    /// The ARN of its task definition.
    pub task_definition: &'a str,
    /// That task definition and its tags, raw.
    pub described: &'a Value,
    /// Whether it runs as it should.
    pub serves: bool,
}

/// The services as they are, if every one of them runs what the change would give it: with an
/// image that is there already that can be told before anything is done.
pub fn leave(
    cluster: &str,
    container: &str,
    change: &TaskChange,
    services: &[Service<'_>],
) -> Option<Vec<Leave>> {
    let TaskChange::Next { image: ImageRef::Known(image), environment, secrets } = change else {
        return None;
    };
    let change = Change {
        container: container.to_owned(),
        image: image.clone(),
        environment: environment.clone(),
        secrets: secrets.clone(),
    };
    let left = services.iter().map(|service| {
        let next = taskdef::next(service.described, &change).ok()?;
        let unchanged = service.serves && is_unchanged(service.described, &next);
        unchanged.then(|| Leave {
            cluster: cluster.to_owned(),
            service: service.name.to_owned(),
            task_definition: service.task_definition.to_owned(),
            image: image.clone(),
        })
    });
    left.collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_service_is_left_only_if_nothing_would_change() {
        let described = serde_json::json!({ "taskDefinition": { "family": "app",
            "containerDefinitions": [{ "name": "app", "image": "r/app@sha256:a",
                "environment": [{ "name": "A", "value": "1" }] }] } });
        let change = |image: &str, value: &str| TaskChange::Next {
            image: ImageRef::Known(image.into()),
            environment: BTreeMap::from([("A".into(), value.into())]),
            secrets: BTreeMap::new(),
        };
        let left = |change: &TaskChange, serves: bool| {
            let service = |name, serves| Service {
                name,
                task_definition: "arn:x/app:7",
                described: &described,
                serves,
            };
            leave("c", "app", change, &[service("one", true), service("two", serves)])
        };
        let same = change("r/app@sha256:a", "1");
        let texts: Vec<_> = left(&same, true).unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "leave c/one on app:7, which runs r/app@sha256:a",
                "leave c/two on app:7, which runs r/app@sha256:a"
            ]
        );
        assert_eq!(left(&same, false), None);
        assert_eq!(left(&change("r/app@sha256:b", "1"), true), None);
        assert_eq!(left(&change("r/app@sha256:a", "2"), true), None);
        let built = TaskChange::Next {
            image: ImageRef::Pushed("r/app".into()),
            environment: BTreeMap::new(),
            secrets: BTreeMap::new(),
        };
        assert_eq!(left(&built, true), None);
        assert_eq!(left(&TaskChange::Existing("arn".into()), true), None);
    }
}
