//! `prune --task-definitions`.

use serde_json::{Value, json};

use super::world::{Aws, denied, plain, service};

const ONLY: [&str; 6] = ["prune", "--env", "test", "--task-definitions-only", "--format", "json"];

#[test]
fn old_task_definitions_are_shown_and_then_deregistered() {
    let aws = Aws::new(plain());
    let project = aws.project("keep-task-definitions = 2");
    let shown = project.run(&["prune", "--env", "test", "--task-definitions-only", "--dry-run"]);
    shown.code(0).prints("1. deregister 3 of 6 revisions of app\n   app:1\n   app:2\n   app:3\n");
    let plan = project.run(&[&ONLY[..], &["--dry-run"]].concat()).code(0).json();
    assert_eq!(plan["task-definitions"]["deregister"][0]["revision"], 1);
    let kept = &plan["task-definitions"]["keep"][2];
    assert_eq!(kept["reasons"], json!([{ "reason": "previous-of", "of": "app:6" }]), "{plan}");
    project.run(&ONLY).code(2).says("--yes");
    assert_eq!(aws.active(), [1, 2, 3, 4, 5, 6], "nothing was done yet");

    let report = project.run(&[&ONLY[..], &["--yes"]].concat()).code(0).json();
    let done = &report["task-definitions"];
    assert_eq!((done["deregistered"].as_array().unwrap().len(), &done["kept"]), (3, &json!(3)));
    assert_eq!((&report["exit-code"], &report["error"]), (&json!(0), &Value::Null));
    assert_eq!(aws.active(), [4, 5, 6]);
    project
        .run(&["prune", "--env", "test", "--task-definitions-only", "--yes"])
        .code(0)
        .prints("nothing to prune");
}

#[test]
fn a_task_definition_that_comes_into_use_meanwhile_stays() {
    // Each look describes the services twice: as ours, and as those of the cluster.
    let aws = Aws::new(Box::new(|asked| {
        let moved = asked.operation == "DescribeServices" && asked.before >= 2;
        moved.then(|| (200, json!({ "services": [service("app:2")] })))
    }));
    let project = aws.project("keep-task-definitions = 2");
    let run = project.run(&[&ONLY[..], &["--yes"]].concat()).code(0);
    let run = run.says("app:2 stays: used by service app/api");
    let report = run.says("app:1 stays: a rollback of app:2 goes back to it").json();
    let changed = report["task-definitions"]["changed"].as_array().unwrap();
    let changed: Vec<_> =
        changed.iter().map(|of| (&of["revision"], &of["reasons"][0]["reason"])).collect();
    assert_eq!(changed, [(&json!(1), &json!("previous-of")), (&json!(2), &json!("in-use"))]);
    assert_eq!(aws.active(), [1, 2, 4, 5, 6]);
}

#[test]
fn no_task_definition_goes_when_what_uses_them_can_not_be_read() {
    // Before the plan, and at the second look.
    for (from, code) in [(0, 3), (2, 3)] {
        let aws = Aws::new(Box::new(move |asked| {
            (asked.operation == "ListTasks" && asked.before >= from).then(denied)
        }));
        let project = aws.project("keep-task-definitions = 2");
        let run = project.run(&[&ONLY[..], &["--yes"]].concat()).code(code);
        let report = run.says("ecs:ListTasks").json();
        let error = report["error"].as_str().unwrap();
        assert!(error.starts_with("no task definition is deregistered: "), "{error}");
        assert_eq!(report["exit-code"], 3);
        assert_eq!(aws.active().len(), 6);
        assert!(aws.server.calls("DeregisterTaskDefinition").is_empty());
    }
}

#[test]
fn how_many_task_definitions_stay_has_to_be_said() {
    let aws = Aws::new(plain());
    let run = aws.project("").run(&["prune", "--env", "test", "--task-definitions", "--yes"]);
    run.code(2).says("`keep-task-definitions` in [prune]");
    assert!(aws.server.operations().is_empty());
    let combined = ["prune", "--task-definitions-only", "--all"];
    aws.project("").run(&combined).code(2).says("cannot be used with");
}
