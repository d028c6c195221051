//! One vertex of the build graph, as far as it is known.

use std::collections::{BTreeMap, VecDeque};

use super::{
    event::{LogStream, StepRef},
    name::VertexKind,
    output::PartialLine,
    stream::{StatusUpdate, VertexUpdate},
    text::{sanitise, sanitise_lines},
    time::{Timestamp, nanos_to_seconds},
};
use crate::plan::secret::Mask;

/// How many of the last lines of its output are kept of each vertex.
pub const LOG_TAIL_LINES: usize = 50;

/// From when to when something was worked on.
pub type Interval = (Timestamp, Timestamp);

/// A vertex and all that BuildKit said about it.
#[derive(Debug)]
pub struct Vertex {
    pub name: String,
    pub kind: VertexKind,
    pub step: Option<StepRef>,
    pub inputs: Vec<String>,
    /// By the moment each of them started: a vertex starts and completes several times.
    runs: BTreeMap<Timestamp, Run>,
    /// By id.
    pub activities: BTreeMap<String, Activity>,
    pub log_tail: VecDeque<String>,
    partial_out: PartialLine,
    partial_err: PartialLine,
}

#[derive(Debug, Default)]
struct Run {
    completed: Option<Timestamp>,
    cached: bool,
    error: Option<String>,
}

/// Work within a vertex.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Activity {
    pub started: Option<Timestamp>,
    pub completed: Option<Timestamp>,
    pub current: u64,
    pub total: Option<u64>,
}

impl Vertex {
    pub fn new(raw_name: &str) -> Self {
        let kind = VertexKind::parse(raw_name);
        let step = match &kind {
            VertexKind::Step(name) => Some(StepRef::from(name)),
            _ => None,
        };
        Self {
            name: sanitise(raw_name),
            kind,
            step,
            inputs: Vec::new(),
            runs: BTreeMap::new(),
            activities: BTreeMap::new(),
            log_tail: VecDeque::new(),
            partial_out: PartialLine::default(),
            partial_err: PartialLine::default(),
        }
    }

    /// Merges an update; the same one again, or an older one, changes nothing.
    pub fn merge(&mut self, update: &VertexUpdate) {
        // BuildKit leaves the inputs out when a vertex starts for the second time.
        for input in &update.inputs {
            if !self.inputs.contains(input) {
                self.inputs.push(input.clone());
            }
        }
        let Some(started) = update.started.or(update.completed) else { return };
        let run = self.runs.entry(started).or_default();
        run.completed = run.completed.max(update.completed);
        run.cached |= update.cached;
        if !update.error.is_empty() {
            run.error = Some(sanitise_lines(&update.error).join("\n"));
        }
    }

    /// Merges an update; says whether it changed anything.
    pub fn merge_activity(&mut self, update: &StatusUpdate) -> bool {
        let known = self.activities.contains_key(&update.id);
        let activity = self.activities.entry(update.id.clone()).or_default();
        let before = activity.clone();
        activity.started = activity.started.or(update.started).or(update.timestamp);
        activity.completed = activity.completed.max(update.completed);
        activity.current = activity.current.max(u64::try_from(update.current).unwrap_or(0));
        activity.total = activity.total.max(u64::try_from(update.total).ok().filter(|t| *t > 0));
        !known || before != *activity
    }

    /// Adds output, and gives the lines that are complete.
    pub fn write(&mut self, stream: LogStream, data: &[u8], mask: &Mask) -> Vec<String> {
        let partial = match stream {
            LogStream::Stdout => &mut self.partial_out,
            LogStream::Stderr => &mut self.partial_err,
        };
        let lines = partial.push(data, mask);
        lines.iter().for_each(|line| self.remember(line));
        lines
    }

    /// Gives lines that were left without a line break.
    pub fn flush_output(&mut self, mask: &Mask) -> Vec<(LogStream, String)> {
        let lines: Vec<_> = [
            (LogStream::Stdout, self.partial_out.flush(mask)),
            (LogStream::Stderr, self.partial_err.flush(mask)),
        ]
        .into_iter()
        .filter_map(|(stream, line)| Some((stream, line?)))
        .collect();
        lines.iter().for_each(|(_, line)| self.remember(line));
        lines
    }

    fn remember(&mut self, line: &str) {
        if self.log_tail.len() == LOG_TAIL_LINES {
            self.log_tail.pop_front();
        }
        self.log_tail.push_back(line.to_owned());
    }

    /// When it first started.
    pub fn started(&self) -> Option<Timestamp> {
        self.runs.keys().next().copied()
    }

    /// When it last completed, unless it is at work.
    pub fn completed(&self) -> Option<Timestamp> {
        if self.is_running() {
            return None;
        }
        self.runs.values().filter_map(|run| run.completed).max()
    }

    /// Whether it is at work.
    pub fn is_running(&self) -> bool {
        self.runs.values().any(|run| run.completed.is_none())
    }

    /// Whether it completed at least once.
    pub fn completed_once(&self) -> bool {
        self.runs.values().any(|run| run.completed.is_some())
    }

    /// How often it started.
    pub fn times_run(&self) -> usize {
        self.runs.len()
    }

    /// Whether its result came out of a cache. Pulling that result may still take time.
    pub fn is_cached(&self) -> bool {
        self.runs.values().any(|run| run.cached)
    }

    /// Whether it was really executed.
    pub fn has_run(&self) -> bool {
        !self.runs.is_empty() && !self.is_cached()
    }

    /// Why it failed, if it did, and not only because something else did.
    pub fn failure(&self) -> Option<&str> {
        self.errors().find(|error| !is_cancellation(error))
    }

    /// Whether it was stopped.
    pub fn is_canceled(&self) -> bool {
        self.failure().is_none() && self.errors().any(is_cancellation)
    }

    fn errors(&self) -> impl Iterator<Item = &str> {
        self.runs.values().filter_map(|run| run.error.as_deref())
    }

    /// Whether layers were pulled for it.
    pub fn pulled_anything(&self) -> bool {
        self.activities
            .iter()
            .any(|(id, activity)| id.starts_with("sha256:") && activity.current > 0)
    }

    /// When it was worked on; what still is, until `now`.
    pub fn intervals(&self, now: Timestamp) -> Vec<Interval> {
        let until = |run: &Run, started: Timestamp| run.completed.unwrap_or(now).max(started);
        self.runs.iter().map(|(&started, run)| (started, until(run, started))).collect()
    }

    /// How long it was worked on.
    pub fn seconds(&self, now: Timestamp) -> f64 {
        union_seconds(self.intervals(now))
    }
}

/// How long at least one of the intervals lasted.
pub fn union_seconds(intervals: Vec<Interval>) -> f64 {
    let merged = merge(intervals);
    nanos_to_seconds(merged.iter().map(|(start, end)| end.nanos_since(*start)).sum())
}

/// The same time as intervals in order, that do not overlap.
pub fn merge(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut merged: Vec<Interval> = Vec::with_capacity(intervals.len());
    for (start, end) in intervals {
        match merged.last_mut() {
            Some(last) if start <= last.1 => last.1 = last.1.max(end),
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// Whether an error only says that something else went wrong, or that the user had enough.
pub fn is_cancellation(error: &str) -> bool {
    error.trim_end().ends_with("context canceled")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_nanos(seconds * 1_000_000_000)
    }

    fn update(started: i64, completed: Option<i64>) -> VertexUpdate {
        VertexUpdate {
            digest: "sha256:a".to_owned(),
            inputs: vec!["sha256:b".to_owned()],
            name: "[a 1/1] RUN x".to_owned(),
            started: Some(at(started)),
            completed: completed.map(at),
            cached: false,
            error: String::new(),
        }
    }

    #[test]
    fn overlapping_work_counts_once() {
        let cases: [(&[(i64, i64)], f64); 5] = [
            (&[], 0.0),
            (&[(1, 3), (2, 5)], 4.0),
            (&[(7, 9), (1, 3)], 4.0),
            (&[(1, 10), (2, 3), (4, 5)], 9.0),
            (&[(3, 3)], 0.0),
        ];
        for (intervals, seconds) in cases {
            let intervals = intervals.iter().map(|&(start, end)| (at(start), at(end))).collect();
            assert!((union_seconds(intervals) - seconds).abs() < 1e-9);
        }
    }

    #[test]
    fn updates_merge_in_any_order() {
        let mut vertex = Vertex::new("[a 1/1] RUN x");
        assert_eq!((vertex.started(), vertex.completed()), (None, None));
        for u in [update(5, None), update(1, Some(2)), update(1, None), update(1, Some(2))] {
            vertex.merge(&u);
        }
        assert_eq!((vertex.started(), vertex.completed()), (Some(at(1)), None));
        assert!(vertex.is_running() && vertex.completed_once() && vertex.has_run());
        assert!((vertex.seconds(at(8)) - 4.0).abs() < 1e-9);
        vertex.merge(&update(5, Some(9)));
        vertex.merge(&update(5, None));
        assert_eq!(vertex.completed(), Some(at(9)));
        assert_eq!(vertex.inputs, ["sha256:b"]);
    }

    #[test]
    fn being_stopped_is_not_failing() {
        let mut vertex = Vertex::new("[a 1/1] RUN x");
        let error = "rpc error: code = Canceled desc = context canceled: context canceled";
        vertex.merge(&VertexUpdate { error: error.to_owned(), ..update(1, Some(2)) });
        assert!(vertex.is_canceled() && vertex.failure().is_none());
        vertex.merge(&VertexUpdate { error: "exit code: 1".to_owned(), ..update(3, Some(4)) });
        assert!(!vertex.is_canceled() && vertex.failure() == Some("exit code: 1"));
    }
}
