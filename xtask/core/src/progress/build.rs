//! The state of one build, and what is new in it.

use std::{
    collections::{HashMap, HashSet},
    hash::{DefaultHasher, Hash, Hasher},
};

use super::{
    classify::{activity_phase, told_phase, transfer_kind, untold_phase},
    event::{BuildWarning, LogStream, ProgressEvent, StepRef, Transfer},
    name::VertexKind,
    seen::Seen,
    stream::{Line, LogChunk, SolveStatus, StatusUpdate, VertexUpdate, WarningUpdate},
    text::{sanitise, sanitise_lines, shorten_digests},
    time::{Timestamp, nanos_to_seconds},
    vertex::Vertex,
};
use crate::plan::secret::Mask;

/// How the process that builds came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Exit code 0.
    Success,
    /// Another exit code, or none: killed by a signal that we did not send.
    Failed(Option<i32>),
    /// We or the user stopped it.
    Interrupted,
}

impl Ended {
    /// Reads buildx's exit code: 130 is what it calls being interrupted.
    pub fn from_exit_code(code: Option<i32>) -> Self {
        match code {
            Some(0) => Self::Success,
            Some(130) => Self::Interrupted,
            code => Self::Failed(code),
        }
    }
}

/// Everything that is known of a build.
#[derive(Debug, Default)]
pub struct BuildState {
    /// In the order in which they were first heard of.
    vertices: Vec<Vertex>,
    by_digest: HashMap<String, usize>,
    warnings: Vec<BuildWarning>,
    /// What buildx said in plain text, raw.
    text: Vec<String>,
    seen_logs: Seen,
    started_told: HashSet<Told>,
    ended_told: HashSet<Told>,
    started: Option<Timestamp>,
    latest: Option<Timestamp>,
    ended: Option<Ended>,
    mask: Mask,
}

/// What an event was given for: the two halves of a `COPY --link` are one step.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Told {
    Step(StepRef),
    Vertex(usize),
    Activity(usize, String),
}

impl BuildState {
    /// Nothing is known yet.
    #[cfg(test)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing is known yet, and nothing that the mask hides ever will be.
    pub fn hiding(mask: Mask) -> Self {
        Self { mask, ..Self::default() }
    }

    /// Takes a line of the stream, whatever it is, and says what is new.
    pub fn apply_line(&mut self, line: Line) -> Vec<ProgressEvent> {
        match line {
            Line::Status(status) => self.apply(status),
            Line::Text(text) => {
                let text = self.mask.text(&text);
                let event = (!text.trim().is_empty())
                    .then(|| ProgressEvent::Text { text: sanitise(&text) });
                self.text.push(text);
                event.into_iter().collect()
            }
        }
    }

    /// Merges an update, and says what is new. The same update again has nothing new.
    pub fn apply(&mut self, status: SolveStatus) -> Vec<ProgressEvent> {
        let mut events = Vec::new();
        let touched: Vec<usize> = status.vertexes.iter().map(|u| self.merge_vertex(u)).collect();
        for &vertex in &touched {
            self.tell_start(vertex, &mut events);
        }
        for update in &status.statuses {
            self.merge_status(update, &mut events);
        }
        for chunk in &status.logs {
            self.merge_log(chunk, &mut events);
        }
        for warning in &status.warnings {
            self.merge_warning(warning, &mut events);
        }
        for &vertex in &touched {
            self.tell_end(vertex, &mut events);
        }
        events
    }

    /// Says that the process has ended, and what is new by that. To be called once.
    pub fn finish(&mut self, ended: Ended) -> Vec<ProgressEvent> {
        self.ended = Some(ended);
        let mut events = Vec::new();
        for index in 0..self.vertices.len() {
            self.flush_output(index, &mut events);
            if self.vertices[index].is_running() {
                self.tell_stopped(index, &mut events);
            } else if self.vertices[index].completed().is_some() {
                self.tell_step_end(index, &mut events);
            }
        }
        events
    }

    /// The vertices, in the order in which they were first heard of.
    pub fn vertices(&self) -> &[Vertex] {
        &self.vertices
    }

    /// Where a digest's vertex is among [`Self::vertices`].
    pub fn index(&self, digest: &str) -> Option<usize> {
        self.by_digest.get(digest).copied()
    }

    /// A vertex by its digest.
    pub fn vertex(&self, digest: &str) -> Option<&Vertex> {
        self.index(digest).map(|index| &self.vertices[index])
    }

    /// How often files of this machine were read for the build: the Dockerfile, the context.
    /// `None` before the context was read, and while anything is being read.
    pub fn reads(&self) -> Option<usize> {
        use VertexKind::{LoadContext, LoadDefinition};
        let mut context = false;
        let mut times = 0;
        for vertex in &self.vertices {
            if matches!(vertex.kind, LoadContext | LoadDefinition) {
                vertex.completed()?;
                context |= vertex.kind == LoadContext;
                times += vertex.times_run();
            }
        }
        context.then_some(times)
    }

    /// Warnings, each once.
    pub fn warnings(&self) -> &[BuildWarning] {
        &self.warnings
    }

    /// What buildx said in plain text. Not sanitised.
    pub fn text(&self) -> &[String] {
        &self.text
    }

    /// How the build ended, if it did.
    pub fn ended(&self) -> Option<Ended> {
        self.ended
    }

    /// The first moment heard of.
    pub fn started(&self) -> Option<Timestamp> {
        self.started
    }

    /// The latest moment heard of. A live display adds the time that has passed here since the
    /// last update, so that a builder whose clock is off does not show absurd times.
    pub fn latest(&self) -> Option<Timestamp> {
        self.latest
    }

    fn merge_vertex(&mut self, update: &VertexUpdate) -> usize {
        self.saw(update.started);
        self.saw(update.completed);
        let index = self.index_of(&update.digest, &update.name);
        let update = VertexUpdate { error: self.mask.text(&update.error), ..update.clone() };
        self.vertices[index].merge(&update);
        index
    }

    fn index_of(&mut self, digest: &str, name: &str) -> usize {
        if let Some(&index) = self.by_digest.get(digest) {
            return index;
        }
        let index = self.vertices.len();
        self.vertices.push(Vertex::new(&self.mask.text(name)));
        self.by_digest.insert(digest.to_owned(), index);
        index
    }

    fn saw(&mut self, moment: Option<Timestamp>) {
        let Some(moment) = moment else { return };
        self.latest = self.latest.max(Some(moment));
        self.started = Some(self.started.map_or(moment, |started| started.min(moment)));
    }

    /// The latest moment, for what comes without one.
    fn now(&self) -> Timestamp {
        self.latest.unwrap_or(Timestamp::from_unix_nanos(0))
    }

    fn tell_start(&mut self, index: usize, events: &mut Vec<ProgressEvent>) {
        let Some(at) = self.vertices[index].started() else { return };
        self.tell_sources_of(index, events);
        let vertex = &self.vertices[index];
        if let Some(step) = vertex.step.clone() {
            if self.started_told.insert(Told::Step(step.clone())) {
                events.push(ProgressEvent::StepStarted { at, step });
            }
            return;
        }
        let Some(phase) = told_phase(&vertex.kind) else { return };
        if self.started_told.insert(Told::Vertex(index)) {
            events.push(ProgressEvent::PhaseStarted { at, phase, name: vertex.name.clone() });
        }
    }

    /// A `FROM` completes several times: resolved, pulled, extracted. It is done when something
    /// that needs it starts.
    fn tell_sources_of(&mut self, index: usize, events: &mut Vec<ProgressEvent>) {
        for input in self.vertices[index].inputs.clone() {
            let Some(&source) = self.by_digest.get(&input) else { continue };
            if is_from(&self.vertices[source]) && self.vertices[source].completed().is_some() {
                self.tell_step_end(source, events);
            }
        }
    }

    fn tell_end(&mut self, index: usize, events: &mut Vec<ProgressEvent>) {
        let vertex = &self.vertices[index];
        if !vertex.completed_once() {
            return;
        }
        let failed = vertex.failure().is_some() || vertex.is_canceled();
        if !vertex.is_running() {
            self.flush_output(index, events);
        }
        if self.vertices[index].step.is_some() {
            if failed || !is_from(&self.vertices[index]) {
                self.tell_step_end(index, events);
            }
        } else {
            self.tell_phase_end(index, events);
        }
    }

    fn tell_step_end(&mut self, index: usize, events: &mut Vec<ProgressEvent>) {
        let at = self.vertices[index].completed().unwrap_or_else(|| self.now());
        let vertex = &self.vertices[index];
        let Some(step) = vertex.step.clone() else { return };
        if !self.ended_told.insert(Told::Step(step.clone())) {
            return;
        }
        let seconds = vertex.seconds(at);
        events.push(if let Some(error) = vertex.failure() {
            let log_tail = vertex.log_tail.iter().cloned().collect();
            ProgressEvent::StepFailed { at, step, seconds, error: error.to_owned(), log_tail }
        } else if vertex.is_canceled() {
            ProgressEvent::StepCanceled { at, step, seconds }
        } else {
            // An image that is in the builder's store already is as good as cached.
            let cached = vertex.is_cached() || (is_from(vertex) && !vertex.pulled_anything());
            ProgressEvent::StepFinished { at, step, seconds, cached }
        });
    }

    fn tell_stopped(&mut self, index: usize, events: &mut Vec<ProgressEvent>) {
        let at = self.now();
        let vertex = &self.vertices[index];
        let Some(step) = vertex.step.clone() else { return };
        if self.ended_told.insert(Told::Step(step.clone())) {
            events.push(ProgressEvent::StepCanceled { at, step, seconds: vertex.seconds(at) });
        }
    }

    fn tell_phase_end(&mut self, index: usize, events: &mut Vec<ProgressEvent>) {
        let at = self.vertices[index].completed().unwrap_or_else(|| self.now());
        let vertex = &self.vertices[index];
        let failure = vertex.failure().map(str::to_owned);
        let phase = match (told_phase(&vertex.kind), &failure) {
            (Some(phase), _) => phase,
            (None, Some(error)) => untold_phase(vertex, error),
            (None, None) => return,
        };
        if vertex.is_canceled() || !self.ended_told.insert(Told::Vertex(index)) {
            return;
        }
        let seconds = vertex.seconds(at);
        events.push(match (&vertex.kind, failure) {
            (VertexKind::CacheImport(reference), None) => {
                ProgressEvent::CacheImported { at, reference: reference.clone(), seconds }
            }
            (VertexKind::CacheImport(reference), Some(reason)) => {
                ProgressEvent::CacheMissed { at, reference: reference.clone(), reason }
            }
            (_, None) => {
                ProgressEvent::PhaseFinished { at, phase, name: vertex.name.clone(), seconds }
            }
            (_, Some(error)) => {
                ProgressEvent::PhaseFailed { at, phase, name: vertex.name.clone(), seconds, error }
            }
        });
    }

    fn merge_status(&mut self, update: &StatusUpdate, events: &mut Vec<ProgressEvent>) {
        for moment in [update.started, update.completed, update.timestamp] {
            self.saw(moment);
        }
        let index = self.index_of(&update.vertex, "");
        if !self.vertices[index].merge_activity(update) {
            return;
        }
        let now = self.now();
        let vertex = &self.vertices[index];
        let activity = &vertex.activities[&update.id];
        if activity.current > 0
            && let Some(kind) = transfer_kind(&vertex.kind, &update.id)
        {
            let transfer = Transfer {
                kind,
                what: shorten_digests(&sanitise(&update.id)),
                step: vertex.step.clone(),
                current: activity.current,
                total: activity.total,
                completed: activity.completed.is_some(),
            };
            events.push(ProgressEvent::Bytes { at: now, transfer });
        }
        let Some(phase) = activity_phase(&vertex.kind, &update.id) else { return };
        let name = shorten_digests(&sanitise(&update.id));
        let told = Told::Activity(index, update.id.clone());
        let started = activity.started.unwrap_or(now);
        let completed = activity.completed;
        if self.started_told.insert(told.clone()) {
            events.push(ProgressEvent::PhaseStarted { at: started, phase, name: name.clone() });
        }
        // What fails completes, too: the vertex tells which.
        if let Some(at) = completed
            && self.vertices[index].failure().is_none()
            && self.ended_told.insert(told)
        {
            let seconds = nanos_to_seconds(at.nanos_since(started));
            events.push(ProgressEvent::PhaseFinished { at, phase, name, seconds });
        }
    }

    fn merge_log(&mut self, chunk: &LogChunk, events: &mut Vec<ProgressEvent>) {
        self.saw(chunk.timestamp);
        let mut hasher = DefaultHasher::new();
        (&chunk.vertex, chunk.timestamp, chunk.stream, &chunk.data).hash(&mut hasher);
        if chunk.timestamp.is_some() && !self.seen_logs.is_new(hasher.finish()) {
            return;
        }
        let at = chunk.timestamp.unwrap_or_else(|| self.now());
        let index = self.index_of(&chunk.vertex, "");
        let vertex = &mut self.vertices[index];
        let stream = if chunk.stream == 2 { LogStream::Stderr } else { LogStream::Stdout };
        let lines = vertex.write(stream, &chunk.data, &self.mask);
        let step = &vertex.step;
        events.extend(lines.into_iter().map(|text| ProgressEvent::Log {
            at,
            step: step.clone(),
            stream,
            text,
        }));
    }

    fn flush_output(&mut self, index: usize, events: &mut Vec<ProgressEvent>) {
        let at = self.now();
        let vertex = &mut self.vertices[index];
        let lines = vertex.flush_output(&self.mask);
        let step = &vertex.step;
        events.extend(lines.into_iter().map(|(stream, text)| ProgressEvent::Log {
            at,
            step: step.clone(),
            stream,
            text,
        }));
    }

    fn merge_warning(&mut self, update: &WarningUpdate, events: &mut Vec<ProgressEvent>) {
        let warning = BuildWarning {
            message: sanitise(&String::from_utf8_lossy(&update.short)),
            detail: update
                .detail
                .iter()
                .flat_map(|detail| sanitise_lines(&String::from_utf8_lossy(detail)))
                .collect(),
            url: sanitise(&update.url),
            file: update.source_info.as_ref().map_or_else(String::new, |s| sanitise(&s.filename)),
            line: update.range.first().map(|range| range.start.line).filter(|line| *line > 0),
        };
        if !self.warnings.contains(&warning) {
            self.warnings.push(warning.clone());
            events.push(ProgressEvent::Warning { warning });
        }
    }
}

fn is_from(vertex: &Vertex) -> bool {
    matches!(&vertex.kind, VertexKind::Step(name) if name.is_from())
}
