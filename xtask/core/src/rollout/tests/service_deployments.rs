//! Verdicts where `DescribeServiceDeployments` may be read: it has the say.

use super::build::*;
use crate::rollout::ServiceDeploymentStatus as Status;
use crate::rollout::verdict::RollbackOutcome;
use crate::rollout::*;

fn verdict(story: Vec<Snapshot>) -> Option<Verdict> {
    play(target(), story).verdict
}

#[test]
fn complete_counts_only_when_the_service_deployment_says_so() {
    let complete = look([ours().running(2).completed()], two());
    // Bake time: all runs, and alarms may still roll it back.
    assert_eq!(verdict(complete.clone().with(Status::InProgress).times(50)), None);
    let done = complete.with(Status::Successful);
    assert_eq!(verdict(done.times(1)), Some(Verdict::Succeeded { running: 2 }));
}

#[test]
fn successful_needs_running_tasks_too() {
    for (what, snapshot) in [
        ("nothing runs", look([ours()], [])),
        ("ours not listed", look([old()], two())),
        ("tasks of others", look([ours().running(2)], [old_task("o")])),
    ] {
        assert_eq!(verdict(snapshot.with(Status::Successful).times(50)), None, "{what}");
    }
}

#[test]
fn a_rollback_is_told_by_its_status() {
    let failed = || look([ours().active().failed(), newer(V7)], []);
    for under_way in [Status::RollbackRequested, Status::RollbackInProgress] {
        assert_eq!(verdict(failed().with(under_way).times(50)), None);
    }
    let done = failed().with(Status::RollbackSuccessful).edit(|deployment| {
        deployment.rollback = Some(Rollback {
            reason: Some("alarm api-5xx went off.".to_owned()),
            started_at: None,
            revision: None,
        });
    });
    match verdict(done.times(1)) {
        Some(Verdict::RolledBack { to: Some(to), reason }) => {
            assert_eq!((to.as_str(), reason.as_str()), (V7, "alarm api-5xx went off"));
        }
        other => panic!("{other:?}"),
    }
    match verdict(failed().with(Status::RollbackFailed).times(1)) {
        Some(Verdict::Failed { rollback: RollbackOutcome::Failed, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forced_redeploy_rolled_back_before_we_looked_at_the_list() {
    // The list alone looks like a success of somebody.
    let story = look([newer(V8).running(2).completed()], two()).with(Status::RollbackSuccessful);
    let found = play(forced(), story.times(1)).verdict;
    assert!(matches!(found, Some(Verdict::RolledBack { .. })), "{found:?}");
}

#[test]
fn stopped_means_what_stopped_it() {
    let by_hand = look([ours()], []).with(Status::Stopped).edit(|deployment| {
        deployment.status_reason = Some("stopped by a user".to_owned());
    });
    assert_eq!(
        verdict(by_hand.times(3)),
        Some(Verdict::Stopped { reason: "stopped by a user".to_owned() })
    );

    let tripped = look([ours()], []).with(Status::Stopped).edit(|deployment| {
        deployment.circuit_breaker = Some(CircuitBreaker {
            status: MonitorStatus::Triggered,
            failure_count: 3,
            threshold: 3,
        });
    });
    let failed = look([ours().failed()], []).with(Status::Stopped);
    for story in [tripped.times(3), failed.times(3)] {
        match verdict(story) {
            Some(Verdict::Failed { rollback: RollbackOutcome::NotStarted, .. }) => {}
            other => panic!("{other:?}"),
        }
    }

    let replaced = look([newer(V9), ours().active()], []).with(Status::Stopped);
    match verdict(story([(2, look([ours()], []).with(Status::Stopped)), (3, replaced)])) {
        Some(Verdict::Superseded { by, .. }) => assert_eq!(by, OTHER),
        other => panic!("{other:?}"),
    }
}

#[test]
fn superseded_while_the_service_deployment_still_stops() {
    let replaced = look([newer(V9), ours().active()], []);
    for status in [Status::Pending, Status::InProgress, Status::StopRequested] {
        match verdict(story([(1, look([ours()], [])), (3, replaced.clone().with(status))])) {
            Some(Verdict::Superseded { by, .. }) => assert_eq!(by, OTHER),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn stale_lists_do_not_supersede() {
    for old in [old().primary(), Deployment { created_at: None, ..old().primary() }] {
        let story = look([old], []).with(Status::InProgress).times(14);
        assert_eq!(verdict(story), None);
    }
}

#[test]
fn a_status_nobody_knows_yet_leaves_it_to_the_list() {
    let done = look([ours().running(2).completed()], two()).with("PONDERING".into());
    assert_eq!(verdict(done.times(1)), Some(Verdict::Succeeded { running: 2 }));
}

#[test]
fn losing_the_permission_in_between_leaves_it_to_the_list() {
    let story = story([
        (3, look([ours(), old()], []).with(Status::InProgress)),
        (1, look([ours().running(2).completed()], two())),
    ]);
    assert_eq!(verdict(story), Some(Verdict::Succeeded { running: 2 }));
}

#[test]
fn the_deadline_in_a_rollback_is_a_failure() {
    let story = look([ours(), old()], []).with(Status::RollbackInProgress).times(5);
    match deadline(play(target(), story).state, 10_000, None).1 {
        Verdict::Failed { rollback: RollbackOutcome::InProgress, .. } => {}
        other => panic!("{other:?}"),
    }
}
