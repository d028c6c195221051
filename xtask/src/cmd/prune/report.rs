//! What `prune` says: what it is going to do, and what came of it.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::apply::deregister::Deregistered;
use crate::apply::prune::Deleted;
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, exit_of, hint_of};
use xtask_core::plan::prune::{Expected, Step};
use xtask_core::registry::digest::Digest;
use xtask_core::registry::plan::PrunePlan;
use xtask_core::registry::recheck::Change;
use xtask_core::registry::revisions::{ChangedRevision, RevisionPlan};
use xtask_core::units::format_size;

/// What a dry run reports.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Planned<'a> {
    /// Always true.
    #[cfg_attr(test, schemars(extend("const" = true)))]
    dry_run: bool,
    /// The steps, in the words in which they are shown when they are taken.
    steps: Vec<String>,
    /// What goes of the builder's cache, if it is pruned.
    builder: Option<&'a Expected>,
    /// What goes of each repository and what stays.
    registry: Vec<&'a PrunePlan>,
    /// Which task definitions go and which stay, if they are pruned.
    task_definitions: Option<&'a RevisionPlan>,
    /// What is not known and makes something stay.
    warnings: Vec<String>,
}

/// What a prune reports, also one that failed.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What became of the builder's cache, if it was pruned.
    pub(super) builder: Option<BuilderReport>,
    /// What became of each repository.
    pub(super) registry: Vec<RegistryReport>,
    /// What became of the task definitions, if they were pruned.
    pub(super) task_definitions: Option<TaskDefinitionsReport>,
    /// What is not known and made something stay.
    pub(super) warnings: Vec<String>,
    /// The exit code.
    pub(super) exit_code: u8,
    /// What went wrong. What was pruned all the same, and what was not and why, is above.
    pub(super) error: Option<String>,
    /// What to do about it.
    pub(super) hint: Option<String>,
}

/// What became of the builder's cache.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct BuilderReport {
    /// The command that was run.
    pub(super) command: String,
    /// Records that are gone.
    pub(super) records: usize,
    /// What they took, in bytes.
    pub(super) freed_bytes: u64,
    /// Whether the bytes are exact, or rounded by what reported them.
    pub(super) exact: bool,
    /// Why the command failed, if it did.
    pub(super) failed: Option<String>,
}

/// What became of a repository.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct RegistryReport {
    /// Its URI.
    pub(super) repository: String,
    #[serde(flatten)]
    pub(super) outcome: Deleted,
    /// What was to go, and changed before it was deleted.
    pub(super) changed: Vec<(Digest, Change)>,
    /// Images that stay.
    pub(super) kept: usize,
}

/// What became of the task definitions.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct TaskDefinitionsReport {
    #[serde(flatten)]
    pub(super) outcome: Deregistered,
    /// What was to go, and changed before it was deregistered.
    pub(super) changed: Vec<ChangedRevision>,
    /// Revisions that stay.
    pub(super) kept: usize,
}

/// Reports the steps of a plan that is not going to be applied.
///
/// # Errors
/// Standard output can not be written.
pub(super) fn dry_run(ui: &Ui, steps: &[Step], warnings: Vec<String>) -> Result<Exit> {
    let planned = Planned {
        dry_run: true,
        steps: steps.iter().filter(|s| !s.is_empty()).map(ToString::to_string).collect(),
        builder: steps.iter().find_map(|step| match step {
            Step::Builder(prune) => Some(&prune.expected),
            _ => None,
        }),
        registry: steps
            .iter()
            .filter_map(|step| match step {
                Step::Registry(plan) => Some(plan),
                _ => None,
            })
            .collect(),
        task_definitions: steps.iter().find_map(|step| match step {
            Step::TaskDefinitions(plan) => Some(plan),
            _ => None,
        }),
        warnings,
    };
    ui.result(&planned, || match lines(steps) {
        lines if lines.is_empty() => "nothing to prune".to_owned(),
        lines => lines.join("\n"),
    })?;
    Ok(Exit::Success)
}

/// Shows the steps that are going to be taken.
pub(super) fn show(ui: &Ui, steps: &[Step]) {
    for text in lines(steps) {
        ui.emit(&Event::Note { text });
    }
}

fn lines(steps: &[Step]) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, step) in steps.iter().filter(|step| !step.is_empty()).enumerate() {
        lines.push(format!("{}. {step}", index + 1));
        lines.extend(step.details().into_iter().map(|detail| format!("   {detail}")));
    }
    lines
}

impl Report {
    /// Whether nothing was pruned.
    fn is_empty(&self) -> bool {
        self.builder.is_none() && self.registry.is_empty() && self.task_definitions.is_none()
    }

    /// Adds how it ended.
    pub(super) fn ended(&mut self, error: Option<&anyhow::Error>) {
        self.exit_code = error.map_or(Exit::Success, exit_of).code();
        self.error = error.map(|error| format!("{error:#}"));
        self.hint = error.and_then(hint_of).map(str::to_owned);
    }

    /// The report as lines of text. What went wrong is told apart.
    pub(super) fn text(&self) -> String {
        if self.is_empty() && self.error.is_none() {
            return "nothing to prune".to_owned();
        }
        let builder = self.builder.iter().map(|builder| format!("builder   {builder}"));
        let registry = self.registry.iter().map(|registry| format!("registry  {registry}"));
        let revisions = self.task_definitions.iter().map(|of| format!("revisions {of}"));
        builder.chain(registry).chain(revisions).collect::<Vec<_>>().join("\n")
    }
}

impl RegistryReport {
    /// What went wrong, if anything did.
    ///
    /// # Errors
    /// When an image could not be deleted.
    pub(super) fn check(&self) -> Result<()> {
        self.outcome.check(&self.repository)
    }
}

impl fmt::Display for BuilderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.exact { "" } else { "about " };
        write!(f, "{about}{} freed, {} records", format_size(self.freed_bytes), self.records)?;
        if self.failed.is_some() { f.write_str(", then it failed") } else { Ok(()) }
    }
}

impl fmt::Display for TaskDefinitionsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { outcome, kept, .. } = self;
        write!(f, "{} deregistered, {kept} kept", outcome.deregistered.len())?;
        match outcome.failed.len() {
            0 => Ok(()),
            failed => write!(f, ", {failed} could not be deregistered"),
        }
    }
}

impl fmt::Display for RegistryReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { repository, outcome, kept, .. } = self;
        write!(
            f,
            "{} freed, {} images deleted from {repository}, {kept} kept",
            format_size(outcome.freed_bytes),
            outcome.deleted.len()
        )?;
        match outcome.failed.len() {
            0 => Ok(()),
            failed => write!(f, ", {failed} could not be deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xtask_core::exit::Failure;

    #[test]
    fn what_one_part_freed_is_told_also_when_the_other_has_nothing() {
        let mut report = Report::default();
        assert_eq!(report.text(), "nothing to prune");
        report.builder = Some(BuilderReport {
            command: "docker buildx prune".into(),
            records: 2,
            freed_bytes: 3_000_000,
            exact: false,
            failed: None,
        });
        assert_eq!(report.text(), "builder   about 3.00 MB freed, 2 records");
        report.registry.push(RegistryReport {
            repository: "r/app".into(),
            outcome: Deleted::default(),
            changed: Vec::new(),
            kept: 4,
        });
        let registry = "registry  0 B freed, 0 images deleted from r/app, 4 kept";
        assert_eq!(report.text().lines().nth(1), Some(registry));
        report.task_definitions = Some(TaskDefinitionsReport {
            outcome: Deregistered::default(),
            changed: Vec::new(),
            kept: 7,
        });
        assert_eq!(report.text().lines().nth(2), Some("revisions 0 deregistered, 7 kept"));
    }

    #[test]
    fn how_it_ended_is_in_the_report() {
        let mut report = Report::default();
        let error = Failure::new(Exit::Prerequisite, "no").hint("go").into();
        report.ended(Some(&error));
        assert_eq!(report.text(), "", "that it failed is told apart");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["exit-code"], &json["error"], &json["hint"]),
            (&3.into(), &"no".into(), &"go".into())
        );
        report.ended(None);
        assert_eq!(serde_json::to_value(&report).unwrap()["exit-code"], 0);
    }
}
