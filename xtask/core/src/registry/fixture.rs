//! Repositories for tests: a real one, and small ones made by hand.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::digest::Digest;
use super::manifest::{BUILDKIT_CACHE, Manifest};
use super::repository::{Image, Repository};

pub(super) const URI: &str = "127.0.0.1:4566/team/app";
pub(super) const NOW: i64 = 1_800_000_000;
pub(super) const DAY: i64 = 86_400;
const OCI_IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// A digest that ends in `number`.
pub(super) fn digest(number: u64) -> Digest {
    format!("sha256:{number:064x}").parse().unwrap()
}

/// An OCI image pushed `number` days before [`NOW`].
pub(super) fn image(number: u64, tags: &[&str]) -> Image {
    Image {
        digest: digest(number),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        pushed_at: Some(NOW - i64::try_from(number).unwrap() * DAY),
        last_pulled_at: None,
        archived_at: None,
        activated_at: None,
        size: 1000,
        manifest_media_type: Some(OCI_IMAGE.to_owned()),
        artifact_media_type: None,
        subject: None,
    }
}

/// The same as an index.
pub(super) fn index(number: u64, tags: &[&str]) -> Image {
    Image { manifest_media_type: Some(OCI_INDEX.to_owned()), ..image(number, tags) }
}

/// A manifest with layers of so many bytes each; a layer's number is its digest.
pub(super) fn layers(layers: &[(u64, u64)]) -> Value {
    let layers: Vec<Value> = layers
        .iter()
        .map(|(number, size)| json!({"mediaType": OCI_LAYER, "digest": digest(*number), "size": size}))
        .collect();
    json!({"schemaVersion": 2, "mediaType": OCI_IMAGE, "layers": layers})
}

/// A manifest that lists others.
pub(super) fn list(children: &[u64]) -> Value {
    let children: Vec<Value> = children
        .iter()
        .map(|number| json!({"mediaType": OCI_IMAGE, "digest": digest(*number), "size": 1}))
        .collect();
    json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": children})
}

/// A BuildKit cache in the format of an image.
pub(super) fn cache(layer: u64) -> Value {
    let mut cache = layers(&[(layer, 10)]);
    cache["config"] = json!({"mediaType": BUILDKIT_CACHE, "digest": digest(layer + 1), "size": 1});
    cache
}

/// A companion of another image.
pub(super) fn companion(subject: u64) -> Value {
    let mut companion = layers(&[]);
    companion["subject"] = json!({"mediaType": OCI_IMAGE, "digest": digest(subject), "size": 1});
    companion
}

pub(super) fn manifest(json: &Value) -> Manifest {
    Manifest::parse(json.to_string().as_bytes()).unwrap()
}

/// A repository with the manifests that are given, and an empty one for every
/// other image that is not an index.
pub(super) fn repository(
    images: Vec<Image>,
    manifests: impl IntoIterator<Item = (u64, Value)>,
) -> Repository {
    let mut read: BTreeMap<Digest, Manifest> = images
        .iter()
        .filter(|image| image.manifest_media_type.as_deref() == Some(OCI_IMAGE))
        .map(|image| (image.digest.clone(), manifest(&layers(&[]))))
        .collect();
    read.extend(manifests.into_iter().map(|(number, json)| (digest(number), manifest(&json))));
    Repository::new(URI, images, read)
}

/// What builds with provenance, caches of both formats, zstd, two platforms, a
/// signature and a bill of materials left in a registry.
pub(super) fn real() -> Repository {
    let json: Value = serde_json::from_str(include_str!("testdata/repository.json")).unwrap();
    let images = json["imageDetails"]
        .as_array()
        .unwrap()
        .iter()
        .map(|detail| Image {
            digest: detail["imageDigest"].as_str().unwrap().parse().unwrap(),
            tags: serde_json::from_value(detail["imageTags"].clone()).unwrap(),
            pushed_at: detail["imagePushedAt"].as_i64(),
            last_pulled_at: None,
            archived_at: None,
            activated_at: None,
            size: detail["imageSizeInBytes"].as_u64().unwrap(),
            manifest_media_type: detail["imageManifestMediaType"].as_str().map(str::to_owned),
            artifact_media_type: None,
            subject: None,
        })
        .collect();
    let manifests = json["manifests"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(digest, text)| {
            let manifest = Manifest::parse(text.as_str().unwrap().as_bytes()).unwrap();
            (digest.parse().unwrap(), manifest)
        })
        .collect();
    Repository::new(json["uri"].as_str().unwrap(), images, manifests)
}
