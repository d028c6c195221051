//! `cargo xtask status`

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::Serialize;

use crate::apply::verify;
use crate::aws::{self, Aws};
use crate::observe::ecs::{InFlight, ServiceFacts};
use crate::observe::lock::{Holder, holders};
use crate::observe::preflight::{for_rollout, well};
use crate::ui::Ui;
use xtask_core::config::{Config, Environment};
use xtask_core::event::Event;
use xtask_core::exit::{Exit, hint_of};
use xtask_core::plan::diff::{Difference, diff};
use xtask_core::plan::taskdef::{Change, next};

/// What `status` reports.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report {
    /// The environment.
    environment: String,
    /// Each service.
    services: Vec<Service>,
    /// The health URL, where there is one.
    url: Option<String>,
    /// What it said, or why it said nothing.
    health: Option<String>,
}

/// One service.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct Service {
    /// Its name.
    name: String,
    /// The ARN of the task definition that it is on.
    task_definition: String,
    /// The image of the container, as the task definition names it.
    image: Option<String>,
    /// Tasks that run.
    running: u32,
    /// Tasks that should.
    desired: u32,
    /// The deployment that is under way.
    in_flight: Option<InFlight>,
    /// Who holds the deploy lock; `null` where nobody does, there are no locks, or they could not
    /// be read.
    deploy_lock: Option<LockHolder>,
    /// What a deploy of the image that runs would change: declared in xtask.toml, not there.
    drift: Vec<Difference>,
}

/// Who holds a deploy lock.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct LockHolder {
    /// A person on a machine, or a run of a CI.
    who: String,
    /// What is being done.
    what: String,
    /// Since when, by the clock of the holder's machine.
    since: String,
}

impl From<Holder> for LockHolder {
    fn from(Holder { who, what, since, .. }: Holder) -> Self {
        Self { who, what, since }
    }
}

/// Shows what runs, what is rolling out, and whether it is healthy.
///
/// # Errors
/// The cluster or a service is not there, or AWS can not be asked.
pub async fn run(ui: &Ui, config: &Config) -> Result<Exit> {
    let environment = config.environment()?;
    let aws = aws::connect(environment).await;
    let ((checks, facts), mut locks) =
        tokio::join!(for_rollout(&aws, environment), locks(ui, &aws, environment));
    well(ui, checks)?;
    let facts = facts.context("all checks are well, and there are no facts")?;
    let health = match &facts.health {
        Some(check) => Some((check.url.clone(), verify::health_once(&aws, check).await)),
        None => None,
    };
    let services = facts
        .services
        .iter()
        .map(|service| Service {
            name: service.name.clone(),
            task_definition: service.task_definition_arn.clone(),
            image: service.image(&environment.container).map(str::to_owned),
            running: service.running,
            desired: service.desired,
            in_flight: service.in_flight.clone(),
            deploy_lock: locks.remove(&service.name).map(LockHolder::from),
            drift: drift(service, environment),
        })
        .collect();
    let (url, answer) = health.unzip();
    let report = Report { environment: environment.name.clone(), services, url, health: answer };
    ui.result(&report, || {
        let mut text = String::new();
        for (service, facts) in report.services.iter().zip(&facts.services) {
            text.push_str(&format!(
                "{}  {}  {}/{} running\n",
                service.name,
                facts.revision(),
                service.running,
                service.desired
            ));
            text.push_str(&format!("  image   {}\n", service.image.as_deref().unwrap_or("none")));
            if let Some(in_flight) = &service.in_flight {
                let (id, revision) = (&in_flight.id, &in_flight.revision);
                text.push_str(&format!("  rolling out {revision}, deployment {id}\n"));
            }
            if let Some(LockHolder { who, what, since }) = &service.deploy_lock {
                text.push_str(&format!("  deploy lock held by {who} ({what}, since {since})\n"));
            }
            for difference in &service.drift {
                text.push_str(&format!("  a deploy would change  {difference}\n"));
            }
        }
        if let (Some(url), Some(answer)) = (&report.url, &report.health) {
            text.push_str(&format!("health  {url}  {answer}\n"));
        }
        text
    })?;
    Ok(Exit::Success)
}

/// Who holds the deploy locks. That they can not be read is no reason to show nothing.
async fn locks(ui: &Ui, aws: &Aws, environment: &Environment) -> BTreeMap<String, Holder> {
    holders(aws, environment).await.unwrap_or_else(|error| {
        let text = format!("the deploy lock was not looked at: {error:#}");
        ui.emit(&Event::Warning { text, hint: hint_of(&error).map(str::to_owned) });
        BTreeMap::new()
    })
}

/// What is declared in xtask.toml and not in the running revision.
fn drift(service: &ServiceFacts, environment: &Environment) -> Vec<Difference> {
    let change = Change {
        container: environment.container.clone(),
        image: service.image(&environment.container).unwrap_or_default().to_owned(),
        environment: environment.environment.clone(),
        secrets: environment.secrets.clone(),
    };
    next(&service.described, &change)
        .map(|next| diff(&service.described, &next))
        .unwrap_or_default()
}
