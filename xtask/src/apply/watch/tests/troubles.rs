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
    for (what, found) in [
        ("an error", (500, error("ServerException"))),
        ("a permission that is gone", (400, error("AccessDeniedException"))),
        ("an empty list", (200, json!({ "serviceDeployments": [] }))),
    ] {
        let replay = Replay::new([(
            "api",
            [
                ready().service_deployment(says("IN_PROGRESS")).times(2),
                ready().service_deployment(says("ROLLBACK_IN_PROGRESS")).times(2),
                look([completed(NEXT, 7)], [])
                    .service_deployment(says("ROLLBACK_SUCCESSFUL"))
                    .times(1),
            ]
            .concat(),
        )]);
        let answer = move |asked: &str, request: &Value, before: usize| match asked {
            "DescribeServiceDeployments" if (2..8).contains(&before) => found.clone(),
            _ => replay.answer(asked, request),
        };
        let watched = watch_answers(vec![target("api")], Duration::from_secs(60), answer).await;
        assert_eq!(watched.verdict().0, 6, "{what}: {:?}", watched.verdict());
        watched.once("trying again until the deadline");
    }
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

/// What was told before the credentials ended is not told again after.
#[tokio::test]
async fn events_come_once_also_across_new_credentials() {
    let placed = "(service api) was unable to place a task because no room.";
    let later = "(service api) (task a1) failed container health checks.";
    let dead = || {
        let end = json!({ "exitCode": 1 });
        stopped(task("a0", OURS, 8), "EssentialContainerExited", "exited", end)
    };
    let running = || task("a1", OURS, 8);
    let replay = Replay::new([(
        "api",
        [
            look([deployment(OURS, 8), old()], [dead()]).saying([placed]).times(3),
            look([deployment(OURS, 8), old()], [dead(), running()])
                .saying([later, placed])
                .times(4),
            look([completed(OURS, 8)], [dead(), running()]).saying([later, placed]).times(1),
        ]
        .concat(),
    )]);
    let answer = move |asked: &str, request: &Value, before: usize| {
        if asked == "DescribeServices" && (2..7).contains(&before) {
            return (400, error("ExpiredTokenException"));
        }
        replay.answer(asked, request)
    };
    let watched = watch_answers(vec![target("api")], Duration::from_secs(60), answer).await;
    assert_eq!(watched.verdict().0, 0);
    for line in [
        placed,
        later,
        "task a0 failed",
        "last words in ecs/api/a0",
        "task a1 running",
        "deployment PRIMARY IN_PROGRESS",
        "deployment PRIMARY COMPLETED",
        "there are credentials again",
    ] {
        watched.once(line);
    }
}

/// Where service deployments can not be read, whatever the reason, the list of deployments has
/// the say; and a rollback is none the less one.
#[tokio::test]
async fn without_service_deployments_the_list_has_the_say() {
    let empty = || (200, json!({ "serviceDeployments": [] }));
    let other = || {
        let at = json!([{ "serviceDeploymentArn": "other", "createdAt": START - 60.0 }]);
        (200, json!({ "serviceDeployments": at }))
    };
    let refused = |code: &str| (400, error(code));
    for (what, operation, found) in [
        ("may not be listed", "ListServiceDeployments", refused("AccessDeniedException")),
        ("no such operation", "ListServiceDeployments", refused("UnknownOperationException")),
        ("none is listed", "ListServiceDeployments", empty()),
        ("only others are listed", "ListServiceDeployments", other()),
        ("may not be described", "DescribeServiceDeployments", refused("AccessDeniedException")),
        ("is not described", "DescribeServiceDeployments", empty()),
    ] {
        let says = || json!({ "status": "IN_PROGRESS" });
        let good = || look([completed(OURS, 8)], [task("a1", OURS, 8)]).service_deployment(says());
        let bad = || {
            let first = look([going_back(7), tripped(8), old()], []).service_deployment(says());
            let then = look([completed(NEXT, 7)], []).service_deployment(says());
            [first.times(2), then.times(4)].concat()
        };
        for (story, code) in [(good().times(1), 0), (bad(), 6)] {
            let (replay, found) = (Replay::new([("api", story)]), found.clone());
            let answer = move |asked: &str, request: &Value, _| {
                if asked == operation { found.clone() } else { replay.answer(asked, request) }
            };
            let watched = watch_answers(vec![target("api")], Duration::from_secs(20), answer).await;
            assert_eq!(watched.verdict().0, code, "{what}: {:?}", watched.verdict());
            let listed = &watched.stand_in.calls("ListServiceDeployments")[0];
            assert_eq!(
                listed["createdAt"]["after"],
                START - 5.0,
                "only what began since: {listed}"
            );
        }
    }
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
