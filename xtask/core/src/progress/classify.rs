//! Which phase a vertex and what it does belong to, and which way bytes go.

use super::{
    event::{Phase, TransferKind},
    name::VertexKind,
    vertex::Vertex,
};

/// Which phase a vertex is, if its start and end are worth an event.
pub fn told_phase(kind: &VertexKind) -> Option<Phase> {
    match kind {
        VertexKind::ResolveBase(_) => Some(Phase::Resolve),
        VertexKind::Authenticate => Some(Phase::Authenticate),
        VertexKind::CacheImport(_) => Some(Phase::CacheImport),
        VertexKind::CacheExport => Some(Phase::CacheExport),
        VertexKind::Load => Some(Phase::Load),
        VertexKind::Other => Some(Phase::Other),
        // Told by their transfers, by what they do, or as steps; not told: nothing but noise.
        VertexKind::LoadDefinition
        | VertexKind::LoadContext
        | VertexKind::Export
        | VertexKind::Step(_) => None,
    }
}

/// Which phase it is that failed, of those that are not told otherwise.
pub fn untold_phase(vertex: &Vertex, error: &str) -> Phase {
    match vertex.kind {
        VertexKind::LoadDefinition => Phase::Definition,
        VertexKind::LoadContext => Phase::Context,
        VertexKind::Export if is_push_failure(vertex, error) => Phase::Push,
        VertexKind::Export => Phase::Export,
        _ => Phase::Other,
    }
}

/// Whether an export failed at pushing, which is the last thing that it does.
pub fn is_push_failure(vertex: &Vertex, error: &str) -> bool {
    error.starts_with("failed to push")
        || vertex.activities.keys().any(|id| id.starts_with("pushing "))
}

/// What an activity within an exporter is.
pub fn activity_phase(kind: &VertexKind, id: &str) -> Option<Phase> {
    if *kind != VertexKind::Export {
        return None;
    }
    let loads = ["naming to", "unpacking to", "loading layer", "sending tarball", "copying files"];
    Some(if id.starts_with("pushing ") {
        Phase::Push
    } else if loads.iter().any(|prefix| id.starts_with(prefix)) {
        Phase::Load
    } else {
        Phase::Export
    })
}

/// Which way the bytes of an activity go.
pub fn transfer_kind(kind: &VertexKind, id: &str) -> Option<TransferKind> {
    match kind {
        VertexKind::LoadDefinition => Some(TransferKind::Definition),
        VertexKind::LoadContext => Some(TransferKind::Context),
        VertexKind::CacheExport => Some(TransferKind::Push),
        VertexKind::Export | VertexKind::Load => Some(match activity_phase(kind, id) {
            None | Some(Phase::Load) => TransferKind::Load,
            Some(_) => TransferKind::Push,
        }),
        _ => id.starts_with("sha256:").then_some(TransferKind::Pull),
    }
}
