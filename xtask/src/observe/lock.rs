//! Who holds the deploy lock of a service.
//!
//! The lock is a parameter of SSM's Parameter Store, `/xtask/lock/CLUSTER/SERVICE`. It is created
//! by a call that fails when it is there already, is never written again, and is deleted by its
//! holder. That the holder lives is said by a second parameter below it, named by the lock's id:
//! a number that the holder alone counts up. Nothing that a slow or sleeping holder still writes
//! can therefore take the lock from its successor.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use anyhow::Result;
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::beside::beside;
use crate::aws::wire::{CallError, Service, json as call};
use crate::aws::{Aws, explain};
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, Failure};

/// How long a lock that nobody renews is left alone.
pub const LEASE: Duration = Duration::from_secs(90);

/// What a lock says of its holder.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Holder {
    /// Nobody else can guess it: who finds it in the lock holds the lock.
    pub id: String,
    /// A person on a machine, or a run of a CI.
    pub who: String,
    /// What is being done.
    pub what: String,
    /// Since when, by the clock of the holder's machine: for people only.
    pub since: String,
    /// How long after its last renewal it may be taken over, in seconds.
    pub lease_seconds: u64,
}

impl Holder {
    /// How long after its last renewal the lock may be taken over. What somebody else wrote is
    /// not believed beyond reason.
    pub fn lease(&self) -> Duration {
        Duration::from_secs(self.lease_seconds.clamp(1, 600))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, since {})", self.who, self.what, self.since)
    }
}

/// The name of a service's lock. A cluster may be configured by its ARN.
pub fn name(cluster: &str, service: &str) -> String {
    let cluster = cluster.rsplit('/').next().unwrap_or(cluster);
    format!("/xtask/lock/{cluster}/{service}")
}

/// The name of the parameter in which the holder of this id counts up that it lives.
pub fn renewals_name(name: &str, id: &str) -> String {
    format!("{name}/{id}")
}

/// Who holds a lock; `None` when it is free.
///
/// # Errors
/// SSM can not be asked.
pub async fn holder(aws: &Aws, name: &str) -> Result<Option<Holder>> {
    Ok(parameter(aws, name).await?.map(read))
}

/// The holder of a lock with this text. Whatever stands there, it is a lock: it can be waited
/// for, and runs out.
fn read(text: String) -> Holder {
    match serde_json::from_str::<Holder>(&text) {
        Ok(holder) => Holder {
            who: plain(&holder.who),
            what: plain(&holder.what),
            since: plain(&holder.since),
            ..holder
        },
        Err(_) => Holder {
            who: "somebody".into(),
            what: format!("its text is {:?}", text.chars().take(60).collect::<String>()),
            since: "an unknown time".into(),
            lease_seconds: LEASE.as_secs(),
            id: text,
        },
    }
}

/// Who holds the deploy locks of an environment's services, by service; those that are free are
/// left out. Without locks there are none.
///
/// # Errors
/// SSM can not be asked.
pub async fn holders(aws: &Aws, environment: &Environment) -> Result<BTreeMap<String, Holder>> {
    if !environment.lock {
        return Ok(BTreeMap::new());
    }
    let each = environment.services.iter().map(|service| {
        let (aws, name, service) =
            (aws.clone(), name(&environment.cluster, service), service.clone());
        async move { Ok((service, holder(&aws, &name).await?)) }
    });
    let found = beside(each).await?.into_iter();
    Ok(found.filter_map(|(service, holder)| Some((service, holder?))).collect())
}

/// How often the holder of this id has renewed a lock.
///
/// # Errors
/// SSM can not be asked.
pub async fn renewals(aws: &Aws, name: &str, id: &str) -> Result<u64> {
    let text = parameter(aws, &renewals_name(name, id)).await?;
    Ok(text.and_then(|text| text.parse().ok()).unwrap_or(0))
}

async fn parameter(aws: &Aws, name: &str) -> Result<Option<String>> {
    match call(&aws.config, Service::Ssm, "GetParameter", &json!({ "Name": name })).await {
        Ok(answer) => Ok(answer["Parameter"]["Value"].as_str().map(str::to_owned)),
        Err(error) if is(&error, "ParameterNotFound") => Ok(None),
        Err(error) => Err(refused("ssm:GetParameter", &error)),
    }
}

/// Whether SSM answered with this error.
pub fn is(error: &CallError, code: &str) -> bool {
    error.as_service_error().is_some_and(|error| error.code() == Some(code))
}

/// What SSM refused, with the permissions that a deploy needs for its lock.
pub fn refused(doing: &str, error: &CallError) -> anyhow::Error {
    let explained = explain(doing, error);
    if is(error, "AccessDeniedException") || is(error, "AccessDenied") {
        return Failure::new(Exit::Prerequisite, format!("{explained:#}"))
            .hint(
                "the deploy lock needs ssm:GetParameter, ssm:PutParameter and ssm:DeleteParameter on \
                 `parameter/xtask/lock/*`, as the deploy role of aws/stack.yaml has them; or set \
                 `lock = false` in [env.NAME] of xtask.toml, and let only one deploy run at a time",
            )
            .into();
    }
    explained
}

/// Text that can stand in a lock, and be shown: SSM takes `{{` for a reference to another
/// parameter.
pub fn plain(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control() && !"{}".contains(*c)).collect();
    // A parameter holds 4 KiB (AWS General Reference, "Systems Manager quotas").
    text.chars().take(500).collect()
}

/// The value of a lock.
pub fn value(holder: &Holder) -> String {
    serde_json::to_value(holder).unwrap_or(Value::Null).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_named_by_cluster_and_service() {
        assert_eq!(name("app", "api"), "/xtask/lock/app/api");
        let arn = "arn:aws:ecs:eu-central-1:123456789012:cluster/app";
        assert_eq!(name(arn, "api"), "/xtask/lock/app/api");
        assert_eq!(renewals_name("/xtask/lock/app/api", "f00"), "/xtask/lock/app/api/f00");
    }

    #[test]
    fn a_value_is_read_back_as_it_was_written() {
        let holder = Holder {
            id: "1".into(),
            who: plain("a {{b}}\n"),
            what: "deploy".into(),
            since: "now".into(),
            lease_seconds: 90,
        };
        let text = value(&holder);
        assert!(!text.contains("{{") && !text.contains("}}"), "{text}");
        assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), holder);
        assert_eq!(holder.to_string(), "a b (deploy, since now)");
        assert_eq!(read(text), holder);
    }

    #[test]
    fn whatever_stands_in_a_lock_is_a_holder_that_can_be_shown() {
        let holder = read("{\u{1b}[2J".into());
        assert_eq!((holder.who.as_str(), holder.lease()), ("somebody", LEASE));
        assert!(!holder.to_string().contains('\u{1b}'), "{holder}");
        let forged =
            r#"{"id":"1","who":"\u001b[2J\n::error::x","what":"w","since":"s","lease-seconds":5}"#;
        assert_eq!(read(forged.into()).who, "[2J::error::x");
    }
}
