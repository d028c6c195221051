//! `UpdateService` ended with an error: the request may have arrived all the same. ECS tells.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_sdk_ecs::types::{Deployment, Service};

use crate::aws::{Aws, explain};
use crate::event::Event;
use crate::exit::{Again, Failure, again};
use crate::observe::ecs::{ServiceFacts, revision};
use crate::plan::deploy::Update;
use crate::ui::Ui;

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
    let primary = all.iter().find(|deployment| deployment.status() == Some("PRIMARY"));
    match (ours, primary) {
        (Some(ours), _) => Found::Moved(ours),
        (None, Some(primary)) if !was(primary) => Found::Elsewhere(primary),
        // No primary at all is half an answer.
        _ => Found::Stays,
    }
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
