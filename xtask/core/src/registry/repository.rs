//! An ECR repository as it was read: its images and their manifests.

use std::collections::BTreeMap;

use super::digest::Digest;
use super::manifest::{Manifest, MediaKind};
use crate::fingerprint;

/// One entry of `DescribeImages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// Digest of the manifest.
    pub digest: Digest,
    /// Its tags; none for a child of an index and for what lost its tag.
    pub tags: Vec<String>,
    /// When it was pushed.
    pub pushed_at: Option<i64>,
    /// When ECR last recorded a pull, at most once in 24 hours.
    pub last_pulled_at: Option<i64>,
    /// When it was moved to the archive, if that is where it is.
    pub archived_at: Option<i64>,
    /// When it last came back from the archive.
    pub activated_at: Option<i64>,
    /// Compressed size in bytes as ECR reports it; of an index, its largest child's.
    pub size: u64,
    /// Media type of the manifest.
    pub manifest_media_type: Option<String>,
    /// Media type of the configuration or artifact; tells a cache without reading it.
    pub artifact_media_type: Option<String>,
    /// What this is a companion of, as ECR says (`subjectManifestDigest`).
    pub subject: Option<Digest>,
}

impl Image {
    /// Whether something calls it by a tag. A fingerprint of its inputs is none: only a deploy
    /// of the same inputs looks for that, and builds where it is gone.
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        !self.tags.iter().all(|tag| fingerprint::is_tag(tag))
    }
}

/// A repository's images in the order of their digests, each digest once.
///
/// Manifests are found by digest and so never change: what was read once can
/// be handed in again when the repository is looked at a second time.
#[derive(Debug, Clone)]
pub struct Repository {
    uri: String,
    images: Vec<Image>,
    manifests: BTreeMap<Digest, Manifest>,
    unread: BTreeMap<Digest, String>,
}

impl Repository {
    /// Puts a repository together. `uri` is registry host and repository name
    /// without a tag, as task definitions write it. An image that is listed
    /// twice, as pages of a changing list do, is taken once with all its tags.
    pub fn new(
        uri: impl Into<String>,
        mut images: Vec<Image>,
        manifests: BTreeMap<Digest, Manifest>,
    ) -> Self {
        images.sort_by(|a, b| a.digest.cmp(&b.digest));
        images.dedup_by(|again, first| {
            let same = again.digest == first.digest;
            if same {
                first.tags.append(&mut again.tags);
                first.pushed_at = first.pushed_at.max(again.pushed_at);
                first.last_pulled_at = first.last_pulled_at.max(again.last_pulled_at);
            }
            same
        });
        for image in &mut images {
            image.tags.sort();
            image.tags.dedup();
        }
        Self { uri: uri.into(), images, manifests, unread: BTreeMap::new() }
    }

    /// Adds why manifests could not be read, for the errors that name them.
    #[must_use]
    pub fn with_unread(mut self, unread: BTreeMap<Digest, String>) -> Self {
        self.unread = unread;
        self
    }

    /// Registry host and repository name.
    #[must_use]
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// All images, in the order of their digests.
    #[must_use]
    pub fn images(&self) -> &[Image] {
        &self.images
    }

    /// An image by digest.
    #[must_use]
    pub fn image(&self, digest: &Digest) -> Option<&Image> {
        self.position(digest).map(|at| &self.images[at])
    }

    /// The image that a tag is on.
    #[cfg(test)]
    #[must_use]
    pub fn tagged(&self, tag: &str) -> Option<&Image> {
        self.images.iter().find(|image| image.tags.iter().any(|t| t == tag))
    }

    /// An image's manifest, if it was read.
    #[must_use]
    pub fn manifest(&self, digest: &Digest) -> Option<&Manifest> {
        self.manifests.get(digest)
    }

    /// The manifests that were read, for a second look.
    #[must_use]
    pub fn into_manifests(self) -> BTreeMap<Digest, Manifest> {
        self.manifests
    }

    /// Why an image's manifest was not read, if that is known.
    #[must_use]
    pub fn unread_reason(&self, digest: &Digest) -> Option<&str> {
        self.unread.get(digest).map(String::as_str)
    }

    pub(super) fn position(&self, digest: &Digest) -> Option<usize> {
        self.images.binary_search_by(|image| image.digest.cmp(digest)).ok()
    }

    /// Whether the image's manifest is missing although it may list children.
    /// An unknown media type counts: what it hides could be anything.
    pub(super) fn hides_children(&self, image: &Image) -> bool {
        let kind = image.manifest_media_type.as_deref().and_then(MediaKind::of);
        !self.manifests.contains_key(&image.digest)
            && !matches!(kind, Some(MediaKind::Image | MediaKind::DockerImage))
    }

    /// Whether the image's manifest is missing although it may be a companion
    /// of another image. Docker's formats have no such link.
    pub(super) fn hides_subject(&self, image: &Image) -> bool {
        let kind = image.manifest_media_type.as_deref().and_then(MediaKind::of);
        !self.manifests.contains_key(&image.digest) && kind != Some(MediaKind::DockerImage)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture;

    #[test]
    fn an_image_listed_twice_is_one_with_all_its_tags() {
        let mut twice = vec![fixture::image(1, &["a"]), fixture::image(1, &[])];
        twice.extend([fixture::image(0, &[]), fixture::image(1, &["b", "a"])]);
        let repository = fixture::repository(twice, []);
        assert_eq!(repository.images().len(), 2);
        assert_eq!(repository.tagged("b").unwrap().tags, ["a", "b"]);
    }
}
