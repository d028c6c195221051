//! Reading of image manifests as registries store them: Docker and OCI images,
//! indexes (manifest lists), BuildKit caches, attestations and other artifacts.
//!
//! Reading is tolerant: unknown fields are ignored and media types that are
//! missing are inferred from the shape, as registries hold manifests of many
//! tools and years. What decides over deletion is not guessed: a document that
//! has neither the shape of an image nor that of an index is an error.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;

use serde::Deserialize;

use super::digest::Digest;
use super::null_as_default;

/// BuildKit's cache configuration, the mark of a cache manifest.
pub const BUILDKIT_CACHE: &str = "application/vnd.buildkit.cacheconfig.v0";
const IN_TOTO: &str = "application/vnd.in-toto+json";
const DOCKER_ATTESTATION: &str = "application/vnd.docker.attestation.manifest.v1+json";
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";

/// What a descriptor's media type says that it points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaKind {
    /// One image or artifact: no children.
    Image,
    /// An image of Docker's schema 1 or 2: no children and, unlike OCI's, never a subject.
    DockerImage,
    /// An OCI index or Docker manifest list: has children.
    Index,
    /// A layer, a configuration or another blob.
    Blob,
}

impl MediaKind {
    /// Sorts a media type. `None` when it is empty or not one that is known to
    /// name a manifest or a blob.
    #[must_use]
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/vnd.docker.distribution.manifest.v2+json"
            | "application/vnd.docker.distribution.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v1+prettyjws" => {
                Some(Self::DockerImage)
            }
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.oci.artifact.manifest.v1+json" => Some(Self::Image),
            "application/vnd.docker.distribution.manifest.list.v2+json"
            | "application/vnd.oci.image.index.v1+json" => Some(Self::Index),
            "application/vnd.docker.container.image.v1+json"
            | "application/vnd.oci.image.config.v1+json"
            | "application/vnd.oci.empty.v1+json"
            | BUILDKIT_CACHE
            | IN_TOTO => Some(Self::Blob),
            other
                if other.starts_with("application/vnd.oci.image.layer.")
                    || other.starts_with("application/vnd.docker.image.rootfs.") =>
            {
                Some(Self::Blob)
            }
            _ => None,
        }
    }
}

/// The platform that an index's child is for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Platform {
    /// Operating system, `linux`.
    #[serde(default)]
    pub os: String,
    /// Architecture in Go's spelling, `amd64`.
    #[serde(default)]
    pub architecture: String,
    /// Variant, `v8`.
    #[serde(default)]
    pub variant: Option<String>,
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

/// A pointer to a blob or manifest by digest.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it points at.
    pub digest: Digest,
    /// Size in bytes of what it points at, compressed as stored.
    #[serde(default)]
    pub size: u64,
    /// Media type of what it points at; empty when it was not said.
    #[serde(default)]
    pub media_type: String,
    /// Type of the artifact that it points at.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// In an index: the platform.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Free annotations.
    #[serde(default, deserialize_with = "null_as_default")]
    pub annotations: BTreeMap<String, String>,
}

impl Descriptor {
    /// Whether this child of an index is a BuildKit attestation.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        self.annotations.get(REFERENCE_TYPE).map(String::as_str) == Some("attestation-manifest")
    }
}

/// An image, a BuildKit cache or another artifact: a configuration and layers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageManifest {
    /// Type of an artifact that is not an image, if it was said.
    pub artifact_type: Option<String>,
    /// The configuration; an OCI artifact manifest has none.
    pub config: Option<Descriptor>,
    /// Layers, or an artifact's blobs.
    pub layers: Vec<Descriptor>,
    /// What this is a signature, attestation or other companion of.
    pub subject: Option<Descriptor>,
}

/// Several images under one digest, such as one a platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Type of an artifact that is not an image index, if it was said.
    pub artifact_type: Option<String>,
    /// The manifests that it lists.
    pub children: Vec<Descriptor>,
    /// Entries that are blobs: BuildKit's older cache format lists layers and
    /// its configuration as if they were manifests.
    pub blobs: Vec<Descriptor>,
    /// What this is a companion of.
    pub subject: Option<Descriptor>,
}

/// A manifest of either shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// Configuration and layers.
    Image(ImageManifest),
    /// A list of manifests.
    Index(Index),
}

/// A manifest that could not be read, with the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManifestError(String);

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ManifestError {}

/// Either shape as it stands in JSON.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wire {
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
    subject: Option<Descriptor>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

impl Manifest {
    /// Reads a manifest's JSON.
    ///
    /// # Errors
    /// When it is not JSON, names a digest that is none, or has the shape of
    /// neither an image nor an index.
    pub fn parse(json: &[u8]) -> Result<Self, ManifestError> {
        let wire: Wire = serde_json::from_slice(json)
            .map_err(|error| ManifestError(format!("not a manifest that can be read: {error}")))?;
        let declared = wire.media_type.as_deref().and_then(MediaKind::of);
        if let Some(manifests) = wire.manifests {
            if wire.layers.is_some()
                || matches!(declared, Some(MediaKind::Image | MediaKind::DockerImage))
            {
                return Err(ManifestError(
                    "claims to be an image and an index at the same time".to_owned(),
                ));
            }
            // Anything that is not known to be a blob counts as a child: a
            // child too many is kept, a child too few would be lost.
            let (blobs, children) = manifests
                .into_iter()
                .partition(|entry| MediaKind::of(&entry.media_type) == Some(MediaKind::Blob));
            let (artifact_type, subject) = (wire.artifact_type, wire.subject);
            return Ok(Self::Index(Index { artifact_type, children, blobs, subject }));
        }
        if declared == Some(MediaKind::Index) {
            return Err(ManifestError("is an index without a list of manifests".to_owned()));
        }
        if wire.fs_layers.is_some() {
            return Err(ManifestError("is of Docker's schema 1, which has no sizes".to_owned()));
        }
        let layers = match (wire.layers, wire.blobs, &wire.config) {
            (Some(layers), ..) | (None, Some(layers), _) => layers,
            (None, None, Some(_)) => Vec::new(),
            (None, None, None) if wire.subject.is_some() => Vec::new(),
            (None, None, None) => {
                return Err(ManifestError("has neither layers nor a list of manifests".to_owned()));
            }
        };
        Ok(Self::Image(ImageManifest {
            artifact_type: wire.artifact_type,
            config: wire.config,
            layers,
            subject: wire.subject,
        }))
    }

    /// The manifests that an index lists; none for an image.
    #[must_use]
    pub fn children(&self) -> &[Descriptor] {
        match self {
            Self::Image(_) => &[],
            Self::Index(index) => &index.children,
        }
    }

    /// What this is a companion of (OCI's `subject`).
    #[must_use]
    pub fn subject(&self) -> Option<&Digest> {
        match self {
            Self::Image(image) => image.subject.as_ref(),
            Self::Index(index) => index.subject.as_ref(),
        }
        .map(|subject| &subject.digest)
    }

    /// The blobs that this manifest itself needs: configuration and layers.
    pub fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        let (config, rest) = match self {
            Self::Image(image) => (image.config.as_ref(), &image.layers),
            Self::Index(index) => (None, &index.blobs),
        };
        config.into_iter().chain(rest)
    }

    /// Whether this is a BuildKit cache, in the format of an image or of an index.
    #[must_use]
    pub fn is_cache(&self) -> bool {
        match self {
            Self::Image(image) => {
                image.config.as_ref().is_some_and(|config| config.media_type == BUILDKIT_CACHE)
                    || image.artifact_type.as_deref() == Some(BUILDKIT_CACHE)
            }
            Self::Index(index) => index.blobs.iter().any(|blob| blob.media_type == BUILDKIT_CACHE),
        }
    }

    /// Whether this is an attestation as BuildKit writes it: in-toto statements and nothing else.
    #[must_use]
    pub fn is_attestation(&self) -> bool {
        match self {
            Self::Image(image) => {
                image.artifact_type.as_deref() == Some(DOCKER_ATTESTATION)
                    || (!image.layers.is_empty()
                        && image.layers.iter().all(|layer| layer.media_type == IN_TOTO))
            }
            Self::Index(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::fixture::{digest, real};
    use super::*;

    fn parse(json: &serde_json::Value) -> Result<Manifest, ManifestError> {
        Manifest::parse(json.to_string().as_bytes())
    }

    #[test]
    fn what_buildx_pushed_is_read() {
        let repository = real();
        let of = |tag: &str| {
            repository.manifest(&repository.tagged(tag).unwrap().digest).unwrap().clone()
        };
        let plain = of("git-0001");
        assert_eq!(plain.blobs().count(), 5);
        assert!(plain.children().is_empty() && !plain.is_cache() && !plain.is_attestation());

        let Manifest::Index(with_provenance) = of("git-0002") else { panic!("not an index") };
        let platforms: Vec<String> = with_provenance
            .children
            .iter()
            .map(|child| child.platform.as_ref().unwrap().to_string())
            .collect();
        assert_eq!(platforms, ["linux/amd64", "unknown/unknown"]);
        let attestation = &with_provenance.children[1];
        assert!(attestation.is_attestation() && !with_provenance.children[0].is_attestation());
        assert!(repository.manifest(&attestation.digest).unwrap().is_attestation());

        let zstd = of("git-0003-zstd");
        assert!(zstd.blobs().skip(1).all(|layer| layer.media_type.ends_with("tar+zstd")));
        assert!(zstd.blobs().all(|blob| blob.size > 0));
    }

    #[test]
    fn both_formats_of_a_cache_are_known_and_have_blobs_and_no_children() {
        let repository = real();
        for tag in ["buildcache", "buildcache-index"] {
            let cache = repository.manifest(&repository.tagged(tag).unwrap().digest).unwrap();
            assert!(cache.is_cache(), "{tag}");
            assert_eq!(cache.children(), [], "{tag}");
            assert!(cache.blobs().count() > 4, "{tag}");
        }
    }

    #[test]
    fn companions_name_their_subject() {
        let repository = real();
        let subjects: Vec<&Digest> = repository
            .images()
            .iter()
            .filter_map(|image| repository.manifest(&image.digest)?.subject())
            .collect();
        assert_eq!(subjects, [&repository.tagged("git-0001").unwrap().digest]);
        // An OCI artifact manifest has neither configuration nor layers.
        let artifact = parse(&json!({
            "mediaType": "application/vnd.oci.artifact.manifest.v1+json",
            "artifactType": "application/spdx+json",
            "blobs": [{"digest": digest(5), "size": 7, "mediaType": "application/spdx+json"}],
            "subject": {"digest": digest(6), "size": 1},
        }))
        .unwrap();
        assert_eq!(artifact.subject(), Some(&digest(6)));
        assert_eq!(artifact.blobs().map(|blob| blob.size).sum::<u64>(), 7);
    }

    #[test]
    fn what_is_missing_is_inferred_and_what_is_unknown_ignored() {
        let bare = parse(&json!({
            "manifests": [{"digest": digest(1), "annotations": null}, {"digest": digest(2), "mediaType": "application/x"}],
            "future": {"a": 1},
        }))
        .unwrap();
        assert_eq!(bare.children().len(), 2, "a child too many rather than too few");
        let empty = parse(&json!({"manifests": []})).unwrap();
        assert!(matches!(empty, Manifest::Index(_)));
        assert!(matches!(parse(&json!({"layers": []})).unwrap(), Manifest::Image(_)));
    }

    #[test]
    fn what_could_hide_something_is_an_error() {
        for (json, says) in [
            (json!({}), "neither layers nor"),
            (json!({"errors": []}), "neither layers nor"),
            (json!([]), "not a manifest"),
            (json!({"manifests": [{"digest": "sha256:12"}]}), "64 hexadecimal digits"),
            (json!({"manifests": [{"size": 1}]}), "missing field"),
            (json!({"manifests": [], "layers": []}), "at the same time"),
            (
                json!({"mediaType": "application/vnd.oci.image.index.v1+json", "layers": []}),
                "without a list",
            ),
            (
                json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "manifests": []}),
                "at the same time",
            ),
            (json!({"schemaVersion": 1, "fsLayers": []}), "schema 1"),
        ] {
            let error = parse(&json).expect_err(says).to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
