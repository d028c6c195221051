//! A rollout that ECS takes for good, and that is not.

use super::stage::Turn;

#[test]
fn a_service_that_is_never_healthy_is_put_back() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.version("is never healthy");
    let run = stage.deploy(&[]).code(10);
    assert_eq!(run.json()["verdict"], "verification-failed", "{run}");
    run.says("does not answer 200").says("is back on");
    stage.still_serves(&before);
    stage.nothing_is_left();
}
