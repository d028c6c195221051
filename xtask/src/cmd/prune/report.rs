//! What `prune` says: what it is going to do, and what came of it.

use std::fmt;

use anyhow::Result;
use serde::Serialize;

use crate::apply::prune::Deleted;
use crate::event::Event;
use crate::exit::Exit;
use crate::plan::prune::{Expected, Step};
use crate::registry::digest::Digest;
use crate::registry::plan::PrunePlan;
use crate::registry::recheck::Change;
use crate::ui::Ui;
use crate::units::format_size;

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
}

/// What a prune reports.
#[derive(Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    /// What became of the builder's cache, if it was pruned.
    pub(super) builder: Option<BuilderReport>,
    /// What became of each repository.
    pub(super) registry: Vec<RegistryReport>,
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

/// Reports the steps of a plan that is not going to be applied.
///
/// # Errors
/// Standard output can not be written.
pub(super) fn dry_run(ui: &Ui, steps: &[Step]) -> Result<Exit> {
    let planned = Planned {
        dry_run: true,
        steps: steps.iter().filter(|s| !s.is_empty()).map(ToString::to_string).collect(),
        builder: steps.iter().find_map(|step| match step {
            Step::Builder(prune) => Some(&prune.expected),
            Step::Registry(_) => None,
        }),
        registry: steps
            .iter()
            .filter_map(|step| match step {
                Step::Registry(plan) => Some(plan),
                Step::Builder(_) => None,
            })
            .collect(),
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
    pub(super) fn is_empty(&self) -> bool {
        self.builder.is_none() && self.registry.is_empty()
    }

    /// The report as lines of text.
    pub(super) fn text(&self) -> String {
        if self.is_empty() {
            return "nothing to prune".to_owned();
        }
        let builder = self.builder.iter().map(|builder| format!("builder   {builder}"));
        let registry = self.registry.iter().map(|registry| format!("registry  {registry}"));
        builder.chain(registry).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for BuilderReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let about = if self.exact { "" } else { "about " };
        write!(f, "{about}{} freed, {} records", format_size(self.freed_bytes), self.records)
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

    #[test]
    fn what_one_part_freed_is_told_also_when_the_other_has_nothing() {
        let mut report = Report::default();
        assert!(report.is_empty());
        assert_eq!(report.text(), "nothing to prune");
        report.builder = Some(BuilderReport {
            command: "docker buildx prune".into(),
            records: 2,
            freed_bytes: 3_000_000,
            exact: false,
        });
        assert!(!report.is_empty());
        assert_eq!(report.text(), "builder   about 3.00 MB freed, 2 records");
        report.registry.push(RegistryReport {
            repository: "r/app".into(),
            outcome: Deleted::default(),
            changed: Vec::new(),
            kept: 4,
        });
        let registry = "registry  0 B freed, 0 images deleted from r/app, 4 kept";
        assert_eq!(report.text().lines().nth(1), Some(registry));
    }
}
