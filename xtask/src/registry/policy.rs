//! What is worth keeping when nothing uses it.

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
    /// Those go whose tags all match one of these; the tags of branches that
    /// are gone, for instance.
    DeleteTags(Vec<Glob>),
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
