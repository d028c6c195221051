//! From the state of a build to its report.

use std::collections::{BTreeMap, HashSet};

use super::{
    build::{BuildState, Ended},
    classify::transfer_kind,
    critical,
    event::{Phase, StepRef, TransferKind},
    failure::Failure,
    name::{StepName, VertexKind},
    phases::{Transferred, cache_imports, critical_path, phases, total_seconds},
    report::{BuildReport, Outcome, StageReport, StepReport, StepState},
    stages::stages,
    time::Timestamp,
    vertex::{Interval, Vertex, merge, union_seconds},
};

/// How far the steps are.
pub(super) struct SoFar {
    pub stages: Vec<StageReport>,
    pub steps: Vec<StepReport>,
    pub cached: usize,
    pub run: usize,
    path: Vec<usize>,
}

impl BuildState {
    /// What a frame of the live view needs of a report; the rest takes longer.
    pub(super) fn so_far(&self) -> SoFar {
        SoFar::of(self, Vec::new())
    }

    /// Sums up what is known. Sensible at any time, complete after [`BuildState::finish`].
    pub fn report(&self) -> BuildReport {
        let clock = Clock::of(self);
        let SoFar { stages, steps, cached, run, path } = SoFar::of(self, critical::path(self));
        let phases = phases(self, &clock);
        let total = |kind: Phase| total_seconds(&phases, kind);
        let bytes = Transferred::of(self);
        BuildReport {
            outcome: match self.ended() {
                None => Outcome::Running,
                Some(Ended::Success) => Outcome::Succeeded,
                Some(Ended::Failed(_)) => Outcome::Failed,
                Some(Ended::Interrupted) => Outcome::Interrupted,
            },
            started: self.started(),
            seconds: clock.now.seconds_since(clock.origin),
            cached_steps: cached,
            run_steps: run,
            cache_imports: cache_imports(self, &clock),
            cache_export_seconds: total(Phase::CacheExport),
            cache_export_error: self
                .vertices()
                .iter()
                .filter(|vertex| vertex.kind == VertexKind::CacheExport)
                .find_map(|vertex| vertex.failure().map(str::to_owned)),
            export_seconds: total(Phase::Export),
            push_seconds: total(Phase::Push),
            load_seconds: total(Phase::Load),
            context_bytes: bytes.context,
            pulled_bytes: bytes.pulled.values().sum(),
            pushed_bytes: bytes.pushed,
            critical_path: critical_path(self, &path, &phases, &clock),
            warnings: self.warnings().to_vec(),
            failure: Failure::of(self),
            stages,
            steps,
            phases,
        }
    }
}

impl SoFar {
    fn of(state: &BuildState, path: Vec<usize>) -> Self {
        let clock = Clock::of(state);
        let steps = steps(state, &clock, &path);
        let stages = stages(state, &steps, &clock);
        let counted = |state: fn(StepState) -> bool| {
            steps.iter().filter(|step| !step.step.is_from() && state(step.state)).count()
        };
        let (cached, run) =
            (counted(|state| state == StepState::Cached), counted(StepState::is_run));
        Self { stages, steps, cached, run, path }
    }
}

/// The moments that a report is made of.
pub struct Clock {
    pub origin: Timestamp,
    pub now: Timestamp,
    pub ended: bool,
}

impl Clock {
    fn of(state: &BuildState) -> Self {
        let origin = state.started().unwrap_or(Timestamp::from_unix_nanos(0));
        let now = state.latest().unwrap_or(origin);
        Self { origin, now, ended: state.ended().is_some() }
    }

    pub fn offset(&self, moment: Timestamp) -> f64 {
        moment.seconds_since(self.origin)
    }

    fn offsets(&self, interval: Interval) -> (f64, f64) {
        (self.offset(interval.0), self.offset(interval.1))
    }
}

/// The vertices of one step: one, or the two of a `COPY --link`.
struct StepGroup<'a> {
    name: &'a StepName,
    members: Vec<usize>,
}

fn step_groups(state: &BuildState) -> Vec<StepGroup<'_>> {
    let mut groups: BTreeMap<(Option<&str>, &str, usize, &str), StepGroup<'_>> = BTreeMap::new();
    for (index, vertex) in state.vertices().iter().enumerate() {
        let VertexKind::Step(name) = &vertex.kind else { continue };
        let key =
            (name.platform.as_deref(), name.stage.as_str(), name.index, name.instruction.as_str());
        let group = groups.entry(key).or_insert_with(|| StepGroup { name, members: Vec::new() });
        group.members.push(index);
    }
    groups.into_values().collect()
}

fn steps(state: &BuildState, clock: &Clock, path: &[usize]) -> Vec<StepReport> {
    let critical: HashSet<usize> = path.iter().copied().collect();
    step_groups(state)
        .iter()
        .map(|group| {
            let members: Vec<&Vertex> =
                group.members.iter().map(|&index| &state.vertices()[index]).collect();
            let intervals: Vec<Interval> =
                members.iter().flat_map(|vertex| vertex.intervals(clock.now)).collect();
            StepReport {
                step: StepRef::from(group.name),
                state: step_state(group.name, &members, clock.ended),
                seconds: union_seconds(intervals.clone()),
                intervals: merge(intervals).into_iter().map(|i| clock.offsets(i)).collect(),
                pulled_bytes: members.iter().map(|vertex| pulled_by(vertex)).sum(),
                error: members.iter().find_map(|vertex| vertex.failure().map(str::to_owned)),
                critical: group.members.iter().any(|index| critical.contains(index)),
            }
        })
        .collect()
}

fn step_state(name: &StepName, members: &[&Vertex], ended: bool) -> StepState {
    let any = |test: fn(&Vertex) -> bool| members.iter().any(|vertex| test(vertex));
    // Copying is the step's own work, linking the layer is not: that is always done anew.
    let own = members
        .iter()
        .filter(|vertex| vertex.started().is_some())
        .min_by_key(|vertex| matches!(&vertex.kind, VertexKind::Step(name) if name.link));
    let Some(own) = own else { return StepState::Pending };
    if any(|vertex| vertex.failure().is_some()) {
        StepState::Failed
    } else if any(Vertex::is_canceled) || (ended && any(Vertex::is_running)) {
        StepState::Canceled
    } else if any(Vertex::is_running) && !own.is_cached() {
        StepState::Running
    } else if name.is_from() {
        StepState::Source
    } else if own.is_cached() {
        StepState::Cached
    } else {
        StepState::Run
    }
}

fn pulled_by(vertex: &Vertex) -> u64 {
    let layers = vertex.activities.iter();
    layers
        .filter(|(id, _)| transfer_kind(&vertex.kind, id) == Some(TransferKind::Pull))
        .map(|(_, activity)| activity.current)
        .sum()
}
