//! The chain of work that decided how long a build took.

use std::collections::HashSet;

use super::{build::BuildState, vertex::Vertex};

/// The critical path through the build graph: from the step that was done last, each time to the
/// input that was done last, in the order of execution. Indices into [`BuildState::vertices`].
pub fn path(state: &BuildState) -> Vec<usize> {
    let last_of = |indices: &mut dyn Iterator<Item = usize>| {
        indices
            .filter(|&index| state.vertices()[index].completed().is_some())
            .max_by_key(|&index| finished_last(&state.vertices()[index]))
    };
    let mut steps = (0..state.vertices().len()).filter(|&i| state.vertices()[i].step.is_some());
    let mut next = last_of(&mut steps);
    let mut visited = HashSet::new();
    let mut path = Vec::new();
    while let Some(index) = next {
        if !visited.insert(index) {
            break;
        }
        path.push(index);
        next = last_of(
            &mut state.vertices()[index].inputs.iter().filter_map(|input| state.index(input)),
        );
    }
    path.reverse();
    path
}

/// Of what completed at the same moment, as cached steps do, the one latest in its stage is last.
fn finished_last(vertex: &Vertex) -> impl Ord + use<> {
    let index = vertex.step.as_ref().map_or(0, |step| step.index);
    (vertex.completed(), index)
}
