//! What `prune` is going to do: the command for the builder, the digests for the registry, the
//! revisions of task definitions.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::argv::Argv;
use super::branch::{of_branch, of_pull_requests};
use crate::config::{Cache, KeepTagged, Prune, file};
use crate::registry::builder_cache::BuilderCache;
use crate::registry::builder_prune::{BuilderPrune, preview, prune_args};
use crate::registry::glob::Glob;
use crate::registry::plan::PrunePlan;
use crate::registry::policy::{BranchTags, Caches, Images, Policy};
use crate::registry::revisions::RevisionPlan;
use crate::units::format_size;

/// One step.
#[derive(Clone, Debug)]
pub enum Step {
    /// Prune the builder's cache.
    Builder(PruneBuilder),
    /// Delete images of a repository.
    Registry(PrunePlan),
    /// Deregister revisions of task definitions.
    TaskDefinitions(RevisionPlan),
}

/// The prune of a builder's cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PruneBuilder {
    /// The command that does it.
    pub argv: Argv,
    /// What it will take, as far as that can be told beforehand.
    pub expected: Expected,
}

/// What a prune will take, and of how much. The builder decides.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub struct Expected {
    /// Records that may go.
    pub records: usize,
    /// Bytes that go at most.
    pub bytes: u64,
    /// Records that there are.
    pub of_records: usize,
    /// Bytes that there are.
    pub of_bytes: u64,
    /// Whether the bytes are exact, or rounded by what reported them.
    pub exact: bool,
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "up to {} of {}, {} of {} records",
            format_size(self.bytes),
            format_size(self.of_bytes),
            self.records,
            self.of_records
        )
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Builder(prune) => prune.argv.fmt(f),
            Self::Registry(plan) => write!(
                f,
                "delete {} of {} images from {}, {}",
                plan.delete.len(),
                plan.delete.len() + plan.keep.len(),
                plan.repository,
                format_size(plan.freed_bytes)
            ),
            Self::TaskDefinitions(plan) => plan.fmt(f),
        }
    }
}

impl Step {
    /// The step's parts: what is expected of the builder, the images that are deleted, the
    /// revisions that are deregistered.
    pub fn details(&self) -> Vec<String> {
        match self {
            Self::Builder(prune) => vec![prune.expected.to_string()],
            Self::Registry(plan) => plan.delete.iter().map(ToString::to_string).collect(),
            Self::TaskDefinitions(plan) => {
                plan.deregister.iter().map(ToString::to_string).collect()
            }
        }
    }

    /// What stays, with the reasons.
    pub fn kept(&self) -> Vec<String> {
        match self {
            Self::Builder(_) => Vec::new(),
            Self::Registry(plan) => plan.keep.iter().map(ToString::to_string).collect(),
            Self::TaskDefinitions(plan) => plan.keep.iter().map(ToString::to_string).collect(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        match self {
            // What may go is an estimate; that there is nothing at all is not.
            Self::Builder(prune) => prune.expected.of_records == 0,
            Self::Registry(plan) => plan.delete.is_empty(),
            Self::TaskDefinitions(plan) => plan.deregister.is_empty(),
        }
    }
}

/// The step for the builder. `now` is in seconds since 1970.
pub fn builder(prune: &BuilderPrune, cache: &BuilderCache, now: i64) -> Step {
    let goes = preview(prune, cache, now);
    Step::Builder(PruneBuilder {
        argv: Argv::docker(prune_args(prune)),
        expected: Expected {
            records: goes.records.len(),
            bytes: goes.bytes,
            of_records: cache.records.len(),
            of_bytes: cache.records.iter().map(|record| record.bytes).sum(),
            exact: cache.exact,
        },
    })
}

/// What stays in a repository besides what is in use. Where only the cache lives, `of_images` is
/// false and tagged images stay.
pub fn policy(keep: &Prune, caches: Caches, of_images: bool) -> Policy {
    let images = match keep.tagged.as_ref().filter(|_| of_images) {
        None => Images::Keep,
        Some(KeepTagged { last, younger_than, tags }) => Images::Expire {
            keep_last: *last,
            keep_younger_than: *younger_than,
            keep_tags: tags.iter().map(Glob::new).collect(),
        },
    };
    Policy { images, caches, keep_untagged: keep.keep_untagged }
}

/// Which caches with a tag go: the one of `cache`, or those of branches that are gone. All others
/// stay, as they may be somebody else's. `branches` are those that there are; where that is not
/// known, none of a branch goes.
pub fn caches(keep: &Prune, cache: &Cache, branches: Option<&BTreeSet<String>>) -> Caches {
    let name = cache.tag.as_str();
    match (keep.caches, branches) {
        _ if name.is_empty() => Caches::Keep,
        (file::Caches::Keep, _) | (file::Caches::GoneBranches, None) => Caches::Keep,
        (file::Caches::Delete, _) => Caches::DeleteTags(vec![Glob::new(name)]),
        (file::Caches::GoneBranches, Some(branches)) => {
            // The branch `a-b` of one cache may have the tag of the branch `b` of another.
            let of_all =
                cache.tags.iter().flat_map(|name| branches.iter().map(|of| of_branch(name, of)));
            Caches::GoneBranches(BranchTags {
                prefix: format!("{name}-"),
                stay: of_all.chain(cache.tags.iter().cloned()).collect(),
                // A branch of a fork is none of ours, and its pull request may be open.
                unknown: cache.tags.iter().map(|name| of_pull_requests(name)).collect(),
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::registry::builder_cache::parse_buildctl;

    #[test]
    fn the_builder_s_step_is_its_command() {
        let records = serde_json::json!([
            { "id": "a", "recordType": "regular", "size": 1000, "mutable": false, "inUse": false },
            { "id": "b", "recordType": "frontend", "size": 500, "mutable": false, "inUse": false },
        ]);
        let cache = parse_buildctl(records.to_string().as_bytes()).unwrap();
        let prune = BuilderPrune { builder: "b".into(), ..BuilderPrune::default() };
        let step = builder(&prune, &cache, 0);
        assert_eq!(step.to_string(), "docker buildx prune --builder b --force");
        assert_eq!(step.details(), ["up to 1.00 kB of 1.50 kB, 1 of 2 records"]);
        assert!(!step.is_empty());
        let nothing = BuilderCache { records: Vec::new(), exact: true };
        assert!(builder(&prune, &nothing, 0).is_empty());
    }

    fn keep(caches: file::Caches) -> Prune {
        Prune {
            keep_revisions: 10,
            keep_families: Vec::new(),
            tagged: None,
            keep_untagged: Duration::from_secs(60),
            keep_task_definitions: None,
            caches,
        }
    }

    #[test]
    fn the_policy_is_what_is_configured() {
        let mut keep = keep(file::Caches::Delete);
        let (caches, keep_untagged) = (Caches::Keep, Duration::from_secs(60));
        let plain = Policy { images: Images::Keep, caches: caches.clone(), keep_untagged };
        assert_eq!(policy(&keep, caches.clone(), true), plain);
        keep.tagged = Some(KeepTagged { last: 3, younger_than: None, tags: vec!["v*".into()] });
        let images = Images::Expire {
            keep_last: 3,
            keep_younger_than: None,
            keep_tags: vec![Glob::new("v*")],
        };
        assert_eq!(policy(&keep, caches.clone(), true), Policy { images, ..plain.clone() });
        assert_eq!(policy(&keep, caches, false), plain);
    }

    #[test]
    fn without_branches_the_cache_s_tag_goes_and_no_other() {
        let cache = Cache::default();
        let tag = Caches::DeleteTags(vec![Glob::new("buildcache")]);
        assert_eq!(caches(&keep(file::Caches::Delete), &cache, None), tag);
        assert_eq!(caches(&keep(file::Caches::Keep), &cache, None), Caches::Keep);
        let none = Cache { tag: String::new(), ..cache };
        assert_eq!(caches(&keep(file::Caches::Delete), &none, None), Caches::Keep);
    }

    #[test]
    fn the_cache_of_a_branch_goes_only_when_no_branch_of_its_tag_is_there() {
        let tags = ["buildcache", "buildcache-staging"].map(str::to_owned).into();
        let cache = Cache { main_branch: Some("main".into()), tags, ..Cache::default() };
        let keep = keep(file::Caches::GoneBranches);
        let here: BTreeSet<String> = ["main", "a/b", "here"].map(str::to_owned).into();
        let found = caches(&keep, &cache, Some(&here));
        let gone = |tag: &str| !found.keeps(&[tag.to_owned()]);
        for tag in [
            "buildcache",
            "buildcache-here",
            "buildcache-main",
            // Branch `a/b`; and what is a pull request, or a branch that is called so.
            "buildcache-a-b-e2480c78",
            "buildcache-pr-here",
            "buildcache-pr-gone",
            // The cache of another environment, its branches and its pull requests.
            "buildcache-staging",
            "buildcache-staging-here",
            "buildcache-staging-pr-gone",
            "git-1",
        ] {
            assert!(!gone(tag), "{tag}");
        }
        for tag in ["buildcache-gone", "buildcache-a-b", "buildcache-staging-gone", "buildcache-p"]
        {
            assert!(gone(tag), "{tag}");
        }
        assert_eq!(caches(&keep, &cache, None), Caches::Keep, "it is not known what there is");
    }
}
