//! Real texts of service events: which are told.

use super::build::*;
use crate::rollout::*;

fn told(service: &str, message: &str) -> Option<bool> {
    let target = Target { service: service.to_owned(), ..target() };
    let outcome = play(target, look([ours()], []).saying("e1", START + 1, message).times(2));
    let mut problems = outcome.events.iter().filter_map(|event| match event {
        RolloutEvent::Message { problem, .. } => Some(*problem),
        _ => None,
    });
    let first = problems.next();
    assert_eq!(problems.next(), None, "told twice: {message}");
    first
}

#[test]
fn routine_is_left_out() {
    for message in [
        "(service api) has reached a steady state.",
        "(service api) has started 2 tasks: (task 0123abc) (task 4567def).",
        "(service api) has stopped 1 running tasks: (task 0123abc).",
        "(service api) registered 1 targets in (target-group arn:aws:x:targetgroup/api/1)",
        "(service api) deregistered 1 targets in (target-group arn:aws:x:targetgroup/api/1)",
        "(service api) has begun draining connections on 1 tasks.",
        "(service api) (deployment ecs-svc/ours) deployment completed.",
        "service api has reached a steady state.",
    ] {
        assert_eq!(told("api", message), None, "{message}");
        let failover = message.replace("api", "failover-api");
        assert_eq!(told("failover-api", &failover), None, "{failover}");
    }
}

#[test]
fn trouble_is_told_as_trouble() {
    for message in [
        "(service api) is unable to consistently start tasks successfully. For more information, \
         see the Troubleshooting section.",
        "(service api) was unable to place a task because no container instance met all of its \
         requirements.",
        "(service api) (port 8080) is unhealthy in (target-group arn:aws:x) due to (reason Health \
         checks failed with these codes: [503]).",
        "(service api) has started 1 tasks: (task 0123abc). Amazon ECS replaced 1 tasks due to an \
         unhealthy status.",
        "(service api) (deployment ecs-svc/ours) deployment failed: tasks failed to start.",
        "(service api) rolling back to deployment ecs-svc/old.",
        "(service api) rolled back to the last completed deployment.",
        "(service api) operations are being throttled. Will try again later.",
    ] {
        assert_eq!(told("api", message), Some(true), "{message}");
    }
}

#[test]
fn news_is_told() {
    assert_eq!(told("api", "(service api) updated its blue/green bake time."), Some(false));
}

#[test]
fn what_happened_before_our_start_is_left_out() {
    let look = look([ours()], [])
        .saying("later", START + 5_000, "(service api) third failure")
        .saying("late", START + 5_000, "(service api) second failure")
        .saying("old", START - 1_000, "(service api) was unable to place a task")
        .saying("soon", START + 1_000, "(service api) first failure");
    let texts: Vec<String> = play(target(), look.times(3))
        .events
        .into_iter()
        .filter_map(|event| match event {
            RolloutEvent::Message { text, .. } => Some(text),
            _ => None,
        })
        .collect();
    assert_eq!(
        texts,
        [
            "(service api) first failure",
            "(service api) second failure",
            "(service api) third failure",
        ]
    );
}
