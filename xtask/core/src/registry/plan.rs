//! Which images of a repository go, which stay, and why.
//!
//! An image stays when it is in use, when the policy keeps it, or when
//! something that stays needs it: children of an index, companions, subjects.
//! Everything else goes. When an index can not be read its children are not
//! known, and then nothing goes at all.

mod keep;
#[cfg(test)]
mod tests;
mod unreadable;

use std::collections::HashSet;
use std::fmt;

use serde::Serialize;

use super::digest::Digest;
use super::graph::{self, Class, Graph, Link};
use super::in_use::{InUse, User};
use super::policy::{Caches, Policy};
use super::repository::{Image, Repository};
use crate::units::{format_duration, format_size};
pub use unreadable::PlanError;
pub(super) use unreadable::refuse_unreadable;

/// Digests that one `BatchDeleteImage` call takes.
pub const BATCH: usize = 100;

/// What a prune of one repository deletes and keeps, in a fixed order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct PrunePlan {
    /// Registry host and repository name.
    pub repository: String,
    /// What goes, in the order of deletion.
    pub delete: Vec<Deletion>,
    /// What stays, newest first.
    pub keep: Vec<Kept>,
    /// Bytes that the deletion frees: of blobs that nothing kept has, each counted once.
    pub freed_bytes: u64,
}

/// One image that goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Deletion {
    /// What is deleted; by digest, so with all its tags.
    pub digest: Digest,
    /// Its tags when the plan was made.
    pub tags: Vec<String>,
    /// What it is.
    pub class: Class,
    /// Its own compressed bytes, layers included that others share.
    pub bytes: u64,
    /// When it was pushed.
    pub pushed_at: Option<i64>,
    /// Why it goes.
    pub why: Why,
    /// ECR refuses to delete what a manifest list still references: all of
    /// wave 0 goes before anything of wave 1.
    pub wave: usize,
}

/// One image that stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Kept {
    /// Which.
    pub digest: Digest,
    /// Its tags.
    pub tags: Vec<String>,
    /// What it is.
    pub class: Class,
    /// Its own compressed bytes, layers included that others share.
    pub bytes: u64,
    /// Every reason of its own, or how it belongs to something that stays.
    pub reasons: Vec<Reason>,
}

/// Why an image goes. Nothing uses it, in every case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "why", content = "of", rename_all = "kebab-case")]
pub enum Why {
    /// It has no tag and nothing points to it.
    Untagged,
    /// It is a cache with a tag that the policy lets go.
    CacheTag,
    /// It is the cache of a branch that is gone.
    BranchGone,
    /// It has a tag, but is not new enough and matches no pattern.
    Expired,
    /// All indexes that list it go; this is one.
    ChildOf(Digest),
    /// What it is a companion of goes.
    ReferrerOf(Digest),
    /// It is a companion of something that is not there any more.
    SubjectGone,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untagged => f.write_str("untagged, nothing uses it"),
            Self::CacheTag => f.write_str("build cache"),
            Self::BranchGone => f.write_str("build cache of a branch that is gone"),
            Self::Expired => f.write_str("older than the policy keeps, nothing uses it"),
            Self::ChildOf(digest) => write!(f, "belongs to {}, which goes", digest.short()),
            Self::ReferrerOf(digest) => write!(f, "describes {}, which goes", digest.short()),
            Self::SubjectGone => f.write_str("describes an image that is gone"),
        }
    }
}

/// Why an image stays.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "reason", content = "of", rename_all = "kebab-case")]
pub enum Reason {
    /// Somebody uses it.
    InUse(User),
    /// The policy keeps all tagged images.
    Tagged,
    /// It is among the newest, at this place (the newest is 1).
    Newest(usize),
    /// It was pushed within the time that the policy keeps, in seconds.
    Young(u64),
    /// A tag matches this pattern of the policy.
    TagPattern(String),
    /// The policy keeps this cache.
    Cache,
    /// Its manifest could not be read, so what it belongs to is not known.
    Unread(Option<String>),
    /// An index that stays lists it.
    ChildOf(Digest),
    /// What it is a companion of stays.
    ReferrerOf(Digest),
    /// A companion of it stays.
    SubjectOf(Digest),
    /// It was to go, but changed before it was deleted.
    Changed(super::recheck::Change),
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(user) => write!(f, "used by {user}"),
            Self::Tagged => f.write_str("tagged"),
            Self::Newest(place) => write!(f, "number {place} of the newest"),
            Self::Young(seconds) => {
                let limit = std::time::Duration::from_secs(*seconds);
                write!(f, "pushed less than {} ago", format_duration(limit))
            }
            Self::TagPattern(pattern) => write!(f, "a tag matches {pattern}"),
            Self::Cache => f.write_str("cache that the policy keeps"),
            Self::Unread(Some(why)) => write!(f, "its manifest could not be read: {why}"),
            Self::Unread(None) => f.write_str("its manifest could not be read"),
            Self::ChildOf(digest) => write!(f, "belongs to {}", digest.short()),
            Self::ReferrerOf(digest) => write!(f, "describes {}", digest.short()),
            Self::SubjectOf(digest) => write!(f, "described by {}", digest.short()),
            Self::Changed(change) => change.fmt(f),
        }
    }
}

/// Decides what goes and what stays. `now` is only compared with times of push.
///
/// # Errors
/// When the manifest of anything that may be an index is missing. This holds
/// for indexes that would go, too: what they share with others, or are
/// companions of, is as little known.
pub fn plan(
    repository: &Repository,
    in_use: &InUse,
    policy: &Policy,
    now: i64,
) -> Result<PrunePlan, PlanError> {
    refuse_unreadable(repository)?;
    let graph = Graph::new(repository);
    let images = repository.images();
    let mut reasons = keep::own_reasons(repository, &graph, in_use, policy, now);
    let roots: Vec<usize> = (0..images.len()).filter(|&at| !reasons[at].is_empty()).collect();
    let kept = graph.closure(roots, |at, link, by| {
        let by = images[by].digest.clone();
        reasons[at].push(match link {
            Link::Child => Reason::ChildOf(by),
            Link::Referrer => Reason::ReferrerOf(by),
            Link::Subject => Reason::SubjectOf(by),
        });
    });
    let waves = waves(&graph, &kept);
    let mut plan = PrunePlan {
        repository: repository.uri().to_owned(),
        delete: Vec::new(),
        keep: Vec::new(),
        freed_bytes: freed_bytes(repository, &kept),
    };
    for (at, image) in images.iter().enumerate() {
        let (digest, tags) = (image.digest.clone(), image.tags.clone());
        let (class, bytes) = (graph.class(at), graph::image_bytes(repository, image));
        if kept[at] {
            let reasons = std::mem::take(&mut reasons[at]);
            plan.keep.push(Kept { digest, tags, class, bytes, reasons });
        } else {
            let (pushed_at, why) = (image.pushed_at, why(&graph, policy, images, at, class));
            plan.delete.push(Deletion {
                digest,
                tags,
                class,
                bytes,
                pushed_at,
                why,
                wave: waves[at],
            });
        }
    }
    plan.delete
        .sort_by(|a, b| (a.wave, a.pushed_at, &a.digest).cmp(&(b.wave, b.pushed_at, &b.digest)));
    // Stable: images of the same second stay in the order of their digests.
    plan.keep.sort_by_key(|kept| {
        std::cmp::Reverse(repository.image(&kept.digest).and_then(|image| image.pushed_at))
    });
    Ok(plan)
}

impl PrunePlan {
    /// What to delete as the calls that do it: waves one after the other, the
    /// batches of a wave side by side.
    #[must_use]
    pub fn waves(&self) -> Vec<Vec<&[Deletion]>> {
        self.delete
            .chunk_by(|a, b| a.wave == b.wave)
            .map(|wave| wave.chunks(BATCH).collect())
            .collect()
    }
}

impl fmt::Display for Deletion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.digest, format_size(self.bytes))?;
        if !self.tags.is_empty() {
            write!(f, "  {}", self.tags.join(", "))?;
        }
        write!(f, "  {}", self.why)
    }
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}  {}", self.digest, format_size(self.bytes))?;
        if !self.tags.is_empty() {
            write!(f, "  {}", self.tags.join(", "))?;
        }
        let reasons: Vec<String> = self.reasons.iter().map(ToString::to_string).collect();
        write!(f, "  {}", reasons.join("; "))
    }
}

impl fmt::Display for PrunePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} of {} images go, {} freed",
            self.repository,
            self.delete.len(),
            self.delete.len() + self.keep.len(),
            format_size(self.freed_bytes)
        )
    }
}

fn why(graph: &Graph<'_>, policy: &Policy, images: &[Image], at: usize, class: Class) -> Why {
    let tagged = images[at].is_tagged();
    if class == Class::Cache && tagged {
        match policy.caches {
            Caches::GoneBranches(_) => Why::BranchGone,
            Caches::Keep | Caches::DeleteTags(_) => Why::CacheTag,
        }
    } else if graph.has_own_tag(at) {
        Why::Expired
    } else if let Some(&parent) = graph.parents(at).first() {
        Why::ChildOf(images[parent].digest.clone())
    } else if let Some(&subject) = graph.subjects(at).first() {
        Why::ReferrerOf(images[subject].digest.clone())
    } else if tagged {
        Why::SubjectGone
    } else {
        Why::Untagged
    }
}

/// For each image that goes, after how many others of a chain it can: parents
/// before children, companions before their subjects.
pub(super) fn waves(graph: &Graph<'_>, kept: &[bool]) -> Vec<usize> {
    let before = |at: usize| graph.parents(at).iter().chain(graph.referrers(at));
    let after = |at: usize| graph.children(at).iter().chain(graph.subjects(at));
    let mut waves = vec![0; kept.len()];
    let mut waiting: Vec<usize> =
        (0..kept.len()).map(|at| before(at).filter(|&&other| !kept[other]).count()).collect();
    let mut ready: Vec<usize> =
        (0..kept.len()).filter(|&at| !kept[at] && waiting[at] == 0).collect();
    let mut next = 0;
    while let Some(&at) = ready.get(next) {
        next += 1;
        for &other in after(at).filter(|&&other| !kept[other]) {
            waves[other] = waves[other].max(waves[at] + 1);
            waiting[other] -= 1;
            if waiting[other] == 0 {
                ready.push(other);
            }
        }
    }
    // Digests can not form a circle, but tags that claim a subject can. Such
    // images come last, where a refusal of ECR's holds up nothing else.
    let last = ready.iter().map(|&at| waves[at] + 1).max().unwrap_or(0);
    for at in (0..kept.len()).filter(|&at| !kept[at] && waiting[at] > 0) {
        waves[at] = last;
    }
    waves
}

/// Bytes of blobs that only images have which go, each counted once. Of an
/// image whose manifest was not read, the size that ECR reports.
pub(super) fn freed_bytes(repository: &Repository, kept: &[bool]) -> u64 {
    let images = || repository.images().iter().zip(kept);
    let mut seen: HashSet<&Digest> = images()
        .filter(|(_, kept)| **kept)
        .filter_map(|(image, _)| graph::blobs(repository, image))
        .flatten()
        .map(|blob| &blob.digest)
        .collect();
    let mut freed = 0;
    for (image, _) in images().filter(|(_, kept)| !**kept) {
        match graph::blobs(repository, image) {
            Some(blobs) => {
                freed += blobs.filter(|b| seen.insert(&b.digest)).map(|b| b.size).sum::<u64>();
            }
            None => freed += graph::image_bytes(repository, image),
        }
    }
    freed
}
