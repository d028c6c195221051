//! The ECR repository.

use anyhow::Result;
use aws_sdk_ecr::types::{ImageIdentifier, ImageTagMutability, Repository};
use serde::Serialize;

use crate::aws::{Aws, explain};
use crate::config::Environment;
use crate::exit::{Exit, Failure};
use crate::registry::glob::Glob;
use crate::registry::mutability::TagMutability;

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
    let answer = aws
        .ecr
        .batch_get_image()
        .repository_name(&environment.repository)
        .image_ids(id(reference))
        .set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec()))
        .send()
        .await
        .map_err(|error| explain("ecr:BatchGetImage", &error))?;
    Ok(answer.images().first().and_then(|image| {
        Some(ImageFacts {
            digest: image.image_id()?.image_digest()?.to_owned(),
            manifest: image.image_manifest().unwrap_or_default().to_owned(),
        })
    }))
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
    use serde_json::{Value, json};

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
}
