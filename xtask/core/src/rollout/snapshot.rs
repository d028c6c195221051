//! What ECS says at one moment, reduced to what the verdict depends on.

#![expect(missing_docs, reason = "what has ECS's own name is documented there")]

use super::open_enum::open_enum;

/// Milliseconds since the Unix epoch on AWS's clock, never on ours: the two
/// may differ by minutes.
pub type EpochMillis = i64;

/// Milliseconds since we started to watch.
pub type Millis = u64;

open_enum! {
    /// `service.status`; `MISSING` is what ECS says of a service that it does not know.
    ServiceStatus {
        Active = "ACTIVE",
        Draining = "DRAINING",
        Inactive = "INACTIVE",
        Missing = "MISSING",
    }
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
pub struct Snapshot {
    /// When the answer came.
    pub at: Millis,
    /// The service itself.
    pub service: Service,
    /// `service.deployments`, in any order.
    pub deployments: Vec<Deployment>,
    /// The service's tasks, running and recently stopped, of every deployment.
    /// `None` when they could not be read this time.
    pub tasks: Option<Vec<Task>>,
    /// `service.events`, in any order.
    pub events: Vec<ServiceEvent>,
    /// The service deployment that our update started, where the account lets
    /// us read it. It is the caller's duty to pass ours and no other.
    pub service_deployment: Option<ServiceDeployment>,
}

/// The counts of the service over all its deployments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub status: ServiceStatus,
    pub running: u32,
    pub pending: u32,
    pub desired: u32,
}

/// One of `service.deployments`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deployment {
    /// `ecs-svc/…`.
    pub id: String,
    pub status: DeploymentStatus,
    /// Task definition ARN.
    pub task_definition: String,
    /// Absent with other deployment controllers and classic load balancers.
    pub rollout_state: Option<RolloutState>,
    pub rollout_state_reason: Option<String>,
    pub desired: u32,
    pub pending: u32,
    pub running: u32,
    /// Consecutive failures; ECS sets it back to zero once a task runs well.
    pub failed_tasks: u32,
    pub created_at: Option<EpochMillis>,
}

/// A task of the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub arn: String,
    /// Task definition ARN.
    pub task_definition: String,
    /// The deployment id on AWS; other implementations send the service name.
    pub started_by: Option<String>,
    pub last_status: TaskStatus,
    pub desired_status: TaskStatus,
    pub health: Health,
    pub created_at: Option<EpochMillis>,
    pub pull_started_at: Option<EpochMillis>,
    pub pull_stopped_at: Option<EpochMillis>,
    pub started_at: Option<EpochMillis>,
    pub stopping_at: Option<EpochMillis>,
    pub stopped_at: Option<EpochMillis>,
    pub stop_code: Option<StopCode>,
    pub stopped_reason: Option<String>,
    pub containers: Vec<Container>,
}

/// A container of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    pub name: String,
    pub exit_code: Option<i32>,
    pub reason: Option<String>,
    pub image_digest: Option<String>,
    pub health: Health,
}

/// One of `service.events`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceEvent {
    pub id: String,
    pub at: EpochMillis,
    pub message: String,
}

/// What `DescribeServiceDeployments` says of our deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceDeployment {
    pub arn: String,
    pub status: ServiceDeploymentStatus,
    pub status_reason: Option<String>,
    /// ARN of the service revision being deployed.
    pub target_revision: Option<String>,
    pub rollback: Option<Rollback>,
    pub circuit_breaker: Option<CircuitBreaker>,
}

/// `serviceDeployment.rollback`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    pub reason: Option<String>,
    pub started_at: Option<EpochMillis>,
    /// ARN of the service revision that is put back.
    pub revision: Option<String>,
}

/// `serviceDeployment.deploymentCircuitBreaker`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    pub status: MonitorStatus,
    pub failure_count: u32,
    pub threshold: u32,
}
