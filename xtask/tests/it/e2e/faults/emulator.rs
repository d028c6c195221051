//! An ECS that goes away in the middle of a wait, for good or for a while.

use super::stage::Turn;

#[test]
fn an_ecs_that_goes_away_for_a_while_is_watched_on() {
    let stage = Turn::take();
    let patient = stage.variant(&[("deadline = \"20s\"", "deadline = \"90s\"")]);
    stage.watches_for(600);
    let version = stage.version("serves");
    let deploy = stage.start(&["deploy", "--format", "json", "--config", &patient]);
    deploy.wait_until_it_says("deployment PRIMARY IN_PROGRESS");
    stage.end_emulator("TERM");
    deploy.wait_until_it_says("loppestars can not be looked at");
    stage.emulate();
    stage.watches_for(0);
    let run = deploy.end().code(0).says("trying again until the deadline");
    assert_eq!(run.json()["verdict"], "succeeded", "{run}");
    assert_eq!(stage.serving().version, version);
    stage.nothing_is_left();
}

#[test]
fn an_ecs_that_goes_away_for_good_leaves_the_rollout_going_on() {
    let stage = Turn::take();
    let before = stage.serving();
    let short = stage.variant(&[("deadline = \"20s\"", "deadline = \"4s\"")]);
    stage.watches_for(600);
    stage.version("serves");
    let deploy = stage.start(&["deploy", "--format", "json", "--config", &short]);
    deploy.wait_until_it_says("deployment PRIMARY IN_PROGRESS");
    stage.end_emulator("KILL");
    let run = deploy.end().code(9);
    assert_eq!(run.json()["verdict"], "deadline-passed", "{run}");
    let run = run
        .says("nothing could be read")
        .says("ECS goes on with it by itself: `cargo xtask status");
    run.says("the deploy lock was not given back");
    assert!(stage.container_runs(&before));
    // Another emulator from here on, and not an older state of this one.
    let _ = std::fs::remove_dir_all(stage.path("target/xtask/ministack/state"));
    stage.emulate();
    stage.nothing_is_left();
}
