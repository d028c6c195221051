//! Prunes: runs the builder's command, and deletes images by digest after a second look.

use std::collections::BTreeSet;

use anyhow::Result;
use aws_sdk_ecr::types::{ImageFailureCode, ImageIdentifier};
use serde::Serialize;

use crate::aws::{Aws, explain};
use crate::interrupt::remember;
use crate::observe::beside::beside;
use crate::proc;
use crate::ui::Ui;
use xtask_core::event::Event;
use xtask_core::exit::{Exit, Failure, exit_of};
use xtask_core::plan::argv::Argv;
use xtask_core::registry::digest::Digest;
use xtask_core::registry::outcome;
use xtask_core::registry::plan::{Deletion, PrunePlan};
use xtask_core::registry::repository::Repository;

/// Runs the command that prunes a builder.
///
/// # Errors
/// It ends with an error: with what it said.
pub async fn builder(argv: &Argv) -> Result<()> {
    let subject = "builder's cache";
    remember(subject, "the builder's cache is pruned in part: `cargo xtask du` shows what is left");
    let output = proc::run(argv.clone()).await?;
    if output.ok() {
        remember(subject, "the builder's cache was pruned");
        return Ok(());
    }
    let hint = if output.stderr.contains("unknown flag") {
        "limits of space need buildx 0.18 or newer: update it".to_owned()
    } else {
        format!("try it by hand: `{argv}`")
    };
    Err(Failure::new(
        Exit::Unexpected,
        format!("the builder's cache could not be pruned: {}", output.reason()),
    )
    .hint(hint)
    .into())
}

/// What became of a repository's images that were to go.
#[derive(Debug, Default, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Deleted {
    /// Gone.
    pub deleted: BTreeSet<Digest>,
    /// Still there, with the reason.
    pub failed: Vec<Failed>,
    /// Bytes that were freed, counted once.
    pub freed_bytes: u64,
    /// The exit code that the first failure asks for.
    #[serde(skip)]
    exit: Option<Exit>,
}

/// An image that could not be deleted.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Failed {
    /// Which.
    pub digest: Digest,
    /// Why, in the words of ECR.
    pub reason: String,
}

/// Deletes what a plan says, by digest: one wave after the other, the batches of a wave side
/// by side. What belongs to an image that could not be deleted is left alone. `repository`
/// is what the plan was checked against last, `name` its name in ECR.
pub async fn registry(
    ui: &Ui,
    aws: &Aws,
    name: &str,
    plan: &PrunePlan,
    repository: &Repository,
) -> Result<Deleted> {
    let mut done = Deleted::default();
    let mut spared = BTreeSet::new();
    let of = plan.delete.len();
    let note = |deleted: usize| {
        remember(
            format!("repository {name}"),
            format!(
                "at least {deleted} of {of} images are deleted from {name}: \
                 run `cargo xtask prune --registry` again"
            ),
        );
    };
    for wave in plan.waves() {
        note(done.deleted.len());
        let batches: Vec<_> = wave
            .iter()
            .map(|batch| digests(batch, &spared))
            .filter(|batch| !batch.is_empty())
            .map(|batch| delete(aws.clone(), name.to_owned(), batch))
            .collect();
        let failed_before = done.failed.len();
        for (deleted, failed, exit) in beside(batches).await? {
            done.deleted.extend(deleted);
            done.failed.extend(failed);
            done.exit = done.exit.or(exit);
        }
        for Failed { digest, reason } in &done.failed[failed_before..] {
            let text = format!("{} was not deleted: {reason}", digest.short());
            ui.emit(&Event::Warning { text, hint: None });
        }
        let failed = done.failed.iter().map(|failed| failed.digest.clone()).collect();
        spared = outcome::needed_by(repository, &failed);
        note(done.deleted.len());
    }
    // What was left alone is still there as well.
    let known: BTreeSet<_> = done.failed.iter().map(|failed| failed.digest.clone()).collect();
    for deletion in &plan.delete {
        if spared.contains(&deletion.digest) && !known.contains(&deletion.digest) {
            let reason = "belongs to an image that could not be deleted".to_owned();
            done.failed.push(Failed { digest: deletion.digest.clone(), reason });
        }
    }
    done.freed_bytes = outcome::freed(repository, &done.deleted);
    Ok(done)
}

impl Deleted {
    /// What went wrong, if anything did.
    ///
    /// # Errors
    /// When an image could not be deleted.
    pub fn check(&self, repository: &str) -> Result<()> {
        let Some(first) = self.failed.first() else { return Ok(()) };
        let of = self.failed.len() + self.deleted.len();
        let text = format!(
            "{} of {of} images could not be deleted from {repository}; {}: {}",
            self.failed.len(),
            first.digest.short(),
            first.reason
        );
        let exit = self.exit.unwrap_or(Exit::Unexpected);
        Err(Failure::new(exit, text)
            .hint("mend what the reasons name and run it again: what is deleted stays deleted")
            .into())
    }
}

fn digests(batch: &[Deletion], spared: &BTreeSet<Digest>) -> Vec<Digest> {
    let digests = batch.iter().map(|deletion| &deletion.digest);
    digests.filter(|digest| !spared.contains(*digest)).cloned().collect()
}

type Batch = (Vec<Digest>, Vec<Failed>, Option<Exit>);

/// One `BatchDeleteImage`. The SDK repeats it when it is throttled. A call that fails is the
/// failure of each of its images: the others go on.
async fn delete(aws: Aws, name: String, digests: Vec<Digest>) -> Result<Batch> {
    let id = |digest: &Digest| ImageIdentifier::builder().image_digest(digest.as_str()).build();
    let request = aws
        .ecr
        .batch_delete_image()
        .repository_name(name)
        .set_image_ids(Some(digests.iter().map(id).collect()));
    let answer = match request.send().await {
        Ok(answer) => answer,
        Err(error) => {
            let error = explain("ecr:BatchDeleteImage", &error);
            let reason = format!("{error:#}");
            let failed = |digest| Failed { digest, reason: reason.clone() };
            let failed = digests.into_iter().map(failed).collect();
            return Ok((Vec::new(), failed, Some(exit_of(&error))));
        }
    };
    let digest = |id: &ImageIdentifier| id.image_digest().and_then(|digest| digest.parse().ok());
    let mut gone: BTreeSet<Digest> = answer.image_ids().iter().filter_map(digest).collect();
    let mut failed = Vec::new();
    for failure in answer.failures() {
        let Some(digest) = failure.image_id().and_then(digest) else { continue };
        // Somebody else was faster, which is just as well.
        if failure.failure_code() == Some(&ImageFailureCode::ImageNotFound) {
            gone.insert(digest);
            continue;
        }
        gone.remove(&digest);
        let code = failure.failure_code().map_or("no code", |code| code.as_str());
        let reason = failure.failure_reason().unwrap_or("no reason was given");
        failed.push(Failed { digest, reason: format!("{code}: {reason}") });
    }
    let told: BTreeSet<_> = failed.iter().map(|failed| failed.digest.clone()).collect();
    let (deleted, others): (Vec<_>, Vec<_>) =
        digests.into_iter().partition(|digest| gone.contains(digest));
    let unsaid = others.into_iter().filter(|digest| !told.contains(digest));
    let reason = "ECR did not say that it was deleted";
    failed.extend(unsaid.map(|digest| Failed { digest, reason: reason.to_owned() }));
    Ok((deleted, failed, None))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;
    use crate::aws::stand_in::StandIn;
    use xtask_core::registry::glob::Glob;
    use xtask_core::registry::in_use::InUse;
    use xtask_core::registry::manifest::Manifest;
    use xtask_core::registry::plan::plan;
    use xtask_core::registry::policy::{Caches, Images, Policy};
    use xtask_core::registry::repository::Image;

    fn digest(n: usize) -> Digest {
        format!("sha256:{n:064x}").parse().unwrap()
    }

    /// Untagged images 1 to 250, and the index 0 that lists 1 and 2.
    fn repository() -> Repository {
        let image = |n| Image {
            digest: digest(n),
            tags: Vec::new(),
            pushed_at: Some(1),
            last_pulled_at: None,
            archived_at: None,
            activated_at: None,
            size: 5,
            manifest_media_type: None,
            artifact_media_type: None,
            subject: None,
        };
        let manifest = |n: usize| {
            let child = |n| {
                json!({ "digest": digest(n), "size": 1,
                "mediaType": "application/vnd.oci.image.manifest.v1+json" })
            };
            let layer = json!({ "digest": digest(1000 + n), "size": 10 });
            let json = match n {
                0 => json!({ "manifests": [child(1), child(2)] }),
                _ => json!({ "layers": [layer] }),
            };
            (digest(n), Manifest::parse(json.to_string().as_bytes()).unwrap())
        };
        let manifests: BTreeMap<_, _> = (0..=250).map(manifest).collect();
        Repository::new("r/app", (0..=250).map(image).collect(), manifests)
    }

    fn run(answer: fn(&Value, usize) -> (u16, Value)) -> (StandIn, Deleted) {
        let stand_in = StandIn::start(move |operation: &str, request: &Value, before| {
            assert_eq!(operation, "BatchDeleteImage");
            assert!(request["imageIds"].as_array().unwrap().len() <= 100);
            answer(request, before)
        });
        let repository = repository();
        let policy = Policy {
            images: Images::Keep,
            caches: Caches::DeleteTags(vec![Glob::new("*")]),
            keep_untagged: std::time::Duration::ZERO,
        };
        let plan = plan(&repository, &InUse::default(), &policy, 100).unwrap();
        assert_eq!(plan.delete.len(), 251);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let deleted = runtime.block_on(async {
            let aws = stand_in.aws().await;
            registry(&Ui::silent(), &aws, "app", &plan, &repository).await.unwrap()
        });
        (stand_in, deleted)
    }

    #[test]
    fn all_go_in_hundreds_children_after_their_index_and_throttling_is_waited_out() {
        let (stand_in, done) = run(|request, before| match before {
            0 => (400, json!({ "__type": "ThrottlingException", "message": "slow down" })),
            _ => (200, json!({ "imageIds": request["imageIds"], "failures": [] })),
        });
        assert_eq!((done.deleted.len(), done.failed.len()), (251, 0));
        // 249 of the first wave in three calls, one of them again, then the two children.
        let calls = stand_in.calls("BatchDeleteImage");
        assert_eq!(calls.len(), 5);
        assert_eq!(calls[4]["imageIds"].as_array().unwrap().len(), 2);
        assert!(calls.iter().all(|call| call["imageIds"][0].get("imageTag").is_none()));
        assert_eq!(done.freed_bytes, 2500);
        done.check("r/app").unwrap();
    }

    #[test]
    fn every_failure_is_told_and_children_of_an_index_that_stays_are_left_alone() {
        let (stand_in, done) = run(|request, _| {
            let ids = request["imageIds"].as_array().unwrap();
            let fails = |n: usize, code: &str| {
                let id = json!({ "imageDigest": digest(n) });
                let failure = json!({ "imageId": id, "failureCode": code, "failureReason": "why" });
                ids.contains(&id).then_some(failure)
            };
            let failures = [
                fails(0, "KmsError"),
                fails(9, "ImageReferencedByManifestList"),
                fails(10, "ImageNotFound"),
            ];
            let failures: Vec<_> = failures.into_iter().flatten().collect();
            let goes = |id: &&Value| failures.iter().all(|failure| failure["imageId"] != **id);
            let gone: Vec<_> = ids.iter().filter(goes).collect();
            (200, json!({ "imageIds": gone, "failures": failures }))
        });
        let mut failed: Vec<_> = done.failed.iter().map(|f| f.digest.clone()).collect();
        failed.sort();
        assert_eq!(failed, [digest(0), digest(1), digest(2), digest(9)]);
        assert!(done.deleted.contains(&digest(10)), "somebody else was faster");
        assert_eq!((done.deleted.len(), done.freed_bytes), (247, 2470));
        assert_eq!(stand_in.calls("BatchDeleteImage").len(), 3, "the children are not asked for");
        let error = done.check("r/app").unwrap_err();
        assert!(error.to_string().starts_with("4 of 251 images could not be deleted"), "{error}");
    }

    #[test]
    fn what_ecr_does_not_say_is_not_deleted() {
        // Of the index and its two children nothing is said, so those are not asked for.
        let (stand_in, done) = run(|request, _| {
            let said = |id: &&Value| id["imageDigest"] != json!(digest(0));
            let ids: Vec<_> = request["imageIds"].as_array().unwrap().iter().filter(said).collect();
            (200, json!({ "imageIds": ids }))
        });
        assert_eq!(stand_in.calls("BatchDeleteImage").len(), 3);
        assert_eq!((done.deleted.len(), done.freed_bytes), (248, 2480));
        let failed: Vec<_> = done.failed.iter().map(|failed| failed.digest.clone()).collect();
        assert_eq!(failed, [digest(0), digest(1), digest(2)]);
        let error = done.check("r/app").unwrap_err().to_string();
        assert!(error.ends_with("ECR did not say that it was deleted"), "{error}");
    }

    #[test]
    fn a_call_that_is_refused_is_the_failure_of_each_of_its_images() {
        let (_, done) = run(|_, _| {
            (400, json!({ "__type": "AccessDeniedException", "message": "not allowed" }))
        });
        assert_eq!((done.deleted.len(), done.failed.len(), done.freed_bytes), (0, 251, 0));
        let error = done.check("r/app").unwrap_err();
        assert_eq!(exit_of(&error), Exit::Prerequisite);
    }
}
