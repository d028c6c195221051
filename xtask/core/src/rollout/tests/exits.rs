//! What a command ends with after a verdict, or after several.

use crate::rollout::*;
use crate::rollout::{machine::Progress, verdict::RollbackOutcome};

#[test]
fn every_verdict_has_its_exit_code() {
    let reason = || "x".to_owned();
    let progress = Progress::default();
    for (verdict, code) in all_verdicts(reason, progress) {
        assert_eq!(verdict.exit().code(), code, "{verdict}");
    }
}

#[test]
fn the_worst_of_several_services_counts() {
    let reason = || "x".to_owned();
    let from_best: Vec<Verdict> =
        all_verdicts(reason, Progress::default()).into_iter().map(|(verdict, _)| verdict).collect();
    for (index, expected) in from_best.iter().enumerate() {
        let mut some = from_best[..=index].to_vec();
        assert_eq!(worst(some.clone()).as_ref(), Some(expected));
        some.reverse();
        assert_eq!(worst(some).as_ref(), Some(expected));
    }
    assert_eq!(worst([]), None);
}

/// Every verdict from best to worst, with its exit code.
fn all_verdicts(reason: fn() -> String, progress: Progress) -> [(Verdict, u8); 6] {
    let superseded = Verdict::Superseded { by: reason(), task_definition: reason(), failure: None };
    [
        (Verdict::Succeeded { running: 1 }, 0),
        (superseded, 8),
        (Verdict::DeadlinePassed { after: 1, progress, last_failure: None, unseen: None }, 9),
        (Verdict::RolledBack { to: None, reason: reason() }, 6),
        (Verdict::Stopped { reason: reason() }, 7),
        (Verdict::Failed { reason: reason(), rollback: RollbackOutcome::NotStarted }, 7),
    ]
}
