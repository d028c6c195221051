//! A deployment as a list of steps.
//!
//! Every step is data, its `Display` is what the terminal and `--dry-run` show, and `apply`
//! executes that very value. What is known only later, such as the digest of an image that
//! is still to be built, is a placeholder.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::argv::Argv;
use super::build::Build;
use super::builder::Creation;
use super::reuse::{Leave, Mark, Tag};
use super::run::Run;
use crate::units::format_duration;

/// What a command is going to do, in this order.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The steps.
    pub steps: Vec<Step>,
}

/// What to do when another deployment is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfBusy {
    /// Wait for it to end.
    Wait,
    /// Take its place.
    Supersede,
    /// Stop here.
    Abort,
}

/// The image that is rolled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageRef {
    /// What the build before it pushes to this repository, by its digest.
    Pushed(String),
    /// `repository@sha256:…`, which is there already.
    Known(String),
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pushed(repository) => write!(f, "{repository}@(digest of the build)"),
            Self::Known(image) => f.write_str(image),
        }
    }
}

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Create the builder.
    CreateBuilder(Creation),
    /// Remove the builder.
    RemoveBuilder(Argv),
    /// Create the ECR repository.
    CreateRepository {
        /// Its name.
        name: String,
    },
    /// Create an ECR repository for the cache, which a build can also do without.
    CreateCacheRepository {
        /// Its name.
        name: String,
    },
    /// Log in to the registry.
    Login {
        /// The registry's host.
        registry: String,
    },
    /// Build, and load or push.
    Build(Box<Build>),
    /// Run a container of what was built on this machine.
    Run(Box<Run>),
    /// Take the deploy locks of the services, and hold them to the end.
    Lock {
        /// The ECS cluster.
        cluster: String,
        /// The services, in the order in which their locks are taken.
        services: Vec<String>,
        /// What is done under the locks, for those who wait for them; without an image that is
        /// still to be built.
        what: String,
        /// What to do when somebody else holds one.
        if_busy: IfBusy,
        /// How long to wait for them.
        deadline: Duration,
    },
    /// Compare the size of what was built with the space that a task has.
    CheckSize {
        /// The space, in GiB.
        storage: u64,
    },
    /// Give an image that is there already further tags.
    Tag(Tag),
    /// Tag what was built with the fingerprint of its inputs.
    Mark(Box<Mark>),
    /// Leave a service as it is.
    Leave(Leave),
    /// See that no other deployment of the services is under way.
    Settle {
        /// The services.
        services: Vec<String>,
        /// What to do when one is.
        if_busy: IfBusy,
        /// How long to wait for it.
        deadline: Duration,
    },
    /// Register the next revision of a service's task definition, and point the service at it.
    Update(Update),
    /// Watch the rollouts until each has its verdict.
    Watch {
        /// The services.
        services: Vec<String>,
        /// How long that may take.
        deadline: Duration,
    },
    /// Compare what the services' tasks run with what was rolled out.
    VerifyDigest {
        /// The services.
        services: Vec<String>,
    },
    /// Ask the health URL until it answers.
    VerifyHealth(HealthCheck),
}

/// The update of one service.
#[derive(Clone, Debug)]
pub struct Update {
    /// The ECS cluster.
    pub cluster: String,
    /// The ECS service.
    pub service: String,
    /// The container whose image is replaced.
    pub container: String,
    /// What of the running revision is replaced.
    pub change: TaskChange,
    /// Tasks to start, when the service has none yet.
    pub desired_count: Option<u32>,
    /// Roll out also when nothing changed.
    pub force: bool,
}

/// What a revision gets.
#[derive(Clone, Debug)]
pub enum TaskChange {
    /// The running revision with another image, and with what is declared.
    Next {
        /// The image.
        image: ImageRef,
        /// Environment variables that it has to have.
        environment: BTreeMap<String, String>,
        /// Secrets that it has to have, by reference.
        secrets: BTreeMap<String, String>,
    },
    /// A revision that was registered before: its ARN.
    Existing(String),
}

/// A URL that has to answer 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HealthCheck {
    /// The URL.
    pub url: String,
    /// Request headers.
    pub headers: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateBuilder(creation) => creation.fmt(f),
            Self::RemoveBuilder(argv) => argv.fmt(f),
            Self::CreateRepository { name } => write!(f, "create the ECR repository {name}"),
            Self::CreateCacheRepository { name } => {
                write!(f, "create the ECR repository {name} for the cache")
            }
            Self::Login { registry } => write!(f, "log in to {registry}"),
            Self::Build(build) => write!(f, "{build}"),
            Self::Run(run) => write!(f, "{run}"),
            Self::Lock { services, if_busy, deadline, .. } => {
                let then = then(*if_busy, *deadline);
                let services = services.join(", ");
                write!(f, "take the deploy lock of {services}; if somebody else holds it, {then}")
            }
            Self::CheckSize { storage } => {
                write!(f, "check that the image fits into the {storage} GiB that a task has")
            }
            Self::Tag(tag) => tag.fmt(f),
            Self::Mark(mark) => mark.fmt(f),
            Self::Leave(leave) => leave.fmt(f),
            Self::Settle { services, if_busy, deadline } => {
                let then = then(*if_busy, *deadline);
                write!(f, "if another deployment of {} is under way, {then}", services.join(", "))
            }
            Self::Update(update) => update.fmt(f),
            Self::Watch { services, deadline } => {
                let deadline = format_duration(*deadline);
                write!(f, "watch {} for up to {deadline}", services.join(", "))
            }
            Self::VerifyDigest { services } => {
                write!(f, "check that the tasks of {} run that image", services.join(", "))
            }
            Self::VerifyHealth(check) => write!(f, "check that {} answers 200", check.url),
        }
    }
}

/// What is done about somebody else's deploy.
fn then(if_busy: IfBusy, deadline: Duration) -> String {
    match if_busy {
        IfBusy::Wait => format!("wait up to {} for it", format_duration(deadline)),
        IfBusy::Supersede => "take its place".to_owned(),
        IfBusy::Abort => "stop here".to_owned(),
    }
}

impl fmt::Display for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.change {
            TaskChange::Next { image, environment, secrets, .. } => {
                write!(f, "update {}/{} to {image}", self.cluster, self.service)?;
                for (what, names) in [
                    ("environment", environment.keys().collect::<Vec<_>>()),
                    ("secrets", secrets.keys().collect()),
                ] {
                    if !names.is_empty() {
                        let names: Vec<_> = names.into_iter().map(String::as_str).collect();
                        write!(f, ", {what} {}", names.join(", "))?;
                    }
                }
            }
            TaskChange::Existing(arn) => {
                let revision = arn.rsplit('/').next().unwrap_or(arn);
                write!(f, "update {}/{} to {revision}", self.cluster, self.service)?;
            }
        }
        if let Some(count) = self.desired_count {
            write!(f, ", {count} {}", if count == 1 { "task" } else { "tasks" })?;
        }
        if self.force {
            f.write_str(", also when nothing changed")?;
        }
        Ok(())
    }
}

/// What a deployment depends on besides the steps that build.
pub struct Rollout<'a> {
    /// The ECS cluster.
    pub cluster: &'a str,
    /// The container whose image is replaced.
    pub container: &'a str,
    /// What this is called for those who wait for it; `None` to do it without locks.
    pub lock: Option<&'static str>,
    /// The services.
    pub services: &'a [ServiceChange],
    /// The number of tasks for a service that wants none yet.
    pub desired_count: u32,
    /// What to do when another deployment is under way.
    pub if_busy: IfBusy,
    /// Roll out also when nothing changed.
    pub force: bool,
    /// How long a rollout may take.
    pub deadline: Duration,
    /// The URL that has to answer afterwards.
    pub health: Option<HealthCheck>,
    /// What was built, and is to be found by later deploys.
    pub mark: Option<Mark>,
}

/// What one service gets.
#[derive(Clone, Debug)]
pub struct ServiceChange {
    /// The ECS service.
    pub service: String,
    /// The number of tasks that it wants now.
    pub desired: u32,
    /// What it gets.
    pub change: TaskChange,
}

/// The steps that roll something out.
pub fn rollout(rollout: &Rollout<'_>) -> Vec<Step> {
    let names: Vec<String> = rollout.services.iter().map(|of| of.service.clone()).collect();
    let mut steps = Vec::new();
    if let Some(what) = rollout.lock {
        // One order for everybody: two deploys never wait for each other's second lock.
        let mut services = names.clone();
        services.sort();
        steps.push(Step::Lock {
            cluster: rollout.cluster.to_owned(),
            services,
            what: match rollout.services.first().map(|of| &of.change) {
                Some(TaskChange::Next { image: ImageRef::Known(image), .. }) => {
                    format!("{what} of {image}")
                }
                Some(TaskChange::Existing(arn)) => {
                    format!("{what} to {}", arn.rsplit('/').next().unwrap_or(arn))
                }
                _ => what.to_owned(),
            },
            if_busy: rollout.if_busy,
            deadline: rollout.deadline,
        });
    }
    steps.push(Step::Settle {
        services: names.clone(),
        if_busy: rollout.if_busy,
        deadline: rollout.deadline,
    });
    steps.extend(rollout.services.iter().map(|of| {
        Step::Update(Update {
            cluster: rollout.cluster.to_owned(),
            service: of.service.clone(),
            container: rollout.container.to_owned(),
            change: of.change.clone(),
            desired_count: (of.desired == 0).then_some(rollout.desired_count),
            force: rollout.force,
        })
    }));
    // Here it costs no time: the tasks take longer to start.
    steps.extend(rollout.mark.clone().map(|mark| Step::Mark(Box::new(mark))));
    steps.push(Step::Watch { services: names.clone(), deadline: rollout.deadline });
    steps.push(Step::VerifyDigest { services: names });
    steps.extend(rollout.health.clone().map(Step::VerifyHealth));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lock: Option<&'static str>, desired: u32, force: bool) -> Vec<String> {
        let change = TaskChange::Next {
            image: ImageRef::Pushed("r.example/app".into()),
            environment: BTreeMap::from([("A".into(), "1".into())]),
            secrets: BTreeMap::from([("B".into(), "arn:x".into())]),
        };
        let health = HealthCheck {
            url: "http://h/health".into(),
            headers: BTreeMap::new(),
            timeout: Duration::from_secs(60),
        };
        let service = |service: &str| ServiceChange {
            service: service.into(),
            desired,
            change: change.clone(),
        };
        let steps = rollout(&Rollout {
            cluster: "c",
            container: "api",
            lock,
            services: &[service("s"), service("a")],
            desired_count: 2,
            if_busy: IfBusy::Wait,
            force,
            deadline: Duration::from_secs(900),
            health: Some(health),
            mark: None,
        });
        steps.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_steps_say_what_they_do() {
        assert_eq!(
            texts(Some("deploy"), 1, false),
            [
                "take the deploy lock of a, s; if somebody else holds it, wait up to 15m for it",
                "if another deployment of s, a is under way, wait up to 15m for it",
                "update c/s to r.example/app@(digest of the build), environment A, secrets B",
                "update c/a to r.example/app@(digest of the build), environment A, secrets B",
                "watch s, a for up to 15m",
                "check that the tasks of s, a run that image",
                "check that http://h/health answers 200",
            ]
        );
    }

    #[test]
    fn a_first_deployment_starts_tasks() {
        let texts = texts(None, 0, true);
        assert!(texts[0].starts_with("if another deployment"), "without a lock: {texts:?}");
        assert!(texts[1].ends_with("secrets B, 2 tasks, also when nothing changed"));
    }
}
