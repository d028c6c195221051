//! What happens in a build, each thing once.

use serde::Serialize;

use super::{name::StepName, time::Timestamp};

/// Something that happened. Texts in it are sanitised; moments are the builder's.
#[expect(missing_docs, reason = "the names of fields say what they are")]
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum ProgressEvent {
    /// A step of a stage began, or was found in the cache.
    StepStarted { at: Timestamp, step: StepRef },
    /// A step is done.
    StepFinished { at: Timestamp, step: StepRef, seconds: f64, cached: bool },
    /// A step failed: the reason, and the last lines it wrote.
    StepFailed { at: Timestamp, step: StepRef, seconds: f64, error: String, log_tail: Vec<String> },
    /// A step was stopped: another one failed, or the build was interrupted.
    StepCanceled { at: Timestamp, step: StepRef, seconds: f64 },
    /// A line that a command wrote.
    Log { at: Timestamp, step: Option<StepRef>, stream: LogStream, text: String },
    /// A finding of the Dockerfile checks.
    Warning { warning: BuildWarning },
    /// Bytes moved. The last one of a transfer has `completed`.
    Bytes { at: Timestamp, transfer: Transfer },
    /// Something around the steps began.
    PhaseStarted { at: Timestamp, phase: Phase, name: String },
    /// Something around the steps is done.
    PhaseFinished { at: Timestamp, phase: Phase, name: String, seconds: f64 },
    /// Something around the steps failed. Whether the build fails is known at its end: the failed
    /// export of a cache may be ignored.
    PhaseFailed { at: Timestamp, phase: Phase, name: String, seconds: f64, error: String },
    /// A cache was read.
    CacheImported { at: Timestamp, reference: String, seconds: f64 },
    /// A cache could not be read. The first build has none: nothing to be alarmed about.
    CacheMissed { at: Timestamp, reference: String, reason: String },
    /// buildx said something in plain text.
    Text { text: String },
}

/// Which step of the Dockerfile something is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct StepRef {
    /// The platform, if several are built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// The stage.
    pub stage: String,
    /// Which step of the stage, from 1.
    pub index: usize,
    /// How many steps the stage has.
    pub total: usize,
    /// The instruction.
    pub instruction: String,
}

impl StepRef {
    /// The stage, with the platform where there are several: `linux/arm64 runtime`.
    pub fn stage_label(&self) -> String {
        stage_label(self.platform.as_deref(), &self.stage)
    }

    /// Whether it is a `FROM`: a source, that is neither run nor cached like others.
    pub fn is_from(&self) -> bool {
        self.instruction.starts_with("FROM ")
    }

    /// `runtime 3/5`.
    pub fn position(&self) -> String {
        format!("{} {}/{}", self.stage_label(), self.index, self.total)
    }

    /// `runtime 3/5 COPY app/ /srv/`.
    pub fn label(&self) -> String {
        format!("{} {}", self.position(), self.brief())
    }

    /// The instruction without its mounts, which say much and distinguish nothing.
    fn brief(&self) -> String {
        let mount = |word: &&str| word.starts_with("--mount=");
        self.instruction.split(' ').filter(|word| !mount(word)).collect::<Vec<_>>().join(" ")
    }
}

impl From<&StepName> for StepRef {
    fn from(name: &StepName) -> Self {
        Self {
            platform: name.platform.clone(),
            stage: name.stage.clone(),
            index: name.index,
            total: name.total,
            instruction: name.instruction.clone(),
        }
    }
}

/// See [`StepRef::stage_label`].
pub fn stage_label(platform: Option<&str>, stage: &str) -> String {
    platform.map_or_else(|| stage.to_owned(), |platform| format!("{platform} {stage}"))
}

/// Where a command wrote to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// A finding of the Dockerfile checks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct BuildWarning {
    /// What is wrong, in one line, with the rule's name in front.
    pub message: String,
    /// More about it.
    pub detail: Vec<String>,
    /// Where the rule is documented; may be empty.
    pub url: String,
    /// The file; may be empty.
    pub file: String,
    /// The line, from 1, if it is known.
    pub line: Option<usize>,
}

/// Bytes on their way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Transfer {
    /// Which way.
    pub kind: TransferKind,
    /// What: a layer's digest, `transferring context:`.
    pub what: String,
    /// Where it is needed, if that is a step.
    pub step: Option<StepRef>,
    /// Bytes so far.
    pub current: u64,
    /// Bytes in all, where that is known.
    pub total: Option<u64>,
    /// Whether all is done.
    pub completed: bool,
}

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TransferKind {
    /// The Dockerfile and its ignore file, to the builder.
    Definition,
    /// Files of the build context, to the builder.
    Context,
    /// Layers of base images and of the registry cache, to the builder.
    Pull,
    /// Layers to a registry. BuildKit counts these only with some drivers.
    Push,
    /// The image into the local image store, or files to the client.
    Load,
}

/// What there is around the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The Dockerfile and its ignore file are read.
    Definition,
    /// The digests of base images are looked up.
    Resolve,
    /// A registry is asked for a token.
    Authenticate,
    /// The build context is sent.
    Context,
    /// A cache's manifest is read.
    CacheImport,
    /// Layers and manifests are made.
    Export,
    /// Layers and manifests are pushed.
    Push,
    /// The image is put into the local image store.
    Load,
    /// The cache is exported.
    CacheExport,
    /// Anything else.
    Other,
}
