//! The module as a whole, on streams recorded from BuildKit.
//!
//! `testdata/*.jsonl` is what `docker buildx build --progress=rawjson` (0.29, Docker Engine 28.5 with the
//! containerd image store) wrote to standard error, with image names and ports replaced and the
//! Dockerfile checks' copies of the build definition left out.

mod changes;
mod events;
mod reports;
mod screens;
mod timelines;

use std::path::Path;

use super::{BuildReport, BuildState, Ended, ProgressEvent, stream};
use crate::lines::Lines;

/// A recorded stream: what buildx wrote to standard error.
pub(super) fn recording(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/progress/testdata")
        .join(name)
        .with_extension("jsonl");
    std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{} can not be read: {error}", path.display()))
}

/// Plays a recording in pieces of so many bytes, each line so many times.
pub(super) fn play(
    name: &str,
    ended: Ended,
    piece: usize,
    times: usize,
) -> (BuildState, Vec<ProgressEvent>) {
    let (mut state, mut lines, mut events) = (BuildState::new(), Lines::default(), Vec::new());
    let recording = recording(name);
    let mut complete: Vec<String> =
        recording.as_bytes().chunks(piece).flat_map(|piece| lines.push(piece)).collect();
    complete.extend(lines.finish());
    for line in complete {
        // buildx's plain text has no identity: only updates can be told apart from repetitions.
        let times = if line.starts_with('{') { times } else { 1 };
        for _ in 0..times {
            events.extend(state.apply_line(stream::parse(&line).unwrap()));
        }
    }
    events.extend(state.finish(ended));
    (state, events)
}

/// The report of a recording of a build that ended so.
pub(super) fn report(name: &str, ended: Ended) -> BuildReport {
    play(name, ended, 4096, 1).0.report()
}

pub(super) const FAILED: Ended = Ended::Failed(Some(1));
