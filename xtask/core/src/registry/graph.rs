//! How the images of a repository belong together.
//!
//! Two kinds of links: an index lists children, and a companion (signature,
//! bill of materials, attestation) names its subject, either in its manifest
//! or by a tag of the form `sha256-<digest>` with a suffix such as `.sig`. An
//! attestation that BuildKit makes is found only through the index that lists
//! it, so it lives as long as an index that does.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::digest::Digest;
use super::manifest::{BUILDKIT_CACHE, Descriptor, MediaKind};
use super::repository::{Image, Repository};
use crate::fingerprint;

/// What an image is. Each image is of one class, the first that fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Class {
    /// A BuildKit cache, with a tag or orphaned.
    Cache,
    /// Provenance or a bill of materials that BuildKit put beside an image.
    Attestation,
    /// A companion of another image: it names a subject.
    Referrer,
    /// An image or index with a tag.
    Tagged,
    /// Listed by an index, without a tag of its own.
    IndexChild,
    /// Without a tag, and nothing points to it.
    Untagged,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cache => "cache",
            Self::Attestation => "attestation",
            Self::Referrer => "referrer",
            Self::Tagged => "tagged image",
            Self::IndexChild => "index child",
            Self::Untagged => "untagged image",
        })
    }
}

/// The links between a repository's images. Images are numbered by their place
/// in [`Repository::images`].
#[derive(Debug)]
pub struct Graph<'r> {
    repository: &'r Repository,
    children: Vec<Vec<usize>>,
    parents: Vec<Vec<usize>>,
    subjects: Vec<Vec<usize>>,
    referrers: Vec<Vec<usize>>,
    attested: BTreeSet<usize>,
    companions: BTreeSet<usize>,
}

impl<'r> Graph<'r> {
    /// Finds all links between the images that are there. Links to what is not
    /// there are dropped.
    #[must_use]
    pub fn new(repository: &'r Repository) -> Self {
        let images = repository.images();
        let mut graph = Self {
            repository,
            children: vec![Vec::new(); images.len()],
            parents: vec![Vec::new(); images.len()],
            subjects: vec![Vec::new(); images.len()],
            referrers: vec![Vec::new(); images.len()],
            attested: BTreeSet::new(),
            companions: BTreeSet::new(),
        };
        for (at, image) in images.iter().enumerate() {
            for child in repository.manifest(&image.digest).map_or(&[][..], |m| m.children()) {
                if let Some(child_at) = graph.other(at, &child.digest) {
                    if !graph.children[at].contains(&child_at) {
                        graph.children[at].push(child_at);
                        graph.parents[child_at].push(at);
                    }
                    if child.is_attestation() {
                        graph.attested.insert(child_at);
                    }
                }
            }
            for subject in subjects_of(repository, image) {
                graph.companions.insert(at);
                if let Some(subject_at) = graph.other(at, &subject)
                    && !graph.subjects[at].contains(&subject_at)
                {
                    graph.subjects[at].push(subject_at);
                    graph.referrers[subject_at].push(at);
                }
            }
        }
        graph
    }

    fn other(&self, at: usize, digest: &Digest) -> Option<usize> {
        self.repository.position(digest).filter(|found| *found != at)
    }

    /// The images that an index lists.
    #[must_use]
    pub fn children(&self, at: usize) -> &[usize] {
        &self.children[at]
    }

    /// The indexes that list an image.
    #[must_use]
    pub fn parents(&self, at: usize) -> &[usize] {
        &self.parents[at]
    }

    /// What an image is a companion of.
    #[must_use]
    pub fn subjects(&self, at: usize) -> &[usize] {
        &self.subjects[at]
    }

    /// The companions of an image.
    #[must_use]
    pub fn referrers(&self, at: usize) -> &[usize] {
        &self.referrers[at]
    }

    /// What an image is.
    #[must_use]
    pub fn class(&self, at: usize) -> Class {
        let image = &self.repository.images()[at];
        let manifest = self.repository.manifest(&image.digest);
        let cache = manifest.is_some_and(super::manifest::Manifest::is_cache)
            || image.artifact_media_type.as_deref() == Some(BUILDKIT_CACHE);
        let attestation = self.attested.contains(&at)
            || manifest.is_some_and(super::manifest::Manifest::is_attestation);
        if cache {
            Class::Cache
        } else if attestation {
            Class::Attestation
        } else if self.companions.contains(&at) {
            Class::Referrer
        } else if image.is_tagged() {
            Class::Tagged
        } else if !self.parents[at].is_empty() {
            Class::IndexChild
        } else {
            Class::Untagged
        }
    }

    /// Whether the image has a tag that a person or a build gave it, and not
    /// only tags that mark it as a companion or say what it was made from.
    #[must_use]
    pub fn has_own_tag(&self, at: usize) -> bool {
        let own = |tag: &String| companion_tag(tag).is_none() && !fingerprint::is_tag(tag);
        self.repository.images()[at].tags.iter().any(own)
    }

    /// Everything that must stay when `start` stays, in the order in which it
    /// was found: children of what stays, its companions, and the subjects of
    /// companions. `visit` learns of every link that was followed to something new.
    pub fn closure(
        &self,
        start: impl IntoIterator<Item = usize>,
        mut visit: impl FnMut(usize, Link, usize),
    ) -> Vec<bool> {
        let mut kept = vec![false; self.repository.images().len()];
        let mut queue: Vec<usize> = Vec::new();
        for at in start {
            if !std::mem::replace(&mut kept[at], true) {
                queue.push(at);
            }
        }
        let mut next = 0;
        while let Some(&at) = queue.get(next) {
            next += 1;
            let links = [
                (Link::Child, &self.children[at]),
                (Link::Referrer, &self.referrers[at]),
                (Link::Subject, &self.subjects[at]),
            ];
            for (link, targets) in links {
                for &target in targets {
                    if !std::mem::replace(&mut kept[target], true) {
                        visit(target, link, at);
                        queue.push(target);
                    }
                }
            }
        }
        kept
    }
}

/// How an image belongs to another that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is listed by it.
    Child,
    /// It is a companion of it.
    Referrer,
    /// The other is its companion.
    Subject,
}

/// The digest that a tag such as `sha256-<64 digits>.sig` speaks of.
#[must_use]
pub fn companion_tag(tag: &str) -> Option<Digest> {
    let rest = tag.strip_prefix("sha256-")?;
    let (hex, suffix) = rest.split_at_checked(64)?;
    if !suffix.is_empty() && !suffix.starts_with('.') {
        return None;
    }
    format!("sha256:{hex}").parse().ok()
}

fn subjects_of<'a>(
    repository: &'a Repository,
    image: &'a Image,
) -> impl Iterator<Item = Digest> + 'a {
    let said = repository.manifest(&image.digest).and_then(|manifest| manifest.subject());
    said.into_iter()
        .chain(&image.subject)
        .cloned()
        .chain(image.tags.iter().filter_map(|tag| companion_tag(tag)))
}

/// The blobs that an image itself needs with their sizes in bytes, or nothing
/// when its manifest was not read. An index needs none: its children do.
pub(super) fn blobs<'r>(
    repository: &'r Repository,
    image: &Image,
) -> Option<impl Iterator<Item = &'r Descriptor>> {
    repository.manifest(&image.digest).map(|manifest| manifest.blobs())
}

/// Compressed bytes of one image by itself, shared layers included: from the
/// manifest, else as ECR reports it. An index that was not read has 0, since
/// ECR reports the size of its largest child.
#[must_use]
pub fn image_bytes(repository: &Repository, image: &Image) -> u64 {
    let index =
        image.manifest_media_type.as_deref().and_then(MediaKind::of) == Some(MediaKind::Index);
    match blobs(repository, image) {
        Some(blobs) => blobs.map(|blob| blob.size).sum(),
        None if index => 0,
        None => image.size,
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn companion_tags_are_told_from_others() {
        let hex = "9f46e79637505301a344b9ab7519cfb1f92f9e12888f4f7d9f402919473f5c04";
        for suffix in ["", ".sig", ".att", ".sbom"] {
            assert_eq!(
                companion_tag(&format!("sha256-{hex}{suffix}")).unwrap().as_str(),
                format!("sha256:{hex}")
            );
        }
        for tag in ["latest", "sha256-12.sig", &format!("sha256-{hex}0"), &format!("x{hex}")] {
            assert_eq!(companion_tag(tag), None, "{tag}");
        }
    }

    #[test]
    fn every_image_of_a_real_repository_has_its_class() {
        let repository = fixture::real();
        let graph = Graph::new(&repository);
        let class = |tag: &str| {
            let image = repository.tagged(tag).unwrap();
            graph.class(repository.position(&image.digest).unwrap())
        };
        assert_eq!(class("git-0001"), Class::Tagged);
        assert_eq!(class("git-0002"), Class::Tagged);
        assert_eq!(class("buildcache"), Class::Cache);
        assert_eq!(class("buildcache-index"), Class::Cache);
        let mut count = std::collections::BTreeMap::new();
        for at in 0..repository.images().len() {
            *count.entry(graph.class(at)).or_insert(0) += 1;
        }
        // The index that lost its tag to the same build again is untagged; its
        // image has two parents and is counted once.
        let expected = [
            (Class::Cache, 4),
            (Class::Attestation, 5),
            (Class::Referrer, 2),
            (Class::Tagged, 5),
            (Class::IndexChild, 4),
            (Class::Untagged, 1),
        ];
        assert_eq!(count.into_iter().collect::<Vec<_>>(), expected);
    }
}
