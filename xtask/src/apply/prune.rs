//! Prunes: runs the builder's command, and deletes images by digest after a second look.

use std::collections::BTreeSet;

use anyhow::Result;
use aws_sdk_ecr::types::{ImageFailureCode, ImageIdentifier};
use serde::Serialize;

use crate::aws::{Aws, explain};
use crate::event::Event;
use crate::exit::{Exit, Failure, exit_of};
use crate::interrupt;
use crate::observe::beside::beside;
use crate::plan::argv::Argv;
use crate::proc::{Env, Input, stream};
use crate::registry::digest::Digest;
use crate::registry::outcome;
use crate::registry::plan::{Deletion, PrunePlan};
use crate::registry::repository::Repository;
use crate::ui::Ui;

/// Runs the command that prunes a builder.
///
/// # Errors
/// It ends with an error: with what it said.
pub async fn builder(argv: &Argv) -> Result<()> {
    let run = argv.clone();
    let output = tokio::task::spawn_blocking(move || {
        stream(&run, &Env::default(), None, Input::Nothing, |_| {})
    })
    .await??;
    if output.ok() {
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
    for wave in plan.waves() {
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
        interrupt::remember(format!(
            "{} of {of} images are deleted from {name}; run `cargo xtask prune --registry` again",
            done.deleted.len()
        ));
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
    let mut failed = Vec::new();
    for failure in answer.failures() {
        // Somebody else was faster, which is just as well.
        if failure.failure_code() == Some(&ImageFailureCode::ImageNotFound) {
            continue;
        }
        let digest = failure.image_id().and_then(ImageIdentifier::image_digest);
        if let Some(digest) = digest.and_then(|digest| digest.parse().ok()) {
            let code = failure.failure_code().map_or("no code", |code| code.as_str());
            let reason = failure.failure_reason().unwrap_or("no reason was given");
            failed.push(Failed { digest, reason: format!("{code}: {reason}") });
        }
    }
    let stays: BTreeSet<_> = failed.iter().map(|failed| failed.digest.clone()).collect();
    let deleted = digests.into_iter().filter(|digest| !stays.contains(digest)).collect();
    Ok((deleted, failed, None))
}
