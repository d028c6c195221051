//! `cargo xtask build`

use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Serialize;

use super::prepare::{self, There, Wanted};
use crate::apply::build::layers_size;
use crate::apply::{self, Context, Done};
use crate::aws::Session;
use crate::cli::build::BuildArgs;
use crate::observe::preflight::{for_build, for_cache, for_push, well};
use crate::observe::{ecr, inputs};
use crate::ui::{Ui, fenced, human_bytes, human_seconds};
use xtask_core::config::Config;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure};
use xtask_core::history::Medians;
use xtask_core::plan::build::Output;
use xtask_core::plan::deploy::{Plan, Step};
use xtask_core::progress::BuildReport;

/// What `build` reports.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub(super) struct Report<'a> {
    /// The image's names.
    image: &'a [String],
    /// Its digest.
    digest: &'a str,
    /// In bytes: compressed when it was pushed, else as the image store counts.
    size: Option<u64>,
    /// Bytes of its layers that earlier images of its name do not have: no more than this had to be
    /// pushed. `null` when nothing was pushed, or there was no earlier image.
    new_bytes: Option<u64>,
    /// Whether it is in the registry, or else in the local image store.
    pushed: bool,
    /// Whether it was built, or else was in the registry already, made from the same inputs.
    built: bool,
    /// How long the build took; `null` when nothing was built.
    seconds: Option<f64>,
    /// What earlier builds of the same took, where there were any.
    earlier: Option<&'a Medians>,
    /// The build, step by step, when something was built.
    build: Option<&'a BuildReport>,
}

/// Builds the image.
///
/// # Errors
/// Something is missing, or the build or the push fails.
pub async fn run(ui: &Ui, config: &Config, args: &BuildArgs) -> Result<Exit> {
    ui.progress(args.how.progress);
    args.timeline.as_deref().map_or(Ok(()), can_write)?;
    let output = if args.push { Output::Push } else { Output::Load };
    let environment = if args.push { Some(config.environment()?) } else { config.env.as_ref() };
    let connected = match environment {
        Some(environment) => Some((Session::connect(environment).await, environment)),
        None => None,
    };
    let target = args.target.as_deref();
    let wanted = args.push.then_some(inputs::Wanted { target, refresh: args.how.refresh });
    let registry = async {
        match &connected {
            Some((session, environment)) if args.push => {
                Some(for_push(&session.aws(), config, environment).await)
            }
            // Only the cache is read and written there.
            Some((session, environment)) => {
                Some(for_cache(&session.aws(), config, environment).await)
            }
            None => None,
        }
    };
    let ((mut checks, facts), registry) = tokio::join!(for_build(config, wanted), registry);
    let (registry_checks, registry) = registry.unwrap_or_default();
    if args.push {
        checks.extend(registry_checks);
    } else if let Err(error) = well(ui, registry_checks) {
        // A build for this machine does not need the registry; it is only slower.
        let text = format!("building without the registry cache: {error:#}");
        ui.emit(&Event::Warning { text, hint: None });
    }
    well(ui, checks)?;
    let facts = facts.context("all checks are well, and there are no facts")?;

    let scratch = crate::proc::Scratch::new()?;
    let metadata_file = scratch.path().join("metadata.json");
    let wanted = Wanted {
        output,
        registry: connected.as_ref().map(|(_, environment)| *environment).zip(registry.as_ref()),
        target,
        tags: &args.tags,
        how: &args.how,
        // A timeline is that of a build.
        force: args.force || args.timeline.is_some(),
        metadata_file: &metadata_file,
        timeline: args.timeline.as_deref(),
    };
    let aws = connected.as_ref().map(|(session, _)| session.aws());
    let found = prepare::look(ui, aws.as_ref(), &facts, &wanted).await;
    let mut prepared = prepare::prepare(config, &facts, &found, &wanted);
    prepared.steps.extend(prepared.mark.map(|mark| Step::Mark(Box::new(mark))));
    let plan = Plan { steps: prepared.steps };
    if args.dry.dry_run {
        return ui.dry_run(&plan);
    }
    let context = Context {
        ui,
        config,
        aws: connected.as_ref().map(|(session, environment)| (session, *environment)),
    };
    prepare::keep(&context, &facts);
    let mut done = Done::default();
    apply::apply(&context, &plan, &mut done).await?;
    if let Some(there) = prepared.there {
        return show_there(&context, &there).await;
    }
    let built = done.built.context("a plan that builds ended without a build")?;
    let report = Report {
        image: &built.names,
        digest: &built.image.digest,
        size: built.image.size,
        new_bytes: built.image.new_bytes,
        pushed: built.image.pushed.is_some(),
        built: true,
        seconds: Some(built.seconds),
        earlier: built.earlier.as_ref(),
        build: Some(&built.report),
    };
    ui.result(&report, || {
        let size = built.image.size.map_or("unknown".to_owned(), human_bytes);
        let new = built.image.new_bytes.map(human_bytes);
        let new =
            new.map_or(String::new(), |new| format!(", of which the image before lacks {new}"));
        let mut lines = built.table();
        lines.push(String::new());
        lines.push(format!("image   {}", built.names.join("\n        ")));
        lines.push(format!("digest  {}", built.image.digest));
        lines.push(format!("size    {size}{new}"));
        lines.push(format!(
            "time    {}{}",
            human_seconds(built.seconds),
            usual(built.earlier.as_ref())
        ));
        lines.join("\n")
    })?;
    let image = built.image.pushed.as_ref().unwrap_or(&built.names[0]);
    ui.github(
        &[("image", image), ("digest", &built.image.digest), ("verdict", Exit::Success.word())],
        &format!(
            "### build: succeeded\n\nImage `{image}`\n\n{}\n",
            fenced("text", &built.table().join("\n"))
        ),
    )?;
    Ok(Exit::Success)
}

/// Reports an image that was there already.
async fn show_there(context: &Context<'_>, there: &There) -> Result<Exit> {
    let There { names, digest } = there;
    let size = match context.aws {
        Some((session, environment)) => ecr::image(&session.aws(), environment, digest).await?,
        None => None,
    };
    let size = size.and_then(|image| layers_size(&image.manifest));
    let ui = context.ui;
    let report = Report {
        image: names,
        digest,
        size,
        new_bytes: None,
        pushed: true,
        built: false,
        seconds: None,
        earlier: None,
        build: None,
    };
    ui.result(&report, || {
        let names = names.join("\n        ");
        let size = size.map_or("unknown".to_owned(), human_bytes);
        format!("unchanged: nothing was built, the inputs are those of\nimage   {names}\ndigest  {digest}\nsize    {size}")
    })?;
    let name = names.first().map_or("", String::as_str);
    ui.github(
        &[("image", name), ("digest", digest), ("verdict", "unchanged")],
        &format!("### build: unchanged\n\nImage `{name}`\n"),
    )?;
    Ok(Exit::Success)
}

/// What earlier builds of the same took.
fn usual(earlier: Option<&Medians>) -> String {
    earlier.map_or(String::new(), |medians| {
        let median = human_seconds(medians.seconds);
        match medians.builds {
            1 => format!(", the build before it {median}"),
            builds => format!(", median of the {builds} builds before it {median}"),
        }
    })
}

/// Whether a file can be written there, as far as that can be told: to be said before a build that
/// takes long, not after it.
fn can_write(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let why = match folder {
        Some(folder) if !folder.is_dir() => format!("there is no folder {}", folder.display()),
        _ if path.is_dir() => "it is a folder".to_owned(),
        _ => return Ok(()),
    };
    Err(Failure::new(Exit::Usage, format!("--timeline {}: {why}", path.display()))
        .hint("nothing was built; name a file in a folder that exists")
        .into())
}
