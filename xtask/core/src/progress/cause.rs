//! Why a step was not cached, as far as that can be told from the stream.
//!
//! BuildKit says which steps were cached, not why others were not. What can be concluded: if a step
//! that this one builds on was run, its result is new; if everything this one builds on was cached,
//! then it is this step's own instruction or the files it copies that no cache has a result for.
//! Which of its inputs changed is told by a comparison with an earlier build: [`super::changed`].

use std::{collections::HashSet, fmt};

use serde::Serialize;

use super::{build::BuildState, event::StepRef, name::VertexKind, vertex::Vertex};

/// Why a step was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "cause", rename_all = "kebab-case")]
pub enum Cause {
    /// Something that it builds on was run.
    StepRan {
        /// That step.
        #[serde(rename = "after")]
        step: StepRef,
    },
    /// No cache has a result for these files: they differ, or the instruction does.
    Files,
    /// No cache has a result for this instruction on this base.
    Instruction,
    /// The build was not to use any.
    NoCache,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::StepRan { step } => write!(f, "{} was run", step.position()),
            Self::Files => f.write_str("no cached result for these files"),
            Self::Instruction => f.write_str("no cached result for this instruction"),
            Self::NoCache => f.write_str("--no-cache"),
        }
    }
}

impl Cause {
    /// Why this vertex, that was run, was not cached.
    pub fn of(state: &BuildState, vertex: &Vertex) -> Self {
        if let Some(step) = step_that_ran(state, vertex, &mut HashSet::new()) {
            return Self::StepRan { step };
        }
        let copies = vertex
            .inputs
            .iter()
            .filter_map(|input| state.vertex(input))
            .any(|input| input.kind == VertexKind::LoadContext);
        if copies { Self::Files } else { Self::Instruction }
    }
}

/// The first input that was run. Putting a linked layer in place is nothing of its own: what counts
/// is what it was put on, and what was copied.
fn step_that_ran(
    state: &BuildState,
    vertex: &Vertex,
    visited: &mut HashSet<String>,
) -> Option<StepRef> {
    let inputs = vertex.inputs.iter().filter(|digest| visited.insert((*digest).clone()));
    let inputs: Vec<_> = inputs.filter_map(|digest| state.vertex(digest)).collect();
    inputs.into_iter().filter(|input| input.has_run()).find_map(|input| match &input.kind {
        VertexKind::Step(name) if name.link => step_that_ran(state, input, visited),
        VertexKind::Step(name) if !name.is_from() => Some(StepRef::from(name)),
        _ => None,
    })
}
