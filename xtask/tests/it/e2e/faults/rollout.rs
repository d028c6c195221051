//! Rollouts that go wrong, and others in the way.

use super::rule::{Fault, Rule};
use super::stage::{Serving, Stage, Turn};

/// Deploys what ECS goes back from by itself.
#[track_caller]
fn is_rolled_back(stage: &Stage, args: &[&str], before: &Serving, says: &[&str]) {
    let run = stage.deploy(args).code(6);
    assert_eq!(run.json()["verdict"], "rolled-back", "{run}");
    let said = run.stderr();
    assert!(says.iter().all(|text| said.contains(text)), "it does not say all of {says:?}\n{run}");
    run.says("rolled back to loppestars:").says("the earlier revision serves");
    stage.still_serves(before);
    stage.nothing_is_left();
}

#[test]
fn a_container_that_exits_is_rolled_back_with_its_last_words() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.watches_for(1);
    stage.version("exits at once");
    let says =
        ["loppestars exited with 1", "| planted: at once", "after 3 consecutive task failures"];
    is_rolled_back(&stage, &[], &before, &says);

    stage.set_hasty_breaker();
    stage.watches_for(10);
    stage.version("exits late");
    is_rolled_back(&stage, &[], &before, &["loppestars exited with 4", "| planted: late"]);
}

#[test]
fn a_task_that_can_not_start_is_rolled_back_with_the_reason() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.set_hasty_breaker();
    let pull = Rule::always("HEAD /v2/loppestars/manifests/sha256:*", Fault::Status(403));
    stage.proxy.set([pull.after("ecs:UpdateService")]);
    stage.version("serves");
    is_rolled_back(&stage, &[], &before, &["CannotPullContainerError", "403 Injected"]);

    let secret = "arn:aws:secretsmanager:eu-central-1:000000000000:secret:nowhere-AbCdEf";
    let secrets = format!("[env.local.secrets]\nNOWHERE = \"{secret}\"\n\n[env.local.health]");
    let missing = stage.variant(&[("[env.local.health]", &secrets)]);
    stage.version("serves");
    stage.proxy.set([]);
    let run = stage.deploy(&["--config", &missing]).code(3);
    run.says(&format!("the secret of NOWHERE, `{secret}`, is not there")).says("create it");
    stage.still_serves(&before);
    stage.nothing_is_left();
    // Whoever may not look for it hears of it by ECS.
    stage.proxy.set([Rule::always("secretsmanager:DescribeSecret", Fault::DENIED)]);
    let says = ["ResourceInitializationError", "unable to retrieve secret", secret];
    is_rolled_back(&stage, &["--config", &missing], &before, &says);
}

#[test]
fn without_a_circuit_breaker_the_deadline_ends_the_wait() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.set_breaker(false, false);
    stage.watches_for(1);
    let short = stage.variant(&[("deadline = \"20s\"", "deadline = \"5s\"")]);
    stage.version("exits at once");
    let run = stage.deploy(&["--config", &short]).code(9);
    assert_eq!(run.json()["verdict"], "deadline-passed", "{run}");
    let run = run.says("still rolling out after 5 s").says("loppestars exited with 1");
    run.says("ECS goes on with it: `cargo xtask status --env local`");
    assert_eq!(stage.serving().version, before.version);
    stage.nothing_is_left();
    stage.run(&["rollback"]).code(0);
    stage.still_serves(&before);
    stage.nothing_is_left();
}

#[test]
fn what_ecs_does_not_roll_back_is_put_back() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.set_breaker(true, false);
    stage.watches_for(1);
    stage.version("exits at once");
    let run = stage.deploy(&[]).code(6);
    assert_eq!(run.json()["verdict"], "rolled-back", "{run}");
    run.says("| planted: at once").says("; loppestars is back on loppestars:");
    stage.still_serves(&before);
    stage.nothing_is_left();
}

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

#[test]
fn another_deployment_under_way_is_handled_as_asked() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.watches_for(600);
    stage.begin_another_deployment();
    stage.version("serves");
    let run = stage.deploy(&["--if-busy", "abort"]).code(8);
    assert_eq!(run.json()["verdict"], "superseded", "{run}");
    run.says("is under way").says("or use `--if-busy wait`");
    stage.still_serves(&before);
    stage.nothing_is_left();

    for (if_busy, says) in
        [("supersede", "is under way; this one takes its place"), ("wait", "waiting for it to end")]
    {
        let version = stage.version("serves");
        let deploy = stage.start(&["deploy", "--format", "json", "--if-busy", if_busy]);
        deploy.wait_until_it_says(says);
        stage.watches_for(0);
        let report = deploy.end().code(0).json();
        assert_eq!(report["verdict"], "succeeded", "{if_busy}: {report}");
        assert_eq!(stage.serving().version, version, "{if_busy}");
        stage.nothing_is_left();
        stage.watches_for(600);
        stage.begin_another_deployment();
    }
}

#[test]
fn who_is_superseded_leaves_it_to_the_other() {
    let stage = Turn::take();
    let long_ago = stage.serving();
    for theirs in [None, Some(&long_ago)] {
        stage.deploy_a_good_version();
        let version = stage.version("serves");
        stage.watches_for(600);
        let deploy = stage.start(&["deploy", "--format", "json"]);
        deploy.wait_until_it_says("deployment PRIMARY IN_PROGRESS");
        match theirs {
            None => stage.begin_another_deployment(),
            Some(theirs) => stage.begin_deployment_of(&theirs.task_definition),
        }
        stage.watches_for(0);
        let run = deploy.end().code(8);
        assert_eq!(run.json()["verdict"], "superseded", "{run}");
        run.says("superseded by deployment ecs-svc/").says("somebody else deployed meanwhile");
        stage.becomes(theirs.map_or(&version, |theirs| &theirs.version));
        stage.nothing_is_left();
    }
}
