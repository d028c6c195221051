//! A whole ECR repository: its images page by page, their manifests in hundreds side by side.

use std::collections::BTreeMap;

use anyhow::Result;
use aws_sdk_ecr::types::{ImageDetail, ImageIdentifier, ImageStatus};
use tokio::task::JoinSet;

use super::beside::AT_ONCE;
use super::ecr::MEDIA_TYPES;
use crate::aws::{Aws, explain};
use xtask_core::config::Environment;
use xtask_core::registry::digest::Digest;
use xtask_core::registry::manifest::Manifest;
use xtask_core::registry::repository::{Image, Repository};

/// Images that one page of `DescribeImages` holds at most.
const PAGE: i32 = 1000;

/// Images that one `BatchGetImage` call takes at most.
const BATCH: usize = 100;

/// Manifests that were read, and reasons of those that were not.
type Manifests = (BTreeMap<Digest, Manifest>, BTreeMap<Digest, String>);

/// Reads a repository of the environment's registry; `None` when it is not there. Manifests never
/// change: those that are `known` from an earlier look are not read again.
///
/// A manifest that can not be read is not an error: the repository remembers why.
///
/// # Errors
/// ECR can not be asked.
pub async fn repository(
    aws: &Aws,
    environment: &Environment,
    name: &str,
    known: Option<Repository>,
) -> Result<Option<Repository>> {
    let uri = format!("{}/{name}", environment.registry);
    let mut known = known.map(Repository::into_manifests).unwrap_or_default();
    read(aws, name, &uri, &mut known).await
}

/// `uri` is the registry's host and the repository's name, as task definitions write it. Manifests
/// of the images that are there are moved out of `known`.
async fn read(
    aws: &Aws,
    name: &str,
    uri: &str,
    known: &mut BTreeMap<Digest, Manifest>,
) -> Result<Option<Repository>> {
    let mut images = Vec::new();
    let mut manifests = BTreeMap::new();
    let mut unread = BTreeMap::new();
    let mut batches: JoinSet<Result<Manifests>> = JoinSet::new();
    let mut gather = |(read, failed): Manifests, manifests: &mut BTreeMap<Digest, Manifest>| {
        manifests.extend(read);
        unread.extend(failed);
    };
    let request = aws.ecr.describe_images().repository_name(name).max_results(PAGE);
    let mut pages = request.into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = match page {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|e| e.is_repository_not_found_exception()) =>
            {
                return Ok(None);
            }
            other => other.map_err(|error| explain("ecr:DescribeImages", &error))?,
        };
        let page: Vec<Image> =
            page.image_details().iter().map(image).collect::<Result<Vec<_>>>()?;
        let mut wanted = Vec::new();
        for image in &page {
            match known.remove(&image.digest) {
                Some(manifest) => drop(manifests.insert(image.digest.clone(), manifest)),
                None => wanted.push(image.digest.clone()),
            }
        }
        images.extend(page);
        // The next page is on its way while these are.
        for batch in wanted.chunks(BATCH) {
            while batches.len() >= AT_ONCE
                && let Some(done) = batches.join_next().await
            {
                gather(done??, &mut manifests);
            }
            batches.spawn(read_manifests(aws.clone(), name.to_owned(), batch.to_vec()));
        }
    }
    while let Some(done) = batches.join_next().await {
        gather(done??, &mut manifests);
    }
    Ok(Some(Repository::new(uri, images, manifests).with_unread(unread)))
}

async fn read_manifests(aws: Aws, name: String, digests: Vec<Digest>) -> Result<Manifests> {
    let id = |digest: &Digest| ImageIdentifier::builder().image_digest(digest.as_str()).build();
    let answer = aws
        .ecr
        .batch_get_image()
        .repository_name(name)
        .set_image_ids(Some(digests.iter().map(id).collect()))
        .set_accepted_media_types(Some(MEDIA_TYPES.map(str::to_owned).to_vec()))
        .send()
        .await
        .map_err(|error| explain("ecr:BatchGetImage", &error))?;
    let mut read = BTreeMap::new();
    let mut unread: BTreeMap<Digest, String> = digests
        .into_iter()
        .map(|digest| (digest, "ecr:BatchGetImage did not answer for it".to_owned()))
        .collect();
    for image in answer.images() {
        let digest = image.image_id().and_then(ImageIdentifier::image_digest);
        let Some(digest) = digest.and_then(|digest| digest.parse::<Digest>().ok()) else {
            continue;
        };
        match Manifest::parse(image.image_manifest().unwrap_or_default().as_bytes()) {
            Ok(manifest) => {
                unread.remove(&digest);
                read.insert(digest, manifest);
            }
            Err(error) => drop(unread.insert(digest, error.to_string())),
        }
    }
    for failure in answer.failures() {
        let digest = failure.image_id().and_then(ImageIdentifier::image_digest);
        let Some(digest) = digest.and_then(|digest| digest.parse::<Digest>().ok()) else {
            continue;
        };
        let code = failure.failure_code().map_or("no code", |code| code.as_str());
        let reason = failure.failure_reason().unwrap_or("no reason");
        unread.insert(digest, format!("{code}: {reason}"));
    }
    Ok((read, unread))
}

fn image(detail: &ImageDetail) -> Result<Image> {
    let digest = detail.image_digest().unwrap_or_default();
    Ok(Image {
        digest: digest.parse()?,
        tags: detail.image_tags().to_vec(),
        pushed_at: detail.image_pushed_at().map(aws_smithy_types::DateTime::secs),
        last_pulled_at: detail.last_recorded_pull_time().map(aws_smithy_types::DateTime::secs),
        // It says so also of an image that is back.
        archived_at: detail
            .last_archived_at()
            .filter(|_| detail.image_status() == Some(&ImageStatus::Archived))
            .map(aws_smithy_types::DateTime::secs),
        activated_at: detail.last_activated_at().map(aws_smithy_types::DateTime::secs),
        size: detail.image_size_in_bytes().and_then(|size| u64::try_from(size).ok()).unwrap_or(0),
        manifest_media_type: detail.image_manifest_media_type().map(str::to_owned),
        artifact_media_type: detail.artifact_media_type().map(str::to_owned),
        subject: detail.subject_manifest_digest().map(str::parse).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::aws::stand_in::StandIn;

    fn digest(n: usize) -> String {
        format!("sha256:{n:064x}")
    }

    /// 2500 images on three pages; number 7 can not be had, number 8 is no manifest.
    fn ecr(operation: &str, request: &Value, _: usize) -> (u16, Value) {
        let answer = match operation {
            "DescribeImages" => {
                assert_eq!(request["maxResults"], 1000);
                let page: usize = request["nextToken"].as_str().map_or(0, |t| t.parse().unwrap());
                let end = 2500.min((page + 1) * 1000);
                let detail = |n| {
                    json!({ "imageDigest": digest(n), "imageSizeInBytes": 5,
                    "imagePushedAt": 1_700_000_000.0, "imageTags": [format!("t{n}")] })
                };
                let details: Vec<_> = (page * 1000..end).map(detail).collect();
                let next = (end < 2500).then(|| (page + 1).to_string());
                json!({ "imageDetails": details, "nextToken": next })
            }
            "BatchGetImage" => {
                let ids = request["imageIds"].as_array().unwrap();
                assert!(
                    ids.len() <= 100
                        && request["acceptedMediaTypes"].as_array().unwrap().len() == 4
                );
                let (mut images, mut failures) = (Vec::new(), Vec::new());
                for id in ids {
                    if id["imageDigest"] == digest(7) {
                        failures.push(json!({ "imageId": id, "failureCode": "KmsError",
                            "failureReason": "key is disabled" }));
                        continue;
                    }
                    let text = if id["imageDigest"] == digest(8) { "?" } else { "{\"layers\":[]}" };
                    images.push(json!({ "imageId": id, "imageManifest": text }));
                }
                json!({ "images": images, "failures": failures })
            }
            other => panic!("{other} was not expected"),
        };
        (200, answer)
    }

    #[test]
    fn pages_and_batches_are_read_and_manifests_only_once() {
        let stand_in = StandIn::start(ecr);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let aws = stand_in.aws().await;
            let mut known = BTreeMap::new();
            let found = read(&aws, "app", "r/app", &mut known).await.unwrap().unwrap();
            assert_eq!(found.images().len(), 2500);
            assert_eq!(stand_in.calls("DescribeImages").len(), 3);
            assert_eq!(stand_in.calls("BatchGetImage").len(), 25);
            let of = |n| digest(n).parse::<Digest>().unwrap();
            assert_eq!(found.unread_reason(&of(7)), Some("KmsError: key is disabled"));
            assert!(found.unread_reason(&of(8)).unwrap().contains("not a manifest"));
            assert!(found.manifest(&of(9)).is_some() && found.unread_reason(&of(9)).is_none());

            let mut known = found.into_manifests();
            let again = read(&aws, "app", "r/app", &mut known).await.unwrap().unwrap();
            assert!(known.is_empty() && again.manifest(&of(9)).is_some());
            // Only the two that were not read are asked for again.
            let asked = &stand_in.calls("BatchGetImage")[25..];
            assert_eq!(asked.len(), 1);
            assert_eq!(asked[0]["imageIds"].as_array().unwrap().len(), 2);
        });
    }

    #[test]
    fn an_image_that_came_back_from_the_archive_is_not_in_it() {
        let of = |status: ImageStatus| {
            let time = aws_smithy_types::DateTime::from_secs(5);
            let detail = ImageDetail::builder()
                .image_digest(digest(1))
                .image_status(status)
                .last_archived_at(time)
                .last_activated_at(time)
                .build();
            let image = image(&detail).unwrap();
            (image.archived_at, image.activated_at)
        };
        assert_eq!(of(ImageStatus::Archived), (Some(5), Some(5)));
        assert_eq!(of(ImageStatus::Active), (None, Some(5)));
    }

    #[test]
    fn a_repository_that_is_not_there_is_no_error() {
        let stand_in = StandIn::start(|_: &str, _: &Value, _| {
            (400, json!({ "__type": "RepositoryNotFoundException", "message": "no" }))
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let aws = stand_in.aws().await;
            let found = read(&aws, "app", "r/app", &mut BTreeMap::new()).await.unwrap();
            assert!(found.is_none());
        });
    }
}
