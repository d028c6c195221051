//! What a build came to: stages, steps, caches, transfers, phases, and why it failed.

use serde::Serialize;

use super::{
    cause::Cause,
    event::{BuildWarning, Phase, StepRef, stage_label},
    failure::Failure,
    time::Timestamp,
};

/// A build, summed up. All texts are sanitised. Times are seconds, to the millisecond.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct BuildReport {
    /// How it ended.
    pub(crate) outcome: Outcome,
    /// When BuildKit began, by its own clock.
    pub(crate) started: Option<Timestamp>,
    /// How long BuildKit was at it. Starting buildx comes on top.
    pub(crate) seconds: f64,
    /// Steps that came out of a cache. A `FROM` is a source, and counts neither here nor as run.
    pub(crate) cached_steps: usize,
    /// Steps that were run, or failed.
    pub(crate) run_steps: usize,
    /// The stages, those first that others build on.
    pub(crate) stages: Vec<StageReport>,
    /// The steps, by stage and number.
    pub(crate) steps: Vec<StepReport>,
    /// What happened around the steps, in order.
    pub(crate) phases: Vec<PhaseReport>,
    /// Caches that were read, or tried.
    pub(crate) cache_imports: Vec<CacheImport>,
    /// How long the export of the cache took, if there was one.
    pub(crate) cache_export_seconds: Option<f64>,
    /// Why the cache was not exported, if that failed. The build may have succeeded anyway.
    pub(crate) cache_export_error: Option<String>,
    /// How long it took to make layers and manifests.
    pub(crate) export_seconds: Option<f64>,
    /// How long it took to push.
    pub(crate) push_seconds: Option<f64>,
    /// How long it took to load the image into the local image store.
    pub(crate) load_seconds: Option<f64>,
    /// Bytes of the build context that were sent: only what the builder did not have.
    pub(crate) context_bytes: u64,
    /// Bytes of layers that were pulled, for base images and from the registry cache.
    pub(crate) pulled_bytes: u64,
    /// Bytes of layers that were pushed; `None` where BuildKit does not say, which is the rule.
    pub(crate) pushed_bytes: Option<u64>,
    /// The steps and phases that decided how long it took, in order: labels and seconds.
    pub(crate) critical_path: Vec<PathEntry>,
    /// Findings of the Dockerfile checks.
    pub(crate) warnings: Vec<BuildWarning>,
    /// Why it failed, if it did.
    pub(crate) failure: Option<Failure>,
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Outcome {
    /// It has not ended.
    Running,
    /// It is built, and exported as was asked for.
    Succeeded,
    /// It failed: see [`BuildReport::failure`].
    Failed,
    /// It was stopped.
    Interrupted,
}

/// A stage of the Dockerfile (on one platform).
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct StageReport {
    /// The platform, if several are built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) platform: Option<String>,
    /// Its name.
    pub(crate) name: String,
    /// How long at least one of its steps was worked on.
    pub(crate) seconds: f64,
    /// Steps without `FROM`.
    pub(crate) steps: usize,
    /// Of these, found in a cache.
    pub(crate) cached: usize,
    /// Of these, run (or failed).
    pub(crate) run: usize,
    /// The first step that was run, and why it was not cached.
    pub(crate) first_run: Option<FirstRun>,
}

impl StageReport {
    /// The name, with the platform where there are several.
    pub(crate) fn label(&self) -> String {
        stage_label(self.platform.as_deref(), &self.name)
    }
}

/// The first step of a stage that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct FirstRun {
    /// The step.
    pub(crate) step: StepRef,
    /// Why it was not cached.
    #[serde(flatten)]
    pub(crate) cause: Cause,
}

/// A step of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct StepReport {
    /// Which one.
    #[serde(flatten)]
    pub(crate) step: StepRef,
    /// What became of it.
    pub(crate) state: StepState,
    /// How long it was worked on; of a cached step, how long it took to get.
    pub(crate) seconds: f64,
    /// When it was worked on: seconds since the build's start, from and to.
    pub(crate) intervals: Vec<(f64, f64)>,
    /// Bytes of layers that were pulled for it.
    pub(crate) pulled_bytes: u64,
    /// Why it failed.
    pub(crate) error: Option<String>,
    /// Whether it is on the critical path.
    pub(crate) critical: bool,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum StepState {
    /// It was not needed, or its turn never came.
    Pending,
    /// It is at work.
    Running,
    /// It is a `FROM`: resolved, pulled if need be.
    Source,
    /// It was in a cache.
    Cached,
    /// It was run.
    Run,
    /// It failed.
    Failed,
    /// It was stopped.
    Canceled,
}

/// Something around the steps.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PhaseReport {
    /// Which phase.
    pub(crate) phase: Phase,
    /// What was done, in BuildKit's words.
    pub(crate) name: String,
    /// When, in seconds since the build's start.
    pub(crate) start: f64,
    /// How long.
    pub(crate) seconds: f64,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

/// A cache that was to be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct CacheImport {
    /// Where.
    pub(crate) reference: String,
    /// How long its manifest took; what is needed of its layers is pulled by the steps.
    pub(crate) seconds: f64,
    /// Why it could not be read; the first build has none.
    pub(crate) missed: Option<String>,
}

/// A part of the critical path.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct PathEntry {
    /// The step or phase.
    pub(crate) label: String,
    /// How long it took.
    pub(crate) seconds: f64,
}

impl BuildReport {
    /// The steps of a stage.
    pub(crate) fn steps_of<'a>(
        &'a self,
        stage: &'a StageReport,
    ) -> impl Iterator<Item = &'a StepReport> {
        self.steps
            .iter()
            .filter(|s| s.step.stage == stage.name && s.step.platform == stage.platform)
    }
}

impl StepState {
    /// Whether a command was really executed.
    pub(crate) fn is_run(self) -> bool {
        matches!(self, Self::Run | Self::Failed | Self::Canceled | Self::Running)
    }

    /// One word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Pending => "not reached",
            Self::Running => "running",
            Self::Source => "source",
            Self::Cached => "cached",
            Self::Run => "run",
            Self::Failed => "failed",
            Self::Canceled => "stopped",
        }
    }
}
