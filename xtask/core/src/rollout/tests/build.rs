//! Short words for snapshots, so that a test reads like a story.

use crate::rollout::*;

/// Our deployment, the one that was there before, and somebody else's.
pub(super) const OURS: &str = "ecs-svc/ours";
pub(super) const OLD: &str = "ecs-svc/old";
pub(super) const OTHER: &str = "ecs-svc/other";

pub(super) const V7: &str = "arn:aws:ecs:eu-central-1:111122223333:task-definition/api:7";
pub(super) const V8: &str = "arn:aws:ecs:eu-central-1:111122223333:task-definition/api:8";
pub(super) const V9: &str = "arn:aws:ecs:eu-central-1:111122223333:task-definition/api:9";

/// When our deployment was created.
pub(super) const START: EpochMillis = 1_750_000_000_000;

/// A deploy of version 8 over version 7, two tasks.
pub(super) fn target() -> Target {
    Target {
        service: "api".to_owned(),
        deployment_id: OURS.to_owned(),
        task_definition: V8.to_owned(),
        previous_task_definition: Some(V7.to_owned()),
        served_task_definition: Some(V7.to_owned()),
        desired: 2,
        started_at: START,
    }
}

/// A forced redeploy of version 8 over itself.
pub(super) fn forced() -> Target {
    let before = || Some(V8.to_owned());
    Target { previous_task_definition: before(), served_task_definition: before(), ..target() }
}

/// The first deploy of a new service.
pub(super) fn first() -> Target {
    Target { previous_task_definition: None, served_task_definition: None, ..target() }
}

/// Our deployment as it begins: primary, in progress, nothing runs.
pub(super) fn ours() -> Deployment {
    Deployment {
        id: OURS.to_owned(),
        status: DeploymentStatus::Primary,
        task_definition: V8.to_owned(),
        rollout_state: Some(RolloutState::InProgress),
        rollout_state_reason: Some("ECS deployment ecs-svc/ours in progress.".to_owned()),
        desired: 2,
        pending: 0,
        running: 0,
        failed_tasks: 0,
        created_at: Some(START),
    }
}

/// The deployment before ours: complete, runs two tasks, being replaced.
pub(super) fn old() -> Deployment {
    Deployment {
        id: OLD.to_owned(),
        status: DeploymentStatus::Active,
        task_definition: V7.to_owned(),
        rollout_state: Some(RolloutState::Completed),
        rollout_state_reason: Some("ECS deployment ecs-svc/old completed.".to_owned()),
        running: 2,
        created_at: Some(START - 86_400_000),
        ..ours()
    }
}

/// A deployment that came after ours and is primary now.
pub(super) fn newer(task_definition: &str) -> Deployment {
    Deployment {
        id: OTHER.to_owned(),
        task_definition: task_definition.to_owned(),
        rollout_state_reason: Some("ECS deployment ecs-svc/other in progress.".to_owned()),
        created_at: Some(START + 10_000),
        ..ours()
    }
}

impl Deployment {
    pub(super) fn primary(self) -> Self {
        Self { status: DeploymentStatus::Primary, ..self }
    }

    pub(super) fn active(self) -> Self {
        Self { status: DeploymentStatus::Active, ..self }
    }

    pub(super) fn inactive(self) -> Self {
        Self { status: DeploymentStatus::Inactive, ..self }
    }

    pub(super) fn running(self, running: u32) -> Self {
        Self { running, ..self }
    }

    pub(super) fn in_progress(self) -> Self {
        Self { rollout_state: Some(RolloutState::InProgress), ..self }
    }

    pub(super) fn completed(self) -> Self {
        Self { rollout_state: Some(RolloutState::Completed), ..self }
    }

    pub(super) fn stateless(self) -> Self {
        Self { rollout_state: None, rollout_state_reason: None, ..self }
    }

    pub(super) fn failing(self, failed_tasks: u32) -> Self {
        Self { failed_tasks, ..self }
    }

    pub(super) fn failed(self) -> Self {
        let reason = "ECS deployment circuit breaker: tasks failed to start.";
        Self {
            rollout_state: Some(RolloutState::Failed),
            rollout_state_reason: Some(reason.to_owned()),
            desired: 0,
            running: 0,
            ..self
        }
    }

    pub(super) fn because(self, reason: &str) -> Self {
        Self { rollout_state_reason: Some(reason.to_owned()), ..self }
    }
}

/// A running task of ours.
pub(super) fn task(id: &str) -> Task {
    Task {
        arn: format!("arn:aws:ecs:eu-central-1:111122223333:task/main/{id}"),
        task_definition: V8.to_owned(),
        started_by: Some(OURS.to_owned()),
        last_status: TaskStatus::Running,
        desired_status: TaskStatus::Running,
        health: Health::NotJudged,
        created_at: Some(START + 1_000),
        pull_started_at: Some(START + 11_000),
        pull_stopped_at: Some(START + 15_000),
        started_at: Some(START + 17_000),
        stopping_at: None,
        stopped_at: None,
        stop_code: None,
        stopped_reason: None,
        containers: vec![Container {
            name: "api".to_owned(),
            exit_code: None,
            reason: None,
            image_digest: Some("sha256:8".to_owned()),
            health: Health::NotJudged,
        }],
    }
}

/// A running task of the deployment before ours.
pub(super) fn old_task(id: &str) -> Task {
    Task {
        task_definition: V7.to_owned(),
        started_by: Some(OLD.to_owned()),
        created_at: Some(START - 86_400_000),
        started_at: Some(START - 86_390_000),
        ..task(id)
    }
}

impl Task {
    pub(super) fn at(self, last_status: TaskStatus) -> Self {
        Self { last_status, ..self }
    }

    pub(super) fn healthy(self) -> Self {
        Self { health: Health::Healthy, ..self }
    }

    pub(super) fn unhealthy(self) -> Self {
        Self { health: Health::Unhealthy, ..self }
    }

    pub(super) fn started_by(self, by: &str) -> Self {
        Self { started_by: Some(by.to_owned()), ..self }
    }

    pub(super) fn stopping(self, at: EpochMillis) -> Self {
        Self { desired_status: TaskStatus::Stopped, stopping_at: Some(at), ..self }
    }

    pub(super) fn stopped(self, code: StopCode, reason: &str) -> Self {
        Self {
            last_status: TaskStatus::Stopped,
            desired_status: TaskStatus::Stopped,
            stopping_at: self.stopping_at.or(Some(START + 20_000)),
            stopped_at: Some(START + 50_000),
            stop_code: Some(code),
            stopped_reason: Some(reason.to_owned()),
            ..self
        }
    }

    pub(super) fn exited(mut self, exit_code: i32) -> Self {
        self.containers[0].exit_code = Some(exit_code);
        self.stopped(StopCode::EssentialContainerExited, "Essential container in task exited")
    }
}

/// A look at a service that wants two tasks.
pub(super) fn look<const D: usize, const T: usize>(
    deployments: [Deployment; D],
    tasks: [Task; T],
) -> Snapshot {
    Snapshot {
        at: 0,
        service: Service { status: ServiceStatus::Active, running: 2, pending: 0, desired: 2 },
        deployments: deployments.into(),
        tasks: Some(tasks.into()),
        events: Vec::new(),
        service_deployment: None,
    }
}

impl Snapshot {
    pub(super) fn wanting(mut self, desired: u32) -> Self {
        self.service.desired = desired;
        self
    }

    pub(super) fn service(mut self, status: ServiceStatus) -> Self {
        self.service.status = status;
        self
    }

    pub(super) fn without_tasks(mut self) -> Self {
        self.tasks = None;
        self
    }

    pub(super) fn saying(mut self, id: &str, at: EpochMillis, message: &str) -> Self {
        let (id, message) = (id.to_owned(), message.to_owned());
        self.events.push(ServiceEvent { id, at, message });
        self
    }

    pub(super) fn with(mut self, status: ServiceDeploymentStatus) -> Self {
        self.service_deployment = Some(ServiceDeployment {
            arn: "arn:aws:ecs:eu-central-1:111122223333:service-deployment/main/api/x".to_owned(),
            status,
            status_reason: None,
            target_revision: None,
            rollback: None,
            circuit_breaker: None,
        });
        self
    }

    pub(super) fn edit(mut self, edit: impl FnOnce(&mut ServiceDeployment)) -> Self {
        edit(self.service_deployment.as_mut().expect("call `with` first"));
        self
    }

    pub(super) fn times(&self, count: usize) -> Vec<Self> {
        vec![self.clone(); count]
    }
}

/// Two tasks of ours that run.
pub(super) fn two() -> [Task; 2] {
    [task("a"), task("b")]
}

/// What came out of a story.
pub(super) struct Outcome {
    pub(super) state: State,
    pub(super) events: Vec<RolloutEvent>,
    pub(super) verdict: Option<Verdict>,
    /// How many snapshots were taken in.
    pub(super) taken: usize,
}

/// Plays snapshots two seconds apart until there is a verdict.
pub(super) fn play(target: Target, story: impl IntoIterator<Item = Snapshot>) -> Outcome {
    let state = State::new(target);
    let mut outcome = Outcome { state, events: Vec::new(), verdict: None, taken: 0 };
    for mut snapshot in story {
        snapshot.at = 2_000 * outcome.taken as Millis;
        let (state, events, verdict) = step(outcome.state, &snapshot);
        outcome.state = state;
        outcome.events.extend(events);
        outcome.taken += 1;
        outcome.verdict = verdict;
        if outcome.verdict.is_some() {
            break;
        }
    }
    outcome
}

/// The story one after another: each snapshot so many times.
pub(super) fn story<const N: usize>(chapters: [(usize, Snapshot); N]) -> Vec<Snapshot> {
    chapters.into_iter().flat_map(|(count, snapshot)| snapshot.times(count)).collect()
}
