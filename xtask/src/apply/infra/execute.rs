//! Has CloudFormation carry a proposal out, and shows what it does until it has ended.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{CHANGE_SET, ChangeSetRef, Proposal, delete, pause, refused};
use crate::aws::{Aws, cfn, explain};
use crate::interrupt::{self, remember};
use crate::ui::Ui;
use xtask_core::config::Environment;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::infra::{self, Ended, Kind, StackPlan};

/// How long the events of a stack that changes may stay unreadable.
const BLIND: Duration = Duration::from_secs(5 * 60);

/// Makes the change, shows the stack's events, and waits for the end.
///
/// # Errors
/// [`Exit::RolledBack`]: it failed, and CloudFormation put everything back.
/// [`Exit::RolloutFailed`]: it failed, and was not put back. Both name the first resource that
/// failed, and why.
pub(super) async fn execute(
    ui: &Ui,
    aws: &Aws,
    environment: &Environment,
    proposal: Proposal,
) -> Result<()> {
    let Some(change_set) = proposal.change_set else { return Ok(()) };
    let (name, plan) = (&environment.name, &proposal.plan);
    let mut seen = begin(ui, aws, name, plan, &change_set).await?;
    remember(
        format!("stack {}", plan.stack),
        format!("CloudFormation goes on with the stack {}: {}", plan.stack, how_far(name)),
    );
    match follow(ui, aws, name, &plan.stack, &mut seen).await? {
        (Ended::Well, _) => Ok(()),
        (ended, first_failed) => {
            Err(failed(plan, ended, first_failed.as_ref(), environment).into())
        }
    }
}

/// Where to see what CloudFormation does when nobody watches it here any more.
fn how_far(environment: &str) -> String {
    format!(
        "its events show how far it is, and `cargo xtask infra diff --env {environment}` what is \
         left to do"
    )
}

/// Has CloudFormation begin, and returns the events that were there before. If it does not
/// begin, the change set goes again.
async fn begin(
    ui: &Ui,
    aws: &Aws,
    environment: &str,
    plan: &StackPlan,
    change_set: &ChangeSetRef,
) -> Result<HashSet<String>> {
    let mut seen = HashSet::new();
    let error = match cfn::new_events(aws, &plan.stack, &mut seen).await {
        Err(error) => error,
        Ok(_) => {
            // From here on it may have begun: an interruption must not delete what it works on.
            interrupt::keep(CHANGE_SET);
            let told = format!("CloudFormation was told to change the stack {}", plan.stack);
            let how_far = how_far(environment);
            remember(format!("stack {}", plan.stack), format!("{told}: {how_far}"));
            let parameters =
                [("StackName", plan.stack.as_str()), ("ChangeSetName", &change_set.name)];
            match cfn::call(aws, "ExecuteChangeSet", &parameters).await {
                Ok(_) => return Ok(seen),
                Err(error) if error.as_service_error().is_none() => {
                    return Err(explain("cloudformation:ExecuteChangeSet", &error)
                        .context(format!("{told}, and its answer was lost: {how_far}")));
                }
                Err(error) => refused("ExecuteChangeSet", plan, &error),
            }
        }
    };
    if let Err(left) = delete(aws, change_set).await {
        ui.emit(&Event::Warning {
            text: format!("the change set {} is left: {left:#}", change_set.name),
            hint: Some(format!("delete it in the stack {}; it does nothing", plan.stack)),
        });
    }
    Err(error)
}

/// Shows the stack's events until it has ended; returns how, and what failed first. Events that
/// can not be read are asked for again: CloudFormation does not stop because nobody is looking.
async fn follow(
    ui: &Ui,
    aws: &Aws,
    environment: &str,
    stack: &str,
    seen: &mut HashSet<String>,
) -> Result<(Ended, Option<cfn::StackEvent>)> {
    let start = Instant::now();
    let mut unreadable_since = None;
    let mut first_failed = None;
    loop {
        match cfn::new_events(aws, stack, seen).await {
            Ok(events) => {
                unreadable_since = None;
                if let Some(ended) = show(ui, stack, &events, &mut first_failed) {
                    return Ok((ended, first_failed));
                }
            }
            Err(error) if unreadable_since.is_none() => {
                unreadable_since = Some(Instant::now());
                let text = format!("the events of {stack} can not be read: {error:#}");
                let hint = "CloudFormation goes on; trying again".to_owned();
                ui.emit(&Event::Warning { text, hint: Some(hint) });
            }
            Err(error) if unreadable_since.is_some_and(|since| since.elapsed() > BLIND) => {
                let how_far = how_far(environment);
                return Err(error.context(format!(
                    "CloudFormation goes on with the stack {stack}, unseen: {how_far}"
                )));
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause(start.elapsed())).await;
    }
}

/// Shows events, oldest first; returns how the stack ended, if it has.
fn show(
    ui: &Ui,
    stack: &str,
    events: &[cfn::StackEvent],
    first_failed: &mut Option<cfn::StackEvent>,
) -> Option<Ended> {
    let mut last = None;
    for (index, event) in events.iter().enumerate() {
        let of_stack = event.kind == "AWS::CloudFormation::Stack" && event.resource == stack;
        let reason = if event.reason.is_empty() { "" } else { ": " };
        let (resource, status) = (&event.resource, &event.status);
        let text = format!("{resource}  {status}{reason}{}", event.reason);
        let outdated = events[index + 1..].iter().any(|later| later.resource == *resource);
        if outdated && status.ends_with("_IN_PROGRESS") {
            ui.emit(&Event::Detail { text });
        } else {
            ui.emit(&Event::Note { text });
        }
        if of_stack {
            last = infra::ended(&event.status).or(last);
        } else if event.status.ends_with("_FAILED")
            // What CloudFormation stops because something else failed.
            && !event.reason.contains("cancelled")
            && first_failed.is_none()
        {
            *first_failed = Some(event.clone());
        }
    }
    last
}

fn failed(
    plan: &StackPlan,
    ended: Ended,
    first: Option<&cfn::StackEvent>,
    environment: &Environment,
) -> Failure {
    let stack = &plan.stack;
    let why = match first {
        Some(event) => format!("{} ({}): {}", event.resource, event.kind, event.reason),
        None => "CloudFormation names no resource as the cause".to_owned(),
    };
    let (exit, end) = match (ended, plan.kind) {
        (Ended::RolledBack, Kind::Update) => (Exit::RolledBack, "everything is as it was"),
        (Ended::RolledBack, Kind::Create) => {
            (Exit::RolledBack, "what it had created is deleted again")
        }
        _ => (Exit::RolloutFailed, "it was not rolled back"),
    };
    let hint = match plan.kind {
        Kind::Update => format!("mend {} and run this again", plan.template),
        Kind::Create => format!(
            "mend {}, delete the empty stack (`aws cloudformation delete-stack --stack-name {stack} \
             --region {}`), and run this again",
            plan.template, environment.region
        ),
    };
    Failure::new(exit, format!("the stack {stack} failed, and {end}; first: {why}")).hint(hint)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::stand_in::StandIn;
    use xtask_core::plan::infra::ImageValue;

    const NEW: &str = "<R><DescribeStacksResult><Stacks><member><StackStatus>REVIEW_IN_PROGRESS\
        </StackStatus></member></Stacks></DescribeStacksResult></R>";
    const DENIED: &str = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not allowed\
        </Message></Error></ErrorResponse>";

    fn events(of_stack: &[&str]) -> Value {
        let member = |(id, status): (usize, &&str)| {
            format!(
                "<member><EventId>{id}</EventId><LogicalResourceId>app</LogicalResourceId>\
                 <ResourceType>AWS::CloudFormation::Stack</ResourceType>\
                 <ResourceStatus>{status}</ResourceStatus></member>"
            )
        };
        let members: String = of_stack.iter().enumerate().rev().map(member).collect();
        let list = format!("<StackEvents>{members}</StackEvents>");
        json!(format!("<R><DescribeStackEventsResult>{list}</DescribeStackEventsResult></R>"))
    }

    fn plan() -> StackPlan {
        StackPlan {
            stack: "app".into(),
            kind: Kind::Create,
            template: "stack.yaml".into(),
            image_parameter: None,
            image: ImageValue::Default,
            changes: Vec::new(),
        }
    }

    fn run<T>(stand_in: &StandIn, act: impl AsyncFnOnce(Aws) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { act(stand_in.aws().await).await })
    }

    #[test]
    fn what_may_not_be_executed_leaves_neither_change_set_nor_empty_stack() {
        let stand_in = StandIn::start(|operation: &str, _: &Value, _| match operation {
            "ExecuteChangeSet" => (403, json!(DENIED)),
            "DescribeStackEvents" => (200, events(&["REVIEW_IN_PROGRESS"])),
            "DescribeStacks" => (200, json!(NEW)),
            _ => (200, json!("<R/>")),
        });
        let made = ChangeSetRef { stack: "app".into(), name: "x-1".into(), stack_existed: false };
        let error = run(&stand_in, async |aws: Aws| {
            begin(&Ui::silent(), &aws, "test", &plan(), &made).await.unwrap_err()
        });
        assert!(error.to_string().starts_with("cloudformation:ExecuteChangeSet: "), "{error}");
        let hint = xtask_core::exit::hint_of(&error).unwrap();
        assert!(hint.contains("`cloudformation:ExecuteChangeSet`"), "{hint}");
        for operation in ["DeleteChangeSet", "DeleteStack"] {
            let calls = stand_in.calls(operation);
            assert_eq!(calls.len(), 1, "{operation}");
            assert!(calls[0].as_str().unwrap().contains("StackName=app"), "{calls:?}");
        }
    }

    #[test]
    fn events_that_can_not_be_read_once_do_not_end_the_watch() {
        let stand_in = StandIn::start(|operation: &str, _: &Value, before| {
            assert_eq!(operation, "DescribeStackEvents");
            match before {
                0 => (403, json!(DENIED)),
                _ => (200, events(&["CREATE_IN_PROGRESS", "CREATE_COMPLETE"])),
            }
        });
        let (ended, first) = run(&stand_in, async |aws: Aws| {
            follow(&Ui::silent(), &aws, "test", "app", &mut HashSet::new()).await.unwrap()
        });
        assert_eq!(ended, Ended::Well);
        assert!(first.is_none());
        assert_eq!(stand_in.calls("DescribeStackEvents").len(), 2);
    }
}
