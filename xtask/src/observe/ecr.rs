//! The ECR repository.

use anyhow::Result;
use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability, Repository};
use serde::Serialize;
use serde_json::Value;

use crate::aws::{Aws, explain};
use xtask_core::config::Environment;
use xtask_core::exit::{Exit, Failure};
use xtask_core::registry::glob::Glob;
use xtask_core::registry::mutability::TagMutability;

/// The repository, when it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RepositoryFacts {
    /// Its name.
    pub name: String,
    /// Whether it is there.
    pub exists: bool,
    /// Which tags can move to another image.
    pub tags: TagMutability,
}

/// Looks for a repository.
///
/// # Errors
/// ECR can not be asked.
pub async fn repository(aws: &Aws, name: &str) -> Result<RepositoryFacts> {
    let answer = aws.ecr.describe_repositories().repository_names(name).send().await;
    let name = name.to_owned();
    match answer {
        Ok(answer) => {
            let found = answer.repositories().first();
            let tags = found.map_or(TagMutability::MUTABLE, mutability);
            Ok(RepositoryFacts { name, exists: found.is_some(), tags })
        }
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_repository_not_found_exception()) =>
        {
            Ok(RepositoryFacts { name, exists: false, tags: TagMutability::MUTABLE })
        }
        Err(error) => Err(explain("ecr:DescribeRepositories", &error)),
    }
}

fn mutability(repository: &Repository) -> TagMutability {
    use ImageTagMutability::{Immutable, ImmutableWithExclusion};
    // The only filters that there are match with `*`.
    let filters = repository.image_tag_mutability_exclusion_filters().iter();
    TagMutability {
        mutable: !matches!(
            repository.image_tag_mutability(),
            Some(Immutable | ImmutableWithExclusion)
        ),
        except: filters.map(|filter| Glob::new(filter.filter())).collect(),
    }
}

/// The text of a repository's lifecycle policy; `None` when it has none.
///
/// # Errors
/// ECR can not be asked.
pub async fn lifecycle_policy(aws: &Aws, name: &str) -> Result<Option<String>> {
    let answer = aws.ecr.get_lifecycle_policy().repository_name(name).send().await;
    match answer {
        Ok(answer) => Ok(answer.lifecycle_policy_text),
        Err(error)
            if error.as_service_error().is_some_and(|e| {
                e.is_lifecycle_policy_not_found_exception() || e.is_repository_not_found_exception()
            }) =>
        {
            Ok(None)
        }
        Err(error) => Err(explain("ecr:GetLifecyclePolicy", &error)),
    }
}

/// An image in the repository.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ImageFacts {
    /// Its digest: of the index, when it is one.
    pub digest: String,
    /// The manifest, as it was pushed.
    #[serde(skip)]
    pub manifest: String,
    /// The manifest's media type.
    #[serde(skip)]
    pub media_type: Option<String>,
}

/// Looks for an image by its digest or tag; `None` when it is not there.
///
/// # Errors
/// ECR can not be asked.
pub async fn image(
    aws: &Aws,
    environment: &Environment,
    reference: &str,
) -> Result<Option<ImageFacts>> {
    let found = images(aws, &environment.repository, &[reference]).await?;
    Ok(found.into_iter().next())
}

/// Looks for images by digest or tag, at most a hundred.
pub(super) async fn images(
    aws: &Aws,
    repository: &str,
    references: &[&str],
) -> Result<Vec<ImageFacts>> {
    let ids = references.iter().map(|reference| id(reference));
    let answer = aws
        .ecr
        .batch_get_image()
        .repository_name(repository)
        .set_image_ids(Some(ids.collect()))
        .set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec()))
        .send()
        .await
        .map_err(|error| explain("ecr:BatchGetImage", &error))?;
    let found = answer.images().iter().filter_map(|image| {
        Some(ImageFacts {
            digest: image.image_id()?.image_digest()?.to_owned(),
            manifest: image.image_manifest().unwrap_or_default().to_owned(),
            media_type: image.image_manifest_media_type().map(str::to_owned),
        })
    });
    Ok(found.collect())
}

/// The compressed size of an image, in bytes; `None` when it is not there. Of an index, that of
/// its largest image.
///
/// Source: Amazon ECR API reference, `ImageDetail`.
///
/// # Errors
/// ECR can not be asked.
pub async fn size(aws: &Aws, repository: &str, reference: &str) -> Result<Option<u64>> {
    let request = aws.ecr.describe_images().repository_name(repository).image_ids(id(reference));
    match request.send().await {
        Ok(answer) => {
            let found = answer.image_details().first();
            let bytes = found.and_then(|image| image.image_size_in_bytes());
            Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()))
        }
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_image_not_found_exception()) =>
        {
            Ok(None)
        }
        Err(error) => Err(explain("ecr:DescribeImages", &error)),
    }
}

/// An image by its digest or tag.
fn id(reference: &str) -> ImageIdentifier {
    let id = ImageIdentifier::builder();
    let by_digest = reference.starts_with("sha256:");
    if by_digest { id.image_digest(reference) } else { id.image_tag(reference) }.build()
}
/// An image that has a certain tag, with all of its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// Its digest.
    pub digest: String,
    /// Its tags.
    pub tags: Vec<String>,
}

/// Looks for the image with a tag: one call, and two more when it is an index. An index that has
/// lost one of its children counts as not there.
///
/// # Errors
/// ECR can not be asked.
pub async fn tagged(aws: &Aws, repository: &str, tag: &str) -> Result<Option<Tagged>> {
    let asked = aws.ecr.describe_images().repository_name(repository);
    let answer = match asked.image_ids(id(tag)).send().await {
        Err(error)
            if error.as_service_error().is_some_and(|e| e.is_image_not_found_exception()) =>
        {
            return Ok(None);
        }
        answer => answer.map_err(|error| explain("ecr:DescribeImages", &error))?,
    };
    let Some(found) = answer.image_details().first() else { return Ok(None) };
    let Some(digest) = found.image_digest() else { return Ok(None) };
    let index =
        found.image_manifest_media_type().is_none_or(|media_type| INDEX.contains(&media_type));
    if index && !is_whole(aws, repository, digest).await? {
        return Ok(None);
    }
    Ok(Some(Tagged { digest: digest.to_owned(), tags: found.image_tags().to_vec() }))
}

/// Whether everything is there that a manifest lists.
async fn is_whole(aws: &Aws, repository: &str, digest: &str) -> Result<bool> {
    let image = images(aws, repository, &[digest]).await?;
    let manifest = image.first().map(|image| serde_json::from_str::<Value>(&image.manifest));
    let Some(Ok(manifest)) = manifest else { return Ok(false) };
    let Some(listed) = manifest["manifests"].as_array() else {
        return Ok(manifest["layers"].is_array());
    };
    let children: Option<Vec<&str>> = listed.iter().map(|child| child["digest"].as_str()).collect();
    match children {
        Some(children) if !children.is_empty() && children.len() <= 100 => {
            Ok(images(aws, repository, &children).await?.len() == children.len())
        }
        _ => Ok(false),
    }
}

/// Media types of an index.
const INDEX: [&str; 2] = [MEDIA_TYPES[0], MEDIA_TYPES[2]];

/// What `BatchGetImage` may answer with. Without this ECR converts to Docker's schema 2.
///
/// Source: Amazon ECR API reference, `BatchGetImage`, `acceptedMediaTypes`.
pub(super) const MEDIA_TYPES: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// As [`image`], and it has to be there.
///
/// # Errors
/// [`Exit::Prerequisite`] when it is not there.
pub async fn existing_image(
    aws: &Aws,
    environment: &Environment,
    reference: &str,
) -> Result<ImageFacts> {
    image(aws, environment, reference).await?.ok_or_else(|| {
        Failure::new(
            Exit::Prerequisite,
            format!("the repository `{}` has no image `{reference}`", environment.repository),
        )
        .hint("`cargo xtask du` lists its images; `cargo xtask build --push` pushes one")
        .into()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::aws::stand_in::StandIn;

    fn tags(answer: Value) -> TagMutability {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, _| {
            assert_eq!(operation, "DescribeRepositories");
            assert_eq!(request["repositoryNames"], json!(["app"]));
            (200, json!({ "repositories": [answer] }))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async { repository(&stand_in.aws().await, "app").await.unwrap().tags })
    }

    #[test]
    fn exclusions_from_a_repository_s_mutability_are_read() {
        let filters = json!([{ "filterType": "WILDCARD", "filter": "buildcache*" }]);
        let of = |mutability: &str| {
            tags(json!({ "imageTagMutability": mutability,
                "imageTagMutabilityExclusionFilters": filters }))
        };
        let moves = |tags: TagMutability| (tags.moves("latest"), tags.moves("buildcache-2"));
        assert_eq!(moves(of("IMMUTABLE_WITH_EXCLUSION")), (false, true));
        assert_eq!(moves(of("MUTABLE_WITH_EXCLUSION")), (true, false));
        assert_eq!(moves(tags(json!({ "imageTagMutability": "IMMUTABLE" }))), (false, false));
        assert_eq!(moves(tags(json!({ "imageTagMutability": "MUTABLE" }))), (true, true));
        assert_eq!(moves(tags(json!({}))), (true, true));
    }

    /// What a repository with these images, tag or digest and manifest, has under a tag.
    async fn found(there: &'static [(&'static str, &'static str)]) -> Result<Option<Tagged>> {
        let manifest = |id: &Value| {
            let name = id["imageTag"].as_str().or(id["imageDigest"].as_str()).unwrap();
            let name = name.strip_prefix("sha256:of-").unwrap_or(name).to_owned();
            let (_, manifest) = there.iter().find(|(there, _)| *there == name)?;
            Some((format!("sha256:of-{name}"), *manifest))
        };
        let stand_in = StandIn::start(move |operation: &str, request: &Value, _| {
            let ids = request["imageIds"].as_array().unwrap();
            match (operation, manifest(&ids[0])) {
                ("DescribeImages", None) => {
                    (400, json!({ "__type": "ImageNotFoundException", "message": "no" }))
                }
                ("DescribeImages", Some((digest, manifest))) => {
                    let index = manifest.contains("manifests");
                    let media_type = if index { INDEX[0] } else { MEDIA_TYPES[1] };
                    let detail = json!({ "imageDigest": digest, "imageTags": ["in-1", "latest"],
                        "imageManifestMediaType": media_type });
                    (200, json!({ "imageDetails": [detail] }))
                }
                ("BatchGetImage", _) => {
                    let images = ids.iter().filter_map(|id| {
                        let (digest, manifest) = manifest(id)?;
                        Some(json!({ "imageId": { "imageDigest": digest }, "imageManifest": manifest }))
                    });
                    (200, json!({ "images": images.collect::<Vec<_>>(), "failures": [] }))
                }
                (other, _) => panic!("{other} was not expected"),
            }
        });
        tagged(&stand_in.aws().await, "app", "in-1").await
    }

    const IMAGE: &str = r#"{"layers":[]}"#;
    const INDEX_OF_TWO: &str = r#"{"manifests":[{"digest":"sha256:a"},{"digest":"sha256:b"}]}"#;

    #[tokio::test]
    async fn an_image_is_found_with_all_of_its_tags() {
        let found = found(&[("in-1", IMAGE)]).await.unwrap().unwrap();
        assert_eq!(found.digest, "sha256:of-in-1");
        assert_eq!(found.tags, ["in-1", "latest"]);
    }

    #[tokio::test]
    async fn an_index_without_one_of_its_children_is_not_there() {
        let two = &[("in-1", INDEX_OF_TWO), ("sha256:a", IMAGE), ("sha256:b", IMAGE)];
        assert!(found(two).await.unwrap().is_some());
        for there in [
            &[("in-1", INDEX_OF_TWO), ("sha256:a", IMAGE)][..],
            &[("in-1", r#"{"manifests":[]}"#)],
            &[("in-1", r#"{"manifests":"#)],
            &[("git-1", IMAGE)],
        ] {
            assert_eq!(found(there).await.unwrap(), None, "{there:?}");
        }
    }
}
