//! Verdicts from `DescribeServices` and `DescribeTasks` alone.

use super::build::*;
use crate::rollout::verdict::RollbackOutcome;
use crate::rollout::*;

fn verdict(target: Target, story: Vec<Snapshot>) -> Option<Verdict> {
    play(target, story).verdict
}

fn assert_rolled_back(verdict: Option<Verdict>, to: &str) {
    match verdict {
        Some(Verdict::RolledBack { to: Some(found), .. }) => assert_eq!(found, to),
        other => panic!("expected a rollback to {to}, got {other:?}"),
    }
}

fn assert_failed(verdict: Option<Verdict>, expected: RollbackOutcome) {
    match verdict {
        Some(Verdict::Failed { rollback, .. }) => assert_eq!(rollback, expected),
        other => panic!("expected a failure, rollback {expected:?}, got {other:?}"),
    }
}

fn assert_superseded(verdict: Option<Verdict>, by_task_definition: &str) {
    match verdict {
        Some(Verdict::Superseded { by, task_definition, .. }) => {
            assert_eq!((by.as_str(), task_definition.as_str()), (OTHER, by_task_definition));
        }
        other => panic!("expected to be superseded, got {other:?}"),
    }
}

#[test]
fn a_rollout_completes() {
    let outcome = play(
        target(),
        story([
            (2, look([ours(), old()], [])),
            (2, look([ours().running(2), old()], two())),
            (1, look([ours().running(2).completed()], two())),
        ]),
    );
    assert_eq!(outcome.verdict, Some(Verdict::Succeeded { running: 2 }));
    assert_eq!(outcome.taken, 5, "completion needs no second look");
}

#[test]
fn complete_is_not_enough_while_nothing_runs() {
    // A new service's deployment may be called complete from the start.
    let complete = || ours().completed();
    for (what, snapshot) in [
        ("no tasks", look([complete()], [])),
        ("too few running", look([complete().running(1)], two())),
        ("count says so, no task does", look([complete().running(2)], [])),
        ("tasks unreadable", look([complete().running(2)], two()).without_tasks()),
        ("only tasks of others", look([complete().running(2)], [old_task("o")])),
        ("pending only", look([complete().running(2)], [task("a").at(TaskStatus::Pending)])),
        ("stopping only", look([complete().running(2)], [task("a").stopping(START)])),
        ("replaced by one not listed", look([complete().active().running(2)], two())),
        ("service wants more", look([complete().running(2)], two()).wanting(3)),
    ] {
        assert_eq!(verdict(target(), snapshot.times(50)), None, "{what}");
    }
    let late = story([(5, look([complete()], [])), (1, look([complete().running(2)], two()))]);
    assert_eq!(verdict(first(), late), Some(Verdict::Succeeded { running: 2 }));
}

#[test]
fn a_desired_count_of_zero_succeeds_and_says_that_nothing_runs() {
    let nothing = Deployment { desired: 0, ..ours().completed() };
    let found = verdict(target(), look([nothing], []).wanting(0).times(1)).unwrap();
    assert_eq!(found, Verdict::Succeeded { running: 0 });
    assert!(found.to_string().contains("nothing runs"), "{found}");
}

#[test]
fn stable_after_a_rollback_is_not_success() {
    // The previous deployment is made primary again and completes.
    let again = old().primary().in_progress();
    let story = story([
        (3, look([ours().failing(2), old()], [])),
        (2, look([ours().active().failed(), again.clone()], [])),
        (1, look([ours().active().failed(), again.completed()], [old_task("o")])),
    ]);
    let outcome = play(target(), story);
    assert_eq!(outcome.taken, 6, "not before the old version is up again");
    assert_rolled_back(outcome.verdict, V7);
}

#[test]
fn a_rollback_may_be_a_deployment_of_its_own() {
    let back = newer(V7)
        .because("ECS deployment circuit breaker: rolling back to deploymentId ecs-svc/old.");
    let story = story([
        (1, look([ours(), old()], [])),
        (2, look([ours().active().failed(), back.clone(), old()], [])),
        // Our failed deployment is gone from the list before the end.
        (2, look([back.clone(), old()], [])),
        (3, look([back.running(2).completed().because("completed")], [])),
    ]);
    assert_rolled_back(verdict(target(), story), V7);
}

#[test]
fn a_forced_redeploy_that_rolls_back_is_no_success() {
    // Same task definition everywhere: only the deployment id tells.
    let old = || Deployment { task_definition: V8.to_owned(), ..old() };
    let back = newer(V8).running(2).completed();
    for (what, end) in [
        ("the old one again", look([ours().active().failed(), old().primary()], two())),
        ("a new one", look([ours().active().failed(), back], two())),
    ] {
        let story = story([(2, look([ours(), old()], [])), (3, end)]);
        let found = verdict(forced(), story);
        assert!(matches!(found, Some(Verdict::RolledBack { .. })), "{what}: {found:?}");
    }
}

#[test]
fn a_forced_redeploy_succeeds_by_its_own_id_and_tasks() {
    let before = Deployment { task_definition: V8.to_owned(), ..old() };
    let tasks_before = || Task { task_definition: V8.to_owned(), ..old_task("o") };
    // Emulators put the service name into `startedBy`.
    let named = || tasks_before().started_by("api");
    for unborn in [tasks_before(), named()] {
        let not_yet = look([ours().running(2).completed(), before.clone()], [unborn]);
        assert_eq!(verdict(forced(), not_yet.times(20)), None);
    }
    let born = look([ours().running(2).completed()], [named(), task("a").started_by("api")]);
    assert_eq!(verdict(forced(), born.times(1)), Some(Verdict::Succeeded { running: 2 }));
}

#[test]
fn a_first_deployment_that_fails_has_nothing_to_go_back_to() {
    let story = story([
        (4, look([ours().failing(3)], [])),
        (9, look([ours().failed()], [task("a").exited(1)])),
    ]);
    let outcome = play(first(), story);
    assert_eq!(outcome.taken, 7, "three looks, for a rollback could begin");
    let text = outcome.verdict.as_ref().unwrap().to_string();
    assert_eq!(
        text,
        "failed, not rolled back: ECS deployment circuit breaker: tasks failed to start; \
         task a failed: Essential container in task exited; api exited with 1"
    );
    assert_failed(outcome.verdict, RollbackOutcome::NotStarted);
}

#[test]
fn a_first_deployment_that_is_never_healthy_ends_at_the_deadline() {
    let unhealthy = task("a").stopped(
        StopCode::ServiceSchedulerInitiated,
        "Task failed ELB health checks in (target-group arn)",
    );
    let outcome = play(first(), look([ours().failing(4)], [unhealthy]).times(100));
    assert_eq!(outcome.verdict, None);
    match deadline(outcome.state, 200_000, None).1 {
        Verdict::DeadlinePassed {
            after: 200_000,
            progress,
            last_failure: Some(failure),
            unseen: None,
        } => {
            assert_eq!(progress.failed, 4);
            assert!(failure.contains("health checks"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn without_a_circuit_breaker_nothing_fails_by_itself() {
    let crashing = |failed| look([ours().failing(failed), old()], [task("a").exited(1)]);
    let outcome = play(target(), (0..60).map(crashing));
    assert_eq!(outcome.verdict, None);
    assert_eq!(deadline(outcome.state, 1, None).1.exit().code(), 9);
}

#[test]
fn a_failure_without_rollback_is_a_failure() {
    let story = look([ours().failed(), old()], []).times(3);
    assert_failed(verdict(target(), story), RollbackOutcome::NotStarted);
}

#[test]
fn a_rollback_that_fails_too_is_a_failure() {
    let story = story([
        (1, look([ours(), old()], [])),
        (5, look([ours().active().failed(), old().primary().failed()], [])),
    ]);
    assert_failed(verdict(target(), story), RollbackOutcome::Failed);
}

#[test]
fn a_rollback_has_to_run_before_it_counts() {
    let back = old().primary().completed().running(0);
    let story =
        story([(1, look([ours(), old()], [])), (50, look([ours().active().failed(), back], []))]);
    let outcome = play(target(), story);
    assert_eq!(outcome.verdict, None);
    assert_failed(Some(deadline(outcome.state, 9, None).1), RollbackOutcome::InProgress);
}

#[test]
fn a_rollback_without_a_failed_state_is_a_rollback() {
    // An alarm or a person rolls back; ours is never called failed.
    let v6 = "arn:aws:ecs:eu-central-1:111122223333:task-definition/api:6";
    let unborn = |deployment: Deployment| Deployment { created_at: None, ..deployment };
    let speaking = newer(V7).because("ECS deployment: rolling back to deploymentId ecs-svc/old.");
    for (what, back) in [
        ("by its age", Deployment { task_definition: v6.to_owned(), ..old() }),
        ("by what it was before", unborn(old())),
        ("by what it says", speaking),
    ] {
        let back = back.primary().in_progress().running(2);
        let up = back.clone().completed();
        let expected = back.task_definition.clone();
        let story = story([
            (1, look([ours(), unborn(old())], [])),
            (5, look([ours().active(), back], [])),
            (1, look([ours().active(), up], [])),
        ]);
        let outcome = play(target(), story);
        assert_eq!(outcome.taken, 7, "{what}: {:?}", outcome.verdict);
        let told = |event: &RolloutEvent| matches!(event, RolloutEvent::RollingBack { .. });
        assert_eq!(outcome.events.iter().filter(|event| told(event)).count(), 1, "{what}");
        assert_rolled_back(outcome.verdict, &expected);
    }
}

#[test]
fn superseded_by_another_version() {
    let story =
        story([(1, look([ours(), old()], [])), (1, look([newer(V9), ours().active(), old()], []))]);
    assert_superseded(verdict(target(), story), V9);
}

#[test]
fn superseded_after_ours_had_failed() {
    let story = story([
        (1, look([ours().failed(), old()], [])),
        (1, look([newer(V9), ours().active().failed(), old()], [])),
    ]);
    match verdict(target(), story) {
        Some(Verdict::Superseded { failure: Some(failure), .. }) => {
            assert!(failure.contains("circuit breaker"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn superseded_by_the_previous_version_on_purpose() {
    // Somebody deploys version 7 again while ours is well.
    let story = story([
        (1, look([ours().running(1), old()], [])),
        (5, look([newer(V7), ours().active().running(1), old()], [])),
    ]);
    let outcome = play(target(), story);
    assert_eq!(outcome.taken, 4, "it could still turn out to be a rollback");
    assert_superseded(outcome.verdict, V7);
}

#[test]
fn a_rollback_seen_before_the_failure_is_a_rollback() {
    // Primary changes first, our own state only two answers later.
    let story = story([
        (1, look([ours(), old()], [])),
        (2, look([newer(V7), ours().active()], [])),
        (1, look([newer(V7), ours().active().failed()], [])),
        (1, look([newer(V7).running(2).completed(), ours().active().failed()], [])),
    ]);
    assert_rolled_back(verdict(target(), story), V7);
}

#[test]
fn superseded_by_a_second_forced_redeploy() {
    let story =
        story([(1, look([ours(), old()], [])), (3, look([newer(V8), ours().active()], []))]);
    assert_superseded(verdict(forced(), story), V8);
    // … also when ours has left the list in between.
    let gone = self::story([
        (1, look([ours(), old()], [])),
        (3, look([newer(V8).running(2).completed()], two())),
    ]);
    assert_superseded(verdict(forced(), gone), V8);
}

#[test]
fn ours_vanishes() {
    let seen = look([ours(), old()], []);
    let after = |end: Snapshot, count| story([(1, seen.clone()), (count, end)]);
    let back = || look([old().primary()], []);

    assert_eq!(verdict(target(), after(back(), 2)), None, "two answers may be stale");
    assert_rolled_back(verdict(target(), after(back(), 3)), V7);
    assert_rolled_back(
        verdict(target(), after(look([newer(V7).running(2).completed()], []), 3)),
        V7,
    );
    assert_superseded(verdict(target(), after(look([newer(V9)], []), 3)), V9);
    assert_eq!(verdict(target(), after(look([], []), 50)), None, "half an answer proves nothing");

    // Replaced completely is as good as gone.
    let replaced = look([newer(V9).running(2).completed(), ours().inactive()], []);
    assert_eq!(verdict(target(), after(replaced.clone(), 2)), None);
    assert_superseded(verdict(target(), after(replaced, 3)), V9);
}

#[test]
fn a_stale_answer_in_between_starts_the_count_again() {
    let flicker = story([(1, look([ours(), old()], [])), (2, look([old().primary()], []))]);
    let story = flicker.iter().cycle().take(30).cloned();
    assert_eq!(play(target(), story).verdict, None);
}

#[test]
fn stale_answers_right_after_the_update_are_waited_out() {
    let stale = look([old().primary()], [old_task("o")]);
    let done = look([ours().running(2).completed()], two());
    let story = story([(14, stale.clone()), (1, done)]);
    assert_eq!(verdict(target(), story), Some(Verdict::Succeeded { running: 2 }));
    assert_rolled_back(verdict(target(), stale.times(15)), V7);
}

#[test]
fn failed_deployments_of_earlier_rollouts_mean_nothing() {
    // Some emulators keep them in the list for good.
    let relic = Deployment {
        id: "ecs-svc/relic".to_owned(),
        created_at: Some(START - 5_000),
        ..ours().active().failed()
    };
    let story = story([
        (5, look([ours(), old(), relic.clone()], [])),
        (1, look([ours().running(2).completed(), relic], two())),
    ]);
    assert_eq!(verdict(target(), story), Some(Verdict::Succeeded { running: 2 }));
}

#[test]
fn without_rollout_states_it_takes_steadiness() {
    let steady = look([ours().stateless().running(2)], two());
    assert_eq!(verdict(target(), steady.times(2)), None);
    assert_eq!(verdict(target(), steady.times(3)), Some(Verdict::Succeeded { running: 2 }));
    for (what, unsteady) in [
        ("old tasks still run", look([ours().stateless().running(2), old().stateless()], two())),
        ("too few", look([ours().stateless().running(1)], two())),
        ("one starts", look([Deployment { pending: 1, ..ours().stateless().running(2) }], two())),
    ] {
        assert_eq!(verdict(target(), unsteady.times(20)), None, "{what}");
    }
}

#[test]
fn values_nobody_knows_yet_are_waited_out() {
    let mut strange = look([ours(), old()], [task("a").at("HIBERNATING".into())]);
    strange.service.status = "FROZEN".into();
    strange.deployments[0].status = "SECONDARY".into();
    strange.deployments[0].rollout_state = Some("PAUSED".into());
    assert_eq!(verdict(target(), strange.times(50)), None);
    assert_eq!(RolloutState::from("PAUSED").as_str(), "PAUSED");
}

#[test]
fn a_service_that_is_deleted_stops_the_rollout() {
    for status in [ServiceStatus::Draining, ServiceStatus::Inactive] {
        let story = look([ours()], []).service(status).times(3);
        assert!(matches!(verdict(target(), story), Some(Verdict::Stopped { .. })));
    }
}

#[test]
fn after_the_verdict_nothing_more_comes() {
    let done = look([ours().running(2).completed()], two());
    let outcome = play(target(), done.times(1));
    let later = look([ours().failed()], [task("a").exited(1)]);
    let (state, events, verdict) = step(outcome.state, &later);
    assert_eq!((events, verdict), (Vec::new(), None));
    assert_eq!(deadline(state, 9, None).1, Verdict::Succeeded { running: 2 });
}
