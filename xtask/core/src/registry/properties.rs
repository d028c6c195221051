//! Rules of deletion that hold for every repository, tried on random ones.

mod oracle;
mod world;

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::digest::Digest;
use super::fixture::{NOW, URI};
use super::in_use::InUse;
use super::plan::{PrunePlan, Why, plan};
use super::policy::{Images, Policy};
use super::recheck::recheck;
use super::repository::Repository;
use oracle::{must_stay, subjects};
use world::{Node, Rules, build, node, of_one, rules, uris, usages, used};

fn deleted(plan: &PrunePlan) -> BTreeSet<Digest> {
    plan.delete.iter().map(|deletion| deletion.digest.clone()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    /// Nothing reachable from what is in use or kept goes, and everything else does; over several
    /// repositories, of which one may have the very images of another.
    #[test]
    fn exactly_what_nothing_needs_goes(
        nodes in vec(vec(node(), 0..14), 3), usages in usages(), rules in rules(),
    ) {
        let repositories: Vec<Repository> =
            uris().iter().zip(&nodes).map(|(uri, nodes)| build(uri, nodes)).collect();
        let (uses, plainly) = used(&repositories, &usages);
        for (at, repository) in repositories.iter().enumerate() {
            // Where only caches are ours, images stay.
            let images = if at == 0 { rules.policy.images.clone() } else { Images::Keep };
            let policy = Policy { images, ..rules.policy.clone() };
            let rules = Rules { policy, branches: rules.branches.clone() };
            let in_use = InUse::resolve(repository, &uses).unwrap();
            let plan = plan(repository, &in_use, &rules.policy, NOW).unwrap();
            let stays = must_stay(repository, &plainly, &rules);
            let all: BTreeSet<Digest> =
                repository.images().iter().map(|image| image.digest.clone()).collect();
            prop_assert_eq!(deleted(&plan), &all - &stays);
            let kept: BTreeSet<Digest> = plan.keep.iter().map(|kept| kept.digest.clone()).collect();
            prop_assert_eq!(kept, stays);
            prop_assert!(plan.keep.iter().all(|kept| !kept.reasons.is_empty()));
        }
    }

    /// Parents go before children and companions before subjects, each image
    /// once, in batches that one call takes.
    #[test]
    fn the_order_of_deletion_is_one_that_ecr_accepts(
        nodes in vec(node(), 0..14), rules in rules(),
    ) {
        let repository = build(URI, &nodes);
        let plan = plan(&repository, &InUse::default(), &rules.policy, NOW).unwrap();
        let mut gone = BTreeSet::new();
        for wave in plan.waves() {
            let before = gone.clone();
            for deletion in wave.iter().copied().flatten() {
                for other in repository.images() {
                    let lists = repository.manifest(&other.digest).unwrap().children().iter()
                        .any(|child| child.digest == deletion.digest);
                    let describes = subjects(&repository, other).contains(&deletion.digest);
                    if (lists || describes) && other.digest != deletion.digest {
                        prop_assert!(before.contains(&other.digest));
                    }
                }
                prop_assert!(gone.insert(deletion.digest.clone()));
            }
            prop_assert!(wave.iter().all(|batch| (1..=100).contains(&batch.len())));
        }
        prop_assert_eq!(gone, deleted(&plan));
    }

    /// The same facts in any order give the same plan.
    #[test]
    fn a_plan_is_deterministic(
        nodes in vec(node(), 0..14), usages in usages(), rules in rules(), seed in any::<u64>(),
    ) {
        let repository = build(URI, &nodes);
        let mut shuffled = repository.images().to_vec();
        shuffled.sort_by_key(|image| image.digest.as_str().bytes().fold(seed, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        }));
        let manifests = repository.images().iter().map(|image| {
            (image.digest.clone(), repository.manifest(&image.digest).unwrap().clone())
        });
        let again = Repository::new(repository.uri(), shuffled, manifests.collect());
        let one = plan(&repository, &of_one(&repository, &usages), &rules.policy, NOW).unwrap();
        let other = plan(&again, &of_one(&again, &usages), &rules.policy, NOW).unwrap();
        prop_assert_eq!(one, other);
    }

    /// A second look never adds to a plan, and what it leaves nothing needs:
    /// not even what changed, appeared or came into use in between.
    #[test]
    fn a_second_look_only_takes_away(
        nodes in vec(node(), 0..14),
        changes in vec(option::weighted(0.2, node()), 14),
        added in vec(node(), 0..3),
        before in usages(), after in usages(), rules in rules(), later_rules in rules(),
    ) {
        let first = build(URI, &nodes);
        let plan = plan(&first, &of_one(&first, &before), &rules.policy, NOW).unwrap();
        // Tags, times of push and what is new change; manifests can not.
        let mut later: Vec<Node> = nodes.iter().zip(&changes).map(|(node, change)| match change {
            Some(change) => node.like(change),
            None => node.clone(),
        }).collect();
        later.extend(added);
        let second = build(URI, &later);
        let in_use = of_one(&second, &after);
        // Branches come and go, and where they can not be asked for any more, all of them stay.
        let caches = match rules.branches {
            Some(_) => &later_rules.policy.caches,
            None => &rules.policy.caches,
        };
        let again = recheck(&plan, &second, &in_use, caches).unwrap();
        let left = deleted(&again.plan);
        prop_assert!(left.is_subset(&deleted(&plan)));
        for image in second.images().iter().filter(|image| !left.contains(&image.digest)) {
            let children = second.manifest(&image.digest).unwrap().children();
            for needed in children.iter().map(|child| &child.digest).chain(&subjects(&second, image)) {
                prop_assert!(!left.contains(needed));
            }
        }
        for digest in &left {
            prop_assert!(in_use.users(digest).is_empty());
            let deletion = plan.delete.iter().find(|deletion| deletion.digest == *digest).unwrap();
            prop_assert!(deletion.why != Why::BranchGone || !caches.keeps(&deletion.tags));
            let (was, is) = (first.image(digest).unwrap(), second.image(digest).unwrap());
            prop_assert_eq!((&was.tags, was.pushed_at), (&is.tags, is.pushed_at));
            prop_assert!(subjects(&second, is).iter().all(|s| left.contains(s) || second.image(s).is_none()));
        }
        let reported: BTreeSet<Digest> = again.changes.iter().map(|(d, _)| d.clone()).collect();
        prop_assert_eq!(&deleted(&plan) - &left, reported);
    }
}
