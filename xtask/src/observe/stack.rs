//! The CloudFormation stack of an environment.

use std::path::Path;

use anyhow::Result;

use super::ecs::{self, ServiceFacts};
use crate::aws::{Aws, cfn, explain};
use xtask_core::config::{Environment, Stack};
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::infra::TEMPLATE_LIMIT;

/// The environment's stack in the configuration.
///
/// # Errors
/// [`Exit::Usage`]: it has none.
pub fn configured(environment: &Environment) -> Result<&Stack> {
    environment.infra.as_ref().ok_or_else(|| {
        Failure::new(Exit::Usage, format!("[env.{}] has no `infra`", environment.name))
            .hint("add [env.NAME.infra] with `stack` and `template` to xtask.toml")
            .into()
    })
}

/// The environment's stack in the account.
///
/// # Errors
/// [`Exit::Prerequisite`]: it is not there.
pub async fn existing(aws: &Aws, environment: &Environment) -> Result<cfn::Stack> {
    let name = &configured(environment)?.file.stack;
    cfn::stack(aws, name).await?.ok_or_else(|| {
        Failure::new(Exit::Prerequisite, format!("there is no CloudFormation stack `{name}`"))
            .hint(format!("`cargo xtask infra deploy --env {}` creates it", environment.name))
            .into()
    })
}

/// An output of the stack.
///
/// # Errors
/// [`Exit::Prerequisite`]: there is no stack, or it has no such output.
pub async fn output(aws: &Aws, environment: &Environment, key: &str) -> Result<String> {
    let stack = existing(aws, environment).await?;
    stack.output(key).map(str::to_owned).ok_or_else(|| {
        let known: Vec<_> = stack.outputs.iter().map(|(name, _)| name.as_str()).collect();
        Failure::new(Exit::Prerequisite, format!("the stack has no output `{key}`"))
            .hint(format!("it has: {}", known.join(", ")))
            .into()
    })
}

/// The text of the stack's template.
///
/// # Errors
/// [`Exit::Usage`]: it can not be read, or is longer than a call can carry.
pub fn template(root: &Path, stack: &Stack) -> Result<String> {
    let path = root.join(&stack.file.template);
    let text = std::fs::read_to_string(&path).map_err(|error| {
        Failure::new(Exit::Usage, format!("the template {}: {error}", path.display()))
            .hint("set `template` in [env.NAME.infra] of xtask.toml to its path")
    })?;
    check_length(&path, &text)?;
    Ok(text)
}

fn check_length(path: &Path, text: &str) -> Result<()> {
    let (length, limit) = (text.len(), TEMPLATE_LIMIT);
    if length <= limit {
        return Ok(());
    }
    Err(Failure::new(
        Exit::Usage,
        format!("the template {} has {length} bytes, and a call carries {limit}", path.display()),
    )
    .hint("shorten its comments and descriptions, or split it into two stacks")
    .into())
}

/// The environment's services, as far as they are there already.
///
/// # Errors
/// ECS can not be asked.
pub async fn services(aws: &Aws, environment: &Environment) -> Result<Vec<ServiceFacts>> {
    let mut facts = Vec::new();
    for names in environment.services.chunks(10) {
        let request = aws.ecs.describe_services().cluster(&environment.cluster);
        let answer = match request.set_services(Some(names.to_vec())).send().await {
            Err(error)
                if error.as_service_error().is_some_and(|e| e.is_cluster_not_found_exception()) =>
            {
                return Ok(Vec::new());
            }
            other => other.map_err(|error| explain("ecs:DescribeServices", &error))?,
        };
        let active = answer.services().iter().filter(|service| service.status() == Some("ACTIVE"));
        for name in active.filter_map(|service| service.service_name()) {
            facts.push(ecs::describe_service(aws, &environment.cluster, name).await?);
        }
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_that_no_call_can_carry_is_refused() {
        let path = Path::new("t.yaml");
        check_length(path, &"x".repeat(TEMPLATE_LIMIT)).unwrap();
        let error = check_length(path, &"x".repeat(TEMPLATE_LIMIT + 1)).unwrap_err();
        assert_eq!(xtask_core::exit::exit_of(&error), Exit::Usage);
        assert!(error.to_string().contains("51201 bytes"), "{error}");
    }
}
