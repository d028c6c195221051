//! An engine that is not there or goes away, and a step whose disk is full.

use super::engine_socket::EngineSocket;
use super::rule::{Fault, Rule};
use super::stage::{Stage, Turn};

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

/// Deploys with an engine that goes away when this returns.
fn loses_its_engine(stage: &Stage, when: impl FnOnce()) {
    let before = stage.serving();
    let engine = EngineSocket::listen(stage.path("engine.sock"));
    let args = ["deploy", "--format", "json"];
    let mut command = stage.command(&args);
    let deploy = stage.started(&args, command.env("DOCKER_HOST", engine.host()));
    when();
    engine.cut();
    let run = deploy.end().code(3);
    assert_eq!(run.json()["exit-code"], 3, "{run}");
    run.says("error reading from server").says("the Docker Engine or the builder went away");
    stage.proxy.set([]);
    stage.still_serves(&before);
    stage.nothing_is_left();
}

#[test]
fn an_engine_that_goes_away_is_told_from_a_build_that_fails() {
    let stage = Turn::take();
    stage.version_with("serves", "RUN sleep 60.25");
    loses_its_engine(&stage, || stage.wait_until(true, "sleep 60.25"));
    // Who built it is gone.
    stage.wait_until(false, "sleep 60.25");

    stage.version("serves");
    stage.proxy.set([Rule::always("PUT /v2/loppestars/blobs/uploads/*", Fault::Hang)]);
    loses_its_engine(&stage, || stage.proxy.wait_for_a_fault());
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
