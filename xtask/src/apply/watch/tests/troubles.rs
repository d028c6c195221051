//! What AWS answers when it does not answer.

use std::time::Duration;

use serde_json::{Value, json};

use super::replay::*;
use crate::aws::stand_in::CUT;

/// A rollout that has gone well by the time that it can be seen.
fn done() -> Replay {
    Replay::new([("api", look([completed(OURS, 8)], [task("a1", OURS, 8)]).times(1))])
}

/// Plays it, with something else for the first few answers to an operation.
async fn at_first(operation: &'static str, count: usize, answer: (u16, Value)) -> Watched {
    let replay = done();
    watch_answers(vec![target("api")], Duration::from_secs(60), move |asked, request, before| {
        if asked == operation && before < count {
            return answer.clone();
        }
        replay.answer(asked, request)
    })
    .await
}

fn error(code: &str) -> Value {
    json!({ "__type": code, "message": "not now" })
}

#[tokio::test]
async fn what_passes_is_survived_and_told_once() {
    for (what, answer) in [
        ("throttling", (400, error("ThrottlingException"))),
        ("a server's error", (500, error("ServerException"))),
        ("no server behind the balancer", (503, Value::String("<html>".into()))),
        ("a cut connection", (CUT, Value::Null)),
    ] {
        // More often than the SDK tries again within one look.
        let watched = at_first("DescribeServices", 7, answer).await;
        assert_eq!(watched.verdict(), (0, "succeeded, 1 running".into()), "{what}");
        watched.once("api can not be looked at: ecs:DescribeServices");
        watched.once("trying again until the deadline");
        assert!(watched.stand_in.calls("DescribeServices").len() >= 8, "{what}");
    }
}

#[tokio::test]
async fn tasks_that_can_not_be_read_delay_the_verdict_and_say_so() {
    let watched = at_first("DescribeTasks", 6, (400, error("ThrottlingException"))).await;
    assert_eq!(watched.verdict().0, 0);
    watched.once("api can not be looked at: ecs:DescribeTasks: ThrottlingException");
}

/// A role that may list services and not tasks never sees a task run.
#[tokio::test]
async fn what_is_not_allowed_is_told_and_is_no_success() {
    let replay = done();
    let answer = move |asked: &str, request: &Value, _| match asked {
        "ListTasks" => (400, error("AccessDeniedException")),
        _ => replay.answer(asked, request),
    };
    let watched = watch_answers(vec![target("api")], Duration::from_millis(300), answer).await;
    assert_eq!(watched.verdict().0, 9);
    watched.once("api can not be looked at: ecs:ListTasks: AccessDeniedException: not now");
}

/// Complete by the list of deployments, and in its bake time by the service deployment that can
/// not be read just now: no success.
#[tokio::test]
async fn a_service_deployment_that_was_read_before_is_waited_for() {
    let says = |status: &str| json!({ "status": status });
    let ready = || look([completed(OURS, 8)], [task("a1", OURS, 8)]);
    let replay = Replay::new([(
        "api",
        [
            ready().service_deployment(says("IN_PROGRESS")).times(2),
            ready().service_deployment(says("ROLLBACK_IN_PROGRESS")).times(2),
            look([completed(NEXT, 7)], []).service_deployment(says("ROLLBACK_SUCCESSFUL")).times(1),
        ]
        .concat(),
    )]);
    let answer = move |asked: &str, request: &Value, before: usize| match asked {
        "ListServiceDeployments" if (2..8).contains(&before) => (500, error("ServerException")),
        _ => replay.answer(asked, request),
    };
    let watched = watch_answers(vec![target("api")], Duration::from_secs(60), answer).await;
    assert_eq!(watched.verdict().0, 6, "{:?}", watched.verdict());
}

#[tokio::test]
async fn credentials_that_end_are_told_once_and_new_ones_are_used() {
    let replay = done();
    let answer = move |asked: &str, request: &Value, before: usize| {
        if asked == "DescribeServices" && before < 3 {
            return (400, error("ExpiredTokenException"));
        }
        replay.answer(asked, request)
    };
    let watched = watch_answers(vec![target("api")], Duration::from_secs(60), answer).await;
    assert_eq!(watched.verdict().0, 0);
    watched.once(
        "the credentials are not taken any more: ecs:DescribeServices: ExpiredTokenException",
    );
    watched.once("sign in again, in another terminal");
    watched.once("there are credentials again");
}

#[tokio::test]
async fn what_nobody_could_see_is_not_known() {
    let blind = |asked: &str| asked == "DescribeServices";
    let answer = move |asked: &str, _: &Value, _| {
        if blind(asked) { (400, error("AccessDeniedException")) } else { (200, json!({})) }
    };
    let found = watch_answers(vec![target("api")], Duration::from_millis(300), answer).await;
    let (code, text) = found.verdict();
    assert_eq!(code, 9);
    assert!(text.starts_with("not known to have ended after 0 s: nothing could be read"), "{text}");
    assert!(!text.contains("still rolling out"), "{text}");

    // It had failed when it was seen last, and nobody knows whether ECS went back since.
    let failed = deployment(OURS, 8).with(json!({ "rolloutState": "FAILED",
        "rolloutStateReason": "ECS deployment circuit breaker: tasks failed to start." }));
    let replay = Replay::new([("api", look([failed, old()], []).times(1))]);
    let answer = move |asked: &str, request: &Value, before: usize| {
        if blind(asked) && before > 0 {
            return (400, error("AccessDeniedException"));
        }
        replay.answer(asked, request)
    };
    let found = watch_answers(vec![target("api")], Duration::from_millis(300), answer).await;
    let (code, text) = found.verdict();
    assert_eq!(code, 7);
    assert!(text.starts_with("failed, whether it was rolled back is not known: "), "{text}");
}
