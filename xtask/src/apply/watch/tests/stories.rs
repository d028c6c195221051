//! How rollouts go on AWS, each of them to its verdict.

use std::time::Duration;

use serde_json::json;

use super::replay::*;
use xtask_core::rollout::Verdict;

/// Being replaced.
fn active() -> serde_json::Value {
    json!({ "status": "ACTIVE" })
}

fn chain<const N: usize>(parts: [Vec<Look>; N]) -> Vec<Look> {
    parts.concat()
}

#[tokio::test]
async fn a_good_rollout() {
    let new = || task("a1", OURS, 8);
    let provisioning = new().with(json!({ "lastStatus": "PROVISIONING", "pullStartedAt": null,
        "pullStoppedAt": null, "startedAt": null }));
    let pulling = new().with(json!({ "lastStatus": "PENDING", "pullStoppedAt": null,
        "startedAt": null }));
    let draining = task("o1", OLD, 7).with(json!({ "desiredStatus": "STOPPED",
        "stoppingAt": START + 30.0 }));
    let gone = stopped(
        task("o1", OLD, 7),
        "ServiceSchedulerInitiated",
        &format!("Scaling activity initiated by (deployment {OURS})"),
        json!({ "exitCode": 0 }),
    )
    .with(json!({ "stoppingAt": START + 30.0, "stoppedAt": START + 60.0 }));
    let started = "(service api) has started 1 tasks: (task a1).";
    let registered = "(service api) registered 1 targets in (target-group arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/api/555a47e25c5a1850)";
    let story = chain([
        look([deployment(OURS, 8), old()], [task("o1", OLD, 7)]).times(2),
        look([deployment(OURS, 8), old()], [provisioning, task("o1", OLD, 7)]).times(2),
        look([deployment(OURS, 8), old()], [pulling, task("o1", OLD, 7)])
            .saying([started])
            .times(2),
        look([deployment(OURS, 8), old()], [new(), task("o1", OLD, 7)])
            .saying([registered, started])
            .times(2),
        look([deployment(OURS, 8).with(json!({ "runningCount": 1 })), old()], [new(), draining])
            .saying([
                "(service api) has begun draining connections on 1 tasks.",
                registered,
                started,
            ])
            .times(2),
        look([completed(OURS, 8)], [new(), gone])
            .saying([
                "(service api) has reached a steady state.",
                "(service api) (deployment ecs-svc/8392534737912615571) deployment completed.",
            ])
            .times(1),
    ]);
    let watched = play(target("api"), story).await;
    assert_eq!(watched.verdict(), (0, "succeeded, 1 running".into()));
    for line in ["task a1 provisioning", "task a1 pulling", "task a1 running", "old tasks are gone"]
    {
        watched.once(line);
    }
    watched.never("has started").never("registered").never("steady state").never("log of");
    let outcome = &watched.outcomes["api"];
    let phases = outcome.phases;
    assert_eq!((phases.provision.unwrap().median, phases.pull.unwrap().median), (10_000, 4_000));
    assert_eq!((phases.start.unwrap().median, phases.health.unwrap().median), (2_000, 13_000));
    assert_eq!(outcome.draining.unwrap().took, 30_000, "apart");
    assert_eq!(outcome.tasks[0].containers[0].image_digest.as_deref(), Some("sha256:8"));
}

/// Tasks start, fail their health check, are replaced; the breaker trips; ECS goes back; the
/// service is stable.
#[tokio::test]
async fn a_health_check_rollout_that_is_rolled_back_and_then_stable() {
    let sick = |id: &str| {
        task(id, OURS, 8).with(json!({ "healthStatus": "UNHEALTHY", "containers": [
            { "name": "api", "lastStatus": "RUNNING", "healthStatus": "UNHEALTHY" }] }))
    };
    let replaced = |id: &str| {
        let end = json!({ "exitCode": 137, "healthStatus": "UNHEALTHY" });
        stopped(
            task(id, OURS, 8),
            "ServiceSchedulerInitiated",
            "Task failed container health checks",
            end,
        )
    };
    let failing = |failed: u32| deployment(OURS, 8).with(json!({ "failedTasks": failed }));
    let first = "(service api) (task a1) failed container health checks.";
    let again = "(service api) has started 1 tasks: (task a2). Amazon ECS replaced 1 tasks due to an unhealthy status.";
    let second = "(service api) (task a2) failed container health checks.";
    let failed = "(service api) (deployment ecs-svc/8392534737912615571) deployment failed: tasks failed to start.";
    let rolling = "(service api) rolling back to deployment ecs-svc/3348108895209946212.";
    let old_task = || task("o1", OLD, 7);
    let story = chain([
        look([failing(0), old()], [task("a1", OURS, 8), old_task()]).times(2),
        look([failing(0), old()], [sick("a1"), old_task()]).saying([first]).times(2),
        look([failing(1), old()], [replaced("a1"), sick("a2"), old_task()])
            .saying([again, first])
            .times(2),
        look([failing(2), old()], [replaced("a1"), replaced("a2"), old_task()])
            .saying([second, again, first])
            .times(2),
        look([going_back(7), tripped(8), old()], [replaced("a1"), replaced("a2"), old_task()])
            .saying([rolling, failed, second, again, first])
            .times(3),
        look([completed(NEXT, 7)], [replaced("a1"), replaced("a2"), task("o2", NEXT, 7)])
            .saying(["(service api) has reached a steady state.", rolling, failed, second])
            .times(9),
    ]);
    let watched = play(target("api"), story).await;
    let (code, text) = watched.verdict();
    assert_eq!(code, 6, "a stable service is not a rollout that succeeded: {text}");
    assert!(text.starts_with(
        "rolled back to api:7: ECS deployment circuit breaker: tasks failed to start"
    ));
    assert!(
        text.contains("Task failed container health checks; api was unhealthy and exited with 137"),
        "{text}"
    );
    for line in [
        "task a1 unhealthy",
        "task a2 unhealthy",
        first,
        again,
        second,
        failed,
        rolling,
        "1 failed in a row",
        "2 failed in a row",
        "rolling back to api:7",
        "last words in ecs/api/a1",
        "last words in ecs/api/a2",
        "log of api in task a1",
    ] {
        watched.once(line);
    }
    watched.never("steady state").never("o1").never("o2");
}

#[tokio::test]
async fn a_forced_redeploy_of_the_same_revision_that_is_rolled_back() {
    let old = || old().with(json!({ "taskDefinition": revision(8) }));
    let died = stopped(
        task("a1", OURS, 8),
        "EssentialContainerExited",
        "Essential container in task exited",
        json!({ "exitCode": 1 }),
    );
    let story = chain([
        look([deployment(OURS, 8), old()], [task("a1", OURS, 8), task("o1", OLD, 8)]).times(2),
        look([going_back(8), tripped(8), old()], [died.clone(), task("o1", OLD, 8)]).times(3),
        look([completed(NEXT, 8)], [died, task("o2", NEXT, 8)])
            .saying(["(service api) has reached a steady state."])
            .times(9),
    ]);
    let forced = xtask_core::rollout::Target {
        previous_task_definition: Some(revision(8)),
        served_task_definition: Some(revision(8)),
        ..target("api")
    };
    let watched = play(forced, story).await;
    let (code, text) = watched.verdict();
    assert_eq!(code, 6, "the service runs just this revision, and it is no success: {text}");
    watched.once("task a1 failed: Essential container in task exited; api exited with 1");
    watched.once("last words in ecs/api/a1");
}

#[tokio::test]
async fn a_first_deployment_that_is_never_healthy_ends_at_the_deadline() {
    let group = "(target-group arn:aws:elasticloadbalancing:eu-central-1:111122223333:targetgroup/api/a6d71c9b9c18b389)";
    let unhealthy = format!(
        "(service api) (task a1) (port 8080) is unhealthy in {group} due to (reason Health checks failed with these codes: [503])."
    );
    let reason = format!("Task failed ELB health checks in {group}");
    let replaced = stopped(
        task("a1", OURS, 8),
        "ServiceSchedulerInitiated",
        &reason,
        json!({ "exitCode": 143 }),
    );
    let first = xtask_core::rollout::Target {
        previous_task_definition: None,
        served_task_definition: None,
        ..target("api")
    };
    let story = look([deployment(OURS, 8).with(json!({ "failedTasks": 1 }))], [replaced])
        .saying([&unhealthy])
        .times(1);
    let replay = Replay::new([("api", story)]);
    let answer =
        move |operation: &str, request: &serde_json::Value, _| replay.answer(operation, request);
    let watched = watch_answers(vec![first], Duration::from_millis(300), answer).await;
    let (code, text) = watched.verdict();
    assert_eq!(code, 9, "{text}");
    assert!(text.contains("still rolling out") && text.contains("0 of 1 running"), "{text}");
    assert!(
        text.contains("last failure: task a1 failed: Task failed ELB health checks in"),
        "{text}"
    );
    watched.once(&unhealthy).once("last words in ecs/api/a1");
}

#[tokio::test]
async fn a_task_that_can_not_start_says_why() {
    let secret = "ResourceInitializationError: unable to pull secrets or registry auth: execution resource retrieval failed: unable to retrieve secret from asm: service call has been retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:eu-central-1:111122223333:secret:api-AbCdEf from secrets manager: ResourceNotFoundException: Secrets Manager can't find the specified secret.";
    let image = "CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref 111122223333.dkr.ecr.eu-central-1.amazonaws.com/api@sha256:8: not found";
    let platform = "CannotPullContainerError: pull image manifest has been retried 7 time(s): image Manifest does not contain descriptor matching platform 'linux/amd64'";
    for reason in [secret, image, platform] {
        let never = task("a1", OURS, 8).with(json!({ "startedAt": null }));
        let dead = stopped(never, "TaskFailedToStart", reason, json!({}));
        let placed = format!("(service api) was unable to place a task. Reason: {reason}.");
        let story = chain([
            look([deployment(OURS, 8), old()], []).times(1),
            look([going_back(7), tripped(8), old()], [dead.clone()]).saying([&placed]).times(2),
            look([completed(NEXT, 7)], [dead, task("o2", NEXT, 7)]).times(3),
        ]);
        let watched = play(target("api"), story).await;
        let (code, text) = watched.verdict();
        assert_eq!(code, 6, "{text}");
        assert!(text.contains(reason.trim_end_matches('.')), "{text}");
        watched.once(&placed);
    }
}

#[tokio::test]
async fn no_room_for_a_task_is_told_and_waited_for() {
    let no_room = "(service api) was unable to place a task because no container instance met all of its requirements. Reason: No Container Instances were found in your cluster.";
    let story = chain([
        look([deployment(OURS, 8), old()], []).saying([no_room]).times(3),
        look([completed(OURS, 8)], [task("a1", OURS, 8)]).saying([no_room]).times(1),
    ]);
    let watched = play(target("api"), story).await;
    assert_eq!(watched.verdict().0, 0);
    watched.once(no_room);
}

/// The status of our service deployment decides, whatever the list of deployments looks like.
#[tokio::test]
async fn where_service_deployments_can_be_read_they_have_the_say() {
    let done = || look([completed(OURS, 8)], [task("a1", OURS, 8)]);
    let says = |status: &str| json!({ "status": status });
    // Bake time, in which an alarm may still roll back.
    let story = chain([
        look([deployment(OURS, 8), old()], []).service_deployment(says("PENDING")).times(1),
        done().service_deployment(says("IN_PROGRESS")).times(12),
        done().service_deployment(says("SUCCESSFUL")).times(1),
    ]);
    let watched = play(target("api"), story).await;
    assert_eq!(watched.verdict().0, 0);
    assert!(watched.stand_in.calls("DescribeServices").len() >= 14, "not before it says so");
    watched.once("service deployment SUCCESSFUL");

    let back = json!({ "status": "ROLLBACK_SUCCESSFUL", "rollback": {
        "reason": "Service deployment rolled back because of the alarm(s) api-5xx." } });
    let story = chain([
        done().service_deployment(says("IN_PROGRESS")).times(3),
        look([going_back(7), completed(OURS, 8).with(json!({ "status": "ACTIVE" }))], [])
            .service_deployment(says("ROLLBACK_IN_PROGRESS"))
            .times(3),
        look([completed(NEXT, 7)], [task("o2", NEXT, 7)]).service_deployment(back).times(1),
    ]);
    let watched = play(target("api"), story).await;
    let (code, text) = watched.verdict();
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("alarm(s) api-5xx"), "{text}");
}

#[tokio::test]
async fn a_deployment_that_vanishes_from_the_list() {
    let story = chain([
        look([deployment(OURS, 8), old()], []).times(2),
        look([completed(OLD, 7)], [task("o1", OLD, 7)])
            .saying(["(service api) has reached a steady state."])
            .times(9),
    ]);
    let watched = play(target("api"), story).await;
    let (code, text) = watched.verdict();
    assert_eq!(code, 6, "{text}");
}

#[tokio::test]
async fn a_service_that_is_deleted_in_the_middle() {
    let replay = Replay::new([("api", look([deployment(OURS, 8), old()], []).times(9))]);
    let answer = move |operation: &str, request: &serde_json::Value, before: usize| match (
        operation, before,
    ) {
        ("DescribeServices", 2..) => {
            let missing = json!({ "arn": "arn:…:service/app/api", "reason": "MISSING" });
            (200, json!({ "services": [], "failures": [missing] }))
        }
        _ => replay.answer(operation, request),
    };
    let watched = watch_answers(vec![target("api")], Duration::from_secs(20), answer).await;
    let (code, text) = watched.verdict();
    assert_eq!(
        (code, text.as_str()),
        (7, "stopped: the service was deleted, its status is MISSING")
    );
}

#[tokio::test]
async fn superseded_by_somebody_else() {
    let ours = || deployment(OURS, 8).with(active());
    let story = chain([
        look([deployment(OURS, 8), old()], [task("a1", OURS, 8)]).times(2),
        look([deployment(NEXT, 9).with(json!({ "createdAt": START + 30.0 })), ours(), old()], [])
            .times(9),
    ]);
    let watched = play(target("api"), story).await;
    let (code, text) = watched.verdict();
    assert_eq!(code, 8, "{text}");
    assert!(text.contains(NEXT) && text.contains("api:9"), "{text}");
}

#[tokio::test]
async fn services_side_by_side_have_each_their_own_verdict() {
    let dead = |id: &str| {
        stopped(
            task(id, OURS, 8),
            "EssentialContainerExited",
            "Essential container in task exited",
            json!({ "exitCode": 3 }),
        )
    };
    let replay = Replay::new([
        (
            "api",
            chain([
                look([deployment(OURS, 8), old()], []).times(4),
                look([completed(OURS, 8)], [task("a1", OURS, 8)]).times(1),
            ]),
        ),
        (
            "web",
            chain([
                look([deployment(OURS, 8), old()], [dead("w1")]).times(2),
                look([going_back(7), tripped(8), old()], [dead("w1")]).times(2),
                look([completed(NEXT, 7)], [dead("w1"), task("w0", NEXT, 7)]).times(1),
            ]),
        ),
        (
            "worker",
            chain([
                look([deployment(OURS, 8), old()], []).times(1),
                look([deployment(NEXT, 9), deployment(OURS, 8).with(active())], []).times(1),
            ]),
        ),
    ]);
    let targets = ["api", "web", "worker"].map(target).into();
    let answer =
        move |operation: &str, request: &serde_json::Value, _| replay.answer(operation, request);
    let watched = watch_answers(targets, Duration::from_secs(60), answer).await;
    let verdict = |name: &str| &watched.outcomes[name].verdict;
    assert_eq!(*verdict("api"), Verdict::Succeeded { running: 1 });
    assert_eq!(verdict("web").exit().code(), 6);
    assert_eq!(verdict("worker").exit().code(), 8);
    watched.once("last words in ecs/api/w1");
    let worst = xtask_core::rollout::worst(watched.outcomes.values().map(|o| o.verdict.clone()));
    assert_eq!(worst.unwrap().exit().code(), 6);
}
