//! Which input changed, on a recording of a real build of two stages that copies files.

use std::collections::BTreeMap;

use crate::fingerprint::sources::Sources;
use crate::progress::{BuildReport, BuildState, Ended, stream};

const DOCKERFILE: &str = "\
ARG BASE
FROM ${BASE} AS base
ARG PIN
RUN a
FROM base AS app
COPY src lib/*.py /
ENV COLOR=red
RUN --network=none b
COPY --link extra /extra
";

/// Four steps: `what` of them were run, the others cached.
fn report(ran: &[&str]) -> BuildReport {
    let vertex = |digest: &str, name: &str, inputs: &str| {
        let cached = if ran.contains(&digest) { "false" } else { "true" };
        format!(
            r#"{{"digest":"{digest}","name":"{name}","inputs":[{inputs}],"cached":{cached},
            "started":"2026-01-01T00:00:00Z","completed":"2026-01-01T00:00:01Z"}}"#
        )
    };
    let from = format!("[base 1/2] FROM 127.0.0.1/python:3@sha256:{}", "a".repeat(64));
    let vertices = [
        vertex("from", &from, ""),
        vertex("context", "[internal] load build context", ""),
        vertex("inline", "[internal] preparing inline document", ""),
        vertex("a", "[base 2/2] RUN a", r#""from","inline""#),
        vertex("copy", "[app 1/3] COPY src lib/*.py /", r#""a","context""#),
        vertex("b", "[app 2/3] RUN --network=none b", r#""copy""#),
        vertex("extra", "[app 3/3] COPY --link extra /extra", r#""context""#),
        vertex("link", "[app 3/3] LINK COPY --link extra /extra", r#""b","extra""#),
    ];
    let line = format!(r#"{{"vertexes":[{}]}}"#, vertices.join(",")).replace('\n', " ");
    let mut state = BuildState::new();
    state.apply_line(stream::parse(&line).unwrap());
    state.finish(Ended::Success);
    assert_eq!(state.bases().len(), 1);
    state.report()
}

fn sources() -> Sources {
    let files = ["src/main.rs", "src", "lib/a.py", "lib/a.txt", "extra/x", "README.md"];
    let files = files.map(|path| (path.to_owned(), "0".to_owned()));
    Sources {
        pushed: true,
        dockerfile: "Dockerfile".into(),
        text: DOCKERFILE.into(),
        bases: BTreeMap::from([(
            "127.0.0.1/python:3".into(),
            format!("sha256:{}", "a".repeat(64)),
        )]),
        files: Some(files.into()),
        ..Sources::default()
    }
    .with_args([("PIN", "1"), ("COMMIT", "c")].into_iter())
}

/// What is said of a stage when these were run, and something is not as it was before.
fn because(ran: &[&str], stage: &str, change: impl FnOnce(&mut Sources)) -> String {
    let mut before = sources();
    change(&mut before);
    let mut report = report(ran);
    report.compare(Some(&before), &sources(), false);
    let stage = report.stages.iter().find(|found| found.name == stage).unwrap();
    stage.first_run.as_ref().expect("something was run").because()
}

fn put(sources: &mut Sources, path: &str, hash: Option<&str>) {
    let files = sources.files.as_mut().unwrap();
    match hash {
        Some(hash) => files.insert(path.into(), hash.into()),
        None => files.remove(path),
    };
}

const NOTHING: &str = "nothing changed, but no cache has its result";

#[test]
fn a_copy_names_the_files_that_it_takes() {
    let copy = |change: fn(&mut Sources)| because(&["copy", "b"], "app", change);
    assert_eq!(copy(|s| put(s, "src/main.rs", Some("1"))), "src/main.rs changed");
    assert_eq!(copy(|s| put(s, "lib/a.py", None)), "lib/a.py is new");
    assert_eq!(copy(|s| put(s, "src/old.rs", Some("0"))), "src/old.rs is gone");
    assert_eq!(copy(|s| put(s, "lib/a.txt", Some("1"))), NOTHING, "it takes only *.py");
    assert_eq!(copy(|s| put(s, "extra/x", Some("1"))), NOTHING);
    let many = copy(|s| {
        ["src/1", "src/2", "src/3", "src/4"].iter().for_each(|path| put(s, path, Some("0")));
    });
    assert_eq!(many, "src/1 is gone, src/2 is gone and 2 more changes");
    assert_eq!(
        copy(|s| s.files = None),
        "no cached result for these files, which were not compared"
    );
}

#[test]
fn a_command_names_arguments_lines_bases_and_the_files_below_it() {
    let base = |change: fn(&mut Sources)| because(&["a", "copy", "b"], "base", change);
    let pin = |s: &mut Sources| drop(s.args.insert("PIN".into(), "2".into()));
    assert_eq!(base(pin), "build argument PIN changed");
    assert_eq!(base(|s| drop(s.args.remove("PIN"))), "build argument PIN changed");
    assert_eq!(base(|s| drop(s.args.remove("COMMIT"))), NOTHING, "it does not see it");
    assert_eq!(base(|s| s.text = s.text.replace("RUN a", "RUN x")), "Dockerfile:4 changed");
    let other =
        |s: &mut Sources| s.bases.values_mut().for_each(|digest| *digest = "sha256:b".into());
    assert_eq!(base(other), "base image 127.0.0.1/python:3 changed");
    assert_eq!(base(|s| put(s, "src/main.rs", Some("1"))), NOTHING);

    let run = |change: fn(&mut Sources)| because(&["b"], "app", change);
    assert_eq!(run(|s| s.text = s.text.replace("red", "blue")), "Dockerfile:7 changed");
    assert_eq!(run(|s| put(s, "src/main.rs", Some("1"))), "src/main.rs changed");
    assert_eq!(because(&["a", "copy", "b"], "app", pin), "base 2/2 was run");
    let two = because(&["b"], "app", |s| {
        put(s, "src/main.rs", Some("1"));
        pin(s);
    });
    assert_eq!(two, "src/main.rs changed, build argument PIN changed");
}

#[test]
fn a_linked_copy_hangs_on_its_files_alone() {
    let linked = |change: fn(&mut Sources)| because(&["extra"], "app", change);
    assert_eq!(linked(|s| put(s, "extra/x", Some("1"))), "extra/x changed");
    assert_eq!(linked(|s| put(s, "src/main.rs", Some("1"))), NOTHING);
    assert_eq!(linked(|s| s.text = s.text.replace("red", "blue")), NOTHING);
    assert_eq!(linked(|s| s.text = s.text.replace("extra /", "extra /x")), "Dockerfile:9 changed");
}

#[test]
fn what_is_not_known_is_said_so() {
    let mut first = report(&["copy", "b"]);
    first.compare(None, &sources(), false);
    let of = |report: &BuildReport| report.stages[1].first_run.as_ref().unwrap().because();
    assert_eq!(of(&first), "no cached result for these files; no earlier build to compare with");
    let mut forced = report(&["a", "copy", "b"]);
    forced.compare(Some(&sources()), &sources(), true);
    assert_eq!(forced.stages[0].first_run.as_ref().unwrap().because(), "--no-cache");
    assert_eq!(of(&forced), "base 2/2 was run");
    let mut strange = report(&["b"]);
    let odd = Sources { text: "FROM x".into(), ..sources() };
    strange.compare(Some(&sources()), &odd, false);
    let said = "no cached result for this instruction; not all of it could be compared";
    assert_eq!(of(&strange), said);
    let json = serde_json::to_value(strange.stages[1].first_run.as_ref().unwrap()).unwrap();
    assert_eq!(json["not-compared"], serde_json::json!(["dockerfile"]), "{json}");
    assert_eq!((&json["changed"], &json["cause"]), (&serde_json::json!([]), &"instruction".into()));
}
