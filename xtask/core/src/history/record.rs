//! One line of the record of builds: its shape, how it is read, how many of them are kept.

use serde::{Deserialize, Serialize};

use crate::progress::{BuildReport, StepState, Timestamp};

/// The version of the shape. Keys may be added to a version and are never given another meaning:
/// what does that has another number, and is not read by those who do not know it.
pub const VERSION: u32 = 1;

/// At most so many builds are kept, the latest.
const MOST_RECORDS: usize = 500;
/// Nor more bytes than this, so that a build of many steps does not make the file large.
const MOST_BYTES: usize = 2 << 20;
/// At most so much of an instruction is kept, in characters: it tells steps apart.
const LONGEST_INSTRUCTION: usize = 100;

/// One build. Times are seconds, sizes bytes; what is not known is absent or null.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct Record {
    /// [`VERSION`].
    pub version: u32,
    /// When the build began, by this machine's clock: RFC 3339.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub at: Option<Timestamp>,
    /// How it ended.
    pub verdict: Verdict,
    /// The environment of xtask.toml, if there was one.
    pub environment: Option<String>,
    /// The image's first name, without its tag.
    pub image: String,
    /// The stage that was asked for, if one was.
    pub target: Option<String>,
    /// The platforms.
    pub platforms: Vec<String>,
    /// The builder's name.
    pub builder: String,
    /// Where the image went.
    pub output: Output,
    /// Whether the caches were left out: `--no-cache`.
    pub no_cache: bool,
    /// The commit, with `-dirty` where the work tree differed from it.
    pub commit: Option<String>,
    /// How long it took, with the start of buildx.
    pub seconds: f64,
    /// Steps that came out of a cache; a `FROM` is no step.
    pub cached_steps: usize,
    /// Steps that were run, or failed.
    pub run_steps: usize,
    /// The stages, those first that others build on.
    pub stages: Vec<StageRecord>,
    /// Bytes of the build context that were sent.
    pub context_bytes: u64,
    /// Bytes of layers that were pulled, for base images and from caches.
    pub pulled_bytes: u64,
    /// Bytes of layers that were pushed, where that is known.
    pub pushed_bytes: Option<u64>,
    /// How long reading the caches' manifests took; absent where none was asked for.
    pub cache_import_seconds: Option<f64>,
    /// Whether at least one cache was there and could be read.
    pub cache_read: bool,
    /// How long writing the caches took; absent where none was written.
    pub cache_export_seconds: Option<f64>,
    /// Whether writing one of them failed.
    pub cache_export_failed: bool,
    /// How long layers and manifests took to make.
    pub export_seconds: Option<f64>,
    /// How long pushing took.
    pub push_seconds: Option<f64>,
    /// How long loading into the local image store took.
    pub load_seconds: Option<f64>,
    /// The image's size: compressed when it was pushed, else as the image store counts.
    pub image_bytes: Option<u64>,
    /// Bytes of its layers that earlier images of the same name do not have: no more than this had
    /// to be pushed.
    pub new_bytes: Option<u64>,
    /// The image's digest.
    pub digest: Option<String>,
}

/// How a build ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// It is built, and where it was wanted.
    Succeeded,
    /// It was not built.
    BuildFailed,
    /// It was built, and a registry refused it.
    PushFailed,
    /// buildx was interrupted.
    Interrupted,
    /// A word that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Where an image went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Output {
    /// Into the local image store.
    Load,
    /// To the registry.
    Push,
    /// A word that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A stage of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct StageRecord {
    /// Its name, with the platform in front where there were several.
    pub name: String,
    /// How long at least one of its steps was worked on.
    pub seconds: f64,
    /// Steps out of a cache.
    pub cached: usize,
    /// Steps that were run, or failed.
    pub run: usize,
    /// The steps, without `FROM` and what was not reached.
    pub steps: Vec<StepRecord>,
}

/// A step of a stage.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case", default)]
pub struct StepRecord {
    /// The instruction, shortened.
    pub instruction: String,
    /// How long it was worked on; of a cached one, how long it took to get.
    pub seconds: f64,
    /// Whether it came out of a cache.
    pub cached: bool,
    /// Bytes of layers that were pulled for it.
    #[serde(skip_serializing_if = "is_zero")]
    pub pulled_bytes: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
fn is_zero(bytes: &u64) -> bool {
    *bytes == 0
}

impl Record {
    /// What a build's report tells; the rest is for the caller to fill in.
    pub fn of(report: &BuildReport) -> Self {
        let imports = &report.cache_imports;
        let stages = report.stages.iter().map(|stage| StageRecord {
            name: stage.label(),
            seconds: stage.seconds,
            cached: stage.cached,
            run: stage.run,
            steps: report
                .steps_of(stage)
                .filter(|step| step.state == StepState::Cached || step.state.is_run())
                .map(|step| StepRecord {
                    instruction: step.step.instruction.chars().take(LONGEST_INSTRUCTION).collect(),
                    seconds: step.seconds,
                    cached: step.state == StepState::Cached,
                    pulled_bytes: step.pulled_bytes,
                })
                .collect(),
        });
        Self {
            version: VERSION,
            cached_steps: report.cached_steps,
            run_steps: report.run_steps,
            stages: stages.collect(),
            context_bytes: report.context_bytes,
            pulled_bytes: report.pulled_bytes,
            pushed_bytes: report.pushed_bytes,
            cache_import_seconds: (!imports.is_empty())
                .then(|| imports.iter().map(|import| import.seconds).sum()),
            cache_read: imports.iter().any(|import| import.missed.is_none()),
            cache_export_seconds: report.cache_export_seconds,
            cache_export_failed: report.cache_export_error.is_some(),
            export_seconds: report.export_seconds,
            push_seconds: report.push_seconds,
            load_seconds: report.load_seconds,
            ..Self::default()
        }
    }

    fn line(&self) -> String {
        serde_json::to_string(self).expect("a record has only keys that are text")
    }
}

/// The records of a file, the oldest first. A line that is none, such as one that was cut short,
/// and one of another version is passed over.
pub fn parse(text: &str) -> Vec<Record> {
    text.lines()
        .filter_map(|line| serde_json::from_str::<Record>(line).ok())
        .filter(|record| record.version == VERSION)
        .collect()
}

/// The file's text with one more record, and without the oldest where there are too many. Lines
/// that can not be read are kept like others: another version may need them.
pub fn with(text: &str, record: &Record) -> String {
    let line = record.line();
    let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).chain([&*line]).collect();
    let mut bytes = 0;
    let fits = |line: &&&str| {
        bytes += line.len() + 1;
        bytes <= MOST_BYTES
    };
    let kept = lines.iter().rev().take(MOST_RECORDS).take_while(fits).count();
    lines[lines.len() - kept..].iter().flat_map(|line| [*line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::{BuildState, Ended, stream};

    fn record(seconds: f64) -> Record {
        Record { version: VERSION, seconds, ..Record::default() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let text = include_str!("../progress/testdata/push_cache_hit.jsonl");
        let mut state = BuildState::new();
        for line in text.lines() {
            state.apply_line(stream::parse(line).unwrap());
        }
        state.finish(Ended::Success);
        let record = Record {
            at: Timestamp::parse("2026-11-24T06:00:00.5Z"),
            verdict: Verdict::Succeeded,
            output: Output::Push,
            commit: Some("c".into()),
            ..Record::of(&state.report())
        };
        assert_eq!((record.cached_steps, record.run_steps), (6, 2));
        assert!(record.cache_read && record.cache_import_seconds.is_some());
        let runtime = record.stages.iter().find(|stage| stage.name == "runtime").unwrap();
        assert_eq!((runtime.cached, runtime.run, runtime.steps.len()), (2, 2, 4));
        assert_eq!(parse(&with("", &record)), [record]);
    }

    #[test]
    fn lines_that_are_none_are_passed_over_and_new_keys_do_no_harm() {
        let good = with("", &record(1.0));
        let text = format!(
            "{{\"version\":1,\"sec\n\nnull\n{good}{{\"version\":2,\"seconds\":9}}\n\
             {{\"version\":1,\"seconds\":3,\"verdict\":\"new-word\",\"new-key\":[1]}}\n"
        );
        let seconds: Vec<_> = parse(&text).iter().map(|record| record.seconds).collect();
        assert_eq!(seconds, [1.0, 3.0]);
        assert_eq!(parse(&text)[1].verdict, Verdict::Unknown);
        let more = with(&text, &record(4.0));
        assert!(more.contains("\"version\":2") && more.ends_with('\n'), "{more}");
        assert!(!more.contains("\n\n"), "{more}");
        // A line that was cut short does not spoil the one after it.
        assert_eq!(parse(&with("{\"version\":1,\"sec", &record(5.0))), [record(5.0)]);
    }

    #[test]
    fn the_oldest_go_first_and_the_newest_always_stays() {
        let mut text = String::new();
        for seconds in 0..MOST_RECORDS + 3 {
            text = with(&text, &record(seconds as f64));
        }
        let records = parse(&text);
        assert_eq!(records.len(), MOST_RECORDS);
        assert_eq!(records[0].seconds, 3.0);

        let long = Record { image: "x".repeat(MOST_BYTES / 3), ..record(9.0) };
        for _ in 0..4 {
            text = with(&text, &long);
            assert!(text.len() <= MOST_BYTES);
        }
        assert_eq!(parse(&text).len(), 2);
    }
}
