//! One frame of the live display: what a terminal shows while a build runs.

use super::{
    build::BuildState,
    classify::activity_phase,
    name::VertexKind,
    phases::Transferred,
    report::{StageReport, StepReport, StepState},
    summary::SoFar,
    text::{bytes, duration, fit, pad, sanitise, width},
    time::Timestamp,
    vertex::Vertex,
};

/// The room for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// At most so many lines.
    pub lines: usize,
    /// None of them wider.
    pub columns: usize,
}

/// How urgent a line is, if there is no room for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Header,
    AtWork,
    LastOutput,
    Done,
    Waiting,
}

/// The frame for this moment: a header, a line for each stage with the step at work and its last
/// output under it, and a line for each export at work.
///
/// `now` is the builder's clock: [`BuildState::latest`] plus the time since the last update.
/// Where there is not room for everything, what is at work stays.
pub fn frame(state: &BuildState, now: Timestamp, size: Size) -> Vec<String> {
    let so_far = state.so_far();
    let mut lines = vec![(Rank::Header, header(state, &so_far, now))];
    let running: Vec<&Vertex> = state.vertices().iter().filter(|v| v.is_running()).collect();
    let column = so_far.stages.iter().map(|s| width(&s.label())).max().unwrap_or(0).min(24);
    for stage in &so_far.stages {
        lines.extend(stage_lines(&running, &so_far, stage, now, column));
    }
    let around = running.iter().filter(|v| v.step.is_none());
    lines.extend(around.map(|vertex| (Rank::AtWork, around_line(vertex, now, column))));
    choose(lines, size)
}

fn header(state: &BuildState, so_far: &SoFar, now: Timestamp) -> String {
    let elapsed = state.started().map_or(0.0, |started| now.seconds_since(started));
    let known: usize = so_far.stages.iter().map(|stage| stage.steps).sum();
    let running = so_far.steps.iter().filter(|s| s.state == StepState::Running).count();
    let done = (so_far.cached + so_far.run).saturating_sub(running);
    let mut parts = vec![format!("building {}", duration(elapsed))];
    if known > 0 {
        parts.push(format!("{done}/{known} steps, {} cached", so_far.cached));
    }
    let moved = Transferred::of(state);
    if moved.context > 0 {
        parts.push(format!("context {}", bytes(moved.context)));
    }
    let (pulled, pulling): (u64, u64) = (moved.pulled.values().sum(), moved.pulling.values().sum());
    if pulling > 0 {
        parts.push(match pulled == pulling {
            true => format!("pulled {}", bytes(pulled)),
            false => format!("pulling {} of {}", bytes(pulled), bytes(pulling)),
        });
    }
    parts.extend(moved.pushed.map(|pushed| format!("pushed {}", bytes(pushed))));
    parts.join(" · ")
}

fn stage_lines(
    running: &[&Vertex],
    so_far: &SoFar,
    stage: &StageReport,
    now: Timestamp,
    column: usize,
) -> Vec<(Rank, String)> {
    let label = pad(&fit(&stage.label(), column), column);
    let steps: Vec<&StepReport> = stage.own(&so_far.steps).collect();
    let at_work = steps.iter().filter_map(|step| vertex_at_work(running, step).map(|v| (step, v)));
    let mut lines = Vec::new();
    for (step, vertex) in at_work {
        lines.push((
            Rank::AtWork,
            format!(
                "{label}  {}/{}  {:>6}  {}{}",
                step.step.index,
                step.step.total,
                duration(vertex.seconds(now)),
                step.step.instruction,
                activity(vertex)
            ),
        ));
        if let Some(output) = vertex.log_tail.iter().rfind(|line| !line.trim().is_empty()) {
            lines.push((Rank::LastOutput, format!("{}  | {output}", " ".repeat(column))));
        }
    }
    if !lines.is_empty() {
        return lines;
    }
    if let Some(step) = steps.iter().find(|step| step.state == StepState::Failed) {
        let what = format!("{label}  {}/{}  FAILED", step.step.index, step.step.total);
        return vec![(Rank::AtWork, format!("{what}  {}", step.step.instruction))];
    }
    let finished = stage.cached + stage.run;
    vec![if finished == 0 && !steps.iter().any(|step| step.state == StepState::Source) {
        (Rank::Waiting, format!("{label}  waits"))
    } else if finished < stage.steps {
        (Rank::Waiting, format!("{label}  {finished} of {} steps, waits", stage.steps))
    } else if stage.run == 0 {
        (Rank::Done, format!("{label}  cached"))
    } else {
        let cached = match stage.cached {
            0 => String::new(),
            cached => format!(", {cached} of {} cached", stage.steps),
        };
        (Rank::Done, format!("{label}  done in {}{cached}", duration(stage.seconds)))
    }]
}

/// The vertex that makes a step run just now: a cached one does, too, while its layers are pulled.
fn vertex_at_work<'a>(running: &[&'a Vertex], step: &StepReport) -> Option<&'a Vertex> {
    running.iter().copied().find(|v| v.step.as_ref() == Some(&step.step))
}

/// ` (pulling 17.8 MB of 31.1 MB)`, ` (extracting)`.
fn activity(vertex: &Vertex) -> String {
    let open = || vertex.activities.iter().filter(|(_, activity)| activity.completed.is_none());
    let layers = || open().filter(|(id, _)| id.starts_with("sha256:"));
    let (done, all) = layers().fold((0, 0), |(done, all), (_, activity)| {
        (done + activity.current, all + activity.total.unwrap_or(activity.current))
    });
    if all > 0 {
        format!(" (pulling {} of {})", bytes(done), bytes(all))
    } else if open().any(|(id, _)| id.starts_with("extracting ")) {
        " (extracting)".to_owned()
    } else {
        String::new()
    }
}

fn around_line(vertex: &Vertex, now: Timestamp, column: usize) -> String {
    let latest = vertex.activities.iter().filter(|(_, activity)| activity.completed.is_none());
    let what = latest
        .max_by_key(|(_, activity)| activity.started)
        .filter(|(id, _)| {
            activity_phase(&vertex.kind, id).is_some() || vertex.kind == VertexKind::CacheExport
        })
        .map_or_else(String::new, |(id, _)| format!(": {}", sanitise(id)));
    let seconds = duration(vertex.seconds(now));
    format!("{}  {seconds:>6}  {}{what}", pad("", column), vertex.name)
}

/// As many lines as there is room for, the most urgent ones, in their order.
fn choose(lines: Vec<(Rank, String)>, size: Size) -> Vec<String> {
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|&index| lines[index].0);
    order.truncate(size.lines);
    order.sort_unstable();
    order.into_iter().map(|index| fit(&lines[index].1, size.columns)).collect()
}
