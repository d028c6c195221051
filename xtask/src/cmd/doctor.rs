//! `cargo xtask doctor`

use anyhow::Result;
use serde::Serialize;

use crate::aws;
use crate::observe::inputs;
use crate::observe::preflight::{Check, Found, for_build, for_deploy};
use crate::ui::Ui;
use xtask_core::config::Config;
use xtask_core::exit::{Exit, exit_of};

/// What `doctor` reports.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report<'a> {
    /// The checks, those that failed last.
    checks: Vec<Finding<'a>>,
}

/// One check.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
struct Finding<'a> {
    /// What was looked at.
    what: &'a str,
    /// `ok`, `note`, `warning` or `wrong`.
    state: &'a str,
    /// What was found, or what is wrong.
    found: String,
    /// What to do about it.
    fix: Option<&'a str>,
}

impl<'a> From<&'a Check> for Finding<'a> {
    fn from(Check { what, found }: &'a Check) -> Self {
        Self { what, state: found.word(), found: found.text(), fix: found.fix() }
    }
}

/// Looks at everything that a deploy needs.
///
/// # Errors
/// Standard output can not be written.
pub async fn run(ui: &Ui, config: &Config) -> Result<Exit> {
    let mut checks = match &config.env {
        None => for_build(config, None).await.0,
        Some(environment) => {
            let aws = aws::connect(environment).await;
            let inputs = Some(inputs::Wanted { target: None, refresh: false });
            for_deploy(&aws, config, environment, None, inputs).await.0
        }
    };
    // What is wrong stands last, next to the prompt.
    checks.sort_by_key(|Check { found, .. }| match found {
        Found::Ok(_) => 0,
        Found::Note(_) => 1,
        Found::Warning(_) => 2,
        Found::Wrong(_) => 3,
    });
    let report = Report { checks: checks.iter().map(Finding::from).collect() };
    ui.result(&report, || report.checks.iter().map(text).collect())?;
    let wrong = checks.iter().find_map(|check| match &check.found {
        Found::Wrong(error) => Some(error),
        _ => None,
    });
    Ok(wrong.map_or(Exit::Success, exit_of))
}

fn text(finding: &Finding<'_>) -> String {
    let mark = if finding.state == "wrong" { "WRONG" } else { finding.state };
    let mut text = format!("{mark:7}  {:15}  {}\n", finding.what, finding.found);
    if let Some(fix) = finding.fix {
        text.push_str(&format!("{:7}  {:15}  fix: {fix}\n", "", ""));
    }
    text
}
