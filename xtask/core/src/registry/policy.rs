//! What is worth keeping when nothing uses it.

use std::collections::BTreeSet;
use std::time::Duration;

use super::glob::Glob;

/// Which images a prune keeps besides what is in use, and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Tagged images.
    pub images: Images,
    /// BuildKit caches that have a tag. Caches that lost theirs are untagged images.
    pub caches: Caches,
    /// Images without a tag that nothing uses or points to go, but not before this time after
    /// their push: somebody may be in the middle of pushing an index, whose children come first.
    pub keep_untagged: Duration,
}

/// What becomes of tagged images that nothing uses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Images {
    /// All are kept.
    Keep,
    /// An image goes unless one of these keeps it.
    Expire {
        /// So many are kept, the newest by the time of their push.
        keep_last: usize,
        /// What was pushed within this time is kept.
        keep_younger_than: Option<Duration>,
        /// What has a tag of one of these is kept, and does not count in `keep_last`.
        keep_tags: Vec<Glob>,
    },
}

/// What becomes of tagged BuildKit caches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Caches {
    /// All are kept.
    Keep,
    /// Those go whose tags all match one of these.
    DeleteTags(Vec<Glob>),
    /// Those go whose tags all are of branches that are gone.
    GoneBranches(BranchTags),
}

/// The tags of the caches of branches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BranchTags {
    /// What all of them begin with.
    pub prefix: String,
    /// Those of branches that there are, and others that are no branch's. Two branches may have
    /// one tag: it is here if either of them is there.
    pub stay: BTreeSet<String>,
    /// What tags begin with of which nobody can tell whether their branch is there.
    pub unknown: Vec<String>,
}

impl BranchTags {
    /// Whether a tag is of a branch that is gone.
    #[must_use]
    pub fn is_gone(&self, tag: &str) -> bool {
        tag.starts_with(&self.prefix)
            && !self.stay.contains(tag)
            && !self.unknown.iter().any(|prefix| tag.starts_with(prefix))
    }
}

impl Caches {
    /// Whether a cache with these tags stays.
    #[must_use]
    pub fn keeps(&self, tags: &[String]) -> bool {
        match self {
            Self::Keep => true,
            Self::DeleteTags(patterns) => {
                !tags.iter().all(|tag| patterns.iter().any(|pattern| pattern.matches(tag)))
            }
            Self::GoneBranches(branches) => !tags.iter().all(|tag| branches.is_gone(tag)),
        }
    }
}

impl Policy {
    /// Caches and untagged images go, tagged images stay.
    #[cfg(test)]
    #[must_use]
    pub fn caches_and_untagged(keep_untagged: Duration) -> Self {
        Self {
            images: Images::Keep,
            caches: Caches::DeleteTags(vec![Glob::new("*")]),
            keep_untagged,
        }
    }
}

/// Whether something of time `at` is at most `limit` old. Without a time it
/// counts as young: what is not known is kept.
pub(super) fn younger(at: Option<i64>, limit: Duration, now: i64) -> bool {
    let limit = i64::try_from(limit.as_secs()).unwrap_or(i64::MAX);
    limit > 0 && at.is_none_or(|at| now.saturating_sub(at) < limit)
}
