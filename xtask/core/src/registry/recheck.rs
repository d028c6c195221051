//! The second look just before deleting: what changed since the plan was made
//! stays. A second look only ever takes away from a plan.

use std::collections::HashMap;
use std::fmt;

use serde::Serialize;

use super::digest::Digest;
use super::graph::Graph;
use super::in_use::{InUse, User};
use super::plan::{self, Kept, PlanError, PrunePlan, Reason, Why};
use super::policy::Caches;
use super::repository::{Image, Repository};

/// What happened to an image between the plan and the second look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "change", content = "now", rename_all = "kebab-case")]
pub enum Change {
    /// It is gone already.
    Gone,
    /// Its tags are these now.
    Tags(Vec<String>),
    /// It was pushed again.
    PushedAgain,
    /// It is used by these now.
    InUse(Vec<User>),
    /// Something that stays needs it now: a new index, or one that changed.
    NeededBy(Digest),
    /// Its branch is there again, or it is not known any more which are.
    BranchThere,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("was deleted meanwhile"),
            Self::Tags(tags) if tags.is_empty() => f.write_str("lost its tags meanwhile"),
            Self::Tags(tags) => write!(f, "was tagged {} meanwhile", tags.join(", ")),
            Self::PushedAgain => f.write_str("was pushed again meanwhile"),
            Self::InUse(users) => {
                f.write_str("came into use meanwhile")?;
                users.first().map_or(Ok(()), |user| write!(f, " by {user}"))
            }
            Self::NeededBy(digest) => write!(f, "is needed by {} now", digest.short()),
            Self::BranchThere => f.write_str("may be of a branch that is there"),
        }
    }
}

/// A plan after the second look, and what became of the rest of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Rechecked {
    /// What still goes.
    pub plan: PrunePlan,
    /// What was to go and does not, with the reason, in the plan's order.
    pub changes: Vec<(Digest, Change)>,
}

/// Looks at a plan again with what is true now. An image is deleted only if
/// it is as it was, nothing uses it, and nothing that stays needs it. `caches` is what the policy
/// says of caches now: branches come and go.
///
/// The manifests of `repository` may be those of the first look, with those of
/// new images added.
///
/// # Errors
/// As [`plan::plan`]: when something that may be an index can not be read.
pub fn recheck(
    plan: &PrunePlan,
    repository: &Repository,
    in_use: &InUse,
    caches: &Caches,
) -> Result<Rechecked, PlanError> {
    plan::refuse_unreadable(repository)?;
    let images = repository.images();
    let graph = Graph::new(repository);
    let mut changes: HashMap<&Digest, Change> = HashMap::new();
    let mut goes = vec![false; images.len()];
    for planned in &plan.delete {
        let position = repository.position(&planned.digest);
        let change = match position.map(|at| &images[at]) {
            None => Some(Change::Gone),
            Some(image) => changed(planned, image, in_use, caches),
        };
        match (change, position) {
            (Some(change), _) => drop(changes.insert(&planned.digest, change)),
            (None, Some(at)) => goes[at] = true,
            (None, None) => {}
        }
    }
    let stays = (0..images.len()).filter(|&at| !goes[at]);
    let kept = graph.closure(stays, |at, _, by| {
        changes.insert(&images[at].digest, Change::NeededBy(images[by].digest.clone()));
    });
    let waves = plan::waves(&graph, &kept);
    let mut again = PrunePlan {
        repository: plan.repository.clone(),
        delete: Vec::new(),
        keep: plan.keep.clone(),
        freed_bytes: plan::freed_bytes(repository, &kept),
    };
    let mut reported = Vec::new();
    for planned in &plan.delete {
        let Some(change) = changes.remove(&planned.digest) else {
            let mut deletion = planned.clone();
            deletion.wave = repository.position(&planned.digest).map_or(0, |at| waves[at]);
            again.delete.push(deletion);
            continue;
        };
        if change != Change::Gone {
            let (class, bytes) = (planned.class, planned.bytes);
            let tags =
                repository.image(&planned.digest).map(|i| i.tags.clone()).unwrap_or_default();
            let reasons = vec![Reason::Changed(change.clone())];
            again.keep.push(Kept { digest: planned.digest.clone(), tags, class, bytes, reasons });
        }
        reported.push((planned.digest.clone(), change));
    }
    again.delete.sort_by_key(|deletion| deletion.wave);
    Ok(Rechecked { plan: again, changes: reported })
}

fn changed(
    planned: &plan::Deletion,
    image: &Image,
    in_use: &InUse,
    caches: &Caches,
) -> Option<Change> {
    let users = in_use.users(&image.digest);
    if !users.is_empty() {
        Some(Change::InUse(users.to_vec()))
    } else if planned.tags != image.tags {
        Some(Change::Tags(image.tags.clone()))
    } else if planned.pushed_at != image.pushed_at {
        Some(Change::PushedAgain)
    } else if planned.why == Why::BranchGone && caches.keeps(&image.tags) {
        Some(Change::BranchThere)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::fixture::{NOW, cache, digest, image, index, list, repository};
    use super::super::in_use::UserKind;
    use super::super::policy::{BranchTags, Policy};
    use super::*;

    fn planned(repository: &Repository) -> PrunePlan {
        let policy = Policy::caches_and_untagged(Duration::ZERO);
        plan::plan(repository, &InUse::default(), &policy, NOW).unwrap()
    }

    #[test]
    fn nothing_changed_and_the_plan_is_the_same() {
        let repository = repository(
            vec![index(3, &[]), image(2, &[]), image(1, &["latest"])],
            [(3, list(&[2]))],
        );
        let plan = planned(&repository);
        let again = recheck(&plan, &repository, &InUse::default(), &Caches::Keep).unwrap();
        assert_eq!(again, Rechecked { plan, changes: Vec::new() });
    }

    #[test]
    fn what_changed_meanwhile_stays_and_is_reported() {
        let before = (1..=6).map(|n| image(n, &[])).collect();
        let plan = planned(&repository(before, []));
        assert_eq!(plan.delete.len(), 6);

        let mut tagged = image(1, &["v1"]);
        tagged.pushed_at = image(1, &[]).pushed_at;
        let pushed_again = Image { pushed_at: Some(NOW), ..image(2, &[]) };
        // 3 came into use, 4 is gone, 5 is a child of a new index, 6 is as it was.
        let after = vec![
            tagged,
            pushed_again,
            image(3, &[]),
            image(5, &[]),
            image(6, &[]),
            index(7, &["v2"]),
        ];
        let user = User { kind: UserKind::RunningTask, name: "web/1".to_owned() };
        let in_use = InUse { by: [(digest(3), vec![user.clone()])].into(), missing: Vec::new() };
        let after = repository(after, [(7, list(&[5]))]);
        let again = recheck(&plan, &after, &in_use, &Caches::Keep).unwrap();

        let left: Vec<&Digest> = again.plan.delete.iter().map(|d| &d.digest).collect();
        assert_eq!(left, [&digest(6)]);
        let mut changes = again.changes;
        changes.sort_by(|a, b| a.0.cmp(&b.0));
        assert_eq!(
            changes,
            [
                (digest(1), Change::Tags(vec!["v1".to_owned()])),
                (digest(2), Change::PushedAgain),
                (digest(3), Change::InUse(vec![user])),
                (digest(4), Change::Gone),
                (digest(5), Change::NeededBy(digest(7))),
            ]
        );
        assert_eq!(again.plan.keep.len(), 4, "all but the one that is gone");
        assert_eq!(changes[2].1.to_string(), "came into use meanwhile by running task web/1");
    }

    #[test]
    fn what_belongs_to_a_changed_index_stays_with_it() {
        let before = repository(vec![index(2, &[]), image(1, &[])], [(2, list(&[1]))]);
        let plan = planned(&before);
        assert_eq!(plan.delete.len(), 2);
        let after = repository(vec![index(2, &["back"]), image(1, &[])], [(2, list(&[1]))]);
        let again = recheck(&plan, &after, &InUse::default(), &Caches::Keep).unwrap();
        assert_eq!(again.plan.delete, []);
        assert_eq!(again.changes[1], (digest(1), Change::NeededBy(digest(2))));
        assert_eq!(again.plan.freed_bytes, 0);
    }

    #[test]
    fn the_cache_of_a_branch_that_is_there_again_stays() {
        let images = vec![image(1, &["c-x"]), image(2, &["c-y"])];
        let repository = repository(images, [(1, cache(20)), (2, cache(30))]);
        let branches = |stay: &[&str]| {
            Caches::GoneBranches(BranchTags {
                prefix: "c-".into(),
                stay: stay.iter().map(|tag| (*tag).to_owned()).collect(),
                unknown: Vec::new(),
            })
        };
        let caches = branches(&[]);
        let policy =
            Policy { caches: caches.clone(), ..Policy::caches_and_untagged(Duration::ZERO) };
        let plan = plan::plan(&repository, &InUse::default(), &policy, NOW).unwrap();
        let left = |caches: &Caches| {
            recheck(&plan, &repository, &InUse::default(), caches).unwrap().plan.delete.len()
        };
        assert_eq!((left(&caches), left(&branches(&["c-x"]))), (2, 1));
        assert_eq!(left(&Caches::Keep), 0, "it is not known any more which branches there are");
    }

    #[test]
    fn a_new_index_that_can_not_be_read_stops_everything() {
        let plan = planned(&repository(vec![image(1, &[])], []));
        let after = repository(vec![image(1, &[]), index(2, &["new"])], []);
        assert!(recheck(&plan, &after, &InUse::default(), &Caches::Keep).is_err());
    }
}
