//! What task definitions name, asked for over the wire.

use serde_json::{Value, json};

use super::check::Check;
use super::start;
use crate::aws::stand_in::{ACCOUNT, StandIn};
use xtask_core::exit::Exit;
use xtask_core::plan::needs::Needs;

const SECRET: &str = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:app-AbCdEf";

/// A definition that names one of each, with further secrets.
fn definition(more: &[Value]) -> Value {
    let mut secrets = vec![
        json!({ "name": "KEY", "valueFrom": format!("{SECRET}:KEY::") }),
        json!({ "name": "OLD", "valueFrom": format!("{SECRET}:KEY:AWSPREVIOUS:") }),
        json!({ "name": "P", "valueFrom": "/app/p" }),
    ];
    secrets.extend(more.iter().cloned());
    json!({
        "executionRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/team/start"),
        "taskRoleArn": "inside",
        "containerDefinitions": [{ "name": "app", "secrets": secrets,
            "logConfiguration": { "logDriver": "awslogs",
                "options": { "awslogs-group": "/ecs/app", "awslogs-region": "eu-west-1" } } }],
    })
}

fn role(service: &str) -> Value {
    let policy = json!({ "Statement": [{ "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "Service": service } }] });
    let encoded: String = policy.to_string().bytes().map(|byte| format!("%{byte:02X}")).collect();
    let document = format!("<AssumeRolePolicyDocument>{encoded}</AssumeRolePolicyDocument>");
    Value::String(format!("<R><GetRoleResult><Role>{document}</Role></GetRoleResult></R>"))
}

/// An account in which all of it is there.
fn account(operation: &str, request: &Value, before: usize) -> (u16, Value) {
    let answer = match operation {
        "GetRole" => role("ecs-tasks.amazonaws.com"),
        "DescribeSecret" => {
            assert_eq!(request["SecretId"], SECRET);
            json!({ "VersionIdsToStages": { "1": ["AWSPREVIOUS"], "2": ["AWSCURRENT"] } })
        }
        // The first page is empty, and not the last.
        "DescribeParameters" if before == 0 => json!({ "Parameters": [], "NextToken": "2" }),
        "DescribeParameters" => {
            let names = request["ParameterFilters"][0]["Values"].as_array().unwrap();
            let found = names.iter().filter(|name| **name != "/gone");
            json!({ "Parameters": found.map(|name| json!({ "Name": name })).collect::<Vec<_>>() })
        }
        "DescribeLogGroups" => {
            assert_eq!(request["logGroupNamePrefix"], "/ecs/app");
            json!({ "logGroups": [{ "logGroupName": "/ecs/app" }, { "logGroupName": "/ecs/app2" }] })
        }
        other => panic!("{other} was not expected"),
    };
    (200, answer)
}

fn error(code: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": "why" }))
}

fn xml_error(code: &str) -> (u16, Value) {
    let error = format!("<E><Error><Code>{code}</Code><Message>why</Message></Error></E>");
    (404, Value::String(error))
}

async fn checks(stand_in: &StandIn, definition: &Value) -> Vec<Check> {
    let needs = [Needs::of("app:7", definition)];
    start::checks(&stand_in.aws().await, &stand_in.environment(), &needs).await
}

/// `state what: text` of each.
fn told(checks: &[Check]) -> Vec<String> {
    let one = |Check { what, found }: &Check| format!("{} {what}: {}", found.word(), found.text());
    checks.iter().map(one).collect()
}

#[tokio::test]
async fn all_that_a_task_definition_names_is_there() {
    let stand_in = StandIn::start(account);
    let checks = checks(&stand_in, &definition(&[])).await;
    assert_eq!(
        told(&checks),
        [
            "ok roles: 2 roles, which ECS may assume",
            "ok secrets: 2 are there; whether they have the named keys is not looked at",
            "ok log groups: 1 is there",
        ]
    );
    // One question a secret, and nothing that would answer with a value.
    assert_eq!(stand_in.calls("DescribeSecret").len(), 1);
    assert_eq!(stand_in.calls("DescribeParameters").len(), 2);
    let roles = stand_in.calls("GetRole");
    assert!(roles.iter().any(|form| form.as_str().unwrap().ends_with("RoleName=start")));
}

#[tokio::test]
async fn what_is_missing_is_wrong_with_its_fix() {
    let stand_in = StandIn::start(|operation: &str, request: &Value, before| match operation {
        "GetRole" if request.as_str().unwrap().contains("inside") => xml_error("NoSuchEntity"),
        "GetRole" => (200, role("ec2.amazonaws.com")),
        "DescribeSecret" => error("ResourceNotFoundException"),
        "DescribeLogGroups" => (200, json!({ "logGroups": [{ "logGroupName": "/ecs/app2" }] })),
        _ => account(operation, request, before),
    });
    let gone = json!({ "name": "GONE", "valueFrom": "/gone" });
    let checks = checks(&stand_in, &definition(&[gone])).await;
    let told = told(&checks);
    assert_eq!(
        told,
        [
            "wrong roles: the execution role `start` does not let ecs-tasks.amazonaws.com assume it, \
             so no task starts with it",
            "wrong roles: the task role `inside` is named by the task definition, and is not there",
            &format!("wrong secrets: the secret of KEY, OLD, `{SECRET}`, is not there"),
            "wrong secrets: the parameter `/gone` of GONE is not there",
            "wrong log groups: the log group `/ecs/app` is not there, and no task starts without it",
        ]
    );
    for check in &checks {
        assert!(check.found.fix().is_some(), "{check:?}");
        let super::Found::Wrong(error) = &check.found else { panic!("{check:?}") };
        assert_eq!(xtask_core::exit::exit_of(error), Exit::Prerequisite);
    }
    assert!(checks[4].found.fix().unwrap().contains("--region eu-west-1"));
}

#[tokio::test]
async fn what_these_credentials_may_not_ask_is_a_note() {
    let stand_in = StandIn::start(|operation: &str, _: &Value, _| match operation {
        "GetRole" => {
            let (_, xml) = xml_error("AccessDenied");
            (403, xml)
        }
        _ => error("AccessDeniedException"),
    });
    let checks = checks(&stand_in, &definition(&[])).await;
    assert!(checks.iter().all(|check| check.found.word() == "note"), "{checks:?}");
    let fixes: Vec<_> = checks.iter().filter_map(|check| check.found.fix()).collect();
    for action in [
        "iam:GetRole",
        "secretsmanager:DescribeSecret",
        "ssm:DescribeParameters",
        "logs:DescribeLogGroups",
    ] {
        assert!(fixes.iter().any(|fix| fix.contains(action)), "{action}: {fixes:?}");
    }
}

#[tokio::test]
async fn a_secret_that_no_task_can_have_is_wrong() {
    for (found, says) in [
        (json!({ "DeletedDate": 1.7e9 }), "marked for deletion"),
        (json!({}), "has no value yet"),
        (json!({ "VersionIdsToStages": { "1": ["AWSPENDING"] } }), "no current version"),
        (
            json!({ "VersionIdsToStages": { "1": ["AWSCURRENT"] } }),
            "no version at the stage AWSPREVIOUS",
        ),
    ] {
        let stand_in =
            StandIn::start(move |operation: &str, request: &Value, before| match operation {
                "DescribeSecret" => (200, found.clone()),
                _ => account(operation, request, before),
            });
        let checks = checks(&stand_in, &definition(&[])).await;
        let wrong: Vec<_> = checks.iter().filter(|check| check.is_wrong()).collect();
        assert_eq!(wrong.len(), 1, "{checks:?}");
        assert!(wrong[0].found.text().contains(says), "{says}: {:?}", wrong[0]);
    }
}

#[tokio::test]
async fn what_is_of_another_account_is_refused_or_not_known() {
    let stand_in = StandIn::start(account);
    let other = json!({ "name": "O",
        "valueFrom": "arn:aws:ssm:eu-central-1:210987654321:parameter/x" });
    let mut definition = definition(&[other]);
    definition["taskRoleArn"] = json!("arn:aws:iam::210987654321:role/inside");
    let told = told(&checks(&stand_in, &definition).await);
    assert!(told[0].starts_with("wrong roles: the task role `inside` is of account 210987654321"));
    assert!(
        told[1].starts_with("note secrets: the parameter `/x` of O was not looked at"),
        "{told:?}"
    );
}
