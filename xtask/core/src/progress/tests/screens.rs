//! What people see.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FAILED, play, recording, report};
use crate::progress::{
    BuildState, Ended, frame, log, render, stream,
    text::{duration, width},
};

fn plain(name: &str, ended: Ended) -> Vec<String> {
    play(name, ended, 4096, 1).1.iter().flat_map(render::plain).collect()
}

/// The state after so many lines of a recording.
fn partly(name: &str, lines: usize) -> BuildState {
    let mut state = BuildState::new();
    for line in recording(name).lines().take(lines) {
        state.apply_line(stream::parse(line).unwrap());
    }
    state
}

#[test]
fn plain_lines_of_a_code_change() {
    assert_eq!(
        plain("push_cache_missing", Ended::Success),
        [
            "cache 127.0.0.1:4566/loppestars:buildcache  not there yet",
            "sent 129 B of the build context",
            "models 1/2 FROM docker.io/example/busybox:1@sha256:e2103a13c7b9  CACHED",
            "base 2/2 RUN echo base > /etc/base && sleep 0.4  CACHED",
            "dependencies 1/2 COPY req/ /req/  CACHED",
            "dependencies 2/2 RUN sleep 0.8 && cat \
             /req/heavy.txt && dd if=/dev/urandom of=/deps bs=1024 count=600  CACHED",
            "runtime 1/4 COPY --from=dependencies /deps /opt/deps  CACHED",
            "models 2/2 RUN sleep 0.6; echo \"model ready\"; echo \"downloaded\" >&2; dd \
             if=/dev/urandom of=/model bs=1024 count=300  CACHED",
            "runtime 2/4 COPY --from=models /model /opt/model  CACHED",
            "runtime 3/4 COPY app/ /srv/app/  0.0s",
            "runtime 4/4 RUN ls /srv/app && for i in $(seq 1 5); do echo \"line $i\"; done  0.2s",
            "pushing layers  0.1s",
            "pushing manifest for 127.0.0.1:4566/loppestars:git-1@sha256:09aa6a72de67  0.0s",
            "exporting cache to registry  0.2s",
        ]
    );
}

#[test]
fn plain_lines_of_failures() {
    let last = |name: &str| plain(name, FAILED).last().unwrap().clone();
    assert!(last("failing_run").ends_with("FAILED after 0.2s: exit code 3"));
    assert!(
        last("push_refused").starts_with("exporting to image  FAILED after 0.0s: failed to push")
    );
    assert!(last("cache_export_refused").starts_with("warning: the cache was not exported: "));
}

#[test]
fn the_table_at_the_end() {
    assert_eq!(
        render::table(&report("push_cache_missing", Ended::Success), None),
        [
            "stage         steps  cached  time  run because",
            "base              1       1  0.0s",
            "models            1       1  0.0s",
            "dependencies      2       2  0.0s",
            "runtime           4       2  0.2s  3/4 COPY app/ /srv/app/: no cached result for these files",
            "",
            "built in 0.7s: 6 steps cached, 2 run",
            "context 129 B, cache import 0.0s, export 0.1s, load 0.0s, push 0.1s, cache export 0.2s",
            "cache 127.0.0.1:4566/loppestars:buildcache not there yet",
            "longest on the critical path: cache export 0.2s, runtime 4/4 RUN ls /srv/app && for i in \
             $(seq 1… 0.2s, export 0.1s",
        ]
    );
}

#[test]
fn the_table_compares_with_earlier_builds() {
    let medians = BTreeMap::from([("base".to_owned(), 0.3), ("runtime".to_owned(), 61.0)]);
    let usual = render::Usual { stages: &medians, cache_import: None, cache_export: Some(2.0) };
    let table = render::table(&report("push_cache_missing", Ended::Success), Some(&usual));
    assert!(table[7].ends_with("push 0.1s, cache export 0.2s (median 2.0s)"), "{}", table[7]);
    assert_eq!(
        table[..5],
        [
            "stage         steps  cached  time  median  run because",
            "base              1       1  0.0s    0.3s",
            "models            1       1  0.0s",
            "dependencies      2       2  0.0s",
            "runtime           4       2  0.2s   1m01s  3/4 COPY app/ /srv/app/: no cached result for these files",
        ]
    );
}

#[test]
fn a_failure_shows_the_dockerfile_and_the_last_output() {
    let lines = render::failure(&report("failing_run", FAILED));
    assert_eq!(
        lines[..8],
        [
            "runtime 2/2 failed: exit code 3",
            "Fail.Dockerfile:6",
            "  5 | COPY app/ /srv/app/",
            "> 6 | RUN echo \"compiling\" && \\",
            "> 7 |     for i in $(seq 1 60); do echo \"log line $i\"; done && \\",
            "> 8 |     echo \"error: no such module\" >&2 && exit 3",
            "  9 |",
            "last 50 lines of its output:",
        ]
    );
    assert_eq!(lines.last().unwrap(), "  | error: no such module");
    assert_eq!(
        render::failure(&report("missing_dockerfile", FAILED)),
        ["failed to read dockerfile: open Nope.Dockerfile: no such file or directory"]
    );
    assert_eq!(render::failure(&report("cold_load", Ended::Success)), [""; 0]);
}

#[test]
fn the_full_log_has_everything_with_its_time() {
    let (state, events) = play("failing_run", FAILED, 4096, 1);
    let log: Vec<_> = events.iter().flat_map(|e| log::lines(e, state.started())).collect();
    for expected in [
        "   0.050 base 2/2 RUN echo base-ok ...",
        "   0.216 base 2/2 | base-ok",
        "   0.445 runtime 2/2 | log line 60",
        "   0.445 runtime 2/2 ! error: no such module",
        "   0.471 runtime 2/2 FAILED after 0.2s",
        "            6 | >>> RUN echo \"compiling\" && \\",
    ] {
        assert!(log.iter().any(|line| line == expected), "{expected} in {log:#?}");
    }
}

#[test]
fn a_frame_shows_what_runs_now() {
    let half = recording("pull_base").lines().position(|l| l.contains("\"current\":17825792"));
    let state = partly("pull_base", half.unwrap() + 1);
    let now = state.latest().unwrap().plus(Duration::from_secs(3));
    let frame = frame::frame(&state, now, frame::Size { lines: 10, columns: 120 });
    assert_eq!(frame.len(), 3, "{frame:#?}");
    assert!(frame[0].contains("pulling 17.8 MB of 31.1 MB"), "{frame:#?}");
    assert!(frame[1].starts_with("base     1/2    3."), "{frame:#?}");
    assert!(frame[1].ends_with("(pulling 17.8 MB of 31.1 MB)"), "{frame:#?}");
    assert_eq!(frame[2], "runtime  waits");
}

#[test]
fn frames_fit_whatever_the_size_and_the_moment() {
    for name in ["cold_load", "fresh_cache", "push_cache_hit", "failing_run", "warnings"] {
        for played in 0..recording(name).lines().count() {
            let state = partly(name, played);
            let Some(now) = state.latest() else { continue };
            for (lines, columns) in [(0, 0), (1, 1), (2, 20), (5, 40), (50, 200)] {
                let frame = frame::frame(&state, now, frame::Size { lines, columns });
                assert!(frame.len() <= lines, "{frame:#?}");
                for line in &frame {
                    assert!(width(line) <= columns, "{line} in {columns} columns");
                    assert!(!line.chars().any(char::is_control), "{line:?}");
                }
            }
        }
    }
}

#[test]
fn what_is_at_work_stays_when_there_is_no_room() {
    let runs = |count: usize| {
        let vertices: Vec<_> = (0..count)
            .map(|n| {
                let end = if n == count - 1 { "" } else { r#","completed":"2026-01-01T00:00:01Z""# };
                format!(
                    r#"{{"digest":"{n}","name":"[stage{n} 1/1] RUN work","started":"2026-01-01T00:00:00Z"{end}}}"#
                )
            })
            .collect();
        format!(r#"{{"vertexes":[{}]}}"#, vertices.join(","))
    };
    let mut state = BuildState::new();
    state.apply_line(stream::parse(&runs(30)).unwrap());
    let now = state.latest().unwrap();
    let frame = frame::frame(&state, now, frame::Size { lines: 3, columns: 80 });
    assert_eq!(frame.len(), 3);
    assert_eq!(frame[0], format!("building {} · 29/30 steps, 0 cached", duration(1.0)));
    assert!(frame.iter().any(|line| line.starts_with("stage29")), "{frame:#?}");
}
