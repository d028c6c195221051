//! What ECS says at one moment, reduced to what the verdict depends on.

use super::open_enum::open_enum;

/// Milliseconds since the Unix epoch on AWS's clock, never on ours: the two
/// may differ by minutes.
pub(crate) type EpochMillis = i64;

/// Milliseconds since we started to watch.
pub(crate) type Millis = u64;

open_enum! {
    /// `service.status`.
    ServiceStatus { Active = "ACTIVE", Draining = "DRAINING", Inactive = "INACTIVE", }
}

open_enum! {
    /// `deployment.status`.
    DeploymentStatus {
        /// The deployment the service is moving to.
        Primary = "PRIMARY",
        /// Still has tasks, is being replaced.
        Active = "ACTIVE",
        /// Completely replaced.
        Inactive = "INACTIVE",
    }
}

open_enum! {
    /// `deployment.rolloutState`.
    RolloutState { InProgress = "IN_PROGRESS", Completed = "COMPLETED", Failed = "FAILED", }
}

open_enum! {
    /// `task.lastStatus` and `task.desiredStatus`.
    TaskStatus {
        Provisioning = "PROVISIONING",
        Pending = "PENDING",
        Activating = "ACTIVATING",
        Running = "RUNNING",
        Deactivating = "DEACTIVATING",
        Stopping = "STOPPING",
        Deprovisioning = "DEPROVISIONING",
        Stopped = "STOPPED",
        Deleted = "DELETED",
    }
}

open_enum! {
    /// `healthStatus` of a task or a container. ECS itself uses `UNKNOWN` for
    /// "no health check, or not judged yet".
    Health { Healthy = "HEALTHY", Unhealthy = "UNHEALTHY", NotJudged = "UNKNOWN", }
}

open_enum! {
    /// `task.stopCode`.
    StopCode {
        TaskFailedToStart = "TaskFailedToStart",
        EssentialContainerExited = "EssentialContainerExited",
        UserInitiated = "UserInitiated",
        ServiceSchedulerInitiated = "ServiceSchedulerInitiated",
        SpotInterruption = "SpotInterruption",
        TerminationNotice = "TerminationNotice",
        InfrastructureHealth = "InfrastructureHealth",
    }
}

open_enum! {
    /// `serviceDeployment.status`.
    ServiceDeploymentStatus {
        Pending = "PENDING",
        InProgress = "IN_PROGRESS",
        Successful = "SUCCESSFUL",
        StopRequested = "STOP_REQUESTED",
        Stopped = "STOPPED",
        RollbackRequested = "ROLLBACK_REQUESTED",
        RollbackInProgress = "ROLLBACK_IN_PROGRESS",
        RollbackSuccessful = "ROLLBACK_SUCCESSFUL",
        RollbackFailed = "ROLLBACK_FAILED",
    }
}

open_enum! {
    /// `serviceDeployment.deploymentCircuitBreaker.status`.
    MonitorStatus {
        Triggered = "TRIGGERED",
        Monitoring = "MONITORING",
        MonitoringComplete = "MONITORING_COMPLETE",
        Disabled = "DISABLED",
    }
}

/// One look at the service and its tasks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// When the answer came.
    pub(crate) at: Millis,
    /// The service itself.
    pub(crate) service: Service,
    /// `service.deployments`, in any order.
    pub(crate) deployments: Vec<Deployment>,
    /// The service's tasks, running and recently stopped, of every deployment.
    /// `None` when they could not be read this time.
    pub(crate) tasks: Option<Vec<Task>>,
    /// `service.events`, in any order.
    pub(crate) events: Vec<ServiceEvent>,
    /// The service deployment that our update started, where the account lets
    /// us read it. It is the caller's duty to pass ours and no other.
    pub(crate) service_deployment: Option<ServiceDeployment>,
}

/// The counts of the service over all its deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) status: ServiceStatus,
    pub(crate) running: u32,
    pub(crate) pending: u32,
    pub(crate) desired: u32,
}

/// One of `service.deployments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deployment {
    /// `ecs-svc/…`.
    pub(crate) id: String,
    pub(crate) status: DeploymentStatus,
    /// Task definition ARN.
    pub(crate) task_definition: String,
    /// Absent with other deployment controllers and classic load balancers.
    pub(crate) rollout_state: Option<RolloutState>,
    pub(crate) rollout_state_reason: Option<String>,
    pub(crate) desired: u32,
    pub(crate) pending: u32,
    pub(crate) running: u32,
    /// Consecutive failures; ECS sets it back to zero once a task runs well.
    pub(crate) failed_tasks: u32,
    pub(crate) created_at: Option<EpochMillis>,
}

/// A task of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Task {
    pub(crate) arn: String,
    /// Task definition ARN.
    pub(crate) task_definition: String,
    /// The deployment id on AWS; other implementations send the service name.
    pub(crate) started_by: Option<String>,
    pub(crate) last_status: TaskStatus,
    pub(crate) desired_status: TaskStatus,
    pub(crate) health: Health,
    pub(crate) created_at: Option<EpochMillis>,
    pub(crate) pull_started_at: Option<EpochMillis>,
    pub(crate) pull_stopped_at: Option<EpochMillis>,
    pub(crate) started_at: Option<EpochMillis>,
    pub(crate) stopping_at: Option<EpochMillis>,
    pub(crate) stopped_at: Option<EpochMillis>,
    pub(crate) stop_code: Option<StopCode>,
    pub(crate) stopped_reason: Option<String>,
    pub(crate) containers: Vec<Container>,
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) name: String,
    pub(crate) exit_code: Option<i32>,
    pub(crate) reason: Option<String>,
    pub(crate) image_digest: Option<String>,
    pub(crate) health: Health,
}

/// One of `service.events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceEvent {
    pub(crate) id: String,
    pub(crate) at: EpochMillis,
    pub(crate) message: String,
}

/// What `DescribeServiceDeployments` says of our deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceDeployment {
    pub(crate) arn: String,
    pub(crate) status: ServiceDeploymentStatus,
    pub(crate) status_reason: Option<String>,
    /// ARN of the service revision being deployed.
    pub(crate) target_revision: Option<String>,
    pub(crate) rollback: Option<Rollback>,
    pub(crate) circuit_breaker: Option<CircuitBreaker>,
}

/// `serviceDeployment.rollback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rollback {
    pub(crate) reason: Option<String>,
    pub(crate) started_at: Option<EpochMillis>,
    /// ARN of the service revision that is put back.
    pub(crate) revision: Option<String>,
}

/// `serviceDeployment.deploymentCircuitBreaker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CircuitBreaker {
    pub(crate) status: MonitorStatus,
    pub(crate) failure_count: u32,
    pub(crate) threshold: u32,
}
