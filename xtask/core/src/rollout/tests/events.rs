//! What is told, and that it is told once.

use super::build::*;
use crate::rollout::*;

fn told(target: Target, story: Vec<Snapshot>) -> Vec<String> {
    play(target, story).events.iter().map(ToString::to_string).collect()
}

#[test]
fn a_good_rollout_reads_like_this() {
    let pull = Task { pull_stopped_at: None, ..task("a").at(TaskStatus::Pending) };
    let placed = Task { pull_started_at: None, ..pull.clone() };
    let story = story([
        (2, look([ours(), old()], [placed.clone().at(TaskStatus::Provisioning), old_task("o")])),
        (2, look([ours(), old()], [placed, old_task("o")])),
        (2, look([ours(), old()], [pull, old_task("o")])),
        (2, look([ours(), old()], [task("a").at(TaskStatus::Activating), old_task("o")])),
        (2, look([ours().running(1), old()], [task("a"), old_task("o")])),
        (2, look([ours().running(1), old()], [task("a").healthy(), old_task("o").stopping(START)])),
        (
            1,
            look(
                [ours().running(2).completed()],
                [
                    task("a").healthy(),
                    old_task("o").stopped(
                        StopCode::ServiceSchedulerInitiated,
                        "Scaling activity initiated by (deployment ecs-svc/ours)",
                    ),
                ],
            ),
        ),
    ]);
    assert_eq!(
        told(target(), story),
        [
            "task a provisioning",
            "deployment PRIMARY IN_PROGRESS: ECS deployment ecs-svc/ours in progress",
            "task a pending",
            "task a pulling",
            "task a starting",
            "task a running",
            "task a healthy",
            "old tasks are gone",
            "deployment PRIMARY COMPLETED: ECS deployment ecs-svc/ours in progress",
        ]
    );
}

#[test]
fn a_bad_rollout_reads_like_this() {
    let cannot_pull = Task { started_at: None, ..task("a") }
        .stopped(StopCode::TaskFailedToStart, "CannotPullContainerError: manifest unknown.");
    let story = story([
        (2, look([ours().failing(1), old()], [cannot_pull.clone()])),
        (2, look([ours().failing(2), old()], [cannot_pull.clone(), task("b").exited(137)])),
        (
            2,
            look(
                [ours().failing(3).active().failed(), old().primary().in_progress()],
                [cannot_pull],
            ),
        ),
    ]);
    assert_eq!(
        told(target(), story),
        [
            "task a failed: CannotPullContainerError: manifest unknown",
            "deployment PRIMARY IN_PROGRESS: ECS deployment ecs-svc/ours in progress",
            "1 failed in a row",
            "task b failed: Essential container in task exited; api exited with 137",
            "2 failed in a row",
            "deployment ACTIVE FAILED: ECS deployment circuit breaker: tasks failed to start",
            "3 failed in a row",
            "rolling back to api:7 (deployment ecs-svc/old)",
        ]
    );
}

#[test]
fn only_tasks_that_died_by_themselves_ask_for_their_log() {
    use StopCode as Code;
    let end = |code: StopCode, reason: &str| task("a").stopped(code, reason);
    let without_code = |task: Task| Task { stop_code: None, ..task };
    for (stopped, died) in [
        (task("a").exited(0), true),
        (end(Code::TaskFailedToStart, "ResourceInitializationError: no such secret"), true),
        (end(Code::ServiceSchedulerInitiated, "Task failed container health checks"), true),
        (end(Code::ServiceSchedulerInitiated, "Task failed ELB health checks in (x)"), true),
        (end(Code::SpotInterruption, "Your Spot Task was interrupted."), true),
        (end("BrandNew".into(), "?"), true),
        (without_code(task("a").exited(1)), true),
        (without_code(end(Code::UserInitiated, "Essential container in task exited")), true),
        (end(Code::ServiceSchedulerInitiated, "Scaling activity initiated by (x)"), false),
        (end(Code::UserInitiated, "Task stopped by user"), false),
        (without_code(end(Code::UserInitiated, "Scaling activity initiated by failover")), false),
        (without_code(end(Code::UserInitiated, "")), false),
    ] {
        let outcome = play(target(), look([ours()], [stopped.clone()]).times(1));
        let logs: Vec<&str> =
            outcome.events.iter().filter_map(|event| Some(event.wants_log_of()?.0)).collect();
        let expected: &[&str] = if died { &[&stopped.arn] } else { &[] };
        assert_eq!(logs, expected, "{stopped:?}");
    }
}

#[test]
fn of_several_containers_those_that_the_task_died_of_are_asked_for() {
    use StopCode::{EssentialContainerExited as Exited, ServiceSchedulerInitiated as Scheduler};
    let container = |name: &str, exit_code, reason: Option<&str>| Container {
        name: name.to_owned(),
        exit_code,
        reason: reason.map(str::to_owned),
        image_digest: None,
        health: Health::NotJudged,
    };
    let asked_for = |code: StopCode, containers: [Container; 2]| {
        let stopped = Task { containers: containers.into(), ..task("a") }.stopped(code, "failed");
        let outcome = play(target(), look([ours()], [stopped]).times(1));
        let events = outcome.events.iter();
        let names: Vec<String> = events
            .filter_map(|event| Some(event.wants_log_of()?.1))
            .flatten()
            .map(str::to_owned)
            .collect();
        names
    };
    let proxy = |code| container("proxy", Some(code), None);
    for (what, code, containers, expected) in [
        ("its code", Exited, [container("api", Some(1), None), proxy(0)], &["api"][..]),
        (
            "not the one stopped with it",
            Exited,
            [container("api", Some(0), None), proxy(137)],
            &["api"],
        ),
        ("both", Exited, [container("api", Some(2), None), proxy(1)], &["api", "proxy"]),
        (
            "out of memory",
            Exited,
            [container("api", Some(137), Some("OutOfMemoryError: Container killed")), proxy(143)],
            &["api"],
        ),
        (
            "its health check",
            Scheduler,
            [
                Container { health: Health::Unhealthy, ..container("api", Some(137), None) },
                proxy(0),
            ],
            &["api"],
        ),
        (
            "the load balancer's: any of them",
            Scheduler,
            [container("api", Some(143), None), proxy(0)],
            &[],
        ),
    ] {
        assert_eq!(asked_for(code, containers), expected, "{what}");
    }
}

#[test]
fn tasks_of_others_are_not_told() {
    let others = [
        old_task("o").exited(1),
        task("x").started_by("ecs-svc/other"),
        Task { created_at: Some(START - 1_000), ..task("y").started_by("api") },
    ];
    let told = told(target(), look([ours()], others).times(3));
    assert_eq!(told.len(), 1, "{told:?}");
}

#[test]
fn a_stale_answer_does_not_tell_a_task_backwards() {
    let outcome = play(
        target(),
        story([
            (1, look([ours()], [task("a").healthy()])),
            (1, look([ours()], [task("a").at(TaskStatus::Pending)])),
            (1, look([ours()], [])),
            (1, look([ours()], [task("a").healthy()])),
        ]),
    );
    assert_eq!(outcome.events.len(), 2, "{:?}", outcome.events);
    assert_eq!(outcome.state.running_tasks().count(), 1);
    let (gone, _, _) = step(outcome.state, &look([ours()], []));
    assert_eq!(gone.running_tasks().count(), 0);
}

#[test]
fn an_unhealthy_task_is_told_once() {
    let sick = || look([ours()], [task("a").unhealthy()]);
    let well = || look([ours()], [task("a").healthy()]);
    let told = told(target(), story([(2, sick()), (2, well()), (2, sick())]));
    assert_eq!(told.iter().filter(|line| line.contains("unhealthy")).count(), 1, "{told:?}");
}

#[test]
fn a_task_that_falls_ill_after_it_was_healthy_is_told() {
    let healthy = look([ours()], [task("a").healthy()]);
    let ill = look([ours()], [task("a").unhealthy()]);
    let told = told(target(), story([(1, healthy), (1, ill)]));
    assert_eq!(told.last().map(String::as_str), Some("task a unhealthy"), "{told:?}");
}

#[test]
fn failures_are_counted_against_the_threshold_where_it_is_known() {
    let counted = |failures| {
        look([ours()], []).with(ServiceDeploymentStatus::InProgress).edit(|deployment| {
            deployment.circuit_breaker = Some(CircuitBreaker {
                status: MonitorStatus::Monitoring,
                failure_count: failures,
                threshold: 3,
            });
        })
    };
    let told = told(target(), story([(2, counted(1)), (1, counted(0)), (1, counted(2))]));
    assert_eq!(
        told,
        [
            "deployment PRIMARY IN_PROGRESS: ECS deployment ecs-svc/ours in progress",
            "1 failed in a row, the circuit breaker trips at 3",
            "service deployment IN_PROGRESS",
            "2 failed in a row, the circuit breaker trips at 3",
        ]
    );
}

#[test]
fn draining_counts_down_only() {
    let left = |ids: &[&str]| {
        let mut snapshot = look([ours(), old()], []);
        snapshot.tasks = Some(ids.iter().map(|id| old_task(id)).collect());
        snapshot
    };
    let story = story([
        (1, left(&["o", "p", "q"])),
        (1, left(&["o", "p"])),
        (1, left(&["o", "p", "q"])),
        (1, left(&["o", "p"]).without_tasks()),
        (1, left(&["o"])),
        (2, left(&[])),
    ]);
    let told: Vec<String> =
        told(target(), story).into_iter().filter(|line| line.starts_with("old")).collect();
    assert_eq!(
        told,
        ["old tasks draining, 2 left", "old tasks draining, 1 left", "old tasks are gone"]
    );
}

#[test]
fn a_stale_answer_does_not_tell_of_a_rollback() {
    let stale = look([old().primary()], []);
    let told =
        told(target(), story([(1, stale.clone()), (1, look([ours(), old()], [])), (2, stale)]));
    assert!(!told.iter().any(|line| line.contains("rolling back")), "{told:?}");
}

#[test]
fn events_have_a_shape_for_machines() {
    let outcome = play(target(), look([ours()], [task("a").exited(3)]).times(1));
    let json = serde_json::to_value(&outcome.events[0]).unwrap();
    assert_eq!(
        json,
        serde_json::json!({
            "event": "task-stopped",
            "arn": task("a").arn,
            "end": "failed",
            "code": "EssentialContainerExited",
            "reason": "Essential container in task exited",
            "containers": [
                {"name": "api", "unhealthy": false, "exit-code": 3, "reason": null}
            ]
        })
    );
    let verdict = serde_json::to_value(Verdict::Succeeded { running: 2 }).unwrap();
    assert_eq!(verdict, serde_json::json!({"verdict": "succeeded", "running": 2}));
}
