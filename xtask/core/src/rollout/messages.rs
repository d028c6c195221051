//! Which service events are worth a line.
//!
//! Starts, stops and target registrations are already told by the tasks
//! themselves, and "has reached a steady state" is the sentence that makes
//! people believe in a rollout that was rolled back. Everything else is shown:
//! a text we do not know is more likely news than noise.

use super::event::RolloutEvent;
use super::machine::Target;
use super::snapshot::ServiceEvent;
use super::tasks::floor_to_second;

/// What every healthy rollout says.
const ROUTINE: [&str; 8] = [
    "has reached a steady state",
    "has started ",
    "has stopped ",
    "registered ",
    "deregistered ",
    "has begun draining",
    "deployment completed",
    "is az balanced",
];

/// What makes a sentence about trouble, also inside a routine one: "has
/// started 1 tasks … replaced 1 tasks due to an unhealthy status".
const TROUBLE: [&str; 12] = [
    "fail",
    "unable",
    "unhealthy",
    "error",
    "impaired",
    "insufficient",
    "circuit breaker",
    "rolling back",
    "rolled back",
    "throttl",
    "could not",
    "cannot",
];

/// The event for a service message, or `None` when it is old or routine.
pub(super) fn worth_telling(target: &Target, event: &ServiceEvent) -> Option<RolloutEvent> {
    if event.at < floor_to_second(target.started_at) {
        return None;
    }
    let text = without_names(target, &event.message).to_ascii_lowercase();
    let problem = TROUBLE.iter().any(|word| text.contains(word));
    let routine = ROUTINE.iter().any(|words| text.contains(words));
    if text.contains("steady state") || (routine && !problem) {
        return None;
    }
    Some(RolloutEvent::Message {
        id: event.id.clone(),
        at: event.at,
        text: event.message.clone(),
        problem,
    })
}

/// Whether ECS says that ours failed. That stays in the list of events when the
/// deployment has left that of deployments.
///
/// Source: Amazon ECS developer guide, "Amazon ECS service event messages":
/// `(service …) (deployment ecs-svc/…) deployment failed: tasks failed to start.`
pub(super) fn says_failed(target: &Target, event: &ServiceEvent) -> bool {
    let ours = format!("(deployment {}) deployment failed", target.deployment_id);
    !target.deployment_id.is_empty() && event.message.contains(&ours)
}

/// The message without the names in it, so that a service called `failover`
/// is not trouble in itself.
fn without_names(target: &Target, message: &str) -> String {
    let mut rest = message.replace(&target.service, "");
    for kind in ["(service ", "(target-group ", "(task ", "(deployment "] {
        while let Some(begin) = rest.find(kind) {
            let Some(length) = rest[begin..].find(')') else { break };
            rest.replace_range(begin..=begin + length, "");
        }
    }
    rest
}
