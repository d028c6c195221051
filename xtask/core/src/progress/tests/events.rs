//! Each thing is told once, whatever the pipe and BuildKit do.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use super::{FAILED, play, recording};
use crate::progress::{
    BuildState, Ended, ProgressEvent,
    event::{LogStream, Phase, TransferKind},
    frame, log,
    stream::{self, Line},
};

const RECORDINGS: [(&str, Ended); 22] = [
    ("cold_load", Ended::Success),
    ("cached_load", Ended::Success),
    ("push_cache_missing", Ended::Success),
    ("push_cache_hit", Ended::Success),
    ("pull_base", Ended::Success),
    ("fresh_cache", Ended::Success),
    ("link_push_attested", Ended::Success),
    ("link_cached", Ended::Success),
    ("link_changed", Ended::Success),
    ("multi_platform", Ended::Success),
    ("warnings", Ended::Success),
    ("cache_export_ignored", Ended::Success),
    ("cache_export_refused", FAILED),
    ("failing_run", FAILED),
    ("copy_missing", FAILED),
    ("push_refused", FAILED),
    ("no_such_base", FAILED),
    ("missing_dockerfile", FAILED),
    ("missing_context", FAILED),
    ("syntax", FAILED),
    ("unknown_flag", Ended::Failed(Some(125))),
    ("interrupted", Ended::Interrupted),
];

#[test]
fn pieces_and_repetitions_change_nothing() {
    for (name, ended) in RECORDINGS {
        let (state, events) = play(name, ended, usize::MAX, 1);
        for (piece, times) in [(1, 1), (7, 3), (4096, 2)] {
            let (again, same) = play(name, ended, piece, times);
            assert_eq!(same, events, "{name} in pieces of {piece}, {times} times");
            assert_eq!(again.report(), state.report(), "{name}");
        }
    }
}

#[test]
fn hearing_everything_a_second_time_is_no_news() {
    for (name, ended) in RECORDINGS {
        let (mut state, _) = play(name, ended, usize::MAX, 1);
        let report = state.report();
        for line in recording(name).lines() {
            if let Line::Status(status) = stream::parse(line).unwrap() {
                assert_eq!(state.apply(status), [], "{name}: {line}");
            }
        }
        assert_eq!(state.report(), report, "{name}");
    }
}

#[test]
fn every_step_that_starts_ends_once_and_in_that_order() {
    for (name, ended) in RECORDINGS {
        let (_, events) = play(name, ended, 4096, 1);
        let mut open = Vec::new();
        let mut closed = Vec::new();
        for event in events {
            match event {
                ProgressEvent::StepStarted { step, .. } => open.push(step),
                ProgressEvent::StepFinished { step, .. }
                | ProgressEvent::StepFailed { step, .. }
                | ProgressEvent::StepCanceled { step, .. } => {
                    let at = open.iter().position(|s| *s == step);
                    open.remove(at.unwrap_or_else(|| panic!("{name}: {} began", step.label())));
                    assert!(!closed.contains(&step), "{name}: {} ended twice", step.label());
                    closed.push(step);
                }
                ProgressEvent::Log { step: Some(step), .. } => {
                    assert!(open.contains(&step), "{name}: output within {}", step.label());
                }
                _ => {}
            }
        }
        assert_eq!(open, [], "{name}");
    }
}

#[test]
fn output_arrives_whole_and_in_order() {
    let (_, events) = play("failing_run", FAILED, 4096, 1);
    let output: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            ProgressEvent::Log { step: Some(step), stream, text, .. } if step.index == 2 => {
                (step.stage == "runtime").then_some((*stream, text.as_str()))
            }
            _ => None,
        })
        .collect();
    assert_eq!(output.len(), 62);
    assert_eq!(output[0], (LogStream::Stdout, "compiling"));
    assert_eq!(output[60], (LogStream::Stdout, "log line 60"));
    assert_eq!(output[61], (LogStream::Stderr, "error: no such module"));
}

#[test]
fn a_base_image_is_done_when_it_is_pulled_and_not_when_it_is_resolved() {
    let (_, events) = play("pull_base", Ended::Success, 4096, 1);
    let at = |test: &dyn Fn(&ProgressEvent) -> bool| events.iter().position(test).unwrap();
    let pulled = at(&|event| {
        matches!(event, ProgressEvent::Bytes { transfer, .. }
            if transfer.completed && transfer.kind == TransferKind::Pull
                && transfer.current == 31_086_306)
    });
    let done = at(&|event| {
        matches!(event, ProgressEvent::StepFinished { step, cached: false, seconds, .. }
            if step.is_from() && *seconds > 0.3)
    });
    let next =
        at(&|event| matches!(event, ProgressEvent::StepStarted { step, .. } if step.index == 2));
    assert!(pulled < done && done < next);
}

#[test]
fn a_missing_cache_is_told_as_missed_and_a_found_one_as_imported() {
    let (_, events) = play("push_cache_missing", Ended::Success, 4096, 1);
    assert!(events.iter().any(|event| matches!(event,
        ProgressEvent::CacheMissed { reference, reason, .. }
            if reference == "127.0.0.1:4566/loppestars:buildcache" && reason.ends_with("not found"))));
    assert!(!events.iter().any(|event| matches!(event, ProgressEvent::PhaseFailed { .. })));

    let (_, events) = play("push_cache_hit", Ended::Success, 4096, 1);
    assert!(events.iter().any(|event| matches!(event,
        ProgressEvent::CacheImported { reference, .. }
            if reference == "127.0.0.1:4566/loppestars:buildcache")));
}

#[test]
fn exports_are_told_by_phase() {
    let (_, events) = play("push_cache_missing", Ended::Success, 4096, 1);
    let finished: Vec<(Phase, &str)> = events
        .iter()
        .filter_map(|event| match event {
            ProgressEvent::PhaseFinished { phase, name, .. } => Some((*phase, name.as_str())),
            _ => None,
        })
        .collect();
    for expected in [
        (Phase::Export, "exporting layers"),
        (Phase::Export, "exporting manifest sha256:09aa6a72de67"),
        (Phase::Load, "unpacking to 127.0.0.1:4566/loppestars:git-1"),
        (Phase::Push, "pushing layers"),
        (Phase::Push, "pushing manifest for 127.0.0.1:4566/loppestars:git-1@sha256:09aa6a72de67"),
        (Phase::CacheExport, "exporting cache to registry"),
    ] {
        assert!(finished.contains(&expected), "{expected:?} in {finished:?}");
    }
}

#[test]
fn warnings_are_told_once_each() {
    let (state, events) = play("warnings", Ended::Success, 4096, 2);
    let told = events.iter().filter(|e| matches!(e, ProgressEvent::Warning { .. })).count();
    assert_eq!((told, state.warnings().len()), (3, 3));
    assert_eq!(state.warnings()[2].line, Some(6));
    assert_eq!(state.warnings()[2].file, "Warn.Dockerfile");
}

#[test]
fn what_a_build_prints_can_not_do_harm() {
    let (state, events) = play("warnings", Ended::Success, 4096, 1);
    let json = serde_json::to_string(&events).unwrap();
    let lines = events.iter().flat_map(|event| log::lines(event, state.started()));
    for line in lines.chain([json]) {
        assert!(!line.contains('\u{1b}') && !line.contains('\r'), "{line:?}");
        assert!(!line.contains("##[") && !line.trim_start().starts_with("::"), "{line:?}");
    }
}

/// Ten lines a chunk, as BuildKit sends them when a command writes fast. The limit is generous: an
/// unoptimised test on a busy machine takes a tenth of it.
#[test]
fn ten_thousand_lines_take_little_time() {
    let vertex = r#"{"vertexes":[{"digest":"sha256:a","name":"[a 1/1] RUN noise","started":"2026-01-01T00:00:00Z"}]}"#;
    let mut input = vec![vertex.to_owned()];
    input.extend((0..1000).map(|chunk| {
        let lines: String = (0..10).map(|n| format!("\u{1b}[32mline {chunk}{n}\u{1b}[0m\n")).collect();
        let data = BASE64_STANDARD.encode(lines);
        format!(
            r#"{{"logs":[{{"vertex":"sha256:a","stream":1,"data":"{data}","timestamp":"2026-01-01T00:00:01.{chunk:03}Z"}}]}}"#
        )
    }));
    let begun = Instant::now();
    let mut state = BuildState::new();
    let mut count = 0;
    for line in &input {
        let events = state.apply_line(stream::parse(line).unwrap());
        count += events.iter().flat_map(|event| log::lines(event, state.started())).count();
    }
    let size = frame::Size { lines: 20, columns: 100 };
    let frames = frame::frame(&state, state.latest().unwrap(), size);
    assert_eq!(count, 10_001);
    assert!(frames.iter().any(|line| line.contains("line 9999")), "{frames:#?}");
    assert!(begun.elapsed() < Duration::from_secs(5), "took {:?}", begun.elapsed());
}
