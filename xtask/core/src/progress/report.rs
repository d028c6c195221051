//! What a build came to: stages, steps, caches, transfers, phases, and why it failed.

use serde::Serialize;

use super::{
    cause::Cause,
    changed::Compared,
    event::{BuildWarning, Phase, StepRef, stage_label},
    failure::Failure,
    lineage::Lineage,
    time::Timestamp,
};

/// A build, summed up. All texts are sanitised. Times are seconds, to the millisecond.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct BuildReport {
    /// How it ended.
    pub outcome: Outcome,
    /// When BuildKit began, by its own clock.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub started: Option<Timestamp>,
    /// How long BuildKit was at it. Starting buildx comes on top.
    pub seconds: f64,
    /// Steps that came out of a cache. A `FROM` is a source, and counts neither here nor as run.
    pub cached_steps: usize,
    /// Steps that were run, or failed.
    pub run_steps: usize,
    /// The stages, those first that others build on.
    pub stages: Vec<StageReport>,
    /// The steps, by stage and number.
    pub steps: Vec<StepReport>,
    /// What happened around the steps, in order.
    pub phases: Vec<PhaseReport>,
    /// Caches that were read, or tried.
    pub cache_imports: Vec<CacheImport>,
    /// How long the export of the cache took, if there was one.
    pub cache_export_seconds: Option<f64>,
    /// Why the cache was not exported, if that failed. The build may have succeeded anyway.
    pub cache_export_error: Option<String>,
    /// How long it took to make layers and manifests.
    pub export_seconds: Option<f64>,
    /// How long it took to push.
    pub push_seconds: Option<f64>,
    /// How long it took to load the image into the local image store.
    pub load_seconds: Option<f64>,
    /// Bytes of the build context that were sent: only what the builder did not have.
    pub context_bytes: u64,
    /// Bytes of layers that were pulled, for base images and from the registry cache.
    pub pulled_bytes: u64,
    /// Bytes of layers that were pushed; `None` where BuildKit does not say, which is the rule.
    pub pushed_bytes: Option<u64>,
    /// The steps and phases that decided how long it took, in order: labels and seconds.
    pub critical_path: Vec<PathEntry>,
    /// Findings of the Dockerfile checks.
    pub warnings: Vec<BuildWarning>,
    /// Why it failed, if it did.
    pub failure: Option<Failure>,
}

/// How a build ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct StageReport {
    /// The platform, if several are built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// Its name.
    pub name: String,
    /// How long at least one of its steps was worked on.
    pub seconds: f64,
    /// Steps without `FROM`.
    pub steps: usize,
    /// Of these, found in a cache.
    pub cached: usize,
    /// Of these, run (or failed).
    pub run: usize,
    /// The first step that was run, and why it was not cached.
    pub first_run: Option<FirstRun>,
}

impl StageReport {
    /// The name, with the platform where there are several.
    pub fn label(&self) -> String {
        stage_label(self.platform.as_deref(), &self.name)
    }

    /// Those of the steps that are its own.
    pub fn own<'a>(&self, steps: &'a [StepReport]) -> impl Iterator<Item = &'a StepReport> {
        steps.iter().filter(|s| s.step.stage == self.name && s.step.platform == self.platform)
    }
}

/// The first step of a stage that was run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct FirstRun {
    /// The step.
    pub step: StepRef,
    /// Why it was not cached.
    #[serde(flatten)]
    pub cause: Cause,
    /// Which input changed since an earlier build, when it is not that another step was run.
    #[serde(flatten)]
    pub compared: Compared,
    /// What it is made from; while the build runs, nobody asks for it.
    #[serde(skip)]
    pub lineage: Option<Lineage>,
    /// Whether that was compared.
    #[serde(skip)]
    pub looked: bool,
}

/// A step of a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct StepReport {
    /// Which one.
    #[serde(flatten)]
    pub step: StepRef,
    /// What became of it.
    pub state: StepState,
    /// How long it was worked on; of a cached step, how long it took to get.
    pub seconds: f64,
    /// When it was worked on: seconds since the build's start, from and to.
    pub intervals: Vec<(f64, f64)>,
    /// Bytes of layers that were pulled for it.
    pub pulled_bytes: u64,
    /// Why it failed.
    pub error: Option<String>,
    /// Whether it is on the critical path.
    pub critical: bool,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum StepState {
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PhaseReport {
    /// Which phase.
    pub phase: Phase,
    /// What was done, in BuildKit's words.
    pub name: String,
    /// When, in seconds since the build's start.
    pub start: f64,
    /// How long.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<String>,
}

/// A cache that was to be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct CacheImport {
    /// Where.
    pub reference: String,
    /// How long its manifest took; what is needed of its layers is pulled by the steps.
    pub seconds: f64,
    /// Why it could not be read; the first build has none.
    pub missed: Option<String>,
}

/// A part of the critical path.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PathEntry {
    /// The step or phase.
    pub label: String,
    /// How long it took.
    pub seconds: f64,
}

/// Where the time of a build went, in seconds. The three add up to the whole.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BuildTimes {
    /// All that is neither of the others: also reading caches and making layers.
    pub build: f64,
    /// Pushing the image; `None` when nothing was pushed.
    pub push: Option<f64>,
    /// What the export of the cache took beyond the push, if there was one: it is as much of a
    /// registry's time as the push is, and no part of either.
    pub cache_export: Option<f64>,
}

impl BuildReport {
    /// Splits a build that took so many seconds with all around it by its phases.
    pub fn times(&self, whole: f64) -> BuildTimes {
        let of = |phases: &[Phase]| {
            let phases = self.phases.iter().filter(|phase| phases.contains(&phase.phase));
            let mut spans: Vec<_> = phases.map(|p| (p.start, p.start + p.seconds)).collect();
            spans.sort_by(|a, b| a.0.total_cmp(&b.0));
            let mut end = f64::NEG_INFINITY;
            let mut sum = 0.0;
            // Layers may be pushed side by side, and the cache beside the image.
            for (from, to) in spans {
                sum += (to - from.max(end)).max(0.0);
                end = end.max(to);
            }
            sum.min(whole)
        };
        let push = of(&[Phase::Push]);
        let both = of(&[Phase::Push, Phase::CacheExport]);
        BuildTimes {
            build: whole - both,
            push: self.push_seconds.map(|_| push),
            cache_export: self.cache_export_seconds.map(|_| both - push),
        }
    }

    /// The steps of a stage.
    pub fn steps_of<'a>(&'a self, stage: &'a StageReport) -> impl Iterator<Item = &'a StepReport> {
        stage.own(&self.steps)
    }
}

impl StepState {
    /// Whether a command was really executed.
    pub fn is_run(self) -> bool {
        matches!(self, Self::Run | Self::Failed | Self::Canceled | Self::Running)
    }

    /// One word for it.
    pub fn word(self) -> &'static str {
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
