//! Why a build failed, and in which phase.

use serde::Serialize;

use super::{
    build::{BuildState, Ended},
    classify::is_push_failure,
    event::StepRef,
    excerpt::{Excerpt, final_error},
    name::VertexKind,
    text::{sanitise, sanitise_lines},
    vertex::Vertex,
};

/// What to tell about a failed build.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Failure {
    /// Where it failed.
    pub phase: FailedPhase,
    /// The step, if it was one.
    pub step: Option<StepRef>,
    /// The error, sanitised; lines are separated by `\n`.
    pub error: String,
    /// The exit code of the step's command.
    pub exit_code: Option<i32>,
    /// The last lines that the step wrote, at most fifty.
    pub log_tail: Vec<String>,
    /// The failing lines of the Dockerfile.
    pub excerpt: Option<Excerpt>,
}

/// In which phase a build failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum FailedPhase {
    /// The Dockerfile, its context or one of its steps.
    Build,
    /// A base image could not be found or pulled.
    Resolve,
    /// Layers or manifests could not be made: a full disk, for instance.
    Export,
    /// The image could not be pushed.
    Push,
    /// The cache could not be exported; the image was built, and pushed if that was asked for.
    CacheExport,
    /// The connection to the Docker Engine or to the builder ended, or there was none.
    Connection,
}

impl FailedPhase {
    /// Whether a registry refused what was built, so that the exit code is the push's.
    pub fn is_push(self) -> bool {
        matches!(self, Self::Push | Self::CacheExport)
    }
}

impl Failure {
    /// The error in one line: `exit code 3` says more than the whole command again.
    pub fn summary(&self) -> String {
        match self.exit_code {
            Some(code) => format!("exit code {code}"),
            None => summary(&self.error),
        }
    }

    /// Why the build failed. `None` if it did not, or is not over.
    pub fn of(state: &BuildState) -> Option<Self> {
        let Some(Ended::Failed(code)) = state.ended() else { return None };
        let said = final_error(state.text());
        let cut = said.as_deref().is_some_and(is_cut);
        let vertex = if cut { None } else { culprit(state, said.as_deref()) };
        let vertex_error = vertex.and_then(Vertex::failure);
        let error = said
            .as_deref()
            .or(vertex_error)
            .map_or_else(|| unexplained(state, code), str::to_owned);
        let phase = vertex.map_or_else(|| phase_of_text(&error), phase_of_vertex);
        Some(Self {
            phase,
            step: vertex.and_then(|v| v.step.clone()),
            exit_code: vertex_error.and_then(exit_code),
            log_tail: vertex.map_or_else(Vec::new, |v| v.log_tail.iter().cloned().collect()),
            excerpt: Excerpt::find(state.text()),
            error,
        })
    }
}

/// An error in one line.
pub fn summary(error: &str) -> String {
    match exit_code(error) {
        Some(code) => format!("exit code {code}"),
        None => sanitise(error.lines().next().unwrap_or("no reason was given")),
    }
}

/// The vertex whose error is the build's. Others failed as well, and it did not matter (a cache that
/// may be missing), or were stopped because of it.
fn culprit<'a>(state: &'a BuildState, said: Option<&str>) -> Option<&'a Vertex> {
    let failed = || {
        state.vertices().iter().filter_map(|vertex| {
            let error = vertex.failure()?;
            (!matches!(vertex.kind, VertexKind::CacheImport(_))).then_some((vertex, error))
        })
    };
    let named = said.and_then(|said| {
        failed().filter(|(_, error)| said.contains(error)).max_by_key(|(_, error)| error.len())
    });
    // The errors of cache exports can be ignored: guess one last, and not if buildx says otherwise.
    let guessed = || {
        failed()
            .filter(|(vertex, _)| said.is_none() || vertex.kind != VertexKind::CacheExport)
            .min_by_key(|(vertex, _)| (vertex.kind == VertexKind::CacheExport, vertex.completed()))
    };
    named.or_else(guessed).map(|(vertex, _)| vertex)
}

fn phase_of_vertex(vertex: &Vertex) -> FailedPhase {
    match &vertex.kind {
        VertexKind::Step(name) if name.is_from() => FailedPhase::Resolve,
        VertexKind::ResolveBase(_) => FailedPhase::Resolve,
        VertexKind::Authenticate if vertex.name.contains("push") => FailedPhase::Push,
        VertexKind::Authenticate => FailedPhase::Resolve,
        VertexKind::CacheExport => FailedPhase::CacheExport,
        VertexKind::Export if is_push_failure(vertex, vertex.failure().unwrap_or_default()) => {
            FailedPhase::Push
        }
        VertexKind::Export | VertexKind::Load => FailedPhase::Export,
        _ => FailedPhase::Build,
    }
}

/// For errors that no vertex has: the wording is BuildKit's.
fn phase_of_text(error: &str) -> FailedPhase {
    let says = |needles: &[&str]| needles.iter().any(|needle| error.contains(needle));
    if is_cut(error) {
        FailedPhase::Connection
    } else if says(&["failed to push"]) {
        FailedPhase::Push
    } else if says(&["failed to resolve source metadata", "pull access denied"]) {
        FailedPhase::Resolve
    } else if says(&["error writing layer blob", "cache export"]) {
        FailedPhase::CacheExport
    } else {
        FailedPhase::Build
    }
}

/// Whether buildx lost the engine or the builder, in its own words: what it says of a step that
/// could not reach something begins otherwise.
fn is_cut(error: &str) -> bool {
    const BEGINNINGS: [&str; 5] = [
        "Unavailable: error reading from server",
        "failed to receive status: rpc error: code = Unavailable",
        "listing workers for Build: failed to list workers: Unavailable",
        "Cannot connect to the Docker daemon",
        "failed to connect to the docker API",
    ];
    BEGINNINGS.iter().any(|beginning| error.starts_with(beginning))
}

/// No `ERROR:` line, no failed vertex: usage errors are plain text, a killed process says nothing.
fn unexplained(state: &BuildState, code: Option<i32>) -> String {
    let text = sanitise_lines(&state.text().join("\n")).join("\n");
    match (text.trim(), code) {
        ("", Some(code)) => format!("buildx ended with exit code {code} and gave no reason"),
        ("", None) => "buildx was killed by a signal".to_owned(),
        (text, _) => text.to_owned(),
    }
}

/// `process "…" did not complete successfully: exit code: 3`.
fn exit_code(error: &str) -> Option<i32> {
    let (_, after) = error.rsplit_once("did not complete successfully: exit code: ")?;
    let end = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after[..end].parse().ok()
}
