//! A build on a time axis.

use std::collections::{HashMap, HashSet};

use super::{FAILED, report};
use crate::progress::{BuildState, Ended, stream, timeline, waterfall};

const RECORDINGS: [(&str, Ended); 6] = [
    ("cold_load", Ended::Success),
    ("fresh_cache", Ended::Success),
    ("link_changed", Ended::Success),
    ("multi_platform", Ended::Success),
    ("failing_run", FAILED),
    ("missing_context", FAILED),
];

/// What the format asks for: complete events with numbers, and no overlap within a thread.
#[test]
fn traces_are_valid() {
    for (name, ended) in RECORDINGS {
        let trace = timeline::trace(&report(name, ended));
        let events = trace["traceEvents"].as_array().unwrap();
        let mut threads: HashMap<u64, Vec<(f64, f64)>> = HashMap::new();
        let mut named = HashSet::new();
        for event in events {
            assert!(event["pid"].is_u64() && event["tid"].is_u64() && event["name"].is_string());
            match event["ph"].as_str().unwrap() {
                "M" if event["name"] == "thread_sort_index" => {
                    assert!(event["args"]["sort_index"].is_u64(), "{name}: {event}");
                }
                "M" => {
                    assert!(event["args"]["name"].is_string(), "{name}: {event}");
                    named.insert((event["name"].as_str().unwrap(), event["tid"].as_u64().unwrap()));
                }
                "X" => {
                    let (ts, dur) = (event["ts"].as_f64().unwrap(), event["dur"].as_f64().unwrap());
                    assert!(ts >= 0.0 && dur >= 0.0, "{name}: {event}");
                    threads.entry(event["tid"].as_u64().unwrap()).or_default().push((ts, ts + dur));
                }
                other => panic!("{name}: an event of kind {other}"),
            }
        }
        assert!(named.contains(&("process_name", 0)), "{name}");
        assert!(threads.keys().all(|tid| named.contains(&("thread_name", *tid))), "{name}");
        for slices in threads.values_mut() {
            slices.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(slices.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{name}: {slices:?}");
        }
    }
}

#[test]
fn a_trace_names_its_stages_and_marks_the_critical_path() {
    let trace = timeline::trace(&report("cold_load", Ended::Success));
    let events = trace["traceEvents"].as_array().unwrap();
    let names: Vec<_> = events
        .iter()
        .filter(|event| event["name"] == "thread_name")
        .map(|event| event["args"]["name"].as_str().unwrap())
        .collect();
    for stage in ["base", "models", "dependencies", "runtime", "around the steps"] {
        assert!(names.contains(&stage), "{stage} in {names:?}");
    }
    let critical = events.iter().filter(|event| event["args"]["critical"] == true).count();
    assert!(critical >= 7, "{critical} slices");
}

/// The builder's clock was set back, and what is in the store already is cached at once.
#[test]
fn no_work_takes_less_than_nothing() {
    let line = r#"{"vertexes":[
        {"digest":"a","name":"[x 1/1] RUN a","started":"2026-01-01T00:00:05Z","completed":"2026-01-01T00:00:01Z"},
        {"digest":"e","name":"exporting to image","inputs":["a"],"started":"2026-01-01T00:00:01Z","completed":"2026-01-01T00:00:00Z"}],
        "statuses":[{"vertex":"e","id":"pushing layers","started":"2026-01-01T00:00:03Z","completed":"2026-01-01T00:00:02Z"}]}"#;
    let mut state = BuildState::new();
    state.apply_line(stream::parse(&line.replace('\n', " ")).unwrap());
    state.finish(Ended::Success);
    let report = state.report();
    let trace = timeline::trace(&report);
    for event in trace["traceEvents"].as_array().unwrap().iter().filter(|e| e["ph"] == "X") {
        assert!(event["ts"].as_f64() >= Some(0.0) && event["dur"].as_f64() >= Some(0.0), "{event}");
    }
    assert!(!waterfall::html(&report, "x").contains(":-"));
}

/// The first build has no cache to read. That is nothing to be alarmed about.
#[test]
fn a_cache_that_is_not_there_is_not_drawn_as_a_failure() {
    let page = waterfall::html(&report("push_cache_missing", Ended::Success), "x");
    assert!(page.contains("importing cache manifest") && !page.contains("row failed"));
    let failed = waterfall::html(&report("failing_run", FAILED), "x");
    assert!(failed.contains("row failed"));
}

#[test]
fn a_page_has_every_step_and_is_alone() {
    for (name, ended) in RECORDINGS {
        let report = report(name, ended);
        let page = waterfall::html(&report, "loppestars");
        assert_eq!(
            page.matches("<div class=\"row ").count(),
            report.steps.len() + report.phases.len()
        );
        let critical = report.steps.iter().filter(|step| step.critical).count();
        assert_eq!(page.matches(" critical\" tabindex").count(), critical, "{name}");
        for foreign in ["<script", "src=", "href=", "url(", "@import", "http://", "https://"] {
            let said = report.failure.as_ref().is_some_and(|f| f.error.contains(foreign));
            assert!(said || !page.contains(foreign), "{name}: {foreign}");
        }
        for tag in ["div", "span", "ul", "li", "h2", "p", "code", "i"] {
            let (open, close) = (format!("<{tag}"), format!("</{tag}>"));
            let opened = page
                .match_indices(&open)
                .filter(|(at, _)| page[at + open.len()..].starts_with([' ', '>']));
            assert_eq!(opened.count(), page.matches(&close).count(), "{name}: {tag}");
        }
    }
}

#[test]
fn a_page_escapes_what_a_build_says() {
    let line = r#"{"vertexes":[{"digest":"a","name":"[<b>x</b> 1/1] RUN echo '</code><script>1</script>'","started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z","error":"<img src=x onerror=y>"}]}"#;
    let mut state = BuildState::new();
    state.apply_line(stream::parse(line).unwrap());
    state.finish(FAILED);
    let page = waterfall::html(&state.report(), "<title>");
    for hostile in ["<script", "<img", "<b>x", "<title></h1>"] {
        assert!(!page.contains(hostile), "{hostile}");
    }
    assert!(page.contains("&lt;script&gt;") && page.contains("&lt;img src=x onerror=y&gt;"));
}
