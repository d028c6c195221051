//! The layers of images in ECR.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::ecr::{ImageFacts, images};
use crate::aws::Aws;

/// Layers by digest, with their compressed sizes in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layers(BTreeMap<String, u64>);

impl Layers {
    /// The bytes of those that the others lack.
    pub fn beyond(&self, others: &Self) -> u64 {
        let new = self.0.iter().filter(|(digest, _)| !others.0.contains_key(*digest));
        new.map(|(_, size)| size).sum()
    }

    /// Adds those of a manifest; the digests that an index lists instead.
    fn add(&mut self, manifest: &str) -> Result<Vec<String>> {
        let manifest: Value = serde_json::from_str(manifest).context("a manifest")?;
        let of = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
        let digest = |entry: &Value| entry["digest"].as_str().map(str::to_owned);
        let layers = of("layers");
        self.0.extend(layers.iter().filter_map(|l| Some((digest(l)?, l["size"].as_u64()?))));
        Ok(of("manifests").iter().filter_map(digest).collect())
    }
}

/// The layers of those of these images that are there, by tag or digest: each once, and those of
/// an index's children. `None` when none is there. At most a hundred.
///
/// # Errors
/// ECR does not answer.
pub async fn layers(aws: &Aws, repository: &str, references: &[&str]) -> Result<Option<Layers>> {
    let found = images(aws, repository, references).await?;
    if found.is_empty() {
        return Ok(None);
    }
    of(aws, repository, &found).await.map(Some)
}

/// As [`layers`], of images whose manifests were read.
///
/// # Errors
/// ECR does not answer, or not all children of an index are there.
pub async fn of(aws: &Aws, repository: &str, images: &[ImageFacts]) -> Result<Layers> {
    let mut layers = Layers::default();
    let mut children = Vec::new();
    for image in images {
        children.extend(layers.add(&image.manifest)?);
    }
    children.sort();
    children.dedup();
    for some in children.chunks(100) {
        let some: Vec<&str> = some.iter().map(String::as_str).collect();
        let found = super::ecr::images(aws, repository, &some).await?;
        anyhow::ensure!(found.len() == some.len(), "an index has children that are not there");
        for child in found {
            layers.add(&child.manifest)?;
        }
    }
    Ok(layers)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::stand_in::StandIn;

    /// A repository with these images: a name that is tag and digest, and a manifest.
    fn layers_of(there: &'static [(&'static str, &'static str)], names: &[&str]) -> Option<Layers> {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, _| {
            assert_eq!(operation, "BatchGetImage");
            let images = request["imageIds"].as_array().unwrap().iter().filter_map(|id| {
                let name = id["imageTag"].as_str().or(id["imageDigest"].as_str())?;
                let (name, manifest) = there.iter().find(|(there, _)| *there == name)?;
                Some(json!({ "imageId": { "imageDigest": name }, "imageManifest": manifest }))
            });
            (200, json!({ "images": images.collect::<Vec<_>>(), "failures": [] }))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { layers(&stand_in.aws().await, "app", names).await.unwrap() })
    }

    const THERE: &[(&str, &str)] = &[
        ("latest", r#"{"layers":[{"digest":"a","size":1},{"digest":"b","size":20}]}"#),
        ("git-1", r#"{"layers":[{"digest":"a","size":1},{"digest":"c","size":300}]}"#),
        ("index", r#"{"manifests":[{"digest":"sha256:one"},{"digest":"sha256:two"}]}"#),
        ("sha256:one", r#"{"layers":[{"digest":"c","size":300},{"digest":"d","size":4000}]}"#),
        ("sha256:two", r#"{"layers":[{"digest":"a","size":1},{"digest":"d","size":4000}]}"#),
    ];

    #[test]
    fn a_layer_counts_once_and_only_if_no_earlier_image_has_it() {
        let of = |names: &[&str]| layers_of(THERE, names);
        assert_eq!(of(&["none"]), None);
        let latest = of(&["latest", "none"]).unwrap();
        assert_eq!(of(&["git-1"]).unwrap().beyond(&latest), 300);
        assert_eq!(latest.beyond(&latest), 0);
        assert_eq!(of(&["index"]).unwrap().beyond(&latest), 4300);
        assert_eq!(of(&["index"]).unwrap().beyond(&of(&["latest", "git-1"]).unwrap()), 4000);
        assert_eq!(latest.beyond(&of(&["index"]).unwrap()), 20);
    }
}
