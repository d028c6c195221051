//! What happened while nobody looked, told by what is left of it.

use super::build::*;
use crate::rollout::*;

const FAILED: &str =
    "(service api) (deployment ecs-svc/ours) deployment failed: tasks failed to start.";

/// An earlier revision than that which ours took the place of.
const V6: &str = "arn:aws:ecs:eu-central-1:111122223333:task-definition/api:6";

/// Ours is gone from the list, and what came after it has come to its end.
fn after(task_definition: &str) -> Snapshot {
    look([newer(task_definition).running(2).completed().because("completed")], two())
}

/// Credentials ended for the time of a whole rollback.
#[test]
fn a_rollback_that_nobody_saw_is_told_by_the_services_events() {
    let began = look([ours(), old()], []);
    let said = |snapshot: Snapshot, text| snapshot.saying("e1", START + 60_000, text);
    let others = FAILED.replace("ours", "older");
    let forth = Target { served_task_definition: Some(V6.to_owned()), ..target() };
    for (what, target, end, code) in [
        ("the same revision, said to have failed", forced(), said(after(V8), FAILED), 6),
        ("the same revision, nothing said", forced(), after(V8), 8),
        ("the same revision, another one failed", forced(), said(after(V8), &others), 8),
        ("the revision before", target(), after(V7), 6),
        ("another one", target(), said(after(V9), FAILED), 8),
        ("what served when ours came", forth.clone(), after(V6), 6),
        ("what had failed when ours came", forth, after(V7), 6),
    ] {
        let outcome = play(target, story([(2, began.clone()), (4, end)]));
        let verdict = outcome.verdict.unwrap_or_else(|| panic!("{what}: no verdict"));
        assert_eq!(verdict.exit().code(), code, "{what}: {verdict}");
    }
}

#[test]
fn why_it_failed_comes_from_the_services_events_where_the_deployment_is_gone() {
    let end = after(V7).saying("e1", START + 60_000, FAILED);
    let outcome = play(target(), story([(1, look([ours(), old()], [])), (3, end)]));
    assert_eq!(
        outcome.verdict.unwrap().to_string(),
        "rolled back to api:7: (service api) (deployment ecs-svc/ours) deployment failed: tasks failed \
         to start"
    );
}

/// It took the place of one that failed: ECS goes back to the one before that.
#[test]
fn a_rollback_goes_to_what_served_and_not_to_what_failed_before() {
    let failing = || Deployment { task_definition: V7.to_owned(), ..old().failed() };
    let served = || {
        let id = "ecs-svc/served".to_owned();
        Deployment { id, task_definition: V6.to_owned(), ..old() }
    };
    let target = Target { served_task_definition: Some(V6.to_owned()), ..target() };
    let back = || newer(V6).running(2).completed().because("completed");
    let story = story([
        (2, look([ours(), failing(), served()], [])),
        (1, look([ours().failed(), failing(), served()], [])),
        (3, look([back(), ours().active().failed()], [])),
    ]);
    let verdict = play(target, story).verdict.unwrap();
    assert!(verdict.to_string().starts_with("rolled back to api:6: "), "{verdict}");
}
