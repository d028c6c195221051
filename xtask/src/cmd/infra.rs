//! `cargo xtask infra`

use std::collections::BTreeMap;
use std::fmt;
use std::time::Instant;

use anyhow::Result;
use serde::Serialize;

use crate::apply::infra::{carry_out, discard, propose, settled};
use crate::aws::{self, Aws, Session};
use crate::observe::stack::{configured, existing};
use crate::ui::Ui;
use xtask_core::config::{Config, Environment};
use xtask_core::event::Event;
use xtask_core::exit::Exit;
use xtask_core::plan::infra::{Change, Kind, StackPlan};

/// What a deploy of the stack would change.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Planned<'a> {
    /// Always true.
    #[cfg_attr(test, schemars(extend("const" = true)))]
    dry_run: bool,
    #[serde(flatten)]
    what: What<'a>,
}

/// What `infra deploy` did.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Deployed<'a> {
    /// What became of the stack.
    verdict: Verdict,
    #[serde(flatten)]
    what: What<'a>,
    /// Its outputs, by the names that the template gives them.
    outputs: BTreeMap<String, String>,
}

/// The stack's outputs.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Outputs<'a> {
    /// The environment.
    environment: &'a str,
    /// The stack's name.
    stack: &'a str,
    /// Its outputs, by the names that the template gives them.
    outputs: BTreeMap<String, String>,
}

/// A change of the stack.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct What<'a> {
    /// The environment.
    environment: &'a str,
    /// The stack's name.
    stack: &'a str,
    /// Whether it is created or updated.
    kind: Kind,
    /// Whether there is nothing to change.
    unchanged: bool,
    /// The changes, a resource each.
    changes: &'a [Change],
}

/// What became of the stack.
#[derive(Clone, Copy, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
enum Verdict {
    /// It was as it should be.
    Unchanged,
    /// It is new.
    Created,
    /// It was changed.
    Updated,
}

/// Shows what a deploy of the stack would change.
///
/// # Errors
/// The stack can not be changed as it is now, or CloudFormation refuses the template.
pub async fn diff(ui: &Ui, config: &Config) -> Result<Exit> {
    let environment = config.environment()?;
    let aws = aws::connect(environment).await;
    let proposal = propose(&aws, environment, &config.root).await?;
    let plan = proposal.plan.clone();
    discard(&aws, proposal).await?;
    show(ui, environment, &plan)
}

/// Creates or updates the stack.
///
/// # Errors
/// Nobody agreed, or the change failed.
pub async fn deploy(ui: &Ui, config: &Config, yes: bool, dry_run: bool) -> Result<Exit> {
    let environment = config.environment()?;
    let session = Session::connect(environment).await;
    let aws = session.aws();
    let proposal = propose(&aws, environment, &config.root).await?;
    let plan = proposal.plan.clone();
    if dry_run {
        discard(&aws, proposal).await?;
        return show(ui, environment, &plan);
    }
    let proposal = settled(&aws, proposal).await?;
    if !plan.changes.is_empty() && !yes {
        let question = format!("{plan}\nGo on?");
        if let Err(error) = ui.confirm(&question).await {
            discard(&aws, proposal).await?;
            return Err(error);
        }
    }
    if !plan.changes.is_empty() {
        ui.emit(&Event::StepStarted { number: 1, of: 1, step: plan.title() });
        let start = Instant::now();
        carry_out(ui, &session, environment, &config.root, proposal).await?;
        let seconds = start.elapsed().as_secs_f64();
        ui.emit(&Event::StepFinished { number: 1, seconds, detail: None });
    }
    let verdict = match plan.kind {
        _ if plan.changes.is_empty() => Verdict::Unchanged,
        Kind::Create => Verdict::Created,
        Kind::Update => Verdict::Updated,
    };
    let outputs = outputs_of(&aws, environment).await?;
    let report = Deployed { verdict, what: what(environment, &plan), outputs };
    ui.result(&report, || format!("{verdict}  {}\n{}", plan.stack, lines(&report.outputs)))?;
    Ok(Exit::Success)
}

/// Shows the stack's outputs.
///
/// # Errors
/// There is no stack.
pub async fn outputs(ui: &Ui, config: &Config) -> Result<Exit> {
    let environment = config.environment()?;
    let aws = aws::connect(environment).await;
    let outputs = outputs_of(&aws, environment).await?;
    let report = Outputs {
        environment: &environment.name,
        stack: &configured(environment)?.file.stack,
        outputs,
    };
    ui.result(&report, || lines(&report.outputs))?;
    Ok(Exit::Success)
}

fn show(ui: &Ui, environment: &Environment, plan: &StackPlan) -> Result<Exit> {
    let report = Planned { dry_run: true, what: what(environment, plan) };
    ui.result(&report, || {
        if plan.changes.is_empty() { format!("unchanged  {plan}") } else { plan.to_string() }
    })?;
    Ok(Exit::Success)
}

fn what<'a>(environment: &'a Environment, plan: &'a StackPlan) -> What<'a> {
    What {
        environment: &environment.name,
        stack: &plan.stack,
        kind: plan.kind,
        unchanged: plan.changes.is_empty(),
        changes: &plan.changes,
    }
}

async fn outputs_of(aws: &Aws, environment: &Environment) -> Result<BTreeMap<String, String>> {
    Ok(existing(aws, environment).await?.outputs.into_iter().collect())
}

fn lines(outputs: &BTreeMap<String, String>) -> String {
    let width = outputs.keys().map(String::len).max().unwrap_or(0);
    outputs.iter().map(|(name, value)| format!("{name:width$}  {value}\n")).collect()
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unchanged => "unchanged",
            Self::Created => "created",
            Self::Updated => "updated",
        })
    }
}
