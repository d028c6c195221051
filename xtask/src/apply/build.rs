//! Runs a build, shows its progress, and reads back what came of it.

mod follow;
mod local_cache;
mod log_file;
mod new_layers;
mod recorder;
mod second_look;

use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Context;
use crate::interrupt::remember;
use crate::observe::ecr::{self, ImageFacts};
use crate::observe::history::{history, kept};
use crate::observe::layers::Layers;
use crate::proc::{self, Env, captured};
use crate::ui::{human_bytes, human_seconds};
use follow::follow;
use local_cache::NewCaches;
use log_file::LogFile;
use second_look::SecondLook;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure, Place, exit_of};
use xtask_core::fingerprint::{Bases, Inputs, provenance, sources::Sources};
use xtask_core::history::{self, Medians, Record, Verdict, Worth};
use xtask_core::plan::argv::Argv;
use xtask_core::plan::build::{Build, Output};
use xtask_core::progress::{
    BuildReport, BuildTimes, FailedPhase, Outcome, Timestamp, render, timeline, waterfall,
};

/// A build that went well.
#[derive(Clone, Debug)]
pub struct Built {
    /// The image's full names.
    pub names: Vec<String>,
    /// The image.
    pub image: Image,
    /// How long it took, with the start of buildx.
    pub seconds: f64,
    /// Stages, steps and what was cached.
    pub report: BuildReport,
    /// What earlier builds of the same took.
    pub earlier: Option<Medians>,
    /// What it would be made from after BuildKit had read the files, if that was looked at.
    pub made_from: Option<Inputs>,
}

/// What a build made.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its digest.
    pub digest: String,
    /// In bytes: compressed when it was pushed, else as the image store counts.
    pub size: Option<u64>,
    /// `repository@digest`, when it was pushed.
    pub pushed: Option<String>,
    /// Bytes of the layers that the images which had its tags before, and the one that this machine
    /// pushed last, do not have: no more than this had to be pushed. `None` where nothing was
    /// pushed, or there was none of these.
    pub new_bytes: Option<u64>,
    /// As it is in ECR, when it was pushed there and can be read.
    pub in_ecr: Option<ImageFacts>,
    /// The images that it was built from; `None` when that is not known, or not all.
    pub bases: Option<Bases>,
}

impl Built {
    /// For the step's last line.
    pub fn summary(&self) -> String {
        let report = &self.report;
        let steps = report.cached_steps + report.run_steps;
        let size = self.image.size.map_or(String::new(), |size| format!(", {}", human_bytes(size)));
        let new = self
            .image
            .new_bytes
            .map_or(String::new(), |new| format!(" ({} new)", human_bytes(new)));
        format!("{} of {steps} steps cached{size}{new}, {}", report.cached_steps, self.image.digest)
    }

    /// Where the time went.
    pub fn times(&self) -> BuildTimes {
        self.report.times(self.seconds)
    }

    /// The build by stage.
    pub fn table(&self) -> Vec<String> {
        let usual = self.earlier.as_ref().map(|medians| render::Usual {
            stages: &medians.stages,
            cache_import: medians.cache_import_seconds,
            cache_export: medians.cache_export_seconds,
        });
        render::table(&self.report, usual.as_ref())
    }
}

/// Runs the build, and records how it went.
///
/// # Errors
/// [`Exit::BuildFailed`] or [`Exit::PushFailed`], with the end of the failing step's log; or
/// [`Exit::Prerequisite`] when the engine or the builder goes away in the middle.
pub async fn run(context: &Context<'_>, build: &Build, env: Env) -> Result<Built> {
    let start = Instant::now();
    let at = now();
    let mut log = LogFile::create(context.ui, &context.config.root.join("target/xtask/build.log"));
    if let (Output::Push, Some(name)) = (build.output, build.names.first()) {
        remember("image", format!("{name} may be pushed: its build had not ended"));
    }
    let new_caches = NewCaches::of(&build.swaps);
    let mut look = SecondLook::new(context.config, build.made_from.as_ref());
    let root = &context.config.root;
    // As BuildKit reads it now: it may be another when the build ends.
    let text = std::fs::read(context.config.dockerfile()).unwrap_or_default();
    let mut records = history(root);
    // Asked while BuildKit starts, long before it pushes.
    let followed = follow(context, build, env, &mut log, &mut look);
    let (followed, before) =
        new_layers::beside(followed, new_layers::before(context, build, &records)).await;
    let (state, output) = followed?;
    let seconds = start.elapsed().as_secs_f64();
    let log = log.finish();
    let mut report = state.report();
    let text = String::from_utf8_lossy(&text).into_owned();
    let sources = Sources { text, bases: state.bases(), ..build.sources.clone() };
    report.compare(sources.earlier(&kept(root)), &sources, build.about.no_cache);
    let image = if output.ok() {
        if let Err(error) = new_caches.put_in_place() {
            context.ui.emit(&Event::Warning {
                text: format!("the cache can not be put into its folder: {error}"),
                hint: Some("check `path` in [[cache.backends]] of xtask.toml".into()),
            });
        }
        image(context, build, &report, before).await
    } else {
        let excerpt = report.failure.as_ref().and_then(|failure| failure.excerpt.as_ref());
        let file = context.config.dockerfile();
        let place = excerpt.map(|excerpt| Place { file, line: excerpt.line });
        Err(failure(&report, &output, log.as_deref()).at(place).into())
    };
    let record = Record { at: Some(at), seconds, ..record(context, build, &report, &image) };
    let earlier = Medians::of(&records, &record);
    records.push(record.clone());
    if let Some(worth) = Worth::of(&records).filter(Worth::costs_more) {
        context.ui.emit(&Event::Note { text: costs_more(&worth) });
    }
    let mut recorded = recorder::record(root, &record);
    if matches!(record.verdict, Verdict::Succeeded | Verdict::PushFailed) {
        recorded = recorded.and(recorder::keep(root, &sources));
    }
    if let Err(error) = recorded {
        context.ui.emit(&Event::Detail { text: format!("the build is not recorded: {error}") });
    }
    let names = build.names.clone();
    let title = names.first().map_or("build", String::as_str);
    let drawn = build.timeline.as_ref().map_or(Ok(()), |path| write_timeline(path, &report, title));
    let image = image.and_then(|image| drawn.map(|()| image));
    let image = image?;
    let made_from = look.result(state.reads()).await;
    Ok(Built { names, image, seconds, report, earlier, made_from })
}

/// Writes the build as a page or, for a name that ends in `.json`, as trace events.
fn write_timeline(path: &Path, report: &BuildReport, title: &str) -> Result<()> {
    let json = path.extension().is_some_and(|extension| extension == "json");
    let text =
        if json { timeline::trace(report).to_string() } else { waterfall::html(report, title) };
    Ok(std::fs::write(path, text).map_err(|error| {
        Failure::new(Exit::Usage, format!("--timeline {}: {error}", path.display()))
            .hint("the build itself went well; name a file that can be written")
    })?)
}

/// Reads back what came of a build that went well.
async fn image(
    context: &Context<'_>,
    build: &Build,
    report: &BuildReport,
    before: Option<Layers>,
) -> Result<Image> {
    if let Some(error) = &report.cache_export_error {
        context.ui.emit(&Event::Warning {
            text: format!("the cache was not exported, and the build went well: {error}"),
            hint: Some("the next machine builds without it; see docs/cache.md".into()),
        });
    }
    let metadata = std::fs::read_to_string(&build.metadata_file)
        .context("docker buildx wrote no metadata file")?;
    let metadata: Value = serde_json::from_str(&metadata).context("the metadata file")?;
    let digest = metadata["containerimage.digest"]
        .as_str()
        .context("the metadata file has no containerimage.digest")?
        .to_owned();
    let pushed = match build.output {
        Output::Push => build.names.first().map(|name| format!("{}@{digest}", untagged(name))),
        Output::Load => None,
    };
    if let Some(pushed) = &pushed {
        remember("image", format!("{pushed} was pushed"));
        context.ui.known([("image", pushed.clone()), ("digest", digest.clone())]);
    }
    let in_ecr = match (build.output, context.aws) {
        (Output::Push, Some((session, environment))) => {
            ecr::image(&session.aws(), environment, &digest).await.ok().flatten()
        }
        _ => None,
    };
    let size = size(build, in_ecr.as_ref()).await;
    let new_bytes = new_layers::bytes(context, in_ecr.as_ref(), before).await;
    Ok(Image { digest, size, pushed, new_bytes, in_ecr, bases: provenance::bases(&metadata) })
}

/// Said carefully: what other machines get out of a cache is not known here.
fn costs_more(worth: &Worth) -> String {
    format!(
        "on this machine the caches seem to cost more than they save: in the last {} builds that \
         used them, reading and writing took {}, and the steps that they could spare would have \
         taken at most {}; unless other machines read them, `mode = \"min\"` or `tag = \"\"` in [cache] \
         of xtask.toml saves time (docs/cache.md)",
        worth.builds,
        human_seconds(worth.cost),
        human_seconds(worth.saved),
    )
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix_nanos(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// What is recorded of a build, besides its times.
fn record(
    context: &Context<'_>,
    build: &Build,
    report: &BuildReport,
    image: &Result<Image>,
) -> Record {
    let verdict = match image.as_ref().map_err(exit_of) {
        Ok(_) => Verdict::Succeeded,
        Err(_) if report.outcome == Outcome::Interrupted => Verdict::Interrupted,
        Err(Exit::PushFailed) => Verdict::PushFailed,
        Err(_) => Verdict::BuildFailed,
    };
    let made = image.as_ref().ok();
    let about = build.about.clone();
    Record {
        verdict,
        environment: context.config.env.as_ref().map(|environment| environment.name.clone()),
        image: build.names.first().map_or(String::new(), |name| untagged(name).to_owned()),
        target: about.target,
        platforms: about.platforms,
        builder: about.builder,
        output: match build.output {
            Output::Load => history::Output::Load,
            Output::Push => history::Output::Push,
        },
        no_cache: about.no_cache,
        commit: about.commit,
        image_bytes: made.and_then(|image| image.size),
        new_bytes: made.and_then(|image| image.new_bytes),
        digest: made.map(|image| image.digest.clone()),
        ..Record::of(report)
    }
}

fn failure(report: &BuildReport, output: &proc::Output, log: Option<&Path>) -> Failure {
    let phase = report.failure.as_ref().map(|failure| failure.phase);
    let exit = match phase {
        Some(phase) if phase.is_push() => Exit::PushFailed,
        Some(FailedPhase::Connection) => Exit::Prerequisite,
        _ => Exit::BuildFailed,
    };
    let lines = render::failure(report);
    let text = if lines.is_empty() { output.reason().to_owned() } else { lines.join("\n") };
    let hint = match phase {
        Some(FailedPhase::Push) => {
            "the image was built; check the registry and the role's ecr:PutImage, and run it again"
        }
        Some(FailedPhase::CacheExport) => "set another `cache.repository` in xtask.toml",
        Some(FailedPhase::Resolve) => {
            "check BASE_IMAGE in xtask.toml and that its registry can be reached"
        }
        Some(FailedPhase::Export) => "is the disk full? `cargo xtask du`, `cargo xtask prune`",
        Some(FailedPhase::Connection) => {
            "the Docker Engine or the builder went away in the middle: see whether it runs (`docker \
             info`), and run it again; what was built is in its cache"
        }
        _ => "mend the step above",
    };
    let log = log.map_or(String::new(), |log| format!("; the whole log is in {}", log.display()));
    Failure::new(exit, text).hint(format!("{hint}{log}"))
}

/// `registry/repository` of `registry/repository:tag`.
fn untagged(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => repository,
        _ => name,
    }
}

/// How large the image is; `None` when that can not be told, which is no reason to fail.
async fn size(build: &Build, in_ecr: Option<&ImageFacts>) -> Option<u64> {
    if build.output == Output::Push {
        return layers_size(&in_ecr?.manifest);
    }
    let name = build.names.first()?;
    let argv = Argv::docker(["image", "inspect", "--format", "{{.Size}}", name]);
    captured(argv, Env::default()).await.ok()?.stdout.trim().parse().ok()
}

/// The sum of a manifest's layers; `None` for an index, whose layers are elsewhere.
pub fn layers_size(manifest: &str) -> Option<u64> {
    let manifest: Value = serde_json::from_str(manifest).ok()?;
    let layers = manifest["layers"].as_array()?.iter();
    Some(layers.filter_map(|layer| layer["size"].as_u64()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_not_a_tag() {
        assert_eq!(untagged("127.0.0.1:4566/app:git-1"), "127.0.0.1:4566/app");
        assert_eq!(untagged("127.0.0.1:4566/app"), "127.0.0.1:4566/app");
    }

    #[test]
    fn an_image_is_as_large_as_its_layers() {
        assert_eq!(layers_size(r#"{"layers":[{"size":3},{"size":4}]}"#), Some(7));
        assert_eq!(layers_size(r#"{"manifests":[]}"#), None);
    }
}
