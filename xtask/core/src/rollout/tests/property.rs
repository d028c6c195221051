//! Random snapshots in random order: what may never be said.

use std::collections::HashSet;

use proptest::prelude::*;

use super::build::*;
use crate::rollout::verdict::RollbackOutcome;
use crate::rollout::*;

/// Any deployment, of the few ids that matter.
fn deployment() -> impl Strategy<Value = Deployment> {
    let ids = prop_oneof![3 => Just(OURS), 1 => Just(OLD), 1 => Just(OTHER)];
    let statuses = prop_oneof![
        4 => Just(DeploymentStatus::Primary),
        2 => Just(DeploymentStatus::Active),
        1 => Just(DeploymentStatus::Inactive),
        1 => Just(DeploymentStatus::Unknown("NEW".to_owned())),
    ];
    let states = prop_oneof![
        Just(None),
        Just(Some(RolloutState::InProgress)),
        Just(Some(RolloutState::Completed)),
        Just(Some(RolloutState::Failed)),
        Just(Some(RolloutState::Unknown("NEW".to_owned()))),
    ];
    let reasons = prop_oneof![Just(None), Just(Some("rolling back to deploymentId x".to_owned()))];
    let created = prop_oneof![Just(None), (-20_000i64..20_000).prop_map(|at| Some(START + at))];
    let versions = prop::sample::select(vec![V7, V8, V9]);
    (ids, statuses, states, reasons, created, versions, 0u32..3, 0u32..3, 0u32..2, 0u32..4)
        .prop_map(
            |(
                id,
                status,
                rollout_state,
                reason,
                created_at,
                version,
                desired,
                running,
                pending,
                failed,
            )| {
                Deployment {
                    id: id.to_owned(),
                    status,
                    // Ours always deploys what we asked for.
                    task_definition: if id == OURS { V8 } else { version }.to_owned(),
                    rollout_state,
                    rollout_state_reason: reason,
                    desired,
                    pending,
                    running,
                    failed_tasks: failed,
                    created_at,
                }
            },
        )
}

fn any_task() -> impl Strategy<Value = Task> {
    let starters = prop_oneof![2 => Just(OURS), 1 => Just(OLD), 1 => Just(OTHER), 1 => Just("api")];
    let statuses = prop::sample::select(vec![
        TaskStatus::Provisioning,
        TaskStatus::Pending,
        TaskStatus::Activating,
        TaskStatus::Running,
        TaskStatus::Running,
        TaskStatus::Running,
        TaskStatus::Deactivating,
        TaskStatus::Stopped,
        TaskStatus::Unknown("NEW".to_owned()),
    ]);
    let wanted = prop_oneof![3 => Just(TaskStatus::Running), 1 => Just(TaskStatus::Stopped)];
    let health = prop::sample::select(vec![Health::Healthy, Health::Unhealthy, Health::NotJudged]);
    let versions = prop::sample::select(vec![V7, V8]);
    let codes = prop::sample::select(vec![
        None,
        Some(StopCode::EssentialContainerExited),
        Some(StopCode::ServiceSchedulerInitiated),
        Some(StopCode::UserInitiated),
    ]);
    (0..6u8, starters, statuses, wanted, health, versions, codes, -5_000i64..5_000).prop_map(
        |(id, starter, last_status, desired_status, health, version, stop_code, created)| Task {
            last_status,
            desired_status,
            health,
            task_definition: version.to_owned(),
            stop_code,
            created_at: Some(START + created),
            ..task(&id.to_string()).started_by(starter)
        },
    )
}

fn service_deployment() -> impl Strategy<Value = Option<ServiceDeploymentStatus>> {
    use ServiceDeploymentStatus as Status;
    let statuses = vec![
        Status::Pending,
        Status::InProgress,
        Status::Successful,
        Status::StopRequested,
        Status::Stopped,
        Status::RollbackRequested,
        Status::RollbackInProgress,
        Status::RollbackSuccessful,
        Status::RollbackFailed,
        Status::Unknown("NEW".to_owned()),
    ];
    prop_oneof![3 => Just(None), 1 => prop::sample::select(statuses).prop_map(Some)]
}

fn snapshot() -> impl Strategy<Value = Snapshot> {
    let service = prop_oneof![
        20 => Just(ServiceStatus::Active),
        1 => Just(ServiceStatus::Draining),
        1 => Just(ServiceStatus::Unknown("NEW".to_owned())),
    ];
    let tasks = prop_oneof![
        1 => Just(None),
        5 => prop::collection::vec(any_task(), 0..5).prop_map(Some),
    ];
    let messages = prop::collection::vec((0..5u8, -2_000i64..9_000), 0..3);
    (
        service,
        0u32..3,
        prop::collection::vec(deployment(), 0..4),
        tasks,
        messages,
        service_deployment(),
    )
        .prop_map(|(status, desired, deployments, tasks, messages, service_deployment)| {
            let mut snapshot = look([], []).service(status).wanting(desired);
            snapshot.deployments = deployments;
            snapshot.tasks = tasks;
            for (id, at) in messages {
                snapshot = snapshot.saying(&id.to_string(), START + at, "a failure");
            }
            match service_deployment {
                Some(status) => snapshot.with(status),
                None => snapshot,
            }
        })
}

fn any_target() -> impl Strategy<Value = Target> {
    prop::sample::select(vec![target(), forced(), first()])
}

/// Whether a snapshot proves, read as naively as can be, that ours completed
/// and runs. It shares no code with what it checks.
fn proves_success(snapshot: &Snapshot) -> bool {
    let successful = snapshot
        .service_deployment
        .as_ref()
        .is_some_and(|deployment| deployment.status.as_str() == "SUCCESSFUL");
    let tasks = snapshot.tasks.as_deref().unwrap_or_default();
    let runs = tasks.iter().any(|task| {
        let by = task.started_by.as_deref().unwrap_or_default();
        let ours = by == OURS
            || (by == "api" && task.task_definition == V8 && task.created_at >= Some(START));
        ours && task.last_status.as_str() == "RUNNING" && task.desired_status.as_str() == "RUNNING"
    });
    snapshot.deployments.iter().any(|deployment| {
        let state = deployment.rollout_state.as_ref().map(RolloutState::as_str);
        let complete = successful || matches!(state, Some("COMPLETED") | None);
        let wanted = snapshot.service.desired;
        deployment.id == OURS
            && complete
            && deployment.running >= wanted
            && deployment.running >= deployment.desired
            && (runs || (wanted == 0 && deployment.desired == 0))
    })
}

/// What a story ends with, whatever is read of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Succeeded,
    RolledBack,
    Failed,
    Superseded,
    Slow,
}

/// What really happens in a service, step by step, and its ending.
fn stories() -> Vec<(Target, Vec<Snapshot>, Ending)> {
    let before = || look([old().primary()], [old_task("o")]);
    let began =
        |old: Deployment| look([ours(), old], [old_task("o"), task("a").at(TaskStatus::Pending)]);
    let done = || look([ours().running(2).completed()], two());
    let crashing =
        |failed| look([ours().failing(failed), old()], [old_task("o"), task("a").exited(1)]);
    let failed = || ours().active().failed();
    let back = |version| {
        newer(version).because("ECS deployment circuit breaker: rolling back to deploymentId x.")
    };
    let back_again = || old().primary().in_progress();
    let same = |deployment: Deployment| Deployment { task_definition: V8.to_owned(), ..deployment };
    vec![
        (
            target(),
            vec![before(), began(old()), look([ours().running(2), old()], two()), done()],
            Ending::Succeeded,
        ),
        (first(), vec![look([ours().completed()], []), done()], Ending::Succeeded),
        (
            forced(),
            vec![look([same(old().primary())], []), began(same(old())), done()],
            Ending::Succeeded,
        ),
        (
            target(),
            vec![
                before(),
                crashing(1),
                crashing(3),
                look([failed(), back_again()], [old_task("o")]),
                look([failed(), back_again().completed()], [old_task("o")]),
            ],
            Ending::RolledBack,
        ),
        (
            target(),
            vec![
                before(),
                crashing(1),
                look([failed(), back(V7), old()], []),
                look([failed(), back(V7).running(2), old()], []),
                look([newer(V7).running(2).completed().because("completed")], []),
            ],
            Ending::RolledBack,
        ),
        (
            forced(),
            vec![
                began(same(old())),
                look([failed(), back(V8), same(old())], []),
                look([newer(V8).running(2).completed().because("completed")], two()),
            ],
            Ending::RolledBack,
        ),
        (first(), vec![crashing(1), crashing(3), look([ours().failed()], [])], Ending::Failed),
        (
            target(),
            vec![
                before(),
                began(old()),
                look([newer(V9), ours().active()], []),
                look([newer(V9).running(2).completed()], []),
            ],
            Ending::Superseded,
        ),
        (
            forced(),
            vec![
                began(same(old())),
                look([newer(V8), ours().active()], []),
                look([newer(V8).running(2).completed()], two()),
            ],
            Ending::Superseded,
        ),
        (target(), vec![before(), crashing(1), crashing(9)], Ending::Slow),
    ]
}

/// A story as it may be read: every step lasts four looks, some looks show
/// what was up to two looks ago, some lack the tasks.
fn reading() -> impl Strategy<Value = (Target, Vec<Snapshot>, Ending)> {
    let looks = prop::collection::vec((0usize..3, prop::bool::weighted(0.2)), 24);
    (prop::sample::select(stories()), looks).prop_map(|((target, steps, ending), looks)| {
        let told = |(index, (late, blind)): (usize, (usize, bool))| {
            let step = (index.saturating_sub(late) / 4).min(steps.len() - 1);
            let snapshot = steps[step].clone();
            if blind { snapshot.without_tasks() } else { snapshot }
        };
        let mut read: Vec<Snapshot> = looks.into_iter().enumerate().map(told).collect();
        // In the end everybody sees the end.
        read.extend(steps[steps.len() - 1].times(20));
        (target, read, ending)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    #[test]
    fn never_succeeded_for_what_did_not_run(
        target in any_target(),
        snapshots in prop::collection::vec(snapshot(), 0..40),
    ) {
        let outcome = play(target, snapshots.clone());
        if let Some(Verdict::Succeeded { .. }) = outcome.verdict {
            prop_assert!(proves_success(&snapshots[outcome.taken - 1]));
        }
    }

    #[test]
    fn always_ends_and_then_says_nothing_more(
        target in any_target(),
        snapshots in prop::collection::vec(snapshot(), 0..40),
        later in prop::collection::vec(snapshot(), 1..5),
    ) {
        let outcome = play(target, snapshots);
        let (mut state, ended) = deadline(outcome.state, 600_000, None);
        if let Some(verdict) = outcome.verdict {
            prop_assert_eq!(&verdict, &ended);
        } else {
            let unproved = matches!(
                ended, Verdict::Succeeded { .. } | Verdict::RolledBack { .. }
            );
            prop_assert!(!unproved, "the deadline decided {}", ended);
        }
        for snapshot in &later {
            let (after, events, verdict) = step(state, snapshot);
            prop_assert!(events.is_empty() && verdict.is_none());
            state = after;
        }
        prop_assert_eq!(state.verdict.as_ref(), Some(&ended));
    }

    #[test]
    fn no_event_comes_twice(
        target in any_target(),
        snapshots in prop::collection::vec(snapshot(), 0..40),
    ) {
        let outcome = play(target, snapshots);
        let mut told = HashSet::new();
        for event in &outcome.events {
            prop_assert!(told.insert(event), "told twice: {event}");
        }
    }

    #[test]
    fn stale_answers_do_not_change_the_ending((target, read, ending) in reading()) {
        let found = match play(target, read).verdict {
            Some(Verdict::Succeeded { .. }) => Ending::Succeeded,
            Some(Verdict::RolledBack { .. }) => Ending::RolledBack,
            Some(Verdict::Failed { rollback: RollbackOutcome::NotStarted, .. }) => Ending::Failed,
            Some(Verdict::Superseded { .. }) => Ending::Superseded,
            None => Ending::Slow,
            Some(other) => panic!("no story ends like this: {other}"),
        };
        prop_assert_eq!(found, ending);
    }

    #[test]
    fn the_order_within_a_snapshot_does_not_matter(
        target in any_target(),
        snapshots in prop::collection::vec(snapshot(), 0..20),
    ) {
        // One deployment a snapshot of each id, as ECS guarantees, and one
        // primary, so that turning the list around changes nothing else.
        let tidy: Vec<Snapshot> = snapshots.into_iter().map(|mut snapshot| {
            let mut ids = HashSet::new();
            let mut primaries = 0;
            snapshot.deployments.retain(|deployment| {
                primaries += u32::from(deployment.status == DeploymentStatus::Primary);
                ids.insert(deployment.id.clone())
                    && (deployment.status != DeploymentStatus::Primary || primaries == 1)
            });
            snapshot
        }).collect();
        let turned = tidy.iter().cloned().map(|mut snapshot| {
            snapshot.deployments.reverse();
            snapshot
        });
        let straight = play(target.clone(), tidy.clone());
        let turned = play(target, turned);
        prop_assert_eq!(straight.verdict, turned.verdict);
        prop_assert_eq!(straight.events, turned.events);
    }
}
