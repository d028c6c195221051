//! `UpdateService` ended with an error: the request may have arrived all the same. ECS tells.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_ecs::types::{Deployment, Service};

use crate::aws::{Aws, explain};
use crate::observe::ecs::{ServiceFacts, revision};
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Again, Failure, again};
use xtask_core::plan::deploy::Update;

/// Looks at a service that nobody knows whether it moved: what ECS answers right after a change
/// may be from before it.
const LOOKS: u32 = 3;

/// Between two of them.
const PAUSE: Duration = Duration::from_secs(1);

/// What a look shows, against what there was before the call.
enum Found<'a> {
    /// A new deployment of what was asked for, also one that ECS gave up meanwhile.
    Moved(&'a Deployment),
    /// The deployment from before.
    Stays,
    /// Another deployment, of somebody else.
    Elsewhere(&'a Deployment),
}

/// The deployment that a call began, in ECS's answer: the primary one, unless ECS has given it up
/// by then and is back on another.
pub(super) fn begun<'a>(
    before: &ServiceFacts,
    to: &str,
    answered: &'a Service,
) -> Option<&'a Deployment> {
    match compare(before, to, answered) {
        Found::Moved(ours) => Some(ours),
        Found::Stays | Found::Elsewhere(_) => primary(answered),
    }
}

/// The deployment that the call began in spite of the error.
///
/// # Errors
/// The error, with what is known of the service.
pub(super) async fn look_again(
    ui: &Ui,
    aws: &Aws,
    update: &Update,
    to: &str,
    before: &ServiceFacts,
    error: anyhow::Error,
) -> Result<Deployment> {
    // Whoever was refused did not get through; only the tries before that may have.
    let refused = again(&error) != Again::Soon;
    let (service, wanted) = (&update.service, revision(to));
    for look in 1.. {
        let found = match describe(aws, update).await {
            Ok(found) => found,
            Err(_) if refused => return Err(error),
            Err(blind) => {
                let text = format!(
                    "nobody knows whether {service} was moved to {wanted}, for ECS can not be \
                     asked: {blind:#}"
                );
                let hint = "once AWS answers again, `cargo xtask status` shows whether it was, \
                            and `cargo xtask rollback` undoes it";
                return Err(with(error, &text, Some(hint)));
            }
        };
        let text = match compare(before, to, &found) {
            Found::Moved(ours) => {
                let id = ours.id().unwrap_or_default();
                let text = format!(
                    "{error:#}; but {service} was moved to {wanted} (deployment {id}), so this \
                     goes on"
                );
                ui.emit(&Event::Note { text });
                return Ok(ours.clone());
            }
            Found::Stays if refused => return Err(error),
            Found::Stays if look < LOOKS => {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Found::Stays => {
                format!("{service} is on {} as before, and not on {wanted}", before.revision())
            }
            Found::Elsewhere(other) => {
                let id = other.id().unwrap_or_default();
                let other = revision(other.task_definition().unwrap_or_default());
                format!("{service} is on {other} by now (deployment {id}), and not on {wanted}")
            }
        };
        return Err(with(error, &text, None));
    }
    Err(error)
}

async fn describe(aws: &Aws, update: &Update) -> Result<Service> {
    let (cluster, service) = (&update.cluster, &update.service);
    let answer = aws.ecs.describe_services().cluster(cluster).services(service).send().await;
    let answer = answer.map_err(|error| explain("ecs:DescribeServices", &error))?;
    answer.services.unwrap_or_default().into_iter().next().context("it has no such service")
}

fn compare<'a>(before: &ServiceFacts, to: &str, found: &'a Service) -> Found<'a> {
    let was = |deployment: &Deployment| deployment.id() == Some(before.primary.as_str());
    let all = found.deployments();
    let since = all.iter().find(|deployment| was(deployment)).and_then(Deployment::created_at);
    let ours = all.iter().find(|deployment| {
        // An earlier one of the same revision may be on its way out.
        let newer = deployment.created_at() > since || deployment.status() == Some("PRIMARY");
        !was(deployment) && newer && deployment.task_definition() == Some(to)
    });
    match (ours, primary(found)) {
        (Some(ours), _) => Found::Moved(ours),
        (None, Some(primary)) if !was(primary) => Found::Elsewhere(primary),
        // No primary at all is half an answer.
        _ => Found::Stays,
    }
}

fn primary(service: &Service) -> Option<&Deployment> {
    service.deployments().iter().find(|deployment| deployment.status() == Some("PRIMARY"))
}

/// An error with more to it.
fn with(error: anyhow::Error, text: &str, hint: Option<&str>) -> anyhow::Error {
    match error.downcast::<Failure>() {
        Ok(mut failure) => {
            failure.message.push_str(&format!("; {text}"));
            failure.hint = hint.map(str::to_owned).or(failure.hint);
            failure.into()
        }
        Err(error) => error.context(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::DateTime;

    use super::*;

    #[test]
    fn ours_is_found_also_when_ecs_is_back_on_another_by_the_time_of_the_answer() {
        let deployment = |id: &str, status: &str, revision: &str, at: i64| {
            let created = DateTime::from_secs(at);
            let made = Deployment::builder().id(id).status(status).created_at(created);
            made.task_definition(revision).build()
        };
        let before = ServiceFacts {
            name: "app".into(),
            desired: 1,
            running: 1,
            task_definition_arn: "app:1".into(),
            described: serde_json::Value::Null,
            in_flight: None,
            primary: "before".into(),
            settled: true,
            served: None,
        };
        let of = |all: &[Deployment]| {
            let service = Service::builder().set_deployments(Some(all.to_vec())).build();
            begun(&before, "app:2", &service).and_then(Deployment::id).map(str::to_owned)
        };
        let old = deployment("before", "ACTIVE", "app:1", 5);
        let ours = deployment("ours", "PRIMARY", "app:2", 6);
        assert_eq!(of(&[ours, old]).as_deref(), Some("ours"));
        let back = deployment("before", "PRIMARY", "app:1", 5);
        let given_up = deployment("ours", "ACTIVE", "app:2", 6);
        assert_eq!(of(&[given_up, back.clone()]).as_deref(), Some("ours"));
        // On its way out since before.
        let earlier = deployment("earlier", "ACTIVE", "app:2", 4);
        assert_eq!(of(&[earlier, back]).as_deref(), Some("before"));
    }
}
