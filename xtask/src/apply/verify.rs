//! After a rollout: do the tasks run what was pushed, and does the service answer?

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;
use serde_json::Value;

use crate::aws::{Aws, http};
use crate::observe::{ecr, rollout};
use crate::ui::Ui;
use xtask_core::config::Environment;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::deploy::HealthCheck;
use xtask_core::plan::fit::{SPACE_FIX, Space, space, space_text};
use xtask_core::rollout::{Task, TaskStatus, task_id};
use xtask_core::units::format_size;

/// What the health URL said.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct HealthAnswer {
    /// The URL.
    pub url: String,
    /// The HTTP status.
    pub status: u16,
    /// How long it took until it answered 200, in seconds.
    pub seconds: f64,
    /// How often it was asked.
    pub tries: u32,
}

impl fmt::Display for HealthAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it answers {}", self.status)
    }
}

/// How long tasks that report no digest yet are looked at again.
#[cfg(not(test))]
const PATIENCE: Duration = Duration::from_secs(10);
#[cfg(test)]
const PATIENCE: Duration = Duration::from_millis(300);

/// Between two of those looks.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 50 } else { 1000 });

/// Compares the digests of the running tasks with that of the image. An index's digest and
/// those of its platforms' manifests all count: ECS reports the one that it pulled.
///
/// # Errors
/// [`Exit::VerificationFailed`]: a task runs something else, or none says that it runs it. Or ECR can not be
/// asked, which is needed only where a task reports another digest.
pub async fn digests(
    ui: &Ui,
    aws: &Aws,
    environment: &Environment,
    image: &str,
    tasks: &[Task],
) -> Result<String> {
    let Some((_, digest)) = image.split_once('@') else {
        return Ok(format!("{image} is not named by its digest, so there is nothing to compare"));
    };
    let tasks = reporting(aws, environment, tasks).await;
    let container = &environment.container;
    let reported: Vec<_> =
        tasks.iter().filter_map(|task| Some((task, reported(task, container)?))).collect();
    if reported.is_empty() {
        return Err(Failure::new(
            Exit::VerificationFailed,
            format!("no running task reports an image digest, so {digest} can not be confirmed"),
        )
        .hint("look at the tasks with `cargo xtask status`")
        .into());
    }
    if reported.iter().any(|(_, found)| *found != digest) {
        let manifest = ecr::image(aws, environment, digest).await?.map(|image| image.manifest);
        let accepted = accepted(digest, manifest.as_deref());
        let other = reported.iter().find(|(_, found)| !accepted.iter().any(|a| a == found));
        if let Some((task, found)) = other {
            return Err(Failure::new(
                Exit::VerificationFailed,
                format!("task {} runs {found}, and not {digest}", task_id(&task.arn)),
            )
            .hint("somebody else may have deployed meanwhile: `cargo xtask status`")
            .into());
        }
    }
    let silent: Vec<_> =
        tasks.iter().filter(|task| self::reported(task, container).is_none()).collect();
    if !silent.is_empty() {
        let names: Vec<_> = silent.iter().map(|task| task_id(&task.arn)).collect();
        ui.emit(&Event::Warning {
            text: format!(
                "{} of {} tasks do not say which image they run, so that of them is not \
                 confirmed: {}",
                silent.len(),
                tasks.len(),
                names.join(", ")
            ),
            hint: Some("look at them with `cargo xtask status`".into()),
        });
    }
    Ok(format!("{} of {} tasks run {digest}", reported.len(), tasks.len()))
}

/// The digest that a task reports for the image of a container.
fn reported<'a>(task: &'a Task, container: &str) -> Option<&'a str> {
    let container = task.containers.iter().find(|of| of.name == container)?;
    container.image_digest.as_deref().filter(|digest| !digest.is_empty())
}

/// The tasks, once each of them reports a digest, or it was waited for long enough. Tasks that
/// ECS has ended meanwhile do not count any more.
async fn reporting(aws: &Aws, environment: &Environment, tasks: &[Task]) -> Vec<Task> {
    let mut tasks = tasks.to_vec();
    let looks = async {
        loop {
            let silent = tasks.iter().filter(|of| reported(of, &environment.container).is_none());
            let silent: Vec<_> = silent.map(|task| task.arn.clone()).collect();
            if silent.is_empty() {
                return;
            }
            tokio::time::sleep(PAUSE).await;
            // What can not be read stays as it was: in the end it is told what is missing.
            for now in
                rollout::described(aws, &environment.cluster, &silent).await.unwrap_or_default()
            {
                tasks.retain(|task| task.arn != now.arn);
                if now.desired_status == TaskStatus::Running {
                    tasks.push(now);
                }
            }
        }
    };
    let _ = tokio::time::timeout(PATIENCE, looks).await;
    tasks
}

/// Compares an image's compressed size, in bytes, with the space that a task has, in GiB.
///
/// # Errors
/// [`Exit::Prerequisite`]: it can not fit.
pub fn size(ui: &Ui, compressed: Option<u64>, storage: u64) -> Result<String> {
    let Some(bytes) = compressed else { return Ok("its size is not known".to_owned()) };
    let text = space_text("the image", bytes, storage);
    match space(bytes, storage) {
        Space::Enough => Ok(format!("{} compressed", format_size(bytes))),
        Space::Tight => {
            ui.emit(&Event::Warning { text, hint: Some(SPACE_FIX.to_owned()) });
            Ok("it may not fit".to_owned())
        }
        Space::TooSmall => Err(Failure::new(
            Exit::Prerequisite,
            format!("{text}; it was pushed, and no service was changed"),
        )
        .hint(SPACE_FIX)
        .into()),
    }
}

/// The digest itself, and those of an index's manifests.
fn accepted(digest: &str, manifest: Option<&str>) -> Vec<String> {
    let index: Value =
        manifest.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
    let children = index["manifests"].as_array().into_iter().flatten();
    let children = children.filter_map(|child| child["digest"].as_str());
    std::iter::once(digest).chain(children).map(str::to_owned).collect()
}

/// Asks the health URL until it answers 200 or the time is over.
///
/// # Errors
/// [`Exit::VerificationFailed`]: it did not, with what it said last.
pub async fn health(aws: &Aws, check: &HealthCheck) -> Result<HealthAnswer> {
    let start = Instant::now();
    let mut tries = 0;
    loop {
        tries += 1;
        let left = check.timeout.saturating_sub(start.elapsed());
        let patience = left.clamp(Duration::from_millis(500), Duration::from_secs(5));
        let said = match http::get(&aws.http, &check.url, &check.headers, patience).await {
            Ok(answer) if answer.status == 200 => {
                return Ok(HealthAnswer {
                    url: check.url.clone(),
                    status: answer.status,
                    seconds: start.elapsed().as_secs_f64(),
                    tries,
                });
            }
            Ok(answer) => format!("{}: {}", answer.status, answer.excerpt()),
            Err(error) => format!("{error:#}"),
        };
        if start.elapsed() >= check.timeout {
            return Err(Failure::new(
                Exit::VerificationFailed,
                format!("{} does not answer 200: {said}", check.url),
            )
            .hint("the tasks run; look at their log, the target group and the security groups")
            .into());
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// Asks the health URL once, and says in a few words what it said.
pub async fn health_once(aws: &Aws, check: &HealthCheck) -> String {
    match http::get(&aws.http, &check.url, &check.headers, Duration::from_secs(5)).await {
        Ok(answer) => format!("{}: {}", answer.status, answer.excerpt()),
        Err(error) => format!("does not answer: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::stand_in::StandIn;
    use xtask_core::exit::exit_of;

    const RIGHT: &str = "r.example/app@sha256:right";

    /// What is said of two tasks, of which one says what it runs, and the other this, from the
    /// second look on.
    async fn checked(other: Option<&'static str>) -> (Result<String>, Vec<String>) {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, before| {
            let task = |arn: &Value| {
                let digest = match arn.as_str() {
                    Some("task/1") => Some("sha256:right"),
                    _ => other.filter(|_| before > 1),
                };
                json!({ "taskArn": arn, "lastStatus": "RUNNING", "desiredStatus": "RUNNING",
                    "containers": [{ "name": "app", "imageDigest": digest }] })
            };
            match operation {
                "DescribeTasks" => {
                    let wanted = request["tasks"].as_array().unwrap().iter();
                    (200, json!({ "tasks": wanted.map(task).collect::<Vec<_>>() }))
                }
                _ => (200, json!({ "images": [], "failures": [] })),
            }
        });
        let (ui, aws) = (Ui::silent(), stand_in.aws().await);
        let arns = ["task/1".to_owned(), "task/2".to_owned()];
        let tasks = rollout::described(&aws, "app", &arns).await.unwrap();
        let said = digests(&ui, &aws, &stand_in.environment(), RIGHT, &tasks).await;
        (said, ui.heard())
    }

    #[tokio::test]
    async fn each_task_is_asked_until_it_says_what_it_runs() {
        let (said, heard) = checked(Some("sha256:right")).await;
        assert_eq!((said.unwrap().as_str(), heard.len()), ("2 of 2 tasks run sha256:right", 0));

        let (said, _) = checked(Some("sha256:wrong")).await;
        let error = said.unwrap_err();
        assert_eq!(exit_of(&error), Exit::VerificationFailed);
        assert!(error.to_string().starts_with("task 2 runs sha256:wrong"), "{error}");

        let (said, heard) = checked(None).await;
        assert_eq!(said.unwrap(), "1 of 2 tasks run sha256:right");
        assert!(
            heard.join(" ").contains("1 of 2 tasks do not say which image they run"),
            "{heard:?}"
        );
    }

    #[test]
    fn an_index_counts_with_its_children() {
        let index = r#"{"manifests":[{"digest":"sha256:b"},{"digest":"sha256:c"}]}"#;
        assert_eq!(accepted("sha256:a", Some(index)), ["sha256:a", "sha256:b", "sha256:c"]);
        assert_eq!(accepted("sha256:a", Some(r#"{"layers":[]}"#)), ["sha256:a"]);
        assert_eq!(accepted("sha256:a", None), ["sha256:a"]);
    }
}
