//! Ctrl-C and SIGTERM in every phase of a deploy: a call of that phase hangs, and then the
//! signal comes.

use std::time::{Duration, Instant};

use super::rule::{Fault, Rule};
use super::stage::{Serving, Stage, Turn};
use crate::support::Run;

/// Interrupts a deploy while this call hangs.
fn interrupted(stage: &Stage, signal: &str, rule: Rule) -> Run {
    stage.proxy.set([rule]);
    let deploy = stage.start(&["deploy", "--format", "json"]);
    stage.proxy.wait_for_a_fault();
    deploy.signal(signal);
    let run = deploy.end().code(130);
    stage.proxy.set([]);
    assert_eq!(run.json()["exit-code"], 130, "{run}");
    stage.nothing_is_left();
    run
}

/// As [`interrupted`]; nothing of what serves has changed.
#[track_caller]
fn stays(stage: &Stage, before: &Serving, signal: &str, rule: Rule, says: &str) {
    stage.version("serves");
    interrupted(stage, signal, rule).says(says);
    stage.still_serves(before);
}

/// Waits until the service is on another revision than before.
#[track_caller]
fn moves(stage: &Stage, before: &Serving) -> Serving {
    let end = Instant::now() + Duration::from_secs(30);
    loop {
        let now = stage.serving();
        if now.version != before.version && now.task_definition != before.task_definition {
            return now;
        }
        assert!(Instant::now() < end, "the service did not move on");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn before_anything_is_changed() {
    let stage = Turn::take();
    let before = stage.serving();
    let phases = [
        ("INT", "ecs:DescribeServices"),
        ("TERM", "ecr:GetAuthorizationToken"),
        ("INT", "GET /v2/"),
    ];
    for (signal, call) in phases {
        let rule = Rule::always(call, Fault::Hang);
        stays(&stage, &before, signal, rule, "interrupted; nothing was changed");
    }
}

#[test]
fn in_the_middle_of_the_build_and_of_the_push() {
    let stage = Turn::take();
    let before = stage.serving();
    // As other processes see it: an engine on this machine runs it.
    stage.version_with("serves", "RUN sleep 60.125");
    let deploy = stage.start(&["deploy", "--no-cache"]);
    stage.wait_until(true, "sleep 60.125");
    deploy.signal("TERM");
    deploy.end().code(130).says("may be pushed: its build had not ended");
    stage.wait_until(false, "sleep 60.125");
    stage.still_serves(&before);
    stage.nothing_is_left();

    for call in ["PUT /v2/loppestars/blobs/uploads/*", "PUT /v2/loppestars/manifests/git-*"] {
        for fault in [Fault::Hang, Fault::HangAnswer] {
            let rule = Rule::always(call, fault);
            stays(&stage, &before, "INT", rule, "may be pushed: its build had not ended");
        }
    }
}

#[test]
fn while_others_are_waited_for() {
    let stage = Turn::take();
    for signal in ["INT", "TERM"] {
        stage.take_lock();
        stage.version("serves");
        let before = stage.serving();
        let deploy = stage.start(&["deploy", "--format", "json"]);
        deploy.wait_until_it_says("is being deployed by maria@desk (deploy, since now); waiting");
        deploy.signal(signal);
        let run = deploy.end().code(130).says("interrupted while waiting for the deploy lock: ");
        run.says("is being deployed by maria@desk").says(" was pushed; nothing else was changed");
        assert_eq!(stage.locks(), ["/xtask/lock/loppestars/loppestars"], "it is not ours");
        stage.delete_locks();
        stage.nothing_is_left();
        stage.still_serves(&before);
    }
    stage.watches_for(600);
    let before = stage.serving();
    stage.begin_another_deployment();
    for signal in ["INT", "TERM"] {
        stage.version("serves");
        let deploy = stage.start(&["deploy", "--format", "json"]);
        deploy.wait_until_it_says("is under way; waiting for it to end");
        deploy.signal(signal);
        let run = deploy.end().code(130).says("waiting for the end of another deployment: ");
        run.says(" was pushed; nothing else was changed");
        stage.still_serves(&before);
        stage.nothing_is_left();
    }
}

#[test]
fn while_the_deploy_lock_is_asked_for() {
    let stage = Turn::take();
    let before = stage.serving();
    // What is still on its way may arrive yet; what has arrived is found, and given back.
    for (signal, fault, says) in [
        ("INT", Fault::Hang, " was pushed; the deploy lock of loppestars may still be held"),
        ("TERM", Fault::HangAnswer, " was pushed; nothing else was changed"),
    ] {
        let rule = Rule::always("ssm:PutParameter", fault);
        stays(&stage, &before, signal, rule, says);
    }
    // It hangs as well when the lock is to be given back.
    let rule = Rule::always("ssm:GetParameter", Fault::Hang).after("ecs:RegisterTaskDefinition");
    stage.version("serves");
    stage.proxy.set([rule]);
    let deploy = stage.start(&["deploy", "--format", "json"]);
    stage.proxy.wait_for_a_fault();
    deploy.signal("TERM");
    let run = deploy.end().code(130);
    let run = run.says("a revision may be registered, and loppestars was not moved to it");
    run.says("the deploy lock of loppestars may still be held: the next deploy takes it over");
    stage.still_serves(&before);
    stage.delete_locks();
    stage.nothing_is_left();
}

#[test]
fn while_the_service_is_changed() {
    let stage = Turn::take();
    let before = stage.serving();
    for fault in [Fault::Hang, Fault::HangAnswer] {
        let rule = Rule::always("ecs:RegisterTaskDefinition", fault);
        let says = "a revision may be registered, and loppestars was not moved to it";
        stays(&stage, &before, "INT", rule, says);
    }
    let rule = Rule::always("ecs:UpdateService", Fault::Hang);
    stays(&stage, &before, "TERM", rule, "asked ECS to move loppestars to loppestars:");

    stage.version("serves");
    let rule = Rule::always("ecs:UpdateService", Fault::HangAnswer);
    let run = interrupted(&stage, "INT", rule);
    let now = moves(&stage, &before);
    let to = now.task_definition.rsplit('/').next().unwrap();
    run.says(&format!("asked ECS to move loppestars to {to}: `cargo xtask status` shows whether"));
}

#[test]
fn while_the_rollout_is_watched_and_checked() {
    let stage = Turn::take();
    for (signal, rule, says) in [
        (
            "TERM",
            Rule::always("ecs:DescribeServices", Fault::Hang).after("ecs:UpdateService"),
            "and ECS goes on with that: `cargo xtask status` shows it, `cargo xtask rollback` undoes it",
        ),
        ("INT", Rule::always("GET /_alb/*", Fault::Hang), "whose checks had not ended"),
    ] {
        let before = stage.serving();
        stage.version("serves");
        let run = interrupted(&stage, signal, rule).says(says);
        let now = moves(&stage, &before);
        run.says(now.task_definition.rsplit('/').next().unwrap());
    }
}

#[test]
fn while_the_earlier_revision_is_put_back() {
    let stage = Turn::take();
    for fault in [Fault::Hang, Fault::HangAnswer] {
        let before = stage.serving();
        stage.version("is never healthy");
        let rule = Rule::always("ecs:UpdateService", fault).after("GET /_alb/*");
        let run = interrupted(&stage, "INT", rule);
        let back = before.task_definition.rsplit('/').next().unwrap();
        let run = run.says(&format!("asked ECS to move loppestars to {back}"));
        if matches!(fault, Fault::HangAnswer) {
            stage.still_serves(&before);
        } else {
            // As it says, nobody knows: `rollback` is the way on.
            run.says("xtask status");
            stage.run(&["rollback"]).code(0);
            stage.still_serves(&before);
        }
    }
}
