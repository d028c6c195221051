//! What a build came to.

use super::{FAILED, play, report};
use crate::progress::{
    BuildState, Ended, FailedPhase,
    cause::Cause,
    report::{Outcome, StepState},
    stream,
};

/// A small build: the two stages, `base` below `app`.
const GRAPH: &str = r#"{"vertexes":[
    {"digest":"from","name":"[base 1/2] FROM 127.0.0.1/x","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z"},
    {"digest":"ctx","name":"[internal] load build context","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:03Z"},
    {"digest":"run","name":"[base 2/2] RUN a","inputs":["from"],"started":"2026-01-01T00:00:01Z","completed":"2026-01-01T00:00:02Z"},
    {"digest":"copy","name":"[app 1/1] COPY . /","inputs":["run","ctx"],"started":"2026-01-01T00:00:03Z","completed":"2026-01-01T00:00:05Z"}
]}"#;

fn played(lines: &[&str], ended: Ended) -> BuildState {
    let mut state = BuildState::new();
    for line in lines {
        state.apply_line(stream::parse(&line.replace('\n', " ")).unwrap());
    }
    state.finish(ended);
    state
}

#[test]
fn steps_are_counted_by_stage() {
    type Expected = (&'static str, usize, usize, usize);
    let cases: [(&str, &[Expected]); 6] = [
        (
            "cold_load",
            &[
                ("base", 1, 0, 1),
                ("models", 1, 0, 1),
                ("dependencies", 2, 0, 2),
                ("runtime", 4, 0, 4),
            ],
        ),
        (
            "cached_load",
            &[
                ("base", 1, 1, 0),
                ("models", 1, 1, 0),
                ("dependencies", 2, 2, 0),
                ("runtime", 4, 4, 0),
            ],
        ),
        (
            "push_cache_hit",
            &[
                ("base", 1, 1, 0),
                ("models", 1, 1, 0),
                ("dependencies", 2, 2, 0),
                ("runtime", 4, 2, 2),
            ],
        ),
        ("fresh_cache", &[("base", 1, 1, 0), ("runtime", 2, 0, 2)]),
        ("link_cached", &[("base", 1, 1, 0), ("runtime", 3, 3, 0)]),
        ("link_changed", &[("base", 1, 1, 0), ("runtime", 3, 1, 2)]),
    ];
    for (name, stages) in cases {
        let report = report(name, Ended::Success);
        let found: Vec<Expected> = stages
            .iter()
            .filter_map(|(stage, ..)| report.stages.iter().find(|s| s.name == *stage))
            .zip(stages)
            .map(|(found, expected)| (expected.0, found.steps, found.cached, found.run))
            .collect();
        assert_eq!(found, stages, "{name}");
        assert_eq!(report.stages.len(), stages.len(), "{name}");
        assert_eq!(report.outcome, Outcome::Succeeded, "{name}");
        assert_eq!(report.cached_steps, stages.iter().map(|s| s.2).sum::<usize>(), "{name}");
        assert_eq!(report.run_steps, stages.iter().map(|s| s.3).sum::<usize>(), "{name}");
        assert_eq!(report.stages.last().unwrap().name, "runtime", "{name}");
        assert_eq!(report.failure, None, "{name}");
    }
}

#[test]
fn a_step_that_was_run_says_why() {
    let cause = |name: &str, stage: &str| {
        let report = report(name, Ended::Success);
        let stage = report.stages.iter().find(|s| s.name == stage).unwrap();
        stage.first_run.as_ref().map(|first| (first.step.position(), first.cause.to_string()))
    };
    let some = |step: &str, cause: &str| Some((step.to_owned(), cause.to_owned()));
    assert_eq!(cause("cached_load", "runtime"), None);
    assert_eq!(
        cause("push_cache_missing", "runtime"),
        some("runtime 3/4", "no cached result for these files")
    );
    assert_eq!(
        cause("cold_load", "base"),
        some("base 2/2", "no cached result for this instruction")
    );
    assert_eq!(cause("cold_load", "dependencies"), some("dependencies 1/2", "base 2/2 was run"));
    assert_eq!(
        cause("link_changed", "runtime"),
        some("runtime 2/3", "no cached result for these files")
    );
}

/// The layer is put on a new base, and was not copied again: the step that follows was run because
/// of the base.
#[test]
fn a_linked_layer_is_cached_though_its_base_is_not() {
    let line = r#"{"vertexes":[
        {"digest":"from","name":"[app 1/4] FROM 127.0.0.1/x","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z"},
        {"digest":"ctx","name":"[internal] load build context","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z"},
        {"digest":"run","name":"[app 2/4] RUN a","inputs":["from"],"started":"2026-01-01T00:00:01Z","completed":"2026-01-01T00:00:02Z"},
        {"digest":"copy","name":"[app 3/4] COPY --link . /","inputs":["ctx"],"started":"2026-01-01T00:00:01Z","completed":"2026-01-01T00:00:01Z","cached":true},
        {"digest":"link","name":"[app 3/4] LINK COPY --link . /","inputs":["run","copy"],"started":"2026-01-01T00:00:02Z","completed":"2026-01-01T00:00:03Z"},
        {"digest":"last","name":"[app 4/4] RUN b","inputs":["link"],"started":"2026-01-01T00:00:03Z","completed":"2026-01-01T00:00:04Z"}
    ]}"#;
    let state = played(&[line], Ended::Success);
    let report = state.report();
    let states: Vec<StepState> = report.steps.iter().map(|s| s.state).collect();
    assert_eq!(states, [StepState::Source, StepState::Run, StepState::Cached, StepState::Run]);
    let last = state.vertex("last").unwrap();
    assert!(
        matches!(Cause::of(&state, last), Cause::StepRan { step } if step.position() == "app 2/4")
    );
}

#[test]
fn failures_say_where_and_why() {
    type Expected = (FailedPhase, Option<&'static str>, Option<i32>, &'static str, Option<usize>);
    let cases: [(&str, Expected); 9] = [
        (
            "failing_run",
            (FailedPhase::Build, Some("runtime 2/2"), Some(3), "did not complete", Some(6)),
        ),
        (
            "copy_missing",
            (FailedPhase::Build, Some("stage-0 2/2"), None, "\"/nofile\": not found", Some(2)),
        ),
        ("push_refused", (FailedPhase::Push, None, None, "failed to push 127.0.0.1:9", None)),
        (
            "cache_export_refused",
            (FailedPhase::CacheExport, None, None, "error writing layer blob", None),
        ),
        (
            "no_such_base",
            (FailedPhase::Resolve, None, None, "127.0.0.1:4566/nope:1: not found", Some(2)),
        ),
        (
            "missing_dockerfile",
            (
                FailedPhase::Build,
                None,
                None,
                "failed to read dockerfile: open Nope.Dockerfile",
                None,
            ),
        ),
        ("missing_context", (FailedPhase::Build, None, None, "unable to prepare context", None)),
        ("syntax", (FailedPhase::Build, None, None, "unknown instruction: RUNN", Some(2))),
        ("unknown_flag", (FailedPhase::Build, None, None, "unknown flag: --nope", None)),
    ];
    for (name, (phase, step, exit_code, error, line)) in cases {
        let report = report(name, FAILED);
        assert_eq!(report.outcome, Outcome::Failed, "{name}");
        let failure = report.failure.unwrap_or_else(|| panic!("{name} failed"));
        assert_eq!(failure.phase, phase, "{name}");
        assert_eq!(failure.step.map(|s| s.position()).as_deref(), step, "{name}");
        assert_eq!(failure.exit_code, exit_code, "{name}");
        assert!(failure.error.contains(error), "{name}: {}", failure.error);
        assert!(!failure.error.starts_with("ERROR"), "{name}: {}", failure.error);
        assert_eq!(failure.excerpt.map(|e| e.line), line, "{name}");
    }
}

#[test]
fn the_log_tail_of_a_failed_step_is_its_last_fifty_lines() {
    let failure = report("failing_run", FAILED).failure.unwrap();
    assert_eq!(failure.log_tail.len(), 50);
    assert_eq!(failure.log_tail[0], "log line 12");
    assert_eq!(failure.log_tail[49], "error: no such module");
    assert_eq!(failure.summary(), "exit code 3");
}

#[test]
fn silence_and_signals_are_explained() {
    for (ended, error) in
        [(Ended::Failed(Some(102)), "exit code 102"), (Ended::Failed(None), "killed by a signal")]
    {
        let failure = played(&[], ended).report().failure.unwrap();
        assert!(failure.error.contains(error), "{}", failure.error);
    }
    assert_eq!(Ended::from_exit_code(Some(130)), Ended::Interrupted);
    assert_eq!(Ended::from_exit_code(Some(0)), Ended::Success);
    assert_eq!(Ended::from_exit_code(None), Ended::Failed(None));
}

/// A cache that could not be exported is not what failed, if something else did.
#[test]
fn an_ignored_error_is_not_the_cause() {
    let export = r#"{"vertexes":[{"digest":"e","name":"exporting cache to registry","started":"2026-01-01T00:00:06Z","completed":"2026-01-01T00:00:07Z","error":"denied"}]}"#;
    let disk = "ERROR: failed to build: failed to solve: no space left on device";
    let failure = played(&[GRAPH, export, disk], FAILED).report().failure.unwrap();
    assert_eq!(
        (failure.phase, failure.error.as_str()),
        (FailedPhase::Build, "no space left on device")
    );

    let report = report("cache_export_ignored", Ended::Success);
    assert_eq!(report.failure, None);
    assert!(report.cache_export_error.unwrap().contains("connection refused"));
}

#[test]
fn an_engine_that_went_away_is_not_the_step_s_failure() {
    for said in [
        "failed to receive status: rpc error: code = Unavailable desc = error reading from \
         server: EOF",
        "Unavailable: error reading from server: EOF",
        "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?",
    ] {
        let step = r#"{"vertexes":[{"digest":"s","name":"[1/1] RUN x","started":"2026-01-01T00:00:06Z","completed":"2026-01-01T00:00:07Z","error":"EOF"}]}"#;
        let failure =
            played(&[GRAPH, step, &format!("ERROR: {said}")], FAILED).report().failure.unwrap();
        assert_eq!((failure.phase, failure.error.as_str()), (FailedPhase::Connection, said));
        assert_eq!(failure.step, None);
    }
    // A step may say the same of something else.
    let said = r#"ERROR: failed to build: failed to solve: process "x" did not complete successfully: Cannot connect to the Docker daemon"#;
    let failure = played(&[GRAPH, said], FAILED).report().failure.unwrap();
    assert_eq!(failure.phase, FailedPhase::Build);
}

#[test]
fn an_interrupted_build_has_not_failed() {
    let report = report("interrupted", Ended::Interrupted);
    assert_eq!((report.outcome, report.failure), (Outcome::Interrupted, None));
    assert_eq!(report.steps.last().unwrap().state, StepState::Canceled);

    let running = r#"{"vertexes":[{"digest":"x","name":"[a 1/2] RUN x","started":"2026-01-01T00:00:00Z"},{"digest":"y","name":"[a 2/2] RUN y","inputs":["x"]}]}"#;
    let report = played(&[running], Ended::Interrupted).report();
    let states: Vec<StepState> = report.steps.iter().map(|s| s.state).collect();
    assert_eq!(states, [StepState::Canceled, StepState::Pending]);
}

#[test]
fn bytes_and_seconds_are_summed_up() {
    let pulled = report("fresh_cache", Ended::Success);
    assert_eq!(pulled.context_bytes, 74);
    assert_eq!(pulled.pulled_bytes, 12_585_090 + 31_086_306);
    assert_eq!(pulled.pushed_bytes, None);
    assert_eq!(pulled.cache_imports[0].missed, None);
    assert!(pulled.push_seconds.unwrap() > 0.0 && pulled.cache_export_seconds.is_none());

    let pushed = report("push_cache_missing", Ended::Success);
    assert!(pushed.cache_imports[0].missed.as_deref().unwrap().ends_with("not found"));
    assert!((pushed.cache_export_seconds.unwrap() - 0.235).abs() < 0.001);
    assert!((pushed.push_seconds.unwrap() - 0.060).abs() < 0.002);
    assert!(pushed.cache_export_error.is_none());
}

/// Several caches are written at the same time: their export takes as long as the longest.
#[test]
fn what_is_done_side_by_side_counts_once() {
    let export = |digest: &str, place: &str, from: u8, to: u8| {
        format!(
            r#"{{"vertexes":[{{"digest":"{digest}","name":"exporting cache to {place}","started":"2026-01-01T00:00:{from:02}Z","completed":"2026-01-01T00:00:{to:02}Z"}}]}}"#
        )
    };
    let lines = [
        export("r", "registry", 6, 9),
        export("l", "client directory", 6, 8),
        export("s", "Amazon S3", 8, 11),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let report = played(&lines, Ended::Success).report();
    assert_eq!(report.cache_export_seconds, Some(5.0));
}

/// What two steps wait for is pulled once.
#[test]
fn a_layer_that_two_steps_wait_for_counts_once() {
    let layers = r#"{"statuses":[
        {"id":"sha256:aa","vertex":"run","current":700,"total":1000,"timestamp":"2026-01-01T00:00:02Z"},
        {"id":"sha256:aa","vertex":"copy","current":1000,"total":1000,"timestamp":"2026-01-01T00:00:03Z"},
        {"id":"sha256:bb","vertex":"copy","current":5,"total":5,"timestamp":"2026-01-01T00:00:03Z"},
        {"id":"extracting sha256:bb","vertex":"copy","current":5,"timestamp":"2026-01-01T00:00:03Z"}]}"#;
    assert_eq!(played(&[GRAPH, layers], Ended::Success).report().pulled_bytes, 1005);
}

#[test]
fn the_critical_path_follows_what_was_done_last() {
    let report = played(&[GRAPH], Ended::Success).report();
    let path: Vec<_> = report.critical_path.iter().map(|e| e.label.as_str()).collect();
    // The context took longer than what the copy was put on.
    assert_eq!(path, ["[internal] load build context", "app 1/1 COPY . /"]);
    let critical: Vec<bool> = report.steps.iter().map(|s| s.critical).collect();
    assert_eq!(critical, [true, false, false]);
    assert_eq!(report.steps[0].step.position(), "app 1/1");

    let report = super::report("cold_load", Ended::Success);
    let path: Vec<_> = report
        .critical_path
        .iter()
        .map(|e| e.label.split(' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(
        path,
        [
            "models 1/2",
            "base 2/2",
            "dependencies 1/2",
            "dependencies 2/2",
            "runtime 1/4",
            "runtime 2/4",
            "runtime 3/4",
            "runtime 4/4",
            "export",
            "load into"
        ]
    );
}

#[test]
fn circles_in_the_graph_do_not_hang() {
    let circle = r#"{"vertexes":[
        {"digest":"a","name":"[x 1/1] RUN a","inputs":["b"],"started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z"},
        {"digest":"b","name":"[y 1/1] RUN b","inputs":["a"],"started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z"}]}"#;
    let report = played(&[circle], Ended::Success).report();
    assert_eq!((report.stages.len(), report.critical_path.len()), (2, 2));
}

#[test]
fn platforms_are_stages_of_their_own() {
    let report = report("multi_platform", Ended::Success);
    let labels: Vec<_> = report.stages.iter().map(|s| s.label()).collect();
    assert_eq!(labels, ["linux/arm64 files", "linux/arm64 stage-1"]);
}

/// The shape that `--format json` shows.
#[test]
fn the_report_is_json() {
    let json = serde_json::to_value(report("failing_run", FAILED)).unwrap();
    assert_eq!(json["outcome"], "failed");
    assert_eq!(json["failure"]["phase"], "build");
    assert_eq!(json["failure"]["step"]["stage"], "runtime");
    assert_eq!(json["stages"][1]["first-run"]["cause"], "step-ran");
    assert!(json["stages"][1]["first-run"]["after"]["index"].is_u64(), "{json}");
    assert_eq!(json["steps"][0]["state"], "source");
    assert!(json["started"].as_str().unwrap().starts_with("2026-11-22T22:30:08."));
    let running = play("cold_load", Ended::Success, 4096, 1).0;
    assert!(serde_json::to_value(running.report()).unwrap()["steps"][0]["intervals"].is_array());
}

#[test]
fn the_times_of_build_push_and_cache_export_add_up() {
    for (name, ended) in
        [("push_cache_missing", Ended::Success), ("push_cache_hit", Ended::Success)]
    {
        let report = report(name, ended);
        let whole = report.seconds + 0.5;
        let times = report.times(whole);
        let (push, cache) = (times.push.unwrap(), times.cache_export.unwrap());
        assert!(push > 0.0 && cache > 0.0 && times.build > 0.5, "{name}: {times:?}");
        assert!((times.build + push + cache - whole).abs() < 0.001, "{name}: {times:?}");
        assert!((push - report.push_seconds.unwrap()).abs() < 0.002, "{name}: {times:?}");
    }
    let times = report("cold_load", Ended::Success).times(60.0);
    assert_eq!((times.build, times.push, times.cache_export), (60.0, None, None));
}

#[test]
fn what_is_pushed_side_by_side_counts_once() {
    let line = r#"{"vertexes":[
        {"digest":"e","name":"exporting to image","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:09Z"},
        {"digest":"c","name":"exporting cache to registry","started":"2026-01-01T00:00:06Z","completed":"2026-01-01T00:00:10Z"}
    ],"statuses":[
        {"vertex":"e","id":"pushing layers","started":"2026-01-01T00:00:02Z","completed":"2026-01-01T00:00:07Z"},
        {"vertex":"e","id":"pushing manifest for a","started":"2026-01-01T00:00:05Z","completed":"2026-01-01T00:00:08Z"}
    ]}"#;
    let times = played(&[line], Ended::Success).report().times(11.0);
    assert_eq!((times.build, times.push, times.cache_export), (3.0, Some(6.0), Some(2.0)));
}

#[test]
fn it_is_known_when_the_files_were_read() {
    let vertex = |digest: &str, name: &str, second: u8, ended: bool| {
        let at = format!("2026-01-01T00:00:0{second}Z");
        let end = if ended { format!(r#","completed":"{at}""#) } else { String::new() };
        format!(r#"{{"vertexes":[{{"digest":"{digest}","name":"{name}","started":"{at}"{end}}}]}}"#)
    };
    let (dockerfile, context) =
        ("[internal] load build definition from Dockerfile", "[internal] load build context");
    let lines = [
        (vertex("d", dockerfile, 0, true), None),
        (vertex("c", context, 1, false), None),
        (vertex("c", context, 1, true), Some(2)),
        (vertex("r", "[app 2/2] RUN a", 2, false), Some(2)),
        // Again, for another stage.
        (vertex("c", context, 3, false), None),
        (vertex("c", context, 3, true), Some(3)),
        (vertex("n", "[context assets] load from client", 4, false), None),
        (vertex("n", "[context assets] load from client", 4, true), Some(4)),
    ];
    let mut state = BuildState::new();
    for (line, reads) in lines {
        state.apply_line(stream::parse(&line).unwrap());
        assert_eq!(state.reads(), reads, "{line}");
    }
    for recording in ["cold_load", "push_cache_hit", "multi_platform"] {
        assert!(play(recording, Ended::Success, 4096, 1).0.reads().is_some(), "{recording}");
    }
}
