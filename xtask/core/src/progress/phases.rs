//! What happens around the steps: caches, transfers, exports.

use std::collections::HashMap;

use super::{
    build::BuildState,
    classify::{activity_phase, transfer_kind, untold_phase},
    event::{Phase, StepRef, TransferKind},
    name::VertexKind,
    report::{CacheImport, PathEntry, PhaseReport},
    summary::Clock,
    text::{sanitise, shorten_digests},
};

/// Everything that is no step, in order.
pub(super) fn phases(state: &BuildState, clock: &Clock) -> Vec<PhaseReport> {
    let mut phases = Vec::new();
    for vertex in state.vertices() {
        let Some(phase) = vertex_phase(&vertex.kind) else { continue };
        let Some(started) = vertex.started() else { continue };
        let error = vertex.failure().map(str::to_owned);
        let activities: Vec<_> = vertex
            .activities
            .iter()
            .filter_map(|(id, activity)| {
                let phase = activity_phase(&vertex.kind, id)?;
                let start = activity.started?;
                let end = activity.completed.unwrap_or(clock.now);
                Some(PhaseReport {
                    phase,
                    name: shorten_digests(&sanitise(id)),
                    start: clock.offset(start),
                    seconds: end.seconds_since(start),
                    error: None,
                })
            })
            .collect();
        if activities.is_empty() || error.is_some() {
            phases.push(PhaseReport {
                phase: error
                    .as_deref()
                    .filter(|_| vertex.kind == VertexKind::Export)
                    .map_or(phase, |error| untold_phase(vertex, error)),
                name: vertex.name.clone(),
                start: clock.offset(started),
                seconds: vertex.seconds(clock.now),
                error,
            });
        }
        phases.extend(activities);
    }
    phases.sort_by(|a, b| a.start.total_cmp(&b.start).then_with(|| a.name.cmp(&b.name)));
    phases
}

fn vertex_phase(kind: &VertexKind) -> Option<Phase> {
    match kind {
        VertexKind::Step(_) => None,
        VertexKind::LoadDefinition => Some(Phase::Definition),
        VertexKind::LoadContext => Some(Phase::Context),
        VertexKind::ResolveBase(_) => Some(Phase::Resolve),
        VertexKind::Authenticate => Some(Phase::Authenticate),
        VertexKind::CacheImport(_) => Some(Phase::CacheImport),
        VertexKind::CacheExport => Some(Phase::CacheExport),
        VertexKind::Export => Some(Phase::Export),
        VertexKind::Load => Some(Phase::Load),
        VertexKind::Other => Some(Phase::Other),
    }
}

/// How long a phase took, if there was one. What was done side by side counts once: several caches
/// are written at the same time.
pub(super) fn total_seconds(phases: &[PhaseReport], phase: Phase) -> Option<f64> {
    let of_phase: Vec<_> = phases.iter().filter(|p| p.phase == phase).collect();
    // An exporter that failed stands for all that it did, beside the parts of it.
    let whole = of_phase.iter().filter(|p| p.error.is_none() || of_phase.len() == 1);
    let mut total = 0.0;
    let mut until = f64::MIN;
    // They are in order of their starts.
    for phase in whole {
        let end = phase.start + phase.seconds;
        total += (end - phase.start.max(until)).max(0.0);
        until = until.max(end);
    }
    (!of_phase.is_empty()).then(|| round(total))
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

/// The caches that were to be read.
pub(super) fn cache_imports(state: &BuildState, clock: &Clock) -> Vec<CacheImport> {
    let vertices = state.vertices().iter();
    vertices
        .filter_map(|vertex| match &vertex.kind {
            VertexKind::CacheImport(reference) if vertex.started().is_some() => Some(CacheImport {
                reference: reference.clone(),
                seconds: vertex.seconds(clock.now),
                missed: vertex.failure().map(str::to_owned),
            }),
            _ => None,
        })
        .collect()
}

/// Bytes that were moved, so far.
#[derive(Default)]
pub struct Transferred<'a> {
    /// Of the build context.
    pub context: u64,
    /// By digest: a layer is reported by every step that waits for it.
    pub pulled: HashMap<&'a str, u64>,
    /// By digest: what these will come to.
    pub pulling: HashMap<&'a str, u64>,
    /// `None` where BuildKit does not say.
    pub pushed: Option<u64>,
}

impl<'a> Transferred<'a> {
    pub fn of(state: &'a BuildState) -> Self {
        let mut bytes = Self::default();
        for vertex in state.vertices() {
            for (id, activity) in &vertex.activities {
                match transfer_kind(&vertex.kind, id) {
                    Some(TransferKind::Context) => bytes.context += activity.current,
                    Some(TransferKind::Pull) => {
                        let known = bytes.pulled.entry(id).or_default();
                        *known = activity.current.max(*known);
                        let known = bytes.pulling.entry(id).or_default();
                        *known = activity.total.unwrap_or(activity.current).max(*known);
                    }
                    Some(TransferKind::Push) if activity.total.is_some() => {
                        *bytes.pushed.get_or_insert(0) += activity.current;
                    }
                    _ => {}
                }
            }
        }
        bytes
    }
}

/// The steps of the path, and after them the exports: these wait for all steps.
pub(super) fn critical_path(
    state: &BuildState,
    path: &[usize],
    phases: &[PhaseReport],
    clock: &Clock,
) -> Vec<PathEntry> {
    let mut entries: Vec<PathEntry> = Vec::new();
    for vertex in path.iter().map(|&index| &state.vertices()[index]) {
        let label = vertex.step.as_ref().map_or_else(|| vertex.name.clone(), StepRef::label);
        let seconds = vertex.seconds(clock.now);
        match entries.last_mut() {
            Some(last) if last.label == label => last.seconds = round(last.seconds + seconds),
            _ => entries.push(PathEntry { label, seconds }),
        }
    }
    for (phase, label) in [
        (Phase::Export, "export"),
        (Phase::Load, "load into the image store"),
        (Phase::Push, "push"),
        (Phase::CacheExport, "cache export"),
    ] {
        if let Some(seconds) = total_seconds(phases, phase) {
            entries.push(PathEntry { label: label.to_owned(), seconds });
        }
    }
    entries
}
