//! `cargo xtask infra`

use std::time::Instant;

use anyhow::Result;
use serde_json::{Map, Value, json};

use crate::apply::infra::{discard, execute, propose, settled};
use crate::aws::{self, Aws};
use crate::config::{Config, Environment};
use crate::event::Event;
use crate::exit::Exit;
use crate::observe::stack::existing;
use crate::plan::infra::{Kind, StackPlan};
use crate::ui::Ui;

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
    let aws = aws::connect(environment).await;
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
        execute(ui, &aws, environment, proposal).await?;
        let seconds = start.elapsed().as_secs_f64();
        ui.emit(&Event::StepFinished { number: 1, seconds, detail: None });
    }
    let verdict = match plan.kind {
        _ if plan.changes.is_empty() => "unchanged",
        Kind::Create => "created",
        Kind::Update => "updated",
    };
    let outputs = outputs_of(&aws, environment).await?;
    let mut report = json_of(environment, &plan);
    report["verdict"] = verdict.into();
    report["outputs"] = Value::Object(outputs.clone());
    ui.result(&report, || format!("{verdict}  {}\n{}", plan.stack, lines(&outputs)))?;
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
    ui.result(&outputs, || lines(&outputs))?;
    Ok(Exit::Success)
}

fn show(ui: &Ui, environment: &Environment, plan: &StackPlan) -> Result<Exit> {
    let mut report = json_of(environment, plan);
    report["dry-run"] = true.into();
    ui.result(&report, || {
        if plan.changes.is_empty() { format!("unchanged  {plan}") } else { plan.to_string() }
    })?;
    Ok(Exit::Success)
}

fn json_of(environment: &Environment, plan: &StackPlan) -> Value {
    json!({
        "environment": environment.name, "stack": plan.stack, "kind": plan.kind,
        "unchanged": plan.changes.is_empty(), "changes": plan.changes,
    })
}

async fn outputs_of(aws: &Aws, environment: &Environment) -> Result<Map<String, Value>> {
    let stack = existing(aws, environment).await?;
    Ok(stack.outputs.into_iter().map(|(name, value)| (name, value.into())).collect())
}

fn lines(outputs: &Map<String, Value>) -> String {
    let width = outputs.keys().map(String::len).max().unwrap_or(0);
    outputs
        .iter()
        .map(|(name, value)| format!("{name:width$}  {}\n", value.as_str().unwrap_or_default()))
        .collect()
}
