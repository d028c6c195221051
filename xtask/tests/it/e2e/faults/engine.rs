//! An engine that is not there, and a step whose disk is full.

use super::stage::Turn;

#[test]
fn an_engine_that_is_not_there_is_told_before_anything_is_changed() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.version("serves");
    let args = ["deploy", "--format", "json"];
    let mut command = stage.command(&args);
    command.env("DOCKER_HOST", "unix:///nowhere/docker.sock");
    let run = stage.started(&args, &mut command).end().code(3);
    assert_eq!(run.json()["exit-code"], 3, "{run}");
    run.says("the Docker Engine does not answer").says("hint:");
    stage.still_serves(&before);
    stage.nothing_is_left();
}

#[test]
fn a_step_whose_disk_is_full_fails_the_build() {
    let stage = Turn::take();
    let before = stage.serving();
    let fill = "RUN --mount=type=tmpfs,target=/full,size=1m head -c 2000000 /dev/zero > /full/file";
    stage.version_with("serves", fill);
    let run = stage.deploy(&[]).code(4);
    assert_eq!(run.json()["verdict"], "build-failed", "{run}");
    run.says("No space left on device");
    stage.still_serves(&before);
    stage.nothing_is_left();
}
