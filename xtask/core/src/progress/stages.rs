//! Steps summed up by stage.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{
    build::BuildState,
    cause::Cause,
    changed::Compared,
    event::StepRef,
    lineage::Lineage,
    name::VertexKind,
    report::{FirstRun, StageReport, StepReport, StepState},
    summary::Clock,
    vertex::{Vertex, union_seconds},
};

/// A platform, if several are built, and a stage.
type StageKey<'a> = (Option<&'a str>, &'a str);

/// The stages, those first that others build on.
pub(super) fn stages(state: &BuildState, steps: &[StepReport], clock: &Clock) -> Vec<StageReport> {
    let mut groups: BTreeMap<StageKey<'_>, Vec<&StepReport>> = BTreeMap::new();
    for step in steps {
        let key = (step.step.platform.as_deref(), step.step.stage.as_str());
        groups.entry(key).or_default().push(step);
    }
    let depths = stage_depths(state);
    let mut stages: Vec<_> = groups.into_iter().collect();
    let start = |members: &[&StepReport]| {
        let own = members.iter().filter(|step| !step.step.is_from());
        own.flat_map(|step| step.intervals.first()).map(|i| i.0).fold(f64::MAX, f64::min)
    };
    stages.sort_by(|(a, a_steps), (b, b_steps)| {
        let depth = |key: &StageKey<'_>| depths.get(key).copied().unwrap_or(0);
        (a.0, depth(a))
            .cmp(&(b.0, depth(b)))
            .then(start(a_steps).total_cmp(&start(b_steps)))
            .then(a.1.cmp(b.1))
    });
    stages
        .into_iter()
        .map(|((platform, name), members)| {
            let own = || members.iter().filter(|step| !step.step.is_from());
            let count = |test: fn(StepState) -> bool| own().filter(|s| test(s.state)).count();
            StageReport {
                platform: platform.map(str::to_owned),
                name: name.to_owned(),
                seconds: stage_seconds(state, platform, name, clock),
                steps: own().count(),
                cached: count(|state| state == StepState::Cached),
                run: count(StepState::is_run),
                first_run: own()
                    .find(|step| step.state.is_run())
                    .and_then(|step| first_run(state, &step.step)),
            }
        })
        .collect()
}

fn stage_seconds(state: &BuildState, platform: Option<&str>, stage: &str, clock: &Clock) -> f64 {
    let of_stage = |vertex: &&Vertex| {
        vertex.step.as_ref().is_some_and(|s| s.stage == stage && s.platform.as_deref() == platform)
    };
    let vertices = state.vertices().iter().filter(of_stage);
    union_seconds(vertices.flat_map(|vertex| vertex.intervals(clock.now)).collect())
}

fn first_run(state: &BuildState, step: &StepRef) -> Option<FirstRun> {
    let of_step = |vertex: &&Vertex| vertex.step.as_ref() == Some(step) && vertex.has_run();
    let vertices = state.vertices().iter().filter(of_step);
    let vertex = vertices.min_by_key(|v| matches!(&v.kind, VertexKind::Step(name) if name.link))?;
    Some(FirstRun {
        step: step.clone(),
        cause: Cause::of(state, vertex),
        compared: Compared::default(),
        lineage: state.ended().map(|_| Lineage::of(state, vertex)),
        looked: false,
    })
}

/// How many stages a stage builds on, in the longest chain of them. `FROM` vertices are shared by
/// stages and carry the name of any of them, so they say nothing.
fn stage_depths(state: &BuildState) -> HashMap<StageKey<'_>, usize> {
    let mut edges: HashSet<(StageKey<'_>, StageKey<'_>)> = HashSet::new();
    for vertex in state.vertices() {
        let Some(to) = stage_of(vertex) else { continue };
        let inputs = vertex.inputs.iter().filter_map(|input| state.vertex(input));
        edges.extend(inputs.filter_map(stage_of).filter(|from| *from != to).map(|from| (from, to)));
    }
    let mut depths = HashMap::new();
    // As many rounds as there are edges reach every stage, and end even if they form a circle.
    for _ in 0..edges.len() {
        for (from, to) in &edges {
            let depth = depths.get(from).copied().unwrap_or(0) + 1;
            let known = depths.entry(*to).or_insert(0);
            *known = depth.max(*known).min(edges.len());
        }
    }
    depths
}

fn stage_of(vertex: &Vertex) -> Option<StageKey<'_>> {
    match &vertex.kind {
        VertexKind::Step(name) if !name.is_from() => {
            Some((name.platform.as_deref(), name.stage.as_str()))
        }
        _ => None,
    }
}
