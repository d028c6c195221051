//! A registry that refuses, fails or goes away in the middle of a push, or with the cache.

use super::rule::{Fault, Rule};
use super::stage::Turn;

const LOGIN: &str = "GET /v2/";
const UPLOADS: &str = "PUT /v2/loppestars/blobs/uploads/*";
const MANIFEST: &str = "PUT /v2/loppestars/manifests/git-*";

/// A layer of three megabytes that nobody has yet.
fn layer() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("RUN : {}; head -c 3000000 /dev/urandom > /layer", now.as_nanos())
}

#[test]
fn what_passes_is_tried_again() {
    let stage = Turn::take();
    let rules = [
        Rule::once(LOGIN, Fault::CutAfter(0)),
        Rule::once(UPLOADS, Fault::CutAfter(1_000_000)),
        Rule::once(UPLOADS, Fault::Status(500)),
        Rule::once(MANIFEST, Fault::Status(500)),
    ];
    stage.proxy.set(rules);
    let version = stage.version_with("serves", &layer());
    let report = stage.deploy(&[]).code(0).json();
    assert_eq!(report["verdict"], "succeeded", "{report}");
    assert_eq!(stage.proxy.met().len(), 4, "{:?}", stage.proxy.met());
    assert_eq!(stage.serving().version, version);
    stage.nothing_is_left();
}

#[test]
fn a_push_that_always_fails_says_why() {
    let stage = Turn::take();
    let before = stage.serving();
    let cases = [
        (LOGIN, Fault::Status(401), "login to 127.0.0.1:4578 failed: ", "401 Unauthorized"),
        (
            LOGIN,
            Fault::Status(500),
            "login to 127.0.0.1:4578 failed: ",
            "500 Internal Server Error",
        ),
        (
            UPLOADS,
            Fault::Status(401),
            "failed to push 127.0.0.1:4578/loppestars:git-",
            "unauthorized",
        ),
        (
            UPLOADS,
            Fault::CutAfter(1_000_000),
            "failed to push 127.0.0.1:4578/",
            "failed to do request",
        ),
        (MANIFEST, Fault::Status(500), "failed to push 127.0.0.1:4578/", "500 Injected"),
    ];
    for (call, fault, what, why) in cases {
        stage.proxy.set([Rule::always(call, fault)]);
        stage.version_with("serves", &layer());
        let run = stage.deploy(&[]).code(5);
        assert_eq!(run.json()["verdict"], "push-failed", "{run}");
        run.says(what).says(why).says("hint: ").says("the role");
        stage.still_serves(&before);
        stage.nothing_is_left();
    }
}

#[test]
fn a_cache_that_can_not_be_used_does_not_fail_a_good_build() {
    let stage = Turn::take();
    let rules = [
        Rule::always("HEAD /v2/loppestars/manifests/buildcache", Fault::Status(500)),
        Rule::always("PUT /v2/loppestars/manifests/buildcache", Fault::Status(403)),
    ];
    stage.proxy.set(rules);
    let version = stage.version_with("serves", &layer());
    let run = stage.deploy(&[]).code(0);
    assert_eq!(run.json()["verdict"], "succeeded", "{run}");
    let run = run.says("cache 127.0.0.1:4578/loppestars:buildcache  not read: ");
    run.says("warning: the cache was not exported, and the build went well: ")
        .says("see docs/cache.md");
    assert_eq!(stage.serving().version, version);
    stage.nothing_is_left();
}
