//! What a step is made from, in the graph of the build.

use std::collections::{BTreeMap, HashSet};

use super::{build::BuildState, event::StepRef, name::VertexKind, vertex::Vertex};

/// A step with everything that it builds on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// The step itself, and then the steps below it.
    pub steps: Vec<StepRef>,
    /// Those of them that take files of the build context.
    pub readers: Vec<StepRef>,
    /// Whether files come from somewhere else: a named context, an address.
    pub elsewhere: bool,
    /// The images at the bottom, with their digests.
    pub bases: BTreeMap<String, String>,
}

impl Lineage {
    /// Of a vertex.
    pub fn of(state: &BuildState, vertex: &Vertex) -> Self {
        let mut lineage = Self::default();
        lineage.add(state, vertex, &mut HashSet::new());
        lineage
    }

    fn add<'a>(&mut self, state: &'a BuildState, vertex: &'a Vertex, seen: &mut HashSet<&'a str>) {
        if let Some(step) = vertex.step.as_ref().filter(|step| !step.is_from())
            && !self.steps.contains(step)
        {
            self.steps.push(step.clone());
        }
        for digest in &vertex.inputs {
            let Some(input) = state.vertex(digest) else { continue };
            if input.kind == VertexKind::LoadContext && is_internal(input) {
                let reader = vertex.step.iter().filter(|step| !self.readers.contains(step));
                self.readers.extend(reader.cloned().collect::<Vec<_>>());
                continue;
            }
            if !seen.insert(digest) {
                continue;
            }
            match (base(input), &input.kind) {
                (Some((name, digest)), _) => drop(self.bases.insert(name, digest)),
                (None, VertexKind::Step(_)) => self.add(state, input, seen),
                // Such as a here-document, which is a line of the Dockerfile.
                (None, VertexKind::Other) if is_internal(input) => self.add(state, input, seen),
                (None, _) => self.elsewhere = true,
            }
        }
    }
}

impl BuildState {
    /// The images that the build started from, with their digests, as far as BuildKit named them.
    pub fn bases(&self) -> BTreeMap<String, String> {
        self.vertices().iter().filter_map(base).collect()
    }
}

/// Whether BuildKit made it up by itself: so it names the context that has no name.
fn is_internal(vertex: &Vertex) -> bool {
    vertex.name.contains("internal] ")
}

/// `[base 1/2] FROM NAME@DIGEST`, or `FROM NAME@DIGEST` of what is only copied from.
fn base(vertex: &Vertex) -> Option<(String, String)> {
    let image = match &vertex.kind {
        VertexKind::Step(name) if name.is_from() => vertex.name.split_once("] ")?.1,
        VertexKind::Other => vertex.name.as_str(),
        _ => return None,
    };
    let image = image.trim_start().strip_prefix("FROM ")?.split_whitespace().next_back()?;
    let (name, digest) = image.split_once('@')?;
    Some((name.to_owned(), digest.to_owned()))
}
