//! JSON objects that several commands print.

use serde::Serialize;

use xtask_core::exit::{exit_of, hint_of};
use xtask_core::plan::changes::ServiceChanges;

/// A plan that was shown and not applied.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct DryRun {
    /// Always true.
    #[cfg_attr(test, schemars(extend("const" = true)))]
    pub dry_run: bool,
    /// The steps, in the words in which they are shown when they are taken.
    pub steps: Vec<String>,
    /// What they would change in the services, if they are about any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<ServiceChanges>,
}

/// How a command failed that has nothing else to report.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct ErrorReport {
    /// What is wrong, and where.
    pub error: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The exit code.
    pub exit_code: u8,
}

impl From<&anyhow::Error> for ErrorReport {
    fn from(error: &anyhow::Error) -> Self {
        Self {
            error: format!("{error:#}"),
            hint: hint_of(error).map(str::to_owned),
            exit_code: exit_of(error).code(),
        }
    }
}
