//! A registry that refuses, fails or goes away in the middle of a push, or with the cache.

use super::rule::{Fault, Rule};
use super::stage::Turn;

const UPLOADS: &str = "PUT /v2/loppestars/blobs/uploads/*";

#[test]
fn a_push_that_is_always_refused_fails() {
    let stage = Turn::take();
    let before = stage.serving();
    stage.proxy.set([Rule::always(UPLOADS, Fault::Status(403))]);
    stage.version("serves");
    let report = stage.deploy(&[]).code(5).json();
    assert_eq!(report["verdict"], "push-failed", "{report}");
    stage.still_serves(&before);
    stage.nothing_is_left();
}
