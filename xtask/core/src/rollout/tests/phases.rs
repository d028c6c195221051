//! Where the time went.

use super::build::*;
use crate::rollout::phases::Spread;
use crate::rollout::*;

const fn spread(median: Millis, slowest: Millis) -> Option<Spread> {
    Some(Spread { median, slowest })
}

#[test]
fn phases_come_from_the_tasks_that_run() {
    let slow = Task {
        pull_stopped_at: Some(START + 31_000),
        started_at: Some(START + 32_000),
        ..task("b")
    };
    let dead = Task { pull_started_at: Some(START + 500_000), ..task("c") }.exited(1);
    let story = story([
        (10, look([ours(), old()], [task("a"), dead.clone()])),
        (10, look([ours(), old()], [task("a").healthy(), dead.clone()])),
        (1, look([ours().running(2).completed()], [task("a").healthy(), slow.healthy(), dead])),
    ]);
    let outcome = play(target(), story);
    assert_eq!(
        outcome.state.phase_times(),
        PhaseTimes {
            provision: spread(10_000, 10_000),
            pull: spread(4_000, 20_000),
            start: spread(1_000, 2_000),
            // Healthy at 20 s and 40 s, running since 17 s and 32 s.
            health: spread(3_000, 8_000),
        }
    );
}

#[test]
fn without_a_health_check_the_first_farewell_is_the_proof() {
    let story = story([
        (15, look([ours().running(2), old()], [task("a"), old_task("o").stopping(START + 26_000)])),
        (
            1,
            look(
                [ours().running(2).completed()],
                [
                    task("a"),
                    old_task("o").stopping(START + 26_000).stopped(
                        StopCode::ServiceSchedulerInitiated,
                        "Scaling activity initiated by (deployment ecs-svc/ours)",
                    ),
                    old_task("p").stopping(START + 30_000),
                ],
            ),
        ),
    ]);
    let outcome = play(target(), story);
    assert_eq!(outcome.state.phase_times().health, spread(9_000, 9_000));
    assert_eq!(outcome.state.draining(), Some(Draining { took: 24_000, left: 1 }));
}

#[test]
fn a_rollout_without_timestamps_has_no_phases() {
    let bare = Task {
        created_at: Some(START),
        pull_started_at: None,
        pull_stopped_at: None,
        started_at: None,
        ..task("a")
    };
    let outcome = play(target(), look([ours().running(2).completed()], [bare]).times(1));
    assert_eq!(outcome.state.phase_times(), PhaseTimes::default());
    assert_eq!(outcome.state.draining(), None);
}

#[test]
fn progress_is_that_of_ours() {
    let counted = Deployment { pending: 1, ..ours().running(1).failing(2) };
    let outcome = play(target(), look([old(), counted], []).times(1));
    assert_eq!(
        outcome.state.memory.progress.to_string(),
        "1 of 2 running, 1 pending, 2 failed in a row"
    );
}
