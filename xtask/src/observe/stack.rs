//! The CloudFormation stack of an environment.

use anyhow::Result;

use crate::aws::{Aws, cfn};
use crate::config::{Environment, Stack};
use crate::exit::{Exit, Failure};

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
