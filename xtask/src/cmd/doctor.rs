//! `cargo xtask doctor`

use anyhow::Result;
use serde::Serialize;

use crate::aws;
use crate::config::Config;
use crate::exit::{Exit, exit_of, hint_of};
use crate::observe::preflight::{Check, for_build, for_registry, for_rollout};
use crate::ui::Ui;

/// One check, as it is reported.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Finding<'a> {
    what: &'a str,
    ok: bool,
    found: String,
    fix: Option<&'a str>,
}

impl<'a> From<&'a Check> for Finding<'a> {
    fn from(check: &'a Check) -> Self {
        match &check.found {
            Ok(found) => Self { what: check.what, ok: true, found: found.clone(), fix: None },
            Err(error) => Self {
                what: check.what,
                ok: false,
                found: format!("{error:#}"),
                fix: hint_of(error),
            },
        }
    }
}

/// Looks at everything that a deploy needs.
///
/// # Errors
/// Standard output can not be written.
pub async fn run(ui: &Ui, config: &Config) -> Result<Exit> {
    let mut checks = match &config.env {
        None => for_build(config).await.0,
        Some(environment) => {
            let aws = aws::connect(environment).await;
            let (build, registry, rollout) = tokio::join!(
                for_build(config),
                for_registry(&aws, environment),
                for_rollout(&aws, environment)
            );
            [build.0, registry.0, rollout.0].into_iter().flatten().collect()
        }
    };
    // What is wrong stands last, next to the prompt.
    checks.sort_by_key(|check| check.found.is_err());
    let findings: Vec<Finding<'_>> = checks.iter().map(Finding::from).collect();
    let wrong = checks.iter().find_map(|check| check.found.as_ref().err());
    ui.result(&serde_json::json!({ "checks": findings }), || findings.iter().map(text).collect())?;
    Ok(wrong.map_or(Exit::Success, exit_of))
}

fn text(finding: &Finding<'_>) -> String {
    let mark = if finding.ok { "ok  " } else { "FAIL" };
    let mut text = format!("{mark}  {:15}  {}\n", finding.what, finding.found);
    if let Some(fix) = finding.fix {
        text.push_str(&format!("      {:15}  fix: {fix}\n", ""));
    }
    text
}
