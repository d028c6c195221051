//! From facts and options to the steps that build: what `build` and `deploy` share.

use std::path::Path;

use anyhow::Result;

use crate::apply::{Context, tag};
use crate::aws::Aws;
use crate::cli::build::HowToBuild;
use crate::observe::ecr::{self, Tagged};
use crate::observe::preflight::{AwsFacts, BuildFacts};
use crate::ui::Ui;
use xtask_core::config::{Config, Environment};
use xtask_core::event::Event;
use xtask_core::plan::build::{self, Inputs, Output};
use xtask_core::plan::builder;
use xtask_core::plan::cache::{self, Caches, Surroundings};
use xtask_core::plan::deploy::Step;
use xtask_core::plan::reuse::{Mark, Tag};

/// What of the options and the environment a build depends on.
pub struct Wanted<'a> {
    /// Where the image goes.
    pub output: Output,
    /// The environment and what is in AWS, for the registry and its cache.
    pub registry: Option<(&'a Environment, &'a AwsFacts)>,
    /// A stage, over the configured one.
    pub target: Option<&'a str>,
    /// Further tags.
    pub tags: &'a [String],
    /// How to build.
    pub how: &'a HowToBuild,
    /// Build also when there is an image of the same inputs.
    pub force: bool,
    /// Where BuildKit writes the digest.
    pub metadata_file: &'a Path,
    /// Where the build is drawn on a time axis afterwards.
    pub timeline: Option<&'a Path>,
}

impl<'a> Wanted<'a> {
    /// The configured stage and tags, and nothing out of the ordinary.
    pub fn plain(output: Output, how: &'a HowToBuild, metadata_file: &'a Path) -> Self {
        Self {
            output,
            registry: None,
            target: None,
            tags: &[],
            how,
            force: false,
            metadata_file,
            timeline: None,
        }
    }
}

/// The steps towards an image.
pub struct Prepared {
    /// The steps.
    pub steps: Vec<Step>,
    /// The image, when it is there already and nothing is built.
    pub there: Option<There>,
    /// What makes it known to later builds, when it is built.
    pub mark: Option<Mark>,
}

/// An image that is there already.
pub struct There {
    /// Its names.
    pub names: Vec<String>,
    /// Its digest.
    pub digest: String,
}

/// What the repository has of what a push would put there.
#[derive(Default)]
pub struct Found {
    /// The image with the fingerprint.
    pub image: Option<Tagged>,
    /// Whether another image has the commit's tag, and tags can not move.
    pub commit_taken: bool,
}

/// The steps that build; or that tag what is there, when it was made from the same inputs.
pub fn prepare(
    config: &Config,
    facts: &BuildFacts,
    found: &Found,
    wanted: &Wanted<'_>,
) -> Prepared {
    let image = found.image.as_ref().filter(|_| may_reuse(wanted));
    if let (Some(image), Some((environment, _))) = (image, wanted.registry) {
        return reuse(config, facts, wanted, image, environment);
    }
    let mark = match (wanted.output, wanted.registry, &facts.inputs) {
        (Output::Push, Some((environment, _)), Some(facts)) => Some(Mark {
            repository: environment.repository.clone(),
            inputs: facts.inputs.clone(),
            expected: facts.fingerprint,
        }),
        _ => None,
    };
    let steps = steps(config, facts, found, wanted, mark.as_ref());
    Prepared { steps, there: None, mark }
}

/// Looks in the repository for what a push would put there.
pub async fn look(ui: &Ui, aws: Option<&Aws>, facts: &BuildFacts, wanted: &Wanted<'_>) -> Found {
    let (Some(aws), Some((environment, there))) = (aws, wanted.registry) else {
        return Found::default();
    };
    if wanted.output != Output::Push || !there.repository.exists {
        return Found::default();
    }
    let repository = &environment.repository;
    let fingerprint = facts.inputs.as_ref().filter(|_| may_reuse(wanted));
    let commit = facts.git.as_ref().filter(|git| !there.repository.tags.moves(&git.tag()));
    let (image, commit) = tokio::join!(
        async {
            match fingerprint {
                Some(inputs) => ecr::tagged(aws, repository, &inputs.fingerprint.tag()).await,
                None => Ok(None),
            }
        },
        async {
            match commit {
                Some(git) => ecr::tagged(aws, repository, &git.tag()).await,
                None => Ok(None),
            }
        }
    );
    let known = |found: Result<Option<Tagged>>| {
        found.unwrap_or_else(|error| {
            let text = format!("it is not known what is in the repository: {error:#}");
            ui.emit(&Event::Detail { text });
            None
        })
    };
    Found { image: known(image), commit_taken: known(commit).is_some() }
}

/// Writes down what was learnt of base images, for the next time.
pub fn keep(context: &Context<'_>, facts: &BuildFacts) {
    if let Some(memory) = facts.inputs.as_ref().and_then(|inputs| inputs.learnt.as_ref()) {
        tag::keep(context, memory);
    }
}

/// Whether an image of the same inputs will do: not for who asks for a build, nor for a name
/// in another registry.
fn may_reuse(wanted: &Wanted<'_>) -> bool {
    let asks = wanted.force || wanted.how.no_cache || wanted.how.pull;
    wanted.output == Output::Push && !asks && !wanted.tags.iter().any(|tag| is_whole_name(tag))
}

fn reuse(
    config: &Config,
    facts: &BuildFacts,
    wanted: &Wanted<'_>,
    image: &Tagged,
    environment: &Environment,
) -> Prepared {
    let tags = tags(config, facts, wanted);
    let names = tags.iter().map(|tag| format!("{}:{tag}", environment.image())).collect();
    let lacking: Vec<_> = tags.into_iter().filter(|tag| !image.tags.contains(tag)).collect();
    let step = (!lacking.is_empty()).then(|| {
        Step::Tag(Tag {
            repository: environment.repository.clone(),
            digest: image.digest.clone(),
            tags: lacking,
        })
    });
    let there = There { names, digest: image.digest.clone() };
    Prepared { steps: step.into_iter().collect(), there: Some(there), mark: None }
}

fn steps(
    config: &Config,
    facts: &BuildFacts,
    found: &Found,
    wanted: &Wanted<'_>,
    mark: Option<&Mark>,
) -> Vec<Step> {
    let mut steps = Vec::new();
    if !facts.builder.exists {
        let scratch = wanted.metadata_file.parent().unwrap_or(&config.root);
        steps.extend(builder::create(&config.builder, scratch).map(Step::CreateBuilder));
    }
    // What is not pushed needs a registry only for its cache, and is no reason to create one.
    let pushes = wanted.output == Output::Push;
    let registry = wanted.registry.filter(|(_, aws)| pushes || !aws.cache.missing);
    if let Some((environment, aws)) = registry {
        if !aws.repository.exists && pushes {
            steps.push(Step::CreateRepository { name: aws.repository.name.clone() });
        }
        if aws.cache.missing && aws.cache.name != aws.repository.name {
            steps.push(Step::CreateCacheRepository { name: aws.cache.name.clone() });
        }
        steps.push(Step::Login { registry: environment.registry.clone() });
    }
    let caches = caches(config, facts, wanted, registry);
    let names = names(config, facts, found, wanted);
    // What is in no registry can not be pulled, and then nothing of the build can.
    let pullable = facts.inputs.as_ref().is_none_or(|inputs| inputs.local_only.is_empty());
    let build = build::build(
        config,
        Inputs {
            builder: &facts.builder.name,
            args: &facts.args,
            version: facts.git.as_ref().map(|git| git.version()).as_deref(),
            names: &names,
            output: wanted.output,
            caches,
            target: wanted.target,
            no_cache: wanted.how.no_cache,
            pull: wanted.how.pull || (wanted.how.refresh && pullable),
            metadata_file: wanted.metadata_file,
            timeline: wanted.timeline,
            made_from: mark.map(|mark| &mark.inputs),
            files: facts.inputs.as_ref().map(|inputs| inputs.files()),
        },
    );
    steps.push(Step::Build(Box::new(build)));
    steps
}

fn caches(
    config: &Config,
    facts: &BuildFacts,
    wanted: &Wanted<'_>,
    registry: Option<(&Environment, &AwsFacts)>,
) -> Caches {
    let repository =
        registry.map(|(environment, aws)| format!("{}/{}", environment.registry, aws.cache.name));
    // The folder that holds the digest is this build's alone.
    let scratch = wanted.metadata_file.parent().and_then(Path::file_name);
    let around = Surroundings {
        repository,
        region: config.env.as_ref().map(|environment| environment.region.as_str()),
        branch: &facts.caches.branch,
        exports: facts.builder.exports_cache,
        gha: facts.caches.gha,
        local: &facts.caches.local,
        unique: &scratch.unwrap_or_default().to_string_lossy().replace('.', ""),
        no_cache: wanted.how.no_cache,
    };
    cache::caches(&config.cache, &config.builder, &around)
}

/// The tags in the image's own repository or in the local image store: `git-<commit>` and the
/// moving ones, these only as far as they can move, and those that were asked for.
fn tags(config: &Config, facts: &BuildFacts, wanted: &Wanted<'_>) -> Vec<String> {
    let commit = facts.git.as_ref().map(|git| git.tag());
    let fixed = match (wanted.output, wanted.registry) {
        (Output::Push, Some((_, aws))) => Some(&aws.repository.tags),
        _ => None,
    };
    let moves = |tag: &&String| fixed.is_none_or(|tags| tags.moves(tag));
    let mut tags: Vec<String> = commit.into_iter().collect();
    tags.extend(config.image.tags.iter().filter(moves).cloned());
    tags.extend(wanted.tags.iter().filter(|tag| !is_whole_name(tag)).cloned());
    if tags.is_empty() && !wanted.tags.iter().any(|tag| is_whole_name(tag)) {
        tags.push("latest".into());
    }
    tags
}

/// The full names that a build gives the image.
fn names(config: &Config, facts: &BuildFacts, found: &Found, wanted: &Wanted<'_>) -> Vec<String> {
    let name = match (wanted.output, wanted.registry) {
        (Output::Push, Some((environment, _))) => environment.image(),
        _ => config.image.name.clone(),
    };
    // A push to a tag that another image has for good would fail: this one is of the same commit
    // with other inputs.
    let commit = facts.git.as_ref().map(|git| git.tag()).filter(|_| found.commit_taken);
    let free = |tag: String| match &facts.inputs {
        Some(inputs) if commit.as_ref() == Some(&tag) => {
            format!("{tag}-{}", inputs.fingerprint.short())
        }
        _ => tag,
    };
    let tags = tags(config, facts, wanted).into_iter().map(free);
    let tags = tags.map(|tag| format!("{name}:{tag}"));
    let whole = wanted.tags.iter().filter(|tag| is_whole_name(tag)).cloned();
    tags.chain(whole).collect()
}

/// A tag with a colon or a slash is a whole name.
fn is_whole_name(tag: &str) -> bool {
    tag.contains([':', '/'])
}
