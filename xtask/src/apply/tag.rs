//! Tags in ECR: names for people, and the fingerprint by which later deploys find an image.

use std::path::Path;

use anyhow::{Context as _, Result};
use aws_sdk_ecr::error::SdkError;
use aws_sdk_ecr::operation::put_image::PutImageError;

use super::Context;
use super::build::Built;
use crate::aws::{Aws, explain};
use crate::interrupt::remember;
use crate::observe::ecr::{ImageFacts, existing_image};
use crate::observe::inputs::{self, Memory};
use xtask_core::config::Environment;
use xtask_core::event::Event;
use xtask_core::fingerprint::Bases;
use xtask_core::plan::reuse::{Mark, Tag};

/// Gives an image of the repository its tags. Says which of them another image has for good.
///
/// # Errors
/// ECR refuses, or the image is gone.
pub async fn tag(aws: &Aws, environment: &Environment, tag: &Tag) -> Result<Option<String>> {
    let image = existing_image(aws, environment, &tag.digest).await?;
    let mut others = Vec::new();
    for name in &tag.tags {
        if !put(aws, &tag.repository, &image, name).await? {
            others.push(name.as_str());
        }
    }
    let others = (!others.is_empty()).then(|| others.join(", "));
    Ok(others.map(|tags| format!("{tags} stays with another image: tags do not move here")))
}

/// Whether the image has the tag now: where tags can not move, another may have it for good.
async fn put(aws: &Aws, repository: &str, image: &ImageFacts, tag: &str) -> Result<bool> {
    let (subject, what) = (format!("tag {tag}"), format!("{repository}@{}", image.digest));
    remember(subject.as_str(), format!("{what} may be tagged {tag}"));
    let put = aws
        .ecr
        .put_image()
        .repository_name(repository)
        .image_manifest(&image.manifest)
        .set_image_manifest_media_type(image.media_type.clone())
        .image_digest(&image.digest)
        .image_tag(tag);
    match put.send().await {
        Ok(_) => {
            remember(subject, format!("{what} was tagged {tag}"));
            Ok(true)
        }
        Err(error) => match refusal(&error) {
            Some(PutImageError::ImageAlreadyExistsException(_)) => Ok(true),
            Some(PutImageError::ImageTagAlreadyExistsException(_)) => Ok(false),
            _ => Err(explain("ecr:PutImage", &error)),
        },
    }
}

fn refusal<R>(error: &SdkError<PutImageError, R>) -> Option<&PutImageError> {
    error.as_service_error()
}

/// Tags what was built with the fingerprint of what it was built from: of the files as they
/// are after BuildKit has read them, unless they are other files than before, and of the base images that
/// BuildKit says it used. Says what came of it: without the tag the next deploy builds, and
/// that is no reason to fail.
pub async fn mark(context: &Context<'_>, mark: &Mark, built: &Built) -> String {
    match marked(context, mark, built).await {
        Ok(said) => said,
        Err(error) => format!("not tagged: {error:#}"),
    }
}

async fn marked(context: &Context<'_>, mark: &Mark, built: &Built) -> Result<String> {
    let bases = built.image.bases.as_ref();
    let bases = bases.context("something else than files and images went into it")?;
    let image = built.image.in_ecr.as_ref().context("its manifest can not be read")?;
    let now = match &built.made_from {
        Some(now) => now.clone(),
        None => inputs::again(context.config, &mark.inputs).await?,
    };
    anyhow::ensure!(now == mark.inputs, "files changed during the build");
    learn(context, mark, bases);
    let fingerprint = mark.inputs.fingerprint(bases);
    let (aws, _) = context.aws()?;
    let given = put(&aws, &mark.repository, image, &fingerprint.tag()).await?;
    anyhow::ensure!(given, "another image is {fingerprint}, and tags do not move here");
    Ok(match fingerprint == mark.expected {
        true => "the next deploy of the same finds it".into(),
        false => format!("{fingerprint}: a base image has changed meanwhile"),
    })
}

/// Remembers which base images there were.
fn learn(context: &Context<'_>, mark: &Mark, bases: &Bases) {
    let mut memory = Memory::read(&context.config.root);
    let now = inputs::now();
    for (base, digest) in bases.iter().filter(|(base, _)| base.pinned().is_none()) {
        memory.learn_digest(base, digest, now);
    }
    memory.learn_bases(mark.inputs.recipe(), bases.keys().cloned());
    keep(context, &memory);
}

/// Writes down what is remembered of base images. Without it nothing is worse than slow.
pub fn keep(context: &Context<'_>, memory: &Memory) {
    let path = Memory::path(&context.config.root);
    if let Err(error) = write(&path, memory) {
        let text = format!("{} can not be written: {error:#}", path.display());
        context.ui.emit(&Event::Detail { text });
    }
}

fn write(path: &Path, memory: &Memory) -> Result<()> {
    let dir = path.parent().context("it is in no folder")?;
    std::fs::create_dir_all(dir)?;
    let mut file = tempfile::Builder::new().prefix(".base-images-").tempfile_in(dir)?;
    serde_json::to_writer_pretty(&mut file, memory)?;
    file.persist(path)?;
    Ok(())
}
