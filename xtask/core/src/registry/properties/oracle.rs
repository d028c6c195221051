//! What must stay, worked out a second time from the same facts but naively: by the words of the
//! documentation, and by going round until nothing more is found.

use std::collections::BTreeSet;
use std::time::Duration;

use super::world::{CACHES, MARK, Rules};
use crate::plan::branch::of_branch;
use crate::registry::digest::Digest;
use crate::registry::fixture::NOW;
use crate::registry::graph::companion_tag;
use crate::registry::policy::{Caches, Images};
use crate::registry::repository::{Image, Repository};

/// The subjects that an image names, there or not.
pub fn subjects(repository: &Repository, image: &Image) -> Vec<Digest> {
    let manifest = repository.manifest(&image.digest).unwrap();
    let by_tag = image.tags.iter().filter_map(|tag| companion_tag(tag));
    manifest.subject().cloned().into_iter().chain(image.subject.clone()).chain(by_tag).collect()
}

/// Whether an image is an attestation, by itself or because an index says so.
fn is_attestation(repository: &Repository, image: &Image) -> bool {
    let listed = repository.images().iter().any(|other| {
        let children = repository.manifest(&other.digest).unwrap().children();
        children.iter().any(|child| child.digest == image.digest && child.is_attestation())
    });
    listed || repository.manifest(&image.digest).unwrap().is_attestation()
}

/// Whether a cache's tag is of a branch that is not there, whoever's branch that is.
fn is_gone(tag: &str, branches: &BTreeSet<String>) -> bool {
    let of_a_branch = tag.strip_prefix(CACHES[0]).is_some_and(|rest| rest.starts_with('-'));
    let is_a_cache = CACHES.contains(&tag);
    let lives = CACHES.iter().any(|name| branches.iter().any(|of| of_branch(name, of) == tag));
    let of_a_pull_request = CACHES.iter().any(|name| tag.starts_with(&format!("{name}-pr-")));
    of_a_branch && !is_a_cache && !lives && !of_a_pull_request
}

/// Whether the policy alone keeps an image.
fn kept_by_policy(repository: &Repository, image: &Image, rules: &Rules) -> bool {
    let present = |digest: &Digest| repository.image(digest).is_some();
    let age = Duration::from_secs((NOW - image.pushed_at.unwrap()).unsigned_abs());
    let cache = repository.manifest(&image.digest).unwrap().is_cache();
    let companion = !subjects(repository, image).is_empty();
    let tags: Vec<&String> = image.tags.iter().filter(|tag| *tag != MARK).collect();
    let named = tags.iter().any(|tag| companion_tag(tag).is_none());
    if cache && !tags.is_empty() {
        return image.tags.iter().any(|tag| match (&rules.policy.caches, &rules.branches) {
            (Caches::DeleteTags(globs), _) => !globs.iter().any(|glob| glob.matches(tag)),
            (_, Some(branches)) => !is_gone(tag, branches),
            (_, None) => true,
        });
    }
    if tags.is_empty() {
        return age < rules.policy.keep_untagged;
    }
    if !named && subjects(repository, image).iter().any(present) {
        return false;
    }
    match &rules.policy.images {
        Images::Keep => true,
        Images::Expire { keep_last, keep_younger_than, keep_tags } => {
            let matches = |other: &Image| {
                other.tags.iter().any(|tag| keep_tags.iter().any(|glob| glob.matches(tag)))
            };
            let is_image = |other: &Image| {
                subjects(repository, other).is_empty()
                    && !is_attestation(repository, other)
                    && !repository.manifest(&other.digest).unwrap().is_cache()
            };
            let counts = |other: &Image| {
                other.tags.iter().any(|tag| tag != MARK) && !matches(other) && is_image(other)
            };
            let newer = repository.images().iter().filter(|other| {
                counts(other)
                    && (other.pushed_at > image.pushed_at
                        || (other.pushed_at == image.pushed_at && other.digest < image.digest))
            });
            matches(image)
                || keep_younger_than.is_some_and(|limit| age < limit)
                || (named && !companion && is_image(image) && newer.count() < *keep_last)
        }
    }
}

/// Everything of a repository that must stay. `used` is what is used, by repository.
pub fn must_stay(
    repository: &Repository,
    used: &BTreeSet<(String, Digest)>,
    rules: &Rules,
) -> BTreeSet<Digest> {
    let in_use =
        |image: &Image| used.contains(&(repository.uri().to_owned(), image.digest.clone()));
    let mut stays: BTreeSet<Digest> = repository
        .images()
        .iter()
        .filter(|image| in_use(image) || kept_by_policy(repository, image, rules))
        .map(|image| image.digest.clone())
        .collect();
    loop {
        let before = stays.len();
        for image in repository.images() {
            let manifest = repository.manifest(&image.digest).unwrap();
            let subjects = subjects(repository, image);
            if subjects.iter().any(|subject| stays.contains(subject)) {
                stays.insert(image.digest.clone());
            }
            if stays.contains(&image.digest) {
                let children = manifest.children().iter().map(|child| child.digest.clone());
                stays.extend(
                    children.chain(subjects).filter(|digest| repository.image(digest).is_some()),
                );
            }
        }
        if stays.len() == before {
            return stays;
        }
    }
}
