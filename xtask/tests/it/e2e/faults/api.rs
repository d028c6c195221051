//! Calls to AWS that fail: each one that a clean deploy makes, so that a new one is among them
//! by itself.

use std::collections::BTreeSet;

use super::rule::{Fault, Rule};
use super::stage::{Stage, Turn};

/// Calls that a deploy goes well without: the image's size is not shown, images are not found
/// again by their inputs, what tasks need is not looked at before, the verdict comes from the
/// service's list of deployments alone, and a lock that is not given back runs out.
const DISPENSABLE: [&str; 8] = [
    "ecr:BatchGetImage",
    "ecr:DescribeImages",
    "ecr:PutImage",
    "ecs:ListServiceDeployments",
    "iam:GetRole",
    "logs:DescribeLogGroups",
    "secretsmanager:DescribeSecret",
    "ssm:DeleteParameter",
];

/// What a deploy calls of AWS, each once, in the order of the alphabet.
fn calls_of_a_clean_deploy(stage: &Stage) -> Vec<String> {
    stage.proxy.set([]);
    stage.deploy_a_good_version();
    let calls: BTreeSet<String> = stage.proxy.calls().into_iter().collect();
    let calls: Vec<_> = calls.into_iter().filter(|call| !call.contains(' ')).collect();
    assert!(calls.iter().any(|call| call == "ecs:UpdateService"), "{calls:?}");
    calls
}

/// Asserts that a deploy goes well, whatever it meets, and that it meets something.
#[track_caller]
fn goes_well(stage: &Stage, what: &str) {
    let version = stage.version("serves");
    let report = stage.deploy(&[]).code(0).json();
    assert_eq!(report["verdict"], "succeeded", "{what}: {report}");
    assert_eq!(stage.serving().version, version, "{what}");
    assert!(!stage.proxy.met().is_empty(), "{what} met no fault");
}

/// Asserts that a deploy ends with this code before it changes anything, and says this.
#[track_caller]
fn changes_nothing(stage: &Stage, args: &[&str], code: i32, says: &[&str]) {
    let before = stage.serving();
    stage.version("serves");
    let run = stage.deploy(args).code(code);
    assert_eq!(run.json()["exit-code"], code, "{run}");
    let said = run.stderr();
    assert!(says.iter().all(|text| said.contains(text)), "it does not say all of {says:?}\n{run}");
    stage.still_serves(&before);
}

/// Deploys while every call of this name fails.
#[track_caller]
fn always_fails(stage: &Stage, call: &str, fault: Fault, code: i32, says: &[&str]) {
    stage.proxy.set([Rule::always(call, fault)]);
    if DISPENSABLE.contains(&call) {
        goes_well(stage, call);
    } else {
        changes_nothing(stage, &[], code, says);
    }
    // A lock that can not be given back runs out by itself.
    if call.starts_with("ssm:") {
        stage.delete_locks();
    }
    stage.nothing_is_left();
}

#[test]
fn every_call_that_fails_once_is_made_again() {
    let stage = Turn::take();
    let calls = calls_of_a_clean_deploy(&stage);
    let faults = [
        Fault::THROTTLED,
        Fault::SERVER_ERROR,
        Fault::UNAVAILABLE,
        Fault::CutAfter(0),
        Fault::CutAnswer,
    ];
    for fault in faults {
        stage.proxy.set(calls.iter().map(|call| Rule::once(call, fault)));
        goes_well(&stage, &format!("{fault:?}"));
        stage.nothing_is_left();
        let met: BTreeSet<String> = stage.proxy.met().into_iter().collect();
        assert_eq!(Vec::from_iter(met), calls, "{fault:?}");
    }
}

/// The role that `aws/stack.yaml` makes for deploys has them all.
#[test]
fn every_permission_that_is_missing_is_named() {
    let stage = Turn::take();
    let stack = std::fs::read_to_string(stage.path("aws/stack.yaml")).unwrap();
    let role = stack.split("  DeployRole:").nth(1).unwrap();
    for call in calls_of_a_clean_deploy(&stage) {
        // Everybody may ask who they are.
        assert!(role.contains(&call) || call == "sts:GetCallerIdentity", "{call}");
        let hint = match call.starts_with("ssm:") {
            true => "the deploy lock needs ssm:GetParameter, ssm:PutParameter".to_owned(),
            false => format!("allow `{call}`"),
        };
        always_fails(&stage, &call, Fault::DENIED, 3, &[&call, "AccessDenied", &hint]);
    }
}

#[test]
fn every_call_that_is_always_throttled_is_named() {
    every_call_that_always_fails(Fault::THROTTLED, "AWS kept throttling after five tries");
}

#[test]
fn every_call_that_always_meets_a_fault_of_aws_is_named() {
    every_call_that_always_fails(Fault::SERVER_ERROR, "the fault is on the side of AWS");
}

fn every_call_that_always_fails(fault: Fault, hint: &str) {
    let stage = Turn::take();
    for call in calls_of_a_clean_deploy(&stage) {
        always_fails(&stage, &call, fault, 1, &[&call, hint]);
    }
}

#[test]
fn credentials_that_are_not_taken_are_told_before_anything_is_changed() {
    let stage = Turn::take();
    for (fault, hint) in [
        (Fault::EXPIRED, "the credentials expired: sign in again"),
        (Fault::UNKNOWN_KEY, "AWS does not know these credentials"),
    ] {
        stage
            .proxy
            .set(["sts:*", "ecr:*", "ecs:*", "ssm:*"].map(|calls| Rule::always(calls, fault)));
        changes_nothing(&stage, &[], 3, &["nothing was changed", hint]);
        stage.nothing_is_left();
    }
    stage.proxy.set([]);
    let elsewhere = stage
        .variant(&[("region = \"eu-central-1\"\nendpoint", "region = \"eu-west-1\"\nendpoint")]);
    let says = ["no ECS cluster `loppestars` in eu-west-1", "set `cluster`"];
    changes_nothing(&stage, &["--config", &elsewhere], 3, &says);
    stage.nothing_is_left();
}

#[test]
fn an_update_without_an_answer_is_looked_for() {
    let stage = Turn::take();
    stage.proxy.set([Rule::always("ecs:UpdateService", Fault::CutAnswer)]);
    let version = stage.version("serves");
    let run = stage.deploy(&[]).code(0).says("but loppestars was moved to loppestars:");
    assert_eq!(run.json()["verdict"], "succeeded", "{run}");
    assert_eq!(stage.serving().version, version);
    stage.nothing_is_left();

    stage.proxy.set([Rule::always("ecs:UpdateService", Fault::CutAfter(0))]);
    changes_nothing(&stage, &[], 3, &["ecs:UpdateService: ", " as before, and not on loppestars:"]);
    stage.nothing_is_left();

    let cut = Rule::always("ecs:DescribeServices", Fault::CutAfter(0)).after("ecs:UpdateService");
    stage.proxy.set([Rule::always("ecs:UpdateService", Fault::CutAnswer), cut]);
    let version = stage.version("serves");
    let run = stage.deploy(&[]).code(3).says("nobody knows whether loppestars was moved to");
    run.says("`cargo xtask status` shows whether it was, and `cargo xtask rollback` undoes it");
    stage.proxy.set([]);
    stage.becomes(&version);
    stage.nothing_is_left();
}

#[test]
fn a_watch_goes_on_when_credentials_are_renewed() {
    let stage = Turn::take();
    let version = stage.version("serves");
    stage.proxy.set([Rule::always("ecs:*", Fault::EXPIRED).after("ecs:UpdateService")]);
    let deploy = stage.start(&["deploy", "--format", "json"]);
    deploy.wait_until_it_says("the credentials are not taken any more");
    stage.proxy.set([]);
    let report = deploy.end().code(0).says("there are credentials again").json();
    assert_eq!(report["verdict"], "succeeded", "{report}");
    assert_eq!(stage.serving().version, version);
}

#[test]
fn a_watch_that_sees_nothing_says_so_at_its_deadline() {
    let stage = Turn::take();
    let short = stage.variant(&[("deadline = \"20s\"", "deadline = \"3s\"")]);
    for (call, fault, said, verdict) in [
        (
            "ecs:DescribeServices",
            Fault::EXPIRED,
            "not taken any more: ecs:DescribeServices: Expired",
            "nothing could be read",
        ),
        ("ecs:ListTasks", Fault::DENIED, "ecs:ListTasks: AccessDenied", "still rolling out"),
        (
            "ecs:DescribeTasks",
            Fault::THROTTLED,
            "ecs:DescribeTasks: Throttling",
            "still rolling out",
        ),
    ] {
        stage.proxy.set([Rule::always(call, fault).after("ecs:UpdateService")]);
        let version = stage.version("serves");
        let run = stage.deploy(&["--config", &short]).code(9);
        let report = run.json();
        assert_eq!(report["verdict"], "deadline-passed", "{run}");
        run.says(said).says(verdict).says("xtask status");
        // ECS goes on with it all the same.
        stage.becomes(&version);
        stage.nothing_is_left();
    }
}
