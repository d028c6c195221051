//! Plain lines for events, and the table at the end. For eyes without a terminal, and for CI logs.

use std::collections::BTreeMap;

use super::{
    event::{Phase, ProgressEvent, TransferKind},
    report::{BuildReport, Outcome, StageReport},
    text::{bytes, count, duration, pad, sanitise},
};

/// Phases shorter than this are not worth a line of their own.
const SHORT_PHASE_SECONDS: f64 = 0.5;

/// Columns of the table, and the last two of them.
const COLUMNS: usize = 6;
const MEDIAN: usize = 4;
const BECAUSE: usize = 5;

/// The lines that say an event where there is no live display; often none.
///
/// Output of commands is in the full log ([`super::log`]); of a failed step, [`failure`] shows the
/// last lines at the end.
pub fn plain(event: &ProgressEvent) -> Vec<String> {
    match event {
        ProgressEvent::StepStarted { .. }
        | ProgressEvent::Log { .. }
        | ProgressEvent::Text { .. }
        | ProgressEvent::PhaseStarted { .. } => vec![],
        ProgressEvent::StepFinished { step, cached: true, .. } => {
            vec![format!("{}  CACHED", step.label())]
        }
        ProgressEvent::StepFinished { step, seconds, .. } => {
            vec![format!("{}  {}", step.label(), duration(*seconds))]
        }
        ProgressEvent::StepCanceled { step, seconds, .. } => {
            vec![format!("{}  STOPPED after {}", step.label(), duration(*seconds))]
        }
        ProgressEvent::StepFailed { step, seconds, error, .. } => {
            let why = super::failure::summary(error);
            vec![format!("{}  FAILED after {}: {why}", step.label(), duration(*seconds))]
        }
        ProgressEvent::Warning { warning } => {
            let place = match (warning.file.as_str(), warning.line) {
                ("", _) => String::new(),
                (file, None) => format!("{file}: "),
                (file, Some(line)) => format!("{file}:{line}: "),
            };
            vec![format!("warning: {place}{}", warning.message)]
        }
        ProgressEvent::Bytes { transfer, .. } => {
            if !transfer.completed {
                return vec![];
            }
            let size = bytes(transfer.current);
            let position = transfer.step.as_ref().map(|step| format!("{}  ", step.position()));
            let position = position.unwrap_or_default();
            match transfer.kind {
                TransferKind::Definition => vec![],
                TransferKind::Context => vec![format!("sent {size} of the build context")],
                TransferKind::Pull => vec![format!("{position}pulled {size} ({})", transfer.what)],
                TransferKind::Push => vec![format!("pushed {size} ({})", transfer.what)],
                TransferKind::Load => vec![format!("{} {size}", transfer.what)],
            }
        }
        ProgressEvent::PhaseFinished { phase, name, seconds, .. } => {
            let shown = match phase {
                Phase::Push | Phase::CacheExport => true,
                Phase::Definition | Phase::Authenticate | Phase::Context => false,
                _ => *seconds >= SHORT_PHASE_SECONDS,
            };
            shown.then(|| format!("{name}  {}", duration(*seconds))).into_iter().collect()
        }
        ProgressEvent::PhaseFailed { phase: Phase::CacheExport, error, .. } => {
            vec![not_exported(error)]
        }
        ProgressEvent::PhaseFailed { name, seconds, error, .. } => {
            let why = super::failure::summary(error);
            vec![format!("{name}  FAILED after {}: {why}", duration(*seconds))]
        }
        ProgressEvent::CacheImported { reference, seconds, .. } => {
            vec![format!("cache {reference}  read in {}", duration(*seconds))]
        }
        ProgressEvent::CacheMissed { reference, reason, .. } if is_absent(reason) => {
            vec![format!("cache {reference}  not there yet")]
        }
        ProgressEvent::CacheMissed { reference, reason, .. } => {
            vec![format!("cache {reference}  not read: {}", sanitise(reason))]
        }
    }
}

/// Whether that fails the build is known at its end.
fn not_exported(error: &str) -> String {
    format!("warning: the cache was not exported: {}", sanitise(error))
}

/// Whether a cache was not read because it does not exist.
fn is_absent(reason: &str) -> bool {
    reason.ends_with("not found")
}

/// Medians of earlier builds, in seconds.
pub struct Usual<'a> {
    /// Of each stage, by its label.
    pub stages: &'a BTreeMap<String, f64>,
    /// Of reading the caches' manifests.
    pub cache_import: Option<f64>,
    /// Of writing the caches.
    pub cache_export: Option<f64>,
}

/// The table by stage and the figures under it, beside those of earlier builds, where there were any.
pub fn table(report: &BuildReport, usual: Option<&Usual<'_>>) -> Vec<String> {
    if report.stages.is_empty() {
        return figures(report, usual);
    }
    let medians = usual.map(|usual| usual.stages);
    let mut rows =
        vec![["stage", "steps", "cached", "time", "median", "run because"].map(str::to_owned)];
    rows.extend(report.stages.iter().map(|stage| row(stage, medians)));
    let mut lines = align(&rows, medians.is_some());
    lines.push(String::new());
    lines.extend(figures(report, usual));
    lines
}

fn row(stage: &StageReport, medians: Option<&BTreeMap<String, f64>>) -> [String; COLUMNS] {
    let because = stage.first_run.as_ref().map(|first| {
        format!(
            "{}/{} {}: {}",
            first.step.index,
            first.step.total,
            short(&first.step.instruction),
            first.because()
        )
    });
    let median = medians.and_then(|medians| medians.get(&stage.label()));
    [
        stage.label(),
        stage.steps.to_string(),
        stage.cached.to_string(),
        duration(stage.seconds),
        median.map_or_else(String::new, |median| duration(*median)),
        because.unwrap_or_default(),
    ]
}

fn short(instruction: &str) -> String {
    super::text::fit(instruction, 32)
}

/// The rows with their cells under each other; the column of the medians can be left out.
fn align(rows: &[[String; COLUMNS]], medians: bool) -> Vec<String> {
    let width = |column: usize| {
        rows.iter().map(|row| super::text::width(&row[column])).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let cell = |(column, text): (usize, &String)| match column {
        0 | BECAUSE => pad(text, widths[column]),
        _ => format!("{text:>width$}", width = widths[column]),
    };
    let shown = |(column, _): &(usize, &String)| medians || *column != MEDIAN;
    rows.iter()
        .map(|row| row.iter().enumerate().filter(shown).map(cell).collect::<Vec<_>>().join("  "))
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn figures(report: &BuildReport, usual: Option<&Usual<'_>>) -> Vec<String> {
    let outcome = match report.outcome {
        Outcome::Running => "running",
        Outcome::Succeeded => "built",
        Outcome::Failed => "failed",
        Outcome::Interrupted => "interrupted",
    };
    let mut lines = vec![format!(
        "{outcome} in {}: {} cached, {} run",
        duration(report.seconds),
        count(report.cached_steps, "step"),
        report.run_steps
    )];
    let mut moved = vec![format!("context {}", bytes(report.context_bytes))];
    if report.pulled_bytes > 0 {
        moved.push(format!("pulled {}", bytes(report.pulled_bytes)));
    }
    moved.extend(report.pushed_bytes.map(|pushed| format!("pushed {}", bytes(pushed))));
    let imports = &report.cache_imports;
    let import = (!imports.is_empty()).then(|| imports.iter().map(|i| i.seconds).sum());
    let timed = [
        ("cache import", import, usual.and_then(|usual| usual.cache_import)),
        ("export", report.export_seconds, None),
        ("load", report.load_seconds, None),
        ("push", report.push_seconds, None),
        ("cache export", report.cache_export_seconds, usual.and_then(|usual| usual.cache_export)),
    ];
    moved.extend(timed.iter().filter_map(|(what, seconds, median)| {
        let median = median.map(|median| format!(" (median {})", duration(median)));
        Some(format!("{what} {}{}", duration((*seconds)?), median.unwrap_or_default()))
    }));
    lines.push(moved.join(", "));
    lines.extend(report.cache_imports.iter().map(|import| match &import.missed {
        None => format!("cache {} read in {}", import.reference, duration(import.seconds)),
        Some(reason) if is_absent(reason) => format!("cache {} not there yet", import.reference),
        Some(reason) => format!("cache {} not read: {}", import.reference, sanitise(reason)),
    }));
    if let Some(error) = &report.cache_export_error {
        lines.push(not_exported(error));
    }
    if report.critical_path.len() > 1 {
        let mut slowest: Vec<_> =
            report.critical_path.iter().filter(|e| e.seconds >= 0.05).collect();
        slowest.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
        let shown: Vec<_> = slowest
            .iter()
            .take(3)
            .map(|entry| {
                format!("{} {}", super::text::fit(&entry.label, 48), duration(entry.seconds))
            })
            .collect();
        if !shown.is_empty() {
            lines.push(format!("longest on the critical path: {}", shown.join(", ")));
        }
    }
    lines
}

/// What to show of a failure: where, the lines of the Dockerfile, the last output, the error.
pub fn failure(report: &BuildReport) -> Vec<String> {
    let Some(failure) = &report.failure else { return vec![] };
    let mut lines = Vec::new();
    if let Some(step) = &failure.step {
        lines.push(format!("{} failed: {}", step.position(), failure.summary()));
    }
    if let Some(excerpt) = &failure.excerpt {
        lines.extend(excerpt.render());
    }
    if !failure.log_tail.is_empty() {
        lines.push(format!("last {} of its output:", count(failure.log_tail.len(), "line")));
        lines.extend(failure.log_tail.iter().map(|line| format!("  | {line}")));
    }
    let said = failure.step.is_some() && !failure.error.contains('\n');
    if !said && failure.exit_code.is_none() {
        lines.extend(failure.error.lines().map(sanitise));
    }
    lines
}
