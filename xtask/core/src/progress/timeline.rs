//! A build on a time axis, in the trace-event format that Perfetto opens.

use serde_json::{Value, json};

use super::report::{BuildReport, StepReport};

/// The process id in the trace; there is one process.
const PID: u64 = 1;
const MICROS_PER_SECOND: f64 = 1_000_000.0;

/// The build in the trace-event format (a JSON object; <https://ui.perfetto.dev> opens the file).
/// A thread is a stage, or what happens around the stages; times count from the build's start.
pub fn trace(report: &BuildReport) -> Value {
    let mut events = vec![metadata("process_name", 0, "docker buildx build")];
    let mut threads = Threads::default();
    for stage in &report.stages {
        let slices = report.steps_of(stage).flat_map(step_slices).collect();
        threads.add(&stage.label(), slices, &mut events);
    }
    let phases = report.phases.iter().map(|phase| Slice {
        start: phase.start,
        end: phase.start + phase.seconds,
        name: phase.name.clone(),
        category: "phase",
        args: json!({"phase": phase.phase, "error": phase.error}),
    });
    threads.add("around the steps", phases.collect(), &mut events);
    json!({
        "displayTimeUnit": "ms",
        "otherData": {"outcome": report.outcome, "started": report.started},
        "traceEvents": events,
    })
}

/// A piece of work in a thread.
struct Slice {
    start: f64,
    end: f64,
    name: String,
    category: &'static str,
    args: Value,
}

fn step_slices(step: &StepReport) -> Vec<Slice> {
    let args = json!({
        "state": step.state,
        "critical": step.critical,
        "pulled-bytes": step.pulled_bytes,
        "error": step.error,
    });
    let slice = |&(start, end): &(f64, f64)| Slice {
        start,
        end,
        name: format!("{}/{} {}", step.step.index, step.step.total, step.step.instruction),
        category: step.state.word(),
        args: args.clone(),
    };
    step.intervals.iter().map(slice).collect()
}

#[derive(Default)]
struct Threads(u64);

impl Threads {
    /// Adds slices under one name. Slices of a thread must not overlap: those that do go into
    /// further threads of the same name.
    fn add(&mut self, name: &str, mut slices: Vec<Slice>, events: &mut Vec<Value>) {
        slices.sort_by(|a, b| a.start.total_cmp(&b.start).then(a.end.total_cmp(&b.end)));
        let mut lanes: Vec<(u64, f64)> = Vec::new();
        for slice in slices {
            let free = lanes.iter_mut().find(|(_, until)| *until <= slice.start);
            let tid = if let Some((tid, until)) = free {
                *until = slice.end;
                *tid
            } else {
                self.0 += 1;
                lanes.push((self.0, slice.end));
                events.push(metadata("thread_name", self.0, name));
                events.push(json!({
                    "ph": "M", "pid": PID, "tid": self.0, "name": "thread_sort_index",
                    "args": {"sort_index": self.0},
                }));
                self.0
            };
            events.push(json!({
                "ph": "X", "pid": PID, "tid": tid,
                "name": slice.name, "cat": slice.category,
                "ts": micros(slice.start), "dur": micros(slice.end - slice.start),
                "args": slice.args,
            }));
        }
    }
}

fn metadata(kind: &str, tid: u64, name: &str) -> Value {
    json!({"ph": "M", "pid": PID, "tid": tid, "name": kind, "args": {"name": name}})
}

fn micros(seconds: f64) -> f64 {
    (seconds * MICROS_PER_SECOND).round()
}
