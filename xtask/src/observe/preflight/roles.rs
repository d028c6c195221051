//! The roles that task definitions name: there, and for ECS to assume.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::Check;
use super::start::{Answer, in_time, not_known, summary};
use crate::aws::{Aws, explain, iam};
use crate::observe::beside::all_beside;
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::needs::{Needs, RoleKind};

const WHAT: &str = "roles";

/// The service that assumes a task's roles.
///
/// Source: Amazon ECS developer guide, "Amazon ECS task execution IAM role".
const ECS_TASKS: &str = "ecs-tasks.amazonaws.com";

/// Looks for the roles, and for secrets of which nobody could read a value.
pub(super) async fn checks(aws: &Aws, environment: &Environment, needs: &[Needs]) -> Vec<Check> {
    let named: BTreeSet<(RoleKind, String)> = needs
        .iter()
        .flat_map(|needs| &needs.roles)
        .map(|(kind, role)| (*kind, role.clone()))
        .collect();
    let calls = named.into_iter().map(|(kind, role)| {
        let (aws, account) = (aws.clone(), environment.account.clone());
        let thing = format!("the {kind} `{}`", short(&role));
        async move { in_time(WHAT, &thing, one(&aws, &account, &thing, &role)).await }
    });
    let there = |count| {
        let role = if count == 1 { "role" } else { "roles" };
        format!("{count} {role}, which ECS may assume")
    };
    let answers = all_beside(calls.collect::<Vec<_>>()).await;
    let mut checks = summary(WHAT, there, answers);
    checks.extend(needs.iter().filter_map(without_execution_role));
    checks
}

async fn one(aws: &Aws, account: &str, thing: &str, role: &str) -> Answer {
    // An ARN of another account's role: `arn:aws:iam::ACCOUNT:role/PATH/NAME`.
    if let Some(other) = role.split(':').nth(4).filter(|other| *other != account) {
        let text = format!("{thing} is of account {other}, and ECS takes only roles of {account}");
        return wrong(text, "name a role of this account in the task definition");
    }
    match iam::trust_policy(aws, short(role)).await {
        Ok(Some(policy)) if trusts_ecs(&policy) => Answer::There,
        Ok(Some(_)) => wrong(
            format!("{thing} does not let {ECS_TASKS} assume it, so no task starts with it"),
            &format!(
                "allow sts:AssumeRole to the service {ECS_TASKS} in its trust policy \
                 (`aws iam update-assume-role-policy --role-name {}`)",
                short(role)
            ),
        ),
        Ok(None) => wrong(
            format!("{thing} is named by the task definition, and is not there"),
            "create it (`cargo xtask infra deploy` does, where the stack has it), or name another \
             one in the task definition",
        ),
        Err(error) => not_known(WHAT, thing, &explain("iam:GetRole", &error)),
    }
}

fn wrong(text: String, fix: &str) -> Answer {
    Answer::Told(Check::wrong(WHAT, Failure::new(Exit::Prerequisite, text).hint(fix)))
}

/// The role's name, without its path.
fn short(role: &str) -> &str {
    role.rsplit('/').next().unwrap_or(role)
}

/// ECS reads secrets with the execution role, and registers nothing that has secrets and none.
fn without_execution_role(needs: &Needs) -> Option<Check> {
    if needs.secrets.is_empty() || needs.roles.contains_key(&RoleKind::Execution) {
        return None;
    }
    let text = format!("{} has secrets and no execution role that could read them", needs.of);
    let fix = "add `executionRoleArn` to the task definition: a role that may read the secrets";
    Some(Check::wrong(WHAT, Failure::new(Exit::Prerequisite, text).hint(fix)))
}

/// Whether some statement lets tasks assume the role. Conditions are not looked at.
fn trusts_ecs(policy: &Value) -> bool {
    each(&policy["Statement"]).any(|statement| {
        let service = |name: &Value| {
            // China's is the same, or has its own suffix.
            name.as_str().is_some_and(|name| name == "*" || name.starts_with(ECS_TASKS))
        };
        let principal = &statement["Principal"];
        statement["Effect"] == "Allow"
            && (principal == "*" || each(&principal["Service"]).any(service))
            && each(&statement["Action"]).any(|action| {
                let action = action.as_str().unwrap_or_default().to_ascii_lowercase();
                ["*", "sts:*", "sts:assumerole", "sts:assume*"].contains(&action.as_str())
            })
    })
}

/// IAM writes one of a list without the list.
fn each(value: &Value) -> impl Iterator<Item = &Value> {
    let one = (!value.is_array() && !value.is_null()).then_some(value);
    value.as_array().into_iter().flatten().chain(one)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn trust_is_found_in_every_shape_of_a_policy() {
        let policy = |principal: Value, action: Value| {
            json!({ "Statement": [
                { "Effect": "Deny", "Principal": "*", "Action": "*" },
                { "Effect": "Allow", "Principal": principal, "Action": action }] })
        };
        let service = json!({ "Service": ECS_TASKS });
        for (principal, action) in [
            (service.clone(), json!("sts:AssumeRole")),
            (service.clone(), json!(["sts:TagSession", "sts:AssumeRole"])),
            (json!({ "Service": ["ec2.amazonaws.com", ECS_TASKS] }), json!("sts:*")),
            (json!("*"), json!("sts:AssumeRole")),
        ] {
            assert!(trusts_ecs(&policy(principal.clone(), action.clone())), "{principal} {action}");
        }
        for (principal, action) in [
            (json!({ "Service": "ec2.amazonaws.com" }), json!("sts:AssumeRole")),
            (service, json!("sts:AssumeRoleWithWebIdentity")),
            (json!({ "AWS": "123456789012" }), json!("sts:AssumeRole")),
        ] {
            assert!(
                !trusts_ecs(&policy(principal.clone(), action.clone())),
                "{principal} {action}"
            );
        }
        assert!(trusts_ecs(&json!({ "Statement": { "Effect": "Allow",
            "Principal": { "Service": ECS_TASKS }, "Action": "sts:AssumeRole" } })));
        assert!(!trusts_ecs(&json!({})));
    }

    #[test]
    fn secrets_without_a_role_that_reads_them_are_refused() {
        let secrets = json!([{ "name": "A", "valueFrom": "/p" }]);
        let with = |role: Value| {
            let definition = json!({ "executionRoleArn": role,
                "containerDefinitions": [{ "name": "a", "secrets": secrets }] });
            without_execution_role(&Needs::of("app:7", &definition))
        };
        assert!(with(json!("role")).is_none());
        assert!(with(Value::Null).unwrap().is_wrong());
        assert!(without_execution_role(&Needs::of("app:7", &json!({}))).is_none());
    }
}
