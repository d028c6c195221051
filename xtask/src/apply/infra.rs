//! Changes the CloudFormation stack through change sets.
//!
//! What a change of the stack would do, only CloudFormation knows: it says so when a change set
//! is made. So a proposal makes one, which changes no resource, and it is either executed or
//! deleted again. A deleted one leaves nothing behind, also after an interruption.

mod execute;
mod hold;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;

use crate::aws::{Aws, cfn, explain, wire};
use crate::interrupt;
use crate::observe::ecs::ServiceFacts;
use crate::observe::stack::{configured, services, template};
pub use hold::carry_out;
use xtask_core::config::{Environment, Stack};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::infra::{self, ImageValue, Kind, StackPlan};

/// What an interruption undoes it as.
const CHANGE_SET: &str = "change set";

/// A change of the stack that CloudFormation has worked out and not made.
pub struct Proposal {
    /// What it is.
    pub plan: StackPlan,
    /// Its name; `None` when there is nothing to change.
    change_set: Option<ChangeSetRef>,
    /// The deployment of a service that is under way, in words.
    busy: Option<String>,
    /// The services that it was worked out for, with the task definitions that they were on.
    services: Vec<(String, String)>,
}

/// A change set in the account, and what else goes when it is deleted.
#[derive(Clone)]
struct ChangeSetRef {
    stack: String,
    name: String,
    /// Whether the stack was there before: making a change set makes an empty stack.
    stack_existed: bool,
}

/// Has CloudFormation work out what a deploy of the stack would change.
///
/// # Errors
/// [`Exit::Usage`]: the template or a parameter is wrong. [`Exit::Prerequisite`]: the stack can
/// not be changed as it is now.
pub async fn propose(aws: &Aws, environment: &Environment, root: &Path) -> Result<Proposal> {
    let stack = configured(environment)?;
    let body = template(root, stack)?;
    let name = &stack.file.stack;
    let found = cfn::stack(aws, name).await?;
    let status = found.as_ref().map(|found| found.status.as_str());
    let kind = infra::kind(name, &environment.region, status)?;
    let services = match kind {
        Kind::Create => Vec::new(),
        Kind::Update => services(aws, environment).await?,
    };
    let parameter = stack.file.image_parameter.clone();
    let previous = parameter.as_ref().and_then(|parameter| {
        let found = found.as_ref()?.parameters.iter().find(|(name, _)| name == parameter)?;
        Some(found.1.clone())
    });
    let image = match (kind, &previous) {
        (Kind::Update, Some(_)) => ImageValue::Previous,
        _ => ImageValue::Default,
    };
    let mut plan = StackPlan {
        stack: name.clone(),
        kind,
        template: stack.file.template.clone(),
        image_parameter: parameter,
        image,
        changes: Vec::new(),
    };
    let existed = found.is_some();
    let mut change_set = make(aws, stack, &mut plan, &body, existed).await?;
    let keep = infra::image_to_keep(
        services
            .iter()
            .filter_map(|service| Some((service.image(&environment.container)?, service.desired))),
    );
    if let (Some(keep), true) = (keep, infra::touches_service(&plan.changes))
        && plan.image_parameter.is_some()
        && previous.as_deref() != Some(keep)
    {
        // With the older image CloudFormation would take the service back to it.
        if let Some(made) = change_set.take() {
            delete(aws, &made).await?;
        }
        plan.image = ImageValue::Running(keep.to_owned());
        change_set = make(aws, stack, &mut plan, &body, existed).await?;
    }
    Ok(Proposal { plan, change_set, busy: busy(&services), services: on(&services) })
}

/// The deployment that is under way, in words.
fn busy(services: &[ServiceFacts]) -> Option<String> {
    services.iter().find_map(|service| {
        let in_flight = service.in_flight.as_ref()?;
        let (id, revision) = (&in_flight.id, &in_flight.revision);
        Some(format!("deployment {id} of {} to {revision} is under way", service.name))
    })
}

/// The services with the task definitions that they are on.
fn on(services: &[ServiceFacts]) -> Vec<(String, String)> {
    let each = services.iter();
    each.map(|service| (service.name.clone(), service.task_definition_arn.clone())).collect()
}

/// Sees that no deployment is under way before something is changed; else takes the
/// proposal back: CloudFormation would take the deployment's place, with an older image.
///
/// # Errors
/// [`Exit::Superseded`]: one is under way.
pub async fn settled(aws: &Aws, mut proposal: Proposal) -> Result<Proposal> {
    if proposal.change_set.is_none() {
        return Ok(proposal);
    }
    let Some(busy) = proposal.busy.take() else { return Ok(proposal) };
    discard(aws, proposal).await?;
    Err(Failure::new(Exit::Superseded, busy)
        .hint("wait until it has ended (`cargo xtask status` shows it), and run this again")
        .into())
}

/// Takes a proposal back.
///
/// # Errors
/// CloudFormation can not be asked.
pub async fn discard(aws: &Aws, proposal: Proposal) -> Result<()> {
    match proposal.change_set {
        Some(change_set) => delete(aws, &change_set).await,
        None => Ok(()),
    }
}

/// Makes a change set, fills in what it changes, and returns it unless that is nothing.
async fn make(
    aws: &Aws,
    stack: &Stack,
    plan: &mut StackPlan,
    body: &str,
    stack_existed: bool,
) -> Result<Option<ChangeSetRef>> {
    let made = ChangeSetRef { stack: plan.stack.clone(), name: unique_name(), stack_existed };
    let undo = (aws.clone(), made.clone());
    interrupt::undo_with(CHANGE_SET, async move {
        // After an interruption there is nobody left to tell; an unused change set does nothing.
        let _ = delete(&undo.0, &undo.1).await;
    });
    match work_out(aws, stack, plan, body, &made).await {
        Ok(true) => Ok(Some(made)),
        Ok(false) => {
            delete(aws, &made).await?;
            Ok(None)
        }
        Err(error) => {
            // The error is what counts; the change set that may be left does nothing.
            let _ = delete(aws, &made).await;
            Err(error)
        }
    }
}

/// Whether there is anything to change.
async fn work_out(
    aws: &Aws,
    stack: &Stack,
    plan: &mut StackPlan,
    body: &str,
    made: &ChangeSetRef,
) -> Result<bool> {
    let mut fields: Vec<(String, String)> = [
        ("StackName", made.stack.as_str()),
        ("ChangeSetName", made.name.as_str()),
        ("ChangeSetType", plan.kind.change_set_type()),
        ("Capabilities.member.1", "CAPABILITY_IAM"),
        ("TemplateBody", body),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let image = plan.image_parameter.as_deref().map(|name| (name, &plan.image));
    fields.extend(infra::parameters(stack.values()?, image));
    wire::query(&aws.config, wire::Service::CloudFormation, "CreateChangeSet", &fields)
        .await
        .map_err(|error| refused("CreateChangeSet", plan, &error))?;
    let start = Instant::now();
    loop {
        let found = cfn::change_set(aws, &made.stack, &made.name).await?;
        match found.status.as_str() {
            "CREATE_COMPLETE" => {
                plan.changes = found.changes;
                return Ok(!plan.changes.is_empty());
            }
            "FAILED" if no_changes(&found.reason) => return Ok(false),
            "FAILED" => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("CloudFormation refuses {}: {}", plan.template, found.reason),
                )
                .hint("mend the template or [env.NAME.infra.parameters] in xtask.toml")
                .into());
            }
            _ => tokio::time::sleep(pause(start.elapsed())).await,
        }
    }
}

/// CloudFormation has no code for this, only two texts.
fn no_changes(reason: &str) -> bool {
    reason.contains("didn't contain changes") || reason.contains("No updates are to be performed")
}

/// Why CloudFormation did not do what this operation asks for.
fn refused(operation: &str, plan: &StackPlan, error: &wire::CallError) -> anyhow::Error {
    let code = error.as_service_error().and_then(|error| error.code());
    let said = error.as_service_error().and_then(|error| error.message()).unwrap_or_default();
    let (exit, what, hint) = match (operation, code) {
        ("CreateChangeSet", Some("ValidationError" | "InsufficientCapabilitiesException")) => (
            Exit::Usage,
            &plan.template,
            "mend the template or [env.NAME.infra.parameters] in xtask.toml",
        ),
        ("ExecuteChangeSet", Some("ValidationError" | "InvalidChangeSetStatus")) => (
            Exit::Prerequisite,
            &plan.stack,
            "somebody else may be changing the stack: run this again when that has ended",
        ),
        _ => return explain(&format!("cloudformation:{operation}"), error),
    };
    Failure::new(exit, format!("CloudFormation refuses {what}: {said}")).hint(hint).into()
}

/// Deletes a change set, and the empty stack that it came with.
async fn delete(aws: &Aws, made: &ChangeSetRef) -> Result<()> {
    let parameters = [("StackName", made.stack.as_str()), ("ChangeSetName", &made.name)];
    let mut tries = 0;
    loop {
        let error = match cfn::call(aws, "DeleteChangeSet", &parameters).await {
            Ok(_) => break,
            Err(error) => error,
        };
        let code = error.as_service_error().and_then(|error| error.code());
        match code {
            // It was never made.
            Some("ValidationError" | "ChangeSetNotFound" | "ChangeSetNotFoundException") => break,
            // It is being worked out.
            Some("InvalidChangeSetStatus") if tries < 10 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            _ => return Err(explain("cloudformation:DeleteChangeSet", &error)),
        }
    }
    interrupt::keep(CHANGE_SET);
    if made.stack_existed {
        return Ok(());
    }
    let found = cfn::stack(aws, &made.stack).await?;
    if found.is_some_and(|found| found.status == "REVIEW_IN_PROGRESS") {
        cfn::call(aws, "DeleteStack", &[("StackName", &made.stack)])
            .await
            .map_err(|error| explain("cloudformation:DeleteStack", &error))?;
    }
    Ok(())
}

/// Executed change sets keep their names for good.
fn unique_name() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("xtask-{}-{}", now.as_millis(), std::process::id())
}

/// The emulator is through within seconds, AWS within minutes.
fn pause(since: Duration) -> Duration {
    if since < Duration::from_secs(10) {
        Duration::from_millis(300)
    } else {
        Duration::from_secs(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_texts_for_no_changes_are_known() {
        assert!(no_changes("The submitted information didn't contain changes. Submit different"));
        assert!(no_changes("No updates are to be performed."));
        assert!(!no_changes("Template error: unresolved reference"));
    }

    #[test]
    fn a_name_begins_with_a_letter_and_is_not_used_twice() {
        let name = unique_name();
        assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{name}");
        std::thread::sleep(Duration::from_millis(2));
        assert_ne!(name, unique_name());
    }
}
