//! From facts and options to the steps that build: what `build` and `deploy` share.

use std::path::Path;

use crate::cli::HowToBuild;
use crate::config::{Config, Environment};
use crate::observe::preflight::{AwsFacts, BuildFacts};
use crate::plan::build::{self, CacheRef, Inputs, Output};
use crate::plan::builder;
use crate::plan::deploy::Step;

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
    /// Where BuildKit writes the digest.
    pub metadata_file: &'a Path,
}

/// The steps that build.
pub fn steps(config: &Config, facts: &BuildFacts, wanted: &Wanted<'_>) -> Vec<Step> {
    let mut steps = Vec::new();
    if !facts.builder.exists {
        let scratch = wanted.metadata_file.parent().unwrap_or(&config.root);
        steps.extend(builder::create(&config.builder, scratch).map(Step::CreateBuilder));
    }
    // What is not pushed needs a registry only for its cache, and is no reason to create one.
    let pushes = wanted.output == Output::Push;
    let registry = wanted.registry.filter(|(_, aws)| pushes || aws.repository.exists);
    if let Some((environment, aws)) = registry {
        if !aws.repository.exists {
            steps.push(Step::CreateRepository { name: aws.repository.name.clone() });
        }
        steps.push(Step::Login { registry: environment.registry.clone() });
    }
    let cache = registry.and_then(|(environment, _)| cache(config, environment, facts));
    let names = names(config, facts, wanted);
    let build = build::build(
        config,
        &Inputs {
            builder: &facts.builder.name,
            args: &facts.args,
            version: facts.git.as_ref().map(|git| git.version()).as_deref(),
            names: &names,
            output: wanted.output,
            cache: cache.as_ref(),
            target: wanted.target,
            no_cache: wanted.how.no_cache,
            pull: wanted.how.pull,
            metadata_file: wanted.metadata_file,
        },
    );
    steps.push(Step::Build(Box::new(build)));
    steps
}

fn cache(config: &Config, environment: &Environment, facts: &BuildFacts) -> Option<CacheRef> {
    if config.cache.tag.is_empty() {
        return None;
    }
    let repository = config.cache.repository.as_ref().unwrap_or(&environment.repository);
    Some(CacheRef {
        reference: format!("{}/{repository}:{}", environment.registry, config.cache.tag),
        export: facts.builder.exports_cache.then(|| config.cache.clone()),
    })
}

/// The image's full names. In the registry: `git-<commit>` and the moving tags, these only
/// as far as they can move.
fn names(config: &Config, facts: &BuildFacts, wanted: &Wanted<'_>) -> Vec<String> {
    let commit = facts.git.as_ref().map(|git| git.tag());
    let (name, fixed) = match (wanted.output, wanted.registry) {
        (Output::Push, Some((environment, aws))) => {
            (environment.image(), Some(&aws.repository.tags))
        }
        _ => (config.image.name.clone(), None),
    };
    let moves = |tag: &&String| fixed.is_none_or(|tags| tags.moves(tag));
    let mut tags: Vec<String> = commit.into_iter().collect();
    tags.extend(config.image.tags.iter().filter(moves).cloned());
    let mut names: Vec<String> = tags.iter().map(|tag| format!("{name}:{tag}")).collect();
    // A tag with a colon or a slash is a whole name.
    names.extend(
        wanted.tags.iter().map(|tag| {
            if tag.contains([':', '/']) { tag.clone() } else { format!("{name}:{tag}") }
        }),
    );
    if names.is_empty() {
        names.push(format!("{name}:latest"));
    }
    names
}
