//! A build as a waterfall, in one HTML page that needs nothing else: no script, no font, no network.

use std::fmt::{self, Write as _};

use super::{
    event::Phase,
    html::{Escaped, open, time_label, time_step},
    report::{BuildReport, Outcome, PhaseReport, StageReport, StepReport, StepState},
    text::{bytes, count, duration},
};

const STYLE: &str = include_str!("waterfall.css");
/// At most so many marks on the time axis.
const MOST_TICKS: f64 = 9.0;

/// The page. `title` says what was built: the image's name, for instance.
///
/// Readable in light and dark. Steps are grouped by stage; what was cached is hatched, what is on
/// the critical path has a frame and a mark; a row shows its details when it is pointed at or
/// focused. All texts are escaped, and the page forbids scripts and requests to itself.
pub fn html(report: &BuildReport, title: &str) -> String {
    let mut page = String::new();
    write(&mut page, report, title).expect("writing into a string can not fail");
    page
}

fn write(page: &mut String, report: &BuildReport, title: &str) -> fmt::Result {
    open(page, title, "build timeline", STYLE)?;
    facts(page, report)?;
    if let Some(failure) = &report.failure {
        let text = match &failure.step {
            Some(step) => format!("{} failed: {}", step.position(), failure.summary()),
            None => failure.error.clone(),
        };
        writeln!(page, "<p class=\"failure\">{}</p>", Escaped(&text))?;
    }
    legend(page)?;
    let scale = Scale::of(report);
    let grid = scale.percent(scale.tick_seconds());
    writeln!(page, "<main style=\"--grid:{grid:.3}%\">")?;
    axis(page, &scale)?;
    for stage in &report.stages {
        stage_rows(page, report, stage, &scale)?;
    }
    phase_rows(page, report, &scale)?;
    page.push_str("</main>\n<footer></footer>\n</body>\n</html>\n");
    Ok(())
}

fn facts(page: &mut String, report: &BuildReport) -> fmt::Result {
    let outcome = match report.outcome {
        Outcome::Running => "running for",
        Outcome::Succeeded => "built in",
        Outcome::Failed => "failed after",
        Outcome::Interrupted => "interrupted after",
    };
    let mut facts = vec![
        (outcome, duration(report.seconds)),
        ("cached", count(report.cached_steps, "step")),
        ("run", count(report.run_steps, "step")),
        ("context", bytes(report.context_bytes)),
        ("pulled", bytes(report.pulled_bytes)),
    ];
    facts.extend(report.pushed_bytes.map(|pushed| ("pushed", bytes(pushed))));
    facts.extend(report.started.map(|started| ("started", started.to_string())));
    super::html::facts(page, &facts)
}

fn legend(page: &mut String) -> fmt::Result {
    page.push_str("<ul class=\"legend\">\n");
    for (class, text) in [
        ("run", "run"),
        ("cached", "cached"),
        ("source", "base image"),
        ("phase", "around the steps"),
        ("failed", "failed"),
        ("canceled", "stopped"),
    ] {
        writeln!(page, "<li><i class=\"{class}\"></i>{text}</li>")?;
    }
    page.push_str("<li><i class=\"mark\">◆</i>critical path</li>\n</ul>\n");
    Ok(())
}

/// From seconds to percent of the track.
struct Scale {
    seconds: f64,
}

impl Scale {
    fn of(report: &BuildReport) -> Self {
        Self { seconds: report.seconds.max(0.001) }
    }

    fn percent(&self, seconds: f64) -> f64 {
        (seconds / self.seconds * 100.0).clamp(0.0, 100.0)
    }

    fn tick_seconds(&self) -> f64 {
        time_step(self.seconds / MOST_TICKS)
    }

    fn ticks(&self) -> impl Iterator<Item = f64> {
        let tick = self.tick_seconds();
        // The last tenth has no room for a number.
        (0..16_u8).map(move |n| f64::from(n) * tick).take_while(|at| *at < self.seconds * 0.96)
    }
}

fn axis(page: &mut String, scale: &Scale) -> fmt::Result {
    page.push_str(
        "<div class=\"axis\" aria-hidden=\"true\"><span></span><span></span><div class=\"track\">",
    );
    for tick in scale.ticks() {
        let left = scale.percent(tick);
        let label = time_label(tick, scale.tick_seconds());
        write!(page, "<span class=\"tick\" style=\"left:{left:.3}%\">{label}</span>")?;
    }
    page.push_str("</div></div>\n");
    Ok(())
}

fn stage_rows(
    page: &mut String,
    report: &BuildReport,
    stage: &StageReport,
    scale: &Scale,
) -> fmt::Result {
    let because = stage
        .first_run
        .as_ref()
        .map(|first| format!("; {}/{}: {}", first.step.index, first.step.total, first.because()));
    let note = format!(
        "{}, {} cached, {}{}",
        count(stage.steps, "step"),
        stage.cached,
        duration(stage.seconds),
        because.unwrap_or_default()
    );
    writeln!(page, "<h2>{} <small>{}</small></h2>", Escaped(&stage.label()), Escaped(&note))?;
    for step in report.steps_of(stage) {
        step_row(page, report, step, scale)?;
    }
    Ok(())
}

fn step_row(
    page: &mut String,
    report: &BuildReport,
    step: &StepReport,
    scale: &Scale,
) -> fmt::Result {
    let label = format!("{}/{} {}", step.step.index, step.step.total, step.step.instruction);
    let mut notes = vec![format!("{}, {}", step.state.word(), fine(step.seconds))];
    if let Some((start, _)) = step.intervals.first() {
        notes.push(format!("from {start:.2}s after the start"));
    }
    if step.pulled_bytes > 0 {
        notes.push(format!("pulled {}", bytes(step.pulled_bytes)));
    }
    if step.critical {
        notes.push("on the critical path".to_owned());
    }
    let first = report.stages.iter().filter_map(|stage| stage.first_run.as_ref());
    notes.extend(first.filter(|f| f.step == step.step).map(|first| first.because()));
    let row = Row {
        class: class(step.state),
        critical: step.critical,
        label: &label,
        seconds: step.seconds,
        intervals: &step.intervals,
        notes: &notes.join(" · "),
        error: step.error.as_deref(),
    };
    row.write(page, scale)
}

fn phase_rows(page: &mut String, report: &BuildReport, scale: &Scale) -> fmt::Result {
    if report.phases.is_empty() {
        return Ok(());
    }
    page.push_str("<h2>around the steps</h2>\n");
    for phase in &report.phases {
        let PhaseReport { name, start, seconds, error, .. } = phase;
        // The first build has no cache to read: nothing failed.
        let failed = error.is_some() && phase.phase != Phase::CacheImport;
        let row = Row {
            class: if failed { "failed" } else { "phase" },
            critical: false,
            label: name,
            seconds: *seconds,
            intervals: &[(*start, start + seconds)],
            notes: &format!("{}, from {start:.2}s after the start", fine(*seconds)),
            error: error.as_deref(),
        };
        row.write(page, scale)?;
    }
    Ok(())
}

struct Row<'a> {
    class: &'a str,
    critical: bool,
    label: &'a str,
    seconds: f64,
    intervals: &'a [(f64, f64)],
    notes: &'a str,
    error: Option<&'a str>,
}

impl Row<'_> {
    fn write(&self, page: &mut String, scale: &Scale) -> fmt::Result {
        let critical = if self.critical { " critical" } else { "" };
        write!(
            page,
            "<div class=\"row {}{critical}\" tabindex=\"0\"><span class=\"label\">{}</span>\
             <span class=\"time\">{}</span><div class=\"track\">",
            self.class,
            Escaped(self.label),
            if self.intervals.is_empty() { String::new() } else { fine(self.seconds) }
        )?;
        for &(start, end) in self.intervals {
            let (left, width) = (scale.percent(start), scale.percent(end - start));
            // A bar that is only as wide as its least width must not leave the track.
            let left = left.min(99.6);
            write!(page, "<i class=\"bar\" style=\"left:{left:.3}%;width:{width:.3}%\"></i>")?;
        }
        write!(page, "</div><div class=\"details\"><code>{}</code>", Escaped(self.label))?;
        write!(page, "<p>{}</p>", Escaped(self.notes))?;
        if let Some(error) = self.error {
            write!(page, "<p>{}</p>", Escaped(error))?;
        }
        page.push_str("</div></div>\n");
        Ok(())
    }
}

/// Durations side by side with their bars: also the short ones are told apart.
fn fine(seconds: f64) -> String {
    if seconds < 0.0995 { format!("{:.0}ms", seconds * 1000.0) } else { duration(seconds) }
}

fn class(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::Running => "running",
        StepState::Source => "source",
        StepState::Cached => "cached",
        StepState::Run => "run",
        StepState::Failed => "failed",
        StepState::Canceled => "canceled",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        for (seconds, tick) in [
            (0.001, 0.0002),
            (0.7, 0.1),
            (2.4, 0.5),
            (9.0, 1.0),
            (130.0, 15.0),
            (273.0, 60.0),
            (4000.0, 600.0),
            (90_000.0, 18_000.0),
        ] {
            let scale = Scale { seconds };
            assert!((scale.tick_seconds() - tick).abs() < tick * 1e-9, "{}", scale.tick_seconds());
            let ticks: Vec<_> = scale.ticks().collect();
            assert!((2..=10).contains(&ticks.len()), "{seconds}: {ticks:?}");
        }
    }
}
