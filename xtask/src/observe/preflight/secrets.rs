//! The secrets that task definitions refer to. Their values are never read, so a key in one of
//! them is not looked at.

use std::collections::{BTreeMap, BTreeSet};

use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use aws_types::SdkConfig;
use serde_json::{Value, json};

use super::check::Check;
use super::start::{Answer, in_time, not_known, summary};
use crate::aws::wire::{self, CallError, Service};
use crate::aws::{Aws, explain, in_region};
use crate::observe::beside::all_beside;
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, Failure};
use xtask_core::plan::needs::{Needs, SecretRef};

const WHAT: &str = "secrets";

/// Names that one filter of `DescribeParameters` takes at most.
const NAMES: usize = 50;

/// A secret, and the versions of it that are referred to.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Secret {
    id: String,
    region: Option<String>,
    versions: BTreeSet<(Option<String>, Option<String>)>,
    /// The variables that get it, for messages.
    names: BTreeSet<String>,
}

/// A parameter by the names that it may have, and the variables that get it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Parameter {
    names: Vec<String>,
    variables: BTreeSet<String>,
}

/// Looks for the secrets and the parameters.
pub(super) async fn checks(aws: &Aws, environment: &Environment, needs: &[Needs]) -> Vec<Check> {
    let (secrets, parameters, others) = sort(environment, needs);
    let secrets = secrets.into_values().map(|secret| {
        let config = in_region(&aws.config, secret.region.as_deref());
        async move {
            let thing = format!("the secret of {}, `{}`,", list(&secret.names), secret.id);
            vec![in_time(WHAT, &thing, one(&config, &thing, &secret)).await]
        }
    });
    let parameters = parameters.into_iter().flat_map(|(region, parameters)| {
        let config = in_region(&aws.config, region.as_deref());
        let chunks: Vec<Vec<Parameter>> =
            parameters.chunks(NAMES / 2).map(<[Parameter]>::to_vec).collect();
        chunks.into_iter().map(move |chunk| some(config.clone(), chunk))
    });
    let (secrets, parameters) = tokio::join!(
        all_beside(secrets.collect::<Vec<_>>()),
        all_beside(parameters.collect::<Vec<_>>())
    );
    let answers = secrets.into_iter().chain(parameters).flatten().chain(others).collect();
    let there = |count| match count {
        1 => "1 is there; whether it has the named key is not looked at".to_owned(),
        count => format!("{count} are there; whether they have the named keys is not looked at"),
    };
    summary(WHAT, there, answers)
}

type Sorted = (BTreeMap<String, Secret>, BTreeMap<Option<String>, Vec<Parameter>>, Vec<Answer>);

/// What to ask whom: secrets one by one, parameters by region, and those that can not be asked.
fn sort(environment: &Environment, needs: &[Needs]) -> Sorted {
    let mut secrets: BTreeMap<String, Secret> = BTreeMap::new();
    let mut parameters: BTreeMap<Option<String>, Vec<Parameter>> = BTreeMap::new();
    let mut others = Vec::new();
    let mut named: BTreeMap<&SecretRef, BTreeSet<String>> = BTreeMap::new();
    for (reference, names) in needs.iter().flat_map(|needs| &needs.secrets) {
        named.entry(reference).or_default().extend(names.iter().cloned());
    }
    for (reference, variables) in named {
        match reference {
            SecretRef::Secret { id, region, stage, version } => {
                let secret = secrets.entry(id.clone()).or_insert_with(|| Secret {
                    id: id.clone(),
                    region: region.clone(),
                    versions: BTreeSet::new(),
                    names: BTreeSet::new(),
                });
                secret.versions.insert((stage.clone(), version.clone()));
                secret.names.extend(variables);
            }
            SecretRef::Parameter { name, account: Some(account), .. }
                if *account != environment.account =>
            {
                let thing = format!("the parameter `{name}` of {}", list(&variables));
                let why = anyhow::anyhow!("it is of account {account}");
                others.push(not_known(WHAT, &thing, &why));
            }
            SecretRef::Parameter { name, region, account } => {
                // An ARN does not say whether a name without folders begins with a slash.
                let bare = name.strip_prefix('/').filter(|rest| !rest.contains('/'));
                let bare = bare.filter(|_| account.is_some()).map(str::to_owned);
                let names = std::iter::once(name.clone()).chain(bare).collect();
                let known = parameters.entry(region.clone()).or_default();
                known.push(Parameter { names, variables });
            }
        }
    }
    (secrets, parameters, others)
}

async fn one(config: &SdkConfig, thing: &str, secret: &Secret) -> Answer {
    let body = json!({ "SecretId": secret.id });
    match wire::json(config, Service::SecretsManager, "DescribeSecret", &body).await {
        Ok(found) => judge(thing, secret, &found),
        Err(error) if is_missing(&error) => wrong(
            format!("{thing} is not there"),
            "create it (`cargo xtask infra deploy` does, where the stack has it), or correct the \
             reference in the task definition or in [env.NAME.secrets] of xtask.toml",
        ),
        Err(error) => not_known(WHAT, thing, &explain("secretsmanager:DescribeSecret", &error)),
    }
}

/// Whether a secret that is there has what is referred to.
fn judge(thing: &str, secret: &Secret, found: &Value) -> Answer {
    if !found["DeletedDate"].is_null() {
        let fix = format!("`aws secretsmanager restore-secret --secret-id {}`", secret.id);
        return wrong(format!("{thing} is marked for deletion, so no task starts with it"), &fix);
    }
    let Some(versions) = found["VersionIdsToStages"].as_object().filter(|v| !v.is_empty()) else {
        let fix =
            format!("put one in: `aws secretsmanager put-secret-value --secret-id {}`", secret.id);
        return wrong(format!("{thing} has no value yet, so no task starts with it"), &fix);
    };
    let has_stage = |stage: &str| {
        let mut stages = versions.values().filter_map(Value::as_array).flatten();
        stages.any(|found| found == stage)
    };
    for (stage, version) in &secret.versions {
        let missing = match (stage, version) {
            (_, Some(version)) if !versions.contains_key(version) => format!("version {version}"),
            (Some(stage), _) if !has_stage(stage) => format!("version at the stage {stage}"),
            (None, None) if !has_stage("AWSCURRENT") => "current version".to_owned(),
            _ => continue,
        };
        let fix = "correct the reference, or put in a version that it names";
        return wrong(format!("{thing} has no {missing}"), fix);
    }
    Answer::There
}

/// Looks for some parameters of a region.
async fn some(config: SdkConfig, parameters: Vec<Parameter>) -> Vec<Answer> {
    let names: Vec<&String> = parameters.iter().flat_map(|parameter| &parameter.names).collect();
    let first = parameters.first().map_or("", |parameter| parameter.names[0].as_str());
    let thing = match parameters.len() {
        1 => format!("the parameter `{first}`"),
        count => format!("`{first}` and {} other parameters", count - 1),
    };
    let asked = tokio::time::timeout(super::start::PATIENCE, describe(&config, &names)).await;
    let found = match asked {
        Ok(Ok(found)) => found,
        Ok(Err(error)) => {
            let error = explain("ssm:DescribeParameters", &error);
            return vec![not_known(WHAT, &thing, &error)];
        }
        Err(_) => {
            let error = anyhow::anyhow!("AWS did not answer in time");
            return vec![not_known(WHAT, &thing, &error)];
        }
    };
    let judge = |parameter: &Parameter| {
        if parameter.names.iter().any(|name| found.contains(name)) {
            return Answer::There;
        }
        let (name, of) = (&parameter.names[0], list(&parameter.variables));
        wrong(
            format!("the parameter `{name}` of {of} is not there"),
            "create it, or correct the reference in the task definition or in [env.NAME.secrets] \
             of xtask.toml",
        )
    };
    parameters.iter().map(judge).collect()
}

/// Which of these parameters there are. `GetParameters` would read their values.
async fn describe(config: &SdkConfig, names: &[&String]) -> Result<BTreeSet<String>, CallError> {
    let mut found = BTreeSet::new();
    let mut next = Value::Null;
    loop {
        let filter = json!({ "Key": "Name", "Option": "Equals", "Values": names });
        let mut body = json!({ "ParameterFilters": [filter], "MaxResults": 50 });
        if !next.is_null() {
            body["NextToken"] = next;
        }
        let answer = wire::json(config, Service::Ssm, "DescribeParameters", &body).await?;
        let page = answer["Parameters"].as_array().into_iter().flatten();
        found.extend(page.filter_map(|parameter| parameter["Name"].as_str()).map(str::to_owned));
        // A page may be empty and not the last.
        next = answer["NextToken"].clone();
        if next.as_str().is_none_or(str::is_empty) {
            return Ok(found);
        }
    }
}

fn is_missing(error: &CallError) -> bool {
    error.code() == Some("ResourceNotFoundException")
}

fn wrong(text: String, fix: &str) -> Answer {
    Answer::Told(Check::wrong(WHAT, Failure::new(Exit::Prerequisite, text).hint(fix)))
}

fn list(names: &BTreeSet<String>) -> String {
    names.iter().map(String::as_str).collect::<Vec<_>>().join(", ")
}
