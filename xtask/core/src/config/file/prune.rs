//! `[prune]`: what a prune leaves, besides what is in use.

use serde::Deserialize;

/// `[prune]`: what `prune --registry` leaves in the repository, besides what is in use.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Prune {
    /// Task definition revisions of a family whose images stay.
    pub keep_revisions: usize,
    /// Further families whose last revisions count as in use: those of scheduled tasks, say,
    /// which no service and no task of the moment names.
    pub keep_families: Vec<String>,
    /// Tagged images that stay, the newest. Without this and `keep-younger-than` all of them do.
    pub keep_last: Option<usize>,
    /// Tagged images that were pushed within this time stay, such as `30d`.
    pub keep_younger_than: Option<String>,
    /// Images with a tag of one of these patterns stay, such as `v*`, and are not counted
    /// in `keep-last`.
    pub keep_tags: Vec<String>,
    /// Untagged images stay for this time after their push: an index is pushed after its
    /// children, which have no tag until then.
    pub keep_untagged: String,
    /// Task definition revisions of a service's family that `prune --task-definitions` leaves, the
    /// newest.
    pub keep_task_definitions: Option<usize>,
    /// Which caches go. Without it those of branches that are gone, where each branch has its own,
    /// else the one that there is.
    pub caches: Option<Caches>,
}

impl Default for Prune {
    fn default() -> Self {
        Self {
            keep_revisions: 10,
            keep_families: Vec::new(),
            keep_last: None,
            keep_younger_than: None,
            keep_tags: Vec::new(),
            keep_untagged: "1h".into(),
            keep_task_definitions: None,
            caches: None,
        }
    }
}

/// Which of the registry's caches go.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Caches {
    /// The one with the cache's tag.
    Delete,
    /// Those of branches that are gone.
    GoneBranches,
    /// None that has a tag.
    Keep,
}
